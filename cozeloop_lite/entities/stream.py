"""A stream of results: an iterator that holds a connection until its end, ``close()``, or the end of a ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, AsyncIterator, Generic, Iterator, TypeVar

T = TypeVar("T")
Self = TypeVar("Self", bound="StreamReader[Any]")

_NO_ASYNCIO = "this library is synchronous: use `for`, in a thread of its own if asyncio must go on"


class StreamReader(ABC, Generic[T]):
    """Results as they arrive. Leave it early only by ``close()`` or at the end of a ``with`` block."""

    @abstractmethod
    def __next__(self) -> T:
        """The next result."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection. Nothing more comes. A second call does nothing."""

    def __iter__(self) -> Iterator[T]:
        return self

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[T]:
        """Not available."""
        raise NotImplementedError(_NO_ASYNCIO)

    async def __anext__(self) -> T:
        """Not available."""
        raise NotImplementedError(_NO_ASYNCIO)
