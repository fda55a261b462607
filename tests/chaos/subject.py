"""A program that traces, ``python -m chaos.subject LIBRARY URL``, and says to a pipe what it did: a JSON object a line.

``started``, when its threads begin; ``ending``, with the number of spans it made and how long its calls took, when its
work is done and it is about to return; ``left``, when the exit hook of the library is over, with the library's account.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import socket
import sys
import threading
import time

from .clients import LIBRARIES
from .meter import Figures, Meter
from .watched import EVENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def say(event: str, **what: Any) -> None:
    """To the harness, in one write, so that neither a fork nor another thread comes in between."""
    os.write(int(os.environ[EVENTS]), (json.dumps({"event": event, "at": time.monotonic(), **what}) + "\n").encode())


def peak_mib() -> float:
    """The most memory this process ever had."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


class Farewell:
    """To be made before the library is imported: exit hooks run last in, first out, so this one sees the end."""

    def __init__(self) -> None:
        self.client: Any = None
        self.pid = os.getpid()
        atexit.register(self._left)

    def _left(self) -> None:
        if self.client is not None and os.getpid() == self.pid:
            say("left", account=self.client.account(), peak=peak_mib(), threads=threading.active_count())


def slow_dns(seconds: float, fail: bool) -> None:
    """Names take their time to resolve, as they do when the first name server is away. Numbers do not."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost":
            time.sleep(seconds)
            if fail:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


class Tracing(threading.Thread):
    """Makes spans at a steady rate for some seconds, or ``count`` of them as fast as it can."""

    def __init__(self, client: Any, number: int, rate: float, seconds: float, count: int) -> None:
        super().__init__()
        self._client = client
        self._number = number
        self._rate = rate
        self._seconds = seconds
        self._count = count
        self.made = 0
        self.meter: Any = None

    def run(self) -> None:
        self.meter = Meter()
        if self._count:
            for _ in range(self._count):
                self._span()
            return
        began = time.monotonic()
        while True:
            due = began + self.made / self._rate
            if due > began + self._seconds:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            self._span()

    def _span(self) -> None:
        client, time_of = self._client, self.meter.time
        span = time_of(client.start, "step %d %d" % (self._number, self.made))
        time_of(client.set, span)
        time_of(client.finish, span)
        self.made += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos.subject")
    parser.add_argument("library")
    parser.add_argument("url")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rate", type=float, default=200, help="spans a second, of all threads")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", type=int, default=0, help="so many spans, as fast as it goes")
    parser.add_argument("--dns-seconds", type=float, default=0)
    parser.add_argument("--dns-fails", action="store_true")
    parser.add_argument("--settings", type=json.loads, default={})
    options = parser.parse_args()

    farewell = Farewell()
    if options.dns_seconds:
        slow_dns(options.dns_seconds, options.dns_fails)
    client = farewell.client = LIBRARIES[options.library](options.url, **options.settings)
    each = options.threads
    threads = [
        Tracing(client, number, options.rate / each, options.seconds, options.count // each) for number in range(each)
    ]
    say("started")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(
        "ending",
        made=sum(thread.made for thread in threads),
        calls=Figures().merge(thread.meter.calls for thread in threads).summary(),
        control=Figures().merge(thread.meter.control for thread in threads).summary(),
    )


if __name__ == "__main__":
    main()
