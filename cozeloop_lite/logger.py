"""The package's one logger, and the rule that the same message is logged at most once a minute.

Everything goes to the logger ``cozeloop_lite``; each message begins with ``[cozeloop]``. The package adds no handler:
a program that configured logging decides where messages go, and in one that did not, Python's last-resort handler
shows warnings on stderr. Nothing is ever printed on stdout.
"""

from __future__ import annotations

import logging
import time

__all__ = ["add_log_handler", "logger", "set_log_level"]

logger = logging.getLogger("cozeloop_lite")

_EVERY_SECONDS = 60.0
# template -> [when it was last logged (monotonic seconds), how many were held back since]. Templates are constants
# of this package, so the dict is as small as the package.
_logged: dict[str, list[float]] = {}


def set_log_level(level: int) -> None:
    """Set the level of the logger ``cozeloop_lite`` (``logging.DEBUG`` ...; by default that of the root logger)."""
    logger.setLevel(level)


def add_log_handler(handler: logging.Handler) -> None:
    """Send the package's messages to ``handler`` as well."""
    logger.addHandler(handler)


def warn(template: str, *args: object) -> None:
    """Log a warning, at most once a minute for one ``template``; the next one says how many were held back."""
    _limited(logging.WARNING, template, args)


def error(template: str, *args: object) -> None:
    """Log an error, under the same rule as :func:`warn`."""
    _limited(logging.ERROR, template, args)


def say(level: int, template: str, *args: object) -> None:
    """Log without the once-a-minute rule, for what happens once in a process's life. Never raises."""
    try:
        logger.log(level, "[cozeloop] " + template, *args)
    except Exception:  # noqa: BLE001, S110 - a filter or handler of the host failed: nowhere is left to say so
        pass


def _limited(level: int, template: str, args: tuple[object, ...]) -> None:
    if not logger.isEnabledFor(level):
        return
    now = time.monotonic()
    entry = _logged.get(template)
    if entry is not None and now - entry[0] < _EVERY_SECONDS:
        entry[1] += 1  # two threads may lose one of these counts: it is said in a log line, not kept in the books
        return
    held_back = int(entry[1]) if entry is not None else 0
    _logged[template] = [now, 0]
    if held_back:
        say(level, template + " (%d more like this in the last minutes)", *args, held_back)
    else:
        say(level, template, *args)
