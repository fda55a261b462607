"""Prompts executed over real connections: what goes over the wire, what comes back when, and each way it can fail."""

from __future__ import annotations

import gc
import json
import threading
import time

import pytest

from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.entities.prompt import ContentPart, ExecuteResult, Message, Role, TokenUsage
from cozeloop_lite.prompt.execute import execute
from support.recording import Live, dead_port, drip, hang, json_answer, reset, text_answer

TOKEN = "pat_secret_0123456789"
GENEROUS = 10.0  # seconds: far above every deadline here
ANSWER = {
    "code": 0,
    "msg": "",
    "data": {
        "message": {"role": "assistant", "content": "你好"},
        "finish_reason": "stop",
        "usage": {"input_tokens": 12, "output_tokens": 3},
    },
}
WHOLE = ExecuteResult(Message(Role.ASSISTANT, content="你好"), "stop", TokenUsage(12, 3))
FIRST = 'event:data\ndata:{"message":{"role":"assistant","content":"你"},"finish_reason":""}\n\n'
SECOND = 'event:data\ndata:{"message":{"role":"assistant","content":"好"},"finish_reason":""}\n\n'
LAST = 'event:data\ndata:{"finish_reason":"stop","usage":{"input_tokens":12,"output_tokens":3}}\n\n'
REFUSED = 'event:error\ndata:{"code":600502002,"msg":"qps limit exceeded","biz_extra":{}}\n\n'


def live(*pieces, chunked=True):
    """The beginning of a stream, to be gone on with."""
    answer = Live(headers={"X-Tt-Logid": "log-1"}, chunked=chunked)
    for piece in pieces:
        data = piece.encode()
        answer.say(data) if chunked else answer.write(data)
    return answer


def streamed(*pieces):
    """A whole stream."""
    return live(*pieces).finish()


@pytest.fixture
def api(server):
    return ApiClient(server.url, TOKEN)


def read(reader):
    """The contents of the pieces, and the error in which they end."""
    contents = []
    try:
        for item in reader:
            contents.append(item.message.content if item.message else None)
    except errors.LoopError as error:
        return contents, error
    return contents, None


# -- an answer at once


def test_a_prompt_is_executed(server, api):
    server.answers(json_answer(ANSWER))
    variables = {"topic": "天气", "n": [1, 2], "history": [Message(content="hi")], "look": ContentPart(text="t")}
    result = execute(
        api, "7", "greeting", label="beta", variable_vals=variables, messages=[Message(Role.USER, content="早")]
    )
    assert result == WHOLE
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/loop/prompts/execute")
    assert request.headers["Authorization"] == "Bearer " + TOKEN
    assert json.loads(request.body.decode()) == {
        "workspace_id": "7",
        "prompt_identifier": {"prompt_key": "greeting", "label": "beta"},
        "variable_vals": [
            {"key": "topic", "value": "天气"},
            {"key": "n", "value": "[1,2]"},
            {"key": "history", "placeholder_messages": [{"role": "user", "content": "hi"}]},
            {"key": "look", "multi_part_values": [{"type": "text", "text": "t"}]},
        ],
        "messages": [{"role": "user", "content": "早"}],
    }


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (json_answer({"code": 600501001, "msg": "not found"}), errors.NotFoundError, 600501001),
        (json_answer({"code": 600502002, "msg": "qps"}), errors.RateLimitError, 600502002),
        (json_answer({"code": 600500202, "msg": "no data URL"}), errors.BadRequestError, 600500202),
        (json_answer({"code": 0, "msg": ""}), errors.InternalServerError, 0),
        (text_answer("bad gateway", status=502), errors.InternalServerError, None),
        (reset(), errors.NetworkError, None),
    ],
)
def test_a_failure_is_typed_and_nothing_is_tried_twice(server, api, answer, kind, code):
    server.default = answer
    with pytest.raises(kind) as caught:
        execute(api, "7", "greeting")
    assert caught.value.code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [hang(), drip(ANSWER, bytes_per_second=20)])
def test_the_time_is_that_of_the_whole_call(server, api, answer):
    server.default = answer
    began = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError):
        execute(api, "7", "greeting", timeout=0.3)
    assert time.monotonic() - began < GENEROUS


def test_the_time_of_a_call_is_not_that_of_the_client(server):
    api = ApiClient(server.url, TOKEN, timeout=0.001)  # for which no request is fast enough
    server.default = json_answer(ANSWER)
    assert execute(api, "7", "greeting") == WHOLE
    server.default = streamed(FIRST, SECOND, LAST)
    assert execute(api, "7", "greeting", stream=True).collect() == WHOLE


# -- an answer as it comes


def test_each_piece_arrives_before_the_next_is_sent(server, api):
    answer = live(FIRST)
    server.answers(answer)
    with execute(api, "7", "greeting", stream=True) as reader:
        assert next(reader).message.content == "你"
        answer.say(SECOND.encode())
        assert next(reader).message.content == "好"
        answer.say(LAST.encode()).finish()
        assert reader.collect() == WHOLE
    assert server.requests[0].path == "/v1/loop/prompts/execute_streaming"
    assert reader.log_id == "log-1"


def test_the_server_has_accepted_when_the_reader_is_there(server, api):
    answer = live()
    server.answers(answer)
    reader = execute(api, "7", "greeting", stream=True)
    assert len(server.requests) == 1
    answer.say(FIRST.encode()).say(LAST.encode()).finish()
    assert read(reader) == (["你", None], None)


def test_pieces_may_be_cut_anywhere_on_their_way(server, api):
    body = (FIRST + SECOND + LAST).replace("\n", "\r\n").encode()
    answer = live()
    for place in range(len(body)):
        answer.say(body[place : place + 1])
    server.answers(answer.finish())
    assert execute(api, "7", "greeting", stream=True).collect() == WHOLE


def test_the_connection_of_a_whole_answer_serves_the_next_request(server, api):
    server.answers(streamed(FIRST, LAST), streamed(FIRST, LAST), json_answer(ANSWER))
    execute(api, "7", "greeting", stream=True).collect()
    execute(api, "7", "greeting", stream=True).collect()
    execute(api, "7", "greeting")
    assert server.connections == 1


def test_leaving_the_loop_early_ends_the_connection(server, api):
    server.answers(live(FIRST, SECOND))
    with execute(api, "7", "greeting", stream=True) as reader:
        for _ in reader:
            break
        assert server.open_connections == 1
    server.wait_for(lambda server: server.open_connections == 0)


def test_a_reader_that_is_forgotten_ends_its_connection(server, api):
    server.answers(live(FIRST, SECOND))
    reader = execute(api, "7", "greeting", stream=True)
    next(reader)
    del reader
    gc.collect()
    server.wait_for(lambda server: server.open_connections == 0)


def test_another_thread_can_end_a_stream_that_waits(server, api):
    server.answers(live(FIRST))
    reader = execute(api, "7", "greeting", stream=True)
    had_first = threading.Event()
    ended = []

    def consume():
        next(reader)
        had_first.set()
        ended.append(read(reader))

    thread = threading.Thread(target=consume)
    thread.start()
    assert had_first.wait(GENEROUS)
    reader.close()
    thread.join(GENEROUS)
    assert ended == [([], None)]
    assert reader.collect().message.content == "你"


# -- streams that fail


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (json_answer({"code": 602000101, "msg": "no access permission"}), errors.AuthenticationError, 602000101),
        (json_answer({"code": 600501001, "msg": "not found"}), errors.NotFoundError, 600501001),
        (json_answer(ANSWER), errors.RemoteServiceError, 0),
        (text_answer("cannot decode", status=400), errors.BadRequestError, None),
        (text_answer("no such path", status=404), errors.NotFoundError, None),
        (text_answer("<html>", content_type="text/html"), errors.RemoteServiceError, None),
        (reset(), errors.NetworkError, None),
    ],
)
def test_a_refusal_before_the_stream_is_raised_by_the_call(server, api, answer, kind, code):
    server.default = answer
    with pytest.raises(kind) as caught:
        execute(api, "7", "greeting", stream=True)
    assert caught.value.code == code
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_is_a_network_error():
    api = ApiClient("http://127.0.0.1:%d" % dead_port(), TOKEN)
    for stream in (False, True):
        with pytest.raises(errors.NetworkError):
            execute(api, "7", "greeting", stream=stream)


@pytest.mark.parametrize("before", [(), (FIRST,), (FIRST, LAST)], ids=["at its start", "in its middle", "at its end"])
def test_an_error_of_the_stream_is_typed_and_has_the_log_id(server, api, before):
    server.answers(streamed(*before, REFUSED))
    contents, error = read(execute(api, "7", "greeting", stream=True))
    assert len(contents) == len(before)
    assert type(error) is errors.RateLimitError
    assert (error.status, error.code, error.msg, error.log_id) == (200, 600502002, "qps limit exceeded", "log-1")


@pytest.mark.parametrize(
    "answer",
    [
        live(FIRST).hang_up(),
        live(FIRST, LAST).hang_up(),  # the end of the body is marked, and did not come
        live(FIRST).write(b"40\r\nevent:da").hang_up(),
        live(FIRST).write(b"no chunk\r\n").hang_up(),
        live(FIRST).reset(),
        live(FIRST, SECOND[:20], chunked=False).hang_up(),
        live(FIRST, SECOND, chunked=False).hang_up(),
    ],
    ids=["between chunks", "after the last piece", "in a chunk", "no chunk", "reset", "in an event", "between events"],
)
def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(server, api, answer):
    server.answers(answer)
    reader = execute(api, "7", "greeting", stream=True)
    _, error = read(reader)
    assert type(error) in (errors.NetworkError, errors.InternalServerError)  # the latter: a piece cut in its middle
    assert error.log_id == "log-1"
    with pytest.raises(type(error)):
        reader.collect()
    server.wait_for(lambda server: server.open_connections == 0)


def test_without_a_marked_end_the_answer_is_whole_when_the_model_had_finished(server, api):
    server.answers(live(FIRST, SECOND, LAST, chunked=False).hang_up())
    assert execute(api, "7", "greeting", stream=True).collect() == WHOLE


def test_a_stream_of_nothing_is_no_answer(server, api):
    server.answers(streamed())
    _, error = read(execute(api, "7", "greeting", stream=True))
    assert type(error) is errors.InternalServerError


def test_the_time_is_that_of_the_whole_stream_whatever_drips(server, api):
    server.answers(live(FIRST).flood(b":\n\n"))
    began = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError):
        execute(api, "7", "greeting", stream=True, timeout=0.5).collect()
    assert time.monotonic() - began < GENEROUS


def test_a_token_that_is_echoed_is_in_no_error(server, api):
    server.answers(streamed('event:error\ndata:{"code":1,"msg":"who is %s?"}\n\n' % TOKEN))
    _, error = read(execute(api, "7", "greeting", stream=True))
    assert TOKEN not in str(error) + error.msg
    assert "who is ***?" in error.msg


# -- the trace


def test_the_span_of_a_stream_arrives_with_the_whole_answer(server, sink):
    server.answers(streamed(FIRST, SECOND, LAST))
    with new_client(server.url, "7", TOKEN, exporter=sink) as client, client.start_span("agent", "agent") as outer:
        for _ in execute(client.api, "7", "greeting", stream=True, start_span=client.start_span):
            assert client.get_span_from_context() is outer
    span, _ = sink.spans
    parent = server.requests[0].headers["X-Cozeloop-Traceparent"]
    assert parent == "00-%s-%s-01" % (outer.trace_id, span["span_id"])
    assert (span["span_name"], span["status_code"]) == ("PromptExecute", 0)
    assert json.loads(span["output"])["choices"][0]["message"]["content"] == "你好"


def test_the_span_of_a_stream_that_failed_has_the_code_of_the_server(server, sink):
    server.answers(streamed(FIRST, REFUSED))
    with new_client(server.url, "7", TOKEN, exporter=sink) as client:
        _, error = read(execute(client.api, "7", "greeting", stream=True, start_span=client.start_span))
    (span,) = sink.spans
    assert span["status_code"] == error.code == 600502002
    assert "qps limit exceeded" in span["tags_string"]["error"]
