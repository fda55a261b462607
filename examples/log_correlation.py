"""Log lines and traces find each other: a line has the ids of its span, and a span the log id of its lines."""

from __future__ import annotations

import logging
import uuid

import cozeloop_lite
from cozeloop_lite.integration.logs import TraceFilter

log = logging.getLogger("shop")


def search(question: str) -> list[str]:
    with cozeloop_lite.start_span("search", "retriever") as span:
        span.set_input(question)
        log.warning("nothing was found")
        return []


def main() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(TraceFilter(make_log_ids=True))  # a span in which something is logged gets a log id
    line = "%(levelname)s trace=%(trace_id)s span=%(span_id)s log=%(log_id)s %(message)s"
    handler.setFormatter(logging.Formatter(line))
    logging.getLogger().addHandler(handler)

    client = cozeloop_lite.new_client()  # settings from the environment
    log_id = "request-%s" % uuid.uuid4()
    with client.start_span("answer", "agent") as span:
        span.set_log_id(log_id)  # what your logs are sorted by; the trace id, if you set none
        log.warning("a question came in")
        search("What is a span?")
    client.flush()

    # From a log line to the trace. On a real platform it takes a second or two until a span can be found.
    found = client.search_trace(log_id=log_id).spans
    print("found by the log id:", ", ".join(span.span_name for span in found))


if __name__ == "__main__":
    main()
