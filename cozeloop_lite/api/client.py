"""The API client: JSON in, JSON out, and a typed error for anything but success.

Everything the package says to the platform goes through here: one connection pool, one way to authenticate, one
deadline for a whole call. urllib3 is imported with the first request, so that a program which only traces starts
without it.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from .. import __version__, config, errors, logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    import urllib3

    from .stream import EventStream

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # parsing it holds up the program: a lying server must not have much of it


class ApiClient:
    """Requests to the platform.

    Args:
        api_base_url: where it is; default ``COZELOOP_API_BASE_URL``, then ``https://api.coze.cn``.
        api_token: a personal access token or an OAuth token, or a function that returns one and is called for each
            request; default ``COZELOOP_API_TOKEN``.
        timeout: seconds that a call may take from beginning to end; default 3.
        upload_timeout: the same for uploads; default 30.
        headers: sent with every request.
        http_client: a ``urllib3.PoolManager`` of your own: proxies, certificates. With it, ``timeout`` bounds each wait
            for the server rather than the whole call.

    Raises:
        InvalidParamError: an argument cannot be used; ``AuthInfoRequiredError`` when there is no token.
    """

    def __init__(
        self,
        api_base_url: str | None = None,
        api_token: str | Callable[[], str] | None = None,
        *,
        timeout: float | None = None,
        upload_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        http_client: urllib3.PoolManager | None = None,
    ) -> None:
        self._base = config.base_url(api_base_url)
        self._token = config.token(api_token)
        self.timeout = config.seconds("timeout", timeout, config.TIMEOUT)
        self.upload_timeout = config.seconds("upload_timeout", upload_timeout, config.UPLOAD_TIMEOUT)
        self._headers = {**_identity(), **config.headers(headers)}
        self._given_pool = http_client
        self._pool: urllib3.PoolManager | None = None
        self._pool_lock = threading.Lock()
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
            config.comparable(self._token),
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
    ) -> dict[str, Any]:
        """GET ``path``; see :meth:`request`."""
        return self.request("GET", path, params=params, timeout=timeout, headers=headers)

    def post(
        self, path: str, data: Any = None, *, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """POST ``data`` as JSON to ``path``; see :meth:`request`."""
        return self.request("POST", path, {} if data is None else data, timeout=timeout, headers=headers)

    def put(
        self, path: str, data: Any = None, *, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """PUT ``data`` as JSON to ``path``; see :meth:`request`."""
        return self.request("PUT", path, {} if data is None else data, timeout=timeout, headers=headers)

    def delete(
        self,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """DELETE ``path``, with ``data`` as a JSON body where the endpoint takes one; see :meth:`request`."""
        return self.request("DELETE", path, data, params=params, timeout=timeout, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request, never repeated.

        Args:
            method: the HTTP method.
            path: begins with ``/``, such as ``/v1/loop/prompts/list``.
            data: the body: anything that JSON takes, or ``bytes`` of JSON; none when ``None``.
            params: the query.
            timeout: seconds for this call; default that of the client.
            headers: sent with this request, in place of whatever has the same name: those of the client, the content
                type, even ``Authorization`` (the token is then not asked for).

        Returns:
            The whole JSON object of the answer.

        Raises:
            InvalidParamError: ``path``, ``data`` or a header cannot be sent.
            NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time.
            RemoteServiceError: the answer is not HTTP 2xx with ``code`` 0; the subclass says more.
        """
        body = _json_bytes(data)
        return self._call(method, path, params, body, _json_headers(body), timeout, headers)

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
        body = _json_bytes(data)
        own = {"Accept": "text/event-stream", **_json_headers(body)}
        seconds = config.seconds("timeout", timeout, self.timeout)
        url, merged = self._prepared(path, params, own, headers)
        with process.loading():
            from . import stream, transport
        call = transport.Call(method, url, body, merged, seconds)
        return stream.opened(self._open_pool(transport), call, MAX_ANSWER_BYTES)

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
        body, content_type = encode_multipart_formdata(parts)
        seconds = self.upload_timeout if timeout is None else timeout
        return self._call("POST", path, None, body, {"Content-Type": content_type}, seconds)

    def close(self) -> None:
        """Close idle connections. The client can be used again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        own: dict[str, str],
        timeout: float | None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        seconds = config.seconds("timeout", timeout, self.timeout)
        url, merged = self._prepared(path, params, own, headers)
        with process.loading():
            from . import answers, transport
        call = transport.Call(method, url, body, merged, seconds)
        try:
            status, answer_headers, answer = transport.exchange(self._open_pool(transport), call, MAX_ANSWER_BYTES)
        except transport.FAILURES as problem:
            raise call.failure(problem) from problem
        return answers.read(status, call.shown(answer_headers), call.hidden(answer))

    def _prepared(
        self, path: str, params: Mapping[str, Any] | None, own: dict[str, str], headers: Mapping[str, str] | None
    ) -> tuple[str, dict[str, str]]:
        """The address, and all headers: each group replaces what those before it say."""
        url = self._url(path, params)
        given = config.headers(headers)
        if not any(name.lower() == "authorization" for name in given):
            own = {**own, "Authorization": "Bearer " + self._current_token()}
        return url, _merged(self._headers, _environment(), own, given)

    def _open_pool(self, transport: Any) -> Any:
        with self._pool_lock:
            if self._given_pool is not None:
                if self._forked:
                    self._forked = False
                    transport.forget_connections(self._given_pool)
                return self._given_pool
            if self._pool is None:
                self._pool = transport.new_pool()
            return self._pool

    def _on_fork(self) -> None:
        # A connection of the parent's must not be spoken on by two processes: the child opens its own.
        self._pool = None
        self._pool_lock = threading.Lock()
        self._forked = True

    def _url(self, path: str, params: Mapping[str, Any] | None) -> str:
        if not isinstance(path, str) or not path.startswith("/"):
            raise errors.InvalidParamError(
                "path must begin with '/', such as '/v1/loop/prompts/list', not %r" % (path,)
            )
        if any(ord(char) <= 32 or ord(char) == 127 for char in path):
            raise errors.InvalidParamError("path must not contain blanks or control characters: %r" % path)
        if not params:
            return self._base + path
        from urllib.parse import urlencode

        query = [(key, value) for key, value in params.items() if value is not None]
        return self._base + path + ("&" if "?" in path else "?") + urlencode(query, doseq=True)

    def _current_token(self) -> str:
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


def _json_bytes(data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as problem:
        raise errors.InvalidParamError("the data to send cannot be written as JSON: %s" % problem) from problem


def _json_headers(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _merged(*groups: dict[str, str]) -> dict[str, str]:
    """All headers, each name once, in whatever case: the last one counts."""
    merged: dict[str, tuple[str, str]] = {}
    for group in groups:
        merged.update((name.lower(), (name, value)) for name, value in group.items())
    return dict(merged.values())


def _identity() -> dict[str, str]:
    """Who asks (contract siblings.md 1.4)."""
    system = os.uname().sysname.lower() if hasattr(os, "uname") else "windows"  # importing platform is slow
    system_version = os.environ.get("OSVERSION") or "unknown"
    python = ".".join(str(part) for part in sys.version_info[:3])
    details = {
        "version": __version__,
        "lang": "python",
        "lang_version": python,
        "os_name": system,
        "os_version": system_version,
        "scene": "cozeloop",
        "source": "openapi",
    }
    agent = "cozeloop-lite/%s python/%s %s/%s" % (__version__, python, system, system_version)
    return config.headers({"User-Agent": agent, "X-Coze-Client-User-Agent": json.dumps(details, separators=(",", ":"))})


def _environment() -> dict[str, str]:
    """Headers that choose a lane of the hosted platform (contract siblings.md 1.2), read for each request."""
    lane = {}
    if os.environ.get("x_tt_env"):  # noqa: SIM112 - the platform's spelling
        lane["x-tt-env"] = os.environ["x_tt_env"]  # noqa: SIM112
    if os.environ.get("x_use_ppe"):  # noqa: SIM112
        lane["x-use-ppe"] = "1"
    try:
        return config.headers(lane)
    except errors.InvalidParamError as problem:
        logger.warn("x_tt_env is not sent: %s", problem)
        return {}
