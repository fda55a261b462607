"""The queue between the program's threads and the network: bounded, drained by one daemon thread, never waited for.

It moves sized items and knows neither spans nor HTTP: a ``send`` function takes a batch and settles each item of it,
as delivered or as lost for a reason. The program's side (:meth:`SendQueue.put`) takes no lock, so that signal
handlers and destructors may finish spans, and a fork may cut a thread off in the middle of it. The thread starts with
the first item, sleeps when there is nothing to do, collects for up to a second so that batches fill, and drains at
exit.
"""

from __future__ import annotations

import collections
import logging
import threading
from time import monotonic

from .. import logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

LINGER_SECONDS = 1.0  # how long the first item of a batch waits for more of them, contract siblings.md 2.7
BATCH_BYTES = 4 * 1024 * 1024  # when that many wait, a batch does not wait for more
NEVER = 1 << 62

QUEUE_FULL = "queue_full"
CLOSED = "closed"
SHUTDOWN = "shutdown"
INTERNAL = "internal"


class SendQueue:
    """A bounded queue with its daemon thread.

    Args:
        send: ``send(items, queue)`` calls ``queue.settle()`` for every item; it runs on one thread at a time.
        max_count: how many items may wait, those in the hands of ``send`` included.
        max_bytes: how many bytes they may have together, by the sizes given to :meth:`put`.
        batch_count: how many items one call of ``send`` gets at most.
        shutdown_timeout: seconds that :meth:`close`, and the exit of the interpreter, take at most.
    """

    def __init__(
        self,
        send: Callable[[list[Any], SendQueue], None],
        max_count: int,
        max_bytes: int,
        batch_count: int,
        shutdown_timeout: float,
    ) -> None:
        self._send = send
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
        # Reentrant, for a signal handler that flushes while its own thread is in here.
        self._changed = threading.Condition(threading.RLock())
        # A binary semaphore on which the thread sleeps. Releasing a plain lock is one atomic step; Event.set() takes
        # a lock of its own, and so could block a signal handler for ever.
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._wake_count = NEVER  # put() wakes the thread when so many items wait ...
        self._wake_bytes = NEVER  # ... or so many bytes
        self._thread: threading.Thread | None = None
        self._starting = False
        self._hurry_to = 0  # the items up to this number are to be sent without waiting for more
        self._hurries = 0  # how often someone was in a hurry
        self._hurries_seen = 0
        self._deadline: float | None = None  # when to give up (monotonic seconds)
        self._bytes_in = 0  # written by the program's threads; all below by whoever drains
        self._bytes_out = 0
        self._taken = 0
        self._in_hand = 0
        self._settled = 0
        self._delivered = 0
        self._dropped: dict[str, int] = {}
        self._lost = 0  # of the settled ones

    # -- the program's side -----------------------------------------------------------------------------------------

    def put(self, item: Any, size: int) -> None:
        """Queue ``item``, or count it as dropped when the queue is full or closed. Never waits."""
        items = self._items
        waiting = self._bytes_in - self._bytes_out + size
        if len(items) + self._in_hand >= self._max_count or waiting > self._max_bytes or self._closed:
            self._refuse()
            return
        # Before CPython 3.10 two threads at once may lose one of these additions. The sum only serves the bound, and
        # starts anew whenever the queue runs empty.
        self._bytes_in += size
        items.append((item, size))
        if self._thread is None:
            self._start()
        if len(items) >= self._wake_count or waiting >= self._wake_bytes:
            self._wake()

    def _refuse(self) -> None:
        reason = CLOSED if self._closed else QUEUE_FULL
        with self._changed:
            self._dropped[reason] = self._dropped.get(reason, 0) + 1
        if reason == CLOSED:
            logger.warn("a span was finished after its client was closed: it is dropped")
        else:
            logger.warn("the queue is full: spans are dropped until the server has taken those that wait")

    def _wake(self) -> None:
        self._wake_count = self._wake_bytes = NEVER
        try:
            self._alarm.release()
        except RuntimeError:  # it is awake, or about to be
            pass

    def _start(self) -> None:
        with self._changed:
            if self._alive() or self._starting:
                return
            self._starting = True
            try:
                thread = threading.Thread(target=self._run, name="cozeloop_lite", daemon=True)
                thread.start()
                self._thread = thread
            except RuntimeError:  # the interpreter is ending and starts no more threads: whoever waits will drain
                pass
            finally:
                self._starting = False

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    # -- waiting for delivery ---------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Send what waits now, and wait for it: True when all of it was delivered within ``timeout`` seconds."""
        end = monotonic() + max(0.0, timeout)
        with self._changed:
            target, lost = self._taken + len(self._items), self._lost
            if self._settled >= target:
                return True
            self._hurry(target)
            return self._wait_until(target, end) and self._lost == lost

    def close(self, timeout: float | None = None) -> bool:
        """Send what waits for at most ``timeout`` seconds, then stop; True when all of it was delivered.

        What is put later, and what was not delivered in time, is counted as dropped; the latter is logged.
        """
        timeout = self._shutdown_timeout if timeout is None else max(0.0, timeout)
        if self._closed:
            return True
        self._closed = True
        drained = self._drain(timeout)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.5 if drained else 0.05)  # it has nothing left to do, or is in the middle of a request
        return drained

    def _on_exit(self) -> None:
        self._drain(self._shutdown_timeout)

    def _drain(self, timeout: float) -> bool:
        end = monotonic() + timeout
        with self._changed:
            self._deadline = end
            target, lost = self._taken + len(self._items), self._lost
            self._hurry(NEVER)
            in_time = self._wait_until(target, end)
            waiting = target - self._settled
        if not in_time and waiting > 0:
            logger.say(
                logging.ERROR,
                "%d finished spans could not be delivered within %.1f s (shutdown_timeout): they are lost",
                waiting,
                timeout,
            )
        return in_time and self._lost == lost

    def _hurry(self, target: int) -> None:
        self._hurry_to = max(self._hurry_to, target)
        self._hurries += 1
        self._wake()

    def _wait_until(self, target: int, end: float) -> bool:
        """Wait, with the lock held, until ``target`` items are settled or the time has come."""
        if self._thread is threading.current_thread():
            return False  # a callback on the daemon thread would wait for itself
        if not self._alive():
            self._start()
        while self._settled < target:
            left = end - monotonic()
            if left <= 0:
                return False
            if self._alive() or self._in_hand:
                self._changed.wait(min(left, 0.5))  # awake now and then: the thread may die
            else:
                self._deliver(self._take())  # no thread can be started any more: this one does its work
        return True

    # -- what `send` calls ------------------------------------------------------------------------------------------

    def settle(self, count: int, lost: str = "") -> None:
        """``count`` items in hand are done with: delivered, or lost for the reason given."""
        with self._changed:
            self._in_hand -= count
            self._settled += count
            if lost:
                self._lost += count
                self._dropped[lost] = self._dropped.get(lost, 0) + count
            else:
                self._delivered += count
            self._changed.notify_all()

    def wait(self, seconds: float, patient: bool = False) -> bool:
        """Wait between two attempts; False when the time of :meth:`close` is up, so that there is no use in another.

        Someone who flushes or closes ends the wait early, unless it is ``patient``.
        """
        end = monotonic() + seconds
        while True:
            now = monotonic()
            deadline = self._deadline
            if deadline is not None and now >= deadline:
                return False
            hurries, self._hurries_seen = self._hurries_seen, self._hurries
            if now >= end or (self._hurries_seen != hurries and not patient):
                return True
            self._alarm.acquire(True, min(end, deadline if deadline is not None else end) - now)

    def time_left(self, seconds: float) -> float:
        """How long a request may take that would else take ``seconds``: no longer than :meth:`close` waits."""
        return seconds if self._deadline is None else max(0.05, min(seconds, self._deadline - monotonic()))

    def dropped(self, reason: str) -> int:
        """How many items were lost for ``reason``."""
        return self._dropped.get(reason, 0)

    def stats(self) -> dict[str, Any]:
        """The account: ``finished`` = ``delivered`` + ``queued`` + the sum of ``dropped``, at every instant."""
        with self._changed:
            queued = len(self._items) + self._in_hand
            dropped = dict(self._dropped)
            delivered = self._delivered
        return {
            "finished": delivered + queued + sum(dropped.values()),
            "delivered": delivered,
            "queued": queued,
            "dropped": dropped,
        }

    # -- the daemon thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._sleep()
            batch = self._take()
            if batch:
                self._deliver(batch)
            elif self._closed:
                return

    def _sleep(self) -> None:
        """Sleep until there is something to send, then until it fills a batch, a second is over or someone hurries."""
        end: float | None = None
        while not self._closed:
            # First the marks, then the look: who puts an item after the look sees the marks, and rings.
            self._wake_bytes = BATCH_BYTES
            self._wake_count = self._batch_count if self._items else 1
            count = len(self._items)
            if not count:
                self._alarm.acquire()
                continue
            if end is None:
                end = monotonic() + LINGER_SECONDS
            left = end - monotonic()
            full = count >= self._batch_count or self._bytes_in - self._bytes_out >= BATCH_BYTES
            if full or left <= 0 or self._hurry_to > self._taken:
                break
            self._alarm.acquire(True, left)
        self._wake_count = self._wake_bytes = NEVER

    def _take(self) -> list[tuple[Any, int]]:
        batch: list[tuple[Any, int]] = []
        size = 0
        with self._changed:
            while self._items and len(batch) < self._batch_count:
                if batch and size + self._items[0][1] > BATCH_BYTES:
                    break
                batch.append(self._items.popleft())
                size += batch[-1][1]
            self._taken += len(batch)
            self._in_hand = len(batch)
            self._hurries_seen = self._hurries
        return batch

    def _deliver(self, batch: list[tuple[Any, int]]) -> None:
        try:
            self._send([item for item, _ in batch], self)
        except BaseException as problem:  # noqa: BLE001 - whatever happens to one batch, the thread lives for the next
            logger.error("a batch was lost by a fault of this library, please report it: %r", problem)
        if self._in_hand:
            self.settle(self._in_hand, INTERNAL)
        self._bytes_out += sum(size for _, size in batch)
        if not self._items:
            self._bytes_in = self._bytes_out = 0
