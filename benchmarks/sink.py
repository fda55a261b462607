"""The server that all clients report to: takes everything, answers at once, and is looked at afterwards.

It runs in a process of its own and keeps request bodies as they come; they are only read when someone asks for the
account, outside of any measurement. It reads sockets itself, since a server's own cost is part of every request.

Beside it there are two addresses for clients in trouble: ``silent`` takes connections and never answers, so that what
is finished stays in the queue and its sender at rest; at ``down`` nobody listens.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request

from .wire import account
from .work import PROMPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

MGET = "/v1/loop/prompts/mget"
OTLP = ("/v1/traces", "/api/public/otel/v1/traces")
_JSON = b"application/json"


class _Server:
    def __init__(self) -> None:
        self.listening = _listener()
        self.silent = _listener()
        self.down = socket.socket()  # bound, so that nobody else gets the port, and refusing
        self.down.bind(("127.0.0.1", 0))
        self.received: list[tuple[str, bytes]] = []

    def serve(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", 256 * 1024) as stream:  # closed also when something fails
            while True:
                request = stream.readline().split()
                if len(request) != 3:
                    return
                body = stream.read(_body_size(iter(stream.readline, b"\r\n")))
                kind, answer = self._answer(request[1].decode(), body)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(answer))
                connection.sendall(head + answer)

    def _answer(self, path: str, body: bytes) -> tuple[bytes, bytes]:
        if path == "/account":
            received, self.received = self.received, []
            return _JSON, json.dumps(account(received)).encode()
        if path == MGET:
            items = [{"query": query, "prompt": PROMPTS[query["prompt_key"]]} for query in json.loads(body)["queries"]]
            return _JSON, json.dumps({"code": 0, "msg": "", "data": {"items": items}}).encode()
        self.received.append((path, body))
        return (b"application/x-protobuf", b"") if path in OTLP else (_JSON, b'{"code":0,"msg":""}')


def _body_size(header: Iterable[bytes]) -> int:
    size = 0
    for line in header:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
        if name.lower() == b"transfer-encoding":
            raise ValueError("the sink reads no chunks")
    return size


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


class Sink:
    """The server process, as the one who started it sees it. Use it in ``with``.

    Attributes:
        urls: the addresses ``sink``, ``silent`` and ``down``.
    """

    def __init__(self, python: str = sys.executable, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.sink"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline().decode())
        self.urls = {name: "http://127.0.0.1:%d" % port for name, port in ports.items()}
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def account(self) -> dict[str, int]:
        """What came since the last call: see :func:`benchmarks.wire.account`."""
        with self._opener.open(self.urls["sink"] + "/account", timeout=60) as answer:
            return json.loads(answer.read().decode())

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = _Server()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sockets = {"sink": server.listening, "silent": server.silent, "down": server.down}
    print(json.dumps({name: listener.getsockname()[1] for name, listener in sockets.items()}), flush=True)
    server.serve()
