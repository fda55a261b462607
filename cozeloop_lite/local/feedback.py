"""Feedback on spans, as the stand-in server keeps it: what the platform calls annotations (contract backend.md 8.1).

Feedback may arrive before its span. Then one without a span id belongs to the root of the trace, whichever span that
will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .summaries import ROOTS

if TYPE_CHECKING:
    import sqlite3
    import threading
    from typing import Any, Mapping

SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
    workspace_id TEXT NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, key TEXT NOT NULL,
    value_type TEXT NOT NULL, value TEXT NOT NULL, reasoning TEXT NOT NULL,
    created_at_micros INTEGER NOT NULL, updated_at_micros INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, trace_id, span_id, key));
CREATE INDEX IF NOT EXISTS feedback_by_age ON feedback (updated_at_micros);
CREATE INDEX IF NOT EXISTS feedback_by_trace ON feedback (trace_id);
"""

_ROOT = "SELECT id, span_id FROM spans WHERE trace_id = ? AND parent_id IN ('', '0') AND NOT dropped"
_OF_KEY = "FROM feedback WHERE workspace_id = ? AND trace_id = ? AND span_id IN (?, ?) AND key = ?"


class Feedback(NamedTuple):
    """One row. ``span_id`` is empty as long as the root is meant and has not arrived."""

    workspace_id: str
    trace_id: str
    span_id: str
    key: str
    value_type: str  # string, long, double or bool
    value: str
    reasoning: str
    created_at_micros: int
    updated_at_micros: int


class FeedbackTable:
    """The table in the database of a store, which lends its connection and its lock."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Condition) -> None:
        self._connection = connection
        self._lock = lock

    def put(self, given: Feedback) -> bool:
        """Keep what was given, instead of what was under the same key of the span. Returns whether the span is here."""
        with self._lock, self._connection:
            place, _ = places = self._places(given.trace_id, given.span_id)
            which = (given.workspace_id, given.trace_id, *places, given.key)
            query = f"SELECT coalesce(min(created_at_micros), ?) {_OF_KEY}"
            (created,) = self._connection.execute(query, (given.created_at_micros, *which)).fetchone()
            row = given._replace(span_id=place, created_at_micros=created)
            self._connection.execute(f"INSERT OR REPLACE INTO feedback VALUES (?{', ?' * (len(row) - 1)})", row)
            span = "SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ? AND NOT dropped"
            return self._connection.execute(span, (given.trace_id, place)).fetchone() is not None

    def delete(self, workspace_id: str, trace_id: str, span_id: str, key: str) -> bool:
        """Forget what is under a key of a span; an empty ``span_id`` means the root. Returns whether there was any."""
        with self._lock, self._connection:
            which = (workspace_id, trace_id, *self._places(trace_id, span_id), key)
            return self._connection.execute(f"DELETE {_OF_KEY}", which).rowcount > 0

    def of(self, row_id: int, span: Mapping[str, Any]) -> list[Feedback]:
        """The feedback on a stored span, given with its row."""
        where = (str(int(span["workspace_id"])), span["trace_id"], span["span_id"])
        query = "SELECT * FROM feedback WHERE workspace_id = ? AND trace_id = ? AND span_id IN (?, '') ORDER BY rowid"
        with self._lock:
            rows = [Feedback(*row) for row in self._connection.execute(query, where)]
            if any(not row.span_id for row in rows) and not self._is_root(row_id, span):
                rows = [row for row in rows if row.span_id]
        # A row that is replaced becomes the last one: of what came before and after the root, the latest holds.
        return list({row.key: row._replace(span_id=span["span_id"]) for row in rows}.values())

    def _places(self, trace_id: str, span_id: str) -> tuple[str, str]:
        """Where feedback on a span is: under its id; on the root, also under the empty one."""
        found = self._connection.execute(f"{_ROOT} ORDER BY id LIMIT 1", (trace_id,)).fetchone()
        root = found[1] if found else ""
        return (root, "") if span_id in ("", root) else (span_id, span_id)

    def _is_root(self, row_id: int, span: Mapping[str, Any]) -> bool:
        if span["parent_id"] not in ROOTS:
            return False
        earlier = self._connection.execute(f"{_ROOT} AND id < ? LIMIT 1", (span["trace_id"], row_id))
        return earlier.fetchone() is None
