"""Batches of spans go to the server: encoded, posted, the answer judged, tried again or counted as lost.

Delivery is at least once. An outage is waited out with growing pauses; a batch that the server refuses is split until
the offending span is alone, and only that one is lost. What cannot be judged (HTTP 200 without an answer of the
platform) is tried a few times, then taken for a refusal.
"""

from __future__ import annotations

from time import monotonic, time

from .. import errors, logger
from . import ids
from .encoding import MAX_SPAN_BYTES
from .queue import SHUTDOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..api.client import ApiClient
    from ..config import TraceConfig
    from .queue import SendQueue
    from .span import Span

MAX_AGE_SECONDS = 23 * 3600  # the server drops at 24 h, in silence (contract backend.md 2.2)
FIRST_PAUSE = 0.25  # seconds; doubles with each attempt
LONGEST_PAUSE = 15.0
LONGEST_RETRY_AFTER = 300.0  # of what a server may ask for
DOUBTFUL_ATTEMPTS = 3

# contract backend.md 9: waiting helps
_PASSING_CODES = frozenset([602000703, 602000801, 600900205, 600904004, 600904006])
_DOUBTFUL_CODES = frozenset([602000702])  # "once or twice with backoff; then surface"
# contract backend.md 9: no span of this client will be taken, so there is no offending one to look for
_REFUSED_ALL_CODES = frozenset([602000101, 602000202, 600900101, 600903230, 600903231])
_REFUSED_ALL_STATUS = frozenset([401, 403, 404, 405])

TOO_OLD = "too_old"
UNENCODABLE = "unencodable"
REFUSED = "refused"

# Verdicts on one attempt
_TAKEN, _AGAIN, _DOUBTFUL, _TOO_LARGE, _BAD_SPAN, _BAD_CLIENT, _GIVE_UP = range(7)

# Event types, contract siblings.md 2.7
SPAN_ENTRY = "queue_manager.span_entry.rate"
SPAN_FLUSH = "exporter.span_flush.rate"


class FinishEventInfoExtra:
    """More about an event: whether a root span was among the items, and how long it took, in ms."""

    def __init__(self, is_root_span: bool = False, latency_ms: int = 0) -> None:
        self.is_root_span = is_root_span
        self.latency_ms = latency_ms


class FinishEventInfo:
    """What ``trace_finish_event_processor`` is told, on the daemon thread.

    Attributes:
        event_type: ``queue_manager.span_entry.rate`` (spans were queued, or dropped because the queue is full) or
            ``exporter.span_flush.rate`` (a request ended).
        is_event_fail: whether it failed.
        item_num: how many spans it was about.
        detail_msg: why it failed, in words.
        extra_params: a :class:`FinishEventInfoExtra`.
    """

    def __init__(
        self,
        event_type: str,
        is_event_fail: bool,
        item_num: int,
        detail_msg: str,
        extra_params: FinishEventInfoExtra | None = None,
    ) -> None:
        self.event_type = event_type
        self.is_event_fail = is_event_fail
        self.item_num = item_num
        self.detail_msg = detail_msg
        self.extra_params = extra_params

    def __repr__(self) -> str:
        return "FinishEventInfo(event_type=%r, is_event_fail=%r, item_num=%r, detail_msg=%r)" % (
            self.event_type,
            self.is_event_fail,
            self.item_num,
            self.detail_msg,
        )


class _Encoded:
    """A span on its way: its JSON, when it started (seconds since the epoch), and whether it is a root."""

    __slots__ = ("is_root", "json", "started")

    def __init__(self, json: bytes, started: float, is_root: bool) -> None:
        self.json = json
        self.started = started
        self.is_root = is_root


class SpanExporter:
    """Sends batches; its :meth:`send` is what the queue's thread runs."""

    def __init__(self, api: ApiClient, encode: Callable[[Span], bytes], conf: TraceConfig, sink: Any = None) -> None:
        self._encode = encode
        self._processor = conf.trace_finish_event_processor
        self._overflow_told = 0
        if sink is None:
            self._post: Callable[[bytes, float], Any] = lambda body, seconds: api.request(
                "POST", conf.ingest_path, body, timeout=seconds
            )
        else:
            self._post = lambda body, seconds: sink.export_spans(_spans_of(body))
        self._timeout = api.timeout

    def send(self, spans: list[Span], queue: SendQueue) -> None:
        """Settle every span: delivered, or lost for a reason that is counted."""
        self._tell_of_queue(spans, queue)
        chunk: list[_Encoded] = []
        size = 0
        for span in spans:
            encoded = self._encoded(span, queue)
            if encoded is None:
                continue
            if chunk and size + len(encoded.json) > MAX_SPAN_BYTES:
                self._deliver(chunk, queue)
                chunk, size = [], 0
            chunk.append(encoded)
            size += len(encoded.json) + 1
        if chunk:
            self._deliver(chunk, queue)

    def _encoded(self, span: Span, queue: SendQueue) -> _Encoded | None:
        try:
            return _Encoded(self._encode(span), span._start_ns / 1e9, not span._parent_id)
        except Exception as problem:  # noqa: BLE001 - a fault of ours costs one span, not its batch
            logger.error("a span could not be encoded and is lost, please report it: %r", problem)
            queue.settle(1, UNENCODABLE)
            return None

    # -- delivery ---------------------------------------------------------------------------------------------------

    def _deliver(self, batch: list[_Encoded], queue: SendQueue, refused_alone: int = 0) -> None:
        """Send ``batch`` until it is settled. ``refused_alone``: how many spans were refused since one was accepted."""
        verdict, batch = self._attempts(batch, queue)
        if verdict == _TAKEN:
            queue.settle(len(batch))
        elif verdict == _GIVE_UP:
            queue.settle(len(batch), SHUTDOWN)
        elif verdict == _BAD_CLIENT or len(batch) == 1 or refused_alone >= 2:
            # Two spans refused each for itself, and then all the others: it is not the spans.
            queue.settle(len(batch), REFUSED)
        elif verdict == _TOO_LARGE:
            middle = len(batch) // 2
            self._deliver(batch[:middle], queue)
            self._deliver(batch[middle:], queue)
        else:
            self._isolate(batch, queue, refused_alone)

    def _isolate(self, suspects: list[_Encoded], queue: SendQueue, refused_alone: int) -> None:
        """Find the span for which ``suspects`` is refused, in one request for each halving; deliver the others.

        When the first half is accepted the fault is in the second, which needs no request to be known; when the first
        half is refused the second is set aside, and all that was set aside goes in one request at the end.
        """
        others: list[_Encoded] = []
        refused_alone += 1
        while len(suspects) > 1:
            middle = len(suspects) // 2
            rest = suspects[middle:]
            verdict, half = self._attempts(suspects[:middle], queue)
            if verdict == _TAKEN:
                queue.settle(len(half))
                refused_alone = 0
                suspects = rest
            elif verdict == _GIVE_UP:
                queue.settle(len(half) + len(rest) + len(others), SHUTDOWN)
                return
            elif verdict == _BAD_CLIENT:
                queue.settle(len(half) + len(rest) + len(others), REFUSED)
                return
            else:
                others = rest + others
                suspects = half
        if suspects:
            logger.error("the server refuses a span, which is lost; the others of its batch are sent without it")
            queue.settle(1, REFUSED)
        if others:
            self._deliver(others, queue, refused_alone)

    def _attempts(self, batch: list[_Encoded], queue: SendQueue) -> tuple[int, list[_Encoded]]:
        """Post ``batch`` until there is a verdict; returns what is left of it, too, since spans may become too old."""
        attempt = 0
        while True:
            batch = self._young(batch, queue)
            if not batch:
                return _TAKEN, batch
            verdict, retry_after = self._attempt(batch, queue.time_left(self._timeout))
            attempt += 1
            if verdict == _DOUBTFUL:
                verdict = _AGAIN if attempt < DOUBTFUL_ATTEMPTS else _BAD_SPAN
            if verdict != _AGAIN:
                return verdict, batch
            # Full jitter: clients that fail together do not come back together.
            pause = ids.source.fraction() * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16))
            if not queue.wait(max(pause, retry_after), patient=retry_after > 0):
                return _GIVE_UP, batch

    def _attempt(self, batch: list[_Encoded], seconds: float) -> tuple[int, float]:
        body = b'{"spans":[' + b",".join(span.json for span in batch) + b"]}"
        began = monotonic()
        verdict, retry_after, detail = _TAKEN, 0.0, ""
        try:
            self._post(body, seconds)
        except Exception as problem:  # noqa: BLE001 - a token function or an exporter of the user's may raise anything
            verdict, retry_after, detail = _judge(problem), getattr(problem, "retry_after", None) or 0.0, str(problem)
            _log(verdict, detail)
        root = any(span.is_root for span in batch)
        self._tell(SPAN_FLUSH, verdict != _TAKEN, len(batch), detail, root, monotonic() - began)
        return verdict, min(retry_after, LONGEST_RETRY_AFTER)

    def _young(self, batch: list[_Encoded], queue: SendQueue) -> list[_Encoded]:
        oldest = time() - MAX_AGE_SECONDS
        young = [span for span in batch if span.started >= oldest]
        if len(young) < len(batch):
            logger.warn("spans that started over 23 h ago are dropped: the platform would drop them without a word")
            queue.settle(len(batch) - len(young), TOO_OLD)
        return young

    # -- events -----------------------------------------------------------------------------------------------------

    def _tell_of_queue(self, spans: list[Span], queue: SendQueue) -> None:
        if self._processor is None:
            return
        overflow = queue.dropped("queue_full")
        if overflow > self._overflow_told:
            self._tell(SPAN_ENTRY, True, overflow - self._overflow_told, "the queue is full")
            self._overflow_told = overflow
        self._tell(SPAN_ENTRY, False, len(spans), "", any(not span._parent_id for span in spans))

    def _tell(self, kind: str, failed: bool, count: int, detail: str, root: bool = False, seconds: float = 0.0) -> None:
        if self._processor is None:
            return
        try:
            self._processor(FinishEventInfo(kind, failed, count, detail, FinishEventInfoExtra(root, int(seconds *
            1000))))
        except BaseException as problem:  # noqa: BLE001 - not even SystemExit may end the daemon thread
            logger.error("trace_finish_event_processor failed: %r", problem)


def _judge(problem: Exception) -> int:
    """What a failed attempt means for the batch."""
    if not isinstance(problem, errors.HttpError):
        return _AGAIN  # a token function or an exporter that fails may work again later
    if not isinstance(problem, errors.RemoteServiceError):
        return _AGAIN  # the network
    status, code = problem.status or 0, problem.code
    if code in _PASSING_CODES or status in (408, 429) or isinstance(problem, errors.RateLimitError):
        return _AGAIN
    if code in _DOUBTFUL_CODES:
        return _DOUBTFUL
    if status >= 500:
        return _AGAIN
    if status == 413:
        return _TOO_LARGE
    if 200 <= status < 300 and code is None:
        return _DOUBTFUL
    if code in _REFUSED_ALL_CODES or status in _REFUSED_ALL_STATUS or 300 <= status < 400:
        return _BAD_CLIENT
    if isinstance(problem, (errors.AuthenticationError, errors.PermissionDeniedError)):
        return _BAD_CLIENT
    if isinstance(problem, errors.InternalServerError):
        return _AGAIN
    return _BAD_SPAN


def _log(verdict: int, detail: str) -> None:
    if verdict in (_AGAIN, _DOUBTFUL):
        logger.warn("spans could not be delivered and will be sent again: %s", detail)
    elif verdict == _BAD_CLIENT:
        logger.error("the server refuses all spans, they are lost: %s", detail)
    else:
        logger.warn("the server refused a batch of spans: %s", detail)


def _spans_of(body: bytes) -> Any:
    import json

    return json.loads(body.decode("utf-8"))["spans"]
