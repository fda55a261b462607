"""What the stand-in server has acknowledged is there, whatever becomes of it; and it is read while it is written to."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import cozeloop_lite
from cozeloop_lite.local import StandInServer, rules
from cozeloop_lite.local.archive import Archive
from cozeloop_lite.local.store import Store
from cozeloop_lite.local.trace_search import Wanted

ROOT = str(Path(cozeloop_lite.__file__).resolve().parent.parent)
SENDERS = 4
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer t"}


def wire_span(sender, number):
    return {
        "started_at_micros": int(time.time() * 1000000),
        "duration_micros": 5,
        "trace_id": f"{sender + 1:032x}",
        "span_id": f"{(sender + 1) * 1000000 + number:016x}",
        "parent_id": "0",
        "workspace_id": "7",
        "span_name": "step",
        "span_type": "model",
        "status_code": 0,
        "input": "x" * 200,
        "output": "y" * 200,
        "tags_long": {"input_tokens": 1},
    }


def post(connection, spans):
    connection.request("POST", "/v1/loop/traces/ingest", json.dumps({"spans": spans}), HEADERS)
    return json.loads(connection.getresponse().read())["code"] == 0


class Senders:
    """Threads that send spans, a few at a time, until the server is gone; ``acknowledged``: the span ids it took."""

    def __init__(self, port, first):
        self.acknowledged = set()
        self.enough = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._send, args=(port, first + n)) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _send(self, port, sender):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            for first in range(0, 1000000, 3):
                spans = [wire_span(sender, first + n) for n in range(3)]
                assert post(connection, spans)
                self.acknowledged.update(span["span_id"] for span in spans)
                self.enough.release()
        except (OSError, http.client.HTTPException):
            pass  # the server is gone
        finally:
            connection.close()

    def join(self):
        for thread in self._threads:
            thread.join()


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_what_was_acknowledged_is_there_after_kill_9(tmp_path):
    db = str(tmp_path / "spans.sqlite3")
    acknowledged = set()
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "cozeloop_lite", "serve", "--port", "0", "--store", db],
            cwd=str(tmp_path),
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=subprocess.PIPE,
        )
        reader = None
        try:
            port = int(re.search(rb"http://127.0.0.1:(\d+)", process.stdout.readline()).group(1))
            reader = threading.Thread(target=process.stdout.read)
            reader.start()
            senders = Senders(port, attempt * SENDERS)
            for _ in range(60):
                assert senders.enough.acquire(timeout=10)
        finally:
            process.kill()
            process.wait(10)
            if reader is not None:
                reader.join()
            process.stdout.close()
        senders.join()
        acknowledged |= senders.acknowledged

        store = Store(db)
        spans = store.spans()
        assert acknowledged <= {span["span_id"] for span in spans}
        assert sum(trace["spans"] for trace in store.traces()) == len(spans), "summaries agree"
        assert sum(trace["input_tokens"] for trace in store.traces()) == len(spans)
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()
    assert len(acknowledged) >= 3 * 60 * 3


def test_reading_does_not_wait_for_writing(tmp_path):
    with StandInServer(db=str(tmp_path / "spans.sqlite3")) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        assert post(connection, [wire_span(0, 0)])
        with server.store._changed:  # a batch that takes long
            server.store._connection.execute("BEGIN IMMEDIATE")
            for path in ("/api/traces", "/api/traces?q=xxx", f"/api/traces/{1:032x}", "/api/events?since="):
                connection.request("GET", path)
                response = connection.getresponse()
                assert (response.status, len(response.read()) > 0) == (200, True)
            server.store._connection.rollback()
        connection.close()


def test_what_a_page_needs_does_not_grow_with_what_is_stored(tmp_path):
    """Counted in steps of the database's machine: they do not depend on how fast this machine is."""
    store = Store(str(tmp_path / "spans.sqlite3"))
    archive = Archive(store)
    steps = []
    reading = store.reading

    class Counted:
        def __enter__(self):
            self._context = reading()
            connection = self._context.__enter__()
            connection.set_progress_handler(lambda: steps.append(100), 100)
            return connection

        def __exit__(self, *error):
            return self._context.__exit__(*error)

    def cost(ask):
        del steps[:]
        ask()
        return sum(steps)

    asked = {
        "list": lambda: archive.page(Wanted(), None, 50),
        "by user": lambda: archive.page(Wanted(user_id="nobody"), None, 50),
        "by log id": lambda: archive.page(Wanted(log_id="none"), None, 50),
        "by trace": lambda: archive.page(Wanted(trace_id="a" * 32), None, 50),
        "text": lambda: archive.page(Wanted(q="xxx"), None, 50),
        "changes": lambda: archive.changes(since),
        "trace": lambda: archive.trace(f"{1:032x}", 1000),
        "span": lambda: archive.span(f"{1:032x}", f"{1000000:016x}"),
    }
    store.reading = Counted
    costs = []
    number = 0
    for traces in (200, 800):
        while number < traces:
            arrivals = []
            for _ in range(10):
                body = json.dumps({"spans": [wire_span(number, n) for n in range(5)]}).encode()
                arrivals += decoded(body)
                number += 1
            store.add_spans(arrivals)
        since = archive.changes("")["since"]
        costs.append({name: cost(ask) for name, ask in asked.items()})
    store.close()

    few, many = costs
    assert 0 < few["list"] < 100000
    for name in asked:
        assert many[name] <= few[name] * 1.5 + 400, name


def decoded(body):
    return rules.ingest(body, "application/json", int(time.time() * 1000000))


def test_two_thousand_spans_cost_no_more_than_so_many_times_reading_their_json(tmp_path):
    store = Store(str(tmp_path / "spans.sqlite3"))
    bodies = [json.dumps({"spans": [wire_span(batch, n) for n in range(50)]}).encode() for batch in range(40)]
    began = time.process_time()
    for body in bodies:
        store.add_spans(decoded(body))
    took = time.process_time() - began
    store.close()

    began = time.process_time()
    for body in bodies * 10:
        json.loads(body.decode())
    beside = (time.process_time() - began) / 10
    assert took < 250 * beside, "about 40 times: 0.15 s, on a machine of 2020"
