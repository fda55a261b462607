"""Reading traces back: the spans of one trace, and the spans of a workspace that match filters.

A span can be found some seconds after it was delivered, not at once (contract backend.md 2.4). The platform takes ten
questions a second for a workspace (8.2); whoever asks too fast waits here, within limits, instead of failing. Nothing
is requested before it is needed, and nothing here is traced.
"""

from __future__ import annotations

from itertools import islice
from time import monotonic, sleep

from .. import errors
from ..entities.trace import Trace, TraceSpan
from ..trace import ids
from . import arguments
from .filters import written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

    from ..api.client import ApiClient
    from .arguments import Time
    from .filters import Filters

TRACE_PATH = "/v1/loop/traces/search"  # contract backend.md 10
SPANS_PATH = "/v1/loop/spans/search"
SPAN_LISTS = ("root_span", "all_span", "llm_span")  # contract backend.md 8.2
PAGE_SIZE = 100
MAX_PAGE_SIZE = 200  # contract backend.md 8.2
MAX_EMPTY_PAGES = 100  # in a row, while more is announced
TRACE_LIMIT = 1000  # spans in one answer, contract backend.md 8.2
MAX_TRACE_SPANS = 10_000  # that are read of one trace
LIMITED_SECONDS = 30.0  # that one question waits at most when the platform is asked too fast
FIRST_PAUSE = 0.2  # seconds; doubled for each attempt, which leaves time for nine


def search_trace(
    api: ApiClient,
    workspace_id: str,
    trace_id: str | None = None,
    log_id: str | None = None,
    *,
    start_time: Time | None = None,
    end_time: Time | None = None,
) -> Trace:
    """The spans of one trace, with inputs, outputs and feedback.

    Args:
        api: the client to ask with.
        workspace_id: where the trace is.
        trace_id: 32 hex digits. Either this or ``log_id`` is needed.
        log_id: the log id that spans of the trace were given.
        start_time: when to search from: a datetime (without a time zone: local time) or ms since 1970; default 7 days
            before ``end_time``. The platform keeps a year.
        end_time: when to search to; default now.

    Returns:
        An empty :class:`Trace` when nothing is found.

    Raises:
        InvalidParamError: an argument cannot be used.
        HttpError: see :meth:`ApiClient.request`; ``RateLimitError`` after half a minute of trying.
    """
    if (trace_id is None) == (log_id is None):
        raise errors.InvalidParamError("search_trace takes either trace_id or log_id")
    start, end = arguments.window(start_time, end_time)
    if trace_id is not None:
        name, value = "trace_id", arguments.trace_id(trace_id)
    else:
        name, value = "logid", arguments.filled("log_id", log_id)
    body = {"workspace_id": workspace_id, "start_time": start, "end_time": end, "limit": TRACE_LIMIT, name: value}
    try:
        data = _ask(api, TRACE_PATH, body)
        spans = _spans(data)
        more = data.get("has_more")
        # Older servers do not have it (contract backend.md 8.2) and stop at the limit without a word.
        whole = not more if more is not None else len(spans) < TRACE_LIMIT
    except errors.AnswerTooLongError:
        whole = False
    if not whole:
        # The list of spans comes in pages of whatever size, from servers of any age.
        newest_first = search_spans(
            api, workspace_id, {name: value}, start_time=start, end_time=end, span_list_type="all_span"
        )
        spans = list(islice(newest_first, MAX_TRACE_SPANS + 1))[::-1]
    complete = len(spans) <= MAX_TRACE_SPANS
    spans.sort(key=lambda span: span.started_at_ms)
    return Trace(spans if complete else spans[1:], complete)


def search_spans(
    api: ApiClient,
    workspace_id: str,
    filters: Filters | None = None,
    *,
    start_time: Time | None = None,
    end_time: Time | None = None,
    span_list_type: str = "root_span",
    page_size: int = PAGE_SIZE,
) -> Iterator[TraceSpan]:
    """The spans that match ``filters``, the latest first, requested page by page while they are consumed.

    Args:
        api: the client to ask with.
        workspace_id: where the spans are.
        filters: a dict of names and what they must be equal to (or a list of which they must be one of), or
            :class:`Filter` objects: one, a list of which all must hold, or :func:`any_of` them.
        start_time: as for :func:`search_trace`.
        end_time: as for :func:`search_trace`.
        span_list_type: ``root_span`` for the roots of traces, ``all_span`` for all spans, ``llm_span`` for model calls.
        page_size: spans in one request, 1 to 200. An answer that becomes too large is asked for in smaller pages.

    Raises:
        InvalidParamError: an argument cannot be used. At once; the others while the spans are consumed:
        HttpError: see :meth:`ApiClient.request`; ``RateLimitError`` after half a minute of trying.

    >>> for span in client.search_spans({"status": "error"}, span_list_type="all_span"):
    ...     print(span.started_at, span.span_name, span.custom_tags.get("error"))
    """
    if span_list_type not in SPAN_LISTS:
        raise errors.InvalidParamError(
            "span_list_type must be one of %s, not %s" % (", ".join(SPAN_LISTS), arguments.shown(span_list_type))
        )
    if isinstance(page_size, bool) or not isinstance(page_size, int) or not 1 <= page_size <= MAX_PAGE_SIZE:
        raise errors.InvalidParamError(
            "page_size must be an int from 1 to %d, not %s" % (MAX_PAGE_SIZE, arguments.shown(page_size))
        )
    start, end = arguments.window(start_time, end_time)
    body: dict[str, Any] = {
        "workspace_id": workspace_id,
        "start_time": start,
        "end_time": end,
        "span_list_type": span_list_type,
        # Pages follow each other by the start, the latest first. Without an order the database has none: spans would
        # come twice or never. What the element says is ignored (contract backend.md 8.2).
        "order_bys": [{"field": "start_time", "is_asc": False}],
    }
    conditions = written(filters)
    if conditions is not None:
        body["filters"] = conditions
    return _paged(api, body, page_size)


def _paged(api: ApiClient, body: dict[str, Any], page_size: int) -> Iterator[TraceSpan]:
    token = ""
    empty = 0
    while True:
        question = {**body, "page_size": page_size}
        if token:
            question["page_token"] = token
        try:
            data = _ask(api, SPANS_PATH, question)
        except errors.AnswerTooLongError:
            if page_size == 1:
                raise
            page_size = max(1, page_size // 4)
            continue
        spans = _spans(data)
        yield from spans
        empty = 0 if spans else empty + 1
        if not data.get("has_more"):
            return
        next_token = data.get("next_page_token")
        if not isinstance(next_token, str) or next_token in ("", token):
            raise errors.RemoteServiceError(200, 0, "more spans were announced, and no way to them (next_page_token)")
        if empty > MAX_EMPTY_PAGES:  # who always announces more would be asked for ever
            raise errors.RemoteServiceError(200, 0, "more spans were announced, and %d pages had none" % empty)
        token = next_token


def _ask(api: ApiClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The ``data`` of an answer. Waits and asks again when the platform is asked too fast."""
    deadline = monotonic() + LIMITED_SECONDS
    longest = FIRST_PAUSE
    while True:
        try:
            data = api.post(path, body).get("data")
            return data if isinstance(data, dict) else {}
        except errors.RateLimitError as problem:
            pause = max(longest * (0.5 + ids.source.fraction() / 2), problem.retry_after or 0.0)
            if monotonic() + pause > deadline:
                raise
            sleep(pause)
            longest *= 2


def _spans(data: dict[str, Any]) -> list[TraceSpan]:
    found = data.get("spans")
    return [TraceSpan.from_dict(span) for span in found if isinstance(span, dict)] if isinstance(found, list) else []
