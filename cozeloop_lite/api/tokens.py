"""Which of the ways to a token a client takes, by its settings; and a token function that is not called each time.

All ways have the methods of :class:`GivenToken`: ``token``, ``invalidate``, ``refusal`` and ``key``.
"""

from __future__ import annotations

import sys
import threading
from time import monotonic, time

from .. import config, errors, logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .oauth import OAuthApp

REFUSED_PAUSE_SECONDS = 10.0  # a token that replaced a refused one is not itself replaced sooner

_CLIENT_ID = ("jwt_oauth_client_id", config.ENV_JWT_OAUTH_CLIENT_ID)
_KEY_ID = ("jwt_oauth_public_key_id", config.ENV_JWT_OAUTH_PUBLIC_KEY_ID)
_PRIVATE_KEY = ("jwt_oauth_private_key", config.ENV_JWT_OAUTH_PRIVATE_KEY)


class GivenToken:
    """A token of the user's, or a function that returns one and is called for each request."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def key(self) -> Any:
        """Equal for equal settings."""
        return config.comparable(self._token)

    def token(self, seconds: float) -> str:
        """The token. Raises ``AuthInfoRequiredError`` when the function fails, or returns what is none."""
        if isinstance(self._token, str):
            return self._token
        try:
            given = self._token()
        except Exception as problem:
            # Without its words, in which a secret may stand; they are in __cause__.
            raise errors.AuthInfoRequiredError(
                "the function given as api_token failed: %s" % type(problem).__name__
            ) from problem
        return config.checked_token(given, "the function given as api_token returned")

    def invalidate(self, token: str) -> bool:
        """The platform refused ``token``, and there is no other."""
        return False

    def refusal(self, error: errors.AuthenticationError) -> errors.RemoteServiceError:
        """The error as it is: what it advises is for such tokens."""
        return error


def without_frames(error: errors.LoopError) -> errors.LoopError:
    """A copy: an error that was raised comes with frames, and in those there may be a JWT."""
    with process.loading():
        import copy  # here: most programs, whose token is given, do not need it

    return copy.copy(error)


class OAuthSettings:
    """The settings of an OAuth application, as they are passed; see :class:`.oauth.OAuthApp` for what they mean."""

    def __init__(
        self,
        client_id: str | None,
        private_key: str | None,
        public_key_id: str | None,
        signer: Callable[[bytes], bytes] | None,
        alg: str | None,
    ) -> None:
        self._passed = any(value not in (None, "") for value in (client_id, private_key, public_key_id, signer, alg))
        self._client_id = config.setting(client_id, _CLIENT_ID[1])
        self._key_id = config.setting(public_key_id, _KEY_ID[1])
        self._private_key = config.setting(private_key, _PRIVATE_KEY[1]) if signer is None else private_key
        self._signer = signer
        self._alg = alg or "RS256"

    def app(self, has_token: bool) -> OAuthApp | None:
        """The application; None when there is none, or when only a part of one is in the environment beside a token.

        Raises:
            AuthInfoRequiredError: a setting is missing.
            ParsePrivateKeyError: the private key cannot be used.
            InvalidParamError: another setting cannot be used.
        """
        settings = {_CLIENT_ID: self._client_id, _KEY_ID: self._key_id, _PRIVATE_KEY: self._signer or self._private_key}
        found = [name for (name, _), value in settings.items() if value]
        if not found and not self._passed:
            return None
        if has_token and not self._passed and len(found) < len(settings):
            missing = ["%s (%s)" % setting for setting, value in settings.items() if not value]
            logger.warn("OAuth is not used but api_token: %s is set, not so %s", found[0], " and ".join(missing))
            return None
        with process.loading():
            from .oauth import OAuthApp

        key = self._private_key or None
        return OAuthApp(self._client_id, self._key_id, private_key=key, signer=self._signer, alg=self._alg)


def source(
    api_token: Any,
    ttl: float | None,
    oauth: OAuthSettings,
    base_url: str,
    post: Callable[..., dict[str, Any]],
) -> Any:
    """Where a client has its token from. OAuth is stronger than a token (contract siblings.md 1.1).

    ``api_token`` is a token, a function that returns one, or an ``OAuthApp``, which is stronger than ``oauth``.

    Raises:
        AuthInfoRequiredError: there is neither a token nor a complete OAuth application.
    """
    lifetime = None if ttl is None else config.seconds("api_token_ttl", ttl, 0)
    # Whoever has an application has loaded it; while another thread does, it may be there without the class.
    kind = getattr(sys.modules.get(__package__ + ".oauth"), "OAuthApp", None)
    if kind is not None and isinstance(api_token, kind):
        app: OAuthApp | None = api_token
    else:
        app = oauth.app(bool(config.setting(api_token, config.ENV_API_TOKEN)))
    if app is not None:
        with process.loading():
            from .auth import AccessToken

        return AccessToken(app, base_url, post)
    token = config.token(api_token)
    return CachedToken(token, lifetime) if callable(token) and lifetime is not None else GivenToken(token)


class CachedToken:
    """What a token function returned, used for ``ttl`` seconds; then, or once it is refused, the function is called.

    However many threads need a token, one of them calls the function while the others wait, and share its failure.
    """

    def __init__(self, function: Callable[[], str], ttl: float) -> None:
        self._given = GivenToken(function)
        self._ttl = ttl
        self._held: tuple[str, float, float] | None = None  # the token, its end by either clock
        self._failure: errors.LoopError | None = None
        self._failures = 0
        self._refused_at = float("-inf")
        self._lock: Any = threading.RLock()  # R: a signal handler may need a token in the middle of asking for one
        process.on_fork(self)

    def key(self) -> Any:
        """Equal for equal settings."""
        return self._given.key(), self._ttl

    def token(self, seconds: float) -> str:
        """A token; waits at most ``seconds`` for another thread that is asking for one.

        Raises:
            AuthInfoRequiredError: the function failed, or returned what is no token.
        """
        held = self._current()
        if held is not None:
            return held
        process.check_fork()
        failures, lock = self._failures, self._lock
        if not lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise errors.RequestTimeoutError(
                "no token within %.3g s (timeout): another thread waits for the function given as api_token" % seconds
            )
        try:
            held = self._current()
            if held is not None:  # asked for while this thread waited
                return held
            if self._failure is not None and self._failures != failures:
                raise without_frames(self._failure) from self._failure.__cause__
            return self._fetch(seconds)
        finally:
            lock.release()

    def invalidate(self, token: str) -> bool:
        """The platform refused ``token``: it is not used again. Returns whether a second attempt makes sense.

        It does not when a token was refused just before: then it is not the token that is wrong.
        """
        held = self._held
        if held is not None and held[0] == token:
            if monotonic() - self._refused_at < REFUSED_PAUSE_SECONDS:
                return False
            self._refused_at = monotonic()
            self._held = None
        return True

    def refusal(self, error: errors.AuthenticationError) -> errors.RemoteServiceError:
        """The error as it is: what it advises is for such tokens."""
        return error

    def _current(self) -> str | None:
        held = self._held
        # By both clocks: one is set anew now and then, one may stand still while the machine sleeps.
        return held[0] if held is not None and time() < held[1] and monotonic() < held[2] else None

    def _fetch(self, seconds: float) -> str:
        try:
            token = self._given.token(seconds)
        except errors.LoopError as problem:
            self._failure = problem
            self._failures += 1
            raise
        self._failure = None
        self._held = (token, time() + self._ttl, monotonic() + self._ttl)
        return token

    def _on_fork(self) -> None:
        self._lock = threading.RLock()  # no thread asks in the child, whatever those of the parent were doing
