"""``python -m cozeloop_lite`` as people start it: a process of its own, its output, its exit code."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import types

import pytest

import cozeloop_lite
from cozeloop_lite import __main__ as command_line
from cozeloop_lite.local import StandInServer, traces_command
from support.calling import wait_for
from support.stand_in import ROOT, TRACE_ID, environment, send, wire_span


def run(folder, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "cozeloop_lite", *arguments],
        cwd=str(folder),
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )


class Serve:
    """A running ``serve`` process and the lines it prints."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cozeloop_lite", "serve", "--port", "0", *arguments],
            cwd=str(folder),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout])
        self.reader.start()
        self.greeting = self.read_until("COZELOOP_API_TOKEN")
        self.url = re.search(r"COZELOOP_API_BASE_URL=(\S+)", self.greeting).group(1)

    def read_until(self, text):
        read = ""
        while text not in read:
            read += self.lines.get(timeout=10)
        return read

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def serve(tmp_path):
    started = []

    def start(*arguments):
        started.append(Serve(tmp_path, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def serve_unread(tmp_path):
    """The address of a ``serve`` process whose output nobody reads after its greeting, and keeps open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cozeloop_lite", "serve", "--port", "0"],
        cwd=str(tmp_path),
        env=environment(),
        stdout=subprocess.PIPE,
    )
    yield re.search(r"http://[0-9.:]+", process.stdout.readline().decode()).group(0)
    process.kill()
    process.wait(10)
    process.stdout.close()


def stored(folder, *spans, db="cozeloop_lite.sqlite3"):
    with StandInServer(db=str(folder / db)) as server:
        assert send(server.url, *spans) == 0


# --- serve ---


def test_serve_says_where_it_is_and_what_to_set(serve):
    server = serve()

    assert server.url in server.greeting.split("\n")[0]
    assert "in the file cozeloop_lite.sqlite3" in server.greeting
    assert f"export COZELOOP_API_BASE_URL={server.url}\n" in server.greeting
    assert "export COZELOOP_WORKSPACE_ID=1\n" in server.greeting
    assert "export COZELOOP_API_TOKEN=" in server.greeting


def test_serve_says_how_others_reach_it(serve):
    assert "for other machines: port " in serve("--host", "0.0.0.0").greeting
    assert "other machines" not in serve().greeting


def test_serve_does_not_print_the_token(serve):
    assert "s3cret" not in serve("--token", "s3cret").greeting


@pytest.mark.skipif(os.name == "nt", reason="sh")
@pytest.mark.parametrize("arguments", [[], ["--token", "s3cret"], ["--host", "0.0.0.0"]])
def test_the_settings_that_serve_prints_can_be_copied_into_a_shell(serve, arguments):
    lines = [line for line in serve(*arguments).greeting.split("\n") if "export" in line]

    said = subprocess.run(["sh", "-ec", "\n".join([*lines, "printenv COZELOOP_API_TOKEN"])], stdout=subprocess.PIPE)

    assert (said.returncode, len(lines)) == (0, 3)
    assert said.stdout.strip()


def test_serve_prints_each_batch_and_its_warnings(serve):
    server = serve()

    send(server.url, wire_span(1), wire_span(2, tags_string={"k": "x" * 1025}))

    assert server.read_until("'k'").split("\n")[-3:-1] == [
        "accepted 2 span(s) for workspace '7'",
        "  warning: span 'greet': tag value cut to 1024 bytes: 'k'",
    ]


def test_serve_keeps_its_spans_in_a_file_of_the_current_folder(serve, tmp_path):
    server = serve()
    send(server.url, wire_span())
    server.process.kill()
    server.process.wait(10)

    assert (tmp_path / "cozeloop_lite.sqlite3").exists()
    assert TRACE_ID in run(tmp_path, "traces").stdout
    assert TRACE_ID in run(tmp_path, "traces", "--url", serve().url).stdout


def test_serve_can_keep_nothing(serve, tmp_path):
    server = serve("--db", ":memory:")
    send(server.url, wire_span())

    assert "in memory only" in server.greeting
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_cleanly_on_a_signal(serve, number):
    server = serve()
    send(server.url, wire_span())

    assert server.end(number) == 0


def test_serve_writes_nothing_to_stderr(serve):
    server = serve()
    server.process.send_signal(signal.SIGTERM)

    assert server.process.stderr.read() == ""


def test_a_port_in_use_is_a_clear_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])

        result = run(tmp_path, "serve", "--port", port)

    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr
    assert "--port" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_database_that_cannot_be_used_is_a_clear_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)

    result = run(tmp_path, "serve", "--port", "0", "--db", "notes.txt")

    assert result.returncode == 1
    assert "cannot use the database notes.txt" in result.stderr
    assert "Traceback" not in result.stderr


def test_with_tree_a_trace_is_drawn_once_its_root_has_arrived(serve):
    server = serve("--tree")
    root = wire_span(1, span_name="root")

    send(server.url, wire_span(2, parent_id=root["span_id"], span_name="leaf"))
    send(server.url, root)

    assert server.read_until("leaf  ").split("\n")[-3:-1] == [
        "└─ root  custom  1.5 ms  ok",
        "   └─ leaf  custom  1.5 ms  ok",
    ]


def test_with_tree_a_trace_without_root_is_waited_for_and_drawn_at_the_end(serve):
    """It may have begun in a service that reports elsewhere."""
    server = serve("--tree")
    send(server.url, wire_span(2, parent_id="1" * 16, span_name="orphan"))
    send(server.url, wire_span(3, trace_id="a" * 32, span_name="complete"))

    assert "orphan  custom" not in server.read_until("complete  custom")
    assert server.end() == 0
    assert "orphan  custom" in "".join(server.lines.queue)


def test_with_tree_what_is_complete_is_drawn_at_the_end(serve):
    server = serve("--tree")
    send(server.url, wire_span())

    assert server.end() == 0
    assert "greet  custom" in "".join(server.lines.queue)


def test_a_tree_is_drawn_without_what_is_in_the_spans():
    drawn = []
    with StandInServer() as server:
        trees = command_line._Trees(server.store, types.SimpleNamespace(write=lambda *lines: drawn.extend(lines)))
        send(server.url, wire_span(1, span_name="root"), wire_span(2, span_name="leaf", parent_id=f"{1:016x}"))
        server.store._connection.execute("UPDATE spans SET span = 'no JSON'")

        trees.draw(0)

    assert [line.split()[1] for line in drawn[1:]] == ["root", "leaf"]


def test_trees_are_drawn_of_a_database_that_takes_the_place_of_one_that_was_removed(tmp_path):
    drawn = []
    with StandInServer(db=str(tmp_path / "spans.sqlite3")) as server:
        trees = command_line._Trees(server.store, types.SimpleNamespace(write=lambda *lines: drawn.extend(lines)))
        send(server.url, wire_span(1), wire_span(2))
        trees.draw(0)
        del drawn[:]
        for path in tmp_path.iterdir():
            path.unlink()
        send(server.url, wire_span(3, span_name="new"))

        trees.draw(0)

    assert [line.split()[1] for line in drawn[1:]] == ["new"]


def test_what_nobody_read_is_counted_and_said(monkeypatch):
    read, said = threading.Event(), []
    stuck = types.SimpleNamespace(write=lambda text: (read.wait(), said.append(text)), flush=lambda: None)
    monkeypatch.setattr(command_line, "_MAX_WAITING", 2)
    monkeypatch.setattr(sys, "stdout", stuck)
    output = command_line._Output()
    for _ in range(10):
        output.write("line")
    read.set()
    output.close()

    def left_out():  # said once or twice, as the thread had its turns
        return sum(map(int, re.findall(r"\((\d+) messages left out, since nobody read them\)", "".join(said))))

    wait_for(lambda: left_out() + "".join(said).count("line\n") == 10)
    assert left_out()


def test_serve_answers_when_its_output_is_open_and_nobody_reads_it(serve_unread):
    spans = [wire_span(number, unknown=1) for number in range(1, 101)]  # a warning each, 8 KB in all

    for _ in range(20):  # more than goes into a pipe
        assert send(serve_unread, *spans) == 0


def test_what_nobody_reads_is_bounded_and_does_not_hold_up_the_end(monkeypatch):
    read = threading.Event()
    stuck = types.SimpleNamespace(write=lambda text: read.wait(), flush=lambda: None)
    monkeypatch.setattr(command_line, "_CLOSE_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stdout", stuck)
    output = command_line._Output()

    for _ in range(2 * command_line._MAX_WAITING):
        output.write("line")
    output.close()

    assert output._thread.is_alive()
    assert output._texts.qsize() <= command_line._MAX_WAITING
    read.set()
    output._texts.put(None, timeout=10)
    output._thread.join(10)


def test_serve_ends_when_nobody_reads_its_output(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "cozeloop_lite", "serve", "--port", "0"],
        cwd=str(tmp_path),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    greeting = b"".join(process.stdout.readline() for _ in range(5)).decode()
    process.stdout.close()

    with contextlib.suppress(ConnectionError):  # it may be gone before it has answered
        send(re.search(r"COZELOOP_API_BASE_URL=(\S+)", greeting).group(1), wire_span())

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(10) == 0


# --- traces ---


def test_traces_lists_what_is_stored_latest_first(tmp_path):
    stored(tmp_path, wire_span(1))
    stored(tmp_path, wire_span(2, trace_id="a" * 32, span_name="second", status_code=1))

    assert run(tmp_path, "traces").stdout.split("\n") == [
        f"{'a' * 32}  second  1 span(s)  1.5 ms  1 error(s)",
        f"{TRACE_ID}  greet  1 span(s)  1.5 ms",
        "",
    ]
    assert run(tmp_path, "traces", "--limit", "1").stdout.count("\n") == 1


def test_one_trace_is_drawn_as_a_tree(tmp_path):
    stored(tmp_path, wire_span(1, span_name="旅行"), db="other.db")

    result = run(tmp_path, "traces", TRACE_ID, "--db", "other.db")

    assert result.stdout == f"trace {TRACE_ID}  1 span(s)  1.5 ms\n{'█' * 24}  └─ 旅行  custom  1.5 ms  ok\n"


def test_a_terminal_without_box_characters_is_survived(tmp_path):
    stored(tmp_path, wire_span())

    result = run(tmp_path, "traces", TRACE_ID, PYTHONIOENCODING="ascii")

    assert (result.returncode, "greet" in result.stdout) == (0, True)


def test_json_is_printed_for_programs(tmp_path):
    stored(tmp_path, wire_span(started_at_micros=1))

    (summary,) = json.loads(run(tmp_path, "traces", "--json").stdout)
    (span,) = json.loads(run(tmp_path, "traces", TRACE_ID, "--json").stdout)

    assert (summary["trace_id"], summary["spans"], summary["dropped"]) == (TRACE_ID, 1, 1)
    assert (span["span_name"], span["dropped"], len(span["warnings"])) == ("greet", True, 1)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_says_the_same_whatever_the_terminal_can_show(tmp_path, encoding):
    stored(tmp_path, wire_span(span_name="名字 ✓", output="é"))

    (summary,) = json.loads(run(tmp_path, "traces", "--json", PYTHONIOENCODING=encoding).stdout)
    (span,) = json.loads(run(tmp_path, "traces", TRACE_ID, "--json", PYTHONIOENCODING=encoding).stdout)

    assert (summary["name"], span["span_name"], span["output"]) == ("名字 ✓", "名字 ✓", "é")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_line_of_json_says_the_same_whatever_the_terminal_can_show(monkeypatch, encoding):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding, errors="replace"))

    traces_command._print_one({"name": "名字"}, argparse.Namespace(json=True))

    assert json.loads(printed.getvalue().decode(encoding)) == {"name": "名字"}


def test_a_running_server_is_asked_with_the_token_of_the_environment(tmp_path):
    with StandInServer(token="t") as server:
        send(server.url, wire_span())
        refused = run(tmp_path, "traces", "--url", server.url)
        tree = run(tmp_path, "traces", TRACE_ID, "--url", server.url + "/", COZELOOP_API_TOKEN="t")
        missing = run(tmp_path, "traces", "no/such?trace", "--url", server.url, COZELOOP_API_TOKEN="t")

    assert (refused.returncode, "COZELOOP_API_TOKEN" in refused.stderr) == (1, True)
    assert "└─ greet" in tree.stdout
    assert (missing.returncode, "no trace" in missing.stderr) == (1, True)


def test_no_traces_are_no_error(tmp_path):
    with StandInServer(db=str(tmp_path / "cozeloop_lite.sqlite3")):
        pass

    assert run(tmp_path, "traces").stdout == "no traces yet\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["traces"], "no such file"),
        (["traces", "--db", "notes.txt"], "cannot read traces from notes.txt"),
        (["traces", "--db", "empty.db"], "cannot read traces from empty.db"),
        (["traces", "--url", "http://127.0.0.1:1"], "cannot read traces from http://127.0.0.1:1"),
        (["traces", "--url", "http://no-such-host.invalid"], "cannot read traces from http://no-such-host.invalid"),
    ],
)
def test_what_cannot_be_read_is_a_clear_error(tmp_path, arguments, message):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    (tmp_path / "empty.db").write_text("")

    result = run(tmp_path, *arguments)

    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_trace_is_an_error(tmp_path):
    stored(tmp_path, wire_span())

    result = run(tmp_path, "traces", "nope")

    assert result.returncode == 1
    assert "no trace 'nope'" in result.stderr


def test_reading_changes_no_file(tmp_path):
    stored(tmp_path, wire_span())
    before = (tmp_path / "cozeloop_lite.sqlite3").read_bytes()

    run(tmp_path, "traces")

    assert (tmp_path / "cozeloop_lite.sqlite3").read_bytes() == before


@pytest.mark.parametrize("count", [1, 100], ids=["less than a buffer", "more than a buffer"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, count):
    stored(tmp_path, *[wire_span(n, trace_id=f"{n:032x}", span_name="x" * 1000) for n in range(1, count + 1)])
    command = [sys.executable, "-m", "cozeloop_lite", "traces", "--json", "--limit", "1000"]
    process = subprocess.Popen(
        command, cwd=str(tmp_path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(10) == 0


# --- stdout and stderr ---


def redirected(folder, redirections, *arguments, **variables):
    script = 'exec "$0" "$@" ' + redirections
    command = ["sh", "-c", script, sys.executable, "-m", "cozeloop_lite", *arguments]
    settings = environment(**variables)
    return subprocess.run(command, cwd=str(folder), env=settings, capture_output=True, encoding="utf-8", timeout=30)


@pytest.mark.skipif(os.name == "nt", reason="sh")
@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_is_no_reason_to_fail(tmp_path, redirections):
    (tmp_path / "spool").mkdir()
    settings = {"COZELOOP_WORKSPACE_ID": "1", "COZELOOP_API_TOKEN": "t"}

    result = redirected(tmp_path, redirections, "replay", "spool", **settings)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full")
def test_output_that_cannot_be_written_is_a_clear_error(tmp_path):
    result = redirected(tmp_path, ">/dev/full", "check", "--api-base-url", "localhost")

    assert result.returncode == 1
    assert result.stderr == "cozeloop_lite: cannot write the output: No space left on device\n"


# --- help ---


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["traces", "--help"]])
def test_help_is_printed(tmp_path, arguments):
    result = run(tmp_path, *arguments)

    assert result.returncode == 0
    assert "python -m cozeloop_lite" in result.stdout


def test_a_copied_folder_calls_itself_as_it_was_called(tmp_path):
    # Without what other processes compile at this moment: such files come and go.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(os.path.join(ROOT, "cozeloop_lite"), str(tmp_path / "copied"), ignore=compiled)
    program = [sys.executable, "-m", "copied", "--help"]
    printed = subprocess.check_output(program, cwd=str(tmp_path), env=environment(PYTHONPATH=""), timeout=30)
    assert printed.startswith(b"usage: python -m copied ")


WRONG = [[], ["nope"], ["serve", "--port", "70000"], ["traces", "--limit", "0"], ["traces", "--url", "localhost"]]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_arguments_are_a_usage_error(tmp_path, arguments):
    result = run(tmp_path, *arguments)

    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_the_version_is_printed(tmp_path):
    assert run(tmp_path, "--version").stdout == f"cozeloop_lite {cozeloop_lite.__version__}\n"
