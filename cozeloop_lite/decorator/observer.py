"""What is recorded of a call: the span around it, its arguments, its result, the items of a generator.

Best effort throughout: a hook that raises, a value that cannot be written, a client that is not configured cost a log
line, never the call.
"""

from __future__ import annotations

import copy
import functools
import itertools
from time import time_ns

from .. import clients, logger
from ..trace import content, depth, failure, uncut, values
from ..trace.span import NOOP
from . import signatures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ..client import Client
    from ..trace.span import Span

ITEM_CHARS = 10_000  # of the JSON of one item that a generator yields
KEPT_ITEMS = 100  # of what a generator yields: so many of the first, and so many of the last ones
PROCESSED_ITEMS = 100_000  # kept for a hook, which wants them all


class Observer:
    """One use of ``observe``: what it was told, and what it does when a call begins, goes on and ends."""

    name_attribute = "__qualname__"  # of a function, that names its spans

    def __init__(
        self,
        fn: Any,
        *,
        name: str | None,
        span_type: str | None,
        tags: Mapping[str, Any] | None,
        baggage: Mapping[str, str] | None,
        client: Client | None,
        process_inputs: Callable[[dict[str, Any]], Any] | None = None,
        process_outputs: Callable[[Any], Any] | None = None,
        process_iterator_outputs: Callable[[list[Any]], Any] | None = None,
        record_inputs: bool = True,
        record_outputs: bool = True,
        ultra_large_report: bool | None = None,
        gives_span: bool = False,
    ) -> None:
        self.fn = fn
        self.name = name or _name(fn, self.name_attribute)
        self.span_type = span_type or "custom"
        self.tags = tags
        self.baggage = baggage
        self.client = client
        self.process_inputs = process_inputs
        self.process_outputs = process_outputs
        self.process_items = process_iterator_outputs
        self.record_inputs = content.allowed("record_inputs", record_inputs)
        self.record_outputs = content.allowed("record_outputs", record_outputs)
        self.ultra_large_report = ultra_large_report
        self.gives_span = gives_span
        self.times_first = self.span_type == "model"  # whether a span says when the first item came
        self._signed = signatures.of(fn, through_wrappers=True)

    def of(self, fn: Any) -> Observer:
        """The same for another function."""
        other = copy.copy(self)
        other.fn = fn
        other._signed = signatures.of(fn, through_wrappers=True)
        return other

    def start(self) -> Span:
        """Start the span of a call; one that records nothing when there is no client."""
        try:
            client = self.client if self.client is not None else clients.for_tracing()
            if client is None:
                return NOOP
            span = client.start_span(self.name, self.span_type)
            span._begins = True  # its end restores exactly what was current before it
            return span
        except RecursionError:
            if depth.ABORTS:  # whoever goes on from here, and deeper, ends the process
                raise
            return NOOP
        except Exception as problem:  # noqa: BLE001 - a client of the program's own making
            logger.warn("%s is not traced: %s", self.name, values.describe(problem))
            return NOOP

    def note_arguments(self, span: Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The function is about to be called with these arguments."""
        if self.ultra_large_report is not None:
            span.set_ultra_large_report(self.ultra_large_report)
        if self.baggage:
            span.set_baggage(self.baggage)
        if self.tags:
            span.set_tags(self.tags)
        if not self.record_inputs or not span._recording:
            return
        try:
            if self.process_inputs is not None:
                span.set_input(self.process_inputs(self._for_hook(args, kwargs)))
            else:
                span.set_input(self._as_input(args, kwargs))
        except Exception as problem:  # noqa: BLE001 - a hook of the program's; the call goes on, without an input
            logger.warn("the input of %s is not recorded: %s", self.name, values.describe(problem))

    def succeed(self, span: Span, result: Any) -> None:
        """The call returned ``result``."""
        try:
            self._set_output(span, result, self.process_outputs)
        finally:  # whatever a hook does, sys.exit() included
            self._finish(span)

    def fail(self, span: Span, error: BaseException) -> None:
        """The call raised ``error``, or (GeneratorExit) is a coroutine or generator that was closed."""
        try:
            self._set_error(span, error)
        finally:
            self._finish(span)

    def end(self, span: Span, items: Items, error: BaseException | None) -> None:
        """A generator or stream came to its end, to an error, or (GeneratorExit) to where nobody wants more of it."""
        try:
            hook = self.process_items or self.process_outputs
            if hook is None:
                self._set_output(span, items.text(), None)
            elif span._recording:
                self._set_output(span, items.kept(self.name), hook)
        finally:
            if error is None:
                self._finish(span)
            else:
                self.fail(span, error)

    def _for_hook(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """What ``process_inputs`` is given. The dicts are its own: what it does to them must not change the call."""
        return {"args": args, "kwargs": dict(kwargs)}

    def _as_input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The input of a call with these arguments."""
        return {"args": args, "kwargs": kwargs} if self._signed is None else self._signed.by_name(args, kwargs)

    def _set_error(self, span: Span, error: BaseException) -> None:
        """What is closed has not failed, it is incomplete."""
        if isinstance(error, GeneratorExit):
            span.set_tags({"incomplete": True})
        else:
            failure.record(span, error)

    def _finish(self, span: Span) -> None:
        span.finish()

    def _set_output(self, span: Span, output: Any, hook: Callable[[Any], Any] | None) -> None:
        if not self.record_outputs or not span._recording:
            return
        if span._output is not None:  # what the function set itself is better informed
            return
        try:
            if hook is not None:
                output = hook(output)
                _set_tokens(span, output)
            span.set_output(output)
        except Exception as problem:  # noqa: BLE001 - a hook of the program's
            logger.warn("the output of %s is not recorded: %s", self.name, values.describe(problem))


class Items:
    """What a generator yielded: the first and the last of it, so that a million items take no more room than 300.

    Without a hook to process them, items are snapshots: what the consumer does to them later is not recorded.
    """

    def __init__(self, observer: Observer, span: Span) -> None:
        self._hooked = observer.process_items is not None or observer.process_outputs is not None
        self._first_limit = PROCESSED_ITEMS if self._hooked else KEPT_ITEMS
        self._keep = observer.record_outputs and span._recording and span._owner.record_outputs
        self._whole = uncut.sees(span)
        self._room = span._owner.text_chars * 9 // 10  # for the first items; the rest have less
        self._span = span
        self._times_first = observer.times_first
        self._first: list[Any] = []
        self._last: list[Any] = []
        self._counter = itertools.count(1)  # one atomic step: several threads may share a stream
        self._count = 0

    def add(self, item: Any) -> None:
        """Take note of an item. Never raises."""
        self._count = next(self._counter)
        if self._times_first:
            self._times_first = False
            if "start_time_first_resp" not in self._span._tags:
                self._span.set_start_time_first_resp(time_ns() // 1000)
        if not self._keep:
            return
        if len(self._first) < self._first_limit:
            kept = item if self._hooked else _snapshot(item, max(ITEM_CHARS, self._room), self._whole)
            self._first.append(kept)
            if type(kept) in _TEXTS:
                self._room -= len(kept)
            return
        self._last.append(item if self._hooked else _snapshot(item, ITEM_CHARS, self._whole))
        if len(self._last) >= 2 * KEPT_ITEMS:
            del self._last[:KEPT_ITEMS]

    def kept(self, name: str) -> list[Any]:
        """The items, for a hook."""
        left_out = self._left_out()
        if left_out:
            logger.warn("not all that %s yielded was kept for its hook: %d in the middle are missing", name, left_out)
        return self._first + self._last[-KEPT_ITEMS:]

    def text(self) -> str | None:
        """The items as a JSON array; those left out are counted where they would stand."""
        if not self._keep:
            return None
        left_out = self._left_out()
        gap = ['"… %d more …"' % left_out] if left_out else []
        every = [_json(item) for item in self._first] + gap + [_json(item) for item in self._last[-KEPT_ITEMS:]]
        return "[" + ",".join(every) + "]"

    def _left_out(self) -> int:
        return max(0, self._count - len(self._first) - len(self._last[-KEPT_ITEMS:])) if self._keep else 0


def _set_tokens(span: Span, output: Any) -> None:
    """The token counts that a hook returns beside its output."""
    tokens = output.get("_inner_tokens_dict") if isinstance(output, dict) else None
    if isinstance(tokens, dict):
        span.set_tags({key: tokens.get(key) for key in ("input_tokens", "output_tokens")})


class _Json(str):
    """An item that is JSON already."""


_TEXTS = (str, _Json)
_IMMUTABLE = frozenset([str, int, float, bool, type(None)])


def _snapshot(item: Any, limit: int, whole: bool) -> Any:
    """What later changes to ``item`` cannot touch: the item itself, or its JSON of at most ``limit`` characters.

    If it has more, it is cut, or left out where it must be ``whole``.
    """
    if type(item) in _IMMUTABLE and (type(item) is not str or len(item) <= limit):
        return item  # most of what is left out in the end need not become JSON before
    text = values.to_text([item], uncut.Limit(limit) if whole else limit) or ""
    if len(text) > limit:
        shown = "… more than %d characters …" % limit if whole else text[1 : limit // 2] + "…"
        text = values.to_text([shown], 2 * limit) or ""  # its quotes and backslashes double
    return _Json(text[1:-1])


def _json(kept: Any) -> str:
    """The JSON of a snapshot."""
    if type(kept) is _Json:
        return kept
    limit = 6 * len(kept) + 4 if type(kept) is str else values.MAX_COPIED  # a control character is six of JSON
    return (values.to_text([kept], limit) or "")[1:-1]


def _name(fn: Any, attribute: str) -> str:
    """The name of a function that has it in ``attribute``, be it that of a partial."""
    try:
        while isinstance(fn, functools.partial):
            fn = fn.func
        name = getattr(fn, attribute, None)
        if isinstance(name, str):
            return name
    except Exception:  # noqa: BLE001, S110 - an object that fails when it is looked at
        pass
    return str(getattr(type(fn), attribute))
