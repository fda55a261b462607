"""The platform's endpoints for reading traces back, each from a request's body to its answer (contract backend.md 8.2).

One request is answered at a time, and the answer is bounded: what does not fit is announced by ``has_more``.
"""

from __future__ import annotations

import base64
import json
import threading
from time import monotonic, time
from typing import TYPE_CHECKING

from .answers import json_answer
from .binding import bind, i32, i64, list_of, parse_json, quote, string, struct
from .codes import TRACE_ELSEWHERE, TRACE_RATE_LIMIT, Refusal, invalid_trace_param
from .output import RETENTION_MICROS, span_document, tokens
from .rules import check_workspace
from .span_filters import FORM, predicate
from .summaries import ROOTS

if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping

    from .answers import Answer
    from .span_filters import Predicate
    from .span_reader import StoredSpan
    from .store import Store

TRACE = "/v1/loop/traces/search"
TREE = "/v1/loop/traces/search_tree"
SPANS = "/v1/loop/spans/search"
TRACES = "/v1/loop/traces/list"

MAX_LIMIT = 1000  # spans of a trace
MAX_TREE_LIMIT = 10000
DEFAULT_LIMIT = 10  # when it is 0
PAGE_SIZE = 100
MAX_PAGE_SIZE = 200
PLATFORM_TYPES = ("cozeloop", "prompt", "evaluator", "evaluation_target")
MAX_TRACE_IDS = 1000  # of this server; the platform has no limit, nor this one:
MAX_ANSWER_BYTES = 64 * 1024 * 1024  # of spans, for the sake of memory
AHEAD_MICROS = 24 * 3600 * 1000000  # the platform: until the end of the day

_WHEN = {"workspace_id": i64, "start_time": i64, "end_time": i64, "platform_type": string}
_TRACE = {**_WHEN, "trace_id": string, "logid": string, "limit": i32, "filters": FORM, "span_ids": list_of(string)}
_FORMS = {
    TRACE: struct(_TRACE, ("workspace_id", "start_time", "end_time", "limit")),
    TREE: struct(_TRACE, ("limit",)),
    SPANS: struct(
        {
            **_WHEN,
            "filters": FORM,
            "page_size": i32,
            "page_token": string,
            "span_list_type": string,
            "order_bys": list_of(struct({})),
        },
        ("workspace_id", "start_time", "end_time"),
    ),
    TRACES: struct({**_WHEN, "trace_ids": list_of(string)}, ("workspace_id", "start_time", "end_time", "trace_ids")),
}
_TOKEN = struct({"starttime": i64, "spanid": string}, ("starttime", "spanid"))


class SearchEndpoints:
    """``workspace_id``: the only one that may be searched; None: every one. ``qps``: the requests that a workspace may
    send in a second; None: any number. ``say``: the log.
    """

    def __init__(self, store: Store, workspace_id: str | None, qps: int | None, say: Callable[[str], None]) -> None:
        self._store = store
        self._workspace_id = workspace_id
        self._qps = qps
        self._say = say
        self._answering = threading.Lock()
        self._second = 0
        self._asked: dict[int, int] = {}  # requests of a workspace in that second

    def trace(self, content_type: str, body: bytes) -> Answer:
        """The spans of one trace, the earliest first; when there are more than ``limit``, the latest of them."""
        with self._answering:
            request = self._admitted(TRACE, content_type, body)
            return self._trace(request, MAX_LIMIT, detail=True)

    def tree(self, content_type: str, body: bytes) -> Answer:
        """The same without inputs and outputs."""
        with self._answering:
            request = self._admitted(TREE, content_type, body)
            request.pop("logid", None)
            return self._trace(request, MAX_TREE_LIMIT, detail=False)

    def spans(self, content_type: str, body: bytes) -> Answer:
        """One page of the spans that match filters, the latest first."""
        with self._answering:
            request = self._admitted(SPANS, content_type, body)
            page_size = request.get("page_size", 0) or PAGE_SIZE
            if not 0 <= page_size <= MAX_PAGE_SIZE:
                raise invalid_trace_param("invalid limit")
            if len(request.get("order_bys", ())) > 1:
                raise invalid_trace_param("invalid order by")
            listed, matches = _listed(request), predicate(request.get("filters", {}))
            workspace_id = request["workspace_id"]
            found, has_more = _some(
                self._store.newest(*_window(request), below=_position(request.get("page_token", ""))),
                lambda span: _workspace(span) == workspace_id and listed(span) and matches(span),
                page_size,
            )
            self._say(f"found {len(found)} span(s) of workspace {workspace_id}{', and more' if has_more else ''}")
            data = {
                "spans": [span_document(span) for span in found],
                "next_page_token": _token(found[-1]) if found else "",
                "has_more": has_more,
            }
            return json_answer({"code": 0, "msg": "", "data": data})

    def traces(self, content_type: str, body: bytes) -> Answer:
        """Tokens and bytes of each trace; those that are not there are left out."""
        with self._answering:
            request = self._admitted(TRACES, content_type, body)
            trace_ids = [trace_id or "" for trace_id in request["trace_ids"]]
            if not all(trace_ids) or not 0 < len(trace_ids) <= MAX_TRACE_IDS:
                raise invalid_trace_param(f"invalid traces: from 1 to {MAX_TRACE_IDS} ids, none empty")
            window = _window(request)
            totals = [self._total(trace_id, window, request["workspace_id"]) for trace_id in dict.fromkeys(trace_ids)]
            found = [total for total in totals if total is not None]
            self._say(f"counted the tokens of {len(found)} trace(s)")
            return json_answer({"code": 0, "msg": "", "data": {"traces": found}})

    def _admitted(self, path: str, content_type: str, body: bytes) -> dict[str, Any]:
        request: dict[str, Any] = bind(_FORMS[path], body, content_type)
        workspace_id = request.setdefault("workspace_id", 0)
        check_workspace(workspace_id, self._workspace_id)
        self._count(workspace_id)
        platform = request.get("platform_type", PLATFORM_TYPES[0])
        if platform not in PLATFORM_TYPES:
            raise invalid_trace_param(f"platform not configured: {quote(platform)}")
        return request

    def _count(self, workspace_id: int) -> None:
        if self._qps is None:
            return
        second = int(monotonic())
        if second != self._second:
            self._second, self._asked = second, {}
        self._asked[workspace_id] = self._asked.get(workspace_id, 0) + 1
        if self._asked[workspace_id] > self._qps:
            raise Refusal(TRACE_RATE_LIMIT, "qps limit exceeded")

    def _trace(self, request: Mapping[str, Any], max_limit: int, *, detail: bool) -> Answer:
        trace_id, log_id = request.get("trace_id", ""), request.get("logid", "")
        if not trace_id and not log_id:
            raise invalid_trace_param("at least need trace_id or log_id")
        limit = request["limit"]
        if not 0 <= limit <= max_limit:
            raise invalid_trace_param("invalid limit")
        matches, span_ids = predicate(request.get("filters", {})), frozenset(request.get("span_ids", ()))
        found, has_more = _some(
            self._store.newest(*_window(request), trace_id or None),
            lambda span: (
                (bool(trace_id) or span.fields["log_id"] == log_id)
                and (not span_ids or span.fields["span_id"] in span_ids)
                and matches(span)
            ),
            limit or DEFAULT_LIMIT,
        )
        if found and all(_workspace(span) != request["workspace_id"] for span in found):
            raise Refusal(TRACE_ELSEWHERE, "the trace is in another workspace")
        which = f"trace {quote(trace_id)}" if trace_id else f"log id {quote(log_id)}"
        self._say(f"found {len(found)} span(s) of {which}{', and more' if has_more else ''}")
        into, out = tokens(found)
        data = {
            "spans": [span_document(span, detail=detail) for span in reversed(found)],
            "traces_advance_info": {"tokens": {"input": str(into), "output": str(out)}},
            "has_more": has_more,
        }
        return json_answer({"code": 0, "msg": "", "data": data})

    def _total(self, trace_id: str, window: tuple[int, int], workspace_id: int) -> dict[str, Any] | None:
        into = out = size = 0
        for span in self._store.newest(*window, trace_id):  # not collected: together they may be too large
            if _workspace(span) == workspace_id:
                more_in, more_out = tokens([span])
                into, out, size = into + more_in, out + more_out, size + span.size
        cost = {"input_token": str(into), "output_token": str(out)}
        return {"trace_id": trace_id, "tokens": cost, "size": str(size)} if size else None


def _some(spans: Iterable[StoredSpan], wanted: Predicate, limit: int) -> tuple[list[StoredSpan], bool]:
    """The first ``limit`` spans that are wanted, or as many as one answer holds; and whether there are more."""
    found: list[StoredSpan] = []
    room = MAX_ANSWER_BYTES
    for span in spans:
        if wanted(span):
            if len(found) == limit or (found and room < span.size):
                return found, True
            found.append(span)
            room -= span.size
    return found, False


def _workspace(span: StoredSpan) -> int:
    return int(span.fields["workspace_id"])


def _listed(request: Mapping[str, Any]) -> Predicate:
    kind = request.get("span_list_type", "")
    if kind == "all_span":
        return lambda span: True
    if kind == "llm_span":
        return lambda span: bool(span.fields["span_type"] == "model")
    return lambda span: span.fields["parent_id"] in ROOTS


def _window(request: Mapping[str, Any]) -> tuple[int, int]:
    """First and last µs of a search."""
    first, last = request.get("start_time", 0) * 1000, request.get("end_time", 0) * 1000
    if first <= 0 or last <= 0:
        raise invalid_trace_param("start time or end time is invalid")
    if first > last:
        raise invalid_trace_param("start time cannot be greater than end time")
    now = int(time() * 1000000)
    earliest, latest = now - RETENTION_MICROS, now + AHEAD_MICROS
    if first > latest:
        raise invalid_trace_param("start and end time are in the future")
    if last < earliest:
        raise invalid_trace_param("start and end time are more than 365 days ago")
    return max(first, earliest), min(last, latest)


def _token(span: StoredSpan) -> str:
    place = {"StartTime": span.fields["started_at_micros"], "SpanID": span.fields["span_id"]}
    return base64.b64encode(json.dumps(place).encode("ascii")).decode("ascii")


def _position(token: str) -> tuple[int, str] | None:
    """Where the page before this one ended; None for the first page."""
    if not token:
        return None
    try:
        place = _TOKEN(parse_json(base64.b64decode(token, validate=True).decode("utf-8")), "page_token")
    except ValueError:
        raise invalid_trace_param("invalid page_token") from None
    return place["starttime"], place["spanid"]
