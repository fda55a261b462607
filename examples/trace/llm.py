"""Model spans: shown on the platform as a conversation, with the model's name, its settings, tokens and speed."""

from __future__ import annotations

import time
from typing import Any, Iterator

import cozeloop_lite
from cozeloop_lite.spec import tracespec as spec

TOOL = spec.ModelToolFunction("test-tool", "tool-description", {"type": "object", "properties": {}})


def fake_model(messages: Any) -> Iterator[str]:
    """NOT a model: takes the place of a call to one, and streams the same answer to everybody."""
    yield from ("Hel", "lo", "!")


def with_dataclasses(span: cozeloop_lite.Span) -> str:
    messages = [spec.ModelMessage(role="user", content="hi")]
    choice = spec.ModelToolChoice(spec.V_TOOL_CHOICE_AUTO, spec.ModelToolCallFunction("test-tool"))
    span.set_input(spec.ModelInput(messages, tools=[spec.ModelTool(function=TOOL)], tool_choice=choice))
    answer = ""
    for piece in fake_model(messages):
        if not answer:  # when the first piece came, in microseconds: the time to the first token follows from it
            span.set_tags({spec.START_TIME_FIRST_RESP: time.time_ns() // 1000})
        answer += piece
    span.set_tags({spec.MODEL_NAME: "custom-model", spec.MODEL_PROVIDER: "cozeloop"})
    span.set_tags({spec.CALL_OPTIONS: spec.ModelCallOption(temperature=0.5, max_tokens=1000)})
    span.set_tags({spec.INPUT_TOKENS: 100, spec.OUTPUT_TOKENS: 200, spec.TOKENS: 300})
    span.set_output(spec.ModelOutput(choices=[spec.ModelChoice(message=spec.ModelMessage("assistant", answer))]))
    return answer


def as_output(pieces: list[str]) -> Any:
    # Plain dicts of the same shape do as well, such as those of an API like OpenAI's.
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(pieces)}}]}


# A generator under observe: the span lasts until the last piece, and notes by itself when the first one came.
@cozeloop_lite.observe(name="streamed", span_type=cozeloop_lite.SpanKind.MODEL, process_iterator_outputs=as_output)
def streamed(messages: list[dict[str, str]]) -> Iterator[str]:
    span = cozeloop_lite.get_span_from_context()  # that of this call
    span.set_model_name("custom-model")  # there is a setter for each of the tags
    yield from fake_model(messages)
    span.set_tags({spec.INPUT_TOKENS: 100, spec.OUTPUT_TOKENS: 200})  # the sum of both is set by itself


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    with cozeloop_lite.start_span("conversation", "custom") as root:
        print("trace", root.trace_id)
        cozeloop_lite.traceable(with_dataclasses, name="TestModelSpan", span_type=cozeloop_lite.SpanKind.MODEL)
        print("".join(streamed([{"role": "user", "content": "hi"}])))
    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
