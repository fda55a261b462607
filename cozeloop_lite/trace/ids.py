"""Trace and span ids: 128 and 64 random bits, from a generator of our own.

The operating system's generator costs a system call an id, so it seeds a fast one instead: anew in a forked child, and
whenever 100 ms have passed since the last seed. So two machines restored from one snapshot, whose memory holds the same
generator, part ways with their first span. ``random.seed()`` in the program has no effect here.
"""

from __future__ import annotations

import os

from .. import process

try:
    # What random.Random is made of; importing `random` itself would load hashlib, bisect and math.
    from _random import Random
except ImportError:  # pragma: no cover - an interpreter other than CPython
    from random import Random  # type: ignore[assignment]

RESEED_NS = 100_000_000


class IdSource:
    """``bits(n)`` gives ``n`` random bits; ``refresh(now_ns)`` is due when ``now_ns`` is not near ``fresh_ns``."""

    def __init__(self) -> None:
        self._random = Random()
        self.bits = self._random.getrandbits
        self.fraction = self._random.random  # from 0 up to 1, for jitter
        self.fresh_ns = 0
        self._on_fork()
        process.on_fork(self)

    def refresh(self, now_ns: int) -> None:
        """Seed again, and look whether this is another process by now."""
        process.check_fork()
        self._on_fork()
        self.fresh_ns = now_ns

    def _on_fork(self) -> None:
        self._random.seed(int.from_bytes(_entropy(), "big"))


def _entropy() -> bytes:
    """32 bytes from the operating system, for which no other thread gets a turn.

    ``os.urandom`` lets the others run meanwhile. When 8 of them are busy, a span would then wait for up to 45 ms until
    it is this thread's turn again.
    """
    try:
        return os.getrandom(32, os.GRND_NONBLOCK)
    except (AttributeError, OSError):  # only Linux has it; and it refuses while a machine has just been started
        return os.urandom(32)


source = IdSource()
