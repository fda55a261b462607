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
from time import monotonic

from .. import __version__, config, errors, logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    import urllib3

MAX_ANSWER_BYTES = 8 * 1024 * 1024  # parsing it holds up the program: a lying server must not have much of it
HIDDEN = "***"


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
        self, path: str, *, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """GET ``path``; see :meth:`request`."""
        return self.request("GET", path, params=params, timeout=timeout)

    def post(self, path: str, data: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
        """POST ``data`` as JSON to ``path``; see :meth:`request`."""
        return self.request("POST", path, {} if data is None else data, timeout=timeout)

    def put(self, path: str, data: Any = None, *, timeout: float | None = None) -> dict[str, Any]:
        """PUT ``data`` as JSON to ``path``; see :meth:`request`."""
        return self.request("PUT", path, {} if data is None else data, timeout=timeout)

    def delete(
        self, path: str, data: Any = None, *, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """DELETE ``path``, with ``data`` as a JSON body where the endpoint takes one; see :meth:`request`."""
        return self.request("DELETE", path, data, params=params, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """One request, never repeated.

        Args:
            method: the HTTP method.
            path: begins with ``/``, such as ``/v1/loop/prompts/list``.
            data: the body: anything that JSON takes, or ``bytes`` of JSON; none when ``None``.
            params: the query.
            timeout: seconds for this call; default that of the client.

        Returns:
            The whole JSON object of the answer.

        Raises:
            InvalidParamError: ``path`` or ``data`` cannot be sent.
            NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time.
            RemoteServiceError: the answer is not HTTP 2xx with ``code`` 0; the subclass says more.
        """
        body = data if data is None or isinstance(data, bytes) else _json_bytes(data)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return self._call(method, path, params, body, headers, config.seconds("timeout", timeout, self.timeout))

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
        seconds = config.seconds("timeout", timeout, self.upload_timeout)
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
        headers: dict[str, str],
        seconds: float,
    ) -> dict[str, Any]:
        url = self._url(path, params)
        token = self._current_token()
        headers["Authorization"] = "Bearer " + token
        headers = _merged(self._headers, _environment(), headers)
        with process.loading():
            from . import answers, transport
        status, answer_headers, answer = self._exchange(transport, method, url, body, headers, seconds)
        # Whoever echoes the request must not bring the token into a log.
        answer = answer.replace(token.encode(), HIDDEN.encode())
        shown = {name.lower(): value.replace(token, HIDDEN) for name, value in answer_headers.items()}
        return answers.read(status, shown, answer)

    def _exchange(
        self, transport: Any, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> tuple[int, Any, bytes]:
        end = monotonic() + seconds
        try:
            pool = self._open_pool(transport)
            answer = transport.exchange(pool, method, url, body, headers, seconds, MAX_ANSWER_BYTES)
        except transport.FAILURES as problem:
            what = "%s %s" % (method, url.partition("?")[0])
            # By the clock, too: a timeout while sending is a broken connection by name.
            if transport.is_timeout(problem) or monotonic() >= end:
                raise errors.RequestTimeoutError(
                    "%s: no complete answer within %.3g s (timeout)" % (what, seconds)
                ) from problem
            text = str(problem).replace(headers["Authorization"][len("Bearer ") :], HIDDEN) or type(problem).__name__
            raise errors.NetworkError("%s failed: %s" % (what, text)) from problem
        return answer  # type: ignore[no-any-return]

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


def _json_bytes(data: Any) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as problem:
        raise errors.InvalidParamError("the data to send cannot be written as JSON: %s" % problem) from problem


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
