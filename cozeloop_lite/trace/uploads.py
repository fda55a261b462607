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

AT_ONCE = 0.01  # seconds; not 0, which says that it arrived
MAX_ATTEMPTS = 12  # some minutes of an outage, after which the bytes make room for others
FILE_BYTES = 500  # what one that waits holds in memory besides its content
LOST = "%d files could not be uploaded in time: they are lost"


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
        self._open: dict[int, Upload] = {}  # by number: those that wait, and the one that is being tried ...
        self._unclaimed: dict[int, bool] = {}  # ... and which of them no thread is about to settle
        self._bytes = 0
        self._delivered = 0
        self._dropped: dict[str, int] = {}
        self._hurried = False
        self._given_up = ""
        self.added = 0
        self.lost = 0
        self.replayed = 0  # what earlier processes left, and was sent (see backlog.py) ...
        self.replay_lost = 0  # ... or was refused, or is too old

    def add(self, key: str, content: bytes) -> None:
        """Let a file wait for its turn; counted as dropped when there is no room for it."""
        size = FILE_BYTES + len(content)
        if self._bytes + size > self._max_bytes:
            logger.warn("files wait for %d bytes of uploads already: a further one is dropped", self._bytes)
            self.added += 1
            self.drop("queue_full")
            return
        upload = Upload(key, content, self.added + 1)
        self._bytes += size
        self._open[upload.number] = upload
        self._unclaimed[upload.number] = True
        self.added += 1
        self._waiting.append(upload)
        if self._given_up and self._take_out(upload):  # its span was on the way when the end came, and arrived
            logger.error(LOST, 1)
            self._lose([upload], self._given_up)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count files as lost."""
        if count:
            self._dropped[reason] = self._dropped.get(reason, 0) + count
            self.lost += count

    @property
    def settled(self) -> int:
        """How many have their fate."""
        return self.added - len(self._open)

    def wait(self, busy: bool = False) -> float | None:
        """Seconds until the next attempt is due; None when no file waits.

        ``busy``: a whole batch of spans is due as well; they take turns with files, and with nothing else.
        """
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
        try:
            self._waiting.remove(upload)
        except ValueError:  # given up at this moment by whoever closes
            return
        upload.attempts += 1
        pause = -1.0
        try:
            pause = self._attempt(upload, pace)
        except KeyboardInterrupt:  # the program's: the file is not to blame
            pause = AT_ONCE
            raise
        finally:
            self._settle(upload, pause)

    def _settle(self, upload: Upload, pause: float) -> None:
        if pause > 0 and upload.attempts < MAX_ATTEMPTS:
            upload.due = self._machine.monotonic() + pause
            self._waiting.append(upload)
            # After that, or one that is put back while another thread gives up would be seen by neither.
            if self._given_up and self._take_out(upload):
                self._lose([upload], self._given_up)
        elif not self._take_out(upload):
            return
        elif pause == 0:
            self._delivered += 1
            self._close([upload])
        else:
            logger.error("a file could not be uploaded and is lost: %s", upload.key)
            self.drop("refused" if pause < 0 else "undeliverable")
            self._close([upload])

    def _take_out(self, upload: Upload) -> bool:
        """Who takes it out decides its fate. False when another thread did."""
        try:
            self._waiting.remove(upload)
        except ValueError:  # it is being tried
            pass
        if not self._unclaimed.pop(upload.number, False):
            return False
        self._bytes -= FILE_BYTES + len(upload.content)
        return True

    def _close(self, uploads: list[Upload]) -> None:
        """They are counted: only now, so that a flush that sees them gone sees whether they were lost, too."""
        for upload in uploads:
            self._open.pop(upload.number, None)

    def _lose(self, uploads: list[Upload], reason: str) -> bool:
        """There is no time left for ``uploads``, which were taken out. Returns whether they are kept elsewhere."""
        self.drop(reason, len(uploads))
        self._close(uploads)
        return False

    def done_with(self, count: int) -> bool:
        """Whether the first ``count`` files that were added have their fate; later ones may have had it before."""
        return all(number > count for number in list(self._open))

    def in_vain(self, end: float) -> bool:
        """Whether nothing more can arrive until ``end``: all that waits does so for a time that the server named."""
        waiting = list(self._open.values())  # none: the last one has just got its fate
        return bool(waiting) and all(upload.patient and upload.due > end for upload in waiting)

    def hurry(self) -> None:
        """Someone flushes: what waits out a pause is due now. May be called by any thread."""
        self._hurried = True

    def last_chance(self) -> None:
        """The end is in sight."""
        self.hurry()

    def left_by_others(self) -> bool:
        """Whether there is more to send, which at the end is worth the time that is left."""
        return False

    def abandon(self, reason: str) -> list[tuple[str, tuple[object, ...]]]:
        """Count all that waits as lost.

        Returns what there is to say: templates of the log, and what belongs in them. Whoever calls this holds a lock,
        for which a handler of the log may wait.
        """
        self._given_up = reason
        count = len(self._open)
        self._lose([upload for upload in list(self._waiting) if self._take_out(upload)], reason)
        return [(LOST, (count,))] if count else []

    def release(self) -> None:
        """Nothing more will be sent: let go of what others may send."""

    def stats(self) -> dict[str, Any]:
        """The account of files: added = delivered + queued + the sum of dropped."""
        delivered, dropped = self._delivered, dict(self._dropped)
        queued = self.added - delivered - sum(dropped.values())
        return {"delivered": delivered, "queued": queued, "dropped": dropped}
