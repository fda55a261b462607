"""A function for AWS Lambda and the like: each invocation is a span, sent before the process is frozen.

On the platform, ``lambda_handler.handler`` is set as the handler. Here, ``main`` calls it as the platform would.
"""

from __future__ import annotations

import json
from typing import Any

import cozeloop_lite
from cozeloop_lite.integration.aws_lambda import lambda_handler


@cozeloop_lite.observe(span_type="tool")
def find(order: str) -> dict[str, Any]:
    """Stands for the work that the function is there for."""
    return {"order": order, "state": "shipped"}


# Settings come from the environment of the function; without them it works, and traces nothing. The event's headers
# make the span a child of the caller's (trust_headers=False, where strangers call it: a new trace each time); the event
# is its input, the answer its output.
@lambda_handler(name="orders", flush_timeout=1)  # seconds that sending may add to an invocation
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    found = find(event["pathParameters"]["order"])
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(found)}


def main() -> None:
    """Another service calls the function over HTTP, and an API Gateway makes an event of the request."""
    with cozeloop_lite.start_span("client", "custom") as span:
        span.set_baggage({"user_id": "uid-123"})
        event = {"headers": cozeloop_lite.inject({}), "pathParameters": {"order": "4711"}, "body": None}
    print("trace", span.trace_id)
    print(handler(event, None))


if __name__ == "__main__":
    main()
