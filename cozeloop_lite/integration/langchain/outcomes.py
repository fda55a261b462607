"""What the span of a step carries at its end: the answer of a model, the output of a tool, documents, or an error."""

from __future__ import annotations

from itertools import islice

from ...trace import failure, values
from . import messages, models

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...trace.span import Span


def set_answer(span: Span, response: Any) -> None:
    """What the model answered; of one that failed ``response`` is what came before that, if anything."""
    if response is None or not any(response.generations):
        return
    span.set_tags(models.answer_tags(response))
    if span._recording and span._owner.record_outputs:
        span.set_output(models.answer(response))


def set_tool_output(span: Span, output: Any) -> None:
    """What the tool returned, without the message around it."""
    if isinstance(output, messages.BaseMessage):
        if getattr(output, "status", None) == "error":  # it failed, and the model is told instead of the program
            span.set_error(values.to_text(output.content, span._owner.tag_chars) or "error")
        artifact = getattr(output, "artifact", None)
        output = output.content if artifact is None else {"content": output.content, "artifact": artifact}
    if span._recording and span._owner.record_outputs:
        span.set_output(messages.shown(output))


def set_documents(span: Span, documents: Any) -> None:
    """What the retriever found (contract siblings.md 4)."""
    if not (span._recording and span._owner.record_outputs):
        return
    made = []
    for document in islice(documents, messages.MAX_LISTED):
        metadata = document.metadata or {}
        found = {"id": getattr(document, "id", None), "content": document.page_content}
        found.update(score=metadata.get("score"), metadata=metadata or None)
        made.append({key: value for key, value in found.items() if value is not None})
    span.set_output({"documents": made})


def set_error(span: Span, error: BaseException) -> None:
    """What ended the step, if that is a failure."""
    if isinstance(error, GeneratorExit):  # nobody wanted more of a stream, which is no failure
        span.set_tags({"incomplete": True})
    elif any(base.__name__ == "GraphBubbleUp" for base in type(error).__mro__):
        span.set_tags({"interrupted": type(error).__name__})  # how LangGraph waits for a person, or leaves a graph
    else:
        failure.record(span, error)
