"""What a program is told of delivery, when it asks: the events of ``trace_finish_event_processor``."""

from __future__ import annotations

from .. import logger
from .record import PARENT_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .record import Record

# Event types, contract siblings.md 2.7
SPAN_ENTRY = "queue_manager.span_entry.rate"
SPAN_FLUSH = "exporter.span_flush.rate"
FILE_FLUSH = "exporter.file_flush.rate"


class FinishEventInfoExtra:
    """More about an event: whether a root span was among the items, and how long it took, in ms."""

    def __init__(self, is_root_span: bool = False, latency_ms: int = 0) -> None:
        self.is_root_span = is_root_span
        self.latency_ms = latency_ms


class FinishEventInfo:
    """What ``trace_finish_event_processor`` is told, on the daemon thread.

    Attributes:
        event_type: ``queue_manager.span_entry.rate`` (spans were queued, or dropped because the queue is full),
            ``exporter.span_flush.rate`` (a request ended) or ``exporter.file_flush.rate`` (an upload ended).
        is_event_fail: whether it failed.
        item_num: how many spans or files it was about.
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


class Events:
    """Tells ``processor`` what happens, on the thread that sends. No method raises, whatever it does."""

    def __init__(self, processor: Callable[[Any], None]) -> None:
        self._processor = processor

    def entered(self, spans: list[Record]) -> None:
        """``spans`` came through the queue."""
        self._tell(SPAN_ENTRY, False, len(spans), "", _has_root(spans))

    def overflowed(self, count: int) -> None:
        """So many spans found no room in the queue."""
        self._tell(SPAN_ENTRY, True, count, "the queue is full")

    def sent(self, spans: list[Record], failed: bool, detail: str, seconds: float) -> None:
        """A request with ``spans`` ended."""
        self._tell(SPAN_FLUSH, failed, len(spans), detail, _has_root(spans), seconds)

    def uploaded(self, detail: str, seconds: float) -> None:
        """An upload ended; ``detail`` says why it failed, if it did."""
        self._tell(FILE_FLUSH, bool(detail), 1, detail, False, seconds)

    def _tell(self, kind: str, failed: bool, count: int, detail: str, root: bool = False, seconds: float = 0.0) -> None:
        try:
            extra = FinishEventInfoExtra(root, int(seconds * 1000))
            self._processor(FinishEventInfo(kind, failed, count, detail, extra))
        except BaseException as problem:  # noqa: BLE001 - not even SystemExit may end the daemon thread
            logger.error("trace_finish_event_processor failed: %r", problem)


def _has_root(spans: list[Record]) -> bool:
    return any(not span[PARENT_ID] for span in spans)
