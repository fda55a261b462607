"""What web frameworks tell of a request, each in its own way: the route that matched, and the failures they caught.

Flask and Django answer a failure with a page, and no exception leaves the application; but before, they send a signal.
No framework is imported here: one that is at work has been.
"""

from __future__ import annotations

import sys

from .. import logger
from ..trace import failure, values
from . import incoming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_ROUTE_CHARS = 1000

# Where frameworks leave what matched: the key in the environ, and the way to the pattern from there.
_IN_ENVIRON = (("werkzeug.request", ("url_rule", "rule")), ("bottle.route", ("rule",)))
_SIGNALLING = ("flask", "django.core.signals")  # modules with a signal got_request_exception ...
_heard: set[str] = set()  # ... and those whose signal is listened to


def route_of(environ: dict[str, Any]) -> str | None:
    """The pattern that Flask or Bottle found the path to match; None when they do not tell."""
    for key, names in _IN_ENVIRON:
        found = environ.get(key)
        for name in names:
            found = getattr(found, name, None)
        if found and isinstance(found, str):
            return found[:MAX_ROUTE_CHARS]
    return None


def route_behind(body: Any) -> str | None:
    """The same of Django, which tells it to nobody; but its answer has what closes the request, a method of it."""
    for close in getattr(body, "_resource_closers", None) or ():
        match = getattr(getattr(close, "__self__", None), "resolver_match", None)
        route = getattr(match, "route", None)
        if route and isinstance(route, str):
            return "/" + route.lstrip("^")[:MAX_ROUTE_CHARS]
    return None


def listen() -> None:
    """Hear of the failures that the frameworks catch which are loaded by now. Never raises."""
    for name in _SIGNALLING:
        if name in _heard:
            continue
        try:
            signal = getattr(sys.modules.get(name), "got_request_exception", None)
            if signal is None:  # not loaded, or in the middle of that
                continue
            _heard.add(name)
            signal.connect(_failed)
        except Exception:  # noqa: BLE001, S110 - Flask 2.2 and before, without blinker: there is the status
            pass


def _failed(sender: Any = None, exception: BaseException | None = None, **about: Any) -> None:
    """A framework caught ``exception`` (Flask), or what is being handled (Django). Never raises."""
    try:
        span = incoming.request_span()
        error = exception if exception is not None else sys.exc_info()[1]
        if span is not None and isinstance(error, BaseException):
            failure.record(span, error)
    except Exception as problem:  # noqa: BLE001 - it would become the framework's own failure
        logger.warn("the failure of a request is not recorded: %s", values.describe(problem))
