"""The client: an API client, a tracer and a prompt hub, wired by one configuration (``clients.py`` makes it)."""

from __future__ import annotations

from . import config, process
from .propagation import extract
from .trace import context
from .trace.span import NOOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator, Mapping, NoReturn

    from .api.client import ApiClient
    from .check.report import Report
    from .entities.prompt import ExecuteResult, Message, Prompt
    from .entities.trace import Trace, TraceSpan
    from .prompt.execute_stream import ExecuteStreamReader
    from .prompt.hub import Fallback, PromptHub
    from .propagation import SpanContext
    from .query.arguments import Time, Value
    from .query.filters import Filters
    from .trace.span import Span
    from .trace.tracer import Tracer

NO_ASYNCIO = (
    "cozeloop_lite is synchronous and has no aexecute_prompt(): use execute_prompt(), in asyncio by "
    "`await loop.run_in_executor(None, cozeloop_lite.bind(lambda: execute_prompt(...)))`"
)


class WorkspaceId(str):
    """The id of a workspace: a text that can be called, since of the official client it is a method."""

    __slots__ = ()

    def __call__(self) -> str:
        return str.__str__(self)


class Client:
    """Everything the platform offers to one workspace. Made by :func:`new_client`; usable in ``with``.

    Attributes:
        api: the :class:`ApiClient`.
        tracer: the :class:`Tracer`.
    """

    def __init__(
        self, api: ApiClient, tracer: Tracer, workspace: str, prompt_conf: config.PromptConfig | None = None
    ) -> None:
        self.api = api
        self.tracer = tracer
        self._workspace_id = workspace
        self._prompt_conf = prompt_conf or config.PromptConfig()
        self._parts: dict[str, PromptHub] = {}
        self._closed = False

    @property
    def prompts(self) -> PromptHub:
        """The :class:`PromptHub`; made when it is first used, so that a program which only traces starts without it."""
        hub = self._parts.get("prompts")
        if hub is None:
            with process.loading():
                from .prompt.hub import PromptHub

            conf = self._prompt_conf
            hub = PromptHub(
                self.api,
                self._workspace_id,
                traceable=conf.traceable,
                tracer=self.tracer,
                cache_max_count=conf.cache_max_count,
                cache_refresh_interval=conf.cache_refresh_interval,
                snapshot=conf.snapshot,
            )
            hub = self._parts.setdefault("prompts", hub)  # one atomic step: of two threads, one makes it
            if self._closed:
                hub.close()
        return hub

    @property
    def workspace_id(self) -> WorkspaceId:
        """The workspace that spans are reported to. ``client.workspace_id()`` is the same."""
        return WorkspaceId(self._workspace_id)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def start_span(
        self,
        name: str,
        span_type: str = "custom",
        *,
        start_time: Any = None,
        child_of: SpanContext | None = None,
        start_new_trace: bool = False,
    ) -> Span:
        """Start a span and make it the current one of this thread: see :meth:`Tracer.start_span`. Never raises."""
        return self.tracer.start_span(
            name, span_type, start_time=start_time, child_of=child_of, start_new_trace=start_new_trace
        )

    def get_span_from_context(self) -> Span:
        """The current span of this thread or task; one that records nothing when there is none."""
        return context.current_span() or NOOP

    def get_span_from_header(self, header: Any) -> SpanContext:
        """The span a request came from, by its headers: see :func:`cozeloop_lite.extract`."""
        return extract(header)

    def get_prompt(
        self, prompt_key: str, version: str = "", label: str = "", *, fallback: Fallback | None = None
    ) -> Prompt | None:
        """A prompt of the workspace: see :meth:`PromptHub.get`."""
        return self.prompts.get(prompt_key, version, label, fallback=fallback)

    def prompt_format(self, prompt: Prompt, variables: Mapping[str, Any] | None = None) -> list[Message]:
        """The messages of a prompt with variables in their places: see :meth:`PromptHub.format_prompt`."""
        return self.prompts.format_prompt(prompt, variables)

    def execute_prompt(
        self,
        prompt_key: str,
        *,
        version: str | None = None,
        label: str | None = None,
        variable_vals: Mapping[str, Any] | None = None,
        messages: Any = None,
        stream: bool = False,
        timeout: float | None = None,
    ) -> ExecuteResult | ExecuteStreamReader:
        """Have the platform execute a prompt: see :func:`cozeloop_lite.prompt.execute.execute`."""
        return self.prompts.execute(
            prompt_key,
            version=version,
            label=label,
            variable_vals=variable_vals,
            messages=messages,
            stream=stream,
            timeout=timeout,
        )

    def aexecute_prompt(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available: this library is synchronous. Always raises ``NotImplementedError``."""
        raise NotImplementedError(NO_ASYNCIO)

    def add_feedback(
        self, trace_id: str, key: str, value: Value, span_id: str | None = None, reasoning: str | None = None
    ) -> None:
        """Attach feedback to a trace or one of its spans: see :func:`cozeloop_lite.feedback.add_feedback`."""
        with process.loading():
            from .feedback import add_feedback

        add_feedback(self.api, self._workspace_id, trace_id, key, value, span_id, reasoning)

    def delete_feedback(self, trace_id: str, key: str, span_id: str | None = None) -> None:
        """Take feedback away: see :func:`cozeloop_lite.feedback.delete_feedback`."""
        with process.loading():
            from .feedback import delete_feedback

        delete_feedback(self.api, self._workspace_id, trace_id, key, span_id)

    def search_trace(
        self,
        trace_id: str | None = None,
        log_id: str | None = None,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
    ) -> Trace:
        """The spans of one trace: see :func:`cozeloop_lite.query.search.search_trace`."""
        with process.loading():
            from .query.search import search_trace

        return search_trace(self.api, self._workspace_id, trace_id, log_id, start_time=start_time, end_time=end_time)

    def search_spans(
        self,
        filters: Filters | None = None,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
        span_list_type: str = "root_span",
        page_size: int = 100,
    ) -> Iterator[TraceSpan]:
        """The spans that match, the latest first: see :func:`cozeloop_lite.query.search.search_spans`."""
        with process.loading():
            from .query.search import search_spans

        return search_spans(
            self.api,
            self._workspace_id,
            filters,
            start_time=start_time,
            end_time=end_time,
            span_list_type=span_list_type,
            page_size=page_size,
        )

    def check(self, *, send_span: bool = True, timeout: float = 5) -> Report:
        """What is wrong with the settings, found step by step: see :func:`cozeloop_lite.check.subject.check_client`."""
        from .check.subject import check_client

        return check_client(self, send_span=send_span, timeout=timeout)

    def flush(self, timeout: float = 10) -> bool:
        """Send what is finished now, and wait for it: see :meth:`Tracer.flush`."""
        return self.tracer.flush(timeout)

    def stats(self) -> dict[str, Any]:
        """The account of this client: see :meth:`Tracer.stats`."""
        return self.tracer.stats()

    def install_signal_flush(self, timeout: float = 2, signals: Iterable[int] | None = None) -> None:
        """Send what is finished before a signal ends the process. To be called in the main thread, once.

        A signal that nobody handles kills a process without its exit hooks. With this, the spans are sent first (those
        still open as unfinished, as at any exit), then the process ends by the signal as it would have. A handler that
        was there runs after a flush of at most ``timeout`` seconds; one that is set later takes its place.

        Args:
            timeout: seconds that the flush may take where there is another handler.
            signals: the signals; default ``SIGTERM`` and ``SIGINT``.

        Raises:
            InvalidParamError: not in the main thread, or a signal that cannot be handled.
        """
        from . import signals as signal_module

        signal_module.install(self, timeout, signals)

    def close(self, timeout: float | None = None) -> bool:
        """Send the finished spans, for at most ``timeout`` seconds (default: ``shutdown_timeout``), and stop.

        Afterwards tracing records nothing. Returns True when nothing was lost.

        Raises:
            InvalidParamError: ``timeout`` is no number.
        """
        if self._closed:
            return True
        from . import clients

        if timeout is not None:
            config.patience("timeout", timeout)  # before anything is closed
        self._closed = True
        clients.forget(self)
        hub = self._parts.get("prompts")
        if hub is not None:
            hub.close()
        delivered = self.tracer.close(timeout)
        self.api.close()
        return delivered

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<Client workspace_id=%r %r%s>" % (self._workspace_id, self.api, " closed" if self._closed else "")
