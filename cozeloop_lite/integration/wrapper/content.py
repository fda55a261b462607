"""What a span shows of a request to a model and of its answer.

Requests and answers are dicts as they are on the wire, of chat completions and of the Responses API alike: the names in
them do not collide. The platform knows both forms (contract backend.md 2.7).
"""

from __future__ import annotations

import json

from ...trace import tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...trace.span import Span

_INPUT = ("messages", "input", "instructions", "prompt", "tools", "tool_choice", "functions", "previous_response_id")
_OUTPUT = ("id", "choices", "output")
# Of ModelCallOption (contract siblings.md 4), and the names it has in requests; the first that is there counts.
_OPTIONS = {
    "temperature": ("temperature",),
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "max_tokens"),
    "stop": ("stop",),
    "top_p": ("top_p",),
    "n": ("n",),
    "top_k": ("top_k",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "reasoning_effort": ("reasoning_effort",),
}
# Tag, the names of the count in ``usage``, those of a dict with more details, and the name in there
_COUNTS = (
    ("input_tokens", ("prompt_tokens", "input_tokens"), None),
    ("output_tokens", ("completion_tokens", "output_tokens"), None),
    ("input_cached_tokens", ("prompt_tokens_details", "input_tokens_details"), "cached_tokens"),
    ("reasoning_tokens", ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens"),
)
_ABSENT = ("NotGiven", "Omit")  # types of openai: what the program did not say, and nobody sends
_LEFT_OUT = frozenset(["logprobs", "parsed", "parsed_arguments"])  # long, or there already as text
_MAX_DEPTH = 50


def note_request(span: Span, body: Any, options: Any) -> None:
    """Set the input of ``span``, and the tags that the request has an answer to."""
    if not isinstance(body, dict):
        return
    more = options.get("extra_json") if isinstance(options, dict) else None  # the extra_body of the program
    if isinstance(more, dict):
        body = {**body, **more}
    body = {name: item for name, item in body.items() if type(item).__name__ not in _ABSENT}
    settings = {option: _first(body, names) for option, names in _OPTIONS.items()}
    if isinstance(settings["stop"], str):
        settings["stop"] = [settings["stop"]]
    if settings["reasoning_effort"] is None and isinstance(body.get("reasoning"), dict):
        settings["reasoning_effort"] = body["reasoning"].get("effort")
    span.set_tags({"model_name": body.get("model"), "stream": body.get("stream") is True})
    span.set_model_call_options({option: value for option, value in settings.items() if value is not None} or None)
    shown = {name: body[name] for name in _INPUT if body.get(name) is not None}
    if isinstance(shown.get("tool_choice"), str):
        shown["tool_choice"] = {"type": shown["tool_choice"]}
    span.set_input(shown)


def note_answer(span: Span, body: Any) -> None:
    """Set the output of ``span``, the token counts, and the error that an answer may consist in."""
    if not isinstance(body, dict):
        span.set_output(body)
        return
    if "model_name" not in span._tags:  # a stored prompt has one, the request has not
        span.set_tags({"model_name": body.get("model")})
    shown = {name: body[name] for name in _OUTPUT if name in body}
    span.set_output(shown if "choices" in body or "output" in body else body or None)
    usage = body.get("usage")
    if isinstance(usage, dict):
        for tag, names, detail in _COUNTS:
            count = _first(usage, names)
            if detail is not None:
                count = count.get(detail) if isinstance(count, dict) else None
            if tags.as_int(count) is not None:
                span.set_tags({tag: count})
    error = body.get("error")
    if error:
        span.set_error(str(error.get("message") or error) if isinstance(error, dict) else str(error))


def body_of(response: Any) -> Any:
    """The JSON of a response of httpx; its text when that is none; None when nobody kept it."""
    text = None
    try:
        text = response.text
        return json.loads(text)
    except Exception:  # noqa: BLE001 - its lines were gone through and are gone; or it is none
        return text


def plain(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """``value`` with dicts in the place of pydantic models, without what is absent.

    Not by ``model_dump``, which warns of what openai puts into its models.
    """
    if hasattr(type(value), "model_dump"):
        value = {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
    if depth == 0 and isinstance(value, (dict, list)):
        return "<nested too deeply>"
    if isinstance(value, dict):
        return {
            name: plain(item, depth - 1) for name, item in value.items() if item is not None and name not in _LEFT_OUT
        }
    if isinstance(value, list):
        return [plain(item, depth - 1) for item in value]
    return value


def _first(source: dict[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if source.get(name) is not None:
            return source[name]
    return None
