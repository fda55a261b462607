"""No call of a span puts its thread to sleep, not even the one that has the thread that sends started.

Within the program of the test no thread is made to give up the interpreter, so that a call which sleeps does so of its
own accord; the operating system counts how often. What a first span loads was loaded by another client before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.recording import RecordingServer

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import base64, resource, sys, threading
import cozeloop_lite

def sleeps():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw

def call(function, *args):
    before = sleeps()
    result = function(*args)
    if sleeps() != before and measured:
        print(function.__name__)
    return result

def trace(client):
    for _ in range(20):
        span = call(client.start_span, "span", "model")
        call(span.set_tags, {"text": "a", "number": 1, "real": 2.5})
        call(span.set_input, {"messages": [{"role": "user", "content": "a"}]})
        call(span.set_input, {"messages": [{"role": "user", "parts": [IMAGE]}]})
        call(span.set_output, "a")
        call(span.set_input_tokens, 5)
        call(span.set_baggage, {"key": "value"})
        call(span.set_error, ValueError("a"))
        call(span.to_header)
        call(span.finish)

PNG = base64.b64encode(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(5000)).decode()
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}
measured = False
warm = cozeloop_lite.new_client()
trace(warm)
warm.close(50)
sys.setswitchinterval(100)
client = cozeloop_lite.new_client()
measured = True
threads = [threading.Thread(target=trace, args=(client,)) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
client.close(50)  # there are 160 files to upload
print("over")
"""


def slept():
    """Which calls did, in a run of the program."""
    with RecordingServer() as server:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
        environment.update(
            PYTHONPATH=str(ROOT),
            COZELOOP_API_BASE_URL=server.url,
            COZELOOP_WORKSPACE_ID="42",
            COZELOOP_API_TOKEN="pat_secret",
        )
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=150, check=False
        )
    assert done.stderr == ""
    *names, last = done.stdout.splitlines()
    assert last == "over"
    return set(names)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody counts how often a thread slept")
def test_no_call_of_a_span_sleeps_not_even_the_first_one_which_starts_the_thread():
    every_time = slept()
    for _ in range(4):
        if every_time:  # once in a while it is the system that has a thread wait, for memory perhaps
            every_time &= slept()
    assert not every_time
