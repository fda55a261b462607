"""Spans that wait in large numbers are kept as plain tuples, which Python's garbage collector need not look at.

It looks at all objects now and then, on whatever thread it is due, which stands still meanwhile. A full queue of spans
has 200,000 of them for it, and held a caller for 30 to 60 ms. Tuples of numbers and texts it leaves alone, once it has
seen one. To pack a span and unpack it again takes about 2 µs, so it is done only once many wait.
"""

from __future__ import annotations

from ..propagation import TraceInfo
from .span import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .span import SpanOwner


class SpanPacking:
    """``pack(span)``, and ``unpack`` to a span that is as good, of the same ``owner``."""

    def __init__(self, owner: SpanOwner) -> None:
        self._owner = owner

    def pack(self, span: Span) -> Any:
        """``span``, which is finished, as a tuple; itself when it has what only few have."""
        if span._extra is not None:
            return span
        trace = span._trace
        return (
            (trace.id, trace.sampled, trace.state),
            span._name,
            span._span_type,
            span._id,
            span._parent_id,
            _flat(span._baggage),
            span._start_ns,
            span._duration_ns,
            span._finish_us,
            span._status,
            span._input,
            span._output,
            _flat(span._tags),
        )

    def unpack(self, item: Any) -> Span:
        """The span that was packed as ``item``."""
        if type(item) is not tuple:
            span: Span = item
            return span
        trace, name, kind, span_id, parent_id, baggage, start_ns, *rest, tags = item
        trace_info, owner = TraceInfo(*trace), self._owner
        span = Span(name, kind, trace_info, span_id, parent_id, _dict(baggage), start_ns, 0, None, False, owner)
        span._finished = True
        span._recording = False
        span._duration_ns, span._finish_us, span._status, span._input, span._output = rest
        span._tags = _dict(tags)
        return span


def _flat(fields: dict[str, Any]) -> tuple[Any, ...]:
    fields = fields.copy()  # in one step: another thread may still be writing
    return (*fields, *fields.values())


def _dict(flat: tuple[Any, ...]) -> dict[str, Any]:
    half = len(flat) // 2
    return dict(zip(flat[:half], flat[half:]))
