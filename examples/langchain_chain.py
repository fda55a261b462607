"""LangChain: each step of a chain is a span, and what the program does inside a step is below that step.

Needs ``pip install langchain-core``. A graph of LangGraph or an agent takes the handler in the same place.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import cozeloop_lite
from cozeloop_lite.integration.langchain.trace_callback import LoopTracer

PASSAGES = {"span": "A span is one timed step of a trace.", "trace": "A trace is the tree of all steps of a request."}


@cozeloop_lite.observe(span_type=cozeloop_lite.SpanKind.RETRIEVER)
def search(words: list[str]) -> list[str]:
    return [PASSAGES[word] for word in words if word in PASSAGES]


def find_passages(given: dict[str, Any]) -> str:
    return "\n".join(search(given["question"].strip("?").split()))  # a span below that of this step


def main() -> None:
    cozeloop_lite.new_client()  # settings from the environment
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer from these passages:\n{passages}"), ("human", "{question}")]
    )
    model = FakeListChatModel(responses=["One timed step."])  # NOT a model: takes the place of one
    chain = RunnablePassthrough.assign(passages=RunnableLambda(find_passages)) | prompt | model | StrOutputParser()
    with cozeloop_lite.start_span("request", "custom") as request:
        request.set_user_id_baggage("uid-123")  # all spans of the chain have it as well
        print("trace", request.trace_id)
        handler = LoopTracer.get_callback_handler(tags={"chain": "answers"})
        for piece in chain.stream({"question": "What is a span?"}, config={"callbacks": [handler]}):
            print(piece, end="")
        print()
    cozeloop_lite.flush()  # wait until all of it was sent


if __name__ == "__main__":
    main()
