"""The tests and the functions of templates: those of jinja2, each with its price."""

from __future__ import annotations

from itertools import chain

from jinja2.runtime import Undefined
from jinja2.sandbox import safe_range
from jinja2.tests import TESTS as DEFAULT_TESTS
from jinja2.utils import Cycler, Joiner, Namespace, generate_lorem_ipsum, pass_environment

from .jinja_budget import OverBudget, can_collide, whole
from .jinja_operators import binary, compare, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .jinja_budget import Budget
    from .jinja_sandbox import Environment

CALL_STEPS = 2  # for a test
OBJECT_STEPS = 20  # for a new namespace and the like
WORD_STEPS = 10  # for a word of lorem ipsum


# -- tests ------------------------------------------------------------------------------------------------------------


def _remainder(environment: Environment, value: Any, divisor: Any) -> Any:
    return binary(environment.budget, "%", value, divisor)


def _read(environment: Environment, value: Any) -> str:
    text = text_of(environment.budget, value)
    environment.budget.look(text, 2)
    return text


def _is_sequence(environment: Environment, value: Any) -> bool:
    try:
        len(value)
        value.__getitem__  # noqa: B018
    except (OverBudget, RecursionError):  # jinja2 would go on, which before CPython 3.10 can end the process
        raise
    except Exception:  # noqa: BLE001 - then it is none
        return False
    return True


def _compared(name: str) -> Callable[..., Any]:
    return lambda environment, value, other: compare(environment.budget, name, value, other)


def _priced_test(name: str) -> Callable[..., Any]:
    function: Any = DEFAULT_TESTS[name]
    wants_environment = hasattr(function, "jinja_pass_arg")

    def test(environment: Environment, value: Any, *args: Any, **kwargs: Any) -> Any:
        environment.budget.charge(CALL_STEPS)
        if wants_environment:  # "filter" and "test": whether there is one of that name
            environment.budget.look(value)
            return function(environment, value, *args, **kwargs)
        return function(value, *args, **kwargs)

    return test


_COMPARING = {
    "eq": ["==", "eq", "equalto"],
    "ne": ["!=", "ne"],
    "gt": [">", "gt", "greaterthan"],
    "gteq": [">=", "ge"],
    "lt": ["<", "lt", "lessthan"],
    "lteq": ["<=", "le"],
    "in": ["in"],
}

TESTS: dict[str, Callable[..., Any]] = {
    **{name: _priced_test(name) for name in DEFAULT_TESTS},
    **{name: _compared(sign) for sign, names in _COMPARING.items() for name in names},
    "divisibleby": lambda environment, value, num: _remainder(environment, value, num) == 0,
    "even": lambda environment, value: _remainder(environment, value, 2) == 0,
    "lower": lambda environment, value: _read(environment, value).islower(),
    "odd": lambda environment, value: _remainder(environment, value, 2) == 1,
    "sequence": _is_sequence,
    "upper": lambda environment, value: _read(environment, value).isupper(),
}


# -- functions --------------------------------------------------------------------------------------------------------


class BoundedNamespace(Namespace):
    """A namespace is the one thing that a template can change. So it pays for its content whenever that is shown."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, budget, args = args[0], args[1], args[2:]
        object.__setattr__(self, "_budget", budget)
        Namespace.__init__(self, *args, **kwargs)

    def __repr__(self) -> str:
        get = object.__getattribute__
        budget = get(self, "_budget")
        budget.charge(OBJECT_STEPS)
        budget.show(get(self, "_Namespace__attrs"))
        budget.enter()
        try:
            return super().__repr__()
        finally:
            budget.leave()


def _namespace(environment: Environment, *args: Any, **kwargs: Any) -> Namespace:
    environment.budget.charge(OBJECT_STEPS)
    return BoundedNamespace(environment.budget, *_content(environment.budget, args, kwargs), **kwargs)


def _dict(environment: Environment, *args: Any, **kwargs: Any) -> dict[Any, Any]:
    return dict(*_content(environment.budget, args, kwargs), **kwargs)


def _content(budget: Budget, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What a dict is to be made of, paid for."""
    budget.charge(10 + 6 * len(kwargs))
    content: list[Any] = []
    for arg in args:
        if hasattr(type(arg), "keys"):
            budget.charge(6 * len(arg))
            content.append(arg)
        else:
            pairs = [tuple(budget.counted(pair, 3)) for pair in budget.counted(arg, 6)]
            content.append([(key_of_dict(key), value) for key, value in pairs])
    return content


def key_of_dict(key: Any) -> Any:
    """The key, if a template may make a dict with it. Keys that share a hash would make each look-up a long one."""
    if can_collide(key) and not isinstance(key, Undefined):
        raise OverBudget("a dict is given a key that is neither a text nor a usual number")
    return key


def _cycler(environment: Environment, *items: Any) -> Cycler:
    environment.budget.charge(OBJECT_STEPS + len(items))
    return Cycler(*items)


def _joiner(environment: Environment, sep: Any = ", ") -> Joiner:
    environment.budget.charge(OBJECT_STEPS)
    return Joiner(sep)


def _lipsum(environment: Environment, n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    environment.budget.charge(WORD_STEPS * whole(n) * whole(max))
    return generate_lorem_ipsum(n, html, min, max)


def _range(environment: Environment, *args: int) -> range:
    return safe_range(*args)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cycler": _cycler,
    "dict": _dict,
    "joiner": _joiner,
    "lipsum": _lipsum,
    "namespace": _namespace,
    "range": _range,
}

for _function in chain(TESTS.values(), FUNCTIONS.values()):
    pass_environment(_function)
