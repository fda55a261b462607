"""The way in: ``LoopTracer`` makes the callback handler that LangChain and LangGraph take.

LangChain itself (``langchain-core`` 0.1 or later) is imported when the first handler is made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from ...client import Client
    from ...propagation import SpanContext
    from .handler import LoopTraceCallbackHandler

__all__ = ["LoopTraceCallbackHandler", "LoopTracer"]


class LoopTracer:
    """Makes callback handlers."""

    @classmethod
    def get_callback_handler(
        cls,
        client: Client | None = None,
        modify_name_fn: Callable[[str], str] | None = None,
        add_tags_fn: Callable[[str], Mapping[str, Any]] | None = None,
        tags: Mapping[str, Any] | None = None,
        child_of: SpanContext | None = None,
        state_span_ctx_key: str | None = None,
    ) -> LoopTraceCallbackHandler:
        """A handler for ``config={"callbacks": [handler]}``, or for ``callbacks=`` of a model, tool or chain.

        Chains, graphs, agents, models, prompts, parsers, tools and retrievers become spans, each below the one that
        LangChain says it belongs to, whatever threads and tasks they run in. The outermost ones are children of
        ``child_of``, or else of the span that is current where they start. Inside a step that span is the current one:
        spans that the program starts there, by ``start_span`` or ``observe``, are its children (in coroutines: from
        Python 3.11 on).

        The handler changes nothing of what the chain does, and never raises. It may be used for many runs, at the same
        time as well.

        Args:
            client: where the spans go; default the default client.
            modify_name_fn: is given the name of a step (in a graph that of the node), and returns that of its span.
            add_tags_fn: is given the name of a step, and returns tags for its span; stronger than ``tags``.
            tags: set on each span.
            child_of: the parent of the outermost spans.
            state_span_ctx_key: a key under which each chain and each node of a graph finds its own span in its input,
                if that is a dict, while it runs: for ``child_of=`` where the current span is not known, as in
                coroutines before Python 3.11. Not to be returned by a node whose graph stores its state.

        Raises:
            ImportError: ``langchain-core`` is not installed.
        """
        from .handler import LoopTraceCallbackHandler

        return LoopTraceCallbackHandler(modify_name_fn, add_tags_fn, tags, child_of, client, state_span_ctx_key)


def __getattr__(name: str) -> Any:
    if name == "LoopTraceCallbackHandler":
        from . import handler

        return handler.LoopTraceCallbackHandler
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
