"""The connection pool, and the deadline that a whole request must keep.

urllib3's timeouts hold for each wait on the socket: a server that drips a byte a second stays within them for ever, and
so does a host with many addresses of which none answers. Here connecting, sending and every read of an answer, headers
included, may only take what is left of the request's time. This module imports urllib3, so it is itself imported with
the first request.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
from time import monotonic
from typing import Any, AnyStr

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from .. import errors

"".encode("idna")  # what a socket does with the name of a host; here so that no fork falls into that import

LONGEST_SECONDS = 86_400.0  # sockets take no number that is much larger

PIECE_BYTES = 65536
HIDDEN = "***"
SHORTEST_SECRET = 8  # characters; a shorter one ("token", in a test) may be a part of any word

FAILURES = (urllib3.exceptions.HTTPError, ValueError, OSError)  # all that the functions here raise

_request = threading.local()  # .deadline: when the request of this thread must be over (monotonic seconds)


class Deadline:
    """``with Deadline(seconds):`` what this thread does on the network is over within ``seconds``, or fails."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + min(seconds, LONGEST_SECONDS)
        self._outer: float | None = None

    def __enter__(self) -> Deadline:
        self._outer = _current()  # a signal handler may make a request in the middle of another
        _request.deadline = self._end
        return self

    def __exit__(self, *exc_info: object) -> None:
        _request.deadline = self._outer


def _current() -> float | None:
    return getattr(_request, "deadline", None)


def _left(deadline: float) -> float:
    """Seconds that are left; at least a millisecond, since 0 means something else to a socket."""
    return max(0.001, deadline - monotonic())


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
        deadline = _current()
        if deadline is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_DeadlineReader(raw, sock, deadline))


class _HTTPConnection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)  # type: ignore[no-any-return]

    def send(self, data: Any) -> None:
        _limit(self)
        super().send(data)


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)  # type: ignore[no-any-return]

    def send(self, data: Any) -> None:
        _limit(self)
        super().send(data)


def _limit(connection: Any) -> None:
    """A connection that is used again still has the timeout with which the answer before was read."""
    deadline = _current()
    if deadline is not None and connection.sock is not None:
        connection.sock.settimeout(_left(deadline))


def _connected(connection: Any, connect: Any) -> Any:
    """A socket to the first address of the host that answers; each gets its share of the time that is left."""
    deadline = _current()
    if deadline is None:
        return connect()
    name = connection._dns_host
    addresses = _addresses(connection, name)
    try:
        while True:
            connection._dns_host = addresses.pop(0)
            connection.timeout = _left(deadline) / (len(addresses) + 1)
            try:
                sock = connect()
            except (ConnectTimeoutError, NewConnectionError):
                if addresses and monotonic() < deadline:
                    continue
                raise
            sock.settimeout(_left(deadline))  # what comes next may be a TLS handshake
            return sock
    finally:
        connection._dns_host = name


def _addresses(connection: Any, name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name.strip("[]"), connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise NewConnectionError(connection, "the name %s cannot be resolved: %s" % (name, problem)) from problem
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


def new_pool() -> urllib3.PoolManager:
    """A pool whose connections keep the deadline of the request they serve."""
    pool = urllib3.PoolManager(num_pools=4, maxsize=8)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


def forget_connections(pool: Any) -> None:
    """In a forked child: the connections that ``pool`` has are the parent's."""
    if hasattr(pool, "pools"):
        pool.pools = type(pool.pools)()  # not clear(): its lock may be held by a thread that stayed in the parent


class Call:
    """One request: what is said, by when it must be over (``end``, monotonic seconds), and what its failure is called.

    Whoever echoes the request must not bring the token into a log: what comes back goes through ``hidden``.
    """

    def __init__(self, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float) -> None:
        self.method = method
        self.url = url
        self.body = body
        self.headers = headers
        self.seconds = min(seconds, LONGEST_SECONDS)
        self.end = monotonic() + self.seconds
        credentials = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        self._secret = credentials.partition(" ")[2] or credentials

    def hidden(self, text: AnyStr) -> AnyStr:
        """``text`` without the token."""
        if len(self._secret) < SHORTEST_SECRET:
            return text
        if isinstance(text, bytes):
            return text.replace(self._secret.encode("latin-1"), HIDDEN.encode())
        return text.replace(self._secret, HIDDEN)

    def shown(self, headers: Any) -> dict[str, str]:
        """The headers of an answer without the token, their names in lower case."""
        return {name.lower(): self.hidden(value) for name, value in headers.items()}

    def failure(self, problem: BaseException) -> errors.NetworkError:
        """One of ``FAILURES`` as an error that says what was tried."""
        what = "%s %s" % (self.method, self.url.partition("?")[0])
        # By the clock, too: a timeout while sending is a broken connection by name.
        if _is_timeout(problem) or monotonic() >= self.end:
            return errors.RequestTimeoutError("%s: no complete answer within %.3g s (timeout)" % (what, self.seconds))
        return errors.NetworkError("%s failed: %s" % (what, self.hidden(str(problem)) or type(problem).__name__))


def _is_timeout(problem: BaseException) -> bool:
    """In urllib3 a refused connection counts as a timeout, too."""
    kinds = (urllib3.exceptions.TimeoutError, socket.timeout)
    return isinstance(problem, kinds) and not isinstance(problem, NewConnectionError)


def exchange(pool: urllib3.PoolManager, call: Call, max_bytes: int) -> tuple[int, Any, bytes]:
    """A request and its whole answer: status, headers, body. See :func:`opened` and :func:`whole`."""
    response = opened(pool, call)
    return response.status, response.headers, whole(response, max_bytes)


def opened(pool: urllib3.PoolManager, call: Call) -> Any:
    """The response to a request, its body not yet read. Redirects are not followed, nothing is tried twice.

    Raises:
        urllib3.exceptions.HTTPError: no answer arrived, or none in time.
    """
    with Deadline(call.seconds):
        return pool.urlopen(
            call.method,
            call.url,
            body=call.body,
            headers=call.headers,
            timeout=urllib3.Timeout(total=max(0.001, call.seconds)),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,  # nothing compressed is asked for; what comes all the same cannot be a bomb
            enforce_content_length=True,  # urllib3 1.26 would take a truncated answer for a whole one
        )


def whole(response: Any, max_bytes: int) -> bytes:
    """The whole body of a response, which is then done with.

    Raises:
        urllib3.exceptions.HTTPError: it did not arrive, or not in time.
        ValueError: it has more than ``max_bytes``.
    """
    complete = False
    try:
        parts = []
        size = 0
        while True:
            part = response.read(PIECE_BYTES, decode_content=False)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise ValueError("the answer is longer than %d bytes" % max_bytes)
        complete = True
        return b"".join(parts)
    finally:
        leave(response, complete)


def leave(response: Any, complete: bool) -> None:
    """Give the connection of a response back; closed, unless all of the response was read."""
    if not complete:
        response.close()  # what is left on the connection is no start of another answer
    # A pool that makes callers wait counts its connections, closed ones too. Any other is better left alone: this may
    # run in a garbage collection that interrupted this very thread in the pool's queue, whose lock it would wait for.
    if complete or getattr(response._pool, "block", False):
        response.release_conn()
