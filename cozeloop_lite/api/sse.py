"""The decoder of event streams: bytes in, events out, by the rules of the WHATWG and independent of HTTP.

The rules are those of the HTML standard, "Server-sent events", sections "Parsing" and "Interpreting an event stream",
with two deviations. An event at the end of the body that no blank line follows is an event: some servers leave that
line out, and whether the body is complete is for the layer below to say. And an event that has a name is one without
data, too: ``event: error`` alone must not get lost.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 32 * 1024 * 1024  # of one event's data, and of one line


class EventTooLargeError(ValueError):
    """An event, or a line, is larger than ``MAX_EVENT_BYTES``."""

    def __init__(self) -> None:
        super().__init__("an event of the stream is larger than %d bytes" % MAX_EVENT_BYTES)


class Event(NamedTuple):
    """One event.

    ``event`` is its type, ``"message"`` when the server named none; ``data`` its lines, joined by ``\\n``. ``id`` and
    ``retry`` (milliseconds; ``None`` when there was none yet) are the last that the stream named, in this event or
    before.
    """

    event: str
    data: str
    id: str
    retry: int | None


class Decoder:
    """Feed it the bytes of one body in pieces of any size, in order, then call ``end``.

    The events do not depend on where the pieces were cut. Nothing is invalid but an event that is too large; invalid
    UTF-8 becomes U+FFFD. The time it takes is linear in the bytes, what it keeps is at most one event and one line.
    """

    def __init__(self) -> None:
        self._tail = bytearray()  # the beginning of a line whose end has not come
        self._data = bytearray()  # of the event whose end has not come: its lines, each with \n
        self._event = ""
        self._id = ""
        self._retry: int | None = None
        self._at_start = True
        self._after_cr = False  # the last byte was a CR: a LF that follows belongs to it
        self._too_large = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that end within ``data``.

        Raises:
            EventTooLargeError: but when events come before the one that is too large, these first: the error is raised
                by the next call, and by each one after it.
        """
        if self._too_large:
            raise EventTooLargeError
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if not data:
            return []
        stop = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        lines = data[:stop].splitlines()  # of bytes: at LF, CRLF and CR, nowhere else
        self._after_cr = data.endswith(b"\r")
        if lines and self._tail:
            lines[0] = bytes(self._tail) + lines[0]
            self._tail.clear()
        return self._events(lines, data[stop:])

    def end(self) -> list[Event]:
        """The body is over: the event, if any, that no blank line ended.

        Raises:
            EventTooLargeError: as :meth:`feed` does.
        """
        if self._too_large:
            raise EventTooLargeError
        lines = [bytes(self._tail), b""]
        self._tail.clear()
        return self._events(lines, b"")

    def _events(self, lines: list[bytes], tail: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            for line in lines:
                self._take(line, events)
            self._tail += tail
            self._check(len(self._tail))
        except EventTooLargeError:
            self._too_large = True
            self._tail.clear()
            self._data.clear()
            if not events:
                raise
        return events

    def _check(self, line_bytes: int) -> None:
        if len(self._data) + line_bytes > MAX_EVENT_BYTES:
            raise EventTooLargeError

    def _take(self, line: bytes, events: list[Event]) -> None:
        self._check(len(line))
        if self._at_start:
            self._at_start = False
            if line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._event = _text(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = _text(value)
        elif name == b"retry" and value.isdigit() and len(value) <= 18:  # more digits are no time, but hard work
            self._retry = int(value)
        # Any other name is ignored. That of a comment is empty: it begins with the colon.

    def _dispatch(self, events: list[Event]) -> None:
        if self._data or self._event:
            del self._data[-1:]
            events.append(Event(self._event or "message", _text(self._data), self._id, self._retry))
            self._data = bytearray()  # not clear(): the memory of a large event is let go
        self._event = ""


def _text(value: bytes | bytearray) -> str:
    return value.decode("utf-8", "replace")
