"""Bytes as a source of decisions and of content.

Decisions are taken from the end of the bytes, content from the front: so an input that is made longer at its front
decides the same, and says more.
"""

from __future__ import annotations

SEPARATOR = b"\x1e"  # between pieces of content
HALVES = b"\x1f"  # between two halves of one


class Feed:
    """One input."""

    def __init__(self, data):
        self._data = data
        self._end = len(data)

    def number(self, limit):
        """A number from 0 to below ``limit``; 0 when no bytes are left."""
        size = 1 if limit <= 256 else 2
        start = max(0, self._end - size)
        value = int.from_bytes(self._data[start : self._end], "big")
        self._end = start
        return value % limit

    def flag(self):
        return self.number(2) == 1

    def pick(self, options):
        return options[self.number(len(options))]

    def rest(self):
        """All that is left."""
        return self._data[: self._end]

    def text(self):
        return as_text(self.rest())

    def pieces(self):
        return self.rest().split(SEPARATOR)

    def pairs(self):
        """Each piece, in two."""
        return [piece.partition(HALVES)[::2] for piece in self.pieces()]


def as_text(data):
    """Text that may have lone surrogates in it, as what comes from an environment or from JSON may."""
    return data.decode("utf-8", "surrogateescape")


def example(front, *numbers):
    """The input of which ``front`` is the content, and ``numbers``, each below 256, what is decided, in this order."""
    if isinstance(front, str):
        front = front.encode("utf-8", "surrogateescape")
    return front + bytes(reversed(numbers))


def pairs(*items):
    """The content of which :meth:`Feed.pairs` makes ``items``, pairs of texts."""
    return SEPARATOR.join(HALVES.join(half.encode("utf-8") for half in item) for item in items)
