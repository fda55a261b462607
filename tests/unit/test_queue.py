"""The queue between the program and the network, with nothing but items and a function that takes them."""

from __future__ import annotations

import _thread
import gc
import logging
import re
import signal
import sys
import threading
import time

import pytest

from cozeloop_lite import process
from cozeloop_lite.trace import queue as queue_module
from cozeloop_lite.trace import sender as sender_module
from cozeloop_lite.trace.machine import REAL, Machine
from cozeloop_lite.trace.queue import SendQueue
from cozeloop_lite.trace.uploads import Uploads
from support.calling import wait_for

SOON = 30  # seconds that no test waits unless it fails


class Sender:
    """Takes batches as they come; with ``hold``, each only when ``go`` is set."""

    def __init__(self, hold=False):
        self.batches = []
        self.threads = set()
        self.busy = threading.Event()
        self.go = threading.Event()
        if not hold:
            self.go.set()

    def __call__(self, items, queue):
        self.threads.add(threading.current_thread())
        self.batches.append(items)
        self.busy.set()
        assert self.go.wait(SOON)
        queue.settle(items)

    @property
    def items(self):
        return [item for batch in self.batches for item in batch]


@pytest.fixture
def make_queue():
    made = []

    def make(
        send, max_count=100_000, max_bytes=1 << 30, batch_count=100, shutdown_timeout=5.0, aside=None, machine=REAL
    ):
        queue = SendQueue(send, max_count, max_bytes, batch_count, shutdown_timeout, aside, machine=machine)
        made.append((queue, send))
        return queue

    yield make
    for queue, send in made:
        getattr(send, "go", threading.Event()).set()
        queue.close(1)


def no_threads(monkeypatch):
    """As at the end of the interpreter: no thread can be started any more."""

    def start(*_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(_thread, "start_new_thread", start)


def no_helper(monkeypatch):
    """So that whoever flushes is the first to start the thread."""
    monkeypatch.setattr(_thread, "start_new_thread", lambda function, args: None)


def account(queue):
    stats = queue.stats()
    return {name: stats[name] for name in ("finished", "delivered", "queued", "dropped")}


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


# -- items and batches


def test_items_arrive_in_order_in_batches_of_at_most_the_configured_count(make_queue):
    sender = Sender()
    queue = make_queue(sender, batch_count=10)
    for number in range(95):
        queue.put(number, 1)
    assert queue.flush(SOON)
    assert sender.items == list(range(95))
    assert max(map(len, sender.batches)) == 10


def test_a_batch_has_at_most_4_mib_but_an_item_over_that_still_goes_alone(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("first", 1)
    queue._hurry(1)
    assert sender.busy.wait(SOON)  # the rest waits together
    for name, mib in [("a", 1), ("b", 3), ("c", 1), ("d", 9), ("e", 1)]:
        queue.put(name, mib << 20)
    sender.go.set()
    assert queue.flush(SOON)
    assert sender.batches[1:] == [["a", "b"], ["c"], ["d"], ["e"]]


def test_there_is_no_thread_before_the_first_item_and_one_for_all_of_them(make_queue):
    sender = Sender()
    queue = make_queue(sender)
    assert queue.flush(SOON)
    assert queue._thread is None
    for _ in range(3):
        queue.put("item", 1)
        assert queue.flush(SOON)
    assert sender.threads == {queue._thread}


def test_an_item_leaves_without_a_flush_after_the_linger_time(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 0.05)
    sender = Sender()
    make_queue(sender).put("item", 1)
    assert sender.busy.wait(SOON)


def test_a_full_batch_does_not_linger(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    for count, size in [(100, 1), (4, 1 << 20)]:
        sender = Sender()
        queue = make_queue(sender)
        for number in range(count):
            queue.put(number, size)
        assert sender.busy.wait(SOON)


def test_no_wake_up_is_lost_however_put_and_sleep_interleave(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 0.0)
    arrived = threading.Semaphore(0)

    def send(items, queue):
        queue.settle(items)
        for _ in items:
            arrived.release()

    queue = make_queue(send)
    for number in range(3000):
        queue.put(number, 1)
        if number % 3:
            assert arrived.acquire(timeout=SOON), "asleep with item %d waiting" % number
        else:
            queue.put(number, 1)
            assert arrived.acquire(timeout=SOON)
            assert arrived.acquire(timeout=SOON)


def test_an_interrupt_in_the_middle_of_waking_the_thread_does_not_leave_it_asleep(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 0.0)
    sender = Sender()
    queue = make_queue(sender)
    queue.put("first", 1)
    assert queue.flush(SOON)

    class Interrupting(SendQueue):
        @property
        def _wake_bytes(self):
            return 1 << 62

        @_wake_bytes.setter
        def _wake_bytes(self, value):
            if threading.current_thread() is threading.main_thread() and value == queue_module.NEVER:
                raise KeyboardInterrupt

    queue.__class__ = Interrupting
    deadline = time.monotonic() + SOON
    with pytest.raises(KeyboardInterrupt):
        while time.monotonic() < deadline:  # until the thread sleeps and needs waking
            queue.put("second", 1)
    queue.__class__ = SendQueue
    queue.put("third", 1)
    while "third" not in sender.items and time.monotonic() < deadline:
        time.sleep(0.001)
    assert "third" in sender.items


def test_the_thread_sleeps_when_there_is_nothing_to_do(make_queue):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("item", 1)
    assert queue.flush(SOON)
    looks, rings = [], []

    class Alarm:
        def __init__(self, lock):
            self._lock = lock

        def acquire(self, *args):
            looks.append(args)
            return self._lock.acquire(*args)

        def release(self):
            rings.append(1)
            self._lock.release()

    queue.pace.alarm = Alarm(queue.pace.alarm)
    queue.put("wake it once", 1)
    assert queue.flush(SOON)
    before, rung = len(looks), len(rings)
    time.sleep(0.2)
    assert len(looks) - before <= 2
    assert queue.flush(SOON)  # there is nothing to send, and nobody to wake for it
    assert len(rings) == rung > 0


def test_the_thread_is_not_woken_for_every_item(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    queue = make_queue(Sender())
    rings = []
    queue.put("first", 1)
    wait_for(lambda: queue._wake_count == 100)
    monkeypatch.setattr(queue, "_wake", lambda: rings.append(1))
    for number in range(98):
        queue.put(number, 1)
    assert rings == []
    monkeypatch.undo()


# -- the bounds


def test_a_full_queue_drops_and_counts_the_new_item_at_once(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender, max_count=10)
    for number in range(25):
        queue.put(number, 1)
    assert account(queue) == {"finished": 25, "delivered": 0, "queued": 10, "dropped": {"queue_full": 15}}
    sender.go.set()
    assert queue.flush(SOON)
    assert sorted(sender.items) == list(range(10))
    assert account(queue) == {"finished": 25, "delivered": 10, "queued": 0, "dropped": {"queue_full": 15}}


def test_bytes_are_bounded_too_and_are_free_again_after_delivery(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender, max_bytes=1000)
    for number in range(5):
        queue.put(number, 300)
    assert queue.stats()["dropped"] == {"queue_full": 2}
    sender.go.set()
    assert queue.flush(SOON)
    for number in range(3):
        queue.put(number, 300)
    assert queue.stats()["dropped"] == {"queue_full": 2}


def test_bytes_are_free_again_in_a_queue_that_never_runs_empty(make_queue):
    rest = list(range(20))

    def send(items, queue):
        if rest:
            queue.put(rest.pop(), 300)
        queue.settle(items)

    queue = make_queue(send, max_bytes=1000, batch_count=1)
    queue.put("first", 300)
    queue.put("second", 300)
    wait_for(lambda: queue.flush(SOON) and not rest)
    assert queue.stats()["dropped"] == {}


def test_the_account_balances_at_every_instant_under_load(make_queue):
    reasons = ["", "refused", ""]

    def send(items, queue):
        for number, item in enumerate(items):
            queue.settle([item], reasons[number % 3])

    queue = make_queue(send, max_count=300)
    per_thread, threads = 5000, 4
    stop = threading.Event()
    samples = []

    def sample():
        while not stop.is_set():
            samples.append(queue.stats())

    sampler = in_thread(sample)
    workers = [in_thread(lambda: [queue.put("item", 1) for _ in range(per_thread)]) for _ in range(threads)]
    for worker in workers:
        worker.join()
    queue.flush(SOON)
    stop.set()
    sampler.join()
    samples.append(queue.stats())
    finished = [stats["finished"] for stats in samples]
    assert finished == sorted(finished)
    assert all(s["finished"] == s["delivered"] + s["queued"] + sum(s["dropped"].values()) for s in samples)
    assert finished[-1] == per_thread * threads
    assert samples[-1]["queued"] == 0


# -- flush


def test_flush_is_false_when_something_was_lost_and_true_again_afterwards(make_queue):
    reason = ["refused"]
    queue = make_queue(lambda items, queue: queue.settle(items, reason[0]))
    queue.put("item", 1)
    assert not queue.flush(SOON)
    assert queue.flush(SOON)
    reason[0] = ""
    queue.put("item", 1)
    assert queue.flush(SOON)


@pytest.mark.parametrize("timeout", [0, -1, 0.05, float("nan")])
def test_flush_ends_in_time_when_nothing_moves(make_queue, timeout):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("item", 1)
    began = time.monotonic()
    assert not queue.flush(timeout)
    assert time.monotonic() - began < 5


def test_flush_covers_a_batch_as_a_whole_even_if_its_later_items_are_settled_first(make_queue):
    first_settled, go = threading.Event(), threading.Event()

    def send(items, queue):
        queue.settle(items[:-1])
        first_settled.set()
        go.wait(SOON)
        queue.settle(items[-1:])

    queue = make_queue(send, batch_count=10)
    results = []
    queue._start = lambda: None  # so that the flush is asked for one item, and ten are in the batch
    queue.put(0, 1)
    del queue._start
    target = queue._last()
    for number in range(1, 10):
        queue.put(number, 1)
    flusher = in_thread(lambda: results.append(queue._wait_until(target, time.monotonic() + SOON)))
    assert first_settled.wait(SOON)
    flusher.join(0.1)
    assert results == []
    go.set()
    flusher.join(SOON)
    assert results == [True]


def test_flush_from_many_threads_at_once(make_queue):
    sender = Sender()
    queue = make_queue(sender)
    results = []

    def work():
        for number in range(50):
            queue.put(number, 1)
            results.append(queue.flush(SOON))

    workers = [in_thread(work) for _ in range(20)]
    for worker in workers:
        worker.join(30)
    assert results == [True] * 1000
    assert len(sender.items) == 1000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_flush_and_put_in_a_signal_handler_while_the_main_thread_flushes(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    results = []

    def handler(number, frame):
        queue.put("from the handler", 1)
        results.append(queue.flush(0.01))
        sender.go.set()
        results.append(queue.flush(SOON))

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        queue.put("item", 1)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert queue.flush(SOON)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert results == [False, True]
    assert sorted(sender.items) == ["from the handler", "item"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_signal_handlers_interrupt_put_anywhere_and_nothing_is_lost(make_queue):
    sender = Sender()
    queue = make_queue(sender)
    fired = []

    def handler(number, frame):
        fired.append(1)
        queue.put("from the handler", 1)
        if len(fired) % 10 == 0:
            queue.flush(0.001)

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        count, end = 0, time.monotonic() + 0.7
        while time.monotonic() < end:
            queue.put("item", 1)
            count += 1
            if count % 500 == 0:
                queue.flush(SOON)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert queue.flush(SOON)
    stats = queue.stats()
    assert stats["finished"] == count + len(fired)
    assert stats["delivered"] + sum(stats["dropped"].values()) == stats["finished"]
    assert queue._bytes_in == queue._bytes_out == 0


def test_flush_and_close_on_the_sending_thread_do_not_wait_for_themselves(make_queue):
    results = []

    def send(items, queue):
        results.append(queue.flush(SOON))
        if items == ["last"]:
            results.append(queue.close(SOON))
        queue.settle(items)

    queue = make_queue(send)
    queue.put("item", 1)
    assert queue.flush(SOON)
    queue.put("last", 1)
    assert queue.flush(SOON)
    assert results == [False, False, False]
    wait_for(lambda: not queue._thread.is_alive())  # put may have another started, which is behind, and ends at once
    assert queue.stats()["delivered"] == 2


def test_finalizers_that_run_inside_the_queue_may_put(make_queue):
    sender = Sender()
    queue = make_queue(sender, batch_count=7)
    finalized = []

    class Node:
        def __del__(self):
            queue.put("from a finalizer", 1)
            finalized.append(1)

    threshold = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for number in range(500):
            node = Node()
            node.me = node  # a cycle: collected at some allocation, on whatever thread makes it
            del node
            queue.put(number, 1)
            if number % 50 == 0:
                queue.flush(SOON)
    finally:
        gc.set_threshold(*threshold)
    wait_for(lambda: gc.collect() >= 0 and len(finalized) == 500)  # it does nothing while another thread collects
    assert queue.flush(SOON)
    assert len(sender.items) == 1000


# -- the thread, and none


def test_a_sender_that_raises_costs_its_batch_and_not_the_thread(make_queue, logged):
    def send(items, queue):
        if items != ["good"]:
            queue.settle(items[:1])
            raise SystemExit("thrown by %s" % items)
        queue.settle(items)

    queue = make_queue(send, batch_count=2)
    queue.put("bad", 1)
    queue.put("bad", 1)
    queue.flush(SOON)  # True, if the batch is lost before: it is full, and waits for nobody
    thread = queue._thread
    queue.put("good", 1)
    assert queue.flush(SOON)
    assert queue._thread is thread
    assert account(queue) == {"finished": 3, "delivered": 2, "queued": 0, "dropped": {"internal": 1}}
    assert any("SystemExit" in message for message in logged())


def test_a_thread_that_died_is_replaced_by_the_next_put(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("first", 1)
    assert queue.flush(SOON)
    wait_for(lambda: not queue._launching)  # see the next test
    dead = queue._thread
    monkeypatch.setattr(threading, "excepthook", lambda args: None, raising=False)

    def die():
        raise SystemExit  # which ends a thread without a word

    queue._take = die
    queue.put("second", 1)
    queue._hurry(queue_module.NEVER)
    dead.join(SOON)
    assert not dead.is_alive()
    del queue._take
    queue.put("third", 1)
    wait_for(lambda: "third" in sender.items)  # without a flush, which would start a thread, too
    assert sender.items == ["first", "second", "third"]
    assert queue._thread is not dead


@pytest.mark.parametrize("step", ["_take_batch", "_send", "_end_batch", "_stop_sending"])
def test_what_a_thread_had_in_hand_when_it_died_is_sent_by_the_next(make_queue, monkeypatch, step):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("first", 1)
    assert queue.flush(SOON)
    wait_for(lambda: not queue._launching)  # by put, which may be behind flush, and would find the thread dead
    dead, done = queue._thread, getattr(queue, step)
    monkeypatch.setattr(threading, "excepthook", lambda args: None, raising=False)

    def die(*args):  # for want of memory; or since a handler of the program's log ends it at the first error
        setattr(queue, step, done)
        raise MemoryError

    def no_word(*args):
        raise SystemExit

    monkeypatch.setattr(sender_module.logger, "error", no_word)
    setattr(queue, step, die)
    queue.put("second", 1)
    queue._hurry(queue_module.NEVER)
    dead.join(SOON)
    assert not dead.is_alive()
    assert not queue._running  # which was so before it ended: else a put just then would start no other
    queue.put("third", 1)
    assert queue.flush(SOON)
    assert sender.items == ["first", "second", "third"]
    assert account(queue) == {"finished": 3, "delivered": 3, "queued": 0, "dropped": {}}


def test_a_thread_that_sends_is_not_replaced_though_it_is_taken_for_dead(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("first", 1)
    assert sender.busy.wait(SOON)
    thread = queue._thread
    monkeypatch.setattr(thread, "is_alive", lambda: False)  # as up to CPython 3.12 after Ctrl-C in the middle of it
    queue.put("second", 1)
    assert not queue.flush(0.1)
    assert queue._thread is thread
    sender.go.set()
    assert queue.flush(SOON)
    assert sender.batches == [["first"], ["second"]]
    assert account(queue) == {"finished": 2, "delivered": 2, "queued": 0, "dropped": {}}


def test_ctrl_c_that_finds_a_wait_without_its_lock_is_no_runtime_error(make_queue, monkeypatch):
    queue = make_queue(Sender())
    queue.put("item", 1)

    def interrupted(timeout):  # as Condition.wait is, just before or after it waits
        queue._lock.release()
        raise KeyboardInterrupt

    monkeypatch.setattr(queue._changed, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(SOON)
    monkeypatch.undo()
    assert not queue._lock._is_owned()
    assert queue.flush(SOON)


def test_a_thread_that_dies_while_someone_flushes_is_replaced_for_him(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("first", 1)
    assert queue.flush(SOON)
    dead = queue._thread
    monkeypatch.setattr(threading, "excepthook", lambda args: None, raising=False)

    def die():
        time.sleep(0.2)  # by then the flush is waiting
        del queue._take
        raise SystemExit

    queue._take = die
    queue.put("second", 1)
    assert queue.flush(SOON)
    assert sender.threads == {dead, queue._thread}
    assert not dead.is_alive()


def test_once_the_interpreter_takes_itself_apart_nobody_waits_for_a_thread(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("item", 1)
    monkeypatch.setattr(queue_module.sys, "is_finalizing", lambda: True)
    began = time.monotonic()
    assert not queue.flush(SOON)
    assert time.monotonic() - began < SOON / 2
    monkeypatch.undo()


def test_when_no_thread_can_be_started_whoever_flushes_sends(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    no_threads(monkeypatch)
    for number in range(250):
        queue.put(number, 1)
    assert queue.flush(SOON)
    assert sender.items == list(range(250))
    assert sender.threads == {threading.current_thread()}
    queue.put("more", 1)
    assert queue.close(SOON)
    assert sender.items[-1] == "more"


def test_without_a_thread_a_flush_still_ends_in_time_and_loses_nothing(make_queue, monkeypatch):
    attempts = []

    def send(items, queue):  # a server that is down
        while queue.pace.time_left(1):
            attempts.append(items)
            if not queue.pace.wait(0.05):
                break
        queue.give_up(items)

    queue = make_queue(send, batch_count=2)
    no_threads(monkeypatch)
    for number in range(5):
        queue.put(number, 1)
    wait_for(lambda: queue.flush(0.2) or attempts)
    assert attempts[0] == [0, 1]
    assert account(queue) == {"finished": 5, "delivered": 0, "queued": 5, "dropped": {}}
    assert queue.pace.time_left(3600) == 3600  # the time of that flush was up, not the queue's
    back = Sender()
    queue._send = back
    assert queue.flush(SOON)
    assert back.batches == [[0, 1], [2, 3], [4]]
    assert account(queue) == {"finished": 5, "delivered": 5, "queued": 0, "dropped": {}}


def test_without_a_thread_what_is_put_back_is_sent_before_the_flush_is_over(make_queue, monkeypatch):
    calls = []

    def send(items, queue):
        calls.append(items)
        if len(calls) < 3:
            queue.give_up(items)
        else:
            queue.settle(items)

    queue = make_queue(send)
    no_threads(monkeypatch)
    queue.put("item", 1)
    assert queue.flush(SOON)
    assert calls == [["item"]] * 3


def test_while_one_thread_sends_for_want_of_a_daemon_thread_the_others_are_not_blocked(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender, max_count=2)
    start = threading.Thread.start
    no_threads(monkeypatch)
    queue.put("item", 1)
    flusher = threading.Thread(target=queue.flush, args=(SOON,), daemon=True)
    start(flusher)
    assert sender.busy.wait(SOON)
    began = time.monotonic()
    for _ in range(5):
        queue.put("item", 1)
    queue.stats()
    assert not queue.flush(0.05)
    assert time.monotonic() - began < 5
    assert queue.stats()["dropped"] == {"queue_full": 4}
    sender.go.set()
    flusher.join(SOON)


def test_without_a_thread_a_close_during_a_flush_keeps_its_word(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    flusher = threading.Thread(target=queue.flush, args=(SOON,), daemon=True)
    start = threading.Thread.start
    no_threads(monkeypatch)
    queue.put("item", 1)
    start(flusher)
    assert sender.busy.wait(SOON)
    assert not queue.close(0.1)
    sender.go.set()
    flusher.join(SOON)
    assert queue.pace.time_left(3) == 0  # also when the flush, which had more time, is over


def test_the_first_item_does_not_wait_until_the_thread_has_had_its_first_turn(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    start, go = threading.Thread.start, threading.Event()

    def slow(thread):
        assert go.wait(SOON)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow)
    queue.put("first", 1)
    queue.put("second", 1)
    assert sender.items == []
    go.set()
    assert queue.flush(SOON)
    assert sender.items == ["first", "second"]


def test_many_threads_that_put_the_first_items_start_one_thread(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    launched = []
    monkeypatch.setattr(_thread, "start_new_thread", lambda function, args: launched.append(function))
    for number in range(10):
        queue.put(number, 1)
    assert len(launched) == 1
    launched[0]()
    queue.put(10, 1)
    assert queue.flush(SOON)
    assert sender.items == list(range(11))
    assert len(sender.threads) == 1


@pytest.mark.parametrize(
    ("ends", "gone"),
    [(True, [(process, "ending")]), (False, [(sender_module, name) for name in ("sys", "process", "logger")])],
    ids=["the modules that it calls", "its own"],
)
def test_a_launcher_that_comes_when_the_interpreter_has_emptied_the_modules_says_nothing(
    make_queue, monkeypatch, logged, ends, gone
):
    queue = make_queue(Sender())
    launched = []
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", lambda function, args: launched.append(function))
        queue.put("item", 1)
        patch.setattr(sys, "is_finalizing", lambda: ends)
        for module, name in gone:
            patch.setattr(module, name, None)
        launched[0]()
    assert logged() == []


def test_a_thread_that_cannot_be_started_just_now_is_started_for_the_next_item(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    no_threads(monkeypatch)
    queue.put("first", 1)
    monkeypatch.undo()
    queue.put("second", 1)
    assert sender.busy.wait(SOON)
    assert sender.items == ["first", "second"]


def test_a_fault_of_the_start_is_logged_and_not_printed(make_queue, monkeypatch, logged, capfd):
    queue = make_queue(Sender())

    def start(thread):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        patch.setattr(_thread, "start_new_thread", lambda function, args: function())
        queue.put("item", 1)
    assert "MemoryError" in logged()[0]
    assert capfd.readouterr() == ("", "")
    assert queue.flush(SOON)


def test_an_interrupt_while_the_thread_starts_does_not_make_two_of_them(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        monkeypatch.setattr(threading.Thread, "start", start)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    no_helper(monkeypatch)
    queue.put("first", 1)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(SOON)
    queue.put("second", 1)
    assert queue.flush(SOON)
    assert sender.items == ["first", "second"]
    assert len(sender.threads) == 1


def test_a_finalizer_that_puts_while_the_thread_starts_does_not_start_another(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    starts = []
    start = threading.Thread.start

    def interrupted(thread):
        starts.append(thread)
        if len(starts) == 1:
            queue.put("from a finalizer", 1)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    queue.put("item", 1)
    assert queue.flush(SOON)
    assert starts == [queue._thread]
    assert sender.items == ["item", "from a finalizer"]


def test_a_thread_that_starts_after_all_when_another_took_its_place_ends_at_once(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    start = threading.Thread.start
    late = []

    def interrupted(thread):
        late.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    no_helper(monkeypatch)
    queue.put("first", 1)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(SOON)
    monkeypatch.setattr(threading.Thread, "start", start)
    queue.put("second", 1)
    assert queue.flush(SOON)
    late[0].start()
    late[0].join(SOON)
    assert not late[0].is_alive()


def test_a_thread_that_starts_while_another_sends_in_its_place_waits_for_it(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    flusher = threading.Thread(target=queue.flush, args=(SOON,), daemon=True)
    start = threading.Thread.start
    no_threads(monkeypatch)
    queue.put("first", 1)
    start(flusher)
    assert sender.busy.wait(SOON)
    monkeypatch.undo()
    queue.put("second", 1)
    assert not queue.flush(0.1)
    assert queue._thread.is_alive()
    assert sender.batches == [["first"]]
    sender.go.set()
    assert queue.flush(SOON)
    assert sender.threads == {flusher, queue._thread}


def test_what_a_sender_raises_does_not_reach_who_flushes_but_his_own_interrupt_does(make_queue, monkeypatch):
    raised = []

    def send(items, queue):
        if items[0] not in raised:
            raised.append(items[0])
            raise items[0]
        queue.settle(items)

    queue = make_queue(send)
    queue.put(KeyboardInterrupt(), 1)
    assert not queue.flush(SOON)
    assert queue._thread.is_alive()
    queue.close()
    queue = make_queue(send)
    no_threads(monkeypatch)
    queue.put(SystemExit(), 1)
    assert not queue.flush(SOON)
    queue.put(KeyboardInterrupt(), 1)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(SOON)
    assert queue.stats()["dropped"] == {"internal": 1}
    assert queue.flush(SOON)  # what was cut off is sent again
    assert queue.stats()["delivered"] == 1


def with_a_signal(number, handler, function, *args):
    """Call ``function``, and ``handler`` at one of the places where Python looks for signals; False after the last.

    It looks where a function begins, and where one that is written in C is over.
    """
    places = []

    def profile(frame, event, arg):
        ours = frame.f_globals["__name__"].startswith("cozeloop_lite.")
        if event in ("call", "c_return") and (ours or frame.f_code.co_name in ("__enter__", "__exit__")):
            places.append(event)
            if len(places) == number:
                sys.setprofile(None)
                handler()

    sys.setprofile(profile)
    try:
        function(*args)
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return len(places) >= number


def ctrl_c():
    raise KeyboardInterrupt


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize(("name", "args"), [("stats", ()), ("flush", (SOON,)), ("close", (SOON,))])
def test_ctrl_c_at_any_point_leaves_nothing_locked_and_nothing_behind(make_queue, monkeypatch, name, args, threads):
    number, more = 0, True
    while more:
        number += 1
        queue = make_queue(lambda items, queue: queue.settle(items))
        with monkeypatch.context() as patch:
            if not threads:
                no_threads(patch)
            queue.put("item", 1)
            more = with_a_signal(number, ctrl_c, getattr(queue, name), *args)
        done = []
        in_thread(lambda queue=queue, done=done: done.append(queue.flush(SOON))).join(SOON)
        assert done, "somebody holds the lock for ever, after place %d" % number
        assert queue.stats()["queued"] == 0, "place %d" % number
    assert number > 10


def test_ctrl_c_during_an_upload_reaches_who_flushes_and_the_file_is_tried_again(make_queue, monkeypatch):
    no_threads(monkeypatch)
    beside = Beside(KeyboardInterrupt(), 0)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    with pytest.raises(KeyboardInterrupt):
        queue.flush(SOON)
    assert queue.flush(SOON)
    assert beside.files.stats()["delivered"] == 1


def test_a_signal_handler_may_close_at_any_point_of_a_flush(make_queue, monkeypatch):
    number, more = 0, True
    while more:
        number += 1
        sent = []
        queue = make_queue(lambda items, queue, sent=sent: (sent.extend(items), queue.settle(items)), batch_count=2)
        with monkeypatch.context() as patch:
            no_threads(patch)
            for item in range(5):
                queue.put(item, 1)
            more = with_a_signal(number, lambda queue=queue: queue.close(0), queue.flush, SOON)
        assert sent == list(range(len(sent))), "place %d" % number
        dropped = {"shutdown": 5 - len(sent)} if len(sent) < 5 else {}
        expected = {"finished": 5, "delivered": len(sent), "queued": 0, "dropped": dropped}
        assert account(queue) == expected, "place %d" % number
    assert number > 10


# -- the work beside


class Beside:
    """A file for each item named so. ``outcomes`` of attempts: 0 when it arrives, else seconds until the next."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.tried = threading.Semaphore(0)
        self.threads = set()
        self.files = Uploads(self.attempt, 1 << 20)

    def attempt(self, upload, pace):
        self.tried.release()
        self.threads.add(threading.current_thread())
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def send(self, items, queue):
        queue.settle(items)
        for item in items:
            if item == "file":
                self.files.add(item, b"content")

    def wait_for_failure(self):
        """Until an attempt is over, and the file waits for the next."""
        assert self.tried.acquire(timeout=SOON)
        wait_for(lambda: self.files._waiting)


def test_a_flush_waits_for_the_files_of_items_long_delivered_and_hurries_them(make_queue):
    beside = Beside(3600, 0)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    assert not queue.flush(0.2)
    beside.wait_for_failure()  # it is to be tried again in an hour
    assert queue.stats()["delivered"] == 1
    assert queue.flush(SOON)
    assert queue.stats()["files"] == {"delivered": 1, "queued": 0, "dropped": {}}


def test_a_flush_does_not_wait_for_files_that_come_after_it(make_queue):
    beside = Beside()
    queue = make_queue(beside.send, aside=beside.files)

    def attempt(upload, pace):
        time.sleep(0.01)
        beside.files.add("another", b"content")
        return 0

    beside.files._attempt = attempt
    queue.put("file", 1)
    began = time.monotonic()
    assert queue.flush(SOON)
    assert time.monotonic() - began < SOON / 2


def test_a_lost_file_makes_a_flush_false(make_queue):
    beside = Beside(-1)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    assert not queue.flush(SOON)
    assert queue.flush(SOON)


def test_a_file_is_tried_while_items_linger_and_while_nothing_else_is_to_do(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    beside = Beside(0.01, 0.2, 0)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    queue._hurry(1)
    assert beside.tried.acquire(timeout=SOON)
    assert beside.tried.acquire(timeout=SOON)  # nothing waits but the file
    queue.put("lingers", 1)
    assert beside.tried.acquire(timeout=SOON)
    assert queue.stats()["queued"] == 1


def test_a_file_that_waits_out_a_pause_holds_no_items_back(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 0.0)
    beside = Beside(3600)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    assert beside.tried.acquire(timeout=SOON)
    for delivered in (2, 3):
        queue.put("item", 1)
        wait_for(lambda: queue.stats()["delivered"] == delivered)  # noqa: B023


def test_a_flush_hears_of_a_file_as_soon_as_it_is_there(make_queue, monkeypatch):
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 2 * SOON)  # it looks again by itself, but later
    beside = Beside()
    queue = make_queue(beside.send, aside=beside.files)
    beside.files._attempt = lambda upload, pace: time.sleep(0.02) or 0
    began = time.monotonic()
    for _ in range(8):
        queue.put("file", 1)
        assert queue.flush(SOON)
        assert time.monotonic() - began < SOON


def test_a_fault_in_the_work_beside_does_not_end_the_thread(make_queue, logged):
    beside = Beside()
    queue = make_queue(beside.send, aside=beside.files)

    def attempt(upload, pace):
        raise SystemExit

    beside.files._attempt = attempt
    queue.put("file", 1)
    assert not queue.flush(SOON)
    assert queue._thread.is_alive()
    wait_for(lambda: any("a file was lost by a fault" in message for message in logged()))


def test_close_uploads_what_waits_without_a_pause(make_queue):
    beside = Beside(*[0] * 10)
    queue = make_queue(beside.send, aside=beside.files)
    for _ in range(10):
        queue.put("file", 1)
    began = time.monotonic()
    assert queue.close(SOON)
    assert time.monotonic() - began < SOON / 2
    assert len(beside.threads) == 1


class Clock(Machine):
    """A machine whose clock is put forward by hand; else it goes as always, or stands still."""

    def __init__(self, goes=True):
        self.goes = goes
        self.ahead = 0.0
        self.looked = threading.Event()  # set when the main thread looks at it

    def monotonic(self):
        if threading.current_thread() is threading.main_thread():
            self.looked.set()
        return self.ahead + (time.monotonic() if self.goes else 1000.0)


def test_close_tries_a_failed_file_until_its_time_is_up_and_counts_it_then(make_queue):
    clock, attempts = Clock(), []

    def attempt(upload, pace):
        attempts.append(upload)
        if len(attempts) == 5:
            clock.ahead = 60
        return 0.04

    beside = Beside()
    beside.files = Uploads(attempt, 1 << 20, clock)
    queue = make_queue(beside.send, aside=beside.files, machine=clock)
    queue.put("file", 1)
    began = time.monotonic()
    assert not queue.close(60)
    assert time.monotonic() - began < 30
    assert len(attempts) >= 5
    assert queue.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {"shutdown": 1}}


def test_without_a_thread_whoever_flushes_uploads_too(make_queue, monkeypatch):
    beside = Beside(3600, 0.01, 0)
    queue = make_queue(beside.send, aside=beside.files)
    no_threads(monkeypatch)
    queue.put("file", 1)
    steps = []
    step = queue._step_aside
    queue._step_aside = lambda *how: steps.append(1) or step(*how)
    began = time.monotonic()
    wait_for(lambda: queue.flush(0.2) or len(beside.outcomes) < 3)
    assert time.monotonic() - began < SOON / 2
    assert queue.stats()["files"]["queued"] == 1
    assert len(steps) < 10  # it sleeps meanwhile
    assert queue.flush(SOON)
    assert queue.stats()["files"]["delivered"] == 1


# -- close


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_close_without_time_ends_at_once(make_queue, logged, timeout):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("item", 1)
    began = time.monotonic()
    assert not queue.close(timeout)
    assert time.monotonic() - began < SOON / 2
    assert any(re.search(r"within \d+\.\d s", message) for message in logged())


def test_close_delivers_stops_the_thread_and_counts_what_comes_later(make_queue, monkeypatch, logged):
    monkeypatch.setattr(queue_module, "MARGIN_SECONDS", SOON)  # which it waits for the end of the thread
    sender = Sender()
    queue = make_queue(sender)
    for number in range(250):
        queue.put(number, 1)
    wait_for(lambda: not queue._launching)  # or it may start another thread, which ends at once
    assert queue.close()
    assert not queue._thread.is_alive()
    queue.put("too late", 1)
    queue.put("too late", 1)
    assert account(queue) == {"finished": 252, "delivered": 250, "queued": 0, "dropped": {"closed": 2}}
    assert queue.close()
    assert queue.flush(SOON)
    assert len([message for message in logged() if "after its client was closed" in message]) == 1


def test_closing_a_queue_that_was_never_used_starts_no_thread(make_queue):
    queue = make_queue(Sender())
    assert queue.close()
    assert queue._thread is None


def test_close_gives_up_at_its_timeout_counts_what_is_left_and_says_so(make_queue, monkeypatch, logged):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    sender = Sender(hold=True)
    queue = make_queue(sender, batch_count=10)
    for number in range(35):
        queue.put(number, 1)
    assert sender.busy.wait(SOON)
    began = time.monotonic()
    assert not queue.close(0.2)
    assert time.monotonic() - began < 5
    stats = queue.stats()
    in_hand = stats["queued"]  # these may arrive yet
    assert in_hand == 10
    assert stats["dropped"] == {"shutdown": 25}
    (said,) = [message for message in logged() if "are lost" in message]
    assert re.sub(r"\d+\.\d s and", "0.2 s and", said) == (  # what it took, on a busy machine a little more
        "[cozeloop] 35 finished spans could not be delivered within 0.2 s and are lost (shutdown_timeout is 5 s; "
        "a server that does not answer is waited for 2 s, one that is not there 0.5 s). With a spool_dir they are kept"
    )
    sender.go.set()
    wait_for(lambda: not queue._thread.is_alive())
    assert account(queue) == {"finished": 35, "delivered": 10, "queued": 0, "dropped": {"shutdown": 25}}
    assert len(sender.batches) == 1  # nothing more was sent after the time was up
    queue.close()
    assert len([message for message in logged() if "are lost" in message]) == 1


def test_an_item_that_slips_in_before_the_thread_of_a_closed_queue_ends_is_not_forgotten(make_queue):
    sender = Sender()
    queue = make_queue(sender)
    looks = []

    def step(patience):  # the thread's last act before it ends
        if queue._closed and not looks:
            looks.append(1)
            queue._items.append(("slips in", 1))  # by a put() that saw an open queue, and a thread at work
        return False

    queue._step_aside = step
    queue.put("item", 1)
    assert queue.flush(SOON)
    assert queue.close()
    wait_for(lambda: sender.items == ["item", "slips in"])


def test_a_flush_hears_that_close_gave_up_on_its_items(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender, batch_count=1)
    results = []
    for number in range(3):
        queue.put(number, 1)
    flusher = in_thread(lambda: results.append(queue.flush(SOON)))
    assert sender.busy.wait(SOON)
    assert not queue.close(0.1)
    sender.go.set()
    flusher.join(SOON / 2)
    assert results == [False]


def test_after_close_gave_up_nothing_waits(make_queue, monkeypatch):
    queue = make_queue(Sender())
    queue._start = lambda: None
    queue.put("item", 1)
    monkeypatch.setattr(queue_module.sys, "is_finalizing", lambda: True)
    assert not queue.close(0.1)
    assert queue.flush(SOON)
    assert account(queue) == {"finished": 1, "delivered": 0, "queued": 0, "dropped": {"shutdown": 1}}


def test_close_waits_for_the_end_of_the_thread(make_queue, monkeypatch):
    monkeypatch.setattr(queue_module, "MARGIN_SECONDS", SOON)

    class Slow(Uploads):
        def wait(self, busy=False):
            if queue._closed:
                time.sleep(0.05)
            return super().wait()

    queue = make_queue(Sender(), aside=Slow(lambda upload, pace: 0, 0))
    queue.put("item", 1)
    wait_for(lambda: not queue._launching)  # or it may start another thread, which ends at once
    assert queue.close()
    assert not queue._thread.is_alive()


def test_a_request_that_takes_all_its_time_ends_before_close_does(make_queue):
    clock = Clock(goes=False)

    def send(items, queue):
        wait_for(lambda: queue.pace.deadline is not None)
        clock.ahead = queue.pace.time_left(60)
        clock.looked.clear()
        assert clock.looked.wait(SOON)  # who closes sees what time it is, and goes on waiting
        queue.settle(items)

    queue = make_queue(send, machine=clock)
    queue.put("item", 1)
    assert queue.close(1)


def test_an_item_that_slips_in_while_the_queue_closes_is_not_forgotten(make_queue):
    sender = Sender()
    queue = make_queue(sender)

    class Size(int):
        additions = 0

        def __radd__(self, other):
            self.additions += 1
            if self.additions == 2:  # between the look whether the queue is closed, and the item's way into it
                assert queue.close()
            return other + int(self)

    queue.put("first", 1)
    queue.put("slips in", Size(1))
    deadline = time.monotonic() + SOON
    while queue.stats()["queued"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert account(queue) == {"finished": 2, "delivered": 2, "queued": 0, "dropped": {}}


def test_close_ends_the_wait_between_two_attempts(make_queue):
    waits = []
    waiting = threading.Event()

    def send(items, queue):
        waiting.set()
        waits.append(queue.pace.wait(3600))
        queue.settle(items)

    queue = make_queue(send)
    queue.put("item", 1)
    queue._hurry(1)
    assert waiting.wait(SOON)
    assert queue.close()
    assert waits == [True]


# -- what a sender may ask


def test_a_flush_ends_the_pause_between_two_attempts_but_not_one_that_the_server_asked_for(make_queue):
    pauses = []
    asked = threading.Event()

    def send(items, queue):
        asked.set()
        began = time.monotonic()
        pauses.append((queue.pace.wait(0.5, patient=items == ["patient"]), time.monotonic() - began < 0.4))
        queue.settle(items)

    queue = make_queue(send)
    for name in ["patient", "impatient"]:
        asked.clear()
        queue.put(name, 1)
        flusher = in_thread(lambda: queue.flush(SOON))
        assert asked.wait(SOON)
        assert queue.flush(SOON)
        flusher.join(SOON)
    (patient, early), (impatient, _) = pauses
    assert (patient, early) == (True, False)
    assert impatient


def test_a_hurry_before_the_batch_does_not_end_the_pause_after_its_first_attempt(make_queue):
    pauses = []

    def send(items, queue):
        began = time.monotonic()
        assert queue.pace.wait(0.3)
        pauses.append(time.monotonic() - began)
        queue.settle(items)

    queue = make_queue(send)
    queue.put("item", 1)
    assert queue.flush(SOON)
    assert pauses[0] > 0.25


def test_a_patient_wait_that_would_outlast_the_end_is_given_up_at_once(make_queue):
    answers = []

    def send(items, queue):
        answers.append(queue.pace.wait(3600, patient=True))
        queue.give_up(items)

    queue = make_queue(send)
    queue.put("item", 1)
    began = time.monotonic()
    assert not queue.close(30)
    assert time.monotonic() - began < 15
    assert answers == [False]
    assert queue.stats()["dropped"] == {"shutdown": 1}


def test_time_left_is_what_close_leaves(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    assert queue.pace.time_left(3) == 3
    queue.put("item", 1)
    closing = in_thread(lambda: queue.close(60))
    wait_for(lambda: queue.pace.time_left(3600) < 3600)
    assert 0 < queue.pace.time_left(3600) < 60
    queue.pace.deadline = time.monotonic() - 1
    assert queue.pace.time_left(3) == 0
    sender.go.set()
    closing.join(SOON)


# -- exit


def test_all_queues_of_a_process_share_the_time_at_exit(make_queue, monkeypatch):
    queues = [make_queue(Sender(hold=True), shutdown_timeout=0.5) for _ in range(20)]
    for queue in queues:
        queue.put("item", 1)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", queues)
    began = time.monotonic()
    process.leave()
    assert time.monotonic() - began < 8  # one after the other it would be 10 s


def test_all_queues_of_a_process_send_at_once_at_exit(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    together = threading.Barrier(3)

    def send(items, queue):
        together.wait(SOON)
        queue.settle(items)

    queues = [make_queue(send) for _ in range(3)]
    for queue in queues:
        queue.put("item", 1)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", queues)
    process.leave()
    assert [queue.stats()["delivered"] for queue in queues] == [1, 1, 1]


def test_a_flush_during_the_exit_does_not_bring_the_linger_time_back(make_queue, monkeypatch):
    monkeypatch.setattr(sender_module, "LINGER_SECONDS", 3600)
    sender = Sender()
    queue = make_queue(sender)
    queue.put("first", 1)
    queue._on_exit_hurry()
    assert queue.flush(SOON)
    sender.busy.clear()
    in_thread(lambda: queue.put("from another thread", 1))
    assert sender.busy.wait(SOON)


def give_up_at_the_end(calls):
    def send(items, queue):  # a server that is down
        calls.append(items)
        while queue.pace.wait(0.05):
            pass
        queue.give_up(items)

    return send


def test_what_is_given_up_at_exit_is_lost_and_not_taken_up_again(make_queue, monkeypatch):
    calls = []
    queue = make_queue(give_up_at_the_end(calls), shutdown_timeout=0.5)
    queue.put("item", 1)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", [queue])
    process.leave()
    wait_for(lambda: queue.stats()["dropped"] == {"shutdown": 1})  # the thread may be late
    assert calls == [["item"]]


def test_without_a_thread_a_flush_during_the_exit_has_no_more_time_than_the_exit(make_queue, monkeypatch):
    queue = make_queue(give_up_at_the_end([]), shutdown_timeout=0.3)
    no_threads(monkeypatch)
    queue.put("item", 1)
    queue._on_exit_hurry()
    began = time.monotonic()
    assert not queue.flush(SOON)
    assert time.monotonic() - began < SOON / 2


def test_an_item_put_after_the_exit_hook_of_an_idle_queue_is_waited_for(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("before", 1)
    assert queue.flush(SOON)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", [queue])
    process.leave()
    for number in range(20):
        queue.put(number, 1)
        assert sender.items[-1] == number  # delivered when put() returns


def test_an_item_that_cannot_be_delivered_after_the_exit_hook_is_reported(make_queue, logged):
    sender = Sender(hold=True)
    queue = make_queue(sender, shutdown_timeout=0.3)
    queue._on_exit_hurry()
    queue.put("after", 1)
    assert any("too late in the exit" in message for message in logged())


def test_after_the_exit_hook_only_the_main_thread_waits(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender, shutdown_timeout=SOON)
    queue._on_exit_hurry()
    thread = in_thread(lambda: queue.put("item", 1))
    thread.join(SOON / 2)
    assert not thread.is_alive()


def test_an_item_put_after_the_exit_hook_is_waited_for(make_queue, monkeypatch):
    sender = Sender()
    queue = make_queue(sender)
    queue.put("before", 1)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", [queue])
    process.leave()
    assert sender.items == ["before"]
    queue.put("after", 1)
    assert sender.items == ["before", "after"]  # delivered when put() returns


def test_the_exit_hook_leaves_a_closed_queue_alone(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("item", 1)
    queue.close(0.05)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", [queue])
    began = time.monotonic()
    process.leave()
    assert time.monotonic() - began < 3
    assert queue.pace.time_left(3) == 0  # what was reported as lost gets no second chance


def test_one_failing_exit_hook_does_not_keep_the_others_from_theirs(make_queue, monkeypatch):
    class Failing:
        def _on_exit_begins(self):
            raise ValueError

        _on_exit = _on_exit_begins

    sender = Sender()
    queue = make_queue(sender)
    queue.put("item", 1)
    monkeypatch.setattr(process, "_exiting", False)
    monkeypatch.setattr(process, "_at_exit", [Failing(), queue])
    process.leave()
    assert sender.items == ["item"]


# -- fork, as far as it can be seen without one


@pytest.mark.parametrize("wait", [SendQueue.flush, SendQueue.close])
def test_a_fork_without_pythons_hooks_is_noticed_by_its_process_id(make_queue, monkeypatch, wait):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("the parent's", 1)
    assert sender.busy.wait(SOON)
    thread = queue._thread
    monkeypatch.setattr(process, "_pid", -1)
    assert wait(queue, SOON)  # in the child there is nothing to send
    assert queue.stats()["finished"] == 0
    assert queue._thread is None
    sender.go.set()
    thread.join(SOON)


def test_files_that_wait_stay_the_parents(make_queue, monkeypatch):
    beside = Beside(3600)
    queue = make_queue(beside.send, aside=beside.files)
    queue.put("file", 1)
    assert not queue.flush(0.1)
    beside.wait_for_failure()
    monkeypatch.setattr(process, "_pid", -1)
    assert queue.flush(SOON)
    assert queue.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {}}


def test_nothing_is_logged_with_the_lock_held(make_queue, logged):
    """A handler of the log may wait for a thread that looks at the queue: neither would ever go on."""
    sender = Sender(hold=True)

    class Aside(Uploads):
        def abandon(self, reason):
            return [*super().abandon(reason), ("abandoned for %s", (reason,))]

    queue = make_queue(sender, aside=Aside(lambda upload, pace: 0, 0))
    free = []

    class Handler(logging.Handler):
        def emit(self, record):
            look = in_thread(queue.stats)
            look.join(SOON)
            free.append((record.getMessage(), not look.is_alive()))

    handler = Handler()
    logging.getLogger("cozeloop_lite").addHandler(handler)
    try:
        queue.put("stuck", 1)
        assert sender.busy.wait(SOON)
        queue.put("waits", 1)
        queue.close(0.05)
    finally:
        logging.getLogger("cozeloop_lite").removeHandler(handler)
    assert ("[cozeloop] abandoned for shutdown", True) in free
    assert all(looked for _, looked in free)


def test_that_there_is_no_room_is_told_even_where_nothing_is_ever_sent(make_queue):
    told = threading.Event()

    def send(items, queue):
        if queue.overflowed():
            told.set()
        queue.settle(items)

    queue = make_queue(send, max_bytes=10)
    queue.put("small", 1)
    assert queue.flush(SOON)
    wait_for(lambda: queue._wake_count == 1)  # the thread sleeps until the next item
    assert not told.is_set()
    queue.put("large", 11)
    assert told.wait(SOON)
    assert account(queue) == {"finished": 2, "delivered": 1, "queued": 0, "dropped": {"queue_full": 1}}


def test_the_exit_waits_for_a_queue_that_is_just_being_closed(make_queue):
    sender = Sender(hold=True)
    queue = make_queue(sender)
    queue.put("last", 1)
    closing = in_thread(lambda: queue.close(SOON))
    assert sender.busy.wait(SOON)
    wait_for(lambda: queue._closed)
    leaving = in_thread(lambda: (queue._on_exit_hurry(), queue._on_exit()))
    leaving.join(0.2)
    assert leaving.is_alive()
    sender.go.set()
    leaving.join(SOON)
    closing.join(SOON)
    assert not leaving.is_alive()
    assert account(queue)["delivered"] == 1


def test_who_flushes_is_woken_for_the_last_of_many_batches_only(make_queue, monkeypatch):
    sender = Sender(hold=True)
    queue = make_queue(sender, batch_count=10)
    for number in range(30):
        queue.put(number, 1)
    flusher = in_thread(lambda: queue.flush(SOON))
    wait_for(lambda: queue._awaited == 30)
    done, wake = [], queue._wake_who_waits
    monkeypatch.setattr(queue, "_wake_who_waits", lambda: (done.append(queue._account.done), wake()))
    sender.go.set()
    flusher.join(SOON)
    assert done == [30]


def test_who_waits_for_another_that_flushes_goes_on_when_that_one_stops(make_queue, monkeypatch):
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 2 * SOON)
    sender = Sender(hold=True)
    queue = make_queue(sender, batch_count=1)
    start = threading.Thread.start
    no_threads(monkeypatch)
    queue.put("first", 1)
    first = threading.Thread(target=queue.flush, args=(SOON,), daemon=True)
    start(first)
    assert sender.busy.wait(SOON)
    queue.put("second", 1)
    second = threading.Thread(target=queue.flush, args=(SOON,), daemon=True)
    start(second)
    wait_for(lambda: queue._awaited == 0)
    sender.go.set()
    second.join(SOON / 2)
    assert sender.items == ["first", "second"]
    assert not second.is_alive()
