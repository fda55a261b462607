"""Initialise: build the client once, as early in the program as possible. All the rest of the program then uses it."""

from __future__ import annotations

import sys

import cozeloop_lite


@cozeloop_lite.observe(name="answer", span_type=cozeloop_lite.SpanKind.AGENT)
def answer(question: str) -> str:
    """What the program is for. The decorator names no client: it uses the first one that was built."""
    # The span of this call is the current one. Its trace id is what you look for on the platform.
    print("trace", cozeloop_lite.get_span_from_context().trace_id)
    return "You asked: " + question


def main() -> None:
    try:
        client = cozeloop_lite.new_client(
            # These three come from the environment unless they are given here. A token does not belong into the code.
            # api_base_url="https://api.coze.cn",   # COZELOOP_API_BASE_URL
            # workspace_id="your_workspace_id",     # COZELOOP_WORKSPACE_ID
            # api_token="your_api_token",           # COZELOOP_API_TOKEN; or a function that returns one
            ultra_large_report=True,  # an input or output over 1 MiB goes up as a file instead of being cut
        )
    except cozeloop_lite.PropertyUnprovidedError as problem:
        sys.exit(str(problem))  # says which argument and which variable is missing

    answer("What is a span?")

    # Spans are sent in the background, at the latest a second after they finish, and when the program exits. A program
    # that wants to know whether they arrived waits for them.
    delivered = client.flush()
    print("delivered" if delivered else "not delivered: %s" % client.stats())


if __name__ == "__main__":
    main()
