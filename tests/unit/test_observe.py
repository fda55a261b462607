"""What ``observe`` and ``traceable`` record of a call."""

from __future__ import annotations

import functools
import gc
import io
import json
import sys
import threading
import time
import tracemalloc
import types
from collections import OrderedDict

import pytest

import cozeloop_lite
from cozeloop_lite import get_span_from_context, observe, start_span, traceable
from cozeloop_lite.decorator import observer as observer_module
from cozeloop_lite.trace import context


def input_of(span):
    return json.loads(span["input"])


def output_of(span):
    return json.loads(span["output"])


def strings(span):
    return span["tags_string"]


def incomplete(span):
    return span["tags_bool"].get("incomplete", False)


@pytest.fixture
def only(sent):
    """The one span that was sent."""

    def only():
        (span,) = sent()
        return span

    return only


# -- the span of a call -----------------------------------------------------------------------------------------------


def test_a_call_is_a_span(client, only):
    @observe
    def add(a, b=2):
        return {"sum": a + b}

    assert add(1) == {"sum": 3}
    span = only()
    assert span["span_name"] == "test_a_call_is_a_span.<locals>.add" and span["span_type"] == "custom"
    assert input_of(span) == {"a": 1, "b": 2} and output_of(span) == {"sum": 3}
    assert span["status_code"] == 0 and not incomplete(span)


def test_the_options(client, sink):
    default, client = client, cozeloop_lite.new_client(workspace_id="8", api_token="other", exporter=sink)

    @observe(name="n", span_type="t", tags={"k": 1.5}, baggage={"user_id": "u"}, client=client)
    def work():
        client.start_span("child").finish()

    work()
    assert client.flush() and default.stats()["delivered"] == 0
    child, span = sink.spans
    assert (span["span_name"], span["span_type"], span["workspace_id"]) == ("n", "t", "8")
    assert span["tags_double"] == {"k": 1.5} and strings(span) == strings(child) == {"user_id": "u"}
    assert child["parent_id"] == span["span_id"]


def test_calls_nest(client, sent):
    @observe
    def inner():
        return get_span_from_context().span_id

    @observe
    def outer():
        return [get_span_from_context().span_id, inner(), inner(), get_span_from_context().span_id]

    ids = outer()
    first, second, last = sent()
    assert ids == [last["span_id"], first["span_id"], second["span_id"], last["span_id"]]
    assert first["parent_id"] == second["parent_id"] == last["span_id"] and last["parent_id"] == "0"
    assert context.top() is None


def test_what_a_function_leaves_open_is_nobodys_parent(client, sent):
    @observe
    def careless():
        start_span("left open")

    with start_span("request"):
        careless()
        start_span("sibling").finish()
    assert sent("sibling")["parent_id"] == sent("request")["span_id"]
    assert context.top() is None


def test_a_span_that_is_finished_below_an_open_one_leaves_that_current(client, sent):
    start_span("first")
    second, third = start_span("second"), start_span("third")
    second.finish()
    assert get_span_from_context() is third
    third.finish()
    start_span("fourth").finish()
    assert sent("fourth")["parent_id"] == get_span_from_context().span_id != ""


def test_without_a_client_a_function_is_bare(logged):
    calls = []

    @observe(process_inputs=calls.append, process_outputs=calls.append)
    def work(a):
        assert get_span_from_context().span_id == ""
        return a

    assert [work(1), work(2)] == [1, 2] and calls == []
    assert len([line for line in logged() if "nothing is traced" in line]) == 1


def test_a_trace_that_is_not_sampled_costs_no_hooks(sink):
    client = cozeloop_lite.new_client(workspace_id="7", api_token="t", exporter=sink, sample_rate=0)
    calls = []
    assert observe(lambda a: a, process_inputs=calls.append, process_outputs=calls.append)(1) == 1
    assert list(observe(lambda n: (yield from range(n)), process_iterator_outputs=calls.append)(3)) == [0, 1, 2]
    assert calls == [] and client.flush() and sink.spans == []


# -- input ------------------------------------------------------------------------------------------------------------


def everything(a, b=2, *rest, key=4, **others):
    return None


@pytest.mark.parametrize(
    "args, kwargs, expected",
    [
        ((1,), {}, {"a": 1, "b": 2, "rest": [], "key": 4, "others": {}}),
        ((1, 3, 5, 6), {"key": 7, "x": 8}, {"a": 1, "b": 3, "rest": [5, 6], "key": 7, "others": {"x": 8}}),
        ((), {"b": 1, "a": 2, "self": 3}, {"a": 2, "b": 1, "rest": [], "key": 4, "others": {"self": 3}}),
    ],
)
def test_arguments_are_recorded_by_name(client, only, args, kwargs, expected):
    observe(everything)(*args, **kwargs)
    assert input_of(only()) == expected


class Shop:
    @observe
    def method(self, a):
        """"""

    @observe
    def any_number(*args):
        """"""

    @observe
    @classmethod
    def class_inside(cls, a):
        """"""

    @classmethod
    @observe
    def class_outside(cls, a):
        """"""

    @observe
    @staticmethod
    def static_inside(a):
        """"""

    @staticmethod
    @observe
    def static_outside(a):
        """"""

    @observe
    @functools.lru_cache(maxsize=None)  # noqa: B019
    def cached(self, a):
        """"""

    def plain(self, a):
        """"""

    def plain_any(*args):
        """"""

    @observe
    def generator(self, a):
        yield

    def __call__(self, a):
        """"""


def decorated(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def takes_more(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn()

    return wrapper


SHOP = Shop()


@pytest.mark.parametrize(
    "call, expected",
    [
        (lambda: SHOP.method(1), {"a": 1}),
        (lambda: Shop.method(SHOP, a=1), {"a": 1}),
        (lambda: SHOP.class_inside(1), {"a": 1}),
        (lambda: Shop.class_outside(1), {"a": 1}),
        (lambda: SHOP.static_inside(1), {"a": 1}),
        (lambda: Shop.static_outside(a=1), {"a": 1}),
        (lambda: SHOP.cached(1), {"a": 1}),
        (lambda: list(SHOP.generator(1)), {"a": 1}),
        (lambda: observe(SHOP.plain)(1), {"a": 1}),
        (lambda: observe(SHOP.plain_any)(1), {"args": [1]}),
        (lambda: observe(SHOP)(1), {"a": 1}),
        (lambda: observe(functools.partial(SHOP.plain, 1))(), {"a": 1}),
        (lambda: observe(types.MethodType(decorated(Shop.plain), SHOP))(1), {"a": 1}),
        (lambda: observe(functools.partial(everything, 0, key=1))(3, x=2), None),
        (lambda: observe(decorated(everything))(0, 3, key=1, x=2), None),
        (lambda: observe(decorated(lambda self, a: None))("me", 1), {"a": 1}),
        (lambda: observe(takes_more(lambda: None))(1, b=2), {"args": [1], "kwargs": {"b": 2}}),
        (lambda: observe(takes_more(lambda: None))(1), {"args": [1], "kwargs": {}}),
        (lambda: observe(SHOP).__call__(1), {"a": 1}),
        (lambda: observe(divmod)(7, 2), {"args": [7, 2], "kwargs": {}}),
    ],
)
def test_whose_arguments_they_are(client, only, call, expected):
    call()
    assert input_of(only()) == (expected or {"a": 0, "b": 3, "rest": [], "key": 1, "others": {"x": 2}})


@pytest.mark.skipif(sys.version_info < (3, 8), reason="syntax of CPython 3.8")
def test_positional_only_arguments(client, only):
    names = {"observe": observe}
    exec("@observe\ndef fn(a, b=2, /, c=3, **others): pass", names)
    names["fn"](1, a=4, b=5)
    assert input_of(only()) == {"a": 1, "b": 2, "c": 3, "others": {"a": 4, "b": 5}}


def test_a_wrong_call_is_recorded_as_it_was_made(client, only):
    with pytest.raises(TypeError):
        observe(lambda a: a)(1, 2, b=3)
    span = only()
    assert input_of(span) == {"args": [1, 2], "kwargs": {"b": 3}} and strings(span)["error_type"] == "TypeError"


def test_arguments_are_recorded_as_they_were_at_the_call(client, sent):
    @observe
    def spoil(messages):
        messages.append("spoilt")

    @observe
    def spoil_later(messages):
        messages.append("spoilt")
        yield

    spoil(["good"])
    list(spoil_later(["good"]))
    assert [input_of(span) for span in sent()] == [{"messages": ["good"]}] * 2


def test_a_hook_for_the_input(client, sent):
    given = []

    def hook(inputs):
        given.append(inputs)
        return "what I say"

    observe(everything, process_inputs=hook)(1, key=2)
    Shop.hooked = observe(lambda self, a: a, process_inputs=hook)
    SHOP.hooked(3)
    assert given == [{"args": (1,), "kwargs": {"key": 2}}, {"args": (SHOP, 3), "kwargs": {}}]
    assert [span["input"] for span in sent()] == ["what I say"] * 2


@pytest.mark.parametrize("name", ["record_inputs", "record_outputs"])
def test_a_text_is_no_leave_to_record(client, only, logged, name):
    """From an environment variable, perhaps, in which it says "false"."""
    observe(lambda a: {"answer": a}, **{name: "false"})("secret")
    assert "secret" not in only()[name[7:-1]]
    assert name in logged()[0]


class Order:
    """What an observed function shows; ten times at most, for without end is long."""

    def __init__(self, show):
        self.show = show
        self.shown = 0

    def __repr__(self):
        self.shown += 1
        return "<%s>" % self.show(self) if self.shown <= 10 else "<...>"


def test_what_is_observed_while_a_value_is_recorded_is_no_span(client, only):
    @observe
    def describe(order):
        return "order"

    assert describe(Order(describe)) == "order"
    assert input_of(only()) == {"order": "<order>"}


def test_nor_while_a_tag_is(client, only):
    tags = {}

    @observe(tags=tags)
    def describe(order):
        return "order"

    tags["order"] = Order(describe)
    assert describe(1) == "order"
    assert strings(only())["order"] == "<order>"


def test_nor_is_a_generator_or_a_part_of_a_whole(client, only):
    @observe
    def letters(order):
        yield from "order"

    order = Order(lambda order: "".join(letters(order)))
    assert list(letters([order, {"again": order}])) == list("order")
    assert input_of(only()) == {"order": ["<order>", {"again": "<order>"}]}


@pytest.mark.parametrize("record", [{"record_inputs": False}, {"record_outputs": False}])
def test_what_is_not_to_be_recorded(client, sent, record):
    secret = "".join(reversed("terces"))
    observe(lambda a: {"answer": a}, **record)(secret)
    list(observe(lambda a: (yield a), **record)(secret))
    list(observe(lambda a: iter([a]), process_iterator_outputs=list, **record)(secret))
    traceable(lambda span: secret, record_outputs=False)
    *spans, traced = sent()
    assert len(spans) == 3 and secret not in json.dumps(traced)
    for span in spans:
        assert (secret in span["input"]) == ("record_inputs" not in record)
        assert (secret in span["output"]) == ("record_outputs" not in record)


# -- output -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value, text", [(False, "false"), (0, "0"), ("", ""), ([], "[]"), (None, ""), ("é", "é")])
def test_what_is_recorded_of_a_result(client, only, value, text):
    observe(lambda: value)()
    assert only()["output"] == text


def test_what_the_function_sets_itself_wins(client, sent):
    @observe(process_outputs=str)
    def plain():
        get_span_from_context().set_output("mine")
        get_span_from_context().set_input("mine, too")
        return "result"

    @observe
    def generator():
        get_span_from_context().set_output("mine")
        get_span_from_context().set_input("mine, too")
        yield "item"

    plain()
    list(generator())
    traceable(lambda span: span.set_output("mine") or span.set_input("mine, too"))
    assert [(span["input"], span["output"]) for span in sent()] == [("mine, too", "mine")] * 3


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_token_counts_from_a_hook(client, only, kind):
    def hook(result):
        return kind(answer=result, _inner_tokens_dict={"input_tokens": 0, "output_tokens": 7})

    observe(lambda: "text", process_outputs=hook)()
    assert only()["tags_long"] == {"input_tokens": 0, "output_tokens": 7, "tokens": 7}


def test_token_counts_of_generators_and_streams(client, sent):
    def hook(items):
        return {"answer": "".join(items), "_inner_tokens_dict": {"input_tokens": 2, "output_tokens": len(items)}}

    list(observe(lambda: (yield from "abc"), process_outputs=hook)())
    list(observe(lambda: (yield from "abc"), process_iterator_outputs=hook)())
    list(observe(lambda: iter("abc"), process_iterator_outputs=hook)())
    for span in sent():
        assert output_of(span)["answer"] == "abc"
        assert span["tags_long"] == {"input_tokens": 2, "output_tokens": 3, "tokens": 5}


@pytest.mark.parametrize("tokens", [None, 3, [], {"input_tokens": None}, {"input_tokens": "many", "other": 1}])
def test_token_counts_that_are_none(client, only, tokens):
    observe(lambda: "text", process_outputs=lambda result: {"answer": 1, "_inner_tokens_dict": tokens})()
    span = only()
    assert span["tags_long"] == {} and output_of(span)["answer"] == 1


def test_token_counts_only_come_from_a_hook(client, only):
    observe(lambda: {"_inner_tokens_dict": {"input_tokens": 1}})()
    assert only()["tags_long"] == {}


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("do not touch")

    __repr__ = __str__


@pytest.mark.parametrize("error", [ValueError("broken hook"), HostileError()])
def test_hooks_that_raise_cost_a_log_line(client, sent, logged, error):
    def broken(*args):
        raise error

    hooks = {"process_inputs": broken, "process_outputs": broken}
    assert observe(lambda a: a, name="plain", **hooks)(1) == 1
    assert list(observe(lambda a: (yield a), name="generator", **hooks)(1)) == [1]
    hooks = {"process_inputs": broken, "process_iterator_outputs": broken}
    assert list(observe(lambda a: iter([a]), name="stream", **hooks)(1)) == [1]
    assert [(span["input"], span["output"], span["status_code"]) for span in sent()] == [("", "", 0)] * 3
    lines = logged()
    assert [line for line in lines if "the input of plain is not recorded" in line]
    assert [line for line in lines if "the output of plain is not recorded" in line]


@pytest.mark.parametrize("hook", ["process_inputs", "process_outputs"])
def test_a_hook_that_exits_exits_and_leaves_nothing_behind(client, only, hook):
    def leave(given):
        sys.exit(3)

    with pytest.raises(SystemExit):
        observe(lambda: 1, **{hook: leave})()
    only()
    assert context.top() is None


# -- exceptions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, StopIteration, BaseException])
@pytest.mark.parametrize("shape", ["function", "generator", "stream"])
def test_exceptions_are_recorded(client, only, kind, shape):
    def fail():
        raise kind("what went wrong")

    def failing_generator():
        yield 1
        fail()

    class Failing:
        def __iter__(self):
            return self

        def __next__(self):
            return fail()

    run = {
        "function": observe(fail),
        "generator": lambda: list(observe(failing_generator)()),
        "stream": lambda: next(observe(Failing, process_iterator_outputs=list)()),
    }[shape]
    if kind is StopIteration and shape != "function":
        pytest.skip("the end of a stream, and not allowed in a generator")
    with pytest.raises(kind):
        run()
    span = only()
    assert span["status_code"] == -1 and not incomplete(span)
    assert strings(span)["error"] == "what went wrong" and strings(span)["error_type"] == kind.__name__
    assert strings(span)["error_stack"].splitlines()[-1].endswith(" in fail")
    assert output_of(span) == [1] if shape == "generator" else True
    assert context.top() is None


def test_the_stack_of_an_exception_ends_where_it_was_raised(client, sent):
    @observe(name="down")
    def down(n):
        return down(n - 1) if n else 1 / 0

    with pytest.raises(ZeroDivisionError):
        down(60)
    first = strings(sent()[-1])["error_stack"]
    assert len(first.encode()) <= 1024 and len(first.splitlines()) > 1
    assert all(line.startswith(__file__) and line.endswith(" in down") for line in first.splitlines())
    inner = strings(sent()[0])["error_stack"]
    assert inner.splitlines()[-1] == first.splitlines()[-1]


def test_the_stack_of_an_exception_in_a_folder_with_a_long_name(client, only):
    names = {}
    exec(compile("def deep(n):\n    return deep(n - 1) if n else 1 / 0", "/" + "夹" * 100 + ".py", "exec"), names)
    with pytest.raises(ZeroDivisionError):
        observe(names["deep"])(10)
    lines = strings(only())["error_stack"].splitlines()
    assert 1 < len(lines) < 5 and lines[-1].endswith("夹.py:2 in deep")


def test_an_exception_that_cannot_be_shown(client, only):
    @observe
    def fail():
        raise HostileError

    with pytest.raises(HostileError):
        fail()
    assert strings(only())["error_type"] == "HostileError"


def test_an_exception_that_is_shown_by_an_observed_function_is_shown_once(client, sent):
    class Refusal(Exception):
        shown = 0

        def __str__(self):
            self.shown += 1
            return explain(self) if self.shown <= 10 else "without end"

    @observe(name="explain")
    def explain(error):
        return "no stock"

    @observe(name="work")
    def work():
        raise Refusal

    with pytest.raises(Refusal):
        work()
    assert strings(sent("work"))["error"] == "no stock"
    assert input_of(sent("explain")) == {"error": "Refusal: no stock"}


def test_an_exception_that_was_caught_is_no_failure(client, sent):
    @observe(name="fails")
    def fails():
        raise ValueError

    @observe(name="catches")
    def catches():
        try:
            fails()
        except ValueError:
            return "fine"

    catches()
    assert sent("fails")["status_code"] == -1 and sent("catches")["status_code"] == 0


# -- generators -------------------------------------------------------------------------------------------------------


@observe(name="numbers")
def numbers(n):
    yield from range(n)


def test_the_items_of_a_generator_are_its_output(client, only):
    assert list(numbers(3)) == [0, 1, 2]
    span = only()
    assert input_of(span) == {"n": 3} and output_of(span) == [0, 1, 2] and not incomplete(span)


def test_items_are_recorded_as_they_were(client, only):
    @observe
    def lists():
        yield ["good"]

    for item in lists():
        item.append("spoilt")
    assert output_of(only()) == [["good"]]


def test_many_items_are_counted(client, only):
    assert sum(1 for _ in numbers(1000)) == 1000
    output = output_of(only())
    assert output == [*range(100), "… 800 more …", *range(900, 1000)]


@pytest.mark.parametrize("n", [0, 1, 99, 100, 101, 199, 200, 201, 299, 300, 301, 399, 400, 401])
def test_no_item_is_lost_without_being_counted(client, only, n):
    list(numbers(n))
    output = output_of(only())
    expected = list(range(n)) if n <= 200 else [*range(100), "… %d more …" % (n - 200), *range(n - 100, n)]
    assert output == expected


def test_large_items(client, only):
    texts = ["a" * 400_000, "b" * 500_000, '"' * 90_000, "c" * 50_000]

    @observe
    def large():
        yield from texts

    list(large())
    output = output_of(only())
    assert output[:2] == texts[:2]
    assert [item[-1] for item in output[2:]] == ["…", "…"] and output[3].startswith('"ccc')


def test_a_million_items_take_no_memory(client, only):
    generator = numbers(1_000_000)
    for _ in range(1000):
        next(generator)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20_000):  # tracing makes it slow
            next(generator)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    count = 21_000 + sum(1 for _ in generator)
    assert count == 1_000_000 and grown < 50_000
    assert output_of(only())[-1] == 999_999


def test_items_for_a_hook_are_bounded_too(client, sent, monkeypatch, logged):
    monkeypatch.setattr(observer_module, "PROCESSED_ITEMS", 1000)
    seen = []
    list(observe(lambda: (yield from range(5000)), name="many", process_outputs=seen.append)())
    list(observe(lambda: (yield from range(1000)), process_outputs=seen.append)())
    assert seen == [[*range(1000), *range(4900, 5000)], [*range(1000)]]
    assert [line for line in logged() if "not all that many yielded was kept for its hook: 3900 in" in line]


def test_process_iterator_outputs_goes_before_process_outputs(client, only):
    options = {"process_outputs": lambda items: "one", "process_iterator_outputs": lambda items: "other"}
    list(observe(lambda: (yield 1), **options)())
    assert only()["output"] == "other"


def consume_one(generator):
    assert next(generator) == 0
    return generator


def leave_loop():
    for _ in numbers(3):
        break


def leave_by_error():
    with pytest.raises(KeyError):
        for _ in numbers(3):
            raise KeyError


def throw_away():
    with pytest.raises(GeneratorExit):
        consume_one(numbers(3)).throw(GeneratorExit)


def drop_in_a_cycle():
    loop = [consume_one(numbers(3))]
    loop.append(loop)
    del loop
    gc.collect()


@pytest.mark.parametrize(
    "leave",
    [
        lambda: consume_one(numbers(3)).close(),
        lambda: [consume_one(numbers(3))].clear(),
        leave_loop,
        leave_by_error,
        drop_in_a_cycle,
        throw_away,
    ],
)
def test_a_generator_that_is_left_early_is_incomplete(client, only, leave):
    leave()
    span = only()
    assert output_of(span) == [0] and incomplete(span) and span["status_code"] == 0
    assert context.top() is None


def test_a_generator_that_answers_close_by_returning_is_incomplete(client, only):
    @observe
    def returns():
        try:
            yield 0
        except GeneratorExit:
            return

    consume_one(returns()).close()
    assert incomplete(only())


def test_a_generator_that_goes_on_after_close_is_complete(client, only):
    @observe
    def stubborn():
        try:
            yield 0
        except GeneratorExit:
            yield 1

    generator = consume_one(stubborn())
    with pytest.raises(RuntimeError):
        generator.close()
    list(generator)
    assert output_of(only()) == [0, 1] and not incomplete(only())


def test_a_generator_that_is_never_started_is_no_span(client, sent):
    numbers(3).close()
    numbers(3)
    assert sent() == []


def test_an_error_thrown_into_a_generator_is_recorded(client, only):
    with pytest.raises(KeyError):
        consume_one(numbers(3)).throw(KeyError("thrown"))
    assert strings(only())["error_type"] == "KeyError" and output_of(only()) == [0]


def test_the_consumer_is_no_child_of_the_generator(client, sent):
    @observe(name="generator")
    def generate():
        for n in range(3):
            with start_span("inside %d" % n):
                yield n

    with start_span("consumer"):
        for n in generate():
            assert get_span_from_context().span_id == cozeloop_lite.get_span_from_context().span_id
            start_span("outside %d" % n).finish()
        assert get_span_from_context()._name == "consumer"
    consumer, generator = sent("consumer"), sent("generator")
    assert generator["parent_id"] == consumer["span_id"]
    for n in range(3):
        assert sent("outside %d" % n)["parent_id"] == consumer["span_id"]
        assert sent("inside %d" % n)["parent_id"] == generator["span_id"]


def test_what_is_open_between_steps_is_still_the_parent_after_them(client, sent):
    @observe
    def generate():
        with start_span("inside"):
            yield 1
            start_span("child").finish()

    list(generate())
    assert sent("child")["parent_id"] == sent("inside")["span_id"]


def test_cleaning_up_is_part_of_the_generator(client, sent):
    @observe(name="generator")
    def careful():
        try:
            yield 0
        finally:
            start_span("cleaning up").finish()

    generator = careful()
    with start_span("consumer"):
        next(generator)
    with start_span("another"):
        del generator
    assert sent("cleaning up")["parent_id"] == sent("generator")["span_id"]


# -- streams ----------------------------------------------------------------------------------------------------------


class Stream:
    """As the clients of model servers have them."""

    def __init__(self, items, error=None):
        self.items = list(items)
        self.error = error
        self.closed = False
        self._items = "its own"

    def __iter__(self):
        return self

    def __next__(self):
        if self.items:
            start_span("received").finish()
            return self.items.pop(0)
        if self.error:
            raise self.error
        raise StopIteration

    def __enter__(self):
        return self

    def __exit__(self, kind, error, frames):
        self.close()

    def close(self):
        self.closed = True
        return "closed"

    def usage(self):
        return {"tokens": 3}


class Pages:
    """Can be gone through, and is no iterator."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def text(self):
        return "".join(self.items)


class Decoder(Stream):
    """An iterator that ``for`` goes through in another way, as streams of client libraries do."""

    def __iter__(self):
        for item in self.items:
            yield item.upper()


def joined(items):
    return {"text": "".join(items)}


def streaming(source, **options):
    return observe(lambda: source, name="stream", process_iterator_outputs=joined, **options)()


@pytest.mark.parametrize("make", [Stream, iter, Pages, lambda text: (c for c in text), lambda text: map(str, text)])
def test_a_stream_is_recorded_as_it_is_read(client, only, sent, make):
    stream = streaming(make("abc"))
    assert [span for span in sent() if span["span_name"] == "stream"] == []
    assert list(stream) == ["a", "b", "c"]
    span = sent("stream")
    assert output_of(span) == {"text": "abc"} and not incomplete(span)


def test_a_stream_keeps_what_it_has(client):
    source = Stream("ab")
    stream = streaming(source)
    assert isinstance(stream, Stream) and stream.__class__ is Stream
    assert stream.usage() == {"tokens": 3} and stream.error is None and stream._items == "its own"
    assert iter(stream) is stream and repr(stream) == repr(source) and vars(stream) == vars(source)
    assert dir(stream) == dir(source)
    stream.error = KeyError("set from outside")
    assert source.error is stream.error
    assert stream == source and hash(stream) == hash(source)
    with pytest.raises(AttributeError):
        stream.nothing  # noqa: B018
    assert stream.close() == "closed" and source.closed


@pytest.mark.parametrize("make", [lambda: map(str, [1]), lambda: iter([1]), io.StringIO, lambda: Stream("a")])
def test_a_stream_has_nothing_that_it_had_not(client, make):
    import collections.abc
    import contextlib

    source, stream = make(), streaming(make())
    for name in ["close", "aclose", "send", "throw", "__enter__", "__aiter__", "__anext__", "__len__", "__getitem__"]:
        assert hasattr(stream, name) == hasattr(source, name), name
    names = set(collections.abc.__all__) - {"ByteString"}  # which is deprecated
    for kind in [*map(vars(collections.abc).get, names), contextlib.AbstractContextManager]:
        assert isinstance(stream, kind) == isinstance(source, kind), kind


def test_what_is_read_of_a_stream_is_part_of_its_span(client, sent):
    with start_span("consumer"):
        for _ in streaming(Stream("a")):
            start_span("between").finish()
    assert sent("received")["parent_id"] == sent("stream")["span_id"]
    assert sent("between")["parent_id"] == sent("consumer")["span_id"] == sent("stream")["parent_id"]


def test_what_the_function_left_open_is_not_the_consumers_parent(client, sent):
    @observe(process_iterator_outputs=list)
    def careless():
        start_span("left open")
        return iter("a")

    with start_span("request"):
        stream = careless()
        start_span("sibling").finish()
        list(stream)
    assert sent("sibling")["parent_id"] == sent("request")["span_id"]


def read_one(stream):
    assert next(stream) == "a"
    return stream


def leave_with(stream):
    with stream as same:
        assert same is stream
        read_one(same)


@pytest.mark.parametrize("leave", [lambda stream: read_one(stream).close(), leave_with, read_one])
@pytest.mark.parametrize("make", [Stream, lambda text: (c for c in text)])
def test_a_stream_that_is_left_early_is_incomplete(client, sent, leave, make):
    if leave is leave_with and make is not Stream:
        pytest.skip("generators have no with")
    leave(streaming(make("abc")))
    span = sent("stream")
    assert output_of(span) == {"text": "a"} and incomplete(span)


def test_leaving_the_loop_over_something_that_can_be_gone_through(client, sent):
    for _ in streaming(Pages("abc")):
        break
    assert output_of(sent("stream")) == {"text": "a"} and incomplete(sent("stream"))


def test_an_iterator_that_has_another_for_its_loop_is_gone_through_by_that_one(client, sent):
    stream = streaming(Decoder("abc"))
    assert next(stream) == "a" and [*stream] == ["B", "C"]
    assert output_of(sent("stream")) == {"text": "aBC"} and not incomplete(sent("stream"))


def test_leaving_the_loop_over_such_an_iterator_leaves_the_stream_open(client, sent):
    stream = streaming(Decoder("abc"))
    for item in stream:
        assert item == "A"
        break
    assert [span for span in sent() if span["span_name"] == "stream"] == []
    assert stream.close() == "closed"
    assert output_of(sent("stream")) == {"text": "A"} and incomplete(sent("stream"))


def test_a_stream_that_was_read_to_its_end_is_complete_whatever_follows(client, sent):
    with streaming(Stream("ab")) as stream:
        assert list(stream) == ["a", "b"]
    stream.close()
    assert list(stream) == []
    del stream
    assert not incomplete(sent("stream")) and output_of(sent("stream")) == {"text": "ab"}


def test_an_error_in_mid_stream(client, sent):
    error = OSError("connection lost")
    stream = streaming(Stream("ab", error))
    with pytest.raises(OSError) as caught:
        list(stream)
    span = sent("stream")
    assert caught.value is error and strings(span)["error"] == "connection lost"
    assert output_of(span) == {"text": "ab"} and span["status_code"] == -1


def test_an_error_of_the_consumer_in_a_with_block(client, sent):
    with pytest.raises(KeyError), streaming(Stream("ab")) as stream:
        raise KeyError(next(stream))
    assert strings(sent("stream"))["error_type"] == "KeyError"


def test_a_stream_behind_another_object(client, sent):
    class Manager:
        """Its ``with`` gives the stream."""

        def __iter__(self):
            raise NotImplementedError

        def __enter__(self):
            return Stream("ab")

        def __exit__(self, *exc_info):
            return None

    with streaming(Manager()) as stream:
        assert list(stream) == ["a", "b"]
    assert output_of(sent("stream")) == {"text": "ab"} and not incomplete(sent("stream"))


def test_a_generator_that_is_returned_keeps_send_and_throw(client, sent):
    def echo():
        got = "a"
        while got != "end":
            try:
                got = yield got
            except ValueError:
                got = "caught"

    stream = streaming(echo())
    assert next(stream) == "a" and stream.send("b") == "b" and stream.throw(ValueError()) == "caught"
    with pytest.raises(StopIteration):
        stream.send("end")
    assert output_of(sent("stream")) == {"text": "abcaught"}


def test_what_a_stream_calls_send_need_not_be_that_of_a_generator(client, sent):
    class Socket(Stream):
        def send(self, data):
            return len(data)

    stream = streaming(Socket("a"))
    assert stream.send("data") == 4 and list(stream) == ["a"]
    assert output_of(sent("stream")) == {"text": "a"}


@pytest.mark.parametrize("value", [[1, 2], "text", {"a": 1}, (1,), None, 3])
def test_what_is_no_stream_is_an_ordinary_result(client, only, value):
    assert observe(lambda: value, process_iterator_outputs=list)() is value
    only()


def test_observed_twice(client, sent):
    inner = observe(lambda: Stream("ab"), name="inner", process_iterator_outputs=joined)
    stream = observe(inner, name="outer", process_iterator_outputs=joined)()
    assert list(stream) == ["a", "b"] and isinstance(stream, Stream)
    assert sent("inner")["parent_id"] == sent("outer")["span_id"]
    assert output_of(sent("inner")) == output_of(sent("outer")) == {"text": "ab"}


def test_streams_without_a_client():
    assert list(streaming(Stream("ab"))) == ["a", "b"]


def test_the_time_to_the_first_token(client, sent):
    def words():
        yield "a"
        released.wait(10)
        yield "b"

    released = threading.Event()
    for make in (observe(words, name="generator", span_type="model"), lambda: streaming(words(), span_type="model")):
        released.clear()
        stream = make()
        before = time.time_ns() // 1000
        next(stream)
        after = time.time_ns() // 1000
        released.set()
        list(stream)
        span = sent("generator" if make.__name__ == "words" else "stream")
        first = span["tags_long"]["start_time_first_resp"]
        assert before <= first <= after
        assert span["tags_long"]["latency_first_resp"] == first - span["started_at_micros"]
    list(observe(words, name="no model")())
    assert "start_time_first_resp" not in sent("no model")["tags_long"]


def test_the_time_to_the_first_token_that_the_function_set(client, only):
    @observe(span_type="model")
    def words():
        get_span_from_context().set_start_time_first_resp(1741305600123456)
        yield "a"

    list(words())
    assert only()["tags_long"]["start_time_first_resp"] == 1741305600123456


# -- traceable --------------------------------------------------------------------------------------------------------


def test_traceable_runs_now(client, sent):
    def ask(span):
        span.set_input("question")
        span.set_tags({"k": "v"})
        traceable(lambda: start_span("grandchild").finish(), name="child")
        return ["answer"]

    assert traceable(ask, name="root", span_type="model", baggage={"user_id": "u"}) == ["answer"]
    root = sent("root")
    assert (root["input"], output_of(root), root["span_type"]) == ("question", ["answer"], "model")
    assert strings(root) == {"k": "v", "user_id": "u"}
    assert sent("child")["parent_id"] == root["span_id"]
    assert sent("grandchild")["parent_id"] == sent("child")["span_id"]


class Asker:
    def with_span(self, span):
        return span

    def without(self):
        return None

    def __call__(self, span):
        return span


@pytest.mark.parametrize(
    "fn, given",
    [
        (lambda: None, False),
        (lambda span: span, True),
        (lambda anything: anything, True),
        (lambda *args: args[0] if args else None, True),
        (lambda span=None: span, True),
        (lambda i=None: i, False),  # how a loop hands its variable to a function
        (lambda i=None, span=None: i, False),
        (lambda **kwargs: None, False),
        (Asker().with_span, True),
        (Asker().without, False),
        (Asker(), True),
        (functools.partial(lambda a, b: b, 1), True),
        (functools.partial(lambda a, b: None, 1, 2), False),
        (functools.partial(lambda a, b: None, b=2, a=1), False),
        (decorated(lambda: None), False),
        (decorated(lambda span: span), True),
        (observe(lambda: None), False),
        (list, None),
        (time.time, None),
    ],
)
def test_traceable_gives_the_span_to_who_takes_it(client, fn, given):
    result = traceable(fn, name="x")
    if given is not None:
        assert (getattr(result, "_name", None) == "x") == given


def test_traceable_records_exceptions(client, sent):
    with pytest.raises(ZeroDivisionError):
        traceable(lambda span: 1 / 0, name="division")
    assert strings(sent("division"))["error_type"] == "ZeroDivisionError"


def test_traceable_with_a_generator(client, sent):
    def generate(span):
        yield span._name

    assert list(traceable(generate, name="g")) == ["g"]
    assert list(traceable(lambda span: iter("ab"), name="s", process_iterator_outputs=joined)) == ["a", "b"]
    assert output_of(sent("g")) == ["g"] and output_of(sent("s")) == {"text": "ab"}


def test_traceable_without_a_client():
    assert traceable(lambda span: span.set_input(1) or span.trace_id) == ""
    assert traceable(lambda: 3) == 3


class Sized:
    def __len__(self):
        return 3

    def __rdivmod__(self, other):
        return other


@pytest.mark.parametrize("fn, name", [(len, "len"), (Asker(), "Asker"), (functools.partial(divmod, 1), "divmod")])
def test_names_of_what_has_none(client, only, fn, name):
    observe(fn)(Sized())
    assert only()["span_name"] == name
