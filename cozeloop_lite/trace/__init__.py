"""Tracing: a span is started (tracer), filled (span, values), finished into a queue, encoded and sent (exporter)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client import Client as TraceClient

__all__ = ["TraceClient"]


def __getattr__(name: str) -> object:
    if name == "TraceClient":  # the official package has this interface here; loaded when it is asked for
        from ..client import Client

        return Client
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
