"""The connections, and the deadline that a whole request must keep on them.

urllib3's timeouts hold for each wait on the socket: a server that drips a byte a second stays within them for ever, and
so does a host with many addresses of which none answers. Here connecting, sending and every read of an answer, headers
included, may only take what is left of the request's time. Only the system's resolver of names takes its own (see
``options timeout`` in resolv.conf): nothing cuts it off. This module imports urllib3, so it is itself imported with the
first request.
"""

from __future__ import annotations

import collections
import http.client
import io
import queue
import socket
import struct
import threading
from time import monotonic
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import parse_url
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_write

from .. import process
from . import cut_off, proxies

"".encode("idna")  # what a socket does with the name of a host; here so that no fork falls into that import

PIECE_BYTES = 16 * 1024  # of what may be cut off while it is sent: one record of TLS
_RESET = struct.pack("ii", 1, 0)  # a socket that lingers for 0 seconds: close() drops what is not sent yet

# When the request of a thread, by its id, must be over (monotonic seconds). The id is looked up at each call, see
# trace/machine.py: for what threading.local() made before, all greenlets are one thread.
_deadlines: dict[int, float] = {}


class Deadline:
    """``with Deadline(end):`` what this thread does on the network is over by then (monotonic seconds), or fails."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._outer: float | None = None

    def __enter__(self) -> Deadline:
        self._outer = _current()  # a signal handler may make a request in the middle of another
        _deadlines[threading.get_ident()] = self._end
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._outer is None:
            _deadlines.pop(threading.get_ident(), None)
        else:
            _deadlines[threading.get_ident()] = self._outer


def _current() -> float | None:
    return _deadlines.get(threading.get_ident())


def _left(deadline: float) -> float:
    """Seconds that are left; at least a millisecond, since 0 means something else to a socket."""
    return max(0.001, deadline - monotonic())


def _wait(sock: Any, deadline: float) -> float:
    """How long to wait for ``sock`` until the next look; raises ``socket.timeout`` when the time is up."""
    left, cut = deadline - monotonic(), cut_off.is_due()
    if cut:
        try:  # else the system goes on with what it has of the request, and a slow line has no room for another
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except (OSError, AttributeError):  # it has ended already, or is TLS within TLS
            pass
    if left <= 0 or cut:
        raise socket.timeout("the request's time is up")
    return left if cut is None else min(left, cut_off.LOOK_SECONDS)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, each time waiting no longer than until the deadline.

    It is given to a response as its socket, of which that wants ``makefile`` alone: one buffer instead of two.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        while True:
            self._sock.settimeout(_wait(self._sock, self._deadline))
            try:
                return self._sock.recv_into(buffer)
            except socket.timeout:
                if cut_off.is_due() is None:
                    raise

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        deadline = _current()
        if deadline is not None:
            sock = _DeadlineReader(sock, deadline)
        super().__init__(sock, *args, **kwargs)

    def _read_status(self) -> tuple[str, int, str]:
        """Passes over what may come before the answer (RFC 9110 15.2), which http.client does with 100 alone.

        It would take 102 or 103 for the answer, and the answer for that to the next request.
        """
        while True:
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # of http.client, since 2.x
            if not 102 <= line[1] < 200:
                return line
            http.client.parse_headers(self.fp)


class _HTTPConnection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)  # type: ignore[no-any-return]

    def send(self, data: Any) -> None:
        deadline = _current()
        if deadline is None or cut_off.is_due() is None:
            _limit(self)
            super().send(data)
            return
        for start in range(0, len(data), PIECE_BYTES):
            while self.sock is not None and not wait_for_write(self.sock, _wait(self.sock, deadline)):
                pass
            _limit(self)
            super().send(data[start : start + PIECE_BYTES])


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """The same, with TLS."""


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


class _Shelf:
    """Where a pool of urllib3 keeps its idle connections: its queue, without a lock.

    The lock of urllib3's own is not reentrant: a signal handler that makes a request, and interrupts its own thread in
    there, would wait for itself for ever. A deque needs none; nobody ever waits for a connection here.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._idle: collections.deque[Any] = collections.deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if 0 < self._maxsize <= len(self._idle):
            raise queue.Full
        self._idle.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._idle)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection
    QueueCls = _Shelf  # type: ignore[assignment]  # has what is used of a LifoQueue


class _HTTPSPool(_HTTPPool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Manager(urllib3.PoolManager):
    """Remembers the way of the last request: to find it takes urllib3 12 to 21 µs, and most go where the last one went.
    """

    _last: tuple[str, HTTPConnectionPool, str] | None = None

    def urlopen(self, method: str, url: str, redirect: bool = False, **options: Any) -> Any:  # type: ignore[override]
        """The answer; a redirect is not followed to another place."""
        if self.proxy is not None and not url.startswith("https:"):  # the proxy has to be told the whole address
            return super().urlopen(method, url, redirect, **options)
        last = self._last
        if last is None or last[0] != url or last[1].pool is None:  # None: older urllib3 closed it to make room
            place = parse_url(url)
            pool = self.connection_from_host(place.host, place.port, place.scheme)
            last = self._last = url, pool, place.request_uri
        return last[1].urlopen(method, last[2], redirect=redirect, **options)


class _ProxyManager(_Manager, urllib3.ProxyManager):
    """The same, through a proxy."""


class Pools:
    """The pools of a client, one for each way out: directly, and through each proxy that the environment names.

    Args:
        given: a pool of the program's own, or an ``httpx.Client``, for every request; the environment then has no say.
    """

    def __init__(self, given: Any = None) -> None:
        if given is not None and not hasattr(given, "urlopen"):
            with process.loading():
                from .httpx_client import Pool
            given = Pool(given)
        self._given = given
        self._made: dict[Any, urllib3.PoolManager] = {}
        self._lock = threading.RLock()  # R: for signal handlers

    def of(self, url: str) -> tuple[Any, proxies.Proxy | None]:
        """The pool for a request to ``url``, and the proxy that it goes through.

        Raises:
            InvalidParamError: the environment names what cannot be used as a proxy.
        """
        if self._given is not None:
            return self._given, None
        proxy = proxies.proxy_for(url)
        key = proxy.key() if proxy is not None else None
        with self._lock:
            pool = self._made.get(key)
            if pool is None:
                pool = self._made[key] = _pool(proxy)
            return pool, proxy

    def clear(self) -> None:
        """Close idle connections, but not those of a pool of the program's own."""
        with self._lock:
            made, self._made = self._made, {}
        for pool in made.values():
            pool.clear()


def _pool(proxy: proxies.Proxy | None) -> urllib3.PoolManager:
    """A pool whose connections keep the deadline of the request they serve, and check who the server is."""
    settings: dict[str, Any] = {"num_pools": 4, "maxsize": 8, "cert_reqs": "CERT_REQUIRED"}
    if proxy is None:
        pool = _Manager(**settings)
    else:
        pool = _ProxyManager(proxy.url, proxy_headers=proxy.headers, **settings)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


def forget_connections(pool: Any) -> None:
    """In a forked child: the connections that ``pool`` has are the parent's."""
    if hasattr(pool, "pools"):
        pool.pools = type(pool.pools)()  # not clear(): its lock may be held by a thread that stayed in the parent
