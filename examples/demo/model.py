"""The "model": a small deterministic function that stands where a program of yours calls an LLM.

It takes messages and yields its answer word by word, as a streaming model does. Given passages in a system message it
repeats the sentence that has most words of the question; asked for the lines of a file it asks for a tool. ``chat`` is
the part to copy: how a streamed model call is recorded.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Iterator

import cozeloop_lite

from .passages import words

NAME = "demo-sentence-picker"
OPTIONS = {"temperature": 0, "max_tokens": 60}

_FILE = re.compile(r"\blines\b.*?([\w./-]+\.\w+|\bLICENSE|\bMakefile)")


def chat(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """One call of the model, recorded as a span; returns the message it answers with."""
    with cozeloop_lite.start_span("chat", "model") as span:
        span.set_model_provider("demo")
        span.set_model_name(NAME)
        span.set_model_call_options(OPTIONS)
        span.set_input({"messages": messages, "tools": tools})
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        output_tokens = 0
        for chunk in _stream(messages):
            if not output_tokens:  # the time to the first token is what a reader waits before anything happens
                span.set_start_time_first_resp(time.time_ns() // 1000)  # microseconds since the epoch
            output_tokens += 1
            if "tool_call" in chunk:
                message["tool_calls"] = [chunk["tool_call"]]
            else:
                message["content"] += chunk["content"]
        # A real model reports its token counts; this one's tokens are words. Their sum is set by the library.
        span.set_input_tokens(sum(len(str(item.get("content", "")).split()) for item in messages))
        span.set_output_tokens(output_tokens)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        span.set_output({"choices": [{"index": 0, "message": message, "finish_reason": reason}]})
        return message


def _stream(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The answer in pieces."""
    question = _words_of(next(item["content"] for item in reversed(messages) if item["role"] == "user"))
    wanted = _FILE.search(question)
    if messages[-1]["role"] == "tool":
        text = "The tool says: %s." % messages[-1]["content"]
    elif wanted:
        arguments = json.dumps({"file": wanted.group(1)})
        call = {"id": "call_1", "type": "function", "function": {"name": "count_lines", "arguments": arguments}}
        yield {"tool_call": call}
        return
    else:
        text = _best_sentence(question, messages[0]["content"])
    for word in re.findall(r"\S+\s*", text)[: OPTIONS["max_tokens"]]:
        yield {"content": word}


def _words_of(content: Any) -> str:
    """What is said in words: this model does not look at pictures."""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _best_sentence(question: str, passages: str) -> str:
    asked = set(words(question))
    sentences = [text.strip() for text in re.split(r"(?<=[.!?])\s+|\n", passages) if len(text.split()) > 3]
    if not sentences:
        return "Nothing in the library says so."
    # max() keeps the first of equals: the passages come best first.
    return max(sentences, key=lambda text: len(asked & set(words(text))))
