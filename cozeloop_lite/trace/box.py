"""What waits to be sent, and what is in the hands of whoever sends: bounded, in order, every item accounted for.

Nobody waits in here, and nobody sends: that is queue.py. The program's side (:meth:`Box.put`) takes no lock, so that
signal handlers and destructors may finish spans, and a fork may cut a thread off in the middle of it.
"""

from __future__ import annotations

import collections
import itertools

from .. import logger
from .account import CLOSED, QUEUE_FULL, SHUTDOWN, SPOOLED, UNANSWERED, Account
from .machine import REAL, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

BATCH_BYTES = 4 * 1024 * 1024  # of a batch, unless one item has more; when that many wait, it is full
NEVER = 1 << 62
FULL = (
    "the queue is full (trace_queue_conf, queue_max_bytes): spans are dropped until the server has taken those that "
    "wait"
)
CROWDED = 0.75  # of what may wait


class Box:
    """A bounded box of sized items, of which it knows nothing else.

    Args:
        max_count: how many items may be in it, those in hand included.
        max_bytes: how many bytes they may have together, by the sizes given to :meth:`put`.
        batch_count: how many items make a batch.
        keep: ``keep(items)`` puts items that would be lost where another process finds them; returns those it could.
        machine: where the lock comes from.
    """

    def __init__(
        self,
        max_count: int,
        max_bytes: int,
        batch_count: int,
        keep: Callable[[list[Any]], list[Any]] | None = None,
        machine: Machine = REAL,
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._batch_count = batch_count
        self._keep = keep
        self._machine = machine
        self._closed = False
        self._on_fork()

    def _on_fork(self) -> None:
        """Begin with nothing: what waits in a parent process is the parent's to send."""
        self._items: collections.deque[tuple[Any, int]] = collections.deque()
        self._bytes_in = 0  # of what came in since the box last was empty; written by the program's threads
        self._bytes_out = 0  # of what is done with since then; written by whoever sends
        # Held for every look at the account. Reentrant, for a signal handler that flushes while its own thread is in
        # here. Not the condition itself: that enters and leaves by a function of Python's, where Ctrl-C would leave
        # the lock held for ever.
        self._lock = self._machine.RLock()
        self._changed = self._machine.Condition(self._lock)
        self._account = Account()
        self._batch: list[tuple[Any, int]] = []  # that is in hand ...
        self._open: dict[int, int] = {}  # ... and how often an item of it, by its id, has no fate yet
        self._given_back: list[Any] = []  # those of them that are to wait again
        self._ending = self._closed  # whether nothing may wait any longer ...
        self._over = False  # ... and whoever waited for the last of it has given up
        self._crowded = False
        self._ready = False  # whether put() may rely on someone who takes
        self._wake_count = NEVER  # put() wakes whoever takes when so many items wait ...
        self._wake_bytes = NEVER  # ... or so many bytes

    # -- in ---------------------------------------------------------------------------------------------------------

    def put(self, item: Any, size: int) -> None:
        """Let ``item`` wait, or count it as dropped when the box is full or closed. Never waits."""
        items = self._items
        waiting = self._bytes_in - self._bytes_out + size
        if len(items) + self._account.in_hand >= self._max_count or waiting > self._max_bytes or self._closed:
            self._refuse()
            return
        # Before CPython 3.10 two threads at once may lose one of these additions. The sum only serves the bound, and
        # starts anew whenever the box runs empty.
        self._bytes_in += size
        items.append((item, size))
        if not self._ready:
            self._get_ready()
        if len(items) >= self._wake_count or waiting >= self._wake_bytes:
            self._wake()

    def _get_ready(self) -> None:
        """See that someone takes what was put."""

    def _wake(self) -> None:
        """Whoever takes has waited long enough: what waits has reached a mark. Unset both marks."""

    def _overflow(self) -> None:
        """There was no room. Whoever takes says so, since a handler of the log may take its time."""

    def room(self) -> int:
        """How many bytes may still be put."""
        return self._max_bytes - (self._bytes_in - self._bytes_out)

    def refuse(self, reason: str) -> None:
        """Count an item that does not even come to be put. Takes no lock, and so never waits."""
        self._account.refuse(reason)

    def overflowed(self) -> int:
        """How many items there was no room for since the last call. For whoever sends, who says so."""
        count = self._account.refused(QUEUE_FULL)
        new, self._account.told_of = count - self._account.told_of, count
        return new

    def _refuse(self) -> None:
        if self._closed:
            self.refuse(CLOSED)
            logger.warn("a span was finished after its client was closed: it is dropped")
            return
        self.refuse(QUEUE_FULL)
        if not self._ready:  # or it stays full for ever, if nobody could be started when there was room
            self._get_ready()
        self._overflow()

    # -- how full it is ---------------------------------------------------------------------------------------------

    def crowded(self) -> bool:
        """Whether what waits should make room for more: once three quarters are full, until half is free."""
        if self._ending:
            return False
        count = len(self._items) + self._account.in_hand
        full = max(count / self._max_count, 1 - self.room() / self._max_bytes)
        self._crowded = full >= (0.5 if self._crowded else CROWDED)
        return self._crowded

    def hurry_when_crowded(self) -> None:
        """Wake whoever waits between two attempts as soon as what waits should make room."""
        self._wake_bytes = int(CROWDED * self._max_bytes)
        self._wake_count = int(CROWDED * self._max_count) - self._account.in_hand

    def _mark_batch(self) -> None:
        """Wake whoever takes when a batch is full; or, when nothing waits, when something does."""
        self._wake_bytes = BATCH_BYTES
        self._wake_count = self._batch_count if self._items else 1

    def _full_batch(self) -> bool:
        return len(self._items) >= self._batch_count or self._bytes_in - self._bytes_out >= BATCH_BYTES

    # -- out: with the lock held, unless it says otherwise ----------------------------------------------------------

    def _take_batch(self) -> list[tuple[Any, int]]:
        """Take the next batch in hand; there is none in hand yet."""
        batch: list[tuple[Any, int]] = []
        try:
            self._fill(batch)  # no loop in here: CPython 3.13 leaves its jump back out of this try
            taken = collections.Counter([id(item) for item, _ in batch])  # nearly always each once
            self._account.take(len(batch))
            self._open, self._batch = taken, batch
        except BaseException:  # Ctrl-C
            if self._batch is not batch:  # else it is in hand, and who took it gives it back
                self._items.extendleft(reversed(batch))
                self._account.put_back(self._account.in_hand)
                self._open = {}
            raise
        return batch

    def _fill(self, batch: list[tuple[Any, int]]) -> None:
        """Move items into ``batch``, and back what is too much: each in one C call, so that Ctrl-C finds every item on
        one side or the other.
        """
        try:
            batch.extend(itertools.starmap(self._items.popleft, itertools.repeat((), self._batch_count)))
        except IndexError:  # that is all
            pass
        size = 0
        for count, entry in enumerate(batch):
            size += entry[1]
            if size > BATCH_BYTES and count:
                surplus = itertools.repeat((), len(batch) - count)
                self._items.extendleft(itertools.starmap(batch.pop, surplus))
                return

    def settle(self, items: Sequence[Any], lost: str = "") -> None:
        """``items``, which are in hand, are done with: delivered, or lost for the reason given. Takes the lock."""
        with self._lock:
            self._account.settle(sum(map(self._done_with, items)), lost)

    def give_up(self, items: Sequence[Any], lost: str = SHUTDOWN) -> None:
        """There is no time left for ``items``, which are in hand. Takes the lock.

        They are kept elsewhere, or lost for the reason given, when this is the end; when it is not, they wait for
        better times.
        """
        with self._lock:
            if self._may_wait():
                self._given_back.extend(items)
                return
        self._end(items, lost)

    def _may_wait(self) -> bool:
        return not self._ending

    def _end_batch(self) -> bool:
        """The batch is no longer in hand. What was given back is the first in line again, in its old order.

        Returns whether there was any.
        """
        batch, self._batch = self._batch, []
        back: list[int] = []
        if self._given_back:
            place = {id(entry[0]): index for index, entry in enumerate(batch)}
            back = sorted(place[id(item)] for item in self._given_back if self._done_with(item))
        if back and self._over:  # whoever would take them has given up since
            self._account.let_go(len(back), in_hand=len(back))
            self._part_with([batch[index][0] for index in back], SHUTDOWN, self._keep)
            back = []
        self._account.put_back(len(back))
        self._account.finish_batch()
        self._open.clear()
        self._given_back.clear()
        self._items.extendleft(batch[index] for index in reversed(back))
        self._bytes_out += sum(size for _, size in batch) - sum(batch[index][1] for index in back)
        if not self._items:
            self._bytes_in = self._bytes_out = 0
        return bool(back)

    def _discard(self) -> int:
        """The time is up for what waits; returns how many items are in hand at this moment, and may yet arrive.

        Takes the lock, and gives it up in between.
        """
        self._over = True
        keep = self._keep
        if keep is not None:  # the thread that has them is stuck; some may arrive twice for this
            self._end([item for item, _ in self._batch], UNANSWERED)
        while True:
            with self._lock:
                entries = [self._items.popleft() for _ in range(min(len(self._items), self._batch_count))]
                self._bytes_out += sum(size for _, size in entries)
                self._account.let_go(len(entries), in_hand=0)
                if not entries:
                    return self._account.in_hand
            items = [item for item, _ in entries]
            if not self._part_with(items, SHUTDOWN, keep):
                keep = None  # what failed once need not be tried for all the others

    def _end(self, items: Sequence[Any], lost: str) -> None:
        with self._lock:
            mine = [item for item in items if self._done_with(item)]
            self._account.let_go(len(mine), in_hand=len(mine))
        self._part_with(mine, lost, self._keep)

    def _part_with(self, items: list[Any], lost: str, keep: Callable[[list[Any]], list[Any]] | None) -> int:
        """Keep items elsewhere that were let go, or lose them; returns how many were kept.

        The lock is not held: to keep them may take a while, and may log, for which nobody else has to wait.
        """
        kept = len(keep(items)) if keep is not None and items else 0
        with self._lock:
            self._account.settle_leaving(kept, SPOOLED)
            self._account.settle_leaving(len(items) - kept, lost)
        return kept

    def _done_with(self, item: Any) -> bool:
        """False when the item has its fate already: at the end, another thread may have settled it."""
        count = self._open.pop(id(item), 0)
        if count > 1:
            self._open[id(item)] = count - 1
        return count > 0

    # -- the account ------------------------------------------------------------------------------------------------

    def _last(self) -> int:
        """The number of the item that was put last."""
        return self._account.taken + len(self._items)

    def dropped(self, reason: str) -> int:
        """How many items were lost for ``reason``, of those that had come to be put."""
        return self._account.dropped.get(reason, 0)

    def stats(self) -> dict[str, Any]:
        """The account: ``finished`` = ``delivered`` + ``queued`` + ``spooled`` + the sum of ``dropped``, always."""
        with self._lock:
            return self._account.stats(len(self._items))
