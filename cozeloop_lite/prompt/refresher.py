"""The one background thread of a hub: every interval it has all kept prompts fetched again.

It starts with the first prompt that is kept, sleeps in between, and ends with the hub, which it does not keep alive. A
process that was frozen (AWS Lambda between two calls, a laptop asleep) comes back to a thread that sleeps on as if no
time had passed; so whoever gets a prompt looks at the clocks, and wakes it.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from time import monotonic, time

from .. import logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

JITTER = 0.1  # by which part of it an interval may be shorter, so that a fleet does not ask at once
ERRAND_SECONDS = 0.5  # how long an errand waits for others to come along
STOP_SECONDS = 0.2  # that stop() waits for the thread, which may be in the middle of a request


class Refresher:
    """Calls ``work(due)`` from its thread: with ``due`` when an interval is over, without it for an errand.

    Args:
        work: a bound method, whose object is held weakly.
        interval: seconds.
        clocks: what tells the time in seconds, steadily and as people have it. One of them may stand still while the
            process is frozen, so the later of both counts.
    """

    def __init__(
        self,
        work: Callable[[bool], None],
        interval: float,
        clocks: tuple[Callable[[], float], Callable[[], float]] = (monotonic, time),
    ) -> None:
        self._work: Any = weakref.WeakMethod(work, lambda _: self._wake())
        self._interval = interval
        self._steady, self._wall = clocks
        self._began: float | None = None  # when the last round did, by the steady clock
        self._late = float("-inf"), float("-inf")  # when a round should have begun an interval ago, by both clocks
        self._stopped = False
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        """The thread stayed in the parent. The next round is when it would have been there, more or less."""
        self._running = False
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # reentrant, for a signal handler that gets a prompt in the middle of a start
        self._set_alarm()
        self._errand: float | None = None  # when there is one to do
        self._pause = self._interval * (1 - JITTER * os.urandom(1)[0] / 255)

    def _set_alarm(self) -> None:
        alarm = threading.Lock()  # wakes the thread when released: one atomic step, as in trace/pace.py
        alarm.acquire()
        self._alarm = alarm

    def attend(self) -> None:
        """To be called whenever a prompt is got: starts the thread, and wakes it when a round is overdue."""
        if not self._running or self._overdue():
            process.check_fork()
            self._start()
            self._wake()

    def run_errand(self) -> None:
        """Have ``work(False)`` called soon."""
        if self._errand is None:
            self._errand = self._steady() + ERRAND_SECONDS
            self._start()
            self._wake()

    def stop(self) -> None:
        """End the thread; at once, unless it is in the middle of its work."""
        self._stopped = True
        self._wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _overdue(self) -> bool:
        """Whether a round should have begun an interval ago."""
        steady, wall = self._late
        return self._steady() > steady or self._wall() > wall

    def _begin(self) -> None:
        """A round begins."""
        self._began = self._steady()
        self._late = self._began + 2 * self._interval, self._wall() + 2 * self._interval

    def _wake(self) -> None:
        try:
            self._alarm.release()
        except RuntimeError:  # it is awake, or about to be
            pass

    def _start(self) -> None:
        with self._lock:
            alive = self._thread is not None and self._thread.is_alive()
            if alive or self._stopped or sys.is_finalizing():
                return
            if self._began is None:
                self._begin()
            try:
                self._thread = threading.Thread(target=self._run, name="cozeloop_lite prompts", daemon=True)
                self._thread.start()
                self._running = True
            except RuntimeError as problem:  # the interpreter is ending, or the system has no more threads
                logger.warn("prompts are not refreshed: no thread can be started: %s", str(problem))

    def _run(self) -> None:
        this = threading.current_thread()
        if type(self._alarm) is not type(threading.Lock()):  # threads are greenlets by now, see trace/pace.py
            self._set_alarm()
        try:
            while not self._stopped and self._thread is this:
                self._alarm.acquire(True, min(self._time_left(), threading.TIMEOUT_MAX))
                due = self._time_left(errands=False) <= 0 or self._overdue()
                if self._work() is None:
                    return
                if due or self._time_left() <= 0:
                    self._do_work(due)
        finally:
            if self._thread is this:
                self._running = False

    def _time_left(self, errands: bool = True) -> float:
        """Seconds until there is something to do; not below 0."""
        now = self._steady()
        began = now if self._began is None else self._began
        end = began + self._pause
        if errands and self._errand is not None:
            end = min(end, self._errand)
        return max(0.0, end - now)

    def _do_work(self, due: bool) -> None:
        self._errand = None  # first this: what comes now may come too late for this work
        if due:
            self._begin()
        work = self._work()
        if work is None or self._stopped:
            return
        try:
            work(due)
        except BaseException as problem:  # noqa: BLE001 - whatever happens to one round, the thread lives for the next
            logger.error("refreshing prompts failed by a fault of this library, please report it: %r", problem)
