"""``str.format`` in templates: jinja2's sandboxed one, and each field pays.

A format can ask for a million spaces, show one value a thousand times, and climb from attribute to attribute.
"""

from __future__ import annotations

from typing import Any, Iterator

from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from .jinja_operators import MARKUP_GROWTH, pay_spec
from .jinja_prices import STEPS_OF_GETTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .jinja_sandbox import Environment

FIELD_STEPS = 16


class _Formatter(SandboxedFormatter):
    _env: Environment
    _growth = 4  # bytes of a character

    def parse(self, format_string: Any) -> Iterator[Any]:
        for field in super().parse(format_string):
            self._env.budget.charge(FIELD_STEPS)
            yield field

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        self._env.budget.charge(STEPS_OF_GETTING * (field_name.count(".") + field_name.count("[")))
        return super().get_field(field_name, args, kwargs)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion:
            self._env.budget.show([value])
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        budget = self._env.budget
        pay_spec(budget, format_spec)
        if isinstance(value, str):
            budget.make(self._growth * len(value))
        else:
            budget.show(value, self._growth)
        text = super().format_field(value, format_spec)
        budget.make(4 * len(text))
        return text


class _EscapeFormatter(_Formatter, SandboxedEscapeFormatter):
    _growth = 4 * MARKUP_GROWTH


class Format:
    """What a template gets for ``text.format`` and ``text.format_map``."""

    __slots__ = ("_environment", "_method")

    def __init__(self, environment: Environment, method: Any) -> None:
        self._environment = environment
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        text: str = self._method.__self__
        if self._method.__name__ == "format_map":
            (kwargs,), args = args, ()
        if isinstance(text, Markup):
            formatter: _Formatter = _EscapeFormatter(self._environment, escape=text.escape)
        else:
            formatter = _Formatter(self._environment)
        self._environment.budget.make(4 * len(text))
        return type(text)(formatter.vformat(text, args, kwargs))
