"""The account of a queue: how many items it took and has in hand, and what became of each. Nothing is lost in silence.

It has no lock: the queue changes it under its own, so that :meth:`Account.stats` adds up at every instant. Only what
is refused before it came into the queue is counted without, for those threads must not wait.
"""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

QUEUE_FULL = "queue_full"
CLOSED = "closed"
SHUTDOWN = "shutdown"
UNANSWERED = "unanswered"  # a request with them was not answered before the end: they may have arrived, or not
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

    __slots__ = (
        "_refused", "delivered", "done", "dropped", "in_hand", "leaving", "lost", "spooled", "taken", "told_of",
    )  # fmt: skip

    def __init__(self) -> None:
        self.taken = 0  # how many items left the queue ...
        self.done = 0  # ... and how many of those in batches that are done with
        self.in_hand = 0  # how many of the batch that is being sent have no fate yet
        self.leaving = 0  # how many others are neither in the queue nor lost nor kept yet
        self.delivered = 0
        self.spooled = 0  # kept in a file, for another process
        self.dropped: dict[str, int] = {}  # by reason
        self.lost = 0  # how many of these and the spooled there are: a flush is told of them, not of the refused
        self.told_of = 0  # how many of the refused ones were spoken of
        self._refused = {reason: Counter() for reason in (QUEUE_FULL, CLOSED, NEVER_FINISHED)}

    def refuse(self, reason: str) -> None:
        """An item does not get into the queue. This alone needs no lock."""
        self._refused[reason].add()

    def refused(self, reason: str) -> int:
        """How many were."""
        return self._refused[reason].value()

    def _drop(self, reason: str, count: int) -> None:
        """Items are lost; or, by the reason ``SPOOLED``, kept elsewhere."""
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
            self._drop(lost, count)
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
        self.done = self.taken - self.leaving

    def let_go(self, count: int, in_hand: int) -> None:
        """There is no time left for items, of which so many were ``in_hand`` and the others still in the queue."""
        self.taken += count - in_hand
        self.in_hand -= in_hand
        self.leaving += count

    def settle_leaving(self, count: int, reason: str) -> None:
        """Items that were let go are lost, or kept elsewhere."""
        if not count:
            return
        self.leaving -= count
        self.done += count
        self.lost += count
        self._drop(reason, count)

    def stats(self, waiting: int) -> dict[str, Any]:
        """``finished`` = ``delivered`` + ``queued`` + ``spooled`` + the sum of ``dropped``; ``waiting`` are queued."""
        queued = waiting + self.in_hand + self.leaving
        refused = {reason: counter.value() for reason, counter in self._refused.items()}
        dropped = {reason: count for reason, count in refused.items() if count}
        dropped.update(self.dropped)
        return {
            "finished": self.delivered + queued + self.spooled + sum(dropped.values()),
            "delivered": self.delivered,
            "queued": queued,
            "spooled": self.spooled,
            "dropped": dropped,
        }
