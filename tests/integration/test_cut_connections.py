"""What the network does to a connection, and what tracing makes of it, over real sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.trace import ids, verdicts
from cozeloop_lite.trace.verdicts import was_cut
from support.recording import dead_port, hang, json_answer, reset

ROOT = Path(__file__).resolve().parents[2]
SOON = 10  # seconds that no test waits unless it fails


def failure(url, timeout=SOON):
    with pytest.raises(errors.NetworkError) as caught:
        ApiClient(url, "pat", timeout=timeout).post("/v1/loop/traces/ingest", {"spans": []})
    return caught.value


def test_a_connection_that_was_reset_is_told_from_one_that_was_refused_and_one_that_is_silent(server):
    server.default = reset()
    assert was_cut(failure(server.url))
    assert not was_cut(failure("http://127.0.0.1:%d" % dead_port()))
    server.default = hang()
    assert not was_cut(failure(server.url, timeout=0.3))


def test_spans_are_sent_again_at_once_after_a_reset(server, monkeypatch):
    monkeypatch.setattr(ids.source, "fraction", lambda: 1.0)  # all other pauses are as long as can be
    monkeypatch.setattr(verdicts, "FIRST_PAUSE", 3600)
    monkeypatch.setattr(verdicts, "LONGEST_PAUSE", 3600)
    server.answers(json_answer({"code": 0}), reset())
    client = new_client(server.url, "42", "pat")
    try:
        for _ in range(2):
            client.start_span("step").finish()
            assert client.flush(SOON)
        assert len(server.requests) == 3
    finally:
        client.close(1)


PROGRAM = """
import sys
sys.modules["urllib3"] = None  # as if it were not installed
import cozeloop_lite
client = cozeloop_lite.new_client("http://127.0.0.1:9", "42", "pat")
client.start_span("step").finish()
print(client.flush(60), client.stats()["dropped"])
"""


def test_without_urllib3_a_flush_ends_and_the_log_says_what_is_missing():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**environment, "PYTHONPATH": str(ROOT)}, timeout=60, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert time.monotonic() - began < 30
    assert done.stdout == "False {'refused': 1}\n"
    assert "pip install urllib3" in done.stderr
