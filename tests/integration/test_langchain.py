"""LangChain and LangGraph, the real ones: what their runs become, and that they run as without us."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import functools
import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import cozeloop_lite
from cozeloop_lite import new_client
from cozeloop_lite.local import StandInServer
from cozeloop_lite.masking import mask_secrets
from cozeloop_lite.trace import context
from cozeloop_lite.trace.span import NOOP

langchain_core = pytest.importorskip("langchain_core")
messages = pytest.importorskip("langchain_core.messages")
outputs = pytest.importorskip("langchain_core.outputs")
prompts = pytest.importorskip("langchain_core.prompts")
runnables = pytest.importorskip("langchain_core.runnables")
tools = pytest.importorskip("langchain_core.tools")
BaseChatModel = pytest.importorskip("langchain_core.language_models").BaseChatModel
FakeListLLM = pytest.importorskip("langchain_core.language_models.fake").FakeListLLM
StrOutputParser = pytest.importorskip("langchain_core.output_parsers").StrOutputParser
BaseRetriever = pytest.importorskip("langchain_core.retrievers").BaseRetriever
Document = pytest.importorskip("langchain_core.documents").Document
BaseCallbackHandler = pytest.importorskip("langchain_core.callbacks").BaseCallbackHandler

from cozeloop_lite.integration.langchain import messages as forms  # noqa: E402
from cozeloop_lite.integration.langchain import outcomes, runs  # noqa: E402 - they import langchain-core
from cozeloop_lite.integration.langchain.trace_callback import LoopTraceCallbackHandler, LoopTracer  # noqa: E402

try:
    import langchain
except ImportError:
    langchain = None
try:
    import langgraph.graph as graphs
except ImportError:
    graphs = None

ROOT = Path(__file__).resolve().parents[2]
VERSION = tuple(map(int, langchain_core.__version__.split(".")[:2]))
SOON = 30  # seconds that no test waits unless it fails
with_langgraph = pytest.mark.skipif(graphs is None, reason="needs langgraph")
with_task_contexts = pytest.mark.skipif(sys.version_info < (3, 11), reason="LangChain needs it to hand down a context")

ai, human, system = messages.AIMessage, messages.HumanMessage, messages.SystemMessage
Lambda, Parallel = runnables.RunnableLambda, runnables.RunnableParallel
PROMPT = prompts.ChatPromptTemplate.from_messages(
    [("system", "You are {who}."), prompts.MessagesPlaceholder("history"), ("human", "{question}")]
).partial(who="Ann")
ASKED = {"history": [human(content="hi"), ai(content="hello")], "question": "why?"}
USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "total_tokens": 18,
    "input_token_details": {"cache_read": 5, "cache_creation": 3},
    "output_token_details": {"reasoning": 2},
}


class Model(BaseChatModel):
    """Answers what it is told to: messages one after the other, the last one for ever; or it raises one."""

    answers: list = []
    settings: dict = {}
    info: dict = {}
    summary: dict = {}
    before: object = None  # called before it answers

    @property
    def _llm_type(self):
        return "scripted"

    @property
    def _identifying_params(self):
        return self.settings

    def _answer(self):
        if self.before is not None:
            self.before()
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, BaseException):
            raise found
        return ai(content=found) if isinstance(found, str) else found

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        generation = outputs.ChatGeneration(message=self._answer(), generation_info=self.info or None)
        return outputs.ChatResult(generations=[generation], llm_output=self.summary or None)

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        await asyncio.sleep(0)
        return self._generate(messages)

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=list(map(as_tool, tools)), **kwargs)


class Streaming(Model):
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for piece in self._answer().content.split():
            if piece == "fail":
                raise ValueError("the stream broke")
            chunk = outputs.ChatGenerationChunk(message=messages_chunk(piece))
            if run_manager is not None:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk


class Stuck(Model):
    """Does not answer before its task is cancelled."""

    begun: object = None

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        self.begun.set()
        await asyncio.sleep(SOON)


def messages_chunk(text):
    return messages.AIMessageChunk(content=text)


def as_tool(tool):
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": {}}}


@tools.tool
def weather(city: str) -> str:
    """The weather in a city."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return "rain in %s" % city


class Library(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager=None):
        if query == "nothing":
            raise LookupError("closed")
        return [Document(page_content="about " + query, metadata={"score": 0.5, "page": 1})]


CALL = {"name": "weather", "args": {"city": "Bern"}, "id": "call-1", "type": "tool_call"}


# -- how it is looked at ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stand_in():
    with StandInServer(token="right") as server:
        yield server


_workspaces = iter(range(1, 10_000))


class Traced:
    """A client of its own, and what arrived of it."""

    def __init__(self, server):
        self.workspace = str(next(_workspaces))
        self.server = server
        self.client = new_client(server.url, self.workspace, "right")

    def handler(self, **options):
        return LoopTracer.get_callback_handler(client=self.client, **options)

    def config(self, **options):
        return {"callbacks": [self.handler(**options)]}

    def spans(self):
        assert self.client.flush(SOON), self.client.stats()
        found = [span for span in self.server.store.spans() if span["workspace_id"] == self.workspace]
        assert [span["warnings"] for span in found] == [[]] * len(found)
        return sorted(found, key=lambda span: span["started_at_micros"])

    def span(self, name):
        (found,) = [span for span in self.spans() if span["span_name"] == name]
        return found

    def tree(self):
        """(name, type, name of the parent) of each span, sorted; what is open is not among them."""
        spans = self.spans()
        names = {span["span_id"]: span["span_name"] for span in spans}
        return sorted((span["span_name"], span["span_type"], names.get(span["parent_id"], "")) for span in spans)

    def parents(self):
        return {(name, parent) for name, _, parent in self.tree()}


@pytest.fixture
def traced(stand_in):
    return Traced(stand_in)


def tags(span):
    return {**span["tags_string"], **span["tags_long"], **span["tags_double"], **span["tags_bool"]}


def read(span, field):
    return json.loads(span[field])


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_each_step_of_a_chain_is_a_span_below_the_chain(traced):
    chain = PROMPT | Model(answers=["because"]) | StrOutputParser() | Lambda(str.upper).with_config(run_name="shout")
    handler = traced.handler()
    assert chain.invoke(ASKED, config={"callbacks": [handler]}) == "BECAUSE"
    assert traced.tree() == [
        ("ChatPromptTemplate", "prompt", "RunnableSequence"),
        ("Model", "model", "RunnableSequence"),
        ("RunnableSequence", "chain", ""),
        ("StrOutputParser", "parser", "RunnableSequence"),
        ("shout", "chain", "RunnableSequence"),
    ]
    root = traced.span("RunnableSequence")
    assert (handler.trace_id, handler.root_span_id) == (root["trace_id"], root["span_id"])
    assert len({span["trace_id"] for span in traced.spans()}) == 1
    assert {span["status_code"] for span in traced.spans()} == {0}
    assert root["output"] == "BECAUSE"
    assert read(root, "input") == {
        "history": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        "question": "why?",
    }
    runtime = json.loads(root["system_tags_string"]["runtime"])
    assert (runtime["library"], runtime["scene"]) == ("langchain", "integration")
    assert runtime["extra"]["langchain_core_version"] == langchain_core.__version__
    assert runtime.get("library_version") == getattr(langchain, "__version__", None)


def test_a_stream_is_the_same_tree_with_its_whole_input_and_output(traced):
    chain = PROMPT | Streaming(answers=["be cause"]) | StrOutputParser()
    assert list(chain.stream(ASKED, config=traced.config())) [:2]== ["be", "cause"]
    assert traced.parents() == {
        ("RunnableSequence", ""),
        ("ChatPromptTemplate", "RunnableSequence"),
        ("Streaming", "RunnableSequence"),
        ("StrOutputParser", "RunnableSequence"),
    }
    root = traced.span("RunnableSequence")
    assert (read(root, "input")["question"], root["output"]) == ("why?", "because")


def test_the_same_asynchronously(traced):
    chain = PROMPT | Model(answers=["because"]) | StrOutputParser()
    assert asyncio.run(chain.ainvoke(ASKED, config=traced.config())) == "because"
    assert traced.parents() == {
        ("RunnableSequence", ""),
        ("ChatPromptTemplate", "RunnableSequence"),
        ("Model", "RunnableSequence"),
        ("StrOutputParser", "RunnableSequence"),
    }


def numbered(number):
    leaf = Lambda(lambda x: x).with_config(run_name="leaf %d" % number)
    return Lambda(lambda x: leaf.invoke(x)).with_config(run_name="chain %d" % number)


EACH_BELOW_ITS_OWN = {("chain %d" % number, "") for number in range(40)} | {
    ("leaf %d" % number, "chain %d" % number) for number in range(40)
}


def test_one_handler_in_many_threads_at_once(traced):
    config, gate = traced.config(), threading.Barrier(8)

    def work(first):
        gate.wait(SOON)
        for number in range(first, 40, 8):
            assert numbered(number).invoke(number, config=config) == number

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert traced.parents() == EACH_BELOW_ITS_OWN


@with_task_contexts
def test_one_handler_in_many_tasks_at_once(traced):
    config = traced.config()

    def slow(number):
        async def leaf(x):
            await asyncio.sleep(0.001 * (number % 3))
            return x

        inner = Lambda(leaf).with_config(run_name="leaf %d" % number)

        async def outer(x):
            await asyncio.sleep(0.001 * (number % 5))
            return await inner.ainvoke(x)

        return Lambda(outer).with_config(run_name="chain %d" % number)

    async def main():
        return await asyncio.gather(*[slow(number).ainvoke(number, config=config) for number in range(40)])

    assert asyncio.run(main()) == list(range(40))
    assert traced.parents() == EACH_BELOW_ITS_OWN


def test_branches_and_batches_are_below_what_started_them(traced):
    one, two = Lambda(lambda x: x + 1).with_config(run_name="one"), Lambda(len_of).with_config(run_name="two")
    both = Parallel(one=one, two=two)
    assert both.batch([1, 2], config=traced.config()) == [{"one": 2, "two": 1}, {"one": 3, "two": 1}]
    assert sorted(name for name, _, _ in traced.tree()) == ["RunnableParallel<one,two>"] * 2 + ["one"] * 2 + ["two"] * 2
    assert traced.parents() == {
        ("RunnableParallel<one,two>", ""),
        ("one", "RunnableParallel<one,two>"),
        ("two", "RunnableParallel<one,two>"),
    }


def len_of(number):
    return len(str(number))


# -- spans of the program's own ---------------------------------------------------------------------------------------


def test_what_the_program_does_inside_a_step_is_below_that_step(traced):
    leaf = Lambda(lambda x: x).with_config(run_name="leaf")
    headers = {}

    def step(x):
        assert cozeloop_lite.get_span_from_context().trace_id
        cozeloop_lite.inject(headers)
        with traced.client.start_span("mine", "custom"):
            return leaf.invoke(x)

    with traced.client.start_span("request", "custom"):
        Lambda(step).invoke(1, config=traced.config())
        traced.client.start_span("after", "custom").finish()
    assert traced.parents() == {
        ("request", ""),
        ("step", "request"),
        ("mine", "step"),
        ("leaf", "mine"),
        ("after", "request"),
    }
    assert traced.span("step")["span_id"] in headers["X-Cozeloop-Traceparent"]


@with_task_contexts
def test_also_in_coroutines(traced):
    async def step(x):
        with traced.client.start_span("mine", "custom"):
            await asyncio.sleep(0)
            return x

    async def main():
        with traced.client.start_span("request", "custom"):
            await Lambda(step).ainvoke(1, config=traced.config())
            traced.client.start_span("after", "custom").finish()

    asyncio.run(main())
    assert traced.parents() == {("request", ""), ("step", "request"), ("mine", "step"), ("after", "request")}


def test_and_in_tools(traced):
    def look(city: str) -> str:
        """Looks."""
        traced.client.start_span("mine", "custom").finish()
        return city

    tools.tool(look).invoke({"city": "Bern"}, config=traced.config())
    assert traced.parents() == {("look", ""), ("mine", "look")}


def test_whoever_takes_the_items_of_a_stream_is_not_inside_it(traced):
    chain = PROMPT | Streaming(answers=["a b c"]) | StrOutputParser()
    with traced.client.start_span("request", "custom"):
        for _ in chain.stream(ASKED, config=traced.config()):
            traced.client.start_span("consumer", "custom").finish()
        stream = chain.stream(ASKED, config=traced.config())
        next(stream)
        traced.client.start_span("left open", "custom").finish()
    assert {parent for name, parent in traced.parents() if name in ("consumer", "left open")} == {"request"}
    assert cozeloop_lite.get_span_from_context().trace_id == ""
    traced.client.start_span("later", "custom").finish()
    assert traced.span("later")["parent_id"] == "0"
    del stream


def test_the_outermost_span_is_a_child_of_the_one_it_is_told_or_of_the_current_one(traced):
    parent = traced.client.start_span("parent", "custom")
    parent.set_baggage({"user_id": "u1"})
    parent.finish()
    with traced.client.start_span("current", "custom"):
        Lambda(lambda x: x).with_config(run_name="told").invoke(1, config=traced.config(child_of=parent))
        Lambda(lambda x: x).with_config(run_name="not told").invoke(1, config=traced.config())
    assert {("told", "parent"), ("not told", "current")} <= traced.parents()
    assert tags(traced.span("told"))["user_id"] == "u1"


def test_a_run_that_starts_when_the_one_above_has_ended_is_below_it_all_the_same(traced):
    late = []
    leaf = Lambda(lambda x: x).with_config(run_name="late")

    def step(x, config):
        late.append(functools.partial(leaf.invoke, x, config))

    Lambda(step).invoke(1, config=traced.config())
    late[0]()
    assert traced.parents() == {("step", ""), ("late", "step")}


def test_what_langgraph_hides_is_no_span_and_what_is_inside_is_below_the_one_above(traced):
    def inner(x):
        return Model(answers=["yes"]).invoke(x).content

    hidden = Lambda(inner).with_config(tags=["langsmith:hidden"])
    twice = Lambda(hidden.invoke).with_config(tags=["langsmith:hidden"])
    first = Lambda(str).with_config(run_name="first")
    assert (first | twice).with_config(run_name="outer").invoke("hi", config=traced.config()) == "yes"
    assert traced.tree() == [
        ("Model", "model", "outer"),
        ("first", "chain", "outer"),
        ("outer", "chain", ""),
    ]
    hidden.with_config(run_name="alone").invoke("hi", config=traced.config())
    assert ("alone", "") in traced.parents()


def test_a_handler_within_another_ones_step_goes_on_in_its_trace(traced):
    leaf = Lambda(lambda x: x).with_config(run_name="leaf")
    other = traced.handler()

    def step(x):
        return Lambda(lambda x: x).with_config(run_name="inner", callbacks=[other]).invoke(x, config={"callbacks": []})

    (Lambda(step) | leaf).invoke(1, config=traced.config())
    assert ("step", "RunnableSequence") in traced.parents()
    assert len({span["trace_id"] for span in traced.spans()}) == 1


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_model_span_carries_the_conversation_and_the_call(traced):
    settings = {"model": "models/gpt-x", "temperature": 0.5, "max_tokens": 9, "top_p": 0.9, "n": 1, "api_key": "hidden"}
    called = ai(content="", tool_calls=[CALL])
    model = Model(
        answers=[ai(content="It rains.", response_metadata={"id": "resp-1", "model_name": "gpt-x-1"})],
        settings=settings,
        info={"finish_reason": "stop"},
    )
    asked = [
        system(content="Be brief."),
        human(content=[{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]),
        called,
        messages.ToolMessage(content="rain in Bern", tool_call_id="call-1"),
    ]
    bound = model.bind_tools([weather], tool_choice="auto", stop=["\n"])
    assert bound.invoke(asked, config=traced.config()).content == "It rains."
    span = traced.span("Model")
    assert span["span_type"] == "model"
    function = {"name": "weather", "arguments": '{"city":"Bern"}'}
    call = {"id": "call-1", "type": "function", "function": function}
    image = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    given = read(span, "input")
    assert given["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "parts": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "rain in Bern", "name": "weather", "tool_call_id": "call-1"},
    ]
    assert [tool["function"]["name"] for tool in given["tools"]] == ["weather"]
    assert given["tool_choice"] == {"type": "auto"}
    answer = {"index": 0, "message": {"role": "assistant", "content": "It rains."}, "finish_reason": "stop"}
    assert read(span, "output") == {"id": "resp-1", "choices": [answer]}
    found = tags(span)
    assert found["model_name"] == "gpt-x-1"
    said = getattr(model, "_get_ls_params", dict)()  # since some release 0.2, LangChain makes up a provider
    assert found["model_provider"] == said.get("ls_provider", "scripted")
    options = {"temperature": 0.5, "max_tokens": 9, "top_p": 0.9, "n": 1, "stop": ["\n"]}
    assert json.loads(found["call_options"]) == options
    assert "hidden" not in json.dumps(traced.spans())


@pytest.mark.skipif(VERSION < (0, 3), reason="messages have no counts")
def test_tokens_are_counted_by_kind(traced):
    Model(answers=[ai(content="x", usage_metadata=USAGE)]).invoke("hi", config=traced.config())
    span = traced.span("Model")
    assert span["tags_long"] == {
        "input_tokens": 11,
        "output_tokens": 7,
        "tokens": 18,
        "input_cached_tokens": 5,
        "input_creation_cached_tokens": 3,
        "reasoning_tokens": 2,
    }


OPENAI = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ANTHROPIC = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": None}


@pytest.mark.parametrize(
    "summary, reasoning", [({"token_usage": OPENAI}, {"reasoning_tokens": 2}), ({"usage": ANTHROPIC}, {})]
)
def test_tokens_are_found_in_the_forms_of_providers(traced, summary, reasoning):
    Model(answers=["x"], summary={**summary, "model_name": "m"}).invoke("hi", config=traced.config())
    span = traced.span("Model")
    counts = {"input_tokens": 11, "output_tokens": 7, "tokens": 18, "input_cached_tokens": 5, **reasoning}
    assert (span["tags_long"], tags(span)["model_name"]) == (counts, "m")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "11"}, "11", 11])
def test_counts_that_are_none_are_not_made_up(traced, logged, usage):
    Model(answers=["x"], summary={"token_usage": usage}).invoke("hi", config=traced.config())
    assert (traced.span("Model")["tags_long"], logged()) == ({}, [])
    assert read(traced.span("Model"), "output")["choices"][0]["message"]["content"] == "x"


def test_the_time_to_the_first_token_is_that_of_the_first_piece(traced, monkeypatch):
    first, told = [], []

    def clock():
        told.append(time.time_ns())
        return told[-1]

    class Watch(BaseCallbackHandler):
        run_inline = True

        def on_llm_new_token(self, token, **about):
            first.append((token, len(told)))

    monkeypatch.setattr("cozeloop_lite.integration.langchain.handler.time_ns", clock)
    config = {"callbacks": [traced.handler(), Watch()]}
    pieces = [piece.content for piece in Streaming(answers=["one two"]).stream("hi", config=config)]
    assert pieces[:2] == ["one", "two"]
    assert first[0] == ("one", 1)
    span = traced.span("Streaming")
    found = tags(span)
    assert found["stream"] is True
    assert found["start_time_first_resp"] == told[0] // 1000
    assert found["latency_first_resp"] == found["start_time_first_resp"] - span["started_at_micros"]
    assert read(span, "output")["choices"][0]["message"]["content"] == "onetwo"


def test_later_pieces_do_not_change_it(traced, monkeypatch):
    monkeypatch.setattr("cozeloop_lite.integration.langchain.handler.time_ns", iter(range(10**18, 2 * 10**18)).__next__)
    list(Streaming(answers=["piece " * 2000]).stream("hi", config=traced.config()))
    assert tags(traced.span("Streaming"))["start_time_first_resp"] == 10**15


@pytest.mark.skipif(VERSION < (1, 3), reason="the newer form of streams")
def test_also_where_a_stream_is_told_in_events(traced):
    model = Streaming(answers=["one two"])
    if not hasattr(model, "stream_events"):
        pytest.skip("no such streams")
    list(model.stream_events("hi", config=traced.config(), version="v3"))
    assert "latency_first_resp" in tags(traced.span("Streaming"))


def test_no_time_to_the_first_token_where_nothing_was_streamed(traced):
    Model(answers=["one"]).invoke("hi", config=traced.config())
    assert not {"stream", "latency_first_resp"} & set(tags(traced.span("Model")))


def test_tool_calls_and_reasoning_of_an_answer(traced):
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    use = {"type": "tool_use", "id": "call-1", "name": "weather", "input": {"city": "Bern"}}
    answers = [
        ai(content=[thought, {"type": "text", "text": "I look."}, use], tool_calls=[CALL]),
        ai(content="x", additional_kwargs={"reasoning_content": "so"}),
        ai(content="", additional_kwargs={"function_call": {"name": "f", "arguments": "{"}}),
        ai(content=[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "short"}]}, "y"]),
    ]
    for number, answer in enumerate(answers):
        model = Model(answers=[answer])
        model.with_config(run_name="call %d" % number).invoke("hi", config=traced.config())
    found = [read(traced.span("call %d" % number), "output")["choices"][0]["message"] for number in range(4)]
    function = {"name": "weather", "arguments": '{"city":"Bern"}'}
    calls = [{"id": "call-1", "type": "function", "function": function}]
    assert found == [
        {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": calls},
        {"role": "assistant", "content": "x", "reasoning_content": "so"},
        {
            "role": "assistant",
            "tool_calls": [{"id": None, "type": "function", "function": {"name": "f", "arguments": "{"}}],
        },
        {"role": "assistant", "content": "y", "reasoning_content": "short"},
    ]


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURES = [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}},
    {"type": "image_url", "image_url": "data:image/png;base64," + PIXEL},
    {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": PIXEL},
    {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    {"type": "media", "mime_type": "image/png", "data": PIXEL},
    {"type": "input_image", "image_url": "data:image/png;base64," + PIXEL},
]


@pytest.mark.parametrize("block", PICTURES, ids=range(len(PICTURES)))
def test_a_picture_goes_up_as_a_file_however_a_provider_writes_it(traced, block):
    before = copy.deepcopy(block)
    asked = [human(content=[{"type": "text", "text": "what is it?"}, block])]
    Lambda(lambda x: x).pipe(Model(answers=["a dot"])).invoke(asked, config=traced.config())
    assert block == before
    span = traced.span("Model")
    text, picture = read(span, "input")["messages"][0]["parts"]
    assert (text["text"], picture["type"]) == ("what is it?", "image_url")
    key = picture["image_url"]["url"]
    assert key in span["object_storage"]
    files = traced.server.store.files()
    assert files[traced.workspace + "/" + key][:4] == b"\x89PNG"
    # Once, with the model: elsewhere it is only hinted at.
    assert len([name for name in files if name.startswith(traced.workspace + "/")]) == 1
    assert "data:image/png" in traced.span("RunnableSequence")["input"]
    assert PIXEL not in traced.span("RunnableSequence")["input"]


OTHERS = [
    ({"type": "input_audio", "input_audio": {"data": PIXEL, "format": "mp3"}}, "audio_url"),
    ({"type": "file", "file": {"file_data": "data:application/pdf;base64," + PIXEL, "filename": "a.pdf"}}, "file_url"),
    ({"type": "video", "url": "http://x/y.mp4"}, "video_url"),
]


@pytest.mark.parametrize("block, family", OTHERS, ids=["audio", "file", "video"])
def test_recordings_files_and_films_are_such(traced, block, family):
    Model(answers=["heard"]).invoke([human(content=[block])], config=traced.config())
    (part,) = read(traced.span("Model"), "input")["messages"][0]["parts"]
    assert part["type"] == family
    assert part[family]["url"]
    assert PIXEL not in traced.span("Model")["input"]


def test_content_of_an_unknown_kind_stays_as_it_is(traced):
    block = {"type": "hologram", "rays": [1, 2]}
    Model(answers=["x"]).invoke([human(content=[block])], config=traced.config())
    assert read(traced.span("Model"), "input")["messages"][0]["parts"] == [block]


def test_a_model_that_takes_text(traced):
    assert FakeListLLM(responses=["one", "two"]).generate(["a", "b"], callbacks=[traced.handler()]).generations
    spans = traced.spans()
    assert sorted(read(span, "input")["messages"][0]["content"] for span in spans) == ["a", "b"]
    assert {span["span_type"] for span in spans} == {"model"}
    answers = sorted(read(span, "output")["choices"][0]["message"]["content"] for span in spans)
    assert answers == ["one", "two"]


# -- prompts, tools, retrievers ---------------------------------------------------------------------------------------


def test_a_prompt_span_carries_template_variables_and_result(traced):
    PROMPT.invoke(ASKED, config=traced.config())
    span = traced.span("ChatPromptTemplate")
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert read(span, "input") == {
        "templates": [
            {"role": "system", "content": "You are {who}."},
            {"role": "placeholder", "content": "history"},
            {"role": "user", "content": "{question}"},
        ],
        "arguments": [
            {"key": "history", "value": history, "source": "input", "value_type": "model_message"},
            {"key": "question", "value": "why?", "source": "input", "value_type": "text"},
            {"key": "who", "value": "Ann", "source": "partial", "value_type": "text"},
        ],
    }
    asked = {"role": "user", "content": "why?"}
    assert read(span, "output") == {"prompts": [{"role": "system", "content": "You are Ann."}, *history, asked]}


def test_a_prompt_of_plain_text(traced):
    prompts.PromptTemplate.from_template("Say {word}.").invoke("yes", config=traced.config())
    span = traced.span("PromptTemplate")
    assert read(span, "input") == {
        "templates": [{"role": "user", "content": "Say {word}."}],
        "arguments": [{"key": "word", "value": "yes", "source": "input", "value_type": "text"}],
    }
    assert read(span, "output") == {"prompts": [{"role": "user", "content": "Say yes."}]}


def test_where_a_prompt_comes_from(traced):
    hub = {"lc_hub_owner": "me", "lc_hub_repo": "rag", "lc_hub_commit_hash": "abc"}
    template = prompts.PromptTemplate.from_template("x")
    template.with_config(run_name="ours", tags=["fornax_prompt_tag:key:1.0"]).invoke({}, config=traced.config())
    template.with_config(run_name="theirs", metadata=hub).invoke({}, config=traced.config())
    ours = {"prompt_key": "key", "prompt_version": "1.0", "prompt_provider": "cozeloop"}
    assert tags(traced.span("ours")) == ours
    theirs = {"prompt_key": "me/rag", "prompt_version": "abc", "prompt_provider": "langsmith"}
    assert tags(traced.span("theirs")) == theirs


def test_a_tool_span_carries_arguments_and_result(traced):
    weather.invoke({"city": "Bern"}, config=traced.config())
    span = traced.span("weather")
    assert (span["span_type"], span["output"]) == ("tool", "rain in Bern")
    assert "Bern" in span["input"]
    if VERSION >= (0, 3):
        assert read(span, "input") == {"city": "Bern"}


@pytest.mark.skipif(VERSION < (1, 0), reason="the id is not told")
def test_a_tool_that_a_model_called_knows_the_call(traced):
    answer = weather.invoke(CALL, config=traced.config())
    span = traced.span("weather")
    assert (answer.content, span["output"], tags(span)) == ("rain in Bern", "rain in Bern", {"tool_call_id": "call-1"})


@pytest.mark.skipif(VERSION < (0, 3), reason="failures are not told")
def test_a_tool_whose_failure_goes_to_the_model_has_failed(traced):
    @tools.tool
    def broken(city: str) -> str:
        """Fails."""
        raise tools.ToolException("out of order")

    broken.handle_tool_error = True
    assert broken.invoke({**CALL, "name": "broken"}, config=traced.config()).status == "error"
    span = traced.span("broken")
    assert (tags(span)["error"], span["status_code"], span["output"]) == ("out of order", -1, "out of order")


@pytest.mark.skipif(VERSION < (0, 3), reason="failures are not told")
def test_a_mask_sees_more_of_what_a_failed_tool_tells_the_model_than_is_sent(sink):
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask_secrets)
    with client.start_span("broken", "tool") as span:
        content = ["x" * 1012 + " 11010519491231002X", "and more"]
        answer = messages.ToolMessage(content=content, tool_call_id="call-1", status="error")
        outcomes.set_tool_output(span, answer)
    assert client.close(60)
    assert sink.spans[0]["tags_string"]["error"] == '["' + "x" * 1012 + ' <id_cn>",'


def test_a_retriever_span_carries_query_and_documents(traced):
    Library().invoke("cats", config=traced.config())
    span = traced.span("Library")
    assert (span["span_type"], read(span, "input")) == ("retriever", {"query": "cats"})
    document = {"content": "about cats", "score": 0.5, "metadata": {"score": 0.5, "page": 1}}
    assert read(span, "output") == {"documents": [document]}


# -- failures and ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failing, name",
    [
        (Model(answers=[ValueError("overloaded")]), "Model"),
        (weather.with_config(), "weather"),
        (Library(), "Library"),
        (Lambda(lambda x: {}[x]).with_config(run_name="step"), "step"),
    ],
    ids=["model", "tool", "retriever", "chain"],
)
def test_a_failure_is_recorded_and_goes_on_unchanged(traced, logged, failing, name):
    chain = Lambda(lambda x: x) | failing
    given = {"city": "Atlantis"} if name == "weather" else "nothing"
    with pytest.raises((ValueError, LookupError)) as bare:
        chain.invoke(given)
    with pytest.raises((ValueError, LookupError)) as watched:
        chain.invoke(given, config=traced.config())
    assert (type(bare.value), str(bare.value)) == (type(watched.value), str(watched.value))
    for span in (traced.span(name), traced.span("RunnableSequence")):
        assert span["status_code"] == -1
        assert tags(span)["error"] == str(bare.value)
        assert tags(span)["error_type"] == type(bare.value).__name__
        assert "test_langchain.py" in tags(span)["error_stack"]
        assert span["output"] == ""
    assert logged() == []


def test_a_stream_that_breaks_keeps_what_came_before(traced):
    pieces = []
    with pytest.raises(ValueError, match="the stream broke"):
        for piece in Streaming(answers=["one two fail"]).stream("hi", config=traced.config()):
            pieces.append(piece.content)
    assert pieces == ["one", "two"]
    span = traced.span("Streaming")
    assert tags(span)["error"] == "the stream broke"
    if VERSION >= (0, 2):
        assert read(span, "output")["choices"][0]["message"]["content"] == "onetwo"


def test_a_stream_that_is_left_is_incomplete_and_no_failure(traced):
    stream = Streaming(answers=["one two three"]).stream("hi", config=traced.config())
    next(stream)
    stream.close()
    span = traced.span("Streaming")
    assert (span["status_code"], tags(span).get("incomplete"), tags(span).get("error")) == (0, True, None)


async def cancelled(work, begun):
    task = asyncio.ensure_future(work)
    await asyncio.wait_for(begun.wait(), SOON)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)


def test_a_model_that_is_cancelled_is_finished(traced):
    handler = traced.handler()

    async def main():
        begun = asyncio.Event()
        await cancelled(Stuck(begun=begun).ainvoke("hi", config={"callbacks": [handler]}), begun)

    asyncio.run(main())
    if VERSION < (0, 3):  # the task is not to be known: it is finished when nobody has the handler any more
        del handler
        gc.collect()
        assert tags(traced.span("Stuck"))["incomplete"] is True
        return
    assert traced.client.stats()["open"] == 0
    assert tags(traced.span("Stuck"))["error_type"] == "CancelledError"


def test_a_chain_that_is_cancelled_is_finished_with_all_that_is_in_it(traced):
    handler = traced.handler()

    async def quick(x):
        return x

    async def main():
        begun = asyncio.Event()
        chain = Lambda(quick) | Parallel(model=Stuck(begun=begun))
        await cancelled(chain.ainvoke("hi", config={"callbacks": [handler]}), begun)

    asyncio.run(main())
    assert traced.client.stats()["open"] == 0
    errors = {span["span_name"]: tags(span).get("error_type") for span in traced.spans()}
    assert errors["Stuck"] == errors["RunnableSequence"] == errors["RunnableParallel<model>"] == "CancelledError"
    assert errors["quick"] is None


@with_task_contexts
def test_a_model_that_a_step_gave_up_waiting_for_is_finished(traced):
    handler = traced.handler()

    async def step(x):
        model = Stuck(begun=asyncio.Event())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.ainvoke(x), 0.01)
        return "gave up"

    assert asyncio.run(Lambda(step).ainvoke("hi", config={"callbacks": [handler]})) == "gave up"
    assert traced.client.stats()["open"] == 0
    assert traced.parents() == {("step", ""), ("Stuck", "step")}
    assert traced.span("step")["output"] == "gave up"


def test_what_ctrl_c_ends_is_finished_with_all_that_is_in_it(traced):
    class Interrupted(Library):
        def _get_relevant_documents(self, query, *, run_manager=None):
            raise KeyboardInterrupt

    handler = traced.handler()
    with pytest.raises(KeyboardInterrupt):
        (Lambda(lambda x: x) | Interrupted()).invoke("cats", config={"callbacks": [handler]})
    assert traced.client.stats()["open"] == 0
    assert tags(traced.span("Interrupted"))["error_type"] == "KeyboardInterrupt"


def test_what_began_in_the_task_of_a_step_is_over_with_it(traced):
    handler = traced.handler()

    async def main():
        handler.on_chain_start(None, 1, run_id=1, name="step")
        handler.on_chat_model_start(None, [[human(content="hi")]], run_id=2, parent_run_id=1, name="given up")
        handler.on_chain_end(1, run_id=1)

    asyncio.run(main())
    assert tags(traced.span("given up"))["incomplete"] is True
    assert traced.client.stats()["open"] == 0


def test_of_branches_one_that_fails_does_not_end_the_others(traced):
    handler, gate = traced.handler(), []

    async def slow(x):
        await asyncio.sleep(0.02)
        gate.append(x)
        return "slow"

    async def fail(x):
        raise ValueError("no")

    async def main():
        both = Parallel(slow=Lambda(slow), fail=Lambda(fail))
        with pytest.raises(ValueError):
            await both.ainvoke(1, config={"callbacks": [handler]})
        while traced.client.stats()["open"]:  # which ends with the slow one, on a thread perhaps
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), SOON))
    assert gate
    assert (traced.span("slow")["output"], traced.span("slow")["status_code"]) == ("slow", 0)


def test_what_has_no_end_ends_with_its_handler(traced):
    handler = traced.handler()
    handler.on_chain_start(None, {"a": 1}, run_id=1, name="endless")
    handler.on_chain_start(None, {"a": 1}, run_id=2, parent_run_id=1, name="below")
    assert traced.client.stats()["open"] == 2
    del handler
    gc.collect()
    assert traced.client.stats()["open"] == 0
    assert {tags(span)["incomplete"] for span in traced.spans()} == {True}


def test_runs_without_an_end_are_bounded(traced, monkeypatch):
    monkeypatch.setattr(runs, "MAX_OPEN", 32)
    monkeypatch.setattr(runs, "MAX_ENDED", 32)
    handler = traced.handler()
    for number in range(1000):
        handler.on_chain_start(None, number, run_id=number, name="endless")
        handler.on_chain_start(None, number, run_id=-1 - number, name="short")
        handler.on_chain_end(number, run_id=-1 - number)
    assert traced.client.stats()["open"] <= 32
    assert len(handler._runs._open) <= 32
    assert len(handler._runs._ended) <= 32
    assert len(traced.spans()) >= 1968


def test_nothing_is_left_on_the_tasks_of_the_program(traced):
    async def main():
        before = asyncio.current_task()
        await (PROMPT | Model(answers=["x"])).ainvoke(ASKED, config=traced.config())
        return before.remove_done_callback, len(getattr(before, "_callbacks", None) or ())

    async def bare():
        return len(getattr(asyncio.current_task(), "_callbacks", None) or ())

    assert asyncio.run(main())[1] == asyncio.run(bare())


def test_of_a_run_that_ended_nothing_is_kept_alive(traced):
    def top():
        found = context.top()
        return None if found is None or found.span is NOOP else found

    step = Lambda(lambda x: x)
    step.invoke("x" * 10**6, config=traced.config())
    assert context.top() is None

    async def main():
        await step.ainvoke("x" * 10**6, config=traced.config())
        return top()

    assert asyncio.run(main()) is None


def test_events_of_unknown_runs_and_twice_told_ones_are_ignored(traced, logged):
    handler = traced.handler()
    handler.on_llm_new_token("x", run_id=5)
    handler.on_llm_end(None, run_id=5)
    handler.on_chain_error(ValueError("x"), run_id=5)
    for _ in range(2):
        handler.on_chain_start(None, 1, run_id=6, name="once")
    for _ in range(2):
        handler.on_chain_end(1, run_id=6)
    assert [name for name, _, _ in traced.tree()] == ["once"]
    assert traced.client.stats()["open"] == 0
    assert logged() == []


# -- the options ------------------------------------------------------------------------------------------------------


def test_names_and_tags_are_the_programs_to_choose(traced):
    asked = []

    def more(name):
        asked.append(name)
        return {"step": name, "kind": "own"}

    config = traced.config(modify_name_fn=str.upper, add_tags_fn=more, tags={"app": "a", "kind": "all"})
    Lambda(lambda x: x).with_config(run_name="leaf").invoke(1, config=config)
    assert tags(traced.span("LEAF")) == {"app": "a", "kind": "own", "step": "leaf"}
    assert asked == ["leaf"]


@pytest.mark.parametrize("wrong", [None, "", 5])
def test_hooks_that_give_nothing_useful_change_nothing(traced, wrong):
    config = traced.config(modify_name_fn=lambda name: wrong, add_tags_fn=lambda name: wrong)
    assert Lambda(lambda x: x).with_config(run_name="leaf").invoke(1, config=config) == 1
    assert len(traced.spans()) == 1


def test_hooks_that_fail_cost_a_line_in_the_log(traced, logged):
    def bad(name):
        raise RuntimeError("bad hook")

    config = traced.config(modify_name_fn=bad, add_tags_fn=bad, tags={"app": "a"})
    assert Lambda(lambda x: x).with_config(run_name="leaf").invoke(1, config=config) == 1
    assert tags(traced.span("leaf")) == {"app": "a"}
    assert [line for line in logged() if "bad hook" in line] == logged()
    assert len(logged()) == 2


def test_a_step_finds_its_span_in_its_input_when_it_is_told_where(traced):
    def step(state):
        with traced.client.start_span("mine", "custom", child_of=state["ctx"]):
            return state["x"]

    assert Lambda(step).invoke({"x": 1}, config=traced.config(state_span_ctx_key="ctx")) == 1
    assert traced.parents() == {("step", ""), ("mine", "step")}
    assert read(traced.span("step"), "input") == {"x": 1}
    given = {"x": 1, "ctx": "mine"}
    both = Lambda(lambda state: state).with_config(run_name="same")
    assert (both | both).invoke(given, config=traced.config(state_span_ctx_key="ctx")) is given
    assert given == {"x": 1, "ctx": "mine"}
    assert Lambda(lambda x: x).invoke(5, config=traced.config(state_span_ctx_key="ctx")) == 5


def test_without_settings_the_chain_runs_and_one_line_says_so(logged):
    handler = LoopTracer.get_callback_handler()
    for _ in range(3):
        assert (PROMPT | Model(answers=["x"]) | StrOutputParser()).invoke(ASKED, config={"callbacks": [handler]}) == "x"
    assert [line for line in logged() if "nothing is traced" in line] == logged()
    assert len(logged()) == 1


def test_the_default_client_is_used_when_none_is_given(sink, client):
    config = {"callbacks": [LoopTracer.get_callback_handler()]}
    Lambda(lambda x: x).with_config(run_name="leaf").invoke(1, config=config)
    assert client.flush(SOON)
    assert [span["span_name"] for span in sink.spans] == ["leaf"]


def test_what_is_not_to_be_recorded_is_not(stand_in):
    client = new_client(stand_in.url, "20001", "right", record_inputs=False, record_outputs=False)
    config = {"callbacks": [LoopTracer.get_callback_handler(client=client)]}
    chain = PROMPT | Model(answers=["x"]) | StrOutputParser()
    chain.invoke(ASKED, config=config)
    weather.invoke({"city": "Bern"}, config=config)
    Library().invoke("cats", config=config)
    assert client.flush(SOON)
    found = [span for span in stand_in.store.spans() if span["workspace_id"] == "20001"]
    assert len(found) == 6
    assert {span["input"] + span["output"] for span in found} == {""}


def test_a_trace_that_is_not_sampled_costs_nothing_and_is_not_sent(stand_in):
    client = new_client(stand_in.url, "20002", "right", sample_rate=0)
    config = {"callbacks": [LoopTracer.get_callback_handler(client=client)]}
    assert (PROMPT | Model(answers=["x"]) | StrOutputParser()).invoke(ASKED, config=config) == "x"
    assert client.stats()["sampled_out"] == 4


# -- as if we were not there ------------------------------------------------------------------------------------------


def test_the_handler_is_one_of_langchain_that_never_raises(traced):
    handler = traced.handler()
    assert isinstance(handler, BaseCallbackHandler)
    assert isinstance(handler, LoopTraceCallbackHandler)
    assert (handler.raise_error, handler.run_inline) == (False, True)
    assert copy.deepcopy({"callbacks": [handler]}) == {"callbacks": [handler]}
    assert copy.copy(handler) is handler


class Hostile:
    def __getattribute__(self, name):
        if name == "__class__":  # LangChain itself looks at that
            return Hostile
        raise RuntimeError("do not look")


class Circle(dict):
    def __init__(self):
        super().__init__()
        self["self"] = self

    def __deepcopy__(self, memo):
        raise RuntimeError("do not copy")


VALUES = [Hostile, Circle, lambda: [[]] * 10**5, lambda: "\ud800", lambda: float("nan"), lambda: {1: {2: 3}}]


@pytest.mark.parametrize("make", VALUES, ids=range(len(VALUES)))
def test_any_value_goes_through_as_it_is(traced, logged, make):
    same, value = [], make()
    Lambda(lambda x: same.append(x) or x).with_config(run_name="leaf").invoke(value, config=traced.config())
    assert same[0] is value
    assert len(traced.spans()) == 1
    assert logged() == []


def test_a_large_value_is_not_searched_for_messages():
    few, many = [human(content="hi")], [human(content="hi")] * 2000
    shown = forms.shown({"few": few, "many": many, "deep": [[[[[[[few]]]]]]]})
    assert shown["few"] == [{"role": "user", "content": "hi"}]
    assert shown["many"] is many
    assert forms.shown([[1] * 500] * 500)[-1] == [1] * 500
    assert repr(few) in repr(shown["deep"])


def test_what_cannot_be_described_is_still_a_span_in_its_place(traced, logged, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("cannot describe")

    for name in ("shown", "message", "conversation"):
        monkeypatch.setattr("cozeloop_lite.integration.langchain.messages." + name, broken)
    chain = PROMPT | Model(answers=["x"]) | StrOutputParser()
    assert chain.invoke(ASKED, config=traced.config()) == "x"
    assert len(traced.parents()) == 4
    assert traced.client.stats()["open"] == 0
    assert any("cannot describe" in line for line in logged())


def scripted(answers):
    return PROMPT | Streaming(answers=list(answers)) | StrOutputParser()


def by_invoke(chain, config):
    return chain.invoke(ASKED, config=config)


def by_stream(chain, config):
    return list(chain.stream(ASKED, config=config))


def by_batch(chain, config):
    one_at_a_time = {**config, "max_concurrency": 1}  # of two threads, either may get the first scripted answer
    return chain.batch([ASKED, ASKED], config=one_at_a_time, return_exceptions=True)


def by_ainvoke(chain, config):
    return asyncio.run(chain.ainvoke(ASKED, config=config))


def by_astream(chain, config):
    async def main():
        return [piece async for piece in chain.astream(ASKED, config=config)]

    return asyncio.run(main())


def by_events(chain, config):
    async def main():
        found = []
        async for event in chain.astream_events(ASKED, config=config, version="v2" if VERSION >= (0, 2) else "v1"):
            found.append((event["event"], event["name"], sorted(event["data"]), event.get("tags")))
        return found

    return asyncio.run(main())


def outcome(way, chain, config):
    try:
        return way(chain, config)
    except Exception as error:
        return type(error), str(error), type(error.__cause__), type(error.__context__)


@pytest.mark.parametrize("way", [by_invoke, by_stream, by_batch, by_ainvoke, by_astream, by_events])
@pytest.mark.parametrize(
    "answers", [["one two"], ["one fail"], [ValueError("down"), "up"]], ids=["good", "breaks", "fails then works"]
)
@pytest.mark.parametrize("wrap", [lambda chain: chain, lambda chain: chain.with_retry(wait_exponential_jitter=False)])
def test_with_and_without_the_handler_a_chain_does_the_same(traced, way, answers, wrap):
    asked = copy.deepcopy(ASKED)
    bare = outcome(way, wrap(scripted(answers)), {"tags": ["t"]})
    watched = outcome(way, wrap(scripted(answers)), {"tags": ["t"], **traced.config()})
    assert repr(watched) == repr(bare)
    assert asked == ASKED
    assert traced.spans()
    assert traced.client.stats()["open"] == 0


def test_context_variables_of_the_program_are_as_without_us(traced):
    import contextvars

    variable = contextvars.ContextVar("variable", default="before")
    seen = []
    step = Lambda(lambda x: seen.append(variable.get()) or variable.set("inside"))
    variable.set("outside")
    step.invoke(1, config=traced.config())
    assert (seen, variable.get()) == (["outside"], "outside")


def test_langchain_is_imported_when_a_handler_is_made():
    program = """
import sys
from cozeloop_lite.integration.langchain.trace_callback import LoopTracer
assert not [name for name in sys.modules if name.startswith(("langchain", "pydantic", "asyncio"))]
sys.modules["langchain_core"] = None
try:
    LoopTracer.get_callback_handler()
except ImportError as error:
    print(error)
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**plain, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "langchain" in done.stdout


# -- graphs -----------------------------------------------------------------------------------------------------------


def graph_of(*nodes, state=dict, **options):
    builder = graphs.StateGraph(state)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes):
        builder.add_node(name, node)
    for one, other in zip([graphs.START, *names], [*names, graphs.END]):
        builder.add_edge(one, other)
    return builder.compile(**options)


def ask(state):
    return {"asked": True}


def reply(state):
    return {"reply": Model(answers=["yes"]).invoke("hi").content}


@with_langgraph
def test_a_graph_and_its_nodes(traced):
    assert graph_of(ask, reply).invoke({"x": 1}, config=traced.config()) == graph_of(ask, reply).invoke({"x": 1})
    assert traced.tree() == [
        ("LangGraph", "graph", ""),
        ("Model", "model", "reply"),
        ("ask", "chain", "LangGraph"),
        ("reply", "chain", "LangGraph"),
    ]


@with_langgraph
@with_task_contexts
def test_the_same_asynchronously_and_as_a_stream(traced):
    async def areply(state):
        traced.client.start_span("mine", "custom").finish()
        return {"reply": (await Model(answers=["yes"]).ainvoke("hi")).content}

    async def main():
        graph = graph_of(ask, areply)
        first = await graph.ainvoke({"x": 1}, config=traced.config())
        return first, [piece async for piece in graph.astream({"x": 1}, config=traced.config())]

    assert asyncio.run(main()) == ({"reply": "yes"}, [{"ask": {"asked": True}}, {"areply": {"reply": "yes"}}])
    below = {("ask", "LangGraph"), ("areply", "LangGraph"), ("Model", "areply"), ("mine", "areply"), ("LangGraph", "")}
    assert traced.parents() == below


@with_langgraph
def test_a_node_finds_its_span_in_the_state(traced):
    from langgraph.checkpoint.memory import InMemorySaver

    typing = pytest.importorskip("typing")
    states = [typing.TypedDict("State", {"x": int, "ctx": object}), typing.TypedDict("State", {"x": int})]

    def step(state):
        with traced.client.start_span("mine", "custom", child_of=state["ctx"]):
            return {"x": state["x"] + 1}

    config = {**traced.config(state_span_ctx_key="ctx"), "configurable": {"thread_id": "1"}}
    for state in states:
        graph = graph_of(step, state=state, checkpointer=InMemorySaver())
        assert graph.invoke({"x": 1}, config=config) == {"x": 2}
    assert traced.parents() == {("LangGraph", ""), ("step", "LangGraph"), ("mine", "step")}


@with_langgraph
def test_an_agent_with_a_tool(traced):
    agents = pytest.importorskip("langchain.agents")
    if not hasattr(agents, "create_agent"):
        pytest.skip("another form of agents")

    def run(config):
        model = Model(answers=[ai(content="", tool_calls=[CALL]), ai(content="It rains.")])
        return agents.create_agent(model, [weather]).invoke({"messages": [human(content="Bern?")]}, config=config)

    def told(result):
        return [(message.type, message.content) for message in result["messages"]]

    assert told(run(traced.config())) == told(run({}))
    tree = traced.tree()
    assert ("LangGraph", "agent", "") in tree
    assert ("weather", "tool", "tools") in tree
    assert [entry for entry in tree if entry[1] == "model"] == [("Model", "model", "model")] * 2
    second = traced.spans()[-1]
    assert traced.span("weather")["output"] == "rain in Bern"
    assert tags(traced.span("weather"))["tool_call_id"] == "call-1"
    assert second["trace_id"] == traced.spans()[0]["trace_id"]


@with_langgraph
def test_a_graph_that_waits_for_a_person_has_not_failed(traced):
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command, interrupt

    def approve(state):
        return {"x": interrupt("may I?")}

    typing = pytest.importorskip("typing")
    graph = graph_of(approve, state=typing.TypedDict("State", {"x": object}), checkpointer=InMemorySaver())
    config = {**traced.config(), "configurable": {"thread_id": "1"}}
    graph.invoke({"x": 0}, config=config)
    (span,) = [span for span in traced.spans() if span["span_name"] == "approve"]
    assert (span["status_code"], tags(span)) == (0, {"interrupted": "GraphInterrupt"})
    assert graph.invoke(Command(resume="yes"), config=config)["x"] == "yes"
    assert {span["status_code"] for span in traced.spans()} == {0}


@with_langgraph
def test_a_graph_whose_node_fails(traced):
    def fail(state):
        raise ValueError("no")

    for config in ({}, traced.config()):
        with pytest.raises(ValueError, match="no") as raised:
            graph_of(fail).invoke({"x": 1}, config=config)
        assert type(raised.value) is ValueError
    assert {tags(span)["error"] for span in traced.spans()} == {"no"}
    assert traced.client.stats()["open"] == 0


# -- the example ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(VERSION < (0, 2), reason="it is written for what people install")
def test_the_example(traced):
    settings = {
        "COZELOOP_API_BASE_URL": traced.server.url,
        "COZELOOP_WORKSPACE_ID": traced.workspace,
        "COZELOOP_API_TOKEN": "right",
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    done = subprocess.run(
        [sys.executable, "-m", "examples.langchain_chain"],
        cwd=str(ROOT), env={**plain, **settings}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["trace " + traced.span("request")["trace_id"], "One timed step."]
    assert {("find_passages", "RunnableParallel<passages>"), ("search", "find_passages")} <= traced.parents()
    assert len({span["trace_id"] for span in traced.spans()}) == 1
    assert {tags(span)["user_id"] for span in traced.spans()} == {"uid-123"}
