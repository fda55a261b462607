"""The stand-in server: CozeLoop's ingest and upload endpoints over HTTP, for development and tests.

It answers as the open-source platform does, mostly HTTP 200 with a code in the envelope, and stores what it gets.
Whatever arrives, it lives on and quotes no token: requests come from programs under development.
"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
import uuid
from email.message import Message
from email.utils import collapse_rfc2231_value
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote

from .. import __version__
from . import rules
from .store import Store

if TYPE_CHECKING:
    from typing import Any, Callable

MAX_BODY_BYTES = 20 * 1024 * 1024  # contract 1.1
IDLE_SECONDS = 60  # a connection that says nothing for so long is closed

_MAX_LINE_BYTES = 8 * 1024  # one chunk-size line, or the header of one multipart part
_MAX_TRAILERS = 100
_MAX_PARTS = 100
_MAX_TRACES = 1000
_DRAIN_READS = 4096  # of at most 64 KiB
_DRAIN_SECONDS = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_LENGTH = re.compile(rb"[0-9a-fA-F]{1,8}")


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


def _json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, "application/json; charset=utf-8", json.dumps(document, ensure_ascii=False).encode("utf-8"))


def _text_answer(status: int) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", _phrase(status).encode("ascii"))


def _phrase(status: int) -> str:
    # Contract 1.1 gives the text of 413; newer Pythons have another.
    return "Request Entity Too Large" if status == 413 else HTTPStatus(status).phrase


class StandInServer:
    """A CozeLoop server of one process. It listens from construction on and answers from ``start()`` on.

    ``host``, ``port``: where to listen; port 0 picks a free one, see ``url``. ``db``: file name of the sqlite database,
    or ``":memory:"``. ``token``: the only bearer token accepted; None accepts any that is not empty. ``workspace_id``:
    the only workspace the token may write to; None allows all. ``log``: called with one line for each batch, file,
    refusal and warning, from the server's threads. Raises ``OSError`` when the address is taken, ``sqlite3.Error``
    when the database cannot be opened.

    >>> with StandInServer() as server:
    ...     print(server.url, server.store.spans())
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str = ":memory:",
        token: str | None = None,
        workspace_id: str | None = None,
        *,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._http = _HTTPServer(host, port, self)
        try:
            self.store = Store(db)
        except BaseException:
            self._http.server_close()
            raise
        self._token = token
        self._workspace_id = workspace_id
        self._log = log
        self._judging = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = False

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """What to set as ``COZELOOP_API_BASE_URL``."""
        host = str(self._http.server_address[0])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> StandInServer:
        """Answer requests on a daemon thread. Returns itself."""
        self._started = True
        self._thread = threading.Thread(target=self.serve_forever, name="cozeloop-stand-in", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Answer requests on this thread until ``stop`` is called from another."""
        self._started = True
        self._http.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Stop listening, close every connection and the database. Stored spans of a database file remain in it."""
        if self._started:  # socketserver's shutdown waits for ever for a loop that never ran
            self._http.shutdown()
        if self._thread is not None:
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()
        self.store.close()

    def __enter__(self) -> StandInServer:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _say(self, line: str) -> None:
        if self._log is not None:
            try:
                self._log(line)
            except Exception:  # noqa: BLE001, S110 - a log that cannot be written must not cost the client its answer
                pass

    # --- what to answer ---

    def respond(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """The answer to one request, whose body has been read."""
        path, _, query = target.partition("?")
        if method == "GET" and path == "/ping":
            return _json_answer({"code": 0, "msg": ""})
        if method == "GET" and path.startswith("/api/"):
            return self._read(path, query, headers)
        self.store.count("requests")
        routes = {"/v1/loop/traces/ingest": self._ingest, "/v1/loop/files/upload": self._upload}
        route = routes.get(path) if method == "POST" else None
        if route is None:
            return self.refuse(404)
        try:
            self._check_token(headers.get("Authorization") or "")
            return route(headers.get("Content-Type") or "", body)
        except rules.Refusal as refusal:
            self.store.count(str(refusal.code))
            self._say(f"refused {path}: {refusal.code} {refusal.msg}")
            return _json_answer({"code": refusal.code, "msg": refusal.msg})

    def refuse(self, status: int) -> Answer:
        """The platform's plain-text answer where a request does not reach its handlers."""
        self.store.count(str(status))
        self._say(f"refused: HTTP {status} {_phrase(status)}")
        return _text_answer(status)

    def panic(self, error: Exception) -> Answer:
        """The platform's answer when a handler fails, contract 1.2."""
        self._say(f"internal error: {type(error).__name__}")
        return _json_answer({"code": rules.INTERNAL, "msg": "Service Internal Error"})

    def _check_token(self, authorization: str) -> None:
        if not authorization:
            raise rules.Refusal(rules.INTERNAL, "Service Internal Error")
        token = authorization[7:] if authorization.startswith("Bearer ") else authorization  # contract 1.2: bare works
        if self._token is None:
            accepted = token not in ("", "Bearer") and " " not in token
        else:
            accepted = hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode("utf-8", "replace"))
        if not accepted:
            raise rules.Refusal(rules.NO_ACCESS, "no access permission")

    def _ingest(self, content_type: str, body: bytes) -> Answer:
        with self._judging:  # one at a time: 20 MiB of JSON can take 1 GiB once parsed
            arrivals = rules.ingest(body, content_type, int(time.time() * 1000000), self._workspace_id)
            self.store.add_spans(arrivals)
        dropped = sum(arrival.dropped for arrival in arrivals)
        would = f", of which the platform would have dropped {dropped}" if dropped else ""
        workspace = rules.quote(arrivals[0].span["workspace_id"])
        self._say(f"accepted {len(arrivals)} span(s) for workspace {workspace}{would}")
        for arrival in arrivals:
            for warning in arrival.warnings:
                self._say(f"  warning: span {rules.quote(arrival.span['span_name'])}: {warning}")
        return _json_answer({"code": 0, "msg": ""})

    def _upload(self, content_type: str, body: bytes) -> Answer:
        parts = parse_multipart(content_type, body)
        file = next((part for part in parts if part.name == "file" and part.filename), None)
        workspace_ids = [part.content.decode("utf-8", "replace") for part in parts if part.name == "workspace_id"]
        if file is None or not workspace_ids or not workspace_ids[0]:
            raise rules.Refusal(rules.INVALID_PARAM, "invalid param")
        workspace_id = workspace_ids[0]
        if not rules.is_number(workspace_id):
            raise rules.Refusal(rules.INTERNAL, "Service Internal Error")
        if int(workspace_id) <= 0:
            raise rules.Refusal(rules.UPLOAD_RPC, "invalid param,invalid space_id in request")
        if self._workspace_id is not None and int(workspace_id) != int(self._workspace_id):
            raise rules.Refusal(rules.NO_ACCESS, "no access permission")
        replaced = self.store.add_file(workspace_id, file.filename, file.content)
        what = "which replaces one of the same name" if replaced else f"workspace {workspace_id}"
        self._say(f"accepted file {rules.quote(file.filename)}, {len(file.content)} bytes, {what}")
        stored_as = f"{workspace_id}/{file.filename}"
        return _json_answer({"code": 0, "msg": "", "data": {"bytes": str(len(body)), "file_name": stored_as}})

    # --- the read API, which the platform does not have ---

    def _read(self, path: str, query: str, headers: Message) -> Answer:
        if not self._may_read(headers):
            return _text_answer(403)
        if path == "/api/stats":
            return _json_answer(self.store.stats())
        if path == "/api/traces":
            asked = parse_qs(query).get("limit", ["50"])[0]
            limit = int(asked) if _LENGTH.fullmatch(asked) else 50
            return _json_answer({"traces": self.store.traces(min(limit, _MAX_TRACES))})
        if path.startswith("/api/traces/"):
            trace_id = unquote(path[len("/api/traces/") :])
            spans = self.store.spans(trace_id)
            return _json_answer({"trace_id": trace_id, "spans": spans}) if spans else _text_answer(404)
        return _text_answer(404)

    def _may_read(self, headers: Message) -> bool:
        if self._token is not None:
            try:
                self._check_token(headers.get("Authorization") or "")
            except rules.Refusal:
                return False
            return True
        # Without a token, a web page could read the traces of who visits it by giving its own name a local address.
        name = re.sub(r":[0-9]*$", "", headers.get("Host") or "localhost").strip("[]").lower()
        return self._http.server_address[0] not in _LOOPBACK or name in _LOOPBACK


# --- multipart/form-data ----------------------------------------------------------------------------------------------


class Part(NamedTuple):
    name: str
    filename: str
    content: bytes


def parse_multipart(content_type: str, body: bytes) -> list[Part]:
    """The parts of a form, as Go's parser reads them: of a file name only the base name. Empty if it is no form."""
    boundary = _parameter(content_type, "boundary")
    if not content_type.lower().startswith("multipart/form-data") or not 0 < len(boundary) <= 70:
        return []
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    # The first delimiter may open the body; it then has no line break before it.
    position = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    parts: list[Part] = []
    while position != -1 and len(parts) < _MAX_PARTS:
        start = position + len(delimiter)
        end = body.find(delimiter, start)
        if body[start : start + 2] != b"\r\n" or end < 0:  # "--" closes the form; anything else is not a form
            break
        header_end = body.find(b"\r\n\r\n", start, min(end + 4, start + _MAX_LINE_BYTES))
        if header_end < 0:
            break
        disposition = _disposition(body[start + 2 : header_end])
        filename = _parameter(disposition, "filename").rstrip("/").rpartition("/")[2]
        parts.append(Part(_parameter(disposition, "name"), filename, body[header_end + 4 : end]))
        position = end
    return parts


def _disposition(header: bytes) -> str:
    for line in header.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return value.strip()
    return ""


def _parameter(value: str, name: str) -> str:
    message = Message()
    message["X"] = value[:_MAX_LINE_BYTES]  # the parser takes quadratic time
    found = message.get_param(name, "", header="X")
    return collapse_rfc2231_value(found) if found else ""


# --- HTTP -------------------------------------------------------------------------------------------------------------


class _HTTPServer(socketserver.ThreadingTCPServer):
    # As http.server.ThreadingHTTPServer, without its look-up of the host's name, which can take seconds.
    allow_reuse_address = os.name != "nt"  # there it would let two servers share a port
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, app: StandInServer) -> None:
        self.app = app
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

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
    server: _HTTPServer

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
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Log-ID", uuid.uuid4().hex)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
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
