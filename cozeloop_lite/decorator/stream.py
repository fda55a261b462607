"""A stream that a function returned, watched until its end: every method and attribute it has, it keeps."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Generator
from types import MethodType

from ..trace.steps import Steps, drive
from .observer import Items
from .proxy import own, standing_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..trace.context import Stack
    from ..trace.span import Span
    from .observer import Observer


def is_stream(value: Any) -> bool:
    """Whether ``value`` is an iterator, or can be gone through and is no collection; sync or async."""
    kind = type(value)  # not the value itself, which may answer anything, or fail
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        return True
    if hasattr(kind, "__len__") or hasattr(kind, "model_dump") or hasattr(kind, "__fields__"):
        return False  # a collection, or a pydantic model, which can be gone through as well
    return kind is not type and (hasattr(kind, "__iter__") or hasattr(kind, "__aiter__"))


def watch(source: Any, observer: Observer, span: Span, stack: Stack) -> Any:
    """``source``, with a span that ends with it."""
    return Watched(source, Watch(observer, span, stack)).proxy()


class Watch:
    """Follows a stream, whichever of its objects the program works with, and ends the span, once."""

    def __init__(self, observer: Observer, span: Span, stack: Stack) -> None:
        self._observer = observer
        self._span = span
        self._stack = stack
        self._items = Items(observer, span)

    def step(self, method: Callable[..., Any], *args: Any) -> Any:
        outside = self._stack.resume()
        try:
            item = method(*args)
        except BaseException as error:
            self.stop(error)
            raise
        finally:
            self._stack.suspend(outside)
        self._items.add(item)
        return item

    async def async_step(self, method: Callable[..., Any], *args: Any) -> Any:
        try:
            item = await drive(Steps(_awaited(method, *args), self._stack))
        except BaseException as error:
            self.stop(error)
            raise
        self._items.add(item)
        return item

    def close(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outside = self._stack.resume()
        try:
            return method(*args, **kwargs)
        finally:
            self._stack.suspend(outside)
            self.stop(reason_of(args))

    async def async_close(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return await drive(Steps(_awaited(method, *args, **kwargs), self._stack))
        finally:
            self.stop(reason_of(args))

    def stop(self, error: BaseException) -> None:
        """The end: of the stream, by an error, or because nobody wants more. Only the first one counts."""
        if not self._span._finished:
            ended = isinstance(error, (StopIteration, StopAsyncIteration))
            self._observer.end(self._span, self._items, None if ended else error)

    def __del__(self) -> None:
        self.stop(GeneratorExit())


class Watched:
    """What the proxy of a stream is about."""

    def __init__(self, source: Any, watch: Watch) -> None:
        self.source = source
        self.watch = watch

    def proxy(self) -> Any:
        return standing_for(self, _METHODS)

    def proxy_of(self, other: Any) -> Any:
        """What ``source`` gave to be used in its place."""
        return Watched(other, self.watch).proxy() if is_stream(other) else other

    def attribute(self, proxy: Any, name: str) -> Any:
        value = getattr(self.source, name)
        if name in _METHODS:  # someone calls a special method by its name
            return MethodType(_METHODS[name], proxy)
        how = _ATTRIBUTES.get(name)
        if how is None or not callable(value) or not isinstance(self.source, how[0]):
            return value
        return functools.partial(getattr(self.watch, how[1]), value)


# The type that gives the name its meaning, and what to do when it is called
_ATTRIBUTES = {
    "send": (Generator, "step"),
    "throw": (Generator, "step"),
    "asend": (AsyncGenerator, "async_step"),
    "athrow": (AsyncGenerator, "async_step"),
    "close": (object, "close"),
    "aclose": (object, "async_close"),
}


def _iter(self: Any) -> Any:
    about = own(self)
    iterator = iter(about.source)
    return self if iterator is about.source else about.proxy_of(iterator)


def _next(self: Any) -> Any:
    about = own(self)
    return about.watch.step(next, about.source)


def _aiter(self: Any) -> Any:
    about = own(self)
    iterator = type(about.source).__aiter__(about.source)
    return self if iterator is about.source else about.proxy_of(iterator)


def _anext(self: Any) -> Any:
    about = own(self)
    return about.watch.async_step(type(about.source).__anext__, about.source)


def _enter(self: Any) -> Any:
    about = own(self)
    entered = type(about.source).__enter__(about.source)
    return self if entered is about.source else about.proxy_of(entered)


def _exit(self: Any, *exc_info: Any) -> Any:
    about = own(self)
    return about.watch.close(type(about.source).__exit__, about.source, *exc_info)


async def _aenter(self: Any) -> Any:
    about = own(self)
    entered = await type(about.source).__aenter__(about.source)
    return self if entered is about.source else about.proxy_of(entered)


def _aexit(self: Any, *exc_info: Any) -> Any:
    about = own(self)
    return about.watch.async_close(type(about.source).__aexit__, about.source, *exc_info)


_METHODS: dict[str, Callable[..., Any]] = {
    "__iter__": _iter,
    "__next__": _next,
    "__aiter__": _aiter,
    "__anext__": _anext,
    "__enter__": _enter,
    "__exit__": _exit,
    "__aenter__": _aenter,
    "__aexit__": _aexit,
}


async def _awaited(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await method(*args, **kwargs)


def reason_of(args: tuple[Any, ...]) -> BaseException:
    """Why it is closed: the exception that ended a ``with`` block, or because nobody wants more."""
    error = args[2] if len(args) > 2 else None
    return error if isinstance(error, BaseException) else GeneratorExit()
