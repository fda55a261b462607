"""The command line: ``python -m cozeloop_lite serve``, ``... traces``, ``... check`` and ``... replay``.

For the developer who has no CozeLoop account at hand: a server to send spans to, and a look at what arrived. For the
one who has, and whose spans do not arrive: what is wrong. After an outage: what it left behind is sent.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from . import __version__, replay
from .check import command
from .local import StandInServer, sqlite_reasons, traces_command
from .local.api import MAX_SPANS
from .local.archive import Archive
from .local.binding import quote as quote_name
from .local.store import DEFAULT_DB
from .local.traces_command import QUIET_SECONDS, positive, reason
from .local.tree import has_root, render
from .terminal import fail, has_colors

if TYPE_CHECKING:
    from typing import Any, Sequence

    from .local.store import Store

DEFAULT_MB = 1024  # of spans and files
DEFAULT_PORT = 8888  # of the self-hosted platform, contract backend.md 1.1
_TICK_SECONDS = 0.2
_MAX_WAITING = 1000  # texts that nobody has read
_CLOSE_SECONDS = 1.0
_MAX_KEYS = 10  # of prompts, in the greeting

_INTERRUPTED = 130  # the exit code of what Ctrl-C ended, as shells have it

_EXAMPLES = """\
examples:
  python -m cozeloop_lite serve --tree      a server on this machine that draws what arrives
  python -m cozeloop_lite traces            what it has stored
  python -m cozeloop_lite check             what is wrong, when no spans arrive
  python -m cozeloop_lite replay DIR        send what the spool_dir of a program holds

`python -m cozeloop_lite COMMAND --help` tells the rest. Installed by pip, the command is also
`cozeloop-lite COMMAND`.

environment variables, which programs with this package read as well:
  COZELOOP_API_BASE_URL            where the platform is (default: https://api.coze.cn)
  COZELOOP_WORKSPACE_ID            the workspace: the number in the address of its page
  COZELOOP_API_TOKEN               an access token; or, of an OAuth application,
  COZELOOP_JWT_OAUTH_CLIENT_ID     its id,
  COZELOOP_JWT_OAUTH_PRIVATE_KEY   its private key, as PEM,
  COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID the fingerprint of its public key
  COZELOOP_REQUEST_TIMEOUT         milliseconds that a request may take (default: 3000)
  COZELOOP_SPOOL_DIR               where spans wait that could not be delivered (spool_dir)
  COZELOOP_SCENE                   the scene of spans that name none (default: custom)
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE   as for other programs
  NO_COLOR                         if set, nothing is coloured

exit codes:
  0    done; of check: nothing failed; of replay: nothing is left
  1    it failed, and the output says why
  2    wrong arguments
  130  ended by Ctrl-C (serve: 0)
"""

_SERVE_EXAMPLES = """\
examples:
  python -m cozeloop_lite serve
  python -m cozeloop_lite serve --tree
  python -m cozeloop_lite serve --port 0 --db :memory:     (a free port, nothing kept)
  python -m cozeloop_lite serve --prompts examples/prompts
  python -m cozeloop_lite serve --host 0.0.0.0 --keep-days 7     (for others, with the token it prints)

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this, as some schedulers and pythonw do
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
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
    except OSError as error:  # of stdout; what else can fail, the commands tell themselves
        _forget_stdout()
        return fail(f"cannot write the output: {reason(error)}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m " + (__package__ or "cozeloop_lite"),  # vendored, it has another name
        description="Tools for developing with CozeLoop, and without its server.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cozeloop_lite {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands.required = True
    _add_serve(commands)
    traces_command.add(commands)
    command.add(commands)
    replay.add(commands)
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
    serve.add_argument("--db", "--store", metavar="FILE", default=DEFAULT_DB, help="sqlite file (default: %(default)s)")
    serve.add_argument("--keep-days", type=positive, metavar="N", help="forget what is older (default: keep it)")
    keep = "forget the oldest above so many MiB (default: %(default)s)"
    serve.add_argument("--keep-mb", type=positive, metavar="N", default=DEFAULT_MB, help=keep)
    serve.add_argument(
        "--token",
        metavar="T",
        help="the only API token to accept (default: any; with a --host that others can reach, one is made)",
    )
    serve.add_argument("--prompts", metavar="DIR", type=_folder, help="folder of the prompts to serve (default: none)")
    serve.add_argument("--tree", action="store_true", help="draw each trace as a tree when it is complete")
    serve.set_defaults(run=_serve)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _folder(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return text


# --- serve ------------------------------------------------------------------------------------------------------------


def _serve(arguments: argparse.Namespace) -> int:
    import sqlite3

    output = _Output()
    try:
        server = StandInServer(
            arguments.host,
            arguments.port,
            arguments.db,
            arguments.token,
            prompts=arguments.prompts,
            keep_days=arguments.keep_days,
            keep_mb=arguments.keep_mb,
            log=output.write,
        )
    except OSError as error:
        hint = "; choose another --port" if error.errno == errno.EADDRINUSE else ""
        return fail(f"cannot listen on {arguments.host} port {arguments.port}: {reason(error)}{hint}")
    except sqlite3.Error as error:
        return fail(f"cannot use the database {arguments.db}: {sqlite_reasons.reason(error)}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, output.stop)
    for line in _greeting(server, arguments):
        output.write(line)
    trees = _Trees(server.store, output) if arguments.tree else None
    with server:
        while not output.stopped:
            time.sleep(_TICK_SECONDS)
            server.store.tidy()
            if trees is not None:
                trees.draw(QUIET_SECONDS)
        if trees is not None:
            trees.draw(0)
    output.close()
    return 0


def _greeting(server: StandInServer, arguments: argparse.Namespace) -> list[str]:
    kept = "in memory only" if arguments.db == ":memory:" else f"in the file {arguments.db}"
    token = "'(the value of --token)'" if arguments.token else server.token or "local"  # quoted: for a shell
    enter = f"?token={server.token}" if server.token and not arguments.token else ""
    source = f"prompts are in {arguments.prompts}" if arguments.prompts else "there are no prompts, see --prompts"
    lines = [f"stand-in CozeLoop server on {server.url}, spans are kept {kept}, {source}; Ctrl-C ends it"]
    if arguments.prompts:
        keys = [quote_name(key) for key in sorted(server.prompts.documents())]
        more = f" and {len(keys) - _MAX_KEYS} more" if len(keys) > _MAX_KEYS else ""
        lines.append(f"prompts: {', '.join(keys[:_MAX_KEYS]) or 'none yet'}{more}")
    if arguments.host in ("0.0.0.0", "::"):
        lines.append(f"for other machines: port {server.port} of the address that they know this one by")
    return [
        *lines,
        f"in a browser: {server.url}/{enter or ('?token=(the value of --token)' if arguments.token else '')}",
        "for the program that is to send its spans here:",
        f"  export COZELOOP_API_BASE_URL={server.url}",
        "  export COZELOOP_WORKSPACE_ID=1",
        f"  export COZELOOP_API_TOKEN={token}",
    ]


class _Output:
    """Whole lines on stdout, from several threads, until a signal comes or nobody reads them any more.

    A thread of its own writes them: who stops reading a pipe, and leaves it open, must not hold up the server. What he
    then misses is counted, and said when he goes on.
    """

    def __init__(self) -> None:
        self.stopped = False  # not an Event: a signal handler must not wait for a lock its own thread may hold
        self._texts: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._left_out = 0
        self._thread = threading.Thread(target=self._print, daemon=True)
        self._thread.start()

    def write(self, *lines: str) -> None:
        try:
            self._texts.put_nowait("\n".join(lines))
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Write what is left, if somebody reads it."""
        with contextlib.suppress(queue.Full):
            self._texts.put_nowait(None)
        self._thread.join(_CLOSE_SECONDS)

    def _print(self) -> None:
        for text in iter(self._texts.get, None):
            left_out, self._left_out = self._left_out, 0
            try:
                if left_out:
                    print(f"({left_out} messages left out, since nobody read them)")
                print(text, flush=True)
            except OSError:
                _forget_stdout()
                self.stopped = True
                return

    def stop(self, *_: object) -> None:
        """End the server; a signal handler."""
        self.stopped = True


_ROOTLESS = 5  # times as long as one with a root, a trace without is waited for


class _Trees:
    """Draws each trace once its root has arrived and it has been quiet for a while, and again if more arrives.

    One whose root does not arrive, since it began in a service that reports elsewhere, is drawn when that is plain.
    """

    def __init__(self, store: Store, output: _Output) -> None:
        self._store = store
        self._archive = Archive(store)
        self._output = output
        self._database = store.name
        self._change = store.last_change()
        self._restless: dict[str, float] = {}  # trace id -> when spans of it arrived last, in that order

    def draw(self, quiet_seconds: float) -> None:
        import sqlite3

        now = time.monotonic()
        if self._store.name != self._database:  # it was removed; the one in its place counts from 0
            self._database, self._change = self._store.name, 0
        self._change, changed = self._store.changed_since(self._change)
        for trace_id in changed:
            self._restless.pop(trace_id, None)
            self._restless[trace_id] = now
        for trace_id, since in list(self._restless.items()):
            if now - since < quiet_seconds:
                continue
            try:
                found = self._archive.trace(trace_id, MAX_SPANS)  # without inputs and outputs, which may be gigabytes
            except sqlite3.Error:  # the folder of the database is away, perhaps not for long
                return
            spans = found["spans"] if found else []  # none: it has been forgotten
            if has_root(spans) or now - since >= quiet_seconds * _ROOTLESS:
                del self._restless[trace_id]  # it comes back with its next span
                self._output.write(*render(spans, color=has_colors()))


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains about the broken pipe when it exits."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # a stdout without a file behind it has nothing to forget


if __name__ == "__main__":
    sys.exit(main())
