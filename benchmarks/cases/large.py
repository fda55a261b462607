"""Large inputs and files: i."""

from __future__ import annotations

import base64
import random
import time
from statistics import median

from ..work import LONG_TEXT, SHORT_TEXT
from .clock import BURSTS, at_rest, spans_at_rest

MB = 1_000_000
FEW = 30  # spans of 100 kB in a burst: 3 MB, under the 4 MiB of a request


def lengths(setup):
    """A text of 10 bytes beside one of 100 kB: the sender at rest, then while it sends, one span each 2 ms."""
    subject, bursts = setup.subject(), setup.count(BURSTS)
    texts = (("short", SHORT_TEXT), ("long", LONG_TEXT))
    figures = {}
    for name, text in texts:
        rest = at_rest(subject, lambda text=text: subject.typical(text), bursts, FEW)
        figures["%s.ns" % name] = rest["ns"]
    sending = {"short": [], "long": []}
    count = setup.count(300)
    for _ in range(count):
        for name, text in texts:
            begin = time.perf_counter_ns()
            subject.typical(text)
            sending[name].append(time.perf_counter_ns() - begin)
            time.sleep(0.002)
    subject.close()
    figures.update(("%s.sending_ns" % name, median(times)) for name, times in sending.items())
    return dict(figures, spans=2 * (spans_at_rest(bursts, FEW) + count))


def large(setup):
    """A text and a dict of 1 MB, and a text of 20 MB that goes up as a file (where the client has files)."""
    subject = setup.subject(large=True)
    inputs = [
        ("text_1mb", 5, SHORT_TEXT * (MB // len(SHORT_TEXT))),
        ("dict_1mb", 5, {"messages": [{"role": "user", "content": SHORT_TEXT * 9} for _ in range(8000)]}),
        ("text_20mb", 2, SHORT_TEXT * (20 * MB // len(SHORT_TEXT))),
    ]
    figures = {}
    for name, times, input in inputs:
        _measure(figures, name, subject, [input] * (1 + setup.count(times)))
    subject.close()
    files = 1 + setup.count(2) if hasattr(subject, "client") else 0
    return dict(figures, spans=sum(1 + setup.count(times) for _, times, _ in inputs), files=files)


def image(setup):
    """A model's input with a base64 image of 5 MB, which is uploaded as a file (where the client has files)."""
    subject, count = setup.subject(large=True), 1 + setup.count(3)
    data = base64.b64encode(random.Random(1).getrandbits(8 * 5 * MB).to_bytes(5 * MB, "big")).decode()
    figures = {}
    _measure(figures, "image", subject, [subject.image("data:image/png;base64," + data) for _ in range(count)])
    subject.close()
    return dict(figures, spans=count, files=count if hasattr(subject, "client") else 0)


def _measure(figures, name, subject, inputs):
    """Milliseconds of the caller, and of the processor until all of it is delivered; the first one is to warm up."""
    caller, cpu = [], []
    for input in inputs:
        before, begin = time.process_time(), time.thread_time()  # the latter as in clock.py
        subject.typical(input)
        caller.append(time.thread_time() - begin)
        subject.flush()
        cpu.append(time.process_time() - before)
    figures["%s.ms" % name] = median(caller[1:]) * 1e3
    figures["%s.cpu_ms" % name] = median(cpu[1:]) * 1e3
