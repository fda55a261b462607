"""What the whole process spends until its spans are delivered: d."""

from __future__ import annotations

import time

from ..work import INPUTS

DELIVERED = 10_000
WARM = 200


def delivery(setup):
    """Processor time of all threads, and the clock, from the first of 10,000 typical spans to the end of the flush."""
    subject, count = setup.subject(), setup.count(DELIVERED)
    figures = {}
    for kind, input in INPUTS:
        for _ in range(WARM):
            subject.typical(input)
        subject.flush()
        cpu, clock = time.process_time(), time.perf_counter()
        for _ in range(count):
            subject.typical(input)
        subject.flush()
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        figures["%s.cpu_us" % kind] = cpu / count * 1e6
        figures["%s.per_second" % kind] = count / clock
    subject.close()
    return dict(figures, spans=len(INPUTS) * (WARM + count))
