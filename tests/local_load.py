"""A stand-in server under load: spans at a steady rate for a while, and how long pages wait for answers meanwhile.

    python tests/local_load.py [--seconds 10] [--rate 2000] [--batch 50] [--file spans.sqlite3] [--browser]

With ``--browser``, the list of traces is open in Chromium meanwhile, and how long its own requests took is told, too.
Exits with 1 when a span was refused or is missing at the end, the rate was not reached, or an answer took over 200 ms
(the 99th of 100).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
LIMIT_MS = 200
SENDERS = 4
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer t"}
PATHS = (
    *("/api/traces", "/api/traces?user_id=user-7", "/api/traces?q=nothing", "/api/events?since={since}"),
    *("/api/traces/{trace}", "/api/status"),
)
TOOK = """
return performance.getEntriesByType("resource").filter((one) => one.name.includes("/api/")).map((one) => one.duration);
"""


def spans(sender, batch, size):
    start = int(time.time() * 1000000)
    trace = f"{sender:016x}{batch:016x}"
    return [
        {
            "started_at_micros": start + number,
            "duration_micros": 1000,
            "trace_id": trace,
            "span_id": f"{number + 1:016x}",
            "parent_id": f"{number:016x}" if number else "0",
            "workspace_id": "7",
            "span_name": f"step {number}",
            "span_type": "model",
            "status_code": 0,
            "input": "What is the weather like today? " * 20,
            "output": "It is fine. " * 20,
            "tags_string": {"user_id": f"user-{batch % 100}", "model_name": "m"},
            "tags_long": {"input_tokens": 100, "output_tokens": 50, "tokens": 150},
        }
        for number in range(size)
    ]


def send(port, sender, arguments, until, sent):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    pause = arguments.batch * SENDERS / arguments.rate
    due, batch = time.monotonic(), 0
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        body = json.dumps({"spans": spans(sender, batch, arguments.batch)})
        connection.request("POST", "/v1/loop/traces/ingest", body, HEADERS)
        answer = json.loads(connection.getresponse().read())
        assert answer["code"] == 0, answer
        sent.append(arguments.batch)
        batch, due = batch + 1, due + pause


def get(connection, path):
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def ask(port, until, waits):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    since, trace = "", "0" * 32
    while time.monotonic() < until:
        for path in PATHS:
            began = time.monotonic()
            status, answer = get(connection, path.format(since=since, trace=trace))
            waits.setdefault(path, []).append((time.monotonic() - began) * 1000)
            if path == PATHS[0]:
                since, trace = answer["since"], answer["traces"][0]["trace_id"] if answer["traces"] else trace
            assert status in (200, 404), path
        time.sleep(0.05)


class Page:
    """The list of traces in Chromium."""

    def __init__(self, port):
        sys.path.insert(0, os.path.join(ROOT, "tests"))
        from browser.driven import Browser

        self._browser = Browser()
        self._browser.open(f"http://127.0.0.1:{port}/")
        self._browser.run("performance.setResourceTimingBufferSize(100000)")

    def close(self):
        """End it; returns how long its requests took, in ms."""
        waits = self._browser.run(TOOK)
        rows, heap = self._browser.run(
            "return [document.querySelectorAll('.list .row').length, performance.memory.usedJSHeapSize / 1e6]"
        )
        self._browser.quit()
        print(f"the page has {rows} rows and {heap:.0f} MB of JavaScript objects")
        return waits


def run(arguments, db):
    command = [sys.executable, "-m", "cozeloop_lite", "serve", "--port", "0", "--store", db]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        port = int(process.stdout.readline().split("http://127.0.0.1:")[1].split(",")[0])
        threading.Thread(target=process.stdout.read, daemon=True).start()
        page = Page(port) if arguments.browser else None
        until = time.monotonic() + arguments.seconds
        sent, waits = [], {}
        threads = [threading.Thread(target=send, args=(port, n, arguments, until, sent)) for n in range(SENDERS)]
        threads.append(threading.Thread(target=ask, args=(port, until, waits)))
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        if page is not None:
            waits["in the browser"] = page.close()
        stored = get(http.client.HTTPConnection("127.0.0.1", port), "/api/stats")[1]["spans"]
    finally:
        process.kill()
        process.wait()
    return report(arguments, sum(sent), stored, took, waits)


def report(arguments, sent, stored, took, waits):
    rate = f"{sent / took:.0f} a second, {arguments.batch} at a time"
    print(f"{sent} spans sent in {took:.1f} s ({rate}), {stored} stored")
    slow = False
    for path, milliseconds in waits.items():
        milliseconds.sort()
        median, late = milliseconds[len(milliseconds) // 2], milliseconds[int(len(milliseconds) * 0.99)]
        slow = slow or late > LIMIT_MS
        numbers = f"median {median:6.1f} ms  99 % {late:6.1f} ms  longest {milliseconds[-1]:6.1f} ms"
        print(f"  {path:32} {len(milliseconds):5} asked  {numbers}")
    failed = slow or stored != sent or sent / took < arguments.rate * 0.95
    print("failed" if failed else "fine")
    return int(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=2000, help="spans a second (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=50, help="spans in a request (default: %(default)s)")
    parser.add_argument("--file", help="the database (default: one that is deleted afterwards)")
    parser.add_argument("--browser", action="store_true", help="with the page open in Chromium, driven by selenium")
    arguments = parser.parse_args()
    if arguments.file:
        return run(arguments, arguments.file)
    with tempfile.TemporaryDirectory() as folder:
        return run(arguments, os.path.join(folder, "spans.sqlite3"))


if __name__ == "__main__":
    sys.exit(main())
