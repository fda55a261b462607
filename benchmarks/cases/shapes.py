"""Whether a span costs the same wherever it is: deep in a trace, one of many children, on one of many threads. j, k.

The server is silent, so that nothing is sent meanwhile. What is compared has the same number of spans, in turns.
"""

from __future__ import annotations

import threading
import time
from statistics import median

from ..work import MESSAGES

SPANS = 1000
TIMES = 3
FAN_OUT = 10_000
THREADS = (1, 4, 16)
THREADED = 3000  # spans of all threads


def shapes(setup):
    """100 traces of depth 10 beside one of 1,000; 100 spans with 100 children each beside one with 10,000."""
    subject = setup.subject("silent", patient=True)
    deep, wide = setup.count(SPANS), setup.count(FAN_OUT)
    for _ in range(deep // 10):
        _nested(subject, 10)
    times = {"depth_10": [], "depth_1000": [], "fan_100": [], "fan_10000": []}
    for _ in range(TIMES):
        times["depth_10"].append(_cpu_us(lambda: [_nested(subject, 10) for _ in range(deep // 10)], deep))
        times["depth_1000"].append(_cpu_us(lambda: _nested(subject, deep), deep))
    for number in range(2):
        wide_ones = ("fan_100", lambda: [_fan_out(subject, 100) for _ in range(wide // 100)])
        pair = [wide_ones, ("fan_10000", lambda: _fan_out(subject, wide))]
        for name, step in pair if number % 2 else reversed(pair):
            times[name].append(_cpu_us(step, wide))
    return {"%s.us" % name: median(each) for name, each in times.items()}


def _nested(subject, depth):
    for finish in reversed([subject.open() for _ in range(depth)]):
        finish()


def _fan_out(subject, children):
    finish = subject.open()
    for _ in range(children):
        subject.span()
    finish()


def _cpu_us(step, count):
    begin = time.thread_time()
    step()
    return (time.thread_time() - begin) / max(1, count) * 1e6


def threads(setup):
    """The same number of typical spans, by 1, 4 and 16 threads at once: processor time, and the clock, for each."""
    subject, total = setup.subject("silent", patient=True), setup.count(THREADED)
    _on_threads(subject, 1, total)
    times = {}
    for number in range(2 * TIMES):
        for count in THREADS if number % 2 else reversed(THREADS):
            cpu, clock = _on_threads(subject, count, total)
            times.setdefault("%d.cpu_us" % count, []).append(cpu)
            times.setdefault("%d.us" % count, []).append(clock)
    return {name: median(each) for name, each in times.items()}


def _on_threads(subject, count, total):
    each = max(1, total // count)
    barrier = threading.Barrier(count + 1)

    def work():
        barrier.wait()
        for _ in range(each):
            subject.typical(MESSAGES)

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    barrier.wait()
    cpu, clock = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.join()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return cpu / (each * count) * 1e6, clock / (each * count) * 1e6
