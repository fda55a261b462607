"""Ids: random whatever the program does to its own random numbers, in forked children, and in restored snapshots."""

from __future__ import annotations

import os
import random
import re

import pytest

from cozeloop_lite.trace import ids


def pair(client):
    span = client.start_span("s", start_new_trace=True)
    span.discard()
    return span.trace_id, span.span_id


def test_ids_are_lower_case_hexadecimal(client):
    for _ in range(200):
        trace_id, span_id = pair(client)
        assert re.fullmatch("[0-9a-f]{32}", trace_id)
        assert re.fullmatch("[0-9a-f]{16}", span_id)


def test_ids_do_not_repeat(client):
    pairs = [pair(client) for _ in range(5000)]
    assert len({trace_id for trace_id, _ in pairs}) == len({span_id for _, span_id in pairs}) == 5000


def test_no_id_is_zero(client, monkeypatch):
    monkeypatch.setattr(ids.source, "bits", lambda count: 0)
    trace_id, span_id = pair(client)
    assert int(trace_id, 16)
    assert int(span_id, 16)


def test_the_programs_seed_has_no_effect(client):
    random.seed(1)
    first = pair(client)
    random.seed(1)
    assert pair(client) != first


def test_drawing_ids_leaves_the_programs_random_numbers_alone(client):
    random.seed(1)
    expected = random.random()
    random.seed(1)
    pair(client)
    assert random.random() == expected


def test_the_generator_is_seeded_anew_when_time_has_passed(monkeypatch):
    """Two machines restored from one snapshot hold the same generator: their first look at the clock parts them."""
    source = ids.IdSource()
    seeds = []
    entropy = ids._entropy
    monkeypatch.setattr(ids, "_entropy", lambda: seeds.append(entropy()) or seeds[-1])
    source.refresh(5)
    assert source.fresh_ns == 5
    assert [len(seed) >= 16 for seed in seeds] == [True]


@pytest.mark.parametrize("fault", [BlockingIOError(), OSError(38, "not implemented"), AttributeError()])
def test_where_the_system_gives_no_seed_at_once_one_is_waited_for(monkeypatch, fault):
    def getrandom(*args):
        raise fault

    monkeypatch.setattr(ids.os, "getrandom", getrandom, raising=False)
    monkeypatch.setattr(ids.os, "GRND_NONBLOCK", 1, raising=False)
    monkeypatch.setattr(ids.os, "urandom", lambda size: b"x" * size)
    assert ids._entropy() == b"x" * 32


def test_a_span_after_a_pause_draws_from_a_new_seed(client, monkeypatch):
    state = ids.source._random.getstate()
    first = pair(client)
    ids.source._random.setstate(state)
    ids.source.fresh_ns = 0  # as if the last seed were long ago
    assert pair(client) != first


def test_a_clock_that_was_set_back_seeds_anew(client):
    state = ids.source._random.getstate()
    first = pair(client)
    ids.source._random.setstate(state)
    ids.source.fresh_ns = 1 << 62
    assert pair(client) != first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_draw_other_ids(client):
    seen = [pair(client)]
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, "-".join(pair(client)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        seen.append(tuple(os.read(reading, 100).decode().split("-")))
        os.close(reading)
        os.close(writing)
    seen.append(pair(client))
    assert len(set(seen)) == 5
    assert len({trace_id for trace_id, _ in seen}) == 5
