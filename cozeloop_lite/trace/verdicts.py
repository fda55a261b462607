"""What the outcome of a request means for what was sent: delivered, later (and when), never."""

from __future__ import annotations

from .. import errors, logger, process
from . import ids
from .uploads import AT_ONCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .pace import Pace

FIRST_PAUSE = 0.25  # seconds; doubles with each attempt
LONGEST_PAUSE = 15.0
LONGEST_RETRY_AFTER = 300.0  # of what a server may ask for
MAX_AGE_SECONDS = 23 * 3600  # the server drops at 24 h, in silence (contract backend.md 2.2)

# contract backend.md 9: no span of this client will be taken, so there is no offending one to look for
_REFUSED_ALL_CODES = frozenset([602000101, 602000202, 600900101, 600903230, 600903231])
_REFUSED_ALL_STATUS = frozenset([401, 403, 404, 405, 406, 407, 415])

# Verdicts on one attempt: accepted; not now; not now or never; for some span in it; for its size; no span will be
# taken; no time left; no time left, and maybe accepted; kept in the spool
TAKEN, AGAIN, DOUBTFUL, BAD_SPAN, TOO_LARGE, REFUSED_ALL, GIVE_UP, UNKNOWN, KEPT = range(9)


def judge(problem: BaseException) -> int:
    """What a failed attempt means for the batch."""
    if isinstance(problem, errors.AnswerTooLongError):
        return DOUBTFUL  # like any other answer that is none of the platform's
    if not isinstance(problem, errors.RemoteServiceError):
        # The network; or a token function or an exporter that may work again later. No urllib3 will come from waiting.
        return REFUSED_ALL if _lacks_urllib3(problem) else AGAIN
    with process.loading():
        from ..api import retry  # here: most programs hear of no failure
    prospect = retry.outlook(problem)
    if prospect != retry.FINAL:
        return AGAIN if prospect == retry.PASSING else DOUBTFUL
    status, code = problem.status or 0, problem.code
    if status == 413:
        return TOO_LARGE
    if code in _REFUSED_ALL_CODES or status in _REFUSED_ALL_STATUS or 300 <= status < 400:
        return REFUSED_ALL
    if isinstance(problem, (errors.AuthenticationError, errors.PermissionDeniedError)) or "workspace_id" in problem.msg:
        return REFUSED_ALL
    return BAD_SPAN


def pause_after(attempt: int, problem: BaseException) -> tuple[float, bool]:
    """Seconds until the next attempt, and whether the server named them.

    Full jitter: clients that fail together do not come back together. Only when a connection was cut the first time,
    as one that was kept open over a freeze of this machine is, the next one is tried at once.
    """
    wanted = problem.retry_after if isinstance(problem, errors.RemoteServiceError) else None
    named = min(wanted or 0.0, LONGEST_RETRY_AFTER)
    if attempt == 1 and was_cut(problem):
        return AT_ONCE, False
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16))
    return max(ids.source.fraction() * longest, named), named > 0


def words(problem: BaseException) -> str:
    """What a failure says; with its type, where it is none of ours. Never raises."""
    if isinstance(problem, errors.LoopError):
        return str(problem)
    try:
        said = str(problem)
    except Exception:  # noqa: BLE001 - of the program's own
        said = ""
    return "%s: %s" % (type(problem).__name__, said) if said else type(problem).__name__


def log(verdict: int, problem: BaseException) -> None:
    """Say what becomes of spans that were not taken."""
    detail = words(problem)
    if _lacks_urllib3(problem):
        logger.error("no span can be sent, all are lost: urllib3 cannot be imported (pip install urllib3): %s", detail)
    elif verdict == AGAIN:
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


def is_answer(problem: BaseException) -> bool:
    """Whether the server answered, or there was none to take the request: what was sent did not arrive."""
    return not isinstance(problem, errors.RequestTimeoutError) and not was_cut(problem)


def was_cut(problem: BaseException) -> bool:
    """Whether a connection broke that there was; as opposed to one that was refused, or on which nothing came."""
    if isinstance(problem, errors.RequestTimeoutError) or not isinstance(problem, errors.NetworkError):
        return False
    cause = problem.__cause__
    for _ in range(8):  # urllib3 wraps them in some layers
        if isinstance(cause, ConnectionError):
            return not isinstance(cause, ConnectionRefusedError)
        if cause is None:
            return False
        cause = cause.__cause__ or cause.__context__
    return False


def _lacks_urllib3(problem: BaseException) -> bool:
    """Whether it is missing, or refuses to work with this Python."""
    if not isinstance(problem, ImportError):
        return False
    return str(problem).startswith("urllib3 ") or (problem.name or "").partition(".")[0] == "urllib3"
