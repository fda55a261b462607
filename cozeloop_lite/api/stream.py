"""A request whose answer is a stream of events: checked before the first event, read as it arrives, never left open.

Whoever reads to the end knows that the answer was whole, as far as the connection tells (``framed``): whatever else may
end it is an error. This module loads urllib3 and is imported with the first stream.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from typing import Any, Iterator

from .. import errors
from . import answers, body, connections, sse, transport


def opened(pools: connections.Pools, call: transport.Call, max_answer_bytes: int) -> EventStream:
    """The stream that answers ``call``.

    Raises:
        NetworkError: no answer arrived; ``RequestTimeoutError`` when none did in time.
        RemoteServiceError: the answer is no stream of events.
    """
    try:
        response = transport.opened(pools, call)
        headers = call.shown(response.headers)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if 200 <= response.status < 300 and kind == "text/event-stream":
            _check_plain(response, headers)
            return EventStream(response, call, headers)
        content = transport.content_of(response, call, max_answer_bytes)
    except errors.LoopError:
        raise
    except transport.FAILURES as problem:
        failure = call.failure(problem)
    else:
        # The platform refuses a token with HTTP 200 and JSON (contract backend.md 7).
        answer = answers.read(response.status, headers, call.hidden(content))
        text = "the answer is %s, not a stream of events" % (kind or "of no content type")
        code = answer.get("code")  # of a success: 0, or what is no code at all
        code = code if isinstance(code, int) else None
        raise errors.RemoteServiceError(response.status, code, text, answers.log_id_of(headers))
    try:
        raise failure  # here, so that nothing hangs on to it but its cause
    finally:
        del failure  # which has this frame


class EventStream:
    """The events of one answer, as they arrive: an iterator, and a context manager that closes.

    Read to the end, its connection serves other requests; closed before, or forgotten, the connection is closed. After
    ``close`` nothing more comes, nor after an error. The methods may be called from any thread, ``close`` while
    another thread waits for an event, too. In a forked child the stream cannot be read: it is the parent's.

    Attributes:
        status: the HTTP status.
        log_id: the platform's id of this request, for its support; ``""`` when the answer names none.
        framed: whether the end of the body is marked (chunks, a length). If not, it ends with the connection, and one
            that was cut off cannot be told from a whole one here.
    """

    def __init__(self, response: Any, call: transport.Call, headers: dict[str, str]) -> None:
        self.status: int = response.status
        self.log_id = answers.log_id_of(headers)
        self._call = call
        self._hidden_id = functools.lru_cache(maxsize=1)(call.hidden)  # a long one comes with each event that follows
        self._decoder = sse.Decoder()
        self._events: deque[sse.Event] = deque()
        self._pid = os.getpid()
        self._closed = False
        self._body: body.Body | None = body.Body(response, call.end)  # None: the connection was given back
        self.framed = self._body.framed
        self._reading = threading.Lock()  # held by the thread that reads
        # Held for a moment, so that no connection is cut that serves another request already. A signal handler may call
        # close() just then: it is no plain lock.
        self._leaving = threading.RLock()

    def __iter__(self) -> Iterator[sse.Event]:
        return self

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __next__(self) -> sse.Event:
        """The next event, once it is there.

        Raises:
            NetworkError: the connection broke off; ``RequestTimeoutError``: the time for the whole stream is up.
        """
        if os.getpid() != self._pid:
            raise errors.NetworkError("a stream must be read by the process that opened it, not by a forked child")
        try:
            with self._reading:
                while self._body is not None and not (self._events or self._closed):
                    self._read(self._body)
                if self._closed or not self._events:
                    raise StopIteration
                return self._events.popleft()
        finally:
            if self._closed:
                self.close()  # what another thread's close() left to the one that read

    def close(self) -> None:
        """End the stream, and its connection unless all was read. A second call does nothing."""
        self._closed = True
        if os.getpid() != self._pid:
            return  # the parent goes on with the connection
        with self._leaving:
            if self._body is not None:
                self._body.wake()
        if self._reading.acquire(blocking=False):
            try:
                self._leave(complete=False)
            finally:
                self._reading.release()

    def _read(self, source: body.Body) -> None:
        failure: errors.NetworkError | None = None
        try:
            piece = source.read()
            events = self._decoder.feed(piece) if piece else self._decoder.end()
            self._events.extend(map(self._shown, events))
            if not piece:
                self._leave(complete=True)
        except BaseException as problem:
            self._leave(complete=False)
            if not isinstance(problem, transport.FAILURES):
                raise
            if not self._closed:  # by another thread: then it is no failure
                failure = self._call.failure(problem)
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _shown(self, event: sse.Event) -> sse.Event:
        hidden = self._call.hidden
        return sse.Event(hidden(event.event), hidden(event.data), self._hidden_id(event.id), event.retry)

    def _leave(self, complete: bool) -> None:
        with self._leaving:
            left, self._body = self._body, None
        if left is not None:
            left.leave(complete)


def _check_plain(response: Any, headers: dict[str, str]) -> None:
    """What is encoded would pass for a stream without events."""
    for name in ("content-encoding", "transfer-encoding"):
        if headers.get(name, "").lower() not in ("", "identity", "chunked"):
            body.leave(response, complete=False)
            text = "the stream comes as %s, which was not asked for" % headers[name]
            raise errors.RemoteServiceError(response.status, None, text, answers.log_id_of(headers))
