"""An answer that is still to come when the call returns: a stream, or a response whose body was not read.

The program gets an object that stands for the one of the library, and the span ends with it: at its end, by an error,
when it is closed, or when nobody has it any more.
"""

from __future__ import annotations

import functools
import weakref
from types import CoroutineType

from ...decorator import stream as streams
from . import content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ...trace.context import Stack
    from ...trace.span import Span
    from .call import ModelCall
    from .pieces import Pieces


def watched(stream: Any, watch: Watch) -> Any:
    """``stream``, with a span that ends with it."""
    _heed_close(stream, watch)
    return streams.Watched(stream, watch).proxy()


def watched_response(response: Any, watch: Watch) -> Any:
    """The raw ``response``, with a span that ends with it, or with the stream that it is parsed into."""
    return _Response(response, watch).proxy()


class Watch(streams.Watch):
    """Follows the stream of one model call."""

    def __init__(self, call: ModelCall, span: Span, stack: Stack, pieces: Pieces) -> None:
        super().__init__(call, span, stack)
        self._call = call
        self._items: Any = pieces
        self._steps = 0  # that are being taken

    def step(self, method: Callable[..., Any], *args: Any) -> Any:
        self._steps += 1
        try:
            return super().step(method, *args)
        finally:
            self._steps -= 1

    async def async_step(self, method: Callable[..., Any], *args: Any) -> Any:
        self._steps += 1
        try:
            return await super().async_step(method, *args)
        finally:
            self._steps -= 1

    # The reason is known before the connection is closed, which does not know it.

    def close(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.stop(streams.reason_of(args))
        return super().close(method, *args, **kwargs)

    def async_close(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.stop(streams.reason_of(args))
        return super().async_close(method, *args, **kwargs)

    def connection_closed(self) -> None:
        """By the program; in a step it is the stream itself that closes it, and tells what it came to."""
        if not self._steps:
            self.stop(GeneratorExit())

    def succeed(self, body: Any) -> None:
        """The answer was read, though not as a stream."""
        if not self._span._finished:
            self._call.succeed(self._span, body)


def _heed_close(stream: Any, watch: Watch) -> None:
    """Notice when the connection is closed: the helpers ``.stream()`` close it, and not the stream that they read."""
    response: Any = getattr(stream, "response", None)
    name = "aclose" if hasattr(type(stream), "__anext__") else "close"
    bare = getattr(response, name, None)
    if bare is None:
        return
    seen = weakref.ref(watch)  # the connection must not keep alive what ends when nobody has it any more

    def closed() -> None:
        found = seen()
        if found is not None:
            found.connection_closed()

    if name == "close":

        @functools.wraps(bare)
        def close() -> Any:
            closed()
            return bare()

        response.close = close
    else:

        @functools.wraps(bare)
        async def aclose() -> Any:
            closed()
            return await bare()

        response.aclose = aclose


class _Response(streams.Watched):
    """What the proxy of a raw response is about."""

    watch: Watch

    def attribute(self, proxy: Any, name: str) -> Any:
        value = getattr(self.source, name)
        if name == "parse":
            return functools.partial(self._parse, value)
        if name == "close":
            return functools.partial(self._close, value)
        return value

    def _parse(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        return self._parsed(result) if type(result) is CoroutineType else self.proxy_of(result)

    async def _parsed(self, coroutine: Any) -> Any:
        return self.proxy_of(await coroutine)

    def _close(self, method: Callable[..., Any]) -> Any:
        response = self.source.http_response
        if response.is_closed:  # since all of it was read
            self.watch.succeed(content.body_of(response))
        return self.watch.close(method)
