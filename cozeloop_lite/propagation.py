"""Header propagation: what makes spans in two services one trace. All of it is here.

Two families of headers say the same: CozeLoop's own (``X-Cozeloop-Traceparent``, ``X-Cozeloop-Tracestate``; contract
siblings.md 2.9) and W3C's (``traceparent``, ``tracestate``, ``baggage``; W3C Trace Context and Baggage).
:func:`inject` writes both, :func:`extract` reads either, CozeLoop's first. What arrives is hostile: a malformed
header never raises, it starts a new trace and keeps the baggage; a bad baggage item costs itself. What leaves is
percent-encoded, so that no value can smuggle a line break or a second item.
"""

from __future__ import annotations

import re

from . import logger
from .trace import context, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, MutableMapping

    _StringDict = Dict[str, str]
else:
    _StringDict = dict

__all__ = ["SpanContext", "extract", "inject"]

COZELOOP_TRACEPARENT = "X-Cozeloop-Traceparent"
COZELOOP_TRACESTATE = "X-Cozeloop-Tracestate"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
BAGGAGE = "baggage"

MAX_ITEM_BYTES = 1024  # of a baggage key or value, contract siblings.md 2.9
MAX_ITEMS = 64  # W3C Baggage 3.3.2
MAX_BAGGAGE_CHARS = 8192  # W3C Baggage 3.3.2
MAX_READ_CHARS = 2 * MAX_BAGGAGE_CHARS  # of one header, or of several of one name
MAX_STATE_CHARS = 512  # W3C Trace Context 3.3.1.5
MAX_HEADERS = 1000  # looked at in one call

_WANTED = frozenset([COZELOOP_TRACEPARENT.lower(), COZELOOP_TRACESTATE.lower(), TRACEPARENT, TRACESTATE, BAGGAGE])
# Patterns, compiled with the first header instead of with the import.
# CozeLoop: four parts, ids in any case, version and flags unchecked (contract siblings.md 2.9).
_COZELOOP_PARENT = r"[^-]*-([0-9a-fA-F]{32})-([0-9a-fA-F]{16})-([^-]*)\Z"
# W3C Trace Context 3.2.2: version ff is invalid, version 00 ends after the flags, later ones may go on.
_W3C_PARENT = r"(?s)(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z"
_STATE = r"[\x20-\x7e]*\Z"


class TraceInfo:
    """What all spans of a trace in this process share: its id, whether it is sampled, and the W3C ``tracestate``."""

    __slots__ = ("id", "sampled", "state")

    def __init__(self, trace_id: int, sampled: bool | None = True, state: str = "") -> None:
        self.id = trace_id  # 0: none
        self.sampled = sampled  # None: whoever continues the trace decides
        self.state = state


NO_TRACE = TraceInfo(0, sampled=False)
"""Of a context that was given no ids: a child of it takes the current span as its parent."""
NEW_TRACE = TraceInfo(0)
"""Of a context whose ids were malformed: a child of it starts a new trace."""


class Baggage(_StringDict):
    """A dict that can be called, since of a span of the official client it is a method: ``span.baggage()``."""

    __slots__ = ()

    def __call__(self) -> dict[str, str]:
        return dict(self)


class SpanContext:
    """Where in which trace a span is: what crosses from one service to another.

    Made by :func:`cozeloop_lite.get_span_from_header`; every ``Span`` is one. Pass it to ``start_span(child_of=...)``.
    """

    __slots__ = ("_baggage", "_id", "_trace")

    def __init__(self, trace: TraceInfo, span_id: int, baggage: dict[str, str]) -> None:
        self._trace = trace
        self._id = span_id
        self._baggage = baggage  # never modified: spans hand it on to their children as it is

    @property
    def trace_id(self) -> str:
        """32 lower-case hexadecimal digits; ``""`` when there is no trace."""
        return "%032x" % self._trace.id if self._trace.id else ""

    @property
    def span_id(self) -> str:
        """16 lower-case hexadecimal digits; ``""`` when there is no span."""
        return "%016x" % self._id if self._id else ""

    @property
    def baggage(self) -> Baggage:
        """A copy of the baggage: what all descendants inherit, in this process and beyond. Or ``baggage()``."""
        return Baggage(self._baggage)

    def to_header(self) -> dict[str, str]:
        """The two CozeLoop headers that make another service's spans children of this one; ``{}`` without a span.

        :func:`cozeloop_lite.inject` writes the W3C headers as well.
        """
        if not self._trace.id:
            return {}
        return {COZELOOP_TRACEPARENT: _parent(self), COZELOOP_TRACESTATE: _items(self._baggage)}

    def __repr__(self) -> str:
        return "<%s trace_id=%r span_id=%r>" % (type(self).__name__, self.trace_id, self.span_id)


def inject(headers: MutableMapping[str, str] | None = None, span: SpanContext | None = None) -> Any:
    """Write the headers of ``span`` (default: the current span) into ``headers`` and return them.

    Both families are written; what ``headers`` held under their names, in any case, is replaced. Without a span nothing
    is written. Never raises.

    >>> requests.get(url, headers=inject({"Accept": "text/plain"}))  # doctest: +SKIP
    """
    result: Any = {} if headers is None else headers
    try:
        source = span if span is not None else context.current()
        if source is None or not source._trace.id:
            return result
        for name in [name for name in result if str(name).lower() in _WANTED]:
            if name in result:  # of a multidict that has it twice, the first del takes both
                del result[name]
        parent, items = _parent(source), _items(source._baggage)
        result[COZELOOP_TRACEPARENT] = result[TRACEPARENT] = parent
        if items:
            result[COZELOOP_TRACESTATE] = result[BAGGAGE] = items
        if source._trace.state:
            result[TRACESTATE] = source._trace.state
    except Exception as problem:  # noqa: BLE001 - the request of the host goes out without our headers
        logger.warn("inject() could not write into %s: %s", values.type_name(result), problem)
    return result


def extract(headers: Any) -> SpanContext:
    """Read the span that a request came from; give the result to ``start_span(child_of=...)``.

    ``headers`` may be a mapping (names in any case), a list of pairs (text or bytes), a WSGI environ, or a Lambda event
    with ``headers`` in it. Never raises: without usable ids the result has none, and keeps the baggage.
    """
    try:
        found = _wanted(headers)
    except Exception as problem:  # noqa: BLE001 - not headers at all
        logger.warn("extract() takes headers (of a request), and failed on %s: %s", values.type_name(headers), problem)
        found = {}
    trace, span_id = _read_parent(found)
    return SpanContext(trace, span_id, _read_items(found.get(COZELOOP_TRACESTATE.lower()) or found.get(BAGGAGE, "")))


def baggage_fault(key: Any, value: Any) -> str:
    """Why ``key`` and ``value`` cannot be baggage, in words; ``""`` when they can (contract siblings.md 2.9)."""
    for what, text in (("key", key), ("value", value)):
        if not issubclass(type(text), str):  # isinstance() would ask the object, which may fail
            return "its %s is of the type %s, not str" % (what, values.type_name(text))
        text = str.__str__(text)  # of a subclass, which may have code of its own, the text alone
        if len(text) > MAX_ITEM_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_ITEM_BYTES:
            return "its %s is longer than %d bytes" % (what, MAX_ITEM_BYTES)
    key = str.__str__(key)
    if not key:
        return "its key is empty"
    return "its key contains = or ," if "=" in key or "," in key else ""


# -- writing ------------------------------------------------------------------------------------------------------


def _parent(source: SpanContext) -> str:
    return "00-%032x-%016x-%s" % (source._trace.id, source._id, "00" if source._trace.sampled is False else "01")


def _items(baggage: dict[str, str]) -> str:
    if not baggage:
        return ""
    from urllib.parse import quote

    parts: list[str] = []
    left = MAX_BAGGAGE_CHARS
    for key, value in baggage.items():
        if not value:  # a value here, but no reader would take it from a header (contract siblings.md 2.9)
            continue
        part = quote(key, safe="", errors="replace") + "=" + quote(value, safe="", errors="replace")
        left -= len(part) + 1
        if left < 0 or len(parts) == MAX_ITEMS:
            logger.warn("only %d baggage items and %d characters are sent on", MAX_ITEMS, MAX_BAGGAGE_CHARS)
            break
        parts.append(part)
    return ",".join(parts)


# -- reading ------------------------------------------------------------------------------------------------------


def _wanted(headers: Any) -> dict[str, str]:
    """The five headers, by lower-case name, out of whatever shape headers come in."""
    found: dict[str, str] = {}
    for number, (name, value) in enumerate(_pairs(headers)):
        if number >= MAX_HEADERS:
            break
        if value is None:  # a framework's way to say that there is no such header
            continue
        name = _text(name).lower()
        if name.startswith("http_"):  # a WSGI environ
            name = name[5:].replace("_", "-")
        if name in _WANTED:
            text = ",".join(_text(item) for item in value) if isinstance(value, (list, tuple)) else _text(value)
            text = text[:MAX_READ_CHARS].strip()
            if text:  # repeated headers are one list (RFC 9110 5.3); a repeated parent is malformed, as it should be
                found[name] = (found[name] + "," + text)[:MAX_READ_CHARS] if name in found else text
    return found


def _pairs(headers: Any) -> Iterable[tuple[Any, Any]]:
    if headers is None:
        return ()
    if not hasattr(headers, "items"):
        return headers  # type: ignore[no-any-return]
    for key in ("headers", "multiValueHeaders"):  # an event of AWS Lambda
        inner = headers.get(key) if hasattr(headers, "get") else None
        if inner and hasattr(inner, "items"):
            return inner.items()  # type: ignore[no-any-return]
        if inner and isinstance(inner, (list, tuple)):  # the scope of ASGI
            return inner
    return headers.items()  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str.__str__(str(value))


def _read_parent(found: dict[str, str]) -> tuple[TraceInfo, int]:
    own = found.get(COZELOOP_TRACEPARENT.lower())
    w3c = found.get(TRACEPARENT)
    if own:
        match = re.match(_COZELOOP_PARENT, own)
        trace_hex, span_hex, flags = match.groups() if match else ("0", "0", "")
        sampled: bool | None = flags != "00"
    elif w3c:
        match = re.match(_W3C_PARENT, w3c)
        if match and match.group(1) == "00" and match.group(5):
            match = None
        trace_hex, span_hex = (match.group(2), match.group(3)) if match else ("0", "0")
        sampled = None  # W3C's flag is another tracing system's decision, not one about CozeLoop's traces
    else:
        return NO_TRACE, 0
    trace_id, span_id = int(trace_hex, 16), int(span_hex, 16)
    if not trace_id or not span_id:
        logger.warn("a malformed %s header starts a new trace", COZELOOP_TRACEPARENT if own else TRACEPARENT)
        return NEW_TRACE, 0
    state = found.get(TRACESTATE, "")
    if len(state) > MAX_STATE_CHARS or not re.match(_STATE, state):
        state = ""
    return TraceInfo(trace_id, sampled, state), span_id


def _read_items(text: str) -> dict[str, str]:
    baggage: dict[str, str] = {}
    if not text:
        return baggage
    from urllib.parse import unquote_plus

    for item in text.split(",", 2 * MAX_ITEMS)[: 2 * MAX_ITEMS]:
        key, _, value = item.partition(";")[0].partition("=")  # W3C: properties after a semicolon are not values
        key, value = unquote_plus(key.strip()), unquote_plus(value.strip())
        if not item.strip():
            continue
        if not value or baggage_fault(key, value) or len(baggage) == MAX_ITEMS:
            logger.warn("a baggage item that arrived was left out: it is malformed, too long, or one too many")
            continue
        baggage[key] = value
    return baggage
