"""``traces --follow``: each trace once, and again when it has changed, whatever becomes of the server."""

from __future__ import annotations

import argparse
import urllib.error

import pytest

from cozeloop_lite.local import traces_command

ID = "a" * 32
OTHER = "b" * 32


def trace(trace_id, spans=1):
    return {"trace_id": trace_id, "name": "greet", "spans": spans, "duration_micros": 1500, "errors": 0, "warnings": 0}


class Enough(Exception):
    """The end of what a source has to tell."""


class Source:
    """Tells of changes, one after the other; ``traces``: what is there, the latest first."""

    def __init__(self, traces, *answers):
        self.traces = traces
        self._answers = iter(answers)

    def list(self, limit):
        return self.traces[:limit]

    def trace(self, trace_id, whole):
        return {"spans": [{"trace_id": trace_id, "span_id": "1", "span_name": "leaf"}]}

    def changes(self, since):
        answer = next(self._answers, Enough())
        if isinstance(answer, Exception):
            raise answer
        return answer


QUIET = {"since": "x-1", "reset": False, "traces": []}
RESET = {"since": "y-1", "reset": True, "traces": []}


@pytest.fixture
def follow(monkeypatch, capsys):
    monkeypatch.setattr(traces_command, "_TICK_SECONDS", 0)
    monkeypatch.setattr(traces_command, "QUIET_SECONDS", 0)

    def follow(source, trace_id=None, limit=50):
        arguments = argparse.Namespace(trace_id=trace_id, limit=limit, json=False, url="http://localhost:8888")
        found = source.trace(trace_id, False) if trace_id else source.list(limit)
        with pytest.raises(Enough):
            traces_command._follow(source, arguments, found, "x-0")
        captured = capsys.readouterr()
        return [line.split()[0][0] + line.split()[2] for line in captured.out.splitlines()], captured.err

    return follow


def changed(*traces):
    return {"since": "x-2", "reset": False, "traces": list(traces)}


def test_a_trace_is_printed_again_when_it_has_changed(follow):
    source = Source([trace(OTHER), trace(ID)], QUIET, changed(trace(ID, 2)), QUIET)

    assert follow(source) == (["a1", "b1", "a2"], "")


def test_what_is_as_it_was_is_not_printed_again_after_a_reset(follow):
    assert follow(Source([trace(OTHER), trace(ID)], RESET, RESET)) == (["a1", "b1"], "")


def test_what_the_limit_left_out_is_not_printed_after_a_reset(follow):
    assert follow(Source([trace(OTHER), trace(ID)], RESET), limit=1) == (["b1"], "")


def test_what_has_changed_is_printed_after_a_reset(follow):
    source = Source([trace(OTHER), trace(ID)], RESET)
    later = [trace("c" * 32), trace(OTHER), trace(ID, 3)]
    changes = source.changes

    def changes_behind_its_back(since):
        source.traces = later
        return changes(since)

    source.changes = changes_behind_its_back

    assert follow(source) == (["a1", "b1", "a3", "c1"], "")


def test_a_server_that_is_away_is_waited_for_and_that_is_said_once(follow):
    away = urllib.error.URLError("connection refused")
    source = Source([trace(ID)], away, away, RESET, changed(trace(ID, 2)), away)

    out, said = follow(source)

    assert out == ["a1", "a2"]
    assert said == "cozeloop_lite: http://localhost:8888 does not answer; waiting for it\n" * 2


def test_a_server_that_refuses_is_not_waited_for(follow):
    refused = urllib.error.HTTPError("http://localhost:8888", 403, "Forbidden", {}, None)

    with pytest.raises(urllib.error.HTTPError):
        follow(Source([trace(ID)], refused))
