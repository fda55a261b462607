"""A wrapper for each kind of function, and the mechanism that drives what runs in steps.

A wrapper is itself of the kind that it wraps (``inspect`` and event loops look), and keeps the protocol of ``send``,
``throw``, ``close`` and return values to the letter.
"""

from __future__ import annotations

import functools
import types

from ..trace import context
from .observer import Items, Observer
from .steps import Steps
from .stream import ObservedStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncGenerator, Callable, Generator

# What kind of function it is (inspect.CO_*)
_VARARGS, _GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x04, 0x20, 0x80, 0x100, 0x200


def wrap(observer: Observer) -> Any:
    flags = _flags(observer.fn)
    if flags & _ASYNC_GENERATOR:
        wrapper = _async_generator(observer)
    elif flags & _COROUTINE:
        wrapper = _coroutine(observer)
    elif flags & _GENERATOR:
        wrapper = _generator(observer)
        if flags & _ITERABLE_COROUTINE:
            wrapper = types.coroutine(wrapper)
    else:
        wrapper = _function(observer)
    return functools.wraps(observer.fn)(wrapper)


def _function(observer: Observer) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = observer.begin(args, kwargs)
        try:
            result = observer.call(span, args, kwargs)
        except BaseException as error:
            observer.fail(span, error)
            raise
        if observer.process_items is not None and (hasattr(result, "__next__") or hasattr(result, "__anext__")):
            return ObservedStream(result, observer, span, context.Stack(span))
        observer.succeed(span, result)
        return result

    return wrapper


def _generator(observer: Observer) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = observer.begin(args, kwargs)
        stack = context.Stack(span)
        items = Items(observer, span)
        steps = Steps(stack, items.add)
        try:
            result = yield from steps.of(observer.call(span, args, kwargs))
        except BaseException as error:
            observer.end(span, items, error)
            if isinstance(error, GeneratorExit) and steps.returned:
                return steps.value  # closed, and answered by returning: since CPython 3.13 close() gives that value
            raise
        observer.end(span, items)
        return result

    return wrapper


def _coroutine(observer: Observer) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = observer.begin(args, kwargs)
        steps = Steps(context.Stack(span))
        try:
            result = await steps.awaiting(observer.call(span, args, kwargs))
        except BaseException as error:
            observer.fail(span, error)
            raise
        observer.succeed(span, result)
        return result

    return wrapper


def _async_generator(observer: Observer) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = observer.begin(args, kwargs)
        steps = Steps(context.Stack(span))
        items = Items(observer, span)
        try:
            source = observer.call(span, args, kwargs)
            step = source.__anext__()
            while True:
                try:
                    item = await steps.awaiting(step)
                except StopAsyncIteration:
                    break
                items.add(item)
                try:
                    step = source.asend((yield item))
                except GeneratorExit:
                    await steps.awaiting(source.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in by the consumer, and handed on
                    step = source.athrow(error)
        except BaseException as error:
            observer.end(span, items, error)
            raise
        observer.end(span, items)

    return wrapper


def _flags(fn: Any) -> int:
    return getattr(getattr(fn, "__code__", None), "co_flags", 0)


def takes_argument(fn: Any) -> bool:
    code = getattr(fn, "__code__", None)
    if code is None:
        from inspect import signature

        try:
            parameters = signature(fn).parameters.values()
            return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)
        except (TypeError, ValueError):  # a builtin that does not say
            return False
    bound = 1 if getattr(fn, "__self__", None) is not None else 0
    return bool(code.co_argcount - bound > 0 or code.co_flags & _VARARGS)
