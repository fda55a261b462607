"""What the span of a prompt template carries: the template, its variables, and the messages they became.

LangChain hands the template on in its form for storage: nested dicts with the path of a class and its arguments.
"""

from __future__ import annotations

from ...trace import values
from . import kinds, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_ROLES = {"System": "system", "Human": "user", "AI": "assistant"}
_HUB = ("lc_hub_owner", "lc_hub_repo", "lc_hub_commit_hash")
_TAG = "fornax_prompt_tag:"  # a tag of a run that says which prompt of the platform it is: key:version


def template_input(serialized: Any, inputs: Any) -> dict[str, Any]:
    """The input of a prompt span: templates and arguments."""
    stored = _arguments(serialized)
    if not isinstance(inputs, dict):
        inputs = dict.fromkeys((stored.get("input_variables") or ["input"])[:1], inputs)
    partial = stored.get("partial_variables")
    given = [(key, value, "input") for key, value in inputs.items()]
    given += [(key, value, "partial") for key, value in (partial if isinstance(partial, dict) else {}).items()]
    arguments = [_argument(key, value, source) for key, value, source in given if value is not None]
    templates = stored["messages"] if isinstance(stored.get("messages"), list) else [serialized]
    return {"templates": [_template(template) for template in templates], "arguments": arguments}


def template_output(value: Any) -> Any:
    """The output of a prompt span."""
    if isinstance(value, messages.PromptValue):
        return {"prompts": [messages.message(item, whole=False) for item in value.to_messages()]}
    return messages.shown(value)


def origin_tags(tags: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The tags that say where a prompt comes from: the platform's hub, or that of LangChain."""
    for tag in tags or ():
        if isinstance(tag, str) and tag.startswith(_TAG) and tag.count(":") >= 2:
            _, key, version = tag.split(":")[:3]
            return {"prompt_key": key, "prompt_version": version, "prompt_provider": "cozeloop"}
    if all(metadata.get(name) for name in _HUB):
        owner, repository, commit = (metadata[name] for name in _HUB)
        key = "%s/%s" % (owner, repository)
        return {"prompt_key": key, "prompt_version": commit, "prompt_provider": "langsmith"}
    return {}


def _argument(key: str, value: Any, source: str) -> dict[str, Any]:
    shown, kind = messages.shown(value), "model_message"
    if not (isinstance(value, list) and value and isinstance(value[0], messages.BaseMessage)):
        shown, kind = values.to_text(shown, messages.ARGUMENT_CHARS), "text"
    return {"key": key, "value": shown, "source": source, "value_type": kind}


def _arguments(stored: Any) -> dict[str, Any]:
    found = stored.get("kwargs") if isinstance(stored, dict) else None
    return found if isinstance(found, dict) else {}


def _template(stored: Any) -> dict[str, Any]:
    given = _arguments(stored)
    name = kinds.class_name(stored)
    if name == "MessagesPlaceholder":
        return {"role": "placeholder", "content": given.get("variable_name")}
    role = given.get("role") or next((role for start, role in _ROLES.items() if name.startswith(start)), "user")
    prompt = given.get("prompt")
    if isinstance(prompt, list):
        return {"role": role, "parts": [_part(part) for part in prompt]}
    text = _arguments(prompt).get("template") if prompt is not None else given.get("template", given.get("content"))
    return {"role": role, "content": text}


def _part(stored: Any) -> dict[str, Any]:
    template = _arguments(stored).get("template")
    if isinstance(template, dict):
        return {"type": "image_url", "image_url": template}
    return {"type": "text", "text": template}
