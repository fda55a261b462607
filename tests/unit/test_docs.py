"""The reference that ``make docs`` builds is complete: every public name says what it is, its types, its defaults."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
MODULES = ["cozeloop_lite"] + [
    "cozeloop_lite." + name for name in re.search(r"addprefix cozeloop_lite\.,([^)]*)\)", MAKEFILE).group(1).split()
]


def public(module):
    """The public names of a module: those in ``__all__``, else what is defined in it."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        names = [name for name in own if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}


def entries():
    """Everything that is documented: its full name, its class or None, and itself."""
    found = {}
    for module_name in MODULES:
        for name, value in public(importlib.import_module(module_name)).items():
            full = module_name + "." + name
            if inspect.isclass(value):
                found.setdefault(id(value), (full, value, value))
                for part, member in vars(value).items():
                    member = getattr(member, "__func__", member)
                    if not part.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                        found.setdefault(id(member), (full + "." + part, value, member))
            elif inspect.isfunction(value):
                found.setdefault(id(value), (full, None, value))
    return sorted(found.values(), key=lambda entry: entry[0])


ENTRIES = entries()
FUNCTIONS = [entry for entry in ENTRIES if inspect.isfunction(entry[2])]


def parameters(owner, function):
    """Those a caller passes."""
    found = list(inspect.signature(function).parameters.values())
    if owner is not None and found and found[0].name in ("self", "cls"):
        del found[0]
    return [parameter for parameter in found if not parameter.name.startswith("_")]


def referred(name, owner, module):
    """What a docstring in ``module`` refers to by ``:meth:`name```; None when there is no such thing."""
    homes = [owner, sys.modules[module], importlib.import_module("cozeloop_lite")]
    if name.startswith("cozeloop_lite."):
        module, _, name = name.rpartition(".")
        try:
            homes = [importlib.import_module(module)]
        except ImportError:  # a method
            module, _, kind = module.rpartition(".")
            homes = [getattr(importlib.import_module(module), kind, None)]
    for value in homes:
        for part in name.split("."):
            value = getattr(value, part, None)
        if value is not None:
            return value
    return None


def references(text):
    return [name.lstrip("~") for name in re.findall(r":(?:meth|func|class):`(?:[^`<]*<)?([\w.~]+)>?`", text)]


def told(owner, function, depth=3):
    """The docstring of a function, and of those that it refers to."""
    text = inspect.getdoc(function) or ""
    for name in references(text) if depth else []:
        other = referred(name, owner, function.__module__)
        home = referred(name.rpartition(".")[0] or "-", owner, function.__module__)
        if other is not None:
            text += "\n" + told(home if inspect.isclass(home) else owner, other, depth - 1)
    return text


def unsaid(owner, function, text):
    """The arguments whose default is None, as in ``timeout=None``, and that ``text`` does not explain."""
    return [
        parameter.name
        for parameter in parameters(owner, function)
        if parameter.default is None and parameter.name != "func"  # the decorated one, in the form without parentheses
        if not re.search(r"\b%s\b" % parameter.name, text)
    ]


def test_the_modules_of_the_reference_are_importable_and_introduced():
    assert len(MODULES) > 10
    assert [name for name in MODULES if not importlib.import_module(name).__doc__] == []


def test_every_public_name_has_a_docstring():
    assert len(ENTRIES) > 100
    bare = [name for name, _, value in ENTRIES if len((value.__doc__ or "").split()) < 3]
    written_by_dataclass = [
        name for name, owner, value in ENTRIES if value is owner and value.__doc__.startswith(value.__name__ + "(")
    ]
    assert (bare, written_by_dataclass) == ([], [])


def test_every_function_tells_its_types():
    untyped = [
        (name, parameter.name)
        for name, owner, function in FUNCTIONS
        for parameter in parameters(owner, function)
        if parameter.annotation is parameter.empty
    ]
    open_ended = [name for name, _, function in FUNCTIONS if "return" not in function.__annotations__]
    assert (untyped, open_ended) == ([], [])


def test_every_default_that_the_signature_does_not_tell_is_explained():
    found = {name: unsaid(owner, function, told(owner, function)) for name, owner, function in FUNCTIONS}
    assert {name: names for name, names in found.items() if names} == {}


def test_constructors_are_explained_in_their_classes():
    found = {}
    for name, owner, value in ENTRIES:
        built = value is owner and inspect.isfunction(owner.__init__) and not dataclasses.is_dataclass(owner)
        if built and not re.search(r"\bMade by\b", owner.__doc__):
            text = " ".join(told(base, base) for base in owner.__mro__[:-1])
            found[name] = unsaid(owner, owner.__init__, text + told(owner, owner.__init__))
    assert len(found) > 10
    assert {name: names for name, names in found.items() if names} == {}


def test_what_is_referred_to_exists():
    dangling = [
        (name, target)
        for name, owner, value in ENTRIES
        for target in references(value.__doc__ or "")
        if referred(target, owner, getattr(value, "__module__", "cozeloop_lite")) is None
    ]
    assert dangling == []


def test_the_changelog_begins_with_what_is_to_come_and_this_version():
    titles = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert titles[:2] == ["Unreleased", importlib.import_module("cozeloop_lite").__version__]


def test_what_contributing_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", MAKEFILE, flags=re.M)
    named = re.findall(r"(?:^|`)make (\w+)", text, flags=re.M)
    assert len(named) > 5 and set(named) <= set(targets)
    paths = re.findall(r"\btests/[\w./]+", text) + re.findall(r"\]\(([\w.]+)", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_it_builds_without_a_warning(tmp_path):
    pytest.importorskip("pdoc")
    command = re.search(r"^\t\$\(BIN\)/python (.*-m pdoc .*) docs/api ", MAKEFILE, flags=re.M).group(1)
    built = subprocess.run(
        [sys.executable, *command.split(), str(tmp_path), *MODULES],
        cwd=str(ROOT), capture_output=True, encoding="utf-8", timeout=240, check=False,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    for name in MODULES:
        page = tmp_path.joinpath(*name.split(".")).with_suffix(".html").read_text(encoding="utf-8")
        assert not re.search(r":(meth|func|class):`", page), name
