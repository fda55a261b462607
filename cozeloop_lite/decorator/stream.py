"""A stream that a function returned, watched until its end: every method and attribute it has, it keeps."""

from __future__ import annotations

from .observer import Items
from .steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..trace.context import Stack
    from ..trace.span import Span
    from .observer import Observer


class ObservedStream:
    """An iterator, sync or async, whose span ends with it. In all else it is the object it stands for."""

    def __init__(self, source: Any, observer: Observer, span: Span, stack: Stack) -> None:
        self._source = source
        self._observer = observer
        self._span = span
        self._stack = stack
        self._items = Items(observer, span)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance() finds what it would find without us
        return type(self._source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        outside = self._stack.resume()
        try:
            item = next(self._source)
        except BaseException as error:
            self._stop(error)
            raise
        finally:
            self._stack.suspend(outside)
        self._items.add(item)
        return item

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        try:
            item = await Steps(self._stack).awaiting(self._source.__anext__().__await__())
        except BaseException as error:
            self._stop(error)
            raise
        self._items.add(item)
        return item

    def __enter__(self) -> Any:
        entered = self._source.__enter__()
        return self if entered is self._source else entered

    def __exit__(self, *exc_info: Any) -> Any:
        try:
            return self._source.__exit__(*exc_info)
        finally:
            self._stop(exc_info[1] or GeneratorExit())

    async def __aenter__(self) -> Any:
        entered = await self._source.__aenter__()
        return self if entered is self._source else entered

    async def __aexit__(self, *exc_info: Any) -> Any:
        try:
            return await self._source.__aexit__(*exc_info)
        finally:
            self._stop(exc_info[1] or GeneratorExit())

    def close(self) -> Any:
        try:
            return self._source.close()
        finally:
            self._stop(GeneratorExit())

    async def aclose(self) -> Any:
        try:
            return await self._source.aclose()
        finally:
            self._stop(GeneratorExit())

    def __del__(self) -> None:
        self._stop(GeneratorExit())

    def _stop(self, error: BaseException) -> None:
        """The end: of the stream, by an error, or because nobody wants more. Only the first one counts."""
        if not self._span._finished:
            ended = isinstance(error, (StopIteration, StopAsyncIteration))
            self._observer.end(self._span, self._items, None if ended else error)
