"""The log: one logger, one prefix, each message once a minute, and the host program decides about the rest."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from cozeloop_lite import add_log_handler, set_log_level
from cozeloop_lite import logger as module
from cozeloop_lite.logger import error, logger, say, warn


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_every_message_begins_with_the_name_of_the_platform(logged):
    warn("one %s", 1)
    error("two")
    say(logging.INFO, "three")
    assert logged() == ["[cozeloop] one 1", "[cozeloop] two", "[cozeloop] three"]


def test_the_same_message_comes_once_a_minute_with_the_count_of_the_others(logged, clock):
    for number in range(5):
        warn("failed: %s", number)
    clock.now += 59.9
    warn("failed: %s", 5)
    assert logged() == ["[cozeloop] failed: 0"]
    clock.now += 0.2
    warn("failed: %s", 6)
    assert logged()[1:] == ["[cozeloop] failed: 6 (5 more like this in the last minutes)"]
    clock.now += 61
    warn("failed: %s", 7)
    assert logged()[2:] == ["[cozeloop] failed: 7"]


def test_other_messages_are_not_held_back(logged):
    warn("one")
    warn("two")
    assert len(logged()) == 2


def test_what_the_level_hides_is_not_counted(logged, clock):
    set_log_level(logging.ERROR)
    warn("hidden")
    set_log_level(logging.WARNING)
    warn("hidden")
    assert logged() == ["[cozeloop] hidden"]


def test_a_message_without_arguments_may_hold_a_percent_sign(logged):
    say(logging.WARNING, "100%")
    assert logged() == ["[cozeloop] 100%"]


def test_a_handler_that_raises_hurts_nobody():
    class Raising(logging.Handler):
        def emit(self, record):
            raise RuntimeError("handler")

    handler = Raising()
    add_log_handler(handler)
    try:
        warn("x")
        error("y")
    finally:
        logger.removeHandler(handler)


def test_a_handler_may_be_added():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    add_log_handler(handler)
    try:
        warn("x")
    finally:
        logger.removeHandler(handler)
    assert [record.getMessage() for record in records] == ["[cozeloop] x"]


def test_a_script_without_logging_sees_warnings_on_stderr_and_nothing_on_stdout():
    code = "import cozeloop_lite as c; s = c.start_span('a', 'b'); s.set_input(1); s.finish(); print('mine'); c.flush()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout.split() == [b"mine"]
    assert done.stderr.count(b"[cozeloop]") == 1
    assert b"COZELOOP_WORKSPACE_ID" in done.stderr


def test_the_package_adds_no_handler_of_its_own():
    assert logger.name == "cozeloop_lite"
    assert logger.propagate
