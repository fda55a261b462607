"""Who sends what waits: one daemon thread, which takes batches out of the box and has them sent.

It starts with the first item, sleeps when there is nothing to do, and collects for up to a second so that batches fill.
Between two batches it does a step of the work beside, such as an upload. Where no thread can be started, as at the end
of the interpreter, another takes its place (:meth:`Sender._work_here`): at any moment at most one thread sends.
"""

from __future__ import annotations

import sys

from .. import logger, process
from .account import QUEUE_FULL, SHUTDOWN
from .box import NEVER, Box
from .machine import REAL, Machine
from .pace import Pace
from .uploads import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, Callable

LINGER_SECONDS = 1.0  # how long the first item of a batch waits for more of them, contract siblings.md 2.7
POLL_SECONDS = 0.5  # those who wait for another thread look now and then: it may die


class Sender(Box):
    """A box, and the thread that empties it.

    Args:
        send: ``send(items, sender)`` calls ``sender.settle()`` or ``sender.give_up()`` for every item, keeps to
            ``sender.pace`` and tells it what it hears; it runs on one thread at a time.
        max_count, max_bytes, batch_count, keep, machine: see :class:`~cozeloop_lite.trace.box.Box`.
        aside: work of another kind that the items bring, done one step at a time between two batches.
    """

    def __init__(
        self,
        send: Callable[[list[Any], Any], None],
        max_count: int,
        max_bytes: int,
        batch_count: int,
        aside: Uploads | None = None,
        keep: Callable[[list[Any]], list[Any]] | None = None,
        machine: Machine = REAL,
    ) -> None:
        self._send = send
        self._aside = aside or Uploads(lambda upload, pace: 0, 0, machine)
        super().__init__(max_count, max_bytes, batch_count, keep, machine)

    def _on_fork(self) -> None:
        """Begin with nothing, not even a thread: that of a parent process stayed there."""
        super()._on_fork()
        self.pace = Pace(self._machine, self._items)
        self._hurry_to = 0  # the items up to this number are to be sent without waiting for more
        self._thread: threading.Thread | None = None
        self._running = False  # whether it has not come to its end yet
        self._began: threading.Thread | None = None  # itself, once it has come to its beginning
        self._starting = False  # whether it is being started, and a signal handler came in between
        self._launching = False  # whether a thread was asked to start it
        self._sender = 0  # the thread that is sending
        self._sends = False  # whether it is that one, as nearly always, and not one in its place
        self._awaited = NEVER  # wake those who wait when so many items are done with
        self._exit_by = 0.0  # once the interpreter exits: when that must be over (monotonic seconds)
        self._aside.reset()

    # -- the daemon thread, seen from outside -----------------------------------------------------------------------

    def _wake(self) -> None:
        try:
            self._wake_count = self._wake_bytes = NEVER
            self.pace.crowded = True
        finally:  # after the marks, always: whoever lowers them and is not heard leaves the thread asleep for ever
            try:  # here and not in a function, at whose entrance CPython may raise KeyboardInterrupt
                self.pace.alarm.release()
            except RuntimeError:  # it is awake, or about to be
                pass

    def _hurry(self, target: int) -> None:
        """Send the first ``target`` items now, and wait for nothing that need not be waited for."""
        self._hurry_to = max(self._hurry_to, target)
        self.pace.hurried = True
        self._aside.hurry()
        self.pace.ring()

    def _overflow(self) -> None:
        if self._wake_count != NEVER:  # it sleeps; when it sends it looks by itself, and each ring would cost 1 µs
            self._wake()

    def _get_ready(self) -> None:
        """Have the daemon thread started, by a thread of its own: ``Thread.start`` returns when the new one has had its
        first turn, and where all threads are busy that takes 5 ms for each of them. Starting the helper takes 0.1 ms.
        """
        if self._starting or self._launching or sys.is_finalizing():
            return
        process.at_work()
        launched = False
        try:
            self._launching = True
            self._machine.start_new_thread(self._launch)
            launched = True
        except (RuntimeError, MemoryError):  # see _start
            pass
        finally:
            if not launched:
                self._launching = False

    def _launch(self) -> None:
        try:
            self._start()
            if not sys.is_finalizing():
                process.ending()
        except BaseException as problem:  # noqa: BLE001 - there is nobody above, and the interpreter would print it
            try:
                logger.error("the thread that sends could not be started: %r", problem)
            except Exception:  # noqa: BLE001, S110 - who comes as the interpreter ends finds modules with nothing in them
                pass
        finally:
            self._launching = False

    def _start(self) -> None:
        if sys.is_finalizing():  # a thread would be started and never run, and whoever starts it waits for it
            return
        with self._lock:
            if self._alive() or self._starting:
                return
            try:
                self._starting = self._running = True
                if self._sends:
                    self._let_others_send()  # it died while it sent, for want of memory perhaps
                self._thread = self._machine.Thread(target=self._run, name="cozeloop_lite", daemon=True)
                self._thread.start()
                process.at_work()
            except RuntimeError:  # the interpreter is ending and starts no more threads: whoever waits will send
                pass
            finally:
                self._starting = False

    def _let_others_send(self) -> None:
        """Whoever had the right to send was cut off: what has no fate yet waits again. The lock is held."""
        self._given_back[:] = [item for item, _ in self._batch]
        self._end_batch()
        self._stop_sending()

    def _alive(self) -> bool:
        if not self._running or self._thread is None:
            return False
        # Up to CPython 3.12, Ctrl-C in the middle of is_alive() has it say no from then on: there would be two threads.
        return self._began is self._thread or self._thread.is_alive()

    def _may_wait(self) -> bool:
        return super()._may_wait() or self.pace.lent()

    # -- the daemon thread, seen from inside ------------------------------------------------------------------------

    def _run(self) -> None:
        this = self._machine.current_thread()
        try:
            if self._thread is this:
                self._began = this
            self.pace.begins()
            while self._thread is this:
                self._ready = not self._exit_by
                self._sleep()
                batch = self._take()
                if batch:
                    self._deliver(batch)
                elif self._has_overflowed():
                    self._tell_of_overflow()
                stepped = self._step_aside(self.pace.time_left(NEVER) if self._closed else 0)
                if self._closed and not stepped and self._leave():
                    return
        finally:
            with self._lock:
                if self._thread is this:  # else another has been started already
                    self._running = False
            self._ready = False

    def _sleep(self) -> None:
        """Sleep until there is something to send, then until it fills a batch, a second is over or someone hurries."""
        end: float | None = None
        while not self._closed:
            # First the marks, then the look: who puts an item after the look sees the marks, and rings.
            self._mark_batch()
            if self._has_overflowed():
                break
            count = len(self._items)
            pause = self._aside.wait()
            if count:
                now = self._machine.monotonic()
                end = now + LINGER_SECONDS if end is None else end
                if self._full_batch() or now >= end or self._hurry_to > self._account.taken:
                    break
                pause = end - now if pause is None else min(end - now, pause)
            if pause == 0:
                self._step_aside(0)
            else:
                self.pace.sleep(pause)
        self._wake_count = self._wake_bytes = NEVER

    def _has_overflowed(self) -> bool:
        return self._account.refused(QUEUE_FULL) != self._account.told_of

    def _tell_of_overflow(self) -> None:
        """By sending nothing: whoever sends tells of it, and of the rest."""
        try:
            self._send([], self)
        except BaseException as problem:  # noqa: BLE001 - see _deliver
            logger.error("a callback failed: %r", problem)

    def _take(self) -> list[tuple[Any, int]]:
        with self._lock:
            while self._sender:  # another took the place of this thread before it was there
                self._wait_for(0)
            return self._claim()

    def _leave(self) -> bool:
        """The queue is closed, and nothing is left to do. False when an item has slipped in."""
        with self._lock:
            if self._items:  # which may bring files
                return False
            said = self._aside.abandon(SHUTDOWN)  # when it was closed by a callback on this thread, nobody else does
            self._wake_who_waits()
        self._say(said)
        self._aside.release()
        with self._lock:
            self._ready = False  # first this, then the look: who puts an item after the look starts anew
            self._running = bool(self._items)
            return not self._running

    def _say(self, lines: list[tuple[str, tuple[object, ...]]]) -> None:
        """Log what was found out with the lock held: a handler of the log may wait for another thread that wants it."""
        for template, args in lines:
            logger.warn(template, *args)

    # -- to send, on whatever thread --------------------------------------------------------------------------------

    def _claim(self, until: float | None = None) -> list[tuple[Any, int]]:
        """The next batch, and with it the right to send, ``until`` some time. The lock is held, and nobody sends."""
        self._start_sending(until)  # first this: a signal handler that flushes in between must not take a batch, too
        batch = self._take_batch()
        self.pace.hurried = self.pace.crowded = False
        if not batch:
            self._stop_sending()
        return batch

    def _start_sending(self, until: float | None) -> None:
        self._sends = self._machine.current_thread() is self._thread
        self._sender = self._machine.get_ident()
        self.pace.until = until

    def _stop_sending(self) -> None:
        with self._lock:
            self._sender = 0
            self._sends = False
            self.pace.until = None
            if self._account.done >= self._awaited:
                self._wake_who_waits()

    def _deliver(self, batch: list[tuple[Any, int]]) -> bool:
        """Send ``batch``; returns whether some of it was given back."""
        try:
            self._send([item for item, _ in batch], self)
        except BaseException as problem:  # noqa: BLE001 - whatever happens to a batch, the thread lives for the next
            self._raise_the_programs(problem)
            logger.error("a batch was lost by a fault of this library, please report it: %r", problem)
        with self._lock:
            given_back = self._end_batch()
            self._stop_sending()
        return given_back

    def _raise_the_programs(self, problem: BaseException) -> None:
        """Ctrl-C is the program's, on a thread that sends in place of the daemon thread, and no longer does so."""
        if isinstance(problem, KeyboardInterrupt) and self._machine.current_thread() is not self._thread:
            raise problem

    def _step_aside(self, patience: float, until: float | None = None) -> bool:
        """One step of the work beside, if one is due within ``patience`` seconds; False when there was none.

        It may take ``until`` some time.
        """
        if self.pace.reserved():
            return False
        pause = self._aside.wait(self._full_batch())
        if pause is None or (pause > 0 and not patience):
            return False
        if pause > 0:
            self.pace.sleep(min(pause, patience))
            return True
        with self._lock:
            if self._sender:  # see _take
                self._wait_for(0, POLL_SECONDS)
                return True
            self._start_sending(until)
        try:
            self._aside.step(self.pace)
        except BaseException as problem:  # noqa: BLE001 - see _deliver
            self._raise_the_programs(problem)
            logger.error("a file was lost by a fault of this library, please report it: %r", problem)
        finally:
            self._stop_sending()
        return True

    def _wait_for(self, target: int, timeout: float | None = None) -> None:
        """Wait until the first ``target`` items are done with; with 0, until anything changes. The lock is held.

        Who flushes 10,000 spans is not woken for each batch of them: that would make each span 0.4 µs dearer.
        """
        self._awaited = min(self._awaited, target)
        try:
            self._changed.wait(timeout)
        except BaseException:
            # Where Ctrl-C finds wait() just before or after it waits, it leaves the lock to others, for good.
            if not self._lock._is_owned():  # of Condition's interface to locks
                self._lock.acquire()
            raise

    def _wake_who_waits(self) -> None:
        self._awaited = NEVER
        self._changed.notify_all()

    def _sending_here(self) -> bool:
        return self._sender == self._machine.get_ident()

    def _work_here(self, batch: list[tuple[Any, int]], end: float) -> bool:
        """In place of the daemon thread, send ``batch``, or do a step of the work beside, until ``end`` at most.

        Returns whether some of the batch was given back.
        """
        try:
            if batch:
                return self._deliver(batch)
            self._step_aside(max(0.0, end - self._machine.monotonic()), end)
            return False
        finally:
            if self._alive():  # it was started meanwhile, and has seen none of this
                self.pace.ring()
            elif self._closed:  # maybe meanwhile, too
                self._aside.release()
