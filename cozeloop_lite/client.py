"""The client: an API client, a tracer and a prompt hub wired by one configuration; and which is the default one.

``new_client`` hands out the same open client for the same effective settings. The module-level functions of the
package (``default.py``) use the default client: the first one built, or one built from the environment when it is first
needed. Without a usable environment tracing records nothing, and says so once.
"""

from __future__ import annotations

import threading

from . import config, logger, process
from .api.client import ApiClient
from .propagation import extract
from .trace import context, depth
from .trace.span import NOOP
from .trace.tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any, Callable, Iterable, Iterator, Mapping, NoReturn

    import urllib3

    from .entities.prompt import ExecuteResult, Message, Prompt
    from .entities.trace import Trace, TraceSpan
    from .prompt.execute_stream import ExecuteStreamReader
    from .prompt.hub import Fallback, PromptHub
    from .propagation import SpanContext
    from .query.arguments import Time, Value
    from .query.filters import Filters
    from .trace.span import Span


NO_ASYNCIO = (
    "cozeloop_lite is synchronous and has no aexecute_prompt(): use execute_prompt(), in asyncio by "
    "`await loop.run_in_executor(None, lambda: execute_prompt(...))`"
)


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
        self._prompts: PromptHub | None = None
        self._closed = False

    @property
    def prompts(self) -> PromptHub:
        """The :class:`PromptHub`; made when it is first used, so that a program which only traces starts without it."""
        hub = self._prompts
        if hub is None:
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
            with _lock:
                hub = self._prompts = self._prompts or hub
                if self._closed:
                    hub.close()
        return hub

    @property
    def workspace_id(self) -> str:
        """The workspace that spans are reported to."""
        return self._workspace_id

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
        from .feedback import add_feedback

        add_feedback(self.api, self._workspace_id, trace_id, key, value, span_id, reasoning)

    def delete_feedback(self, trace_id: str, key: str, span_id: str | None = None) -> None:
        """Take feedback away: see :func:`cozeloop_lite.feedback.delete_feedback`."""
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
        """
        if self._closed:
            return True
        self._closed = True
        with _lock:
            for key in [key for key, client in _clients.items() if client is self]:
                del _clients[key]
            hub = self._prompts
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


_lock = threading.RLock()
_clients: dict[Any, Client] = {}
_default: Client | None = None


class _ForkHook:
    """A child process gets a lock that nobody holds, whatever the parent's threads were doing."""

    def _on_fork(self) -> None:
        global _lock
        _lock = threading.RLock()


_fork_hook = _ForkHook()
process.on_fork(_fork_hook)


def new_client(
    api_base_url: str | None = None,
    workspace_id: str | None = None,
    api_token: str | Callable[[], str] | None = None,
    *,
    timeout: float | None = None,
    upload_timeout: float | None = None,
    ultra_large_report: bool = False,
    prompt_cache_max_count: int | None = None,
    prompt_cache_refresh_interval: float | None = None,
    prompt_trace: bool = False,
    http_client: urllib3.PoolManager | None = None,
    headers: Mapping[str, str] | None = None,
    trace_finish_event_processor: Callable[[Any], None] | None = None,
    tag_truncate_conf: config.TagTruncateConf | None = None,
    api_base_path: config.APIBasePath | None = None,
    trace_queue_conf: config.QueueConf | None = None,
    record_inputs: bool = True,
    record_outputs: bool = True,
    mask: Callable[[str], str] | None = None,
    sample_rate: float = 1.0,
    exporter: Any = None,
    shutdown_timeout: float | None = None,
    queue_max_bytes: int | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    spool_max_bytes: int | None = None,
    prompt_snapshot: str | os.PathLike[str] | None = None,
) -> Client:
    """A client for one workspace; the same one for the same effective settings, as long as it is open.

    An argument is stronger than its environment variable, which is stronger than the default. Nothing is sent before
    there is something to send: building a client needs no network.

    Args:
        api_base_url: where the platform is. ``COZELOOP_API_BASE_URL``; default ``https://api.coze.cn``; self-hosted
            usually ``http://localhost:8888``.
        workspace_id: the workspace. ``COZELOOP_WORKSPACE_ID``; required.
        api_token: an access token, or a function that returns one and is called for each request.
            ``COZELOOP_API_TOKEN``; required.
        timeout: seconds that a request may take from beginning to end; default 3.
        upload_timeout: the same for uploads; default 30.
        ultra_large_report: whether input and output over 1 MiB go up as files, of at most 20 MiB; else they are cut.
        prompt_cache_max_count: how many prompts are kept; default 100.
        prompt_cache_refresh_interval: seconds after which the prompts that are kept are fetched again; default 60.
        prompt_trace: whether getting, formatting and executing a prompt are spans.
        http_client: a ``urllib3.PoolManager`` of your own, for proxies and certificates.
        headers: sent with every request.
        trace_finish_event_processor: called on the daemon thread with a ``FinishEventInfo`` when spans were queued,
            dropped or sent.
        tag_truncate_conf: how many bytes tag values, inputs and outputs may have.
        api_base_path: other paths for the trace endpoints.
        trace_queue_conf: how many spans may wait, default 65,536; how many go into one request, default and most 100.
        record_inputs: False keeps every input out of the traces, whatever a span or function says.
        record_outputs: the same for outputs.
        mask: a function that is given every input, output and text of a tag before it leaves the process, and returns
            what may be sent. When it fails, a placeholder is sent. Called on the daemon thread.
        sample_rate: which part of all traces is reported, from 0 to 1; default all. Services with the same rate agree.
        exporter: an object with ``export_spans(spans)`` that is given the spans, as dicts, instead of the platform.
        shutdown_timeout: seconds that the exit of the program waits at most for spans to be sent; default 5.
        queue_max_bytes: memory that waiting spans may take; default 64 MiB.
        spool_dir: a folder for what cannot be delivered before the program ends or the queue is full. The next client
            with the same folder, address and workspace sends it. ``COZELOOP_SPOOL_DIR``; default none.
        spool_max_bytes: how large that folder may become; default 256 MiB.
        prompt_snapshot: the path of a file that keeps the prompts for the next start, in case the server is down then.

    Raises:
        PropertyUnprovidedError: ``workspace_id`` is missing; ``AuthInfoRequiredError`` when ``api_token`` is.
        InvalidParamError: another setting cannot be used.
    """
    global _default
    workspace = config.workspace_id(workspace_id)
    api = ApiClient(
        api_base_url,
        api_token,
        timeout=timeout,
        upload_timeout=upload_timeout,
        headers=headers,
        http_client=http_client,
    )
    conf = config.TraceConfig(
        tag_truncate_conf=tag_truncate_conf,
        trace_queue_conf=trace_queue_conf,
        api_base_path=api_base_path,
        trace_finish_event_processor=trace_finish_event_processor,
        sample_rate=sample_rate,
        ultra_large_report=ultra_large_report,
        record_inputs=record_inputs,
        record_outputs=record_outputs,
        mask=mask,
        shutdown_timeout=shutdown_timeout,
        queue_max_bytes=queue_max_bytes,
        spool_dir=spool_dir,
        spool_max_bytes=spool_max_bytes,
    )
    prompt_conf = config.PromptConfig(
        prompt_cache_max_count, prompt_cache_refresh_interval, prompt_trace, prompt_snapshot
    )
    key = (workspace, *map(config.comparable, api.key()), conf.key(), config.comparable(exporter), prompt_conf.key())
    with _lock:
        client = _clients.get(key)
        if client is None or client.closed:
            client = Client(api, Tracer(api, workspace, conf, exporter), workspace, prompt_conf)
            _clients[key] = client
        if _default is None or _default.closed:
            _default = client
        return client


def set_default_client(client: Client) -> None:
    """Make ``client`` the one that the module-level functions use. The previous one stays open."""
    global _default
    _default = client


def get_default_client() -> Client:
    """The client that the module-level functions use; built from the environment when there is none yet.

    Raises:
        PropertyUnprovidedError: there is none, and the environment lacks a setting.
    """
    client = _default
    return client if client is not None else new_client()


def _tracing_client() -> Client | None:
    """The default client, or None, with one warning, when none can be built."""
    if _default is not None:
        return _default
    if depth.ABORTS and depth.near_limit():
        return None
    try:
        return new_client()
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with the environment, the program goes on
        logger.warn("nothing is traced: %s", str(problem))  # not the exception, which holds frames
        return None
