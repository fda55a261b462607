"""What the filters of jinja2 cost.

A price takes the budget, the value and the arguments of the filter. It pays, and returns what the filter shall get for
the value: the value itself, or the same in a form that costs what was paid.
"""

from __future__ import annotations

import operator
from collections import abc

from . import jinja_methods as methods
from .jinja_budget import MAX_DIGITS, OverBudget, bounded, whole
from .jinja_operators import MARKUP_GROWTH, pay_printf, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .jinja_budget import Budget

MAX_ATTRIBUTE = 1000  # characters of the path of an attribute
MAX_INDENT = 16  # of JSON
STEPS_OF_GETTING = 8  # an attribute


def same(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    """For filters that take the same small time whatever they are given."""
    return value


# -- filters of texts -------------------------------------------------------------------------------------------------


def text(budget: Budget, value: Any) -> str:
    return text_of(budget, value)


def cased(budget: Budget, value: Any) -> str:
    found = text_of(budget, value)
    methods.cased(budget, found)
    return found


def centered(budget: Budget, value: Any, width: Any = 80) -> str:
    found = text_of(budget, value)
    methods.padded(budget, found, width)
    return found


def trimmed(budget: Budget, value: Any, chars: str | None = None) -> str:
    found = text_of(budget, value)
    methods.stripped(budget, found, chars)
    return found


def replaced(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> str:
    found = text_of(budget, value)
    limit = -1 if count is None else count
    methods.replaced(budget, found, text_of(budget, old), text_of(budget, new), limit)
    return found


def escaped(budget: Budget, value: Any) -> Any:
    if not isinstance(value, str) and hasattr(value, "__html__"):
        return value
    found = text_of(budget, value)
    budget.make(MARKUP_GROWTH * len(found), found)
    return found


def formatted(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> str:
    found = text_of(budget, value)
    pay_printf(budget, found, kwargs or args)
    return found


def indented(budget: Budget, s: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    if not isinstance(s, str):  # jinja2 would add a line to the program's own list
        raise TypeError("only a text can be indented")
    lines = methods.lines(budget, s) + 1
    indent = width if isinstance(width, str) else " "
    times = 1 if isinstance(width, str) else whole(width)
    budget.charge(10 * lines)
    budget.make(2 * len(s) + lines * len(indent) * times, s, indent)
    return s


def quoted(budget: Budget, value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, abc.Iterable):
        found = text_of(budget, value)
        budget.charge(2 * len(found))
        return found
    pairs = value if isinstance(value, dict) else budget.listed(value)
    budget.show(pairs, 8)
    return pairs


def truncated(
    budget: Budget, s: Any, length: Any = 255, killwords: Any = False, end: str = "...", leeway: Any = None
) -> Any:
    budget.charge(1 + len(s) // 8)
    budget.make(len(end), end)
    return s


def counted_words(budget: Budget, s: Any) -> str:
    found = text_of(budget, s)
    budget.charge(len(found) * (1 if found.isascii() else 2))
    return found


def titled(budget: Budget, s: Any) -> str:
    found = text_of(budget, s)
    budget.charge(4 * len(found))
    return found


def wrapped(
    budget: Budget,
    s: str,
    width: Any = 79,
    break_long_words: Any = True,
    wrapstring: str | None = None,
    break_on_hyphens: Any = True,
) -> str:
    size = len(s)
    narrow = max(1, whole(width))
    budget.charge(4 * size + size * size // (narrow * 4096))  # a long word is cut off piece by piece
    end = "\n" if wrapstring is None else wrapstring
    budget.make((methods.lines(budget, s) + 2 * size // narrow + 1) * len(end), end)
    return str(s)


def as_json(budget: Budget, value: Any, indent: Any = None) -> Any:
    if indent is None:
        budget.show([value], 4)
        return value
    size = len(indent) if isinstance(indent, str) else whole(indent)
    if size > MAX_INDENT:
        raise OverBudget("an indent is larger than %d" % MAX_INDENT)
    depth = budget.show([value], 8)
    budget.show([value], 1 + size * depth // 16)
    return value


def pretty(budget: Budget, value: Any) -> Any:
    depth = budget.show([value])
    budget.show([value], 8 * depth)
    return value


def attributes(budget: Budget, d: Any, autospace: Any = True) -> Any:
    budget.show(d, 2 * MARKUP_GROWTH)
    return d


# -- filters of numbers -----------------------------------------------------------------------------------------------


def number(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(value, (str, bytes, bytearray)) and len(value) > MAX_DIGITS:
        raise OverBudget("a number has more than %d digits" % MAX_DIGITS)
    return bounded(value)


def rounded(budget: Budget, value: Any, precision: Any = 0, method: Any = "common") -> Any:
    if abs(operator.index(precision)) > MAX_DIGITS:
        raise OverBudget("a number is rounded to more than %d digits" % MAX_DIGITS)
    return bounded(value)


# -- filters of sequences ---------------------------------------------------------------------------------------------


def listed(budget: Budget, value: Any) -> Any:
    return budget.listed(value, 1 if not isinstance(value, str) or value.isascii() else 3)


def reversed_(budget: Budget, value: Any) -> Any:
    if isinstance(value, str):
        budget.make(len(value), value)
    elif not hasattr(value, "__reversed__"):
        return budget.listed(value)
    return value


def steps_of(attribute: Any) -> int:
    """How much it takes to get an attribute by its path."""
    if attribute is None:
        return 0
    if isinstance(attribute, str):
        if len(attribute) > MAX_ATTRIBUTE:
            raise OverBudget("the path of an attribute has more than %d characters" % MAX_ATTRIBUTE)
        return STEPS_OF_GETTING * (1 + attribute.count(".") + attribute.count(","))
    return STEPS_OF_GETTING


def each(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    """For filters that look at one item after the other."""
    path = kwargs["attribute"] if "attribute" in kwargs else args[0] if args else None
    return budget.counted(value, 4 + steps_of(path)) if value else value


def batched(budget: Budget, value: Any, linecount: Any, fill_with: Any = None) -> Any:
    if fill_with is not None:
        budget.charge(whole(linecount) // 4)
    return budget.counted(value)


def sliced(budget: Budget, value: Any, slices: Any, fill_with: Any = None) -> Any:
    return budget.counted(value, 2)


def sorted_dict(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
    pay_sorting(budget, list(budget.counted(value.items())))
    return value


def pay_sorting(budget: Budget, keys: list[Any]) -> None:
    """Each key meets the logarithm of their number of others."""
    budget.look(keys, 2 + len(keys).bit_length() // 2)
    budget.charge(8 * len(keys))


PRICES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(["count", "d", "default", "first", "last", "length", "random"], same),
    **dict.fromkeys(["abs", "filesizeformat", "float", "int"], number),
    **dict.fromkeys(["e", "escape", "forceescape", "safe"], escaped),
    **dict.fromkeys(["capitalize", "lower", "upper"], cased),
    "center": centered,
    "dictsort": sorted_dict,
    "format": formatted,
    "indent": indented,
    "list": listed,
    "pprint": pretty,
    "replace": replaced,
    "reverse": reversed_,
    "round": rounded,
    "string": text,
    "title": titled,
    "tojson": as_json,
    "trim": trimmed,
    "truncate": truncated,
    "urlencode": quoted,
    "wordcount": counted_words,
    "wordwrap": wrapped,
    "xmlattr": attributes,
}
"""By the name of the filter."""

LAZY_PRICES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(["map", "reject", "rejectattr", "select", "selectattr"], each),
    "batch": batched,
    "items": same,
    "slice": sliced,
}
"""Of filters whose result is an iterator."""
