"""One block of inputs for one reader: counted, timed, with what failed and what was slow. And failures made small."""

from __future__ import annotations

import logging
import signal
import time
import traceback
from typing import Any, NamedTuple

from cozeloop_lite import logger as library_logger

from . import inputs

HUNG_SECONDS = 60.0  # for one input, on a machine that has other things to do
SLOWEST = 8  # that are kept
TAKEN_AGAIN = 32  # of a block: some only seemed slow
KEPT_FAILURES = 3  # of one block


class Failure(NamedTuple):
    """An input that made a reader fail: where it comes from, and how it failed. ``where`` tells failures apart."""

    reader: str
    block: int
    data: bytes
    where: str
    text: str


class Outcome(NamedTuple):
    """What became of a block."""

    reader: str
    count: int
    seconds: float  # of CPU
    failed: int
    failures: list[Failure]  # some of them
    slowest: list[Any]  # (seconds of CPU, input), the slowest first


class HungError(Exception):
    """An input takes too long. No reader catches this: it is raised in the middle of the library."""


def run_block(reader, number, seed=0):
    """Give the inputs of one block to ``reader``."""
    listen()
    library_logger._logged.clear()  # a message of which there was one before is formatted again
    failures, slow, count, failed, threshold = [], [], 0, 0, 0.0
    fuzz_one, clock = reader.fuzz_one, time.process_time
    began = clock()
    signal.signal(signal.SIGALRM, _hung)
    for data in inputs.block(reader, number, seed):
        count += 1
        signal.setitimer(signal.ITIMER_REAL, HUNG_SECONDS)
        start = clock()
        try:
            fuzz_one(data)
        except Exception as problem:
            signal.setitimer(signal.ITIMER_REAL, 0)
            failed += 1
            if len(failures) < KEPT_FAILURES:
                failures.append(Failure(reader.name, number, data, place_of(problem), _told(problem)))
            continue  # it may be one that hangs
        took = clock() - start
        if took > threshold:
            slow.append((took, data))
            if len(slow) >= 2 * TAKEN_AGAIN:
                slow = sorted(slow, reverse=True)[:TAKEN_AGAIN]
                threshold = slow[-1][0]
    signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = clock() - began
    again = [(cpu_seconds(fuzz_one, data), data) for _, data in sorted(slow, reverse=True)[:TAKEN_AGAIN]]
    return Outcome(reader.name, count, seconds, failed, failures, sorted(again, reverse=True)[:SLOWEST])


def cpu_seconds(fuzz_one, data, times=2):
    """The least time that it takes, whatever else goes on."""
    least = float("inf")
    for _ in range(times):  # a garbage collection seldom comes twice
        start = time.process_time()
        try:
            fuzz_one(data)
        except Exception:  # noqa: S110 - an end like any other
            pass
        least = min(least, time.process_time() - start)
    return least


def shrunk(fuzz_one, failure, seconds=5.0):
    """The same failure with as few bytes as can be found in some time."""
    data, end = failure.data, time.perf_counter() + seconds
    size = max(1, len(data) // 2)
    while size and time.perf_counter() < end:
        start = 0
        while start < len(data) and time.perf_counter() < end:
            shorter = data[:start] + data[start + size :]
            if fails_at(fuzz_one, shorter) == failure.where:
                data = shorter
            else:
                start += size
        size //= 2
    return failure._replace(data=data)


def place_of(problem):
    """Which kind of exception it is, and where it was raised."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return "%s in %s, %s line %d" % (type(problem).__name__, last.name, last.filename.rpartition("/")[2], last.lineno)


def fails_at(fuzz_one, data):
    try:
        fuzz_one(data)
    except Exception as problem:
        return place_of(problem)
    return ""


def _told(problem):
    return "".join(traceback.format_exception(type(problem), problem, problem.__traceback__)[-6:])


def _hung(number, frame):
    raise HungError("more than %g s" % HUNG_SECONDS)


class Listener(logging.Handler):
    """Formats each message as a handler of the program would, and keeps none."""

    def emit(self, record):
        record.getMessage().encode("utf-8", "replace")


def listen():
    """Have what the library logs formatted, and not printed."""
    log = library_logger.logger
    if not any(isinstance(handler, Listener) for handler in log.handlers):
        log.addHandler(Listener())
        log.propagate = False
