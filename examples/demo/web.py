"""JSON over HTTP between two services, and the trace with it.

Two calls make the spans of two processes one trace: ``inject`` writes the current span into the headers of a request
that leaves, ``extract`` finds it in the headers of a request that arrives.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict
from urllib.parse import urlsplit

import urllib3

import cozeloop_lite

Route = Callable[[Dict[str, Any]], Dict[str, Any]]

_pool = urllib3.PoolManager()


def call(url: str, document: dict[str, Any]) -> dict[str, Any]:
    """POST ``document`` to another service and return its answer."""
    with cozeloop_lite.start_span("call " + urlsplit(url).path, "remote") as span:
        span.set_input(document)
        headers = cozeloop_lite.inject({"Content-Type": "application/json"})
        body = json.dumps(document).encode("utf-8")
        response = _pool.request("POST", url, body=body, headers=headers, timeout=5.0, retries=False)
        answer = json.loads(response.data.decode("utf-8"))
        if response.status != 200:
            raise RuntimeError("%s answered HTTP %d: %s" % (url, response.status, answer.get("error")))
        span.set_output(answer)
        return answer


class Service:
    """Answers POST requests on a free port of this machine: a path to a function from document to document."""

    def __init__(self, name: str, routes: dict[str, Route]) -> None:
        self.name = name
        self.routes = routes
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.service = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return "http://127.0.0.1:%d" % self._http.server_address[1]

    def __enter__(self) -> Service:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and document of the answer to one request."""
        route = self.routes.get(path)
        if route is None:
            return 404, {"error": "there is no " + path}
        try:
            with cozeloop_lite.start_span("POST " + path, "function", child_of=cozeloop_lite.extract(headers)) as span:
                span.set_service_name(self.name)
                document = json.loads(body.decode("utf-8"))
                span.set_input(document)
                answer = route(document)
                span.set_output(answer)
                return 200, answer
        except Exception as problem:  # noqa: BLE001 - recorded on the span, told to the caller; the service lives on
            return 500, {"error": str(problem)}


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, document = self.server.service.answer(self.path, self.headers, body)
        data = json.dumps(document).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr quiet: what happened is in the trace."""
