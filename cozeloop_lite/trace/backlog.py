"""What earlier processes could not deliver, and left in the spool, is sent when the server takes spans again.

It is work beside the spans, as uploads are, and comes after them: one batch at a time, when nothing else is due, and at
the end of a program as long as there is time. What cannot be delivered now stays where it is.
"""

from __future__ import annotations

import os

from .. import logger
from ..config import BATCH_COUNT
from .account import SPOOLED
from .box import BATCH_BYTES
from .machine import REAL, Machine
from .spool import Record
from .uploads import LOST, Upload, Uploads
from .verdicts import AGAIN, BAD_SPAN, MAX_AGE_SECONDS, TAKEN, TOO_LARGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .pace import Pace
    from .spool import Spool, Taken

LOOK_SECONDS = 60.0  # between two looks for files that other processes left


class Backlog(Uploads):
    """The files in waiting, and behind them what is in the spool.

    Args:
        attempt, max_bytes, machine: see :class:`Uploads`.
        spool: where it is.
        post: ``post(spans, pace)`` sends the JSON of some spans; returns a verdict.
    """

    def __init__(
        self,
        attempt: Callable[[Upload, Pace], float],
        max_bytes: int,
        spool: Spool,
        post: Callable[[list[bytes], Pace], int],
        machine: Machine = REAL,
    ) -> None:
        self._spool = spool
        self._post = post
        self._taken: Taken | None = None  # the file that is being sent
        super().__init__(attempt, max_bytes, machine)

    def reset(self) -> None:
        super().reset()
        if self._taken is not None:
            _leave(self._taken)
        self._taken = None
        self._server_is_up = False
        self._look_at = 0.0  # monotonic seconds ...
        self._not_before = 0.0  # ... and what the server has asked for
        self._count = BATCH_COUNT
        self._ending = False

    def server_is_up(self, up: bool) -> None:
        """What was learnt from the last batch of spans."""
        self._server_is_up = up

    def keep(self, spans: list[tuple[int, bytes, dict[str, bytes]]]) -> bool:
        """Put spans into the spool: when they started (µs), their JSON, their files by key. All of them or none."""
        records = []
        for started_us, json, files in spans:
            records.append(Record("", json, started_us))
            records += [Record(key, content, started_us) for key, content in files.items()]
        self._look_at = 0.0
        return self._write(records)

    def _write(self, records: list[Record]) -> bool:
        kept = self._spool.write(records)
        if not kept:
            template, args = self._spool.problem
            logger.error(template, *args)
        return kept

    def last_chance(self) -> None:
        super().last_chance()
        self._ending = True

    def left_by_others(self) -> bool:
        return self._server_is_up and not self._given_up and not self._pause()

    def _pause(self) -> float:
        """Seconds until the next look."""
        return max(0.0, max(self._look_at, self._not_before) - self._machine.monotonic())

    def wait(self, busy: bool = False) -> float | None:
        pause = super().wait()
        if busy or not self._server_is_up or self._given_up or (self._ending and not self.left_by_others()):
            return pause
        return self._pause() if pause is None else min(pause, self._pause())

    def step(self, pace: Pace) -> None:
        due = super().wait()
        if due == 0:
            super().step(pace)
        elif self.left_by_others():
            self._replay(pace)

    def abandon(self, reason: str) -> list[tuple[str, tuple[object, ...]]]:
        self._given_up = reason
        # With the one that is being tried: the thread that does so is stuck. It may yet arrive, and then twice.
        left = [upload for upload in list(self._open.values()) if self._take_out(upload)]
        if not left:
            return []
        if self._lose(left, reason):
            return [("%d files could not be uploaded in time, and are kept in spool_dir", (len(left),))]
        return [self._spool.problem, (LOST, (len(left),))]

    def _lose(self, uploads: list[Upload], reason: str) -> bool:
        now_us = int(self._machine.time() * 1e6)
        kept = self._spool.write([Record(upload.key, upload.content, now_us) for upload in uploads])
        self.drop(SPOOLED if kept else reason, len(uploads))
        self._close(uploads)
        return kept

    def release(self) -> None:
        self._let_go()
        self._spool.close()

    def _replay(self, pace: Pace) -> None:
        """Send the next batch from the spool."""
        try:
            taken = self._taken = self._taken or self._take()
            if taken is None or not self._send_last(taken, pace):
                self._put_off()
            elif not len(taken):
                self._let_go()
        except OSError as problem:
            logger.warn("a file in spool_dir cannot be sent now: %s", problem)
            self._put_off()

    def _put_off(self) -> None:
        """For a while: what one of these spans may do to a server, others need not wait for again and again."""
        self._look_at = self._machine.monotonic() + LOOK_SECONDS
        self._let_go()

    def _send_last(self, taken: Taken, pace: Pace) -> bool:
        """Send the last batch of a file; False when the server takes nothing now."""
        count, records = taken.last(self._count, BATCH_BYTES)
        verdict = self._deliver(taken, records, pace)
        refused = verdict in (BAD_SPAN, TOO_LARGE)
        if refused and count > 1:
            self._count = 1  # from now on one by one
            return True
        if refused:
            logger.error("the server refuses a span from spool_dir, which is lost")
            self.replay_lost += count
        elif verdict != TAKEN:
            self._server_is_up = False  # as far as this is concerned; the next batch of spans may show otherwise
            return False
        taken.drop(count)
        return True

    def _let_go(self) -> None:
        """Of the file: what is left in it is for whoever comes next."""
        taken, self._taken = self._taken, None
        self._count = BATCH_COUNT
        if taken is not None:
            taken.close()

    def _take(self) -> Taken | None:
        self._spool.close()  # what this process wrote itself is ready, too
        return self._spool.take()

    def _deliver(self, taken: Taken, records: list[Record], pace: Pace) -> int:
        oldest_us = (self._machine.time() - MAX_AGE_SECONDS) * 1e6
        young = [record for record in records if record.started_us >= oldest_us]
        if len(young) < len(records):
            logger.warn("spans in spool_dir that started over 23 h ago are lost: the platform would drop them")
        spans = [record.content for record in young if not record.key]
        verdict = self._post(spans, pace) if spans else TAKEN
        if verdict != TAKEN:
            return verdict
        files = [record for record in young if record.key]
        if files:  # which may take long: were this process to end meanwhile, what was accepted would be sent again
            taken.settle([record for record in records if record not in files])
        refused = 0
        while files:
            upload = Upload(files[0].key, files[0].content)
            pause = self._attempt(upload, pace)
            if pause > 0:
                self._not_before = self._machine.monotonic() + pause if upload.patient else 0.0
                break
            refused += pause < 0
            taken.settle([files.pop(0)])
        if refused:
            logger.error("the server refuses a file from spool_dir, which is lost")
        self.replayed += len(young) - len(files) - refused
        self.replay_lost += len(records) - len(young) + refused
        if not files:
            return TAKEN
        # The files that are left go into another spool file, if there is room: what else is in this one need not wait.
        self._look_at = self._machine.monotonic() + LOOK_SECONDS
        return TAKEN if self._write(files) else AGAIN


def _leave(taken: Taken) -> None:
    """In a forked child: the file is the parent's, but the child has a hold on its lock, too."""
    try:
        os.close(taken._fd)
    except OSError:
        pass
