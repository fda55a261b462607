"""One request for all who ask: who wants what somebody is asking for at this moment waits for that answer.

No lock is held while anything is asked, and none is needed to join. Whoever asks may be cut off at any instruction (by
Ctrl-C, by a fork): then one of those who wait asks in its place, and nobody waits longer than its own deadline.
"""

from __future__ import annotations

import copy
import threading
from time import monotonic

from .. import errors, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

LOOK_SECONDS = 0.5  # how often those who wait look whether they were overlooked
GRACE_SECONDS = 1.0  # after its deadline a flight is taken for one that nobody flies any more


class Flights:
    """What is being asked for, by key."""

    def __init__(self) -> None:
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        self._open: dict[Any, _Flight] = {}  # who asks stayed in the parent

    def __len__(self) -> int:
        return len(self._open)

    def share(self, key: Any, ask: Callable[[float], Any], seconds: float) -> Any:
        """What ``ask(seconds left)`` returns or raises, of this call or of the one that is under way for ``key``.

        Raises:
            RequestTimeoutError: there was no answer within ``seconds``.
        """
        process.check_fork()
        end = monotonic() + seconds
        left = seconds
        while left > 0:
            mine = _Flight(left)
            try:
                flight = self._join(key, mine)
                # Its own: a signal handler in the middle of the request, or a token function that wants a prompt.
                if flight is mine or flight.thread == threading.get_ident():
                    return mine.fly(ask, left)
            finally:
                if self._open.get(key) is mine:
                    self._open.pop(key, None)
                mine.land()
            flight.wait(left)
            if flight.answered:
                return flight.answer()
            left = end - monotonic()
        raise errors.RequestTimeoutError("another thread's request brought no answer within %.3g s (timeout)" % seconds)

    def _join(self, key: Any, mine: _Flight) -> _Flight:
        flight = self._open.setdefault(key, mine)
        if flight.is_lost():
            flight = self._open[key] = mine
        return flight


class _Flight:
    """One request, and its answer when it has landed.

    Attributes:
        answered: whether there is an answer, or an error that concerns everybody.
        thread: who asks.
    """

    __slots__ = ("_answer", "_done", "_error", "_lost_at", "answered", "thread")

    def __init__(self, seconds: float) -> None:
        self._done = threading.Lock()  # not an Event, whose own lock could be held by whom a signal handler interrupts
        self._done.acquire()
        self._lost_at = monotonic() + seconds + GRACE_SECONDS
        self._answer: Any = None
        self._error: errors.LoopError | None = None
        self.answered = False
        self.thread = threading.get_ident()

    def fly(self, ask: Callable[[float], Any], seconds: float) -> Any:
        try:
            self._answer = ask(seconds)
        except errors.LoopError as error:
            self._error = copy.copy(error)  # without the traceback, which holds the frames of this thread
            self._error.__cause__ = error.__cause__
            self.answered = True
            raise
        self.answered = True
        return self._answer

    def land(self) -> None:
        self._done.release()

    def wait(self, seconds: float) -> None:
        end = min(monotonic() + seconds, self._lost_at)
        while self._done.locked() and not self.answered:
            left = end - monotonic()
            if left <= 0:
                return
            if self._done.acquire(True, min(left, LOOK_SECONDS)):
                self._done.release()  # for the next one who waits

    def is_lost(self) -> bool:
        return monotonic() > self._lost_at

    def answer(self) -> Any:
        if self._error is None:
            return self._answer
        error = copy.copy(self._error)  # each thread raises one of its own
        error.__cause__ = self._error.__cause__
        raise error
