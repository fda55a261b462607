"""The prompts of the stand-in server: documents, the folder, rendering as a server does it, canned replies."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.local import codes, execute, prompt_folder
from cozeloop_lite.local.codes import Refusal
from cozeloop_lite.local.prompt_folder import PromptFolder
from cozeloop_lite.local.prompts import Prompts, parse
from cozeloop_lite.local.render import render

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "prompts"


def template(*messages, **variables):
    """Fields of a version: a normal template with these messages, and variables by key and type."""
    return {
        "prompt_template": {
            "template_type": variables.pop("template_type", "normal"),
            "messages": [{"role": "user", "content": given} if isinstance(given, str) else given for given in messages],
            "variable_defs": [{"key": key, "type": kind} for key, kind in variables.items()],
        }
    }


def document(key="greet", **changes):
    return {"prompt_key": key, "versions": {"0.0.1": template("one"), "0.0.2": template("two")}, **changes}


def refusal_of(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code, caught.value.msg


# --- documents --------------------------------------------------------------------------------------------------------


def test_a_document_is_a_prompt_with_its_versions_and_labels():
    read = parse(document(labels={"beta": "0.0.1"}))

    assert (read.key, list(read.versions), read.labels) == ("greet", ["0.0.1", "0.0.2"], {"beta": "0.0.1"})
    assert read.latest == "0.0.2"


def test_one_version_as_the_platform_answers_it_is_a_document_too():
    answered = parse(document()).answered(parse(document()).versions["0.0.1"], 7)

    again = parse(answered)

    assert answered["workspace_id"] == "7"
    assert again.answered(again.versions["0.0.1"], 8) == {**answered, "workspace_id": "8"}


@pytest.mark.parametrize(
    "versions",
    [
        ["0.0.9", "0.0.10"],
        ["0.9.9", "0.10.0"],
        ["9.9.9", "10.0.0"],
        ["1.0.0-rc", "1.0.0"],
        ["1.0.0-2", "1.0.0-11"],
        ["1.0.0-1", "1.0.0-a"],
        ["1.0.0-a", "1.0.0-b"],
        ["1.0.0-a", "1.0.0-a.1"],
    ],
)
def test_the_latest_version_is_the_highest_in_whatever_order_they_are_written(versions):
    for order in (versions, versions[::-1]):
        assert parse(document(versions={number: template() for number in order})).latest == versions[-1]


def test_a_version_wins_over_a_label_and_a_label_over_the_latest():
    read = parse(document(labels={"beta": "0.0.1"}))

    assert read.version("0.0.2", "beta").number == "0.0.2"
    assert read.version("", "beta").number == "0.0.1"
    assert read.version("", "").number == "0.0.2"


def test_what_is_not_there_is_refused_with_the_code_of_the_platform():
    read = parse(document())
    nothing = parse(document(versions={}))

    assert refusal_of(read.version, "0.0.3", "") == (codes.VERSION_NOT_FOUND, "prompt version not exist")
    assert refusal_of(read.version, "", "beta")[0] == codes.LABEL_UNBOUND
    assert refusal_of(nothing.version, "", "") == (codes.NOTHING_COMMITTED, "prompt not committed,prompt key: greet")
    assert refusal_of(Prompts().find, ["nope"]) == (
        codes.PROMPT_NOT_FOUND,
        "resource not found,prompt key: nope not found",
    )


def test_int64_fields_are_answered_as_text_or_null():
    fields = {**template(), "created_at": 1795325007510, "llm_config": {"top_k": 3, "thinking": {"budget_tokens": 9}}}
    read = parse(document(versions={"0.0.1": fields}))

    answered = read.answered(read.versions["0.0.1"], 7533633794566258689)

    assert answered["workspace_id"] == "7533633794566258689"
    assert (answered["id"], answered["created_at"], answered["updated_at"]) == (None, "1795325007510", None)
    assert answered["llm_config"] == {"top_k": 3, "thinking": {"budget_tokens": "9"}, "id": None}


def test_what_only_the_stand_in_server_knows_is_not_answered():
    fields = {**template(), "reply": "hi", "something_newer": [1]}
    read = parse(document(versions={"0.0.1": fields}))

    answered = read.answered(read.versions["0.0.1"], 7)

    assert answered["something_newer"] == [1]
    assert not {"reply", "versions", "labels"} & set(answered)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ([], "must be an object"),
        ({}, "prompt_key is missing"),
        ({"prompt_key": 7}, "prompt_key must be a string"),
        ({"prompt_key": "greet"}, "neither versions nor prompt_template"),
        ({"prompt_key": "greet", "prompt_template": {}}, "the version '' is not one such as 0.0.1"),
        ({"prompt_key": "greet", "prompt_template": {}, "version": "$Draft"}, "'$Draft' is not one such as 0.0.1"),
        (document(versions=[]), "versions must be an object"),
        (document(versions={"0.0.1": 1}), "version 0.0.1 must be an object"),
        (document(versions={"0.0.1": {}}), "version 0.0.1: prompt_template must be an object"),
        (document(versions={"1": template()}), "'1' is not one such as 0.0.1"),
        (document(versions={"0.0.1": template({"content": 7})}), "messages[0].content must be a string"),
        (document(versions={"0.0.1": template(a=1)}), "variable_defs[0].type must be a string"),
        (document(versions={"0.0.1": {**template(), "llm_config": {"top_k": "x"}}}), "top_k must be a 32-bit integer"),
        (document(versions={"0.0.1": {**template(), "reply": 7}}), "version 0.0.1: reply must be an object"),
        (document(labels={"beta": "9.9.9"}), "the label 'beta' is bound to version '9.9.9', which is not there"),
        (document(labels={"beta": []}), "the label 'beta' is bound to version []"),
        (document(labels=["beta"]), "labels must be an object"),
        (document(prompt_template={}), "'prompt_template', which belongs into a version"),
        (document(reply={1, 2}), "cannot be written as JSON"),
    ],
    ids=repr,
)
def test_a_document_of_another_form_says_where_it_is_wrong(wrong, words):
    with pytest.raises(ValueError) as caught:
        parse(wrong)
    assert words in str(caught.value)


def test_a_prompt_that_was_put_is_served_until_it_is_removed():
    prompts = Prompts()
    given = document()
    prompts.put(given)
    given["versions"].clear()

    assert [found.latest for found in prompts.find(["greet"])] == ["0.0.2"]
    prompts.put(document(versions={"0.0.3": template()}))
    assert list(prompts.documents()["greet"].versions) == ["0.0.3"]
    prompts.remove("greet")
    prompts.remove("greet")
    assert prompts.documents() == {}


def test_the_list_says_what_there_is():
    prompts = Prompts()
    prompts.put(document("b", versions={}))
    prompts.put(document("a", versions={"0.0.10": template(x="float"), "0.0.9": template()}, labels={"beta": "0.0.9"}))

    assert prompts.listed() == [
        {
            "prompt_key": "a",
            "versions": ["0.0.9", "0.0.10"],
            "latest": "0.0.10",
            "labels": {"beta": "0.0.9"},
            "template_type": "normal",
            "variables": [{"key": "x", "type": "float", "desc": ""}],
        },
        {"prompt_key": "b", "versions": [], "latest": None, "labels": {}, "template_type": None, "variables": []},
    ]


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines():
    return []


@pytest.fixture
def write(tmp_path):
    """``write(name, content)``: (over)write a file, with a time of its own."""
    ticks = iter(range(1, 1000))

    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        os.utime(str(path), (next(ticks), 0))

    return write


@pytest.fixture
def folder(tmp_path, lines):
    return PromptFolder(str(tmp_path), lines.append)


def test_the_json_files_of_a_folder_are_prompts(tmp_path, write, lines):
    write("a.json", document("a"))
    write("b.json", "\ufeff" + json.dumps(document("b")))
    write("notes.txt", "not a prompt")
    (tmp_path / "folder.json").mkdir()

    assert sorted(PromptFolder(str(tmp_path), lines.append).documents()) == ["a", "b"]
    assert lines == []


def test_the_example_prompts_can_all_be_used(lines):
    found = PromptFolder(str(EXAMPLES), lines.append).documents()

    assert len(found) == len(list(EXAMPLES.glob("*.json"))) > 0
    assert lines == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path, lines):
    with pytest.raises(NotADirectoryError) as caught:
        PromptFolder(str(tmp_path / "nope"), lines.append)
    assert "nope" in str(caught.value)


def test_files_that_come_change_and_go_are_noticed(tmp_path, write, folder, lines):
    assert folder.documents() == {}
    write("greet.json", document())
    assert folder.documents()["greet"].latest == "0.0.2"
    write("greet.json", document(versions={"0.0.3": template()}))
    assert folder.documents()["greet"].latest == "0.0.3"
    (tmp_path / "greet.json").unlink()
    assert folder.documents() == {}
    assert lines == [
        "read the prompt file greet.json: 'greet' 0.0.1, 0.0.2",
        "read the prompt file greet.json: 'greet' 0.0.3",
        "the prompt file greet.json is gone",
    ]


def test_a_file_that_did_not_change_is_not_read_again(write, folder, monkeypatch):
    read = []
    monkeypatch.setattr(prompt_folder, "parse", lambda given: read.append(given["prompt_key"]) or parse(given))
    write("greet.json", document())
    write("other.json", document("other"))

    for _ in range(3):
        folder.documents()
    write("other.json", document("another"))
    folder.documents()

    assert read == ["greet", "other", "another"]


def test_a_broken_file_is_said_once_and_what_it_said_before_goes_on_counting(write, folder, lines):
    write("greet.json", document())
    folder.documents()
    del lines[:]

    write("greet.json", '{"prompt_key": "greet"')
    for _ in range(3):
        assert folder.documents()["greet"].latest == "0.0.2"

    assert len(lines) == 1
    assert lines[0].startswith("the prompt file greet.json cannot be used, what it said before goes on counting: ")
    write("greet.json", document(versions={"0.0.3": template()}))
    assert folder.documents()["greet"].latest == "0.0.3"


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100000, '{"prompt_key": NaN}', "1" * 100000, "\ud800"])
def test_a_file_that_never_was_a_prompt_serves_nothing_and_is_said_at_the_start(tmp_path, lines, content):
    (tmp_path / "greet.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    folder = PromptFolder(str(tmp_path), lines.append)

    assert len(lines) == 1
    assert lines[0].startswith("the prompt file greet.json cannot be used, nothing is served from it: ")
    assert folder.documents() == {}
    assert len(lines) == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(prompt_folder, "MAX_FILE_BYTES", 10)
    (tmp_path / "greet.json").write_text(json.dumps(document()))

    assert PromptFolder(str(tmp_path), lines.append).documents() == {}
    assert "larger than 10 bytes" in lines[0]


def test_when_the_folder_goes_its_prompts_stay(tmp_path, write, folder, lines):
    write("greet.json", document())
    folder.documents()
    del lines[:]

    tmp_path.rename(str(tmp_path) + "-away")
    assert [list(folder.documents()) for _ in range(2)] == [["greet"], ["greet"]]
    assert len(lines) == 1
    pathlib.Path(str(tmp_path) + "-away").rename(str(tmp_path))
    assert list(folder.documents()) == ["greet"]


def test_files_of_one_key_add_up_and_the_first_wins(write, folder, lines):
    write("a.json", {"prompt_key": "greet", "version": "0.0.1", **template("from a")})
    write("b.json", {"prompt_key": "greet", "version": "0.0.1", **template("from b")})
    write("c.json", {"prompt_key": "greet", "version": "0.0.2", **template("from c")})

    found = folder.documents()["greet"]

    assert sorted(found.versions) == ["0.0.1", "0.0.2"]
    assert found.versions["0.0.1"].fields["prompt_template"]["messages"][0]["content"] == "from a"
    assert lines[-1] == "prompt 'greet' 0.0.1 is in two files: the first one counts"


def test_a_prompt_that_was_put_hides_the_one_of_a_file(write, folder):
    write("greet.json", document())
    prompts = Prompts(folder)
    prompts.put(document(versions={"9.0.0": template()}))

    assert prompts.documents()["greet"].latest == "9.0.0"
    prompts.remove("greet")
    assert prompts.documents()["greet"].latest == "0.0.2"


# --- rendering as the server does, contract backend.md 5.2 ------------------------------------------------------------


def rendered(fields, values=(), messages=()):
    given = [
        {"key": key, **({"value": value} if isinstance(value, str) else value)} for key, value in dict(values).items()
    ]
    return [message.to_dict() for message in render(Prompt.from_dict(fields), given, messages)]


def texts(*arguments):
    return [message.get("content") for message in rendered(*arguments)]


def test_a_normal_template_gets_the_text_of_a_variable_whatever_its_type():
    kinds = {"b": "boolean", "n": "integer", "f": "float", "o": "object", "p": "placeholder", "missing": "string"}
    values = {"b": "TRUE", "n": "007", "f": "1.50", "o": '{"a": 1}', "undeclared": "x"}

    fields = template("{{b}} {{n}} {{f}} {{o}} [{{missing}}{{p}}] {{undeclared}} {{ b }}", **kinds)

    assert texts(fields, values) == ['TRUE 007 1.50 {"a": 1} [] {{undeclared}} {{ b }}']


@pytest.mark.parametrize(
    "kind, text, shown",
    [
        ("string", "1", "1"),
        ("boolean", "true", "True"),
        ("boolean", "True", "False"),
        ("boolean", "1", "False"),
        ("integer", "-12", "-12"),
        ("integer", "9223372036854775807", "9223372036854775807"),
        ("float", "1", "1.0"),
        ("float", "1.5e3", "1500.0"),
        ("array<string>", '["a", null]', "['a', '']"),
        ("array<boolean>", "[true, false]", "[True, False]"),
        ("array<integer>", "[1, 2]", "[1, 2]"),
        ("array<float>", "[1, 2.5]", "[1.0, 2.5]"),
        ("array<object>", '[{"a": 1}]', "[{'a': 1}]"),
        ("object", '{"a": [1, "x"]}', "{'a': [1, 'x']}"),
    ],
)
def test_a_jinja2_template_gets_a_value_of_the_declared_type(kind, text, shown):
    fields = template("{{ v }}", v=kind, template_type="jinja2")
    assert texts(fields, {"v": text}) == [shown]


@pytest.mark.parametrize(
    "kind, text",
    [
        ("integer", "1.5"),
        ("integer", "x"),
        ("integer", "9223372036854775808"),
        ("float", "x"),
        ("float", "1_0"),
        ("float", "1e999"),
        ("array<string>", "a"),
        ("array<string>", "[1]"),
        ("array<boolean>", '["true"]'),
        ("array<integer>", "[1.5]"),
        ("array<integer>", '["1"]'),
        ("array<float>", '["x"]'),
        ("array<object>", "[{]"),
        ("object", "{"),
        ("object", "[" * 100000),
    ],
)
def test_a_text_that_is_none_of_its_type_is_refused_in_jinja2_templates_only(kind, text):
    jinja, normal = (template("{{v}}", v=kind, template_type=name) for name in ("jinja2", "normal"))

    code, msg = refusal_of(texts, jinja, {"v": text})

    assert code == codes.PROMPT_INVALID_PARAM
    assert msg.startswith(f"invalid param,parse variable v error with type:{kind}, value:")
    assert len(msg) < 400
    assert texts(normal, {"v": text}) == [text]


def test_jinja2_sees_declared_variables_with_a_value_and_nothing_else():
    fields = template("[{{ a }}][{{ b }}][{{ c is defined }}]", a="string", b="integer", template_type="jinja2")

    assert texts(fields, {"b": "", "c": "x"}) == ["[][][False]"]


def test_a_template_that_fails_is_refused_by_what_failed():
    parse_error = template("{% for x in %}", template_type="jinja2")
    filter_error = template("{{ 'a'|nope }}", template_type="jinja2")
    render_error = template("{{ a.b.c }}", template_type="jinja2")

    assert refusal_of(texts, parse_error)[0] == codes.TEMPLATE_PARSE
    assert refusal_of(texts, filter_error)[0] == codes.TEMPLATE_PARSE
    assert refusal_of(texts, render_error)[0] == codes.TEMPLATE_RENDER


@pytest.mark.parametrize("kind", ["go_template", "custom_template_m", "brand_new"])
def test_other_templates_are_not_rendered_here(kind):
    expected = (codes.TEMPLATE_TYPE, f"unsupported template type,unknown template type: {kind}")
    assert refusal_of(texts, template("x", template_type=kind)) == expected


def test_a_placeholder_becomes_the_messages_of_its_variable_which_are_not_rendered():
    placeholder = {"role": "placeholder", "content": "history"}
    fields = template(placeholder, "{{q}}", history="placeholder", q="string")
    history = [{"role": "user", "content": "{{q}}"}, {"role": "assistant", "content": "yes"}, None]

    assert texts(fields, {"q": "Q", "history": {"placeholder_messages": history}}) == ["{{q}}", "yes", "Q"]
    assert texts(fields, {"q": "Q"}) == ["Q"]


@pytest.mark.parametrize("role", ["placeholder", "developer"])
def test_a_placeholder_brings_no_message_of_another_role(role):
    fields = template({"role": "placeholder", "content": "h"}, h="placeholder")
    values = {"h": {"placeholder_messages": [{"role": role, "content": "x"}]}}

    assert refusal_of(rendered, fields, values) == (codes.PROMPT_INVALID_PARAM, "invalid param")


def test_multi_part_variables_bring_parts_and_empty_parts_go():
    parts = [
        {"type": "text", "text": "{{a}}"},
        {"type": "multi_part_variable", "text": "pictures"},
        {"type": "multi_part_variable", "text": "a"},
        {"type": "text", "text": "{{nothing}}"},
        {"type": "image_url"},
        {"type": "base64_data", "base64_data": "data:,x"},
    ]
    fields = template({"role": "user", "parts": parts}, a="string", nothing="string", pictures="multi_part")
    brought = [{"type": "image_url", "image_url": "https://x.example/{{a}}"}, {"type": "text", "text": "{{a}}"}]

    (message,) = rendered(fields, {"a": "A", "pictures": {"multi_part_values": brought}})

    assert message["parts"] == [
        {"type": "text", "text": "A"},
        {"type": "image_url", "image_url": "https://x.example/{{a}}"},
        {"type": "text", "text": "{{a}}"},
        {"type": "base64_data", "base64_data": "data:,x"},
    ]


def test_messages_of_the_caller_come_last_and_are_rendered_unless_they_say_otherwise():
    fields = template("stored {{v}}", v="string")
    messages = [
        {"role": "system", "content": "1 {{v}}"},
        {"role": "user", "content": "2 {{v}}"},
        {"role": "user", "content": "3 {{v}}", "skip_render": True},
        {"role": "assistant", "content": "4 {{v}}"},
        {"role": "assistant", "content": "5 {{v}}", "skip_render": False},
        {"role": "tool", "content": "6 {{v}}", "tool_call_id": "c", "skip_render": False},
    ]

    expected = ["stored V", "1 V", "2 V", "3 {{v}}", "4 {{v}}", "5 V", "6 {{v}}"]
    assert texts(fields, {"v": "V"}, messages) == expected


def test_stored_messages_are_always_rendered():
    message = {"role": "assistant", "content": "{{v}}", "skip_render": True}
    assert texts(template(message, v="string"), {"v": "V"}) == ["V"]


# --- what is refused before, contract backend.md 6 --------------------------------------------------------------------


def request(**changes):
    return {"workspace_id": 7, "prompt_identifier": {"prompt_key": "greet"}, **changes}


def with_part(**part):
    return request(messages=[{"role": "user", "parts": [part]}])


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({}, codes.PROMPT_INVALID_PARAM),
        (request(workspace_id=0), codes.PROMPT_INVALID_PARAM),
        (request(prompt_identifier={}), codes.PROMPT_INVALID_PARAM),
        (request(messages=[None]), codes.INTERNAL),
        (request(variable_vals=[None]), codes.INTERNAL),
        (request(messages=[{"parts": [None]}]), codes.INTERNAL),
        (request(variable_vals=[{"key": "v", "multi_part_values": [None]}]), codes.INTERNAL),
        (with_part(type="video_url", config={"fps": 0.1}), codes.INVALID_PARAM),
        (with_part(type="video_url", config={"fps": 6.0}), codes.INVALID_PARAM),
        (request(variable_vals=[{"multi_part_values": [{"type": "image_url"}]}]), codes.PROMPT_INVALID_PARAM),
    ],
    ids=repr,
)
def test_a_request_that_lacks_something_is_refused(wrong, code):
    assert refusal_of(execute.check, wrong)[0] == code


@pytest.mark.parametrize(
    "url, good",
    [
        ("https://x.example/a.png?b=c#d", True),
        ("http://localhost:8888/a", True),
        ("http://127.0.0.1/a", True),
        ("http://[::1]:80/a", True),
        ("ftp://user:word@x.example", True),
        ("x.example/a.png", True),
        ("", False),
        ("picture", False),
        ("https://", False),
        ("https://x.example/a b", False),
        ("javascript://x.example", False),
        ("data:image/png;base64,aGk=", False),
        ("https://x.example/" + "x" * 2083, False),
    ],
)
def test_an_image_url_is_a_url(url, good):
    try:
        execute.check(with_part(type="image_url", image_url=url))
        found = True
    except Refusal as refusal:
        assert refusal.code == codes.PROMPT_INVALID_PARAM
        found = False
    assert found is good


@pytest.mark.parametrize(
    "data, good",
    [
        ("data:image/png;base64,aGk=", True),
        ("data:;base64,", True),
        ("data:text/plain,hi", True),
        ("aGk=", False),
        ("data:image/png;base64", False),
        ("data:image/png;base64,a*b=", False),
        ("data:image/png;base64,aGk", False),
    ],
)
def test_base64_data_is_a_data_url(data, good):
    check = with_part(type="base64_data", base64_data=data)
    if good:
        execute.check(check)
    else:
        assert refusal_of(execute.check, check) == (codes.PROMPT_INVALID_PARAM, "invalid param")


# --- replies ----------------------------------------------------------------------------------------------------------


def executed(fields, messages=(), reply=None):
    version = parse(document(versions={"0.0.1": fields}, reply=reply)).versions["0.0.1"]
    return execute.execute(version, request(messages=list(messages)))


def test_without_a_reply_the_last_message_of_the_user_is_echoed_as_it_was_rendered():
    system = {"role": "system", "content": "s"}
    parts = {"role": "user", "parts": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    more = [{"role": "user", "content": "u"}, {"role": "tool", "content": "t"}]

    assert executed(template(system, "first", parts)).message == {"role": "assistant", "content": "ab"}
    assert executed(template(system, parts), more).message["content"] == "u"
    assert executed(template(system)).message["content"] == "s"
    assert executed(template()).message["content"] == ""


def test_a_reply_is_a_text_or_a_message():
    call = {"function_call": {"name": "weather", "arguments": '{"city": "x"}'}}
    whole = {"index": 0, "id": "call_0", "type": "function", **call}

    assert executed(template("q"), reply="Hello!").message == {"role": "assistant", "content": "Hello!"}
    answer = executed(template("q"), reply={"tool_calls": [call]})
    assert answer.message == {"role": "assistant", "content": "", "tool_calls": [whole]}
    assert answer.finish_reason == "tool_calls"


def test_the_reply_of_a_version_wins_over_that_of_the_prompt():
    versions = {"0.0.1": {**template("q"), "reply": "own"}, "0.0.2": template("q")}
    read = parse(document(versions=versions, reply="common"))

    assert [read.versions[number].reply["content"] for number in versions] == ["own", "common"]


def test_tokens_are_words():
    fields = template({"role": "system", "content": "You are  a guide."}, "你好 world")

    assert executed(fields, reply="One, two\n").usage == {"input_tokens": 4 + 3, "output_tokens": 3}


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("", []),
        ("Hello, big world", ["Hello,", " big", " world"]),
        ("你好，world！", ["你", "好", "，", "world", "！"]),
        ("\n a\n\n", ["\n a", "\n\n"]),
        (" \n ", [" \n "]),
    ],
)
def test_a_text_falls_into_words_that_join_to_it_again(text, pieces):
    assert list(execute.words(text)) == pieces
    assert "".join(pieces) == text


def events_of(reply):
    for event in execute.events(reply):
        head, data, *rest = event.decode("utf-8").split("\n")
        assert (head, data[:5], rest) == ("event:data", "data:", ["", ""])
        yield json.loads(data[5:])


def test_a_stream_brings_one_word_at_a_time_and_ends_with_the_reason_and_the_usage():
    *pieces, last = events_of(executed(template("q"), reply={"content": "a b", "reasoning_content": "hm"}))

    assert pieces == [
        {"message": {"role": "assistant", "content": "", "reasoning_content": "hm"}, "finish_reason": ""},
        {"message": {"role": "assistant", "content": "a"}, "finish_reason": ""},
        {"message": {"role": "assistant", "content": " b"}, "finish_reason": ""},
    ]
    assert last == {
        "message": {"role": "assistant", "content": ""},
        "finish_reason": "stop",
        "usage": {"input_tokens": 1, "output_tokens": 3},
    }


def test_a_stream_brings_a_tool_call_with_its_name_first_and_its_arguments_in_pieces():
    call = {"id": "c1", "function_call": {"name": "weather", "arguments": '{"a": 1}'}}

    *pieces, last = events_of(executed(template("q"), reply={"tool_calls": [call, call]}))

    calls = [piece["message"]["tool_calls"][0] for piece in pieces]
    assert [(found["index"], found["id"], found["function_call"]) for found in calls[:3]] == [
        (0, "c1", {"name": "weather", "arguments": ""}),
        (0, "", {"name": "", "arguments": '{"a":'}),
        (0, "", {"name": "", "arguments": " 1}"}),
    ]
    assert [found["index"] for found in calls[3:]] == [1, 1, 1]
    assert last["finish_reason"] == "tool_calls"


def test_an_error_event_says_what_the_platform_says():
    refusal = Refusal(codes.LABEL_UNBOUND, "no", {"label": "中"})
    head, data = execute.error_event(refusal).decode("utf-8").rstrip("\n").split("\n")
    extra = {"biz_err_affect_stability": "0", "biz_err_custom_extra": '{"label":"中"}'}

    assert head == "event:error"
    assert json.loads(data[5:]) == {"code": codes.LABEL_UNBOUND, "msg": "no", "biz_extra": extra}
    assert b'{"code":1,"msg":"Service Internal Error"}' in execute.error_event(codes.internal_error())
