"""``bind`` and ``BoundExecutor``: what runs in other threads continues the trace."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from cozeloop_lite import BoundExecutor, bind, get_span_from_context, inject, observe, start_span
from cozeloop_lite.trace import context


def run_in_thread(fn, *args, **kwargs):
    """The result of ``fn`` in a thread of its own, or its exception; and what was current there afterwards."""
    outcome = []

    def run():
        try:
            outcome.append(fn(*args, **kwargs))
        except BaseException as error:
            outcome.append(error)
        outcome.append(context.top())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    result, left = outcome
    assert left is None
    return result


def child(name="child"):
    with start_span(name) as span:
        return span.span_id


def test_without_it_a_thread_starts_a_new_trace(client, sent):
    with start_span("parent"):
        run_in_thread(child)
    assert sent("child")["parent_id"] == "0" and sent("child")["trace_id"] != sent("parent")["trace_id"]


def test_the_children_in_a_thread_have_the_right_parent(client, sent):
    with start_span("parent") as parent:
        parent.set_baggage({"user_id": "u"})
        bound = bind(child)
        with start_span("inner"):
            run_in_thread(bound)
    assert sent("child")["parent_id"] == sent("parent")["span_id"]
    assert sent("child")["trace_id"] == sent("parent")["trace_id"]
    assert sent("child")["tags_string"]["user_id"] == "u"


def test_also_when_the_span_has_finished_meanwhile(client, sent):
    with start_span("grandparent"), start_span("parent"):
        bound = bind(observe(child, name="observed"))
    run_in_thread(bound)
    assert sent("observed")["parent_id"] == sent("parent")["span_id"]
    assert sent("child")["parent_id"] == sent("observed")["span_id"]


def test_baggage_that_is_set_after_binding_is_inherited(client, sent):
    with start_span("parent") as parent:
        bound = bind(child)
        parent.set_baggage({"user_id": "late"})
        run_in_thread(bound)
    assert sent("child")["tags_string"]["user_id"] == "late"


def test_the_worker_has_the_real_span(client, sent):
    def work():
        span = get_span_from_context()
        span.set_tags({"from": "the worker"})
        return span, inject({})

    with start_span("parent") as parent:
        span, headers = run_in_thread(bind(work))
        assert span is parent
        assert parent.span_id in headers["X-Cozeloop-Traceparent"]
    assert sent("parent")["tags_string"] == {"from": "the worker"}
    span, _ = run_in_thread(bind(work))
    assert span.span_id == ""


def test_without_a_current_span_it_is_the_function_itself(client):
    assert bind(child) is child
    with start_span("finished"):
        pass
    assert bind(child) is child


def test_nothing_leaks_into_the_next_task_of_the_worker(client, sent):
    def careless():
        start_span("left open")

    def fail():
        start_span("left open, too")
        raise KeyError

    pool = ThreadPoolExecutor(1)
    with start_span("parent"):
        pool.submit(bind(careless)).result(10)
        with pytest.raises(KeyError):
            pool.submit(bind(fail)).result(10)
    assert pool.submit(context.top).result(10) is None
    pool.submit(child).result(10)
    assert sent("child")["parent_id"] == "0"
    pool.shutdown()


def test_the_worker_finds_what_was_current_before(client, sent):
    with start_span("first"):
        bound = bind(child)

    def work():
        with start_span("own") as own:
            bound()
            assert get_span_from_context() is own
            child("own child")

    run_in_thread(work)
    assert sent("child")["parent_id"] == sent("first")["span_id"]
    assert sent("own child")["parent_id"] == sent("own")["span_id"]


def test_bound_twice_the_inner_one_counts(client, sent):
    with start_span("first"):
        bound = bind(child)
    with start_span("second"):
        again = bind(bound)
    run_in_thread(again)
    assert sent("child")["parent_id"] == sent("first")["span_id"]


def test_what_is_bound_in_a_worker_is_bound_to_the_same_span(client, sent):
    def work():
        assert get_span_from_context() is parent
        return child()

    with start_span("parent") as parent:
        bound = bind(lambda: bind(work))
    assert run_in_thread(run_in_thread(bound)) == sent("child")["span_id"]
    assert sent("child")["parent_id"] == sent("parent")["span_id"]


def test_arguments_results_and_exceptions_go_through(client):
    def work(self, *rest, fn, **others):
        return self, rest, fn, others

    error = KeyError("in the worker")

    def fail():
        raise error

    value = object()
    with start_span("parent"):
        assert bind(work)(1, 2, fn=value, stand_in=4, args=5) == (1, (2,), value, {"stand_in": 4, "args": 5})
        assert bind(work)(self=1, fn=2) == (1, (), 2, {})
        assert run_in_thread(bind(fail)) is error
        with pytest.raises(KeyError) as caught:
            bind(fail)()
        assert caught.value is error


def test_metadata(client):
    def work(a: int, *, b: str = "b") -> list:
        """What it does."""

    work.attribute = 3
    with start_span("parent"):
        bound = bind(work)
        partial = bind(functools.partial(work, 1))
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "attribute"):
        assert getattr(bound, name) == getattr(work, name)
    assert bound.__wrapped__ is work and inspect.signature(bound) == inspect.signature(work)
    assert partial() is None


def test_one_bound_function_in_many_threads(client, sent):
    barrier = threading.Barrier(8)

    def work():
        barrier.wait(10)
        return child()

    with start_span("parent"):
        bound = bind(work)
    threads = [threading.Thread(target=bound) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    children = [span for span in sent() if span["span_name"] == "child"]
    assert len(children) == 8 and {span["parent_id"] for span in children} == {sent("parent")["span_id"]}


def test_a_coroutine_function(client, sent):
    async def work(n):
        seen.append(get_span_from_context())
        await asyncio.sleep(0)
        child()
        return n

    async def main():
        coroutine = bound(3)
        assert inspect.iscoroutine(coroutine) and coroutine.__name__ == "work"
        child("outside")
        return await coroutine

    seen = []
    with start_span("parent") as parent:
        bound = bind(work)
        assert run_in_thread(lambda: asyncio.run(main())) == 3
    assert seen == [parent]
    assert sent("child")["parent_id"] == sent("parent")["span_id"] and sent("outside")["parent_id"] == "0"


def test_a_bound_function_lets_go_of_what_it_was_given(client):
    class Thing:
        pass

    with start_span("parent"):
        bound = bind(lambda thing: None)
    thing = Thing()
    given = weakref.ref(thing)
    bound(thing)
    del thing
    assert given() is None


# -- executors --------------------------------------------------------------------------------------------------------


def test_the_tasks_of_an_executor(client, sent):
    with BoundExecutor(ThreadPoolExecutor(2)) as pool:
        with start_span("first"):
            futures = [pool.submit(child, "a"), pool.submit(child, name="b")]
        with start_span("second"):
            mapped = pool.map(child, ["c", "d"], timeout=10)
        with pytest.raises(TypeError):
            pool.submit(child, nothing=1).result(10)
    ids = [future.result(10) for future in futures] + list(mapped)
    assert ids == [sent(name)["span_id"] for name in "abcd"]
    assert [sent(name)["parent_id"] for name in "ab"] == [sent("first")["span_id"]] * 2
    assert [sent(name)["parent_id"] for name in "cd"] == [sent("second")["span_id"]] * 2
    with pytest.raises(RuntimeError):
        pool.submit(child)


def test_an_executor_without_a_span_is_as_it_was(client, sent):
    with BoundExecutor(ThreadPoolExecutor(1)) as pool:
        assert pool.submit(divmod, 7, 2).result(10) == (3, 1)
        pool.submit(child).result(10)
        assert pool._max_workers == 1
        assert pool.submit(dict, self=1, fn=2).result(10) == {"self": 1, "fn": 2}
    assert sent("child")["parent_id"] == "0"


def test_an_executor_in_an_event_loop(client, sent):
    async def main(pool):
        with start_span("request"):
            return await asyncio.get_event_loop().run_in_executor(pool, child)

    with BoundExecutor(ThreadPoolExecutor(1)) as pool:
        asyncio.run(main(pool))
    assert sent("child")["parent_id"] == sent("request")["span_id"]


# -- other processes --------------------------------------------------------------------------------------------------


def trace_here(value):
    span = get_span_from_context()
    span.set_tags({"k": "v"})
    return value, span.span_id, inject({}).get("X-Cozeloop-Traceparent")


def test_a_bound_function_can_be_pickled(client):
    with start_span("parent") as parent:
        parent.set_baggage({"user_id": "u"})
        copied = pickle.loads(pickle.dumps(bind(trace_here)))
    value, span_id, header = copied(3)
    assert value == 3 and parent.span_id in header
    assert span_id == ""  # the span itself is in another process
    inside = pickle.loads(pickle.dumps(context.StandIn(parent)))
    assert inside._id == parent._id and inside._trace.id == parent._trace.id and inside._baggage == {"user_id": "u"}


def test_an_executor_of_processes(client):
    with BoundExecutor(ProcessPoolExecutor(1)) as pool, start_span("parent") as parent:
        value, _, header = pool.submit(trace_here, 3).result(60)
    assert value == 3 and parent.trace_id in header and parent.span_id in header
