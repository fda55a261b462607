"""Feeds all readers, by as many processes as there are processors, and reports.

    python -m tests.fuzz                          a million inputs for each reader, then the growth of the time
    python -m tests.fuzz --minutes 25             as many as there is time for, each reader having the same share of it
    python -m tests.fuzz --inputs 20000 sse mask  some readers only

The exit code is 1 if an input made a reader fail, took too long, or more than linear time.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import multiprocessing
import os
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

from . import growth, inputs, running
from .readers import READERS

HANG_SECONDS = 600  # of a block: then the interpreter itself hangs, and ends with a traceback
SHOWN_FAILURES = 5  # of one reader
PUMPED_INPUTS = 6  # of one reader: so many of the slowest, and so many of the examples
NICENESS = 10
TELL_SECONDS = 60


class Tally:
    """What became of all inputs of one reader so far."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.next_block = 0
        self.spent = 0.0  # seconds of CPU, those of blocks that run included
        self.failed = 0
        self.failures = {}
        self.slowest = []

    def add(self, outcome, estimate):
        self.count += outcome.count
        self.spent += outcome.seconds - estimate
        self.failed += outcome.failed
        for failure in outcome.failures:
            known = self.failures.get(failure.where)
            if known is None or len(failure.data) < len(known.data):
                self.failures[failure.where] = failure
        self.slowest = sorted(self.slowest + outcome.slowest, reverse=True)[: running.SLOWEST]

    @property
    def pace(self):
        """Seconds for one block, as far as is known."""
        return self.spent / max(1, self.next_block)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help="default: all of %s" % ", ".join(READERS))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each reader (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no more inputs are tried")
    parser.add_argument("--pumps", type=int, default=30, help="ways to pump up one input (%(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="for other inputs (%(default)s)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.readers if name not in READERS]
    if unknown:
        parser.error("there is no reader %r" % unknown[0])
    names = options.readers or list(READERS)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(options.processes, mp_context=context, initializer=_prepare) as pool:
        began = time.perf_counter()
        tallies = _fed(pool, names, options)
        print("inputs: %.0f s on %d processes" % (time.perf_counter() - began, options.processes))
        bad = sum(_report(tally, options.inputs) for tally in tallies)
        bad += _grow(pool, tallies, options)
    return 1 if bad else 0


def _fed(pool, names, options):
    """Blocks, until each reader has had its inputs, or the time is up. Whoever had the least time is next."""
    tallies = [Tally(name) for name in names]
    blocks = -(-options.inputs // inputs.BLOCK)
    began = told = time.perf_counter()
    end = began + options.minutes * 60
    running_now = {}
    while True:
        if time.perf_counter() - told > TELL_SECONDS:
            told = time.perf_counter()
            count, failed = sum(tally.count for tally in tallies), sum(tally.failed for tally in tallies)
            print("%3.0f min: %s inputs, %d failed" % ((told - began) / 60, format(count, ","), failed), flush=True)
        waiting = [tally for tally in tallies if tally.next_block < blocks]
        if waiting and len(running_now) <= options.processes and time.perf_counter() < end:
            tally = min(waiting, key=lambda tally: tally.spent)
            estimate = tally.pace
            future = pool.submit(_run, tally.name, tally.next_block, options.seed)
            running_now[future] = tally, estimate
            tally.next_block += 1
            tally.spent += estimate
        elif running_now:
            done, _ = wait(running_now, return_when=FIRST_COMPLETED)
            for future in done:
                tally, estimate = running_now.pop(future)
                tally.add(future.result(), estimate)
        else:
            return tallies


def _prepare():
    os.nice(NICENESS)
    gc.freeze()  # what was imported is none of the garbage collector's business, and would be in all times


def _run(name, number, seed):
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    try:
        return running.run_block(READERS[name], number, seed)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _report(tally, wanted):
    """One line, and what went wrong. How much that was."""
    reader = READERS[tally.name]
    slowest, data = tally.slowest[0] if tally.slowest else (0.0, b"")  # all of them failed
    short = "" if tally.count >= wanted else "  (not all of %s)" % format(wanted, ",")
    print(
        "%-16s %9s inputs, %5.0f us of CPU each, %d failed; the slowest: %.1f ms, %d bytes%s"
        % (
            *(tally.name, format(tally.count, ","), tally.spent / max(1, tally.count) * 1e6, tally.failed),
            *(slowest * 1000, len(data), short),
        )
    )
    too_slow = slowest > reader.seconds
    if too_slow:
        print("  takes too long: %r" % data)
    for failure in list(tally.failures.values())[:SHOWN_FAILURES]:
        smaller = running.shrunk(reader.fuzz_one, failure)
        print("  %s, block %d\n  %r\n%s" % (smaller.where, smaller.block, smaller.data, smaller.text))
    sys.stdout.flush()
    return len(tally.failures) + too_slow


def _grow(pool, tallies, options):
    """The time of examples, and of the slowest inputs, when they become longer. How often it grew too fast."""
    if not options.pumps:
        return 0
    futures = {tally.name: _growing(pool, tally, options.pumps) for tally in tallies if READERS[tally.name].grows}
    total = 0
    for name, waiting in futures.items():
        found = [seen for future in waiting for seen in future.result()]
        print("%-16s %2d inputs made longer in %d ways, %d too slow" % (name, len(waiting), options.pumps, len(found)))
        for seen in found[:SHOWN_FAILURES]:
            print("  the time grows by %.1f, not 2: %s" % (seen.factor, _shown(seen)))
        sys.stdout.flush()
        total += len(found)
    return total


def _growing(pool, tally, pumps):
    examples = READERS[tally.name].examples
    tried = [data for _, data in tally.slowest[:PUMPED_INPUTS]] + [*examples[:: -(-len(examples) // PUMPED_INPUTS)]]
    return [pool.submit(_pumped, tally.name, data, pumps, number) for number, data in enumerate(tried)]


def _pumped(name, data, pumps, seed):
    return growth.suspicious(READERS[name], data, pumps, seed)


def _shown(seen):
    times = ", ".join("%d KiB %.1f ms" % (size >> 10, seconds * 1000) for size, seconds in seen.times)
    return "%r + %r * n + %r: %s" % (seen.front, seen.piece, seen.end, times)


if __name__ == "__main__":
    sys.exit(main())
