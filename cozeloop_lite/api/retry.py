"""Whether a failed request may succeed when it is made again, and after which pause. Known here and nowhere else.

Calls of the program (``retries``) and tracing (``trace/verdicts.py``), which repeats far longer, both ask here.
"""

from __future__ import annotations

import os

from .. import errors

FINAL, DOUBTFUL, PASSING = range(3)

FIRST_PAUSE = 0.2  # seconds; doubles with each attempt. Contract siblings.md 1.4
LONGEST_PAUSE = 10.0
DOUBTFUL_RETRIES = 2

# contract backend.md 9
_PASSING_CODES = frozenset([602000703, 602000801, 600900205, 600904004, 600904006])
_DOUBTFUL_CODES = frozenset([602000702])  # "once or twice with backoff; then surface"
_FINAL_CODES = frozenset([1])  # "caller's choice": what was under way cost tokens


def outlook(problem: BaseException) -> int:
    """``PASSING`` when waiting helps, ``DOUBTFUL`` when it may, ``FINAL`` when the same will happen again."""
    if not isinstance(problem, errors.RemoteServiceError):
        lost = isinstance(problem, errors.NetworkError) and not isinstance(problem, errors.AnswerTooLongError)
        return PASSING if lost else FINAL
    status, code = problem.status or 0, problem.code
    if code in _PASSING_CODES or status in (408, 429) or isinstance(problem, errors.RateLimitError):
        return PASSING
    if code in _DOUBTFUL_CODES or (200 <= status < 300 and code is None):
        return DOUBTFUL
    if status >= 500 or (isinstance(problem, errors.InternalServerError) and code not in _FINAL_CODES):
        return PASSING
    return FINAL


def pause(problem: errors.HttpError, attempt: int, retries: int) -> float | None:
    """Seconds to wait after ``attempt`` (the first is 1) failed; None when there is to be no other.

    Full jitter: clients that fail together do not come back together. ``Retry-After`` is honoured.
    """
    prospect = outlook(problem)
    if prospect == FINAL or attempt > (min(retries, DOUBTFUL_RETRIES) if prospect == DOUBTFUL else retries):
        return None
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt - 1, 16))
    fraction = int.from_bytes(os.urandom(4), "big") / 2**32
    wanted: float = getattr(problem, "retry_after", None) or 0.0
    return max(fraction * longest, wanted)
