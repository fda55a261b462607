"""Root span: one request of one user is one trace, and the ids given at its root are found on every span below it."""

from __future__ import annotations

import cozeloop_lite


@cozeloop_lite.observe(name="search", span_type="retriever")
def search(question: str) -> list[str]:
    """A step of the request. It knows nothing of users and messages; its span has their ids all the same."""
    return ["A span is a timed step."]


def answer(span: cozeloop_lite.Span) -> str:
    """The request. ``traceable`` hands over its span; what is returned becomes the output of that span."""
    print("trace", span.trace_id)
    question = "What is a span?"
    span.set_input(question)
    passages = search(question)
    with cozeloop_lite.start_span("write", "custom"):
        return passages[0]


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment

    # Put this where a request enters your service. On the platform, traces can then be found by these ids.
    cozeloop_lite.traceable(
        answer,
        name="TestRootSpan",
        span_type="RootSpanType",
        # Baggage: tags that all spans of the trace inherit, also those of other services. The platform knows the first
        # three names; the others are your own. Values are text. They travel in HTTP headers: put no secrets here.
        baggage={
            "user_id": "uid-123",
            "message_id": "msg-123",
            "thread_id": "thread-123",
            "custom_id": "custom-123",
        },
    )

    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
