"""What tests say to the stand-in server without the SDK: spans as they go over the wire, raw bytes, commands."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
from pathlib import Path

import cozeloop_lite

ROOT = str(Path(cozeloop_lite.__file__).resolve().parent.parent)
TRACE_ID = "29392ac2486dfcfa46656416baabeac8"


def wire_span(number=1, **changes):
    """A span that the platform takes as it is; ``number`` is its id."""
    return {
        "started_at_micros": int(time.time() * 1000000),
        "duration_micros": 1500,
        "trace_id": TRACE_ID,
        "span_id": f"{number:016x}",
        "parent_id": "0",
        "workspace_id": "7",
        "span_name": "greet",
        "span_type": "custom",
        "status_code": 0,
        "input": "你好",
        "output": "",
        **changes,
    }


def send(url, *spans, token="t"):
    """Report spans; the code of the answer."""
    request = urllib.request.Request(
        url + "/v1/loop/traces/ingest",
        json.dumps({"spans": spans}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read().decode())["code"]


def raw_exchange(server, request):
    """Send bytes as they are, end the sending side, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def environment(**changes):
    """That of a process in which ``python -m cozeloop_lite`` is this copy, and nothing is set."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return {**plain, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf-8", **changes}
