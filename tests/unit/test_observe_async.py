"""Async functions and async generators under ``observe``: the same behaviour as without it, and what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import json
import sys
import traceback
import types
import warnings
import weakref

import pytest

from cozeloop_lite import get_span_from_context, observe, start_span, traceable
from cozeloop_lite.trace import context


def bare(fn=None, **options):
    return fn if fn is not None else bare


@pytest.fixture(params=["bare", "observed", "observed, without a client"])
def decorator(request):
    """``observe``, or what leaves the function as it is."""
    if request.param == "observed":
        request.getfixturevalue("client")
    elif request.param == "observed, without a client":
        observe(len)("")  # says once that nothing is traced; pytest keeps what was logged, exceptions included
    return bare if request.param == "bare" else observe


class Turn:
    """``await Turn("x")`` hands "x" to whoever drives the coroutine, and gives what that one sends."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        return (yield self.value)


class Silent(ValueError):
    pass


class Thing:
    pass


def finish(coroutine):
    """The result of a coroutine that waits for nothing more."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


# -- coroutines driven by hand ----------------------------------------------------------------------------------------


def test_what_a_coroutine_waits_for_is_handed_on(decorator):
    @decorator
    async def ask():
        return [await Turn("first"), await Turn("second")]

    coroutine = ask()
    assert inspect.getcoroutinestate(coroutine) == "CORO_CREATED"
    assert coroutine.send(None) == "first"
    assert inspect.getcoroutinestate(coroutine) == "CORO_SUSPENDED"
    assert coroutine.send(1) == "second"
    with pytest.raises(StopIteration) as stop:
        coroutine.send(2)
    assert stop.value.value == [1, 2]
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)


def test_a_coroutine_is_lazy(decorator):
    log = []

    @decorator
    async def work():
        log.append("started")

    coroutine = work()
    assert log == []
    finish(coroutine)
    assert log == ["started"]
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        unstarted = work()
        unstarted.send(1)
    unstarted.close()


@pytest.mark.parametrize("value", [None, False, object(), StopIteration(3), (1, 2), KeyError()])
def test_the_result_is_the_very_object(decorator, value):
    @decorator
    async def give():
        await Turn(1)
        return value

    coroutine = give()
    coroutine.send(None)
    assert finish(coroutine) is value


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_the_exception_is_the_very_object(decorator, kind):
    error, cause = kind("message"), KeyError()
    error.__cause__ = cause

    @decorator
    async def fail():
        await Turn(1)
        raise error

    coroutine = fail()
    coroutine.send(None)
    with pytest.raises(kind) as caught:
        coroutine.send(None)
    assert caught.value is error and error.__cause__ is cause and error.__context__ is None
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_iteration_in_the_body(decorator, kind):
    @decorator
    async def fail():
        raise kind("in the body")

    with pytest.raises(RuntimeError if kind is StopIteration else kind) as caught:
        fail().send(None)
    if kind is StopIteration:
        assert str(caught.value) == "coroutine raised StopIteration" and type(caught.value.__cause__) is StopIteration


@pytest.mark.filterwarnings("ignore:.*signature of throw.*:DeprecationWarning")
@pytest.mark.parametrize(
    "form", [lambda: (Silent("x"),), lambda: (Silent,), lambda: (Silent, "x"), lambda: (Silent, Silent("x"), None)]
)
def test_throw_in_all_its_forms(decorator, form):
    caught = []

    @decorator
    async def swallow():
        while True:
            try:
                await Turn(len(caught))
            except Silent as error:
                caught.append(error)

    coroutine = swallow()
    coroutine.send(None)
    assert coroutine.throw(*form()) == 1
    assert type(caught[0]) is Silent and caught[0].__context__ is None
    assert [frame.name for frame in traceback.extract_tb(caught[0].__traceback__)][-1] == "__await__"
    assert coroutine.send(None) == 1
    with pytest.raises(KeyError) as uncaught:
        coroutine.throw(KeyError("uncaught"))
    assert traceback.extract_tb(uncaught.value.__traceback__)[-1].name == "__await__"


class Future:
    """Waits as those of asyncio do: what is thrown is raised where the coroutine awaits."""

    def __await__(self):
        return iter([self])


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython 3.12 takes it for the result of what is awaited")
def test_throw_a_stop_iteration(decorator):
    caught = []

    @decorator
    async def swallow():
        try:
            await Future()
        except StopIteration as error:
            caught.append(error)

    coroutine, error = swallow(), StopIteration("thrown")
    coroutine.send(None)
    with pytest.raises(StopIteration):
        coroutine.throw(error)
    assert caught == [error]


def test_throw_into_a_coroutine_that_has_not_started(decorator):
    @decorator
    async def work():
        raise AssertionError

    error = Silent()
    with pytest.raises(Silent) as caught:
        work().throw(error)
    assert caught.value is error


def test_throw_a_generator_exit_that_is_survived(decorator):
    @decorator
    async def survive():
        try:
            await Future()
        except GeneratorExit:
            return await Turn("again")

    coroutine = survive()
    coroutine.send(None)
    assert coroutine.throw(GeneratorExit()) == "again"
    with pytest.raises(StopIteration) as stop:
        coroutine.send("value")
    assert stop.value.value == "value"


def test_close(decorator):
    log = []

    @decorator
    async def careful():
        try:
            await Turn(1)
        except GeneratorExit as error:
            log.append(type(error))
            raise
        finally:
            log.append("cleaned up")

    coroutine = careful()
    coroutine.close()
    assert log == []
    coroutine = careful()
    coroutine.send(None)
    assert coroutine.close() is None
    assert log == [GeneratorExit, "cleaned up"]


def test_close_of_a_coroutine_that_ignores_it(decorator):
    @decorator
    async def stubborn():
        for _ in range(2):
            try:
                await Turn(1)
            except GeneratorExit:
                pass

    coroutine = stubborn()
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
        coroutine.close()
    finish(coroutine)


def test_no_exception_is_being_handled_in_a_step(decorator):
    @decorator
    async def looks():
        try:
            await Turn(1)
        except Silent:
            pass
        await Turn(sys.exc_info()[1])
        try:
            await Turn(sys.exc_info()[1])
        except KeyError as error:
            raise ValueError from error

    coroutine = looks()
    coroutine.send(None)
    assert coroutine.throw(Silent()) is None
    assert coroutine.send(None) is None
    error = KeyError()
    with pytest.raises(ValueError) as caught:
        coroutine.throw(error)
    assert caught.value.__context__ is error and error.__context__ is None


def test_a_coroutine_that_is_never_awaited_says_so(decorator):
    @decorator
    async def forgotten():
        """"""

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forgotten()
        gc.collect()
    assert [str(each.message).split("<locals>.")[-1] for each in caught] == ["forgotten' was never awaited"]


def test_a_coroutine_that_awaits_itself(decorator):
    @decorator
    async def itself():
        await coroutine

    coroutine = itself()
    with pytest.raises((ValueError, RuntimeError)):
        coroutine.send(None)


def test_iterable_coroutines(decorator):
    @decorator
    @types.coroutine
    def old():
        return (yield "item")

    @decorator
    async def new():
        return await old()

    coroutine = new()
    assert coroutine.send(None) == "item"
    with pytest.raises(StopIteration) as stop:
        coroutine.send("answer")
    assert stop.value.value == "answer"


def test_what_a_coroutine_was_given_dies_with_it(decorator, no_gc):
    @decorator
    async def use(thing, fail):
        await Turn(1)
        if fail:
            raise Silent(thing)
        return thing

    for fail in (False, True):
        thing = Thing()
        argument = weakref.ref(thing)
        coroutine = use(thing, fail)
        del thing
        coroutine.send(None)
        try:
            coroutine.send(None)
        except Silent as error:
            raised = weakref.ref(error)
        except StopIteration:
            pass
        del coroutine
        assert argument() is None
    assert raised() is None


def test_a_coroutine_may_drop_its_argument_and_what_it_was_sent(decorator, no_gc):
    @decorator
    async def use(thing):
        del thing
        while True:
            try:
                await Turn(1)
            except Silent:
                pass

    thing = Thing()
    argument = weakref.ref(thing)
    coroutine = use(thing)
    del thing
    coroutine.send(None)
    assert argument() is None
    thing = Thing()
    sent = weakref.ref(thing)
    coroutine.send(thing)
    del thing
    assert sent() is None
    error = Silent()
    thrown = weakref.ref(error)
    coroutine.throw(error)
    del error
    assert thrown() is None
    coroutine.close()


variable = contextvars.ContextVar("variable", default="unset")


def test_context_variables(decorator):
    @decorator
    async def sets():
        variable.set("inside")
        await asyncio.sleep(0)
        return variable.get()

    @decorator
    async def numbers():
        variable.set("generator")
        yield variable.get()

    async def main():
        assert await sets() == "inside"
        assert variable.get() == "inside"
        async for value in numbers():
            assert value == variable.get() == "generator"

    asyncio.run(main())
    assert variable.get() == "unset"


# -- coroutines in an event loop --------------------------------------------------------------------------------------


def test_timeouts_and_cancellation(decorator):
    log = []

    @decorator
    async def stuck():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            log.append(error)
            raise

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stuck(), 0.01)
        task = asyncio.ensure_future(stuck())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert len(log) == 2


def test_a_task_may_refuse_to_be_cancelled(decorator):
    @decorator
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "refused"

    async def main():
        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "refused"


def test_gather_and_shield(decorator):
    @decorator
    async def work(n):
        await asyncio.sleep(0)
        if n == 2:
            raise Silent(n)
        return n

    async def main():
        results = await asyncio.gather(*map(work, range(4)), return_exceptions=True)
        return results, await asyncio.shield(work(5))

    results, shielded = asyncio.run(main())
    assert [str(result) for result in results] == ["0", "1", "2", "3"] and shielded == 5


def test_async_with(decorator):
    log = []

    class Managed:
        @decorator
        async def __aenter__(self):
            log.append("in")
            return self

        @decorator
        async def __aexit__(self, kind, error, frames):
            log.append(error)
            return isinstance(error, Silent)

    async def main():
        error = Silent()
        async with Managed() as managed:
            assert isinstance(managed, Managed)
            raise error
        assert log == ["in", error]

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 8), reason="AsyncMock is of CPython 3.8")
def test_async_mocks(decorator):
    from unittest.mock import AsyncMock

    mock = AsyncMock(return_value=3)
    assert asyncio.run(decorator(mock)("a")) == 3
    mock.assert_awaited_once_with("a")


class Asker:
    async def __call__(self, a):
        return a

    async def method(self, a):
        return a

    @classmethod
    async def of_class(cls, a):
        return a


def test_methods_partials_and_callable_objects(decorator):
    class Observed(Asker):
        method = decorator(Asker.method)
        of_class = decorator(vars(Asker)["of_class"])

    async def partial(a):
        return a

    for fn in (Asker(), Asker().method, Observed().method, Observed.of_class, functools.partial(partial)):
        seen = decorator(fn)
        assert asyncio.run(seen(1)) == 1
        assert inspect.iscoroutinefunction(seen) == inspect.iscoroutinefunction(fn)
        if inspect.iscoroutinefunction(fn.__call__):  # how web frameworks look for it
            assert inspect.iscoroutinefunction(seen.__call__)


# -- async generators -------------------------------------------------------------------------------------------------


def echo(log):
    async def echo():
        answer = "first"
        while True:
            try:
                got = yield answer
            except ValueError as error:
                log.append(error)
                answer = "caught"
            else:
                log.append(got)
                if got == "return":
                    return
                answer = got

    return echo


def test_an_async_generator_is_lazy_and_goes_to_its_end(decorator):
    log = []

    @decorator
    async def numbers():
        log.append("started")
        for n in range(3):
            yield n
            await asyncio.sleep(0)

    async def main():
        generator = numbers()
        assert log == []
        assert [n async for n in generator] == [0, 1, 2]
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()

    asyncio.run(main())


def test_asend_and_athrow(decorator):
    log = []

    async def main():
        generator = decorator(echo(log))()
        with pytest.raises(TypeError, match="can't send non-None value to a just-started async generator"):
            await generator.asend(1)
        generator = decorator(echo(log))()
        assert await generator.__anext__() == "first"
        assert await generator.asend(1) == 1
        assert await generator.asend(None) is None
        error = Silent("an object")
        assert await generator.athrow(error) == "caught"
        assert log == [1, None, error] and error.__context__ is None
        assert await generator.athrow(Silent) == "caught" and type(log[-1]) is Silent
        with pytest.raises(StopAsyncIteration):
            await generator.asend("return")
        generator = decorator(echo(log))()
        await generator.__anext__()
        uncaught = KeyError()
        with pytest.raises(KeyError) as caught:
            await generator.athrow(uncaught)
        assert caught.value is uncaught and uncaught.__context__ is None
        assert traceback.extract_tb(uncaught.__traceback__)[-1].name == "echo"

    asyncio.run(main())


def test_athrow_before_the_start(decorator):
    async def main():
        generator = decorator(echo([]))()
        with pytest.raises(KeyError):
            await generator.athrow(KeyError())
        assert [item async for item in generator] == []

    asyncio.run(main())


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_athrow_what_ends_things(decorator, kind):
    @decorator
    async def one():
        yield 1

    @decorator
    async def survive():
        try:
            yield 1
        except kind:
            yield "survived"

    async def main():
        generator, error = one(), kind()
        await generator.__anext__()
        with pytest.raises(RuntimeError, match="async generator raised") as caught:
            await generator.athrow(error)
        assert caught.value.__cause__ is error
        generator = survive()
        await generator.__anext__()
        assert await generator.athrow(kind()) == "survived"
        await generator.aclose()

    asyncio.run(main())


def test_what_the_body_raises(decorator):
    @decorator
    async def turns(error):
        try:
            yield 1
        except Silent:
            pass
        yield sys.exc_info()[1]
        raise error

    async def main():
        error = KeyError()
        generator = turns(error)
        await generator.__anext__()
        assert await generator.athrow(Silent()) is None
        with pytest.raises(KeyError) as caught:
            await generator.__anext__()
        assert caught.value is error and error.__context__ is None

    asyncio.run(main())


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_iteration_in_the_body_of_an_async_generator(decorator, kind):
    @decorator
    async def fail():
        yield 1
        raise kind

    async def main():
        generator = fail()
        await generator.__anext__()
        with pytest.raises(RuntimeError, match="async generator raised"):
            await generator.__anext__()

    asyncio.run(main())


def test_aclose(decorator):
    log = []

    @decorator
    async def careful():
        try:
            yield 1
        except GeneratorExit as error:
            log.append(type(error))
            raise
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def main():
        generator = careful()
        await generator.aclose()
        assert log == []
        generator = careful()
        await generator.__anext__()
        await generator.aclose()
        assert log == [GeneratorExit, "cleaned up"]
        await generator.aclose()
        assert [item async for item in generator] == []

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_aclose_of_an_async_generator_that_ignores_it(decorator):
    @decorator
    async def stubborn():
        for n in range(3):
            try:
                yield n
            except GeneratorExit:
                pass

    async def main():
        generator = stubborn()
        await generator.__anext__()
        with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
            await generator.aclose()

    asyncio.run(main())


def test_aclose_of_an_async_generator_that_returns_or_fails(decorator):
    @decorator
    async def returns():
        try:
            yield 1
        except GeneratorExit:
            return

    @decorator
    async def fails():
        try:
            yield 1
        finally:
            raise KeyError("on the way out")

    async def main():
        generator = returns()
        await generator.__anext__()
        await generator.aclose()
        generator = fails()
        await generator.__anext__()
        with pytest.raises(KeyError) as caught:
            await generator.aclose()
        assert type(caught.value.__context__) is GeneratorExit

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 8), reason="CPython 3.7 does not look")
def test_two_steps_at_once(decorator):
    @decorator
    async def slow():
        await Turn("waiting")
        yield 1

    generator = slow()
    first, second = generator.__anext__(), generator.__anext__()
    assert first.send(None) == "waiting"
    with pytest.raises(RuntimeError, match="asynchronous generator is already running"):
        second.send(None)
    with pytest.raises(StopIteration) as stop:
        first.send(None)
    assert stop.value.value == 1


@pytest.mark.skipif(sys.version_info < (3, 10), reason="CPython 3.10")
def test_anext(decorator):
    async def main():
        generator = decorator(echo([]))()
        assert await anext(generator) == "first"  # noqa: F821
        await generator.aclose()
        assert await anext(generator, "default") == "default"  # noqa: F821

    asyncio.run(main())


def test_cancellation_in_an_async_generator(decorator):
    log = []

    @decorator
    async def stuck():
        yield 1
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned up")

    async def consume():
        async for _ in stuck():
            pass

    async def main():
        task = asyncio.ensure_future(consume())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["cleaned up"]


def test_the_event_loop_closes_what_is_left_when_it_shuts_down(decorator):
    log, problems, kept = [], [], []

    @decorator
    async def careful(n):
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append(n)

    async def main():
        asyncio.get_event_loop().set_exception_handler(lambda loop, problem: problems.append(problem))
        for n in range(20):
            generator = careful(n)
            kept.append(generator)
            await generator.__anext__()

    asyncio.run(main())
    assert sorted(log) == list(range(20)) and problems == []


def test_an_async_generator_that_is_dropped_is_closed_by_the_event_loop(decorator):
    log = []

    @decorator
    async def careful():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def main():
        async for _ in careful():
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return list(log)

    assert asyncio.run(main()) == ["cleaned up"]


def test_hooks_for_async_generators_are_restored(client):
    seen = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=seen.append)
    try:
        generator = observe(echo([]))()
        with pytest.raises(StopIteration):
            generator.__anext__().send(None)
        assert seen == [generator]
        assert sys.get_asyncgen_hooks().firstiter == seen.append
    finally:
        sys.set_asyncgen_hooks(*before)


def test_what_an_async_generator_was_given_dies(decorator, no_gc):
    @decorator
    async def use(thing):
        del thing
        while True:
            try:
                yield Thing()
            except Silent:
                pass

    def step(awaitable):
        try:
            awaitable.send(None)
        except StopIteration as stop:
            return weakref.ref(stop.value)

    thing = Thing()
    argument = weakref.ref(thing)
    generator = use(thing)
    del thing
    item = step(generator.__anext__())
    assert argument() is None and item() is None
    thing = Thing()
    sent = weakref.ref(thing)
    step(generator.asend(thing))
    del thing
    assert sent() is None
    error = Silent()
    thrown = weakref.ref(error)
    step(generator.athrow(error))
    del error
    assert thrown() is None
    with pytest.raises(StopIteration):
        generator.aclose().send(None)


def test_async_context_managers(decorator):
    if not hasattr(contextlib, "asynccontextmanager"):
        pytest.skip("not in this Python")
    log = []

    @contextlib.asynccontextmanager
    @decorator
    async def managed():
        try:
            yield "value"
        except Silent as error:
            log.append(error)
        finally:
            log.append("out")

    async def main():
        error = Silent()
        async with managed() as value:
            assert value == "value"
            raise error
        assert log == [error, "out"]
        with pytest.raises(KeyError):
            async with managed():
                raise KeyError

    asyncio.run(main())


# -- what is recorded -------------------------------------------------------------------------------------------------


@observe(name="numbers")
async def numbers(n):
    for each in range(n):
        await asyncio.sleep(0)
        yield each


def incomplete(span):
    return span["tags_bool"].get("incomplete", False)


def test_a_coroutine_is_a_span(client, sent):
    @observe(name="work")
    async def work(a):
        await asyncio.sleep(0)
        start_span("inside").finish()
        return {"a": a}

    async def main():
        with start_span("outside"):
            return await work(1)

    assert asyncio.run(main()) == {"a": 1}
    span = sent("work")
    assert (span["input"], span["output"]) == ('{"a":1}', '{"a":1}')
    assert sent("inside")["parent_id"] == span["span_id"] and span["parent_id"] == sent("outside")["span_id"]


def test_an_async_generator_is_a_span(client, sent):
    async def main():
        return [n async for n in numbers(3)]

    assert asyncio.run(main()) == [0, 1, 2]
    span = sent("numbers")
    assert (span["input"], span["output"]) == ('{"n":3}', "[0,1,2]") and not incomplete(span)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_exceptions_are_recorded(client, sent, kind):
    @observe(name="coroutine")
    async def fail():
        raise kind("what went wrong")

    @observe(name="generator")
    async def generator():
        yield 1
        await fail()

    async def main():
        async for _ in generator():
            pass

    with pytest.raises(kind):
        main().send(None)
    for span in (sent("coroutine"), sent("generator")):
        assert span["tags_string"]["error"] == "what went wrong" and span["status_code"] == -1
        assert span["tags_string"]["error_type"] == kind.__name__
    assert sent("generator")["output"] == "[1]"


def test_cancellation_is_recorded(client, sent):
    @observe(name="stuck")
    async def stuck():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.ensure_future(stuck())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert sent("stuck")["tags_string"]["error_type"] == "CancelledError" and sent("stuck")["status_code"] == -1


def test_what_is_left_early_is_incomplete(client, sent):
    async def leave_loop():
        async for _ in numbers(3):
            break

    async def leave(generator):
        assert await generator.__anext__() == 0
        return generator

    async def main():
        await (await leave(numbers(3))).aclose()
        await leave_loop()
        gc.collect()
        await asyncio.sleep(0)
        kept.append(await leave(numbers(3)))

    kept = []
    asyncio.run(main())
    coroutine = observe(Asker().method.__func__)(None, 1)
    coroutine.close()
    spans = sent()
    assert [(span["output"], incomplete(span), span["status_code"]) for span in spans] == [("[0]", True, 0)] * 3


def test_an_async_generator_that_answers_close_by_returning_is_incomplete(client, sent):
    @observe(name="returns")
    async def returns():
        try:
            yield 0
        except GeneratorExit:
            return

    async def main():
        generator = returns()
        await generator.__anext__()
        await generator.aclose()

    asyncio.run(main())
    assert incomplete(sent("returns"))


def test_what_is_open_between_steps_is_still_the_parent_after_them(client, sent):
    @observe
    async def generate():
        with start_span("inside a generator"):
            yield 1
            start_span("child 0").finish()

    @observe
    async def work():
        with start_span("inside a coroutine"):
            await asyncio.sleep(0)
            start_span("child 1").finish()

    async def main():
        async for _ in generate():
            pass
        await asyncio.gather(work(), numbers(3).__anext__())

    asyncio.run(main())
    assert sent("child 0")["parent_id"] == sent("inside a generator")["span_id"]
    assert sent("child 1")["parent_id"] == sent("inside a coroutine")["span_id"]


def test_a_coroutine_that_is_closed_is_incomplete(client, sent):
    @observe(name="closed")
    async def closed():
        await Turn(1)

    coroutine = closed()
    coroutine.send(None)
    coroutine.close()
    assert incomplete(sent("closed")) and sent("closed")["status_code"] == 0


def test_the_consumer_is_no_child_of_the_async_generator(client, sent):
    @observe(name="generator")
    async def generate():
        for n in range(3):
            with start_span("inside %d" % n):
                await asyncio.sleep(0)
                yield n

    async def main():
        with start_span("consumer"):
            async for n in generate():
                start_span("outside %d" % n).finish()

    asyncio.run(main())
    for n in range(3):
        assert sent("outside %d" % n)["parent_id"] == sent("consumer")["span_id"]
        assert sent("inside %d" % n)["parent_id"] == sent("generator")["span_id"]


def test_coroutines_that_are_driven_by_turns_on_one_thread(client, sent):
    @observe(name="outer")
    async def outer(n):
        get_span_from_context().set_tags({"n": n})
        return await inner(n)

    @observe(name="inner")
    async def inner(n):
        mine = get_span_from_context()
        for _ in range(3):
            await Turn(n)
            assert get_span_from_context() is mine
            start_span("step %d" % n).finish()

    coroutines = [outer(n) for n in range(10)]
    with start_span("driver") as driver:
        running = coroutines
        while running:
            left = []
            for coroutine in running:
                try:
                    coroutine.send(None)
                    left.append(coroutine)
                except StopIteration:
                    pass
                assert get_span_from_context() is driver
            running = left[::-1]
    assert context.top() is None
    spans = {span["span_id"]: span for span in sent()}
    assert len(spans) == 1 + 10 * 5
    for span in spans.values():
        if span["span_name"].startswith("step"):
            inner = spans[span["parent_id"]]
            outer = spans[inner["parent_id"]]
            assert (inner["span_name"], outer["span_name"]) == ("inner", "outer")
            assert span["span_name"] == "step %d" % outer["tags_long"]["n"]


def test_a_task_that_is_started_inside_is_a_child(client, sent):
    async def work():
        start_span("in the task").finish()

    @observe(name="starts")
    async def starts():
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        await task

    asyncio.run(starts())
    assert sent("in the task")["parent_id"] == sent("starts")["span_id"]


def test_a_coroutine_that_a_plain_function_returns(client, sent):
    async def ask():
        await asyncio.sleep(0)
        start_span("inside").finish()
        return "answer"

    async def fail():
        raise Silent

    async def main():
        coroutine = traceable(lambda span: ask(), name="asks")
        assert inspect.iscoroutine(coroutine) and coroutine.__name__ == "ask"
        start_span("meanwhile").finish()
        with pytest.raises(Silent):
            await observe(lambda: fail(), name="fails")()
        return await coroutine

    assert asyncio.run(main()) == "answer"
    assert sent("asks")["output"] == "answer" and sent("inside")["parent_id"] == sent("asks")["span_id"]
    assert sent("meanwhile")["parent_id"] == "0"
    assert sent("fails")["tags_string"]["error_type"] == "Silent"


def test_traceable(client, sent):
    async def ask(span):
        span.set_tags({"k": "v"})
        await asyncio.sleep(0)
        return "answer"

    async def generate():
        yield 1

    async def main():
        assert [item async for item in traceable(generate, name="generator")] == [1]
        return await traceable(ask, name="ask", span_type="model")

    assert asyncio.run(main()) == "answer"
    assert sent("ask")["output"] == "answer" and sent("ask")["tags_string"] == {"k": "v"}
    assert sent("generator")["output"] == "[1]"


# -- async streams ----------------------------------------------------------------------------------------------------


class AsyncStream:
    """As the clients of model servers have them."""

    def __init__(self, items, error=None):
        self.items = list(items)
        self.error = error
        self.closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if self.items:
            start_span("received").finish()
            return self.items.pop(0)
        raise self.error or StopAsyncIteration

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, frames):
        await self.close()

    async def close(self):
        self.closed = True
        return "closed"

    def usage(self):
        return {"tokens": 3}


class AsyncPages:
    """Can be gone through, and is no iterator."""

    async def __aiter__(self):
        for item in "abc":
            yield item


class AsyncDecoder(AsyncStream):
    """An iterator that ``async for`` goes through in another way; the items come from one that is not async."""

    def __init__(self):
        super().__init__("")
        self.items = iter("abc")

    async def __aiter__(self):
        for item in self.items:
            yield item

    async def __anext__(self):
        return next(self.items)  # raises StopIteration at the end: a RuntimeError


async def letters():
    for item in "abc":
        yield item


def joined(items):
    return {"text": "".join(items), "_inner_tokens_dict": {"output_tokens": len(items)}}


def streaming(make, options=None):
    """The stream that an async function returns, and one that a plain function returns."""
    options = {"name": "stream", "process_iterator_outputs": joined, **(options or {})}

    async def returns():
        await asyncio.sleep(0)
        return make()

    async def plainly():
        return observe(make if make is not AsyncStream else lambda: make("abc"), **options)()

    return observe(returns, **options), plainly


@pytest.mark.parametrize("make", [lambda: AsyncStream("abc"), AsyncPages, AsyncDecoder, letters])
@pytest.mark.parametrize("which", [0, 1])
def test_an_async_stream_is_recorded_as_it_is_read(client, sent, make, which):
    if which == 1 and make is letters:
        make = functools.partial(lambda: letters())

    async def main():
        stream = await streaming(make, {"span_type": "model"})[which]()
        assert [item async for item in stream] == ["a", "b", "c"]

    asyncio.run(main())
    span = sent("stream")
    assert json.loads(span["output"])["text"] == "abc" and span["tags_long"]["output_tokens"] == 3
    assert span["tags_long"]["start_time_first_resp"] >= span["started_at_micros"] and not incomplete(span)


def test_an_async_stream_keeps_what_it_has(client, sent):
    async def main():
        source = AsyncStream("ab")
        stream = await streaming(lambda: source)[0]()
        assert isinstance(stream, AsyncStream) and stream.usage() == {"tokens": 3}
        assert not hasattr(stream, "__next__") and not hasattr(stream, "aclose") and stream.__aiter__() is stream
        with start_span("consumer"):
            async with stream as same:
                assert same is stream
                async for item in stream:
                    start_span("between").finish()
                    assert item == "a"
                    break
        assert source.closed and await stream.close() == "closed"

    asyncio.run(main())
    span = sent("stream")
    assert json.loads(span["output"])["text"] == "a" and incomplete(span)
    assert sent("received")["parent_id"] == span["span_id"]
    assert sent("between")["parent_id"] == sent("consumer")["span_id"]


def test_an_error_in_mid_stream(client, sent):
    error = OSError("connection lost")

    async def main():
        stream = await streaming(lambda: AsyncStream("ab", error))[0]()
        with pytest.raises(OSError) as caught:
            async for _ in stream:
                pass
        assert caught.value is error

    asyncio.run(main())
    assert sent("stream")["tags_string"]["error"] == "connection lost"
    assert json.loads(sent("stream")["output"])["text"] == "ab"


def test_cancellation_in_mid_stream(client, sent):
    class Stuck(AsyncStream):
        async def __anext__(self):
            await asyncio.Event().wait()

    async def main():
        stream = await streaming(lambda: Stuck(""))[0]()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.__anext__(), 0.01)

    asyncio.run(main())
    assert sent("stream")["tags_string"]["error_type"] == "CancelledError"


def test_an_async_stream_that_is_dropped_is_incomplete(client, sent):
    async def main():
        stream = await streaming(lambda: AsyncStream("ab"))[0]()
        await stream.__anext__()

    asyncio.run(main())
    assert incomplete(sent("stream")) and json.loads(sent("stream")["output"])["text"] == "a"


def test_an_async_generator_that_is_returned_keeps_its_protocol(client, sent):
    log = []

    async def main():
        stream = await streaming(lambda: echo(log)())[0]()
        assert await stream.__anext__() == "first" and await stream.asend("b") == "b"
        assert await stream.athrow(Silent()) == "caught"
        await stream.aclose()

    asyncio.run(main())
    assert json.loads(sent("stream")["output"])["text"] == "firstbcaught" and incomplete(sent("stream"))
