"""At home where programs live: gunicorn's and Celery's workers, gevent's greenlets, sub-interpreters."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOON = 60  # seconds that no test waits unless it fails
NO_LATE_THREADS = "CPython 3.12 starts no native thread at exit, as gevent wants for the first address"
if sys.version_info[:2] != (3, 12):
    NO_LATE_THREADS = ""


def environment(url, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    settings = {"COZELOOP_API_BASE_URL": url, "COZELOOP_WORKSPACE_ID": "42", "COZELOOP_API_TOKEN": "pat"}
    return {**kept, **settings, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **more}


def run(url, program):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment(url), capture_output=True, text=True, timeout=SOON,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


APPLICATION = """
import cozeloop_lite
from cozeloop_lite import start_span

start_span("import").finish()

def app(environ, start_response):
    with start_span("GET " + environ["PATH_INFO"], child_of=cozeloop_lite.extract(environ)):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]
"""


@pytest.mark.skipif(os.name == "nt", reason="gunicorn needs fork")
@pytest.mark.parametrize("preload", [["--preload"], []], ids=["preload", "no preload"])
@pytest.mark.parametrize(
    "worker",
    [["--worker-class", "sync"], ["--worker-class", "gthread", "--threads", "4"], ["--worker-class", "gevent"]],
    ids=["sync", "gthread", "gevent"],
)
def test_gunicorn(server, tmp_path, worker, preload):
    if "gevent" in worker and NO_LATE_THREADS:
        pytest.skip(NO_LATE_THREADS)
    (tmp_path / "application.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "gunicorn", "application:app", "--bind", "127.0.0.1:0", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--chdir", str(tmp_path), *worker, *preload],
        env=environment(server.url), stderr=subprocess.PIPE, universal_newlines=True,
    )  # fmt: skip
    try:
        seen = ""
        while not re.search(r"Listening at: (http://\S+)", seen):
            line = process.stderr.readline()
            assert line, seen
            seen += line
        url = re.search(r"Listening at: (http://\S+)", seen).group(1)
        for number in range(20):
            assert urllib.request.urlopen("%s/%02d" % (url, number), timeout=SOON).read() == b"done"
            if number == 9:  # what was finished is sent, and while the daemon thread sleeps, others run
                server.wait_for(lambda server: "GET /09" in server.names())
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=SOON)
    assert "[cozeloop]" not in seen + rest
    requests = sorted(name for name in server.names() if name != "import")
    assert requests == ["GET /%02d" % number for number in range(20)]
    # With --preload the master imports, and its workers send none of its spans again.
    assert server.names().count("import") == (1 if preload else 2)
    assert len({span["span_id"] for span in server.spans()}) == len(server.spans())


TASKS = """
import os
from celery import Celery
from cozeloop_lite import start_span

folder = os.path.dirname(os.path.abspath(__file__))
app = Celery("tasks", broker="filesystem://")
folders = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
app.conf.update(broker_transport_options=folders, worker_max_tasks_per_child=1)

@app.task
def work(number):
    start_span("task %d" % number).finish()
"""


@pytest.mark.skipif(os.name == "nt", reason="Celery's workers need fork")
def test_workers_of_celery_that_end_after_a_task(server, tmp_path):
    pytest.importorskip("celery")
    (tmp_path / "tasks.py").write_text(TASKS)
    sent = "import tasks\nfor number in range(4): tasks.work.delay(number)"
    where = {"env": environment(server.url, C_FORCE_ROOT="1"), "cwd": str(tmp_path)}
    subprocess.run([sys.executable, "-c", sent], check=True, timeout=SOON, **where)
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True, **where,
    )  # fmt: skip
    try:
        server.wait_for_spans(4, timeout=SOON)
    finally:
        process.terminate()
        try:
            _, said = process.communicate(timeout=SOON)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "[cozeloop]" not in said
    assert sorted(server.names()) == ["task %d" % number for number in range(4)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_worker_tells_that_it_ends_and_what_it_has_is_sent(server):
    run(
        server.url,
        """
        import os, sys, types
        from cozeloop_lite import start_span

        class Signal:  # as Celery has it
            receivers = []
            def connect(self, receiver, weak):
                assert not weak
                self.receivers.append(receiver)

        signals = sys.modules["celery.signals"] = types.ModuleType("celery.signals")
        signals.worker_process_shutdown = Signal()
        start_span("parent").finish()
        if os.fork() == 0:
            start_span("child").finish()
            for receiver in Signal.receivers:
                receiver(signal=Signal, sender=None, pid=os.getpid(), exitcode=0)
            os._exit(0)
        os.wait()
        assert len(Signal.receivers) == 1
        """,
    )
    assert sorted(server.names()) == ["child", "parent"]


@pytest.mark.parametrize("late", [False, True], ids=["patched first", "imported first"])
def test_greenlets_of_gevent_are_tasks_of_their_own(server, late):
    program = """
        import sys
        if %r:
            import cozeloop_lite.api.connections, cozeloop_lite.trace.exporter
        from gevent import monkey
        monkey.patch_all()
        import gevent
        from cozeloop_lite import new_client, start_span
        client = new_client()
        def work(number):
            with start_span("outer", start_new_trace=True) as outer:
                gevent.sleep(0.001 * (number %% 7))
                with start_span("inner") as inner:
                    gevent.sleep(0.001 * (number %% 5))
                    assert inner.trace_id == outer.trace_id
        gevent.joinall([gevent.spawn(work, number) for number in range(200)], raise_error=True)
        gevent.sleep(1.5)  # the first batches leave meanwhile, and what sends them sleeps
        gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True, timeout=20)
        assert client.flush(30)
        start_span("last").finish()
    """ % late
    run(server.url, program)
    spans = server.spans()
    outer = {span["span_id"]: span for span in spans if span["span_name"] == "outer"}
    inner = [span for span in spans if span["span_name"] == "inner"]
    assert (len(outer), len(inner), len(spans)) == (220, 220, 441)
    assert {span["parent_id"] for span in inner} == set(outer)
    assert all(span["trace_id"] == outer[span["parent_id"]]["trace_id"] for span in inner)


@pytest.mark.skipif(bool(NO_LATE_THREADS), reason=NO_LATE_THREADS)
def test_a_program_of_gevent_that_asks_for_an_address_at_its_end_for_the_first_time(server):
    """As a worker of gunicorn does that has answered but a few requests."""
    run(
        server.url,
        """
        from gevent import monkey
        monkey.patch_all()
        from cozeloop_lite import start_span
        start_span("only").finish()
        """,
    )
    assert server.names() == ["only"]


def test_a_program_of_gevent_whose_first_span_is_one_of_its_exit_hooks_is_not_disturbed(server):
    output = run(
        server.url,
        """
        from gevent import monkey
        monkey.patch_all()
        import atexit, logging
        logging.disable(logging.CRITICAL)  # on some versions there is no way to send it any more, which is said
        from cozeloop_lite import new_client
        client = new_client(shutdown_timeout=0.5)
        def last():
            client.start_span("last").finish()
            print("went on")
        atexit.register(last)
        """,
    )
    assert output == "went on\n"


@pytest.mark.skipif(sys.version_info < (3, 8), reason="CPython 3.8 has the module")
@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="CPython 3.12 aborts where one imports urllib3 alone, too")
def test_a_sub_interpreter_traces_for_itself(server):
    program = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = '''
        from cozeloop_lite import new_client
        client = new_client()
        client.start_span("inside").finish()
        assert client.flush(30)
        client.close()
        '''.replace(chr(10) + " " * 8, chr(10))
        other = interpreters.create()
        failed = getattr(interpreters, "exec", getattr(interpreters, "run_string", None))(other, code)
        assert failed is None, failed
        interpreters.destroy(other)
        from cozeloop_lite import start_span
        start_span("outside").finish()
    """
    run(server.url, program)
    assert sorted(server.names()) == ["inside", "outside"]
