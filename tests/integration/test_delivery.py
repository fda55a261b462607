"""From ``finish()`` to the server, over real connections: what arrives, what is lost and why, who waits for whom."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from cozeloop_lite import QueueConf, new_client, observe
from cozeloop_lite.local import StandInServer
from cozeloop_lite.trace import ids, queue, verdicts
from cozeloop_lite.trace.machine import Machine
from cozeloop_lite.trace.record import NAME
from cozeloop_lite.trace.spool import Record, Spool, destination
from support.calling import wait_for
from support.recording import (
    RecordingServer,
    close_early,
    dead_port,
    delay_until,
    drip,
    hang,
    json_answer,
    reset,
    text_answer,
)

MIB = 1 << 20
SOON = 60  # seconds that no test waits unless it fails
BAD_PARAM = json_answer({"code": 600904002, "msg": "invalid param"})


@pytest.fixture
def connect():
    """``connect(server)``: a client of it."""
    made = []

    def connect(server, **settings):
        settings.setdefault("workspace_id", "42")
        settings.setdefault("api_token", "pat_secret")
        settings.setdefault("timeout", 60)  # what is given up on a busy machine is sent again, and arrives twice
        client = new_client(api_base_url=getattr(server, "url", server), **settings)
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close(0.1)


def finish(client, count=1, name="span"):
    for number in range(count):
        client.start_span("%s %d" % (name, number), "custom", start_new_trace=True).finish()


def settled(client):
    """Flush, whatever comes of it: what is lost before it begins, as a full batch may be, does not make it False."""
    client.flush(SOON)
    stats = client.stats()
    assert stats["queued"] == 0
    return stats["delivered"], stats["dropped"]


def refusing(*names):
    """Refuse a batch that has a span with one of these names in it."""

    def answer(request):
        bad = {span["span_name"] for span in request.spans()} & set(names)
        return BAD_PARAM if bad else json_answer({"code": 0, "msg": ""})

    return answer


def in_threads(count, function):
    threads = [threading.Thread(target=function, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5 * SOON)
    assert not any(thread.is_alive() for thread in threads)


# -- everything arrives


def test_20_threads_with_1000_nested_spans_each_arrive_complete(connect):
    with StandInServer() as server:
        client = connect(server)

        def work(number):
            for trace in range(100):
                with client.start_span("root", "custom") as root:
                    root.set_baggage({"who": "thread %d trace %d" % (number, trace)})
                    for step in range(3):
                        with client.start_span("step %d" % step, "tool"):
                            for leaf in range(2):
                                client.start_span("leaf %d" % leaf, "model").finish()

        in_threads(20, work)
        assert client.flush(5 * SOON)
        spans = server.store.spans()
        stats = server.store.stats()
        assert (len(spans), stats["duplicates"], server.store.warnings()) == (20_000, 0, [])
        by_id = {span["span_id"]: span for span in spans}
        assert len(by_id) == 20_000
        assert len({span["trace_id"] for span in spans}) == 2000
        for span in spans:
            if span["span_name"] == "root":
                assert span["parent_id"] == "0"
                continue
            parent = by_id[span["parent_id"]]
            assert parent["trace_id"] == span["trace_id"]
            assert parent["span_name"].split()[0] == ("root" if span["span_name"].startswith("step") else "step")
            assert span["tags_string"]["who"] == parent["tags_string"]["who"]
        assert client.stats()["delivered"] == 20_000


@pytest.mark.parametrize("threads", [1, 8])
def test_a_burst_of_20000_small_spans_fits_the_default_queue(server, connect, threads):
    go = threading.Event()
    server.answers(delay_until(go, json_answer({"code": 0})))  # nothing leaves while the burst comes in
    client = connect(server)
    in_threads(threads, lambda number: finish(client, 20_000 // threads))
    assert client.stats()["dropped"] == {}
    go.set()
    assert client.flush(5 * SOON)
    spans = server.spans()
    assert len({span["span_id"] for span in spans}) == len(spans) == 20_000
    assert len(server.requests) <= 202  # the first and the last may be smaller
    assert max(len(request.spans()) for request in server.requests) == 100
    assert server.connections == 1


def test_60_spans_of_1_mib_leave_in_requests_of_at_most_4_mib(server, connect):
    client = connect(server, queue_max_bytes=200 * MIB)
    for _ in range(60):
        with client.start_span("large", "custom") as span:
            span.set_input("x" * MIB)
    assert client.flush(5 * SOON)
    assert len(server.spans()) == 60
    assert max(len(request.body) for request in server.requests) <= 4 * MIB
    assert all(len(span["input"]) == MIB for span in server.spans())


def test_spans_are_delivered_without_a_flush(server, connect):
    finish(connect(server))
    server.wait_for_spans(1, SOON)


def test_the_requests_are_those_of_the_contract(server, connect):
    client = connect(server)
    finish(client)
    assert client.flush(SOON)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/loop/traces/ingest")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer pat_secret"
    assert request.headers["Content-Encoding"] is None
    assert list(request.json()) == ["spans"]


# -- flush


def test_flush_is_true_when_all_is_delivered_and_when_there_is_nothing(server, connect):
    client = connect(server)
    assert client.flush(SOON)
    finish(client, 3)
    assert client.flush(SOON)
    assert len(server.spans()) == 3


def test_flush_is_false_when_spans_were_refused(server, connect):
    server.default = json_answer({"code": 600900101, "msg": "no access permission"})
    client = connect(server)
    finish(client, 3)
    assert not client.flush(SOON)
    assert client.stats()["dropped"] == {"refused": 3}
    server.default = json_answer({"code": 0})
    finish(client)
    assert client.flush(SOON)


@pytest.mark.parametrize(
    "answer",
    [hang(), drip({"code": 0, "msg": "x" * 1000}, 5), drip({"code": 0}, 5, slow="all")],
    ids=["hangs", "drips the body", "drips all"],
)
def test_flush_and_close_end_in_time_with_a_server_that_does_not(server, connect, answer):
    server.default = answer
    client = connect(server, timeout=2)
    finish(client, 3)
    began = time.monotonic()
    assert not client.flush(0.2)
    assert time.monotonic() - began < 10
    server.wait_for(lambda server: server.requests)
    began = time.monotonic()
    assert not client.close(0.2)
    assert time.monotonic() - began < 10
    thread = client.tracer._queue._thread
    thread.join(SOON)  # it is over with the request it was in
    assert not thread.is_alive()
    assert client.stats()["dropped"] == {"unanswered": 3}


def test_flush_from_many_threads_at_once(server, connect):
    client = connect(server)
    results = []

    def work(number):
        for _ in range(20):
            finish(client)
            results.append(client.flush(SOON))

    in_threads(16, work)
    assert results == [True] * 320
    assert len(server.spans()) == 320


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_flush_in_a_signal_handler_while_the_main_thread_flushes(server, connect):
    go = threading.Event()
    server.answers(delay_until(go, json_answer({"code": 0})))
    client = connect(server)
    results = []

    def handler(number, frame):
        finish(client, name="handler")
        go.set()
        results.append(client.flush(SOON))

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        finish(client)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert client.flush(SOON)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert results == [True]
    assert len(server.spans()) == 2


def test_a_finish_event_callback_may_flush_close_and_finish_spans(server, connect):
    results = []

    def processor(event):
        if event.event_type == "exporter.span_flush.rate" and not results:
            finish(client, name="callback")
            results.append(client.flush(SOON))
            results.append(client.close(SOON))

    client = connect(server, trace_finish_event_processor=processor)
    finish(client)
    client.flush(SOON)
    wait_for(lambda: not client.tracer._queue._thread.is_alive())
    assert results == [False, False]  # it cannot wait for itself ...
    assert len(server.spans()) == 2  # ... and yet everything arrives


# -- close


def test_close_delivers_ends_the_thread_and_the_connections_and_can_be_repeated(server, connect, monkeypatch):
    monkeypatch.setattr(queue, "MARGIN_SECONDS", SOON)  # which it waits for the end of the thread
    before = set(threading.enumerate())
    client = connect(server)
    finish(client, 250)
    wait_for(lambda: not client.tracer._queue._launching)  # or it may start another, which ends at once
    assert client.close()
    assert {thread for thread in threading.enumerate() if thread.name == "cozeloop_lite"} <= before
    server.wait_for(lambda server: server.open_connections == 0)
    assert len(server.spans()) == 250
    assert client.close()
    assert client.flush()


def test_a_closed_client_records_nothing_and_counts_what_was_still_open(server, connect):
    client = connect(server)
    still_open = client.start_span("open", "custom")
    client.close()
    still_open.finish()
    with client.start_span("after", "custom") as span:
        span.set_input("x")
    assert client.stats()["dropped"] == {"closed": 1}
    assert server.requests == []


def test_close_from_many_threads_at_once(server, connect):
    client = connect(server)
    finish(client, 100)
    in_threads(8, lambda number: client.close(SOON))
    assert len(server.spans()) == 100


# -- what passes


@pytest.mark.parametrize(
    "failure",
    [
        json_answer({}, status=503),
        text_answer("<html>bad gateway</html>", status=502, content_type="text/html"),
        text_answer("", status=408),
        json_answer({"code": 1}, status=429),
        json_answer({"code": 600904006, "msg": "mq"}),
        json_answer({"code": 600904004, "msg": "internal"}),
        reset(),
        close_early(),
        close_early(sent=0),
    ],
    ids=["503", "502", "408", "429", "600904006", "600904004", "reset", "half an answer", "no answer"],
)
def test_an_outage_loses_nothing_and_nothing_accepted_is_sent_twice(server, connect, impatient, failure):
    server.answers(*[failure] * 12)
    client = connect(server)
    finish(client, 250)
    assert client.flush(SOON)
    spans = server.spans()
    assert len({span["span_id"] for span in spans}) == len(spans) == 250
    assert client.stats() == {**client.stats(), "finished": 250, "delivered": 250, "queued": 0, "dropped": {}}


def test_a_timeout_is_tried_again(server, connect, impatient):
    server.answers(hang(), drip({"code": 0}, 2, slow="headers"))
    client = connect(server, timeout=0.2)
    finish(client, 3)
    assert client.flush(SOON)
    assert client.stats()["delivered"] == 3


def test_a_server_that_comes_up_later_gets_everything(connect, impatient):
    client = connect("http://127.0.0.1:%d" % dead_port())
    finish(client, 150)
    assert not client.flush(0.2)
    with RecordingServer() as server:
        client.api._base = server.url  # as if it were at the same address
        assert client.flush(SOON)
        assert len(server.spans()) == 150


def test_a_server_that_restarts_costs_nothing(connect, impatient):
    client = None
    for _ in range(3):
        with RecordingServer() as server:
            client = client or connect(server)
            client.api._base = server.url
            finish(client, 10)
            assert client.flush(SOON)
            assert len(server.spans()) == 10


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_even_by_a_flush(server, connect, status):
    server.answers(json_answer({}, status=status, headers={"Retry-After": "1"}))
    client = connect(server)
    finish(client)
    for _ in range(3):
        client.flush(0.01)
    assert client.flush(SOON)
    first, second = server.requests
    assert second.received_at - first.received_at >= 0.95


def test_a_flush_ends_the_pause_between_two_attempts(server, connect, monkeypatch):
    monkeypatch.setattr(verdicts, "FIRST_PAUSE", 3600)
    monkeypatch.setattr(verdicts, "LONGEST_PAUSE", 3600)
    monkeypatch.setattr(ids.source, "fraction", lambda: 1.0)
    server.answers(json_answer({}, status=503))
    client = connect(server)
    finish(client)
    server.wait_for(lambda server: server.requests and server.requests[0].outcome == "answered 503")
    assert client.flush(SOON)


def test_602000702_is_tried_three_times_then_dropped(server, connect, impatient):
    server.default = json_answer({"code": 602000702, "msg": "Service Internal Error"})
    client = connect(server)
    finish(client, 3)
    assert not client.flush(SOON)
    assert len(server.requests) == 3
    assert client.stats()["dropped"] == {"refused": 3}


def test_an_empty_object_is_a_success_and_not_sent_twice(server, connect):
    server.default = json_answer({})
    client = connect(server)
    finish(client, 3)
    assert client.flush(SOON)
    assert len(server.requests) == 1
    assert client.stats()["delivered"] == 3


def test_a_web_page_in_place_of_an_answer_is_tried_three_times_then_counted(server, connect, impatient, logged):
    server.default = text_answer("<html>log in</html>", content_type="text/html")
    client = connect(server)
    finish(client, 3)
    assert not client.flush(SOON)
    assert len(server.requests) == 3
    assert client.stats()["dropped"] == {"refused": 3}
    assert any("COZELOOP_API_BASE_URL" in message for message in logged())


# -- what does not pass


@pytest.mark.parametrize(
    "failure",
    [json_answer({"code": 602000101, "msg": "no access permission"}), text_answer("", status=401)],
    ids=["602000101", "401"],
)
def test_an_unknown_token_costs_one_request_a_batch_and_one_line_with_a_hint(server, connect, logged, failure):
    server.default = failure
    client = connect(server)
    finish(client, 100)
    assert settled(client) == (0, {"refused": 100})
    assert len(server.requests) == 1
    finish(client, 100)
    assert settled(client) == (0, {"refused": 200})
    assert len(server.requests) == 2
    (message,) = logged()
    assert "COZELOOP_API_TOKEN" in message
    assert "pat_secret" not in message


@pytest.mark.parametrize(("size", "extra"), [(100, 8), (64, 7)])
def test_of_a_refused_batch_only_the_bad_span_is_lost(server, connect, size, extra):
    go = threading.Event()
    server.answers(delay_until(go, json_answer({"code": 0})))
    client = connect(server, trace_queue_conf=QueueConf(span_max_export_batch_length=size))
    finish(client, 1, "first")
    assert not client.flush(0.05)
    server.wait_for(lambda server: server.requests)
    finish(client, size)
    server.default = refusing("span %d" % (size // 3))
    go.set()
    assert settled(client) == (size, {"refused": 1})
    names = server.names()
    assert len(names) == len(set(names)) == size
    assert len(server.requests) <= 1 + 1 + extra


def test_several_bad_spans_are_lost_and_none_besides(server, connect):
    bad = {"span %d" % number for number in (0, 1, 2, 57, 99)}
    server.default = refusing(*bad)
    client = connect(server)
    finish(client, 100)
    assert settled(client) == (95, {"refused": 5})
    names = server.names()
    assert sorted(names) == sorted({"span %d" % number for number in range(100)} - bad)


@pytest.mark.parametrize("page_bytes", [24, 9 << 20], ids=["a line", "more than any answer is read of"])
def test_a_batch_that_is_too_large_for_the_server_is_split(server, connect, page_bytes):
    page = text_answer("Request Entity Too Large".ljust(page_bytes, "x"), status=413)

    def answer(request):
        return page if len(request.body) > 20_000 else json_answer({"code": 0})

    server.default = answer
    client = connect(server)
    finish(client, 100)
    assert client.flush(SOON)
    assert len(server.spans()) == 100


def test_it_is_split_even_when_the_page_of_the_refusal_breaks_off(server, connect):
    broken = close_early({"msg": "Request Entity Too Large"}, status=413)
    server.default = lambda request: broken if len(request.body) > 20_000 else json_answer({"code": 0})
    client = connect(server)
    finish(client, 100)
    assert client.flush(SOON)
    assert len(server.spans()) == 100


def test_a_span_that_cannot_be_encoded_costs_itself(server, connect, logged):
    client = connect(server)
    encode = client.tracer._exporter.encoder()

    def choosy(span, *rest):
        if span[NAME] == "span 3":
            raise RuntimeError("no JSON for this one")
        return encode(span, *rest)

    client.tracer._exporter._encode = choosy
    finish(client, 10)
    assert not client.flush(SOON)
    assert len(server.spans()) == 9
    assert client.stats()["dropped"] == {"unencodable": 1}


def test_old_spans_are_counted_and_not_sent(server, connect, monkeypatch):
    client = connect(server)
    finish(client, 5)
    now = time.time()
    monkeypatch.setattr(Machine, "time", staticmethod(lambda: now + 23 * 3600 + 5))
    assert not client.flush(SOON)
    assert client.stats()["dropped"] == {"too_old": 5}
    assert server.requests == []


# -- the caller never waits


def test_10000_spans_are_finished_while_the_server_hangs(server, connect):
    go = threading.Event()
    server.default = delay_until(go, json_answer({"code": 0}))
    client = connect(server, timeout=60)
    finish(client, 100)
    server.wait_for(lambda server: server.requests)
    finish(client, 10_000)
    assert server.spans() == []  # still hanging: nobody waited for it
    assert client.stats()["queued"] == 10_100
    go.set()
    assert client.flush(SOON)
    assert len(server.spans()) == 10_100


def test_a_full_queue_counts_what_it_drops_by_number_and_by_bytes(server, connect, logged):
    go = threading.Event()
    server.default = delay_until(go, json_answer({"code": 0}))
    few = connect(server, trace_queue_conf=QueueConf(span_queue_length=50), timeout=60)
    finish(few, 80)
    small = connect(server, queue_max_bytes=50_000, timeout=60)
    for _ in range(10):
        with small.start_span("large", "custom") as span:
            span.set_input("x" * 10_000)
    assert few.stats()["dropped"] == {"queue_full": 30}
    assert small.stats()["dropped"] == {"queue_full": 6}
    go.set()
    assert few.flush(SOON)
    assert small.flush(SOON)
    assert len(server.spans()) == 54
    assert len([message for message in logged() if "queue is full" in message]) == 1


def test_the_account_balances_under_load(server, connect, impatient):
    count = [0]

    def answer(request):
        count[0] += 1
        return json_answer({"code": 0}) if count[0] % 3 else json_answer({}, status=503)

    server.default = answer
    client = connect(server, trace_queue_conf=QueueConf(span_queue_length=500))
    samples = []
    stop = threading.Event()

    def sample():
        while not stop.is_set():
            samples.append(client.stats())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    in_threads(4, lambda number: finish(client, 1500))
    client.flush(SOON)
    stop.set()
    sampler.join(SOON)
    samples.append(client.stats())
    finished = [stats["finished"] for stats in samples]
    assert finished == sorted(finished)
    assert all(s["finished"] == s["delivered"] + s["queued"] + sum(s["dropped"].values()) for s in samples)
    assert finished[-1] == 6000
    assert samples[-1]["delivered"] == len(server.spans())


# -- the program's own parts


@pytest.mark.parametrize("problem", [ValueError("a fault"), SystemExit(3)], ids=repr)
def test_a_callback_that_raises_costs_one_line_and_not_the_thread(server, connect, logged, problem):
    def processor(event):
        raise problem

    client = connect(server, trace_finish_event_processor=processor)
    for _ in range(3):
        finish(client)
        assert client.flush(SOON)
    assert len(server.spans()) == 3
    assert len(logged()) == 1


@pytest.mark.parametrize("problem", [ValueError("the vault is closed"), SystemExit(3)], ids=repr)
def test_a_token_function_that_fails_delays_and_loses_nothing(server, connect, impatient, problem):
    calls = []

    def token():
        calls.append(1)
        if len(calls) < 4:
            raise problem
        return "pat_late"

    client = connect(server, api_token=token)
    finish(client, 3)
    assert client.flush(SOON)
    assert server.requests[0].headers["Authorization"] == "Bearer pat_late"


def test_an_own_exporter_that_raises_is_tried_again(connect, impatient):
    class Sink:
        def __init__(self):
            self.calls = 0
            self.spans = []

        def export_spans(self, spans):
            self.calls += 1
            if self.calls < 4:
                raise OSError("disk full")
            self.spans += spans

    sink = Sink()
    client = connect("http://127.0.0.1:1", exporter=sink)
    finish(client, 3)
    assert client.flush(SOON)
    assert sink.calls == 4
    assert [span["span_name"] for span in sink.spans] == ["span 0", "span 1", "span 2"]


@pytest.mark.parametrize("part", ["api_token", "mask", "trace_finish_event_processor", "export_spans", "export_files"])
def test_an_observed_function_does_not_feed_the_thread_that_calls_it(server, connect, part):
    calls = []

    @observe
    def work(given=None):
        calls.append(given)
        return "text"

    class Sink:
        def export_spans(self, spans):
            """Take them."""

        def export_files(self, files):
            """Take them."""

    sink = Sink()
    if hasattr(sink, part):
        setattr(sink, part, work)
        client = connect(server, exporter=sink, ultra_large_report=True)
    else:
        client = connect(server, **{part: work}, ultra_large_report=True)
    with client.start_span("with a file") as span:
        span.set_output("x" * (MIB + 1))
    for _ in range(3):
        assert client.flush(SOON)
    stats = client.stats()
    assert stats["delivered"] == 1
    assert calls
    assert stats["started"] == 1


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
def test_nor_with_what_earlier_processes_left(server, connect, tmp_path):
    spool = Spool(str(tmp_path), destination(server.url, "42"), MIB)
    spool.write([Record("", b'{"span_name":"left"}', int(time.time() * 1e6))])
    spool.close()
    replayed = threading.Event()

    @observe
    def token():
        return "pat_secret"

    def answer(request):
        if b'"left"' in request.body:
            replayed.set()
        return json_answer({"code": 0})

    server.default = answer
    client = connect(server, api_token=token, spool_dir=str(tmp_path))
    finish(client)
    assert replayed.wait(SOON)
    assert client.flush(SOON)
    assert (client.stats()["delivered"], client.stats()["started"]) == (1, 1)


def test_a_finish_event_tells_of_each_request_and_of_what_the_queue_dropped(server, connect):
    events = []
    go = threading.Event()
    server.answers(delay_until(go, json_answer({"code": 0})))
    conf = QueueConf(span_queue_length=2)
    processor = lambda event: events.append(event)  # noqa: E731 - before CPython 3.8 events.append has no hash
    client = connect(server, trace_finish_event_processor=processor, trace_queue_conf=conf, timeout=60)
    finish(client, 1)
    assert not client.flush(0.05)
    server.wait_for(lambda server: server.requests)
    finish(client, 3)
    go.set()
    assert client.flush(SOON)
    told = [(event.event_type, event.is_event_fail, event.item_num) for event in events]
    assert told == [
        ("queue_manager.span_entry.rate", False, 1),
        ("exporter.span_flush.rate", False, 1),
        ("queue_manager.span_entry.rate", True, 2),
        ("queue_manager.span_entry.rate", False, 1),
        ("exporter.span_flush.rate", False, 1),
    ]
