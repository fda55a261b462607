"""Run the measurements and print the table: ``python -m benchmarks [--rounds N] [--json]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from . import environment, report, startup
from .sink import Sink

LIBRARIES = {"lite": "cozeloop_lite", "official": "cozeloop"}
STARTS = 7
WORKER_SECONDS = 120
ATTEMPTS = 3


class Bench:
    """Runs workers one at a time and keeps their figures by library and key."""

    def __init__(self, python: str, sink: Sink) -> None:
        self._python = python
        self._sink = sink
        self._env = environment.worker_env()
        self.rounds: dict[str, dict[str, list[float]]] = {"lite": {}, "official": {}, "bare": {}}
        self.notes: list[str] = []

    def case(self, library: str, case: str) -> None:
        """One worker, and whether the sink got all it sent."""
        args = ["-m", "benchmarks.worker", LIBRARIES.get(library, library), case, self._sink.url]
        result = self._run(library, args)
        sent, account = result.pop("spans"), self._sink.account()
        if library != "bare":
            result["bytes"] = account["bytes"] / max(1, account["spans"])
            if account["distinct"] != sent or account["spans"] != sent:
                self._note(
                    "%s, %s: of %d spans %d arrived, %d of them distinct",
                    library, case, sent, account["spans"], account["distinct"],
                )  # fmt: skip
        for key, value in result.items():
            self._keep(library, "%s.%s" % (case, key), value)

    def start(self, library: str, code: str, warm_up: bool = False) -> None:
        """One process that imports the library; ``warm_up`` writes byte code and fills the disk cache."""
        result = self._run(library, ["-c", code.format(library=LIBRARIES[library], url=self._sink.url)])
        if not warm_up:
            for key, value in result.items():
                self._keep(library, key, value)

    def _run(self, library, args):
        for _ in range(ATTEMPTS):
            try:
                done = subprocess.run(
                    [self._python, *args],
                    env=self._env,
                    cwd=environment.HOME,  # not the directory of a package that -c or -m would find first
                    capture_output=True,
                    timeout=WORKER_SECONDS,
                )
            except subprocess.TimeoutExpired:
                self._note("%s: %s did not end within %d s and was run again", library, args[-2], WORKER_SECONDS)
                self._sink.account()
                continue
            if done.returncode:
                raise SystemExit("%s failed:\n%s" % (args, done.stderr.decode(errors="replace")))
            return json.loads(done.stdout.decode())
        raise SystemExit("%s did not end" % (args,))

    def _keep(self, library: str, key: str, value: float) -> None:
        self.rounds[library].setdefault(key, []).append(value)

    def _note(self, message, *args):
        self.notes.append(message % args)
        print(self.notes[-1], file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The cost of a span, measured.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each case runs, in turns (default 5)")
    parser.add_argument("--json", action="store_true", help="print all figures of all rounds as JSON")
    options = parser.parse_args()

    python = environment.make_python()
    about = environment.describe(python)
    with Sink(python, environment.worker_env()) as sink:
        bench = Bench(python, sink)
        for code in (startup.IMPORT, startup.FIRST_SPAN):
            for number in range(STARTS + 1):
                for library in LIBRARIES:
                    bench.start(library, code, warm_up=number == 0)
        sink.account()
        for number in range(options.rounds):
            print("round %d of %d" % (number + 1, options.rounds), file=sys.stderr)
            for case in ("span", "full_span", "delivery"):
                for library in LIBRARIES:
                    bench.case(library, case)
            bench.case("bare", "span")
    rows = report.summary(bench.rounds)
    if options.json:
        result = {"environment": about, "rows": rows, "rounds": bench.rounds, "notes": bench.notes}
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print(report.table(about, rows, bench.notes or ["Every span of both clients arrived, once."]))


if __name__ == "__main__":
    main()
