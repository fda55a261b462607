"""The methods of built-in types that a template may call, and what each costs.

A list of what may be called, rather than of what may not: a method that is not here is refused, since nobody looked at
how much it can ask for. Objects of the program's own types are not built in; their methods are the program's affair.

A price takes the budget and what the method will be called with. It pays, and may return other arguments for the call.
"""

from __future__ import annotations

import datetime

from jinja2.exceptions import SecurityError
from markupsafe import Markup

from .jinja_budget import OverBudget, can_collide, whole
from .jinja_operators import MARKUP_GROWTH, MAX_SPEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .jinja_budget import Budget

    Price = Callable[..., Optional[Tuple[Any, ...]]]
    Table = Dict[str, Price]

# Codecs whose result is no longer than four bytes a character.
_ENCODINGS = frozenset(
    ["utf-8", "utf8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "latin-1", "latin1", "iso-8859-1", "gbk"]
)
_LONGEST_REPLACEMENT = 100  # characters: \N{...}, of the error handler "namereplace"


def nothing(budget: Budget, *args: Any, **kwargs: Any) -> None:
    """What takes the same small time whatever it is given."""


# -- texts ------------------------------------------------------------------------------------------------------------


def read(budget: Budget, text: str) -> None:
    """A look at each character."""
    budget.charge(1 + len(text) // 32)


def cased(budget: Budget, text: str) -> None:
    budget.make(len(text) * (1 if text.isascii() else 3), text)  # one character in the other case can be three


def padded(budget: Budget, text: str, width: Any, fill: str = " ") -> None:
    budget.make(max(len(text), whole(width)), text, fill)


def compared(budget: Budget, text: str, part: Any, *bounds: Any) -> None:
    budget.look(part)


def searched(budget: Budget, text: str, part: str, *bounds: Any) -> None:
    budget.search(text, part)


def searched_backwards(budget: Budget, text: str, part: str, *bounds: Any) -> None:
    budget.search(text, part, backwards=True)


def partitioned(budget: Budget, text: str, separator: str) -> None:
    budget.search(text, separator, backwards=True)
    budget.make(len(text), text)


def expanded(budget: Budget, text: str, tabsize: Any = 8) -> None:
    budget.make(len(text) + text.count("\t") * whole(tabsize), text)


def joined(budget: Budget, text: str, items: Any) -> tuple[Any, ...]:
    items = budget.listed(items)
    growth = MARKUP_GROWTH if hasattr(text, "__html__") else 1
    texts = [item for item in items if isinstance(item, str)]
    if growth > 1:
        budget.show(items)
        budget.charge(6 * len(items))
    budget.make(growth * (sum(map(len, texts)) + len(text) * len(items)), text, *texts)
    return (items,)


def stripped(budget: Budget, text: str, chars: str | None = None) -> None:
    budget.charge(1 + len(text) * (1 + len(chars or "")) // 256)
    budget.make(len(text), text)


def replaced(budget: Budget, text: str, old: str, new: str, count: Any = -1) -> None:
    budget.search(text, old, backwards=True)
    found = text.count(old)
    if count >= 0:
        found = min(found, count)
    growth = MARKUP_GROWTH if hasattr(text, "__html__") else 1
    budget.make(len(text) + found * max(0, growth * len(new) - len(old)), text, new)
    budget.charge(found // 16)


def split(budget: Budget, text: str, sep: str | None = None, maxsplit: Any = -1) -> None:
    if sep is None:
        _pay_pieces(budget, text, 1 + len(text) // 2)
    else:
        budget.search(text, sep, backwards=True)
        _pay_pieces(budget, text, 1 + text.count(sep))


def split_into_lines(budget: Budget, text: str, keepends: Any = False) -> None:
    _pay_pieces(budget, text, 1 + lines(budget, text))


def lines(budget: Budget, text: str) -> int:
    """At most so many lines end in ``text``."""
    budget.charge(1 + len(text) // 32)
    return sum(map(text.count, "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))


def _pay_pieces(budget: Budget, text: str, count: int) -> None:
    budget.charge(count * (10 if hasattr(text, "__html__") else 3))
    budget.make(len(text), text)


def encoded(budget: Budget, text: str, encoding: str = "utf-8", errors: str = "strict") -> None:
    _check_encoding(encoding)
    growth = 4 if errors in ("strict", "ignore", "replace") else 4 * _LONGEST_REPLACEMENT
    budget.make(growth * len(text))


def decoded(budget: Budget, data: bytes, encoding: str = "utf-8", errors: str = "strict") -> None:
    _check_encoding(encoding)
    budget.make(16 * len(data))


def shown_in_hex(budget: Budget, data: bytes, *args: Any) -> None:
    budget.make(3 * len(data))


def _check_encoding(encoding: str) -> None:
    if encoding.lower().replace("_", "-") not in _ENCODINGS:
        raise SecurityError("the encoding %.50r is not available in a template" % encoding)


_TEXT: Table = {
    **dict.fromkeys(["capitalize", "casefold", "lower", "swapcase", "title", "upper"], cased),
    **dict.fromkeys(["isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier"], read),
    **dict.fromkeys(["islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"], read),
    **dict.fromkeys(["center", "ljust", "rjust", "zfill"], padded),
    **dict.fromkeys(["count", "find", "index"], searched),
    **dict.fromkeys(["rfind", "rindex"], searched_backwards),
    **dict.fromkeys(["partition", "rpartition"], partitioned),
    **dict.fromkeys(["endswith", "startswith"], compared),
    **dict.fromkeys(["removeprefix", "removesuffix"], partitioned),
    **dict.fromkeys(["lstrip", "rstrip", "strip"], stripped),
    **dict.fromkeys(["rsplit", "split"], split),
    "encode": encoded,
    "expandtabs": expanded,
    "join": joined,
    "replace": replaced,
    "splitlines": split_into_lines,
}


# -- everything else --------------------------------------------------------------------------------------------------


def looked_through(budget: Budget, container: Any, *args: Any) -> None:
    budget.look(container)
    budget.show([args])  # what is not found is shown in the error


def copied(budget: Budget, container: Any) -> None:
    budget.charge(1 + 2 * len(container))


def got(budget: Budget, mapping: Any, key: Any, default: Any = None) -> None:
    budget.look(key)


def hashed(budget: Budget, container: Any, *others: Any) -> tuple[Any, ...]:
    """Operations of sets."""
    lists = [budget.listed(other) for other in others]
    for items in (container, *lists):
        budget.look(items)
        colliding = sum(map(can_collide, items))
        budget.charge(3 * len(items) + colliding * (colliding + len(container)))
    return tuple(lists)


def counted_through(budget: Budget, numbers: range, value: Any) -> None:
    budget.charge(1 + len(numbers))


def dated(budget: Budget, moment: Any, format: str) -> None:
    if len(format) > MAX_SPEC:  # the buffer that the C library gets can be 256 times as long
        raise OverBudget("a format of a date has more than %d characters" % MAX_SPEC)


_SEQUENCE: Table = {"copy": copied, "count": looked_through, "index": looked_through}
_NUMBER_NAMES = ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "hex", "is_integer"]
_DATES = (datetime.date, datetime.time)  # datetime is a date
_SET_NAMES = ["difference", "intersection", "isdisjoint", "issubset", "issuperset", "symmetric_difference", "union"]

_TABLES: dict[type, Table] = {
    str: _TEXT,
    bytes: {"decode": decoded, "hex": shown_in_hex},
    bytearray: {"decode": decoded, "hex": shown_in_hex},
    list: _SEQUENCE,
    tuple: _SEQUENCE,
    dict: {"copy": copied, **dict.fromkeys(["items", "keys", "values"], nothing), "get": got},
    set: {"copy": copied, **dict.fromkeys(_SET_NAMES, hashed)},
    frozenset: {"copy": copied, **dict.fromkeys(_SET_NAMES, hashed)},
    range: {"count": counted_through, "index": counted_through},
    int: dict.fromkeys(_NUMBER_NAMES, nothing),
    float: dict.fromkeys(_NUMBER_NAMES, nothing),
    complex: dict.fromkeys(_NUMBER_NAMES, nothing),
}


def price_of(method: Any, in_c: bool) -> Price | None:
    """What calling a bound method costs; ``None`` when it is a method of the program's own types.

    ``in_c``: it is not written in Python. Raises ``SecurityError`` when the method is not available.
    """
    owner = method.__self__
    name = getattr(method, "__name__", "")
    price: Price | None = None
    if isinstance(owner, type):  # a class method
        ours = issubclass(owner, Markup) or (in_c and issubclass(owner, tuple(_TABLES)))
    elif isinstance(owner, Markup):  # written in Python, but no different from those of str
        ours = True
        price = _TEXT.get(name)
    else:
        base = next((kind for kind in _TABLES if isinstance(owner, kind)), type(owner))
        ours = base in _TABLES and getattr(type(owner), name, None) is getattr(base, name, None)
        if ours:
            price = _TABLES[base].get(name)
        elif name == "strftime" and isinstance(owner, _DATES):
            price = dated
    if ours and price is None:
        raise SecurityError("the method %s() is not available in a template" % name)
    return price
