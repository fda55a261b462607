"""Prompt as a service: the platform renders the prompt and calls its model; the program gets the answer.

The stand-in server calls no model: it answers what the prompt's file says, or repeats the question.
"""

from __future__ import annotations

import sys

import cozeloop_lite
from cozeloop_lite.entities.prompt import Message, Role

KEY = "guide"
VARIABLES = {
    "city": "Shanghai",
    "question": "Where is the best view?",
    "history": [Message(role=Role.USER, content="Hello!"), Message(role=Role.ASSISTANT, content="Hello. Ask me.")],
}


def whole() -> None:
    """The whole answer at once. It may take as long as the model takes: ten minutes at most, or ``timeout`` seconds."""
    result = cozeloop_lite.execute_prompt(KEY, label="beta", variable_vals=VARIABLES, timeout=60)
    print("answer:", result.message.content)
    print("ended by %s, %d tokens in" % (result.finish_reason, result.usage.input_tokens))


def streamed() -> None:
    """The answer piece by piece. Leaving the block early gives up the rest, and the connection."""
    # Messages of your own follow those of the prompt. skip_render: what a user writes is no template.
    more = [Message(role=Role.USER, content="And at {{night}}?", skip_render=True)]
    print("stream: ", end="")
    with cozeloop_lite.execute_prompt(
        KEY, version="0.0.1", variable_vals=VARIABLES, messages=more, stream=True
    ) as reader:
        for piece in reader:
            if piece.message is not None and piece.message.content:
                print(piece.message.content, end="|", flush=True)
    print()


def main() -> None:
    cozeloop_lite.new_client(prompt_trace=True)  # with prompt_trace, each execution is a span
    try:
        with cozeloop_lite.start_span("answer", "custom") as span:
            print("trace", span.trace_id)
            whole()
            streamed()
    except cozeloop_lite.HttpError as problem:  # also an error in mid-stream: it is never taken for the end
        sys.exit(str(problem))

    cozeloop_lite.flush()  # wait until the spans were sent


if __name__ == "__main__":
    main()
