"""Values that travel as text with the name of their type beside it: how the platform reads and writes them.

Its types are string, long, double and bool; it reads and writes numbers as Go does.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from .binding import is_number, quote

if TYPE_CHECKING:
    from typing import Union

    Value = Union[str, int, float, bool]

ZERO: dict[str, Value] = {"string": "", "long": 0, "double": 0.0, "bool": False}  # what the platform has for nothing

_DOUBLE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOL = {
    **dict.fromkeys(("1", "t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("0", "f", "F", "false", "False", "FALSE"), False),
}


def parse(text: str, value_type: str) -> Value:
    """The value in ``text``. Raises ``ValueError`` when it is none of that type."""
    if value_type == "string":
        return text
    if value_type == "long" and is_number(text):
        return int(text)
    if value_type == "bool" and text in _BOOL:
        return _BOOL[text]
    if value_type == "double" and _DOUBLE.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
    raise ValueError(f"{quote(text)} is no {value_type}")


def write(value: Value) -> str:
    """A value as text; numbers never with an exponent."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text[:-2] if text.endswith(".0") else text
    return str(value)
