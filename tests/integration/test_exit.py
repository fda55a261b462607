"""However a program ends, its last spans are sent, it ends in time, and it ends as it would have without us."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from support.recording import RecordingServer, dead_port, drip, hang, json_answer

ROOT = Path(__file__).resolve().parents[2]

START = """
import atexit, sys, threading, time
import cozeloop_lite
from cozeloop_lite import new_client, start_span
"""


class Run:
    """A program in a process of its own, run to its end."""

    def __init__(self, url, program="", *, start=START, script=None, **settings):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
        environment.update(
            PYTHONPATH=str(ROOT),
            PYTHONWARNINGS="ignore",  # newer Pythons warn of a fork with threads
            COZELOOP_API_BASE_URL=url,
            COZELOOP_WORKSPACE_ID="42",
            COZELOOP_API_TOKEN="pat_secret",
            **settings,
        )
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *([str(script)] if script else ["-c", start + textwrap.dedent(program)])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.seconds = time.monotonic() - began
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.lines = [line for line in self.err.splitlines() if "[cozeloop]" in line]


@pytest.fixture
def usual():
    """Seconds that a program takes on this machine now whose span is sent without any trouble."""
    with RecordingServer() as server:
        return Run(server.url, "start_span('last', 'custom').finish()").seconds


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("start_span('last', 'custom').finish()", 0, ""),
        ("with start_span('last', 'custom'): pass\nsys.exit(7)", 7, ""),
        ("start_span('last', 'custom').finish()\nraise ValueError('mine')", 1, "ValueError: mine"),
        ("with start_span('last', 'custom'): raise ValueError('mine')", 1, "ValueError: mine"),
        ("with start_span('last', 'custom'): raise KeyboardInterrupt", None, "KeyboardInterrupt"),
        ("with start_span('last', 'custom'): sys.exit('goodbye')", 1, "goodbye"),
        (
            """
            def work():
                with start_span('last', 'custom'):
                    sys.exit(9)
            threading.Thread(target=work).start()
            """,
            0,
            "",
        ),
        ("new_client(api_token='other').start_span('last', 'custom').finish()", 0, ""),
        ("new_client(api_token='other').start_span('last', 'custom').finish()\nsys.exit(3)", 3, ""),
        ("atexit.register(lambda: start_span('last', 'custom').finish())", 0, ""),
        ("import logging\nlogging.basicConfig()\nstart_span('last', 'custom').finish()", 0, ""),
    ],
    ids=[
        "normal end",
        "sys.exit",
        "unhandled exception",
        "exception in the span",
        "Ctrl-C",
        "sys.exit with a text",
        "sys.exit in a thread",
        "explicit client",
        "explicit client, sys.exit",
        "exit hook",
        "logging configured",
    ],
)
def test_the_last_span_is_delivered_and_the_program_ends_as_it_would(server, program, code, said):
    run = Run(server.url, program)
    assert server.names() == ["last"]
    assert run.code == code if code is not None else run.code != 0
    assert run.out == ""
    assert said in run.err
    assert run.lines == []
    if not said:
        assert run.err == ""


def test_a_span_finished_only_at_exit_is_delivered_even_when_threads_can_no_longer_be_started(server):
    """CPython 3.12 starts no threads any more when exit hooks run: they are simulated on older ones."""
    program = """
        client = new_client()
        def finish():
            if sys.version_info < (3, 12):
                def start(self):
                    raise RuntimeError("can't create new thread at interpreter shutdown")
                threading.Thread.start = start
            for number in range(250):
                client.start_span('last', 'custom', start_new_trace=True).finish()
        atexit.register(finish)
    """
    run = Run(server.url, program)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert server.names() == ["last"] * 250


@pytest.mark.parametrize("before", ["", "start_span('first', 'custom').finish()"], ids=["only then", "others before"])
def test_an_exit_hook_from_before_the_import_runs_after_ours_and_is_heard_all_the_same(server, before):
    start = """
import atexit
def finish():
    import cozeloop_lite
    cozeloop_lite.start_span('last', 'custom').finish()
atexit.register(finish)
""" + START
    run = Run(server.url, before, start=start)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert server.names() == (["first"] if before else []) + ["last"]


def test_an_exit_hook_may_be_the_first_to_import_the_package(server):
    start = """
import atexit, threading
def finish():
    import cozeloop_lite
    cozeloop_lite.start_span('last', 'custom').finish()
atexit.register(finish)
"""
    run = Run(server.url, start=start)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert server.names() == ["last"]


def test_a_thread_that_is_the_first_to_import_the_package_when_the_main_one_has_ended_traces_as_usual(server):
    start = """
import threading
def work():
    threading.main_thread().join()
    import cozeloop_lite
    cozeloop_lite.start_span('first', 'custom').finish()
    assert not cozeloop_lite.process.leaving()
    assert cozeloop_lite.flush()
    cozeloop_lite.start_span('last', 'custom').finish()
threading.Thread(target=work).start()
"""
    run = Run(server.url, start=start)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert server.names() == ["first", "last"]


def test_a_span_finished_by_the_garbage_collector_at_the_very_end_does_not_hold_up_the_exit(server, usual):
    program = """
        class Owner:
            def __init__(self):
                self.span = start_span('never closed', 'custom')
            def __del__(self):
                self.span.finish()
        start_span('last', 'custom').finish()
        owner = Owner()
        owner.me = owner
        sys.modules['keeps it until the modules go'] = owner
    """
    run = Run(server.url, program)
    assert run.code == 0
    assert run.seconds < usual + 5 + 4
    assert "last" in server.names()


@pytest.mark.parametrize("logging", ["", "import logging; logging.basicConfig(level=logging.INFO)\n"])
@pytest.mark.parametrize("mishap", ["down", "hangs", "drips", "503", "retry after"])
def test_when_the_server_fails_the_program_ends_in_time_and_one_line_says_what_is_lost(
    server, usual, mishap, logging
):
    url = server.url
    if mishap == "down":
        url = "http://127.0.0.1:%d" % dead_port()
    server.default = {
        "hangs": hang(),
        "drips": drip({"code": 0}, 5, slow="all"),
        "503": json_answer({}, status=503),
        "retry after": json_answer({}, status=503, headers={"Retry-After": "60"}),
    }.get(mishap, hang())
    program = logging + textwrap.dedent("""
        client = new_client(shutdown_timeout=1)
        for number in range(250):
            client.start_span('lost', 'custom', start_new_trace=True).finish()
        sys.exit(5)
    """)
    run = Run(url, program)
    assert run.code == 5
    assert run.out == ""
    assert run.seconds < usual + 1 + 4
    assert len([line for line in run.lines if "250 finished spans could not be delivered" in line]) == 1
    assert len(run.lines) <= 2  # the other one says why
    assert len(run.err.splitlines()) == len(run.lines)
    assert "pat_secret" not in run.err


def test_several_clients_share_the_time_at_exit(server, usual):
    server.default = hang()
    program = """
        for number in range(20):
            client = new_client(api_token='token%d' % number, shutdown_timeout=1)
            client.start_span('lost', 'custom', start_new_trace=True).finish()
    """
    run = Run(server.url, program)
    assert run.code == 0
    assert run.seconds < usual + 10  # 20 s one after the other
    assert len([line for line in run.lines if "1 finished spans could not be delivered" in line]) == 20
    assert "within 0.0 s" not in run.err  # all had the second, though they end one after the other


def test_a_server_that_comes_back_while_the_program_exits_gets_the_spans(server):
    server.answers(*[json_answer({}, status=503)] * 2)
    run = Run(server.url, "start_span('last', 'custom').finish()")
    assert run.code == 0
    assert server.names() == ["last"]
    assert not any("lost" in line for line in run.lines)


def test_what_is_open_at_exit_is_sent_as_unfinished_the_children_first(server):
    program = """
        outer = start_span('outer', 'custom')
        outer.set_input('what was asked')
        inner = start_span('inner', 'custom')
        start_span('discarded', 'custom').discard()
        start_span('done', 'custom').finish()
    """
    run = Run(server.url, program)
    assert (run.code, run.out) == (0, "")
    assert server.names() == ["done", "inner", "outer"]
    done, inner, outer = server.spans()
    assert done["tags_bool"] == {}
    assert inner["tags_bool"] == outer["tags_bool"] == {"unfinished": True}
    assert (outer["input"], outer["status_code"]) == ("what was asked", 0)
    (line,) = run.lines
    assert "unfinished at exit, and sent as such, 2 in all" in line and "'outer', 'inner'" in line


@pytest.mark.parametrize("mishap", ["hangs", "down"])
def test_whoever_does_not_answer_is_not_waited_for_up_to_the_shutdown_timeout(server, usual, mishap):
    server.default = hang()
    url = server.url if mishap == "hangs" else "http://127.0.0.1:%d" % dead_port()
    program = """
        client = new_client(shutdown_timeout=50)
        for number in range(250):
            client.start_span('lost', 'custom', start_new_trace=True).finish()
        began = time.monotonic()
        atexit._run_exitfuncs()
        print('%.3f' % (time.monotonic() - began))
    """
    run = Run(url, program)
    assert run.code == 0
    assert float(run.out) < 25
    assert run.seconds < usual + 25
    assert len([line for line in run.lines if "250 finished spans could not be delivered" in line]) == 1


def test_a_program_that_only_imports_starts_nothing():
    run = Run(
        "http://127.0.0.1:1",
        """
        assert threading.active_count() == 1
        new_client()
        assert threading.active_count() == 1
        assert not [name for name in sys.modules if name.split('.')[0] in ('urllib3', 'jinja2')]
        """,
    )
    assert (run.code, run.out, run.err) == (0, "", "")


def test_a_slow_machine_that_loads_urllib3_for_seconds_is_not_taken_for_a_silent_server(server):
    run = Run(
        server.url,
        """
        class Slow:
            def find_spec(self, name, path=None, target=None):
                if name == 'urllib3':
                    time.sleep(2.5)

        sys.meta_path.insert(0, Slow())
        new_client(shutdown_timeout=50).start_span('last').finish()
        """,
    )
    assert (run.code, run.err, server.names()) == (0, "", ["last"])


def test_a_signal_handler_that_exits_while_the_exit_waits_is_no_traceback():
    run = Run(
        "http://127.0.0.1:%d" % dead_port(),
        """
        from cozeloop_lite import process

        class Hook:
            def _on_exit_begins(self):
                sys.exit(5)  # as the second SIGTERM does

        hook = Hook()
        process.on_exit(hook)
        sys.exit(4)
        """,
    )
    assert (run.code, run.err) == (4, "")


def test_a_program_that_changes_its_folder_is_still_found_by_what_is_loaded_late(server, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "cozeloop_lite").symlink_to(ROOT / "cozeloop_lite", target_is_directory=True)
    script = tmp_path / "script.py"
    program = "os.chdir(%r)\nsys.path.insert(0, 'lib')\n%s\nos.chdir('/')\nstart_span('last').finish()\n"
    script.write_text("import os, sys\n" + program % (str(tmp_path), START))
    run = Run(server.url, script=script)
    assert (run.code, run.err, server.names()) == (0, "", ["last"])
