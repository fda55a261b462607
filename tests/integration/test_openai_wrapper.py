"""OpenAI clients under ``openai_wrapper``: what a call records, and that nothing else about it changes.

The clients are those of the ``openai`` library, over real HTTP. Each scenario is written once, for clients that wait
and for those to be awaited.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cozeloop_lite import new_client, start_span
from cozeloop_lite.integration.wrapper import openai_wrapper
from cozeloop_lite.local import StandInServer

openai = pytest.importorskip("openai", minversion="1.30")
pydantic = pytest.importorskip("pydantic")

from cozeloop_lite.integration.wrapper.call import ModelCall  # noqa: E402
from cozeloop_lite.integration.wrapper.pieces import ChatChunks, ResponseEvents  # noqa: E402
from support import openai_server  # noqa: E402
from support.recording import RecordingServer  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HELLO = [{"role": "user", "content": "What is a span?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
KEY = "sk-test-0123456789"
SOON = 20  # seconds that no test waits unless it fails

both_kinds = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(scope="module")
def server():
    with RecordingServer() as server:
        server.default = openai_server.answer
        yield server


@pytest.fixture
def make(server):
    """``make(kind)``: a client of the library for the server."""

    def make(kind="sync", azure=False, **more):
        http = {"sync": openai.DefaultHttpxClient, "async": openai.DefaultAsyncHttpxClient}[kind]
        settings = {"api_key": KEY, "max_retries": 0, "timeout": SOON, "http_client": http(verify=False), **more}
        if azure:
            cls = {"sync": openai.AzureOpenAI, "async": openai.AsyncAzureOpenAI}[kind]
            return cls(azure_endpoint=server.url, api_version="2024-06-01", **settings)
        cls = {"sync": openai.OpenAI, "async": openai.AsyncOpenAI}[kind]
        return cls(base_url=server.url + "/v1", **settings)

    return make


@pytest.fixture
def run(make):
    """``run(scenario, kind, wrap)``: what it returned or raised."""

    def run(scenario, kind="sync", wrap=openai_wrapper, **settings):
        async def whole():
            loop_complaints = []
            asyncio.get_event_loop().set_exception_handler(lambda loop, context: loop_complaints.append(context))
            client = wrap(make(kind, **settings))
            try:
                result = "returned", shown(await scenario(client))
            except BaseException as error:
                result = "raised", chain(error)
            await got(client.close())
            return (*result, len(loop_complaints))

        return asyncio.run(whole())

    return run


def bare(client):
    """In the place of the wrapper."""
    return client


# -- one way to write what both kinds of clients do -----------------------------------------------------------------


async def got(value):
    return await value if inspect.isawaitable(value) else value


async def every(stream):
    if hasattr(type(stream), "__aiter__"):
        return [item async for item in stream]
    return list(stream)


async def following(stream):
    """The next item."""
    return await stream.__anext__() if hasattr(type(stream), "__anext__") else next(stream)


class entered:
    """``async with`` for a context manager of either kind."""

    def __init__(self, manager):
        self.manager = manager
        self.asynchronous = hasattr(type(manager), "__aenter__")

    async def __aenter__(self):
        return await self.manager.__aenter__() if self.asynchronous else self.manager.__enter__()

    async def __aexit__(self, *exc_info):
        leave = self.manager.__aexit__ if self.asynchronous else self.manager.__exit__
        return await got(leave(*exc_info))


def shown(value):
    """What there is to compare of a result."""
    if isinstance(value, pydantic.BaseModel):
        return type(value), shown({**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})})
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, BaseException):
        return chain(value)
    assert value is None or isinstance(value, (str, int, float)), value
    return value


def chain(error):
    """An exception, with those it came of."""
    if error is None:
        return None
    cause = error.__cause__
    return [type(error), str(error), type(error.__context__), chain(cause) if cause is not error else None]


# -- scenarios ------------------------------------------------------------------------------------------------------


def chat(model="words", **arguments):
    async def scenario(client):
        result = await got(client.chat.completions.create(model=model, messages=HELLO, **arguments))
        return await every(result) if arguments.get("stream") else result

    return scenario


def responses(model="words", **arguments):
    async def scenario(client):
        result = await got(client.responses.create(model=model, input="What is a span?", **arguments))
        return await every(result) if arguments.get("stream") else result

    return scenario


async def wrong_call(client):
    return await got(client.chat.completions.create(model="words"))


async def unreachable(client):
    client = client.with_options(base_url="http://127.0.0.1:9/v1")
    return await got(client.chat.completions.create(model="words", messages=HELLO))


async def left_early(client):
    stream = await got(client.chat.completions.create(model="endless", messages=HELLO, stream=True))
    first = await following(stream)
    second = await following(stream)
    await got(stream.close())
    return [first, second, stream.response.is_closed]


async def left_by_with(client):
    async with entered(
        await got(client.chat.completions.create(model="endless", messages=HELLO, stream=True))
    ) as stream:
        await following(stream)
        second = await following(stream)
    return [second, stream.response.is_closed]


async def failed_in_with(client):
    async with entered(
        await got(client.chat.completions.create(model="endless", messages=HELLO, stream=True))
    ) as stream:
        await following(stream)
        raise LookupError("of the program")


async def gone_through_twice(client):
    stream = await got(client.chat.completions.create(model="words", messages=HELLO, stream=True))
    items = [await following(stream)]
    items += await every(stream)
    return [items, await every(stream)]


async def dropped(client):
    await got(client.chat.completions.create(model="endless", messages=HELLO, stream=True))


async def helper(client):
    async with entered(completions(client).stream(model="tools", messages=HELLO)) as stream:
        kinds = [event.type for event in await every(stream)]
        return [kinds, await got(stream.get_final_completion())]


async def helper_left_early(client):
    async with entered(completions(client).stream(model="endless", messages=HELLO)) as stream:
        return (await following(stream)).type


class Answer(pydantic.BaseModel):
    answer: int


def completions(client):
    """Where ``stream`` and ``parse`` are: it has moved."""
    return client.chat.completions if hasattr(client.chat.completions, "parse") else client.beta.chat.completions


def parsed(model):
    async def scenario(client):
        return await got(completions(client).parse(model=model, messages=HELLO, response_format=Answer))

    return scenario


async def raw(client):
    response = await got(client.chat.completions.with_raw_response.create(model="words", messages=HELLO))
    return [response.headers["x-request-id"], response.parse(), response.parse(), response.http_response.json()]


async def raw_stream(client):
    create = client.chat.completions.with_raw_response.create
    response = await got(create(model="words", messages=HELLO, stream=True))
    return [response.status_code, await every(response.parse())]


def streaming_response(read, **arguments):
    async def scenario(client):
        create = client.chat.completions.with_streaming_response.create
        async with entered(create(model="words", messages=HELLO, **arguments)) as response:
            return [response.status_code, await read(response)]

    return scenario


async def read_parsed(response):
    return await got(response.parse())


async def read_text(response):
    return await got(response.text())


async def read_stream(response):
    return await every(await got(response.parse()))


async def read_lines(response):
    return await every(response.iter_lines())


async def read_nothing(response):
    return None


async def with_options(client):
    first = await got(client.with_options(timeout=5).chat.completions.create(model="words", messages=HELLO))
    second = await got(client.copy().copy().chat.completions.create(model="tools", messages=HELLO))
    return [first, second]


async def own_request(client):
    body = {"model": "words", "messages": HELLO}
    return await got(client.post("/chat/completions", body=body, cast_to=object))


async def other_request(client):
    return await got(client.embeddings.create(model="e", input="x", encoding_format="float"))


async def response_helper(client):
    async with entered(client.responses.stream(model="words", input="What is a span?")) as stream:
        kinds = [event.type for event in await every(stream)]
        return [kinds, (await got(stream.get_final_response())).output_text]


async def response_parsed(client):
    return await got(client.responses.parse(model="json", input="What is a span?", text_format=Answer))


USAGE_TOO = {"include_usage": True}
SCENARIOS = {
    "chat": chat(),
    "tools": chat("tools", tools=TOOLS, tool_choice="auto"),
    "thinks": chat("thinks"),
    "two": chat("two", n=2),
    "stream": chat(stream=True, stream_options=USAGE_TOO),
    "tools stream": chat("tools", stream=True),
    "thinks stream": chat("thinks", stream=True),
    "two stream": chat("two", stream=True),
    "broken stream": chat("broken", stream=True),
    "cut stream": chat("cut", stream=True),
    "refused": chat("refused"),
    "refused stream": chat("refused", stream=True),
    "busy": chat("busy"),
    "page": chat("page"),
    "wrong call": wrong_call,
    "unreachable": unreachable,
    "left early": left_early,
    "left by with": left_by_with,
    "failed in with": failed_in_with,
    "gone through twice": gone_through_twice,
    "dropped": dropped,
    "raw": raw,
    "raw stream": raw_stream,
    "streaming response parsed": streaming_response(read_parsed),
    "streaming response text": streaming_response(read_text),
    "streaming response stream": streaming_response(read_stream, stream=True),
    "streaming response lines": streaming_response(read_lines, stream=True),
    "streaming response nothing": streaming_response(read_nothing),
    "with options": with_options,
    "own request": own_request,
    "other request": other_request,
}
HAS_RESPONSES = hasattr(openai.OpenAI(api_key=KEY), "responses")  # openai 1.66
HAS_HELPERS = HAS_RESPONSES or hasattr(openai.OpenAI(api_key=KEY).beta, "chat")  # openai 1.40
if HAS_HELPERS:
    SCENARIOS.update(
        {
            "helper": helper,
            "helper left early": helper_left_early,
            "parsed": parsed("json"),
            "parsed short": parsed("short"),
            "parsed other": parsed("words"),
        }
    )
if HAS_RESPONSES:
    SCENARIOS.update(
        {
            "response": responses(),
            "response tools": responses("tools"),
            "response failed": responses("failed"),
            "response refused": responses("refused"),
            "response stream": responses(stream=True),
            "response tools stream": responses("tools", stream=True),
            "response failed stream": responses("failed", stream=True),
            "response broken stream": responses("broken", stream=True),
            "response cut stream": responses("cut", stream=True),
            "response helper": response_helper,
            "response parsed": response_parsed,
        }
    )


@both_kinds
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_program_sees_no_difference(run, client, name, kind):
    assert run(SCENARIOS[name], kind) == run(SCENARIOS[name], kind, wrap=bare)
    assert client.flush()
    assert client.stats()["open"] == 0


# -- what is recorded -----------------------------------------------------------------------------------------------


def tags(span):
    """All but what differs from run to run."""
    found = {**span["tags_string"], **span["tags_long"], **span["tags_double"], **span["tags_bool"]}
    for name in ("start_time_first_resp", "latency_first_resp", "error_stack"):
        if name in found:
            found[name] = "some"
    return found


def summary(span):
    return span["span_name"], span["span_type"], span["status_code"], span["input"], span["output"], tags(span)


@pytest.fixture
def recorded(run, client, sink):
    """``recorded(scenario, kind)``: the spans of it."""

    def recorded(scenario, kind="sync", wrap=openai_wrapper, **settings):
        before = len(sink.spans)
        run(scenario, kind, wrap, **settings)
        assert client.flush()
        return sink.spans[before:]

    return recorded


@pytest.fixture
def one(recorded):
    def one(scenario, kind="sync", **settings):
        (span,) = recorded(scenario, kind, **settings)
        return span

    return one


ASKED = {"messages": HELLO}
PLAIN_TAGS = {"model_provider": "openai", "stream": False}
STREAM_TAGS = {"model_provider": "openai", "stream": True}
FIRST = {"start_time_first_resp": "some", "latency_first_resp": "some"}
COUNTED = {"input_tokens": 11, "output_tokens": 7, "tokens": 18, "input_cached_tokens": 4, "reasoning_tokens": 3}
FAILED = {"error_stack": "some"}


def choice(reason="stop", index=0, **message):
    return {"index": index, "finish_reason": reason, "message": {"role": "assistant", **message}}


CALLED = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
]
TEXT = "A timed step."
LEFT = {"index": 0, "message": {"role": "assistant", "content": "A timed"}}
ONE_CHOICE = [choice(content=TEXT)]

# Name of the scenario: choices, tags beside the names of provider and model, status code
CHATS = {
    "chat": (ONE_CHOICE, {**PLAIN_TAGS, **COUNTED}, 0),
    "tools": ([choice("tool_calls", tool_calls=CALLED)], {**PLAIN_TAGS, **COUNTED}, 0),
    "thinks": ([choice(content=TEXT, reasoning_content="Let me see.")], {**PLAIN_TAGS, **COUNTED}, 0),
    "two": ([*ONE_CHOICE, choice(index=1, content=TEXT)], {**PLAIN_TAGS, **COUNTED, "call_options": '{"n":2}'}, 0),
    "stream": (ONE_CHOICE, {**STREAM_TAGS, **FIRST, **COUNTED}, 0),
    "tools stream": ([choice("tool_calls", tool_calls=CALLED)], {**STREAM_TAGS, **FIRST}, 0),
    "thinks stream": ([choice(content=TEXT, reasoning_content="Let me see.")], {**STREAM_TAGS, **FIRST}, 0),
    "two stream": ([*ONE_CHOICE, choice(index=1, content=TEXT)], {**STREAM_TAGS, **FIRST}, 0),
    "gone through twice": (ONE_CHOICE, {**STREAM_TAGS, **FIRST}, 0),
    "left early": ([LEFT], {**STREAM_TAGS, **FIRST, "incomplete": True}, 0),
    "left by with": ([LEFT], {**STREAM_TAGS, **FIRST, "incomplete": True}, 0),
    "dropped": (None, {**STREAM_TAGS, "incomplete": True}, 0),
    "raw": (ONE_CHOICE, {**PLAIN_TAGS, **COUNTED}, 0),
    "raw stream": (ONE_CHOICE, {**STREAM_TAGS, **FIRST}, 0),
    "streaming response parsed": (ONE_CHOICE, {**PLAIN_TAGS, **COUNTED}, 0),
    "streaming response text": (ONE_CHOICE, {**PLAIN_TAGS, **COUNTED}, 0),
    "streaming response stream": (ONE_CHOICE, {**STREAM_TAGS, **FIRST}, 0),
    "streaming response lines": (None, STREAM_TAGS, 0),
    "streaming response nothing": (None, {**PLAIN_TAGS, "incomplete": True}, 0),
    "own request": (ONE_CHOICE, {**PLAIN_TAGS, **COUNTED}, 0),
    "refused": (None, {**PLAIN_TAGS, **FAILED, "error_type": "NotFoundError"}, -1),
    "refused stream": (None, {**STREAM_TAGS, **FAILED, "error_type": "NotFoundError"}, -1),
    "unreachable": (None, {**PLAIN_TAGS, **FAILED, "error_type": "APIConnectionError"}, -1),
}
if HAS_HELPERS:
    tool_choices = [choice("tool_calls", tool_calls=CALLED)]
    CHATS["helper"] = (tool_choices, {**STREAM_TAGS, **FIRST}, 0)
    CHATS["parsed"] = ([choice(content=openai_server.ANSWER_JSON)], {**PLAIN_TAGS, **COUNTED}, 0)
if HAS_RESPONSES:  # where the program gets an exception instead of the answer, the span has both
    failed = {**PLAIN_TAGS, **COUNTED, **FAILED, "error_type": "LengthFinishReasonError"}
    CHATS["parsed short"] = ([choice("length", content=TEXT)], failed, -1)


@both_kinds
@pytest.mark.parametrize("name", CHATS)
def test_a_chat_is_recorded(one, name, kind):
    choices, expected, status = CHATS[name]
    span = one(SCENARIOS[name], kind)
    assert (span["span_name"], span["span_type"], span["status_code"]) == ("ChatOpenAI", "model", status)
    shown = json.loads(span["input"])
    assert shown["messages"] == HELLO
    if choices is None:
        assert span["output"] == ""
    else:
        output = json.loads(span["output"])
        for each in output["choices"]:
            if each["message"].get("tool_calls") == []:  # of some versions
                del each["message"]["tool_calls"]
        assert output == {"id": openai_server.ID, "choices": choices}
    found = tags(span)
    assert found.pop("model_name") in ("words", "tools", "thinks", "two", "json", "short", "endless", "refused")
    assert bool(found.pop("error", "")) == (status != 0)
    assert found == expected


@both_kinds
@pytest.mark.parametrize("name", ["broken stream", "cut stream"])
def test_a_stream_that_breaks_has_what_came_and_the_error(one, name, kind):
    span = one(SCENARIOS[name], kind)
    assert json.loads(span["output"])["choices"][0]["message"]["content"].startswith("A timed")
    assert span["status_code"] == -1
    assert tags(span)["error_type"] in ("APIError", "APIConnectionError", "RemoteProtocolError")


@both_kinds
def test_an_exception_of_the_program_in_a_with_block_is_recorded(one, kind):
    span = one(failed_in_with, kind)
    assert (span["status_code"], tags(span)["error"]) == (-1, "of the program")


@both_kinds
@pytest.mark.skipif(not HAS_HELPERS, reason="openai 1.40")
def test_the_helper_ends_the_span_with_its_block(run, client, kind):
    async def scenario(openai_client):
        async with entered(completions(openai_client).stream(model="endless", messages=HELLO)) as stream:
            await following(stream)
            assert client.stats()["open"] == 1
        return [client.stats()["open"], stream is not None]  # not earlier because nobody has it any more

    assert run(scenario, kind) == ("returned", [0, True], 0)


def test_the_first_token_is_text_and_not_the_beginning_of_a_message(one):
    async def scenario(client):
        stream = client.chat.completions.create(model="endless", messages=HELLO, stream=True)
        assert next(stream).choices[0].delta.role == "assistant"
        stream.close()

    assert "latency_first_resp" not in tags(one(scenario))


def test_the_time_to_the_first_token_is_within_the_span(one):
    began = time.time_ns() // 1000
    span = one(SCENARIOS["stream"])
    numbers = span["tags_long"]
    assert numbers["start_time_first_resp"] - span["started_at_micros"] == numbers["latency_first_resp"] > 0
    assert began <= span["started_at_micros"] < numbers["start_time_first_resp"] <= time.time_ns() // 1000


RESPONSES = {
    "response": (PLAIN_TAGS, 0),
    "response tools": (PLAIN_TAGS, 0),
    "response failed": ({**PLAIN_TAGS, "error": "the model failed"}, -1),
    "response stream": ({**STREAM_TAGS, **FIRST}, 0),
    "response tools stream": ({**STREAM_TAGS, **FIRST}, 0),
    "response failed stream": ({**STREAM_TAGS, "error": "the model failed"}, -1),
    "response helper": ({**STREAM_TAGS, **FIRST}, 0),
}


@both_kinds
@pytest.mark.skipif(not HAS_RESPONSES, reason="openai 1.66")
@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_is_recorded(one, name, kind):
    expected, status = RESPONSES[name]
    span = one(SCENARIOS[name], kind)
    assert (span["span_name"], span["span_type"], span["status_code"]) == ("ChatOpenAI", "model", status)
    assert json.loads(span["input"]) == {"input": "What is a span?"}
    model = tags(span)["model_name"]
    assert json.loads(span["output"]) == {"id": "resp_1", "output": openai_server._output({"model": model})}
    assert tags(span) == {"model_name": model, **expected, **COUNTED}


@both_kinds
@pytest.mark.skipif(not HAS_RESPONSES, reason="openai 1.66")
@pytest.mark.parametrize("name", ["response broken stream", "response cut stream"])
def test_a_stream_of_events_that_breaks_has_what_came_and_the_error(one, name, kind):
    span = one(SCENARIOS[name], kind)
    (item,) = json.loads(span["output"])["output"]
    assert item["content"][0]["text"].startswith("A timed")
    assert (span["status_code"], bool(tags(span)["error"])) == (-1, True)


def test_settings_become_call_options(one):
    settings = {"temperature": 0, "max_tokens": 9, "stop": "end", "top_p": 0.5, "presence_penalty": 0.25}
    span = one(chat(**settings, frequency_penalty=0.125, extra_body={"top_k": 3, "reasoning_effort": "low"}))
    assert json.loads(tags(span)["call_options"]) == {
        **settings,
        "stop": ["end"],
        "frequency_penalty": 0.125,
        "top_k": 3,
        "reasoning_effort": "low",
    }


@pytest.mark.skipif(not HAS_RESPONSES, reason="openai 1.66")
def test_what_a_response_is_asked_with_is_recorded(one):
    tools = [{"type": "function", "name": "weather", "parameters": {}, "strict": True}]
    asked = {"instructions": "Be brief.", "tools": tools, "previous_response_id": "resp_0"}
    span = one(responses(**asked, reasoning={"effort": "high"}, max_output_tokens=5, tool_choice="required"))
    assert json.loads(span["input"]) == {"input": "What is a span?", **asked, "tool_choice": {"type": "required"}}
    assert json.loads(tags(span)["call_options"]) == {"max_tokens": 5, "reasoning_effort": "high"}


def test_messages_may_be_anything_that_the_library_takes(recorded):
    async def scenario(client):
        answer = client.chat.completions.create(model="tools", messages=HELLO).choices[0].message
        result = {"role": "tool", "tool_call_id": "call_1", "content": "warm"}
        client.chat.completions.create(model="words", messages=(message for message in [*HELLO, answer, result]))

    spans = {tags(span).get("model_name"): span for span in recorded(scenario)}
    user, assistant, tool = json.loads(spans["words"]["input"])["messages"]
    assert (user, tool["content"]) == (HELLO[0], "warm")
    assert assistant["tool_calls"] == CALLED


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_images_in_messages_become_files(one):
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]

    async def scenario(client):
        client.chat.completions.create(model="words", messages=[{"role": "user", "content": parts}])

    span = one(scenario)
    shown = json.loads(span["input"])["messages"][0]["content"]
    (attachment,) = json.loads(span["object_storage"])["Attachments"]
    assert shown[0] == parts[0]
    assert shown[1]["image_url"]["url"] == attachment["tos_key"]
    assert shown[2] == parts[2]
    assert parts[1]["image_url"]["url"].endswith(PIXEL)


@both_kinds
def test_azure_is_a_provider_of_its_own(one, kind):
    span = one(chat(), kind, azure=True)
    assert (span["span_name"], tags(span)["model_provider"]) == ("AzureChatOpenAI", "azure")
    named = one(chat(), kind, azure=True, wrap=lambda client: openai_wrapper(client, chat_name="mine"))
    assert named["span_name"] == "mine"


def test_what_is_no_model_call_is_no_span(recorded):
    assert recorded(other_request) == []
    assert recorded(wrong_call) == []


def test_no_key_is_recorded(recorded):
    for name in ("chat", "refused", "with options"):
        assert KEY not in json.dumps(recorded(SCENARIOS[name]))


# -- the tree -------------------------------------------------------------------------------------------------------


@both_kinds
def test_a_call_is_a_child_of_the_current_span_and_what_comes_with_its_stream_is_not_its_child(recorded, kind):
    async def scenario(client):
        with start_span("outer"):
            stream = await got(client.chat.completions.create(model="words", messages=HELLO, stream=True))
            await following(stream)
            start_span("meanwhile").finish()
            await every(stream)
            start_span("afterwards").finish()

    spans = {span["span_name"]: span for span in recorded(scenario, kind)}
    parents = {name: span["parent_id"] for name, span in spans.items()}
    outer = spans["outer"]["span_id"]
    assert parents == {"outer": "0", "ChatOpenAI": outer, "meanwhile": outer, "afterwards": outer}


@both_kinds
def test_what_happens_inside_a_call_is_its_child(recorded, kind):
    def request(request):
        start_span("request").finish()

    async def async_request(request):
        start_span("request").finish()

    http = {
        "sync": lambda: openai.DefaultHttpxClient(event_hooks={"request": [request]}, verify=False),
        "async": lambda: openai.DefaultAsyncHttpxClient(event_hooks={"request": [async_request]}, verify=False),
    }[kind]()
    request_span, call = recorded(chat(), kind, http_client=http)
    assert (request_span["span_name"], request_span["parent_id"]) == ("request", call["span_id"])


def test_calls_that_run_at_once_have_their_own_parents(recorded):
    async def scenario(client):
        async def answer(number):
            with start_span("task %d" % number):
                stream = await client.chat.completions.create(model="words", messages=HELLO, stream=True)
                await every(stream)
                await client.chat.completions.create(model="tools", messages=HELLO)

        await asyncio.gather(*map(answer, range(5)))

    spans = recorded(scenario, "async")
    tasks = {span["span_id"]: span for span in spans if span["span_name"].startswith("task")}
    calls = [span for span in spans if span["span_name"] == "ChatOpenAI"]
    assert (len(tasks), len(calls)) == (5, 10)
    assert sorted(span["parent_id"] for span in calls) == sorted(list(tasks) * 2)
    assert all(span["trace_id"] == tasks[span["parent_id"]]["trace_id"] for span in calls)


# -- ends -----------------------------------------------------------------------------------------------------------


# CPython 3.7 takes a CancelledError for an Exception, and the library makes another one of it.
CANCELLED = ("CancelledError",) if sys.version_info >= (3, 8) else ("CancelledError", "APIConnectionError")


def test_a_call_that_is_cancelled_before_its_answer_comes(run, one, server):
    async def scenario(client):
        asked = len(server.requests)
        server.answers(openai_server.Live())  # headers, and nothing more
        task = asyncio.ensure_future(client.chat.completions.create(model="words", messages=HELLO))
        await asyncio.get_event_loop().run_in_executor(
            None, server.wait_for, lambda server: len(server.requests) > asked
        )
        task.cancel()
        await task

    span = one(scenario, "async")
    assert (span["status_code"], tags(span)["error_type"] in CANCELLED, span["output"]) == (-1, True, "")
    assert run(scenario, "async") == run(scenario, "async", wrap=bare)


def test_a_call_that_is_cancelled_in_mid_stream(run, one):
    async def scenario(client):
        reading = asyncio.Event()

        async def ask():
            stream = await client.chat.completions.create(model="endless", messages=HELLO, stream=True)
            async for _ in stream:
                reading.set()

        task = asyncio.ensure_future(ask())
        await reading.wait()
        await asyncio.sleep(0)
        task.cancel()
        await task

    span = one(scenario, "async")
    assert (span["status_code"], tags(span)["error_type"] in CANCELLED) == (-1, True)
    assert run(scenario, "async") == run(scenario, "async", wrap=bare)


@both_kinds
def test_a_stream_that_nobody_has_any_more_ends_its_span_without_the_garbage_collector(run, client, kind):
    async def scenario(openai_client):
        gc.disable()
        try:
            stream = await got(openai_client.chat.completions.create(model="endless", messages=HELLO, stream=True))
            await following(stream)
            assert client.stats()["open"] == 1
            del stream
            return client.stats()["open"]
        finally:
            gc.enable()

    assert run(scenario, kind) == ("returned", 0, 0)


def test_a_generator_that_is_closed_in_mid_stream_ends_the_span(one):
    async def scenario(client):
        def answer():
            with client.chat.completions.create(model="endless", messages=HELLO, stream=True) as stream:
                for chunk in stream:
                    yield chunk.choices[0].delta.content

        pieces = answer()
        next(pieces)
        next(pieces)
        pieces.close()

    span = one(scenario)
    assert (span["status_code"], tags(span)["incomplete"]) == (0, True)


# -- the objects of the library -------------------------------------------------------------------------------------


@both_kinds
def test_streams_and_responses_are_what_they_were(run, kind):
    async def scenario(client):
        asynchronous = kind == "async"
        stream = await got(client.chat.completions.create(model="words", messages=HELLO, stream=True))
        assert isinstance(stream, openai.AsyncStream if asynchronous else openai.Stream)
        assert hasattr(type(stream), "__anext__") == asynchronous
        assert stream.response.status_code == 200
        assert not hasattr(stream, "no_such_attribute")
        stream.mine = 1
        assert stream.mine == 1
        await every(stream)
        raw_response = await got(client.chat.completions.with_raw_response.create(model="words", messages=HELLO))
        assert type(raw_response).__name__ == "LegacyAPIResponse"
        create = client.chat.completions.with_streaming_response.create
        async with entered(create(model="words", messages=HELLO)) as response:
            assert isinstance(response, type(response))
            assert response.headers["content-type"] == "application/json"

    assert run(scenario, kind) == ("returned", None, 0)


@both_kinds
def test_the_methods_of_the_program_stay_those_of_the_library(make, kind):
    plain, wrapped = make(kind), openai_wrapper(make(kind))
    for client in (plain, wrapped):
        assert inspect.ismethod(client.chat.completions.create)
    assert wrapped.chat.completions.create.__func__ is plain.chat.completions.create.__func__
    assert inspect.signature(wrapped.with_options) == inspect.signature(plain.with_options)
    assert inspect.iscoroutinefunction(wrapped.post) == inspect.iscoroutinefunction(plain.post)


def test_wrapping_twice_traces_once(recorded):
    assert len(recorded(chat(), wrap=lambda client: openai_wrapper(openai_wrapper(client)))) == 1


def test_the_wrapper_returns_the_client_that_it_was_given(make):
    client = make()
    assert openai_wrapper(client) is client


def test_a_client_that_was_used_before_is_traced_as_well(recorded):
    def late(client):
        client.chat.completions.with_raw_response.create(model="words", messages=HELLO)
        return openai_wrapper(client)

    assert len(recorded(raw, wrap=late)) == 1


def test_other_clients_are_not_traced(make, recorded):
    assert recorded(chat(), wrap=lambda client: openai_wrapper(make()) and client) == []


@pytest.mark.parametrize("thing", [None, "client", object(), openai], ids=lambda thing: type(thing).__name__)
def test_what_is_no_client_stays_as_it_is(thing, logged):
    assert openai_wrapper(thing) is thing
    assert "takes an OpenAI client" in logged()[0]


def test_without_a_client_of_cozeloop_the_program_runs_as_before(run, logged):
    assert run(chat())[0] == "returned"
    assert run(chat(stream=True))[0] == "returned"
    (message,) = logged()
    assert "nothing is traced" in message


def test_the_spans_can_go_to_another_client(make, client, sink):
    class Sink:
        spans = ()

        def export_spans(self, spans):
            self.spans = spans

    other = Sink()
    mine = new_client(workspace_id="8", api_token="token", exporter=other)
    model = openai_wrapper(make(), loop_client=mine)
    model.with_options().chat.completions.create(model="words", messages=HELLO)
    assert mine.flush() and client.flush()
    assert ([span["span_name"] for span in other.spans], sink.spans) == (["ChatOpenAI"], [])


def test_a_broken_client_of_cozeloop_costs_a_log_line(make, logged):
    class Broken:
        def start_span(self, *args, **kwargs):
            raise RuntimeError("no")

    client = openai_wrapper(make(), loop_client=Broken())
    assert client.chat.completions.create(model="words", messages=HELLO).choices
    assert "is not traced" in logged()[0]


def test_without_the_library_nothing_is_traced(monkeypatch, logged):
    monkeypatch.setitem(sys.modules, "openai", None)
    thing = object()
    assert openai_wrapper(thing) is thing
    assert "traces nothing" in logged()[0]


# -- pieces ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def span(client):
    with start_span("chat", "model") as span:
        yield span


def test_calls_without_an_index_are_kept_apart(span):
    chunks = ChatChunks("chat", span)
    for key in ("a", "b"):
        call = {"id": key, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        chunks.add({"choices": [{"delta": {"tool_calls": [call]}}]})
    assert [call["id"] for call in chunks.body()["choices"][0]["message"]["tool_calls"]] == ["a", "b"]


def test_what_functions_were_called_with_before_there_were_tools(span):
    chunks = ChatChunks("chat", span)
    for part in ({"name": "f", "arguments": ""}, {"arguments": "{"}, {"arguments": "}"}):
        chunks.add({"choices": [{"index": 0, "delta": {"function_call": part}}]})
    assert chunks.body()["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": "{}"}


def test_an_endless_stream_takes_no_more_room_than_a_span_has(span):
    chunks, events = ChatChunks("chat", span), ResponseEvents("chat", span)
    for number in range(300):
        text = "x" * 10_000
        call = {"index": number, "function": {"arguments": text}}
        chunks.add({"choices": [{"index": number, "delta": {"content": text, "tool_calls": [call]}}]})
        events.add({"type": "response.output_text.delta", "output_index": number, "delta": text})
        item = {"type": "message", "content": [{"text": text}]}
        events.add({"type": "response.output_item.done", "output_index": number, "item": item})
    limit = span._owner.text_chars
    assert limit * 0.9 < len(json.dumps(chunks.body())) < limit * 1.1
    assert limit * 0.4 < len(json.dumps(events.body())) < limit * 1.1  # counted as pieces and when they are done


ODD = [None, 1, "text", [], {}, {"choices": 1}, {"choices": [None]}, {"choices": [{"delta": "x"}]}]
ODD += [{"choices": [{"index": [], "delta": {}}]}, {"choices": [{"delta": {"tool_calls": [1], "role": {}}}]}]
ODD += [{"type": 1}, {"type": "response.completed"}, {"type": "response.completed", "response": "x"}]
ODD += [{"type": "response.output_item.done"}, {"type": "error"}, {"type": "response.output_text.delta", "delta": 1}]
ODD += [{"choices": [{"index": "a"}, {"index": 1}], "usage": "much", "error": ["bad"]}]


@pytest.mark.parametrize("pieces", [ChatChunks, ResponseEvents])
def test_items_of_any_form_cost_a_log_line_at_most(client, make, pieces):
    call = ModelCall(make().post, "chat", "openai", None)
    for item in ODD:
        span = call.start()
        items = pieces("chat", span)
        items.add(item)
        items.add({"choices": [{"index": 0, "delta": {"content": "y"}}]})
        call.end(span, items, None)
        assert span._finished
    nested = item = {}
    for _ in range(100_000):
        item["a"] = item = {}
    pieces("chat", call.start()).add(nested)


# -- the example ----------------------------------------------------------------------------------------------------


def test_the_example_runs(server):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    with StandInServer(token="right", workspace_id="7") as platform:
        settings = {"COZELOOP_API_BASE_URL": platform.url, "COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right"}
        settings.update(OPENAI_BASE_URL=server.url + "/v1", OPENAI_API_KEY=KEY, OPENAI_MODEL="words")
        done = subprocess.run(
            [sys.executable, "-m", "examples.openai_chat"],
            cwd=str(ROOT),
            env={**plain, **settings, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert platform.store.warnings() == []
        spans = sorted(platform.store.spans(), key=lambda span: span["started_at_micros"])
    trace, first, second = done.stdout.splitlines()
    assert (trace, first, second) == ("trace " + spans[0]["trace_id"], TEXT, TEXT)
    assert [span["span_name"] for span in spans] == ["answer", "ChatOpenAI", "ChatOpenAI"]
    assert {span["parent_id"] for span in spans[1:]} == {spans[0]["span_id"]}
    assert all(span["tags_long"]["input_tokens"] == 11 for span in spans[1:])
