"""A span: its parent, its setters, its one end; and that nothing given to it ever raises into the program."""

from __future__ import annotations

import contextlib
import copy
import datetime
import json
import os
import pickle
import threading

import pytest
from test_values import HOSTILE

import cozeloop_lite
from cozeloop_lite import SpanContext, new_client
from cozeloop_lite.propagation import NEW_TRACE
from cozeloop_lite.trace.span import NOOP

UTC = datetime.timezone.utc


def ids(span):
    return span.trace_id, span.span_id


# -- who is whose child ---------------------------------------------------------------------------------------------


def test_a_span_is_the_child_of_the_current_one(client, sent):
    with client.start_span("root") as root, client.start_span("child") as child, client.start_span("grandchild"):
        pass
    assert (sent("root")["parent_id"], sent("child")["parent_id"]) == ("0", root.span_id)
    assert sent("grandchild")["parent_id"] == child.span_id
    assert {span["trace_id"] for span in sent()} == {root.trace_id}


def test_a_new_trace_can_be_started_inside_another(client, sent):
    with client.start_span("root") as root:
        root.set_baggage({"a": "1"})
        with client.start_span("other", start_new_trace=True) as other, client.start_span("child"):
            pass
        with client.start_span("second"):
            pass
    assert sent("other")["parent_id"] == "0"
    assert sent("child")["trace_id"] == other.trace_id != root.trace_id
    assert sent("second")["parent_id"] == root.span_id
    assert other.baggage == {}


@pytest.mark.parametrize("start_new_trace", [False, True])
def test_child_of_is_stronger_than_the_current_span_and_than_start_new_trace(client, sent, start_new_trace):
    with client.start_span("one", start_new_trace=True) as one:
        one.set_baggage({"a": "1"})
    with client.start_span("two"):
        child = client.start_span("child", child_of=one, start_new_trace=start_new_trace)
        child.finish()
    assert (sent("child")["trace_id"], sent("child")["parent_id"]) == ids(one)
    assert child.baggage == {"a": "1"}


def test_an_empty_child_of_falls_back_to_the_current_span_and_adds_its_baggage(client, sent):
    nothing = client.get_span_from_header({"X-Cozeloop-Tracestate": "b=2"})
    with client.start_span("root") as root:
        root.set_baggage({"a": "1"})
        with client.start_span("child", child_of=nothing) as child:
            pass
        with client.start_span("noop", child_of=NOOP):
            pass
    assert sent("child")["parent_id"] == sent("noop")["parent_id"] == root.span_id
    assert child.baggage == {"a": "1", "b": "2"}


def test_a_malformed_child_of_starts_a_new_trace_and_keeps_the_baggage(client, sent):
    malformed = client.get_span_from_header({"X-Cozeloop-Traceparent": "x", "X-Cozeloop-Tracestate": "b=2"})
    with client.start_span("root") as root:
        for name, context in (("a", malformed), ("b", copy.deepcopy(malformed)), ("c", SpanContext(NEW_TRACE, 0, {}))):
            with client.start_span(name, child_of=context):
                pass
    for name in "abc":
        assert sent(name)["parent_id"] == "0"
        assert sent(name)["trace_id"] != root.trace_id
    assert sent("a")["tags_string"] == sent("b")["tags_string"] == {"b": "2"}


class Foreign:
    trace_id, span_id = "0123456789abcdef" * 2, "fedcba9876543210"

    def __init__(self, baggage):
        self.baggage = baggage


@pytest.mark.parametrize(
    "baggage", [{"a": "1"}, lambda: {"a": "1"}, {"a": "1", "bad": 5, "": "x"}, [("a", "1")]], ids=type
)
def test_a_span_of_another_library_can_be_a_parent(client, sent, baggage):
    child = client.start_span("child", child_of=Foreign(baggage))
    child.finish()
    assert (sent("child")["trace_id"], sent("child")["parent_id"]) == (Foreign.trace_id, Foreign.span_id)
    assert child.baggage == {"a": "1"}


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_a_hostile_child_of_costs_the_parent_only(client, sent, index):
    client.start_span("child", child_of=HOSTILE[index]).finish()
    assert sent("child")["parent_id"] == "0"


# -- baggage --------------------------------------------------------------------------------------------------------


def test_baggage_becomes_tags_of_all_descendants(client, sent):
    with client.start_span("root") as root:
        before = client.start_span("before")
        before.finish()
        root.set_user_id_baggage("u")
        root.set_message_id_baggage("m")
        root.set_thread_id_baggage("t")
        root.set_baggage({"k": "v"})
        with client.start_span("child") as child:
            child.set_baggage({"k": "w", "own": "x"})
            client.start_span("grandchild").finish()
    common = {"user_id": "u", "message_id": "m", "thread_id": "t"}
    assert sent("before")["tags_string"] == {}
    assert sent("root")["tags_string"] == {**common, "k": "v"}
    assert sent("child")["tags_string"] == sent("grandchild")["tags_string"] == {**common, "k": "w", "own": "x"}
    assert root.baggage == {**common, "k": "v"}


def test_a_tag_of_ones_own_is_stronger_than_baggage_and_not_inherited(client, sent):
    with client.start_span("root") as root:
        root.set_baggage({"k": "v"})
        with client.start_span("child") as child:
            child.set_tags({"k": 5})
            client.start_span("grandchild").finish()
    assert sent("child")["tags_long"] == {"k": 5}
    assert sent("grandchild")["tags_string"] == {"k": "v"}


def test_one_bad_item_of_baggage_costs_itself(client, sent, logged):
    with client.start_span("s") as span:
        span.set_baggage({"a": "1", "b": 2, "c=": "x", "": "y", "d": "", "e": "x" * 2000, 5: "f", "g": "2"})
    assert sent("s")["tags_string"] == span.baggage == {"a": "1", "d": "", "g": "2"}
    assert logged()


def test_the_baggage_that_is_shown_is_a_copy(client):
    span = client.start_span("s")
    span.baggage["a"] = "1"
    assert span.baggage == {}


# -- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        datetime.datetime(2024, 3, 4, 5, 6, 7, 123457, tzinfo=UTC),
        datetime.datetime(2024, 3, 4, 7, 6, 7, 123457, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        datetime.datetime(2024, 3, 4, 5, 6, 7, 123457, tzinfo=UTC).astimezone().replace(tzinfo=None),
        1709528767123457,
    ],
    ids=["utc", "zone", "local", "micros"],
)
def test_a_start_time_is_exact(client, moment):
    span = client.start_span("s", start_time=moment)
    assert span._start_ns == 1709528767123457000
    assert span.start_time.astimezone(UTC) == datetime.datetime(2024, 3, 4, 5, 6, 7, 123457, tzinfo=UTC)


def test_a_span_with_a_past_start_lasts_until_now(client, sent):
    client.start_span("s", start_time=datetime.datetime.now() - datetime.timedelta(seconds=100)).finish()
    assert 100_000_000 <= sent("s")["duration_micros"] < 110_000_000


@pytest.mark.parametrize("moment", ["2024", 1.5, True, object(), datetime.date(2024, 1, 1), datetime.datetime.min])
def test_a_start_time_that_is_none_is_now(client, sent, logged, moment):
    client.start_span("s", start_time=moment).finish()
    assert sent("s")["duration_micros"] < 10_000_000
    assert len(logged()) == 1


def test_the_wall_clock_may_jump_during_a_span(client, sent, monkeypatch):
    import time

    span = client.start_span("s")
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    span.finish()
    monkeypatch.undo()
    assert 0 <= sent("s")["duration_micros"] < 10_000_000


def test_a_span_that_records_nothing_has_no_start():
    assert cozeloop_lite.get_span_from_context().start_time == 0


# -- the end --------------------------------------------------------------------------------------------------------


def test_only_the_first_finish_counts(client, sent):
    span = client.start_span("s")
    for _ in range(3):
        span.finish()
    assert len(sent()) == 1


def test_a_span_that_many_threads_finish_is_reported_once(client, sent):
    for number in range(50):
        span = client.start_span("s%d" % number)
        start = threading.Barrier(8)
        threads = [threading.Thread(target=lambda s=span, b=start: (b.wait(10), s.finish())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sent()) == 50


def test_a_discarded_span_is_not_reported_and_its_children_are(client, sent):
    with client.start_span("root") as root:
        discarded = client.start_span("discarded")
        client.start_span("child").finish()
        discarded.discard()
        discarded.finish()
        client.start_span("next").finish()
    assert sorted(span["span_name"] for span in sent()) == ["child", "next", "root"]
    assert sent("next")["parent_id"] == root.span_id


def test_a_with_block_records_the_exception_and_lets_it_go(client, sent):
    error = ValueError("bad")
    with pytest.raises(ValueError) as raised, client.start_span("s"):
        raise error
    assert raised.value is error
    assert sent("s")["status_code"] == -1
    assert sent("s")["tags_string"]["error"] == "bad"


def test_a_status_that_was_set_stays_when_the_block_fails(client, sent):
    with pytest.raises(KeyError), client.start_span("s") as span:
        span.set_status_code(404)
        raise KeyError("k")
    assert sent("s")["status_code"] == 404


def test_closing_a_generator_is_no_failure(client, sent):
    def steps():
        with client.start_span("s"):
            yield 1

    generator = steps()
    next(generator)
    generator.close()
    assert sent("s")["status_code"] == 0


# -- the setters ----------------------------------------------------------------------------------------------------

SETTERS = {
    "set_tags": {"a": 1},
    "set_baggage": {"a": "1"},
    "set_input": "x",
    "set_output": "x",
    "set_error": "x",
    "set_status_code": 5,
    "set_user_id": "x",
    "set_user_id_baggage": "x",
    "set_message_id": "x",
    "set_message_id_baggage": "x",
    "set_thread_id": "x",
    "set_thread_id_baggage": "x",
    "set_prompt": type("Prompt", (), {"prompt_key": "k", "version": "1"})(),
    "set_model_provider": "x",
    "set_model_name": "x",
    "set_model_call_options": {"temperature": 1},
    "set_input_tokens": 5,
    "set_output_tokens": 5,
    "set_start_time_first_resp": 1_700_000_000_000_000,
    "set_runtime": {"library": "x"},
    "set_service_name": "x",
    "set_log_id": "x",
    "set_system_tags": {"env": "x"},
    "set_deployment_env": "x",
    "set_finish_time": datetime.datetime(2100, 1, 1),
    "set_ultra_large_report": True,
}


def test_every_setter_is_tested():
    assert set(SETTERS) == {name for name in dir(cozeloop_lite.Span) if name.startswith("set_")}


def test_every_setter_sets_what_it_says(client, sent):
    with client.start_span("s") as span:
        for name, value in SETTERS.items():
            getattr(span, name)(value)
    (wire,) = sent()
    strings = {"a": "1", "error": "x", "user_id": "x", "message_id": "x", "thread_id": "x", "prompt_key": "k"}
    strings.update(prompt_version="1", model_provider="x", model_name="x", call_options='{"temperature":1}')
    assert wire["tags_string"] == {**strings, "deployment_env": "x"}
    assert wire["tags_long"]["tokens"] == 10
    assert wire["system_tags_string"]["env"] == "x"
    assert json.loads(wire["system_tags_string"]["runtime"])["library"] == "x"
    assert (wire["input"], wire["output"], wire["log_id"], wire["service_name"]) == ("x",) * 4
    assert wire["status_code"] == 5
    assert wire["duration_micros"] > 10**12


@pytest.mark.parametrize("name", SETTERS)
def test_a_setter_is_ignored_after_the_end(client, sent, name):
    one, other = client.start_span("one"), client.start_span("other")
    for span in (one, other):
        span.finish()
    getattr(one, name)(SETTERS[name])
    assert one.baggage == {}
    same = {"span_id": "", "duration_micros": 0, "started_at_micros": 0, "span_name": "", "parent_id": ""}
    assert {**sent("one"), **same} == {**sent("other"), **same}


@pytest.mark.parametrize("name", SETTERS)
def test_a_setter_of_a_span_that_records_nothing_does_nothing(name, logged):
    getattr(NOOP, name)(SETTERS[name])
    assert NOOP.baggage == {}
    assert NOOP.to_header() == {}
    assert logged() == []


WRONG = [5, -5, 1.5, True, b"x", "x", [], [1], {}, {1: 2}, {"a": object()}, set(), lambda: None, *range(0)]


@pytest.mark.parametrize("name", SETTERS)
def test_a_hostile_value_costs_a_setter_one_log_line_at_most(client, sent, logged, name):
    for number, value in enumerate([*WRONG, *HOSTILE]):
        cozeloop_lite.logger._logged.clear()
        before = len(logged())
        with client.start_span("s%d" % number) as span:
            span.set_tags({"mine": "kept"})
            getattr(span, name)(value)
        assert len(logged()) <= before + 1
    assert len(sent()) == len(WRONG) + len(HOSTILE)
    assert all(span["tags_string"].get("mine") == "kept" for span in sent())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("set_tags", [("a", 1)]),
        ("set_baggage", "a=1"),
        ("set_system_tags", 5),
        ("set_runtime", 5),
        ("set_status_code", "5"),
        ("set_status_code", True),
        ("set_status_code", 1 << 31),
        ("set_user_id", 5),
        ("set_message_id", 5),
        ("set_thread_id", b"x"),
        ("set_user_id_baggage", 5),
        ("set_input_tokens", "5"),
        ("set_input_tokens", 5.0),
        ("set_output_tokens", True),
        ("set_output_tokens", -1),
        ("set_output_tokens", 1 << 63),
        ("set_start_time_first_resp", datetime.datetime(2024, 1, 1)),
        ("set_log_id", 5),
        ("set_service_name", ["x"]),
        ("set_finish_time", "2024"),
        ("set_finish_time", 1.5),
    ],
)
def test_a_wrong_type_is_said_and_not_set(client, sent, logged, name, value):
    one, other = client.start_span("one"), client.start_span("other")
    getattr(one, name)(value)
    assert len(logged()) == 1
    other.finish()
    one.finish()
    same = {"span_id": "", "duration_micros": 0, "started_at_micros": 0, "span_name": "", "parent_id": ""}
    assert {**sent("one"), **same} == {**sent("other"), **same}
    assert sent("one")["duration_micros"] < 10_000_000


def test_each_setter_that_was_given_a_wrong_type_is_named(client, logged):
    with client.start_span("step", "model") as span:
        span.set_input_tokens("5")
        span.set_output_tokens("3")
        span.set_user_id(7)
        span.set_service_name(7)
        span.set_log_id(7)
    said = "\n".join(logged())
    for name in ("input_tokens", "output_tokens", "user_id", "service_name", "log_id"):
        assert said.count(name + " takes") == 1


def test_integers_of_other_libraries_are_integers(client, sent):
    class Int64:
        def __index__(self):
            return 7

    with client.start_span("s") as span:
        span.set_input_tokens(Int64())
        span.set_status_code(Int64())
    assert sent("s")["tags_long"]["input_tokens"] == 7
    assert sent("s")["status_code"] == 7


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_a_hostile_name_is_a_name_all_the_same(client, sent, index):
    client.start_span(HOSTILE[index], HOSTILE[index]).finish()
    (wire,) = sent()
    assert wire["span_name"]
    assert wire["span_type"]


def test_a_hostile_tag_costs_itself(client, sent):
    with client.start_span("s") as span:
        span.set_tags({"first": 1, **{"t%d" % number: value for number, value in enumerate(HOSTILE)}, "last": 2})
    assert sent("s")["tags_long"]["first"] == 1
    assert sent("s")["tags_long"]["last"] == 2


class Text(str):
    """A str with code of its own, as a lazy translation is, which no thread of ours is to run."""

    def __str__(self):
        return self

    def fails(self, *args):
        raise RuntimeError("not to be asked")

    __repr__ = __len__ = __sizeof__ = __iter__ = __contains__ = __getitem__ = encode = decode = startswith = fails


class Named:
    """An object whose texts are such texts."""

    def __str__(self):
        return Text("")

    def __repr__(self):
        return Text("named")


TEXTS = {
    "name": lambda client: client.start_span(Named(), "t"),
    "type": lambda client: client.start_span("n", Named()),
    "tag": lambda client: client.start_span("n", "t").set_tags({Named(): Named(), Text("text"): Text("text")}),
    "system tag": lambda client: client.start_span("n", "t").set_system_tags({"a": Named(), Text("b"): Text("text")}),
    "baggage": lambda client: client.start_span("n", "t").set_baggage({Text("key"): Text("value")}),
    "runtime": lambda client: client.start_span("n", "t").set_runtime({"library": Named(), "extra": {"a": Named()}}),
    "log id": lambda client: client.start_span("n", "t").set_log_id(Text("log id")),
    "wrong": lambda client: client.start_span("n", "t").set_log_id(Named()),
    "count": lambda client: client.start_span("n", "t").set_input_tokens(Named()),
    "user": lambda client: client.start_span("n", "t").set_user_id(Named()),
    "status": lambda client: client.start_span("n", "t").set_status_code(Named()),
    "input": lambda client: client.start_span("n", "t").set_input(Text("text")),
    "data URL": lambda client: client.start_span("n", "t").set_input(
        {"messages": [{"content": [{"image_url": {"url": Text("data:image/png;base64,AAAA")}}]}]}
    ),
}


@pytest.mark.parametrize("what", TEXTS)
def test_texts_with_code_of_their_own_are_taken_for_their_text(client, sink, what):
    TEXTS[what](client)
    span = client.get_span_from_context()
    span.finish()
    assert client.close(10)
    assert len(sink.spans) == 1
    assert client.stats()["open"] == 0


def test_a_program_may_write_while_another_thread_finishes(client, sent):
    for number in range(100):
        span = client.start_span("s%d" % number)
        start = threading.Barrier(2)

        def write(span=span, start=start):
            start.wait(10)
            for key in range(60):
                span.set_tags({str(key): key})

        thread = threading.Thread(target=write)
        thread.start()
        start.wait(10)
        span.finish()
        thread.join()
    assert len(sent()) == 100


# -- sampling -------------------------------------------------------------------------------------------------------


def test_a_trace_that_is_not_sampled_is_not_reported_and_hands_on_its_ids(sink, logged):
    with new_client(workspace_id="7", api_token="t", sample_rate=0, exporter=sink) as client:
        with client.start_span("root") as root, client.start_span("child") as child:
            root.set_baggage({"a": "1"})
            child.set_input(object())
            assert child.trace_id == root.trace_id
            assert child.to_header()
        assert client.stats()["sampled_out"] == 2
        assert client.stats()["open"] == 0
    assert sink.spans == []
    assert logged() == []


def test_a_header_that_says_not_sampled_is_obeyed(client, sent):
    context = client.get_span_from_header({"X-Cozeloop-Traceparent": "00-%s-%s-00" % ("a" * 32, "b" * 16)})
    with client.start_span("s", child_of=context), client.start_span("child"):
        pass
    client.start_span("other").finish()
    assert [span["span_name"] for span in sent()] == ["other"]


def test_whole_traces_are_sampled_at_the_rate_that_was_set(sink):
    with new_client(workspace_id="7", api_token="t", sample_rate=0.25, exporter=sink) as client:
        for _ in range(2000):
            with client.start_span("root"), client.start_span("child"):
                pass
    traces = {span["trace_id"] for span in sink.spans}
    assert 350 < len(traces) < 650
    assert len(sink.spans) == 2 * len(traces)


def test_services_with_one_rate_agree_about_a_trace(sink):
    one = new_client(workspace_id="1", api_token="t", sample_rate=0.5, exporter=sink)
    two = new_client(workspace_id="2", api_token="t", sample_rate=0.5, exporter=sink)
    for _ in range(200):
        with one.start_span("one") as root:
            pass
        w3c = {"traceparent": "00-%s-%s-01" % ids(root)}
        two.start_span("two", child_of=two.get_span_from_header(w3c)).finish()
    assert one.flush()
    assert two.flush()
    by_name = {name: {s["trace_id"] for s in sink.spans if s["span_name"] == name} for name in ("one", "two")}
    assert by_name["one"] == by_name["two"]
    assert 50 < len(by_name["one"]) < 150


# -- while a value becomes text -------------------------------------------------------------------------------------


class Shown:
    """A value whose text is what ``show()`` returns."""

    def __init__(self, show):
        self.show = show

    def __repr__(self):
        return self.show()


def record_input(span, value):
    span.set_input(value)


def record_part_of_input(span, value):
    span.set_input({"part": [value]})


def record_tag(span, value):
    span.set_tags({"tag": value})


def record_part_of_tag(span, value):
    span.set_tags({"tag": {"part": value}})


RECORDED = [record_input, record_part_of_input, record_tag, record_part_of_tag]


@pytest.mark.parametrize("record", RECORDED)
def test_what_shows_a_value_starts_no_span_but_a_trace_that_it_asks_for(client, sent, record):
    def show():
        record(outer, Shown(lambda: "on the way"))
        with client.start_span("inner"):
            client.start_span("innermost").finish()
        client.start_span("of its own", start_new_trace=True).finish()
        return "shown"

    with client.start_span("outer") as outer:
        record(outer, Shown(show))
        client.start_span("next").finish()
    assert [span["span_name"] for span in sent()] == ["of its own", "next", "outer"]
    assert "shown" in str(sent("outer"))
    assert sent("next")["parent_id"] == outer.span_id
    assert client.stats()["started"] == 3


@pytest.mark.parametrize("record", RECORDED)
def test_other_threads_start_spans_meanwhile(client, sent, record):
    shown, go_on = threading.Event(), threading.Event()

    def show():
        shown.set()
        assert go_on.wait(20)
        return "shown"

    thread = threading.Thread(target=lambda: record(client.start_span("slow"), Shown(show)))
    thread.start()
    assert shown.wait(20)
    with client.start_span("root"):
        client.start_span("child").finish()
    go_on.set()
    thread.join()
    assert [span["span_name"] for span in sent()] == ["child", "root"]


@pytest.mark.parametrize("error", [ValueError(), RecursionError(), KeyboardInterrupt(), SystemExit()], ids=repr)
@pytest.mark.parametrize("record", RECORDED)
def test_after_a_value_that_cannot_be_shown_spans_are_started_as_before(client, sent, record, error):
    def show():
        raise error

    with client.start_span("outer") as outer, contextlib.suppress(KeyboardInterrupt, SystemExit):
        record(outer, Shown(show))
    client.start_span("next").finish()
    assert [span["span_name"] for span in sent()] == ["outer", "next"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("record", RECORDED)
def test_a_child_that_is_forked_meanwhile_starts_spans(client, record):
    children = []

    def show():
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if client.start_span("of the child").span_id else 1)
            finally:
                os._exit(2)
        children.append(child)
        return "shown"

    record(client.start_span("of the parent"), Shown(show))
    (child,) = children
    assert os.waitpid(child, 0)[1] == 0


# -- the span as an object ------------------------------------------------------------------------------------------


def test_a_copied_request_object_shares_its_span(client):
    span = client.start_span("s")
    assert copy.copy(span) is span
    assert copy.deepcopy({"span": span})["span"] is span


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_span_is_a_context(client, sent, protocol):
    span = client.start_span("s")
    span.set_baggage({"a": "1"})
    context = pickle.loads(pickle.dumps(span, protocol))
    assert ids(context) == ids(span)
    assert context.to_header() == span.to_header()
    client.start_span("child", child_of=context).finish()
    assert (sent("child")["parent_id"], sent("child")["tags_string"]) == (span.span_id, {"a": "1"})
    assert pickle.loads(pickle.dumps(NOOP, protocol)).to_header() == {}


def test_a_span_shows_its_ids(client):
    span = client.start_span("s")
    assert span.trace_id in repr(span)
    assert span.span_id in repr(span)
