"""A program that traces a little and ends in one of many ways: ``python -m chaos.endings LIBRARY URL WAY``.

Each way is a function here that makes ``made`` spans and then ends the process, or returns and lets it end. Where the
harness has to do something (a signal, a freeze), the program says ``ready`` and waits for it.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

from .clients import LIBRARIES, TOKEN, WORKSPACE
from .subject import Farewell, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

FEW = 10  # spans that each process of a way makes, unless it says otherwise
PROCESSES = 3
TASKS = 30
PATIENCE_SECONDS = 60

client: Any = None  # a global, as in many programs; the workers of pools find it here
WAYS: dict[str, tuple[Callable[[], None], int]] = {}  # by name: the function, and the number of spans it makes


def way(name: str, made: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def add(function: Callable[[], None]) -> Callable[[], None]:
        WAYS[name] = function, made
        return function

    return add


def trace(number: int) -> None:
    """A span of this process, whose name no other one has."""
    span = client.start("step %d %d %d" % (os.getpid(), threading.get_ident(), number))
    client.set(span)
    client.finish(span)


def trace_few(pause: float = 0.0) -> None:
    for number in range(FEW):
        trace(number)
        time.sleep(pause)


def stay() -> None:
    """Until a signal comes. One that comes while a sleep waits for another thread's turn does not cut that short."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        time.sleep(0.05)


def in_child(work: Callable[[], None]) -> int:
    """Do it in a forked child, which then ends as a program does."""
    pid = os.fork()
    if pid:
        return pid
    work()
    sys.exit(0)


@way("return", FEW)
def returns() -> None:
    trace_few()


@way("exception", FEW)
def raises() -> None:
    trace_few()
    raise ValueError("of the program")


@way("sys.exit", FEW)
def exits() -> None:
    trace_few()
    sys.exit(3)


@way("another thread still runs", 2 * FEW)
def leaves_a_thread() -> None:
    def goes_on() -> None:
        trace_few(0.1)
        say("ending")

    trace_few()
    threading.Thread(target=goes_on).start()


@way("flush, os._exit", FEW)
def flushes() -> None:
    trace_few()
    client.flush()
    say("ending")
    os._exit(0)


@way("SIGTERM", FEW)
def is_terminated() -> None:
    client.before_signals()
    trace_few()
    say("ready")
    stay()


@way("SIGINT", FEW)
def is_interrupted() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
    trace_few()
    say("ready")
    stay()


@way("fork, short children", FEW * (1 + PROCESSES))
def forks_short() -> None:
    trace_few()
    for pid in [in_child(trace_few) for _ in range(PROCESSES)]:
        os.waitpid(pid, 0)


@way("fork, long children", FEW * (1 + PROCESSES))
def forks_long() -> None:
    pids = [in_child(lambda: trace_few(0.25)) for _ in range(PROCESSES)]
    trace_few(0.25)
    for pid in pids:
        os.waitpid(pid, 0)


@way("multiprocessing.Process", FEW * (1 + PROCESSES))
def uses_processes() -> None:
    trace_few()
    processes = [multiprocessing.Process(target=trace_few) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


@way("multiprocessing.Pool", FEW + TASKS)
def uses_a_pool() -> None:
    trace_few()
    pool = multiprocessing.Pool(PROCESSES)
    pool.map(trace, range(TASKS))
    pool.close()
    pool.join()


@way("ProcessPoolExecutor", FEW + TASKS)
def uses_an_executor() -> None:
    trace_few()
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(trace, range(TASKS)))


@way("freeze and thaw", 2 * FEW)
def is_frozen() -> None:
    trace_few()
    client.flush()  # a connection is open now, and will be dead after the thaw
    say("ready")
    sys.stdin.readline()
    trace_few()


@way("vendored twice", 2 * FEW)
def is_there_twice() -> None:
    copy = importlib.import_module("acme._vendor.cozeloop_lite")
    other = copy.new_client(sys.argv[2], WORKSPACE, TOKEN)
    for number in range(FEW):
        with other.start_span("step copy %d" % number, "custom"):
            trace(number)


@way("a client per request", 2 * FEW)
def makes_clients() -> None:
    for number in range(FEW):
        client.one_client("step open %d" % number, close=False)
        client.one_client("step closed %d" % number, close=True)


def main() -> None:
    global client
    library, url, name = sys.argv[1:]
    multiprocessing.set_start_method("fork")  # so that the workers have the client
    farewell = Farewell()
    client = farewell.client = LIBRARIES[library](url)
    work, made = WAYS[name]
    say("started", made=made)
    try:
        work()
    finally:
        if os.getpid() == farewell.pid:
            say("ending")


if __name__ == "__main__":
    from chaos import endings  # this module under its own name, where the workers of a pool look for its functions

    endings.main()
