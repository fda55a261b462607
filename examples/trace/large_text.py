"""Large text: an input or output over 1 MiB goes up as a file, and can be read in full on the platform."""

from __future__ import annotations

import cozeloop_lite


def summarize(span: cozeloop_lite.Span) -> str:
    print("trace", span.trace_id)
    # With ultra_large_report, the span keeps the first 1000 characters and the name of the file with all of it.
    # Without, the text would be cut at 1 MiB. Any input or output will do; a model's is shown best.
    span.set_input({"messages": [{"role": "user", "content": "x" * (2 * 1024 * 1024)}]})
    return "many x"


def main() -> None:
    client = cozeloop_lite.new_client(ultra_large_report=True)  # the other settings come from the environment

    cozeloop_lite.traceable(summarize, name="TestLargeTextSpan", span_type=cozeloop_lite.SpanKind.MODEL)

    # For one span only, with a client that was built without it, and before the input is set:
    #     span.set_ultra_large_report(True)

    client.flush(timeout=60)  # wait until all of it was sent, the file included


if __name__ == "__main__":
    main()
