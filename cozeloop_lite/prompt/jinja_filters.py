"""The filters of templates: those of jinja2, each with its price, and a few that are written anew.

Anew are those whose work cannot be foreseen from outside. ``urlize`` is left out: it is made for web pages, and its
regular expressions can take quadratic time.
"""

from __future__ import annotations

import html
import pprint  # noqa: F401 - jinja2 imports it when it is needed; here so that no fork falls into that import
import textwrap  # noqa: F401 - the same
from itertools import chain

from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.filters import ignore_case, make_attrgetter
from jinja2.utils import pass_environment

from .jinja_budget import bounded, can_collide
from .jinja_operators import binary, text_of
from .jinja_prices import LAZY_PRICES, PRICES, pay_sorting, steps_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from .jinja_budget import Budget
    from .jinja_sandbox import Environment

CALL_STEPS = 4
LAZY_STEPS = 40  # for an iterator that waits to be asked
ITEM_STEPS = 4  # for what it yields


class Lazy:
    """What a filter yields, item by item. Each is paid for, and iterators in iterators are as limited as calls."""

    __slots__ = ("_budget", "_items")

    def __init__(self, budget: Budget, items: Iterator[Any]) -> None:
        budget.charge(LAZY_STEPS)
        self._budget = budget
        self._items = items

    def __iter__(self) -> Lazy:
        return self

    def __next__(self) -> Any:
        budget = self._budget
        budget.charge(ITEM_STEPS)
        budget.enter()
        try:
            return next(self._items)
        finally:
            budget.leave()


# -- filters that are written anew ------------------------------------------------------------------------------------


def _attr(environment: Environment, value: Any, name: str) -> Any:
    environment.budget.show([name])
    if not hasattr(value, name):  # environment.getattr() would go on and look for an item
        return environment.undefined(obj=value, name=name)
    return environment.getattr(value, name)


def _attributes(environment: Environment, items: Any, attribute: Any) -> Iterator[Any]:
    """The attribute of each item, or the item, paid for."""
    counted = environment.budget.counted(items, 3 + steps_of(attribute))
    return map(make_attrgetter(environment, attribute), counted)


def _join(environment: Environment, value: Any, d: Any = "", attribute: Any = None) -> str:
    budget = environment.budget
    texts = [str(text_of(budget, item)) for item in _attributes(environment, value, attribute)]
    separator = str(text_of(budget, d))
    budget.make(sum(map(len, texts)) + len(separator) * len(texts), separator, *texts)
    return separator.join(texts)


def _sum(environment: Environment, iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    numbers = list(_attributes(environment, iterable, attribute))
    if all(type(number) in (int, float, bool) for number in chain([start], numbers)):
        return bounded(sum(numbers, start))
    if isinstance(start, str):
        raise TypeError("texts are joined, not summed up")
    for number in numbers:  # lists, perhaps: sum() would copy them again and again
        start = binary(environment.budget, "+", start, number)
    return start


def _unique(environment: Environment, value: Any, case_sensitive: Any = False, attribute: Any = None) -> Lazy:
    def unique() -> Iterator[Any]:
        seen = set()
        colliding = 0
        for item in budget.counted(value, 4 + steps_of(attribute)):
            key = getter(item)
            _pay_keys(budget, [key])
            if can_collide(key):
                colliding += 1
                budget.charge(2 * colliding)
            if key not in seen:
                seen.add(key)
                yield item

    budget = environment.budget
    getter = make_attrgetter(environment, attribute, postprocess=None if case_sensitive else ignore_case)
    return Lazy(budget, unique())


def _striptags(environment: Environment, value: Any) -> str:
    """As newer versions of markupsafe do it: older ones take quadratic time."""
    text = text_of(environment.budget, value.__html__() if hasattr(value, "__html__") else value)
    environment.budget.charge(8 * len(text))
    kept = []
    position = 0
    while True:
        start = text.find("<", position)
        comment = text.startswith("<!--", start)
        end = -1 if start < 0 else text.find("-->", start + 4) if comment else text.find(">", start)
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + (3 if comment else 1)
    kept.append(text[position:])
    return html.unescape(" ".join("".join(kept).split()))


def _pay_keys(budget: Budget, keys: list[Any]) -> None:
    """Texts are compared in lower case."""
    texts = [key for key in keys if isinstance(key, str)]
    budget.make(sum(map(len, texts)), *texts)
    budget.look(keys)


def _ordered(name: str, place: int, pay: Callable[[Budget, list[Any]], None]) -> Callable[..., Any]:
    """A filter that compares items by an attribute, which is its argument number ``place``.

    The attributes are looked up once more than jinja2 does, to see what it costs to compare them.
    """

    def ordered(environment: Environment, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = environment.budget
        attribute = kwargs["attribute"] if "attribute" in kwargs else args[place] if len(args) > place else None
        items = budget.listed(value, 4 + 2 * steps_of(attribute))
        paths = attribute.split(",") if isinstance(attribute, str) and name == "sort" else [attribute]
        keys = [key for path in paths for key in map(make_attrgetter(environment, path), items)]
        _pay_keys(budget, keys)
        pay(budget, keys)
        return _original(name)(environment, items, *args, **kwargs)

    return ordered


# -- the filters of jinja2 --------------------------------------------------------------------------------------------


def _original(name: str) -> Callable[..., Any]:
    """A filter of jinja2, to be called with the environment first whatever it wants to have."""
    function: Callable[..., Any] = DEFAULT_FILTERS[name]
    wanted = getattr(function, "jinja_pass_arg", None)
    if wanted is None:
        return lambda environment, *args, **kwargs: function(*args, **kwargs)
    if wanted.name == "environment":
        return function
    if wanted.name == "context":
        return lambda environment, *args, **kwargs: function(environment.context, *args, **kwargs)
    return lambda environment, *args, **kwargs: function(environment.context.eval_ctx, *args, **kwargs)


def _priced(name: str, price: Callable[..., Any]) -> Callable[..., Any]:
    original = _original(name)

    def priced(environment: Environment, value: Any, *args: Any, **kwargs: Any) -> Any:
        budget = environment.budget
        budget.charge(CALL_STEPS)
        return bounded(original(environment, price(budget, value, *args, **kwargs), *args, **kwargs))

    return priced


def _lazy(priced: Callable[..., Any]) -> Callable[..., Any]:
    def lazy(environment: Environment, value: Any, *args: Any, **kwargs: Any) -> Lazy:
        return Lazy(environment.budget, priced(environment, value, *args, **kwargs))

    return lazy


FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _priced(name, price) for name, price in PRICES.items()},
    **{name: _lazy(_priced(name, price)) for name, price in LAZY_PRICES.items() if name in DEFAULT_FILTERS},
    "attr": _attr,
    "groupby": _ordered("groupby", 0, pay_sorting),
    "join": _join,
    "max": _ordered("max", 1, _pay_keys),
    "min": _ordered("min", 1, _pay_keys),
    "sort": _ordered("sort", 2, pay_sorting),
    "striptags": _striptags,
    "sum": _sum,
    "unique": _unique,
}
for _function in FILTERS.values():
    pass_environment(_function)
