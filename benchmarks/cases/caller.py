"""What the caller's thread pays: a to c."""

from __future__ import annotations

import time
from statistics import median

from ..work import INPUTS
from .clock import BURSTS, at_rest, percentile, spans_at_rest

IN_ONE_GO = 20_000
PACED = 1000
PAUSE_SECONDS = 0.001


def bare(setup):
    """a: start and finish, the sender at rest."""
    subject, bursts = setup.subject(), setup.count(BURSTS)
    figures = at_rest(subject, subject.span, bursts)
    subject.close()
    return dict(figures, spans=spans_at_rest(bursts))


def content(setup):
    """b: with input and output, the sender at rest; the input is text, or a dict of messages."""
    subject = setup.subject()
    return _each_kind(setup, subject, subject.content)


def typical(setup):
    """b: with tags and token counts as well."""
    subject = setup.subject()
    return _each_kind(setup, subject, subject.typical)


def _each_kind(setup, subject, step):
    bursts, figures = setup.count(BURSTS), {}
    for kind, input in INPUTS:
        for key, value in at_rest(subject, lambda input=input: step(input), bursts).items():
            figures["%s.%s" % (kind, key)] = value
    subject.close()
    return dict(figures, spans=len(INPUTS) * spans_at_rest(bursts))


def exporting(setup):
    """c: the same while it is being sent: as many as there are in one go, then one each millisecond."""
    subject = setup.subject()
    count, paced = setup.count(IN_ONE_GO), setup.count(PACED)
    figures = {}
    for kind, input in INPUTS:
        _each_ns(subject, input, 100, 0)
        subject.flush()
        begin = time.perf_counter_ns()
        each = _each_ns(subject, input, count, 0)
        figures["%s.mean_ns" % kind] = (time.perf_counter_ns() - begin) / count
        subject.flush()
        figures["%s.flushed_ns" % kind] = (time.perf_counter_ns() - begin) / count
        calm = _each_ns(subject, input, paced, PAUSE_SECONDS)
        subject.flush()
        for name, times in (("", each), (".paced", calm)):
            figures["%s%s.median_ns" % (kind, name)] = median(times)
            figures["%s%s.p99_ns" % (kind, name)] = percentile(times, 0.99)
    subject.close()
    return dict(figures, spans=len(INPUTS) * (100 + count + paced))


def _each_ns(subject, input, count, pause):
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        subject.typical(input)
        times.append(time.perf_counter_ns() - begin)
        if pause:
            time.sleep(pause)
    return times
