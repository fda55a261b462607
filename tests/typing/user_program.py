"""What a program of a user with a strict type checker looks like; checked by `make lint`, never run."""

from __future__ import annotations

import cozeloop_lite
from cozeloop_lite import Client, Span, SpanContext, SpanKind, new_client
from cozeloop_lite.spec.tracespec import ModelInput, ModelMessage


def client() -> Client:
    return new_client("http://localhost:8888", "1", lambda: "token", timeout=3, headers={"X-A": "b"})


def traced(headers: dict[str, str]) -> dict[str, str]:
    parent: SpanContext = cozeloop_lite.get_span_from_header(headers)
    with cozeloop_lite.start_span("step", SpanKind.MODEL, child_of=parent) as span:
        span.set_input(ModelInput(messages=[ModelMessage(role="user", content="hi")]))
        current: Span = cozeloop_lite.get_span_from_context()
        current.set_tags({"a": 1})
    delivered: bool = cozeloop_lite.flush(timeout=1)
    print(delivered, client().stats()["delivered"])
    outgoing: dict[str, str] = cozeloop_lite.inject({}, span)
    return outgoing
