"""Files that wait for their upload: one at a time between two batches of spans, which they so never hold back for long.

Bounded in bytes. An upload that fails is tried again later, with growing pauses, while spans and other files go on;
what the server refuses, or what no longer fits, is counted.
"""

from __future__ import annotations

import collections

from .. import logger
from .machine import REAL, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .pace import Pace

MAX_ATTEMPTS = 12  # some minutes of an outage, after which the bytes make room for others


class Upload:
    """One file: its key, its content, how often it was tried and when it is due (monotonic seconds).

    ``patient``: it was the server that named this time, so nobody can hurry it. ``number``: in the order of coming,
    from 1.
    """

    __slots__ = ("attempts", "content", "due", "key", "number", "patient")

    def __init__(self, key: str, content: bytes, number: int = 0) -> None:
        self.key = key
        self.content = content
        self.attempts = 0
        self.due = 0.0
        self.number = number
        self.patient = False


class Uploads:
    """The files in waiting.

    Args:
        attempt: ``attempt(upload, pace)`` tries one and returns the seconds until it should be tried again, 0 when
            it arrived, or a negative number when there is no use. ``pace.time_left()`` is what it may take.
        max_bytes: how many bytes may wait.
        machine: its clock.
    """

    def __init__(self, attempt: Callable[[Upload, Pace], float], max_bytes: int, machine: Machine = REAL) -> None:
        self._attempt = attempt
        self._max_bytes = max_bytes
        self._machine = machine
        self.reset()

    def reset(self) -> None:
        """Begin with nothing, as a forked child does."""
        self._waiting: collections.deque[Upload] = collections.deque()
        self._trying: Upload | None = None  # it waits as well while it is taken out, and put back
        self._bytes = 0
        self._delivered = 0
        self._dropped: dict[str, int] = {}
        self._hurried = False
        self._given_up = ""
        self.added = 0
        self.settled = 0
        self.lost = 0
        self.replayed = 0  # what earlier processes left, and was sent (see backlog.py) ...
        self.replay_lost = 0  # ... or was refused, or is too old

    def add(self, key: str, content: bytes) -> None:
        """Let a file wait for its turn; counted as dropped when there is no room for it."""
        self.added += 1
        if self._bytes + len(content) > self._max_bytes:
            logger.warn("files wait for %d bytes of uploads already: a further one is dropped", self._bytes)
            self.drop("queue_full")
            return
        self._bytes += len(content)
        self._waiting.append(Upload(key, content, self.added))

    def drop(self, reason: str, count: int = 1) -> None:
        """Count files as lost."""
        self._dropped[reason] = self._dropped.get(reason, 0) + count
        self.settled += count
        self.lost += count

    def wait(self) -> float | None:
        """Seconds until the next attempt is due; None when no file waits."""
        if not self._waiting:
            return None
        if self._hurried:
            self._hurried = False
            for upload in list(self._waiting):
                upload.due = upload.due if upload.patient else 0.0
        # A copy, made in one step: whoever closes may empty the deque at any moment.
        return max(0.0, min((upload.due for upload in list(self._waiting)), default=0.0) - self._machine.monotonic())

    def step(self, pace: Pace) -> None:
        """Try the first file that is due, if there is one."""
        now = self._machine.monotonic()
        for upload in list(self._waiting):
            if upload.due <= now:
                break
        else:
            return
        self._trying = upload
        try:
            self._try(upload, pace)
        finally:
            self._trying = None

    def _try(self, upload: Upload, pace: Pace) -> None:
        try:
            self._waiting.remove(upload)
        except ValueError:  # given up at this moment by whoever closes
            return
        upload.attempts += 1
        pause = -1.0
        try:
            pause = self._attempt(upload, pace)
        finally:
            self._settle(upload, pause)

    def _settle(self, upload: Upload, pause: float) -> None:
        if pause != 0 and self._given_up:
            self.drop(self._given_up)
            return
        if pause > 0 and upload.attempts < MAX_ATTEMPTS:
            upload.due = self._machine.monotonic() + pause
            self._waiting.append(upload)
            return
        self._bytes -= len(upload.content)
        if pause == 0:
            self._delivered += 1
            self.settled += 1
        else:
            logger.error("a file could not be uploaded and is lost: %s", upload.key)
            self.drop("refused" if pause < 0 else "undeliverable")

    def done_with(self, count: int) -> bool:
        """Whether the first ``count`` files that were added have their fate; later ones may have had it before."""
        trying = self._trying  # first this: what is put back now is seen once more
        return all(upload.number > count for upload in [*self._waiting, *([trying] if trying else [])])

    def hurry(self) -> None:
        """Someone flushes: what waits out a pause is due now. May be called by any thread."""
        self._hurried = True

    def last_chance(self) -> None:
        """The end is in sight."""
        self.hurry()

    def left_by_others(self) -> bool:
        """Whether there is more to send, which at the end is worth the time that is left."""
        return False

    def abandon(self, reason: str) -> None:
        """Count all that waits as lost, and say so."""
        self._given_up = reason
        count = len(self._waiting)
        if self.added > self.settled:
            logger.error("%d files could not be uploaded in time: they are lost", self.added - self.settled)
            self._waiting.clear()
            self._bytes = 0
            self.drop(reason, count)

    def release(self) -> None:
        """Nothing more will be sent: let go of what others may send."""

    def stats(self) -> dict[str, Any]:
        """The account of files: added = delivered + queued + the sum of dropped."""
        return {"delivered": self._delivered, "queued": self.added - self.settled, "dropped": dict(self._dropped)}
