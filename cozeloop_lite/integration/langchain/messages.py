"""Messages of LangChain as the platform shows them: roles, text, pictures and files, tool calls, reasoning.

LangChain hands content on as each provider wrote it, so a picture comes in half a dozen forms (contract backend.md 2.7
has the one wanted here). What is not known stays as it is.
"""

from __future__ import annotations

import importlib
from itertools import islice

from ...trace import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BaseMessage: Any = importlib.import_module("langchain_core.messages").BaseMessage
PromptValue: Any = importlib.import_module("langchain_core.prompt_values").PromptValue

MAX_WALKED = 1_000  # values of an input or output that are searched for messages
MAX_DEPTH = 6
SHOWN_URL_CHARS = 100  # of a picture in the input or output of a chain; the model's has it all
MAX_LISTED = 10_000  # messages of a conversation, parts of a message, documents: more than that are never sent
ARGUMENT_CHARS = 1 << 20

_ROLES = {"human": "user", "ai": "assistant", "generic": "user"}
_FAMILIES = {"image": "image_url", "audio": "audio_url", "video": "video_url"}
_KINDS = {
    "image": "image/png",
    "image_url": "image/png",
    "input_image": "image/png",
    "audio": "audio/wav",
    "input_audio": "audio/wav",
    "video": "video/mp4",
    "video_url": "video/mp4",
    "file": "application/octet-stream",
    "input_file": "application/octet-stream",
    "document": "application/pdf",
    "media": "application/octet-stream",
}
_CALLS = frozenset(["tool_use", "tool_call", "function_call", "tool_call_chunk", "invalid_tool_call"])
_REASONING = frozenset(["thinking", "reasoning", "reasoning_content"])


def shown(value: Any) -> Any:
    """An input or output of a chain, with its messages in the form of the platform."""
    return _Walk().shown(value, 0)


class _Walk:
    def __init__(self) -> None:
        self._left = MAX_WALKED

    def shown(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if issubclass(kind, (dict, list, tuple)):
            self._left -= len(value)
            if self._left < 0 or depth > MAX_DEPTH:
                return value
            if issubclass(kind, dict):
                return {key: self.shown(item, depth + 1) for key, item in value.items()}
            return [self.shown(item, depth + 1) for item in value]
        if issubclass(kind, BaseMessage):
            return message(value, whole=False)
        if issubclass(kind, PromptValue):
            return getattr(value, "text", None) or [message(item, whole=False) for item in value.to_messages()]
        return value


def message(given: Any, whole: bool = True) -> dict[str, Any]:
    """A message. Unless ``whole`` pictures and files in it are only hinted at."""
    additional = given.additional_kwargs or {}
    parts, reasoning = _parts(given.content, whole)
    calls = _tool_calls(given, additional)
    made: dict[str, Any] = {"role": _role(given)}
    if len(parts) == 1 and list(parts[0]) == ["type", "text"]:
        made["content"] = parts[0]["text"]
    elif parts:
        made["parts"] = parts
    elif not calls:
        made["content"] = ""
    reasoning = additional.get("reasoning_content") or reasoning
    extra = {
        "reasoning_content": reasoning,
        "name": getattr(given, "name", None),
        "tool_calls": calls,
        "tool_call_id": getattr(given, "tool_call_id", None),
    }
    made.update((key, value) for key, value in extra.items() if value)
    return made


def conversation(given: Any) -> list[dict[str, Any]]:
    """Messages in their order. A tool's answer has the name of the tool, which only the call has."""
    made = [message(item) for item in islice(given, MAX_LISTED)]
    names = {}
    for item in made:
        for call in item.get("tool_calls", ()):
            names[call.get("id")] = call["function"].get("name")
        name = names.get(item.get("tool_call_id"))
        if name and "tool_call_id" in item:
            item.setdefault("name", name)
    return made


def _role(given: Any) -> str:
    kind = str(given.type)
    kind = kind[:-12].lower() if kind.endswith("MessageChunk") else kind
    return str(given.role) if kind == "chat" else _ROLES.get(kind, kind)


def _parts(content: Any, whole: bool) -> tuple[list[dict[str, Any]], str]:
    """The parts of a message, and what is reasoning among them."""
    parts, reasoning = [], []
    for block in islice(content, MAX_LISTED) if isinstance(content, list) else [content]:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, str):
            if block:
                parts.append({"type": "text", "text": block})
        elif kind in _REASONING:
            reasoning.append(_reasoning(block))
        elif kind == "text":
            parts.append({"type": "text", "text": block.get("text")})
        elif kind not in _CALLS:
            parts.append((_media(block, kind, whole) if kind in _KINDS else None) or block)
    return parts, "\n".join(text for text in reasoning if text)


def _reasoning(block: dict[str, Any]) -> str:
    text = block.get("thinking") or block.get("reasoning") or block.get("reasoning_content")
    if isinstance(text, dict):  # that of Bedrock
        text = text.get("text")
    if not text:
        text = "\n".join(str(item.get("text", "")) for item in block.get("summary") or () if isinstance(item, dict))
    return str(text)


def _media(block: dict[str, Any], kind: str, whole: bool) -> dict[str, Any] | None:
    """A picture, recording, film or file; None when it is nowhere in the block."""
    inner = block.get("source") or block.get(kind)
    fields = {**block, **inner} if isinstance(inner, dict) else block
    url = fields.get("url") or fields.get("file_uri") or (inner if isinstance(inner, str) else fields.get("image_url"))
    data = fields.get("base64") or fields.get("data") or fields.get("file_data")
    mime = fields.get("mime_type") or fields.get("media_type")
    if not mime:
        mime = "audio/%s" % fields["format"] if kind == "input_audio" and fields.get("format") else _KINDS[kind]
    if isinstance(data, str) and not data.startswith("data:"):
        data = "data:%s;base64,%s" % (mime, data)
    url = url or data
    if not isinstance(url, (str, bytes)):
        return None
    if not whole and len(url) > SHOWN_URL_CHARS:
        start = url[:SHOWN_URL_CHARS] if isinstance(url, str) else "bytes"
        url = "%s… (%d)" % (start, len(url))
    family = _FAMILIES.get(mime.partition("/")[0], "file_url")
    holder = {"url": url, "name": fields.get("filename") or fields.get("name"), "detail": fields.get("detail")}
    return {"type": family, family: {key: value for key, value in holder.items() if value}}


def _tool_calls(given: Any, additional: dict[str, Any]) -> list[dict[str, Any]]:
    calls = [*(getattr(given, "tool_calls", None) or ()), *(getattr(given, "invalid_tool_calls", None) or ())]
    if calls:
        return [_call(call.get("id"), call.get("name"), call.get("args")) for call in calls]
    # Before LangChain had them, or where a provider's package does not know them: as OpenAI writes them.
    raw = [(call.get("id"), call.get("function")) for call in additional.get("tool_calls") or ()]
    raw = raw or [(None, additional.get("function_call"))]
    return [_call(id, function.get("name"), function.get("arguments")) for id, function in raw if function]


def _call(id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": values.to_text(arguments, ARGUMENT_CHARS)}
    return {"id": id, "type": "function", "function": function}
