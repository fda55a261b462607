"""A function under ``to_runnable`` is itself, and each call of it a run that LangChain's callbacks see."""

from __future__ import annotations

import asyncio
import sys

import pytest

from cozeloop_lite.decorator import CozeLoopDecorator, coze_loop_decorator, observe, to_runnable

callbacks = pytest.importorskip("langchain_core.callbacks")


class Seen(callbacks.BaseCallbackHandler):
    """Notes what LangChain tells of runs."""

    def __init__(self):
        self.runs = []

    def on_chain_start(self, serialized, inputs, **more):
        self.runs.append([more.get("name"), inputs])

    def on_chain_end(self, outputs, **more):
        self.runs[-1].append(outputs)

    def on_chain_error(self, error, **more):
        self.runs[-1].append(error)


@pytest.fixture
def seen():
    return Seen()


@to_runnable
def double(number, plus=0):
    return number * 2 + plus


def test_a_call_is_a_run(seen):
    assert double(2, plus=1, config={"callbacks": [seen]}) == 5
    assert seen.runs == [["double", {"args": (2,), "kwargs": {"plus": 1}}, 5]]


def test_a_call_without_a_config_is_a_call():
    assert double(2) == 4
    assert double.__name__ == "double"


def test_the_config_of_the_caller_is_not_changed(seen):
    config = {"callbacks": [seen]}
    double(1, config=config)
    assert config == {"callbacks": [seen]}


@pytest.mark.parametrize("result", [None, [], 0])
def test_any_result_is_handed_on(result):
    assert to_runnable(lambda: result)() is result


@pytest.mark.parametrize("error", [ValueError("bad"), KeyError("bad")])
def test_an_error_goes_on_and_is_seen(seen, error):
    @to_runnable()
    def fail():
        raise error

    with pytest.raises(type(error)) as raised:
        fail(config={"callbacks": [seen]})
    assert raised.value is error
    assert seen.runs == [["fail", {}, error]]


def test_of_a_method_the_object_is_not_shown(seen):
    class Searcher:
        @to_runnable
        def search(self, query):
            return "found %s" % query

    assert Searcher().search("x", config={"callbacks": [seen]}) == "found x"
    assert seen.runs == [["search", {"args": ("x",)}, "found x"]]


def test_a_coroutine_function_stays_one(seen):
    @to_runnable
    async def answer(question):
        await asyncio.sleep(0)
        return question + "!"

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(answer("hi", config={"callbacks": [seen]})) == "hi!"
    finally:
        loop.close()
    assert seen.runs == [["answer", {"args": ("hi",)}, "hi!"]]


def test_generators_stay_generators(seen):
    @to_runnable
    def count(limit):
        yield from range(limit)
        return "end"

    @to_runnable
    async def acount(limit):
        for number in range(limit):
            yield number

    async def all_of_them():
        return [number async for number in acount(3)]

    assert list(count(3, config={"callbacks": [seen]})) == [0, 1, 2]
    assert seen.runs[0][:2] == ["count", {"args": (3,)}]
    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(all_of_them()) == [0, 1, 2]
    finally:
        loop.close()


def test_both_decorators_are_methods_of_an_object():
    assert isinstance(coze_loop_decorator, CozeLoopDecorator)
    assert coze_loop_decorator.observe is observe
    assert coze_loop_decorator.to_runnable is to_runnable
    assert "langchain_core" in sys.modules  # of this test; without it, the decorator loads nothing before a call
