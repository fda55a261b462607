"""What is measured, in a process of its own: ``python -m benchmarks.worker LIBRARY CASE URL``. Prints one JSON object.

The same code drives both clients; ``LIBRARY`` is the name that is imported, or ``bare`` for the reference.

``span`` and ``full_span`` time what the caller's thread pays with the sender at rest: bursts that stay under the 100
spans at which either client begins to send, flushed in between outside of the measurement. The first span of each is
timed alone: it finds the processor's caches cold, as most spans do that come between calls of a model, and wakes the
sender. The rest is timed as a whole. The garbage collector is on, as it is in a program.

``delivery`` times everything: processor time of all threads, and the clock, from the first span to the end of the last
flush. Bursts stay under the 1,024 spans that the official client's queue holds; beyond that it drops.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import threading
import time
from collections import deque
from statistics import median

WORKSPACE = "7000000000000000001"

BURST = 90
BURSTS = 60
WARM_BURSTS = 5
DELIVERED = 5000
DELIVERY_BURST = 500

INPUT = {
    "messages": [
        {"role": "system", "content": "You answer questions about the weather, shortly, with the help of tools."},
        {"role": "user", "content": "上海明天的天气怎么样？ Do I need an umbrella on my way to work?"},
    ]
}
OUTPUT = "Tomorrow Shanghai is cloudy, 18 to 24 °C, with showers from 15:00 on: take an umbrella for the way back. " * 2
TAGS = {"feature": "weather", "attempt": 1, "temperature": 0.7}


def bare_span(tracer):
    tracer.start_span("step", "custom").finish()


def full_span(tracer):
    span = tracer.start_span("answer", "model")
    span.set_input(INPUT)
    span.set_output(OUTPUT)
    span.set_tags(TAGS)
    span.set_input_tokens(132)
    span.set_output_tokens(48)
    span.finish()


class BareSpan:
    """The least that a traced step needs: two random ids, two clocks, a stack, and a bounded queue to end up in."""

    __slots__ = ("duration", "name", "owner", "parent", "span_id", "span_type", "started", "ticks", "trace_id")

    def __init__(self, owner, name, span_type):
        stack = owner.local.stack
        self.owner = owner
        self.name = name
        self.span_type = span_type
        self.parent = stack[-1] if stack else None
        self.trace_id = owner.bits(128)
        self.span_id = owner.bits(64)
        self.started = time.time_ns()
        self.ticks = time.monotonic_ns()
        stack.append(self)

    def finish(self):
        self.duration = time.monotonic_ns() - self.ticks
        self.owner.local.stack.pop()
        self.owner.finished.append(self)


class BareTracer:
    """Stands in for a client in the reference."""

    def __init__(self):
        self.local = threading.local()
        self.local.stack = []
        self.bits = random.Random().getrandbits
        self.finished = deque(maxlen=10000)

    def start_span(self, name, span_type):
        return BareSpan(self, name, span_type)

    def flush(self):
        self.finished.clear()

    def close(self):
        self.finished.clear()


def burst_ns(step, tracer, count):
    """Nanoseconds a step, over one burst of ``count``."""
    begin = time.perf_counter_ns()
    for _ in range(count):
        step(tracer)
    return (time.perf_counter_ns() - begin) / count


def callers_share(tracer, step):
    """What one step costs the caller: alone after a pause; the median and the least of the bursts that follow."""
    alone, bursts = [], []
    for number in range(WARM_BURSTS + BURSTS):
        first = burst_ns(step, tracer, 1)
        others = burst_ns(step, tracer, BURST - 1)
        tracer.flush()
        if number >= WARM_BURSTS:
            alone.append(first)
            bursts.append(others)
    return {
        "spans": (WARM_BURSTS + BURSTS) * BURST,
        "ns": median(bursts),
        "least_ns": min(bursts),
        "alone_ns": median(alone),
    }


def delivery(tracer):
    """What the whole process spends on typical spans until all of them are delivered."""
    burst_ns(full_span, tracer, BURST)
    tracer.flush()
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in range(DELIVERED // DELIVERY_BURST):
        burst_ns(full_span, tracer, DELIVERY_BURST)
        tracer.flush()
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    return {"spans": BURST + DELIVERED, "cpu_us": cpu / DELIVERED * 1e6, "per_second": DELIVERED / clock}


CASES = {
    "span": lambda tracer: callers_share(tracer, bare_span),
    "full_span": lambda tracer: callers_share(tracer, full_span),
    "delivery": delivery,
}


def main(library, case, url):
    if library == "bare":
        tracer = BareTracer()
    else:
        client = importlib.import_module(library)
        tracer = client.new_client(api_base_url=url, workspace_id=WORKSPACE, api_token="pat_benchmark")
    result = CASES[case](tracer)
    tracer.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
