"""The decorators under the official package's names: as methods of an object, and ``to_runnable`` for LangChain."""

from __future__ import annotations

import functools
import importlib
import inspect

from . import observe as observe_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    F = Callable[..., Any]


def to_runnable(func: F | None = None) -> Any:
    """Decorate a function, so that each call is a run of LangChain, which its callbacks, a ``LoopTracer``'s too, see.

    Give the call the keyword ``config``: that of the run around it, with the callbacks. It is not handed on to the
    function. Works on functions, coroutine functions and generators of both kinds. Needs ``langchain-core``.

    >>> @to_runnable
    ... def search(query): ...
    >>> search("weather", config=config)  # doctest: +SKIP
    """
    return to_runnable if func is None else _wrapped(func)


def _wrapped(fn: F) -> F:
    def runnable(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """A runnable that makes this one call, the input to show of it, and the config."""
        runnables: Any = importlib.import_module("langchain_core.runnables")
        config = {**(kwargs.pop("config", None) or {}), "run_name": fn.__name__}
        given = args[1:] if args and takes_self else args
        shown = {name: value for name, value in (("args", given), ("kwargs", kwargs)) if value}
        call = functools.partial(_call, fn, args, kwargs)
        return runnables.RunnableLambda(call, _awaited(call) if is_coroutine else None), shown, config

    def run(*args: Any, **kwargs: Any) -> Any:
        once, shown, config = runnable(args, kwargs)
        return once.invoke(shown, config)

    async def arun(*args: Any, **kwargs: Any) -> Any:
        once, shown, config = runnable(args, kwargs)
        return await once.ainvoke(shown, config)

    def generate(*args: Any, **kwargs: Any) -> Any:
        return (yield from run(*args, **kwargs))

    async def agenerate(*args: Any, **kwargs: Any) -> Any:
        async for item in run(*args, **kwargs):
            yield item

    is_coroutine = inspect.iscoroutinefunction(fn)
    takes_self = next(iter(inspect.signature(fn).parameters), "") == "self"
    wrapper: F = run
    if inspect.isasyncgenfunction(fn):
        wrapper = agenerate
    elif inspect.isgeneratorfunction(fn):
        wrapper = generate
    elif is_coroutine:
        wrapper = arun
    return functools.wraps(fn)(wrapper)


def _call(fn: F, args: tuple[Any, ...], kwargs: dict[str, Any], shown: Any) -> Any:
    return fn(*args, **kwargs)


def _awaited(call: F) -> F:
    async def awaited(shown: Any) -> Any:
        return await call(shown)

    return awaited


class CozeLoopDecorator:
    """Both decorators, as the official package has them."""

    observe = staticmethod(observe_function)
    to_runnable = staticmethod(to_runnable)


coze_loop_decorator = CozeLoopDecorator()
