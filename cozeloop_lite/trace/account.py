"""The account of a queue: how many items it took and has in hand, and what became of each. Nothing is lost in silence.

It has no lock: the queue changes it under its own, so that :meth:`Account.stats` adds up at every instant.
"""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

QUEUE_FULL = "queue_full"
CLOSED = "closed"
SHUTDOWN = "shutdown"
INTERNAL = "internal"
NEVER_FINISHED = "never_finished"
SPOOLED = "spooled"


class Counter:
    """Counts what many threads do, by :meth:`add`, which takes no lock and loses nothing."""

    __slots__ = ("_count", "add")

    def __init__(self) -> None:
        self._count = itertools.count()
        self.add: Callable[[], int] = self._count.__next__  # one atomic step, as += is not before CPython 3.10

    def value(self) -> int:
        """The count so far."""
        return int(repr(self._count)[6:-1])  # "count(5)": to ask it otherwise would count


class Account:
    """Counts, and nothing else. The items are numbered as they leave the queue, so that a flush can wait for one."""

    __slots__ = ("delivered", "done", "dropped", "in_hand", "lost", "spooled", "taken")

    def __init__(self) -> None:
        self.taken = 0  # how many items left the queue ...
        self.done = 0  # ... and how many of those in batches that are done with
        self.in_hand = 0  # how many of the batch that is being sent have no fate yet
        self.delivered = 0
        self.spooled = 0  # kept in a file, for another process
        self.dropped: dict[str, int] = {}  # by reason
        self.lost = 0  # the dropped ones that were in the queue: a flush is told of these, not of the refused ones

    def drop(self, reason: str, count: int = 1) -> None:
        """Items did not get into the queue, or are lost; or, by the reason ``SPOOLED``, kept elsewhere."""
        if reason == SPOOLED:
            self.spooled += count
            return
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def take(self, count: int) -> None:
        """A batch leaves the queue."""
        self.taken += count
        self.in_hand = count

    def settle(self, count: int, lost: str = "") -> None:
        """Items in hand were delivered, or lost for a reason."""
        self.in_hand -= count
        if lost:
            self.lost += count
            self.drop(lost, count)
        else:
            self.delivered += count

    def put_back(self, count: int) -> None:
        """Items in hand return to the head of the queue."""
        self.in_hand -= count
        self.taken -= count

    def finish_batch(self) -> None:
        """The batch is done with; what has no fate by now is lost by a fault of ours."""
        if self.in_hand:
            self.settle(self.in_hand, INTERNAL)
        self.done = self.taken

    def discard(self, reason: str) -> None:
        """An item is lost that no batch took."""
        self.taken += 1
        self.done += 1
        self.lost += 1
        self.drop(reason)

    def stats(self, waiting: int) -> dict[str, Any]:
        """``finished`` = ``delivered`` + ``queued`` + ``spooled`` + the sum of ``dropped``; ``waiting`` are queued."""
        queued = waiting + self.in_hand
        dropped = dict(self.dropped)
        return {
            "finished": self.delivered + queued + self.spooled + sum(dropped.values()),
            "delivered": self.delivered,
            "queued": queued,
            "spooled": self.spooled,
            "dropped": dropped,
        }
