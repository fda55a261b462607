"""``python -m cozeloop_lite replay`` over real connections: what an outage left arrives, or it says why not."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from cozeloop_lite import __main__ as command_line
from cozeloop_lite import new_client, replay
from cozeloop_lite.trace.spool import Record, Spool
from support.recording import json_answer, reset, text_answer

ROOT = Path(__file__).resolve().parents[2]
TAKEN = json_answer({"code": 0, "msg": ""})
pytestmark = pytest.mark.skipif(os.name == "nt", reason="flock")


@pytest.fixture
def folder(tmp_path, monkeypatch, server):
    for name in [name for name in os.environ if name.startswith("COZELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COZELOOP_API_BASE_URL", server.url)
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", "42")
    monkeypatch.setenv("COZELOOP_API_TOKEN", "pat_secret")
    return tmp_path / "spool"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses that were made; they take no time, but on the clock of the command, where nothing else does."""
    made = []
    clock = types.SimpleNamespace(monotonic=lambda: 1000.0 + sum(made), sleep=made.append)
    monkeypatch.setattr(replay, "time", clock)
    return made


def outage(folder, server, count=1, **settings):
    """A program whose spans could not be delivered: they are in the folder afterwards."""
    well, server.default = server.default, reset()
    client = new_client(spool_dir=folder, **settings)
    for number in range(count):
        with client.start_span("%03d" % number, "custom", start_new_trace=True) as span:
            span.set_input("x" * 2_000_000 if settings.get("ultra_large_report") else "hello")
    client.close(60)
    server.default = well
    assert list(folder.iterdir())
    return client


def run(capfd, folder, *arguments):
    code = command_line.main(["replay", str(folder), *arguments])
    said = capfd.readouterr()
    assert "pat_secret" not in said.out + said.err
    assert "Traceback" not in said.err
    return code, said.out, said.err


def test_everything_is_sent_and_the_folder_is_empty(server, folder, capfd):
    outage(folder, server, 250)
    code, out, err = run(capfd, folder)
    assert (code, err) == (0, "")
    assert out == "sent 250 spans and 0 files; nothing is left in %s\n" % folder
    assert sorted(server.names()) == ["%03d" % number for number in range(250)]
    assert list(folder.iterdir()) == []


def test_files_of_spans_go_with_them(server, folder, capfd):
    outage(folder, server, ultra_large_report=True)
    assert run(capfd, folder)[:2] == (0, "sent 1 span and 1 file; nothing is left in %s\n" % folder)
    (upload,) = [request for request in server.requests if "upload" in request.path]
    assert b"x" * 2_000_000 in upload.body
    (span,) = server.spans()
    assert json.loads(span["object_storage"])["input_tos_key"].encode() in upload.body


def test_with_nothing_to_send_it_says_so(folder, capfd):
    folder.mkdir()
    said = "nothing to send in %s for this address and workspace\n" % folder
    assert run(capfd, folder) == (0, said, "")


def test_what_is_for_another_workspace_stays(server, folder, capfd):
    outage(folder, server)
    code, out, err = run(capfd, folder, "--workspace-id", "43")
    assert (code, out[:15], server.names()) == (1, "nothing to send", [])
    assert "for others: 1 file (localhost" in err
    assert run(capfd, folder)[0] == 0


def test_that_nothing_is_left_is_not_said_of_what_another_workspace_has_there(server, folder, capfd):
    outage(folder, server)
    outage(folder, server, workspace_id="43")
    code, out, _ = run(capfd, folder)
    assert code == 0
    assert out == (
        "sent 1 span and 0 files; nothing is left in %s for this address and workspace (for others: 1 file)\n" % folder
    )
    assert run(capfd, folder, "--workspace-id", "43")[1] == "sent 1 span and 0 files; nothing is left in %s\n" % folder


def test_what_was_set_aside_is_for_nobody(folder, capfd):
    folder.mkdir()
    (folder / ("cozeloop-%s-1-2-3.aside" % ("0" * 16))).write_bytes(b"")
    code, out, err = run(capfd, folder)
    assert (code, out[:15], err) == (0, "nothing to send", "")


def test_a_server_that_is_down_leaves_everything_where_it_is(server, folder, capfd, pauses):
    outage(folder, server, 3)
    well, server.default = server.default, reset()
    code, out, err = run(capfd, folder, "--patience", "60")
    assert code == 1
    assert pauses == [1, 2, 4, 8, 15, 15, 15]  # the last is what is left of a minute
    assert re.match(r"sent 0 spans and 0 files; 0\.0 MiB are left in ", out)
    assert "not all could be sent: " in err
    server.default = well
    assert run(capfd, folder)[0] == 0
    assert sorted(server.names()) == ["000", "001", "002"]


def test_a_server_that_is_busy_is_waited_for(server, folder, capfd, pauses):
    outage(folder, server, 150)
    busy = json_answer({"code": 1, "msg": "busy"}, status=503)
    slow_down = json_answer({"code": 1, "msg": "busy"}, status=429, headers={"Retry-After": "7"})
    server.answers(busy, TAKEN, busy, slow_down, TAKEN)
    code, out, _ = run(capfd, folder)
    assert (code, out[:14]) == (0, "sent 150 spans")
    assert pauses == [1, 1, 7]
    assert len(set(server.names())) == 150


def test_a_token_that_is_refused_is_said_at_once(server, folder, capfd, pauses):
    outage(folder, server)
    server.default = json_answer({"code": 700012006, "msg": "invalid token"}, status=401)
    code, _, err = run(capfd, folder)
    assert (code, pauses) == (1, [])
    assert "invalid token" in err
    assert list(folder.iterdir())


def test_a_file_that_cannot_be_uploaded_stays_and_its_span_is_not_sent_again(server, folder, capfd):
    outage(folder, server, ultra_large_report=True)
    server.default = lambda request: json_answer({}, status=503) if "upload" in request.path else TAKEN
    code, out, _ = run(capfd, folder)
    assert code == 1
    assert out.startswith("sent 1 span and 0 files; 1.9 MiB are left")
    server.default = TAKEN
    assert run(capfd, folder)[:2] == (0, "sent 0 spans and 1 file; nothing is left in %s\n" % folder)
    assert server.names() == ["000"]


def test_without_all_of_urllib3_it_says_so_and_the_file_stays(server, folder, capfd, monkeypatch):
    outage(folder, server, ultra_large_report=True)
    monkeypatch.setitem(sys.modules, "urllib3.filepost", None)  # for uploads alone
    code, out, err = run(capfd, folder)
    assert (code, server.names()) == (1, ["000"])
    assert out.startswith("sent 1 span and 0 files; 1.9 MiB are left")
    assert "urllib3" in err


def test_a_span_that_is_refused_is_counted_as_lost_and_the_others_arrive(server, folder, capfd, pauses):
    outage(folder, server, 5)
    refusal = json_answer({"code": 600900000, "msg": "bad span"}, status=400)
    server.default = lambda request: refusal if any(s["span_name"] == "002" for s in request.spans()) else TAKEN
    code, out, err = run(capfd, folder)
    assert (code, out[:33]) == (1, "sent 4 spans and 0 files; lost: 1")
    assert "nothing is left" in out
    assert "refuses a span" in err
    assert pauses == []  # it says nothing about the rest


def test_a_server_that_refuses_everything_is_not_given_everything(server, folder, capfd, pauses):
    """It may be a gateway, or no platform at all: what it says of one span, it says of any."""
    outage(folder, server, 50)
    server.default = text_answer("<html>", 400)
    code, out, err = run(capfd, folder, "--patience", "2")
    assert code == 1
    assert out.startswith("sent 0 spans and 0 files; lost: %d, " % replay.MAX_REFUSED)
    assert "are left in " in out
    assert "not all could be sent: " in err and "400" in err
    assert sum(pauses) == 2  # it may be over soon
    server.default = TAKEN
    del server.requests[:]
    assert run(capfd, folder)[0] == 0
    assert len(server.names()) == 50 - replay.MAX_REFUSED


def test_a_server_that_refuses_all_files_is_not_given_all_of_them(server, folder, capfd):
    spool = Spool(str(folder), server.url + " 42", 1 << 20)
    spool.write([Record("file %d" % number, b"content", int(time.time() * 1e6)) for number in range(10)])
    spool.close()
    server.default = text_answer("<html>", 400)
    code, out, _ = run(capfd, folder, "--patience", "2")
    assert code == 1
    assert out.startswith("sent 0 spans and 0 files; lost: %d, " % replay.MAX_REFUSED)
    server.default = TAKEN
    said = "sent 0 spans and %d files; nothing is left in %s\n" % (10 - replay.MAX_REFUSED, folder)
    assert run(capfd, folder)[:2] == (0, said)


def test_spans_that_are_taken_do_not_cost_the_files_that_are_all_refused(server, folder, capfd):
    for number in range(10):
        spool = Spool(str(folder), server.url + " 42", 1 << 20)
        now = int(time.time() * 1e6)
        spool.write([Record("", b"{}", now), Record("file %d" % number, b"content", now)])
        spool.close()
    server.default = lambda request: text_answer("<html>", 400) if "upload" in request.path else TAKEN
    code, out, _ = run(capfd, folder, "--patience", "2")
    assert code == 1
    assert out.startswith("sent %d spans and 0 files; lost: %d, " % (10, replay.MAX_REFUSED))


def test_that_some_are_refused_does_not_stop_the_others(server, folder, capfd, pauses):
    outage(folder, server, 20)
    refusal = json_answer({"code": 600900000, "msg": "bad span"}, status=400)
    server.default = lambda request: refusal if any(int(s["span_name"]) % 2 for s in request.spans()) else TAKEN
    code, out, _ = run(capfd, folder)
    assert code == 1
    assert out.startswith("sent 10 spans and 0 files; lost: 10, ")
    assert "nothing is left" in out
    assert pauses == []


def test_spans_that_are_too_old_are_counted_as_lost(server, folder, capfd):
    spool = Spool(str(folder), server.url + " 42", 1 << 20)
    spool.write([Record("", b"{}", int((time.time() - 24 * 3600) * 1e6))])
    spool.close()
    code, out, err = run(capfd, folder)
    assert (code, out[:33]) == (1, "sent 0 spans and 0 files; lost: 1")
    assert "over 23 h ago" in err
    assert server.requests == []


def test_a_file_that_is_torn_is_no_success(server, folder, capfd):
    outage(folder, server)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes() + b"\0\0")
    code, _, err = run(capfd, folder)
    assert (code, server.names()) == (1, ["000"])
    assert "cannot be read, and is lost" in err


def test_what_a_program_is_still_writing_is_left_to_it(server, folder, capfd):
    spool = Spool(str(folder), server.url + " 42", 1 << 20)
    spool.write([Record("", b'{"span_name":"mine"}', int(time.time() * 1e6))])
    code, _, err = run(capfd, folder)
    assert (code, server.requests) == (1, [])
    assert "still runs" in err
    spool.close()
    assert run(capfd, folder)[0] == 0
    assert server.names() == ["mine"]


@pytest.mark.parametrize("missing", ["COZELOOP_WORKSPACE_ID", "COZELOOP_API_TOKEN"])
def test_a_missing_setting_is_named(folder, capfd, monkeypatch, missing):
    folder.mkdir()
    monkeypatch.delenv(missing)
    code, out, err = run(capfd, folder)
    assert (code, out) == (1, "")
    assert missing in err


@pytest.mark.parametrize("arguments", [[], ["/no/such/folder"]])
def test_without_a_folder_it_is_a_usage_error(folder, capfd, arguments):
    with pytest.raises(SystemExit) as end:
        command_line.main(["replay", *arguments])
    assert end.value.code == 2
    assert ("COZELOOP_SPOOL_DIR" if not arguments else "/no/such/folder") in capfd.readouterr().err


def test_the_folder_may_come_from_the_environment(server, folder, capfd, monkeypatch):
    outage(folder, server)
    monkeypatch.setenv("COZELOOP_SPOOL_DIR", str(folder))
    assert command_line.main(["replay"]) == 0
    assert server.names() == ["000"]


def test_blanks_around_the_folder_of_the_environment_do_no_harm(server, folder, capfd, monkeypatch):
    outage(folder, server)
    monkeypatch.setenv("COZELOOP_SPOOL_DIR", " %s\n" % folder)
    assert command_line.main(["replay"]) == 0
    monkeypatch.setenv("COZELOOP_SPOOL_DIR", " ")
    with pytest.raises(SystemExit):
        command_line.main(["replay"])
    assert "name the folder, or set COZELOOP_SPOOL_DIR" in capfd.readouterr().err


def started(folder, stderr):
    command = [sys.executable, "-m", "cozeloop_lite", "replay", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr)


def test_on_a_terminal_it_shows_progress(server, folder):
    outage(folder, server, 250)
    ours, theirs = os.openpty()
    process = started(folder, theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            assert select.select([ours], [], [], 60)[0]
            read = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert out.startswith(b"sent 250 spans")
    assert b"\r\x1b[K  0 %  0.0 MiB of 0." in shown
    assert shown.endswith(b"\r\x1b[K")  # nothing of it is left


def test_in_a_pipe_it_shows_none(server, folder):
    outage(folder, server, 250)
    out, err = started(folder, subprocess.PIPE).communicate(timeout=60)
    assert out.startswith(b"sent 250 spans")
    assert err == b""
