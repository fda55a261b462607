"""The stand-in server: CozeLoop's endpoints for traces, feedback, files and prompts, for development and tests.

It answers as the open-source platform does, mostly HTTP 200 with a code in the envelope, and stores what it gets.
Whatever arrives, it lives on and quotes no token: requests come from programs under development.
"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from . import api, codes, rules, sqlite_reasons
from .answers import Answer, json_answer, phrase, text_answer
from .binding import is_number, quote
from .codes import Refusal
from .connections import HTTPServer
from .feedback_endpoints import PATH as FEEDBACK
from .feedback_endpoints import FeedbackEndpoints
from .guard import Guard
from .multipart import parse_multipart
from .page_files import page_file
from .prompt_endpoints import EXECUTE, EXECUTE_STREAMING, MGET, PromptEndpoints, stream_refusal
from .prompt_folder import PromptFolder
from .prompts import Prompts
from .search_endpoints import SPANS, TRACE, TRACES, TREE, SearchEndpoints
from .store import Store
from .tree import escape

if TYPE_CHECKING:
    from email.message import Message
    from typing import Callable

_LARGE = 1024 * 1024  # bytes of a body of spans
_MAX_SAID = 500  # characters of a refusal


class StandInServer:
    """A CozeLoop server of one process. It listens from construction on and answers from ``start()`` on.

    ``host``, ``port``: where to listen; port 0 picks a free one, see ``url``. ``db``: file name of the sqlite database,
    or ``":memory:"``. ``token``: the only bearer token accepted; None accepts any that is not empty, but on an address
    that others can reach, where one is made, see the attribute ``token``. ``workspace_id``: the only workspace the
    token may write to; None allows all. ``prompts``: a folder of JSON files, each a prompt to serve, read again when
    they change (their form: ``local/prompts.py``); prompts can be put there without files, too:
    ``server.prompts.put(document)``. ``search_qps``: how many searches it answers to a workspace in one second; the
    platform 10, None any number. ``keep_days``, ``keep_mb``: how long, and how many MiB, to keep; None: all, for ever.
    ``log``: called with one line for each batch, file, search, refusal and warning, from the server's threads. Raises
    ``OSError`` when the address is taken, ``NotADirectoryError`` when there is no such folder, ``sqlite3.Error`` when
    the database cannot be opened.

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
        prompts: str | None = None,
        search_qps: int | None = None,
        keep_days: float | None = None,
        keep_mb: float | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._log = log
        self.prompts = Prompts(None if prompts is None else PromptFolder(prompts, self._say))
        self._http = HTTPServer(host, port, self)
        try:
            self.store = Store(db, keep_days=keep_days, keep_mb=keep_mb)
        except BaseException:
            self._http.server_close()
            raise
        self._guard = Guard((host, self.port), token)
        self.token = self._guard.token
        self._workspace_id = workspace_id
        self._judging = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = False
        prompt = PromptEndpoints(self.prompts, workspace_id, self._say)
        search = SearchEndpoints(self.store, workspace_id, search_qps, self._say)
        self._feedback = FeedbackEndpoints(self.store, workspace_id, self._say)
        about = {"url": self.url, "db": str(db), "keep_days": keep_days, "keep_mb": keep_mb}
        self._api = api.Api(self.store, self.prompts, about)
        self._routes: dict[str, Callable[[str, bytes], Answer]] = {
            "/v1/loop/traces/ingest": self._ingest,
            "/v1/loop/files/upload": self._upload,
            MGET: prompt.mget,
            EXECUTE: prompt.execute,
            EXECUTE_STREAMING: prompt.execute_streaming,
            FEEDBACK: self._feedback.put,
            TRACE: search.trace,
            TREE: search.tree,
            SPANS: search.spans,
            TRACES: search.traces,
        }

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
            return json_answer({"code": 0, "msg": ""})
        if not self._guard.is_origin(headers):
            return text_answer(403)
        if path.startswith(api.PATH) and (method == "GET" or path.endswith(api.RENDER)):
            return self._read(method, target, headers, body)
        if method == "GET":
            page = (self._guard.enter(query) if path == "/" else None) or page_file(path)
            if page is not None:
                return page if self._guard.is_host(headers) else text_answer(403)
        self.store.count("requests")
        deletes = method == "DELETE" and path == FEEDBACK
        route = self._routes.get(path)
        if route is None or not (deletes or method == "POST"):
            return self.refuse(404)
        opened = False  # contract 7: once a stream is open, an error is an event in it
        try:
            self._check_token(headers.get("Authorization") or "")
            opened = path == EXECUTE_STREAMING
            if deletes:
                return self._feedback.delete(query)
            return route(headers.get("Content-Type") or "", body)
        except Refusal as refusal:
            self.store.count(str(refusal.code))
            reason = refusal.extra.get("invalid_param")
            said = f"{refusal.msg}: {reason}" if reason else refusal.msg
            self._say(f"refused {path}: {refusal.code} {escape(said, _MAX_SAID)}")
            return stream_refusal(refusal) if opened else json_answer({"code": refusal.code, "msg": refusal.msg})

    def refuse(self, status: int) -> Answer:
        """The platform's plain-text answer where a request does not reach its handlers."""
        self.store.count(str(status))
        self._say(f"refused: HTTP {status} {phrase(status)}")
        return text_answer(status)

    def panic(self, error: Exception) -> Answer:
        """The platform's answer when a handler fails, contract 1.2."""
        self._say(f"internal error: {_reason(error)}")
        return json_answer({"code": codes.INTERNAL, "msg": "Service Internal Error"})

    def _check_token(self, authorization: str) -> None:
        if not authorization:
            raise Refusal(codes.INTERNAL, "Service Internal Error", {"invalid_param": "the request has no token"})
        token = authorization[7:] if authorization.startswith("Bearer ") else authorization  # contract 1.2: bare works
        if not self._guard.is_token(token):
            raise Refusal(codes.NO_ACCESS, "no access permission")

    def _ingest(self, content_type: str, body: bytes) -> Answer:
        large = len(body) > _LARGE
        with self._judging:  # one at a time: 20 MiB of JSON can take 1 GiB once parsed
            arrivals = rules.ingest(body, content_type, int(time.time() * 1000000), self._workspace_id)
            if large:
                self.store.add_spans(arrivals)
        if not large:  # together with others that come now
            self.store.add_spans(arrivals)
        dropped = sum(arrival.dropped for arrival in arrivals)
        would = f", of which the platform would have dropped {dropped}" if dropped else ""
        workspace = quote(arrivals[0].span["workspace_id"])
        self._say(f"accepted {len(arrivals)} span(s) for workspace {workspace}{would}")
        for arrival in arrivals:
            for warning in arrival.warnings:
                self._say(f"  warning: span {quote(arrival.span['span_name'])}: {warning}")
        return json_answer({"code": 0, "msg": ""})

    def _upload(self, content_type: str, body: bytes) -> Answer:
        parts = parse_multipart(content_type, body)
        file = next((part for part in parts if part.name == "file" and part.filename), None)
        workspace_ids = [part.content.decode("utf-8", "replace") for part in parts if part.name == "workspace_id"]
        if file is None or not workspace_ids or not workspace_ids[0]:
            raise Refusal(codes.INVALID_PARAM, "invalid param")
        workspace_id = workspace_ids[0]
        if not is_number(workspace_id):
            raise Refusal(codes.INTERNAL, "Service Internal Error")
        if int(workspace_id) <= 0:
            raise Refusal(codes.UPLOAD_RPC, "invalid param,invalid space_id in request")
        if self._workspace_id is not None and int(workspace_id) != int(self._workspace_id):
            raise Refusal(codes.NO_ACCESS, "no access permission")
        replaced = self.store.add_file(workspace_id, file.filename, file.content)
        what = "which replaces one of the same name" if replaced else f"workspace {workspace_id}"
        self._say(f"accepted file {quote(file.filename)}, {len(file.content)} bytes, {what}")
        stored_as = f"{workspace_id}/{file.filename}"
        return json_answer({"code": 0, "msg": "", "data": {"bytes": str(len(body)), "file_name": stored_as}})

    # --- what the platform does not have ---

    def _read(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        if not self._guard.is_host(headers):
            return json_answer({"error": "this server does not go by the name in the Host header"}, 403)
        if not self._guard.may_read(headers):
            return json_answer({"error": "the token of the server is needed"}, 403)
        path, _, query = target.partition("?")
        try:
            return self._api.answer(method, path, query, headers.get("Content-Type") or "", body)
        except Exception as error:  # noqa: BLE001 - the platform's answer to this, HTTP 200, is not for pages
            self.panic(error)
            return json_answer({"error": f"internal error: {_reason(error)}"}, 500)


def _reason(error: Exception) -> str:
    """What failed; of the database also why, such as a full disk. The messages of others may quote a request."""
    import sqlite3

    name = type(error).__name__
    return f"{name}: {sqlite_reasons.reason(error)}" if isinstance(error, sqlite3.Error) else name
