"""The command ``python -m cozeloop_lite traces``: what a stand-in server holds, in a terminal or for a program."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from ..terminal import fail, has_colors
from . import sqlite_reasons
from .api import MAX_SPANS, MAX_TRACES
from .archive import Archive, TooMuch
from .export import export, with_images
from .store import DEFAULT_DB, Store
from .trace_search import Wanted
from .tree import render, render_list

if TYPE_CHECKING:
    from typing import Any

BAR_WIDTH = 24  # characters of the bars beside a tree
QUIET_SECONDS = 1.0  # a trace is shown once nothing of it has arrived for so long
_TICK_SECONDS = 0.3
_URL_TIMEOUT_SECONDS = 10
_ID_DIGITS = 32

_COMMANDS = r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # of those that json.dumps leaves
_EXAMPLES = """\
examples:
  python -m cozeloop_lite traces                           (what the file in this folder holds)
  python -m cozeloop_lite traces 29392ac2486dfcfa46656416baabeac8
  python -m cozeloop_lite traces 29392ac2486dfcfa46656416baabeac8 --html trace.html
  python -m cozeloop_lite traces --follow                  (and each new trace, until Ctrl-C)
  python -m cozeloop_lite traces --json | jq .
  python -m cozeloop_lite traces --url http://localhost:8888

With --url and a server started with --token, set COZELOOP_API_TOKEN. With --json and --follow,
each line is one trace.
"""


def add(commands: Any) -> None:
    """Add the command to those of the command line."""
    traces = commands.add_parser(
        "traces",
        help="list the stored traces, or draw one as a tree",
        description="List the stored traces, the latest first, or draw one as a tree.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    traces.add_argument("trace_id", metavar="TRACE_ID", nargs="?", help="the trace to draw (default: list all)")
    source = traces.add_mutually_exclusive_group()
    source.add_argument(
        "--db", "--store", metavar="FILE", default=DEFAULT_DB, help="sqlite file (default: %(default)s)"
    )
    source.add_argument("--url", type=_address, help="ask a running stand-in server instead of a file")
    form = traces.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--html", metavar="FILE", help="write the trace as one page, to be opened without a server")
    traces.add_argument("--follow", action="store_true", help="go on with what arrives, the latest last")
    traces.add_argument("--limit", type=positive, default=50, metavar="N", help="how many (default: %(default)s)")
    traces.set_defaults(run=run)


def positive(text: str) -> int:
    """The type of an argument that is a positive number."""
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _address(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with http:// or https://")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Print what is asked for, and return the exit code."""
    import sqlite3

    where = arguments.url or arguments.db
    if arguments.html and (arguments.follow or not arguments.trace_id):
        return fail("--html takes a TRACE_ID, and no --follow")
    try:
        source: _File | _Server = _Server(arguments.url) if arguments.url else _File(arguments.db)
        since = source.changes("")["since"] if arguments.follow else ""  # of before: nothing falls between
        whole = arguments.json or bool(arguments.html)
        found: Any
        found = source.trace(arguments.trace_id, whole) if arguments.trace_id else source.list(arguments.limit)
        if found is None:
            advice = "" if len(arguments.trace_id) == _ID_DIGITS else f": an id has {_ID_DIGITS} digits"
            return fail(f"no trace {arguments.trace_id!r} in {where}{advice}")
        if arguments.html:
            page = export(with_images(found, source.file))
        elif arguments.follow:
            _follow(source, arguments, found, since)
        else:
            _print(found, arguments)
    except TooMuch:
        return fail(f"trace {arguments.trace_id!r} is too large to print whole")
    except BrokenPipeError:
        raise  # stdout, not the source
    except sqlite3.Error as error:
        return fail(f"cannot read traces from {where}: {sqlite_reasons.reason(error)}")
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        return fail(f"cannot read traces from {where}: {reason(error)}")
    if arguments.html:
        try:
            with open(arguments.html, "w", encoding="utf-8", newline="\n") as file:
                file.write(page)
        except OSError as error:
            return fail(f"cannot write {arguments.html}: {reason(error)}")
    return 0


def _print(found: Any, arguments: argparse.Namespace) -> None:
    if arguments.json:
        shown = found["spans"] if arguments.trace_id else found
        _print_lines([_json(shown, 2)])
    elif arguments.trace_id:
        _print_lines(render(found["spans"], color=has_colors(), bars=BAR_WIDTH))
    else:
        _print_lines(render_list(found, color=has_colors()) if found else ["no traces yet"])


def _json(value: Any, indent: int | None = None) -> str:
    """JSON for a program: what stdout has no characters for is escaped; as "?" it would be another text.

    So is what a terminal would obey, or show in another order: people look at it, too.
    """
    knows_all = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not knows_all, indent=indent)
    return re.sub(_COMMANDS, lambda found: "\\u%04x" % ord(found.group()), text)


def _print_lines(lines: Any) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _follow(source: _File | _Server, arguments: argparse.Namespace, found: Any, since: str) -> None:
    """Print what there is, the latest last, and each trace again when it has changed and is quiet."""
    recent = max(arguments.limit, MAX_TRACES)
    known = {trace["trace_id"]: trace for trace in reversed(source.list(recent))}  # as they were when last printed
    if arguments.trace_id:
        _print(found, arguments)
    else:
        for trace in reversed(found):
            _print_one(trace, arguments)
    restless: dict[str, tuple[float, Any]] = {}
    answers = True
    while True:
        time.sleep(_TICK_SECONDS)
        answer = _changes(source, since, recent)
        if answer is None:
            if answers:
                fail(f"{arguments.url} does not answer; waiting for it")
            answers = False
            continue
        answers, since, now = True, answer["since"], time.monotonic()
        for trace in answer["traces"]:
            trace_id = trace["trace_id"]
            if arguments.trace_id in (None, trace_id) and known.get(trace_id) != trace:
                restless[trace_id] = (now, trace)
        for trace_id in [trace_id for trace_id, (then, _) in restless.items() if now - then >= QUIET_SECONDS]:
            known.pop(trace_id, None)  # the latest last
            known[trace_id] = restless.pop(trace_id)[1]
            if arguments.trace_id:
                _print(source.trace(trace_id, arguments.json) or {"spans": []}, arguments)
            else:
                _print_one(known[trace_id], arguments)
        while len(known) > recent:
            del known[next(iter(known))]


def _changes(source: _File | _Server, since: str, recent: int) -> dict[str, Any] | None:
    """The traces that may have changed, the latest last; None when a server, which may be starting again, is away."""
    try:
        answer = source.changes(since)
        return {**answer, "traces": source.list(recent)[::-1]} if answer["reset"] else answer
    except urllib.error.HTTPError:
        raise  # it is there, and refuses
    except (OSError, http.client.HTTPException):
        return None


def _print_one(trace: Any, arguments: argparse.Namespace) -> None:
    if arguments.json:
        _print_lines([_json(trace)])
    else:
        _print_lines(render_list([trace], color=has_colors()))


# --- where traces are -------------------------------------------------------------------------------------------------


class _File:
    """The file of a server, which may be running."""

    def __init__(self, db: str) -> None:
        if not os.path.isfile(db):
            raise FileNotFoundError(
                "there is no such file: --db FILE names another, and `python -m cozeloop_lite serve` creates one"
            )
        self._archive = Archive(Store(db, read_only=True))
        self.changes = self._archive.changes
        self.list(1)  # fails where the file is of an older version

    def list(self, limit: int) -> list[dict[str, Any]]:
        return self._archive.page(Wanted(), None, limit)["traces"]  # type: ignore[no-any-return]

    def trace(self, trace_id: str, whole: bool) -> dict[str, Any] | None:
        return self._archive.trace(trace_id, MAX_SPANS, whole=whole)

    def file(self, key: str, workspace_id: str) -> bytes | None:
        file = self._archive.file(key, workspace_id)
        return file and file.content


class _Server:
    """A server that is running."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def list(self, limit: int) -> list[dict[str, Any]]:
        traces: list[dict[str, Any]] = []
        before = None
        while len(traces) < limit:
            asked = {"limit": min(limit - len(traces), MAX_TRACES), **({"before": before} if before else {})}
            document = self._get(f"/api/traces?{urlencode(asked)}", "traces")
            traces += document["traces"]
            before = document.get("next")
            if not before:
                break
        return traces

    def trace(self, trace_id: str, whole: bool) -> dict[str, Any] | None:
        try:
            return self._get(f"/api/traces/{quote(trace_id, safe='')}{'?full=1' if whole else ''}", "spans")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 413:
                raise TooMuch from None
            raise

    def file(self, key: str, workspace_id: str) -> bytes | None:
        try:
            return self._read(f"/api/files/{quote(key, safe='')}?{urlencode({'workspace': workspace_id})}")
        except urllib.error.HTTPError:
            return None

    def changes(self, since: str) -> dict[str, Any]:
        return self._get(f"/api/events?since={quote(since)}", "traces")

    def _read(self, path: str) -> bytes:
        request = urllib.request.Request(self._url + path)
        token = os.environ.get("COZELOOP_API_TOKEN")
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is local
        with opener.open(request, timeout=_URL_TIMEOUT_SECONDS) as response:
            return response.read()  # type: ignore[no-any-return]

    def _get(self, path: str, expected: str) -> dict[str, Any]:
        document = json.loads(self._read(path).decode("utf-8"))
        found = document.get(expected) if isinstance(document, dict) else None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise ValueError("the answer is not one of a stand-in server")
        return document  # type: ignore[no-any-return]


def reason(error: Exception) -> str:
    """Why something failed, in words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}" + ("; set COZELOOP_API_TOKEN" if error.code == 403 else "")
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error)
