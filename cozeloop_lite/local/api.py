"""What the stand-in server tells people about what it keeps, as JSON: for its pages, its terminal commands, and curl.

The platform has none of these routes. All times and durations are integers in µs, all sizes are bytes of UTF-8, an id
or key in a path is percent-encoded (also a slash in it). Everything is GET but the last route. What is asked wrongly is
answered with HTTP 400 (403: token or host, 404: not there, 413: too much) and ``{"error": "<what is wrong>"}``.

``GET /api/traces``: one page of traces, those whose first span arrived last at first. All parameters are optional:
``limit`` (1 to 1000, default 50), ``before`` (``next`` of the page before), ``q`` (text in a name, an input, an output,
a tag or an error; ASCII letters in any case), ``tag`` (``key=value``, may be given 5 times), ``user_id``, ``trace_id``,
``log_id``, ``status`` (``ok``, ``error``, ``warned``), ``from`` and ``to`` (of the start, in µs). Only traces with one
span that has all of q, tag. A page may be short, even empty, and yet have a ``next``: a search ends after 75 ms, and
goes on with that. ``next`` is null at the end. ::

    {"traces": [TRACE, ...], "next": 1234, "since": "8f2c91d0-5678"}

    TRACE = {"trace_id": "29392ac2486dfcfa46656416baabeac8", "number": 1300, "name": "chat", "type": "agent",
             "has_root": true, "started_at_micros": 1764070000000000, "duration_micros": 372000,
             "received_at_micros": 1764070001000000, "status": "error", "spans": 12, "errors": 1, "dropped": 0,
             "warnings": 2, "input_tokens": 210, "output_tokens": 95, "services": ["shop"]}

``name`` and ``type``: of the root, else of the earliest span. ``status``: ``error`` when any span failed. ``dropped``:
spans that the platform would never show. ``warnings``: without those about files, which come with the spans.
``number``: of the trace, in the order of arrival. ``since``: for the next route; a text to be handed back.

``GET /api/events?since=8f2c91d0-5678``: the traces that are new or have changed, the latest change last.
Ask again with ``since`` of the answer, once a second. ``reset``: too much has changed, or the server is another one:
read the list again. ::

    {"since": "8f2c91d0-5690", "reset": false, "traces": [TRACE, ...]}

``GET /api/traces/<trace_id>``: all spans of one trace, in the order of arrival, without what is in them; at most 20,000
or ``limit``, and ``more`` says that there are others. With ``full=1``, they are whole as in the next route,
but for the ``url`` of files; in all up to 64 MiB. ::

    {"trace": TRACE, "more": false, "spans": [
        {"row": 17, "trace_id": "2939...", "span_id": "5a340d219f70ccaa", "parent_id": "0", "span_name": "chat",
         "span_type": "agent", "started_at_micros": 1764070000000000, "duration_micros": 372000, "status_code": 0,
         "error": "", "service_name": "shop", "log_id": "", "user_id": "", "input_tokens": 0, "output_tokens": 0,
         "tokens": 0, "input_bytes": 120, "output_bytes": 2048, "dropped": false,
         "warnings": ["tag value cut to 1024 bytes: 'k'"]}, ...]}

``parent_id`` is ``"0"`` or ``""`` for a root; it may name a span that is not there, or make a cycle. ``row`` is unique,
``span_id`` is not: of those that the platform would drop, several may have the same, or none. ``error``: the beginning.

``GET /api/traces/<trace_id>/spans/<span_id>``: all of one span; ``row=17`` says which, when several have the id.
``input`` and ``output`` are cut to 256 KiB, ``input_bytes`` and ``output_bytes`` are the whole length. With
``part=input`` or ``part=output``: that text alone and whole, as ``text/plain``. ::

    {"row": 17, "trace_id": "...", "span_id": "...", "parent_id": "0", "workspace_id": "7", "span_name": "chat",
     "span_type": "agent", "method": "", "service_name": "", "log_id": "", "call_type": "Custom",
     "started_at_micros": 0, "duration_micros": 0, "received_at_micros": 0, "status_code": 0,
     "input": "...", "input_bytes": 120, "input_cut": false,
     "output": "...", "output_bytes": 2048, "output_cut": false, "object_storage": "",
     "tags_string": {}, "tags_long": {}, "tags_double": {}, "tags_bool": {}, "tags_bytes": {}, "system_tags_string": {},
     "system_tags_long": {}, "system_tags_double": {}, "dropped": false, "warnings": [],
     "files": [{"key": "abc.png", "name": "cat", "field": "input", "type": "image", "bytes": 7000,
                "url": "/api/files/abc.png?workspace=7"}],
     "feedback": [{"key": "good", "value_type": "bool", "value": "true", "reasoning": "", "updated_at_micros": 0}]}

``bytes`` of a file that was not uploaded is null. A file with the ``type`` ``text`` is the whole input or output, of
which the span has only the beginning; a part of an input or output whose URL is the ``key`` of a file means that file.
Integers may be beyond 2**53.

``GET /api/files/<key>?workspace=7``: an uploaded file; without ``workspace``, the latest of that name. PNG, JPEG, GIF
and WebP as what they are, everything else as an attachment.

``GET /api/prompts`` and ``GET /api/prompts/<prompt_key>``: what there is, and one prompt, its highest version first. ::

    {"prompts": [{"prompt_key": "greet", "versions": ["0.0.1"], "latest": "0.0.1", "labels": {"beta": "0.0.1"},
                  "template_type": "normal", "variables": [{"key": "name", "desc": "", "type": "string"}]}]}

    {"prompt_key": "greet", "latest": "0.0.1", "labels": {"beta": "0.0.1"}, "versions": [
        {"version": "0.0.1", "labels": ["beta"], "template_type": "normal",
         "messages": [{"role": "user", "content": "Greet {{name}}"}],
         "variables": [{"key": "name", "desc": "", "type": "string"}], "tools": [], "llm_config": {}}]}

``GET /api/status``: the server, and counts of what it keeps. ``GET /api/stats``: ``stats`` alone. ::

    {"version": "1.2.3", "url": "http://127.0.0.1:8888", "db": "cozeloop_lite.sqlite3", "now_micros": 1764070000000000,
     "keep_days": 7, "keep_mb": 1024, "bytes": 123456,
     "stats": {"requests": 9, "spans": 12, "dropped": 0, "duplicates": 0, "traces": 3, "files": 1, "warnings": 2,
               "refused": {"404": 1}}}

``POST /api/prompts/<prompt_key>/render``, ``Content-Type: application/json``: try a prompt out. ``version``, else
``label``, else the latest. Values as a program gives them to ``prompt_format``: text, numbers, lists, messages for a
placeholder, parts for a multi-part variable. At most 1 MiB. What does not render is HTTP 400 with the reason. ::

    {"version": "0.0.1", "variables": {"name": "Ada"}}

    {"version": "0.0.1", "messages": [{"role": "user", "content": "Greet Ada"}]}
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from .. import __version__
from ..entities.prompt import Prompt
from ..errors import InvalidParamError, TemplateError
from ..prompt.template import format_prompt
from .answers import Answer, json_answer
from .archive import Archive, TooMuch
from .binding import read_object, string
from .codes import Refusal
from .files import image_type
from .trace_search import STATUS, Wanted

if TYPE_CHECKING:
    from typing import Any

    from .prompts import Document, Prompts, Version
    from .store import Store

PATH = "/api/"
RENDER = "/render"  # the end of what may be posted
MAX_TRACES = 1000  # on one page
MAX_SPANS = 20000  # of one trace
MAX_TEXT_BYTES = 256 * 1024  # of an input or output, unless it is asked for alone
MAX_BODY_BYTES = 1024 * 1024
MAX_QUERY = 200  # characters of a text to look for
MAX_TAGS = 5
_MAX_INT = 10**18


class _Wrong(Exception):
    """What is asked cannot be answered: status, and why."""


class Api:
    """The routes. ``about``: what ``/api/status`` says beside the counts."""

    def __init__(self, store: Store, prompts: Prompts, about: dict[str, Any]) -> None:
        self._store = store
        self._archive = Archive(store)
        self._prompts = prompts
        self._about = about
        self._large = threading.Lock()  # one such answer at a time: it can take 500 MiB while it is made

    def answer(self, method: str, path: str, query: str, content_type: str, body: bytes) -> Answer:
        """The answer to a request for a path below ``/api/``."""
        parts = tuple(unquote(part) for part in path[len(PATH) :].split("/"))
        asked = parse_qs(query, keep_blank_values=True)
        try:
            if method == "GET":
                return self._get(parts, asked)
            if method == "POST" and len(parts) == 3 and parts[0] == "prompts":
                return json_answer(self._render(parts[1], content_type, body))
        except _Wrong as error:
            return json_answer({"error": error.args[1]}, error.args[0])
        except TooMuch:
            return json_answer({"error": "the spans are too large for one answer: ask without full=1"}, 413)
        return _missing()

    def _get(self, parts: tuple[str, ...], asked: dict[str, list[str]]) -> Answer:
        what, which = parts[0], parts[1:]
        if what == "traces" and len(which) == 3 and which[1] == "spans":
            return self._span(which[0], which[2], asked)
        if what == "files" and len(which) == 1:
            return self._file(which[0], asked)
        document: Any = None
        if what == "traces" and not which:
            document = self._archive.page(*_page(asked))
        elif what == "traces" and len(which) == 1:
            limit = _number(asked, "limit", 1, MAX_SPANS) or MAX_SPANS
            with self._large:
                document = self._archive.trace(which[0], limit, whole=_one(asked, "full") == "1")
                return _missing() if document is None else json_answer(document)
        elif what == "events" and not which:
            document = self._archive.changes(_one(asked, "since"))
        elif what == "prompts" and len(which) < 2:
            document = _prompt(self._found(which[0])) if which else {"prompts": self._prompts.listed()}
        elif what == "stats" and not which:
            document = self._store.stats()
        elif what == "status" and not which:
            document = {"version": __version__, **self._about, "now_micros": int(time.time() * 1000000)}
            document.update(bytes=self._archive.size(), stats=self._store.stats())
        return _missing() if document is None else json_answer(document)

    def _span(self, trace_id: str, span_id: str, asked: dict[str, list[str]]) -> Answer:
        span = self._archive.span(trace_id, span_id, _number(asked, "row", 0, _MAX_INT))
        if span is None:
            return _missing()
        part = _one(asked, "part")
        if part in ("input", "output"):
            return Answer(200, "text/plain; charset=utf-8", span[part].encode("utf-8", "replace"))
        if part:
            raise _Wrong(400, "part must be input or output")
        for name in ("input", "output"):
            data = span[name].encode("utf-8", "replace")
            span[f"{name}_bytes"], span[f"{name}_cut"] = len(data), len(data) > MAX_TEXT_BYTES
            if span[f"{name}_cut"]:
                span[name] = data[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
        workspace = quote(span["workspace_id"], safe="")
        for file in span["files"]:
            file["url"] = f"{PATH}files/{quote(file['key'], safe='')}?workspace={workspace}"
        return json_answer(span)

    def _file(self, key: str, asked: dict[str, list[str]]) -> Answer:
        file = self._archive.file(key, _one(asked, "workspace") or None)
        if file is None:
            return _missing()
        kind = image_type(file.content)
        if kind:
            return Answer(200, kind, file.content)
        headers = (("Content-Disposition", f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"),)
        return Answer(200, "application/octet-stream", file.content, None, headers)

    # --- prompts ---

    def _found(self, key: str) -> Document:
        try:
            return self._prompts.find([key])[0]
        except Refusal as refusal:
            raise _Wrong(404, refusal.msg) from None

    def _render(self, key: str, content_type: str, body: bytes) -> dict[str, Any]:
        if len(body) > MAX_BODY_BYTES:
            raise _Wrong(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise _Wrong(400, "Content-Type must be application/json")  # no page elsewhere can send that unasked
        document = self._found(key)
        try:
            asked, _ = read_object(body, content_type)
            number, label = string(asked.get("version"), "version"), string(asked.get("label"), "label")
            version = document.version(number, label)
            messages = format_prompt(Prompt.from_dict(version.fields), asked.get("variables"))
            return {"version": version.number, "messages": [message.to_dict() for message in messages]}
        except Refusal as refusal:
            raise _Wrong(400, refusal.msg) from None
        except (ValueError, InvalidParamError, TemplateError) as error:
            raise _Wrong(400, str(error)) from None


def _prompt(document: Document) -> dict[str, Any]:
    versions = [_version(document, document.versions[number]) for number in reversed(document.numbers)]
    return {"prompt_key": document.key, "latest": document.latest, "labels": document.labels, "versions": versions}


def _version(document: Document, version: Version) -> dict[str, Any]:
    template = version.fields.get("prompt_template") or {}
    return {
        "version": version.number,
        "labels": sorted(label for label, number in document.labels.items() if number == version.number),
        "template_type": template.get("template_type"),
        "messages": [message for message in template.get("messages") or [] if message],  # there may be null
        "variables": [declared for declared in template.get("variable_defs") or [] if declared],
        "tools": version.fields.get("tools") or [],
        "llm_config": version.fields.get("llm_config") or {},
    }


# --- what is asked ----------------------------------------------------------------------------------------------------


def _page(asked: dict[str, list[str]]) -> tuple[Wanted, int | None, int]:
    tags = tuple(tag.partition("=") for tag in asked.get("tag", ()))
    if len(tags) > MAX_TAGS or any(not key or not sign for key, sign, _ in tags):
        raise _Wrong(400, f"tag must be key=value, at most {MAX_TAGS} of them")
    status, text = _one(asked, "status"), _one(asked, "q")
    if status and status not in STATUS:
        raise _Wrong(400, f"status must be one of {', '.join(STATUS)}")
    if len(text) > MAX_QUERY or any(len(part) > MAX_QUERY for tag in tags for part in tag):
        raise _Wrong(400, f"a text to look for is longer than {MAX_QUERY} characters")
    first, last = _number(asked, "from", 0, _MAX_INT), _number(asked, "to", 0, _MAX_INT)
    wanted = Wanted(
        q=text,
        tags=tuple((key, value) for key, _, value in tags),
        **{name: _one(asked, name) for name in ("user_id", "trace_id", "log_id")},
        status=status,
        first=first,
        last=last,
    )
    return wanted, _number(asked, "before", 0, _MAX_INT), _number(asked, "limit", 1, MAX_TRACES) or 50


def _one(asked: dict[str, list[str]], name: str) -> str:
    return asked.get(name, [""])[0]


def _number(asked: dict[str, list[str]], name: str, low: int, high: int) -> int | None:
    text = _one(asked, name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise _Wrong(400, f"{name} must be a number from {low} to {high}")
    return int(text)


def _missing() -> Answer:
    return json_answer({"error": "there is no such thing here"}, 404)
