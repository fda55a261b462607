"""What callers give in questions about traces, checked: ids, times, and values whose Python type says what they are.

The platform answers a wrong id with nothing found and a wrong type with a general refusal; here the error names the
argument.
"""

from __future__ import annotations

import re
from datetime import datetime
from math import isfinite
from time import time

from .. import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union

    Time = Union[datetime, int]
    Value = Union[str, bool, int, float]

DEFAULT_WINDOW_MS = 7 * 24 * 3_600_000
AHEAD_MS = 3_600_000  # how far in the future a span may start, contract backend.md 2.2
_FEWEST_MS = 100_000_000_000  # ms: 1973. As seconds it would be the year 5138
_INT64 = 1 << 63

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}\Z")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}\Z")


def trace_id(value: Any) -> str:
    """32 hex digits, in whatever case; as the platform writes them."""
    return _id("trace_id", value, _TRACE_ID, 32)


def span_id(value: Any) -> str:
    """16 hex digits."""
    return _id("span_id", value, _SPAN_ID, 16)


def _id(name: str, value: Any, pattern: re.Pattern[str], digits: int) -> str:
    if isinstance(value, str) and pattern.match(str.lower(value)):
        return str.lower(value)
    hint = ""
    if value == "":
        hint = ": the span records nothing, or its program never started one"
    raise errors.InvalidParamError(
        "%s must be %d hexadecimal digits, not all 0, not %s%s" % (name, digits, shown(value), hint)
    )


def text(name: str, value: Any) -> str:
    """Text that can be sent."""
    if not isinstance(value, str):
        raise errors.InvalidParamError("%s must be a str, not %s" % (name, shown(value)))
    plain: str = str.__str__(value)
    try:
        plain.encode("utf-8")
    except UnicodeEncodeError:
        raise errors.InvalidParamError("%s contains half of a surrogate pair, which is no text" % name) from None
    return plain


def filled(name: str, value: Any) -> str:
    """Text with something in it."""
    checked = text(name, value)
    if not checked.strip():
        raise errors.InvalidParamError("%s must not be empty" % name)
    return checked


def typed(name: str, value: Any) -> tuple[str, str]:
    """``value`` as text, and the platform's name for its type (contract backend.md 8.1, 8.2)."""
    if isinstance(value, bool):
        return ("true" if value else "false"), "bool"
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise errors.InvalidParamError("%s must fit into 64 bits; give it as a float or a str" % name)
        return int.__repr__(value), "long"
    if isinstance(value, float):
        if not isfinite(value):
            raise errors.InvalidParamError("%s must be a finite number, not %r" % (name, value))
        return float.__repr__(value), "double"
    if isinstance(value, str):
        return text(name, value), "string"
    raise errors.InvalidParamError("%s must be a str, bool, int or float, not %s" % (name, shown(value)))


def window(start_time: Time | None, end_time: Time | None) -> tuple[int, int]:
    """First and last ms of a search; by default the last 7 days, and what clocks that are ahead have written."""
    end = int(time() * 1000) + AHEAD_MS if end_time is None else _milliseconds("end_time", end_time)
    start = end - DEFAULT_WINDOW_MS if start_time is None else _milliseconds("start_time", start_time)
    if start > end:
        raise errors.InvalidParamError("start_time must not be after end_time")
    return max(1, start), end


def _milliseconds(name: str, value: Any) -> int:
    if isinstance(value, datetime):
        try:
            return max(1, round(value.timestamp() * 1000))  # one without a time zone is in local time
        except (OverflowError, OSError, ValueError):
            raise errors.InvalidParamError("%s is no time that this machine knows" % name) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.InvalidParamError("%s must be a datetime or an int of ms, not %s" % (name, shown(value)))
    if not _FEWEST_MS <= value < _INT64:
        raise errors.InvalidParamError(
            "%s must be a datetime, or ms since 1970 such as 1750000000000: a number of seconds is none" % name
        )
    return int(value)


def shown(value: Any) -> str:
    """What was given, as far as an error needs it: a foreign object may be huge, or fail when it is asked."""
    return repr(str.__str__(value)[:60]) if isinstance(value, str) else type(value).__name__
