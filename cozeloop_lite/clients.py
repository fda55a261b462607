"""Which clients there are: one for each set of settings, and the default one of the program.

``new_client`` hands out the same open client for the same effective settings. The module-level functions of the package
(``default.py``) use the default client: the first one built, or one built from the environment when it is first needed.
Without a usable environment tracing records nothing, and says so, at most once a minute.
"""

from __future__ import annotations

import functools
import threading

from . import config, errors, logger, process
from .api.client import ApiClient
from .client import Client
from .trace import depth
from .trace.tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any, Callable, Mapping

    import urllib3

    from .api.oauth import OAuthApp

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
    api_token: str | Callable[[], str] | OAuthApp | None = None,
    jwt_oauth_client_id: str | None = None,
    jwt_oauth_private_key: str | None = None,
    jwt_oauth_public_key_id: str | None = None,
    timeout: float | None = None,
    upload_timeout: float | None = None,
    ultra_large_report: bool = False,
    prompt_cache_max_count: int | None = None,
    prompt_cache_refresh_interval: float | None = None,
    prompt_trace: bool = False,
    http_client: urllib3.PoolManager | Any = None,
    trace_finish_event_processor: Callable[[Any], None] | None = None,
    tag_truncate_conf: config.TagTruncateConf | None = None,
    api_base_path: config.APIBasePath | None = None,
    trace_queue_conf: config.QueueConf | None = None,
    *,
    api_token_ttl: float | None = None,
    jwt_oauth_signer: Callable[[bytes], bytes] | None = None,
    jwt_oauth_alg: str | None = None,
    headers: Mapping[str, str] | None = None,
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
            ``COZELOOP_API_TOKEN``; required. Or an :class:`~cozeloop_lite.api.oauth.OAuthApp`: an OAuth application
            with settings that are not among those below (``ttl``, ``account_id``, ``scope``, ``claims``), which is
            stronger than these.
        api_token_ttl: seconds for which what such a function returned is used again; default: not at all.
        jwt_oauth_client_id: of an OAuth application, which is stronger than ``api_token``: it gets tokens when
            they are needed. ``COZELOOP_JWT_OAUTH_CLIENT_ID``.
        jwt_oauth_private_key: the text of the PEM file of its private key; needs the extra ``jwt``:
            ``pip install "cozeloop-lite[jwt]"``. ``COZELOOP_JWT_OAUTH_PRIVATE_KEY``.
        jwt_oauth_public_key_id: the fingerprint of its public key. ``COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID``.
        jwt_oauth_signer: in place of the private key, a function that is given bytes and returns their signature.
        jwt_oauth_alg: what that function signs with: ``RS256``, the default, or ``ES256``.
        timeout: seconds that a request may take from beginning to end. ``COZELOOP_REQUEST_TIMEOUT``, in milliseconds;
            default 3.
        upload_timeout: the same for uploads; default 30.
        ultra_large_report: whether input and output over 1 MiB go up as files, of at most 20 MiB; else they are cut.
        prompt_cache_max_count: how many prompts are kept; default 100.
        prompt_cache_refresh_interval: seconds after which the prompts that are kept are fetched again; default 60.
        prompt_trace: whether getting, formatting and executing a prompt are spans.
        http_client: a ``urllib3.PoolManager`` or ``httpx.Client`` of your own, for certificates and proxies that the
            environment does not name: see :class:`ApiClient`.
        headers: sent with every request.
        trace_finish_event_processor: called on the daemon thread with a ``FinishEventInfo`` when spans were queued,
            dropped or sent.
        tag_truncate_conf: how many bytes tag values, inputs and outputs may have.
        api_base_path: other paths for the trace endpoints.
        trace_queue_conf: how many spans may wait, default 65,536; how many go into one request, default and most 100.
        record_inputs: False keeps every input out of the traces, whatever a span or function says.
        record_outputs: the same for outputs.
        mask: a function that is given every input, output, text of a tag, name of a file and file that is text before
            it leaves the process, and returns what may be sent. When it fails, a placeholder is sent. Called on the
            daemon thread.
        sample_rate: which part of all traces is reported, from 0 to 1; default all. Services with the same rate agree.
        exporter: an object with ``export_spans(spans)`` that is given the spans, as dicts, instead of the platform;
            ``"otlp"`` sends them to an OpenTelemetry Collector (``integration/otel.py``).
        shutdown_timeout: seconds that the exit of the program waits at most for spans to be sent; default 5.
        queue_max_bytes: memory that waiting spans may take; default 64 MiB.
        spool_dir: a folder for what cannot be delivered before the program ends, or does not fit into the queue while
            the server is down or too slow. The next client with the same folder, address and workspace sends it.
            ``COZELOOP_SPOOL_DIR``; default none.
        spool_max_bytes: how large that folder may become; default 256 MiB.
        prompt_snapshot: the path of a file that keeps the prompts for the next start, in case the server is down then.

    Raises:
        PropertyUnprovidedError: ``workspace_id`` is missing; ``AuthInfoRequiredError`` when only ``api_token`` is.
        InvalidParamError: another setting cannot be used.
        ParsePrivateKeyError: the private key cannot be used.
    """
    global _default
    if exporter == "otlp":
        from .integration.otel import OtlpExporter

        exporter = OtlpExporter()
    elif isinstance(exporter, str):
        raise errors.InvalidParamError('exporter must be "otlp" or an object, not %r' % exporter)
    make_api = functools.partial(
        ApiClient,
        api_base_url,
        api_token,
        api_token_ttl=api_token_ttl,
        jwt_oauth_client_id=jwt_oauth_client_id,
        jwt_oauth_private_key=jwt_oauth_private_key,
        jwt_oauth_public_key_id=jwt_oauth_public_key_id,
        jwt_oauth_signer=jwt_oauth_signer,
        jwt_oauth_alg=jwt_oauth_alg,
        timeout=timeout,
        upload_timeout=upload_timeout,
        headers=headers,
        http_client=http_client,
    )
    workspace, api = config.workspace_and_api(workspace_id, make_api)
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


def forget(client: Client) -> None:
    """``client`` is closed: the same settings give another one."""
    with _lock:
        for key in [key for key, known in _clients.items() if known is client]:
            del _clients[key]


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


def for_tracing() -> Client | None:
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
