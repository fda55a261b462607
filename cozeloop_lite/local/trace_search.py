"""Which traces a list shows: what can be asked of an index, and text and tags, for which spans must be read.

There is no index of texts: an old sqlite may have none, and it would double every write. The newest traces are read
first, until a page is full or the time is over; the next page goes on from there. Now and then the reading pauses,
between two queries: spans that come in meanwhile must not wait for it.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from .rules import SYSTEM_TAG_MAPS, TAG_MAPS
from .summaries import summaries
from .typed import write

if TYPE_CHECKING:
    import sqlite3
    from typing import Any, Callable, Iterator, Mapping

MAX_SECONDS = 0.075  # of reading spans for one page
STEP_SECONDS = 0.02  # of reading spans, between two pauses
_CHUNK = 200  # traces
_OTHER = re.compile(r"[-+.0-9]|true$|false$")  # how the text of a tag begins that may be no text
_NAMES = ("span_name", "span_type", "service_name", "log_id", "method", "input", "output")
STATUS = {"ok": "errors = 0", "error": "errors > 0", "warned": "(warnings > 0 OR dropped > 0)"}
_OF_SPANS = (
    "number IN (SELECT number FROM briefs JOIN spans ON spans.id = briefs.id"
    " JOIN traces USING (trace_id) WHERE briefs.{0} = ? AND briefs.{0} != '')"  # the index has no empty ones
)


# In the order of an index, so that it can be gone on with: the place, and of a span that may have the texts, its JSON.
_SPANS = r"""
SELECT span_id, id, CASE WHEN {} THEN span END FROM spans
WHERE trace_id = ? AND span_id >= ? AND (span_id > ? OR id > ?) AND NOT duplicate ORDER BY span_id, id
"""


class Wanted(NamedTuple):
    """What is asked for; empty: anything."""

    q: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    user_id: str = ""
    trace_id: str = ""
    log_id: str = ""
    status: str = ""  # a key of STATUS
    first: int | None = None  # start, in µs
    last: int | None = None

    def where(self) -> tuple[list[str], list[Any]]:
        """What an index, or a trace's own row, can say."""
        asked: list[tuple[str, Any]] = [
            ("trace_id = ?", self.trace_id or None),
            (_OF_SPANS.format("log_id"), self.log_id or None),
            (_OF_SPANS.format("user_id"), self.user_id or None),
            ("started_at_micros >= ?", self.first),
            ("started_at_micros <= ?", self.last),
        ]
        conditions = [condition for condition, value in asked if value is not None]
        if self.status:
            conditions.append(STATUS[self.status])
        return conditions, [value for _, value in asked if value is not None]

    def found_in(self, span: Mapping[str, Any]) -> bool:
        """Whether one span has the text and all tags."""
        tags = [(key, write(value)) for name in (*TAG_MAPS, *SYSTEM_TAG_MAPS) for key, value in span[name].items()]
        if not set(self.tags) <= set(tags):
            return False
        text = self.q.lower()
        texts = (*(span[name] for name in _NAMES), *(part for tag in tags for part in tag))
        return any(text in part.lower() for part in texts)


def page(
    connection: sqlite3.Connection, wanted: Wanted, before: int | None, limit: int, pause: Callable[[], None]
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest traces of all before a number, and the number to go on from; None at the end.

    ``pause`` is called between queries, when reading has taken a while. Others may write meanwhile.
    """
    found: list[dict[str, Any]] = []
    reads_spans = bool(wanted.q or wanted.tags)
    deadline = time.monotonic() + MAX_SECONDS
    steps = _Steps(pause)
    for trace in _newest(connection, wanted, before, limit):
        if len(found) == limit:
            return found, before
        before = trace["number"]
        if not reads_spans or _has(connection, trace["trace_id"], wanted, steps):
            found.append(trace)
        if reads_spans and time.monotonic() > deadline:
            return found, before
    return found, None


class _Steps:
    """When it is time to pause."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._end = time.monotonic() + STEP_SECONDS

    def are_over(self) -> bool:
        return time.monotonic() > self._end

    def begin(self) -> None:
        """Begin the next one, after a pause."""
        self._pause()
        self._end = time.monotonic() + STEP_SECONDS


def _newest(
    connection: sqlite3.Connection, wanted: Wanted, before: int | None, limit: int
) -> Iterator[dict[str, Any]]:
    chunk = _CHUNK if wanted.q or wanted.tags else limit + 1
    while True:
        conditions, values = wanted.where()
        if before is not None:
            conditions.append("number < ?")
            values.append(before)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        traces = summaries(connection, f"{where}ORDER BY number DESC LIMIT ?", (*values, chunk))
        yield from traces
        if len(traces) < chunk:
            return
        before = traces[-1]["number"]


def _has(connection: sqlite3.Connection, trace_id: str, wanted: Wanted, steps: _Steps) -> bool:
    # The stored JSON can only say that a text may be there: it may be the name of a field.
    parts = [_json(wanted.q)] if wanted.q else []
    # A number is written in more than one way.
    parts += [f'"{_json(key)}": ' + ("" if _OTHER.match(value) else f'"{_json(value)}"') for key, value in wanted.tags]
    query = _SPANS.format(" AND ".join([r"span LIKE ? ESCAPE '\'"] * len(parts)))
    patterns = [_pattern(part) for part in parts]
    span_id, row = "", -1
    while True:
        if steps.are_over():
            steps.begin()
        rows = connection.execute(query, (*patterns, trace_id, span_id, span_id, row))
        for found in rows:
            span_id, row, text = found
            if text is not None and wanted.found_in(json.loads(text)):
                return True
            if steps.are_over():
                break
        else:
            return False
        rows.close()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _pattern(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
