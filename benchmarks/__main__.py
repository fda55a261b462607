"""Run the measurements: ``python -m benchmarks [--quick] [--only a,b,h] [--with langfuse] [--rounds N]``.

A full run writes ``benchmarks/RESULTS.md``; any other prints the same to the terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from . import environment, report
from .runner import LITE, Bench
from .sink import Sink

ROUNDS = 5
QUICK_ROUNDS, QUICK_SCALE = 2, 0.2
ALL = (LITE, "cozeloop", "opentelemetry")
RESULTS = os.path.join(environment.ROOT, "benchmarks", "RESULTS.md")

# How often in a round, one after the other for all clients: what is measured within 40 ms of a fast client and within
# half a second of a slow one. A machine that others use, too, is slow for longer than the former now and then.
OFTEN = {"bare": 3, "content": 3, "typical": 3, "exporting": 2, "delivery": 3, "lengths": 3}

# Letter, case, whether the bare object takes part, how many rounds at most.
PLAN = [
    ("a", "bare", True, 99),
    ("b", "content", True, 99),
    ("b", "typical", True, 99),
    ("c", "exporting", True, 99),
    ("d", "delivery", False, 99),
    ("g", "queued", False, 2),
    ("g", "burst", False, 3),
    ("g", "flood", False, 1),
    ("h", "prompts", False, 99),
    ("i", "lengths", False, 99),
    ("i", "large", False, 3),
    ("i", "image", False, 3),
    ("j", "shapes", False, 3),
    ("k", "threads", False, 99),
    ("l", "size", False, 1),
]
WITH_PROMPTS = (LITE, "cozeloop")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the library costs, measured.")
    parser.add_argument("--rounds", type=int, help="how often each case runs, in turns (default %d)" % ROUNDS)
    parser.add_argument("--only", help="letters of what to measure, such as a,b,h (default: everything)")
    parser.add_argument("--quick", action="store_true", help="%d rounds of a fifth of the work" % QUICK_ROUNDS)
    parser.add_argument("--with", dest="more", default="", help="further clients: langfuse")
    options = parser.parse_args()
    letters = options.only.replace(",", "") if options.only else "abcdefghijkl"
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    begin = time.monotonic()

    environment.lay_sources()
    more = [name for name in options.more.split(",") if name]
    pythons = {library: environment.make(library) for library in [*ALL, *more]}
    about = environment.describe(pythons)
    with Sink(pythons[LITE], environment.variables()) as sink:
        bench = Bench(pythons, sink, QUICK_SCALE if options.quick else 1.0)
        for number in range(rounds):
            print("round %d of %d" % (number + 1, rounds), file=sys.stderr)
            _round(bench, letters, number)
    about.update(rounds=rounds, minutes=(time.monotonic() - begin) / 60, load_after=environment.load())

    text = report.document(about, bench.figures, bench.notes, full=not options.only)
    if options.only or options.quick or options.rounds:
        print(text)
    else:
        with open(RESULTS, "w", encoding="utf-8") as file:
            file.write(text)
        print("written: %s" % os.path.relpath(RESULTS))


def _round(bench: Bench, letters: str, number: int) -> None:
    if "e" in letters:
        bench.imports()
    if "f" in letters:
        bench.programs()
    for letter, case, bare, most in PLAN:
        if letter not in letters or number >= most:
            continue
        libraries = [name for name in bench.libraries if letter != "h" or name in WITH_PROMPTS]
        libraries += ["bare"] if bare else []
        for again in range(OFTEN.get(case, 1)):
            turn = (number + again) % len(libraries)  # another one begins each time
            for library in libraries[turn:] + libraries[:turn]:
                bench.case(library, case)


if __name__ == "__main__":
    main()
