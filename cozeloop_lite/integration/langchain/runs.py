"""Which runs of LangChain are going on, the span of each, and the end of those of which LangChain never tells one.

LangChain names a run by ``run_id`` and the run it belongs to by ``parent_run_id``: by these, and not by thread or task,
a span finds its parent. An end is not always told: a model, tool or retriever whose task is cancelled just stops. It is
over when the run above it was cancelled, or ended in the same task, when its own task was cancelled, or when nobody has
the handler any more. The rest is bounded: of too many open runs the oldest are given up.
"""

from __future__ import annotations

import asyncio
import collections
import importlib
import itertools

from ... import clients, logger
from ...propagation import SpanContext
from ...trace import context, values
from ...trace.span import NOOP, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...client import Client

MAX_OPEN = 10_000  # runs of one handler
MAX_ENDED = 1_000  # of which is remembered where in the trace they were, for runs that start below them later

# LangChain keeps here, while the function of a step runs, what it hands down to the steps inside it.
_child_config: Any = importlib.import_module("langchain_core.runnables.config").var_child_runnable_config


class Inside(context.StandIn):
    """A run on the stack of spans: it counts as open only for code that LangChain runs inside it.

    Not for whoever takes the items of a stream while it is going on, although that is the same thread or task.
    """

    __slots__ = ("_run_id",)

    def __init__(self, span: Span, run_id: Any) -> None:
        self.span = span
        self._trace = span._trace
        self._id = span._id
        self._outer: Any = span._outer  # this takes the place of the span
        self._run_id = run_id

    @property
    def _finished(self) -> bool:  # type: ignore[override]  # it depends on who asks
        if self.span._finished:
            return True
        config = _child_config.get()
        return config is None or getattr(config.get("callbacks"), "parent_run_id", None) != self._run_id


class Run:
    """A run that has started and not ended."""

    __slots__ = ("awaits_token", "before", "below", "id", "inside", "parent", "span", "state", "task", "watch")

    def __init__(self, run_id: Any, span: Span, parent: Run | None) -> None:
        self.id = run_id
        self.span = span
        self.parent = parent
        self.below: dict[Any, Run] = {}
        self.inside: Inside | None = None
        self.task = _current_task()
        self.watch: Any = None
        self.awaits_token = True  # of a model: whether nothing came yet
        self.state: dict[Any, Any] | None = None  # the input that has the span in it, and what it had in its place
        self.before: Any = None


class Runs:
    """The runs of one handler. Nothing here takes a lock: each step is one operation on a dict."""

    def __init__(self, client: Client | None, child_of: SpanContext | None) -> None:
        self._client = client
        self._child_of = child_of
        self._open: dict[Any, Run] = {}
        self._ended: collections.OrderedDict[Any, SpanContext] = collections.OrderedDict()
        self.get = self._open.get

    def pass_over(self, run_id: Any, parent_id: Any) -> bool:
        """Make no span of a run: what is below it is below the run above it. False when there is none above it."""
        parent = self._open.get(parent_id)
        above = parent.span if parent is not None else self._ended.get(parent_id)
        if above is not None:
            self._remember(run_id, above)
        return above is not None

    def start(self, run_id: Any, parent_id: Any, name: str, span_type: str) -> Run | None:
        """The span of a run that starts; None when there is no client, or the run is known."""
        client = self._client if self._client is not None else clients.for_tracing()
        if client is None or run_id in self._open:
            return None
        parent = self._open.get(parent_id)
        above = _nearest(parent) if parent is not None else self._ended.get(parent_id, self._child_of)
        span = client.start_span(name, span_type, child_of=above)
        run = Run(run_id, span, parent)
        if context.top() is span:
            run.inside = Inside(span, run_id)
            context.push(run.inside)
        self._open[run_id] = run
        if parent is not None:
            parent.below[run_id] = run
        if run.task is not None and (parent is None or parent.task is not run.task):
            run.watch = lambda task: self._task_done(run, task)
            run.task.add_done_callback(run.watch)
        if len(self._open) > MAX_OPEN:
            self._give_up_oldest()
        return run

    def end(self, run: Run, error: BaseException | None = None) -> None:
        """Finish the span of a run; ``error`` is what cancelled it, and with it what is below."""
        if self._open.pop(run.id, None) is None:
            return
        for child in list(run.below.values()):
            # Before langchain-core 0.3, models begin in a task of their own that is done at once.
            same = child.task is not None and (child.task is run.task or child.task.done())
            if error is not None or same:
                self._cut_off(child, error)
        if run.parent is not None:
            run.parent.below.pop(run.id, None)
        if run.watch is not None and run.task is not None:
            run.task.remove_done_callback(run.watch)
        span, inside = run.span, run.inside
        self._remember(run.id, span)
        span.finish()
        if inside is not None:
            top: Any = context.top()
            if top is inside:
                context.push(inside._outer)
            inside.span = NOOP  # the stack of another task may still have it, and need not keep the span alive

    def _remember(self, run_id: Any, span: SpanContext) -> None:
        self._ended[run_id] = SpanContext(span._trace, span._id, span._baggage)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _cut_off(self, run: Run, error: BaseException | None) -> None:
        """``run`` was never told to have ended."""
        if error is None or isinstance(error, GeneratorExit):
            run.span.set_tags({"incomplete": True})
        else:
            run.span.set_error(error)
            run.span.set_tags({"error_type": type(error).__name__})
        self.end(run, error or GeneratorExit())

    def _task_done(self, run: Run, task: Any) -> None:
        if task.cancelled():
            self._cut_off(run, asyncio.CancelledError())

    def _give_up_oldest(self) -> None:
        # A sixteenth at once, since finding the oldest one costs as much as there were older ones.
        try:
            oldest = list(itertools.islice(self._open.values(), MAX_OPEN // 16))
        except RuntimeError:  # another thread changed the dict; the next run comes here again
            return
        text = "over %d runs of LangChain are open: the oldest, such as %r, end here"
        logger.warn(text, MAX_OPEN, oldest[0].span._name)
        for run in oldest:
            self._cut_off(run, None)

    def __del__(self) -> None:
        try:
            for run in list(self._open.values()):
                self._cut_off(run, None)
        except Exception as problem:  # noqa: BLE001 - the interpreter may be taking itself apart
            logger.warn("what is open of LangChain was not finished: %s", values.describe(problem))


def _nearest(run: Run) -> SpanContext:
    """The span of ``run``, or one that the program itself started inside it and that is current here."""
    span: Any = context.current()
    above: Any = span if type(span) is Span else None
    while above is not None and above is not run.inside:
        above = above._outer
    return run.span if above is None else span


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop in this thread
        return None
