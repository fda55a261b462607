"""Stored traces as trees for a terminal.

Spans are hostile input: whatever stands in a name is shown escaped, so that no span can move the cursor or colour the
screen; cycles, orphans and a depth of thousands are drawn, not died of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping, Sequence

    Span = Mapping[str, Any]

MAX_NAME = 80  # characters shown
MAX_ERROR = 200
MAX_INDENT = 30  # levels drawn; deeper spans say how deep they are instead

_WIDE_SPACE = "\u3000"  # of Chinese text; Python calls it not printable
_BRANCH, _LAST, _PIPE, _SPACE = "├─ ", "└─ ", "│  ", "   "
_RED, _GREEN, _YELLOW, _CYAN, _RESET = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[0m"


def render(spans: Sequence[Span], *, color: bool = False, bars: int = 0) -> Iterator[str]:
    """The lines of one trace, without line ends. ``spans`` as ``Store.spans(trace_id)`` or ``local/api.py`` gives them.

    ``bars``: how many characters wide the bars are which show when a span was at work; 0: none.
    """
    if not spans:
        return
    paint = _Paint(color)
    start = min(_number(span.get("started_at_micros")) for span in spans)
    end = max(_number(span.get("started_at_micros")) + _number(span.get("duration_micros")) for span in spans)
    trace_id = escape(spans[0].get("trace_id"), MAX_NAME)
    yield f"{paint(_CYAN, 'trace ' + trace_id)}  {len(spans)} span(s)  {duration(end - start)}"
    for span, depth, prefix, last in _walk(spans):
        bar = _bar(span, start, end, bars, paint)
        deep = f"(depth {depth}) " if depth > MAX_INDENT else ""
        yield bar + prefix + (_LAST if last else _BRANCH) + deep + _line(span, paint)
        warnings = span.get("warnings")
        below = _bar(None, start, end, bars, paint) + prefix + (_SPACE if last else _PIPE) + _SPACE
        for warning in warnings if isinstance(warnings, list) else ():
            yield below + paint(_YELLOW, "⚠ " + escape(warning, MAX_ERROR))


def render_list(traces: Sequence[Mapping[str, Any]], *, color: bool = False) -> Iterator[str]:
    """One line a trace. ``traces`` as ``Store.traces()`` gives them."""
    paint = _Paint(color)
    for trace in traces:
        line = f"{paint(_CYAN, escape(trace.get('trace_id'), MAX_NAME))}  {escape(trace.get('name'), MAX_NAME)}"
        line += f"  {_number(trace.get('spans'))} span(s)  {duration(_number(trace.get('duration_micros')))}"
        if _number(trace.get("errors")):
            line += "  " + paint(_RED, f"{_number(trace.get('errors'))} error(s)")
        if _number(trace.get("warnings")):
            line += "  " + paint(_YELLOW, f"⚠ {_number(trace.get('warnings'))}")
        yield line


def escape(value: object, limit: int) -> str:
    """``limit`` characters of ``value``, safe on a terminal: control and invisible characters are escaped."""
    text = str(value) if isinstance(value, (str, int, float)) else ""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(c if c.isprintable() or c == _WIDE_SPACE else ascii(c)[1:-1] for c in text)


def duration(micros: int) -> str:
    """Microseconds as people read them."""
    if micros < 1000:
        return f"{micros} µs"
    if micros < 1000000:
        return f"{micros / 1000:.1f} ms"
    return f"{micros / 1000000:.2f} s"


def has_root(spans: Sequence[Span]) -> bool:
    """Whether the root of the trace is among its spans."""
    return any(_is_root(span) for span in spans)


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, code: str, text: str) -> str:
        return code + text + _RESET if self._color else text


def _bar(span: Span | None, start: int, end: int, width: int, paint: _Paint) -> str:
    """Where a span lies in its trace; without ``span``, as much space."""
    if not width:
        return ""
    if span is None:
        return " " * (width + 2)
    began = _number(span.get("started_at_micros")) - start
    ended = began + max(0, _number(span.get("duration_micros")))
    whole = max(end - start, 1)
    first = min(began * width // whole, width - 1)
    length = max(1, min(-(-ended * width // whole), width) - first)
    text = ("█" if ended > began else "▏") * length
    code = _RED if _number(span.get("status_code")) else _CYAN
    return " " * first + paint(code, text) + " " * (width - first - length + 2)


def _line(span: Span, paint: _Paint) -> str:
    tags = span.get("tags_string", span)
    error = tags.get("error") if isinstance(tags, dict) else None
    status = _number(span.get("status_code"))
    parts = [
        escape(span.get("span_name"), MAX_NAME) or "(no name)",
        paint(_CYAN, escape(span.get("span_type"), MAX_NAME) or "-"),
        duration(_number(span.get("duration_micros"))),
        paint(_GREEN, "ok") if status == 0 else paint(_RED, f"error {status}"),
        _tokens(span),
        paint(_RED, escape(error, MAX_ERROR)) if error else "",
        paint(_YELLOW, "(dropped)") if span.get("dropped") else "",
    ]
    return "  ".join(part for part in parts if part)


def _tokens(span: Span) -> str:
    tags = span.get("tags_long", span)
    if not isinstance(tags, dict):
        return ""
    into, out, both = (_number(tags.get(name)) for name in ("input_tokens", "output_tokens", "tokens"))
    if into or out:
        return f"tokens {into} in, {out} out"
    return f"tokens {both}" if both else ""


def _number(value: object) -> int:
    # A tree may come from another server's JSON, where an int64 is a decimal string (contract backend.md 1.4).
    try:
        number: int = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def _is_root(span: Span) -> bool:
    return span.get("parent_id") in ("", "0", None)


def _id(span: Span, key: str) -> str:
    return str(span.get(key))


def _walk(spans: Sequence[Span]) -> Iterator[tuple[Span, int, str, bool]]:
    """Each span once, parents first: the span, its depth, what stands before its branch, and whether it is the last."""
    ordered = sorted(spans, key=lambda span: _number(span.get("started_at_micros")))
    present = {_id(span, "span_id") for span in ordered}
    children: dict[str, list[Span]] = {}
    roots: list[Span] = []
    for span in ordered:
        # Contract backend.md 2.5: a span whose parent is absent is shown as a root.
        if _is_root(span) or _id(span, "parent_id") not in present:
            roots.append(span)
        else:
            children.setdefault(_id(span, "parent_id"), []).append(span)
    _open_cycles(ordered, roots, children)
    stack = [(span, 0, "", span is roots[-1]) for span in reversed(roots)]
    while stack:  # not recursive: a trace may be deeper than Python's stack
        span, depth, prefix, last = stack.pop()
        yield span, depth, prefix, last
        below = prefix if depth >= MAX_INDENT else prefix + (_SPACE if last else _PIPE)
        found = children.pop(_id(span, "span_id"), [])
        stack.extend((child, depth + 1, below, child is found[-1]) for child in reversed(found))


def _open_cycles(ordered: Sequence[Span], roots: list[Span], children: dict[str, list[Span]]) -> None:
    """Make the earliest span of each cycle a root: no walk from the roots would come there."""
    reached: set[int] = set()
    for root in roots:
        _reach(root, children, reached)
    for span in ordered:
        if id(span) not in reached:
            siblings = children[_id(span, "parent_id")]
            children[_id(span, "parent_id")] = [sibling for sibling in siblings if sibling is not span]
            roots.append(span)
            _reach(span, children, reached)


def _reach(start: Span, children: Mapping[str, list[Span]], reached: set[int]) -> None:
    stack = [start]
    while stack:
        span = stack.pop()
        if id(span) not in reached:
            reached.add(id(span))
            stack.extend(children.get(_id(span, "span_id"), ()))
