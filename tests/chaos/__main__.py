"""``make chaos``: all faults, or (``python -m chaos``, with ``tests`` in PYTHONPATH) some of them."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from . import environment, report, runs, verdict
from .environment import LITE, OFFICIAL, OTEL
from .rows import Row, all_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .runs import Result

RESULTS = os.path.join(environment.HERE, "RESULTS.md")
SOAK_RATE = 500.0  # spans a second
FORKS_OF_OTHERS = 100
ATTEMPTS = 3


class Part:
    """One run: what it is called, for which library, and how it is judged."""

    def __init__(
        self, name: str, library: str, run: Callable[[], Result], judge: Callable[[Result], list[str]]
    ) -> None:
        self.name = name
        self.library = library
        self._run = run
        self._judge = judge

    def result(self) -> Result:
        """The last of up to three, as long as nothing but the time that callers were held is to be objected to."""
        for attempt in range(1, ATTEMPTS + 1):
            result = self._run()
            result.attempts = attempt
            if self.library != LITE:
                break
            result.short = self._judge(result)
            if not result.short or result.short != verdict.held(result):
                break
        print("%-40s %-8s %s" % (self.name, self.library, "; ".join(result.short)), file=sys.stderr, flush=True)
        return result


class Plan:
    """All parts that are asked for, and their results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rows = all_rows(options.outage_seconds)
        self.libraries = [name for name in (LITE, OFFICIAL, OTEL) if fnmatch.fnmatch(name, options.library)]
        self.pythons = {library: environment.python_of(library) for library in self.libraries}
        self.faults: list[Result] = []
        self.endings: list[Result] = []
        self.forks: list[Result] = []
        self.soaks: list[Result] = []

    def run(self) -> None:
        beside, alone = [], []
        for library in self.libraries:
            beside.append((self.soaks, self._soak(library)))
        for row in sorted(self.rows, key=lambda row: -row.seconds):
            (alone if row.alone else beside).extend(
                (self.faults, self._fault(row, library)) for library in self.libraries if library in row.libraries
            )
        for way in runs.WAYS:
            for library in self.libraries:
                if library not in runs.NOT_FOR.get(way, ()):
                    beside.append((self.endings, self._ending(way, library)))
        alone += [(self.forks, self._forks(library)) for library in self.libraries]
        for parts, jobs in ((beside, self.options.jobs), (alone, 1)):
            with ThreadPoolExecutor(jobs) as pool:
                wanted = [(kept, part) for kept, part in parts if fnmatch.fnmatch(part.name, self.options.only)]
                for kept, made in [(kept, pool.submit(part.result)) for kept, part in wanted]:
                    kept.append(made.result())

    def _fault(self, row: Row, library: str) -> Part:
        run = runs.FaultRun(row, library, self.pythons[library]).result
        return Part(row.name, library, run, lambda result: verdict.of_fault(row, result))

    def _ending(self, way: str, library: str) -> Part:
        return Part(way, library, lambda: runs.ending(way, library, self.pythons[library]), verdict.of_ending)

    def _forks(self, library: str) -> Part:
        count = self.options.forks if library == LITE else min(self.options.forks, FORKS_OF_OTHERS)
        return Part("forks", library, lambda: runs.forks(count, library, self.pythons[library]), verdict.of_forks)

    def _soak(self, library: str) -> Part:
        seconds = self.options.soak_seconds
        run = lambda: runs.soak(seconds, SOAK_RATE, library, self.pythons[library])  # noqa: E731
        return Part("soak", library, run, verdict.of_soak)

    def text(self, about: dict[str, object]) -> str:
        parts = [report.INTRODUCTION % about, report.shortfalls(self.results())]
        if self.faults:
            parts.append(report.faults(self.rows, self.faults))
        if self.endings:
            parts.append(report.endings(self.endings))
        if self.forks:
            parts.append(report.forks(self.forks))
        if self.soaks:
            parts.append(report.soak(self.soaks, SOAK_RATE, self.options.soak_seconds))
        return "\n".join(parts)

    def results(self) -> list[Result]:
        return self.faults + self.endings + self.forks + self.soaks

    def falls_short(self) -> bool:
        return any(result.short for result in self.results())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Faults, and what becomes of spans then.")
    parser.add_argument("--only", default="*", help="a pattern for the names of rows, ways, 'forks' and 'soak'")
    parser.add_argument("--library", default="*", help="a pattern for lite, official, otel")
    parser.add_argument("--soak-seconds", type=float, default=60, help="default 60; an hour is 3600")
    parser.add_argument("--outage-seconds", type=float, default=60, help="default 60; HTTP 503 lasts twice as long")
    parser.add_argument("--forks", type=int, default=1000, help="default 1000; at most 100 for the others")
    parser.add_argument("--jobs", type=int, default=6, help="how many programs run at a time (default 6)")
    options = parser.parse_args()
    plan = Plan(options)
    before = environment.load()
    plan.run()
    if not plan.results():
        parser.error("nothing is called that: --only %s --library %s" % (options.only, options.library))
    about = environment.describe(plan.pythons)
    text = plan.text({**about, "load_before": before, "load_after": environment.load(), "jobs": options.jobs})
    if (options.only, options.library) == ("*", "*"):
        with open(RESULTS, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text)
    if plan.falls_short():
        raise SystemExit("cozeloop_lite falls short: see above")


if __name__ == "__main__":
    main()
