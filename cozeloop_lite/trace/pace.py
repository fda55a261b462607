"""The time of the thread that sends: it sleeps until it is woken, pauses between attempts, is hurried, and runs out.

Other threads, signal handlers and destructors wake and hurry it, so none of that takes a lock.
"""

from __future__ import annotations

import threading
from time import monotonic

LAST_PAUSE_SECONDS = 1.0  # between two attempts at the end, when there is no time for long pauses


class Pace:
    """When the sending thread goes on, and when it gives up.

    Attributes:
        alarm: wakes the thread when released. A binary semaphore: releasing a plain lock is one atomic step;
            ``Event.set()`` takes a lock of its own, and so could block a signal handler for ever.
        hurried: set by whoever flushes or closes, before the alarm; unset when a batch begins.
        deadline: when whoever sends gives up (monotonic seconds); None while there is no end in sight.
    """

    __slots__ = ("alarm", "deadline", "hurried")

    def __init__(self) -> None:
        self.alarm = threading.Lock()
        self.alarm.acquire()
        self.hurried = False
        self.deadline: float | None = None

    def sleep(self, seconds: float | None) -> None:
        """Sleep until the alarm, for ``seconds`` at most."""
        self.alarm.acquire(True, -1 if seconds is None else seconds)

    def wait(self, seconds: float, patient: bool) -> bool:
        """Wait between two attempts; False when the time is up, so that there is no use in another.

        Someone who flushes or closes ends the wait early, unless it is ``patient``.
        """
        now = monotonic()
        end = now + seconds
        while True:
            deadline = self.deadline
            if deadline is not None:
                if now >= deadline or (patient and end > deadline):
                    return False
                if not patient:
                    end = min(end, now + LAST_PAUSE_SECONDS, deadline)
            hurried = self.hurried
            if hurried:  # only then: a hurry after the look must not be wiped out
                self.hurried = False
            if now >= end or (hurried and not patient):
                return True
            self.sleep(end - now)
            now = monotonic()

    def time_left(self, seconds: float) -> float:
        """How long something may take that would else take ``seconds``; 0 when there is no time for any."""
        return seconds if self.deadline is None else max(0.0, min(seconds, self.deadline - monotonic()))
