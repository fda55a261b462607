"""The connection pool, and the deadline that a whole request must keep.

urllib3's timeouts hold for each wait on the socket: a server that drips a byte a second stays within them for ever.
Here every read of an answer, headers included, may only wait for what is left of the request's time. This module
imports urllib3, so it is itself imported with the first request.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
from time import monotonic
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_request = threading.local()  # .deadline: when the request of this thread must be over (monotonic seconds)


class Deadline:
    """``with Deadline(seconds):`` the answers read by this thread arrive within ``seconds``, or reading them fails."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def __enter__(self) -> Deadline:
        _request.deadline = self._end
        return self

    def __exit__(self, *exc_info: object) -> None:
        _request.deadline = None

    def left(self) -> float:
        """Seconds that are left; at least a millisecond, since 0 means something else to a socket."""
        return max(0.001, self._end - monotonic())


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, each time waiting no longer than until the deadline."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise socket.timeout("the request's time is up")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = getattr(_request, "deadline", None)
        if deadline is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, deadline))


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def new_pool() -> urllib3.PoolManager:
    """A pool whose connections keep the deadline of the request they serve."""
    pool = urllib3.PoolManager(num_pools=4, maxsize=8)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


def exchange(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    body: bytes | None,
    headers: dict[str, str],
    seconds: float,
    max_bytes: int,
) -> tuple[int, Any, bytes]:
    """One request and its whole answer: status, headers, body. Redirects are not followed, nothing is tried twice.

    Raises:
        urllib3.exceptions.HTTPError: no answer arrived, or none in time.
        ValueError: the answer has more than ``max_bytes``.
    """
    with Deadline(seconds) as deadline:
        response = pool.urlopen(
            method,
            url,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(total=deadline.left()),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,  # nothing compressed is asked for; what comes all the same cannot be a bomb
            enforce_content_length=True,  # urllib3 1.26 would take a truncated answer for a whole one
        )
        complete = False
        try:
            parts = []
            size = 0
            while True:
                part = response.read(65536, decode_content=False)
                if not part:
                    break
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    raise ValueError("the answer is longer than %d bytes" % max_bytes)
            complete = True
            return response.status, response.headers, b"".join(parts)
        finally:
            if complete:
                response.release_conn()
            else:
                response.close()  # what is left on the connection is no start of another answer
