"""The books of the queue and the exporter, proven by simulation: whatever happens, the rules of tests/support hold.

Each schedule is drawn from its number. ``SIMULATIONS=10000`` tries as many of them, ``SIMULATION=123`` that one alone.
"""

from __future__ import annotations

import os

import pytest

from cozeloop_lite import logger
from support import world
from support.schedule import Schedule
from support.simulation import dismiss_workers

SCHEDULES = int(os.environ.get("SIMULATIONS", "500"))
ONE = os.environ.get("SIMULATION", "")


@pytest.fixture(autouse=True)
def in_the_simulated_world(monkeypatch):
    world.scaled(monkeypatch)
    monkeypatch.setattr(logger.logger, "disabled", True)  # else much of the time would go into words
    yield
    dismiss_workers()


def log_of(number):
    """What happens in a schedule, as lines; they are printed when it breaks a rule."""
    schedule = Schedule(number)
    log = schedule.world.simulation.log
    try:
        schedule.run()
    except BaseException:
        print("SIMULATION=%d" % number)
        print("\n".join(log))
        raise
    return log


def test_whatever_happens_the_account_the_order_and_the_bounds_hold_and_nothing_is_sent_twice():
    for number in [int(ONE)] if ONE else range(SCHEDULES):
        log_of(number)


def test_a_schedule_happens_the_same_way_each_time():
    for number in range(20):
        assert log_of(number) == log_of(number)
