"""Calls as tests make them: with a token that must not show, from many threads at once, by clocks of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

TOKEN = "pat_secret_0123456789"
GENEROUS = 5.0  # seconds: far above every deadline of the tests, far below what would happen without one
PATIENCE = 60.0  # seconds that a test waits for what must happen


@contextlib.contextmanager
def raising(kind):
    """Like pytest.raises, but also: soon enough, and without the token anywhere in what is raised."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        yield caught
    assert time.monotonic() - began < GENEROUS
    problem = caught.value
    while problem is not None:
        assert TOKEN not in repr(problem) + str(problem) + repr(getattr(problem, "__dict__", ""))
        problem = problem.__cause__ or problem.__context__


def wait_for(condition):
    """Ask until it is so; returns what ``condition()`` did."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end
        time.sleep(0.001)


def unknown_hosts(monkeypatch, *hosts):
    """Have no name server be asked for ``hosts``, which there are not: it may be far away."""
    lookup = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return lookup(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def at_once(count, call):
    """What ``call`` returned or raised in each of ``count`` threads that begin together."""
    together, results = threading.Barrier(count), []

    def run():
        together.wait(20)
        try:
            results.append(call())
        except Exception as problem:
            results.append(problem)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == count
    return results


class Clocks:
    """Both clocks, standing still until they are moved."""

    def __init__(self):
        self.wall = 1_700_000_000.0
        self.monotonic = 5_000.0

    def put_into(self, monkeypatch, module):
        """Have ``module`` tell the time by these; returns them."""
        monkeypatch.setattr(module, "time", lambda: self.wall)
        monkeypatch.setattr(module, "monotonic", lambda: self.monotonic)
        return self

    def move(self, seconds):
        self.wall += seconds
        self.monotonic += seconds


class Ahead:
    """The monotonic clock, which can be put forward: what is to take long takes no time."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return time.monotonic() + self.seconds

    def put_into(self, monkeypatch, *modules):
        """Have ``modules`` tell the time by it; returns it."""
        for module in modules:
            monkeypatch.setattr(module, "monotonic", self)
        return self

    def move(self, seconds):
        self.seconds += seconds
