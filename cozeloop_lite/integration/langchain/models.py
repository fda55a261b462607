"""What the span of a model carries: its name and settings, messages and tools, answers, tokens.

Each provider's package fills what LangChain hands on in its own way; the names here are those in use.
"""

from __future__ import annotations

from . import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

# The platform's name of an option -> what it is called in the parameters of a call, and in the metadata.
_OPTIONS = {
    "temperature": ("temperature", "ls_temperature"),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens", "ls_max_tokens"),
    "stop": ("stop", "stop_sequences", "ls_stop"),
    "top_p": ("top_p",),
    "n": ("n",),
    "top_k": ("top_k",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "reasoning_effort": ("reasoning_effort",),
}
_NAMES = ("azure_deployment", "model", "model_name", "model_id", "ls_model_name")
# A tag -> where the counts of a provider have it; LangChain's own first.
_COUNTS = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "input_cached_tokens": (
        "input_token_details.cache_read",
        "prompt_tokens_details.cached_tokens",
        "cache_read_input_tokens",
    ),
    "input_creation_cached_tokens": ("input_token_details.cache_creation", "cache_creation_input_tokens"),
    "reasoning_tokens": ("output_token_details.reasoning", "completion_tokens_details.reasoning_tokens"),
}


def call_tags(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The tags of a call that begins: the model's name, its provider, and the options it is called with."""
    known = {**metadata, **{key: value for key, value in params.items() if value is not None}}
    options = {option: _first(known, names) for option, names in _OPTIONS.items()}
    stream = known.get("stream")
    return {
        "model_name": _model_name(_first(known, _NAMES)),
        "model_provider": known.get("ls_provider") or known.get("_type"),
        "call_options": {option: value for option, value in options.items() if value is not None} or None,
        "stream": stream if isinstance(stream, bool) else None,
    }


def call_input(given: list[dict[str, Any]], params: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a call: ``given`` messages, and the tools that the model may use."""
    made: dict[str, Any] = {"messages": given}
    tools = [_tool(tool) for tool in params.get("tools") or params.get("functions") or ()]
    if tools:
        made["tools"] = tools
    choice = params.get("tool_choice")
    if choice:
        made["tool_choice"] = {"type": choice} if isinstance(choice, str) else choice
    if params.get("previous_response_id"):
        made["previous_response_id"] = params["previous_response_id"]
    return made


def answer(response: Any) -> dict[str, Any]:
    """The output of a call: its answers."""
    choices: list[dict[str, Any]] = []
    made: dict[str, Any] = {"choices": choices}
    for index, generation in enumerate(_generations(response)):
        given = getattr(generation, "message", None)
        info = {**(getattr(given, "response_metadata", None) or {}), **(generation.generation_info or {})}
        reason = _first(info, ("finish_reason", "stop_reason", "done_reason"))
        shown = messages.message(given) if given is not None else {"role": "assistant", "content": generation.text}
        choice = {"index": index, "message": shown}
        if reason:
            choice["finish_reason"] = reason
        choices.append(choice)
        if isinstance(info.get("id"), str):
            made.setdefault("id", info["id"])
    return made


def answer_tags(response: Any) -> dict[str, Any]:
    """The tags of an answer: the tokens, and the model's name where the answer has it."""
    summary = response.llm_output or {}
    tags: dict[str, Any] = {}
    for usage in (*_usages(response), summary.get("token_usage"), summary.get("usage")):
        if not usage:
            continue
        for tag, paths in _COUNTS.items():
            count = next((found for found in (_at(usage, path) for path in paths) if type(found) is int), None)
            if count or (count is not None and tag in ("input_tokens", "output_tokens")):
                tags[tag] = count
        if tags:
            break
    infos = [getattr(getattr(item, "message", None), "response_metadata", None) for item in _generations(response)]
    names = [_first(info or {}, ("model_name", "model")) for info in (*infos, summary)]
    tags["model_name"] = _model_name(next((name for name in names if name), None))
    return tags


def _generations(response: Any) -> list[Any]:
    return list(response.generations[0]) if response.generations else []


def _usages(response: Any) -> Iterator[Any]:
    for generation in _generations(response):
        yield getattr(getattr(generation, "message", None), "usage_metadata", None)


def _first(known: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((known[name] for name in names if known.get(name) is not None), None)


def _at(usage: Any, path: str) -> Any:
    for step in path.split("."):
        usage = usage.get(step) if isinstance(usage, dict) else None
    return usage


def _model_name(name: Any) -> Any:
    return name[len("models/") :] if isinstance(name, str) and name.startswith("models/") else name


def _tool(tool: Any) -> Any:
    """A tool as OpenAI describes it; as Anthropic does, it is told in those words."""
    if not isinstance(tool, dict) or isinstance(tool.get("function"), dict):
        return tool
    if "name" not in tool:
        return tool
    parameters = tool.get("parameters") or tool.get("input_schema")
    function = {"name": tool["name"], "description": tool.get("description") or "", "parameters": parameters}
    return {"type": "function", "function": function}
