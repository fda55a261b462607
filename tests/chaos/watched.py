"""A program that is run and watched from outside: what it says, when it ends, what it takes of the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from . import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EVENTS = "CHAOS_EVENTS"  # the variable that names the file descriptor for what a program says to the harness
LIMIT_SECONDS = 60.0  # to end; then it is killed
SAMPLE_SECONDS = 0.2
SAID_BYTES = 2000  # of the end of standard error


class Watched:
    """A process in a session of its own, begun at once. ``at`` and ``ended_at`` are ``time.monotonic()``."""

    def __init__(self, command: list[str], **variables: str) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.samples: list[dict[str, float]] = []
        self.killed = False
        self.code: int | None = None
        self.ended_at = 0.0
        self._heard = threading.Condition()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - these two live as long as the program and longer
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115
        self._events, events = os.pipe()
        self._process = subprocess.Popen(
            command,
            env=environment.variables(**{EVENTS: str(events)}, **variables),
            cwd=tempfile.gettempdir(),  # not a directory of which a package could be imported
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._said,
            pass_fds=[events],
            start_new_session=True,
        )
        os.close(events)
        self.pid = self._process.pid
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._sample)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        with os.fdopen(self._events) as events:
            for line in events:
                event = json.loads(line)
                with self._heard:
                    self.events[event.pop("event")] = event
                    self._heard.notify_all()
        with self._heard:
            self.events.setdefault("silence", {})
            self._heard.notify_all()

    def _sample(self) -> None:
        while self.ended_at == 0:
            sample = _resources(self.pid)
            if sample:
                self.samples.append(sample)
            time.sleep(SAMPLE_SECONDS)

    def wait_for(self, event: str, seconds: float) -> dict[str, Any]:
        """The event, or ``{}`` when the program ends without it, or takes longer."""
        with self._heard:
            self._heard.wait_for(lambda: event in self.events or "silence" in self.events, seconds)
            return self.events.get(event, {})

    def go_on(self) -> None:
        """Let it go on from where it waits for a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, unless it is gone."""
        if self._process.poll() is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float = LIMIT_SECONDS) -> Watched:
        """Wait for its end, or bring it about."""
        timer = threading.Timer(seconds, self._kill)
        timer.start()
        self.code = self._process.wait()
        self.ended_at = time.monotonic()
        timer.cancel()
        self._threads[0].join(5)  # children of it may hold the pipe
        return self

    def _kill(self) -> None:
        self.killed = True
        os.killpg(self.pid, signal.SIGKILL)

    def printed(self) -> int:
        """How many bytes it wrote to standard output."""
        return self._printed.seek(0, os.SEEK_END)

    def said(self) -> str:
        """The end of what it wrote to standard error."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - SAID_BYTES))
        return self._said.read().decode("utf-8", "replace")

    def peak(self) -> float:
        """The most memory it ever had, in MiB."""
        own = self.events.get("left", {}).get("peak", 0.0)
        return max([own, *(sample["peak"] for sample in self.samples)])


def _resources(pid: int) -> dict[str, float]:
    """Memory now and at most (MiB), threads, file descriptors and sockets of a process, by the account of Linux."""
    base = "/proc/%d" % pid
    try:
        with open(base + "/status") as file:
            status = dict(line.split(":", 1) for line in file)
        files = os.listdir(base + "/fd")
        links = []
        for name in files:
            try:
                links.append(os.readlink("%s/fd/%s" % (base, name)))
            except OSError:  # closed meanwhile
                pass
        return {
            "at": time.monotonic(),
            "memory": int(status["VmRSS"].split()[0]) / 1024,
            "peak": int(status["VmHWM"].split()[0]) / 1024,
            "threads": int(status["Threads"]),
            "files": len(links),
            "sockets": sum(link.startswith("socket:") for link in links),
        }
    except (OSError, KeyError, ValueError):  # it is gone, or this is not Linux
        return {}
