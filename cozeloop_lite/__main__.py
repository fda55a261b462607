"""The command line: ``python -m cozeloop_lite serve``, ``... traces`` and ``... check``.

For the developer who has no CozeLoop account at hand: a server to send spans to, and a look at what arrived. For the
one who has, and whose spans do not arrive: what is wrong.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import __version__
from .check import command
from .local import StandInServer
from .local.binding import quote as quote_name
from .local.store import Store
from .local.tree import has_root, render, render_list

if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence

DEFAULT_DB = "cozeloop_lite.sqlite3"  # in the current folder, so that spans survive a restart of the server
DEFAULT_PORT = 8888  # of the self-hosted platform, contract backend.md 1.1
QUIET_SECONDS = 1.0  # a trace is drawn once nothing of it has arrived for so long
_TICK_SECONDS = 0.2
_URL_TIMEOUT_SECONDS = 10
_MAX_KEYS = 10  # of prompts, in the greeting

_SERVE_EXAMPLES = """\
examples:
  python -m cozeloop_lite serve
  python -m cozeloop_lite serve --tree
  python -m cozeloop_lite serve --port 0 --db :memory:     (a free port, nothing kept)
  python -m cozeloop_lite serve --prompts examples/prompts

The server accepts spans as the platform does, and says beside each span what the platform
would have refused, dropped or cut. Ctrl-C ends it.

With --prompts it serves and executes the prompts of a folder, one JSON file each:
  {"prompt_key": "greet",
   "versions": {"0.0.1": {"prompt_template": {"template_type": "normal",
     "messages": [{"role": "user", "content": "Greet {{name}}"}],
     "variable_defs": [{"key": "name", "type": "string"}]}, "reply": "Hello!"}},
   "labels": {"production": "0.0.1"}}
or one version as the platform answers it. No model is called: executing a prompt answers
its "reply", else the last message of the user. A file that changes is read again.
"""

_TRACES_EXAMPLES = """\
examples:
  python -m cozeloop_lite traces                           (what the file in this folder holds)
  python -m cozeloop_lite traces 29392ac2486dfcfa46656416baabeac8
  python -m cozeloop_lite traces --json | jq .
  python -m cozeloop_lite traces --url http://localhost:8888

With --url and a server started with --token, set COZELOOP_API_TOKEN.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without box characters shows "?" instead of failing
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return 0  # whoever reads the output, such as head, has seen enough
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cozeloop_lite", description="Tools for developing with CozeLoop, and without its server."
    )
    parser.add_argument("--version", action="version", version=f"cozeloop_lite {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True
    _add_serve(commands)
    _add_traces(commands)
    command.add(commands)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="run a stand-in CozeLoop server",
        description="Run a stand-in CozeLoop server that stores the spans and files it gets, and serves prompts.",
        epilog=_SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 picks a free one (default: %(default)s)")
    serve.add_argument("--db", metavar="FILE", default=DEFAULT_DB, help="sqlite file (default: %(default)s)")
    serve.add_argument("--token", metavar="T", help="the only API token to accept (default: any)")
    serve.add_argument("--prompts", metavar="DIR", type=_folder, help="folder of the prompts to serve (default: none)")
    serve.add_argument("--tree", action="store_true", help="draw each trace as a tree when it is complete")
    serve.set_defaults(run=_serve)


def _add_traces(commands: Any) -> None:
    traces = commands.add_parser(
        "traces",
        help="list the stored traces, or draw one as a tree",
        description="List the stored traces, the latest first, or draw one as a tree.",
        epilog=_TRACES_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    traces.add_argument("trace_id", metavar="TRACE_ID", nargs="?", help="the trace to draw (default: list all)")
    source = traces.add_mutually_exclusive_group()
    source.add_argument("--db", metavar="FILE", default=DEFAULT_DB, help="sqlite file (default: %(default)s)")
    source.add_argument("--url", help="ask a running stand-in server instead of a file")
    traces.add_argument("--json", action="store_true", help="print JSON")
    traces.add_argument("--limit", type=_positive, default=50, metavar="N", help="how many (default: %(default)s)")
    traces.set_defaults(run=_traces)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _folder(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


# --- serve ------------------------------------------------------------------------------------------------------------


def _serve(arguments: argparse.Namespace) -> int:
    output = _Output()
    try:
        server = StandInServer(
            arguments.host,
            arguments.port,
            arguments.db,
            arguments.token,
            prompts=arguments.prompts,
            log=output.write,
        )
    except OSError as error:
        hint = "; choose another --port" if error.errno == errno.EADDRINUSE else ""
        return _fail(f"cannot listen on {arguments.host} port {arguments.port}: {_reason(error)}{hint}")
    except sqlite3.Error as error:
        return _fail(f"cannot use the database {arguments.db}: {error}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, output.stop)
    for line in _greeting(server, arguments):
        output.write(line)
    trees = _Trees(server.store, output) if arguments.tree else None
    with server:
        while not output.stopped:
            time.sleep(_TICK_SECONDS)
            if trees is not None:
                trees.draw(QUIET_SECONDS)
        if trees is not None:
            trees.draw(0)
    return 0


def _greeting(server: StandInServer, arguments: argparse.Namespace) -> list[str]:
    kept = "in memory only" if arguments.db == ":memory:" else f"in the file {arguments.db}"
    token = "(the value of --token)" if arguments.token else "local"
    source = f"prompts are in {arguments.prompts}" if arguments.prompts else "there are no prompts, see --prompts"
    lines = [f"stand-in CozeLoop server on {server.url}, spans are kept {kept}, {source}; Ctrl-C ends it"]
    if arguments.prompts:
        keys = [quote_name(key) for key in sorted(server.prompts.documents())]
        more = f" and {len(keys) - _MAX_KEYS} more" if len(keys) > _MAX_KEYS else ""
        lines.append(f"prompts: {', '.join(keys[:_MAX_KEYS]) or 'none yet'}{more}")
    return [
        *lines,
        "for the program that is to send its spans here:",
        f"  export COZELOOP_API_BASE_URL={server.url}",
        "  export COZELOOP_WORKSPACE_ID=1",
        f"  export COZELOOP_API_TOKEN={token}",
    ]


class _Output:
    """Whole lines on stdout, from several threads, until a signal comes or nobody reads them any more."""

    def __init__(self) -> None:
        self.stopped = False  # not an Event: a signal handler must not wait for a lock its own thread may hold
        self._lock = threading.Lock()

    def write(self, *lines: str) -> None:
        with self._lock:
            try:
                print("\n".join(lines), flush=True)
            except OSError:
                _forget_stdout()
                self.stopped = True

    def stop(self, *_: object) -> None:
        """End the server; a signal handler."""
        self.stopped = True


class _Trees:
    """Draws each trace once its root has arrived and it has been quiet for a while, and again if more arrives."""

    def __init__(self, store: Store, output: _Output) -> None:
        self._store = store
        self._output = output
        self._row = store.last_row()
        self._restless: dict[str, float] = {}  # trace id -> when spans of it arrived last, in that order

    def draw(self, quiet_seconds: float) -> None:
        now = time.monotonic()
        self._row, changed = self._store.trace_ids_since(self._row)
        for trace_id in changed:
            self._restless.pop(trace_id, None)
            self._restless[trace_id] = now
        quiet = [trace_id for trace_id, since in self._restless.items() if now - since >= quiet_seconds]
        for trace_id in quiet:
            del self._restless[trace_id]  # it comes back with its next span
            spans = self._store.spans(trace_id)
            if has_root(spans):
                self._output.write(*render(spans, color=sys.stdout.isatty()))


# --- traces -----------------------------------------------------------------------------------------------------------


def _traces(arguments: argparse.Namespace) -> int:
    try:
        read = _from_url if arguments.url else _from_db
        found = read(arguments)
    except (OSError, ValueError, RecursionError, http.client.HTTPException, sqlite3.Error) as error:
        return _fail(f"cannot read traces from {arguments.url or arguments.db}: {_reason(error)}")
    if arguments.trace_id and not found:
        return _fail(f"no trace {arguments.trace_id!r} in {arguments.url or arguments.db}")
    color = sys.stdout.isatty()
    if arguments.json:
        lines: Iterable[str] = [json.dumps(found, ensure_ascii=False, indent=2)]
    elif arguments.trace_id:
        lines = render(found, color=color)
    else:
        lines = render_list(found, color=color) if found else ["no traces yet"]
    for line in lines:
        print(line)
    return 0


def _from_db(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if not os.path.isfile(arguments.db):
        raise FileNotFoundError("there is no such file; `python -m cozeloop_lite serve` creates it")
    store = Store(arguments.db, read_only=True)
    try:
        return store.spans(arguments.trace_id) if arguments.trace_id else store.traces(arguments.limit)
    finally:
        store.close()


def _from_url(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    path = f"/api/traces/{quote(arguments.trace_id, safe='')}" if arguments.trace_id else "/api/traces"
    request = urllib.request.Request(f"{arguments.url.rstrip('/')}{path}?limit={arguments.limit}")
    token = os.environ.get("COZELOOP_API_TOKEN")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the server is local
    try:
        with opener.open(request, timeout=_URL_TIMEOUT_SECONDS) as response:
            document = json.loads(response.read().decode("utf-8"))
    except urllib.error.HTTPError as error:
        if error.code == 404 and arguments.trace_id:
            return []
        raise
    found = document.get("spans" if arguments.trace_id else "traces") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError("the answer is not one of a stand-in server")
    return found


# --- failing ----------------------------------------------------------------------------------------------------------


def _fail(message: str) -> int:
    print(f"cozeloop_lite: {message}", file=sys.stderr)
    return 1


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}" + ("; set COZELOOP_API_TOKEN" if error.code == 403 else "")
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return str(reason)


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains about the broken pipe when it exits."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # a stdout without a file behind it has nothing to forget


if __name__ == "__main__":
    sys.exit(main())
