"""Whether a span costs the same wherever it is: deep in a trace, one of many children, on one of many threads. j, k.

What is compared has the same number of spans, and takes turns: a ratio is that of neighbours, the one or the other
first, so that what disturbs the machine, or grows in the process, disturbs both. The median of these ratios counts.
"""

from __future__ import annotations

import threading
import time
from statistics import median

from ..subjects import ROOM
from ..work import MESSAGES

SPANS = 1000
FAN_OUT = 10_000
THREADS = (1, 4, 16)
THREADED = 3000  # spans of all threads
WARM = 2  # turns
DEEP, WIDE, SIDE_BY_SIDE = 15, 9, 9  # turns that count


def shapes(setup):
    """100 traces of depth 10 beside one of 1,000; 100 spans with 100 children each beside one with 10,000.

    The queue is emptied in between, outside of the measurement.
    """
    subject = setup.subject()
    deep, wide = setup.count(SPANS), setup.count(FAN_OUT)
    made = []

    def measured(step, count, times):
        begin = time.thread_time()
        for _ in range(max(1, times)):
            step(subject, count)
        cpu = time.thread_time() - begin
        made.append(max(1, times) * (count + (step is _fan_out)))
        subject.flush()
        return cpu / made[-1] * 1e6

    depth = [lambda: measured(_nested, 10, deep // 10), lambda: measured(_nested, deep, 1)]
    fan = [lambda: measured(_fan_out, 100, wide // 100), lambda: measured(_fan_out, wide, 1)]
    few, many = _in_turns(depth, DEEP)
    figures = {"depth_10.us": median(few), "depth_1000.us": median(many), "depth.ratio": _ratio(many, few)}
    few, many = _in_turns(fan, WIDE)
    figures.update({"fan_100.us": median(few), "fan_10000.us": median(many), "fan.ratio": _ratio(many, few)})
    subject.close()
    return dict(figures, spans=sum(made))


def _nested(subject, depth):
    for finish in reversed([subject.open() for _ in range(depth)]):
        finish()


def _fan_out(subject, children):
    finish = subject.open()
    for _ in range(children):
        subject.span()
    finish()


def _in_turns(steps, turns):
    """What each of ``steps`` returned, a list for each."""
    results = [[] for _ in steps]
    for number in range(WARM + turns):
        pairs = list(zip(steps, results))
        for step, values in pairs if number % 2 else reversed(pairs):
            values.append(step())
    return [values[WARM:] for values in results]


def _ratio(values, base):
    return median(value / beside for value, beside in zip(values, base))


def threads(setup):
    """The same number of typical spans, by 1, 4 and 16 threads at once: processor time, and the clock, for each.

    The server is silent, so that nothing is sent meanwhile. To start a thread and to wait for it is not counted.
    """
    subject, total = setup.subject("silent", patient=True), setup.count(THREADED)
    assert total * len(THREADS) * (WARM + SIDE_BY_SIDE) <= ROOM, "what is dropped would cost less"
    steps = [lambda count=count: _on_threads(subject, count, total) for count in THREADS]
    figures = {}
    alone, *others = _in_turns(steps, SIDE_BY_SIDE)
    for number, unit in enumerate(("cpu_us", "us")):
        base = [result[number] for result in alone]
        figures["1.%s" % unit] = median(base)
        for count, results in zip(THREADS[1:], others):
            values = [result[number] for result in results]
            figures["%d.%s" % (count, unit)] = median(values)
            figures["%d.%s_ratio" % (count, unit)] = _ratio(values, base)
    return figures


def _on_threads(subject, count, total):
    """Processor time of these threads, and the clock from the first span to the last, µs a span."""
    each = max(1, total // count)
    barrier = threading.Barrier(count)
    spent = []

    def work():
        barrier.wait()
        begin, cpu = time.perf_counter(), time.thread_time()
        for _ in range(each):
            subject.typical(MESSAGES)
        spent.append((time.thread_time() - cpu, begin, time.perf_counter()))

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    cpu, begins, ends = zip(*spent)
    return sum(cpu) / (each * count) * 1e6, (max(ends) - min(begins)) / (each * count) * 1e6
