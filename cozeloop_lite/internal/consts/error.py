"""The official package has its exceptions in a module of this name, and the codes of OAuth (RFC 8628 3.5)."""

from ...errors import (
    AuthError,
    AuthInfoRequiredError,
    ClientClosedError,
    HeaderParentError,
    InternalError,
    InvalidParamError,
    LoopError,
    NetworkError,
    ParsePrivateKeyError,
    RemoteServiceError,
)

__all__ = [
    "ACCESS_DENIED",
    "AUTHORIZATION_PENDING",
    "EXPIRED_TOKEN",
    "SLOW_DOWN",
    "AuthError",
    "AuthInfoRequiredError",
    "ClientClosedError",
    "HeaderParentError",
    "InternalError",
    "InvalidParamError",
    "LoopError",
    "NetworkError",
    "ParsePrivateKeyError",
    "RemoteServiceError",
]

ACCESS_DENIED = "access_denied"
AUTHORIZATION_PENDING = "authorization_pending"
EXPIRED_TOKEN = "expired_token"
SLOW_DOWN = "slow_down"
