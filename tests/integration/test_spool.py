"""With a spool nothing is lost: what one process cannot deliver, the next one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cozeloop_lite import new_client
from cozeloop_lite.config import QueueConf
from cozeloop_lite.trace.spool import Record, Spool
from support.recording import RecordingServer, hang, json_answer, reset

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="flock")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


def run(url, folder, program):
    """A program in a process of its own; what it printed, and said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    environment.update(
        PYTHONPATH=str(ROOT), COZELOOP_API_BASE_URL=url, COZELOOP_WORKSPACE_ID="42", COZELOOP_API_TOKEN="pat_secret",
        COZELOOP_SPOOL_DIR=str(folder),
    )  # fmt: skip
    start = "import json, os, sys, time\nfrom cozeloop_lite import new_client, start_span, stats\n"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(program)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr, time.monotonic() - began


MANY = """
for number in range(250):
    start_span('%03d' % number, 'custom', start_new_trace=True).finish()
"""

NOW = """
client = new_client()
client.start_span('now').finish()
client.close()
print(client.stats()['replayed'], client.stats()['replay_lost'])
"""

MISHAPS = {"down": reset(), "hangs": hang(), "503": json_answer({}, status=503)}


@pytest.mark.parametrize("mishap", sorted(MISHAPS))
def test_what_one_process_cannot_deliver_the_next_one_does(server, folder, mishap):
    well, server.default = server.default, MISHAPS[mishap]
    _, said, seconds = run(server.url, folder, MANY)
    assert "250 finished spans could not be delivered and are kept in spool_dir" in said
    assert "are lost" not in said and "pat_secret" not in said
    assert b"pat_secret" not in b"".join(path.read_bytes() for path in folder.iterdir())
    server.default = well
    _, said, usual = run(server.url, folder, "start_span('now').finish()")
    assert said == ""
    assert seconds < usual + 5 + 4
    assert sorted(server.names()) == ["%03d" % number for number in range(250)] + ["now"]
    assert list(folder.iterdir()) == []
    run(server.url, folder, "start_span('later').finish()")
    assert len(server.names()) == 252


def test_a_process_that_lives_on_sends_what_it_put_there_itself(server, folder):
    """Overflow: the queue makes room, and nothing of it is lost when the server is well again."""
    well, server.default = server.default, json_answer({}, status=503)
    client = new_client(
        server.url, "42", "pat", spool_dir=folder, trace_queue_conf=QueueConf(span_queue_length=200)
    )
    for number in range(1000):
        client.start_span("%04d" % number, "custom", start_new_trace=True).finish()
        if number % 20 == 19:
            # As fast as the sending thread makes room, and no faster.
            limit = time.monotonic() + 30
            while client.stats()["queued"] > 170 and time.monotonic() < limit:
                time.sleep(0.005)
    account = client.stats()
    assert account["spooled"] > 700 and account["dropped"] == {}
    server.default = well
    assert client.close(30)
    assert sorted(server.names()) == ["%04d" % number for number in range(1000)]
    account = client.stats()
    assert account["spooled"] + account["delivered"] == account["finished"] == account["started"] == 1000
    assert account["replayed"] == account["spooled"]
    assert list(folder.iterdir()) == []


def test_another_workspace_and_another_server_are_not_given_them(server, folder):
    with RecordingServer() as failing:
        failing.default = json_answer({}, status=503)
        run(failing.url, folder, "start_span('mine').finish()")
        run(server.url, folder, "start_span('other address').finish()")
        run(failing.url, folder, "new_client(workspace_id='43').start_span('other workspace').finish()")
        assert server.names() == ["other address"]
        failing.default = json_answer({"code": 0, "msg": ""})
        run(failing.url, folder, "start_span('now').finish()")
        assert sorted(failing.names()) == ["mine", "now"]


def test_files_of_spans_go_with_them(server, folder):
    program = """
        client = new_client(ultra_large_report=True)
        with client.start_span('large', 'model') as span:
            span.set_input({"messages": [{"role": "user", "parts": [
                {"type": "image_url", "image_url": {"url": b"GIF89a of few bytes"}}]}]})
            span.set_output("x" * 1100000)
    """
    well, server.default = server.default, reset()
    run(server.url, folder, program)
    server.default = well
    run(server.url, folder, "start_span('now').finish()")
    large = [span for span in server.spans() if span["span_name"] == "large"]
    assert len(large) == 1
    keys = json.loads(large[0]["object_storage"])
    uploads = b"".join(request.body for request in server.requests if request.path.endswith("/files/upload"))
    assert keys["output_tos_key"].encode() in uploads and b"GIF89a of few bytes" in uploads
    assert list(folder.iterdir()) == []


def test_a_span_that_the_server_refuses_costs_itself_alone(server, folder):
    well, server.default = server.default, reset()
    run(server.url, folder, MANY)

    def choosy(request):
        bad = request.path.endswith("/ingest") and "007" in [span["span_name"] for span in request.spans()]
        return json_answer({"code": 600904002, "msg": "invalid param"}) if bad else well

    server.default = choosy
    counted, said, _ = run(server.url, folder, NOW)
    assert "the server refuses a span from spool_dir" in said
    assert counted == "249 1\n"
    assert sorted(server.names()) == ["%03d" % number for number in range(250) if number != 7] + ["now"]
    assert list(folder.iterdir()) == []


def test_what_is_a_day_old_is_not_sent(server, folder):
    spool = Spool(str(folder), "%s 42" % server.url, 1 << 20)
    spool.write([Record("", b'{"span_name":"old"}', int((time.time() - 23.1 * 3600) * 1e6))])
    spool.close()
    counted, _, _ = run(server.url, folder, NOW)
    assert server.names() == ["now"]
    assert counted == "0 1\n"
    assert list(folder.iterdir()) == []


def test_the_program_goes_on_when_the_folder_cannot_be_used(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server.default = reset()
    _, said, _ = run(server.url, tmp_path / "file", "start_span('lost').finish()")
    assert "spool_dir cannot be written to" in said
    assert "1 finished spans could not be delivered" in said and "are lost" in said


def test_a_fork_leaves_the_file_to_the_parent(server, folder):
    program = """
        client = new_client()
        client.start_span('parent').finish()
        client.flush(0.5)
        child = os.fork()
        client.start_span('child' if child == 0 else 'parent again').finish()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    well, server.default = server.default, reset()
    run(server.url, folder, program)
    server.default = well
    run(server.url, folder, "start_span('now').finish()")
    assert sorted(server.names()) == ["child", "now", "parent", "parent again"]
