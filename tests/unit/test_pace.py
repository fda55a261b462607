"""The time of whoever sends: its pauses between attempts, and how they end."""

from __future__ import annotations

import time

import pytest

from cozeloop_lite.trace import pace as pace_module
from cozeloop_lite.trace.machine import Machine
from cozeloop_lite.trace.pace import Pace

SOON = 10  # seconds that no test waits unless it fails


@pytest.fixture
def pace():
    return Pace()


def seconds_of(function, *args, result=True):
    began = time.monotonic()
    assert function(*args) is result
    return time.monotonic() - began


def test_a_pause_lasts_as_long_as_asked_and_no_alarm_alone_ends_it(pace):
    pace.alarm.release()
    assert seconds_of(pace.wait, 0.1, False) > 0.09


def test_a_hurry_ends_one_pause_and_not_the_next(pace):
    pace.hurried = True
    assert seconds_of(pace.wait, SOON, False) < SOON / 2
    assert seconds_of(pace.wait, 0.1, False) > 0.09


def test_a_patient_pause_heeds_no_hurry(pace):
    pace.hurried = True
    assert seconds_of(pace.wait, 0.1, True) > 0.09


def test_a_queue_that_becomes_crowded_ends_even_a_patient_pause_and_not_the_next(pace):
    pace.crowded = True
    assert seconds_of(pace.wait, SOON, True) < SOON / 2
    assert seconds_of(pace.wait, 0.1, True) > 0.09


def test_with_an_end_in_sight_a_pause_is_short_but_a_patient_one_is_not(pace, monkeypatch):
    monkeypatch.setattr(pace_module, "LAST_PAUSE_SECONDS", 0.01)
    pace.deadline = time.monotonic() + 2 * SOON
    assert seconds_of(pace.wait, SOON, False) < SOON / 2
    assert seconds_of(pace.wait, 0.1, True) > 0.09


def test_a_pause_ends_with_the_time_and_then_there_is_none(pace, monkeypatch):
    monkeypatch.setattr(pace_module, "LAST_PAUSE_SECONDS", SOON)
    pace.deadline = time.monotonic() + 0.1
    assert seconds_of(pace.wait, SOON, False, result=False) < SOON / 2
    assert not pace.wait(0, False)


def test_a_patient_pause_that_would_outlast_the_end_is_none(pace):
    pace.deadline = time.monotonic() + SOON
    assert not pace.wait(2 * SOON, True)


def test_a_request_gets_what_it_asks_for_or_what_is_left(pace):
    assert pace.time_left(3600) == 3600
    pace.deadline = time.monotonic() + 100
    assert pace.time_left(3) == 3
    assert 90 < pace.time_left(3600) <= 100
    pace.deadline = time.monotonic() - 1
    assert pace.time_left(3) == 0


# -- who does not answer ----------------------------------------------------------------------------------------------


class Clock(Machine):
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timed(clock):
    return Pace(clock)


def test_at_the_end_a_silent_server_is_given_up_early(timed, clock):
    timed.last_chance(1060, for_the_silent=False)
    assert timed.end() == 1002
    assert timed.time_left(30) == 2


def test_an_answer_gives_it_as_much_time_again_up_to_the_deadline(timed, clock):
    timed.last_chance(1003, for_the_silent=False)
    clock.now = 1000.5
    timed.heard()
    assert timed.end() == 1002.5
    clock.now = 1002.0
    timed.heard()
    assert timed.end() == 1003


def test_what_is_large_may_take_longer_to_send(timed, clock):
    timed.last_chance(1060, for_the_silent=False)
    timed.sends(4 << 20)
    assert timed.end() == 1006
    timed.heard()
    assert timed.end() == 1002


def test_nobody_there_is_given_up_even_earlier(timed, clock):
    timed.last_chance(1060, for_the_silent=False)
    timed.unreached()
    assert timed.end() == 1000.5
    timed.sends(0)  # the next attempt
    assert timed.end() == 1002


def test_whoever_names_a_time_waits_for_the_silent_as_well(timed, clock):
    timed.last_chance(1060, for_the_silent=True)
    timed.unreached()
    assert timed.end() == 1060


def test_who_sends_in_place_of_another_has_no_more_time_than_it_brought(timed, clock):
    timed.until = 1001
    assert timed.time_left(30) == 1
    assert timed.lent()
    timed.last_chance(1060, for_the_silent=True)
    assert timed.time_left(30) == 1
    assert timed.lent()  # the other may still go on


def test_nor_has_it_more_than_there_is(timed, clock):
    timed.until = 1060
    timed.last_chance(1010, for_the_silent=False)
    assert not timed.lent()
    assert timed.time_left(30) == 2
    timed.heard()
    clock.now = 1009
    timed.heard()
    assert timed.time_left(30) == 1


def test_before_the_end_silence_does_not_matter(timed, clock):
    timed.unreached()
    assert timed.end() is None
    assert timed.time_left(30) == 30


def test_what_can_be_kept_elsewhere_is_tried_once_more_at_the_end(pace):
    pace.once = True
    assert pace.wait(0, False) and pace.wait(0, False)
    pace.last_chance(time.monotonic() + SOON, for_the_silent=False)
    assert seconds_of(pace.wait, SOON, False) < SOON / 2
    assert not pace.wait(0, False)


def test_what_is_loaded_at_the_end_is_no_silence_of_the_server(pace):
    pace.last_chance(time.monotonic() + 3600, for_the_silent=False)
    until = []
    pace.loads(lambda: until.append(pace.end()))
    assert until == [pace.deadline]
    assert pace.end() <= time.monotonic() + pace_module.SILENT_SECONDS


def test_that_nothing_can_be_loaded_leaves_the_patience_as_it_was(pace):
    def fails():
        raise ImportError

    pace.last_chance(time.monotonic() + 3600, for_the_silent=False)
    with pytest.raises(ImportError):
        pace.loads(fails)
    assert pace.end() <= time.monotonic() + pace_module.SILENT_SECONDS


# -- work of another kind ---------------------------------------------------------------------------------------------


def test_the_last_second_is_for_items_that_wait(clock):
    items = [1]
    pace = Pace(clock, items)
    assert not pace.reserved()
    pace.last_chance(1005, for_the_silent=True)
    clock.now = 1003.9
    assert not pace.reserved()
    clock.now = 1004
    assert pace.reserved()
    items.clear()
    assert not pace.reserved()


def test_of_less_than_two_seconds_it_is_half(clock):
    pace = Pace(clock, [1])
    pace.last_chance(1000.5, for_the_silent=True)
    clock.now = 1000.2
    pace.last_chance(1000.5, for_the_silent=True)  # as the exit has it, after its hurry
    assert not pace.reserved()
    clock.now = 1000.25
    assert pace.reserved()


def test_it_is_the_second_before_a_silent_server_is_given_up(clock):
    pace = Pace(clock, [1])
    pace.sends(4 << 20)  # the upload that is under way
    pace.last_chance(1060, for_the_silent=False)
    assert pace.end() == 1006
    clock.now = 1004.9
    assert not pace.reserved()
    clock.now = 1005
    assert pace.reserved()
    pace.heard()  # of the items: there is more time now, and it stays theirs
    assert pace.end() > 1006
    assert pace.reserved()


def test_an_exit_that_meets_a_longer_close_reserves_it_earlier(clock):
    pace = Pace(clock, [1])
    pace.last_chance(1060, for_the_silent=True)
    pace.last_chance(1005, for_the_silent=False)
    clock.now = 1004
    assert pace.reserved()


def test_an_answer_puts_it_off_until_it_has_begun_and_so_does_a_large_request(clock):
    items = [1]
    pace = Pace(clock, items)
    pace.last_chance(1060, for_the_silent=False)
    clock.now = 1000.9
    pace.heard()
    pace.sends(3 << 20)
    clock.now = 1004.8
    assert not pace.reserved()
    clock.now = 1004.9
    assert pace.reserved()
    pace.heard()
    assert pace.reserved()  # so that what was cut off does not come before them again
    items.clear()
    assert not pace.reserved()
    items.append(2)
    assert not pace.reserved()
