"""The official package has its interfaces of spans in a module of this name: ``from cozeloop.span import Span``."""

from __future__ import annotations

from .propagation import SpanContext
from .trace.span import Span

__all__ = ["CommonSpanSetter", "Span", "SpanContext"]

CommonSpanSetter = Span
