"""Batches of spans go to the server: encoded, posted, the answer judged, tried again or counted as lost.

Delivery is at least once. An outage is waited out with growing pauses; a batch that the server refuses is split until
the offending span is alone, and only that one is lost. What may be an outage or a refusal (HTTP 200 without an answer
of the platform, its "internal error" for everything) is tried a few times, then taken for a refusal.
"""

from __future__ import annotations

from .. import errors, logger, process
from ..config import MAX_SPAN_BYTES
from . import unseen
from .account import SPOOLED, UNANSWERED
from .box import FULL
from .machine import REAL, Machine
from .record import NAME, START_NS
from .uploads import AT_ONCE, Upload, Uploads
from .verdicts import (
    AGAIN,
    BAD_SPAN,
    DOUBTFUL,
    FIRST_PAUSE,
    GIVE_UP,
    KEPT,
    MAX_AGE_SECONDS,
    REFUSED_ALL,
    TAKEN,
    TOO_LARGE,
    UNKNOWN,
    is_answer,
    judge,
    log,
    pause_after,
    tell_pace,
    words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Tuple

    from ..api.client import ApiClient
    from ..config import TraceConfig
    from .backlog import Backlog
    from .events import Events
    from .pace import Pace
    from .queue import SendQueue
    from .record import Record
    from .spool import Spool

    # A span on its way, its JSON, and its files by their keys. An object takes four times as long to make.
    Encoded = Tuple[Record, bytes, "dict[str, bytes]"]
    Encode = Callable[[Record, "dict[str, bytes]"], bytes]

LOADING_PAUSE = 1.0
DOUBTFUL_ATTEMPTS = 3
SLOW_SECONDS = 0.02  # for a batch, which goes to the disk in a fraction of that
SLOWEST_LINE = 256 * 1024  # bytes per second; what takes no longer than that is no timeout

TOO_OLD = "too_old"
UNENCODABLE = "unencodable"
REFUSED = "refused"
CUT_OFF = "what is left of the time is for spans that wait; then it is tried again"


class SpanExporter:
    """Sends batches; its :meth:`send` is what the queue's thread runs, and its ``uploads`` are what it does beside.

    Args:
        load_encoder: returns ``encode(record, files)``, which gives the JSON of a span and adds its files to ``files``.
            Called when the first span is to be sent: no span needs it to be finished.
    """

    def __init__(
        self,
        api: ApiClient,
        workspace_id: str,
        load_encoder: Callable[[], Encode],
        conf: TraceConfig,
        sink: Any = None,
        spool: Spool | None = None,
        machine: Machine = REAL,
    ) -> None:
        self._load_encoder = load_encoder
        self._encode: Encode | None = None
        self._load: Callable[[], None] | None = (lambda: api.load()) if sink is None else None
        self._machine = machine
        self._events: Events | None = None
        if conf.trace_finish_event_processor is not None:
            from .events import Events  # here: few programs ask

            self._events = Events(conf.trace_finish_event_processor)
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
        if spool is None and conf.spool_dir:
            from .spool import Spool, destination

            receiver = api.base_url if sink is None else getattr(sink, "destination", None)
            if type(receiver) is not str:  # as OtlpExporter has it; the program's own may mean something else by it
                receiver = "exporter"
            place = destination(receiver, workspace_id)
            spool = Spool(conf.spool_dir, place, conf.spool_max_bytes)
        self._backlog: Backlog | None = None
        if spool is not None:
            from .backlog import Backlog

            self._backlog = Backlog(self._upload, conf.queue_max_bytes, spool, self._replay, machine)
        self.uploads = self._backlog or Uploads(self._upload, conf.queue_max_bytes, machine)
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        self._in_doubt = False  # whether what is being sent may have arrived with a request that was not answered
        self._slow = False  # whether the server took long for the last batch that it took
        self._forget_failures()

    @unseen.always
    def send(self, spans: list[Record], queue: SendQueue) -> None:
        """Settle every span: delivered, or lost for a reason that is counted. And tell of those without room."""
        self._tell_of_overflow(queue)
        if not queue.pace.time_left(self._timeout):
            queue.give_up(spans)
            return
        if self._events is not None and spans:
            self._events.entered(spans)
        try:
            encode = self.encoder()
        except Exception as problem:  # noqa: BLE001 - an import may fail: no file can be opened any more, perhaps
            logger.error("what makes JSON of spans cannot be loaded, they wait: %r", problem)
            queue.pace.wait(LOADING_PAUSE)
            queue.give_up(spans)
            return
        self._load_transport(queue.pace)
        chunk: list[Encoded] = []
        size = 0
        for span in spans:
            files: dict[str, bytes] = {}
            try:
                json = encode(span, files)
            except Exception as problem:  # noqa: BLE001 - a fault of ours costs one span, not its batch
                logger.error("a span could not be encoded and is lost, please report it: %r", problem)
                queue.settle([span], UNENCODABLE)
                continue
            size += len(json) + 1
            if size > MAX_SPAN_BYTES and chunk:
                self._deliver(chunk, queue)
                chunk, size = [], len(json) + 1
            chunk.append((span, json, files))
        if chunk:
            self._deliver(chunk, queue)

    def encoder(self) -> Encode:
        """What makes the JSON of spans, loaded if need be."""
        if self._encode is None:
            self._encode = self._load_encoder()
        return self._encode

    def _load_transport(self, pace: Pace) -> None:
        """Load urllib3 before any clock runs: it takes 0.1 s, and seconds in a container with a twentieth of a core."""
        load, self._load = self._load, None
        try:
            if load is not None:
                pace.loads(load)
        except Exception:  # noqa: BLE001, S110 - the request comes across it, too, and says so
            pass

    # -- delivery ---------------------------------------------------------------------------------------------------

    def _deliver(self, batch: list[Encoded], queue: SendQueue) -> None:
        verdict, batch = self._try(batch, queue)
        if verdict == BAD_SPAN:
            try:
                with process.loading():
                    from .isolation import isolate  # here: servers rarely refuse a span
            except Exception as problem:  # noqa: BLE001 - as for the encoder
                logger.error("what finds a refused span cannot be loaded, the others with it wait: %r", problem)
                queue.pace.wait(LOADING_PAUSE)
                queue.give_up(_spans(batch))
                return
            isolate(batch, lambda part: self._try(part, queue), lambda part: self._refused(part, queue))

    def _refused(self, batch: list[Encoded], queue: SendQueue) -> None:
        if batch:
            logger.error("the server refuses a span, which is lost: %r", batch[0][0][NAME])
            queue.settle(_spans(batch), REFUSED)

    def _try(self, batch: list[Encoded], queue: SendQueue) -> tuple[int, list[Encoded]]:
        """Send ``batch`` and settle it, but for the spans that are returned with the verdict ``BAD_SPAN``."""
        verdict, batch = self._attempts(batch, queue)
        if verdict == TAKEN:
            queue.settle(_spans(batch))
            for _, _, files in batch:
                for key in files:
                    self.uploads.add(key, files[key])
        elif verdict == REFUSED_ALL or (verdict == TOO_LARGE and len(batch) == 1):
            queue.settle(_spans(batch), REFUSED)
        elif verdict == TOO_LARGE:
            middle = len(batch) // 2
            self._deliver(batch[:middle], queue)
            self._deliver(batch[middle:], queue)
        elif verdict == KEPT:
            queue.settle(_spans(batch), SPOOLED)
        elif verdict == GIVE_UP:
            queue.give_up(_spans(batch))
        elif verdict == UNKNOWN:
            queue.give_up(_spans(batch), UNANSWERED)
        return verdict, batch

    def _attempts(self, batch: list[Encoded], queue: SendQueue) -> tuple[int, list[Encoded]]:
        """Post ``batch`` until there is a verdict; returns what is left of it, too, since spans may become too old."""
        attempt = 0
        self._in_doubt = False
        waits = self._patient  # also with what comes after that to which the server said when to come again
        while True:
            self._tell_of_overflow(queue)
            batch = self._young(batch, queue)
            if not batch:
                return TAKEN, batch
            left = self._resume_at - self._machine.monotonic()
            if (left > 0 or self._slow) and self._makes_room(batch, queue):
                return KEPT, batch
            if left > 0 and waits:
                if not queue.pace.wait(left, self._patient):
                    return self._out_of_time(), batch
                waits = self._patient
                continue
            body = request_body([json for _, json, _ in batch])
            queue.pace.sends(len(body))
            seconds = queue.pace.time_left(self._timeout + len(body) / SLOWEST_LINE)
            if not seconds:
                return self._out_of_time(), batch
            attempt += 1
            verdict = self._attempt(batch, body, seconds, attempt, queue.pace)
            if verdict != AGAIN:
                return verdict, batch
            waits = True

    def _out_of_time(self) -> int:
        return UNKNOWN if self._in_doubt else GIVE_UP

    def _makes_room(self, batch: list[Encoded], queue: SendQueue) -> bool:
        """While the server takes little or nothing, keep ``batch`` in the spool if the queue will overflow."""
        if self._backlog is None:
            return False
        if queue.crowded():
            return self._kept(batch)
        queue.hurry_when_crowded()
        return False

    def _attempt(self, batch: list[Encoded], body: bytes, seconds: float, attempt: int, pace: Pace) -> int:
        """Post ``batch`` once; the verdict."""
        began = self._machine.monotonic()
        verdict, detail = TAKEN, ""
        try:
            self._post(body, seconds)
            pace.heard()
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - a token function or an exporter may raise anything
            tell_pace(pace, problem)
            verdict, detail = judge(problem), words(problem)
            if verdict == DOUBTFUL:
                verdict = AGAIN if attempt < DOUBTFUL_ATTEMPTS else REFUSED_ALL
            log(verdict, problem)
            self._later(problem)
            self._in_doubt = self._in_doubt or not is_answer(problem)
        took = self._machine.monotonic() - began
        self._slow = verdict == TAKEN and took > SLOW_SECONDS
        if verdict != AGAIN:
            self._forget_failures()
        if self._backlog is not None:
            self._backlog.server_is_up(verdict not in (AGAIN, REFUSED_ALL))
        if self._events is not None:
            self._events.sent(_spans(batch), verdict != TAKEN, detail, took)
        return verdict

    def _later(self, problem: BaseException) -> None:
        self._failures += 1
        pause, self._patient = pause_after(self._failures, problem)
        self._resume_at = self._machine.monotonic() + pause

    def _forget_failures(self) -> None:
        self._failures = 0  # how often the server said "not now", or nothing, since it last took something
        self._resume_at = 0.0  # when to ask again (monotonic seconds)
        self._patient = False  # whether it was the server that named the time

    def _young(self, batch: list[Encoded], queue: SendQueue) -> list[Encoded]:
        oldest_ns = (self._machine.time() - MAX_AGE_SECONDS) * 1e9
        old = [span for span, _, _ in batch if span[START_NS] < oldest_ns]
        if not old:
            return batch
        logger.warn("spans that started over 23 h ago are dropped: the platform would drop them without a word")
        queue.settle(old, TOO_OLD)
        return [encoded for encoded in batch if encoded[0] not in old]

    @unseen.always
    def _upload(self, upload: Upload, pace: Pace) -> float:
        """Try a file; what :class:`Uploads` wants to know: 0 when it arrived, else when to try again, if at all."""
        if self._post_file is None:  # the program's exporter takes no files
            return 0
        pace.sends(len(upload.content))
        seconds = pace.time_left(self._upload_timeout)
        if not seconds:
            return FIRST_PAUSE
        began = self._machine.monotonic()
        pause, detail = 0.0, ""
        try:
            with process.loading():
                from ..api import cut_off  # here: few programs have files
            cut_off.call(pace.reserved, self._post_file, upload, seconds)
            pace.heard()
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - as for spans
            if isinstance(problem, errors.NetworkError) and pace.reserved():  # which says nothing about the server
                detail, pause, upload.patient = CUT_OFF, AT_ONCE, False
            else:
                tell_pace(pace, problem)
                verdict, detail = judge(problem), words(problem)
                again = verdict == AGAIN or (verdict == DOUBTFUL and upload.attempts < DOUBTFUL_ATTEMPTS)
                pause, upload.patient = pause_after(upload.attempts, problem) if again else (-1.0, False)
            logger.warn("a file could not be uploaded: %s", detail)
        if self._events is not None:
            self._events.uploaded(detail, self._machine.monotonic() - began)
        return pause

    # -- what cannot be delivered -----------------------------------------------------------------------------------

    def keep(self, spans: list[Record]) -> list[Record]:
        """Put spans, and their files, into the spool; returns those for which there was room. Never raises."""
        batch = []
        for span in spans:
            try:
                files: dict[str, bytes] = {}
                batch.append((span, self.encoder()(span, files), files))
            except Exception as problem:  # noqa: BLE001 - a fault of ours costs one span
                logger.error("a span could not be encoded and is lost, please report it: %r", problem)
        return _spans(batch) if batch and self._kept(batch) else []

    def _kept(self, batch: list[Encoded]) -> bool:
        return self._backlog is not None and self._backlog.keep(
            [(span[START_NS] // 1000, json, files) for span, json, files in batch]
        )

    @unseen.always
    def _replay(self, spans: list[bytes], pace: Pace) -> int:
        """Send spans from the spool, once; the verdict."""
        body = request_body(spans)
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
            verdict = judge(problem)
            if verdict == AGAIN:
                self._later(problem)
            return verdict

    def _tell_of_overflow(self, queue: SendQueue) -> None:
        overflow = queue.overflowed()
        if overflow:
            logger.warn(FULL)
            if self._events is not None:
                self._events.overflowed(overflow)


def _spans(batch: list[Encoded]) -> list[Record]:
    return [span for span, _, _ in batch]


def request_body(spans: list[bytes]) -> bytes:
    """A request for ``spans``, its 100 KB put together in one go: a copy more costs up to 0.2 ms, in page faults."""
    parts = spans.copy()
    parts[0] = b'{"spans":[' + parts[0]
    parts[-1] += b"]}"
    return b",".join(parts)


def _spans_of(body: bytes) -> Any:
    import json

    return json.loads(body.decode("utf-8"))["spans"]
