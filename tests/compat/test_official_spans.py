"""Under the official name programs make the spans of the official package, but for what that gets wrong.

The two programs, observed.py and prompted.py, know nothing of this library. What the official package makes of them was
recorded; record_spans.py says how.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import sys
from typing import Any

import pytest

import cozeloop_lite
from compat import official
from compat.differences import ABSENT, Difference, is_compact, is_one_of
from compat.record_spans import PROGRAMS, recorded, spans_of
from compat.test_compat import Mismatch

PACKAGE = pathlib.Path(cozeloop_lite.__file__).parent
RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
WHOLE = "(the whole span)"


def is_json_of_text(theirs: Any, ours: Any) -> bool:
    """Official sends Python's text of all arguments when one has no form in JSON, lite the text of that one."""
    texts = ", ".join(text if text[0] == "<" else repr(text) for text in json.loads(ours)["args"])
    return re.sub(r",\)", ")", theirs) == "{'args': (%s), 'kwargs': {}}" % texts


def is_more(theirs: Any, ours: Any) -> bool:
    return theirs is ABSENT and ours is not ABSENT


def with_metadata(theirs: Any, ours: Any) -> bool:
    whole = json.loads(ours)
    return whole["prompt_template"].pop("metadata") == {} and whole == json.loads(theirs)


OBSERVED = [
    Difference("JSON is written compactly, as by the Go and Node.js clients", "input|output", is_compact),
    Difference(
        "False and zero are values; official takes every falsy output for an empty one",
        "output",
        is_one_of(("", "0"), ("", "false")),
    ),
    Difference(
        "content that is no text is JSON; official writes True as Python does", "output", is_one_of(("True", "true"))
    ),
    Difference(
        "a dataclass has a form in JSON; official sends Python's repr",
        "input|output",
        is_one_of(
            ("Point(x=1, y='two')", '{"x":1,"y":"two"}'),
            ("{'args': (Point(x=1, y='two'),), 'kwargs': {}}", '{"args":[{"x":1,"y":"two"}],"kwargs":{}}'),
        ),
    ),
    Difference(
        "a value without a form in JSON costs itself; official sends Python's repr of all", "input", is_json_of_text
    ),
    Difference(
        "arguments are recorded as they were at the call; official records what the function made of them",
        "input",
        is_one_of(('{"args": [["good", "spoilt"]], "kwargs": {}}', '{"args":[["good"]],"kwargs":{}}')),
        "an_argument_that_is_changed / .*",
    ),
    Difference(
        "what the function itself sets is kept; official overwrites it",
        "input|output",
        is_one_of(('{"args": [], "kwargs": {}}', "its input"), ("its result", "its output")),
        "input_and_output_that_the_function_sets / .*",
    ),
    Difference(
        "what came before a stream failed is its output; official drops it",
        "output",
        is_one_of(("", '["a","b"]')),
        "an_iterator_that_fails / .*",
    ),
    Difference(
        "each span arrives; official loses that of a stream that is left early, and that of no stream",
        re.escape(WHOLE),
        is_more,
        "an_iterator_that_is_left / left / 1|iterators / no iterator / 1",
    ),
    Difference(
        "the token counts of a hook are read of generators, too",
        r"tags_long\.(input_tokens|tokens)",
        is_one_of((ABSENT, 3)),
        "generators / counted / 1",
    ),
]
PROMPTED = [
    Difference("JSON is written compactly, as by the Go and Node.js clients", "input", is_compact),
    Difference(
        "the prompt is told as the server has it; official leaves out the fields that it does not know",
        "output",
        with_metadata,
        ".* / PromptHub / 1",
    ),
    Difference(
        "it is told whether the prompt was kept already", r"tags_bool\.cache_hit", is_more, ".* / PromptHub / 1"
    ),
    Difference(
        "the label that was asked for is told", r"tags_string\.prompt_label", is_more, "a_label / PromptHub / 1"
    ),
    Difference(
        "a variable that is no text is JSON, as the server has it; official writes it as Python does",
        "input",
        lambda theirs, ours: (
            json.loads(theirs.replace("['a', 'b']", r"[\"a\",\"b\"]").replace("True", "true")) == json.loads(ours)
        ),
        "jinja2 / PromptTemplate / 1",
    ),
    Difference(
        "an output of a model that is text alone arrives; official drops it",
        "output",
        lambda theirs, ours: theirs == "" and json.loads(ours)["choices"][0]["message"]["content"] == "There.",
        "a_model_call_with_it / call / 1",
    ),
    Difference("executing a prompt is a span", re.escape(WHOLE), is_more, r"prompt_as_a_service / PromptExecute / \d"),
]
KNOWN = {"observed": OBSERVED, "prompted": PROMPTED}


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def theirs(program: str) -> dict[str, Any]:
    with open(recorded(program), encoding="utf-8") as file:
        spans: dict[str, Any] = json.load(file)
    return spans


@pytest.fixture(scope="module", params=["by another name", "a copied folder"])
def ours(
    program: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    if request.param == "by another name":
        code = "import cozeloop_lite.as_cozeloop; " + RUN
        return spans_of(program, sys.executable, "-c", code, PYTHONPATH=official.ROOT)
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(str(PACKAGE), str(folder / "cozeloop"), ignore=shutil.ignore_patterns("__pycache__"))
    return spans_of(program, sys.executable, "-c", RUN, PYTHONPATH=str(folder))


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[Mismatch]:
    found = []
    for name in sorted(set(theirs) | set(ours)):
        if name not in theirs or name not in ours:
            found.append(Mismatch(name, WHOLE, theirs.get(name, ABSENT), ours.get(name, ABSENT)))
            continue
        for field in sorted(set(theirs[name]) | set(ours[name])):
            one, other = theirs[name].get(field, ABSENT), ours[name].get(field, ABSENT)
            if type(one) is not type(other) or one != other:
                found.append(Mismatch(name, field, one, other))
    return found


def explanation(program: str, mismatch: Mismatch) -> Difference | None:
    return next((difference for difference in KNOWN[program] if difference.explains(*mismatch)), None)


def unexplained(program: str, theirs: dict[str, Any], ours: dict[str, Any]) -> list[Mismatch]:
    return [found for found in differences(theirs, ours) if explanation(program, found) is None]


def test_the_spans_are_those_of_the_official_package_but_for_its_faults(
    program: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    found = unexplained(program, theirs, ours)
    assert not found, "\n".join(map(str, found))


def test_every_written_fault_occurs(program: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    used = [explanation(program, found) for found in differences(theirs, ours)]
    assert [known.reason for known in KNOWN[program] if known not in used] == []


def test_a_seeded_difference_is_found(program: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    name = {"observed": "methods / method / 1", "prompted": "pictures / PromptTemplate / 1"}[program]
    for field in ours[name]:
        changed = {**ours, name: {**ours[name], field: "another"}}
        assert [(found.span, found.field) for found in unexplained(program, theirs, changed)] == [(name, field)]


@pytest.mark.compat
def test_what_was_recorded_is_what_the_official_package_makes(
    program: str, theirs: dict[str, Any], official_python: str
) -> None:
    assert differences(theirs, spans_of(program, official_python)) == []


def test_under_its_own_name_a_span_has_the_qualified_name_and_the_arguments_by_name() -> None:
    code = "import cozeloop_lite.decorator; sys.modules['cozeloop'] = cozeloop_lite; "
    code += "sys.modules['cozeloop.decorator'] = cozeloop_lite.decorator; "
    spans = spans_of("observed", sys.executable, "-c", "import sys; " + code + RUN, PYTHONPATH=official.ROOT)
    assert json.loads(spans["methods / Service.method / 1"]["input"]) == {"question": "a", "limit": 4}
    failed = spans["an_exception_from_inside / an_exception_from_inside.<locals>.inside / 1"]
    assert failed["tags_string.error_type"] == "ValueError"
