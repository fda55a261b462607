"""The thread that refreshes: when it works, that it ends, and that a frozen or forked process comes back to it."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref

import pytest

from cozeloop_lite.prompt import refresher as refresher_module
from cozeloop_lite.prompt.refresher import Refresher
from support.calling import wait_for

SECONDS = 60  # that a test waits for what must happen


class Clocks:
    """A steady clock and one on the wall, which the test sets."""

    def __init__(self):
        self.steady = 1000.0
        self.wall = 1_700_000_000.0

    def both(self):
        return (lambda: self.steady), (lambda: self.wall)

    def pass_(self, seconds):
        self.steady += seconds
        self.wall += seconds


class Worker:
    """What has its work called: ``calls`` has the arguments; ``after_next()`` waits for one more."""

    def __init__(self, interval=60, clocks=None, failure=None):
        self.calls = []
        self.failure = failure
        self._called = threading.Semaphore(0)
        arguments = (clocks.both(),) if clocks is not None else ()
        self.refresher = Refresher(self.work, interval, *arguments)

    def work(self, due):
        self.calls.append(due)
        self._called.release()
        if self.failure is not None:
            raise self.failure

    def wait(self):
        assert self._called.acquire(timeout=SECONDS)


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def worker(clocks):
    worker = Worker(60, clocks)
    yield worker
    worker.refresher.stop()


@pytest.fixture
def threads():
    """``threads()``: those of refreshers that were started since the test began."""
    before = set(threading.enumerate())

    def threads():
        found = [thread for thread in threading.enumerate() if thread.name == "cozeloop_lite prompts"]
        return [thread for thread in found if thread not in before]

    return threads


def asleep(refresher):
    """Wait until the thread sleeps, so that it takes an alarm to wake it."""
    end = time.monotonic() + SECONDS
    while not refresher._alarm.locked():
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(0.02)  # for the few instructions in between, which cannot be seen from here


def ends(thread):
    thread.join(SECONDS)
    return not thread.is_alive()


# -- its life -------------------------------------------------------------------------------------------------------


def test_it_has_no_thread_until_a_prompt_is_got(worker, threads):
    assert threads() == []
    worker.refresher.attend()
    worker.refresher.attend()
    assert len(threads()) == 1
    assert threads()[0].daemon


def test_it_is_one_thread_however_many_get_prompts_at_once(worker, threads):
    start = threading.Barrier(20)

    def get():
        start.wait(SECONDS)
        worker.refresher.attend()

    getters = [threading.Thread(target=get) for _ in range(20)]
    for getter in getters:
        getter.start()
    for getter in getters:
        getter.join()
    assert len(threads()) == 1


def test_stop_ends_the_thread_at_once_and_for_good(worker, threads):
    worker.refresher.attend()
    (thread,) = threads()
    worker.refresher.stop()
    assert ends(thread)
    worker.refresher.attend()
    worker.refresher.run_errand()
    assert threads() == []
    assert worker.calls == []


def test_stop_does_not_wait_for_a_request_that_hangs(monkeypatch, threads):
    monkeypatch.setattr(refresher_module, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(refresher_module, "ERRAND_SECONDS", 0.0)
    go, begun = threading.Event(), threading.Event()

    class Slow:
        def work(self, due):
            begun.set()
            go.wait(SECONDS)

    slow = Slow()
    refresher = Refresher(slow.work, 60)
    refresher.run_errand()
    assert begun.wait(SECONDS)
    (thread,) = threads()
    refresher.stop()
    assert thread.is_alive()
    go.set()
    assert ends(thread)


def test_the_work_itself_may_stop_it(threads, logged):
    class Stopping:
        def work(self, due):
            refresher.stop()

    stopping = Stopping()
    refresher = Refresher(stopping.work, 0.01)
    refresher.attend()
    assert ends(refresher._thread)
    assert logged() == []


def test_when_its_object_is_gone_the_thread_ends_without_waiting_for_the_interval(threads):
    worker = Worker(interval=3600)
    worker.refresher.attend()
    (thread,) = threads()
    asleep(worker.refresher)
    gone = weakref.ref(worker)
    del worker
    wait_for(lambda: gc.collect() >= 0 and gone() is None)  # the thread looks at it before it sleeps
    assert ends(thread)


def test_a_system_without_threads_is_a_warning(worker, monkeypatch, logged, threads):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    worker.refresher.attend()
    worker.refresher.attend()
    assert len(logged()) == 1
    monkeypatch.undo()
    worker.refresher.attend()
    assert len(threads()) == 1


# -- when it works --------------------------------------------------------------------------------------------------


def test_it_works_every_interval():
    worker = Worker(interval=0.02)
    worker.refresher.attend()
    for _ in range(3):
        worker.wait()
    worker.refresher.stop()
    assert set(worker.calls) == {True}


def test_an_interval_is_at_most_a_tenth_shorter_and_never_longer():
    pauses = {Worker(interval=60).refresher._pause for _ in range(200)}
    assert 54 <= min(pauses) < max(pauses) <= 60
    assert len(pauses) > 20


def test_nothing_kills_it(logged):
    for failure in (ValueError("x"), MemoryError(), SystemExit(), KeyboardInterrupt()):
        worker = Worker(interval=0.02, failure=failure)
        worker.refresher.attend()
        for _ in range(3):
            worker.wait()
        worker.refresher.stop()
    assert "please report" in logged()[0]


def test_an_errand_is_done_soon_and_is_no_round(worker, clocks, monkeypatch):
    worker.refresher.run_errand()
    worker.refresher.run_errand()
    assert worker.calls == []
    clocks.pass_(1)
    worker.refresher._wake()
    worker.wait()
    assert worker.calls == [False]
    assert worker.refresher._errand is None


def test_an_errand_does_not_put_off_the_round(worker, clocks):
    worker.refresher.attend()
    clocks.pass_(59)
    worker.refresher.run_errand()
    clocks.pass_(1)
    worker.refresher._wake()
    worker.wait()
    assert worker.calls == [True]


# -- a frozen process -----------------------------------------------------------------------------------------------


def thaw(worker):
    """Get a prompt, and wait until the thread has done what that made it do."""
    worker.refresher.attend()
    worker.wait()


def test_while_the_thread_is_on_time_it_is_left_alone(worker, clocks):
    worker.refresher.attend()
    clocks.pass_(119)
    assert not worker.refresher._overdue()


@pytest.mark.parametrize("stopped", ["steady", "wall", "neither"])
def test_after_a_freeze_the_first_get_wakes_it_by_the_clock_that_went_on(worker, clocks, stopped):
    worker.refresher.attend()
    asleep(worker.refresher)
    if stopped != "steady":
        clocks.steady += 3600
    if stopped != "wall":
        clocks.wall += 3600
    thaw(worker)
    assert worker.calls == [True]
    assert not worker.refresher._overdue()


def test_after_a_freeze_one_round_is_enough(worker, clocks):
    worker.refresher.attend()
    clocks.wall += 3600
    thaw(worker)
    for _ in range(100):
        worker.refresher.attend()
    worker.refresher._wake()
    time.sleep(0.01)  # nothing is to happen, so there is nothing to wait for
    assert worker.calls == [True]


def test_a_wall_clock_that_is_set_back_does_no_harm(worker, clocks):
    worker.refresher.attend()
    clocks.wall -= 1_000_000
    assert not worker.refresher._overdue()
    clocks.steady += 60
    worker.refresher._wake()
    worker.wait()
    assert worker.calls == [True]


# -- a forked process -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_thread_of_its_own_when_it_gets_a_prompt(worker, clocks, threads):
    worker.refresher.attend()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            said = [str(len(threads()))]
            worker.refresher.attend()
            said.append(str(len(threads())))
            clocks.pass_(60)
            worker.refresher._wake()
            worker.wait()
            said.append(repr(worker.calls))
            os.write(writing, " ".join(said).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    assert os.read(reading, 1000) == b"0 1 [True]"
    os.close(reading)
    assert worker.calls == []
    assert len(threads()) == 1


def test_a_child_keeps_the_time_of_its_parents_rounds(worker, clocks):
    worker.refresher.attend()
    clocks.pass_(30)
    alarm = worker.refresher._alarm
    worker.refresher._on_fork()
    with contextlib.suppress(RuntimeError):  # here the parent's thread is there, and is to see that it is not wanted
        alarm.release()
    worker.refresher.attend()
    clocks.pass_(30)
    worker.refresher._wake()
    worker.wait()
    assert worker.calls == [True]
