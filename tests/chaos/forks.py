"""A program that forks while its other threads trace, flush and log: ``python -m chaos.forks LIBRARY URL COUNT``.

Each child traces two spans, logs, and ends as a program does; every other one flushes before. One that has not ended
after a while hangs: it is killed and counted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from .clients import LIBRARIES
from .subject import Farewell, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

THREADS = 8
PAUSE_SECONDS = 0.01
FLUSH_EVERY = 10  # spans of a thread
AT_ONCE = 8  # children
HANGS_SECONDS = 20.0  # a flush takes 10 s at most, the exit of cozeloop_lite 5
MOST_HUNG = 5  # then it is clear enough
SPANS_OF_CHILD = 2

log = logging.getLogger("chaos.forks")


class Unbuffered(logging.Handler):
    """Writes at once: the lock of a buffer that a fork finds taken would be Python's fault, and no library's."""

    def __init__(self) -> None:
        super().__init__()
        self._file = os.open(os.devnull, os.O_WRONLY)

    def emit(self, record: logging.LogRecord) -> None:
        os.write(self._file, (self.format(record) + "\n").encode())


class Busy(threading.Thread):
    def __init__(self, client: Any, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._number = number
        self._over = over
        self.made = 0

    def run(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            span(self._client, "parent %d %d" % (self._number, self.made))
            self.made += 1
            log.info("parent %d", self.made)
            if self.made % FLUSH_EVERY == 0:
                self._client.flush()


class Children:
    """Those that run, and what became of those that did."""

    def __init__(self) -> None:
        self.hung = 0
        self.failed = 0
        self._running: dict[int, float] = {}

    def add(self, pid: int) -> None:
        self._running[pid] = time.monotonic()

    def wait(self, at_most: int) -> None:
        """Until no more than so many run."""
        while len(self._running) > at_most:
            for pid, since in list(self._running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                hangs = not ended and time.monotonic() - since > HANGS_SECONDS
                if hangs:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    self.hung += 1
                if ended or hangs:
                    del self._running[pid]
                    self.failed += bool(ended and status)
            time.sleep(0.001)


def span(client: Any, name: str) -> None:
    made = client.start(name)
    client.set(made)
    client.finish(made)


def child(client: Any, number: int) -> None:
    for step in range(SPANS_OF_CHILD):
        span(client, "child %d %d" % (number, step))
    log.info("child %d", number)
    if number % 2:
        client.flush()
    sys.exit(0)


def main() -> None:
    library, url, count = sys.argv[1:]
    log.addHandler(Unbuffered())
    log.setLevel(logging.INFO)
    farewell = Farewell()
    client = farewell.client = LIBRARIES[library](url)
    over = threading.Event()
    threads = [Busy(client, number, over) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    say("started")
    children, forked = Children(), 0
    while forked < int(count) and children.hung < MOST_HUNG:
        children.wait(AT_ONCE - 1)
        pid = os.fork()
        if not pid:
            child(client, forked)
        children.add(pid)
        forked += 1
    children.wait(0)
    over.set()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    made = sum(thread.made for thread in threads)
    say(
        "ending",
        forked=forked,
        hung=children.hung,
        failed=children.failed,
        stuck=sum(thread.is_alive() for thread in threads),
        made=made + forked * SPANS_OF_CHILD,
    )


if __name__ == "__main__":
    main()
