"""OpenAI: every call of a client is a span, with messages, answer, settings and token counts. One line is added.

Needs ``pip install openai`` and, beside the three variables of CozeLoop, ``OPENAI_API_KEY``. ``OPENAI_BASE_URL`` leads
to another platform with the same API, ``OPENAI_MODEL`` names another model.
"""

from __future__ import annotations

import os

import openai

import cozeloop_lite
from cozeloop_lite.integration.wrapper import openai_wrapper

MODEL = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")


@cozeloop_lite.observe(span_type=cozeloop_lite.SpanKind.AGENT)
def answer(client: openai.OpenAI, question: str) -> None:
    print("trace", cozeloop_lite.get_span_from_context().trace_id)
    messages = [{"role": "user", "content": question}]

    completion = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
    print(completion.choices[0].message.content)

    # A stream is one span, too, from the request to the last piece. It counts tokens only when it is asked to.
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
    print()


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    client = openai_wrapper(openai.OpenAI())  # the one line; AsyncOpenAI and the clients for Azure will do as well
    answer(client, "What is a span, in one sentence?")
    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
