"""The queue between the program's threads and the network: those who wait until what was put is delivered.

They flush it or close it, or are the interpreter that exits. None of them waits for longer than it should, whatever the
server does, and whether or not there is a thread that sends.
"""

from __future__ import annotations

import logging
import sys

from .. import logger, process
from .account import SHUTDOWN, UNANSWERED
from .box import FULL, NEVER
from .machine import REAL, Machine
from .pace import SILENT_SECONDS, UNREACHED_SECONDS
from .sender import POLL_SECONDS, Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .uploads import Uploads

MARGIN_SECONDS = 0.2  # by which the sending thread gives up earlier than those who wait for it, so that all is counted


class SendQueue(Sender):
    """A bounded queue that is sent by a daemon thread of its own.

    Args:
        send, max_count, max_bytes, batch_count, aside, keep, machine: see :class:`~cozeloop_lite.trace.sender.Sender`.
        shutdown_timeout: seconds that :meth:`close`, and the exit of the interpreter, take at most.
    """

    def __init__(
        self,
        send: Callable[[list[Any], SendQueue], None],
        max_count: int,
        max_bytes: int,
        batch_count: int,
        shutdown_timeout: float,
        aside: Uploads | None = None,
        keep: Callable[[list[Any]], list[Any]] | None = None,
        machine: Machine = REAL,
    ) -> None:
        self._shutdown_timeout = shutdown_timeout
        super().__init__(send, max_count, max_bytes, batch_count, aside, keep, machine)
        process.on_fork(self)
        process.on_exit(self)

    def _on_fork(self) -> None:
        super()._on_fork()
        self._drained = self._closed  # whether that is over

    def _get_ready(self) -> None:
        if not self._exit_by:
            super()._get_ready()
        elif self._machine.current_thread() is self._machine.main_thread():
            # Our exit hook is over, and nobody else will wait for what is put by a hook that runs after it.
            self._hurry(NEVER)
            if not self._wait_until(self._last(), self._exit_by):
                logger.error("a span was finished too late in the exit of the program: it is lost")

    # -- waiting for delivery ---------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Send what waits now, and wait for it: True when all of it was delivered within ``timeout`` seconds."""
        process.check_fork()
        end = self._machine.monotonic() + max(0.0, timeout)
        with self._lock:
            lost, target = self._lost(), self._last()
            if self._account.done >= target and self._aside.settled >= self._aside.added:
                return True
            self._hurry(target)
        return self._wait_until(target, end) and self._lost() == lost

    def _lost(self) -> int:
        return self._account.lost + self._aside.lost

    def _wait_until(self, target: int, end: float) -> bool:
        """Wait until the batches of the first ``target`` items, and the work they bring, are done, or it is ``end``.

        When no thread can be started, this one does its work.
        """
        nested = self._sending_here()  # a callback calls, and whoever sends goes on after it
        try:
            return self._wait_and_work(target, end)
        except BaseException:
            if not nested:
                self._step_down()
            raise

    def _wait_and_work(self, target: int, end: float) -> bool:
        files, pauses_until = None, 0.0
        while True:
            with self._lock:
                if self._account.done >= target:
                    files = self._aside.added if files is None else files  # those the items brought are known by now
                    if not (self._ending and self._aside.left_by_others()):
                        if self._aside.done_with(files):
                            return True
                        if self._ending and self._aside.in_vain(self._ends(end)):
                            return False
                self._start()
                now = self._machine.monotonic()
                left = self._ends(end) - now
                # A callback on the sending thread would wait for itself; and once the interpreter takes itself apart,
                # the other threads stand still.
                if left <= 0 or self._sending_here() or sys.is_finalizing():
                    return False
                alive = self._alive()
                if alive or self._sender or now < pauses_until:
                    # Another that sends in place of the thread may stop at a target of its own, before this one.
                    self._wait_for(target if alive else 0, min(left, POLL_SECONDS))
                    continue
                batch = self._claim(end)
            if self._work_here(batch, end):  # in vain: there is no use in trying again at once
                pauses_until = self._machine.monotonic() + POLL_SECONDS

    def _step_down(self) -> None:
        """Ctrl-C has cut this thread off, maybe while it sent: what has no fate yet is for whoever sends next."""
        with self._lock:
            if self._sending_here():
                self._let_others_send()

    def _ends(self, end: float) -> float:
        """When to stop waiting that would else end at ``end``: with the last chance of what is waited for."""
        last = self.pace.end()
        return end if last is None or not self._ending else min(end, last + MARGIN_SECONDS)

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """Send what waits for at most ``timeout`` seconds, then stop; True when all of it was delivered.

        What is put later, and what was not delivered in time, is counted as dropped; the latter is logged.
        """
        process.check_fork()
        if self._closed:
            return True
        self._closed = True
        seconds = self._shutdown_timeout if timeout is None else max(0.0, timeout)
        delivered = self._drain(self._machine.monotonic() + seconds, seconds, for_the_silent=timeout is not None)
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not self._machine.current_thread():
            thread.join(MARGIN_SECONDS)  # it has nothing left to do, unless it is in the middle of a request
        if not self._alive() and not self._sender:
            self._aside.release()
        return delivered

    def _on_exit_hurry(self) -> None:
        """All queues of the process hurry at once: exit takes as long as the slowest, not as all together."""
        self._exit_by = self._machine.monotonic() + self._shutdown_timeout
        if not self._drained:
            self._last_chance(self._exit_by, for_the_silent=False)

    def _on_exit(self) -> None:
        if not self._drained:  # which a queue is not that is being closed, by another thread or under a signal handler
            self._drain(self._exit_by, self._shutdown_timeout, for_the_silent=False)
            self._ready = False

    def _last_chance(self, end: float, for_the_silent: bool) -> None:
        self._ending = True
        self.pace.once = self._keep is not None
        deadline = end - min(MARGIN_SECONDS, (end - self._machine.monotonic()) / 4)
        if self._closed and self.pace.deadline is not None:  # an exit gives no more time than a close that it meets
            deadline = min(deadline, self.pace.deadline)
        self.pace.last_chance(deadline, for_the_silent)
        self._aside.last_chance()
        self._hurry(NEVER)

    def _drain(self, end: float, seconds: float, for_the_silent: bool) -> bool:
        """Send all that waits until ``end`` and count the rest as lost; a silent server may end it earlier.

        The ``seconds`` until then have begun before, where several queues share them.
        """
        with self._lock:
            self._last_chance(end, for_the_silent)
            lost, target, spooled = self._lost(), self._last(), self._account.spooled
        in_time = self._wait_until(target, end)
        if not in_time and self._sending_here() and self._machine.current_thread() is self._thread:
            return False  # closed by a callback of the daemon thread, which still has until the deadline
        stuck = 0
        if not in_time:
            with self._lock:
                self.pace.deadline = self._machine.monotonic()  # an answer that comes now gives no time for more
                said = self._aside.abandon(SHUTDOWN)
                self.pace.ring()  # the daemon thread, if it waits for one of these
            self._say(said)
            stuck = self._discard()
        if self._has_overflowed():  # and whoever sends has had no occasion to say so
            logger.warn(FULL)
        with self._lock:
            self._drained = self._closed
            given_up = self.dropped(SHUTDOWN) + self.dropped(UNANSWERED) + stuck
            spooled = self._account.spooled - spooled
        self._say_what_is_left(given_up, spooled, self._machine.monotonic() - (end - seconds))
        return in_time and self._lost() == lost

    def _say_what_is_left(self, given_up: int, spooled: int, seconds: float) -> None:
        if spooled:
            text = "%d finished spans could not be delivered and are kept in spool_dir, for the next client to send"
            logger.say(logging.WARNING, text, spooled)
        if given_up:
            text = (
                "%d finished spans could not be delivered within %.1f s and are lost (shutdown_timeout is %g s; "
                "a server that does not answer is waited for %g s, one that is not there %g s)"
            )
            text += "" if self._keep else ". With a spool_dir they are kept"
            waits = self._shutdown_timeout, SILENT_SECONDS, UNREACHED_SECONDS
            logger.say(logging.ERROR, text, given_up, seconds, *waits)

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {**super().stats(), "files": self._aside.stats()}
