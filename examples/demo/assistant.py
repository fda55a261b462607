"""The program that is traced: it finds passages for a question, has them reranked, and asks the model.

One question is one trace. Each step is a ``with`` block; steps inside it become its children without being told so.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cozeloop_lite

from . import model
from .passages import Library
from .web import call

NAME = "assistant"

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "count_lines",
            "description": "How many lines a file of the repository has.",
            "parameters": {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
        },
    }
]


class Answer:
    """What came of a question, and the trace that tells how."""

    def __init__(self, text: str, source: str, trace_id: str) -> None:
        self.text = text
        self.source = source
        self.trace_id = trace_id


class Assistant:
    """Answers questions about the files under ``root``, with the help of the reranker at ``reranker_url``."""

    def __init__(self, root: Path, library: Library, reranker_url: str) -> None:
        self._root = root
        self._library = library
        self._reranker_url = reranker_url

    def answer(self, question: str, user_id: str, picture: Path | None = None) -> Answer:
        """One request of one user, who may have added a PNG: the root of a trace."""
        with cozeloop_lite.start_span("answer", "agent") as span:
            span.set_service_name(NAME)
            span.set_user_id_baggage(user_id)  # baggage: every span below gets it, in the other process too
            span.set_input(question)
            ids = self._retrieve(question)
            if ids:
                ids = call(self._reranker_url + "/rerank", {"question": question, "ids": ids})["ids"]
            text, tool = self._converse(_content(question, picture), ids)
            span.set_output(text)
            source = "tool " + tool if tool else ids[0] if ids else "nothing found"
            return Answer(text, source, span.trace_id)

    def _retrieve(self, question: str) -> list[str]:
        with cozeloop_lite.start_span("search", "retriever") as span:
            span.set_input({"query": question})
            hits = self._library.search(question, limit=3)
            span.set_output(
                {
                    "documents": [
                        {
                            "id": hit.passage.id,
                            "index": index,
                            "content": hit.passage.text,
                            "score": round(hit.score, 3),
                        }
                        for index, hit in enumerate(hits)
                    ]
                }
            )
            return [hit.passage.id for hit in hits]

    def _converse(self, content: Any, ids: list[str]) -> tuple[str, str]:
        """Ask the model, run the tool it may ask for, and ask again; returns the answer and the name of the tool."""
        passages = "\n".join(self._library.text(id) for id in ids)
        messages = [{"role": "system", "content": passages}, {"role": "user", "content": content}]
        message = model.chat(messages, TOOLS)
        if "tool_calls" not in message:
            return message["content"], ""
        request = message["tool_calls"][0]
        try:
            result = self._count_lines(**json.loads(request["function"]["arguments"]))
        except OSError as problem:  # the step is red in the trace; the program tells the model, and goes on
            result = str(problem)
        messages += [message, {"role": "tool", "tool_call_id": request["id"], "content": result}]
        return model.chat(messages, TOOLS)["content"], request["function"]["name"]

    def _count_lines(self, file: str) -> str:
        """A tool. An exception that leaves the ``with`` block is recorded on the span, and goes on unchanged."""
        with cozeloop_lite.start_span("count_lines", "tool") as span:
            span.set_input({"file": file})
            path = self._root / file
            if not path.is_file():
                raise FileNotFoundError("there is no file " + file)
            result = "%s has %d lines" % (file, len(path.read_text(encoding="utf-8").splitlines()))
            span.set_output(result)
            return result

    def passages(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the reranker calls back for: the texts of passages."""
        return {"texts": {id: self._library.text(id) for id in request["ids"]}}


def _content(question: str, picture: Path | None) -> Any:
    """What a user says, in the form of OpenAI's API. A picture in it is uploaded, and the span keeps its key."""
    if picture is None:
        return question
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")
    return [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"name": picture.name, "url": url}},
    ]
