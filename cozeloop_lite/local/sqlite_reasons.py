"""Why a database cannot be used, in words that say what to do: sqlite's own say what happened inside it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 10  # so long sqlite waits for another program
_REASONS = (  # the first that is in the message of the error; older Pythons do not tell its number
    ("no such table: spans", "nothing of `python -m cozeloop_lite serve` is in it: name the file that it writes to"),
    ("no such table", "it is of an older version: let `python -m cozeloop_lite serve` open it once"),
    ("no such column", "it is of another version: let the newest `python -m cozeloop_lite serve` open it once"),
    ("not a database", "it is not a database of `python -m cozeloop_lite serve`: name another file"),
    ("malformed", "it is damaged: move it away, and `python -m cozeloop_lite serve` begins a new one"),
    ("locked", f"another program has been writing to it for {BUSY_SECONDS} s: end that, or name another file"),
    ("unable to open", "you may not read it, or not write to its folder, where sqlite needs files beside it"),
    ("readonly", "you may not write to it or to its folder: change the permissions, or name another file"),
    ("full", "the disk is full: make room, or name a file on another one"),
    ("disk I/O error", "the disk cannot be read or written: check it, or name a file on another one"),
)


def reason(error: sqlite3.Error) -> str:
    """The reason of an error, and in brackets the message of sqlite; that alone when it is none of the usual ones."""
    said = str(error)
    known = next((words for part, words in _REASONS if part in said), None)
    return said if known is None else f"{known} ({said})"
