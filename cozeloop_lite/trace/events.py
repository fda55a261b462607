"""What a program is told of delivery, when it asks: the events of ``trace_finish_event_processor``."""

from __future__ import annotations


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
