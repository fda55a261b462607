"""What is checked: an open client, or what a program of this environment would use.

A check finds things out, and raises nothing for what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import config, errors
from ..api import tokens
from ..api.client import ApiClient
from . import settings
from .report import FAILED, OK, Report, Step
from .run import STEP_SECONDS, Run, Subject

if TYPE_CHECKING:
    from typing import Any

    from ..client import Client


def check_client(client: Client, *, send_span: bool = True, timeout: float = STEP_SECONDS) -> Report:
    """Check an open client, whatever it was built from.

    Args:
        client: the client. Its spans, counts and prompts are left alone.
        send_span: whether a test span is sent, and looked for.
        timeout: seconds that one step may take; the whole check takes at most six times as long.

    Raises:
        InvalidParamError: ``timeout`` is not above 0.
    """
    seconds = config.seconds("timeout", timeout, STEP_SECONDS)
    conf = client.tracer.conf
    token = _token_of(client.api)
    steps = [settings.address(client.api.base_url), settings.workspace(client.workspace_id)]
    if token is None:
        steps.append(Step("credentials", OK, "an OAuth application"))
    else:
        steps.append(settings.credentials(token, environment=False))
    subject = Subject(
        steps,
        client.api.base_url,
        client.api,
        client.workspace_id,
        token,
        conf.spool_dir,
        client._prompt_conf.snapshot,
        conf.ingest_path,
    )
    return Run(subject, send_span, seconds).report()


def check_environment(
    api_base_url: str | None = None,
    workspace_id: str | None = None,
    *,
    send_span: bool = True,
    timeout: float = STEP_SECONDS,
) -> Report:
    """Check what a program of this environment would use: the check of the command line.

    Args:
        api_base_url: in place of ``COZELOOP_API_BASE_URL``.
        workspace_id: in place of ``COZELOOP_WORKSPACE_ID``.
        send_span: whether a test span is sent, and looked for.
        timeout: seconds that one step may take; the whole check takes at most six times as long.

    Raises:
        InvalidParamError: ``timeout`` is not above 0.
    """
    seconds = config.seconds("timeout", timeout, STEP_SECONDS)
    steps = [
        settings.address(api_base_url, "--api-base-url"),
        settings.workspace(workspace_id, "--workspace-id"),
        settings.credentials(None),
    ]
    address, workspace, credentials = (step.status != FAILED for step in steps)
    url = config.base_url(api_base_url) if address else ""
    api = None
    if credentials:
        try:
            api = ApiClient(url or config.CN_BASE_URL)  # without an address, it is not used
        except errors.LoopError as problem:
            steps.append(Step("client", FAILED, str(problem)))
    conf = config.TraceConfig()
    subject = Subject(
        steps,
        url,
        api,
        config.workspace_id(workspace_id) if workspace else "",
        _token_of(api) if api is not None else "",
        conf.spool_dir,
        "",
        conf.ingest_path,
    )
    try:
        return Run(subject, send_span, seconds).report()
    finally:
        if api is not None:
            api.close()


def _token_of(api: ApiClient) -> Any:
    """The token of a client, or the function that returns it; None for an OAuth application."""
    source = api._auth
    if isinstance(source, tokens.CachedToken):
        source = source._given
    return source._token if isinstance(source, tokens.GivenToken) else None
