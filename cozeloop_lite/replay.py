"""The command ``python -m cozeloop_lite replay``: after an outage, send what a ``spool_dir`` holds, and see it go.

The next client with the same settings does so, too, but beside its own work, and no longer than its program lives.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from . import config, errors, logger
from .api.client import ApiClient
from .terminal import EVERY_SECONDS, Progress, fail
from .trace.backlog import Backlog
from .trace.exporter import SLOWEST_LINE, request_body
from .trace.pace import Pace
from .trace.spool import Spool, destination
from .trace.verdicts import AGAIN, BAD_SPAN, LONGEST_PAUSE, REFUSED_ALL, TAKEN, TOO_LARGE, judge, words

if TYPE_CHECKING:
    from typing import Any, Callable

    from .trace.spool import Record, Taken
    from .trace.uploads import Upload

PATIENCE = 30.0  # seconds
FIRST_PAUSE = 1.0  # seconds; doubles with each failure
MAX_REFUSED = 3  # one after another; if there are more, it is not they that are wrong, but the server or its address
_LARGE = 1024 * 1024  # bytes of a file whose upload may be felt

_EXAMPLES = """\
examples:
  python -m cozeloop_lite replay /var/spool/my-program
  python -m cozeloop_lite replay                           (the folder of COZELOOP_SPOOL_DIR)
  python -m cozeloop_lite replay DIR --patience 600        (wait longer for a server that is down)

What is sent is what was kept for the address and the workspace that the environment names:
COZELOOP_API_BASE_URL, COZELOOP_WORKSPACE_ID, COZELOOP_API_TOKEN (or COZELOOP_JWT_OAUTH_CLIENT_ID,
_PRIVATE_KEY and _PUBLIC_KEY_ID). What a program that still runs is writing is left to that program.
Spans that are over 23 h old cannot be sent any more: the platform would drop them.

The exit code is 0 when nothing is left, 1 when something is left or was lost, 2 for wrong
arguments.
"""


def add(commands: Any) -> None:
    """Add the command to those of the command line."""
    replay = commands.add_parser(
        "replay",
        help="send what a spool_dir holds, after an outage",
        description="Send what programs could not deliver, and kept in a spool_dir.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        default=config.setting(None, config.ENV_SPOOL_DIR) or None,
        help="the spool_dir (default: %s)" % config.ENV_SPOOL_DIR,
    )
    replay.add_argument("--api-base-url", metavar="URL", help="in place of %s" % config.ENV_API_BASE_URL)
    replay.add_argument("--workspace-id", metavar="ID", help="in place of %s" % config.ENV_WORKSPACE_ID)
    replay.add_argument(
        "--patience",
        type=_seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help="give up when the server has taken nothing for so long (default: %(default)g)",
    )
    replay.set_defaults(run=lambda arguments: run(arguments, replay.error))


def run(arguments: argparse.Namespace, usage_error: Callable[[str], Any]) -> int:
    """Send, print what became of it, and return the exit code."""
    if not arguments.folder:
        usage_error("DIR is missing: name the folder, or set %s" % config.ENV_SPOOL_DIR)
    if not os.path.isdir(arguments.folder):
        usage_error("there is no folder %r" % arguments.folder)
    progress = Progress()
    handler = _Handler(progress)
    logger.add_log_handler(handler)
    try:
        workspace, api = config.workspace_and_api(arguments.workspace_id, lambda: ApiClient(arguments.api_base_url))
        replay = Replay(api, workspace, arguments.folder, progress.show)
        try:
            replay.run(arguments.patience)
        finally:
            progress.clear()
        return replay.report()
    except (errors.LoopError, OSError) as problem:
        return fail(str(problem))
    finally:
        logger.logger.removeHandler(handler)


class Replay:
    """Sends what a spool holds for one workspace, on this thread."""

    def __init__(self, api: ApiClient, workspace_id: str, folder: str, show: Callable[[str], None]) -> None:
        self._api = api
        self._params = {"workspace_id": workspace_id}
        self._folder = folder
        self._show = show
        self._spool = _CountedSpool(folder, destination(api.base_url, workspace_id))
        self._backlog = Backlog(self._upload, config.QUEUE_BYTES, self._spool, self._post)
        self._total = self._spool.holds()[1]
        self._spans = self._files = 0  # that the server has taken
        self._say_at = 0.0  # monotonic seconds
        self._problem: BaseException | None = None  # why the last attempt failed
        self._refused = {"span": 0, "file": 0}  # each sent alone, since the server took one of the kind

    def run(self, patience: float) -> None:
        """Send until nothing is left, the server refuses it all, or has taken nothing for ``patience`` seconds."""
        pace, pause, since, sent = Pace(), FIRST_PAUSE, time.monotonic(), 0
        try:
            while True:
                self._backlog.reset()
                self._backlog.server_is_up(True)
                while self._backlog.left_by_others():
                    self._say("")
                    self._backlog.step(pace)
                if self._problem is None or judge(self._problem) == REFUSED_ALL:
                    return
                if self._spans + self._files > sent:
                    pause, since, sent = FIRST_PAUSE, time.monotonic(), self._spans + self._files
                left = since + patience - time.monotonic()
                named = getattr(self._problem, "retry_after", None) or 0.0
                if left <= 0 or named > left:
                    return
                wait = min(max(pause, named), left)
                self._say("; again in %.0f s: %s" % (wait, words(self._problem)))
                self._problem = None
                time.sleep(wait)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self._backlog.release()

    def report(self) -> int:
        """Print what became of it; the exit code."""
        files, size = self._spool.holds()
        others = self._spool.others()
        if not (self._total or files):
            sys.stdout.write("nothing to send in %s for this address and workspace\n" % self._folder)
            if others:
                text = "what is there for others: %s (localhost and 127.0.0.1 are two addresses)"
                return fail(text % _counted(others, "file"))
            return 0
        sent = "sent %s" % self._sent()
        lost = max(0, self._spool.gone - self._spool.put_back - self._spans - self._files)
        if lost:
            sent += "; lost: %d, too old, refused by the server, or unreadable" % lost
        if not files:
            for_others = " for this address and workspace (for others: %s)" % _counted(others, "file") if others else ""
            sys.stdout.write("%s; nothing is left in %s%s\n" % (sent, self._folder, for_others))
            return 1 if lost or self._spool.damaged else 0
        sys.stdout.write("%s; %s are left in %s\n" % (sent, _mebibytes(size), self._folder))
        why = "a program that still runs is writing there, and sends it itself; or it is another user's"
        if self._problem is not None:
            why = words(self._problem)
        if max(self._refused.values()) > MAX_REFUSED:
            why += " (If only some are bad: run it again, which gives up %d more.)" % MAX_REFUSED
        return fail("not all could be sent: %s" % why)

    def _say(self, more: str) -> None:
        if not more and time.monotonic() < self._say_at:  # to look through thousands of files takes long
            return
        self._say_at = time.monotonic() + EVERY_SECONDS
        sent = max(0, self._total - self._spool.holds()[1])
        share = 100 * sent // self._total if self._total else 100
        amount = "%s of %s" % (_mebibytes(sent), _mebibytes(self._total))
        self._show("%3d %%  %s, %s%s" % (share, amount, self._sent(), more))

    def _sent(self) -> str:
        return "%s and %s" % (_counted(self._spans, "span"), _counted(self._files, "file"))

    def _post(self, spans: list[bytes], pace: Pace) -> int:
        body = request_body(spans)
        seconds = self._api.timeout + len(body) / SLOWEST_LINE
        try:
            self._api.request("POST", config.INGEST_PATH, body, timeout=seconds)
        except (errors.LoopError, ImportError) as problem:
            return self._failed(problem, "span" if len(spans) == 1 else "")
        self._spans += len(spans)
        self._refused["span"] = 0
        return TAKEN

    def _upload(self, upload: Upload, pace: Pace) -> float:
        if len(upload.content) > _LARGE:
            self._say("; a file of %s goes up" % _mebibytes(len(upload.content)))
        try:
            self._api.upload_file(
                config.UPLOAD_PATH, upload.content, upload.key, self._params, timeout=self._api.upload_timeout
            )
        except (errors.LoopError, ImportError) as problem:
            return -1 if self._failed(problem, "file") in (BAD_SPAN, TOO_LARGE) else FIRST_PAUSE
        self._files += 1
        self._refused["file"] = 0
        return 0

    def _failed(self, problem: BaseException, kind: str) -> int:
        """What a failed attempt means. ``kind``: of what was sent alone, whose own fault it may be; else ``""``."""
        verdict = judge(problem)
        if verdict == BAD_SPAN and kind:
            self._refused[kind] += 1
            if self._refused[kind] > MAX_REFUSED:
                verdict = AGAIN
        if verdict in (BAD_SPAN, TOO_LARGE):  # those have no meaning for the rest
            logger.warn("the server refuses what is in spool_dir: %s", words(problem))
        else:
            self._problem = problem
        return verdict


class _CountedSpool(Spool):
    """A spool that keeps count of what leaves it."""

    def __init__(self, folder: str, destination: str) -> None:
        super().__init__(folder, destination, sys.maxsize)  # what is put back was there before
        self.put_back = 0
        self._all_taken: list[tuple[Taken, int]] = []

    @property
    def gone(self) -> int:
        """How many spans and files are no longer where they were."""
        return sum(count - len(taken) for taken, count in self._all_taken)

    @property
    def damaged(self) -> bool:
        """Whether something could not be read; it was logged."""
        return any(taken._torn for taken, _ in self._all_taken)

    def take(self) -> Taken | None:
        taken = super().take()
        if taken is not None:
            self._all_taken.append((taken, len(taken)))
        return taken

    def write(self, records: list[Record]) -> bool:
        kept = super().write(records)
        if kept:
            self.put_back += len(records)
        return kept

    def others(self) -> int:
        """How many files there are for other destinations."""
        paths = [path for path in self._paths() if not path.endswith(".aside")]
        return sum(not os.path.basename(path).startswith(self._prefix) for path in paths)

    def holds(self) -> tuple[int, int]:
        """How many files there are for the destination, and their bytes."""
        sizes = []
        for path in self._paths():
            if os.path.basename(path).startswith(self._prefix) and not path.endswith(".aside"):
                try:
                    sizes.append(os.stat(path).st_size)
                except OSError:  # another process was done with it
                    pass
        return len(sizes), sum(sizes)


class _Handler(logging.Handler):
    """What is logged meanwhile, on stderr, without the line of progress getting into it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.clear()
        sys.stderr.write(self.format(record) + "\n")


def _counted(count: int, noun: str) -> str:
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")


def _mebibytes(count: int) -> str:
    return "%.1f MiB" % (count / 1024 / 1024)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not a number of seconds" % text)
    return value
