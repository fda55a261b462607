"""A child process delivers its own spans and never its parent's, whatever the parent was doing at the fork."""

from __future__ import annotations

import os
import threading

import pytest
from test_exit import START, Run

from cozeloop_lite import process
from support.recording import delay_until, json_answer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

FORK = START + """
import os

def in_child(work):
    '''Run work in a forked child, which then exits as a program does.'''
    pid = os.fork()
    if pid:
        return pid
    work()
    sys.exit(0)

def wait_for(*pids):
    for pid in pids:
        for _ in range(1500):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, status
                break
            time.sleep(0.01)
        else:
            os.kill(pid, 9)
            raise SystemExit('a child hangs')

def span(name):
    start_span(name, 'custom', start_new_trace=True).finish()
"""


def run(server, program, **settings):
    settings.setdefault("COZELOOP_REQUEST_TIMEOUT", "60000")  # what is given up is sent again, and arrives twice
    done = Run(server.url, program, start=FORK, **settings)
    assert (done.code, done.out) == (0, ""), done.err
    return done


def ids(server):
    return [span["span_id"] for span in server.spans()] + [span["trace_id"] for span in server.spans()]


def test_children_deliver_their_own_spans_with_ids_of_their_own(server):
    run(
        server,
        """
        span('parent before')
        def work():
            for number in range(3):
                span('child')
        pids = [in_child(work) for _ in range(4)]
        span('parent after')
        wait_for(*pids)
        """,
    )
    assert sorted(server.names()) == ["child"] * 12 + ["parent after", "parent before"]
    assert len(set(ids(server))) == 28


def test_what_waits_in_the_parent_is_sent_once_by_the_parent(server):
    go = threading.Event()
    server.answers(delay_until(go, json_answer({"code": 0})))
    server.default = lambda request: go.set() or json_answer({"code": 0})
    run(
        server,
        """
        client = new_client(timeout=30, shutdown_timeout=30)
        for number in range(150):
            span('parent %d' % number)
        client.flush(0.2)  # the thread is in the middle of a request that the first child's will end
        def work():
            assert client.stats()['finished'] == 0
            span('child')
            assert client.flush(15)
            assert client.stats()['delivered'] == 1
        wait_for(in_child(work))
        """,
    )
    assert sorted(server.names()) == sorted(["child"] + ["parent %d" % number for number in range(150)])


def test_a_span_that_is_open_at_the_fork_is_reported_by_the_parent_and_is_the_parent_of_the_childs_spans(server):
    run(
        server,
        """
        with start_span('open', 'custom') as open_span:
            def work():
                start_span('child', 'custom').finish()
                open_span.finish()
            pid = in_child(work)
            wait_for(pid)
        """,
    )
    assert sorted(server.names()) == ["child", "open"]
    by_name = {span["span_name"]: span for span in server.spans()}
    assert by_name["child"]["parent_id"] == by_name["open"]["span_id"]
    assert by_name["child"]["trace_id"] == by_name["open"]["trace_id"]


def test_a_child_that_does_nothing_sends_nothing_and_ends_at_once(server):
    done = run(
        server,
        """
        span('parent')
        wait_for(in_child(lambda: None))
        """,
    )
    assert server.names() == ["parent"]
    assert done.err == ""


def test_a_grandchild_delivers_too(server):
    run(
        server,
        """
        def work():
            span('child')
            wait_for(in_child(lambda: span('grandchild')))
        span('parent')
        wait_for(in_child(work))
        """,
    )
    assert sorted(server.names()) == ["child", "grandchild", "parent"]


def test_forks_while_other_threads_trace_flush_and_send_never_hang(server):
    run(
        server,
        """
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                span('parent')
                cozeloop_lite.flush(5)
                cozeloop_lite.stats()
        threads = [threading.Thread(target=busy, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        def work():
            span('child')
            assert cozeloop_lite.flush(15)
        for _ in range(25):
            wait_for(in_child(work))
        stop.set()
        """,
    )
    assert server.names().count("child") == 25
    assert len(set(ids(server))) == len(ids(server))


def test_a_fork_in_the_middle_of_importing_urllib3_does_not_hang(server):
    run(
        server,
        """
        importing = threading.Event()
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == 'urllib3.connectionpool':
                    importing.set()
                    time.sleep(0.5)
        sys.meta_path.insert(0, Slow())
        client = new_client(timeout=15, shutdown_timeout=15)
        span('parent')
        threading.Thread(target=client.flush, daemon=True).start()
        assert importing.wait(15)
        def work():
            span('child')
            assert client.flush(10)
        wait_for(in_child(work))
        """,
    )
    assert sorted(server.names()) == ["child", "parent"]


PROMPT = """
from cozeloop_lite import Prompt

def prompt(kind):
    message = {'role': 'user', 'content': '{{a}}'}
    template = {'template_type': kind, 'messages': [message], 'variable_defs': [{'key': 'a', 'type': 'string'}]}
    return Prompt.from_dict({'prompt_key': 'k', 'prompt_template': template})
"""


@pytest.mark.parametrize(
    ("module", "work"),
    [
        ("prompt.hub", "client.get_prompt('k')"),
        ("prompt.hub", "cozeloop_lite.PromptHub"),
        ("decorator", "cozeloop_lite.observe(len)([])"),
        ("prompt.template", "client.prompt_format(prompt('normal'), {'a': 'b'})"),
        ("prompt.spans", "client.prompt_format(prompt('normal'), {'a': 'b'})"),
        ("prompt.jinja", "client.prompt_format(prompt('jinja2'), {'a': 'b'})"),
        ("prompt.execute", "client.execute_prompt('k')"),
        ("feedback", "client.add_feedback('a' * 32, 'k', 1)"),
        ("query.search", "client.search_trace('a' * 32)"),
    ],
)
def test_a_fork_in_the_middle_of_what_another_thread_of_the_program_imports_does_not_hang(server, module, work):
    data = {"items": [], "spans": [], "message": {"content": "a"}}
    server.default = json_answer({"code": 0, "msg": "", "data": data})
    run(
        server,
        PROMPT
        + """
importing = threading.Event()
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == 'cozeloop_lite.%(module)s':
            importing.set()
            time.sleep(0.5)
client = new_client(prompt_trace=True)
sys.meta_path.insert(0, Slow())
forked = threading.Event()
def other():
    %(work)s
    forked.wait(15)  # a thread that ends may have libc load a library, in the middle of which no fork may come
thread = threading.Thread(target=other, daemon=True)
thread.start()
assert importing.wait(15)
child = in_child(lambda: %(work)s)
forked.set()
wait_for(child)
thread.join(15)
"""
        % {"module": module, "work": work},
    )


def test_an_import_waits_for_a_fork_and_for_no_other_import(monkeypatch):
    monkeypatch.setattr(process, "FORK_SECONDS", 60.0)
    held, over = threading.Event(), threading.Event()

    def hold():
        with process.loading():
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(60)
    assert process.hold_off_forks() is None
    monkeypatch.setattr(process, "_forking", {thread.ident})
    found = []

    def load():
        lock = process.hold_off_forks()
        found.append(lock)
        if lock is not None:
            lock.release()  # else whatever is imported late by the tests after this one would wait for ever

    importing = threading.Thread(target=load, daemon=True)
    importing.start()
    over.set()
    importing.join(60)
    assert found == [process.loading()]


def test_a_connection_is_never_shared_with_the_parent(server):
    """Of the client's own pool, and of one that the program gave it."""
    run(
        server,
        """
        import urllib3
        clients = [new_client(), new_client(http_client=urllib3.PoolManager())]
        def work():
            for client in clients:
                client.start_span('child', 'custom').finish()
                assert client.flush(15)
        for client in clients:
            client.start_span('parent', 'custom').finish()
            assert client.flush(15)
        wait_for(in_child(work), in_child(work))
        for client in clients:
            client.start_span('parent', 'custom').finish()
            assert client.flush(15)
        """,
    )
    assert sorted(server.names()) == ["child"] * 4 + ["parent"] * 4
    assert server.connections == 6


def test_a_fork_without_pythons_hooks_is_noticed(server):
    """uWSGI forks so: neither Python's hooks nor those of its standard library run in the child."""
    run(
        server,
        """
        from cozeloop_lite import process
        parents_spans = 50
        for number in range(parents_spans):
            span('parent')
        hooks = process._forked
        pid = os.getpid()
        def work():
            # Undo what the hook did: everything is as the fork left it.
            assert client.stats()['finished'] == 0
            process._pid = pid
            client.tracer._queue._items.extend(left_behind)
            from cozeloop_lite.trace import ids, unseen
            ids.source.fresh_ns = 0
            unseen.threads.add(threading.get_ident())  # as that of the parent's thread that sends may have been
            start_span('child', 'custom').finish()
            assert client.flush(15)
            assert client.stats()['delivered'] == 1
        client = new_client()
        left_behind = list(client.tracer._queue._items)
        wait_for(in_child(work))
        """,
    )
    assert sorted(server.names()) == ["child"] + ["parent"] * 50


def test_a_fork_without_pythons_hooks_in_the_middle_of_an_import_leaves_nothing_locked(server):
    run(
        server,
        """
        from cozeloop_lite import process
        client = new_client()
        lock, pid = process._loading, os.getpid()
        importing, over = threading.Event(), threading.Event()
        def load():
            with process.loading():
                importing.set()
                over.wait(60)
        def work():
            process._pid, process._loading = pid, lock  # as above
            client.prompts
        threading.Thread(target=load, daemon=True).start()
        assert importing.wait(15)
        process.FORK_WAIT_SECONDS = 0.01
        wait_for(in_child(work))
        over.set()
        """,
    )


@pytest.mark.skipif(not process._ENDING_LOADS, reason="threads end without loading anything")
def test_no_child_is_forked_while_a_thread_that_ends_loads_what_it_needs_for_that(server):
    run(
        server,
        """
        from cozeloop_lite import process
        def loaded():
            with open('/proc/self/maps') as maps:
                return 'libgcc_s' in maps.read()
        def ending(end=process.ending):
            assert not loaded()
            end()
            ends.append(loaded())
            ended.set()
        ends, ended = [], threading.Event()
        process.ending = ending
        span('parent')
        assert ended.wait(15) and ends == [True], ends
        """,
    )
    assert server.names() == ["parent"]


@pytest.mark.parametrize("problem", [ImportError, OSError, RuntimeError, AttributeError])
def test_a_thread_that_may_not_load_what_it_needs_to_end_ends_all_the_same(monkeypatch, problem):
    def fails(*args):
        tried.append(args)
        raise problem("an audit hook of the program does not want it")

    tried = []
    monkeypatch.setattr(process, "_ENDING_LOADS", True)
    monkeypatch.setattr("_ctypes.dlopen", fails)
    process.ending()
    assert len(tried) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_deliver_without_a_flush(server, method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        START
        + """
import multiprocessing

def work(number):
    start_span('child %d' % number, 'custom').finish()

if __name__ == '__main__':
    context = multiprocessing.get_context('METHOD')
    start_span('parent', 'custom').finish()
    processes = [context.Process(target=work, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0, process.exitcode
""".replace("METHOD", method)
    )
    done = Run(server.url, script=program)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert sorted(server.names()) == ["child 0", "child 1", "child 2", "parent"]
    assert len(set(ids(server))) == 8


def test_a_pool_of_processes_delivers(server, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        START
        + """
from concurrent.futures import ProcessPoolExecutor

def work(number):
    start_span('child', 'custom', start_new_trace=True).finish()

if __name__ == '__main__':
    start_span('parent', 'custom').finish()
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, range(20)))
"""
    )
    done = Run(server.url, script=program)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert sorted(server.names()) == ["child"] * 20 + ["parent"]
