"""Normal templates, thousands of them, against the server's rules as short as they can be written."""

from __future__ import annotations

import random

import pytest

from cozeloop_lite.entities.prompt import ContentPart, Message, Prompt, PromptTemplate, VariableDef
from cozeloop_lite.prompt.template import format_prompt
from support.effort import tries

KEYS = ["a", "b", " a ", "a b", "a.b", "user-name", "文", "{a", "a|{{b", "a{", "", "😀"]
PIECES = [
    *("{{%s}}" % key for key in KEYS),
    *("{{", "}}", "{", "}", "{{{", "}}}", "{{}}", "{%", "%}", "{#", "#}", "|", "\n", " ", '"', "\\", "%s", "{0}", "$a"),
    *("a", "b", "word", "文", "😀", "{{ a }}", "{{c}}", "{{ a|upper }}", "{% if a %}", "{{7*7}}", '{"x": {{"y": 1}}}'),
]
VALUES = ["", "A", "{{a}}", "{{b}}", "{{", "}}", "{", "}", "文字", "\\1", "\\g<0>", "%s", "line\nline", "{% if a %}"]


def reference(template, declared, values):
    """Contract backend.md 5.2: ``{{tag}}``, untrimmed; not declared: left as written; declared without value: empty."""
    result = ""
    while "{{" in template:
        before, _, rest = template.partition("{{")
        if "}}" not in rest:
            break
        tag, _, template = rest.partition("}}")
        result += before + (values.get(tag, "") if tag in declared else "{{" + tag + "}}")
    return result + template


def cases(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        texts = ["".join(chance.choice(PIECES) for _ in range(chance.randrange(12))) for _ in range(4)]
        declared = chance.sample(KEYS, chance.randrange(len(KEYS)))
        values = {key: chance.choice(VALUES) for key in chance.sample(KEYS, chance.randrange(len(KEYS)))}
        yield texts, declared, values


@pytest.mark.parametrize("seed", range(5))
def test_a_normal_template_is_rendered_as_the_server_does(seed):
    for texts, declared, values in cases(seed, tries(400, thorough=4000)):
        messages = [
            Message(role="system", content=texts[0]),
            Message(role="user", content=texts[1]),
            Message(role="user", parts=[ContentPart(text=text) for text in texts[2:]]),
        ]
        defs = [VariableDef(key=key) for key in declared]
        prompt = Prompt(prompt_template=PromptTemplate(messages=messages, variable_defs=defs))
        expected = [reference(text, declared, values) for text in texts]
        for _ in range(2):
            system, user, parts = format_prompt(prompt, values)
            assert [system.content, user.content] == expected[:2]
            assert [part.text for part in parts.parts] == [text for text in expected[2:] if text]


def test_the_cases_are_not_all_alike():
    drawn = list(cases(0, 1000))
    changed = sum(reference(text, declared, values) != text for texts, declared, values in drawn for text in texts)
    assert 400 < changed < 3600
