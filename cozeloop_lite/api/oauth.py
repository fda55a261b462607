"""An OAuth application of the platform, and how it proves who it is: by a JWT that it signs (contract siblings.md 1.5).

The JWT is put together here; only the signature needs a private key and PyJWT, or a function in place of both.
"""

from __future__ import annotations

import base64
import json
import os

from .. import config, errors
from . import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

TOKEN_SECONDS = 900  # how long a token is to live, contract siblings.md 1.5
MIN_TOKEN_SECONDS = 61  # it is renewed a minute before its end
MAX_TOKEN_SECONDS = 86_399  # the most that the official Python SDK says the platform takes
JWT_SECONDS = 900  # for the one request it is made for; long, since clocks differ
SKEW_SECONDS = 60  # how far this machine's clock may be ahead of the platform's
ALGORITHMS = ("RS256", "ES256")

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class OAuthApp:
    """An OAuth application of the platform, and the key that proves it.

    Args:
        client_id: of the application.
        public_key_id: the fingerprint under which the platform has its public key.
        private_key: the text of the PEM file of the private key: RSA, or EC on the curve P-256. Needs the extra
            ``jwt``: ``pip install "cozeloop-lite[jwt]"``.
        signer: in place of ``private_key``, for keys that never leave a key service: is given the bytes to sign and
            returns the signature. For ES256 that is r and s one after the other, or DER. Needs no extra.
        alg: what ``signer`` signs with, ``RS256`` (the default) or ``ES256``. A private key decides for itself.
        ttl: seconds that a token is to live; default 900, from 61 to 86,399.
        account_id: asks for a token of that account (contract siblings.md 1.5); default: none is named.
        scope: sent as it is, to say what the token is to allow; default: none is sent.
        claims: further claims of the JWT, such as ``session_name``.

    Raises:
        AuthInfoRequiredError: the client id, the key or the key's id is missing.
        ParsePrivateKeyError: the private key cannot be used; the message says what it is instead.
        InvalidParamError: another argument cannot be used, or the extra is not installed.
    """

    def __init__(
        self,
        client_id: str,
        public_key_id: str,
        *,
        private_key: str | None = None,
        signer: Callable[[bytes], bytes] | None = None,
        alg: str = "RS256",
        ttl: int = TOKEN_SECONDS,
        account_id: str | int | None = None,
        scope: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> None:
        self.client_id = _text("jwt_oauth_client_id", config.ENV_JWT_OAUTH_CLIENT_ID, client_id)
        self._key_id = _text("jwt_oauth_public_key_id", config.ENV_JWT_OAUTH_PUBLIC_KEY_ID, public_key_id)
        if private_key and signer is not None:
            raise errors.InvalidParamError("jwt_oauth_private_key and jwt_oauth_signer: only one of them can sign")
        if signer is not None:
            self._sign: Callable[[bytes], bytes] = _checked(signer, alg)
            self._alg = alg
            self._key: Any = config.comparable(signer)
        else:
            if private_key is None:
                raise _missing("jwt_oauth_private_key", config.ENV_JWT_OAUTH_PRIVATE_KEY)
            self._sign = keys.signer(private_key)
            self._alg = self._sign.alg
            self._key = self._sign.digest
        if isinstance(ttl, bool) or not isinstance(ttl, int) or not MIN_TOKEN_SECONDS <= ttl <= MAX_TOKEN_SECONDS:
            raise errors.InvalidParamError(
                "ttl must be an int from %d to %d (seconds), not %r" % (MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS, ttl)
            )
        self.ttl = ttl
        self.path = "/api/permission/oauth2/token"
        if account_id is not None:
            if not (str(account_id).isascii() and str(account_id).isdigit()):
                raise errors.InvalidParamError("account_id must be a decimal number, not %r" % (account_id,))
            self.path = "/api/permission/oauth2/account/%s/token" % account_id
        self._scope = _json("scope", scope)
        self._claims = _json("claims", claims)

    def key(self) -> tuple[Any, ...]:
        """Equal for equal settings. Has no secret in it."""
        return self.client_id, self._key_id, self._key, self._alg, self.ttl, self.path, self._scope, self._claims

    def __repr__(self) -> str:
        return "<OAuthApp %s>" % self.client_id

    def body(self) -> dict[str, Any]:
        """What is asked of the platform."""
        body: dict[str, Any] = {"client_id": self.client_id, "grant_type": _GRANT, "duration_seconds": self.ttl}
        if self._scope:
            body["scope"] = json.loads(self._scope)
        return body

    def jwt(self, audience: str, now: float) -> str:
        """The proof: a signed JWT, good for one request.

        Raises:
            AuthInfoRequiredError: signing failed.
        """
        header = {"alg": self._alg, "typ": "JWT", "kid": self._key_id}
        claims = json.loads(self._claims or "{}")
        claims.update(
            iss=self.client_id,
            aud=audience,
            iat=int(now) - SKEW_SECONDS,  # a server may refuse what was issued in its future
            exp=int(now) + JWT_SECONDS,
            jti=os.urandom(16).hex(),
        )
        text = _base64(_compact(header)) + b"." + _base64(_compact(claims))
        try:
            signature = self._sign(text)
        except errors.LoopError:
            raise
        except Exception as problem:
            # Without its words, in which a secret may stand; they are in __cause__.
            raise errors.AuthInfoRequiredError(
                "the JWT for the OAuth token could not be signed: %s" % type(problem).__name__
            ) from problem
        return (text + b"." + _base64(signature)).decode("ascii")


def _text(name: str, variable: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise _missing(name, variable)
    if not isinstance(value, str):
        raise errors.InvalidParamError("%s (%s) must be a str, not %s" % (name, variable, type(value).__name__))
    return str(value.strip())


def _missing(name: str, variable: str) -> errors.AuthInfoRequiredError:
    return errors.AuthInfoRequiredError("an OAuth application needs %s=... or %s" % (name, variable))


def _json(name: str, value: Mapping[str, Any] | None) -> str:
    """``value`` as JSON, so that nobody changes it later; ``""`` when there is none."""
    if not value:
        return ""
    try:
        return _compact(dict(value)).decode("utf-8")
    except (TypeError, ValueError, RecursionError) as problem:
        raise errors.InvalidParamError("%s cannot be written as a JSON object: %s" % (name, problem)) from problem


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")  # RFC 7515 2


def _checked(signer: Any, alg: str) -> Callable[[bytes], bytes]:
    """The signer of the program, with what it returns looked at."""
    if not callable(signer):
        raise errors.InvalidParamError("jwt_oauth_signer must be a function that takes bytes and returns a signature")
    if alg not in ALGORITHMS:
        raise errors.InvalidParamError("jwt_oauth_alg must be one of %s, not %r" % (", ".join(ALGORITHMS), alg))

    def sign(data: bytes) -> bytes:
        signature = signer(data)
        if not isinstance(signature, (bytes, bytearray)):
            raise errors.AuthInfoRequiredError(
                "jwt_oauth_signer returned a %s, not the bytes of a signature" % type(signature).__name__
            )
        if alg == "ES256" and len(signature) != 64:
            signature = _joined(bytes(signature))
        if not signature:
            raise errors.AuthInfoRequiredError("jwt_oauth_signer returned no signature of %s" % alg)
        return bytes(signature)

    return sign


def _joined(der: bytes) -> bytes:
    """r and s in 32 bytes each, as a JWT has them (RFC 7518 3.4), from the DER of key services; empty if it is not."""
    joined = b""
    rest = der[2:]
    try:
        for _ in "rs":
            size = rest[1]
            joined += int.from_bytes(rest[2 : 2 + size], "big").to_bytes(32, "big")
            rest = rest[2 + size :]
    except (IndexError, OverflowError):
        return b""
    return joined if der[0] == 0x30 and der[1] == len(der) - 2 and not rest else b""
