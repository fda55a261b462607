"""HTTP as the stand-in server speaks it: connections that close when it stops, bodies read within bounds.

What to answer is the matter of the application: an object with ``respond``, ``refuse`` and ``panic``.
"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

import os
import re
import socket
import socketserver
import sys
import threading
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from .. import __version__
from .guard import HEADERS

if TYPE_CHECKING:
    from typing import Any

    from .answers import Answer
    from .server import StandInServer

MAX_BODY_BYTES = 20 * 1024 * 1024  # contract 1.1
IDLE_SECONDS = 60  # a connection that says nothing for so long is closed
MAX_CONNECTIONS = 256  # each has a thread; who comes then waits until one ends

_LOOK_SECONDS = 0.2  # how long the loop waits for the end of a connection before it looks whether it is to end
_MAX_LINE_BYTES = 8 * 1024  # a chunk-size line
_MAX_TRAILERS = 100
_DRAIN_READS = 4096  # of at most 64 KiB
_DRAIN_SECONDS = 2.0
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_LENGTH = re.compile(rb"[0-9a-fA-F]{1,8}")


class HTTPServer(socketserver.ThreadingTCPServer):
    """Listens from construction on, and asks ``app`` what to answer: each connection on a daemon thread."""

    # As http.server.ThreadingHTTPServer, without its look-up of the host's name, which can take seconds.
    allow_reuse_address = os.name != "nt"  # there it would let two servers share a port
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: StandInServer) -> None:
        self.app = app
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        self._free = threading.Semaphore(MAX_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        if not self._free.acquire(timeout=_LOOK_SECONDS):
            raise BlockingIOError("all connections are taken")  # the loop asks again, unless it is to end
        try:
            return super().get_request()
        except BaseException:
            self._free.release()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)
        self._free.release()

    def close_connections(self) -> None:
        """Close the kept-alive connections: a stopped server must not go on answering on them."""
        with self._open_lock:
            for request in self._open:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a client that goes away is no error of the server
            self.app.panic(error if isinstance(error, Exception) else Exception())


class _BadBody(Exception):
    """The body cannot be read: ``args[0]`` is the HTTP status to answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # what cannot be parsed is answered with a status line, not as HTTP/0.9
    server_version = f"cozeloop-lite-stand-in/{__version__}"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet
    server: HTTPServer

    def handle_request(self) -> None:
        app = self.server.app
        try:
            body = self._read_body()
        except _BadBody as error:
            self._refuse(error.args[0])
            return
        try:
            answer = app.respond(self.command, self.path, self.headers, body)
        except Exception as error:  # noqa: BLE001 - the platform, too, answers a failing handler with a code
            answer = app.panic(error)
        self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_request

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses. Its own page quotes the request, in which a token may stand."""
        self._refuse(404 if code == HTTPStatus.NOT_IMPLEMENTED else code)

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the standard library would write to stderr."""

    def _send(self, answer: Answer) -> None:
        if answer.pieces is not None:
            self._send_stream(answer)
            return
        self._send_head(answer, "no-store")
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Log-ID", uuid.uuid4().hex)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _send_head(self, answer: Answer, cache: str) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in {"Cache-Control": cache, **dict((*HEADERS, *answer.headers))}.items():
            self.send_header(name, value)

    def _send_stream(self, answer: Answer) -> None:
        """Each piece leaves when it is there. A stream that breaks off is not ended: the client can tell."""
        chunked = self.request_version != "HTTP/1.0"
        self._send_head(answer, "no-cache")  # contract 7; 1.1: no X-Log-ID here
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.close_connection = self.close_connection or not chunked
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        for piece in answer.pieces or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self._send(self.server.app.refuse(status))
        # Closing with unread bytes would reset the connection, and the client might never see the answer.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_DRAIN_SECONDS)
        for _ in range(_DRAIN_READS):
            if not self.rfile.read1(64 * 1024):
                break

    def _read_body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            return self._read_chunks()
        asked = self.headers.get("Content-Length")
        if asked is None:
            return b""
        if not _LENGTH.fullmatch(asked):
            raise _BadBody(400)
        if int(asked) > MAX_BODY_BYTES:
            raise _BadBody(413)
        return self._read_exactly(int(asked))

    def _read_exactly(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the client went away")
        return data

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            match = _CHUNK_LENGTH.match(self._read_line())
            if match is None:
                raise _BadBody(400)
            length = int(match.group(), 16)
            if len(body) + length > MAX_BODY_BYTES:
                raise _BadBody(413)
            if length == 0:
                break
            body += self._read_exactly(length)
            if self._read_line() != b"\r\n":
                raise _BadBody(400)
        for _ in range(_MAX_TRAILERS):
            if self._read_line() == b"\r\n":
                return bytes(body)
        raise _BadBody(400)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise _BadBody(400)
        return line
