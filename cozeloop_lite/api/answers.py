"""What an answer of the platform means: the data, or which error. Read here and nowhere else; pure functions.

Success is HTTP 2xx *and* ``code`` 0 (contract backend.md 12): the platform answers most failures with HTTP 200. An
answer that is no JSON object, or lacks ``code``, is judged by its status.
"""

from __future__ import annotations

import codecs
import json
import re
from time import time

from .. import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

# contract backend.md 9, except where another place is named
_BY_CODE = {
    602000101: errors.AuthenticationError,
    4100: errors.AuthenticationError,  # the hosted gateway, contract backend.md 0
    600900101: errors.PermissionDeniedError,
    600500101: errors.PermissionDeniedError,
    601200101: errors.PermissionDeniedError,
    600903203: errors.PermissionDeniedError,
    600903231: errors.PermissionDeniedError,
    600900205: errors.RateLimitError,
    600502001: errors.RateLimitError,
    600502002: errors.RateLimitError,
    601505003: errors.RateLimitError,
    601505004: errors.RateLimitError,
    601203002: errors.RateLimitError,
    601205021: errors.RateLimitError,
    601103006: errors.RateLimitError,
    600501001: errors.NotFoundError,
    600501002: errors.NotFoundError,
    600501003: errors.NotFoundError,
    600501007: errors.NotFoundError,
    600903208: errors.NotFoundError,
    602000201: errors.BadRequestError,
    602000202: errors.BadRequestError,
    602001001: errors.BadRequestError,
    600904002: errors.BadRequestError,
    600904003: errors.BadRequestError,
    600500202: errors.BadRequestError,
    602000702: errors.InternalServerError,
    602000703: errors.InternalServerError,
    602000801: errors.InternalServerError,
    600904004: errors.InternalServerError,
    600904006: errors.InternalServerError,
}
_NO_SUCH_PROMPT = {  # contract backend.md 5.3
    600501001: "Check prompt_key, and whether the prompt is in the workspace of workspace_id (COZELOOP_WORKSPACE_ID).",
    600501002: "Check version: it is that of one which was submitted, such as 0.0.1; a draft is not found.",
    600501003: "No version of the prompt was submitted yet: a draft is not found.",
    600501007: "Check label: no version of the prompt has it.",
}
_BY_STATUS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    405: errors.BadRequestError,
    413: errors.BadRequestError,
    429: errors.RateLimitError,
}
_OAUTH_CODES = ("authorization_pending", "slow_down", "access_denied", "expired_token")  # contract siblings.md 1.6

_NUMBER = re.compile(r"-?[0-9]{1,18}\Z")
_LOG_ID_HEADERS = ("x-tt-logid", "x-log-id")  # hosted, self-hosted (contract backend.md 1.1)
SHOWN_CHARS = 200  # of an answer that is not JSON
MAX_OBJECTS = 100_000  # of one answer: what is made of each takes 10 µs and 1 KB, a page of spans has thousands
MAX_DIGITS = 1000  # of an integer: reading one takes the square of their number before CPython 3.11


def read(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object of a successful answer; the names of ``headers`` are in lower case.

    Raises:
        RemoteServiceError: the answer is not a success; the subclass says which kind of failure.
    """
    answer = success(status, body)
    if answer is None:
        raise refusal(status, headers, body)
    return answer


def success(status: int, body: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer, for which nobody needs its headers; None when it is not a success."""
    answer = document(body)
    if 200 <= status < 300 and isinstance(answer, dict) and not _code(answer.get("code")):
        return answer
    return None


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> errors.RemoteServiceError:
    """What an answer that is not a success says, as an error; the names of ``headers`` are in lower case."""
    answer = document(body)
    log_id = log_id_of(headers)
    if isinstance(answer, dict):
        refusal = _told(status, answer, log_id)
    else:
        refusal = _unreadable(status, headers, body, log_id)
    refusal.retry_after = retry_after(headers.get("retry-after"))
    return refusal


def log_id_of(headers: Mapping[str, str]) -> str:
    """The platform's id of a request; ``""`` when the answer has none. The names of ``headers`` are in lower case."""
    return next((str(headers[name])[:256] for name in _LOG_ID_HEADERS if headers.get(name)), "")


def _told(status: int, answer: dict[str, Any], log_id: str) -> errors.RemoteServiceError:
    code = _code(answer.get("code"))
    oauth = answer.get("error_code")
    if oauth and not code:  # contract siblings.md 1.4, rule 1
        text = words(answer.get("error_message") or answer.get("error"))
        kind = errors.AuthenticationError if oauth in _OAUTH_CODES or status in (400, 401, 403) else _kind(status, None)
        return kind(status, str(oauth)[:SHOWN_CHARS], text, log_id)
    return error(status, code, answer.get("msg"), log_id)


def error(status: int, code: Any, msg: Any, log_id: str) -> errors.RemoteServiceError:
    """The error that a failure's ``code`` and ``msg`` stand for, wherever in an answer they were found."""
    code, text = _code(code), words(msg)
    return _kind(status, code)(status, code, text, log_id, _hint(status, code, text))


def parse(text: str) -> Any:
    """What JSON text says; None when it is none. Bounded work, whatever the text."""
    try:
        return (_decoder if text.count("{") <= MAX_OBJECTS else _counting()).decode(text)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number of %d digits" % len(digits))
    return int(digits)


_decoder = json.JSONDecoder(parse_int=_integer)  # json.loads would make one each time, which takes longer than its use


def _counting() -> json.JSONDecoder:
    """A decoder that takes no more than ``MAX_OBJECTS``; the texts in an answer may well have more braces."""
    left = iter(range(MAX_OBJECTS))

    def counted(found: dict[str, Any]) -> dict[str, Any]:
        if next(left, None) is None:
            raise ValueError("more than %d objects" % MAX_OBJECTS)
        return found

    return json.JSONDecoder(parse_int=_integer, object_hook=counted)


def document(body: bytes) -> Any:
    """What a body says in JSON; None when it is none. Bounded work, whatever the body."""
    if body.startswith(codecs.BOM_UTF8):  # "utf-8-sig" would do the same, and is one more module to load
        body = body[len(codecs.BOM_UTF8) :]
    try:
        return parse(body.decode("utf-8"))
    except ValueError:
        return None


def _code(code: Any) -> Any:
    """The code as a number where it is one: the platform writes 64-bit integers as text (contract backend.md 1.4)."""
    if isinstance(code, str) and _NUMBER.match(code):
        return int(code)
    if code is None or isinstance(code, int):
        return code
    return int(code) if isinstance(code, float) and code.is_integer() else words(code)


def _kind(status: int, code: Any) -> type[errors.RemoteServiceError]:
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if known is not None:
        return known
    if isinstance(code, int) and code >= 600_000_000:
        # 60<module><class>: the last three digits are the same for all modules (contract backend.md 9)
        by_class = {101: errors.PermissionDeniedError, 205: errors.RateLimitError}.get(code % 100_000)
        if by_class is not None:
            return by_class
        if 201 <= code % 100_000 <= 204:
            return errors.BadRequestError
        if 701 <= code % 100_000 <= 899:
            return errors.InternalServerError
    # 1: what went wrong in a stream is none of the platform's own errors (contract backend.md 9)
    return errors.InternalServerError if status >= 500 or code == 1 else errors.RemoteServiceError


def _unreadable(status: int, headers: Mapping[str, str], body: bytes, log_id: str) -> errors.RemoteServiceError:
    kind = str(headers.get("content-type") or "no content type")[:SHOWN_CHARS]
    shown = words(body[: 4 * SHOWN_CHARS].decode("utf-8", "replace"))
    text = "the answer is not a JSON object but %s: %r" % (kind, shown)
    hint = _hint(status, None)
    if not hint and "html" in kind:
        hint = "Is api_base_url (COZELOOP_API_BASE_URL) the address of the API, not of a web page or a proxy?"
    return _kind(status, None)(status, None, text, log_id, hint)


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header: a number or a date (RFC 9110 10.2.3)."""
    if not value:
        return None
    value = value.strip()
    if _NUMBER.match(value):
        return max(0.0, float(value))
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def words(text: Any) -> str:
    """What someone else says, in one line, cut; what would move the cursor of a terminal is escaped."""
    said = " ".join(str(text or "").split())[:SHOWN_CHARS]
    if said.isprintable():
        return said
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in said)


def _hint(status: int, code: Any, text: str = "") -> str:
    if code in (602000101, 4100) or status == 401:
        return "Check api_token (COZELOOP_API_TOKEN): it is unknown or expired, or belongs to another platform."
    if code in _NO_SUCH_PROMPT:
        return _NO_SUCH_PROMPT[code]
    if "workspace_id" in text:
        return "Check workspace_id (COZELOOP_WORKSPACE_ID): it is a decimal number, as text."
    if _kind(status, code) is errors.PermissionDeniedError:
        return "Check workspace_id (COZELOOP_WORKSPACE_ID): the owner of the token must be a member of it."
    if status == 405:
        return (
            "Check api_base_url (COZELOOP_API_BASE_URL): a self-hosted platform has its API on port 8888; "
            "8082 is its web page."
        )
    if status == 407:
        return "Check user and password in the address of the proxy (HTTP_PROXY)."
    if 300 <= status < 400:
        return (
            "Check api_base_url (COZELOOP_API_BASE_URL): the server redirects. Only a GET is redirected, at most 3 "
            "times, and never from https to http."
        )
    if status == 404 and code is None:
        return "Check api_base_url (COZELOOP_API_BASE_URL), or the server is too old to know this path."
    return ""
