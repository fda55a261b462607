"""Feedback: what somebody thought of an answer is attached to its trace, and read back with it."""

from __future__ import annotations

import sys
import time

import cozeloop_lite

ATTEMPTS = 20  # one a second


def main() -> None:
    client = cozeloop_lite.new_client()  # settings from the environment
    with client.start_span("answer", "agent") as root:
        root.set_input("What is a span?")
        with client.start_span("write", "model") as model:
            model.set_model_name("custom-model")
            model.set_input_tokens(4)
            model.set_output_tokens(6)
        root.set_output("A timed step.")
    client.flush()
    print("trace", root.trace_id)  # keep it with the answer, for the day when somebody judges it

    # A truth value, a number or a text; on the root of the trace, or on one span of it. The same key again replaces it.
    client.add_feedback(root.trace_id, "helpful", True)
    client.add_feedback(root.trace_id, "accuracy", 0.9, span_id=model.span_id, reasoning="Not every span is timed.")

    trace = read_back(client, root.trace_id)
    for depth, span in trace.walk():
        print("%s%s (%s)" % ("    " * depth, span.span_name, span.span_type))
        for feedback in span.annotations:
            why = " because: " + feedback.reasoning if feedback.reasoning else ""
            print("%s  %s = %r%s" % ("    " * depth, feedback.key, feedback.value, why))
    print("%d tokens in, %d out" % (trace.input_tokens, trace.output_tokens))


def read_back(client: cozeloop_lite.Client, trace_id: str) -> cozeloop_lite.Trace:
    """The trace with its feedback. The platform takes some seconds until either can be read."""
    for _ in range(ATTEMPTS):
        trace = client.search_trace(trace_id)
        found = sum(len(span.annotations) for span in trace)
        if found == 2:
            return trace
        time.sleep(1)
    sys.exit("after %d s, the trace has %d span(s) and feedback %d time(s)" % (ATTEMPTS, len(trace), found))


if __name__ == "__main__":
    main()
