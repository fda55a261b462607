"""The reader of a streamed answer: which events are pieces, which end it, how pieces are put together, and its span."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite import errors
from cozeloop_lite.api.sse import Event
from cozeloop_lite.entities.prompt import ExecuteResult, FunctionCall, Message, Role, TokenUsage, ToolCall, ToolType
from cozeloop_lite.entities.stream import StreamReader
from cozeloop_lite.prompt import execute_stream
from cozeloop_lite.prompt.execute import execute


class FakeEvents:
    """A stream of ``items``: events, ``(name, data)`` pairs, or exceptions to raise."""

    def __init__(self, *items, framed=True, log_id="log-1"):
        self.items = iter(items)
        self.framed = framed
        self.log_id = log_id
        self.status = 200
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        if isinstance(item, BaseException):
            raise item
        name, data = item
        return Event(name, data if isinstance(data, str) else json.dumps(data), "", None)

    def close(self):
        self.closed += 1


class FakeApi:
    def __init__(self, events):
        self.events = events
        self.requests = []

    def stream(self, method, path, data=None, *, timeout=None, headers=None):
        self.requests.append((method, path, data, timeout, headers))
        if isinstance(self.events, BaseException):
            raise self.events
        return self.events


def reader_of(*items, start_span=None, **kind):
    return execute(FakeApi(FakeEvents(*items, **kind)), "7", "greeting", stream=True, start_span=start_span)


def piece(content=None, finish_reason="", **message):
    if content is not None:
        message["content"] = content
    return "data", {"message": dict({"role": "assistant"}, **message), "finish_reason": finish_reason}


END = ("data", {"finish_reason": "stop", "usage": {"input_tokens": 12, "output_tokens": 3}})
HELLO = (piece("Hel"), piece("lo"), END)


# -- the pieces


def test_the_request_is_the_one_of_an_execution_at_the_path_of_streams():
    api = FakeApi(FakeEvents(*HELLO))
    execute(api, "7", "greeting", version="1", variable_vals={"a": "x"}, stream=True, timeout=5)
    body = {
        "workspace_id": "7",
        "prompt_identifier": {"prompt_key": "greeting", "version": "1"},
        "variable_vals": [{"key": "a", "value": "x"}],
    }
    assert api.requests == [("POST", "/v1/loop/prompts/execute_streaming", body, 5.0, {})]


def test_each_piece_is_a_result_with_what_is_new():
    reader = reader_of(*HELLO)
    assert isinstance(reader, StreamReader)
    assert list(reader) == [
        ExecuteResult(Message(Role.ASSISTANT, content="Hel"), ""),
        ExecuteResult(Message(Role.ASSISTANT, content="lo"), ""),
        ExecuteResult(None, "stop", TokenUsage(12, 3)),
    ]
    assert list(reader) == []
    assert reader.log_id == "log-1"


@pytest.mark.parametrize("name", ["data", "message", "DATA"])
def test_an_event_named_data_or_not_at_all_is_a_piece(name):  # without a name it arrives as "message"
    assert [item.message.content for item in reader_of((name, piece("x")[1]))] == ["x"]


@pytest.mark.parametrize(
    "item",
    [("data", ""), ("data", "  "), ("data", "null"), ("message", "null"), ("ping", "{}"), ("ping", "no json")],
)
def test_what_is_no_piece_is_passed_over(item):
    assert [item.message.content for item in reader_of(item, piece("x"), item)] == ["x"]


def test_done_is_the_end_even_where_the_connection_does_not_tell():
    events = FakeEvents(piece("x"), ("data", "[DONE]"), piece("y"), framed=False)
    reader = execute(FakeApi(events), "7", "greeting", stream=True)
    assert [item.message.content for item in reader] == ["x"]
    assert events.closed == 1


def test_who_speaks_is_the_model_unless_it_says_otherwise():
    pieces = [("data", {"message": {"content": "a"}}), ("data", {"message": {"content": "b", "role": ""}})]
    assert [item.message.role for item in reader_of(*pieces)] == [Role.ASSISTANT, Role.ASSISTANT]


def test_code_zero_is_no_error_and_no_part_of_the_result():
    for code in (0, "0", None):
        (item,) = reader_of(("data", {"code": code, "msg": "", "message": {"role": "assistant", "content": "x"}}))
        assert item.to_dict() == {"message": {"role": "assistant", "content": "x"}}


# -- errors


def failing(*items, **kind):
    """The error in which the stream of ``items`` ends, and the contents of the pieces before it."""
    reader = reader_of(*items, **kind)
    contents = []
    with pytest.raises(errors.HttpError) as caught:
        for item in reader:
            contents.append(item.message.content)
    assert list(reader) == []  # after an error there is nothing
    with pytest.raises(type(caught.value)) as again:
        reader.collect()
    assert str(again.value) == str(caught.value)
    assert caught.value.log_id == "log-1"
    return caught.value, contents


@pytest.mark.parametrize(
    ("name", "data", "kind", "code", "msg"),
    [
        ("error", {"code": 600502002, "msg": "slow down"}, errors.RateLimitError, 600502002, "slow down"),
        ("ERROR", {"code": "600501001", "msg": "no such"}, errors.NotFoundError, 600501001, "no such"),
        ("stream_error", {"code": 1, "msg": "Service Internal Error"}, errors.InternalServerError, 1, "Service"),
        ("error", {"code": 600500101, "msg": "no"}, errors.PermissionDeniedError, 600500101, "no"),
        ("error", {"code": 0, "msg": "odd"}, errors.RemoteServiceError, 0, "odd"),
        ("error", {"msg": "no code"}, errors.RemoteServiceError, None, "no code"),
        ("error", "just text", errors.RemoteServiceError, None, "just text"),
        ("error", "[1]", errors.RemoteServiceError, None, "[1]"),
        ("error", "", errors.RemoteServiceError, None, "an error without any details"),
        ("error", "{}", errors.RemoteServiceError, None, "an error without any details"),
        ("error", "null", errors.RemoteServiceError, None, "null"),
        ("data", {"code": 600502002, "msg": "slow down"}, errors.RateLimitError, 600502002, "slow down"),
        ("message", {"code": 4100, "msg": "who?"}, errors.AuthenticationError, 4100, "who?"),
        ("data", {"error": {"message": "overloaded"}}, errors.RemoteServiceError, None, "overloaded"),
    ],
)
def test_an_error_that_the_server_reports_is_typed(name, data, kind, code, msg):
    for before in ((), (piece("a"), piece("b", finish_reason="stop"))):
        error, contents = failing(*before, (name, data), piece("never read"))
        assert type(error) is kind
        assert (error.status, error.code, error.log_id) == (200, code, "log-1")
        assert msg in error.msg
        assert contents == ["a", "b"][: len(before)]


def test_the_details_of_an_error_are_part_of_its_message():
    extra = {"biz_err_affect_stability": "0", "biz_err_custom_extra": '{"prompt_key":"greeting"}'}
    error, _ = failing(("error", {"code": 600501001, "msg": "not found", "biz_extra": extra}))
    assert error.msg == 'not found {"prompt_key":"greeting"}'
    error, _ = failing(("error", {"code": 600501001, "msg": "not found", "biz_extra": "odd"}))
    assert error.msg == "not found"


@pytest.mark.parametrize("data", ["no json", '{"message":', "[]", '"text"', "7", "[" * 100_000])
def test_a_piece_that_cannot_be_understood_is_an_error_and_not_left_out(data):
    error, contents = failing(piece("a"), ("data", data), piece("b", finish_reason="stop"))
    assert type(error) is errors.InternalServerError
    assert "not a JSON object" in error.msg
    assert len(str(error)) < 1000
    assert contents == ["a"]


def test_a_connection_that_breaks_is_an_error():
    broken = errors.NetworkError("POST ... failed: connection reset")
    error, contents = failing(piece("a"), broken)
    assert error is broken
    assert contents == ["a"]


def test_a_time_that_is_up_is_an_error():
    error, _ = failing(piece("a"), errors.RequestTimeoutError("no complete answer within 5 s"))
    assert type(error) is errors.RequestTimeoutError


def test_a_body_that_ends_with_its_connection_is_complete_only_when_the_model_had_finished():
    error, contents = failing(piece("a"), framed=False)
    assert type(error) is errors.NetworkError
    assert "broke off" in str(error)
    assert contents == ["a"]
    finished = reader_of(piece("a"), piece("b", "stop"), piece("c"), framed=False)
    assert [item.message.content for item in finished] == ["a", "b", "c"]


def test_a_body_whose_end_is_marked_is_complete_whether_or_not_the_model_said_why():
    assert [item.message.content for item in reader_of(piece("a"), framed=True)] == ["a"]


@pytest.mark.parametrize("items", [(), (("data", "null"),), (("data", "[DONE]"),), (("ping", "{}"),)])
def test_a_stream_without_a_piece_is_no_answer(items):
    error, _ = failing(*items)
    assert type(error) is errors.InternalServerError
    assert "without an answer" in error.msg


def test_an_answer_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(execute_stream, "MAX_STREAM_CHARS", 1000)
    error, contents = failing(*[piece("x" * 100)] * 20)
    assert type(error) is errors.NetworkError
    assert "longer than 1000 characters" in str(error)
    assert 0 < len(contents) < 10


def test_an_interruption_closes_the_stream_and_is_no_whole_answer():
    events = FakeEvents(piece("a"), KeyboardInterrupt(), piece("b"))
    reader = execute(FakeApi(events), "7", "greeting", stream=True)
    with pytest.raises(KeyboardInterrupt):
        list(reader)
    assert events.closed == 1
    with pytest.raises(errors.NetworkError, match="KeyboardInterrupt"):
        reader.collect()


def test_an_error_before_the_stream_is_raised_by_the_call():
    refused = errors.AuthenticationError(200, 602000101, "no access permission", "log-1")
    with pytest.raises(errors.AuthenticationError) as caught:
        execute(FakeApi(refused), "7", "greeting", stream=True)
    assert caught.value is refused


# -- the end


def test_a_whole_answer_closes_its_stream():
    events = FakeEvents(*HELLO)
    list(execute(FakeApi(events), "7", "greeting", stream=True))
    assert events.closed == 1


def test_leaving_the_loop_early_closes_the_stream():
    events = FakeEvents(*HELLO)
    with execute(FakeApi(events), "7", "greeting", stream=True) as reader:
        for _ in reader:
            break
        assert events.closed == 0
    assert events.closed == 1
    assert next(reader, None) is None
    reader.close()
    assert events.closed == 1


def test_an_exception_in_the_block_closes_it_and_goes_on():
    events = FakeEvents(*HELLO)
    with pytest.raises(LookupError), execute(FakeApi(events), "7", "greeting", stream=True):
        raise LookupError
    assert events.closed == 1


def test_a_reader_that_is_forgotten_closes_the_stream():
    events = FakeEvents(*HELLO)
    reader = execute(FakeApi(events), "7", "greeting", stream=True)
    next(reader)
    del reader
    gc.collect()
    assert events.closed == 1


def test_closing_from_another_thread_ends_the_loop():
    at_work, closed = threading.Event(), threading.Event()

    class Waiting(FakeEvents):
        def __next__(self):
            at_work.set()
            assert closed.wait(10)
            raise StopIteration

        def close(self):
            closed.set()

    reader = execute(FakeApi(Waiting(framed=False)), "7", "greeting", stream=True)
    items = []
    thread = threading.Thread(target=lambda: items.append(list(reader)))
    thread.start()
    assert at_work.wait(10)
    reader.close()
    thread.join(10)
    assert items == [[]]


def test_asyncio_is_told_that_there_is_none():
    async def read():
        async for _ in reader_of(*HELLO):
            pass

    with pytest.raises(NotImplementedError, match="synchronous"):
        asyncio.run(read())


# -- the whole


def test_collect_returns_the_whole_however_much_was_read_before():
    whole = ExecuteResult(Message(Role.ASSISTANT, content="Hello"), "stop", TokenUsage(12, 3))
    for count in range(4):
        reader = reader_of(*HELLO)
        for _ in range(count):
            next(reader)
        assert reader.collect() == whole
        assert reader.collect() == whole


def test_collect_after_close_returns_what_was_received():
    with reader_of(*HELLO) as reader:
        next(reader)
    assert reader.collect() == ExecuteResult(Message(Role.ASSISTANT, content="Hel"), "")
    reader = reader_of(*HELLO)
    reader.close()
    assert reader.collect() == ExecuteResult()


def test_what_is_done_to_a_piece_or_to_the_whole_does_not_show_in_the_whole():
    message = {"role": "assistant", "parts": [{"type": "text", "text": "a"}], "metadata": {"k": "v"}}
    call = {"index": 0, "id": "c", "function_call": {"name": "f", "arguments": "{}"}}
    reader = reader_of(("data", {"message": dict(message, tool_calls=[call])}))
    for item in [next(reader), reader.collect()]:
        item.message.parts[0].text = "changed"
        item.message.metadata["k"] = "changed"
        item.message.tool_calls[0].function_call.name = "changed"
    whole = reader.collect().message
    assert (whole.parts[0].text, whole.metadata, whole.tool_calls[0].function_call.name) == ("a", {"k": "v"}, "f")


def whole_of(*messages):
    return reader_of(*[("data", {"message": message}) for message in messages]).collect().message


def call(index=None, id=None, name=None, arguments=None, **more):
    made = {"index": index, "id": id, **more}
    if name is not None or arguments is not None:
        made["function_call"] = {"name": name, "arguments": arguments}
    return {key: value for key, value in made.items() if value is not None}


def test_content_and_reasoning_are_strung_together():
    whole = whole_of({"reasoning_content": "think"}, {"reasoning_content": "ing"}, {"content": "do"}, {"content": "ne"})
    assert (whole.reasoning_content, whole.content) == ("thinking", "done")
    whole = whole_of({"content": "\r\na\r"}, {"content": "\n\ud83d\ude00\u2028"}, {"content": ""})
    assert (whole.reasoning_content, whole.content) == (None, "\r\na\r\n😀\u2028")


def test_tool_calls_are_put_together_by_their_index():
    whole = whole_of(
        {"tool_calls": [call(1, "c1", "second", "", type="google_search")]},
        {"tool_calls": [call(0, "c0", "first", '{"a"'), call(1, None, None, '{"b":')]},
        {"tool_calls": [call(1, "", "", "2}"), call(0, None, None, ":1}")]},
    )
    assert whole.tool_calls == [
        ToolCall(0, "c0", ToolType.FUNCTION, FunctionCall("first", '{"a":1}')),
        ToolCall(1, "c1", ToolType.GOOGLE_SEARCH, FunctionCall("second", '{"b":2}')),
    ]


def test_id_name_and_type_come_from_the_first_piece_that_has_them():
    (found,) = whole_of(
        {"tool_calls": [call(0)]},
        {"tool_calls": [call(0, "c0", type="")]},
        {"tool_calls": [call(0, None, "f", type="google_search", signature="s1", output_id="o")]},
        {"tool_calls": [call(0, "c0", "f", signature="s2")]},
    ).tool_calls
    assert found == ToolCall(0, "c0", ToolType.GOOGLE_SEARCH, FunctionCall("f", None), "o", "s2")


def test_calls_with_one_index_and_different_ids_are_different_calls():
    whole = whole_of(
        {"tool_calls": [call(None, "a", "f", "{}"), call(None, "b", "g", "{")]},
        {"tool_calls": [call(None, None, None, "}")]},
    )
    assert [(found.id, found.function_call.arguments) for found in whole.tool_calls] == [("a", "{}"), ("b", "{}")]


def test_role_is_the_first_and_signature_and_metadata_the_last():
    whole = whole_of(
        {"role": "tool", "signature": "s1", "metadata": {"a": "1", "b": "1"}, "tool_call_id": "t"},
        {"role": "assistant", "content": "x"},
        {"signature": "s2", "metadata": {"b": "2"}},
    )
    assert whole.role is Role.TOOL
    assert (whole.signature, whole.metadata, whole.tool_call_id) == ("s2", {"a": "1", "b": "2"}, "t")


def test_parts_follow_each_other():
    whole = whole_of(
        {"parts": [{"type": "text", "text": "a"}]},
        {"parts": []},
        {"parts": [{"type": "image_url", "image_url": "https://x"}, {"type": "text", "text": "b"}]},
    )
    assert [part.text or part.image_url for part in whole.parts] == ["a", "https://x", "b"]


def test_usage_and_finish_reason_are_the_last_that_say_anything():
    def usage(incoming, outgoing):
        return {"usage": {"input_tokens": incoming, "output_tokens": outgoing}}

    said = {"finish_reason": "tool_calls"}, {"finish_reason": ""}
    steps = [usage(10, 1), said[0], usage(10, 5), said[1], usage(0, 0), usage(0, 7), usage(10, 0)]
    result = reader_of(*[("data", step) for step in steps]).collect()
    assert (result.usage, result.finish_reason, result.message) == (TokenUsage(10, 7), "tool_calls", None)


TEXTS = st.none() | st.text()
CALLS = st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1), st.text()), max_size=3)


@st.composite
def cut_answers(draw):
    """A whole answer, and pieces that make it up."""
    content, reasoning, calls = draw(TEXTS), draw(TEXTS), draw(CALLS)
    pieces = []
    for name, text in (("reasoning_content", reasoning), ("content", content)):
        if text is not None:
            pieces += [{"message": {name: part}} for part in draw(cuts(text))]
    fragments = []
    for index, (call_id, name, arguments) in enumerate(calls):
        first, *rest = draw(cuts(arguments))
        own = [call(index, call_id, name, first)] + [call(index, None, None, part) for part in rest]
        fragments.append(own)
    while any(fragments):  # interleaved, each call's own in order
        own = draw(st.sampled_from([own for own in fragments if own]))
        pieces.append({"message": {"tool_calls": [own.pop(0)]}})
    pieces.append({"finish_reason": "stop", "usage": {"input_tokens": 1, "output_tokens": 2}})
    message = {
        "role": "assistant",
        "content": content,
        "reasoning_content": reasoning,
        "tool_calls": [call(index, *found) for index, found in enumerate(calls)] or None,
    }
    spoken = len(pieces) > 1
    return {**pieces[-1], "message": message if spoken else None}, pieces


@st.composite
def cuts(draw, text):
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)])]


@given(cut_answers())
def test_however_an_answer_is_cut_the_whole_is_the_same(answer):
    whole, pieces = answer
    reader = reader_of(*[("data", data) for data in pieces])
    assert reader.collect() == ExecuteResult.from_dict(whole)


# -- the span


def test_without_a_span_nothing_is_put_together_that_nobody_asked_for(monkeypatch):
    monkeypatch.setattr(execute_stream._Merged, "result", lambda merged: pytest.fail("put together"))
    assert len(list(reader_of(*HELLO))) == 3


def test_the_span_lasts_as_long_as_the_stream_and_says_what_came_of_it(client, sent):
    began = time.time_ns() // 1000
    with client.start_span("agent", "agent") as outer:
        api = FakeApi(FakeEvents(*HELLO))
        reader = execute(api, "7", "greeting", label="beta", stream=True, start_span=client.start_span)
        for _ in reader:
            assert client.get_span_from_context() is outer
            with client.start_span("consumer", "custom") as inner:
                assert inner._parent_id == outer._id
        assert client.get_span_from_context() is outer
    ended = time.time_ns() // 1000
    span = sent("PromptExecute")
    assert span["parent_id"] == outer.span_id
    assert (span["span_type"], span["status_code"]) == ("prompt_execute_streaming", 0)
    assert json.loads(span["system_tags_string"]["runtime"])["scene"] == "prompt_execute_streaming"
    assert api.requests[0][4]["X-Cozeloop-Traceparent"] == "00-%s-%s-01" % (span["trace_id"], span["span_id"])
    assert json.loads(span["input"]) == {
        "prompt_key": "greeting",
        "prompt_label": "beta",
        "templates": [],
        "arguments": [],
    }
    assert json.loads(span["output"]) == {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Hello"}}]
    }
    assert span["tags_bool"] == {"stream": True}
    counts = span["tags_long"]
    assert (counts["input_tokens"], counts["output_tokens"], counts["tokens"]) == (12, 3, 15)
    assert began <= span["started_at_micros"] <= counts["start_time_first_resp"] <= ended
    assert counts["latency_first_resp"] == counts["start_time_first_resp"] - span["started_at_micros"]


def test_the_time_of_the_first_piece_is_not_that_of_the_last(client, sent, monkeypatch):
    clock = iter(range(10**15, 10**15 + 10))
    monkeypatch.setattr(execute_stream, "time_ns", lambda: next(clock) * 1000)
    list(reader_of(("data", "null"), *HELLO, start_span=client.start_span))
    assert sent("PromptExecute")["tags_long"]["start_time_first_resp"] == 10**15


def test_a_stream_left_early_is_incomplete_and_no_failure(client, sent):
    with reader_of(*HELLO, start_span=client.start_span) as reader:
        next(reader)
        assert client.flush()
        assert sent() == []
    span = sent("PromptExecute")
    assert span["status_code"] == 0
    assert span["tags_bool"] == {"stream": True, "incomplete": True}
    assert json.loads(span["output"])["choices"][0]["message"]["content"] == "Hel"


def test_a_forgotten_stream_is_incomplete_as_well(client, sent):
    reader = reader_of(*HELLO, start_span=client.start_span)
    del reader
    gc.collect()
    span = sent("PromptExecute")
    assert (span["tags_bool"], span["output"]) == ({"stream": True, "incomplete": True}, "")


def test_an_error_in_mid_answer_is_recorded_with_what_was_received(client, sent):
    items = (piece("Hel"), ("error", {"code": 601505010, "msg": "the model broke"}))
    with pytest.raises(errors.RemoteServiceError):
        list(reader_of(*items, start_span=client.start_span))
    span = sent("PromptExecute")
    assert span["status_code"] == 601505010
    assert "the model broke" in span["tags_string"]["error"]
    assert json.loads(span["output"])["choices"][0]["message"]["content"] == "Hel"
    assert "incomplete" not in span["tags_bool"]


def test_an_error_before_the_stream_is_recorded_and_the_span_is_no_longer_current(client, sent):
    refused = errors.AuthenticationError(200, 602000101, "no access permission", "log-1")
    with pytest.raises(errors.AuthenticationError):
        execute(FakeApi(refused), "7", "greeting", stream=True, start_span=client.start_span)
    assert sent("PromptExecute")["status_code"] == 602000101
    assert client.get_span_from_context().trace_id == ""


def test_what_fails_while_it_is_recorded_costs_the_stream_nothing(client, sent, monkeypatch):
    def fail(message):
        raise LookupError

    monkeypatch.setattr(execute_stream.spans, "model_message", fail)
    assert len(list(reader_of(*HELLO, start_span=client.start_span))) == 3
    assert sent("PromptExecute")["status_code"] == 0


def test_a_reader_may_go_to_another_thread(client, sent):
    reader = reader_of(*HELLO, start_span=client.start_span)
    whole = []
    thread = threading.Thread(target=lambda: whole.append(reader.collect()))
    thread.start()
    thread.join(10)
    assert whole[0].message.content == "Hello"
    assert sent("PromptExecute")["tags_bool"] == {"stream": True}
