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
        """``span``, which is finished, as a tuple; itself when it has what only few have.

        A tuple without others in it: each level is one more round until the garbage collector leaves it alone.
        """
        if span._extra is not None:
            return span
        trace, baggage = span._trace, span._baggage
        tags = span._tags.copy()  # in one step: another thread may still be writing
        return (
            span._name,
            span._span_type,
            trace.id,
            trace.sampled,
            trace.state,
            span._id,
            span._parent_id,
            span._start_ns,
            span._duration_ns,
            span._finish_us,
            span._status,
            span._input,
            span._output,
            len(baggage),
            *baggage,
            *baggage.values(),
            *tags,
            *tags.values(),
        )

    def unpack(self, item: Any) -> Span:
        """The span that was packed as ``item``."""
        if type(item) is not tuple:
            span: Span = item
            return span
        (
            name, kind, trace_id, sampled, state, span_id, parent_id, start_ns, duration_ns, finish_us, status, given,
            returned, count, *fields,
        ) = item  # fmt: skip
        trace = TraceInfo(trace_id, sampled, state)
        baggage = _dict(fields[: 2 * count]) if count else {}
        span = Span(name, kind, trace, span_id, parent_id, baggage, start_ns, 0, None, False, self._owner)
        span._finished = True
        span._recording = False
        span._duration_ns, span._finish_us, span._status = duration_ns, finish_us, status
        span._input, span._output = given, returned
        span._tags = _dict(fields[2 * count :])
        return span


def _dict(flat: list[Any]) -> dict[str, Any]:
    """Of keys, then their values."""
    half = len(flat) // 2
    return dict(zip(flat[:half], flat[half:]))
