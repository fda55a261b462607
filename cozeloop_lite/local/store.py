"""What the stand-in server keeps: spans, their warnings, feedback, files and counts, in one sqlite database.

A file survives a restart of the server; ``":memory:"`` ends with it. The threads of the server share one connection
under one lock: sqlite writes one at a time anyway, and a batch is committed before it is answered. Only what pages ask
for is read from a file beside that, see ``reading``.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .feedback import SCHEMA as FEEDBACK_SCHEMA
from .feedback import FeedbackTable
from .retention import Retention
from .span_reader import SpanReader
from .sqlite_reasons import BUSY_SECONDS
from .summaries import CHANGES, Added, make_missing
from .summaries import SCHEMA as SUMMARY_SCHEMA
from .summaries import add as summarize

if TYPE_CHECKING:
    import sqlite3
    from typing import Any, Iterable, Iterator

    from .rules import Arrival

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT NOT NULL,
    started_at_micros INTEGER NOT NULL, duration_micros INTEGER NOT NULL, status_code INTEGER NOT NULL,
    span_name TEXT NOT NULL, received_at_micros INTEGER NOT NULL,
    dropped INTEGER NOT NULL, duplicate INTEGER NOT NULL, span TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace_id, span_id);
CREATE INDEX IF NOT EXISTS spans_again ON spans (id) WHERE duplicate;
CREATE INDEX IF NOT EXISTS spans_by_start ON spans (started_at_micros, span_id, id, dropped, duplicate);
CREATE TABLE IF NOT EXISTS warnings (id INTEGER PRIMARY KEY, span INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS warnings_by_span ON warnings (span);
CREATE TABLE IF NOT EXISTS files (
    workspace_id TEXT NOT NULL, name TEXT NOT NULL, received_at_micros INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (workspace_id, name));
CREATE INDEX IF NOT EXISTS files_by_age ON files (received_at_micros);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

_IN_MEMORY = ("", ":memory:")
_PAUSE_SECONDS = 0.001
DEFAULT_DB = "cozeloop_lite.sqlite3"  # in the current folder, so that spans survive a restart of the server
_COPIES = "#copies"  # a count: of the spans that came again just as they were, and are stored once
_TWICE = "this span arrived more than once: trace views show the first copy, metrics count each"


def _create(path: str) -> None:
    """Create the file for nobody but its owner: what programs send may be private. One that exists stays as it is."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError:
        pass  # sqlite says why


class _Batch:
    """Spans to be stored, and what came in the way; none once they are."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self.arrivals = arrivals
        self.problem: Exception | None = RuntimeError("not stored")


class Store(SpanReader):
    """The database behind a stand-in server.

    ``db`` is a file name or ``":memory:"``. With ``read_only`` the file must exist and is not changed. ``keep_days``,
    ``keep_mb``: how long, and how many MiB of spans and files, to keep; None: for ever, and all. ``feedback``: what was
    said about the spans.
    Raises ``sqlite3.Error`` when the file cannot be opened or is no database of a stand-in server.
    """

    def __init__(
        self,
        db: str = ":memory:",
        *,
        read_only: bool = False,
        keep_days: float | None = None,
        keep_mb: float | None = None,
    ) -> None:
        self.db = db
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[_Batch] = deque()
        self._counts: dict[str, int] = {}  # not written yet
        self._read_only = read_only
        self._target = db
        if read_only:
            self._target = Path(db).resolve().as_uri() + "?mode=ro"
        elif db not in _IN_MEMORY:
            self._target = os.path.abspath(db)  # it is opened again and again, and the program may change its folder
        self._keep = (keep_days, keep_mb)
        self._open()

    def _open(self) -> None:
        import sqlite3

        self._is_file = not self._read_only and self.db not in _IN_MEMORY
        if self._is_file:
            _create(self._target)
        # Immediate: a transaction that reads before it writes would be refused where another process wrote meanwhile.
        self._connection = sqlite3.connect(
            self._target,
            uri=self._read_only,
            check_same_thread=False,
            timeout=BUSY_SECONDS,
            isolation_level="IMMEDIATE",
        )
        self.feedback = FeedbackTable(self._connection, self._changed)
        self._retention = Retention(self._connection, *self._keep)
        try:
            self._prepare()
        except sqlite3.Error:
            self._connection.close()
            raise
        self.name = secrets.token_hex(4)  # a number of changes says nothing about another database
        self._opened = os.stat(self._target) if self._is_file else None

    def _is_gone(self) -> bool:
        """Whether somebody has removed the file, to begin anew: what is written to it now, nobody would find."""
        try:
            return self._opened is not None and not os.path.samestat(os.stat(self._target), self._opened)
        except OSError:
            return True

    def _open_again_if_gone(self) -> None:
        if not self._is_gone():
            return
        before = self._connection, self.feedback, self._retention
        try:
            self._open()
        except BaseException:  # its folder is away, or there is no room: what was open still is
            self._connection, self.feedback, self._retention = before
            raise
        before[0].close()

    def _prepare(self) -> None:
        if self._read_only:
            self._connection.execute("SELECT 1 FROM spans LIMIT 1")
            return
        self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # without effect on a file that has tables
        self._connection.execute("PRAGMA journal_mode = WAL")  # a file may be read while the server writes
        self._connection.execute("PRAGMA synchronous = NORMAL")  # survives a crash of the process, which is the promise
        self._connection.executescript(_SCHEMA + FEEDBACK_SCHEMA + SUMMARY_SCHEMA)
        make_missing(self._connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read from. With a file it is one of its own: who writes and who reads do not wait."""
        import sqlite3

        if self.db in _IN_MEMORY:
            with self._changed:
                yield self._connection
            return
        if self._is_gone():
            with self._changed:
                self._open_again_if_gone()
        connection = sqlite3.connect(self._target, uri=self._read_only, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")  # one state of the database for all that is read
            yield connection
        finally:
            connection.close()

    def pause(self) -> None:
        """Between two queries on what ``reading`` gives: let those write who wait for it."""
        if self.db in _IN_MEMORY:
            self._changed.release()
            time.sleep(_PAUSE_SECONDS)  # the lock is not fair: who takes it again at once is the first
            self._changed.acquire()

    # --- writing ---

    def add_spans(self, arrivals: Iterable[Arrival]) -> None:
        """Store one accepted batch. A span that arrived before gets a warning, here and in its ``Arrival``.

        Batches that come while another is written are committed together: a commit takes longer than a few spans.
        """
        batch = _Batch(list(arrivals))
        self._waiting.append(batch)
        with self._changed:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                if waiting:  # none: another thread wrote this batch, too
                    self._commit(waiting)
            except Exception:  # noqa: BLE001 - one batch is no reason to refuse the others
                for each in waiting:
                    try:
                        self._commit([each])
                    except Exception as error:  # noqa: BLE001 - raised by who brought it
                        each.problem = error
            self._changed.notify_all()
        if batch.problem is not None:
            raise batch.problem
        self.tidy()

    def _commit(self, batches: Iterable[_Batch]) -> None:
        received_at = int(time.time() * 1000000)
        with self._writing():
            added = [self._add_span(arrival, received_at) for batch in batches for arrival in batch.arrivals]
            summarize(self._connection, [item for item in added if item is not None])
        for batch in batches:
            batch.problem = None

    def _add_span(self, arrival: Arrival, received_at: int) -> Added | None:
        span = arrival.span
        trace_id, text = span["trace_id"], json.dumps(span, ensure_ascii=False)
        first = None if arrival.dropped else self._first_copy(trace_id, span["span_id"])
        if first is not None:
            # Contract backend.md 2.4: storage keeps both rows, trace views show the first, metrics count both.
            if arrival.warnings[-1:] != [_TWICE]:  # a second attempt
                arrival.warnings.append(_TWICE)
            if self._connection.execute("SELECT span = ? FROM spans WHERE id = ?", (text, first)).fetchone()[0]:
                self._add_count(_COPIES)
                return self._warn_once(first, trace_id, received_at)
        keys = ("trace_id", "span_id", "parent_id", "started_at_micros", "duration_micros", "status_code", "span_name")
        row = [span[key] for key in keys]
        row += [received_at, arrival.dropped, first is not None, text]
        added = self._connection.execute(f"INSERT INTO spans VALUES (NULL{', ?' * len(row)})", row).lastrowid or 0
        if first is not None:
            self._warn(added, arrival.warnings[:-1])
            return self._warn_once(first, trace_id, received_at)
        self._warn(added, arrival.warnings)
        return Added(trace_id, added, span, arrival.dropped, len(arrival.warnings), received_at)

    def _warn_once(self, first: int, trace_id: str, received_at: int) -> Added | None:
        query = "SELECT 1 FROM warnings WHERE span = ? AND text = ?"
        if self._connection.execute(query, (first, _TWICE)).fetchone() is not None:
            return None
        self._warn(first, [_TWICE])
        return Added(trace_id, first, None, False, 1, received_at)

    def _first_copy(self, trace_id: str, span_id: str) -> int | None:
        query = "SELECT min(id) FROM spans WHERE trace_id = ? AND span_id = ? AND NOT dropped"
        found: int | None = self._connection.execute(query, (trace_id, span_id)).fetchone()[0]
        return found

    def _warn(self, span: int, texts: Iterable[str]) -> None:
        self._connection.executemany("INSERT INTO warnings VALUES (NULL, ?, ?)", [(span, text) for text in texts])

    def add_file(self, workspace_id: str, name: str, content: bytes) -> bool:
        """Keep an uploaded file; True when it replaced one of the same name, as on the platform."""
        row = (workspace_id, name, int(time.time() * 1000000), content)
        with self._changed, self._writing():
            replaced = self._has_file(workspace_id, name)
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
        self.tidy()
        return replaced

    def count(self, name: str) -> None:
        """Add one to a count; see ``stats``. It is written with the next batch, or when the store is closed."""
        with self._changed:
            self._add_count(name)

    def _add_count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, with the counts in it; if it fails, the counts are what they were before, too."""
        counts = dict(self._counts)
        self._open_again_if_gone()
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._write_counts()
        except BaseException:
            self._counts = counts
            raise

    def _write_counts(self) -> None:
        counts, self._counts = self._counts, {}
        self._connection.executemany("INSERT OR IGNORE INTO counts VALUES (?, 0)", [(name,) for name in counts])
        update = "UPDATE counts SET value = value + ? WHERE name = ?"
        self._connection.executemany(update, [(number, name) for name, number in counts.items()])

    def tidy(self) -> None:
        """Forget some of what is not to be kept, when it is time to look."""
        if self._retention.due:
            import sqlite3

            with self._changed:
                try:
                    self._retention.step()
                except sqlite3.Error:  # another process writes, or the disk is full: what was stored is stored
                    pass

    # --- reading ---

    def file(self, workspace_id: str, name: str) -> bytes | None:
        """The content of an uploaded file, or None."""
        query = "SELECT content FROM files WHERE workspace_id = ? AND name = ?"
        with self._changed:
            row = self._connection.execute(query, (workspace_id, name)).fetchone()
        return None if row is None else bytes(row[0])

    def files(self) -> dict[str, bytes]:
        """All uploaded files: ``"<workspace_id>/<name>"`` to content, in the order received."""
        query = "SELECT workspace_id || '/' || name, content FROM files ORDER BY received_at_micros, rowid"
        with self._changed:
            return {row[0]: bytes(row[1]) for row in self._connection.execute(query)}

    def stats(self) -> dict[str, Any]:
        """Counts of what is kept.

        ``spans`` (accepted, copies included), ``dropped`` and ``duplicates`` (of those), ``traces``, ``files``,
        ``warnings``; and since the database was created, ``requests`` and ``refused``: the refused ones by envelope
        code or HTTP status, as str.
        """
        query = (
            "SELECT coalesce(sum(spans), 0), coalesce(sum(dropped), 0), (SELECT count(*) FROM spans WHERE duplicate),"
            " count(*), (SELECT count(*) FROM files), (SELECT count(*) FROM warnings) FROM traces"
        )
        with self.reading() as connection:
            row = connection.execute(query).fetchone()
        with self._changed:
            counts = dict(self._connection.execute("SELECT name, value FROM counts"))
            for name, number in self._counts.items():
                counts[name] = counts.get(name, 0) + number
        stats: dict[str, Any] = dict(zip(("spans", "dropped", "duplicates", "traces", "files", "warnings"), row))
        copies = counts.pop(_COPIES, 0)
        stats["duplicates"] += copies
        stats["spans"] += stats["duplicates"]
        counts.pop(CHANGES, 0)
        stats["requests"] = counts.pop("requests", 0)
        stats["refused"] = dict(sorted(counts.items()))
        return stats

    def close(self) -> None:
        """Close the database; reading and writing raise ``sqlite3.ProgrammingError`` from now on."""
        import sqlite3

        with self._changed:
            try:
                with self._connection:
                    self._write_counts()
            except sqlite3.Error:  # closed before, read only, or no room on the disk
                pass
            self._connection.close()
