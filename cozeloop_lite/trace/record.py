"""A finished span as it waits to be sent: a plain tuple of what the server is told of it.

Python's garbage collector looks at all objects now and then, on whatever thread it is due, which stands still until it
is done: 30 to 60 ms with a full queue of spans. Tuples of numbers, texts and such tuples it leaves alone once it has
seen them, and the memory of the span is free for the next one. To make the tuple costs the caller 0.3 µs.
"""

from __future__ import annotations

from .media import Lifter
from .tags import COUNT_TAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Final, Optional, Tuple, Union

    from .span import Span

    Snapshot = Union[str, bytes, None]  # see snapshots.py
    Record = Tuple[
        str,  # name
        str,  # span type
        int,  # trace id
        int,  # id
        int,  # id of the parent, 0: none
        int,  # start, ns since the epoch
        int,  # duration, ns; below 0 where the program said so
        int,  # status code
        Snapshot,  # input
        Snapshot,  # output
        Tuple[str, ...],  # the keys of the tags, inherited baggage first
        Tuple[Any, ...],  # their values
        Optional[Dict[str, Any]],  # what few spans have, by name
    ]

# Where in it stands what others than the encoder ask for; Final, so that mypy knows the type at each. The encoder takes
# a record apart in one step, which is faster than three of these.
NAME: Final = 0
PARENT_ID: Final = 4
START_NS: Final = 5

# What is held in memory, measured on CPython 3.7 to 3.13: by a finished span, the place in the queue included; by each
# tag, a number included; by a file, without its content. Texts come on top.
SPAN_BYTES = 350
TAG_BYTES = 60
PART_BYTES = 300

# What baggage, which is text, cannot be: fields of the span, and counts.
_NOT_INHERITED = COUNT_TAGS | {"input", "output"}


def record_of(span: Span) -> Record:
    """What is left of ``span``, which is finished."""
    finish_us, start_ns = span._finish_us, span._start_ns
    keys: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    if span._tags or span._baggage:  # else 0.1 µs less
        # One C call, as is {**a, **b}: another thread may still be adding some, even while a tuple is made of them,
        # since that may begin a garbage collection, and that may run Python.
        tags = _with_inherited(span._baggage, span._tags) if span._baggage else span._tags.copy()
        keys, values = tuple(tags), tuple(tags.values())
    return (
        span._name,
        span._span_type,
        span._trace.id,
        span._id,
        span._parent_id,
        start_ns,
        (finish_us - start_ns // 1000) * 1000 if finish_us else span._duration_ns,
        span._status,
        span._input,
        span._output,
        keys,
        values,
        span._extra,
    )


def weight(record: Record) -> int:
    """The bytes that ``record`` holds in memory, about."""
    name, span_type, _, _, _, _, _, _, given, returned, keys, values, extra = record
    size = SPAN_BYTES + name.__sizeof__() + len(span_type)
    if given is not None:
        size += given.__sizeof__()
    if returned is not None:
        size += returned.__sizeof__()
    if keys:
        size += TAG_BYTES * len(keys) + sum(map(len, keys))
        for value in values:
            if type(value) is str:
                size += value.__sizeof__()
    return size if extra is None else size + _weight_of_extra(extra)


def _weight_of_extra(extra: dict[str, Any]) -> int:
    size = 0
    held: list[Any] = [extra]
    while held:  # not repr(), which fails at long numbers and deep nests
        value = held.pop()
        size += value.__sizeof__()
        kind = type(value)
        if kind is dict:
            now = value.copy()  # one C call: another thread may still be adding some
            size += sum(map(len, now))
            held += now.values()
        elif kind is list:
            held += value
        elif kind is Lifter:
            size += sum(PART_BYTES + len(part.data) for part in value.parts)
            held += value.notes
    return size


def _with_inherited(baggage: dict[str, str], own: dict[str, Any]) -> dict[str, Any]:
    tags: dict[str, Any] = {**baggage, **own}
    for key in _NOT_INHERITED.intersection(baggage):
        if key not in own:
            del tags[key]
    return tags
