"""The program's own log lines, found from a trace, and the trace from a log line: both have the same ids.

    handler = logging.StreamHandler()
    handler.addFilter(TraceFilter())
    handler.setFormatter(logging.Formatter("%(levelname)s trace=%(trace_id)s span=%(span_id)s %(message)s"))
"""

from __future__ import annotations

import logging

from ..trace import context
from ..trace.span import NOOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["TraceFilter"]

MAX_ABOVE = 100  # spans that are looked at for a log id


class TraceFilter(logging.Filter):
    """Gives each log record ``trace_id``, ``span_id`` and ``log_id``: those of the current span, or ``""``.

    To be added to a handler; a filter of a logger does not see what its children log. It lets every record pass, and
    changes none of the three where a record has them already (by ``extra=``, or from another thread through a queue).

    ``log_id`` is what :meth:`Span.set_log_id` was given, on the current span or the nearest one around it in its trace.

    Args:
        make_log_ids: whether a span in which something is logged gets a log id where it has none, so that the platform
            shows it and ``search_trace(log_id=...)`` finds the trace: that of the spans around it, else the trace id.
    """

    def __init__(self, *, make_log_ids: bool = False) -> None:
        super().__init__()
        self._make_log_ids = make_log_ids

    def filter(self, record: logging.LogRecord) -> bool:
        """True, after the ids were put on ``record``."""
        span = context.current()
        found = {"trace_id": "", "span_id": "", "log_id": ""}
        if span is not None:
            found = {"trace_id": "%032x" % span._trace.id, "span_id": "%016x" % span._id, "log_id": _log_id(span)}
            if self._make_log_ids:
                found["log_id"] = found["log_id"] or found["trace_id"]
                (context.current_span() or NOOP).set_log_id(found["log_id"])
        for name, value in found.items():
            record.__dict__.setdefault(name, value)
        return True


def _log_id(span: Any) -> str:
    """The log id of ``span``, or of the nearest one around it, in the same trace, that has one."""
    trace = span._trace
    for _ in range(MAX_ABOVE):
        extra = getattr(span.span if isinstance(span, context.StandIn) else span, "_extra", None)
        if extra and extra.get("log_id"):
            return str(extra["log_id"])
        span = span._outer
        if span is None or span._trace is not trace:
            break
    return ""
