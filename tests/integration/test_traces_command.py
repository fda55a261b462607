"""``python -m cozeloop_lite traces`` and ``serve`` with their options, as processes of their own."""

from __future__ import annotations

import json
import os
import queue
import re
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from cozeloop_lite.local import StandInServer
from support.stand_in import TRACE_ID, environment, send, wire_span

OTHER = "a" * 32


class Running:
    """A command that goes on until the end of the test, and the lines it prints."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cozeloop_lite", *arguments],
            cwd=str(folder),
            env=environment(),
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=lambda: [self._lines.put(line) for line in self.process.stdout])
        self._reader.start()

    def read(self, count=1):
        return [self._lines.get(timeout=20).rstrip("\n") for _ in range(count)]

    def close(self):
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    running = []

    def start(*arguments):
        running.append(Running(tmp_path, *arguments))
        return running[-1]

    yield start
    for process in running:
        process.close()


def run(folder, *arguments, **variables):
    command = [sys.executable, "-m", "cozeloop_lite", *arguments]
    done = subprocess.run(
        command, cwd=str(folder), env=environment(**variables), capture_output=True, encoding="utf-8", timeout=30
    )
    return done.stdout if done.returncode == 0 else (done.returncode, done.stderr)


# --- traces ---


@pytest.mark.parametrize("source", ["file", "url"])
def test_what_arrives_is_followed_in_lines(start, tmp_path, source):
    db = str(tmp_path / "s.db")
    with StandInServer(db=db) as server:
        start_time = int(time.time() * 1000000)
        send(server.url, wire_span(1, span_name="first", started_at_micros=start_time))
        send(server.url, wire_span(2, span_name="second", trace_id=OTHER))
        command = start("traces", "--follow", *(["--db", db] if source == "file" else ["--url", server.url]))
        assert command.read(2) == [f"{TRACE_ID}  first  1 span(s)  1.5 ms", f"{OTHER}  second  1 span(s)  1.5 ms"]

        child = {"parent_id": f"{1:016x}", "started_at_micros": start_time, "status_code": 1}
        send(server.url, wire_span(3, **child))

        assert command.read() == [f"{TRACE_ID}  first  2 span(s)  1.5 ms  1 error(s)"]


def test_followed_traces_can_be_read_by_programs(start, tmp_path):
    with StandInServer() as server:
        send(server.url, wire_span(1))
        command = start("traces", "--follow", "--json", "--url", server.url)
        lines = command.read()
        send(server.url, wire_span(2, span_name="旅行\n", trace_id=OTHER))
        lines += command.read()

    assert [json.loads(line)["name"] for line in lines] == ["greet", "旅行\n"]


def test_one_trace_can_be_followed(start, tmp_path):
    with StandInServer() as server:
        send(server.url, wire_span(1))
        command = start("traces", TRACE_ID, "--follow", "--url", server.url)
        assert [len(line.split("└─ ")) for line in command.read(2)] == [1, 2]

        send(server.url, wire_span(9, trace_id=OTHER))
        send(server.url, wire_span(2, parent_id=f"{1:016x}", span_name="leaf"))

        assert "2 span(s)" in command.read(3)[0]


def test_a_server_is_asked_for_as_many_traces_as_wanted(tmp_path):
    with StandInServer() as server:
        for first in range(1, 1200, 100):
            send(server.url, *(wire_span(1, trace_id=f"{n:032x}") for n in range(first, first + 100)))

        assert len(json.loads(run(tmp_path, "traces", "--json", "--limit", "1100", "--url", server.url))) == 1100


def test_json_of_one_trace_is_the_same_from_a_file_and_from_a_server(tmp_path):
    db = str(tmp_path / "s.db")
    with StandInServer(db=db) as server:
        send(server.url, wire_span(1, input="x" * 300000, tags_long={"n": 1}))
        of_server = run(tmp_path, "traces", TRACE_ID, "--json", "--url", server.url)
        of_file = run(tmp_path, "traces", TRACE_ID, "--json", "--store", db)

    assert of_server == of_file
    assert (json.loads(of_file)[0]["input"], json.loads(of_file)[0]["tags_long"]) == ("x" * 300000, {"n": 1})


@pytest.mark.parametrize("arguments", [["traces", "--json"], ["traces", TRACE_ID, "--json"]])
def test_json_has_nothing_that_a_terminal_obeys(tmp_path, arguments):
    name = "\x9b31m\x1b[0m \x7f \u202egnp.exe\u2066 \u061c \u2028 旅行 é"
    with StandInServer(db=str(tmp_path / "s.db")) as server:
        send(server.url, wire_span(1, span_name=name))

    said = run(tmp_path, *arguments, "--db", "s.db")

    assert "旅行 é" in said
    assert all(char.isprintable() or char == "\n" for char in said)
    assert name in json.loads(said)[0].values()


def test_a_file_of_an_older_version_is_a_clear_error(tmp_path):
    with StandInServer(db=str(tmp_path / "old.db")) as server:
        send(server.url, wire_span(1))
    connection = sqlite3.connect(str(tmp_path / "old.db"))
    connection.executescript("DROP TABLE traces; DROP TABLE briefs;")
    connection.close()

    code, said = run(tmp_path, "traces", "--db", "old.db")

    assert (code, "older version" in said) == (1, True)


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
@pytest.mark.parametrize("variables, colored", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_only(tmp_path, variables, colored):
    import pty

    with StandInServer(db=str(tmp_path / "cozeloop_lite.sqlite3")) as server:
        send(server.url, wire_span(1))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cozeloop_lite", "traces", TRACE_ID]
    done = subprocess.run(command, cwd=str(tmp_path), env=environment(**{"TERM": "xterm", **variables}), stdout=theirs)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert done.returncode == 0
    assert (b"\x1b[" in shown, b"greet" in shown) == (colored, True)
    assert "\x1b" not in run(tmp_path, "traces", TRACE_ID)


# --- serve ---


def greeting(command, lines=6):
    return "\n".join(command.read(lines))


def test_serve_for_others_makes_a_token_and_prints_it_once(start):
    server = start("serve", "--port", "0", "--store", ":memory:", "--host", "0.0.0.0")
    text = greeting(server, 7)
    token = re.search(r"COZELOOP_API_TOKEN=(\S{32,})$", text).group(1)
    url = re.search(r"COZELOOP_API_BASE_URL=(\S+)", text).group(1)

    assert f"in a browser: {url}/?token={token}\n" in text
    assert send(url, wire_span(1)) == 602000101
    assert send(url, wire_span(1), token=token) == 0
    assert server.read() != [""]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url + "/api/traces", timeout=10)


def test_serve_forgets_what_is_too_old_while_nothing_arrives(start, tmp_path):
    db = str(tmp_path / "s.db")
    with StandInServer(db=db) as server:
        send(server.url, wire_span(1))
        server.store._connection.execute("UPDATE traces SET received_at_micros = received_at_micros - 100000000000")
        server.store._connection.commit()
    command = start("serve", "--port", "0", "--store", db, "--keep-days", "1", "--keep-mb", "10")
    url = re.search(r"COZELOOP_API_BASE_URL=(\S+)", greeting(command)).group(1)

    deadline = time.monotonic() + 20
    while json.loads(urllib.request.urlopen(url + "/api/traces", timeout=10).read().decode())["traces"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status = json.loads(urllib.request.urlopen(url + "/api/status", timeout=10).read().decode())
    assert (status["keep_days"], status["keep_mb"], status["db"]) == (1, 10, db)


@pytest.mark.parametrize("arguments", [["--keep-days", "0"], ["--keep-mb", "-1"], ["--keep-mb", "x"]])
def test_limits_must_be_positive(tmp_path, arguments):
    code, said = run(tmp_path, "serve", "--port", "0", *arguments)

    assert (code, "is not a positive number" in said) == (2, True)


# --- as a page ---


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32


@pytest.fixture
def illustrated(tmp_path):
    """A file with a trace that has an image, and a file that only says that it is one."""
    with StandInServer(db=str(tmp_path / "a.sqlite3")) as server:
        server.store.add_file("7", "cat", PNG)
        server.store.add_file("7", "script", b"<script>alert(1)</script>")
        storage = {"Attachments": [{"tos_key": key, "field": "input", "name": key, "type": "image"} for key in KEYS]}
        send(server.url, wire_span(object_storage=json.dumps(storage)))
        yield server


KEYS = ("cat", "script", "missing")


@pytest.mark.parametrize("running", [True, False])
def test_a_trace_becomes_one_page_with_its_images(illustrated, tmp_path, running):
    source = ["--url", illustrated.url] if running else ["--db", str(tmp_path / "a.sqlite3")]
    page = tmp_path / "trace.html"
    assert run(tmp_path, "traces", TRACE_ID, "--html", str(page), *source) == ""
    text = page.read_text(encoding="utf-8")
    assert "greet" in text and "Content-Security-Policy" in text
    assert re.findall(r"data:[a-z]+/[a-z]+;base64,", text) == ["data:image/png;base64,"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--html", "x.html"), "takes a TRACE_ID"),
        ((TRACE_ID, "--html", "x.html", "--follow"), "takes a TRACE_ID"),
        ((TRACE_ID, "--html", os.path.join("no", "such", "folder.html")), "cannot write"),
        ((OTHER, "--html", "x.html"), "no trace"),
    ],
)
def test_what_cannot_become_a_page_is_said(illustrated, tmp_path, arguments, said):
    code, error = run(tmp_path, "traces", *arguments, "--db", "a.sqlite3")
    assert code == 1
    assert said in error
    assert not (tmp_path / "x.html").exists()
