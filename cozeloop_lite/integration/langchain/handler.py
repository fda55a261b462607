"""The callback handler: LangChain tells it what begins, goes on and ends, and it puts that on spans.

It works in the thread or task that tells it (``run_inline``): nothing here waits, and so an event is never overtaken by
the next one, and never lost when a task is cancelled.
"""

from __future__ import annotations

import functools
import importlib
from time import time_ns

from ... import logger
from ...trace import depth, values
from . import kinds, messages, models, outcomes, prompts
from .runs import Runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ...client import Client
    from ...propagation import SpanContext
    from ...trace.span import Span
    from .runs import Run

_Base: Any = importlib.import_module("langchain_core.callbacks.base").BaseCallbackHandler


def _safely(event: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(event)
    def called(*args: Any, **kwargs: Any) -> None:
        if depth.ABORTS and depth.near_limit():
            return
        try:
            event(*args, **kwargs)
        except Exception as problem:  # noqa: BLE001 - a value of the program that fails when it is looked at
            logger.warn("a step of LangChain is not recorded in full: %s", values.describe(problem))

    return called


class LoopTraceCallbackHandler(_Base):  # type: ignore[misc]  # langchain-core need not be there to check this
    """Made by :meth:`LoopTracer.get_callback_handler`, which says what the arguments are."""

    raise_error = False
    run_inline = True

    def __init__(
        self,
        name_fn: Callable[[str], str] | None = None,
        tags_fn: Callable[[str], Mapping[str, Any]] | None = None,
        tags: Mapping[str, Any] | None = None,
        child_of: SpanContext | None = None,
        client: Client | None = None,
        state_span_ctx_key: str | None = None,
    ) -> None:
        super().__init__()
        self.name_fn = name_fn
        self.tags_fn = tags_fn
        self.trace_id: str | None = None  # of the last outermost span, and its own id
        self.root_span_id: str | None = None
        self._tags = dict(tags or {})
        self._state_key = state_span_ctx_key
        self._runs = Runs(client, child_of)

    def __copy__(self) -> LoopTraceCallbackHandler:
        return self

    def __deepcopy__(self, memo: Any) -> LoopTraceCallbackHandler:
        return self  # a program that copies its configuration copies no client with it

    # -- models -------------------------------------------------------------------------------------------------

    @_safely
    def on_llm_start(self, serialized: Any, texts: Any, **about: Any) -> None:
        """A model that takes text begins."""
        self._start_model(serialized, lambda: [{"role": "user", "content": text} for text in texts], about)

    @_safely
    def on_chat_model_start(self, serialized: Any, lists: Any, **about: Any) -> None:
        """A model that takes messages begins."""
        self._start_model(serialized, lambda: messages.conversation(lists[0] if lists else ()), about)

    def _start_model(self, serialized: Any, given: Callable[[], list[dict[str, Any]]], about: dict[str, Any]) -> None:
        run = self._start(serialized, "model", about)
        if run is not None and run.span._recording:
            params = about.get("invocation_params") or {}
            run.span.set_tags(models.call_tags(params, about.get("metadata") or {}))
            if run.span._owner.record_inputs:
                run.span.set_input(models.call_input(given(), params))

    @_safely
    def on_llm_new_token(self, token: Any, *, run_id: Any, **about: Any) -> None:
        """A piece of an answer came."""
        self._note_piece(run_id)

    @_safely
    def on_stream_event(self, event: Any, *, run_id: Any, **about: Any) -> None:
        """A piece of an answer came, in another form of streams."""
        if event.get("event") == "content-block-delta":
            self._note_piece(run_id)

    def _note_piece(self, run_id: Any) -> None:
        run = self._runs.get(run_id)
        if run is not None and run.awaits_token:
            run.awaits_token = False
            run.span.set_start_time_first_resp(time_ns() // 1000)
            run.span.set_tags({"stream": True})

    @_safely
    def on_llm_end(self, response: Any, *, run_id: Any, **about: Any) -> None:
        """A model is done."""
        self._end(run_id, outcomes.set_answer, response)

    @_safely
    def on_llm_error(self, error: BaseException, *, run_id: Any, response: Any = None, **about: Any) -> None:
        """A model failed; ``response`` is what came before."""
        self._fail(run_id, error, outcomes.set_answer, response)

    # -- chains, graphs, agents, prompts, parsers ---------------------------------------------------------------

    @_safely
    def on_chain_start(self, serialized: Any, inputs: Any, **about: Any) -> None:
        """A chain begins, or a graph, a node, an agent, a prompt, a parser."""
        kind = kinds.chain_kind(serialized, about)
        run = self._start(serialized, kind, about)
        if run is None:
            return
        try:
            self._set_input(run.span, inputs, serialized if kind == "prompt" else None)
            if kind == "prompt":
                run.span.set_tags(prompts.origin_tags(about.get("tags"), about.get("metadata") or {}))
        finally:
            if self._state_key and isinstance(inputs, dict) and kind not in ("graph", "agent"):
                # Not into a graph: what is in its input may be stored, and each node finds its own.
                run.state, run.before = inputs, inputs.get(self._state_key)
                inputs[self._state_key] = run.span

    def _set_input(self, span: Span, inputs: Any, template: Any = None) -> None:
        if span._recording and span._owner.record_inputs:
            if self._state_key and isinstance(inputs, dict):
                inputs = {key: value for key, value in inputs.items() if key != self._state_key}
            span.set_input(messages.shown(inputs) if template is None else prompts.template_input(template, inputs))

    @_safely
    def on_chain_end(self, outputs: Any, *, run_id: Any, inputs: Any = None, **about: Any) -> None:
        """A chain is done. Of a stream ``inputs`` are known only now."""

        def describe(span: Span) -> None:
            if inputs is not None:
                self._set_input(span, inputs)
            if span._recording and span._owner.record_outputs:
                shown = prompts.template_output if span._span_type == "prompt" else messages.shown
                span.set_output(shown(outputs))

        self._end(run_id, describe)

    @_safely
    def on_chain_error(self, error: BaseException, *, run_id: Any, inputs: Any = None, **about: Any) -> None:
        """A chain failed."""
        self._fail(run_id, error, self._set_input if inputs is not None else None, inputs)

    # -- tools and retrievers -----------------------------------------------------------------------------------

    @_safely
    def on_tool_start(self, serialized: Any, input_str: Any, *, inputs: Any = None, **about: Any) -> None:
        """A tool begins."""
        run = self._start(serialized, "tool", about)
        if run is not None:
            run.span.set_tags({"tool_call_id": about.get("tool_call_id")})
            self._set_input(run.span, input_str if inputs is None else inputs)

    @_safely
    def on_tool_end(self, output: Any, *, run_id: Any, **about: Any) -> None:
        """A tool is done."""
        self._end(run_id, outcomes.set_tool_output, output)

    @_safely
    def on_tool_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        """A tool failed."""
        self._fail(run_id, error)

    @_safely
    def on_retriever_start(self, serialized: Any, query: Any, **about: Any) -> None:
        """A retriever begins."""
        run = self._start(serialized, "retriever", about)
        if run is not None:
            metadata = about.get("metadata") or {}
            provider = metadata.get("ls_vector_store_provider") or metadata.get("ls_retriever_name")
            run.span.set_tags({"retriever_provider": provider})
            self._set_input(run.span, {"query": query})

    @_safely
    def on_retriever_end(self, documents: Any, *, run_id: Any, **about: Any) -> None:
        """A retriever is done."""
        self._end(run_id, outcomes.set_documents, documents)

    @_safely
    def on_retriever_error(self, error: BaseException, *, run_id: Any, **about: Any) -> None:
        """A retriever failed."""
        self._fail(run_id, error)

    # -- what they share ----------------------------------------------------------------------------------------

    def _start(self, serialized: Any, span_type: str, about: dict[str, Any]) -> Run | None:
        run_id, parent_id = about["run_id"], about.get("parent_run_id")
        # What is called inside a hidden step may have the tag from there: of that only chains go unseen.
        hidden = span_type == "chain" and kinds.HIDDEN in (about.get("tags") or ())
        if hidden and self._runs.pass_over(run_id, parent_id):
            return None
        node = kinds.node_name(serialized, about)
        run = self._runs.start(run_id, parent_id, self._span_name(node), span_type)
        if run is None:
            return None
        if run.parent is None:
            self.trace_id, self.root_span_id = run.span.trace_id, run.span.span_id
        if run.span._recording:
            run.span._extras()["runtime"] = kinds.runtime()  # as set_runtime() would, each time anew
            run.span.set_tags({**self._tags, **self._own_tags(node)})
        return run

    def _span_name(self, node: str) -> str:
        try:
            return (self.name_fn(node) if self.name_fn is not None else None) or node
        except Exception as problem:  # noqa: BLE001 - a hook of the program's
            logger.warn("modify_name_fn failed, the span keeps the name of its step: %s", values.describe(problem))
            return node

    def _own_tags(self, node: str) -> dict[str, Any]:
        try:
            return dict((self.tags_fn(node) if self.tags_fn is not None else None) or {})
        except Exception as problem:  # noqa: BLE001 - a hook of the program's
            logger.warn("add_tags_fn failed, the span goes without its tags: %s", values.describe(problem))
            return {}

    def _end(self, run_id: Any, describe: Callable[..., None], *args: Any) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            try:
                self._clear_state(run)
                describe(run.span, *args)
            finally:
                self._runs.end(run)

    def _fail(self, run_id: Any, error: BaseException, describe: Any = None, *args: Any) -> None:
        run = self._runs.get(run_id)
        if run is None:
            return
        try:
            self._clear_state(run)
            outcomes.set_error(run.span, error)
            if describe is not None:
                describe(run.span, *args)
        finally:
            self._runs.end(run, None if isinstance(error, Exception) else error)

    def _clear_state(self, run: Run) -> None:
        """The input of a step is again as the program made it."""
        state, run.state = run.state, None
        if state is not None and state.get(self._state_key) is run.span:
            if run.before is None:
                del state[self._state_key]
            else:
                state[self._state_key] = run.before
