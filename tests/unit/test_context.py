"""The stack of spans: each thread and task has its own, and nobody adopts a stranger's."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cozeloop_lite.trace import unseen


def in_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


@pytest.fixture
def current(client):
    def current():
        return client.get_span_from_context().span_id

    return current


@pytest.fixture
def start(client):
    return client.start_span


def test_a_block_restores_what_was_current_before(start, current):
    with start("a") as a:
        with start("b") as b:
            assert current() == b.span_id
        assert current() == a.span_id
    assert current() == ""


def test_a_block_takes_along_what_was_left_open_in_it(start, current):
    with start("a") as a:
        with start("b"):
            start("left open")
            start("left open, too")
        assert current() == a.span_id


def test_a_finished_span_gives_way_to_the_one_before(start, current):
    a = start("a")
    b = start("b")
    b.finish()
    assert current() == a.span_id
    a.finish()
    assert current() == ""


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_spans_may_end_in_any_order(start, current, sent, order):
    spans = {name: start(name) for name in "abc"}
    for name in order:
        spans[name].finish()
    assert current() == ""
    start("next").finish()
    assert sent("next")["parent_id"] == "0"
    assert sent("c")["parent_id"] == spans["b"].span_id


def test_the_current_span_is_the_innermost_open_one(start, current):
    a, b, c = start("a"), start("b"), start("c")
    b.finish()
    assert current() == c.span_id
    c.finish()
    assert current() == a.span_id


def test_an_open_child_of_a_finished_root_adopts_nobody(start, sent):
    root = start("root")
    start("forgotten")
    root.finish()
    start("next request").finish()
    assert sent("next request")["parent_id"] == "0"
    assert sent("next request")["trace_id"] != root.trace_id


def test_an_open_child_of_a_request_from_elsewhere_adopts_nobody(client, start, sent):
    header = {"X-Cozeloop-Traceparent": "00-%s-%s-01" % ("a" * 32, "b" * 16)}
    for _ in range(2):
        request = start("request", child_of=client.get_span_from_header(header))
        start("forgotten")
        request.finish()
    start("next").finish()
    assert sent("next")["parent_id"] == "0"
    assert [s["parent_id"] for s in sent() if s["span_name"] == "request"] == ["b" * 16] * 2


def test_an_inner_trace_that_ends_gives_the_outer_one_back(start, current):
    with start("outer") as outer:
        inner = start("inner", start_new_trace=True)
        start("forgotten")
        inner.finish()
        assert current() == outer.span_id


def test_discarding_is_leaving_too(start, current):
    with start("a") as a:
        b = start("b")
        start("c")
        b.discard()
        a.discard()
    assert current() == ""


def test_unseen_work_starts_no_span_and_gives_the_current_one_back(client, start, current, sent):
    @unseen.always
    def work(error):
        with start("inside"):
            start("further inside")
        if error:
            raise error

    with start("root") as root:
        work(None)
        assert current() == root.span_id
        with pytest.raises(KeyboardInterrupt):
            work(KeyboardInterrupt())
        assert current() == root.span_id
        start("after").finish()
    assert [span["span_name"] for span in sent()] == ["after", "root"]
    assert client.stats()["started"] == 2


def test_what_unseen_work_has_another_thread_do_is_traced(client, start, sent):
    @unseen.always
    def work():
        in_thread(lambda: start("elsewhere").finish())

    work()
    assert [span["span_name"] for span in sent()] == ["elsewhere"]


# -- threads --------------------------------------------------------------------------------------------------------


def test_a_thread_starts_its_own_traces(start, current):
    with start("root") as root:
        assert in_thread(current) == ""
        other = in_thread(lambda: start("other").trace_id)
        assert other != root.trace_id
        assert current() == root.span_id


def test_a_span_may_be_finished_in_another_thread(start, current, sent):
    with start("root") as root:
        span = start("moved")
        in_thread(span.finish)
        assert current() == root.span_id
        start("next").finish()
    assert sent("next")["parent_id"] == root.span_id
    assert sent("moved")["parent_id"] == root.span_id


def test_finishing_a_strangers_span_leaves_the_own_ones_alone(start):
    span = start("a stranger's")

    def elsewhere():
        with start("own") as own:
            span.finish()
            child = start("child")
            return own.trace_id == child.trace_id

    assert in_thread(elsewhere)


def test_a_parent_is_handed_to_a_thread_by_child_of(start, sent):
    with start("root") as root:
        in_thread(lambda: start("child", child_of=root).finish())
    assert sent("child")["parent_id"] == root.span_id


def test_threads_do_not_see_each_other(start, sent):
    barrier = threading.Barrier(8)

    def work(number):
        barrier.wait(10)
        for _ in range(50):
            with start("root%d" % number), start("child%d" % number):
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {span["span_id"]: span["span_name"] for span in sent()}
    assert len(names) == 800
    for span in sent():
        expected = "0" if span["span_name"].startswith("root") else "root" + span["span_name"][5:]
        assert names.get(span["parent_id"], "0") == expected


# -- asyncio --------------------------------------------------------------------------------------------------------


def test_interleaved_tasks_do_not_adopt_each_others_spans(start, sent):
    async def task(number, turns):
        with start("task%d" % number) as outer:
            await asyncio.sleep(0)
            for turn in range(turns):
                with start("step") as inner:
                    await asyncio.sleep(0)
                    inner.set_tags({"expected": outer.span_id, "turn": turn})

    async def main():
        with start("main"):
            await asyncio.gather(*(task(number, 1 + number % 5) for number in range(20)))

    asyncio.run(main())
    (root,) = [span for span in sent() if span["span_name"] == "main"]
    steps = [span for span in sent() if span["span_name"] == "step"]
    assert len(steps) == 60
    assert all(span["parent_id"] == span["tags_string"]["expected"] for span in steps)
    tasks = [span for span in sent() if span["span_name"].startswith("task")]
    assert {span["parent_id"] for span in tasks} == {root["span_id"]}


def test_a_task_that_outlives_the_request_adopts_nobody_of_the_next_one(start, sent):
    async def background(go):
        with start("background"):
            await go.wait()
            start("late").finish()

    async def request(name):
        with start(name):
            await asyncio.sleep(0)
            start(name + " step").finish()

    async def main():
        go = asyncio.Event()
        with start("first"):
            task = asyncio.ensure_future(background(go))
            await asyncio.sleep(0)
        await request("second")
        go.set()
        await task

    asyncio.run(main())
    assert sent("second")["parent_id"] == "0"
    assert sent("second step")["parent_id"] == sent("second")["span_id"]
    assert sent("late")["parent_id"] == sent("background")["span_id"]
    assert sent("background")["parent_id"] == sent("first")["span_id"]


def test_a_long_chain_of_overlapping_spans_keeps_none_of_them(start):
    """A loop that starts the next span before it ends the last one would otherwise hold all of them for ever."""
    with start("root"):
        last = start("0")
        for number in range(1, 200):
            span = start(str(number))
            last.finish()
            last = span
        depth = 0
        while span is not None:
            depth += 1
            span = span._outer
    assert depth < 5
