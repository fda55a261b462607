"""OpenTelemetry: the spans go to a Collector, or to anything else that takes OTLP/HTTP, instead of to the platform.

    export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318   # the default
    export OTEL_SERVICE_NAME=answers
    python -m examples.otlp
"""

from __future__ import annotations

import sys

import cozeloop_lite


def main() -> None:
    # Workspace and token are the platform's, for prompts: a program that only reports elsewhere makes them up.
    client = cozeloop_lite.new_client(workspace_id="0", api_token="none", exporter="otlp")
    with client.start_span("answer", "agent") as root:
        print("trace", root.trace_id)
        root.set_input("What is a span?")
        with client.start_span("chat", "model") as model:  # its attributes have the names of the GenAI conventions
            model.set_model_provider("openai")
            model.set_model_name("my-model")
            model.set_model_call_options({"temperature": 0.2})
            model.set_input({"messages": [{"role": "user", "content": "What is a span?"}]})
            model.set_output({"choices": [{"index": 0, "message": {"role": "assistant", "content": "A timed step."}}]})
            model.set_input_tokens(5)
            model.set_output_tokens(3)
        # W3C headers: a service that is traced by OpenTelemetry continues this trace, and extract() reads its headers.
        print(cozeloop_lite.inject({})["traceparent"])
        root.set_output("A timed step.")
    if not client.flush():  # wait until all of it was sent
        sys.exit("not delivered: %s" % client.stats())


if __name__ == "__main__":
    main()
