"""The token that an OAuth application gets when it is needed.

It is asked for once, however many need it, kept, and renewed before it expires. With which proof is in
:mod:`.oauth`; how a request is made is no matter here, either: the function that makes it is handed in.
"""

from __future__ import annotations

import threading
from time import monotonic, time

from .. import config, errors, logger, process
from . import answers
from .tokens import REFUSED_PAUSE_SECONDS, without_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .oauth import OAuthApp

EARLY_SECONDS = 60  # before it expires a token is renewed, contract siblings.md 1.5
SKEW_SECONDS = 60  # how much a token may seem to have expired when it is granted, before the clock is to blame
PAUSE_SECONDS = 1.0  # after a failed request for a token, whose error is the answer to all who ask meanwhile
EARLY_PAUSE_SECONDS = 10.0  # the same while the old token is still good

_FIRST_TIMESTAMP = 1_000_000_000  # what is below is no point in time but a number of seconds
_CHECK = (
    "No OAuth token was granted. Check jwt_oauth_client_id (%s) and jwt_oauth_public_key_id (%s), whether the private "
    "key belongs to that public key, whether api_base_url (%s) is the platform that has the application, and this "
    "machine's clock."
    % (config.ENV_JWT_OAUTH_CLIENT_ID, config.ENV_JWT_OAUTH_PUBLIC_KEY_ID, config.ENV_API_BASE_URL)
)
_NO_OAUTH = (
    "There is no OAuth at this address: a self-hosted platform has none and needs api_token (%s); else check "
    "api_base_url (%s)." % (config.ENV_API_TOKEN, config.ENV_API_BASE_URL)
)
_REFUSED = (
    "The token was granted to the OAuth application %s and is refused all the same: check which permissions the "
    "application has, and for which workspaces."
)


class AccessToken:
    """The access token of an application: asked for when it is needed, kept, renewed a minute before it expires.

    However many threads need one, there is one request, made on the thread of one of them while the others wait. While
    the old token is good nobody waits: whoever comes first renews it, and when that fails it is used to its end.

    Args:
        app: the application.
        base_url: the address of the platform; its host is whom the JWT is for.
        post: makes the request, as :meth:`ApiClient.post` does, whose arguments it takes.
    """

    def __init__(self, app: OAuthApp, base_url: str, post: Callable[..., dict[str, Any]]) -> None:
        from urllib.parse import urlsplit

        self._app = app
        self._audience = urlsplit(base_url).netloc
        self._post = post
        self._held: _Held | None = None
        self._failure = _Failure()
        self._replaces_refused = False
        self._lock: Any = threading.RLock()  # R: a signal handler may need a token in the middle of asking for one
        process.on_fork(self)

    def __repr__(self) -> str:
        return "<AccessToken of %r>" % self._app

    def key(self) -> Any:
        """Equal for equal settings. Has no secret in it."""
        return self._app.key()

    def token(self, seconds: float) -> str:
        """A token that is good now; takes at most ``seconds``.

        Raises:
            HttpError: none was granted, or the platform could not be asked.
            AuthInfoRequiredError: the signer failed.
        """
        held = self._held
        if held is not None and held.lasts(EARLY_SECONDS):
            return held.value
        process.check_fork()
        if held is not None and held.lasts(0):
            return self._renewed(held, seconds)
        return self._awaited(held, seconds)

    def invalidate(self, token: str) -> bool:
        """The platform refused ``token``: it is not used again. Returns whether a second attempt makes sense.

        It does not when the token has only just replaced a refused one: then it is not the token that is wrong.
        """
        held = self._held
        if held is not None and held.value == token:
            if held.replaces_refused and held.age() < REFUSED_PAUSE_SECONDS:
                return False
            self._replaces_refused = True
            self._held = None
        return True

    def refusal(self, error: errors.AuthenticationError) -> errors.RemoteServiceError:
        """The same error, with advice for an OAuth application in place of that for a token of the user's."""
        return _advised(error, _REFUSED % self._app.client_id)

    def _renewed(self, held: _Held, seconds: float) -> str:
        """A new token, if it can be had now; else the one that is there."""
        lock = self._lock
        if self._failure.age() < EARLY_PAUSE_SECONDS or not lock.acquire(False):
            return held.value
        try:
            if self._held is not held:  # renewed or refused in this moment
                return self.token(seconds)
            return self._fetch(seconds / 2).value  # the other half is for what the token is needed for
        except errors.LoopError as problem:
            logger.warn("the OAuth token could not be renewed; the old one is used while it is good: %s", str(problem))
            return held.value
        finally:
            lock.release()

    def _awaited(self, unusable: _Held | None, seconds: float) -> str:
        """A token in place of ``unusable``, if need be after waiting for another thread that asks for one."""
        began, failure, lock = monotonic(), self._failure, self._lock
        if not lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise errors.RequestTimeoutError(
                "no OAuth token within %.3g s (timeout): another thread waits for the answer to the request" % seconds
            )
        try:
            held = self._held
            if held is not None and held is not unusable:  # granted while this thread waited
                return held.value
            if self._failure is not failure or failure.age() < PAUSE_SECONDS:
                self._failure.share()
            return self._fetch(began + seconds - monotonic()).value
        finally:
            lock.release()  # however the request ended: those who wait go on

    def _fetch(self, seconds: float) -> _Held:
        """Ask the platform. Whoever calls has the lock."""
        app = self._app
        replaces_refused = self._replaces_refused
        now, began = time(), monotonic()
        try:
            proof = {"Authorization": "Bearer " + app.jwt(self._audience, now)}
            left = max(0.001, began + seconds - monotonic())  # a key service takes its time, too
            answer = self._post(app.path, app.body(), timeout=left, headers=proof)
            value = _token(answer)
        except errors.LoopError as problem:
            explained = _explained(problem)
            self._failure = _Failure(explained)
            raise explained from problem.__cause__
        lifetime = _lifetime(answer.get("expires_in"), now, app.ttl)
        held = _Held(value, now + lifetime, began + lifetime, replaces_refused)
        self._failure = _Failure()
        self._replaces_refused = False
        self._held = held
        return held

    def _on_fork(self) -> None:
        # A token is as good in the child. A request is not under way there, whatever the parent's threads were doing.
        self._lock = threading.RLock()
        self._failure = _Failure()


class _Held:
    """A token and its end by two clocks: one is set anew now and then, one may stand still while the machine sleeps."""

    def __init__(self, value: str, wall_end: float, end: float, replaces_refused: bool) -> None:
        self.value = value
        self.replaces_refused = replaces_refused
        self._wall_end = wall_end
        self._end = end
        self._since = monotonic()

    def lasts(self, seconds: float) -> bool:
        """Whether the token is good for more than ``seconds`` from now."""
        return time() + seconds < self._wall_end and monotonic() + seconds < self._end

    def age(self) -> float:
        return monotonic() - self._since


class _Failure:
    """How the last request for a token failed, if it did."""

    def __init__(self, error: errors.LoopError | None = None) -> None:
        self._error = without_frames(error) if error is not None else None
        self._at = monotonic()

    def age(self) -> float:
        return monotonic() - self._at if self._error is not None else float("inf")

    def share(self) -> None:
        """Raise it, unless it is a timeout: that is one of whoever asked, and who comes next may have more time."""
        if self._error is not None and not isinstance(self._error, errors.RequestTimeoutError):
            raise without_frames(self._error)


def _token(answer: dict[str, Any]) -> str:
    try:
        return config.checked_token(answer.get("access_token"), "access_token is")
    except errors.AuthInfoRequiredError as problem:
        said = answer.get("error_message") or "the answer is no OAuth token: %s" % problem
        code = answers.words(answer.get("error_code"))
    raise errors.AuthenticationError(200, code or None, answers.words(said))


def _lifetime(expires_in: Any, now: float, asked: float) -> float:
    """Seconds that a token lives. ``expires_in`` is a point in time by the platform's clock, or such a number.

    No platform grants a token that has expired, or that lives longer than was asked for: when it seems so, it is this
    machine's clock that is wrong.
    """
    try:
        number = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return asked
    left = number - now if number >= _FIRST_TIMESTAMP else number
    return left if -SKEW_SECONDS <= left <= asked else asked


def _explained(error: errors.LoopError) -> errors.LoopError:
    """The same error; the platform's refusal with advice for this request in place of that for any."""
    if not isinstance(error, errors.RemoteServiceError):
        return error
    if isinstance(error, errors.NotFoundError):
        return _advised(error, _NO_OAUTH)
    if isinstance(error, (errors.RateLimitError, errors.InternalServerError)):
        return _advised(error, "No OAuth token was granted.")
    return _advised(error, _CHECK)


def _advised(error: errors.RemoteServiceError, hint: str) -> errors.RemoteServiceError:
    advised = type(error)(error.http_code, error.error_code, error.error_message, error.log_id, hint)
    advised.retry_after = error.retry_after
    return advised
