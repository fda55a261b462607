"""The command ``python -m cozeloop_lite check``: its arguments, and its output for people and for machines."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING

from .. import logger
from ..terminal import has_colors

if TYPE_CHECKING:
    from typing import Any

LONGEST_TIMEOUT = 600.0  # seconds

_EXAMPLES = """\
examples:
  python -m cozeloop_lite check
  python -m cozeloop_lite check --no-span
  python -m cozeloop_lite check --api-base-url http://localhost:8888 --workspace-id 1
  python -m cozeloop_lite check --json | jq '.steps[] | select(.status == "failed")'

What is configured comes from the environment: COZELOOP_API_BASE_URL, COZELOOP_WORKSPACE_ID,
COZELOOP_API_TOKEN (or COZELOOP_JWT_OAUTH_CLIENT_ID, _PRIVATE_KEY and _PUBLIC_KEY_ID). There is no
argument for the token: everybody on the machine can read the arguments of a process.

The exit code is 0 when nothing failed, 1 when something did, 2 for wrong arguments.
"""


def add(commands: Any) -> None:
    """Add the command to those of the command line."""
    check = commands.add_parser(
        "check",
        help="say what is wrong with a setup",
        description="Go from the settings to a span that arrives, one step at a time, and say what is wrong.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("--api-base-url", metavar="URL", help="in place of COZELOOP_API_BASE_URL")
    check.add_argument("--workspace-id", metavar="ID", help="in place of COZELOOP_WORKSPACE_ID")
    check.add_argument(
        "--timeout",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="for one step; the whole check takes at most six times as long (default: %(default)g)",
    )
    check.add_argument("--no-span", action="store_true", help="ask only, send no test span")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the exit code."""
    from .subject import check_environment

    logger.add_log_handler(logging.NullHandler())  # what would be logged is in the report
    report = check_environment(
        arguments.api_base_url,
        arguments.workspace_id,
        send_span=not arguments.no_span,
        timeout=arguments.timeout,
    )
    if arguments.json:
        text = json.dumps(report.to_dict(), indent=2)
    else:
        text = report.text(color=has_colors(), symbols=_has_symbols())
    sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST_TIMEOUT:
        raise argparse.ArgumentTypeError("%r is not a number of seconds from 0 to %d" % (text, LONGEST_TIMEOUT))
    return value


def _has_symbols() -> bool:
    try:
        "✓✗–→".encode(sys.stdout.encoding or "ascii")
        return True
    except (LookupError, UnicodeError):
        return False
