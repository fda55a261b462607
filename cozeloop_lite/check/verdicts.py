"""What an answer means: whether it is the platform's, and if the platform refuses, which setting is to blame.

Pure functions. The codes are those of contract backend.md 1.2 and 9; the ports those of 1.1.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple
from urllib.parse import urlsplit

from .. import config, errors
from ..api import answers
from .report import FAILED, OK, WARNING, Step
from .settings import ADDRESS, TOKEN, WORKSPACE, is_hosted

WEB_PORT, API_PORT = 8082, 8888  # contract backend.md 1.1
NO_QUOTA = 600903230
NO_ACCOUNT = 600903231
SERVER_FAILED = 602000702
WARN_SKEW_SECONDS = 300
MAX_SKEW_SECONDS = 3600  # contract backend.md 2.2: what starts later than that from now is dropped, in silence
MAX_SHOWN = 120  # characters of what a server says

_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


class Answer(NamedTuple):
    """An HTTP answer as it arrived. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body[:4096].decode("utf-8", "replace")

    @property
    def is_html(self) -> bool:
        return "html" in self.headers.get("content-type", "").lower() or self.text.lstrip()[:1] == "<"


def platform(answer: Answer, url: str) -> Step:
    """Whether ``answer``, to a request for ``url`` without a token, is one of the platform."""
    document = answers.document(answer.body)
    said = "HTTP %d" % answer.status
    if answer.status == 429:
        seen = "the server at %s is asked too often, and answers no more at the moment: %s" % (url, said)
        wait = answer.headers.get("retry-after", "")
        advice = "No setting is wrong. Wait%s, and check again." % (" %s seconds" % wait if wait.isdigit() else "")
        return Step("platform", FAILED, seen, advice)
    if answer.status >= 500:
        seen = "the server at %s (%s), or a gateway before it, fails: %s%s" % (url, ADDRESS, said, _quoted(answer))
        advice = "look at the log of the server."
        if answer.is_html or answer.status == 501:
            advice = "Is that the platform's API (self-hosted: port 8888), and not another program? If it is, " + advice
        else:
            advice = "No setting needs to be wrong: " + advice
        return Step("platform", FAILED, seen, advice)
    if isinstance(document, dict) and ("code" in document or "error_code" in document):
        code = document.get("code", document.get("error_code"))
        return Step("platform", OK, "a CozeLoop API answers (%s, code %s without a token)" % (said, _short(code)))
    return Step("platform", FAILED, *_stranger(answer, url))


def _stranger(answer: Answer, url: str) -> tuple[str, str]:
    """Who answers, if not the platform; and what to change."""
    parts = urlsplit(url)
    status = answer.status
    if 300 <= status < 400:
        return _redirect(answer, url)
    if status == 400 and "https" in answer.text.lower():
        return speaks_tls(parts.hostname or "", parts.port or 80)
    what = "a web page" if answer.is_html else "something else"
    seen = "%s, not the CozeLoop API, answers at %s (%s): HTTP %d%s" % (what, url, ADDRESS, status, _quoted(answer))
    if parts.port == WEB_PORT or (status == 405 and answer.is_html):
        api = "%s://%s:%d" % (parts.scheme, _in_url(parts.hostname or ""), API_PORT)
        seen = "the web page of a self-hosted platform, not its API, is at %s (%s): HTTP %d" % (url, ADDRESS, status)
        return seen, "Set %s=%s: the API is on port %d, not %s." % (
            ADDRESS,
            api,
            API_PORT,
            parts.port or "that of the pages",
        )
    if is_hosted(parts.hostname or "") and not (parts.hostname or "").startswith("api."):
        return seen, "Set %s=%s: the API of the hosted platform." % (ADDRESS, config.CN_BASE_URL)
    if status in (401, 403):
        return seen, "A gateway before the platform asks for more: its headers go into new_client(headers=...)."
    if status == 404:
        root = "%s://%s" % (parts.scheme, parts.netloc)
        hint = "without a path: %s" % root if parts.path.strip("/") else "of the API (self-hosted: port %d)" % API_PORT
        return seen, "Set %s to the address %s. Or the server is too old to have this API: update it." % (ADDRESS, hint)
    return seen, "Set %s to the address of the API, not of a web page, login page or proxy." % ADDRESS


def _redirect(answer: Answer, url: str) -> tuple[str, str]:
    target = answer.headers.get("location", "").partition("?")[0].partition("#")[0]
    where = target[:MAX_SHOWN] or "nowhere"
    seen = "%s (%s) redirects to %s, and spans do not follow a redirect" % (url, ADDRESS, where)
    if target.startswith("https://") and target.endswith(config.INGEST_PATH):
        return seen, "Set %s=%s" % (ADDRESS, target[: -len(config.INGEST_PATH)])
    return seen, "Set %s to where the API itself is; to a login page, a gateway before it redirects." % ADDRESS


def _quoted(answer: Answer) -> str:
    title = _TITLE.search(answer.text) if answer.is_html else None
    words = " ".join((title.group(1) if title else "" if answer.is_html else answer.text).split())
    return ", %r" % words[:MAX_SHOWN] if words else ""


def speaks_tls(host: str, port: int) -> tuple[str, str]:
    """The address says http, and the server wants TLS."""
    place = "%s:%d" % (_in_url(host), port)
    seen = "%s speaks TLS, and the address in %s begins with http://" % (place, ADDRESS)
    return seen, "Set %s=https://%s" % (ADDRESS, place)


def speaks_plain_http(host: str, port: int) -> tuple[str, str]:
    """The address says https, and the server knows no TLS."""
    place = "%s:%d" % (_in_url(host), port)
    seen = "%s speaks plain HTTP, and the address in %s begins with https://" % (place, ADDRESS)
    return seen, "Set %s=http://%s" % (ADDRESS, place)


def _in_url(host: str) -> str:
    return "[%s]" % host if ":" in host else host


def clock(ahead_seconds: float) -> Step:
    """What the difference between this machine's clock and the server's means; positive when this one is ahead."""
    minutes = round(abs(ahead_seconds) / 60)
    seen = "this machine's clock is %s of the server's" % (
        "%d h %d min %s" % (minutes // 60, minutes % 60, "ahead" if ahead_seconds > 0 else "behind")
    )
    advice = "Set this machine's clock (NTP), and check its time zone."
    if abs(ahead_seconds) > MAX_SKEW_SECONDS:
        return Step("clock", FAILED, seen + ": the platform drops spans for that, without a word", advice)
    if abs(ahead_seconds) > WARN_SKEW_SECONDS:
        return Step("clock", WARNING, seen + "; over an hour, spans are lost", advice)
    return Step("clock", OK, "differs from the server's by %d s" % abs(round(ahead_seconds)))


def refusal(problem: errors.LoopError) -> tuple[str, str]:
    """Why a request with the token failed, and what to change; that the token is unknown is told elsewhere."""
    if not isinstance(problem, errors.RemoteServiceError):
        if isinstance(problem, errors.RequestTimeoutError):
            return str(problem), "The platform is slow or hangs; try a longer --timeout (timeout=...)."
        return str(problem), ""
    said = "%s [HTTP %s, code %s, log id %s]" % (
        _short(problem.msg) or "no reason",
        problem.status,
        _short(problem.code),
        _short(problem.log_id) or "none",
    )
    if problem.code == NO_QUOTA:
        seen = "the workspace has no capacity left to report traces: " + said
        return seen, "Raise the quota of the workspace, or set another one: %s." % WORKSPACE
    if problem.code == NO_ACCOUNT:
        return "the account is not available: " + said, "Check %s, and the account that it belongs to." % TOKEN
    if problem.code == SERVER_FAILED:
        seen = "the platform failed, or a gateway before it took the token away: " + said
        return seen, "Look for the log id in the log of the platform; a gateway must pass the header Authorization on."
    if isinstance(problem, errors.RateLimitError):
        return "the platform is asked too often: " + said, "No setting is wrong. Wait, and check again."
    if isinstance(problem, errors.PermissionDeniedError) and problem.code is None:
        seen = "a gateway before the platform does not let the request through: " + said
        return seen, "If it asks for more than the platform does, its headers go into new_client(headers=...)."
    if isinstance(problem, errors.PermissionDeniedError):
        seen = "the owner of the token may not use this workspace (%s): %s" % (WORKSPACE, said)
        return seen, "Set %s to a workspace of yours, or %s to a token of a member of it." % (WORKSPACE, TOKEN)
    return "the platform refuses: " + said, problem.hint


def _short(value: Any) -> str:
    return " ".join(str("" if value is None else value).split())[:MAX_SHOWN]
