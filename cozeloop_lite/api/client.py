"""The API client: JSON in, JSON out, and a typed error for anything but success.

Everything the package says to the platform goes through here: one connection pool, one way to authenticate, one
deadline for a whole call. urllib3 is imported with the first request, so that a program which only traces starts
without it.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep

from .. import config, errors, process
from . import message, tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, TypeVar

    import urllib3

    from . import connections, transport
    from .oauth import OAuthApp
    from .stream import EventStream

    Answer = TypeVar("Answer")

LONGEST_SECONDS = 86_400.0  # sockets take no number that is much larger
TOO_SHORT = (
    "the %.3g s of a request (timeout; %s is in milliseconds) were over before it could be sent: a first one has to "
    "load urllib3, which takes 0.1 s and more"
)
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # parsing it holds up the program: a lying server must not have much of it


class ApiClient:
    """Requests to the platform.

    A request goes through the proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` name, unless it ends on this
    machine. Certificates are checked, by those of the system and of ``SSL_CERT_FILE``. A redirected GET is followed,
    three times at most; another host is given neither the token nor ``headers``.

    Args:
        api_base_url: where it is; default ``COZELOOP_API_BASE_URL``, then ``https://api.coze.cn``.
        api_token: a personal access token or an OAuth token, or a function that returns one and is called for each
            request; default ``COZELOOP_API_TOKEN``. Or an :class:`~cozeloop_lite.api.oauth.OAuthApp`: an OAuth
            application with settings that are not among those below (``ttl``, ``account_id``, ``scope``, ``claims``),
            which is stronger than these.
        timeout: seconds that a call may take from beginning to end; default ``COZELOOP_REQUEST_TIMEOUT`` (which is in
            milliseconds), then 3.
        upload_timeout: the same for uploads; default 30.
        headers: sent with every request.
        http_client: a ``urllib3.PoolManager`` of your own, for proxies and certificates that the environment does not
            name: ``PoolManager(ca_certs="ca.pem", cert_file="client.pem", key_file="client.key")``, ``ProxyManager``.
            With it, ``timeout`` bounds each wait until the answer begins, and from then on the whole call. Or an
            ``httpx.Client``: then it bounds each wait. Give a forked child an ``httpx.Client`` of its own.
        api_token_ttl: seconds for which what a token function returned is used again; default: not at all.
        jwt_oauth_client_id: an OAuth application in place of a token, with the next two: its id. Default
            ``COZELOOP_JWT_OAUTH_CLIENT_ID``.
        jwt_oauth_private_key: the text of the PEM file of its private key; needs the extra ``jwt``. Default
            ``COZELOOP_JWT_OAUTH_PRIVATE_KEY``.
        jwt_oauth_public_key_id: the fingerprint of its public key. Default ``COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID``.
        jwt_oauth_signer: in place of the private key a function that takes bytes and returns their signature.
        jwt_oauth_alg: what that signs with, ``RS256`` (the default) or ``ES256``.

    Raises:
        InvalidParamError: an argument cannot be used; ``AuthInfoRequiredError`` when there is no token.
        ParsePrivateKeyError: the private key cannot be used.
    """

    def __init__(
        self,
        api_base_url: str | None = None,
        api_token: str | Callable[[], str] | OAuthApp | None = None,
        *,
        timeout: float | None = None,
        upload_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: urllib3.PoolManager | Any = None,
        api_token_ttl: float | None = None,
        jwt_oauth_client_id: str | None = None,
        jwt_oauth_private_key: str | None = None,
        jwt_oauth_public_key_id: str | None = None,
        jwt_oauth_signer: Callable[[bytes], bytes] | None = None,
        jwt_oauth_alg: str | None = None,
    ) -> None:
        self._base = config.base_url(api_base_url)
        oauth = tokens.OAuthSettings(
            jwt_oauth_client_id, jwt_oauth_private_key, jwt_oauth_public_key_id, jwt_oauth_signer, jwt_oauth_alg
        )
        self._auth = tokens.source(api_token, api_token_ttl, oauth, self._base, self.post)
        self.timeout = config.request_timeout(timeout)
        self.upload_timeout = config.seconds("upload_timeout", upload_timeout, config.UPLOAD_TIMEOUT)
        self._headers = {**message.identity(), **config.headers(headers)}
        self._given_pool = config.http_client(http_client)
        self._pools: connections.Pools | None = None  # made with the first request
        self._lock: Any = threading.RLock()  # R: a signal handler may make a request in the middle of another
        self._forked = False
        process.on_fork(self)

    @property
    def base_url(self) -> str:
        """Where the platform is."""
        return self._base

    def key(self) -> tuple[Any, ...]:
        """Equal for equal settings."""
        return (
            self._base,
            self._auth.key(),
            self.timeout,
            self.upload_timeout,
            tuple(sorted(self._headers.items())),
            config.comparable(self._given_pool),
        )

    def __repr__(self) -> str:
        return "<ApiClient %s>" % self._base

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> dict[str, Any]:
        """GET ``path``; see :meth:`request`."""
        return self.request("GET", path, params=params, timeout=timeout, headers=headers, retries=retries)

    def post(
        self,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> dict[str, Any]:
        """POST ``data`` as JSON to ``path``; see :meth:`request`."""
        data = {} if data is None else data
        return self.request("POST", path, data, params=params, timeout=timeout, headers=headers, retries=retries)

    def put(
        self,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> dict[str, Any]:
        """PUT ``data`` as JSON to ``path``; see :meth:`request`."""
        data = {} if data is None else data
        return self.request("PUT", path, data, params=params, timeout=timeout, headers=headers, retries=retries)

    def delete(
        self,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> dict[str, Any]:
        """DELETE ``path``, with ``data`` as a JSON body where the endpoint takes one; see :meth:`request`."""
        return self.request("DELETE", path, data, params=params, timeout=timeout, headers=headers, retries=retries)

    def request(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int = 0,
    ) -> dict[str, Any]:
        """One request and its answer.

        Made a second time only when the token was refused and there is another, or when ``retries`` allow it.

        Args:
            method: the HTTP method.
            path: begins with ``/``, such as ``/v1/loop/prompts/list``.
            data: the body: anything that JSON takes, or ``bytes`` of JSON; none when ``None``.
            params: the query.
            timeout: seconds for this call, with all that is repeated; default that of the client.
            headers: sent with this request, in place of whatever has the same name: those of the client, the content
                type, even ``Authorization`` (the token is then not asked for).
            retries: how often it may be repeated when waiting may help: the connection broke, the server is busy or
                fails for now. With growing pauses, or those the server asks for, as long as ``timeout`` has room for
                them. Only for what may be done twice (a POST that searches may): the answer may have got lost after the
                server did what it was asked for.

        Returns:
            The whole JSON object of the answer.

        Raises:
            InvalidParamError: ``path``, ``data`` or a header cannot be sent.
            AuthInfoRequiredError: the token function failed (``__cause__`` says how), or returned no token.
            NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time.
            RemoteServiceError: the answer is not HTTP 2xx with ``code`` 0; the subclass says more.
        """
        content, own = message.json_content(data)
        asked = self._message(method, path, params, content, own, headers)
        return self._made(asked, _whole_answer, config.seconds("timeout", timeout, self.timeout), _retries(retries))

    def stream(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> EventStream:
        """One request whose answer is a stream of events, read while the server writes it; see :meth:`request`.

            with api.stream("POST", path, data, timeout=600) as events:
                for event in events:
                    print(event.event, event.data)

        Args:
            timeout: seconds that the whole stream may take, from the request to the last event; default that of the
                client.

        Returns:
            An iterator of ``sse.Event`` to be read to its end or closed. Its ``next`` raises ``NetworkError`` when the
            connection breaks off, ``RequestTimeoutError`` when the time is up.

        Raises:
            RemoteServiceError: the answer is no stream of events: a failure, or JSON.
        """
        content, own = message.json_content(data)
        own["Accept"] = "text/event-stream"
        asked = self._message(method, path, params, content, own, headers)
        return self._made(asked, _stream, config.seconds("timeout", timeout, self.timeout))

    def upload_file(
        self,
        path: str,
        content: bytes,
        filename: str,
        fields: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """POST ``content`` as the file part ``file`` of a multipart form with ``fields``; see :meth:`request`."""
        with process.loading():
            from urllib3.filepost import encode_multipart_formdata

        parts: list[Any] = list((fields or {}).items())
        parts.append(("file", (filename, content, "application/octet-stream")))
        content, content_type = encode_multipart_formdata(parts)
        asked = self._message("POST", path, None, content, {"Content-Type": content_type}, None)
        return self._made(asked, _whole_answer, config.seconds("timeout", timeout, self.upload_timeout))

    def load(self) -> None:
        """Load what requests need, urllib3 above all: else it comes off the time of the first one."""
        with process.loading():
            from . import transport  # noqa: F401 - that is all

        self._open_pools()

    def close(self) -> None:
        """Close idle connections. The client can be used again."""
        pools = self._pools
        if pools is not None:
            pools.clear()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _message(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        own: dict[str, str],
        headers: Mapping[str, str] | None,
    ) -> message.Message:
        groups = self._headers, message.lane(), own, config.headers(headers)
        return message.Message(method, self._base, path, params, content, *groups)

    def _made(
        self, asked: message.Message, answered: Callable[..., Answer], seconds: float, retries: int = 0
    ) -> Answer:
        """The answer, asked for again as often as ``retries`` allow, all within ``seconds``."""
        seconds = min(seconds, LONGEST_SECONDS)
        end = monotonic() + seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._authorized(asked, answered, seconds, end)
            except errors.HttpError as problem:
                with process.loading():
                    from . import retry
                pause = retry.pause(problem, attempt, retries)
                if pause is None or monotonic() + pause >= end:
                    raise
                sleep(pause)
                if monotonic() >= end:  # it took longer: what the server said is worth more than that the time is up
                    raise

    def _authorized(
        self, asked: message.Message, answered: Callable[..., Answer], seconds: float, end: float
    ) -> Answer:
        """The answer; asked for once more, with another token, when the token is refused and there is another."""
        with process.loading():
            from . import transport
        pools = self._open_pools()
        if monotonic() >= end:
            raise errors.RequestTimeoutError(TOO_SHORT % (seconds, config.ENV_REQUEST_TIMEOUT))
        token = None
        last = not asked.needs_token
        while True:
            if asked.needs_token:
                token = self._auth.token(max(0.001, end - monotonic()))
                if monotonic() >= end:
                    raise errors.RequestTimeoutError("getting a token took all of the %.3g s (timeout)" % seconds)
            headers = asked.headers(token)
            call = transport.Call(asked.method, asked.url, asked.content, headers, seconds, end)
            try:
                return answered(pools, call)
            except errors.AuthenticationError as problem:
                if call.away:
                    raise call.stranger(problem) from None
                if last or not self._auth.invalidate(token):
                    raise (self._auth.refusal(problem) if asked.needs_token else problem) from None
            last = True

    def _open_pools(self) -> connections.Pools:
        pools = self._pools
        if pools is not None:  # as with each request but the first
            return pools
        with process.loading():
            from . import addresses, connections
        with self._lock:
            if self._pools is None:
                addresses.warn_of_plain_text(self._base)
                self._pools = connections.Pools(self._given_pool)
                if self._forked and self._given_pool is not None:
                    connections.forget_connections(self._given_pool)
            return self._pools

    def _on_fork(self) -> None:
        # A connection of the parent's must not be spoken on by two processes: the child opens its own.
        self._pools = None
        self._lock = threading.RLock()
        self._forked = True


def _whole_answer(pools: connections.Pools, call: transport.Call) -> dict[str, Any]:
    from . import transport

    return transport.answer(pools, call, MAX_ANSWER_BYTES)


def _stream(pools: connections.Pools, call: transport.Call) -> EventStream:
    with process.loading():
        from . import stream

    return stream.opened(pools, call, MAX_ANSWER_BYTES)


def _retries(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise errors.InvalidParamError("retries must be an int, 0 or more, not %r" % (value,))
    return value
