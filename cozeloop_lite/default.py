"""The functions of the package itself: each does with the default client what the client's method of that name does."""

from __future__ import annotations

from . import client, clients
from .propagation import extract
from .trace import context
from .trace.span import NOOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, NoReturn

    from .entities.prompt import ExecuteResult, Message, Prompt
    from .prompt.execute_stream import ExecuteStreamReader
    from .prompt.hub import Fallback
    from .propagation import SpanContext
    from .trace.span import Span


def workspace_id() -> str:
    """The workspace of the default client. Raises as :func:`get_default_client` does."""
    return clients.get_default_client().workspace_id


def start_span(
    name: str,
    span_type: str = "custom",
    *,
    start_time: Any = None,
    child_of: SpanContext | None = None,
    start_new_trace: bool = False,
) -> Span:
    """Start a span with the default client: see :meth:`Tracer.start_span`. Never raises."""
    source = clients.for_tracing()
    if source is None:
        return NOOP
    return source.start_span(
        name, span_type, start_time=start_time, child_of=child_of, start_new_trace=start_new_trace
    )


def get_span_from_context() -> Span:
    """The current span of this thread or task; one that records nothing when there is none."""
    return context.current_span() or NOOP


def get_span_from_header(header: Any) -> SpanContext:
    """The span a request came from, by its headers: see :func:`cozeloop_lite.extract`."""
    return extract(header)


def get_prompt(
    prompt_key: str, version: str = "", label: str = "", *, fallback: Fallback | None = None
) -> Prompt | None:
    """A prompt, by the default client: see :meth:`PromptHub.get`. Raises as :func:`get_default_client` does, too."""
    return clients.get_default_client().get_prompt(prompt_key, version, label, fallback=fallback)


def prompt_format(prompt: Prompt, variables: Mapping[str, Any] | None = None) -> list[Message]:
    """The messages of a prompt, by the default client: see :meth:`PromptHub.format_prompt`."""
    return clients.get_default_client().prompt_format(prompt, variables)


def execute_prompt(
    prompt_key: str,
    *,
    version: str | None = None,
    label: str | None = None,
    variable_vals: Mapping[str, Any] | None = None,
    messages: Any = None,
    stream: bool = False,
    timeout: float | None = None,
) -> ExecuteResult | ExecuteStreamReader:
    """Have the platform execute a prompt, by the default client: see :meth:`Client.execute_prompt`."""
    return clients.get_default_client().execute_prompt(
        prompt_key,
        version=version,
        label=label,
        variable_vals=variable_vals,
        messages=messages,
        stream=stream,
        timeout=timeout,
    )


def aexecute_prompt(*args: Any, **kwargs: Any) -> NoReturn:
    """Not available: this library is synchronous. Always raises ``NotImplementedError``."""
    raise NotImplementedError(client.NO_ASYNCIO)


def flush(timeout: float = 10) -> bool:
    """Send what the default client has, and wait for it: see :meth:`Tracer.flush`."""
    return clients._default is None or clients._default.flush(timeout)


def close(timeout: float | None = None) -> bool:
    """Close the default client, if there is one: see :meth:`Client.close`."""
    return clients._default is None or clients._default.close(timeout)


def stats() -> dict[str, Any]:
    """The account of the default client: see :meth:`Tracer.stats`; all zero when there is none."""
    if clients._default is not None:
        return clients._default.stats()
    files = {"delivered": 0, "queued": 0, "dropped": {}}
    return {**dict.fromkeys(_COUNTS, 0), "dropped": {}, "files": files}


_COUNTS = (
    "started", "open", "finished", "delivered", "queued", "spooled", "discarded", "sampled_out", "replayed",
    "replay_lost",
)  # fmt: skip
