"""What is kept of prompts: a bounded number, the least recently used leave first, and a reserve for bad times.

And: one request for all who ask for the same.
"""

from __future__ import annotations

import copy
import gc
import inspect
import itertools
import os
import sys
import threading
import time

import pytest

from cozeloop_lite import errors
from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.prompt import cache as cache_module
from cozeloop_lite.prompt import flight
from cozeloop_lite.prompt.cache import Entry, PromptCache
from cozeloop_lite.prompt.flight import Flights


def query(number):
    return ("key%d" % number, "", "")


def entry(text="", source=""):
    return Entry(Prompt(prompt_key="k", version=text), source)


def filled(max_count, count):
    cache = PromptCache(max_count)
    for number in range(count):
        cache.put(query(number), entry(str(number)))
    return cache


def versions(cache):
    return [entry.prompt.version for _, entry in cache.latest()]


# -- the bounded cache ----------------------------------------------------------------------------------------------


def test_what_was_put_is_found():
    cache = filled(3, 2)
    assert cache.get(query(1)).prompt.version == "1"
    assert cache.get(query(2)) is None
    assert len(cache) == 2


def test_key_version_and_label_are_told_apart_whatever_is_in_them():
    cache = PromptCache(10)
    for number, name in enumerate([("a:b", "", ""), ("a", "b", ""), ("a", "", "b"), ("a", ":b", ""), ("a:b:", "", "")]):
        cache.put(name, entry(str(number)))
    assert cache.get(("a:b", "", "")).prompt.version == "0"
    assert cache.get(("a", "", "b")).prompt.version == "2"
    assert len(cache) == 5


def test_the_least_recently_used_leaves_first():
    cache = filled(3, 3)
    cache.get(query(0))
    cache.put(query(3), entry("3"))
    assert cache.get(query(1)) is None
    assert [cache.get(query(number)) is not None for number in (0, 2, 3)] == [True] * 3


def test_ten_thousand_prompts_take_no_more_room_than_a_hundred_and_their_reserve():
    cache = filled(100, 10_000)
    assert len(cache) == 100
    assert (len(cache._used), len(cache._reserve), len(cache._asked)) == (100, 100, 100)
    assert cache.get(query(9_999)) is not None
    assert cache.reserve(query(9_899)) is not None
    assert cache.reserve(query(9_799)) is None


def test_what_left_is_in_reserve_until_it_is_put_again():
    cache = filled(1, 2)
    assert cache.get(query(0)) is None
    assert cache.reserve(query(0)).prompt.version == "0"
    cache.put(query(0), entry("new"))
    assert cache.reserve(query(0)) is None
    assert cache.get(query(0)).prompt.version == "new"


def test_a_copy_from_elsewhere_never_takes_the_place_of_a_better_one():
    cache = filled(2, 3)
    for number in range(9):
        cache.add_reserve(query(number), entry("old", "snapshot"))
    assert [cache.reserve(query(number)) is not None for number in range(9)] == [True, False, False, True] + [False] * 5
    assert cache.reserve(query(0)).prompt.version == "0"
    assert cache.get(query(1)).prompt.version == "1"


def test_a_later_copy_from_elsewhere_takes_the_place_of_an_earlier_one_where_it_was():
    cache = PromptCache(2)
    for number in range(2):
        cache.add_reserve(query(number), entry(str(number), "snapshot"))
    cache.add_reserve(query(1), entry("new", "snapshot"))
    assert versions(cache) == ["0", "new"]


def test_a_renewed_prompt_takes_the_place_of_the_one_in_use():
    cache = filled(2, 2)
    assert cache.renew(query(0), Prompt(prompt_key="k", version="new")) is True
    assert cache.get(query(0)).prompt.version == "new"


def test_a_renewed_prompt_is_not_a_used_one():
    cache = filled(2, 2)
    cache.renew(query(0), Prompt(version="new"))
    cache.put(query(2), entry("2"))
    assert cache.get(query(0)) is None


def test_a_prompt_that_left_is_not_brought_back_by_a_refresh():
    cache = filled(1, 2)
    assert cache.renew(query(0), Prompt(version="new")) is False
    assert cache.get(query(0)) is None


def test_nothing_is_replaced_by_the_same():
    cache = filled(1, 1)
    before = cache.get(query(0))
    assert cache.renew(query(0), copy.deepcopy(before.prompt)) is False
    assert cache.get(query(0)) is before


def test_what_this_version_does_not_know_of_a_prompt_is_renewed_too():
    cache = PromptCache(1)
    cache.put(query(0), Entry(Prompt.from_dict({"prompt_key": "k", "a field of next year": 1})))
    assert cache.renew(query(0), Prompt.from_dict({"prompt_key": "k", "a field of next year": 2})) is True
    assert cache.get(query(0)).prompt.to_dict()["a field of next year"] == 2


@pytest.mark.parametrize("ask", [lambda cache: cache.get(query(0)), lambda cache: cache.put(query(0), entry("0"))])
def test_a_signal_handler_may_put_another_prompt_at_any_moment(ask):
    def handler(frame, event, _):  # a trace function can be in the place of a signal handler, and is at any line
        if event == "line" and frame.f_code.co_filename == cache_module.__file__ and frame.f_lineno == line:
            cache.put(query(1), entry("1"))
        return handler

    source, first = inspect.getsourcelines(PromptCache)
    before = sys.gettrace()
    for number in range(len(source)):
        line = first + number
        cache = filled(1, 1)
        try:
            sys.settrace(handler)
            ask(cache)
        finally:
            sys.settrace(before)
        assert len(cache) == 1


def test_to_get_a_prompt_that_is_kept_waits_for_no_other_thread():
    cache = filled(1, 1)
    held, over, found = threading.Event(), threading.Event(), []

    def hold():
        with cache._lock:
            held.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    getter = threading.Thread(target=lambda: found.append(cache.get(query(0))), daemon=True)
    getter.start()
    getter.join(10)
    over.set()
    holder.join()
    assert [entry.prompt.version for entry in found] == ["0"]


def test_a_copy_from_elsewhere_is_of_the_server_once_that_sent_the_same():
    cache = PromptCache(1)
    cache.put(query(0), entry("0", "snapshot"))
    assert cache.renew(query(0), entry("0").prompt) is True
    assert cache.get(query(0)).source == ""


def test_a_dropped_prompt_is_forgotten_altogether():
    cache = filled(1, 2)
    assert cache.drop(query(0)) is True
    assert cache.drop(query(1)) is True
    assert cache.drop(query(1)) is False
    assert (cache.get(query(1)), cache.reserve(query(0)), cache.queries()) == (None, None, ([], []))


def test_those_come_first_for_which_the_server_was_not_asked_for_the_longest_time():
    cache = filled(3, 3)
    cache.renew(query(0), cache.get(query(0)).prompt)
    assert cache.queries() == ([query(1), query(2), query(0)], [])


def test_what_failed_is_apart_until_it_does_not():
    cache = filled(4, 4)
    cache.missed(query(2))
    cache.missed(query(0))
    cache.missed(query(9))
    assert cache.queries() == ([query(1), query(3)], [query(2), query(0)])
    cache.missed(query(2))
    assert cache.queries() == ([query(1), query(3)], [query(0), query(2)])
    cache.renew(query(0), Prompt())
    cache.drop(query(2))
    assert cache.queries() == ([query(1), query(3), query(0)], [])
    assert cache._missed == set()


def test_the_latest_are_those_in_use_then_those_in_reserve():
    cache = PromptCache(3)
    cache.add_reserve(query(8), entry("8"))
    cache.add_reserve(query(7), entry("7"))
    cache.put(query(0), entry("0"))
    cache.put(query(1), entry("1"))
    cache.get(query(0))
    assert versions(cache) == ["0", "1", "8"]


def test_another_thread_may_have_its_turn_when_listing_begins_a_garbage_collection():
    """A finalizer runs Python, and there threads change."""
    cache = filled(100, 100)
    numbers = itertools.cycle(range(100))

    def other_thread(phase, info):
        cache.get(query(next(numbers)))

    before = gc.get_threshold()
    kept = []
    gc.callbacks.append(other_thread)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            kept.append([(number, number) for number in range(5000)])  # no tuple is left to be used again
            assert len(cache.latest()) == 100
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(other_thread)


def test_threads_that_put_get_and_drop_at_once_leave_a_sound_cache():
    cache = PromptCache(20)
    failures = []

    def work(seed):
        try:
            for number in range(2000):
                name = query((number * seed) % 50)
                cache.put(name, entry("x"))
                cache.get(query(number % 50))
                cache.renew(name, Prompt(version=str(number)))
                if number % 7 == 0:
                    cache.drop(query(number % 50))
                cache.queries()
        except Exception as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(cache) <= 20
    assert set(cache._asked) == set(cache._used)


# -- one request for all who ask ------------------------------------------------------------------------------------


class Asked:
    """An answer that many wait for: ``calls`` counts the requests, ``go()`` lets them be answered."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = 0
        self._go = threading.Event()

    def go(self):
        self._go.set()

    def __call__(self, seconds):
        self.calls += 1
        assert self._go.wait(60)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def share_in_threads(flights, ask, count, seconds=120):
    results = []

    def work():
        try:
            results.append(flights.share("k", ask, seconds))
        except BaseException as problem:
            results.append(problem)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(monkeypatch):
    """A list that has an element for each call of ``wait()``."""
    begun = []
    original = flight._Flight.wait

    def wait(self, seconds):
        begun.append(self)
        original(self, seconds)

    monkeypatch.setattr(flight._Flight, "wait", wait)
    return begun


def test_a_thousand_threads_make_one_request(monkeypatch):
    begun, flights, ask = waiting(monkeypatch), Flights(), Asked("answer")
    threads, results = share_in_threads(flights, ask, 1000)
    wait_until(lambda: len(begun) == 999)
    ask.go()
    for thread in threads:
        thread.join()
    assert ask.calls == 1
    assert results == ["answer"] * 1000
    assert len(flights) == 0


def test_each_thread_raises_an_error_of_its_own(monkeypatch):
    begun, flights = waiting(monkeypatch), Flights()
    error = errors.NotFoundError(200, 600501001, "not found", "log")
    error.__cause__ = ValueError("cause")
    ask = Asked(error)
    threads, results = share_in_threads(flights, ask, 50)
    wait_until(lambda: len(begun) == 49)
    ask.go()
    for thread in threads:
        thread.join()
    assert ask.calls == 1
    assert begun[0]._error.__traceback__ is None  # which would keep the frames of a thread alive
    assert len({id(result) for result in results}) == 50
    for result in results:
        assert (type(result), result.code, result.log_id) == (errors.NotFoundError, 600501001, "log")
        assert str(result) == str(error)
        assert repr(result.__cause__) == repr(ValueError("cause"))
        depth, traceback = 0, result.__traceback__
        while traceback is not None:
            depth, traceback = depth + 1, traceback.tb_next
        assert depth <= 5


def test_one_after_the_other_are_two_requests():
    flights, ask = Flights(), Asked("answer")
    ask.go()
    assert [flights.share("k", ask, 5), flights.share("k", ask, 5)] == ["answer"] * 2
    assert ask.calls == 2


def test_other_keys_do_not_wait():
    flights, ask = Flights(), Asked("slow")
    threads, _ = share_in_threads(flights, ask, 1)
    wait_until(lambda: ask.calls)
    assert flights.share("other", lambda seconds: "fast", 5) == "fast"
    ask.go()
    threads[0].join()


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(), RuntimeError("no error of ours")])
def test_when_the_one_who_asks_is_cut_off_another_asks(monkeypatch, end):
    begun, flights = waiting(monkeypatch), Flights()
    first = Asked(end)
    threads, results = share_in_threads(flights, first, 1)
    wait_until(lambda: first.calls)
    second = Asked("answer")
    second.go()
    more, answers = share_in_threads(flights, second, 5)
    wait_until(lambda: len(begun) == 5)
    first.go()
    for thread in threads + more:
        thread.join()
    assert results == [end]
    assert answers == ["answer"] * 5
    assert 1 <= second.calls <= 5
    assert len(flights) == 0


def test_nobody_waits_longer_than_its_own_deadline():
    flights, ask = Flights(), Asked("late")
    threads, _ = share_in_threads(flights, ask, 1)
    wait_until(lambda: ask.calls)
    with pytest.raises(errors.RequestTimeoutError, match="timeout"):
        flights.share("k", ask, 0.02)
    ask.go()
    threads[0].join()
    assert ask.calls == 1


def test_one_who_waited_has_only_what_is_left_of_its_time(monkeypatch):
    begun, flights = waiting(monkeypatch), Flights()
    first = Asked(KeyboardInterrupt())
    share_in_threads(flights, first, 1)
    wait_until(lambda: first.calls)
    given = []
    threads, _ = share_in_threads(flights, given.append, 1, seconds=20)
    wait_until(lambda: begun)
    first.go()
    threads[0].join()
    assert 0 < given[0] < 20


def test_a_flight_whose_thread_vanished_is_replaced_after_its_time(monkeypatch):
    monkeypatch.setattr(flight, "GRACE_SECONDS", 0.0)
    flights = Flights()
    lost = flight._Flight(0.01)  # as when Ctrl-C comes between two instructions
    lost.thread = 0
    flights._open["k"] = lost
    assert flights.share("k", lambda seconds: "answer", 10) == "answer"
    assert len(flights) == 0


def test_a_waiter_that_is_overlooked_sees_the_answer_all_the_same(monkeypatch):
    monkeypatch.setattr(flight, "LOOK_SECONDS", 0.01)
    stuck = flight._Flight(20)
    stuck.answered = True  # and never landed
    begun = time.monotonic()
    stuck.wait(20)
    assert time.monotonic() - begun < 10


def test_the_thread_that_asks_may_ask_again_in_the_middle_of_it():
    flights = Flights()

    def ask(seconds):
        return "outer " + flights.share("k", lambda seconds: "inner", 5)

    assert flights.share("k", ask, 5) == "outer inner"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent():
    flights, ask = Flights(), Asked("parent")
    threads, _ = share_in_threads(flights, ask, 1)
    wait_until(lambda: ask.calls)
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if flights.share("k", lambda seconds: "child", 5) == "child" else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    ask.go()
    threads[0].join()
    assert status == 0
