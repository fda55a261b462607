"""The exceptions of the package: one tree, so that ``except LoopError`` catches all of them and nothing else.

Only what a caller asks for explicitly raises (building a client, calling the API, fetching a prompt). Tracing never
does: what goes wrong there is counted in ``client.stats()`` and logged.

    LoopError
    ├── InvalidParamError            an argument or a setting has no usable value
    │   └── PropertyUnprovidedError  a setting is missing: names the argument and the environment variable
    │       └── AuthInfoRequiredError
    ├── ClientClosedError            the client was closed before the call
    ├── InternalError                a fault of this library
    ├── TemplateError                a prompt template cannot be rendered
    ├── ParsePrivateKeyError         a private key cannot be read
    ├── HeaderParentError            kept for programs that catch the official name; never raised here
    └── HttpError                    any failed request
        ├── NetworkError             no answer arrived
        │   ├── RequestTimeoutError  ... within the deadline of the call
        │   └── AnswerTooLongError   ... of a size that is taken
        └── RemoteServiceError       the server answered, and refused
            ├── BadRequestError, AuthenticationError, PermissionDeniedError,
            └── NotFoundError, RateLimitError, InternalServerError
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AnswerTooLongError",
    "AuthError",
    "AuthInfoRequiredError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "HeaderParentError",
    "HttpError",
    "InternalError",
    "InternalServerError",
    "InvalidParamError",
    "LoopError",
    "NetworkError",
    "NotFoundError",
    "ParsePrivateKeyError",
    "PermissionDeniedError",
    "PropertyUnprovidedError",
    "RateLimitError",
    "RemoteServiceError",
    "RequestTimeoutError",
    "TemplateError",
]


class LoopError(Exception):
    """The base of every exception this package raises."""


class InvalidParamError(LoopError, ValueError):
    """An argument or a setting has a value that cannot be used. The message names it and says what would do.

    A ``ValueError``, too: programs written for the official package catch that for the variables of a prompt.
    """


class PropertyUnprovidedError(InvalidParamError):
    """A required setting was given neither as an argument nor in the environment."""


class AuthInfoRequiredError(PropertyUnprovidedError):
    """No access token was given."""

    def __init__(self, message: str = "an access token is required") -> None:
        super().__init__(message)


class ClientClosedError(LoopError):
    """The client was closed before the call."""

    def __init__(self, message: str = "the client is closed: build a new one with new_client()") -> None:
        super().__init__(message)


class InternalError(LoopError):
    """A fault of this library; please report it."""


class TemplateError(LoopError):
    """A prompt template cannot be rendered.

    Attributes:
        line: the line of the template text, from 1; ``None`` when it is not known.
        message_index: which message of the prompt template it is, from 0; ``None`` when it is not one alone.
        part_index: which part of that message, from 0; ``None`` when it is the message's content.
    """

    def __init__(
        self,
        message: str = "the template cannot be rendered",
        *,
        line: int | None = None,
        message_index: int | None = None,
        part_index: int | None = None,
    ) -> None:
        super().__init__(message)
        self.line = line
        self.message_index = message_index
        self.part_index = part_index


class ParsePrivateKeyError(LoopError):
    """The private key of the OAuth application cannot be used: the message says what was found in its place."""


class HeaderParentError(LoopError):
    """Kept for programs that catch the official name: a malformed header starts a new trace here, it never raises."""


class HttpError(LoopError):
    """A request failed.

    Attributes:
        status: the HTTP status of the answer; ``None`` when there was none.
        code: the platform's error code (an int; for OAuth errors a text); ``None`` when the answer had none.
        msg: the platform's own words, or what the network layer said.
        log_id: the platform's id of this request, for its support; ``""`` when the answer had none.
    """

    def __init__(
        self,
        message: str = "the request failed",
        status: int | None = None,
        code: int | str | None = None,
        msg: str = "",
        log_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.msg = msg or message
        self.log_id = log_id


class NetworkError(HttpError):
    """No answer arrived: connection refused, reset, name not found, TLS failure."""


class RequestTimeoutError(NetworkError):
    """No complete answer arrived within the deadline of the call (the setting ``timeout``)."""


class AnswerTooLongError(NetworkError):
    """The answer has more bytes than are read (8 MiB), and was not read to its end. Ask for less at once."""


class RemoteServiceError(HttpError):
    """The server answered, and the answer is not a success (anything but HTTP 2xx with ``code`` 0).

    ``http_code``, ``error_code`` and ``error_message`` are the official names of ``status``, ``code`` and ``msg``.
    ``hint`` is this library's advice, also part of the message; ``""`` when it has none. ``retry_after`` is the time in
    seconds after which the server asks to come again; ``None`` when it named none.
    """

    retry_after: float | None = None

    def __init__(
        self,
        http_code: int = 0,
        error_code: int | str | None = -1,
        error_message: str = "",
        log_id: str = "",
        hint: str = "",
    ) -> None:
        text = "remote service error, %s [http_code=%s error_code=%s logid=%s]" % (
            error_message or "no message",
            http_code,
            error_code,
            log_id,
        )
        super().__init__("%s %s" % (text, hint) if hint else text, http_code, error_code, error_message, log_id)
        self.http_code = http_code
        self.error_code = error_code
        self.error_message = error_message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles by its message alone, which is not what __init__ takes.
        arguments = (self.http_code, self.error_code, self.error_message, self.log_id, self.hint)
        return type(self), arguments, self.__dict__


class BadRequestError(RemoteServiceError):
    """The server cannot use the request: a parameter is missing or malformed, or the body is too large."""


class AuthenticationError(RemoteServiceError):
    """The access token is unknown, expired or missing."""


class PermissionDeniedError(RemoteServiceError):
    """The token is known, and may not do this in this workspace."""


class NotFoundError(RemoteServiceError):
    """What was asked for does not exist (a prompt, a version, or the whole endpoint on an older server)."""


class RateLimitError(RemoteServiceError):
    """Too many requests."""


class InternalServerError(RemoteServiceError):
    """The server, or something between here and there, failed."""


AuthError = AuthenticationError
"""The official name."""
