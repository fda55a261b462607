"""What the stand-in server forgets: the oldest traces and files, once there are too many days or bytes of them.

A little at a time, so that whoever sends spans meanwhile waits for milliseconds: rows that are free again are used by
what comes next.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

STEP_SECONDS = 1.0  # between two looks
MAX_ROWS = 1000  # spans deleted in one step

_MAX_PAGES = 2000  # given back to the file system in one step
_DAY_MICROS = 24 * 3600 * 1000000
_MIB = 1024 * 1024
_NEVER = (1 << 63) - 1  # the last microsecond that sqlite knows
_OLDEST = "SELECT number, trace_id, received_at_micros FROM traces ORDER BY number LIMIT 1"
_OLDEST_FILE = "SELECT rowid, received_at_micros FROM files ORDER BY received_at_micros LIMIT 1"
_OLDEST_FEEDBACK = """
SELECT rowid, updated_at_micros FROM feedback WHERE updated_at_micros < ?
AND NOT EXISTS (SELECT 1 FROM traces WHERE traces.trace_id = feedback.trace_id) ORDER BY updated_at_micros LIMIT 1
"""  # of that on traces which are not here; the other, which is seldom older than all traces, goes with its trace
_SOME = "SELECT id FROM spans WHERE trace_id = ? ORDER BY span_id, id LIMIT ?"


class Retention:
    """``keep_days``, ``keep_mb``: how long and how much to keep; None: for ever, and everything."""

    def __init__(self, connection: sqlite3.Connection, keep_days: float | None, keep_mb: float | None) -> None:
        self._connection = connection
        self._keep_days = keep_days
        self._keep_mb = keep_mb
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for ``step``."""
        return (self._keep_days, self._keep_mb) != (None, None) and time.monotonic() >= self._next

    def step(self) -> None:
        """Delete some of what is too old or too much; the step after one that left something is due at once."""
        self._next = time.monotonic() + STEP_SECONDS
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            room = MAX_ROWS
            while room > 0:
                deleted = self._delete_oldest(room)
                if not deleted:
                    break
                room -= deleted
        if room < MAX_ROWS:
            self._connection.execute(f"PRAGMA incremental_vacuum({_MAX_PAGES})").fetchall()
        if room <= 0:
            self._next = 0.0

    def _delete_oldest(self, room: int) -> int:
        trace = self._connection.execute(_OLDEST).fetchone()
        file = self._connection.execute(_OLDEST_FILE).fetchone()
        oldest = min([row[-1] for row in (trace, file) if row is not None], default=_NEVER)
        feedback = self._connection.execute(_OLDEST_FEEDBACK, (oldest,)).fetchone()
        oldest = feedback[-1] if feedback is not None else oldest
        if oldest == _NEVER or not self._must_go(oldest):
            return 0
        if feedback is not None:
            return self._connection.execute("DELETE FROM feedback WHERE rowid = ?", (feedback[0],)).rowcount
        if trace is not None and trace[-1] == oldest:
            return self._delete_trace(trace[0], trace[1], room)
        return self._connection.execute("DELETE FROM files WHERE rowid = ?", (file[0],)).rowcount

    def _must_go(self, received_at_micros: int) -> bool:
        if self._keep_days is not None and received_at_micros < time.time() * 1000000 - self._keep_days * _DAY_MICROS:
            return True
        return self._keep_mb is not None and size(self._connection) > self._keep_mb * _MIB

    def _delete_trace(self, number: int, trace_id: str, room: int) -> int:
        for table, key in (("warnings", "span"), ("briefs", "id")):
            self._connection.execute(f"DELETE FROM {table} WHERE {key} IN ({_SOME})", (trace_id, room))
        deleted = self._connection.execute(f"DELETE FROM spans WHERE id IN ({_SOME})", (trace_id, room)).rowcount
        if deleted < room:
            self._connection.execute("DELETE FROM traces WHERE number = ?", (number,))
            self._connection.execute("DELETE FROM feedback WHERE trace_id = ?", (trace_id,))
        return deleted + 1


def size(connection: sqlite3.Connection) -> int:
    """The bytes in use, without those that are free again."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)
