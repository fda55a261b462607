"""Entities out of whatever the JSON of an answer holds."""

from __future__ import annotations

import json

from cozeloop_lite.entities.entity import Entity, copied
from cozeloop_lite.entities.prompt import ExecuteParam, ExecuteResult, Message, Prompt, Tool
from cozeloop_lite.entities.trace import Feedback, Trace, TraceSpan
from cozeloop_lite.trace import values as span_values

from . import values
from .feed import Feed, example
from .reader import Reader


def _fuzz(kind):
    def fuzz(data):
        feed = Feed(data)
        check = feed.pick(_CHECKS)
        given = values.decoded_dict(feed.rest(), _WORDS)
        before = json.dumps(given)
        entity = kind.from_dict(given)
        assert type(entity) is kind
        text = json.dumps(entity.to_dict())
        check(entity, text)
        assert json.dumps(given) == before
        assert _mutables(entity).isdisjoint(_mutables(given))
        if kind is TraceSpan:
            _check_span(entity)

    return fuzz


def _is_read_as_written(entity, text):
    assert json.dumps(type(entity).from_dict(json.loads(text)).to_dict()) == text


def _is_copied(entity, text):
    copy = copied(entity)
    assert repr(copy) == repr(entity)
    assert json.dumps(copy.to_dict()) == text
    assert _mutables(copy).isdisjoint(_mutables(entity))


def _is_shown(entity, text):
    assert json.dumps(entity.model_dump(mode="json"))
    assert entity.json()
    assert span_values.to_text(entity, 1 << 20)


def _is_constructed(entity, text):
    constructed = type(entity)(**{name: getattr(entity, name) for name in entity.__dataclass_fields__})
    constructed._unknown = entity._unknown
    assert json.dumps(constructed.to_dict()) == text


_CHECKS = (_is_read_as_written, _is_copied, _is_shown, _is_constructed)


def _mutables(value):
    """The ids of all that can be changed inside of ``value``."""
    found, waiting = set(), [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Entity):
            found.add(id(item))
            waiting += vars(item).values()
        elif isinstance(item, dict) and item:
            found.add(id(item))
            waiting += item.values()
        elif isinstance(item, list):
            found.add(id(item))
            waiting += item
    return found


def _check_span(span):
    assert span.started_at is None or span.started_at.tzinfo is not None
    for feedback in span.annotations:
        assert type(feedback) is Feedback
        assert isinstance(feedback.value, (str, bool, int, float))
    trace = Trace([span, copied(span)])
    assert len(list(trace.walk())) == 2
    assert type(trace.input_tokens + trace.output_tokens) is int


# -- examples ---------------------------------------------------------------------------------------------------------

_MESSAGE = {
    "role": "assistant",
    "content": "hello",
    "reasoning_content": "because",
    "parts": [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": "https://x/y.png", "config": {"fps": 0.5, "image_resolution": "low"}},
        {"type": "base64_data", "base64_data": "data:image/png;base64,AAAA"},
        {"type": "multi_part_variable", "text": "pictures"},
    ],
    "tool_calls": [{"index": "0", "id": "1", "type": "function", "function_call": {"name": "f", "arguments": "{}"}}],
    "tool_call_id": "1",
    "skip_render": True,
    "metadata": {"a": "b"},
}
_TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": "{}"}, "disable": False}
_PROMPT = {
    "workspace_id": 7,
    "prompt_key": "key",
    "version": "0.0.1",
    "prompt_template": {
        "template_type": "jinja2",
        "messages": [{"role": "system", "content": "{{a}}"}, {"role": "placeholder", "content": "history"}, _MESSAGE],
        "variable_defs": [{"key": "a", "desc": "", "type": "array<string>"}, {"key": "b", "type": "multi_part"}],
        "metadata": {"x": "y"},
    },
    "tools": [_TOOL],
    "tool_call_config": {"tool_choice": "specific", "tool_choice_specification": {"type": "function", "name": "f"}},
    "llm_config": {
        "temperature": 0.7,
        "max_tokens": "100",
        "top_k": 1,
        "json_mode": True,
        "thinking": {"budget_tokens": "1000", "thinking_option": "enabled", "reasoning_effort": "low"},
        "extra": "{}",
    },
    "id": "123",
    "created_at": "1700000000000",
    "PublishInfo": {"publisher": "me", "publish_at": "1700000000000"},
    "skill_execute_config": {"deep": [{"er": None}]},
    "unknown": [1, {"two": 3}],
}
_SPAN = {
    "trace_id": "a" * 32,
    "span_id": "b" * 16,
    "parent_id": "0",
    "span_name": "name",
    "span_type": "model",
    "type": "unknwon",
    "status": "success",
    "status_code": 0,
    "started_at": "1700000000000",
    "duration": "5",
    "input": "{}",
    "custom_tags": {"input_tokens": "3", "n": 4, "null": None},
    "system_tags": {},
    "annotations": [
        {"key": "good", "value": "true", "value_type": "bool", "base_info": {"created_at": "1"}},
        {"key": "score", "value": "1e400", "value_type": "double"},
        {"key": "count", "value": "12", "value_type": "long", "manual_feedback": {"x": []}},
    ],
    "logic_delete_date": "1800000000000",
    "attr_tos": {"input_data_url": "https://x", "multimodal_data": {"key": "https://y"}},
}
_RESULT = {"message": _MESSAGE, "finish_reason": "stop", "usage": {"input_tokens": "1", "output_tokens": 2}}
_EXAMPLES = {
    Prompt: [
        _PROMPT,
        {"prompt_key": "key", "prompt_template": {"messages": [{"role": "user", "content": "hello"}]}},
        {"llm_config": {"max_tokens": float("inf"), "temperature": float("nan"), "top_k": "1e5"}, "id": 1e308},
    ],
    Message: [_MESSAGE, {"role": "tool", "content": None, "parts": [], "metadata": {"a": {"b": [1]}}}],
    ExecuteResult: [_RESULT],
    ExecuteParam: [{"prompt_key": "k", "variable_vals": {"a": [1, {"b": None}]}, "messages": [_MESSAGE]}],
    Tool: [_TOOL],
    TraceSpan: [_SPAN],
}


_WORDS = values.words_in([value for examples in _EXAMPLES.values() for value in examples])

READERS = [
    Reader(
        name,
        _fuzz(kind),
        [example(values.encode(value, _WORDS), check) for value in _EXAMPLES[kind] for check in range(len(_CHECKS))],
        values.WORDS,
    )
    for name, kind in (
        *(("prompt", Prompt), ("message", Message), ("result", ExecuteResult), ("span", TraceSpan)),
        *(("param", ExecuteParam), ("tool", Tool)),
    )
]
