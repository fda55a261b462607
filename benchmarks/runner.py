"""Runs one worker at a time, asks the sink whether everything came, and keeps the figures of all rounds."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from . import environment
from .cases import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .sink import Sink

WORKER_SECONDS = 180
STARTS = 3  # in a round, of each program that is started to see what an import takes ...
WHOLE_STARTS = 8  # ... and to see what it takes as a whole: two figures each, which a busy machine moves by a tenth
LITE = "cozeloop_lite"


class Bench:
    """Attributes:
    figures: by library and key, one value for each time.
    notes: what did not go as it should.
    """

    def __init__(self, pythons: dict[str, str], sink: Sink, scale: float) -> None:
        self._pythons = pythons
        self._sink = sink
        self._options = json.dumps({"urls": sink.urls, "scale": scale})
        self._env = environment.variables()
        self.libraries = list(pythons)
        self.figures: dict[str, dict[str, list[float]]] = {}
        self.notes: list[str] = []

    def case(self, library: str, case: str) -> None:
        """One worker, and whether the sink got all it sent."""
        done = self._run(library, "-m", "benchmarks.worker", library, case, self._options)
        came = self._sink.account()
        if done is None:
            return
        result = _figures(done)
        spans, files = result.pop("spans", None), result.pop("files", 0)
        if spans is not None and library != "bare":
            if (came["spans"], came["distinct"], came["files"]) != (spans, spans, files):
                text = "%s, %s: of %d spans %d arrived (%d distinct), of %d files %d"
                self._note(text, library, case, spans, came["spans"], came["distinct"], files, came["files"])
            self.keep(library, case + ".wire_bytes", came["bytes"] / max(1, came["spans"]))
        for key, value in result.items():
            self.keep(library, "%s.%s" % (case, key), value)

    # -- programs that are started ----------------------------------------------------------------------------------

    def imports(self) -> None:
        """What importing takes, and a first span: without byte code, then with it."""
        for cold in (True, False):
            for library in self.libraries:
                if cold:
                    environment.forget_byte_code(library)
                else:  # the first run brings the files into memory
                    environment.write_byte_code(self._pythons[library])
                    self._run(library, "-c", startup.first_span_code(library, self._sink.urls["sink"]))
            for _ in range(1 if cold else STARTS):
                for library in [*self.libraries, "urllib3"]:
                    self._import(library, cold)
        self._sink.account()

    def _import(self, library: str, cold: bool) -> None:
        home = LITE if library == "urllib3" else library
        flags = ["-B"] if cold else []  # -B: do not write byte code
        name = "cold" if cold else "warm"
        codes = {"import": startup.import_code(library)}
        if library in startup.FIRST_SPAN:
            codes["first"] = startup.first_span_code(library, self._sink.urls["sink"])
        for what, code in codes.items():
            done = self._run(home, *flags, "-c", code)
            for key, value in (_figures(done) if done else {}).items():
                self.keep(library, "%s.%s.%s" % (what, name, key), value)

    def programs(self) -> None:
        """A whole program that reports one span: from the start of the process to its end."""
        import resource

        for number in range(WHOLE_STARTS + 1):
            for library in [*self.libraries, "python"]:
                code = startup.whole_code(library, self._sink.urls["sink"])
                before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                done = self._run(LITE if library == "python" else library, "-c", code)
                wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
                came = self._sink.account()["spans"]
                if done is None or number == 0:  # the first one writes byte code
                    continue
                if library != "python" and came != 1:
                    self._note("%s: a program reported one span, and %d arrived", library, came)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                self.keep(library, "program.ms", wall * 1e3)
                self.keep(library, "program.cpu_ms", cpu * 1e3)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _run(self, library: str, *args: str) -> bytes | None:
        """What a process printed; None when it failed, which is noted."""
        python = self._pythons[LITE if library == "bare" else library]
        with tempfile.TemporaryFile() as errors:
            try:
                done = subprocess.run(
                    [python, *args],
                    env=self._env,
                    cwd=environment.VENVS,  # not the directory of a package that -c or -m would find first
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    timeout=WORKER_SECONDS,
                )
            except subprocess.TimeoutExpired:
                self._note("%s, %s: did not end within %d s", library, args[-2], WORKER_SECONDS)
                return None
            if done.returncode:
                errors.seek(0)
                self._note("%s, %s: failed: %s", library, args[-2], errors.read().decode(errors="replace")[-500:])
                return None
        return done.stdout

    def keep(self, library: str, key: str, value: float) -> None:
        """Add a figure."""
        self.figures.setdefault(library, {}).setdefault(key, []).append(value)

    def _note(self, message: str, *args: object) -> None:
        note = message % args
        if note not in self.notes:
            self.notes.append(note)
        print(note, file=sys.stderr)


def _figures(printed: bytes) -> dict[str, float]:
    """The last line, which is the worker's; what stands before it is the client's."""
    return json.loads(printed.splitlines()[-1].decode())
