"""What lists and trees show of spans and traces, kept beside them: a list must not read a gigabyte of inputs.

``briefs`` has one row for each span that is shown, ``traces`` one for each trace. Both are written in the transaction
that stores the spans, and can be made again from these.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from .output import MODELS

if TYPE_CHECKING:
    import sqlite3
    from typing import Any, Iterable, Mapping

SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    number INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL UNIQUE, changed INTEGER NOT NULL,
    name TEXT NOT NULL, type TEXT NOT NULL, has_root INTEGER NOT NULL, named_at_micros INTEGER NOT NULL,
    started_at_micros INTEGER NOT NULL, ended_at_micros INTEGER NOT NULL, received_at_micros INTEGER NOT NULL,
    spans INTEGER NOT NULL, errors INTEGER NOT NULL, dropped INTEGER NOT NULL, warnings INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, services TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS traces_by_change ON traces (changed);
CREATE TABLE IF NOT EXISTS briefs (
    id INTEGER PRIMARY KEY, span_type TEXT NOT NULL, service_name TEXT NOT NULL, log_id TEXT NOT NULL,
    user_id TEXT NOT NULL, error TEXT NOT NULL, object_storage TEXT NOT NULL, workspace_id TEXT NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL, output_bytes INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS briefs_by_log_id ON briefs (log_id) WHERE log_id != '';
CREATE INDEX IF NOT EXISTS briefs_by_user_id ON briefs (user_id) WHERE user_id != '';
"""
CHANGES = "#changes"  # a count: of the writes that changed a trace, since the database was created

ROOTS = ("", "0")  # what a span names as its parent that has none, contract backend.md 2
MAX_ERROR = 200  # characters of an error in a brief
MAX_SERVICES = 20  # of one trace
_MAX_INT = (1 << 63) - 1
_CHUNK = 500  # spans made again in one transaction

_COLUMNS = (
    *("trace_id", "changed", "name", "type", "has_root", "named_at_micros", "started_at_micros", "ended_at_micros"),
    *("received_at_micros", "spans", "errors", "dropped", "warnings", "input_tokens", "output_tokens", "services"),
)
_MISSING = """
SELECT id, span, dropped, received_at_micros, (SELECT count(*) FROM warnings WHERE span = spans.id) FROM spans
WHERE id > (SELECT coalesce(max(id), 0) FROM briefs) AND NOT duplicate ORDER BY id LIMIT ?
"""


class Added(NamedTuple):
    """A span that was stored under a row, and how many warnings it has. Without ``span``: one more warning on it."""

    trace_id: str
    row: int
    span: Mapping[str, Any] | None
    dropped: bool
    warnings: int
    received_at_micros: int


def add(connection: sqlite3.Connection, added: Iterable[Added]) -> None:
    """Write the rows of spans that were stored. In the transaction of the caller."""
    by_trace: dict[str, list[Added]] = {}
    for item in added:
        by_trace.setdefault(item.trace_id, []).append(item)
    connection.execute("INSERT OR IGNORE INTO counts VALUES (?, 0)", (CHANGES,))
    connection.execute("UPDATE counts SET value = value + 1 WHERE name = ?", (CHANGES,))
    changed = changes(connection)
    for trace_id, items in by_trace.items():
        briefs = [_brief(item.row, item.span) for item in items if item.span is not None]
        connection.executemany(f"INSERT OR REPLACE INTO briefs VALUES (?{', ?' * 12})", briefs)
        query = f"SELECT number, {', '.join(_COLUMNS)} FROM traces WHERE trace_id = ?"
        found = connection.execute(query, (trace_id,)).fetchone()
        trace = dict(zip(("number", *_COLUMNS), found)) if found else _new(trace_id, items[0].received_at_micros)
        for item in items:
            trace["warnings"] += item.warnings
            if item.span is not None:
                _count(trace, item.span, item.dropped)
        trace["changed"] = changed
        row = [trace[name] for name in ("number", *_COLUMNS)]
        connection.execute(f"INSERT OR REPLACE INTO traces VALUES (?{', ?' * len(_COLUMNS)})", row)


def summaries(connection: sqlite3.Connection, which: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
    """Traces as ``local/api.py`` describes them. ``which``: the end of a query."""
    query = f"SELECT number, {', '.join(_COLUMNS)} FROM traces {which}"
    return [_summary(dict(zip(("number", *_COLUMNS), row))) for row in connection.execute(query, tuple(values))]


def _summary(trace: dict[str, Any]) -> dict[str, Any]:
    trace["has_root"] = bool(trace["has_root"])
    trace["duration_micros"] = trace.pop("ended_at_micros") - trace["started_at_micros"]
    trace["services"] = json.loads(trace["services"])
    trace["status"] = "error" if trace["errors"] else "ok"
    del trace["changed"], trace["named_at_micros"]
    return trace


def changes(connection: sqlite3.Connection) -> int:
    """How often traces have changed."""
    found = connection.execute("SELECT value FROM counts WHERE name = ?", (CHANGES,)).fetchone()
    return int(found[0]) if found else 0


def make_missing(connection: sqlite3.Connection) -> None:
    """Write the rows of spans that an older version of the server stored."""
    while True:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute(_MISSING, (_CHUNK,)).fetchall()
            if rows:
                add(connection, [_read(*row) for row in rows])
        if len(rows) < _CHUNK:
            return


def _read(row: int, text: str, dropped: int, received_at_micros: int, warnings: int) -> Added:
    span = json.loads(text)
    return Added(span["trace_id"], row, span, bool(dropped), warnings, received_at_micros)


def _new(trace_id: str, received_at_micros: int) -> dict[str, Any]:
    trace: dict[str, Any] = dict.fromkeys(_COLUMNS, 0)
    trace.update(number=None, trace_id=trace_id, name="", type="", services="[]")
    trace.update(received_at_micros=received_at_micros, named_at_micros=_MAX_INT)
    return trace


def _count(trace: dict[str, Any], span: Mapping[str, Any], dropped: bool) -> None:
    start = span["started_at_micros"]
    end = min(start + span["duration_micros"], _MAX_INT)
    none_shown = trace["spans"] == trace["dropped"]
    if none_shown and (not dropped or not trace["spans"]):  # what dropped spans said does not count any more
        trace.update(started_at_micros=start, ended_at_micros=end, has_root=False, named_at_micros=_MAX_INT)
    if none_shown or not dropped:
        trace["started_at_micros"] = min(trace["started_at_micros"], start)
        trace["ended_at_micros"] = max(trace["ended_at_micros"], end)
        is_root = span["parent_id"] in ROOTS
        if (not is_root, start) <= (not trace["has_root"], trace["named_at_micros"]):
            trace.update(name=span["span_name"], type=span["span_type"], has_root=is_root, named_at_micros=start)
    trace["spans"] += 1
    trace["dropped"] += dropped
    trace["errors"] += span["status_code"] != 0
    if span["span_type"] in MODELS:  # contract backend.md 2.5: tokens are counted on no others
        for name in ("input_tokens", "output_tokens"):
            trace[name] = max(-_MAX_INT, min(trace[name] + span["tags_long"].get(name, 0), _MAX_INT))
    service = span["service_name"]
    if service:
        services = json.loads(trace["services"])
        if service not in services and len(services) < MAX_SERVICES:
            trace["services"] = json.dumps([*services, service], ensure_ascii=False)


def _brief(row: int, span: Mapping[str, Any]) -> tuple[Any, ...]:
    text, numbers = span["tags_string"], span["tags_long"]
    into, out = numbers.get("input_tokens", 0), numbers.get("output_tokens", 0)
    return (
        *(row, span["span_type"], span["service_name"], span["log_id"], text.get("user_id", "")),
        *(text.get("error", "")[:MAX_ERROR], span["object_storage"], span["workspace_id"]),
        *(into, out, numbers.get("tokens", max(-_MAX_INT, min(into + out, _MAX_INT)))),
        *(len(span["input"].encode("utf-8")), len(span["output"].encode("utf-8"))),
    )
