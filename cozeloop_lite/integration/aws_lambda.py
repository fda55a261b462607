"""Serverless functions: a span for each invocation, sent before the platform freezes the process.

A function's process stands still between two invocations, may be copied (AWS SnapStart) and is killed without notice.
So what was finished must be sent before the function returns, but never at the cost of its time limit, and a platform
for traces that hangs must not slow every invocation down.

    from cozeloop_lite.integration.aws_lambda import lambda_handler

    @lambda_handler
    def handler(event, context):
        ...

Made for AWS Lambda. Elsewhere (Volcengine veFaaS, Alibaba Function Compute, Google Cloud Functions) it works as well:
what a platform does not tell is not recorded.
"""

from __future__ import annotations

import functools
import itertools
import threading
from time import monotonic, time

from .. import clients, logger
from ..trace import content, depth, ids, values
from ..trace.span import NOOP
from . import incoming, lambda_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar, overload

    from ..client import Client
    from ..trace.span import Span

    F = TypeVar("F", bound=Callable[..., Any])
else:

    def overload(fn):
        """That of ``typing``, without importing it."""
        return fn


__all__ = ["lambda_handler"]

FLUSH_SECONDS = 2.0  # what sending may add to an invocation ...
SHORT_SECONDS = 0.2  # ... after it failed, in each of ...
SHORT_FLUSHES = 9  # ... so many invocations, before there is another full attempt
MARGIN_SECONDS = 0.2  # of an invocation's time that are never used for sending
IDLE_SECONDS = 60.0  # after which a connection is not trusted: while we are frozen, the other side may forget it

_invocations = itertools.count()  # of this process; taking a number is one atomic step
_hooked = False  # whether AWS SnapStart was told of us


@overload
def lambda_handler(
    func: None = None,
    *,
    name: str | None = ...,
    span_type: str = ...,
    client: Client | None = ...,
    flush_timeout: float = ...,
    record_inputs: bool = ...,
    record_outputs: bool = ...,
    trust_headers: bool = ...,
) -> Callable[[F], F]: ...
@overload
def lambda_handler(  # noqa: F811 - ruff does not know this overload
    func: F,
    *,
    name: str | None = ...,
    span_type: str = ...,
    client: Client | None = ...,
    flush_timeout: float = ...,
    record_inputs: bool = ...,
    record_outputs: bool = ...,
    trust_headers: bool = ...,
) -> F: ...
def lambda_handler(  # noqa: F811
    func: Any = None,
    *,
    name: str | None = None,
    span_type: str = "function",
    client: Client | None = None,
    flush_timeout: float = FLUSH_SECONDS,
    record_inputs: bool = True,
    record_outputs: bool = True,
    trust_headers: bool = True,
) -> Any:
    """Decorate the function that the platform calls: ``@lambda_handler`` or ``@lambda_handler(name="orders", ...)``.

    Each invocation is a span: a child of the caller's if the event has its headers, else the root of a new trace; what
    a ``TraceMiddleware`` or another decorated function answers inside it is a part of it. Input is the event, output
    the result, both without credentials in their headers. Tags are ``request_id``, ``function_name``,
    ``function_version`` and ``cold_start``. An exception is recorded and goes on unchanged. At the end all that is
    finished is sent, by all clients, within the time that the invocation has left. Never raises.

    A plain function of ``(event, context)``; the results of others (an ``async def`` one) are handed on as they are.

    Args:
        func: the function, when used without arguments.
        name: of the span; default the name that the platform has for the function, or that of the Python function.
        span_type: of the span.
        client: default the default client.
        flush_timeout: seconds that sending may take at most. After it took them in vain, the next invocations wait
            for 0.2 s only, and every tenth again for all of it.
        record_inputs: False keeps the event out of the trace.
        record_outputs: False keeps the result out of the trace.
        trust_headers: False for a function that strangers reach: every invocation is then the root of a new trace,
            whatever trace and baggage its event names.
    """

    def decorate(fn: Any) -> Any:
        if not callable(fn):
            logger.warn("lambda_handler() takes a function, not %s, and traces nothing", values.describe(fn))
            return fn
        _expect_snapshots()
        handler = _Handler(fn, name, span_type, client, flush_timeout, record_inputs, record_outputs, trust_headers)

        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if depth.near_limit():  # a function that calls itself without end
                return fn(*args, **kwargs)
            event, context = lambda_events.arguments(args, kwargs)
            try:
                with handler.start(event, context) as span:
                    result = fn(*args, **kwargs)
                    handler.note_result(span, result)
                    return result
            finally:
                handler.flush(context)

        return wrapper

    return decorate if func is None else decorate(func)


class _Handler:
    """A decorated function: what is recorded of its invocations, and how they end."""

    def __init__(
        self,
        fn: Any,
        name: str | None,
        span_type: str,
        client: Client | None,
        flush_timeout: float,
        record_inputs: bool,
        record_outputs: bool,
        trust_headers: bool,
    ) -> None:
        self._name = name
        self._own_name = getattr(fn, "__qualname__", type(fn).__qualname__)
        self._span_type = span_type
        self._client = client
        self._patience = _Patience(flush_timeout)
        self._record_inputs = content.allowed("record_inputs", record_inputs)
        self._record_outputs = content.allowed("record_outputs", record_outputs)
        self._trust_headers = content.allowed("trust_headers", trust_headers)
        self._last = time()  # when there last was something to send; by the wall clock, which does not stand still

    def start(self, event: Any, context: Any) -> Span:
        """The span of an invocation; one that records nothing when there is no client. Never raises."""
        cold = next(_invocations) == 0
        # The process may be one of many that were restored from one image, on machines whose clocks do not show it.
        ids.source.fresh_ns = 0
        try:
            client = self._client if self._client is not None else clients.for_tracing()
            if client is None:
                return NOOP
            if cold:
                _heed_sigterm(client)
            if abs(time() - self._last) > IDLE_SECONDS:
                for each in _with_others(client):
                    _forget_connections(each)
            tags = lambda_events.context_tags(context)
            event = lambda_events.parsed(event)
            span_name = self._name or tags.get("function_name") or self._own_name
            headers = lambda_events.carrier(event) if self._trust_headers else None
            span = incoming.start_span(client, span_name, self._span_type, headers)
        except Exception as problem:  # noqa: BLE001 - an event, a context or a client of the program's own making
            logger.warn("an invocation of %s is not traced: %s", self._own_name, values.describe(problem))
            return NOOP
        try:
            incoming.enter(span)
            span.set_tags({**tags, "cold_start": cold})
            if self._record_inputs:
                span.set_input(lambda_events.shown(event))
        except BaseException as problem:  # an interruption: the span is to end all the same
            span.__exit__(type(problem), problem, None)
            raise
        return span

    def note_result(self, span: Span, result: Any) -> None:
        """The function returned ``result``. Never raises."""
        if self._record_outputs and span._output is None:  # what the function set itself is better informed
            span.set_output(lambda_events.shown(result))

    def flush(self, context: Any) -> None:
        """Send what is finished, of whichever client, for as long as there is patience and time. Never raises."""
        client = self._client if self._client is not None else clients._default
        if client is None:
            return
        seconds = self._patience.seconds()
        left, near = lambda_events.time_left(context), ""
        if left is not None and left - MARGIN_SECONDS < seconds:
            seconds, near = max(0.0, left - MARGIN_SECONDS), ", so near is the time limit of the invocation"
        end = monotonic() + seconds
        all_clients = _with_others(client)
        for other in all_clients[1:]:
            _flush(other, 0)  # it begins to send, and is waited for below: they share the time
        delivered = [_flush(each, max(0.0, end - monotonic())) for each in all_clients]
        in_vain = not all(delivered) and monotonic() >= end
        if in_vain:
            text = "spans were not delivered within %.2g s%s: they are sent with the next invocation"
            logger.warn(text, seconds, near)
        if not in_vain or seconds >= SHORT_SECONDS:  # less time than that proves nothing
            self._patience.learn(in_vain)
        self._last = time()


def _with_others(client: Client) -> list[Client]:
    """``client``, and the other ones of the process: a function may report to two platforms."""
    return [client, *(other for other in list(clients._clients.values()) if other is not client)]


def _flush(client: Client, seconds: float) -> bool:
    """False when not all was delivered. Never raises."""
    try:
        return client.flush(seconds)
    except Exception as problem:  # noqa: BLE001 - a client of the program's own making
        logger.warn("the spans of an invocation may not have been sent: %s", values.describe(problem))
        return True  # no time was lost: no reason to be less patient


class _Patience:
    """How many seconds the next flush may take: few while the last ones were in vain, but now and then all again.

    So a platform that hangs costs little, and one that is merely slow has its chance.
    """

    def __init__(self, flush_timeout: Any) -> None:
        self._full = FLUSH_SECONDS
        if isinstance(flush_timeout, (int, float)) and flush_timeout >= 0:
            self._full = float(flush_timeout)
        else:
            logger.warn("flush_timeout takes seconds, not %s: it is %g", values.describe(flush_timeout), FLUSH_SECONDS)
        self._short = 0  # how many more are to be short

    def seconds(self) -> float:
        """For the next flush."""
        return min(self._full, SHORT_SECONDS) if self._short else self._full

    def learn(self, in_vain: bool) -> None:
        """A flush used up its time ``in_vain``, or did not."""
        if not in_vain:
            self._short = 0
        else:
            self._short = max(0, self._short - 1) if self._short else SHORT_FLUSHES


# -- the life of the process --------------------------------------------------------------------------------------


def _heed_sigterm(client: Client) -> None:
    """AWS Lambda shuts an environment down by SIGTERM, which kills a process without its exit hooks. Never raises."""
    if threading.current_thread() is not threading.main_thread():
        return
    import signal

    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # whoever has a handler knows what to do
            client.install_signal_flush(signals=[signal.SIGTERM])
    except Exception as problem:  # noqa: BLE001 - no signals here, or another client
        logger.warn("SIGTERM will end the process without a flush: %s", values.describe(problem))


def _expect_snapshots() -> None:
    """Have AWS SnapStart tell us, once, when it takes a snapshot and when it restores one. Never raises."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    try:
        import importlib

        hooks = importlib.import_module("snapshot_restore_py")  # AWS has it in its runtimes
        hooks.register_before_snapshot(_before_snapshot)
        hooks.register_after_restore(_after_restore)
    except ImportError:
        pass
    except Exception as problem:  # noqa: BLE001 - another module of that name
        logger.warn("snapshot_restore_py is not used: %s", values.describe(problem))


def _before_snapshot() -> None:
    """What waits would be sent by every copy of this process."""
    for client in list(clients._clients.values()):
        client.flush(FLUSH_SECONDS)


def _after_restore() -> None:
    """This process is a copy: it draws ids of its own, and the connections are those of another."""
    ids.source.fresh_ns = 0
    for client in list(clients._clients.values()):
        _forget_connections(client)


def _forget_connections(client: Client) -> None:
    """The idle ones. A request on a dead one would cost an attempt, or all the time that there is. Never raises."""
    try:
        client.api.close()
    except Exception as problem:  # noqa: BLE001 - a socket that cannot even be closed
        logger.warn("idle connections could not be closed: %s", values.describe(problem))
