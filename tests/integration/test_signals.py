"""A signal ends a process as it would have, and by then its spans are sent, where the program asked for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from cozeloop_lite import errors, signals
from support.recording import hang

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60

START = """
import os, signal, sys, threading, time
from cozeloop_lite import new_client, start_span, signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
client = new_client()

def stay():
    while True:  # a signal that comes while the sleep waits for another thread's turn does not cut it short
        time.sleep(0.05)
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Program:
    """A program that prints a line when it is ready for a signal."""

    def __init__(self, url, text):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
        environment.update(
            PYTHONPATH=str(ROOT), COZELOOP_API_BASE_URL=url, COZELOOP_WORKSPACE_ID="42", COZELOOP_API_TOKEN="pat"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", START + textwrap.dedent(text)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        )  # fmt: skip

    def send(self, *numbers):
        """Send the signals, each when the program is ready, and wait for its end."""
        for number in numbers:
            line = self.process.stdout.readline()
            assert line.strip() == "ready", (line, self.process.stderr.read())
            self.process.send_signal(number)
        self.out, self.err = self.process.communicate(timeout=WAIT_SECONDS)
        self.code = self.process.returncode
        return self


WAIT_FOR_IT = """
print("ready")
stay()
"""


def test_without_asking_the_default_action_is_as_it_was(server):
    program = "start_span('last').finish()" + WAIT_FOR_IT
    assert Program(server.url, program).send(signal.SIGTERM).code == -signal.SIGTERM


def test_the_default_action_of_sigterm_comes_after_the_spans_are_sent(server):
    program = """
client.install_signal_flush()
open_span = start_span('open')
start_span('last').finish()
""" + WAIT_FOR_IT
    done = Program(server.url, program).send(signal.SIGTERM)
    assert done.code == -signal.SIGTERM
    assert server.names() == ["last", "open"]
    assert server.spans()[1]["tags_bool"] == {"unfinished": True}
    assert done.out == ""


def test_sigint_raises_keyboard_interrupt_as_before_and_the_exit_sends(server):
    program = """
client.install_signal_flush()
start_span('last').finish()
try:
    print("ready")
    stay()
except KeyboardInterrupt:
    sys.exit(3)
"""
    done = Program(server.url, program).send(signal.SIGINT)
    assert done.code == 3
    assert server.names() == ["last"]


def test_a_handler_that_was_there_runs_after_the_flush(server):
    program = """
def handler(number, frame):
    print("handled", number)
    os._exit(7)
signal.signal(signal.SIGTERM, handler)
client.install_signal_flush()
client.install_signal_flush()  # twice is once
start_span('last').finish()
""" + WAIT_FOR_IT
    done = Program(server.url, program).send(signal.SIGTERM)
    assert (done.code, done.out) == (7, "handled %d\n" % signal.SIGTERM)
    assert server.names() == ["last"]


def test_several_clients_share_the_time_of_the_flush(server):
    server.default = hang()
    program = """
others = [new_client(workspace_id=str(number)) for number in range(5)]
began = []
def handler(number, frame):
    print(time.monotonic() - began[0])
    os._exit(3)
signal.signal(signal.SIGTERM, handler)
for each in [client, *others]:
    each.install_signal_flush(timeout=1)
    each.start_span("last").finish()
began.append(time.monotonic())
""" + WAIT_FOR_IT
    done = Program(server.url, program).send(signal.SIGTERM)
    assert (done.code, len(server.all_spans())) == (3, 6)
    assert float(done.out) < 4  # one after the other they would take 6 s


def test_a_program_that_survives_its_signal_goes_on_and_its_open_spans_too(server):
    program = """
seen = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: seen.set())
client.install_signal_flush()
with start_span('open') as span:
    print("ready")
    assert seen.wait(60)
    span.set_output("after the signal")
"""
    done = Program(server.url, program).send(signal.SIGTERM)
    assert (done.code, done.err) == (0, "")
    (span,) = server.spans()
    assert (span["output"], span["tags_bool"]) == ("after the signal", {})


def test_an_ignored_signal_is_still_ignored(server):
    program = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
client.install_signal_flush()
print("ready")
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready")
stay()
"""
    assert Program(server.url, program).send(signal.SIGTERM, signal.SIGINT).code == -signal.SIGINT


def test_a_second_signal_is_not_kept_waiting(server):
    server.default = hang()
    program = """
client.install_signal_flush()
start_span('last').finish()
server_hangs = threading.Event()
threading.Thread(target=lambda: (server_hangs.wait(60), print("ready")), daemon=True).start()
from cozeloop_lite import process
class Tell:
    def _on_exit_hurry(self):
        server_hangs.set()
tell = Tell()
process.on_exit(tell)
""" + WAIT_FOR_IT
    assert Program(server.url, program).send(signal.SIGTERM, signal.SIGTERM).code == -signal.SIGTERM


@pytest.mark.parametrize("timeout", ["2", None, True, float("nan")])
def test_a_time_that_is_none_is_an_error_at_once(client, timeout):
    with pytest.raises(errors.InvalidParamError, match="timeout"):
        client.install_signal_flush(timeout)
    assert client not in signals._clients


def test_only_the_main_thread_may_ask_and_the_error_says_so(server):
    program = """
from cozeloop_lite.errors import InvalidParamError
def ask():
    try:
        client.install_signal_flush()
    except InvalidParamError as error:
        print(error)
thread = threading.Thread(target=ask)
thread.start()
thread.join()
"""
    done = Program(server.url, program).send()
    assert (done.code, done.err) == (0, "")
    assert "must be called in the main thread" in done.out


def test_what_is_no_signal_is_refused(server):
    program = """
from cozeloop_lite.errors import InvalidParamError
for wrong in (signal.SIGKILL, 12345, "TERM"):
    try:
        client.install_signal_flush(signals=[wrong])
    except InvalidParamError as error:
        print("ready" if "cannot be handled" in str(error) else error)
print("ready")
stay()
"""
    assert Program(server.url, program).send(0, 0, 0, signal.SIGKILL).code == -signal.SIGKILL


def test_a_signal_in_the_middle_of_close_does_not_end_it_early(server):
    """The server answers the first request only after the signal was sent."""
    arrived, sent = threading.Event(), threading.Event()
    well = server.default

    def slow(request):
        arrived.set()
        assert sent.wait(WAIT_SECONDS)
        return well

    server.default = slow
    program = """
client.install_signal_flush()
for number in range(250):
    start_span(str(number)).finish()
print("ready")
client.close()
"""
    process = Program(server.url, program)
    assert arrived.wait(WAIT_SECONDS)
    threading.Timer(0.2, sent.set).start()  # the signal is on its way by then, or else this proves nothing
    assert process.send(signal.SIGTERM).code == -signal.SIGTERM
    assert len(server.names()) == 250


def test_where_no_signal_ends_the_process_by_default_the_program_goes_on(monkeypatch):
    """As in a container, whose first process the kernel spares: there the spans are sent, and that is all."""
    flushed = []

    class Client:
        def flush(self, timeout):
            flushed.append(timeout)

    client = Client()
    monkeypatch.setattr(signals, "_clients", {client: 7})
    monkeypatch.setattr(signals, "_previous", {signal.SIGTERM: signal.SIG_DFL})
    monkeypatch.setattr(signals.os, "getpid", lambda: 1)
    monkeypatch.setattr(signals.os, "kill", lambda *args: pytest.fail("it would do nothing"))
    monkeypatch.setattr(signals.process, "leave", lambda: pytest.fail("the client is still needed"))
    assert signals._handle(signal.SIGTERM, None) is None
    assert flushed == [pytest.approx(7, abs=1)]
