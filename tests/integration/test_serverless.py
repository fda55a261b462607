"""A function's process is frozen, thawed, copied and shut down: its spans arrive, and no invocation waits for long.

The process here is a real one. ``SIGSTOP`` freezes it; meanwhile the other side may close its connections.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cozeloop_lite.local import StandInServer
from cozeloop_lite.trace import ids
from support.recording import ACCEPT, Live, delay_until, hang, reset

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60

# A runtime as platforms have it: one event after the other, on the main thread. An event is {"call": an expression of
# Python, "seconds": the time limit, "pause": of how many seconds before it the wall clock tells}; what comes back is
# {"result": ..., "left": seconds}.
RUNTIME = """
import json, sys, time
import cozeloop_lite
from cozeloop_lite import start_span, stats
from cozeloop_lite.integration import aws_lambda
from cozeloop_lite.integration.aws_lambda import lambda_handler
from cozeloop_lite.trace import ids, tracer

class Context:
    function_name = "orders"
    aws_request_id = "r1"
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
    def get_remaining_time_in_millis(self):
        return int(1000 * (self.end - time.monotonic()))

kept = []
wall = 1e9
aws_lambda.time = lambda: wall

@lambda_handler
def handler(event, context):
    return eval(event["call"])

%s

for line in sys.stdin:
    event = json.loads(line)
    context = Context(event["seconds"])
    wall += event["pause"]
    result = handler(event, context)
    print(json.dumps({"result": result, "left": context.end - time.monotonic()}), flush=True)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Environment:
    """An execution environment: a process that is invoked, frozen and thawed."""

    def __init__(self, url=None, setup=""):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
        environment["PYTHONPATH"] = str(ROOT)
        if url is not None:
            environment.update(COZELOOP_API_BASE_URL=url, COZELOOP_WORKSPACE_ID="42", COZELOOP_API_TOKEN="pat")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNTIME % setup],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.watchdog = threading.Timer(WAIT_SECONDS, self.process.kill)
        self.watchdog.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def invoke(self, call="None", seconds=30.0, pause=0.0):
        self.process.stdin.write(json.dumps({"call": call, "seconds": seconds, "pause": pause}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.process.communicate()[1]
        return json.loads(answer)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self, number=None):
        """Wait for the end, after a signal or of itself: exit code and what was logged."""
        if number is not None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode, err


@pytest.fixture
def environment(server):
    with Environment(server.url) as environment:
        yield environment


# -- freezing and thawing -------------------------------------------------------------------------------------------


def test_when_the_function_has_returned_its_spans_have_arrived(server, environment):
    assert environment.invoke("start_span('inner').finish()")["result"] is None
    assert server.names() == ["inner", "orders"]
    environment.invoke()
    cold = [span["tags_bool"]["cold_start"] for span in server.spans() if span["span_name"] == "orders"]
    assert cold == [True, False]


@pytest.mark.parametrize("close", [Live.hang_up, Live.reset])
def test_a_connection_that_was_closed_while_frozen_costs_nothing(server, environment, close):
    body = b'{"code": 0, "msg": ""}'
    answer = Live("application/json", {"Content-Length": str(len(body))}, chunked=False).write(body)
    server.answers(answer)
    environment.invoke()
    environment.freeze()
    close(answer)
    server.wait_for(lambda server: server.open_connections == 0)
    environment.thaw()
    environment.invoke()
    assert [len(request.spans()) for request in server.requests] == [1, 1]
    assert server.connections == 2
    assert environment.end() == (0, "")


def test_a_connection_that_turns_out_to_be_dead_after_the_thaw_costs_a_second_attempt(server, environment):
    environment.invoke()
    environment.freeze()
    server.answers(reset())  # as a NAT gateway does, when it is asked about a connection that it has forgotten
    environment.thaw()
    environment.invoke()
    assert len(server.wait_for_spans(2)) == 2
    assert [request.outcome for request in server.requests] == ["answered 200", "connection reset", "answered 200"]


@pytest.mark.parametrize(("pause", "connections"), [(59, 1), (61, 2), (-3600, 2)])
def test_a_connection_is_not_trusted_after_a_long_pause(server, environment, pause, connections):
    environment.invoke()
    environment.invoke(pause=pause)
    assert len(server.spans()) == 2
    assert server.connections == connections


@pytest.mark.parametrize("answer", [ACCEPT, reset()], ids=["answered", "reset"])
def test_a_request_that_was_frozen_on_its_way_loses_nothing(server, environment, answer):
    environment.invoke()
    now = threading.Event()
    server.answers(delay_until(now, answer))
    environment.invoke("'second'", seconds=0.3)
    server.wait_for(lambda server: len(server.requests) == 2)
    environment.freeze()
    now.set()
    server.wait_for(lambda server: server.requests[1].outcome in ("answered 200", "connection reset"))
    environment.thaw()
    environment.invoke("'third'")
    server.wait_for_spans(3)
    assert [span.get("output", "") for span in server.spans()] == ["", "second", "third"]


def test_a_span_that_is_open_while_frozen_lasts_as_long_and_is_nobodys_parent(server, environment):
    began = time.monotonic()
    environment.invoke("kept.append(start_span('open'))")
    returned = time.monotonic()
    environment.freeze()
    environment.thaw()
    called = time.monotonic()
    environment.invoke("kept.pop().finish()")
    ended = time.monotonic()
    first, span, second = server.spans()
    assert (first["span_name"], span["span_name"], second["span_name"]) == ("orders", "open", "orders")
    assert called - returned <= span["duration_micros"] / 1e6 <= ended - began
    assert span["parent_id"] == first["span_id"]
    assert second["parent_id"] == "0"
    assert second["trace_id"] != first["trace_id"]


# -- a platform that hangs ------------------------------------------------------------------------------------------


def test_a_server_that_hangs_does_not_hold_the_function_up_and_gets_the_spans_later(server):
    with Environment(server.url, "aws_lambda.MARGIN_SECONDS = 29.0") as environment:  # the machine may be busy
        environment.invoke()  # which loads what a request needs
        server.wait_for_spans(1)
        server.default = hang()
        assert environment.invoke(seconds=30)["left"] > 0
        lefts = [environment.invoke(seconds=60)["left"] for _ in range(3)]
        assert all(left > 40 for left in lefts)  # 2 s at most, and then 0.2 s
        assert len(server.spans()) == 1
        server.default = ACCEPT
        server.wait_for_spans(5, WAIT_SECONDS)  # the request that hangs is given up after 3 s
        assert environment.end()[0] == 0
    assert server.names() == ["orders"] * 5


# -- copies of one process ------------------------------------------------------------------------------------------


def test_processes_restored_from_one_image_report_different_ids(server):
    now = time.time_ns()
    image = json.dumps([ids.IdSource()._random.getstate(), now])
    setup = """
state, now = json.loads(%r)
def restore():
    ids.source._random.setstate(tuple(state))
    ids.source.fresh_ns = now
tracer.time_ns = lambda: now + 1_000_000  # the clock has not been set since
restore()
bare = start_span("not decorated")
bare.discard()
restore()
""" % image
    with Environment(server.url, setup) as one, Environment(server.url, setup) as other:
        bare = [environment.invoke("bare.trace_id")["result"] for environment in (one, other)]
        for environment in (one, other):
            environment.invoke("start_span('inner').finish()")
    assert bare[0] == bare[1]  # or the test proves nothing
    spans = server.spans()
    assert len({span["trace_id"] for span in spans} | {bare[0]}) == 5
    assert len({span["span_id"] for span in spans}) == len(spans) == 6


# -- the end of an environment --------------------------------------------------------------------------------------


def test_the_signal_that_shuts_an_environment_down_sends_what_is_left(server, environment):
    environment.invoke("kept.append(start_span('open'))")
    code, err = environment.end(signal.SIGTERM)
    assert code == -signal.SIGTERM
    assert server.names() == ["orders", "open"]
    assert server.spans()[1]["tags_bool"] == {"unfinished": True}
    assert "unfinished" in err


def test_without_settings_the_function_works_and_says_so_once():
    with Environment() as environment:
        for number in range(3):
            assert environment.invoke("%d + 1" % number)["result"] == number + 1
        code, err = environment.end()
    assert code == 0
    assert len(err.splitlines()) == 1
    assert "COZELOOP_WORKSPACE_ID" in err


# -- the example ----------------------------------------------------------------------------------------------------


def run_example(**settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return subprocess.run(
        [sys.executable, "-m", "examples.serverless.lambda_handler"],
        cwd=str(ROOT),
        env={**plain, "PYTHONIOENCODING": "utf-8", **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
    )


def test_the_example_prints_the_trace_that_arrived():
    with StandInServer(token="right", workspace_id="7") as server:
        result = run_example(
            COZELOOP_API_BASE_URL=server.url, COZELOOP_WORKSPACE_ID="7", COZELOOP_API_TOKEN="right"
        )
        assert (result.returncode, result.stderr) == (0, "")
        spans = sorted(server.store.spans(), key=lambda span: span["started_at_micros"])
        assert server.store.warnings() == []
    assert re.findall(r"^trace ([0-9a-f]{32})$", result.stdout, flags=re.M) == [spans[0]["trace_id"]]
    parents = {span["span_id"]: span["span_name"] for span in spans}
    assert [(span["span_name"], parents.get(span["parent_id"])) for span in spans] == [
        ("client", None),
        ("orders", "client"),
        ("find", "orders"),
    ]
    assert spans[1]["tags_bool"] == {"cold_start": True}
    assert spans[2]["tags_string"] == {"user_id": "uid-123"}


def test_the_example_works_without_settings():
    result = run_example()
    assert result.returncode == 0
    assert "COZELOOP_WORKSPACE_ID" in result.stderr
    assert "statusCode" in result.stdout
