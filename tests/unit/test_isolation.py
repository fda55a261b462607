"""How a bad span is found among good ones, and what that costs: numbers in place of spans, and a count of requests."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from cozeloop_lite.trace.isolation import isolate
from cozeloop_lite.trace.verdicts import AGAIN, BAD_SPAN, GIVE_UP, TAKEN


class Server:
    """Refuses whatever has one of ``bad`` in it; from the request number ``ends`` on there is no time left."""

    def __init__(self, *bad, ends=1000):
        self.bad = set(bad)
        self.ends = ends
        self.requests = 0
        self.accepted = []
        self.refused = []
        self.given_up = []

    def send(self, batch):
        assert batch
        self.requests += 1
        if self.requests >= self.ends:
            self.given_up += batch
            return GIVE_UP, batch
        if self.bad.intersection(batch):
            return BAD_SPAN, batch
        self.accepted += batch
        return TAKEN, batch

    def isolate(self, count):
        isolate(list(range(count)), self.send, self.refused.extend)
        assert sorted(self.accepted + self.refused + self.given_up) == list(range(count))
        return self


def steps(count):
    return math.ceil(math.log2(count)) if count > 1 else 0


@pytest.mark.parametrize("count", range(1, 101))
def test_one_bad_span_of_n_costs_log2_n_plus_1_requests_rounded_up_wherever_it_is(count):
    """Which is the least that is possible: see the docstring of :func:`isolate`."""
    servers = [Server(bad).isolate(count) for bad in range(count)]
    assert [server.refused for server in servers] == [[bad] for bad in range(count)]
    assert max(server.requests for server in servers) == (steps(count) + 1 if count > 1 else 0)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13, 32, 64, 100])
def test_two_bad_spans_cost_at_most_four_times_the_halvings_and_five_wherever_they_are(count):
    for pair in itertools.combinations(range(count), 2):
        server = Server(*pair).isolate(count)
        assert sorted(server.refused) == list(pair)
        assert server.requests <= 4 * steps(count) + 5


@pytest.mark.parametrize("bad", [3, 4, 5, 10, 20])
def test_several_bad_spans_cost_twice_the_halvings_each_and_no_good_one(bad):
    draw = random.Random(bad)
    for _ in range(300):
        server = Server(*draw.sample(range(100), bad)).isolate(100)
        assert set(server.refused) == server.bad
        assert server.requests <= 2 * bad * steps(100)


def test_when_all_are_bad_that_is_noticed_after_few_requests():
    for count in range(2, 101):
        server = Server(*range(count)).isolate(count)
        assert sorted(server.refused) == list(range(count))
        assert server.requests <= steps(count) + 2 + 8


@pytest.mark.parametrize("bad", [(0,), (99,), (42,), (3, 77)])
def test_when_the_time_is_up_at_any_moment_no_good_span_is_taken_for_the_bad_one(bad):
    for ends in range(1, 30):
        server = Server(*bad, ends=ends).isolate(100)
        assert set(server.refused) <= server.bad


def test_what_got_another_verdict_meanwhile_is_no_proof_against_the_rest():
    """The first half was not refused, but lost its time: the second is not to blame for that."""
    said = iter([(AGAIN, [0]), (TAKEN, [1])])
    refused = []
    isolate([0, 1], lambda batch: next(said), refused.extend)
    assert refused == []
