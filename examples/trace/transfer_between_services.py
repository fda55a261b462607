"""Two services, one trace: the headers of a request carry the span of the caller to the service that is called."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

import cozeloop_lite

TYPE = "TransferBetweenServicesType"


class Service(BaseHTTPRequestHandler):
    """The service that is called. It runs on other threads here, and could as well run on another continent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8")
        # extract() finds the caller's span in the headers; child_of= continues its trace, and its baggage with it.
        with cozeloop_lite.start_span("ChildSpan", TYPE, child_of=cozeloop_lite.extract(self.headers)) as span:
            span.set_input(body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep stderr quiet."""


def call_service(url: str) -> None:
    baggage = {"user_id": "uid-123", "message_id": "msg-123", "thread_id": "thread-123"}
    with cozeloop_lite.start_span("ParentSpan", TYPE) as span:
        span.set_baggage(baggage)
        print("trace", span.trace_id)

        # The usual way: inject() adds the headers of CozeLoop and those of W3C to what you send anyway.
        headers = cozeloop_lite.inject({"Content-Type": "text/plain"})
        urllib3.PoolManager().request("POST", url, body=b"both", headers=headers)

        # Other programs write only one of the two. A CozeLoop SDK writes X-Cozeloop-Traceparent and -Tracestate ...
        urllib3.PoolManager().request("POST", url, body=b"CozeLoop", headers=span.to_header())
        # ... and what is instrumented with OpenTelemetry traceparent and baggage. extract() reads either.
        w3c = {name: headers[name] for name in ("traceparent", "baggage")}
        urllib3.PoolManager().request("POST", url, body=b"W3C", headers=w3c)


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment; two real services would each do this
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        call_service("http://127.0.0.1:%d/endpoint" % service.server_address[1])
        service.shutdown()
    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
