"""Executing a prompt on the stand-in server: everything the platform does but the model, whose answer is canned.

The answer is the ``reply`` of the prompt's document, else an echo: the text of the last message of the user, as it was
rendered. Tokens are counted in words, a Chinese, Japanese or Korean character being one; a stream brings one at a time.
"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from ..entities.prompt import Message, Prompt, Role
from . import codes
from .codes import Refusal, internal_error, invalid_param
from .render import render

if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

    from .prompts import Version

MIN_FPS, MAX_FPS = 0.2, 5  # of a video, contract 6

_CJK = "\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60"
_WORD = re.compile(rf"\s*(?:[{_CJK}]|[^\s{_CJK}]+)|\s+\Z")
_SCHEMES = ("http", "https", "ftp", "tcp", "udp", "ws", "wss")
_HOST = re.compile(r"(?:localhost|[^.:][^:]*\.[^:]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_MAX_URL = 2083


class Reply(NamedTuple):
    """What a model would have answered."""

    message: dict[str, Any]
    finish_reason: str
    usage: dict[str, int]


def check(request: Mapping[str, Any]) -> None:
    """Refuse what the platform refuses before it looks for the prompt, contract 6."""
    messages = request.get("messages", [])
    values = request.get("variable_vals", [])
    if None in messages or None in values:
        raise internal_error()  # a null pointer there: the handler panics
    parts = [part for message in messages for part in message.get("parts", ())]
    parts += [part for value in values for part in value.get("multi_part_values", ())]
    if None in parts:
        raise internal_error()
    if any(not MIN_FPS <= part.get("config", {}).get("fps", 1) <= MAX_FPS for part in parts):
        raise Refusal(codes.INVALID_PARAM, "invalid param,fps must be from 0.2 to 5", business=False)
    if not request.get("workspace_id"):
        raise invalid_param("workspace_id is empty")
    if not request.get("prompt_identifier", {}).get("prompt_key"):
        raise invalid_param("prompt_key is empty")
    for part in parts:
        if part.get("type") == "image_url" and not _is_url(part.get("image_url", "")):
            raise invalid_param("an image_url is no URL")
        if part.get("type") == "base64_data" and not _is_data_url(part.get("base64_data", "")):
            raise invalid_param("base64_data is not of the form data:[<mediatype>][;base64],<data>")


def _is_url(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    if len(text) >= _MAX_URL or text.split() != [text] or (separator and scheme.lower() not in _SCHEMES):
        return False
    host = re.split("[/?#]", rest if separator else text, maxsplit=1)[0]
    return _HOST.fullmatch(host.rpartition("@")[2]) is not None


def _is_data_url(text: str) -> bool:
    head, comma, data = text.partition(",")
    if not comma or not head.startswith("data:"):
        return False
    if head.endswith(";base64"):
        try:
            base64.b64decode(data, validate=True)
        except ValueError:
            return False
    return True


# --- the answer -------------------------------------------------------------------------------------------------------


def execute(version: Version, request: Mapping[str, Any]) -> Reply:
    """Render the messages and answer them. Raises ``Refusal`` when they cannot be rendered."""
    prompt = Prompt.from_dict(version.fields)
    messages = render(prompt, request.get("variable_vals", []), request.get("messages", []))
    message = _echo(messages) if version.reply is None else _message(version.reply)
    calls = "".join(call["function_call"].get("arguments", "") for call in message.get("tool_calls", ()))
    said = [message.get("reasoning_content", ""), message["content"], calls]
    usage = {
        "input_tokens": sum(1 for message in messages for _ in words(_text(message))),
        "output_tokens": sum(1 for text in said for _ in words(text)),
    }
    return Reply(message, "tool_calls" if message.get("tool_calls") else "stop", usage)


def _echo(messages: list[Message]) -> dict[str, Any]:
    of_users = [message for message in messages if message.role == Role.USER]
    last = (of_users or messages)[-1:]
    return {"role": "assistant", "content": _text(last[0]) if last else ""}


def _message(reply: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "", **reply}
    if reply.get("tool_calls"):
        message["tool_calls"] = [_call(index, call or {}) for index, call in enumerate(reply["tool_calls"])]
    return message


def _call(index: int, call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": "", "arguments": "", **call.get("function_call", {})}
    return {"index": index, "id": f"call_{index}", "type": "function", **call, "function_call": function}


def _text(message: Message) -> str:
    return (message.content or "") + "".join(part.text or "" for part in message.parts or ())


def words(text: str) -> Iterator[str]:
    """The text in pieces: each is a word, with the space before it."""
    return (match.group() for match in _WORD.finditer(text))


# --- the stream, contract 7 -------------------------------------------------------------------------------------------


def events(reply: Reply) -> Iterator[bytes]:
    """The reply as the events of a stream, in which each message is the difference to the one before."""
    message = reply.message
    role = {"role": message["role"]}
    for piece in words(message.get("reasoning_content", "")):
        yield _data({**role, "content": "", "reasoning_content": piece})
    for piece in words(message["content"]):
        yield _data({**role, "content": piece})
    for call in message.get("tool_calls", ()):
        yield _data({**role, "content": "", "tool_calls": [_with_arguments(call, "")]})
        for piece in words(call["function_call"]["arguments"]):
            fragment = {**call, "id": "", "function_call": {"name": ""}}
            yield _data({**role, "content": "", "tool_calls": [_with_arguments(fragment, piece)]})
    yield _data({**role, "content": ""}, reply.finish_reason, reply.usage)


def error_event(refusal: Refusal) -> bytes:
    """The event in which a stream says that it failed."""
    if not refusal.business:
        return _event("error", {"code": 1, "msg": "Service Internal Error"})
    biz_extra = {"biz_err_affect_stability": "0"}
    if refusal.extra:
        biz_extra["biz_err_custom_extra"] = _json(refusal.extra)
    return _event("error", {"code": refusal.code, "msg": refusal.msg, "biz_extra": biz_extra})


def _with_arguments(call: Mapping[str, Any], arguments: str) -> dict[str, Any]:
    return {**call, "function_call": {**call["function_call"], "arguments": arguments}}


def _data(message: dict[str, Any], finish_reason: str = "", usage: dict[str, int] | None = None) -> bytes:
    data: dict[str, Any] = {"message": message, "finish_reason": finish_reason}
    if usage is not None:
        data["usage"] = usage
    return _event("data", data)


def _event(name: str, data: Any) -> bytes:
    return f"event:{name}\ndata:{_json(data)}\n\n".encode("utf-8", "replace")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
