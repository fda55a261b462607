"""The body of an answer: read as it arrives, within its time and its size, on a connection that is then given back.

urllib3 waits until a whole chunk is there, or as many bytes as were asked for, however slowly they come; http.client's
response within does not. So this also holds for a pool of the program's own, which knows nothing of deadlines.
"""

from __future__ import annotations

import http.client
import socket
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE_BYTES = 65536


class TooLong(ValueError):
    """A body has more bytes than are taken."""


class Body:
    """The body of ``response``, which must be over by ``end`` (monotonic seconds).

    Attributes:
        framed: whether the end of the body is marked, so that one that breaks off is noticed.
    """

    def __init__(self, response: Any, end: float) -> None:
        self._response = response
        self._raw = response._fp
        self._end = end
        self._sock = getattr(getattr(self._raw.fp, "raw", None), "_sock", None)
        self._timeout = self._sock.gettimeout() if self._sock is not None else None
        self.framed = bool(self._raw.chunked) or self._raw.length is not None

    def read(self) -> bytes:
        """What has arrived, as soon as something has; ``b""`` at the end.

        Raises:
            OSError: the connection broke off, what came is no chunk, or the time is up.
        """
        # Up to CPython 3.11 http.client closes only when it is read once more, for which there may be no time left;
        # newer ones close with the last byte, the socket perhaps, too.
        if self._raw.isclosed() or self._raw.length == 0:
            return b""
        left = self._end - monotonic()
        if left <= 0:
            raise socket.timeout("the request's time is up")
        if self._sock is not None:
            self._sock.settimeout(left)
        try:
            piece: bytes = self._raw.read1(PIECE_BYTES)
        except (http.client.HTTPException, OverflowError) as problem:  # the latter for a length far below zero
            raise ConnectionError("the answer broke off, or is no chunked body") from problem
        if self._raw.chunked and (self._raw.chunk_left or 0) < 0:
            raise ConnectionError("the length of a chunk is negative")
        if not piece and self._raw.length:
            raise ConnectionError("the answer broke off, %d bytes before its end" % self._raw.length)
        return piece

    def wake(self) -> None:
        """End the connection for both sides, so that a thread that waits in ``read`` goes on."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        except (OSError, AttributeError):  # it has ended already, or is no socket
            pass

    def leave(self, complete: bool) -> None:
        """Give the connection back; closed, unless all of the body was read."""
        if complete:
            if self._sock is not None and self._sock.fileno() >= 0:
                self._sock.settimeout(self._timeout)  # what was left is not for the next request
            self._raw.close()  # http.client takes no other request on the connection before
        leave(self._response, complete)


def whole(response: Any, end: float, max_bytes: int) -> bytes:
    """The whole body of a response, which is then done with.

    Raises:
        OSError: it did not arrive, or not in time.
        TooLong: it has more than ``max_bytes``.
    """
    content = beginning(response, end, max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLong("the answer is longer than %d bytes" % max_bytes)
    return content


def beginning(response: Any, end: float, enough: int) -> bytes:
    """The body of a response, which is then done with: the whole of it, or ``enough`` bytes and a little more.

    Raises:
        OSError: it did not arrive, or not in time.
    """
    body = Body(response, end)
    complete = False
    try:
        parts = []
        size = 0
        while size < enough:
            part = body.read()
            if not part:
                complete = True
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)
    finally:
        body.leave(complete)


def leave(response: Any, complete: bool) -> None:
    """Give the connection of a response back; closed, unless all of the response was read."""
    if not complete:
        response.close()  # what is left on the connection is no start of another answer
    # A pool that makes callers wait counts its connections, closed ones too. Any other is better left alone: this may
    # run in a garbage collection that interrupted this very thread in the pool's queue, whose lock it would wait for.
    if complete or getattr(response._pool, "block", False):
        response.release_conn()
