"""An answer that comes in pieces, put together: the chunks of a chat completion, the events of the Responses API.

Only what the answer consists of is kept, and no more of it than a span can have. What comes out has the form of an
answer that came at once.
"""

from __future__ import annotations

from time import time_ns

from ... import logger
from ...trace import media, values
from .content import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...trace.span import Span

ENTRY_CHARS = 100  # what an entry of its own (a choice, a tool call, a text) takes of the room
_FINAL_EVENTS = frozenset(["response.completed", "response.incomplete", "response.failed"])


class Pieces:
    """The pieces of one answer. ``add`` takes the next one, ``body`` puts together what came so far."""

    def __init__(self, name: str, span: Span) -> None:
        self._name = name
        self._span = span
        self._body: dict[str, Any] = {}
        self._waits_for_first = True
        owner = span._owner
        self._room = media.MAX_FILE_BYTES if owner.ultra_large_report else owner.text_chars

    def add(self, item: Any) -> None:
        """Take note of an item. Never raises."""
        if not self._span._recording:
            return
        now = time_ns() // 1000
        try:
            piece = plain(item)
            if isinstance(piece, dict) and self._take(piece) and self._waits_for_first:
                self._waits_for_first = False
                self._span.set_start_time_first_resp(now)
        except Exception as problem:  # noqa: BLE001 - of a form that nobody expects
            logger.warn("an item of the stream of %s is not recorded: %s", self._name, values.describe(problem))

    def body(self) -> dict[str, Any]:
        """The answer, as a dict."""
        raise NotImplementedError

    def _take(self, piece: dict[str, Any]) -> bool:
        """Add ``piece``; whether it is the first, or one more, of those that the model generated."""
        raise NotImplementedError

    def _fits(self, size: int) -> bool:
        self._room -= size
        return self._room >= 0

    def _append(self, texts: dict[Any, list[str]], name: Any, text: Any) -> bool:
        """Whether there was some ``text`` to append."""
        if not isinstance(text, str) or not text:
            return False
        if self._fits(len(text) + (0 if name in texts else ENTRY_CHARS)):
            texts.setdefault(name, []).append(text)
        return True


class ChatChunks(Pieces):
    """The chunks of a chat completion: each has a little of each of the choices."""

    def __init__(self, name: str, span: Span) -> None:
        super().__init__(name, span)
        self._choices: dict[int, _Choice] = {}

    def _take(self, piece: dict[str, Any]) -> bool:
        self._body.update({name: piece[name] for name in ("id", "model", "usage", "error") if name in piece})
        generated = False
        for part in piece.get("choices") or ():
            choice = self._choices.get(part.get("index", 0))
            if choice is None:
                if not self._fits(ENTRY_CHARS):
                    continue
                choice = self._choices[part.get("index", 0)] = _Choice()
            choice.finish_reason = part.get("finish_reason", choice.finish_reason)
            generated = self._take_delta(choice, part.get("delta") or {}) or generated
        return generated

    def _take_delta(self, choice: _Choice, delta: dict[str, Any]) -> bool:
        generated = False
        for name, value in delta.items():
            if name == "role":
                choice.role = value
            elif name == "tool_calls":
                for part in value:  # some platforms send whole calls, which need no index
                    index = part.get("index", part.get("id", 0))
                    generated = self._take_call(choice.calls, index, part) or generated
            elif name == "function_call":  # what tool calls were called before
                generated = self._take_call(choice.function_calls, 0, {"function": value}) or generated
            else:  # content, refusal, and what other platforms have besides (reasoning_content)
                generated = self._append(choice.texts, name, value) or generated
        return generated

    def _take_call(self, calls: dict[Any, Any], index: Any, part: dict[str, Any]) -> bool:
        call: Any = calls.get(index)
        if call is None:
            if not self._fits(ENTRY_CHARS):
                return True
            call = calls[index] = ({}, {})
        given, texts = call
        given.update({name: part[name] for name in ("id", "type") if part.get(name)})
        for name, text in (part.get("function") or {}).items():
            self._append(texts, name, text)
        return True

    def body(self) -> dict[str, Any]:
        choices = [choice.answer(index) for index, choice in sorted(self._choices.items())]
        return {**self._body, "choices": choices} if choices else self._body


class _Choice:
    """One of the answers between which the program has the choice."""

    def __init__(self) -> None:
        self.role = "assistant"
        self.finish_reason: str | None = None
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[Any, Any] = {}
        self.function_calls: dict[Any, Any] = {}

    def answer(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self.role, **_joined(self.texts)}
        if self.calls:
            calls = self.calls.values()
            message["tool_calls"] = [{**given, "function": _joined(texts)} for given, texts in calls]
        for _, texts in self.function_calls.values():
            message["function_call"] = _joined(texts)
        return {"index": index, "finish_reason": self.finish_reason, "message": message}


class ResponseEvents(Pieces):
    """The events of the Responses API: at the end comes the whole, before it each output when it is done."""

    def __init__(self, name: str, span: Span) -> None:
        super().__init__(name, span)
        self._done: dict[Any, Any] = {}
        self._texts: dict[Any, list[str]] = {}

    def _take(self, piece: dict[str, Any]) -> bool:
        kind: str = piece.get("type", "")
        index: Any = piece.get("output_index")
        if kind in _FINAL_EVENTS or kind == "response.created":
            self._body = piece["response"]
        elif kind == "error":
            self._body["error"] = piece
        elif kind == "response.output_item.done":
            if self._fits(len(str(piece["item"]))):
                self._done[index] = piece["item"]
                self._texts.pop(index, None)  # which is in it
        elif kind == "response.output_text.delta":
            self._append(self._texts, index, piece["delta"])
        return kind.endswith(".delta")

    def body(self) -> dict[str, Any]:
        if self._body.get("output"):
            return self._body
        output = dict(self._done)
        for index, text in self._texts.items():
            part = {"type": "output_text", "text": "".join(text)}
            output[index] = {"type": "message", "role": "assistant", "content": [part]}
        return {**self._body, "output": [item for _, item in sorted(output.items())]}


def _joined(texts: dict[str, list[str]]) -> dict[str, str]:
    return {name: "".join(parts) for name, parts in texts.items()}
