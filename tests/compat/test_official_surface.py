"""Whatever a program can import from the official package is here under the same name, but for a written list of gaps.

The official package is described by official_surface.json, which read_official.py has written, so that nothing of it
needs to be installed. Where it is, the file is checked against it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from dataclasses import dataclass
from typing import Any, Iterator

import pytest

from compat import official, read_official
from cozeloop_lite import config
from cozeloop_lite.entities.entity import Entity

PACKAGE = "cozeloop_lite"
WRITTEN = os.path.join(official.HERE, "official_surface.json")


@dataclass(frozen=True)
class Gap:
    """What is missing or different on purpose; regular expressions for where, and for what is the matter there.

    One that is ``open`` need not be there: the integrations are found only with the libraries that they are for.
    """

    where: str
    what: str
    reason: str
    open: bool = False

    def explains(self, where: str, what: str) -> bool:
        return bool(re.fullmatch(self.where, where) and re.fullmatch(self.what, what))


GAPS = [
    Gap(
        r"(_noop|internal\.(httpclient|idgen|prompt|stream|utils)|internal\.trace\.(exporter|noop_span|queue_manager|"
        r"span|span_processor|trace)|decorator\.utils)(\..*)?",
        "is missing",
        "the machinery of the official client; this library has its own",
    ),
    Gap(
        r"integration\.(langchain|wrapper)\b.*",
        "is missing",
        "integrations need the libraries that they are for, and have tests of their own",
        open=True,
    ),
    Gap(
        r"integration\.langchain\.trace_callback\.LoopTraceCallbackHandler\..*",
        "the parameter .*",
        "LangChain calls these methods, by place and with run_id; a program only hands the object on",
        open=True,
    ),
    Gap(
        r"internal\.trace\.(Span|TraceProvider)",
        "is missing",
        "the machinery of the official client, handed on by a package",
    ),
    Gap(
        r"internal\.trace\.model\.model\.(Attachment|ObjectStorage|UploadType|SpanFinishEvent)",
        "is missing",
        "what the official client's exporter is made of",
    ),
    Gap(r"decorator\.decorator\.inject_inner_token", "is missing", "a step of the official decorator"),
    Gap(
        r"((internal\.consts(\.error)?)\.)?AuthErrorFormat",
        "is missing",
        "what the official client reads a refused token request into; here the exception itself has all of it",
    ),
    Gap(
        r"internal\.consts\.error\.AuthError",
        r"the parameter (auth_err|http_code|log_id) .*",
        "exceptions are made by this library; an AuthError is a RemoteServiceError here, made as one",
    ),
    Gap(
        r"internal\.consts\.error\.(InternalError|InvalidParamError)",
        r"the parameter detail .*",
        "exceptions are made by this library",
    ),
    Gap(r"(_client|client\.Client|prompt\.PromptClient)\.aexecute_prompt", ".*", "no asyncio: it raises"),
    Gap(r"(_client|prompt)\.PromptVariable", "is missing", "imported there from entities.prompt; there it is here"),
    Gap(r"internal\.version\.VERSION", "is .*", "the version is this library's"),
    Gap(
        r"spec\.tracespec\.(span_value\.)?V_PROMPT_HUB_SPAN_TYPE",
        "is 'prompt_hub', not 'prompt'",
        "this is the type that the official client itself gives to such spans, and Go's constant",
    ),
    Gap(
        r"spec\.tracespec\.model\.ModelCallOption",
        "the field temperature has the default None, not 0.0",
        "a temperature that nobody set is not reported as zero",
    ),
    Gap(
        r"internal\.trace\.model\.model\.FinishEventInfo(Extra)?",
        "is no model",
        "a plain class with the same attributes: dataclasses take longer to import than all of a script's tracing",
    ),
]

# Of what a parameter's None stands for; "" and None both say that a setting is not given.
STANDS_FOR = {
    "timeout": config.TIMEOUT,
    "upload_timeout": config.UPLOAD_TIMEOUT,
    "prompt_cache_max_count": config.PROMPT_COUNT,
    "prompt_cache_refresh_interval": config.PROMPT_INTERVAL,
}

# What programs call on the official package's pydantic models, of version 1 and 2.
MODEL_METHODS = [
    *("copy", "dict", "json", "parse_obj", "parse_raw"),
    *("model_copy", "model_dump", "model_dump_json", "model_validate", "model_validate_json"),
]


def described() -> dict[str, Any]:
    with open(WRITTEN, encoding="utf-8") as file:
        return json.load(file)["modules"]


# -- the comparison ---------------------------------------------------------------------------------------------------


def problems(modules: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where something is missing or different here, and what."""
    for module_name, names in modules.items():
        try:
            module = importlib.import_module((PACKAGE + "." + module_name).rstrip("."))
        except ImportError:
            yield module_name, "is missing"
            continue
        for name, theirs in names.items():
            where = ("%s.%s" % (module_name, name)).lstrip(".")
            try:
                value = getattr(module, name)
            except (AttributeError, ImportError):  # the latter of an integration without its library
                yield where, "is missing"
            else:
                yield from differences(where, theirs, value)


def differences(where: str, theirs: dict[str, Any], value: Any) -> Iterator[tuple[str, str]]:
    kind = theirs["kind"]
    if kind == "constant":
        if value != theirs["value"] or type(value) is not type(theirs["value"]):
            yield where, "is %r, not %r" % (value, theirs["value"])
        return
    if kind not in ("class", "enumeration", "function", "model"):
        return
    ours = read_official.describe(value, PACKAGE)
    assert ours is not None, where
    if kind == "enumeration":
        for name, member in theirs["members"].items():
            if ours["members"].get(name, Ellipsis) != member:
                yield where, "the member %s is not %r" % (name, member)
    elif kind == "model":
        yield from different_fields(where, theirs["fields"], ours)
        if ours["kind"] == "model" and not issubclass(value, Entity):
            yield where, "has not the methods of a model"
    else:
        if "parameters" in theirs:
            for problem in different_parameters(theirs["parameters"], ours.get("parameters", [])):
                yield where, problem
        if isinstance(value, type) and issubclass(value, Exception):  # the others are annotations' only
            for base in set(theirs["bases"]) - set(ours["bases"]):
                yield where, "is no %s" % base
        for name, attribute in theirs.get("attributes", {}).items():
            yield from different_attributes("%s.%s" % (where, name), attribute, ours["attributes"].get(name))


def different_fields(where: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if ours["kind"] != "model":
        yield where, "is no model"
        fields = {parameter["name"]: parameter for parameter in ours["parameters"]}
    else:
        fields = ours["fields"]
    for name, field in theirs.items():
        if name not in fields:
            yield where, "the field %s is missing" % name
        elif "default" in field and fields[name].get("default", Ellipsis) != field["default"]:
            yield where, "the field %s has the default %r, not %r" % (name, fields[name]["default"], field["default"])


def different_attributes(where: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    if ours is None:
        yield where, "is missing"
    elif (theirs == "property") != (ours == "property"):
        yield where, "is a property in one of both only"
    elif theirs != "property":
        for problem in different_parameters(theirs, ours):
            yield where, problem


def different_parameters(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[str]:
    """Whether each call that the official function takes is taken here and means the same."""
    here = {parameter["name"]: parameter for parameter in ours}
    places = [parameter["name"] for parameter in ours if parameter["kind"] == read_official.PLACED]
    for place, parameter in enumerate(theirs):
        name = parameter["name"]
        if parameter["kind"] == read_official.REST:
            continue
        if name not in here:
            yield "the parameter %s is missing" % name
        elif parameter["kind"] == read_official.PLACED and places[place : place + 1] != [name]:
            yield "the parameter %s has another place" % name
        elif "default" in parameter and not same_default(parameter, here[name]):
            yield "the parameter %s has the default %r" % (name, here[name].get("default", "(none)"))
    for parameter in ours:
        required = "default" not in parameter and parameter["kind"] != read_official.REST
        if required and parameter["name"] not in [each["name"] for each in theirs]:
            yield "the parameter %s is required here alone" % parameter["name"]


def same_default(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    if "default" not in ours:
        return False
    default = theirs["default"] or None
    return default in (ours["default"] or None, STANDS_FOR.get(ours["name"], ...) if ours["default"] is None else ...)


# -- the tests --------------------------------------------------------------------------------------------------------


def test_nothing_is_missing_but_for_the_written_gaps() -> None:
    unexplained = [
        "%s: %s" % (where, what)
        for where, what in problems(described())
        if not any(gap.explains(where, what) for gap in GAPS)
    ]
    assert not unexplained, "missing, or not as in the official package:\n" + "\n".join(unexplained)


def test_every_written_gap_is_one() -> None:
    found = list(problems(described()))
    stale = [gap.reason for gap in GAPS if not gap.open and not any(gap.explains(*problem) for problem in found)]
    assert not stale, "no longer a gap:\n" + "\n".join(stale)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("spec.tracespec.span_key.INPUT", {"kind": "constant", "value": "inputs"}),
        ("entities.prompt.Role", {"kind": "enumeration", "members": {"USER": "human"}}),
        ("entities.prompt.Message", {"kind": "model", "fields": {"text": {}}}),
        ("entities.prompt.Prompt", {"kind": "model", "fields": {"workspace_id": {"default": "0"}}}),
        ("_client.no_such_function", {"kind": "function", "parameters": []}),
        ("_client.flush", {"kind": "function", "parameters": [{"name": "wait", "kind": "named"}]}),
        ("_client.get_prompt", {"kind": "function", "parameters": [{"name": "version", "kind": "placed"}]}),
        ("span.Span", {"kind": "class", "bases": [], "attributes": {"set_colour": []}}),
        ("span.Span", {"kind": "class", "bases": [], "attributes": {"trace_id": []}}),
        ("errors.LoopError", {"kind": "class", "bases": ["ValueError"], "attributes": {}}),
        ("no_such_module.name", {"kind": "constant", "value": 1}),
    ],
)
def test_a_seeded_difference_is_found(where: str, change: dict[str, Any]) -> None:
    module, _, name = where.rpartition(".")
    found = list(problems({module: {name: change}}))
    assert found and not any(gap.explains(*problem) for problem in found for gap in GAPS)


def test_the_models_have_the_methods_that_programs_call() -> None:
    for name in MODEL_METHODS:
        assert callable(getattr(Entity, name))


@pytest.mark.compat
def test_the_written_surface_is_that_of_the_official_package(official_python: str) -> None:
    done = official.run(official_python, os.path.join(official.HERE, "read_official.py"), "cozeloop")
    assert done.returncode == 0, done.stderr.decode()
    with open(WRITTEN, encoding="utf-8") as file:
        written = json.load(file)
    current = json.loads(done.stdout.decode())
    if current["version"] != written["version"]:
        pytest.skip("the official client is %(version)s; the file was written of another one" % current)
    integrations = ("integration.langchain", "integration.wrapper")  # read only where their libraries are
    for module in set(written["modules"]) | set(current["modules"]):
        if not module.startswith(integrations) or module in current["modules"]:
            assert current["modules"].get(module) == written["modules"].get(module), module
