"""Spans in the words of OpenTelemetry: the JSON encoding of OTLP, and names that others know.

What the GenAI semantic conventions have a name for is called so; the rest has the names by which the platform itself
reads OTLP (contract backend.md 4.1); tags of the program's own keep theirs. Pure functions.
"""

from __future__ import annotations

import json

from .. import __version__
from ..api import answers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

INTERNAL, CLIENT = 1, 3  # kinds of spans
STATUS_ERROR = 2
_INT64 = 1 << 63

_CLIENTS = frozenset(["model", "embedding", "remote"])  # types of spans that wait for another process
_OPERATIONS = {"model": "chat", "embedding": "embeddings", "retriever": "retrieval"}
_ACTORS = {"tool": "execute_tool", "agent": "invoke_agent"}
_NAMES = {  # two, where the platform or older receivers know another one
    "user_id": ("user.id",),
    "thread_id": ("gen_ai.conversation.id", "session.id"),
    "message_id": ("messaging.message.id",),
    "deployment_env": ("deployment.environment.name",),
    "model_provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model_name": ("gen_ai.request.model",),
    "stream": ("gen_ai.request.stream", "cozeloop.stream"),
    "input_tokens": ("gen_ai.usage.input_tokens",),
    "output_tokens": ("gen_ai.usage.output_tokens",),
    "input_cached_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens",),
    "tool_call_id": ("gen_ai.tool.call.id",),
    "start_time_first_resp": ("cozeloop.time_to_first_token",),  # in spite of its name µs since the epoch
}
_OTHERS = "prompt_key prompt_version prompt_label prompt_provider tokens latency_first_resp call_options call_type"
_NAMES.update((tag, ("cozeloop." + tag,)) for tag in _OTHERS.split())
_FRACTIONS = frozenset(["temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"])  # in call_options
_WHOLE = {"max_tokens": "max_tokens", "seed": "seed", "n": "choice.count"}
_EXCEPTION = {"error": "exception.message", "error_type": "exception.type", "error_stack": "exception.stacktrace"}
_MESSAGE_KEYS = frozenset(["role", "content", "reasoning_content", "parts", "tool_calls", "tool_call_id"])


def request(spans: list[dict[str, Any]], resource: dict[str, Any]) -> bytes:
    """The body of a request for ``spans``, dicts as they would go to the platform, from ``resource``."""
    by_service: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        by_service.setdefault(span["service_name"], []).append(_span(span))
    groups = []
    for name, group in by_service.items():
        who = {"attributes": _attributes({**resource, "service.name": name} if name else resource)}
        scope = {"name": "cozeloop_lite", "version": __version__}
        groups.append({"resource": who, "scopeSpans": [{"scope": scope, "spans": group}]})
    # What was JSON within a span may have brought lone surrogates, which UTF-8 does not have.
    return _json({"resourceSpans": groups}).encode("utf-8", "replace")


def _span(span: dict[str, Any]) -> dict[str, Any]:
    start = span["started_at_micros"] * 1000
    end = str(start + span["duration_micros"] * 1000)
    tags = {**span["tags_string"], **span["tags_long"], **span["tags_double"], **span["tags_bool"]}
    kind = span["span_type"]
    attributes: dict[str, Any] = {"cozeloop.span_type": kind, "cozeloop.workspace_id": span["workspace_id"]}
    result: dict[str, Any] = {
        "traceId": span["trace_id"],
        "spanId": span["span_id"],
        "name": span["span_name"],
        "kind": CLIENT if kind in _CLIENTS else INTERNAL,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": end,
    }
    if span["parent_id"].strip("0"):
        result["parentSpanId"] = span["parent_id"]
    if span["status_code"]:
        result["status"] = {"code": STATUS_ERROR, "message": str(tags.get("error", ""))}
        attributes["cozeloop.status_code"] = span["status_code"]
        attributes["error.type"] = tags.get("error_type") or "_OTHER"
    if "error" in tags:
        exception = {name: str(tags.pop(tag)) for tag, name in _EXCEPTION.items() if tag in tags}
        result["events"] = [{"name": "exception", "timeUnixNano": end, "attributes": _attributes(exception)}]
    if kind in _OPERATIONS:
        attributes["gen_ai.operation.name"] = _OPERATIONS[kind]
    elif kind in _ACTORS:
        attributes.update({"gen_ai.operation.name": _ACTORS[kind], "gen_ai.%s.name" % kind: span["span_name"]})
    if span["log_id"]:
        attributes["cozeloop.logid"] = span["log_id"]
    for group in ("string", "long", "double"):
        attributes.update(("cozeloop.system_tag_" + key, tag) for key, tag in span["system_tags_" + group].items())
    attributes.update(_named(tags))
    attributes.update(_content(span["input"], "input", kind))
    attributes.update(_content(span["output"], "output", kind))
    result["attributes"] = _attributes(attributes)
    return result


def _named(tags: dict[str, Any]) -> dict[str, Any]:
    """Tags under the names that they have in OpenTelemetry."""
    attributes = {name: value for tag, value in tags.items() for name in _NAMES.get(tag, (tag,))}
    latency = tags.get("latency_first_resp")  # µs
    if type(latency) is int:
        attributes["gen_ai.response.time_to_first_chunk"] = latency / 1e6
    options = answers.parse(str(tags.get("call_options", "")))
    if isinstance(options, dict):
        attributes.update(("gen_ai.request." + name, value) for name, value in _options(options).items())
        del attributes["cozeloop.call_options"]
        attributes.update({"cozeloop.call_options": _json(options)} if options else {})  # what is left of them
    return attributes


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the conventions know, where they have the types that those want, taken out of ``options``."""
    found: dict[str, Any] = {}
    for key, value in list(options.items()):
        number = type(value) in (int, float) and -_INT64 <= value < _INT64  # which no NaN is
        if number and key in _FRACTIONS:
            found[key] = float(options.pop(key))
        elif number and key in _WHOLE and type(value) is int:
            found[_WHOLE[key]] = options.pop(key)
        elif key == "stop" and isinstance(value, list) and all(isinstance(text, str) for text in value):
            found["stop_sequences"] = options.pop(key)
    return found


def _content(text: str, field: str, kind: str) -> dict[str, Any]:
    """Attributes for an input or output; of a model as messages, if it has their form. What is left goes as it is."""
    whole = {"cozeloop." + field: text} if text else {}
    if kind != "model":
        return whole
    try:
        given = answers.parse(text)
        attributes = _messages(given) if field == "input" else _choices(given)
        return {**attributes, "cozeloop." + field: _json(given)} if given else attributes
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # it has another form
        return whole


def _messages(given: Any) -> dict[str, Any]:
    attributes = {"gen_ai.input.messages": _json([_message(item) for item in given.pop("messages")])}
    tools = given.pop("tools", None) or []
    definitions = [{"type": tool.get("type", "function"), **tool.get("function", tool)} for tool in tools]
    return {**attributes, "gen_ai.tool.definitions": _json(definitions)} if definitions else attributes


def _choices(given: Any) -> dict[str, Any]:
    choices = given.pop("choices")
    reasons = [str(choice.get("finish_reason") or "") for choice in choices]
    messages = [_message({"role": "assistant", **(choice.get("message") or {})}) for choice in choices]
    finished = [{**said, "finish_reason": reason} for said, reason in zip(messages, reasons)]
    attributes: dict[str, Any] = {"gen_ai.output.messages": _json(finished)}
    if any(reasons):
        attributes["gen_ai.response.finish_reasons"] = reasons
    if isinstance(given.get("id"), str):
        attributes["gen_ai.response.id"] = given.pop("id")
    return attributes


def _message(given: Any) -> dict[str, Any]:
    """A message in the form of the conventions: its parts, each with a type."""
    parts: list[Any] = []
    if given.get("reasoning_content"):
        parts.append({"type": "reasoning", "content": given["reasoning_content"]})
    content = given.get("content")
    if given["role"] == "tool":
        parts.append({"type": "tool_call_response", "id": given.get("tool_call_id"), "response": content})
    else:
        items = content if isinstance(content, list) else [content] if content else []
        parts.extend(_part(item) for item in [*items, *(given.get("parts") or [])])
    for call in given.get("tool_calls") or []:
        parts.append({"type": "tool_call", "id": call.get("id"), **call.get("function", {})})  # name and arguments
    return {"role": given["role"], "parts": parts, **{key: given[key] for key in given if key not in _MESSAGE_KEYS}}


def _part(given: Any) -> dict[str, Any]:
    kind = "text" if isinstance(given, str) else given["type"]
    if kind == "text":
        return {"type": "text", "content": given if isinstance(given, str) else given["text"]}
    link = given.get(kind)
    if not isinstance(link, dict) or not kind.endswith("_url"):
        return dict(given)
    where = "uri" if link["url"].startswith(("http", "data:")) else "file_id"  # the key of a file, which is not sent
    return {"type": where.partition("_")[0], "modality": kind.partition("_")[0], where: link["url"]}


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in values.items()]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64 bits are text in protobuf's JSON
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": value}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
