"""Reading back the spans that a store keeps, whole: for tests, for searches, and for trees on a terminal.

What lists and pages show is read in ``archive``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .feedback import Feedback, FeedbackTable
from .files import warnings as file_warnings
from .summaries import changes, summaries

if TYPE_CHECKING:
    import sqlite3
    import threading
    from typing import Any, Iterator

# From a place on, downwards: the start, span id and row that were the last ones. The index has them in this order.
_NEWEST = """
SELECT started_at_micros, span_id, id FROM spans
WHERE NOT dropped AND NOT duplicate {} AND started_at_micros BETWEEN ? AND ?
  AND (started_at_micros < ? OR span_id < ? OR (span_id = ? AND id < ?))
ORDER BY started_at_micros DESC, span_id DESC, id DESC LIMIT ?
"""
_CHUNK = 500  # rows


class StoredSpan(NamedTuple):
    """A span that the platform would show: its fields as in ``Store.spans``, its bytes as JSON, the feedback on it."""

    fields: dict[str, Any]
    size: int
    feedback: list[Feedback]


class SpanReader:
    """The part of a ``Store`` that reads."""

    _connection: sqlite3.Connection
    _changed: threading.Condition  # notified when spans have arrived
    feedback: FeedbackTable

    def spans(self, trace_id: str | None = None, *, duplicates: bool = False) -> list[dict[str, Any]]:
        """The stored spans in the order of arrival, all or those of one trace.

        Each is the wire span as the platform would store it (every field present, integers as int), with two more
        keys: ``warnings`` (a list of str) and ``dropped`` (True: the platform would never show it). Of a span that
        arrived more than once, only the first copy, unless ``duplicates``: then also the copies that differ from it.
        """
        query = "SELECT id, dropped, span FROM spans WHERE (? OR NOT duplicate) AND (? IS NULL OR trace_id = ?)"
        with self._changed:
            rows = self._connection.execute(query + " ORDER BY id", (duplicates, trace_id, trace_id)).fetchall()
            return [self._span(*row) for row in rows]

    def _span(self, row_id: int, dropped: int, text: str) -> dict[str, Any]:
        span: dict[str, Any] = json.loads(text)
        warnings = self._connection.execute("SELECT text FROM warnings WHERE span = ? ORDER BY id", (row_id,))
        span["warnings"] = [row[0] for row in warnings]
        workspace = str(span["workspace_id"])
        span["warnings"] += file_warnings(span["object_storage"], lambda key: self._has_file(workspace, key))
        span["dropped"] = bool(dropped)
        return span

    def newest(
        self, first: int, last: int, trace_id: str | None = None, below: tuple[int, str] | None = None
    ) -> Iterator[StoredSpan]:
        """The spans that began from ``first`` to ``last`` (in µs), by their start and their id, the latest first.

        Only those that the platform would show, each once. ``trace_id``: of one trace. ``below``: only those after
        this start and id. Each span is read when it is asked for: all of them may be more than fit into memory.
        """
        query = _NEWEST.format("" if trace_id is None else "AND trace_id = ?")
        which = (first,) if trace_id is None else (trace_id, first)
        start, span_id, row_id = (*below, 0) if below and below[0] <= last else (last + 1, "", 0)
        while True:
            values = (*which, start, start, span_id, span_id, row_id, _CHUNK)
            with self._changed:
                rows = self._connection.execute(query, values).fetchall()
            for _, _, found in rows:
                shown = self._shown(found)
                if shown is not None:
                    yield shown
            if len(rows) < _CHUNK:
                return
            start, span_id, row_id = rows[-1]

    def _shown(self, row_id: int) -> StoredSpan | None:
        """One span; None when it has been forgotten since its row was looked up (see ``retention``)."""
        query = "SELECT span, length(CAST(span AS BLOB)) FROM spans WHERE id = ?"
        with self._changed:
            row = self._connection.execute(query, (row_id,)).fetchone()
            if row is None:
                return None
            fields = json.loads(row[0])
            return StoredSpan(fields, row[1], self.feedback.of(row_id, fields))

    def traces(self, limit: int = 50) -> list[dict[str, Any]]:
        """One summary a trace, as ``local/api.py`` describes it; the most recently changed first."""
        with self._changed:
            return summaries(self._connection, "ORDER BY changed DESC, number DESC LIMIT ?", (limit,))

    def changed_since(self, change: int) -> tuple[int, list[str]]:
        """The traces that have changed after ``change``, the latest last, and the number to ask from the next time."""
        query = "SELECT trace_id FROM traces WHERE changed > ? ORDER BY changed, number"
        with self._changed:
            found = [row[0] for row in self._connection.execute(query, (change,))]
            return changes(self._connection), found

    def last_change(self) -> int:
        """The number of the latest change of a trace, 0 when there was none; for ``changed_since``."""
        with self._changed:
            return changes(self._connection)

    def warnings(self) -> list[str]:
        """Every warning, in the order given."""
        with self._changed:
            return [row[0] for row in self._connection.execute("SELECT text FROM warnings ORDER BY id")]

    def wait_for_spans(self, number: int = 1, timeout: float = 5.0) -> list[dict[str, Any]]:
        """Wait until ``number`` spans (copies not counted) are stored, at most ``timeout`` seconds, and return all."""
        with self._changed:
            self._changed.wait_for(lambda: self._stored() >= number, timeout)
            return self.spans()

    def _stored(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM spans WHERE NOT duplicate").fetchone()[0])

    def _has_file(self, workspace_id: str, name: str) -> bool:
        query = "SELECT 1 FROM files WHERE workspace_id = ? AND name = ?"
        return self._connection.execute(query, (workspace_id, name)).fetchone() is not None
