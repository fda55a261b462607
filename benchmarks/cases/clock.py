"""How time is taken: bursts short enough that no sender wakes, and the median of many of them.

While nothing is sent a thread waits for nobody, so what it costs is its processor time, which other programs on the
machine do not lengthen as they do the time on the clock.
"""

from __future__ import annotations

import time
from statistics import median

BURST = 90  # spans; under the 100, or more, at which any of the clients begins to send
BURSTS = 60
WARM_BURSTS = 5


def burst_ns(step, count):
    """Nanoseconds of this thread's processor time a step, over one burst of ``count``."""
    begin = time.thread_time_ns()
    for _ in range(count):
        step()
    return (time.thread_time_ns() - begin) / count


def at_rest(subject, step, bursts, burst=BURST):
    """What ``step`` costs the caller while nothing is sent: alone after a pause, and in the bursts that follow.

    The first one of a burst finds the processor's caches cold, as most spans do that come between calls of a model. The
    queue is emptied in between, outside of the measurement. The garbage collector is on, as it is in a program.
    """
    alone, others = [], []
    for number in range(WARM_BURSTS + bursts):
        begin = time.perf_counter_ns()  # for a single step, the other clock takes too long to read
        step()
        first = time.perf_counter_ns() - begin
        rest = burst_ns(step, burst - 1)
        subject.flush()
        if number >= WARM_BURSTS:
            alone.append(first)
            others.append(rest)
    return {"ns": median(others), "least_ns": min(others), "alone_ns": median(alone)}


def spans_at_rest(bursts, burst=BURST):
    """How many spans that makes."""
    return (WARM_BURSTS + bursts) * burst


def percentile(values, part):
    """The value that ``part`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
