"""Tracing a function without touching its body: ``observe`` wraps it, ``traceable`` runs it now.

A wrapped function behaves as the bare one: same results, same exceptions, same kind (a generator function stays one),
same protocol of ``send``, ``throw`` and ``close``. What is recorded is best effort: a hook that raises, a value that
cannot be written, a client that is not configured cost a log line, never the call.
"""

from __future__ import annotations

from . import official
from .observer import Observer
from .signatures import takes_span
from .wrappers import wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, TypeVar, overload

    from ..client import Client
    from .decorator import CozeLoopDecorator as CozeLoopDecorator
    from .decorator import coze_loop_decorator as coze_loop_decorator
    from .decorator import to_runnable as to_runnable

    F = TypeVar("F")
    T = TypeVar("T")
else:

    def overload(fn):
        """That of ``typing``, without importing it."""
        return fn


__all__ = ["CozeLoopDecorator", "coze_loop_decorator", "observe", "to_runnable", "traceable"]


def __getattr__(name: str) -> object:
    if name in ("CozeLoopDecorator", "coze_loop_decorator", "to_runnable"):
        from . import decorator

        return getattr(decorator, name)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


@overload
def observe(
    func: None = None,
    *,
    name: str | None = ...,
    span_type: str | None = ...,
    tags: Mapping[str, Any] | None = ...,
    baggage: Mapping[str, str] | None = ...,
    client: Client | None = ...,
    process_inputs: Callable[[dict[str, Any]], Any] | None = ...,
    process_outputs: Callable[[Any], Any] | None = ...,
    process_iterator_outputs: Callable[[list[Any]], Any] | None = ...,
    record_inputs: bool = ...,
    record_outputs: bool = ...,
    ultra_large_report: bool | None = ...,
) -> Callable[[F], F]: ...
@overload
def observe(  # noqa: F811 - ruff does not know this overload
    func: F,
    *,
    name: str | None = ...,
    span_type: str | None = ...,
    tags: Mapping[str, Any] | None = ...,
    baggage: Mapping[str, str] | None = ...,
    client: Client | None = ...,
    process_inputs: Callable[[dict[str, Any]], Any] | None = ...,
    process_outputs: Callable[[Any], Any] | None = ...,
    process_iterator_outputs: Callable[[list[Any]], Any] | None = ...,
    record_inputs: bool = ...,
    record_outputs: bool = ...,
    ultra_large_report: bool | None = ...,
) -> F: ...
def observe(  # noqa: F811
    func: Any = None,
    *,
    name: str | None = None,
    span_type: str | None = None,
    tags: Mapping[str, Any] | None = None,
    baggage: Mapping[str, str] | None = None,
    client: Client | None = None,
    process_inputs: Callable[[dict[str, Any]], Any] | None = None,
    process_outputs: Callable[[Any], Any] | None = None,
    process_iterator_outputs: Callable[[list[Any]], Any] | None = None,
    record_inputs: bool = True,
    record_outputs: bool = True,
    ultra_large_report: bool | None = None,
) -> Any:
    """Decorate a function, so that each call is a span: ``@observe`` or ``@observe(name="answer", ...)``.

    Works on functions, methods, static and class methods, generators, coroutine functions and async generators. Input
    is the arguments by name, as they are when the function starts, without ``self`` and ``cls``; output is the
    result, for generators the list of what they yielded. An exception is recorded and goes on unchanged. A generator
    that is left before its end finishes its span with the tag ``incomplete``. In a program that imports this library as
    ``cozeloop`` (:mod:`cozeloop_lite.as_cozeloop`) the spans are those of the official package instead:
    ``decorator/official.py`` says what differs.

    Args:
        func: the function, when used without arguments.
        name: of the span; default the qualified name of the function.
        span_type: of the span; default ``"custom"``. For ``"model"``, the first item of a stream sets the time to first
            token.
        tags: set on each span.
        baggage: set on each span and inherited by its descendants.
        client: default the default client.
        process_inputs: is given ``{"args": ..., "kwargs": ...}`` and returns what to record instead of the arguments.
        process_outputs: is given the result (of a generator: the list of items) and returns what to record instead. A
            dict it returns may have ``_inner_tokens_dict`` with ``input_tokens`` and ``output_tokens``.
        process_iterator_outputs: is given the list of items of a generator, or of the iterator or stream that the
            function returns; only with it such a returned object is watched (and wrapped, keeping all its methods).
        record_inputs: False keeps the arguments out of the trace.
        record_outputs: False keeps the result out of the trace.
        ultra_large_report: whether text over 1 MiB goes up as a file; default that of the client.
    """

    def decorate(fn: Any) -> Any:
        if issubclass(type(fn), (staticmethod, classmethod)):
            return type(fn)(decorate(fn.__func__))
        kind = official.OfficialObserver if official.wanted else Observer
        observer = kind(
            fn,
            name=name,
            span_type=span_type,
            tags=tags,
            baggage=baggage,
            client=client,
            process_inputs=process_inputs,
            process_outputs=process_outputs,
            process_iterator_outputs=process_iterator_outputs,
            record_inputs=record_inputs,
            record_outputs=record_outputs,
            ultra_large_report=ultra_large_report,
        )
        return wrap(observer)

    return decorate if func is None else decorate(func)


def traceable(
    fn: Callable[..., T],
    *,
    name: str | None = None,
    span_type: str | None = None,
    tags: Mapping[str, Any] | None = None,
    baggage: Mapping[str, str] | None = None,
    client: Client | None = None,
    process_outputs: Callable[[Any], Any] | None = None,
    process_iterator_outputs: Callable[[list[Any]], Any] | None = None,
    record_outputs: bool = True,
    ultra_large_report: bool | None = None,
) -> T:
    """Run ``fn(span)``, or ``fn()`` when it takes no argument, now and in a span of its own; return what it returns.

    The result becomes the output, unless ``fn`` called ``span.set_output`` itself. A coroutine function gives a
    coroutine to be awaited, a generator function a generator. Exceptions are recorded and go on unchanged. The
    arguments are those of :func:`observe`.

    >>> answer = traceable(lambda span: ask(question), name="ask", span_type="model")  # doctest: +SKIP
    """
    observer = Observer(
        fn,
        name=name,
        span_type=span_type,
        tags=tags,
        baggage=baggage,
        client=client,
        process_outputs=process_outputs,
        process_iterator_outputs=process_iterator_outputs,
        record_inputs=False,
        record_outputs=record_outputs,
        ultra_large_report=ultra_large_report,
        gives_span=takes_span(fn),
    )
    return wrap(observer)()  # type: ignore[no-any-return]
