"""A real HTTP server on loopback that records every request and answers by script.

    with RecordingServer() as server:
        server.answers(json_answer({"code": 0, "msg": ""}, status=503), reset())   # the first two; then server.default
        client = new_client(api_base_url=server.url, ...)
        ...
        assert [span["span_name"] for span in server.wait_for_spans(2)] == ["child", "root"]

An answer is made by one of the helpers below, or is a function ``request -> answer`` when it depends on what was asked.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import io
import json
import os
import queue
import select
import socket
import struct
import threading
import time
from collections import deque
from typing import Any, Callable, Iterator, Union

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 30.0  # how long stop() waits for one of its threads before it says that the thread is stuck


class Request:
    """One request, as it arrived. ``headers`` finds names in any case; ``received_at`` is ``time.monotonic()``."""

    def __init__(self, method: str, path: str, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.received_at = time.monotonic()
        self.accepted = False  # answered 2xx with code 0; set just before the last byte of the answer goes out
        self.outcome = "not answered yet"
        self._spans: list[dict[str, Any]] | None = None

    def json(self) -> Any:
        """The body as JSON, read as strictly as a server written in Go reads it: NaN and Infinity are errors."""
        return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)

    def spans(self) -> list[dict[str, Any]]:
        """The spans of an ingest request (on whatever path it came), none of any other request."""
        if self._spans is None:
            self._spans = []
            if self.method == "POST" and "json" in (self.headers.get("Content-Type") or ""):
                body = self.json()
                if isinstance(body, dict) and isinstance(body.get("spans"), list):
                    self._spans = body["spans"]
        return self._spans

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} {len(self.body)} bytes: {self.outcome}>"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Answer:
    """What the server does after it has read a request. Sub-classes write to the connection, or do worse to it."""

    def send(self, connection: _Connection, request: Request) -> None:
        raise NotImplementedError


Reply = Union[Answer, Callable[[Request], Any]]


class _Response(Answer):
    """A complete response, all at once or (``bytes_per_second``) with its head, its body or both byte by byte."""

    def __init__(
        self,
        body: bytes,
        status: int,
        headers: dict[str, str],
        bytes_per_second: float | None = None,
        slow: str = "",
    ) -> None:
        self.status = status
        self.body = body
        self.headers = dict(headers)
        self.bytes_per_second = bytes_per_second
        self.slow = slow

    @property
    def accepts(self) -> bool:
        if not 200 <= self.status < 300:
            return False
        try:
            body = json.loads(self.body.decode("utf-8"))
        except ValueError:
            return False
        return isinstance(body, dict) and body.get("code") == 0

    def head(self) -> bytes:
        headers = {"Content-Length": str(len(self.body))}
        headers.update(self.headers)
        return _head(self.status, headers)

    def send(self, connection: _Connection, request: Request) -> None:
        head, body = self.head(), self.body
        if self.slow in ("headers", "all"):
            connection.drip(head, self.bytes_per_second or 1)
            head = b""
        if self.slow in ("body", "all"):
            connection.write(head)
            connection.drip(body[:-1], self.bytes_per_second or 1)
            head, body = b"", body[-1:]
        # Known to the test no later than to the client: a test may look the moment flush() returns.
        connection.server.settle(request, f"answered {self.status}", accepted=self.accepts)
        connection.write(head + body)
        if self.headers.get("Connection", "").lower() == "close":
            raise _Closed


class _Hang(Answer):
    def send(self, connection: _Connection, request: Request) -> None:
        connection.server.settle(request, "left hanging")
        connection.wait_for_the_end()


class _Reset(Answer):
    def send(self, connection: _Connection, request: Request) -> None:
        connection.server.settle(request, "connection reset")
        connection.reset()


class _CloseEarly(Answer):
    def __init__(self, response: _Response, sent: int) -> None:
        self.response = response
        self.sent = sent

    def send(self, connection: _Connection, request: Request) -> None:
        connection.server.settle(request, f"closed after {self.sent} bytes of the body")
        connection.write(self.response.head() + self.response.body[: self.sent])
        raise _Closed


class _DelayUntil(Answer):
    def __init__(self, event: threading.Event, answer: Reply) -> None:
        self.event = event
        self.answer = answer

    def send(self, connection: _Connection, request: Request) -> None:
        connection.server.settle(request, "waiting for an event of the test")
        while not self.event.wait(0.02):  # two events to wait for, and the standard library waits for one
            if connection.server.stopping.is_set():
                raise _Closed
        connection.answer(self.answer, request)


class Live(Answer):
    """An answer that the test writes while the client reads it.

    ``say`` sends a chunk, ``flood`` the same one for ever, ``write`` bytes as they are, ``drip`` byte by byte.
    ``finish`` ends a chunked body and leaves the connection open, ``hang_up`` ends the connection (FIN), ``reset``
    breaks it (RST); without any of them it is open until the client goes away. All return at once, and may be called
    before the request comes.
    """

    def __init__(
        self, content_type: str = "text/event-stream", headers: dict[str, str] | None = None, chunked: bool = True
    ) -> None:
        self.headers = {"Content-Type": content_type, **(headers or {})}
        if chunked:
            self.headers["Transfer-Encoding"] = "chunked"
        self._steps: queue.Queue[Any] = queue.Queue()

    def say(self, data: bytes) -> Live:
        return self.write(b"%x\r\n%s\r\n" % (len(data), data))

    def flood(self, data: bytes) -> Live:
        def send(connection: _Connection) -> None:
            connection.write(b"%x\r\n%s\r\n" % (len(data), data))
            self._then(send)

        return self._then(send)

    def write(self, data: bytes) -> Live:
        return self._then(lambda connection: connection.write(data))

    def drip(self, data: bytes, bytes_per_second: float) -> Live:
        return self._then(lambda connection: connection.drip(data, bytes_per_second))

    def finish(self) -> Live:
        return self.write(b"0\r\n\r\n")._then(None)

    def hang_up(self) -> Live:
        return self._then(_Connection.hang_up)

    def reset(self) -> Live:
        return self._then(_Connection.reset)

    def _then(self, step: Any) -> Live:
        self._steps.put(step)
        return self

    def send(self, connection: _Connection, request: Request) -> None:
        connection.server.settle(request, "answered live")
        connection.write(_head(200, self.headers))
        while True:
            try:
                step = self._steps.get(timeout=0.02)
            except queue.Empty:
                connection.check()
                continue
            if step is None:
                return
            step(connection)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = ["HTTP/1.1 {} {}".format(status, http.client.responses.get(status, "Status"))]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """``body`` as JSON."""
    return _json_response(body, status, headers)


def text_answer(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Answer:
    """``text`` as it is: an HTML page of a proxy, an event stream, JSON that is none."""
    return _Response(text.encode("utf-8"), status, {"Content-Type": content_type})


def drip(
    body: Any,
    bytes_per_second: float,
    status: int = 200,
    headers: dict[str, str] | None = None,
    slow: str = "body",
) -> Answer:
    """``body`` as JSON, byte by byte: ``slow`` is ``"body"``, ``"headers"`` (status line and headers) or ``"all"``."""
    if slow not in ("body", "headers", "all"):
        raise ValueError(f"slow must be 'body', 'headers' or 'all', not {slow!r}")
    response = _json_response(body, status, headers)
    response.bytes_per_second, response.slow = bytes_per_second, slow
    return response


def hang() -> Answer:
    """Read the request and never answer; ends when the client goes away or the server stops."""
    return _Hang()


def reset() -> Answer:
    """Read the request, then RST: ``ECONNRESET`` on the client's side."""
    return _Reset()


def close_early(body: Any = None, sent: int | None = None, status: int = 200) -> Answer:
    """Promise the whole of ``body`` (JSON), send ``sent`` bytes of it (half of it by default), then FIN."""
    response = _json_response({"code": 0, "msg": ""} if body is None else body, status, None)
    return _CloseEarly(response, len(response.body) // 2 if sent is None else sent)


def delay_until(event: threading.Event, answer: Reply) -> Answer:
    """``answer``, once ``event`` is set; nothing if the server stops first."""
    return _DelayUntil(event, answer)


def _json_response(body: Any, status: int, headers: dict[str, str] | None) -> _Response:
    all_headers = {"Content-Type": "application/json"}
    all_headers.update(headers or {})
    return _Response(json.dumps(body).encode("utf-8"), status, all_headers)


ACCEPT = json_answer({"code": 0, "msg": ""})


class _Closed(Exception):
    """This connection is over."""


class RecordingServer:
    """See the module's docstring. Everything public may be called from any thread."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.default: Reply = ACCEPT
        self.connections = 0  # accepted so far: one for many requests when the client keeps connections alive
        self.stopping = threading.Event()
        self._script: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._open: set[_Connection] = set()
        self._threads: list[threading.Thread] = []  # those of closed connections too: they may be about to end
        self._listener = socket.socket()
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, name="recording-server", daemon=True)

    def __enter__(self) -> RecordingServer:
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def answers(self, *answers: Reply) -> None:
        """Add to the queue: one answer a request, in the order of arrival; when it is empty, ``default``."""
        with self._changed:
            self._script.extend(answers)

    def forget_answers(self) -> None:
        """Empty that queue: a request that was given up early may never have come for its answer."""
        with self._changed:
            self._script.clear()

    def spans(self) -> list[dict[str, Any]]:
        """The spans of every accepted ingest request, in the order of arrival."""
        with self._changed:
            return [span for request in self.requests if request.accepted for span in request.spans()]

    def names(self) -> list[str]:
        """Those of :meth:`spans`."""
        return [span["span_name"] for span in self.spans()]

    def all_spans(self) -> list[dict[str, Any]]:
        """The spans of every ingest request, accepted or not."""
        with self._changed:
            return [span for request in self.requests for span in request.spans()]

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._changed:
            return len(self._open)

    def wait_for(self, predicate: Callable[[RecordingServer], Any], timeout: float = 60) -> Any:
        """Block until ``predicate(server)`` is true, asked anew whenever a request, an answer or a connection comes
        or goes; return what it returned. AssertionError when ``timeout`` seconds have passed."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                result = predicate(self)
                if result:
                    return result
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    result = predicate(self)
                    if result:
                        return result
                    name = getattr(predicate, "__name__", predicate)
                    requests = "\n".join(f"  {request!r}" for request in self.requests) or "  none"
                    raise AssertionError(
                        f"{name} did not hold within {timeout} s; {self.connections} connections; requests:\n{requests}"
                    )

    def wait_for_spans(self, n: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Block until ``n`` spans or more are accepted, and return all that are."""

        def enough_spans(server: RecordingServer) -> bool:
            return len(server.spans()) >= n

        enough_spans.__name__ = f"{n} accepted spans"
        self.wait_for(enough_spans, timeout)
        return self.spans()

    def stop(self) -> None:
        """Cut every connection, end every thread; a second call does nothing."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        if self._acceptor.is_alive():
            # accept() sleeps on, on most systems, when another thread closes its socket: give it a last caller.
            with contextlib.suppress(OSError):
                socket.create_connection((LOOPBACK, self.port), timeout=STOP_SECONDS).close()
            self._join(self._acceptor)
        self._listener.close()
        with self._changed:
            still_open = list(self._open)
        for connection in still_open:
            connection.cut()
        for thread in self._threads:
            self._join(thread)

    @staticmethod
    def _join(thread: threading.Thread) -> None:
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            raise AssertionError(f"{thread.name} did not end within {STOP_SECONDS} s")

    def _accept(self) -> None:
        while True:
            accepted, _ = self._listener.accept()
            if self.stopping.is_set():
                accepted.close()
                return
            connection = _Connection(self, accepted)
            with self._changed:
                self.connections += 1
                self._open.add(connection)
                self._changed.notify_all()
            self._threads.append(connection.thread)
            connection.thread.start()

    # What the connections call.

    def record(self, request: Request) -> Reply:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return self._script.popleft() if self._script else self.default

    def settle(self, request: Request, outcome: str, accepted: bool = False) -> None:
        with self._changed:
            request.outcome = outcome
            request.accepted = accepted
            self._changed.notify_all()

    def forget(self, connection: _Connection) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()


class _Connection:
    """One connection and its thread: read a request, answer it, until either side has had enough."""

    def __init__(self, server: RecordingServer, accepted: socket.socket) -> None:
        self.server = server
        self.socket = accepted
        self.reader = accepted.makefile("rb")
        self.thread = threading.Thread(target=self._serve, name="recording-connection", daemon=True)

    def _serve(self) -> None:
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each dripping byte leaves at once
            while True:
                request = self._read()
                self.answer(self.server.record(request), request)
        except (_Closed, OSError):
            pass  # the client went away, the script said so, or the server stops
        finally:
            self.reader.close()
            self.socket.close()
            self.server.forget(self)

    def _read(self) -> Request:
        line = self.reader.readline().decode("latin-1").split()
        if len(line) != 3:
            raise _Closed
        headers = http.client.parse_headers(self.reader)
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._read_chunks()
        else:
            body = self._read_exactly(int(headers.get("Content-Length") or 0))
        return Request(line[0], line[1], headers, body)

    def _read_chunks(self) -> bytes:
        body = io.BytesIO()
        while True:
            size = int(self.reader.readline().split(b";")[0] or b"0", 16)
            body.write(self._read_exactly(size))
            if size == 0:
                while self.reader.readline().strip():
                    pass  # trailers
                return body.getvalue()
            self.reader.readline()

    def _read_exactly(self, size: int) -> bytes:
        body = self.reader.read(size)
        if len(body) < size:
            raise _Closed
        return body

    def answer(self, answer: Reply, request: Request) -> None:
        while not isinstance(answer, Answer):
            answer = answer(request)
        answer.send(self, request)

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes, bytes_per_second: float) -> None:
        for index in range(len(data)):
            self.write(data[index : index + 1])
            if self.server.stopping.wait(1 / bytes_per_second):
                raise _Closed

    def hang_up(self) -> None:
        raise _Closed

    def reset(self) -> None:
        # Lingering for zero seconds makes close() send RST in place of FIN.
        pair = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pair)
        raise _Closed

    def check(self) -> None:
        """End here if the server stops or the client has gone away."""
        if self.server.stopping.is_set():
            raise _Closed
        if select.select([self.socket], [], [], 0)[0] and not self.socket.recv(1, socket.MSG_PEEK):
            raise _Closed

    def wait_for_the_end(self) -> None:
        while self.socket.recv(65536):
            pass
        raise _Closed

    def cut(self) -> None:
        """From another thread: wake this connection's own thread, whatever it reads or writes, and let it end."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def dead_port() -> int:
    """A port on loopback where nothing listens: connecting is refused. The same port for the whole run."""
    return int(_bound_but_not_listening().getsockname()[1])


@functools.lru_cache(maxsize=None)
def _bound_but_not_listening() -> socket.socket:
    # Held, so that nobody else gets the port meanwhile (a client's own outgoing connection, for one).
    holder = socket.socket()
    holder.bind((LOOPBACK, 0))
    atexit.register(holder.close)
    return holder


@contextlib.contextmanager
def silent_server(backlog: int = 16) -> Iterator[str]:
    """The URL of a server that listens and never accepts: connecting works, and then nothing comes, ever."""
    listener = socket.socket()
    try:
        listener.bind((LOOPBACK, 0))
        listener.listen(backlog)
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        listener.close()
