"""cozeloop_lite: a small, synchronous SDK for CozeLoop (扣子罗盘), the observability platform for LLM applications.

    import cozeloop_lite

    with cozeloop_lite.start_span("answer", "custom") as span:
        span.set_input("how are you?")
        span.set_output("fine")

Names are loaded when they are first used (PEP 562): importing the package costs next to nothing.
"""

from __future__ import annotations

import os as _os

__path__ = list(map(_os.path.abspath, __path__))  # the program may change its folder before all of us is loaded

from . import process as _process

TYPE_CHECKING = False
if TYPE_CHECKING:  # "as" makes the names public for type checkers, which cannot follow __getattr__
    from .api.client import ApiClient as ApiClient
    from .client import Client as Client
    from .clients import get_default_client as get_default_client
    from .clients import new_client as new_client
    from .clients import set_default_client as set_default_client
    from .config import CN_BASE_URL as CN_BASE_URL
    from .config import ENV_API_BASE_URL as ENV_API_BASE_URL
    from .config import ENV_API_TOKEN as ENV_API_TOKEN
    from .config import ENV_JWT_OAUTH_CLIENT_ID as ENV_JWT_OAUTH_CLIENT_ID
    from .config import ENV_JWT_OAUTH_PRIVATE_KEY as ENV_JWT_OAUTH_PRIVATE_KEY
    from .config import ENV_JWT_OAUTH_PUBLIC_KEY_ID as ENV_JWT_OAUTH_PUBLIC_KEY_ID
    from .config import ENV_WORKSPACE_ID as ENV_WORKSPACE_ID
    from .config import APIBasePath as APIBasePath
    from .config import QueueConf as QueueConf
    from .config import TagTruncateConf as TagTruncateConf
    from .decorator import observe as observe
    from .decorator import traceable as traceable
    from .default import aexecute_prompt as aexecute_prompt
    from .default import close as close
    from .default import execute_prompt as execute_prompt
    from .default import flush as flush
    from .default import get_prompt as get_prompt
    from .default import get_span_from_context as get_span_from_context
    from .default import get_span_from_header as get_span_from_header
    from .default import prompt_format as prompt_format
    from .default import start_span as start_span
    from .default import stats as stats
    from .default import workspace_id as workspace_id
    from .entities.prompt import Message as Message
    from .entities.prompt import Prompt as Prompt
    from .entities.trace import Feedback as Feedback
    from .entities.trace import Trace as Trace
    from .entities.trace import TraceSpan as TraceSpan
    from .errors import AnswerTooLongError as AnswerTooLongError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import AuthError as AuthError
    from .errors import AuthInfoRequiredError as AuthInfoRequiredError
    from .errors import BadRequestError as BadRequestError
    from .errors import ClientClosedError as ClientClosedError
    from .errors import HeaderParentError as HeaderParentError
    from .errors import HttpError as HttpError
    from .errors import InternalError as InternalError
    from .errors import InternalServerError as InternalServerError
    from .errors import InvalidParamError as InvalidParamError
    from .errors import LoopError as LoopError
    from .errors import NetworkError as NetworkError
    from .errors import NotFoundError as NotFoundError
    from .errors import ParsePrivateKeyError as ParsePrivateKeyError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import PropertyUnprovidedError as PropertyUnprovidedError
    from .errors import RateLimitError as RateLimitError
    from .errors import RemoteServiceError as RemoteServiceError
    from .errors import RequestTimeoutError as RequestTimeoutError
    from .errors import TemplateError as TemplateError
    from .internal.consts.error import ACCESS_DENIED as ACCESS_DENIED
    from .internal.consts.error import AUTHORIZATION_PENDING as AUTHORIZATION_PENDING
    from .internal.consts.error import EXPIRED_TOKEN as EXPIRED_TOKEN
    from .internal.consts.error import SLOW_DOWN as SLOW_DOWN
    from .logger import add_log_handler as add_log_handler
    from .logger import set_log_level as set_log_level
    from .prompt.hub import PromptHub as PromptHub
    from .propagation import SpanContext as SpanContext
    from .propagation import extract as extract
    from .propagation import inject as inject
    from .query.filters import Filter as Filter
    from .query.filters import all_of as all_of
    from .query.filters import any_of as any_of
    from .spec.tracespec import SpanKind as SpanKind
    from .trace.bind import BoundExecutor as BoundExecutor
    from .trace.bind import bind as bind
    from .trace.events import FinishEventInfo as FinishEventInfo
    from .trace.span import Span as Span
    from .trace.tracer import Tracer as Tracer

__version__ = "0.1.0"

_HOMES = {
    "api.client": "ApiClient",
    "client": "Client",
    "clients": "get_default_client new_client set_default_client",
    "config": "CN_BASE_URL ENV_API_BASE_URL ENV_API_TOKEN ENV_JWT_OAUTH_CLIENT_ID ENV_JWT_OAUTH_PRIVATE_KEY "
    "ENV_JWT_OAUTH_PUBLIC_KEY_ID ENV_WORKSPACE_ID APIBasePath QueueConf TagTruncateConf",
    "decorator": "observe traceable",
    "default": "aexecute_prompt close execute_prompt flush get_prompt get_span_from_context get_span_from_header "
    "prompt_format start_span stats workspace_id",
    "entities.prompt": "Message Prompt",
    "entities.trace": "Feedback Trace TraceSpan",
    "errors": "AnswerTooLongError AuthError AuthInfoRequiredError AuthenticationError BadRequestError "
    "ClientClosedError HeaderParentError HttpError InternalError InternalServerError InvalidParamError LoopError "
    "NetworkError NotFoundError ParsePrivateKeyError PermissionDeniedError PropertyUnprovidedError RateLimitError "
    "RemoteServiceError RequestTimeoutError TemplateError",
    "internal.consts.error": "ACCESS_DENIED AUTHORIZATION_PENDING EXPIRED_TOKEN SLOW_DOWN",
    "logger": "add_log_handler set_log_level",
    "prompt.hub": "PromptHub",
    "propagation": "SpanContext extract inject",
    "query.filters": "Filter all_of any_of",
    "spec.tracespec": "SpanKind",
    "trace.bind": "BoundExecutor bind",
    "trace.events": "FinishEventInfo",
    "trace.span": "Span",
    "trace.tracer": "Tracer",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
# What is there after `import cozeloop`, of the official package: loaded when it is used, as the names are.
_MODULES = ("_client", "client", "decorator", "entities", "internal", "logger", "prompt", "span", "spec", "trace")

if not TYPE_CHECKING:
    __all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if name in _MODULES:
        return _module(name)
    if home is None:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    value = getattr(_module(home), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def _module(path: str) -> object:
    """A module of this package, as a statement imports it: the module ``importlib`` takes 0.15 ms to load itself.

    The list has the module itself returned, not the package that it is in.
    """
    held = _process.hold_off_forks()
    try:
        return __import__(path, globals(), None, ["__name__"], 1)
    finally:
        if held is not None:
            held.release()


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *_MODULES})
