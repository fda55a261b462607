"""What a program can import from a package, as JSON: modules, names, signatures, members, values, fields, defaults.

Run by an interpreter that has the official client, and with ``openai`` and ``langchain-core`` for its integrations, it
writes the file that test_official_surface.py compares this library with:

    python tests/compat/read_official.py cozeloop > tests/compat/official_surface.json

Nothing of this library is imported here: the same functions describe either package.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import pkgutil
import sys
from typing import Any

ATOMS = (str, int, float, bool, type(None))
# Of a parameter that a caller may give by its place; by its name alone; any number of them.
PLACED, NAMED, REST = "placed", "named", "rest"
# The modules of the official client that are its machinery: that they exist is noted, what they hold is not.
MACHINERY = (
    "_noop",
    "decorator.utils",
    "integration.langchain.trace_model",
    "integration.langchain.util",
    "integration.wrapper._",
    "internal.httpclient",
    "internal.idgen",
    "internal.prompt",
    "internal.stream",
    "internal.trace.exporter",
    "internal.trace.noop_span",
    "internal.trace.queue_manager",
    "internal.trace.span",
    "internal.trace.trace",
    "internal.utils",
)


def surface(package: str) -> dict[str, Any]:
    """Every module of ``package`` that can be imported here, by its name in the package; ``""`` is the package."""
    found = {}
    root = importlib.import_module(package)
    names = [each.name for each in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda name: None)]
    for name in [package, *sorted(names)]:
        relative = name[len(package) + 1 :]
        try:
            module = importlib.import_module(name)
        except ImportError:  # an integration whose library is not here
            continue
        found[relative] = {} if relative.startswith(MACHINERY) else names_of(module, package)
    return found


def names_of(module: Any, package: str) -> dict[str, Any]:
    """What ``module`` offers: what it lists as public, or else all that is not private and not someone else's.

    A class or function is described where it is defined. Packages hand on what others define; what a plain module
    imports is for its own use.
    """
    described = {}
    is_package, listed = hasattr(module, "__path__"), getattr(module, "__all__", None)
    for name in sorted(listed or [name for name in vars(module) if not name.startswith("_")]):
        value = getattr(module, name)
        home = getattr(value, "__module__", None)
        if home in (None, module.__name__) or not _own(value, package):
            description = describe(value, package)
        else:
            description = {"kind": "handed on", "from": home[len(package) + 1 :]} if is_package or listed else None
        if description is not None:
            described[name] = description
    return described


def describe(value: Any, package: str) -> dict[str, Any] | None:
    """A name by what is behind it; None for what is not the package's own."""
    if isinstance(value, type):
        return describe_class(value, package) if _own(value, package) else None
    if inspect.isfunction(value) or inspect.ismethod(value):
        return {"kind": "function", "parameters": parameters(value)} if _own(value, package) else None
    if isinstance(value, ATOMS):
        return {"kind": "constant", "value": value}
    if isinstance(value, (list, tuple, dict, set)):
        return {"kind": "container"}
    if getattr(value, "__origin__", None) is not None and getattr(value, "__args__", None):
        return {"kind": "annotation"}
    return {"kind": "object"} if _own(type(value), package) else None


def _own(value: Any, package: str) -> bool:
    return (getattr(value, "__module__", None) or "").partition(".")[0] == package


def describe_class(kind: Any, package: str) -> dict[str, Any]:
    """A class: its members, fields, or methods; which classes of the package it is one of."""
    if issubclass(kind, enum.Enum):
        return {"kind": "enumeration", "members": {member.name: plain(member) for member in kind}}
    fields = fields_of(kind)
    if fields is not None:
        return {"kind": "model", "fields": fields}
    own = [base for base in kind.__mro__ if _own(base, package)]
    attributes: dict[str, Any] = {}
    for base in reversed(own):
        for name, value in vars(base).items():
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property)):
                continue
            attributes[name] = "property" if isinstance(value, property) else parameters(value)
    described = {"kind": "class", "bases": [base.__name__ for base in own[1:]], "attributes": attributes}
    if any("__init__" in vars(base) for base in own):
        described["parameters"] = parameters(kind.__init__)
    return described


def fields_of(kind: Any) -> dict[str, Any] | None:
    """The fields of a pydantic model or dataclass, each with its default, or with nothing when there is none."""
    if dataclasses.is_dataclass(kind):
        return {field.name: _default_of(field) for field in dataclasses.fields(kind)}
    if not hasattr(kind, "model_fields"):
        return None
    return {
        name: {} if field.is_required() else {"default": plain(field.get_default(call_default_factory=True))}
        for name, field in kind.model_fields.items()
    }


def _default_of(field: Any) -> dict[str, Any]:
    if field.default is not dataclasses.MISSING:
        return {"default": plain(field.default)}
    return {"default": plain(field.default_factory())} if field.default_factory is not dataclasses.MISSING else {}


def parameters(function: Any) -> list[dict[str, Any]]:
    """The parameters that a caller gives."""
    described = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self" or parameter.name == "cls":
            continue
        kind = PLACED if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else NAMED
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            kind = REST
        one = {"name": parameter.name, "kind": kind}
        if parameter.default is not parameter.empty:
            one["default"] = plain(parameter.default)
        described.append(one)
    return described


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, enum.Enum):
        value = value.value
    return value if isinstance(value, ATOMS) else [] if value == [] else "some %s" % type(value).__name__


def main(package: str) -> None:
    version = importlib.import_module("importlib.metadata").version(package)
    lines = []
    for module, names in surface(package).items():
        inner = ",".join("\n    %s: %s" % (json.dumps(name), json.dumps(names[name])) for name in names)
        lines.append("  %s: {%s}" % (json.dumps(module), inner))
    print('{"version": %s, "modules": {\n%s\n}}' % (json.dumps(version), ",\n".join(lines)))


if __name__ == "__main__":
    main(sys.argv[1])
