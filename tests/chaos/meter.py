"""How long a call keeps its caller, and how much of that is the machine's doing.

On a machine with other work any two lines may lie 20 ms apart. So each call is followed by a control of the same
length, on the same thread, which only looks at the clock; and of each slow call it is known for how long the thread had
a core, waited for one, or slept. To sleep is to wait for someone: for the network, for a lock, or for Python's
interpreter lock, which the control waits for as often.
"""

from __future__ import annotations

import os
from collections import Counter
from time import perf_counter_ns, thread_time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

HELD_NS = 5_000_000  # what no caller may be held for
LOOK_NS = 1_000_000  # from here on it is worth knowing what a call waited for; no control is longer
STEPS = 16  # of the histogram, for each doubling


class Meter:
    """Times the calls of one thread, and a control after each. To be made on that thread."""

    def __init__(self) -> None:
        self.calls = Figures()
        self.control = Figures()
        self._queued = _queued_clock()

    def time(self, call: Callable[..., Any], *args: Any) -> Any:
        """What ``call(*args)`` returns."""
        result, took = self._time(self.calls, call, args)
        self._time(self.control, _look_at_the_clock, (min(took, LOOK_NS),))
        return result

    def _time(self, figures: Figures, call: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, int]:
        queued, worked = self._queued(), thread_time_ns()
        began = perf_counter_ns()
        result = call(*args)
        took = perf_counter_ns() - began
        slept = 0
        if took > LOOK_NS:
            slept = max(0, took - (thread_time_ns() - worked) - (self._queued() - queued))
        figures.add(took, slept, call.__name__)
        return result, took


class Figures:
    """Of many calls: the longest, the longest sleep in one, how many were over the limit, by either, and a histogram.

    ``sleeper`` is the function in which the longest sleep was.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0
        self.longest_sleep = 0
        self.sleeper = ""
        self.over = 0
        self.asleep = 0
        self._histogram: Counter[int] = Counter()

    def add(self, took: int, slept: int, name: str) -> None:
        self.count += 1
        self.longest = max(self.longest, took)
        if slept > self.longest_sleep:
            self.longest_sleep, self.sleeper = slept, name
        self.over += took > HELD_NS
        self.asleep += slept > HELD_NS
        doublings = took.bit_length()
        self._histogram[doublings * STEPS + (took * STEPS * 2 >> doublings) - STEPS] += 1

    def merge(self, others: Iterable[Figures]) -> Figures:
        for other in others:
            self.count += other.count
            self.longest = max(self.longest, other.longest)
            if other.longest_sleep > self.longest_sleep:
                self.longest_sleep, self.sleeper = other.longest_sleep, other.sleeper
            self.over += other.over
            self.asleep += other.asleep
            self._histogram.update(other._histogram)
        return self

    def _quantile(self, part: float) -> float:
        """Nanoseconds, to one sixteenth."""
        left = self.count * part
        for key in sorted(self._histogram):
            left -= self._histogram[key]
            if left <= 0:
                doublings, step = divmod(key, STEPS)
                return 2.0 ** (doublings - 1) * (1 + (step + 0.5) / STEPS)
        return 0.0

    def summary(self) -> dict[str, Any]:
        """Times in milliseconds."""
        return {
            "count": self.count,
            "median": self._quantile(0.5) / 1e6,
            "p999": self._quantile(0.999) / 1e6,
            "longest": self.longest / 1e6,
            "longest_sleep": self.longest_sleep / 1e6,
            "sleeper": self.sleeper,
            "over": self.over,
            "asleep": self.asleep,
        }


def _look_at_the_clock(nanoseconds: int) -> None:
    end = perf_counter_ns() + nanoseconds
    while perf_counter_ns() < end:
        pass


def _queued_clock() -> Callable[[], int]:
    """A function that says how long this thread was ready and had no core, so far, in nanoseconds. Linux only."""
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        os.pread(file, 64, 0)
    except OSError:
        return lambda: 0  # elsewhere such time counts as sleep
    return lambda: int(os.pread(file, 64, 0).split()[1])
