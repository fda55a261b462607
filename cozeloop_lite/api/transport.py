"""One request and its answer: sent, redirected where that is safe, read, and what its failure is called.

Whoever echoes the request must not bring the token into a log: all that comes back goes through :meth:`Call.hidden`.
This module loads urllib3 and is imported with the first request.
"""

from __future__ import annotations

import re
import socket
from http.client import BadStatusLine, RemoteDisconnected
from time import monotonic
from typing import Any, AnyStr

import urllib3
from urllib3.exceptions import NewConnectionError, ProtocolError

from .. import config, errors
from . import answers, body, connections, redirects

HIDDEN = "***"
ERROR_BYTES = 64 * 1024  # of an answer that is no success; the platform's own have less than 1 KB
SHORTEST_SECRET = 8  # characters; a shorter one ("token", in a test) may be a part of any word

_UNREACHED = " Is %s right, and is the server up?"
_PLAIN = " What answers there speaks http, not https: is %s right?"
_CONNECTION = r"\A(<[^>]*>|\w+\(host=[^)]*\)): "  # how urllib3 begins: with a class, and what the URL says anyway
_UNTRUSTED = (
    ". If the authority that signed it is to be trusted: set SSL_CERT_FILE to a file of its certificate, or pass "
    "http_client=urllib3.PoolManager(ca_certs=...)."
)

_ONCE = urllib3.Retry(False, redirect=False)  # what retries=False means to urllib3, which would make one each time
FAILURES = (urllib3.exceptions.HTTPError, ValueError, OSError)  # all that a request and a body raise


class Call:
    """One request: what is said, and by when it must be over: ``end`` (monotonic seconds), if not ``seconds`` from now.

    Attributes:
        setting: what names the address of the server.
        away: it was redirected to another host, which is not given the token.
        secrets: texts that are hidden in all that comes back.
    """

    setting = "api_base_url (%s)" % config.ENV_API_BASE_URL

    def __init__(
        self,
        method: str,
        url: str,
        content: bytes | None,
        headers: dict[str, str],
        seconds: float,
        end: float | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.content = content
        self.headers = headers
        self.seconds = seconds
        self.end = monotonic() + seconds if end is None else end
        self.away = False
        self._way = ""
        credentials = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        self.secrets: tuple[str, ...] = (credentials.partition(" ")[2] or credentials,)

    def hidden(self, text: AnyStr) -> AnyStr:
        """``text`` without the token, and without the password of the proxy."""
        for secret in self.secrets:
            if len(secret) < SHORTEST_SECRET:
                continue
            if isinstance(text, bytes):
                text = text.replace(secret.encode("latin-1", "replace"), HIDDEN.encode())
            else:
                text = text.replace(secret, HIDDEN)
        return text

    def shown(self, headers: Any) -> dict[str, str]:
        """The headers of an answer without secrets, their names in lower case."""
        return {name.lower(): self.hidden(value) for name, value in headers.items()}

    def failure(self, problem: BaseException) -> errors.NetworkError:
        """One of ``FAILURES`` as an error that says what was tried, and is to be raised where no other is handled."""
        what = "%s %s%s" % (self.method, self.url.partition("?")[0], self._way)
        # By the clock, too: a timeout while sending is a broken connection by name.
        if _is_timeout(problem) or monotonic() >= self.end:
            text = "%s: no complete answer within %.3g s (timeout)" % (what, self.seconds)
            error: errors.NetworkError = errors.RequestTimeoutError(text)
        else:
            kind = errors.AnswerTooLongError if isinstance(problem, body.TooLong) else errors.NetworkError
            words = self.hidden(_words(problem)) or type(problem).__name__
            error = kind("%s failed: %s%s" % (what, words, self._advice(problem, words)))
        if not self._tells(problem):
            error.__cause__ = problem
        return error

    def _advice(self, problem: BaseException, words: str) -> str:
        """A sentence on what helps, where that is known; a proxy that is not reached is named already."""
        if "certificate verify failed" in words:
            return _UNTRUSTED
        if self._way:
            return ""
        if isinstance(problem, NewConnectionError):
            return "." + _UNREACHED % self.setting
        return "." + _PLAIN % self.setting if "WRONG_VERSION_NUMBER" in words else ""

    def _tells(self, problem: BaseException | None) -> bool:
        """Whether a secret stands in ``problem`` or what is behind it: a server that is none may repeat anything."""
        while problem is not None:
            text = "%s %r" % (problem, problem)
            if self.hidden(text) != text:
                return True
            problem = problem.__cause__ or problem.__context__
        return False

    def stranger(self, refused: errors.AuthenticationError) -> errors.AuthenticationError:
        """The refusal of a host that was not given the token, as such."""
        hint = "It was redirected to %s, which is not given the token: check api_base_url (%s)." % (
            self.url.partition("?")[0],
            config.ENV_API_BASE_URL,
        )
        return errors.AuthenticationError(refused.http_code, refused.error_code, refused.msg, refused.log_id, hint)

    def send(self, pools: connections.Pools) -> Any:
        """The response, its body not yet read. Nothing is tried twice, and no redirect followed."""
        pool, proxy = pools.of(self.url)
        if proxy is not None:
            self._way = " through the proxy of %s, %s," % (proxy.variable, proxy.url)
            self.secrets += proxy.secrets
        with connections.Deadline(self.end):
            return pool.urlopen(
                self.method,
                self.url,
                body=self.content,
                headers=self.headers,
                timeout=urllib3.Timeout(total=max(0.001, self.end - monotonic())),
                retries=_ONCE,
                redirect=False,
                preload_content=False,
                decode_content=False,  # nothing compressed is asked for; what comes all the same cannot be a bomb
                enforce_content_length=True,  # urllib3 1.26 would take a truncated answer for a whole one
            )

    def redirect(self, response: Any) -> bool:
        """Turn to where ``response`` sends to. False when it does not, or when that is not followed.

        Only what reads is: a body is for the platform alone, and turned into a GET it would seem to have arrived.
        """
        location = response.headers.get("location")
        if response.status not in redirects.STATUSES or not location or self.method != "GET" or self.content:
            return False
        target = redirects.followed(self.url, location)
        if target is None:
            return False
        if not redirects.same_place(self.url, target):
            self.away = True
            self.headers = redirects.for_a_stranger(self.headers)
        self.url = target
        return True


def _words(problem: BaseException) -> str:
    """What a failure says, without the names of classes."""
    parts = problem.args
    if isinstance(problem, ProtocolError) and len(parts) == 2 and isinstance(parts[1], Exception):
        if isinstance(parts[1], RemoteDisconnected):
            return "the connection was closed before an answer came"
        if isinstance(parts[1], BadStatusLine):
            return "what answers there does not speak HTTP, it says %r" % str(parts[1])
        return "%s: %s" % (str(parts[0]).rstrip("."), parts[1])
    return re.sub(_CONNECTION, "", str(problem))


def opened(pools: connections.Pools, call: Call) -> Any:
    """The response to ``call``, its body not yet read.

    Raises:
        urllib3.exceptions.HTTPError: no answer arrived, or none in time.
    """
    response = call.send(pools)
    for _ in range(redirects.MAX_REDIRECTS):
        if not call.redirect(response):
            break
        body.leave(response, complete=False)
        response = call.send(pools)
    return response


def exchange(pools: connections.Pools, call: Call, max_bytes: int) -> tuple[int, Any, bytes]:
    """A request and its answer, whatever that says: status, headers, body; raises one of ``FAILURES``."""
    response = opened(pools, call)
    return response.status, response.headers, content_of(response, call, max_bytes)


def content_of(response: Any, call: Call, max_bytes: int) -> bytes:
    """The body of the answer to ``call``; raises one of ``FAILURES``.

    Of one that is no success, the beginning, if that: what counts is the status, however long the page that comes with
    it, and whether or not it arrives.
    """
    if 200 <= response.status < 300:
        return body.whole(response, call.end, max_bytes)
    try:
        return body.beginning(response, call.end, min(ERROR_BYTES, max_bytes))
    except FAILURES:
        return b""


def answer(pools: connections.Pools, call: Call, max_bytes: int) -> dict[str, Any]:
    """The JSON object of a successful answer to ``call``.

    Raises:
        NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time, ``AnswerTooLongError`` when it
            has more than ``max_bytes``.
        RemoteServiceError: the answer is not a success.
        InvalidParamError: there is no way out: the environment names a proxy that is none.
    """
    try:
        status, headers, content = exchange(pools, call, max_bytes)
    except errors.LoopError:
        raise
    except FAILURES as problem:
        failure = call.failure(problem)
    else:
        content = call.hidden(content)
        said = answers.success(status, content)
        if said is not None:  # nearly always, and to look through the headers takes 4 µs
            return said
        raise answers.refusal(status, call.shown(headers), content)
    try:
        raise failure  # here, so that nothing hangs on to it but its cause
    finally:
        del failure  # which has this frame


def _is_timeout(problem: BaseException) -> bool:
    """In urllib3 a refused connection counts as a timeout, too."""
    kinds = (urllib3.exceptions.TimeoutError, socket.timeout)
    return isinstance(problem, kinds) and not isinstance(problem, NewConnectionError)
