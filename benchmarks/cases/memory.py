"""What spans hold in memory while they wait: g."""

from __future__ import annotations

import gc
import sys
import tracemalloc

from ..work import MESSAGES

QUEUED = 10_000
FLOOD = 100_000


def queued(setup):
    """Bytes a span that waits, counted by the interpreter; the server is silent, the room large enough."""
    _load_everything(setup)
    subject, count = setup.subject("silent", patient=True), setup.count(QUEUED)
    figures = {}
    for name, step in (("bare", subject.span), ("typical", lambda: subject.typical(MESSAGES))):
        for _ in range(600):  # enough for the sender to take a first batch, and to be stuck with it
            step()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count):
            step()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        figures["%s_bytes" % name] = (after - before) / count
    return figures


def burst(setup):
    """By how much the peak of the process grows with 10,000 spans while the server is down; the client's own bounds."""
    return _growth(setup, QUEUED)


def flood(setup):
    """The same with 100,000."""
    return _growth(setup, FLOOD)


def _growth(setup, count):
    _load_everything(setup)
    subject, count = setup.subject("down", room=None), setup.count(count)
    subject.span()
    before = _resident_bytes()
    for _ in range(count):
        subject.span()
    return {"peak_bytes": max(0, _peak_bytes() - before)}  # the system counts in steps of some pages


def _load_everything(setup):
    """Deliver a span, so that the modules a request needs are not counted later."""
    subject = setup.subject()
    subject.span()
    subject.flush()
    subject.close()


def _resident_bytes():
    return _of_system("VmRSS") or _peak_bytes()  # the next best, where there is no /proc


def _peak_bytes():
    return _of_system("VmHWM") or _largest_bytes()


def _of_system(name):
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))
    except OSError:
        return 0


def _largest_bytes():
    import resource  # its peak may be that of the process which started this one

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
