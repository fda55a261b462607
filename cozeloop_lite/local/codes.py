"""The platform's error codes, and the exception by which its rules refuse a request.

"Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Mapping

NO_ACCESS = 602000101  # contract 1.2
UNBINDABLE = 602000201  # contract 1.4
INVALID_PARAM = 602000202  # contract 1.2 and 3
INTERNAL = 602000702  # contract 1.2: also a missing Authorization header
UPLOAD_RPC = 602000703  # contract 1.2
TRACE_NO_ACCESS = 600900101  # contract 2.1, step 6
TRACE_INVALID_PARAM = 600904002  # contract 2.1 and 8.2
TRACE_ELSEWHERE = 600903203  # contract 8.2: in another workspace
TRACE_RATE_LIMIT = 600900205  # contract 8.2
PROMPT_NO_ACCESS = 600500101  # contract 1.2
PROMPT_INVALID_PARAM = 600500202  # contract 5.3, and 600501001 to 600501007 in 5.2 and 5.3
PROMPT_NOT_FOUND = 600501001
VERSION_NOT_FOUND = 600501002
NOTHING_COMMITTED = 600501003
TEMPLATE_PARSE = 600501004
TEMPLATE_RENDER = 600501005
TEMPLATE_TYPE = 600501006
LABEL_UNBOUND = 600501007


class Refusal(Exception):
    """The platform refuses the whole request: ``code`` and ``msg`` of its envelope.

    ``extra``: what an event stream says beside them, contract 7. ``business``: False for what is no error of the
    platform's business logic; a stream then says code 1.
    """

    def __init__(
        self, code: int, msg: str, extra: Mapping[str, str] | None = None, *, business: bool = True
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.extra = dict(extra or {})
        self.business = business


def internal_error() -> Refusal:
    """What the platform says when a handler fails, contract 1.2."""
    return Refusal(INTERNAL, "Service Internal Error", business=False)


def invalid_trace_param(detail: str) -> Refusal:
    """A request about spans that the platform does not take."""
    return Refusal(TRACE_INVALID_PARAM, f"invalid param,{detail}")


def invalid_param(reason: str) -> Refusal:
    """A prompt request that the platform cannot use. It says no more; in a stream, the reason stands beside it."""
    return Refusal(PROMPT_INVALID_PARAM, "invalid param", {"invalid_param": reason})
