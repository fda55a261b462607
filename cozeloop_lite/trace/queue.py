"""The queue between the program's threads and the network: bounded, drained by one daemon thread, never waited for.

It moves sized items and knows neither spans nor HTTP: a ``send`` function takes a batch and settles each item of it,
as delivered or as lost for a reason. The program's side (:meth:`SendQueue.put`) takes no lock, so that signal
handlers and destructors may finish spans, and a fork may cut a thread off in the middle of it. The thread starts with
the first item, sleeps when there is nothing to do, collects for up to a second so that batches fill, and drains at
exit. Where no thread can be started, whoever flushes or closes sends.
"""

from __future__ import annotations

import collections
import logging
import sys
import threading
from time import monotonic

from .. import logger, process
from .account import CLOSED, QUEUE_FULL, SHUTDOWN, SPOOLED, Account
from .pace import SILENT_SECONDS, Pace
from .uploads import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

LINGER_SECONDS = 1.0  # how long the first item of a batch waits for more of them, contract siblings.md 2.7
BATCH_BYTES = 4 * 1024 * 1024  # when that many wait, a batch does not wait for more
MARGIN_SECONDS = 0.2  # by which the thread gives up earlier than those who wait for it, so that all is counted
NEVER = 1 << 62
CROWDED = 0.75  # of what may wait


class SendQueue:
    """A bounded queue with its daemon thread.

    Args:
        send: ``send(items, queue)`` calls ``queue.settle()`` or ``queue.give_up()`` for every item, keeps to
            ``queue.pace`` and tells it what it hears; it runs on one thread at a time.
        max_count: how many items may wait, those in the hands of ``send`` included.
        max_bytes: how many bytes they may have together, by the sizes given to :meth:`put`.
        batch_count: how many items one call of ``send`` gets at most.
        shutdown_timeout: seconds that :meth:`close`, and the exit of the interpreter, take at most.
        aside: work of another kind that the items bring (:class:`~cozeloop_lite.trace.uploads.Uploads`), done on the
            same thread, one step at a time between two batches.
        keep: ``keep(item)`` puts an item that would be lost where another process finds it; False when it cannot.
    """

    def __init__(
        self,
        send: Callable[[list[Any], SendQueue], None],
        max_count: int,
        max_bytes: int,
        batch_count: int,
        shutdown_timeout: float,
        aside: Uploads | None = None,
        keep: Callable[[Any], bool] | None = None,
    ) -> None:
        self._send = send
        self._keep = keep
        self._aside = aside or Uploads(lambda upload, pace: 0, 0)
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._batch_count = batch_count
        self._shutdown_timeout = shutdown_timeout
        self._closed = False
        self._on_fork()
        process.on_fork(self)
        process.on_exit(self)

    def _on_fork(self) -> None:
        """Begin with nothing: what waits in a parent process is the parent's to send, and its thread stayed there."""
        self._items: collections.deque[tuple[Any, int]] = collections.deque()
        self._bytes_in = 0  # of what came in since the queue last was empty; written by the program's threads
        self._bytes_out = 0  # of what is done with since then; written by whoever sends
        # Held for every look at the account and the sender. Reentrant, for a signal handler that flushes while its own
        # thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._account = Account()
        self.pace = Pace()
        self.pace.once = self._keep is not None
        self._batch: list[tuple[Any, int]] = []  # that is being sent
        self._crowded = False
        self._crowd_hurries = False
        self._wake_count = NEVER  # put() wakes the thread when so many items wait ...
        self._wake_bytes = NEVER  # ... or so many bytes
        self._hurry_to = 0  # the items up to this number are to be sent without waiting for more
        self._thread: threading.Thread | None = None
        self._starting = False  # whether it is being started, and a signal handler came in between
        self._ready = False  # whether put() may rely on it
        self._sender = 0  # the thread that is sending; nearly always that one
        self._exit_by = 0.0  # once the interpreter exits: when that must be over (monotonic seconds)
        self._aside.reset()

    # -- the program's side -----------------------------------------------------------------------------------------

    def put(self, item: Any, size: int) -> None:
        """Queue ``item``, or count it as dropped when the queue is full or closed. Never waits."""
        items = self._items
        waiting = self._bytes_in - self._bytes_out + size
        if len(items) + self._account.in_hand >= self._max_count or waiting > self._max_bytes or self._closed:
            self._refuse()
            return
        # Before CPython 3.10 two threads at once may lose one of these additions. The sum only serves the bound, and
        # starts anew whenever the queue runs empty.
        self._bytes_in += size
        items.append((item, size))
        if not self._ready:
            self._get_ready()
        if len(items) >= self._wake_count or waiting >= self._wake_bytes:
            self._wake()

    def room(self) -> int:
        """How many bytes may still be put."""
        return self._max_bytes - (self._bytes_in - self._bytes_out)

    def crowded(self) -> bool:
        """Whether what waits should make room for more: once three quarters are full, until half is free."""
        if self._ending():
            return False
        count = len(self._items) + self._account.in_hand
        full = max(count / self._max_count, 1 - self.room() / self._max_bytes)
        self._crowded = full >= (0.5 if self._crowded else CROWDED)
        return self._crowded

    def hurry_when_crowded(self) -> None:
        """End the pause that follows as soon as what waits should make room."""
        self._crowd_hurries = True
        self._wake_bytes = int(CROWDED * self._max_bytes)
        self._wake_count = int(CROWDED * self._max_count) - self._account.in_hand

    def refuse(self, reason: str) -> None:
        """Count an item that does not even come to be put."""
        with self._changed:
            self._account.drop(reason)

    def _refuse(self) -> None:
        reason = CLOSED if self._closed else QUEUE_FULL
        self.refuse(reason)
        if reason == CLOSED:
            logger.warn("a span was finished after its client was closed: it is dropped")
        else:
            logger.warn("the queue is full: spans are dropped until the server has taken those that wait")

    def _wake(self) -> None:
        try:
            self._wake_count = self._wake_bytes = NEVER
            if self._crowd_hurries:
                self._crowd_hurries = False
                self.pace.hurried = True
        finally:  # after the marks, always: whoever lowers them and is not heard leaves the thread asleep for ever
            try:  # here and not in a function, at whose entrance CPython may raise KeyboardInterrupt
                self.pace.alarm.release()
            except RuntimeError:  # it is awake, or about to be
                pass

    def _get_ready(self) -> None:
        if not self._exit_by:
            self._start()
        elif threading.current_thread() is threading.main_thread():
            # Our exit hook is over, and nobody else will wait for what is put by a hook that runs after it.
            self._hurry(NEVER)
            if not self._wait_until(self._last(), self._exit_by):
                logger.error("a span was finished too late in the exit of the program: it is lost")

    def _start(self) -> None:
        if sys.is_finalizing():  # a thread would be started and never run, and whoever starts it waits for it
            return
        with self._changed:
            if self._alive() or self._starting:
                return
            self._starting = True
            try:
                self._thread = threading.Thread(target=self._run, name="cozeloop_lite", daemon=True)
                self._thread.start()
                process.at_work()
            except RuntimeError:  # the interpreter is ending and starts no more threads: whoever waits will send
                pass
            finally:
                self._starting = False

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    # -- waiting for delivery ---------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Send what waits now, and wait for it: True when all of it was delivered within ``timeout`` seconds."""
        process.check_fork()
        end = monotonic() + max(0.0, timeout)
        with self._changed:
            lost, target = self._lost(), self._last()
            if self._account.done >= target and self._aside.settled >= self._aside.added:
                return True
            self._hurry(target)
        return self._wait_until(target, end) and self._lost() == lost

    def _last(self) -> int:
        """The number of the item that was put last."""
        return self._account.taken + len(self._items)

    def _lost(self) -> int:
        return self._account.lost + self._aside.lost

    def close(self, timeout: float | None = None) -> bool:
        """Send what waits for at most ``timeout`` seconds, then stop; True when all of it was delivered.

        What is put later, and what was not delivered in time, is counted as dropped; the latter is logged.
        """
        process.check_fork()
        if self._closed:
            return True
        self._closed = True
        seconds = self._shutdown_timeout if timeout is None else max(0.0, timeout)
        delivered = self._drain(monotonic() + seconds, for_the_silent=timeout is not None)
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(MARGIN_SECONDS)  # it has nothing left to do, unless it is in the middle of a request
        return delivered

    def _on_exit_hurry(self) -> None:
        """All queues of the process hurry at once: exit takes as long as the slowest, not as all together."""
        self._exit_by = monotonic() + self._shutdown_timeout
        if not self._closed:
            self._last_chance(self._exit_by, for_the_silent=False)

    def _on_exit(self) -> None:
        if not self._closed:
            self._drain(self._exit_by, for_the_silent=False)
            self._ready = False

    def _last_chance(self, end: float, for_the_silent: bool) -> None:
        self.pace.last_chance(end - min(MARGIN_SECONDS, (end - monotonic()) / 4), for_the_silent)
        self._aside.last_chance()
        self._hurry(NEVER)

    def _drain(self, end: float, for_the_silent: bool) -> bool:
        """Send all that waits until ``end`` and count the rest as lost; a silent server may end it earlier."""
        began = monotonic()
        with self._changed:
            self._last_chance(end, for_the_silent)
            lost, target, spooled = self._lost(), self._last(), self._account.spooled
        in_time = self._wait_until(target, end)
        if not in_time and self._sending_here():
            return False  # closed by a callback of the sending thread, which still has until the deadline
        with self._changed:
            stuck = 0 if in_time else self._discard()
            given_up = self.dropped(SHUTDOWN) + stuck
            spooled = self._account.spooled - spooled
        if spooled:
            text = "%d finished spans could not be delivered and are kept in spool_dir, for the next client to send"
            logger.say(logging.WARNING, text, spooled)
        if given_up:
            logger.say(
                logging.ERROR,
                "%d finished spans could not be delivered within %.1f s and are lost (shutdown_timeout is %g s; "
                "a server that does not answer is waited for %g s)",
                given_up,
                monotonic() - began,
                self._shutdown_timeout,
                SILENT_SECONDS,
            )
        return in_time and self._lost() == lost

    def _discard(self) -> int:
        """Give up what waits; returns how many items are being sent at this moment, and may yet arrive."""
        self._aside.abandon(SHUTDOWN)
        while self._items:
            self._account.discard(self._fate(self._items.popleft()[0]))
        if self._keep is not None and self._account.in_hand:  # whose thread is stuck; some may arrive twice for this
            for item, _ in self._batch:
                self._account.settle(1, self._fate(item))
        return self._account.in_hand

    def _fate(self, item: Any) -> str:
        """What becomes of an item for which there is no time left."""
        return SPOOLED if self._keep is not None and self._keep(item) else SHUTDOWN

    def _hurry(self, target: int) -> None:
        self._hurry_to = max(self._hurry_to, target)
        self.pace.hurried = True
        self._aside.hurry()
        self._wake()

    def _wait_until(self, target: int, end: float) -> bool:
        """Wait until the batches of the first ``target`` items, and the work they bring, are done, or it is ``end``.

        When no thread can be started, this one does its work.
        """
        files = None
        while True:
            with self._changed:
                if self._account.done >= target:
                    files = self._aside.added if files is None else files  # those the items brought are known by now
                    if self._aside.settled >= files and not (self._ending() and self._aside.left_by_others()):
                        return True
                self._start()
                left = self._ends(end) - monotonic()
                # A callback on the sending thread would wait for itself; and once the interpreter takes itself apart,
                # the other threads stand still.
                if left <= 0 or self._sending_here() or sys.is_finalizing():
                    return False
                if self._alive() or self._sender:
                    self._changed.wait(min(left, 0.5))  # awake now and then: the thread may die
                    continue
                batch = self._claim()
            if batch:
                self._deliver_here(batch, end)
            else:
                self._step_aside(left)

    def _ends(self, end: float) -> float:
        """When to stop waiting that would else end at ``end``: with the last chance of what is waited for."""
        last = self.pace.end()
        return end if last is None or not self._ending() else min(end, last + MARGIN_SECONDS)

    def _ending(self) -> bool:
        return self._closed or self._exit_by > 0

    def _sending_here(self) -> bool:
        return self._sender == threading.get_ident()

    def _deliver_here(self, batch: list[tuple[Any, int]], end: float) -> None:
        """Send ``batch`` on the thread that flushes, which has no more time than that."""
        before = self.pace.deadline
        mine = self.pace.deadline = end if before is None else min(before, end)
        try:
            self._deliver(batch)
        finally:
            if self.pace.deadline is mine:  # nobody closed the queue meanwhile
                self.pace.deadline = before

    # -- what `send` calls ------------------------------------------------------------------------------------------

    def settle(self, count: int, lost: str = "") -> None:
        """``count`` items in hand are done with: delivered, or lost for the reason given."""
        with self._changed:
            self._account.settle(count, lost)

    def give_up(self, items: list[Any]) -> None:
        """There is no time left for ``items``: they are lost when this is the end, and wait for better times if not."""
        if self._ending():
            for item in items:
                self.settle(1, self._fate(item))
            return
        with self._changed:
            self._account.put_back(len(items))
            self._items.extendleft((item, 0) for item in reversed(items))  # their bytes leave with the batch

    def dropped(self, reason: str) -> int:
        """How many items were lost for ``reason``."""
        return self._account.dropped.get(reason, 0)

    def stats(self) -> dict[str, Any]:
        """The account: ``finished`` = ``delivered`` + ``queued`` + the sum of ``dropped``, at every instant."""
        with self._changed:
            return {**self._account.stats(len(self._items)), "files": self._aside.stats()}

    # -- the daemon thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        this = threading.current_thread()
        try:
            while self._thread is this:
                self._ready = not self._exit_by
                self._sleep()
                batch = self._take()
                if batch:
                    self._deliver(batch)
                stepped = self._step_aside(self.pace.time_left(NEVER) if self._closed else 0)
                if self._closed and not stepped:
                    self._ready = False  # first this, then the look: who puts an item after the look starts anew
                    if not self._items:
                        return
        finally:
            self._ready = False

    def _sleep(self) -> None:
        """Sleep until there is something to send, then until it fills a batch, a second is over or someone hurries."""
        end: float | None = None
        while not self._closed:
            # First the marks, then the look: who puts an item after the look sees the marks, and rings.
            self._wake_bytes = BATCH_BYTES
            self._wake_count = self._batch_count if self._items else 1
            count = len(self._items)
            pause = self._aside.wait()
            if count:
                if end is None:
                    end = monotonic() + LINGER_SECONDS
                left = end - monotonic()
                full = count >= self._batch_count or self._bytes_in - self._bytes_out >= BATCH_BYTES
                if full or left <= 0 or self._hurry_to > self._account.taken:
                    break
                pause = left if pause is None else min(left, pause)
            if pause == 0:
                self._step_aside(0)
            else:
                self.pace.sleep(pause)

    def _step_aside(self, patience: float) -> bool:
        """One step of the work beside, if one is due within ``patience`` seconds; False when there was none."""
        pause = self._aside.wait()
        if pause is None or (pause > 0 and not patience):
            return False
        if pause > 0:
            self.pace.sleep(min(pause, patience))
            return True
        try:
            self._aside.step(self.pace)
        except BaseException as problem:  # noqa: BLE001 - see _deliver
            logger.error("a file was lost by a fault of this library, please report it: %r", problem)
        with self._changed:
            self._changed.notify_all()
        return True

    def _take(self) -> list[tuple[Any, int]]:
        with self._changed:
            while self._sender:  # someone found no thread and sends himself
                self._changed.wait()
            return self._claim()

    def _claim(self) -> list[tuple[Any, int]]:
        """The next batch, and with it the right to send. The lock is held, and nobody else sends."""
        batch: list[tuple[Any, int]] = []
        size = 0
        while self._items and len(batch) < self._batch_count:
            if batch and size + self._items[0][1] > BATCH_BYTES:
                break
            batch.append(self._items.popleft())
            size += batch[-1][1]
        self._account.take(len(batch))
        self.pace.hurried = self._crowd_hurries = False
        if batch:
            self._sender = threading.get_ident()
            self._batch = batch
        return batch

    def _deliver(self, batch: list[tuple[Any, int]]) -> None:
        try:
            self._send([item for item, _ in batch], self)
        except BaseException as problem:  # whatever happens to one batch, the thread lives for the next
            logger.error("a batch was lost by a fault of this library, please report it: %r", problem)
            if isinstance(problem, KeyboardInterrupt) and threading.current_thread() is not self._thread:
                raise  # it is the program's
        finally:
            with self._changed:
                self._account.finish_batch()
                self._bytes_out += sum(size for _, size in batch)
                if not self._items:
                    self._bytes_in = self._bytes_out = 0
                self._sender = 0
                self._batch = []
                self._changed.notify_all()
