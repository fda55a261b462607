"""A library meets a fault, a process ends in some way, forks, or runs for long: each a function that takes its time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
import urllib.request
from typing import Any, Iterator

from . import endings, environment
from .environment import LITE, OFFICIAL, OTEL
from .rows import Row
from .sink import Sink
from .watched import Watched

START_SECONDS = 60.0  # from the start of a process to its first word
FREEZE_SECONDS = 3.0
WORKERS = 2
REQUESTS = 20
SECOND_SECONDS = 2.0  # how long a second program traces

GUNICORN = "gunicorn --preload"
WAYS = [*endings.WAYS, GUNICORN]
NOT_FOR = {"vendored twice": (OFFICIAL, OTEL)}  # they import themselves by their name
UNANSWERED = "unanswered"  # a reason of the library's, for spans that may have arrived all the same ...
IN_A_REQUEST = "in a request"  # ... and one for those in a request that was not over when the process was


class Result:
    """What came of a run. ``counted`` is None where the library keeps no account; times in seconds, memory in MiB."""

    def __init__(self, name: str, library: str) -> None:
        self.name = name
        self.library = library
        self.made = 0
        self.delivered = 0
        self.twice = 0
        self.collisions = 0
        self.malformed = 0
        self.counted: int | None = 0 if library == LITE else None
        self.reasons: dict[str, int] = {}  # of what is counted
        self.calls: dict[str, float] = {}
        self.control: dict[str, float] = {}
        self.exit: float | None = None
        self.peak = 0.0
        self.killed = False  # because it did not end
        self.code: int | None = None
        self.said = ""
        self.printed = 0
        self.attempts = 1
        self.more: dict[str, Any] = {}
        self.short: list[str] = []  # of what was expected: see verdict.py

    def missing(self) -> int:
        """How many spans are neither delivered nor counted; below zero, how many are both, and should not be.

        For those that the library says were sent and not answered, nobody but the server can know.
        """
        missing = self.made - self.delivered - (self.counted or 0)
        in_doubt = self.reasons.get(UNANSWERED, 0) + self.reasons.get(IN_A_REQUEST, 0)
        return missing if missing > 0 else min(0, missing + in_doubt)

    def take_account(self, sink: Sink) -> None:
        account = sink.account()
        self.delivered = account["distinct"]
        self.twice = account["spans"] - account["distinct"]
        self.collisions = account["collisions"]
        self.malformed = account["malformed"]

    def take_end(self, program: Watched, ending_at: float | None) -> None:
        self.killed |= program.killed
        self.code = program.code
        self.said = program.said()
        self.printed += program.printed()
        self.peak = max(self.peak, program.peak())
        if ending_at is not None:
            self.exit = max(self.exit or 0.0, program.ended_at - ending_at)
        account = program.events.get("left", {}).get("account", {})
        lost = {**account.get("dropped", {}), IN_A_REQUEST: account.get("queued", 0)}  # when the process ended
        for reason, count in lost.items():
            if count:
                self.reasons[reason] = self.reasons.get(reason, 0) + count
        if self.counted is not None:
            self.counted = sum(self.reasons.values())


class FaultRun:
    """A library meets a fault. The steps of a row are methods here."""

    def __init__(self, row: Row, library: str, python: str) -> None:
        self._row = row
        self._library = library
        self._python = python

    def result(self) -> Result:
        result = Result(self._row.name, self._library)
        with Sink() as self._sink, _spool(self._row) as settings:
            self._program = self._start(["--seconds", str(self._row.seconds), *self._row.options], settings)
            began = self._program.wait_for("started", START_SECONDS).get("at", time.monotonic())
            for seconds, method, *arguments in self._row.steps:
                time.sleep(max(0.0, began + seconds - time.monotonic()))
                getattr(self, method)(*arguments)
            self._take(result)
            if self._row.again:
                self.behave("well")
                self._program = self._start(["--seconds", str(SECOND_SECONDS)], settings)
                self._take(result)
            result.take_account(self._sink)
        return result

    def _start(self, options: list[str], settings: str) -> Watched:
        scheme = "https" if "no TLS" in str(self._row.steps) else "http"
        url = "%s://%s:%d" % (scheme, self._row.host, self._sink.port)
        command = [self._python, "-m", "chaos.subject", self._library, url, "--settings", settings, *options]
        return Watched(command)

    def _take(self, result: Result) -> None:
        ending = self._program.wait_for("ending", self._row.seconds + START_SECONDS)
        self._program.wait()
        result.made += ending.get("made", 0)
        result.calls = result.calls or ending.get("calls", {})
        result.control = result.control or ending.get("control", {})
        result.take_end(self._program, ending.get("at"))

    # -- the steps --------------------------------------------------------------------------------------------------

    def behave(self, fault: str) -> None:
        self._sink.behave(fault)

    def freeze(self) -> None:
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._program.signal(signal.SIGCONT)

    def close_connections(self) -> None:
        self._sink.close_connections()

    def forget_connections(self) -> None:
        self._sink.forget_connections()


@contextlib.contextmanager
def _spool(row: Row) -> Iterator[str]:
    """The settings of a row as JSON, with a folder where it wants a spool."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        settings = {key: folder if key == "spool_dir" else value for key, value in row.settings.items()}
        yield json.dumps(settings)


def ending(way: str, library: str, python: str) -> Result:
    """A library, and a process that ends in this way, with a healthy server."""
    if way == GUNICORN:
        return _gunicorn(library, python)
    result = Result(way, library)
    with Sink() as sink, tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        variables = {}
        if way == "vendored twice":
            variables["PYTHONPATH"] = os.pathsep.join([_vendored(folder), environment.variables()["PYTHONPATH"]])
        program = Watched([python, "-m", "chaos.endings", library, sink.url, way], **variables)
        asked_at = None
        if program.wait_for("ready" if way in ("SIGTERM", "SIGINT", "freeze and thaw") else "started", START_SECONDS):
            if way == "freeze and thaw":
                program.signal(signal.SIGSTOP)
                sink.forget_connections()
                time.sleep(FREEZE_SECONDS)
                program.signal(signal.SIGCONT)
                program.go_on()
            elif way.startswith("SIG"):
                asked_at = time.monotonic()
                program.signal(getattr(signal, way))
        program.wait()
        result.made = program.events.get("started", {}).get("made", 0)
        result.take_end(program, asked_at or program.events.get("ending", {}).get("at"))
        result.more["threads"] = program.events.get("left", {}).get("threads")
        result.take_account(sink)
    return result


def _vendored(folder: str) -> str:
    inside = os.path.join(folder, "acme", "_vendor")
    shutil.copytree(
        os.path.join(environment.ROOT, "cozeloop_lite"),
        os.path.join(inside, "cozeloop_lite"),
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for package in (os.path.dirname(inside), inside):
        with open(os.path.join(package, "__init__.py"), "w"):
            pass
    return folder


def _gunicorn(library: str, python: str) -> Result:
    result = Result(GUNICORN, library)
    result.made = endings.FEW + REQUESTS
    command = [python, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", "127.0.0.1:0"]
    with Sink() as sink:
        program = Watched([*command, "chaos.served:application"], CHAOS_LIBRARY=library, CHAOS_URL=sink.url)
        address, end = None, time.monotonic() + START_SECONDS
        while address is None and time.monotonic() < end:
            time.sleep(0.05)
            address = re.search(r"Listening at: (\S+)", program.said())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(REQUESTS if address else 0):
            opener.open(address.group(1), timeout=START_SECONDS).read()  # type: ignore[union-attr]
        asked_at = time.monotonic()
        program.signal(signal.SIGTERM)
        program.wait()
        result.take_end(program, asked_at)
        result.take_account(sink)
    return result


def forks(count: int, library: str, python: str) -> Result:
    """Many forks while other threads trace, flush and log."""
    result = Result("forks", library)
    with Sink() as sink:
        program = Watched([python, "-m", "chaos.forks", library, sink.url, str(count)])
        program.wait(60 + count)
        done = program.events.get("ending", {})
        result.made = done.get("made", 0)
        result.more = {key: done.get(key, 0) for key in ("forked", "hung", "failed", "stuck")}
        result.take_end(program, done.get("at"))
        result.take_account(sink)
    return result


def soak(seconds: float, rate: float, library: str, python: str) -> Result:
    """A steady load for long. ``more`` has what the process took of the machine at the beginning and at the end."""
    result = Result("soak", library)
    with Sink() as sink:
        command = [python, "-m", "chaos.subject", library, sink.url]
        program = Watched([*command, "--seconds", str(seconds), "--rate", str(rate)])
        done = program.wait_for("ending", seconds + START_SECONDS)
        program.wait()
        result.made = done.get("made", 0)
        result.calls, result.control = done.get("calls", {}), done.get("control", {})
        result.take_end(program, done.get("at"))
        result.take_account(sink)
        started = program.events.get("started", {}).get("at", 0.0)
        result.more = _trend([sample for sample in program.samples if started < sample["at"] < done.get("at", 0.0)])
    return result


def _trend(samples: list[dict[str, float]]) -> dict[str, Any]:
    """The medians of the second and of the last fifth of the samples. The first fifth is for warming up."""
    fifth = len(samples) // 5
    if not fifth:
        return {}
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]

    def middle(some: list[dict[str, float]], key: str) -> float:
        return sorted(sample[key] for sample in some)[len(some) // 2]

    return {key: (middle(early, key), middle(late, key)) for key in ("memory", "threads", "files", "sockets")}
