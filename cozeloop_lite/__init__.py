"""cozeloop_lite: a small, synchronous SDK for CozeLoop (扣子罗盘), the observability platform for LLM applications.

    import cozeloop_lite

    with cozeloop_lite.start_span("answer", "custom") as span:
        span.set_input("how are you?")
        span.set_output("fine")

Names are loaded when they are first used (PEP 562): importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib

from . import process as _process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api.client import ApiClient
    from .client import (
        Client,
        close,
        flush,
        get_default_client,
        get_span_from_context,
        get_span_from_header,
        new_client,
        set_default_client,
        start_span,
        stats,
        workspace_id,
    )
    from .config import (
        CN_BASE_URL,
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
    from .decorator import observe, traceable
    from .errors import (
        AuthenticationError,
        AuthError,
        AuthInfoRequiredError,
        BadRequestError,
        ClientClosedError,
        HeaderParentError,
        HttpError,
        InternalError,
        InternalServerError,
        InvalidParamError,
        LoopError,
        NetworkError,
        NotFoundError,
        ParsePrivateKeyError,
        PermissionDeniedError,
        PropertyUnprovidedError,
        RateLimitError,
        RemoteServiceError,
        RequestTimeoutError,
        TemplateError,
    )
    from .logger import add_log_handler, set_log_level
    from .propagation import SpanContext, extract, inject
    from .spec.tracespec import SpanKind
    from .trace.bind import BoundExecutor, bind
    from .trace.exporter import FinishEventInfo
    from .trace.span import Span
    from .trace.tracer import Tracer

__version__ = "0.1.0"

_HOMES = {
    ".api.client": "ApiClient",
    ".client": "Client close flush get_default_client get_span_from_context get_span_from_header new_client "
    "set_default_client start_span stats workspace_id",
    ".config": "CN_BASE_URL ENV_API_BASE_URL ENV_API_TOKEN ENV_JWT_OAUTH_CLIENT_ID ENV_JWT_OAUTH_PRIVATE_KEY "
    "ENV_JWT_OAUTH_PUBLIC_KEY_ID ENV_WORKSPACE_ID APIBasePath QueueConf TagTruncateConf",
    ".decorator": "observe traceable",
    ".errors": "AuthError AuthInfoRequiredError AuthenticationError BadRequestError ClientClosedError "
    "HeaderParentError HttpError InternalError InternalServerError InvalidParamError LoopError NetworkError "
    "NotFoundError ParsePrivateKeyError PermissionDeniedError PropertyUnprovidedError RateLimitError "
    "RemoteServiceError RequestTimeoutError TemplateError",
    ".logger": "add_log_handler set_log_level",
    ".propagation": "SpanContext extract inject",
    ".spec.tracespec": "SpanKind",
    ".trace.bind": "BoundExecutor bind",
    ".trace.exporter": "FinishEventInfo",
    ".trace.span": "Span",
    ".trace.tracer": "Tracer",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "__version__",
    *_HOME_OF,
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    value = getattr(importlib.import_module(home, __name__), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
