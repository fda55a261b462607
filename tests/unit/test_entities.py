"""Entities read whatever a server of any age sends, write it back, and are copied, compared and stored like values."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite.entities import prompt as entities
from cozeloop_lite.entities.entity import MAX_DEPTH, Entity, OpenEnum, copied, mold
from cozeloop_lite.entities.prompt import (
    ContentPart,
    ContentType,
    ExecuteResult,
    FunctionCall,
    LLMConfig,
    Message,
    Prompt,
    PromptTemplate,
    PublishInfo,
    Role,
    TemplateType,
    Tool,
    ToolCall,
    ToolCallConfig,
    ToolChoiceType,
    VariableDef,
)

EVERY = [kind for kind in vars(entities).values() if isinstance(kind, type) and issubclass(kind, Entity)]
EVERY.remove(Entity)
ENUMS = [kind for kind in vars(entities).values() if isinstance(kind, type) and issubclass(kind, OpenEnum)]
ENUMS.remove(OpenEnum)

# The platform's schemas of prompts, messages and results (contract: schemas mget_response, execute_response). A name is
# another schema, a list one of its elements.
SCHEMA = {
    "MediaConfig": {"fps": "number", "image_resolution": "string"},
    "ContentPart": {
        "type": "ContentType",
        "text": "string",
        "image_url": "string",
        "base64_data": "string",
        "video_url": "string",
        "config": "MediaConfig",
        "signature": "string",
        "image_uri": "string",
        "video_uri": "string",
    },
    "FunctionCall": {"name": "string", "arguments": "string"},
    "ToolCall": {
        "index": "integer",
        "id": "string",
        "type": "ToolType",
        "function_call": "FunctionCall",
        "output_id": "string",
        "signature": "string",
    },
    "Message": {
        "role": "Role",
        "content": "string",
        "parts": ["ContentPart"],
        "reasoning_content": "string",
        "tool_call_id": "string",
        "tool_calls": ["ToolCall"],
        "skip_render": "boolean",
        "signature": "string",
        "metadata": "object",
    },
    "Function": {"name": "string", "description": "string", "parameters": "string"},
    "Tool": {"type": "ToolType", "function": "Function", "disable": "boolean"},
    "ToolChoiceSpecification": {"type": "ToolType", "name": "string"},
    "ToolCallConfig": {"tool_choice": "ToolChoiceType", "tool_choice_specification": "ToolChoiceSpecification"},
    "ThinkingConfig": {
        "budget_tokens": "integer",
        "thinking_option": "ThinkingOption",
        "reasoning_effort": "ReasoningEffort",
    },
    "LLMConfig": {
        "temperature": "number",
        "max_tokens": "integer",
        "top_k": "integer",
        "top_p": "number",
        "presence_penalty": "number",
        "frequency_penalty": "number",
        "json_mode": "boolean",
        "id": "integer",
        "name": "string",
        "thinking": "ThinkingConfig",
        "extra": "string",
    },
    "VariableDef": {"key": "string", "desc": "string", "type": "VariableType"},
    "PromptTemplate": {
        "template_type": "TemplateType",
        "messages": ["Message"],
        "variable_defs": ["VariableDef"],
        "metadata": "object",
    },
    "PublishInfo": {"publisher": "string", "publish_description": "string", "publish_at": "integer"},
    "Prompt": {
        "workspace_id": "string",
        "prompt_key": "string",
        "version": "string",
        "prompt_template": "PromptTemplate",
        "tools": ["Tool"],
        "tool_call_config": "ToolCallConfig",
        "llm_config": "LLMConfig",
        "id": "integer",
        "display_name": "string",
        "description": "string",
        "prompt_type": "string",
        "created_by": "string",
        "created_at": "integer",
        "updated_at": "integer",
        "status": "string",
        "PublishInfo": "PublishInfo",
        "security_level": "string",
        "skill_execute_config": "object",
    },
    "TokenUsage": {"input_tokens": "integer", "output_tokens": "integer"},
    "ExecuteResult": {"message": "Message", "finish_reason": "string", "usage": "TokenUsage"},
}

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
VALUES = {
    "string": st.text(max_size=8),
    "boolean": st.booleans(),
    "number": st.floats(allow_nan=False) | st.integers(-1000, 1000),
    "integer": INT64 | INT64.map(str),
    "object": st.dictionaries(st.text(max_size=8), st.text(max_size=8) | JSON, max_size=3),
}
for kind in ENUMS:
    VALUES[kind.__name__] = st.sampled_from([member.value for member in kind]) | st.text(max_size=8)


def documents(name):
    """What a server may send for the schema ``name``: all kinds of ages, some of it null, some of it unknown."""
    if isinstance(name, list):
        return st.lists(st.none() | documents(name[0]), max_size=3)
    if name in VALUES:
        return VALUES[name]
    fields = {key: st.none() | documents(value) for key, value in SCHEMA[name].items()}
    subsets = st.sets(st.sampled_from(sorted(fields)), max_size=6)
    known = subsets.flatmap(lambda keys: st.fixed_dictionaries({key: fields[key] for key in sorted(keys)}))
    return st.builds(lambda new, old: {**new, **old}, st.dictionaries(st.just("new " + name), JSON, max_size=1), known)


KEYS = sorted({key for schema in SCHEMA.values() for key in schema} | {"key of next year"})
WORDS = sorted({member.value for kind in ENUMS for member in kind} | {"", "1", "1.5", "true"})
ANYTHING = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)

EXAMPLE = json.loads(
    r"""
    {"workspace_id":"7533633794566258689","prompt_key":"k","version":"0.0.2",
     "prompt_template":{"template_type":"normal",
      "messages":[{"role":"system","content":"Topic {{var1}}"},{"role":"placeholder","content":"p1"}],
      "variable_defs":[{"key":"var1","desc":"","type":"string"}],"metadata":{}},
     "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":"{\"type\":\"object\"}"}}],
     "tool_call_config":{"tool_choice":"auto"},
     "llm_config":{"temperature":0.7,"max_tokens":4096,"top_p":1,"json_mode":false,"id":null},
     "id":null,"created_at":null,"updated_at":null}
    """
)


def keeps(written, given):
    """Whether all of ``given`` that is not null is in ``written``; an integer as text may be a number there."""
    if isinstance(given, dict):
        return all(key in written and keeps(written[key], given[key]) for key in given if given[key] is not None)
    if isinstance(given, list):
        given = given if len(written) == len(given) else [item for item in given if item is not None]
        return len(written) == len(given) and all(map(keeps, written, given))
    return written == given or str(written) == given or repr(written) == repr(given)


def without_null(value):
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


# -- reading and writing ----------------------------------------------------------------------------------------------


def test_the_example_of_the_contract():
    prompt = Prompt.from_dict(EXAMPLE)
    assert prompt == Prompt(
        workspace_id="7533633794566258689",
        prompt_key="k",
        version="0.0.2",
        prompt_template=PromptTemplate(
            template_type=TemplateType.NORMAL,
            messages=[
                Message(role=Role.SYSTEM, content="Topic {{var1}}"),
                Message(role=Role.PLACEHOLDER, content="p1"),
            ],
            variable_defs=[VariableDef(key="var1", desc="", type="string")],
            metadata={},
        ),
        tools=[Tool(type="function", function={"name": "f", "description": "d", "parameters": '{"type":"object"}'})],
        tool_call_config=ToolCallConfig(tool_choice=ToolChoiceType.AUTO),
        llm_config=LLMConfig(temperature=0.7, max_tokens=4096, top_p=1.0, json_mode=False),
    )
    assert prompt.to_dict() == without_null(EXAMPLE)
    assert json.loads(json.dumps(prompt.to_dict())) == without_null(EXAMPLE)
    assert Prompt.from_dict(prompt.to_dict()) == prompt


@pytest.mark.parametrize("name", list(SCHEMA))
def test_every_field_of_the_schema_is_known(name):
    kind = getattr(entities, name)
    written = kind(**dict.fromkeys(kind.__dataclass_fields__, 0)).to_dict()
    assert set(written) == set(SCHEMA[name])


@given(st.sampled_from(sorted(SCHEMA)).flatmap(lambda name: st.tuples(st.just(name), documents(name))))
def test_what_follows_the_schema_is_read_and_written_back(drawn):
    name, document = drawn
    kind = getattr(entities, name)
    before = copy.deepcopy(document)
    entity = kind.from_dict(document)
    assert kind.from_dict(entity.to_dict()) == entity
    assert kind.from_dict(entity.to_dict()).to_dict() == entity.to_dict()
    assert keeps(entity.to_dict(), document)
    assert repr(document) == repr(before)


@given(st.sampled_from(EVERY), st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_no_document_makes_reading_raise(kind, document):
    entity = kind.from_dict(document)
    again = kind.from_dict(entity.to_dict())
    assert again == entity
    assert repr(again.to_dict()) == repr(entity.to_dict())
    assert repr(kind.from_dict(json.loads(json.dumps(document)))) == repr(entity)
    assert repr(copied(entity)) == repr(entity)
    assert isinstance(entity.model_dump_json(), str)


def test_a_class_of_the_program_adds_fields_of_its_own():
    @dataclasses.dataclass
    class Rated(Message):
        rating: int = 0

    rated = Rated(role="user", content="hello", rating=5)
    assert rated.to_dict() == {"role": "user", "content": "hello", "rating": 5}
    assert Rated.from_dict(rated.to_dict()) == rated
    assert rated.copy(deep=True) == rated


@pytest.mark.parametrize("kind", ENUMS)
@pytest.mark.parametrize("word", ["of next year", "", "NORMAL", "文"])
def test_an_unknown_value_of_an_enumeration_is_kept(kind, word):
    value = kind(word)
    assert value == word
    assert value.value == word
    assert isinstance(value, kind)
    assert hash(value) == hash(word)
    assert value == kind(word)
    assert word in repr(value)
    assert value not in list(kind)
    assert json.dumps([value]) == json.dumps([word])
    for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert again == value
        assert type(again) is kind


def test_unknown_values_of_enumerations_survive_a_round_trip():
    document = {
        "prompt_template": {
            "template_type": "t",
            "messages": [{"role": "r", "parts": [{"type": "c"}], "tool_calls": [{"index": 0, "id": "", "type": "f"}]}],
            "variable_defs": [{"key": "k", "desc": "", "type": "v"}],
        },
        "tools": [{"type": "x"}],
        "tool_call_config": {"tool_choice": "c"},
        "llm_config": {"thinking": {"thinking_option": "o", "reasoning_effort": "e"}},
        "workspace_id": "1",
        "prompt_key": "k",
        "version": "v",
    }
    assert Prompt.from_dict(document).to_dict() == document


def test_only_texts_are_values_of_enumerations():
    with pytest.raises(ValueError):
        Role(5)


def test_unknown_keys_are_kept_at_every_level_and_are_the_entitys_own():
    parts = [{"type": "text", "more": [1]}]
    document = {"content": "x", "next": {"year": [1, None]}, "parts": parts, "metadata": {"m": [1]}}
    message = Message.from_dict(document)
    document["next"]["year"].append(2)
    document["metadata"]["m"].append(2)
    parts[0]["more"].append(2)
    assert message.to_dict() == {
        "role": "user",
        "content": "x",
        "parts": [{"type": "text", "more": [1]}],
        "metadata": {"m": [1]},
        "next": {"year": [1, None]},
    }


def test_null_is_absence():
    names = SCHEMA["Prompt"]
    assert Prompt.from_dict(dict.fromkeys(names)) == Prompt()
    assert Message.from_dict({"parts": None, "role": None, "metadata": None}) == Message()
    assert Message.from_dict({"parts": [None, {"type": "text"}, None]}) == Message(parts=[ContentPart()])
    assert Message.from_dict({"parts": []}).parts == []


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("7533633794566258689", 7533633794566258689),
        (7533633794566258689, 7533633794566258689),
        ("-9223372036854775808", -(1 << 63)),
        (" 5 ", 5),
        (5.0, 5),
        ("", None),
        ("five", None),
        ("1" * 21, None),
        ("9" * 1_000_000, None),
        (float("nan"), None),
        (float("inf"), None),
        ([], None),
        ({}, None),
    ],
)
def test_an_integer_may_be_text(given, read):
    assert Prompt.from_dict({"id": given}).id == read


@pytest.mark.parametrize(
    ("given", "read"), [(1, 1.0), ("0.5", 0.5), ("x", None), (1 << 2000, None), ([], None), ({}, None)]
)
def test_a_number_may_be_text_or_integer(given, read):
    temperature = LLMConfig.from_dict({"temperature": given}).temperature
    assert temperature == read
    assert read is None or type(temperature) is float


@pytest.mark.parametrize(
    ("given", "read"), [(7, "7"), (True, "true"), ({"文": [1, None]}, '{"文":[1,null]}'), (Role.USER, "user")]
)
def test_a_text_that_is_none_is_read_as_its_json(given, read):
    content = Message.from_dict({"content": given}).content
    assert content == read
    assert type(content) is str


def test_publish_info_has_a_capital_on_the_wire():
    prompt = Prompt.from_dict({"PublishInfo": {"publisher": "ann", "publish_at": "1700000000000"}})
    assert prompt.publish_info == PublishInfo(publisher="ann", publish_at=1700000000000)
    assert prompt.to_dict()["PublishInfo"] == {"publisher": "ann", "publish_at": 1700000000000}


def nested(depth, inside):
    for _ in range(depth):
        inside = [inside]
    return inside


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 100_000])
@pytest.mark.parametrize("key", ["metadata", "next year", "content"])
def test_what_is_nested_too_deeply_is_left_out(depth, key):
    value = nested(depth - 1, {"a": "b"})
    value = {"m": value[0]} if key == "metadata" else value
    message = Message.from_dict({"role": "tool", key: value, "signature": "s"})
    written = message.to_dict()
    assert (key in written) == (depth <= MAX_DEPTH)
    assert (message.role, message.signature) == ("tool", "s")
    assert copied(message) == message
    json.dumps(written)


def test_a_cycle_is_left_out():
    loop = []
    loop += [loop, loop]
    assert Message.from_dict({"next year": loop, "content": "x"}).to_dict() == {"role": "user", "content": "x"}


# -- copies -----------------------------------------------------------------------------------------------------------


def full():
    return Prompt.from_dict(
        {
            **EXAMPLE,
            "skill_execute_config": {"skills": [{"a": [1]}]},
            "next year": {"a": [1]},
            "PublishInfo": {"publisher": "ann", "more": [1]},
            "prompt_template": {
                "messages": [
                    {
                        "parts": [{"config": {"fps": 1}}],
                        "tool_calls": [{"function_call": {"name": "f"}}],
                        "metadata": {"a": "b"},
                    }
                ],
                "variable_defs": [{"key": "a"}],
                "metadata": {"a": "b"},
            },
            "llm_config": {"thinking": {"budget_tokens": "5"}},
        }
    )


def insides(value):
    """The identities of all objects inside of ``value`` that can be changed."""
    if isinstance(value, (Entity, list, dict)):
        inner = value.__dict__ if isinstance(value, Entity) else value
        items = inner.values() if isinstance(inner, dict) else inner
        return {id(value)}.union(*map(insides, items))
    return set()


@pytest.mark.parametrize(
    "copy_of",
    [copied, copy.deepcopy, lambda p: p.copy(deep=True), lambda p: p.model_copy(deep=True), lambda p: mold(p)()],
    ids=["copied", "deepcopy", "copy", "model_copy", "mold"],
)
def test_a_deep_copy_shares_nothing_that_can_be_changed(copy_of):
    prompt = full()
    other = copy_of(prompt)
    assert other == prompt
    assert other.to_dict() == prompt.to_dict()
    assert len(insides(prompt)) > 25
    assert not insides(prompt) & insides(other)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_entities_can_be_pickled(protocol):
    prompt = full()
    prompt.prompt_template.template_type = TemplateType("of next year")
    again = pickle.loads(pickle.dumps(prompt, protocol))
    assert again == prompt
    assert again.to_dict() == prompt.to_dict()
    assert not insides(prompt) & insides(again)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_json_is_copied_whatever_it_is(document):
    other = copied(document)
    assert repr(other) == repr(document)
    assert not insides(other) & insides(document)


def test_the_plain_messages_from_a_mold_are_independent_too():
    plain = {"prompt_template": {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}}
    make = mold(Prompt.from_dict(plain))
    for message in make().prompt_template.messages:
        message.content = "changed"
    assert make() == Prompt.from_dict(plain)


def test_the_copies_from_a_mold_are_independent_of_each_other_and_like_any_prompt():
    make = mold(full())
    first, second = make(), make()
    assert not insides(first) & insides(second)
    assert first == second == full()
    assert list(vars(first)) == list(vars(full()))
    first.prompt_template.messages[0].metadata["a"] = "changed"
    first._unknown["next year"]["a"].append(2)
    first.prompt_template.messages.clear()
    assert make() == second == full()
    assert make().to_dict() == full().to_dict()
    assert pickle.loads(pickle.dumps(make())) == full()
    assert dataclasses.replace(make(), version="2").version == "2"
    assert dataclasses.asdict(make()) == dataclasses.asdict(full())


@given(st.sampled_from(sorted(SCHEMA)).flatmap(lambda name: st.tuples(st.just(name), documents(name))))
def test_a_mold_makes_what_a_copy_is(drawn):
    name, document = drawn
    entity = getattr(entities, name).from_dict(document)
    made = mold(entity)()
    assert repr(made) == repr(copied(entity)) == repr(entity)
    assert repr(made.to_dict()) == repr(entity.to_dict())
    assert not insides(made) & insides(entity)


# -- constructors, and what pydantic models can do --------------------------------------------------------------------


def test_a_constructor_takes_texts_for_enumerations_and_dicts_for_entities():
    message = Message(
        role="assistant",
        parts=[{"type": "image_url", "image_url": "http://i", "config": {"image_resolution": "high"}}],
        tool_calls=({"id": "c", "type": "function", "function_call": {"name": "f"}},),
    )
    assert message.role is Role.ASSISTANT
    assert message.parts[0].type is ContentType.IMAGE_URL
    assert message.parts[0].config.image_resolution == "high"
    assert message.tool_calls == [ToolCall(id="c", function_call=FunctionCall(name="f"))]
    assert ExecuteResult(message={"role": "user"}, usage={"input_tokens": 1}).usage.input_tokens == 1


def test_a_constructor_keeps_what_it_does_not_understand():
    message = Message(parts=[{"type": "text"}, None, "x"], tool_calls="calls", content=5, metadata=[1])
    assert message.parts == [ContentPart(), None, "x"]
    assert (message.tool_calls, message.content, message.metadata) == ("calls", 5, [1])


@pytest.mark.parametrize("kind", EVERY)
def test_a_constructor_passes_over_what_is_no_field(kind):
    assert kind(refusal=None, no_field=1) == kind()
    assert list(inspect.signature(kind).parameters) == [field.name for field in dataclasses.fields(kind)]


def test_a_constructor_that_is_given_too_much_by_position_fails():
    with pytest.raises(TypeError, match="positional"):
        FunctionCall(*"abcdefgh")
    with pytest.raises(TypeError, match="multiple values"):
        FunctionCall("f", name="g", no_field=1)


def test_a_constructor_does_not_write_to_its_arguments():
    parts = [{"type": "text", "text": "x"}]
    Message(parts=parts).parts.append(None)
    assert parts == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize("kind", EVERY)
def test_every_field_is_optional(kind):
    assert kind() == kind.from_dict({})


def test_a_dump_has_every_field_by_its_own_name():
    dumped = full().model_dump()
    assert list(dumped) == list(Prompt.__dataclass_fields__)
    assert dumped["publish_info"] == {"publisher": "ann", "publish_description": None, "publish_at": None}
    assert dumped["prompt_template"]["messages"][0]["parts"][0]["config"] == {"fps": 1.0, "image_resolution": None}
    assert dumped["id"] is None
    assert full().dict() == dumped


def test_a_dump_without_none():
    message = Message(role="user", content="x", parts=[ContentPart(text="t")])
    expected = {"role": "user", "content": "x", "parts": [{"type": "text", "text": "t"}]}
    assert message.model_dump(exclude_none=True) == expected
    assert message.dict(exclude_none=True) == expected
    assert json.loads(message.model_dump_json(exclude_none=True)) == expected
    assert message.json(exclude_none=True) == '{"role":"user","content":"x","parts":[{"type":"text","text":"t"}]}'


def test_a_dump_has_members_of_enumerations_or_their_texts():
    message = Message(parts=[ContentPart()])
    assert message.model_dump()["role"] is Role.USER
    dumped = message.model_dump(mode="json")
    assert type(dumped["role"]) is str
    assert type(dumped["parts"][0]["type"]) is str


def test_a_dump_shares_nothing_with_the_entity():
    prompt = full()
    assert not insides(prompt) & insides(prompt.model_dump())


def test_json_takes_the_options_of_json_dumps():
    message = Message(role="user", content="é")
    assert message.json(exclude_none=True) == '{"role":"user","content":"é"}'
    assert message.json(exclude_none=True, ensure_ascii=True) == '{"role":"user","content":"\\u00e9"}'
    assert message.json(exclude_none=True, sort_keys=True) == '{"content":"é","role":"user"}'
    assert message.model_dump_json(exclude_none=True, indent=1) == '{\n "role": "user",\n "content": "é"\n}'


@pytest.mark.parametrize("method", ["copy", "model_copy"])
def test_a_shallow_copy_with_changes(method):
    message = Message(role="user", content="x", parts=[ContentPart()])
    other = getattr(message, method)(update={"content": "y"})
    assert (message.content, other.content) == ("x", "y")
    assert other.parts is message.parts


def test_validating_reads_a_dict_and_passes_an_entity():
    message = Message(role="user", content="x")
    assert Message.model_validate({"role": "user", "content": "x"}) == message
    assert Message.model_validate(message) is message
