"""The server of both protocols, in a process of its own: it misbehaves as it is told, and keeps an exact account.

:class:`Sink` is the server as the harness holds it. It commands it over the process's standard input, a JSON object a
line; each command is answered by a line.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

from . import environment, wire
from .faults import BEFORE_REQUEST, FAULTS, REFUSED

LOOPBACK = "127.0.0.1"


class Sink:
    """A server in a process of its own. ``with Sink() as sink:``"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.sink"],
            env=environment.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._hear())
        self.url = "http://%s:%d" % (LOOPBACK, self.port)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def behave(self, fault: str) -> None:
        """From now on do this to requests, those of open connections included: a name of ``FAULTS``, or ``REFUSED``."""
        self._ask(do="behave", fault=fault)

    def forget_connections(self) -> None:
        """The connections that are open now are dead from now on, and the other side is not told."""
        self._ask(do="forget")

    def close_connections(self) -> None:
        """The connections that are open now are closed."""
        self._ask(do="close")

    def account(self) -> dict[str, Any]:
        """``spans`` taken; how many of them are ``distinct`` by their ids and name; how many of these have the ids of
        another one (``collisions``); how many requests were ``malformed``.
        """
        return dict(self._ask(do="account"))

    def _ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._hear())

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the sink ended: %r" % self._process.wait())
        return line


# -- in the process of the server -------------------------------------------------------------------------------------


class Ledger:
    """What was taken. Of each span two numbers are kept, so that an hour of them has room."""

    def __init__(self) -> None:
        self.spans = 0
        self.malformed = 0
        self._distinct: set[int] = set()
        self._ids: set[int] = set()

    def take(self, spans: list[tuple[str, str]]) -> None:
        self.spans += len(spans)
        for ids, name in spans:
            self._distinct.add(hash((ids, name)))
            self._ids.add(hash(ids))

    def account(self) -> dict[str, Any]:
        distinct = len(self._distinct)
        return {
            "spans": self.spans,
            "distinct": distinct,
            "collisions": distinct - len(self._ids),
            "malformed": self.malformed,
        }


class Request:
    def __init__(self, path: str, spans: list[tuple[str, str]]) -> None:
        self.path = path
        self.spans = spans


class Line:
    """One connection, with what a fault may do to it."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self.forgotten = False

    async def serve(self) -> None:
        closing = self._writer.transport.is_closing
        while not closing():
            name = self._server.fault
            try:
                request = None if name in BEFORE_REQUEST else await self._read()
            except ValueError:  # two processes that write to one connection, for one
                self._server.ledger.malformed += 1
                await self.answer(400, b"", {})
                return
            if self.forgotten:
                await self.until_gone()
            if not closing():  # else no answer would go out, so nothing must be taken
                await FAULTS[name if request is None else self._server.fault](self, request)

    async def _read(self) -> Request:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        _, path, _ = first.split()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Request(path, wire.spans_of(path, body))

    def take(self, request: Request) -> None:
        self._server.ledger.take(request.spans)

    async def answer(self, status: int, body: bytes, headers: dict[str, str], sent: int | None = None) -> None:
        """A whole answer, or its head and the first ``sent`` bytes of its body."""
        first = "HTTP/1.1 %d %s" % (status, http.client.responses.get(status, "Status"))
        named = {**headers, "Content-Length": str(len(body))}
        head = "\r\n".join([first, *("%s: %s" % pair for pair in named.items())]) + "\r\n\r\n"
        await self.write(head.encode("latin-1") + body[:sent])

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def until_gone(self) -> None:
        while await self._reader.read(65536):
            pass
        self.close()

    def reset(self) -> None:
        """RST in place of FIN: that is what close() does to a socket that lingers for zero seconds."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()


class Server:
    """See :class:`Sink`, whose commands :meth:`obey` carries out."""

    def __init__(self) -> None:
        self.fault = "well"
        self.ledger = Ledger()
        self._lines: set[Line] = set()
        self._listener: Any = None
        self._socket = self._bound(0)
        self.port = self._socket.getsockname()[1]

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delays on
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))  # and not listening: whoever connects is refused
        return bound

    async def listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, sock=self._socket, backlog=512)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(self, reader, writer)
        self._lines.add(line)
        try:
            await line.serve()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client went away
        finally:
            self._lines.discard(line)
            line.close()

    async def obey(self, command: dict[str, Any]) -> Any:
        if command["do"] == "account":
            return self.ledger.account()
        if command["do"] == "behave":
            await self._behave(command["fault"])
        for line in list(self._lines):
            if command["do"] == "forget":
                line.forgotten = True
            elif command["do"] == "close":
                line.close()
        return None

    async def _behave(self, fault: str) -> None:
        if fault != REFUSED:
            self.fault = fault
            if self._listener is None:
                await self.listen()
        elif self._listener is not None:
            self._listener.close()
            self._listener = None
            for line in list(self._lines):
                line.close()  # after what it has written: an answer that was given is heard
            self._socket.close()
            self._socket = self._bound(self.port)


async def _main() -> None:
    server = Server()
    await server.listen()
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()

    def commands() -> None:
        for text in sys.stdin:
            answer = asyncio.run_coroutine_threadsafe(server.obey(json.loads(text)), loop).result()
            print(json.dumps(answer), flush=True)
        os._exit(0)  # the harness is gone

    threading.Thread(target=commands, daemon=True).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
