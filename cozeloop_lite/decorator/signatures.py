"""What is behind a callable: the Python function that runs, of which kind it is, and the names of its arguments.

By the code object. ``inspect`` would do, but importing it costs more than importing all of this package.
"""

from __future__ import annotations

import functools
from types import CodeType, FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Kinds of functions (inspect.CO_*)
_VARARGS, _VARKEYWORDS = 0x04, 0x08
GENERATOR, COROUTINE, ITERABLE_COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200

_MAX_LAYERS = 50  # of decorators, partials and methods; an object may pretend to have any attribute, without end


class Signed:
    """A Python function, and the arguments it is given in front of those of a call."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], bound: bool) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._bound = bound  # whether the first one is what the method is of

    @property
    def flags(self) -> int:
        return int(self._function.__code__.co_flags)

    @property
    def takes_self(self) -> bool:
        """Whether the first argument of a call is for a parameter called ``self``."""
        code: CodeType = self._function.__code__
        return not self._args and code.co_argcount > 0 and code.co_varnames[0] == "self"

    def by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by the names of their parameters, defaults included, without ``self`` and ``cls``."""
        function = self._function
        code: CodeType = function.__code__
        positions, total = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:total]
        by_keyword = frozenset(names[getattr(code, "co_posonlyargcount", 0) :])  # CPython 3.7 has no such parameters
        given_args, given_kwargs = (*self._args, *args), {**self._kwargs, **kwargs}
        others = {name: value for name, value in given_kwargs.items() if name not in by_keyword}
        if (len(given_args) > positions and not code.co_flags & _VARARGS) or (
            others and not code.co_flags & _VARKEYWORDS
        ):
            return {"args": args, "kwargs": kwargs}  # the call is wrong, or a decorator claims another's signature
        defaults = function.__defaults__ or ()
        values = dict(zip(names[positions - len(defaults) : positions], defaults))
        values.update(function.__kwdefaults__ or {})
        values.update(zip(names[:positions], given_args))
        values.update((name, value) for name, value in given_kwargs.items() if name in by_keyword)
        result = {name: values[name] for name in names if name in values}
        of_object = positions > 0 and (self._bound or names[0] in ("self", "cls"))
        if of_object:
            result.pop(names[0], None)
        rest = total
        if code.co_flags & _VARARGS:
            first = positions if of_object or not self._bound else 1
            result[code.co_varnames[rest]] = given_args[first:]
            rest += 1
        if code.co_flags & _VARKEYWORDS:
            result[code.co_varnames[rest]] = others
        return result

    def takes_span(self) -> bool:
        """Whether a call with one argument is meant: it is required, or called ``span``, or there may be any number."""
        code: CodeType = self._function.__code__
        names = code.co_varnames[len(self._args) : code.co_argcount]
        for position, name in enumerate(names, len(self._args)):
            if name not in self._kwargs:
                required = position < code.co_argcount - len(self._function.__defaults__ or ())
                return required or name == "span"
        return bool(code.co_flags & _VARARGS)


def of(fn: Any, through_wrappers: bool) -> Signed | None:
    """What a call of ``fn`` runs; None when that is not written in Python.

    ``through_wrappers``: not the wrapper that a decorator put around a function, but that function, of which it has the
    signature (as ``inspect.signature`` has it).
    """
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    bound = False
    try:
        for _ in range(_MAX_LAYERS):
            if isinstance(fn, functools.partial):
                args, kwargs, fn = (*fn.args, *args), {**fn.keywords, **kwargs}, fn.func
            elif isinstance(fn, MethodType):
                args, bound, fn = (fn.__self__, *args), True, fn.__func__
            elif through_wrappers and getattr(fn, "__wrapped__", None) is not None:
                fn = fn.__wrapped__
            elif type(fn) is FunctionType:
                return Signed(fn, args, kwargs, bound)
            else:
                call = getattr(type(fn), "__call__", None)  # noqa: B004 - it is this method that is wanted
                if type(call) is not FunctionType:
                    return None
                args, bound, fn = (fn, *args), True, call
    except Exception:  # noqa: BLE001, S110 - an object that fails when it is looked at is called all the same
        pass
    return None


def takes_span(fn: Any) -> bool:
    """Whether ``fn(span)`` is meant rather than ``fn()``."""
    signed = of(fn, through_wrappers=True)
    if signed is not None:
        return signed.takes_span()
    from inspect import Parameter, signature

    try:
        for parameter in signature(fn).parameters.values():
            if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
                return parameter.default is Parameter.empty or parameter.name == "span"
            return parameter.kind is Parameter.VAR_POSITIONAL
    except (TypeError, ValueError):  # a builtin that does not say
        pass
    return False
