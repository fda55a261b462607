"""Prompt as a service: the platform renders a prompt, calls the model, and answers with what the model said.

Variables and messages become the JSON of the request here (contract backend.md 6, siblings.md 3.5). What the server
would refuse with a code that explains nothing, or take for something else, is refused here in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .. import config, errors, propagation
from ..entities.entity import Entity
from ..entities.prompt import ContentPart, ExecuteResult, Message
from ..spec import tracespec
from ..trace import context, values
from ..trace.span import NOOP
from . import spans
from .execute_stream import ExecuteStreamReader, end_span, read_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..api.client import ApiClient
    from ..trace.span import Span

PATH = "/v1/loop/prompts/execute"
STREAM_PATH = "/v1/loop/prompts/execute_streaming"
SPAN_NAME = "PromptExecute"  # contract siblings.md 3.4
TIMEOUT = 600.0  # seconds, contract siblings.md 3.5


def execute(
    api: ApiClient,
    workspace_id: str,
    prompt_key: str,
    *,
    version: str | None = None,
    label: str | None = None,
    variable_vals: Mapping[str, Any] | None = None,
    messages: Any = None,
    stream: bool = False,
    timeout: float | None = None,
    start_span: Callable[..., Span] | None = None,
) -> ExecuteResult | ExecuteStreamReader:
    """Have the platform execute a prompt. One request, never repeated: it costs tokens.

    Args:
        api: the client that sends it.
        workspace_id: where the prompt is.
        prompt_key: the prompt.
        version: a version of it; default the one of ``label``, then the latest.
        label: a label, such as ``"production"``. The server does not look at it when there is a version.
        variable_vals: the variables of the prompt. ``str`` is sent as it is. A ``Message``, or a list of them, is for
            a placeholder; a ``ContentPart``, or a list of them, for a multi-part variable. Anything else is sent as
            JSON, a dict too, whatever it looks like. ``None`` is absence.
        messages: what follows the messages of the prompt: a list of ``Message``, or of dicts of the same shape; one
            alone will do. The server looks for variables in them, too, unless they have ``skip_render=True``.
        stream: return when the server has accepted, with a reader of the answer instead of the answer.
        timeout: seconds for the whole answer, that of a stream included; default 600.
        start_span: ``Tracer.start_span``, when the call is to be traced.

    Returns:
        The answer; with ``stream``, an :class:`~cozeloop_lite.prompt.execute_stream.ExecuteStreamReader`.

    Raises:
        InvalidParamError: an argument cannot be sent; the message names it.
        NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time.
        RemoteServiceError: the server refused; the subclass says more.
    """
    kind = tracespec.V_PROMPT_EXECUTE_STREAMING_SPAN_TYPE if stream else tracespec.V_PROMPT_EXECUTE_SPAN_TYPE
    span = NOOP if start_span is None else start_span(SPAN_NAME, kind)
    try:
        spans.set_scene(span, kind)  # the scenes have the names of the types
        _set_question(span, prompt_key, version, label, variable_vals, messages)
        seconds = config.seconds("timeout", timeout, TIMEOUT)
        body = _request(workspace_id, prompt_key, version, label, variable_vals, messages)
        headers = propagation.inject({})  # what the platform does is a part of the trace (contract siblings.md 1.4)
        if stream:
            span.set_tags({tracespec.STREAM: True})
            context.Stack(span)  # takes it off: what the consumer of the stream does is no part of it
            return ExecuteStreamReader(api.stream("POST", STREAM_PATH, body, timeout=seconds, headers=headers), span)
        result = _result(api.request("POST", PATH, body, timeout=seconds, headers=headers))
    except BaseException as error:
        end_span(span, None, error)
        raise
    end_span(span, result, None)
    return result


@spans.about
def _set_question(span: Span, prompt_key: Any, version: Any, label: Any, variable_vals: Any, messages: Any) -> None:
    """What is asked, in the form of a prompt's input, before it is known whether it can be."""
    names = {tracespec.PROMPT_KEY: prompt_key, tracespec.PROMPT_VERSION: version, tracespec.PROMPT_LABEL: label}
    names = {name: value for name, value in names.items() if value}
    span.set_tags(names)
    if span._owner.record_inputs:
        limit = span._owner.text_chars
        arguments = [spans.argument(key, value, None, limit) for key, value in (variable_vals or {}).items()]
        given = [messages] if isinstance(messages, (Message, Mapping)) else messages or ()
        shown = [Message.from_dict(message) if isinstance(message, Mapping) else message for message in given]
        templates = [spans.model_message(message) for message in shown]
        span.set_input({**names, "templates": templates, "arguments": arguments})


def _result(answer: Mapping[str, Any]) -> ExecuteResult:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise errors.InternalServerError(200, answer.get("code"), "the answer is a success without a result")
    return read_result(data)


# -- the request ------------------------------------------------------------------------------------------------------


def _request(
    workspace_id: str, prompt_key: Any, version: Any, label: Any, variable_vals: Any, messages: Any
) -> dict[str, Any]:
    """The JSON of the request. What is absent is left out."""
    identifier = {"prompt_key": prompt_key, "version": version, "label": label}
    for name, value in identifier.items():
        if value is not None and not isinstance(value, str):
            raise errors.InvalidParamError("%s must be a str, not %s" % (name, values.type_name(value)))
    if not prompt_key:
        raise errors.InvalidParamError("prompt_key must not be empty: it names the prompt to execute")
    request: dict[str, Any] = {
        "workspace_id": workspace_id,
        "prompt_identifier": {name: value for name, value in identifier.items() if value},
    }
    variables = _variables(variable_vals)
    if variables:
        request["variable_vals"] = variables
    written = _messages("messages", messages)
    if written:
        request["messages"] = written
    return request


def _variables(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise errors.InvalidParamError("variable_vals must be a dict, not %s" % values.type_name(given))
    for key in given:
        if not isinstance(key, str):
            raise errors.InvalidParamError("variable_vals must have keys of type str, not %r" % (key,))
    return [_variable(key, value) for key, value in given.items() if value is not None]


def _variable(key: str, value: Any) -> dict[str, Any]:
    where = "the variable %r" % key
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    for kind, field in ((Message, "placeholder_messages"), (ContentPart, "multi_part_values")):
        found = [isinstance(item, kind) for item in items]
        if any(found):
            if not all(found):
                raise errors.InvalidParamError("%s must have nothing but %ss in its list" % (where, kind.__name__))
            written = _messages(where, items) if kind is Message else [item.to_dict() for item in items]
            return {"key": key, field: written}
    return {"key": key, "value": _text(where, value)}


def _text(where: str, value: Any) -> str:
    """The text of a variable: of anything but a text, its JSON."""
    try:
        if isinstance(value, str):
            text = str.__str__(value)  # of a subclass of str (an Enum), the text alone
        else:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as problem:
        raise errors.InvalidParamError("%s cannot be sent as text or JSON: %s" % (where, problem)) from problem
    return text


def _messages(where: str, given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if isinstance(given, (Message, Mapping)):
        return [_message(where, given)]
    if not isinstance(given, (list, tuple)):
        raise errors.InvalidParamError(
            "%s must be a list of Message, such as [Message(role='user', content='hi')], not %s"
            % (where, values.type_name(given))
        )
    return [_message("%s[%d]" % (where, number), message) for number, message in enumerate(given)]


def _message(where: str, given: Any) -> dict[str, Any]:
    """The JSON of a message. The server fails on a ``null`` in a list, and takes no other type than it expects."""
    if not isinstance(given, (Message, Mapping)):
        raise errors.InvalidParamError("%s must be a Message or a dict, not %s" % (where, values.type_name(given)))
    fields = vars(given) if isinstance(given, Message) else given
    content = fields.get("content")
    if content is not None and not isinstance(content, str):
        raise errors.InvalidParamError(
            "%s: content must be a str, not %s; what is more than text goes into parts"
            % (where, values.type_name(content))
        )
    for name, kind in (("parts", "ContentPart"), ("tool_calls", "ToolCall")):
        items = fields.get(name)
        if items is None:
            continue
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, (Entity, Mapping)) for item in items):
            raise errors.InvalidParamError("%s: %s must be a list of %s, and of nothing else" % (where, name, kind))
    return (given if isinstance(given, Message) else Message.from_dict(given)).to_dict()
