"""The prompts that are kept: a bounded number of them, the least recently used leave first. No I/O, no clock.

Beside the prompts in use there is a reserve of as many: copies that were used before, or come from a file. They are for
the time when the server cannot be asked, and only then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from .. import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..entities.prompt import Prompt
    from .fetch import Query


class Entry:
    """A prompt that is kept. Never changed, but replaced: whoever found it can use it without a lock.

    Attributes:
        prompt: the kept copy, which nobody else has.
        source: ``""`` when the server sent it since it is in use; else where it was taken from.
    """

    __slots__ = ("_mold", "prompt", "source")

    def __init__(self, prompt: Prompt, source: str = "") -> None:
        self.prompt = prompt
        self.source = source
        self._mold: Callable[[], Prompt] | None = None

    def copy(self) -> Prompt:
        """A copy for a caller, from a mold."""
        if self._mold is None:
            from ..entities.entity import mold

            self._mold = mold(self.prompt)
        return self._mold()


class PromptCache:
    """Prompts by query.

    Args:
        max_count: how many are in use at most, and how many are in reserve.
    """

    def __init__(self, max_count: int) -> None:
        self.max_count = max_count
        self._used: OrderedDict[Query, Entry] = OrderedDict()  # the most recently used last
        self._reserve: OrderedDict[Query, Entry] = OrderedDict()  # the latest last
        self._asked: dict[Query, int] = {}  # in which order the server was asked for what is in use
        self._missed: set[Query] = set()  # those for which that was in vain the last time
        self._count = 0
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant, for a signal handler that asks for a prompt in the middle of this

    def __len__(self) -> int:
        return len(self._used)

    def get(self, query: Query) -> Entry | None:
        """The prompt in use; it is the most recently used one now."""
        entry = self._used.get(query)  # without the lock: this is one step, and so is the next
        if entry is not None:
            try:
                self._used.move_to_end(query)
            except KeyError:  # other prompts were got just now, and took the place of this one
                pass
        return entry

    def put(self, query: Query, entry: Entry) -> None:
        """Use a prompt from now on."""
        with self._lock:
            self._reserve.pop(query, None)
            self._used.pop(query, None)  # so that it comes last
            self._used[query] = entry
            self._tick(query)
            while len(self._used) > self.max_count:
                oldest, unused = self._used.popitem(last=False)
                self._forget(oldest)
                self._reserve[oldest] = unused
            while len(self._reserve) > self.max_count:
                self._reserve.popitem(last=False)

    def renew(self, query: Query, prompt: Prompt) -> bool:
        """What the server has now takes the place of what is in use; True when it is something else.

        A prompt that is no longer in use stays so.
        """
        entry = self._used.get(query)
        # Takes time, so without the lock. As JSON: what this version does not know is compared, too.
        same = entry is not None and not entry.source and entry.prompt.to_dict() == prompt.to_dict()
        with self._lock:
            if query not in self._used:
                return False
            self._tick(query)
            if not same:
                self._used[query] = Entry(prompt)
            return not same

    def missed(self, query: Query) -> None:
        """The server was asked in vain."""
        with self._lock:
            if query in self._used:
                self._tick(query)
                self._missed.add(query)

    def drop(self, query: Query) -> bool:
        """Forget a prompt altogether; False when it was not known."""
        with self._lock:
            self._forget(query)
            found = [kept.pop(query, None) for kept in (self._used, self._reserve)]
            return any(entry is not None for entry in found)

    def reserve(self, query: Query) -> Entry | None:
        """The copy in reserve."""
        return self._reserve.get(query)

    def add_reserve(self, query: Query, entry: Entry) -> None:
        """Put a copy from elsewhere into reserve, the most important ones first.

        It finds no place when the reserve is full, and when there is a copy of this process.
        """
        with self._lock:
            known = self._reserve.get(query)
            if query in self._used or (known is None and len(self._reserve) >= self.max_count):
                return
            if known is None or known.source:
                self._reserve[query] = entry
                if known is None:
                    self._reserve.move_to_end(query, last=False)

    def queries(self) -> tuple[list[Query], list[Query]]:
        """Of all prompts in use: those the server answered the last time, and those for which it was asked in vain.

        In each list those come first for which it was not asked for the longest time.
        """
        with self._lock:
            ordered = sorted(self._used, key=lambda query: self._asked.get(query, 0))
            missed = [query for query in ordered if query in self._missed]
            return [query for query in ordered if query not in self._missed], missed

    def latest(self) -> list[tuple[Query, Entry]]:
        """As many prompts as may be in use, the most recently used first, then those in reserve."""
        with self._lock:
            # The keys in one step, for get() does without the lock. Not the items, which are made as they are listed:
            # that may begin a garbage collection, which may run Python, so that another thread gets its turn.
            used = [(query, self._used[query]) for query in list(self._used)]
            return (used[::-1] + list(self._reserve.items())[::-1])[: self.max_count]

    def _tick(self, query: Query) -> None:
        self._count += 1
        self._asked[query] = self._count
        self._missed.discard(query)

    def _forget(self, query: Query) -> None:
        self._asked.pop(query, None)
        self._missed.discard(query)
