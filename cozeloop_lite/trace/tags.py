"""The tags of a span: which have a type of their own, and how many are kept until it is sent."""

from __future__ import annotations

import operator

from .. import logger
from . import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from .span import Span

MAX_TAGS = 50  # contract backend.md 2.3
# Tags with a place of their own, and the type each must have (contract siblings.md 2.3).
TEXT_TAGS = frozenset(["user_id", "message_id", "thread_id"])
COUNT_TAGS = frozenset(["input_tokens", "output_tokens", "tokens", "start_time_first_resp", "latency_first_resp"])
FIRST_TAGS = TEXT_TAGS | COUNT_TAGS | {"error"}
MAX_COUNT = (1 << 63) - 1  # the platform has a signed integer of 64 bits, contract backend.md 2
_CHECKED = TEXT_TAGS | COUNT_TAGS | {"input", "output"}
_AS_THEY_ARE = frozenset([bool, int, float])
_MOST = MAX_TAGS + len(FIRST_TAGS)


def put(span: Span, key: Any, value: Any) -> None:
    """Set one tag of a span that is recording; ``None`` is absence. Never raises."""
    if type(key) is not str:
        key = values.error_text(key)
    kind = type(value)
    if key in _CHECKED:
        if kind is not int or not 0 <= value <= MAX_COUNT or key not in COUNT_TAGS:  # else it is a count: usual
            value = _checked(span, key, value)
    elif kind not in _AS_THEY_ARE:
        value = values.tag_value(value, span._owner.tag_chars)
    if value is None:
        return
    tags = span._tags
    # Once there are 50 ordinary tags, a further one is only of interest by its name: it is kept out of memory.
    if len(tags) >= _MOST and key not in tags and key not in FIRST_TAGS:
        left_out = span._extras().setdefault("left_out", [])
        if len(left_out) < MAX_TAGS:
            left_out.append(key)
        return
    tags[key] = value


def put_all(span: Span, given: Mapping[Any, Any]) -> None:
    """:func:`put` for each; in three quarters of the time, where a tag needs no looking at."""
    tags, chars = span._tags, span._owner.tag_chars
    for key, value in list(given.items()):
        kind = type(value)
        if (
            (kind in _AS_THEY_ARE or (kind is str and len(value) <= chars))
            and type(key) is str
            and key not in _CHECKED
            and len(tags) < MAX_TAGS
        ):
            tags[key] = value
        else:
            put(span, key, value)


def _checked(span: Span, key: str, value: Any) -> Any:
    """The snapshot of a tag that must have a certain type; None when it is not to be set."""
    if key == "input":
        span.set_input(value)
        return None
    if key == "output":
        span.set_output(value)
        return None
    if value is None:
        return None
    if key in TEXT_TAGS:
        if issubclass(type(value), str):
            return values.tag_value(value, span._owner.tag_chars)
        logger.warn("the tag " + key + " takes a str, not %s: it was not set", values.describe(value))
        return None
    number = as_int(value)
    if number is None or not 0 <= number <= MAX_COUNT:  # of negative ones the server makes 0 (contract backend.md 2.2)
        text = " takes an int from 0 to 2**63 - 1, not %s: it was not set"
        logger.warn("the tag " + key + text, values.describe(value))
        return None
    return number


def as_int(value: Any) -> int | None:
    """An exact int of ``value``; numpy's integers are some, bool and float are none."""
    if type(value) is int:
        return value
    try:
        return None if isinstance(value, bool) else int(operator.index(value))
    except Exception:  # noqa: BLE001 - no integer, or a hostile one
        return None
