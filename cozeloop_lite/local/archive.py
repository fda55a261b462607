"""What pages show of a store: lists of traces, the spans of one, one span, and files. The forms are those of ``api``.

Each method but a search of texts sees one state of the database, and its work is bounded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .files import links
from .files import warnings as file_warnings
from .retention import size
from .summaries import changes, summaries
from .trace_search import page

if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from .store import Store
    from .trace_search import Wanted

MAX_CHANGES = 200  # traces; when more have changed, the list is to be read again
MAX_WHOLE_BYTES = 64 * 1024 * 1024  # of spans in one answer
MAX_WARNINGS = 20  # of a span in the list of a trace
_MAX_ALL_WARNINGS = 50000

_BRIEF = (
    *("row", "trace_id", "span_id", "parent_id", "span_name", "span_type", "started_at_micros", "duration_micros"),
    *("status_code", "error", "service_name", "log_id", "user_id", "input_tokens", "output_tokens", "tokens"),
    *("input_bytes", "output_bytes", "dropped", "object_storage", "workspace_id"),
)
_BRIEFS = f"""
SELECT spans.id, {', '.join(_BRIEF[1:])} FROM spans JOIN briefs ON briefs.id = spans.id
WHERE trace_id = ? AND NOT duplicate ORDER BY spans.id LIMIT ?
"""
_WARNINGS = """
SELECT warnings.span, text FROM spans JOIN warnings ON warnings.span = spans.id WHERE trace_id = ? AND NOT duplicate
ORDER BY warnings.id LIMIT ?
"""
_WHOLE = "SELECT id, dropped, received_at_micros, span FROM spans WHERE trace_id = ? AND NOT duplicate "


class TooMuch(Exception):
    """The answer would not fit into memory."""


class File(NamedTuple):
    """An uploaded file."""

    workspace_id: str
    name: str
    content: bytes


class Archive:
    """A store, as it is shown."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self, wanted: Wanted, before: int | None, limit: int) -> dict[str, Any]:
        """One page of traces. ``since`` is of before it: what comes while texts are searched is told of again."""
        with self._store.reading() as connection:
            since = self._since(connection)
            traces, following = page(connection, wanted, before, limit, self._store.pause)
        return {"traces": traces, "next": following, "since": since}

    def changes(self, since: str) -> dict[str, Any]:
        """The traces that have changed."""
        name, _, number = since.partition("-")
        with self._store.reading() as connection:
            now = self._since(connection)
            known = name == self._store.name and number.isascii() and number.isdecimal() and len(number) < 19
            which = "WHERE changed > ? ORDER BY changed, number LIMIT ?"
            traces = summaries(connection, which, (int(number), MAX_CHANGES + 1)) if known else []
        reset = not known or len(traces) > MAX_CHANGES
        return {"since": now, "reset": reset, "traces": [] if reset else traces}

    def _since(self, connection: sqlite3.Connection) -> str:
        return f"{self._store.name}-{changes(connection)}"

    def trace(self, trace_id: str, limit: int, *, whole: bool = False) -> dict[str, Any] | None:
        """A trace and its spans, without what is in them or ``whole``; None when there is none."""
        with self._store.reading() as connection:
            found = summaries(connection, "WHERE trace_id = ?", (trace_id,))
            if not found:
                return None
            read = self._whole if whole else _briefs
            spans = read(connection, trace_id, limit + 1)
        return {"trace": found[0], "more": len(spans) > limit, "spans": spans[:limit]}

    def _whole(self, connection: sqlite3.Connection, trace_id: str, limit: int) -> list[dict[str, Any]]:
        spans, room = [], MAX_WHOLE_BYTES
        for row in connection.execute(_WHOLE + "ORDER BY id LIMIT ?", (trace_id, limit)):
            room -= len(row[3])
            if room < 0:
                raise TooMuch
            spans.append(self._span(connection, *row))
        return spans

    def span(self, trace_id: str, span_id: str, row: int | None = None) -> dict[str, Any] | None:
        """All of one span, and the feedback on it; None when it is not there."""
        query = _WHOLE + "AND span_id = ? AND (? IS NULL OR id = ?) ORDER BY dropped, id LIMIT 1"
        with self._store.reading() as connection:
            found = connection.execute(query, (trace_id, span_id, row, row)).fetchone()
            return None if found is None else self._span(connection, *found)

    def _span(
        self, connection: sqlite3.Connection, row: int, dropped: int, received_at: int, text: str
    ) -> dict[str, Any]:
        span: dict[str, Any] = {"row": row, **json.loads(text), "received_at_micros": received_at}
        query = "SELECT text FROM warnings WHERE span = ? ORDER BY id"
        workspace = span["workspace_id"]
        span["warnings"] = [found[0] for found in connection.execute(query, (row,))]
        span["warnings"] += _of_files(connection, workspace, span["object_storage"])
        span["dropped"] = bool(dropped)
        span["files"] = [
            {**link, "bytes": _file_bytes(connection, workspace, link["key"])}
            for link in links(span["object_storage"])
        ]
        said = [] if dropped else self._store.feedback.of(row, span)
        shown = ("key", "value_type", "value", "reasoning", "updated_at_micros")
        span["feedback"] = [{name: getattr(feedback, name) for name in shown} for feedback in said]
        return span

    def file(self, name: str, workspace_id: str | None) -> File | None:
        """The file of a name, the latest when no workspace is given."""
        query = "SELECT workspace_id, name, content FROM files WHERE name = ? AND (? IS NULL OR workspace_id = ?)"
        with self._store.reading() as connection:
            values = (name, workspace_id, workspace_id)
            row = connection.execute(query + " ORDER BY received_at_micros DESC LIMIT 1", values).fetchone()
        return None if row is None else File(*row)

    def size(self) -> int:
        """The bytes of the database."""
        with self._store.reading() as connection:
            return size(connection)


def _briefs(connection: sqlite3.Connection, trace_id: str, limit: int) -> list[dict[str, Any]]:
    warnings: dict[int, list[str]] = {}
    for row, text in connection.execute(_WARNINGS, (trace_id, _MAX_ALL_WARNINGS)):
        of_span = warnings.setdefault(row, [])
        if len(of_span) < MAX_WARNINGS:
            of_span.append(text)
    spans = [dict(zip(_BRIEF, row)) for row in connection.execute(_BRIEFS, (trace_id, limit)).fetchall()]
    for span in spans:
        storage, workspace = span.pop("object_storage"), span.pop("workspace_id")
        span["dropped"] = bool(span["dropped"])
        span["warnings"] = warnings.get(span["row"], [])
        if storage:
            span["warnings"] += _of_files(connection, workspace, storage)
    return spans


def _of_files(connection: sqlite3.Connection, workspace_id: str, object_storage: str) -> list[str]:
    return file_warnings(object_storage, lambda key: _file_bytes(connection, workspace_id, key) is not None)


def _file_bytes(connection: sqlite3.Connection, workspace_id: str, name: str) -> int | None:
    query = "SELECT length(content) FROM files WHERE workspace_id = ? AND name = ?"
    found = connection.execute(query, (workspace_id, name)).fetchone()
    return None if found is None else int(found[0])
