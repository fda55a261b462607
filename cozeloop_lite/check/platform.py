"""What the platform says to this token and this workspace: questions without side effects first, then a test span."""

from __future__ import annotations

from math import isnan
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .. import config, errors
from ..prompt.fetch import PATH as MGET_PATH
from ..query.search import TRACE_PATH
from ..trace import ids
from ..trace.tracer import Tracer
from . import verdicts
from .report import FAILED, OK, SKIPPED, WARNING, Step
from .settings import TOKEN

if TYPE_CHECKING:
    from ..api.client import ApiClient

SPAN_NAME = "cozeloop_lite check"
WINDOW_MS = 2 * 3_600_000  # in which a trace is looked for, before and after now
FIRST_PAUSE = 0.25  # seconds between two looks for the span; doubles up to ...
LONGEST_PAUSE = 2.0
CLOSE_SECONDS = 0.1

_NO_SPANS = 600904002  # contract backend.md 2.1: "no spans provided", said to known tokens only
_INVALID_WORKSPACE = 602000202  # contract backend.md 1.2
_FIRST_CODE = 600_000_000  # of the platform itself, contract backend.md 9
_NOTHING_FOUND = (600903203, 600903208, 600903209)  # said to members of the workspace, contract backend.md 8.2


class Access(NamedTuple):
    """How a question was refused, if it was, and whether it was about the workspace."""

    error: errors.LoopError | None = None
    of_workspace: bool = False


def ask_access(api: ApiClient, workspace_id: str, ingest_path: str, ahead: float, seconds: float) -> Access:
    """Ask something that only a known token, and only a member of the workspace (if any is given), is answered.

    ``ahead``: seconds by which this machine's clock is; the platform refuses times in the future.
    """
    if workspace_id:
        trace_id = "%032x" % (ids.source.bits(128) or 1)
        error = _refusal(api, TRACE_PATH, _search(workspace_id, trace_id, ahead), seconds)
        if not _no_such_path(error):
            return Access(error, True)
    error = _refusal(api, ingest_path, {"spans": []}, seconds)
    return Access(None if getattr(error, "code", None) == _NO_SPANS else error)


def _refusal(api: ApiClient, path: str, body: dict[str, Any], seconds: float) -> errors.LoopError | None:
    try:
        api.post(path, body, timeout=seconds)
        return None
    except errors.LoopError as problem:
        return problem


def _no_such_path(error: errors.LoopError | None) -> bool:
    """Whether the server is too old to know the path."""
    return isinstance(error, errors.NotFoundError) and error.code is None


def _search(workspace_id: str, trace_id: str, ahead: float = 0.0) -> dict[str, Any]:
    now = int((time() - (0.0 if isnan(ahead) else ahead)) * 1000)
    window = {"start_time": now - WINDOW_MS, "end_time": now + WINDOW_MS}
    return {"workspace_id": workspace_id, "trace_id": trace_id, "limit": 10, **window}


def token_accepted(access: Access, advice: Callable[[], str]) -> Step:
    """``advice``: what to do about a token that is unknown."""
    error = access.error
    code = getattr(error, "code", None)
    of_others = (errors.PermissionDeniedError, errors.BadRequestError, errors.RateLimitError)
    if isinstance(error, of_others) and isinstance(code, int) and code >= _FIRST_CODE:
        return Step("token accepted", OK, "the platform knows it, and refuses something else")  # it looks there first
    if error is None or code in _NOTHING_FOUND:
        return Step("token accepted", OK, "the platform knows it")
    if isinstance(error, errors.AuthenticationError):
        seen = "the platform does not accept the token of %s: %s [code %s]" % (TOKEN, error.msg, code)
        return Step("token accepted", FAILED, seen, advice() or error.hint)
    if isinstance(error, errors.RateLimitError):
        return Step("token accepted", WARNING, *verdicts.refusal(error))
    return Step("token accepted", FAILED, *verdicts.refusal(error))


def workspace_accessible(access: Access, workspace_id: str) -> Step:
    error = access.error
    code = getattr(error, "code", None)
    unclear = isinstance(error, (errors.BadRequestError, errors.RateLimitError)) and code != _INVALID_WORKSPACE
    if not access.of_workspace or unclear:
        return Step("workspace accessible", SKIPPED, "this server does not tell in advance; the test span will")
    if error is None or code in _NOTHING_FOUND:
        return Step("workspace accessible", OK, "%s can be read" % workspace_id)
    return Step("workspace accessible", FAILED, *verdicts.refusal(error))


def prompts(api: ApiClient, workspace_id: str, seconds: float) -> Step:
    """Whether the prompt API is there for this token. The question names no prompt: anybody may get an answer."""
    error = _refusal(api, MGET_PATH, {"workspace_id": workspace_id, "queries": []}, seconds)
    if error is None:
        return Step("prompts", OK, "the API for prompts answers")
    if _no_such_path(error):
        return Step("prompts", SKIPPED, "this server has no API for prompts")
    if isinstance(error, (errors.BadRequestError, errors.RateLimitError)):
        return Step("prompts", SKIPPED, "this server does not tell in advance")
    seen, advice = verdicts.refusal(error)
    return Step("prompts", WARNING, seen, "A program that only traces does not need them. " + advice)


class _Watched:
    """An API client of which the last failure is known; the tracer only logs it."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self.problem: errors.LoopError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def request(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return self._api.request(*args, **kwargs)
        except errors.LoopError as problem:
            self.problem = problem
            raise


def send_span(api: ApiClient, workspace_id: str, ingest_path: str, seconds: float) -> tuple[Step, str, str]:
    """Send a span as a program would, through a tracer of its own; the step, and the ids of trace and span."""
    watched: Any = _Watched(api)
    conf = config.TraceConfig(api_base_path=config.APIBasePath(trace_span_upload_path=ingest_path))
    conf.spool_dir = ""  # what waits there is not the check's to send, nor is the check's span worth keeping
    tracer = Tracer(watched, workspace_id, conf)
    try:
        with tracer.start_span(SPAN_NAME, "custom", start_new_trace=True) as span:
            span.set_input("Does a span arrive?")
            span.set_output("It does, if you can read this.")
        delivered, problem = tracer.flush(seconds), watched.problem  # of the close there may be another one
    finally:
        tracer.close(CLOSE_SECONDS)
    if delivered:
        seen = "accepted for workspace %s: %r, trace %s" % (workspace_id, SPAN_NAME, span.trace_id)
        return Step("test span", OK, seen), span.trace_id, span.span_id
    if problem is None:
        seen, advice = "the span could not be sent within %.3g s" % seconds, "Try a longer --timeout (timeout=...)."
    else:
        seen, advice = verdicts.refusal(problem)
    return Step("test span", FAILED, seen, advice), "", ""


def find_span(
    api: ApiClient, workspace_id: str, trace_id: str, span_id: str, seconds: float, request_seconds: float
) -> Step:
    """Look for the test span until it is there. That it is not found is no failure: a platform may take its time."""
    began = monotonic()
    pause = FIRST_PAUSE
    problem: errors.LoopError | None = None
    while True:
        try:
            left = max(0.1, began + seconds - monotonic())
            data = api.post(TRACE_PATH, _search(workspace_id, trace_id), timeout=min(request_seconds, left)).get("data")
            problem = None
            if _has_span(data, span_id):
                return Step("found again", OK, "trace %s, after %.1f s" % (trace_id, monotonic() - began))
        except errors.LoopError as refusal:
            problem = refusal
            if _no_such_path(problem):
                return Step("found again", SKIPPED, "sent, could not be looked up: this server has no search API")
        if monotonic() + pause > began + seconds:
            break
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    why = verdicts.refusal(problem)[0] if problem is not None else "it is not there after %.3g s" % seconds
    advice = "Look for trace %s on the platform's pages; a platform may take longer to show it." % trace_id
    return Step("found again", WARNING, "sent, could not be looked up: " + why, advice)


def _has_span(data: Any, span_id: str) -> bool:
    spans = data.get("spans") if isinstance(data, dict) else None
    return isinstance(spans, list) and any(isinstance(span, dict) and span.get("span_id") == span_id for span in spans)
