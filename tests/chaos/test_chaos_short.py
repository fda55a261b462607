"""The short form of ``make chaos``: this library only, a few of the faults, on the interpreter of the tests."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaos import runs, verdict
from chaos.environment import LITE
from chaos.rows import REFUSED_EXIT_SECONDS, SILENT_EXIT_SECONDS, Row
from chaos.wire import OTLP_PATH, spans_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")

SLACK_SECONDS = 4  # for a machine that does other things, too
SECONDS = 3.0
FORKS = 40
SHORT = (0.7, "behave"), (2.0, "behave", "well")


def passing(fault):
    begins, ends = SHORT
    return (*begins, fault), ends


ROWS = [
    Row("healthy", "", seconds=1.0),
    Row("refused", "", passing("refused"), SECONDS),
    Row("reset", "", passing("reset"), SECONDS),
    Row("HTTP 503", "", passing("503"), SECONDS),
    Row("a web page", "", passing("garbage"), SECONDS, loses=True),
    Row("answer lost", "", passing("answer lost"), SECONDS, twice=True),
    Row("refused to the end", "", passing("refused")[:1], 2.0, loses=True, exit=REFUSED_EXIT_SECONDS),
    Row("silent to the end", "", passing("silent")[:1], 2.0, loses=True, exit=SILENT_EXIT_SECONDS),
    Row("spool", "", passing("refused")[:1], 2.0, settings={"spool_dir": True}, again=True),
]
WAYS = [way for way in runs.WAYS if way not in (runs.GUNICORN, "freeze and thaw", "fork, long children")]


@pytest.fixture(scope="module")
def results():
    """All of it, several at a time, since the programs mostly wait; the forks do not."""
    begun = {}
    with ThreadPoolExecutor(6) as pool:
        for row in ROWS:
            begun[row.name] = pool.submit(runs.FaultRun(row, LITE, sys.executable).result)
        for way in WAYS:
            begun[way] = pool.submit(runs.ending, way, LITE, sys.executable)
    done = {name: future.result() for name, future in begun.items()}
    done["forks"] = runs.forks(FORKS, LITE, sys.executable)
    return done


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_spans_are_delivered_once_or_counted_callers_are_not_held_and_the_exit_is_in_time(results, row):
    result = results[row.name]
    assert verdict.of_fault(row._replace(exit=row.exit + SLACK_SECONDS), _unless_noise(result)) == [], result.said
    assert result.delivered > 0 or row.loses


def _unless_noise(result):
    """A few long calls are the machine's; one that waits for a server would wait for a second, or often."""
    calls, control = result.calls, result.control
    if calls["longest_sleep"] < 1000 and calls["over"] < control["over"] + 5:
        result.calls = result.control
    return result


@pytest.mark.parametrize("way", WAYS)
def test_however_a_process_ends_everything_arrives(results, way):
    result = results[way]
    result.exit = result.exit and result.exit - SLACK_SECONDS
    assert verdict.of_ending(result) == [], result.said


def test_forks_while_threads_trace_flush_and_log_cost_no_span_and_hang_no_child(results):
    result = results["forks"]
    assert verdict.of_forks(result) == [], result.said
    assert result.more["forked"] == FORKS


def test_the_harness_notices_what_it_is_for(results):
    """Of a good result, one figure at a time is spoilt."""
    good = results["healthy"]
    row = ROWS[0]
    for field, value, word in [
        ("made", good.made + 1, "not counted"),
        ("made", good.made - 1, "counted as lost"),
        ("twice", 1, "twice"),
        ("collisions", 1, "ids of others"),
        ("exit", 6.0, "exit"),
        ("exit", None, "ended before its time"),
        ("killed", True, "killed"),
        ("printed", 1, "standard output"),
        ("calls", {**good.calls, "longest_sleep": 2000.0}, "slept"),
        ("calls", {**good.calls, "over": 100}, "over 5 ms"),
    ]:
        spoilt = runs.Result(good.name, good.library)
        spoilt.__dict__.update(good.__dict__, **{field: value})
        assert any(word in text for text in verdict.of_fault(row, spoilt)), field


def test_spans_in_protobuf_are_read():
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    span = field(1, b"\x01" * 16) + field(2, b"\x02" * 8) + bytes([6 << 3, 0x81, 1]) + field(5, b"step")
    body = field(1, field(1, b"") + field(2, field(1, b"") + field(2, span) + field(2, span)))
    assert spans_of(OTLP_PATH, body) == [("01" * 16 + "02" * 8, "step")] * 2
    with pytest.raises(ValueError, match="wire type"):
        spans_of(OTLP_PATH, b'{"spans":[]}')
