"""Requests that come in, over HTTP or as invocations of a function: the trace that one belongs to.

What is current on a thread of the server's is not the caller: that one is named by the headers, if at all. But where a
request is answered by way of another (an application of Flask inside a function for AWS Lambda, a wrapped application
inside a wrapped one), it is a part of it, and all is one trace.
"""

from __future__ import annotations

from ..propagation import extract
from ..trace import context
from ..trace.span import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client


class RequestStandIn(context.StandIn):
    """Stands for the span of a request, below all that is done to answer it."""

    __slots__ = ()


def request_span() -> Any:
    """The span of the request that is being answered here; None when none is.

    A request over HTTP is known by the stand-in at the bottom of its stack, which stays when its span was finished
    early; an invocation has the stack of its thread, and a mark for as long as its span is open.
    """
    span: Any = context.top()
    while span is not None:
        if type(span) is RequestStandIn:
            return span.span
        if not span._finished and "request" in (getattr(span, "_extra", None) or ()):
            return span
        span = span._outer
    return None


def start_span(client: Client, name: str, span_type: str, headers: Any) -> Span:
    """Start the span of a request: a part of the one that is being answered here, else a child of the span that
    ``headers`` (None: they are not trusted) name, else the root of a new trace."""
    if request_span() is not None:
        return client.start_span(name, span_type)
    return client.start_span(name, span_type, child_of=extract(headers), start_new_trace=True)


def enter(span: Span) -> None:
    """Until ``span``, which was just started, ends, it is a request that is being answered here."""
    if type(span) is Span and not span._finished:  # else of a client of the program's own; or it records nothing
        span._extras()["request"] = True
