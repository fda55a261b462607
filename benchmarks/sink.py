"""The server that both clients report to: takes everything, answers at once, and is looked at afterwards.

It runs in a process of its own and keeps request bodies as they come; they are only read when someone asks for the
account, outside of any measurement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = b'{"code":0,"msg":""}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.bodies.append(body)  # type: ignore[attr-defined]
        self._answer(ANSWER)

    def do_GET(self) -> None:
        """The account of all that came since the last time, which begins a new one."""
        bodies, self.server.bodies = self.server.bodies, []  # type: ignore[attr-defined]
        spans = [span for body in bodies for span in json.loads(body.decode("utf-8"))["spans"]]
        account = {
            "requests": len(bodies),
            "bytes": sum(len(body) for body in bodies),
            "spans": len(spans),
            "distinct": len({(span["trace_id"], span["span_id"]) for span in spans}),
        }
        self._answer(json.dumps(account).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []


class Sink:
    """The server process, as the one who started it sees it. Use it in ``with``."""

    def __init__(self, python: str, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.sink"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.url = "http://127.0.0.1:%d" % int(self._process.stdout.readline())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def account(self) -> dict[str, int]:
        """What came since the last call: ``requests``, ``bytes``, ``spans``, and how many of these are ``distinct``."""
        with self._opener.open(self.url, timeout=60) as answer:
            return json.loads(answer.read().decode())

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    server = _Server()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()
