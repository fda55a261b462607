"""What a span costs, held against a plain object that does what any span must: whoever doubles it is told here.

The least of many short bursts, of both in turns, in processor time of this thread: other programs on the machine can
only make a burst longer, and they do so to both. The bounds lie between what was measured, on CPython 3.7 to 3.13, and
the double of it.
"""

from __future__ import annotations

import sys
import time

import pytest

from benchmarks.cases.clock import burst_ns
from benchmarks.subjects import Bare
from benchmarks.work import ANSWER, INPUT_TOKENS, MESSAGES, OUTPUT_TOKENS, QUESTION, TAGS
from cozeloop_lite import new_client
from cozeloop_lite.trace.encoding import Limits, encode
from cozeloop_lite.trace.record import record_of

BURST = 45  # spans: done twice they are no full batch, so that nothing is sent meanwhile
BURSTS = 60
ATTEMPTS = 5

pytestmark = [
    pytest.mark.skipif(time.get_clock_info("thread_time").resolution > 1e-6, reason="the clock is too coarse"),
    pytest.mark.skipif(sys.gettrace() is not None, reason="what is traced is slower, and not evenly"),
]


class Nowhere:
    """An exporter that lets the spans go."""

    def export_spans(self, spans):
        pass


@pytest.fixture
def client():
    with new_client(workspace_id="7", api_token="t", exporter=Nowhere()) as client:
        yield client


def typical(client, input):
    span = client.start_span("answer", "model")
    span.set_input(input)
    span.set_output(ANSWER)
    span.set_tags(TAGS)
    span.set_input_tokens(INPUT_TOKENS)
    span.set_output_tokens(OUTPUT_TOKENS)
    span.finish()
    return span


def ratio(step, flush):
    """How many times as long as a bare object ``step`` takes."""
    bare = Bare("bare", "")
    ours, theirs = [], []
    for _ in range(BURSTS):
        step()  # wakes the sender, which then waits for a full batch
        ours.append(burst_ns(step, BURST - 1))
        flush()
        theirs.append(burst_ns(bare.span, BURST))
        bare.flush()
    return min(ours) / min(theirs)


def steps(client):
    """What is measured, and how many times as long as the bare object it may take."""
    text, messages = record_of(typical(client, QUESTION)), record_of(typical(client, MESSAGES))
    limits = Limits("7")
    return {
        "start and finish": (lambda: client.start_span("step", "custom").finish(), 2.3),  # measured: 1.3 to 1.9
        "a text": (lambda: typical(client, QUESTION), 4.0),  # 2.4 to 3.2
        "messages": (lambda: typical(client, MESSAGES), 5.4),  # 3.6 to 4.3
        "encode a text": (lambda: encode(text, limits, {}), 3.4),  # 1.9 to 2.7
        "encode messages": (lambda: encode(messages, limits, {}), 4.9),  # 2.7 to 4.1
    }


NAMES = ["start and finish", "a text", "messages", "encode a text", "encode messages"]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_costs_what_it_did(client, name):
    step, at_most = steps(client)[name]
    assert any(ratio(step, client.flush) <= at_most for _ in range(ATTEMPTS))


@pytest.mark.parametrize("name", NAMES)
def test_and_a_doubling_would_be_noticed(client, name):
    step, at_most = steps(client)[name]

    def twice():
        step()
        step()

    assert any(ratio(twice, client.flush) > at_most for _ in range(ATTEMPTS))
