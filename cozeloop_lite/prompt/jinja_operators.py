"""Operators and formatting, as templates use them: each works out what it costs, pays, and does what Python does.

A few characters of a template can ask for anything: ``'x' * 10**9``, ``10**10**10``, ``'%1000000000d' % 1``.
"""

from __future__ import annotations

import operator
import re
from collections import abc

from .jinja_budget import CONTAINERS, KEYS, MAX_BITS, MAX_DIGITS, SIZED, OverBudget, bounded, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .jinja_budget import Budget

MARKUP_GROWTH = 6  # characters that one can become when it is escaped, and how often the whole is copied
MAX_SPEC = 1000  # characters of a format specification
FOREIGN_STEPS = 16  # for an operation that a type of the program defines

_NUMBERS = frozenset([int, float, bool])
_TEXTS = (str, bytes, bytearray)
_SEQUENCES: tuple[Any, ...] = (abc.Sequence, *CONTAINERS)
_HASHED = (dict, set, frozenset, KEYS)
_SMALL = 1 << 31

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
    "%": operator.mod,
}

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda item, container: item in container,
    "notin": lambda item, container: item not in container,
}


# -- arithmetic -------------------------------------------------------------------------------------------------------


def binary(budget: Budget, name: str, left: Any, right: Any) -> Any:
    """``left + right`` and so on; ``name`` is the sign."""
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        if name == "**":
            _pay_power(budget, left, right)
        elif -_SMALL < left < _SMALL and -_SMALL < right < _SMALL:
            return _BINARY[name](left, right)
        budget.look(left, 4)
        budget.look(right, 4)
    else:
        budget.charge(FOREIGN_STEPS)
        pay = _PRICES.get(name)
        if pay is not None:
            pay(budget, left, right)
    return bounded(_BINARY[name](left, right))


def _pay_power(budget: Budget, base: Any, exponent: Any) -> None:
    if isinstance(exponent, int):
        parts = (base.numerator, base.denominator) if hasattr(base, "denominator") else ()
        bits = max([int(part).bit_length() for part in parts] or [0])
        if abs(exponent) * bits > 2 * MAX_BITS:
            raise OverBudget("a number has more than %d digits" % MAX_DIGITS)


def _pay_sum(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, str) and isinstance(right, str):
        growth = MARKUP_GROWTH if hasattr(left, "__html__") or hasattr(right, "__html__") else 1
        budget.make(growth * (len(left) + len(right)), left, right)
    else:
        budget.charge(_length(left) + _length(right))


def _pay_difference(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, CONTAINERS):  # sets, and keys of dicts: each item of one may meet each of the other
        if not isinstance(right, SIZED):
            raise TypeError("only a set can be subtracted from a set")
        budget.look((left, right))
        budget.charge(len(left) * len(right) // 8)


def _pay_product(budget: Budget, left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        if hasattr(times, "__index__"):
            if isinstance(sequence, str):
                budget.make(len(sequence) * whole(times), sequence)
            else:
                budget.charge(_length(sequence) * whole(times))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, _SEQUENCES) else 0


def _pay_remainder(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, str):
        pay_printf(budget, left, right)
    elif isinstance(left, _TEXTS):
        raise TypeError("bytes cannot be formatted in a template")


_PRICES: dict[str, Callable[[Budget, Any, Any], None]] = {
    "+": _pay_sum,
    "-": _pay_difference,
    "*": _pay_product,
    "**": _pay_power,
    "%": _pay_remainder,
}


# -- comparing --------------------------------------------------------------------------------------------------------


def compare(budget: Budget, name: str, left: Any, right: Any) -> Any:
    """``left == right`` and so on; ``name`` is what jinja2 calls the sign."""
    if name in ("in", "notin"):
        right = _searched(budget, left, right)
    elif isinstance(left, _TEXTS):
        budget.charge(1 + len(left) // 256)
    elif isinstance(left, CONTAINERS) and isinstance(right, CONTAINERS):
        budget.look(left if len(left) < len(right) else right)
    return _COMPARISONS[name](left, right)


def _searched(budget: Budget, item: Any, container: Any) -> Any:
    """``container``, paid for a search; where it may have no end, as something that ends with the budget."""
    if isinstance(container, _TEXTS):
        if isinstance(item, _TEXTS):
            budget.search(container, item)
    elif isinstance(container, _HASHED):
        budget.look(item)
    elif isinstance(container, range):
        budget.charge(1 if type(item) in (int, bool) else len(container))
    elif isinstance(container, CONTAINERS):
        budget.look(container)
    elif not hasattr(type(container), "__contains__"):
        return budget.counted(container)
    return container


# -- texts ------------------------------------------------------------------------------------------------------------


def text_of(budget: Budget, value: Any) -> str:
    """``str(value)``; of a text, the text."""
    if isinstance(value, str):
        return value
    budget.show(value)
    text = str(value)
    budget.charge(4 + len(text) // 32)
    return text


_CONVERSION = re.compile(
    r"%(?:\((?:[^()]|\([^()]*\))*\))?[-+ #0]*(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.)?",
    re.DOTALL,
)


def pay_printf(budget: Budget, template: str, values: Any) -> None:
    """Pay for ``template % values``."""
    budget.charge(1 + len(template) // 16)
    uses = chars = 0
    kinds = set()
    for conversion in _CONVERSION.finditer(template):
        budget.charge(4)
        width, precision, kind = conversion.groups()
        chars += _size(width, values) + _size(precision, values)
        kinds.add(kind)
        uses += 1
    if "(" in kinds:
        raise OverBudget("a format names a value with parentheses in parentheses")
    growth = MARKUP_GROWTH if hasattr(template, "__html__") else 1
    budget.make(growth * (len(template) + chars))
    # Of a tuple each value is used once, of a dict as often as it is named.
    times = growth * max(1, uses) if isinstance(values, abc.Mapping) else growth
    if kinds & {"r", "a"} or not isinstance(values, tuple):
        budget.show([values], times)
    else:
        for value in values:
            _pay_shown(budget, value, times)


def _size(written: str | None, values: Any) -> int:
    """A width or precision in a format; ``*`` is one of the values."""
    if written == "*":
        numbers = values if isinstance(values, tuple) else (values,)
        return max([abs(number) for number in numbers if isinstance(number, int)] or [0])
    return _small(written or "0")


def _small(digits: str) -> int:
    if len(digits) > 9:
        raise OverBudget("a width in a format is too large")
    return int(digits or "0")


def _pay_shown(budget: Budget, value: Any, times: int) -> None:
    if isinstance(value, str):
        budget.make(len(value) * times, value)
    else:
        budget.show(value, times)


def pay_spec(budget: Budget, spec: str) -> None:
    """Pay for the widths in a specification: what follows the colon in ``'{:>10}'.format()``."""
    if len(spec) > MAX_SPEC:
        raise OverBudget("a format has a specification of more than %d characters" % MAX_SPEC)
    for digits in re.findall(r"\d+", spec):  # of any script, as in Python
        budget.make(4 * _small(digits))
