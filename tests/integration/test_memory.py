"""How much memory heavy content costs: at most three times the value, and only once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cozeloop_lite.local import StandInServer

PROGRAM = """
import base64, json, os, sys
import cozeloop_lite

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

kind, megabytes, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = cozeloop_lite.new_client(
    url, "7", "t", ultra_large_report=kind == "large", timeout=300, upload_timeout=300
)
client.start_span("warm").finish()
assert client.flush(300)
if kind == "image":
    heavy = "data:image/png;base64," + base64.b64encode(os.urandom(megabytes << 20)).decode()
    value = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": heavy}}]}]}
else:
    value = heavy = "x" * (megabytes << 20)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = peak()
with client.start_span("heavy", "model") as span:
    span.set_input(value)
delivered = client.flush(300)
print(json.dumps({"times": (peak() - before) / len(heavy), "delivered": delivered, "stats": client.stats()}))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux to measure a peak of memory")
@pytest.mark.parametrize(
    ("kind", "megabytes", "files"),
    [("image", 19, 1), ("image", 30, 0), ("text", 200, 0), ("large", 19, 1), ("large", 200, 0)],
)
def test_heavy_content_costs_at_most_three_times_itself(kind, megabytes, files):
    with StandInServer() as server:
        command = [sys.executable, "-c", PROGRAM, kind, str(megabytes), server.url]
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        environment = {**os.environ, "PYTHONPATH": root}
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
        print(kind, megabytes, result)
        assert result["times"] <= 3
        assert result["delivered"]
        assert result["stats"]["files"]["delivered"] == files == len(server.store.files())
        span = server.store.spans()[-1]
        told = "not_uploaded" in span["tags_string"] or "cut_off" in span["system_tags_string"]
        assert told == (files == 0)
