"""What rendering one template may cost. Every piece of work is paid for before it is done.

A template comes from a server, and whoever wrote it may want the program to hang. A call into C that runs for minutes,
or asks for gigabytes, cannot be stopped once it has begun; so its price is worked out first, from the sizes of what it
is given. Each rendering has a budget of its own, and ends when that is used up.

The currency is the step: a few tenths of a microsecond, or :data:`STEP_BYTES` of new memory. Nothing is ever given
back, so a budget bounds the time, and all the memory that was ever asked for.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Sized

STEPS = 1_000_000  # of one rendering
STEP_BYTES = 32
MAX_DEPTH = 100  # of calls in calls, and of values in values
MAX_BITS = 4096  # of a whole number
MAX_DIGITS = 1200  # about as many, in decimal

# Looking for a text in a text may compare each character of the one with each of the other. CPython 3.10 and later do
# so only for short ones, and backwards.
_LONGEST_COMPARED = 100 if sys.version_info >= (3, 10) else sys.maxsize
_COMPARISONS_PER_STEP = 512

KEYS: type = type({}.keys())
CONTAINERS: tuple[Any, ...] = (list, tuple, dict, set, frozenset, deque, KEYS, type({}.values()), type({}.items()))
SIZED: tuple[Any, ...] = (str, bytes, bytearray, range, *CONTAINERS)
_WALKED = (str, bytes, bytearray, *CONTAINERS)

_FOREIGN_STEPS = 8  # to compare or to show an object
_FREE = frozenset([int, float, bool, type(None)])
_LONG = 1 << 64  # whole numbers below it are as good as free
_HASH_MODULUS = sys.hash_info.modulus


class OverBudget(Exception):
    """The template wants more than it may have. The message says of what."""


class Budget:
    """What is left for one rendering.

    Attributes:
        left: steps.
        depth: how many calls of the template are inside of each other just now.
    """

    __slots__ = ("depth", "left")

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.depth = 0

    def charge(self, steps: int) -> bool:
        """Pay; always true. A negative price would be a gift: it is a fault of this package, or an attack."""
        left = self.left = self.left - steps
        if left < 0 or steps < 0:
            self.left = -1
            raise OverBudget("it takes more work or memory than a template may use")
        return True

    def enter(self) -> None:
        """A call begins; :meth:`leave` must follow."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OverBudget("its calls are nested more than %d deep" % MAX_DEPTH)

    def leave(self) -> None:
        self.depth -= 1

    def make(self, chars: int, *parts: str) -> None:
        """Pay for a new text of so many characters, all of which come from ``parts`` or are ASCII."""
        wide = not all(part.isascii() for part in parts)
        self.charge(1 + (chars * (4 if wide else 1)) // STEP_BYTES)

    def search(self, text: Sized, part: Sized, backwards: bool = False) -> None:
        """Pay for looking for ``part`` in ``text``."""
        compared = len(part) if backwards else min(len(part), _LONGEST_COMPARED)
        self.charge(1 + len(text) * (1 + compared) // _COMPARISONS_PER_STEP)

    def look(self, value: Any, times: int = 1) -> None:
        """Pay for comparing or hashing ``value`` so many times."""
        left = self.left
        self._walk(value, _steps_to_look)
        self.charge((left - self.left) * (times - 1))

    def show(self, value: Any, times: int = 1) -> int:
        """Pay for making the text of ``value`` so many times; a text itself costs little. How deep it is nested."""
        left = self.left
        depth = self._walk(value, _steps_to_show)
        self.charge((left - self.left) * (times - 1))
        return depth

    def counted(self, items: Iterable[Any], steps: int = 1) -> Iterator[Any]:
        """The items, each paid for when it is asked for."""
        for item in items:
            self.charge(steps)
            yield item

    def listed(self, items: Any, steps: int = 1) -> Any:
        """All the items, paid for: a list, unless their number was known from the start."""
        if isinstance(items, SIZED):
            self.charge(len(items) * steps)
            return items
        return list(self.counted(items, steps))

    def _walk(self, value: Any, steps_of_text: Callable[[str], int]) -> int:
        """Pay for each value inside of ``value``, as many times as it occurs there. How deep it is nested.

        What an object is made of does not count: what it does is the program's own affair. A value inside of itself
        counts once, as it is shown.
        """
        kind = type(value)
        if kind is str:
            self.charge(1 + len(value) // 64)
            return 0
        if kind is not int and not issubclass(kind, _WALKED):
            self.charge(1 if kind in _FREE else _FOREIGN_STEPS)
            return 0
        deepest = 0
        way: list[tuple[int, Iterator[Any]]] = [(0, iter((value,)))]  # the open containers, the outermost first
        opened = set()
        while way:
            for item in way[-1][1]:
                kind = type(item)
                if kind in _FREE:
                    if kind is int and not -_LONG < item < _LONG:
                        self.charge(_steps_of_number(item))
                elif kind is str:
                    self.charge(steps_of_text(item))
                elif issubclass(kind, str):
                    self.charge(_FOREIGN_STEPS + steps_of_text(item))
                elif issubclass(kind, CONTAINERS):
                    if id(item) not in opened:
                        deepest = max(deepest, len(way))
                        opened.add(id(item))
                        way.append((id(item), self._content(item, len(way))))
                        break
                elif issubclass(kind, (bytes, bytearray)):
                    self.charge(1 + len(item) // 8)
                else:
                    self.charge(_FOREIGN_STEPS)
            else:
                opened.discard(way.pop()[0])
        return deepest

    def _content(self, container: Any, depth: int) -> Iterator[Any]:
        """What is in a container, paid for."""
        if depth > MAX_DEPTH:
            raise OverBudget("its values are nested more than %d deep" % MAX_DEPTH)
        if issubclass(type(container), dict):
            self.charge(4 + 2 * len(container))
            return chain(dict.keys(container), dict.values(container))
        self.charge(4 + len(container))
        return iter(container)


def _steps_to_show(text: str) -> int:
    # In a list, a text is shown with quotes and escapes: up to 10 characters for one that cannot be printed.
    return len(text) // 4 if text.isprintable() else len(text)


def _steps_to_look(text: str) -> int:
    return len(text) // 256


def _steps_of_number(number: int) -> int:
    return number.bit_length() // 32


def whole(number: Any) -> int:
    """A size that a template gives, as the operation will see it; never less than 0. ``TypeError`` if it is none."""
    return max(0, operator.index(number))


def can_collide(key: Any) -> bool:
    """Whether many such keys could be made that share a hash, so that each is held against all others."""
    kind = type(key)
    if kind is int:
        return not -_HASH_MODULUS < key < _HASH_MODULUS
    if kind is float:
        return bool(key != key)  # not a number: before CPython 3.10 all of them have the same hash
    return not (kind is bool or key is None or issubclass(kind, str))


def bounded(number: Any) -> Any:
    """The number, if it is not too large. What the program itself gives may be; what comes of it may not."""
    kind = type(number)
    if kind in (str, float, list) or (kind is int and -_LONG < number < _LONG):
        return number
    if kind is int:
        fine = number.bit_length() <= MAX_BITS
    elif _is(number, "decimal", "Decimal"):
        fine = not number.is_finite() or abs(number.adjusted()) <= MAX_DIGITS
    elif _is(number, "fractions", "Fraction"):
        fine = max(number.numerator.bit_length(), number.denominator.bit_length()) <= MAX_BITS
    else:
        fine = True
    if not fine:
        raise OverBudget("a number has more than %d digits" % MAX_DIGITS)
    return number


def _is(value: Any, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)  # there are no instances otherwise
    return loaded is not None and isinstance(value, getattr(loaded, name))
