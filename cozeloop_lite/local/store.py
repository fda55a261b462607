"""What the stand-in server keeps: spans, their warnings, feedback, files and counts, in one sqlite database.

A file survives a restart of the server; ``":memory:"`` ends with it. The threads of the server share one connection
under one lock: sqlite writes one at a time anyway, and a batch is committed before it is answered.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .feedback import SCHEMA as FEEDBACK_SCHEMA
from .feedback import Feedback, FeedbackTable
from .files import warnings as file_warnings

if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator

    from .rules import Arrival

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT NOT NULL,
    started_at_micros INTEGER NOT NULL, duration_micros INTEGER NOT NULL, status_code INTEGER NOT NULL,
    span_name TEXT NOT NULL, received_at_micros INTEGER NOT NULL,
    dropped INTEGER NOT NULL, duplicate INTEGER NOT NULL, span TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace_id, span_id);
CREATE INDEX IF NOT EXISTS spans_by_start ON spans (started_at_micros, span_id, id, dropped, duplicate);
CREATE TABLE IF NOT EXISTS warnings (id INTEGER PRIMARY KEY, span INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS warnings_by_span ON warnings (span);
CREATE TABLE IF NOT EXISTS files (
    workspace_id TEXT NOT NULL, name TEXT NOT NULL, received_at_micros INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (workspace_id, name));
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

_TRACES = """
SELECT trace_id, count(*), sum(dropped), min(started_at_micros), max(started_at_micros + duration_micros),
       sum(status_code != 0), (SELECT count(*) FROM warnings JOIN spans AS s ON s.id = warnings.span
                               WHERE s.trace_id = spans.trace_id),
       (SELECT span_name FROM spans AS s WHERE s.trace_id = spans.trace_id
        ORDER BY parent_id NOT IN ('', '0'), started_at_micros, id LIMIT 1)
FROM spans WHERE NOT duplicate GROUP BY trace_id ORDER BY max(id) DESC LIMIT ?
"""

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


class Store:
    """The database behind a stand-in server.

    ``db`` is a file name or ``":memory:"``. With ``read_only`` the file must exist and is not changed. ``feedback``:
    what was said about the spans.
    Raises ``sqlite3.Error`` when the file cannot be opened or is no database of a stand-in server.
    """

    def __init__(self, db: str = ":memory:", *, read_only: bool = False) -> None:
        self._changed = threading.Condition(threading.RLock())
        target = Path(db).resolve().as_uri() + "?mode=ro" if read_only else db
        self._connection = sqlite3.connect(target, uri=read_only, check_same_thread=False, timeout=10)
        self.feedback = FeedbackTable(self._connection, self._changed)
        try:
            self._prepare(read_only)
        except sqlite3.Error:
            self._connection.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        if read_only:
            self._connection.execute("SELECT 1 FROM spans LIMIT 1")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")  # a file may be read while the server writes
        self._connection.execute("PRAGMA synchronous = NORMAL")  # survives a crash of the process, which is the promise
        self._connection.executescript(_SCHEMA + FEEDBACK_SCHEMA)

    # --- writing ---

    def add_spans(self, arrivals: Iterable[Arrival]) -> None:
        """Store one accepted batch. A span that arrived before gets a warning, here and in its ``Arrival``."""
        received_at = int(time.time() * 1000000)
        with self._changed, self._connection:
            for arrival in arrivals:
                self._add_span(arrival, received_at)
            self._changed.notify_all()

    def _add_span(self, arrival: Arrival, received_at: int) -> None:
        span = arrival.span
        first = None if arrival.dropped else self._first_copy(span["trace_id"], span["span_id"])
        keys = ("trace_id", "span_id", "parent_id", "started_at_micros", "duration_micros", "status_code", "span_name")
        row = [span[key] for key in keys]
        row += [received_at, arrival.dropped, first is not None, json.dumps(span, ensure_ascii=False)]
        added = self._connection.execute(f"INSERT INTO spans VALUES (NULL{', ?' * len(row)})", row).lastrowid
        self._warn(added, arrival.warnings)
        if first is not None:
            # Contract backend.md 2.4: storage keeps both rows, trace views show the first, metrics count both.
            text = "this span arrived more than once: trace views show the first copy, metrics count each"
            self._warn(first, [text])
            arrival.warnings.append(text)

    def _first_copy(self, trace_id: str, span_id: str) -> int | None:
        query = "SELECT min(id) FROM spans WHERE trace_id = ? AND span_id = ? AND NOT dropped"
        found: int | None = self._connection.execute(query, (trace_id, span_id)).fetchone()[0]
        return found

    def _warn(self, span: int | None, texts: Iterable[str]) -> None:
        self._connection.executemany("INSERT INTO warnings VALUES (NULL, ?, ?)", [(span, text) for text in texts])

    def add_file(self, workspace_id: str, name: str, content: bytes) -> bool:
        """Keep an uploaded file; True when it replaced one of the same name, as on the platform."""
        row = (workspace_id, name, int(time.time() * 1000000), content)
        with self._changed, self._connection:
            replaced = self.file(workspace_id, name) is not None
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
            self._changed.notify_all()
        return replaced

    def count(self, name: str) -> None:
        """Add one to a count; see ``stats``."""
        with self._changed, self._connection:
            self._connection.execute("INSERT OR IGNORE INTO counts VALUES (?, 0)", (name,))
            self._connection.execute("UPDATE counts SET value = value + 1 WHERE name = ?", (name,))
            self._changed.notify_all()

    # --- reading ---

    def spans(self, trace_id: str | None = None, *, duplicates: bool = False) -> list[dict[str, Any]]:
        """The stored spans in the order of arrival, all or those of one trace.

        Each is the wire span as the platform would store it (every field present, integers as int), with two more
        keys: ``warnings`` (a list of str) and ``dropped`` (True: the platform would never show it). Of a span that
        arrived more than once, only the first copy, unless ``duplicates``.
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
                yield self._shown(found)
            if len(rows) < _CHUNK:
                return
            start, span_id, row_id = rows[-1]

    def _shown(self, row_id: int) -> StoredSpan:
        query = "SELECT span, length(CAST(span AS BLOB)) FROM spans WHERE id = ?"
        with self._changed:
            text, size = self._connection.execute(query, (row_id,)).fetchone()
            fields = json.loads(text)
            return StoredSpan(fields, size, self.feedback.of(row_id, fields))

    def traces(self, limit: int = 50) -> list[dict[str, Any]]:
        """One summary a trace, the most recently received first."""
        keys = ("trace_id", "spans", "dropped", "started_at_micros", "ended", "errors", "warnings", "name")
        with self._changed:
            rows = [dict(zip(keys, row)) for row in self._connection.execute(_TRACES, (limit,))]
        for row in rows:
            row["duration_micros"] = row.pop("ended") - row["started_at_micros"]
        return rows

    def trace_ids_since(self, row_id: int) -> tuple[int, list[str]]:
        """The traces that got spans after the row ``row_id`` (0 at first), and the row to ask from the next time."""
        query = "SELECT trace_id, max(id) FROM spans WHERE id > ? GROUP BY trace_id ORDER BY max(id)"
        with self._changed:
            rows = self._connection.execute(query, (row_id,)).fetchall()
        return (rows[-1][1] if rows else row_id), [row[0] for row in rows]

    def last_row(self) -> int:
        """The row of the span received last, 0 when there is none; for ``trace_ids_since``."""
        with self._changed:
            return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM spans").fetchone()[0])

    def warnings(self) -> list[str]:
        """Every warning, in the order given."""
        with self._changed:
            return [row[0] for row in self._connection.execute("SELECT text FROM warnings ORDER BY id")]

    def file(self, workspace_id: str, name: str) -> bytes | None:
        """The content of an uploaded file, or None."""
        query = "SELECT content FROM files WHERE workspace_id = ? AND name = ?"
        with self._changed:
            row = self._connection.execute(query, (workspace_id, name)).fetchone()
        return None if row is None else bytes(row[0])

    def _has_file(self, workspace_id: str, name: str) -> bool:
        query = "SELECT 1 FROM files WHERE workspace_id = ? AND name = ?"
        return self._connection.execute(query, (workspace_id, name)).fetchone() is not None

    def files(self) -> dict[str, bytes]:
        """All uploaded files: ``"<workspace_id>/<name>"`` to content, in the order received."""
        query = "SELECT workspace_id || '/' || name, content FROM files ORDER BY received_at_micros, rowid"
        with self._changed:
            return {row[0]: bytes(row[1]) for row in self._connection.execute(query)}

    def stats(self) -> dict[str, Any]:
        """Counts since the database was created.

        ``requests``, ``spans`` (accepted, copies included), ``dropped`` and ``duplicates`` (of those), ``traces``,
        ``files``, ``warnings``, and ``refused``: the refused requests by envelope code or HTTP status, as str.
        """
        query = (
            "SELECT count(*), coalesce(sum(dropped), 0), coalesce(sum(duplicate), 0), count(DISTINCT trace_id),"
            " (SELECT count(*) FROM files), (SELECT count(*) FROM warnings) FROM spans"
        )
        with self._changed:
            row = self._connection.execute(query).fetchone()
            counts = dict(self._connection.execute("SELECT name, value FROM counts ORDER BY name"))
        stats: dict[str, Any] = dict(zip(("spans", "dropped", "duplicates", "traces", "files", "warnings"), row))
        stats["requests"] = counts.pop("requests", 0)
        stats["refused"] = counts
        return stats

    def wait_for_spans(self, number: int = 1, timeout: float = 5.0) -> list[dict[str, Any]]:
        """Wait until ``number`` spans (copies not counted) are stored, at most ``timeout`` seconds, and return all."""
        with self._changed:
            self._changed.wait_for(lambda: self._stored() >= number, timeout)
            return self.spans()

    def _stored(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM spans WHERE NOT duplicate").fetchone()[0])

    def close(self) -> None:
        """Close the database; reading and writing raise ``sqlite3.ProgrammingError`` from now on."""
        with self._changed:
            self._connection.close()
