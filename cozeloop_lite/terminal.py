"""What the command line may show: colours and progress where a person looks at a terminal, plain text elsewhere.

And how it says that it failed.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

EVERY_SECONDS = 0.1  # how often progress is drawn at most


def has_colors() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody asked for none: https://no-color.org."""
    return _is_screen(sys.stdout) and not os.environ.get("NO_COLOR")


def fail(message: str) -> int:
    """Say on stderr what is wrong; the exit code."""
    sys.stderr.write("cozeloop_lite: %s\n" % message)
    return 1


class Progress:
    """One line on stderr that changes while something takes long, and is gone afterwards. Nothing in a pipe or file."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._on = _is_screen(self._stream)
        self._drawn = False
        self._next = 0.0  # monotonic seconds

    def show(self, text: str) -> None:
        """Draw ``text`` in place of what was there; not when the last time was a moment ago."""
        now = time.monotonic()
        if self._on and now >= self._next:
            self._next = now + EVERY_SECONDS
            self._drawn = True
            width = shutil.get_terminal_size().columns - 1
            self._write("\r\x1b[K" + text[:width])

    def clear(self) -> None:
        """Take the line away, so that something else may be printed."""
        if self._drawn:
            self._drawn = False
            self._next = 0.0
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _is_screen(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"
