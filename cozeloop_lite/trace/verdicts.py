"""What the outcome of a request means for what was sent: delivered, later, never. Pure functions."""

from __future__ import annotations

from .. import errors, logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pace import Pace

MAX_AGE_SECONDS = 23 * 3600  # the server drops at 24 h, in silence (contract backend.md 2.2)

# contract backend.md 9: waiting helps
_PASSING_CODES = frozenset([602000703, 602000801, 600900205, 600904004, 600904006])
_DOUBTFUL_CODES = frozenset([602000702])  # "once or twice with backoff; then surface"
# contract backend.md 9: no span of this client will be taken, so there is no offending one to look for
_REFUSED_ALL_CODES = frozenset([602000101, 602000202, 600900101, 600903230, 600903231])
_REFUSED_ALL_STATUS = frozenset([401, 403, 404, 405])

# Verdicts on one attempt: accepted; not now; not now or never; for some span in it; for its size; no span will be
# taken; no time left; kept in the spool
TAKEN, AGAIN, DOUBTFUL, BAD_SPAN, TOO_LARGE, REFUSED_ALL, GIVE_UP, KEPT = range(8)


def judge(problem: BaseException) -> int:
    """What a failed attempt means for the batch."""
    if not isinstance(problem, errors.RemoteServiceError):
        return AGAIN  # the network; or a token function or an exporter that may work again later
    status, code = problem.status or 0, problem.code
    if code in _PASSING_CODES or status in (408, 429) or isinstance(problem, errors.RateLimitError):
        return AGAIN
    if code in _DOUBTFUL_CODES or (200 <= status < 300 and code is None):
        return DOUBTFUL
    if status >= 500:
        return AGAIN
    if status == 413:
        return TOO_LARGE
    if code in _REFUSED_ALL_CODES or status in _REFUSED_ALL_STATUS or 300 <= status < 400:
        return REFUSED_ALL
    if isinstance(problem, (errors.AuthenticationError, errors.PermissionDeniedError)) or "workspace_id" in problem.msg:
        return REFUSED_ALL
    if isinstance(problem, errors.InternalServerError):
        return AGAIN
    return BAD_SPAN


def words(problem: BaseException) -> str:
    if isinstance(problem, errors.LoopError):
        return str(problem)
    return "%s: %s" % (type(problem).__name__, problem) if str(problem) else type(problem).__name__


def log(verdict: int, detail: str) -> None:
    if verdict == AGAIN:
        logger.warn("spans could not be delivered and will be sent again: %s", detail)
    elif verdict == REFUSED_ALL:
        logger.error("the server refuses all spans, they are lost: %s", detail)
    else:
        logger.warn("the server refused spans, and gets them in smaller batches: %s", detail)


def tell_pace(pace: Pace, problem: BaseException) -> None:
    """What a failure says about the server: whether it is there, and answers."""
    if isinstance(problem, errors.RequestTimeoutError):
        return
    if isinstance(problem, errors.NetworkError):
        pace.unreached()
    else:
        pace.heard()
