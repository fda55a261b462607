"""The official package has its functions in a module of this name: ``from cozeloop._client import APIBasePath``."""

from __future__ import annotations

from .client import Client
from .clients import get_default_client, new_client, set_default_client
from .config import (
    ENV_API_BASE_URL,
    ENV_API_TOKEN,
    ENV_JWT_OAUTH_CLIENT_ID,
    ENV_JWT_OAUTH_PRIVATE_KEY,
    ENV_JWT_OAUTH_PUBLIC_KEY_ID,
    ENV_WORKSPACE_ID,
    APIBasePath,
    QueueConf,
    TagTruncateConf,
)
from .default import (
    aexecute_prompt,
    close,
    execute_prompt,
    flush,
    get_prompt,
    get_span_from_context,
    get_span_from_header,
    prompt_format,
    start_span,
    workspace_id,
)
from .trace.events import FinishEventInfo

__all__ = [
    "ENV_API_BASE_URL",
    "ENV_API_TOKEN",
    "ENV_JWT_OAUTH_CLIENT_ID",
    "ENV_JWT_OAUTH_PRIVATE_KEY",
    "ENV_JWT_OAUTH_PUBLIC_KEY_ID",
    "ENV_WORKSPACE_ID",
    "APIBasePath",
    "Client",
    "FinishEventInfo",
    "QueueConf",
    "TagTruncateConf",
    "aexecute_prompt",
    "close",
    "execute_prompt",
    "flush",
    "get_default_client",
    "get_prompt",
    "get_span_from_context",
    "get_span_from_header",
    "new_client",
    "prompt_format",
    "set_default_client",
    "start_span",
    "workspace_id",
]
