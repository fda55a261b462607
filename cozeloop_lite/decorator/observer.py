"""What is recorded of a call: the span around it, its arguments, its result, the items of a generator.

Best effort throughout: a hook that raises, a value that cannot be written, a client that is not configured cost a log
line, never the call.
"""

from __future__ import annotations

from time import time_ns

from .. import client as clients
from .. import logger
from ..trace import failure, values
from ..trace.span import NOOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ..client import Client
    from ..trace.span import Span

ITEM_CHARS = 10_000  # of the JSON of one item that a generator yields
KEPT_ITEMS = 100  # of what a generator yields: so many of the first, and so many of the last ones
PROCESSED_ITEMS = 100_000  # kept for a hook, which wants them all

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # inspect.CO_*; importing inspect would cost more than all of this package


class Observer:
    """One use of ``observe``: what it was told, and what it does when a call begins, goes on and ends."""

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
        self.name = name or getattr(fn, "__qualname__", None) or type(fn).__qualname__
        self.span_type = span_type or "custom"
        self.tags = dict(tags) if tags else None
        self.baggage = dict(baggage) if baggage else None
        self.client = client
        self.process_inputs = process_inputs
        self.process_outputs = process_outputs
        self.process_items = process_iterator_outputs
        self.record_inputs = record_inputs
        self.record_outputs = record_outputs
        self.ultra_large_report = ultra_large_report
        self.gives_span = gives_span

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
        """Start the span of a call; one that records nothing when there is no client."""
        span = NOOP
        try:
            client = self.client or clients._tracing_client()
            if client is None:
                return span
            span = client.start_span(self.name, self.span_type)
            span._begins = True  # its end restores exactly what was current before it
            if self.ultra_large_report is not None:
                span.set_ultra_large_report(self.ultra_large_report)
            if self.baggage:
                span.set_baggage(self.baggage)
            if self.tags:
                span.set_tags(self.tags)
            if self.record_inputs:
                if self.process_inputs is not None:
                    span.set_input(self.process_inputs({"args": args, "kwargs": kwargs}))
                else:
                    span.set_input(_by_name(self.fn, args, kwargs))
        except Exception as problem:  # noqa: BLE001 - a hook of the program's; the call goes on, without an input
            logger.warn("the input of %s is not recorded: %r", self.name, problem)
        return span

    def call(self, span: Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call itself."""
        return self.fn(span) if self.gives_span else self.fn(*args, **kwargs)

    def succeed(self, span: Span, result: Any) -> None:
        """The call returned ``result``."""
        self._set_output(span, result, self.process_outputs)
        span.finish()

    def fail(self, span: Span, error: BaseException) -> None:
        """The call raised ``error``; a coroutine or generator that is closed has not failed, it is incomplete."""
        if isinstance(error, GeneratorExit):
            span.set_tags({"incomplete": True})
        else:
            failure.record(span, error)
        span.finish()

    def end(self, span: Span, items: Items, error: BaseException | None = None) -> None:
        """A generator or stream came to its end, to an error, or to where nobody wants more of it."""
        hook = self.process_items or self.process_outputs
        if hook is not None:
            self._set_output(span, items.kept(), hook)
        else:
            self._set_output(span, items.text(), None)
        if error is None:
            span.finish()
        else:
            self.fail(span, error)

    def _set_output(self, span: Span, output: Any, hook: Callable[[Any], Any] | None) -> None:
        if not self.record_outputs or span._output is not None:  # what the function set itself is better informed
            return
        try:
            if hook is not None:
                output = hook(output)
            span.set_output(output)
            tokens = output.get("_inner_tokens_dict") if type(output) is dict else None
            if tokens:
                span.set_tags({key: tokens[key] for key in ("input_tokens", "output_tokens") if tokens.get(key)})
        except Exception as problem:  # noqa: BLE001 - a hook of the program's
            logger.warn("the output of %s is not recorded: %r", self.name, problem)


class Items:
    """What a generator yielded: the first and the last of it, so that a million items take no more room than 300.

    Without a hook to process them, items are snapshots: what the consumer does to them later is not recorded.
    """

    def __init__(self, observer: Observer, span: Span) -> None:
        self._hooked = observer.process_items is not None or observer.process_outputs is not None
        self._first_limit = PROCESSED_ITEMS if self._hooked else KEPT_ITEMS
        self._keep = observer.record_outputs and span._recording
        self._span = span
        self._times_first = observer.span_type == "model"
        self._first: list[Any] = []
        self._last: list[Any] = []
        self._count = 0

    def add(self, item: Any) -> None:
        """Take note of an item. Never raises."""
        self._count += 1
        if self._times_first and self._count == 1:
            self._span.set_start_time_first_resp(time_ns() // 1000)
        if not self._keep:
            return
        kept = item if self._hooked else _json_item(item)
        if len(self._first) < self._first_limit:
            self._first.append(kept)
            return
        self._last.append(kept)
        if len(self._last) >= 2 * KEPT_ITEMS:
            del self._last[:KEPT_ITEMS]

    def kept(self) -> list[Any]:
        """The items, for a hook."""
        return self._first + self._last[-KEPT_ITEMS:]

    def text(self) -> str | None:
        """The items as a JSON array; those left out are counted where they would stand."""
        if not self._keep:
            return None
        last = self._last[-KEPT_ITEMS:]
        left_out = self._count - len(self._first) - len(last)
        gap = ['"… %d more …"' % left_out] if left_out else []
        return "[" + ",".join(self._first + gap + last) + "]"


def _by_name(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of their parameters, defaults included, without ``self`` and ``cls``."""
    code = getattr(fn, "__code__", None)
    if code is None:  # a builtin or a callable object
        return {"args": args, "kwargs": kwargs}
    count = code.co_argcount
    names = code.co_varnames[: count + code.co_kwonlyargcount + 2]
    bound = getattr(fn, "__self__", None) is not None
    if bound:
        args = (fn.__self__, *args)
    defaults = fn.__defaults__ or ()
    given: dict[str, Any] = dict(zip(names[count - len(defaults) : count], defaults))
    given.update(fn.__kwdefaults__ or {})
    given.update(zip(names[:count], args))
    known = set(names[: count + code.co_kwonlyargcount])
    given.update((name, value) for name, value in kwargs.items() if name in known)
    result = {name: given[name] for name in names[: count + code.co_kwonlyargcount] if name in given}
    rest = count + code.co_kwonlyargcount
    if code.co_flags & _VARARGS:
        result[code.co_varnames[rest]] = args[count:]
        rest += 1
    if code.co_flags & _VARKEYWORDS:
        result[code.co_varnames[rest]] = {name: value for name, value in kwargs.items() if name not in known}
    if count and (bound or names[0] in ("self", "cls")):
        result.pop(names[0], None)
    return result


def _json_item(item: Any) -> str:
    text = values.to_text([item], ITEM_CHARS) or ""
    if len(text) > ITEM_CHARS:
        text = values.to_text([text[1:ITEM_CHARS] + "…"], 2 * ITEM_CHARS) or ""
    return text[1:-1]
