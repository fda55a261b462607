"""The time of the thread that sends: it sleeps until it is woken, pauses between attempts, is hurried, and runs out.

Other threads, signal handlers and destructors wake and hurry it, so none of that takes a lock.
"""

from __future__ import annotations

from .machine import REAL, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sized

LAST_PAUSE_SECONDS = 1.0  # between two attempts at the end, when there is no time for long pauses
SILENT_SECONDS = 2.0  # at the end, how long a server may leave a request without an answer ...
SECONDS_PER_BYTE = 1 / (1024 * 1024)  # ... and more for what has to be sent first
NEVER = float("inf")
UNREACHED_SECONDS = 0.5  # at the end, how long it may be that nobody is there to take one
RESERVED_SECONDS = 1.0  # before the end, for items that wait behind work of another kind; half of the time, if less


class Pace:
    """When the sending thread goes on, and when it gives up.

    Attributes:
        alarm: wakes the thread when released. A binary semaphore: releasing a plain lock is one atomic step;
            ``Event.set()`` takes a lock of its own, and so could block a signal handler for ever.
        hurried: set by whoever flushes or closes, before the alarm; unset when a batch begins.
        crowded: the same for whoever fills the queue up to a mark.
        deadline: when whoever sends gives up (monotonic seconds); None while there is no end in sight.
        until: the same for a thread that sends in place of the usual one, and has no more time than that.
        once: whether, with an end in sight, nothing is tried often: it is kept elsewhere instead.

    Args:
        machine: its clock and locks.
        items: those that wait.
    """

    __slots__ = (
        "_heard",
        "_items",
        "_last_try",
        "_machine",
        "_patience",
        "_reserved",
        "_reserved_from",
        "alarm",
        "crowded",
        "deadline",
        "hurried",
        "once",
        "until",
    )

    def __init__(self, machine: Machine = REAL, items: Sized = ()) -> None:
        self._machine = machine
        self._items = items
        self._set_alarm()
        self.hurried = False
        self.crowded = False
        self.deadline: float | None = None
        self.until: float | None = None
        self.once = False
        self._last_try = True
        self._heard: float | None = None  # when the server was last heard of, if that matters
        self._patience = SILENT_SECONDS
        self._reserved_from = NEVER
        self._reserved = False

    def _set_alarm(self) -> None:
        alarm = self._machine.Lock()
        alarm.acquire()
        self.alarm = alarm

    def begins(self) -> None:
        """A thread begins to send. It may be a greenlet by now: then this is all that it can be woken by."""
        if type(self.alarm) is not type(self._machine.Lock()):
            self._set_alarm()

    def last_chance(self, deadline: float, for_the_silent: bool) -> None:
        """The end is in sight. Unless ``for_the_silent``, it comes early for a server that does not answer."""
        self.deadline = deadline
        now = self._machine.monotonic()
        if not for_the_silent and self._heard is None:
            self._heard = now
        self._reserved_from = min(self._reserved_from, deadline - min(RESERVED_SECONDS, (deadline - now) / 2))

    def sends(self, size: int) -> None:
        """A request of ``size`` bytes leaves."""
        self._patience = max(self._patience, SILENT_SECONDS + size * SECONDS_PER_BYTE)

    def loads(self, load: Callable[[], None]) -> None:
        """Load what requests need. On a small machine it takes seconds, for which the server is not to blame."""
        self._patience = NEVER
        try:
            load()
        finally:
            self.heard()

    def heard(self) -> None:
        """The server answered, whatever it said."""
        self._patience = SILENT_SECONDS
        if self._heard is not None:
            self._heard = self._machine.monotonic()

    def unreached(self) -> None:
        """Nobody was there to take the request."""
        self._patience = UNREACHED_SECONDS

    def end(self) -> float | None:
        """When to give up, as it looks now (monotonic seconds)."""
        end = self.until
        if self.deadline is not None and not self.lent():
            end = self.deadline
        if end is None or self.deadline is None or self._heard is None:
            return end
        return min(end, self._heard + self._patience)

    def lent(self) -> bool:
        """Whether it is only for the thread that sends that the time is up first, and another may go on."""
        return self.until is not None and (self.deadline is None or self.until < self.deadline)

    def ring(self) -> None:
        """Wake the thread, if it sleeps."""
        try:
            self.alarm.release()
        except RuntimeError:  # it is awake, or about to be
            pass

    def sleep(self, seconds: float | None) -> None:
        """Sleep until the alarm, for ``seconds`` at most."""
        self.alarm.acquire(True, -1 if seconds is None else seconds)

    def wait(self, seconds: float, patient: bool = False) -> bool:
        """Wait between two attempts; False when the time is up, so that there is no use in another.

        Someone who flushes or closes ends the wait early, unless it is ``patient``; a queue that becomes crowded ends
        it in any case.
        """
        now = self._machine.monotonic()
        end = now + seconds
        while True:
            last = self.end()
            if last is not None:
                if now >= last or (patient and end > last):
                    return False
                if self.once:
                    last_try, self._last_try = self._last_try, False
                    return last_try
                if not patient:
                    end = min(end, now + LAST_PAUSE_SECONDS, last)
            hurried = self.hurried
            if hurried:  # only then: a hurry after the look must not be wiped out
                self.hurried = False
            crowded = self.crowded
            if crowded:
                self.crowded = False
            if now >= end or crowded or (hurried and not patient):
                return True
            self.sleep(end - now)
            now = self._machine.monotonic()

    def time_left(self, seconds: float) -> float:
        """How long something may take that would else take ``seconds``; 0 when there is no time for any."""
        end = self.end()
        return seconds if end is None else max(0.0, min(seconds, end - self._machine.monotonic()))

    def reserved(self) -> bool:
        """Whether the time that is left is for items alone: some wait, and the end is near. Then until none waits."""
        begins = self._reserved_from
        if self._heard is not None:  # each answer gives more time, as does a large request
            begins = min(begins, self._heard + self._patience - min(RESERVED_SECONDS, self._patience / 2))
        self._reserved = bool(self._items) and (self._reserved or self._machine.monotonic() >= begins)
        return self._reserved
