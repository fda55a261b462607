"""Batches of spans go to the server: encoded, posted, the answer judged, tried again or counted as lost.

Delivery is at least once. An outage is waited out with growing pauses; a batch that the server refuses is split until
the offending span is alone, and only that one is lost. What may be an outage or a refusal (HTTP 200 without an answer
of the platform, its "internal error" for everything) is tried a few times, then taken for a refusal.
"""

from __future__ import annotations

from time import monotonic, time

from .. import logger
from . import ids
from .account import SPOOLED
from .encoding import MAX_SPAN_BYTES
from .events import FILE_FLUSH, SPAN_ENTRY, SPAN_FLUSH, FinishEventInfo, FinishEventInfoExtra
from .uploads import Upload, Uploads
from .verdicts import (
    AGAIN,
    BAD_SPAN,
    DOUBTFUL,
    GIVE_UP,
    KEPT,
    MAX_AGE_SECONDS,
    REFUSED_ALL,
    TAKEN,
    TOO_LARGE,
    judge,
    log,
    tell_pace,
    words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..api.client import ApiClient
    from ..config import TraceConfig
    from .backlog import Backlog
    from .pace import Pace
    from .queue import SendQueue
    from .span import Span

FIRST_PAUSE = 0.25  # seconds; doubles with each attempt
LONGEST_PAUSE = 15.0
LONGEST_RETRY_AFTER = 300.0  # of what a server may ask for
DOUBTFUL_ATTEMPTS = 3
SLOWEST_LINE = 256 * 1024  # bytes per second; what takes no longer than that is no timeout
PROBES = 8

TOO_OLD = "too_old"
UNENCODABLE = "unencodable"
REFUSED = "refused"


class _Encoded:
    """A span on its way, its JSON, and its files by their keys."""

    __slots__ = ("files", "json", "span")

    def __init__(self, span: Span, json: bytes, files: dict[str, bytes]) -> None:
        self.span = span
        self.json = json
        self.files = files


class SpanExporter:
    """Sends batches; its :meth:`send` is what the queue's thread runs, and its ``uploads`` are what it does beside."""

    def __init__(
        self,
        api: ApiClient,
        workspace_id: str,
        encode: Callable[[Span, dict[str, bytes]], bytes],
        conf: TraceConfig,
        sink: Any = None,
    ) -> None:
        self._encode = encode
        self._processor = conf.trace_finish_event_processor
        self._overflow_told = 0
        if sink is None:
            self._post: Callable[[bytes, float], Any] = lambda body, seconds: api.request(
                "POST", conf.ingest_path, body, timeout=seconds
            )
            self._post_file: Callable[[Upload, float], Any] | None = lambda upload, seconds: api.upload_file(
                conf.upload_path, upload.content, upload.key, {"workspace_id": workspace_id}, timeout=seconds
            )
        else:
            self._post = lambda body, seconds: sink.export_spans(_spans_of(body))
            export = getattr(sink, "export_files", None)
            self._post_file = export and (lambda upload, seconds: export({upload.key: upload.content}))
        self._timeout = api.timeout
        self._upload_timeout = api.upload_timeout
        self._failing = False  # whether the last request said "not now", or nothing
        self._backlog = self._with_backlog(conf, "%s %s" % (api.base_url if sink is None else "exporter", workspace_id))
        self.uploads = self._backlog or Uploads(self._upload, conf.queue_max_bytes)

    def _with_backlog(self, conf: TraceConfig, destination: str) -> Backlog | None:
        if not conf.spool_dir:
            return None
        from .backlog import Backlog
        from .spool import Spool

        spool = Spool(conf.spool_dir, destination, conf.spool_max_bytes)
        return Backlog(self._upload, conf.queue_max_bytes, spool, self._replay)

    def send(self, spans: list[Span], queue: SendQueue) -> None:
        """Settle every span: delivered, or lost for a reason that is counted."""
        if not queue.pace.time_left(self._timeout):
            queue.give_up(spans)
            return
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
            files: dict[str, bytes] = {}
            return _Encoded(span, self._encode(span, files), files)
        except Exception as problem:  # noqa: BLE001 - a fault of ours costs one span, not its batch
            logger.error("a span could not be encoded and is lost, please report it: %r", problem)
            queue.settle(1, UNENCODABLE)
            return None

    # -- delivery ---------------------------------------------------------------------------------------------------

    def _deliver(self, batch: list[_Encoded], queue: SendQueue) -> None:
        verdict, batch = self._try(batch, queue)
        if verdict == BAD_SPAN:
            self._isolate(batch, queue)

    def _isolate(self, suspects: list[_Encoded], queue: SendQueue) -> None:
        """Find the span for which ``suspects`` was refused, in one request for each halving; deliver the others.

        When the first half is accepted the fault is in the second, which needs no request to be known; when the first
        half is refused the second is set aside, and all that was set aside goes in one request at the end. So one bad
        span of 100 costs 8 requests. A span is lost only when it was refused alone, or when all the others were
        accepted without it.
        """
        aside: list[_Encoded] = []
        verdicts = {BAD_SPAN}
        alone = len(suspects) == 1
        while len(suspects) > 1:
            middle = len(suspects) // 2
            rest = suspects[middle:]
            verdict, half = self._try(suspects[:middle], queue)
            verdicts.add(verdict)
            alone = verdict == BAD_SPAN and len(half) == 1
            if verdict == BAD_SPAN:
                suspects, aside = half, rest + aside
            else:
                suspects = rest
        verdict = GIVE_UP
        if aside:
            verdict, aside = self._try(aside, queue)
        if alone or (verdict == TAKEN and verdicts <= {TAKEN, BAD_SPAN}):
            self._refused(suspects, queue)
        else:
            self._halve(suspects, queue)
        if verdict == BAD_SPAN:
            self._sort_out(aside, queue, TAKEN in verdicts)

    def _sort_out(self, batch: list[_Encoded], queue: SendQueue, accepted: bool) -> None:
        """``batch`` was refused, and so was a span besides: there are more bad ones, or it is not the spans.

        The latter is likely when nothing was ``accepted`` so far, and taken for certain when spans from all over
        ``batch`` are refused alone.
        """
        if not accepted:
            # Golden-section steps: spread, and not in step with bad spans that come at regular intervals.
            chosen = {int(number * 0.618034 % 1 * len(batch)) for number in range(1, PROBES + 1)}
            verdicts = [self._try_alone(batch[index], queue) for index in chosen]
            batch = [encoded for index, encoded in enumerate(batch) if index not in chosen]
            if set(verdicts) == {BAD_SPAN}:
                self._refused(batch, queue)
                return
        if batch:
            self._halve(batch, queue)

    def _try_alone(self, encoded: _Encoded, queue: SendQueue) -> int:
        verdict, refused = self._try([encoded], queue)
        if verdict == BAD_SPAN:
            self._refused(refused, queue)
        return verdict

    def _halve(self, batch: list[_Encoded], queue: SendQueue) -> None:
        """Deliver ``batch``, in which there may be many bad spans: what is refused is halved, and so on."""
        if len(batch) == 1:
            self._try_alone(batch[0], queue)
            return
        verdict, batch = self._try(batch, queue)
        if verdict == BAD_SPAN:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                if half:
                    self._halve(half, queue)

    def _refused(self, batch: list[_Encoded], queue: SendQueue) -> None:
        if batch:
            logger.error("the server refuses a span, which is lost: %r", batch[0].span._name)
            queue.settle(len(batch), REFUSED)

    def _try(self, batch: list[_Encoded], queue: SendQueue) -> tuple[int, list[_Encoded]]:
        """Send ``batch`` and settle it, but for the spans that are returned with the verdict ``BAD_SPAN``."""
        verdict, batch = self._attempts(batch, queue)
        if verdict == TAKEN:
            queue.settle(len(batch))
            for encoded in batch:
                for key, content in encoded.files.items():
                    self.uploads.add(key, content)
        elif verdict == REFUSED_ALL or (verdict == TOO_LARGE and len(batch) == 1):
            queue.settle(len(batch), REFUSED)
        elif verdict == TOO_LARGE:
            middle = len(batch) // 2
            self._deliver(batch[:middle], queue)
            self._deliver(batch[middle:], queue)
        elif verdict == KEPT:
            queue.settle(len(batch), SPOOLED)
        elif verdict == GIVE_UP:
            queue.give_up([encoded.span for encoded in batch])
        return verdict, batch

    def _attempts(self, batch: list[_Encoded], queue: SendQueue) -> tuple[int, list[_Encoded]]:
        """Post ``batch`` until there is a verdict; returns what is left of it, too, since spans may become too old."""
        attempt = 0
        while True:
            batch = self._young(batch, queue)
            if not batch:
                return TAKEN, batch
            if self._failing and self._backlog is not None and queue.crowded() and self._kept(batch):
                return KEPT, batch
            body = b'{"spans":[' + b",".join(encoded.json for encoded in batch) + b"]}"
            queue.pace.sends(len(body))
            seconds = queue.pace.time_left(self._timeout + len(body) / SLOWEST_LINE)
            if not seconds:
                return GIVE_UP, batch
            attempt += 1
            verdict, retry_after = self._attempt(batch, body, seconds, attempt, queue.pace)
            if verdict != AGAIN:
                return verdict, batch
            if self._backlog is not None:
                queue.hurry_when_crowded()
            if not queue.pace.wait(max(_pause(attempt), retry_after), patient=retry_after > 0):
                return GIVE_UP, batch

    def _attempt(
        self, batch: list[_Encoded], body: bytes, seconds: float, attempt: int, pace: Pace
    ) -> tuple[int, float]:
        began = monotonic()
        verdict, retry_after, detail = TAKEN, 0.0, ""
        try:
            self._post(body, seconds)
            pace.heard()
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - a token function or an exporter may raise anything
            tell_pace(pace, problem)
            verdict, detail = judge(problem), words(problem)
            retry_after = getattr(problem, "retry_after", None) or 0.0
            if verdict == DOUBTFUL:
                verdict = AGAIN if attempt < DOUBTFUL_ATTEMPTS else REFUSED_ALL
            log(verdict, detail)
        self._failing = verdict == AGAIN
        if self._backlog is not None:
            self._backlog.server_is_up(not self._failing)
        root = any(not encoded.span._parent_id for encoded in batch)
        self._tell(SPAN_FLUSH, verdict != TAKEN, len(batch), detail, root, monotonic() - began)
        return verdict, min(retry_after, LONGEST_RETRY_AFTER)

    def _young(self, batch: list[_Encoded], queue: SendQueue) -> list[_Encoded]:
        oldest = time() - MAX_AGE_SECONDS
        young = [encoded for encoded in batch if encoded.span._start_ns / 1e9 >= oldest]
        if len(young) < len(batch):
            logger.warn("spans that started over 23 h ago are dropped: the platform would drop them without a word")
            queue.settle(len(batch) - len(young), TOO_OLD)
        return young

    def _upload(self, upload: Upload, pace: Pace) -> float:
        """Try a file; what :class:`Uploads` wants to know: 0 when it arrived, else when to try again, if at all."""
        if self._post_file is None:  # the program's exporter takes no files
            return 0
        pace.sends(len(upload.content))
        seconds = pace.time_left(self._upload_timeout)
        if not seconds:
            return FIRST_PAUSE
        began = monotonic()
        pause, detail = 0.0, ""
        try:
            self._post_file(upload, seconds)
            pace.heard()
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - as for spans
            tell_pace(pace, problem)
            verdict, detail = judge(problem), words(problem)
            logger.warn("a file could not be uploaded: %s", detail)
            retry_after = min(getattr(problem, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)
            if verdict == AGAIN or (verdict == DOUBTFUL and upload.attempts < DOUBTFUL_ATTEMPTS):
                pause = max(_pause(upload.attempts), retry_after)
            else:
                pause = -1.0
        self._tell(FILE_FLUSH, bool(detail), 1, detail, False, monotonic() - began)
        return pause

    # -- what cannot be delivered -----------------------------------------------------------------------------------

    def keep(self, span: Span) -> bool:
        """Put a span, and its files, into the spool. False where there is none, or no room. Never raises."""
        try:
            files: dict[str, bytes] = {}
            return self._kept([_Encoded(span, self._encode(span, files), files)])
        except Exception as problem:  # noqa: BLE001 - a fault of ours costs one span
            logger.error("a span could not be encoded and is lost, please report it: %r", problem)
            return False

    def _kept(self, batch: list[_Encoded]) -> bool:
        return self._backlog is not None and self._backlog.keep(
            [(encoded.span._start_ns // 1000, encoded.json, encoded.files) for encoded in batch]
        )

    def _replay(self, spans: list[bytes], pace: Pace) -> int:
        """Send spans from the spool, once; the verdict."""
        body = b'{"spans":[' + b",".join(spans) + b"]}"
        pace.sends(len(body))
        seconds = pace.time_left(self._timeout + len(body) / SLOWEST_LINE)
        if not seconds:
            return GIVE_UP
        try:
            self._post(body, seconds)
            pace.heard()
            return TAKEN
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - as for spans
            tell_pace(pace, problem)
            logger.warn("spans from spool_dir could not be delivered: %s", words(problem))
            return judge(problem)

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
            extra = FinishEventInfoExtra(root, int(seconds * 1000))
            self._processor(FinishEventInfo(kind, failed, count, detail, extra))
        except BaseException as problem:  # noqa: BLE001 - not even SystemExit may end the daemon thread
            logger.error("trace_finish_event_processor failed: %r", problem)


def _pause(attempt: int) -> float:
    """Seconds until the next attempt. Full jitter: clients that fail together do not come back together."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16))
    return ids.source.fraction() * longest


def _spans_of(body: bytes) -> Any:
    import json

    return json.loads(body.decode("utf-8"))["spans"]
