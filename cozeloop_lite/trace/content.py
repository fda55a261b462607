"""The input and output of a span: their snapshot, and what of them is to go up as files."""

from __future__ import annotations

from .. import logger
from . import media, snapshots, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .span import Span

MASK_MARGIN = 4096  # characters that a mask is given beyond those that are sent: it must see what the cut goes through


def snapshot(span: Span, field: str, value: Any) -> str | bytes | None:
    """A copy of ``value`` for ``field`` (``"input"`` or ``"output"``); its files are kept with the span.

    It is text, or bytes that :func:`snapshots.text` turns into text on the thread that sends; None for None.
    """
    limit = chars = span._owner.text_chars
    extra = span._extra
    ultra = span._owner.ultra_large_report
    if extra is not None:
        ultra = extra.get("ultra_large_report", ultra)
        for kept in ("files", "notes"):  # of what was set before
            if kept in extra:
                extra[kept].pop(field, None)
    if ultra:
        limit = type(chars)(media.MAX_FILE_BYTES)
    kind = type(value)
    if kind is dict or kind is list:
        copy = snapshots.plain_copy(value, limit)
        if copy is not None:
            return copy
    if kind is str:
        text: str | None = value
    elif issubclass(kind, str) or media.has_none(value):  # isinstance() would ask the object, which may fail
        text = values.to_text(value, limit)
    else:
        text = values.to_text(_without_files(span, field, value), limit)
    if text is not None and len(text) > limit:
        if limit > chars:
            notes = span._extras().setdefault("notes", {})
            notes[field] = "%s: more than the %d bytes of a file" % (field, limit)
        return text[:chars]  # nobody will look at the rest, so it is not kept in memory
    return text


def _without_files(span: Span, field: str, value: Any) -> Any:
    lifter = media.Lifter(field, lambda: file_prefix(span._id, span._trace.id))
    try:
        value = lifter.lift(value)
    except Exception as problem:  # noqa: BLE001 - a foreign object that fails when it is looked at
        logger.warn("the files in an %s are not uploaded: %r", field, problem)
    if lifter.parts or lifter.notes:
        span._extras().setdefault("files", {})[field] = lifter
    return value


def allowed(name: str, value: Any) -> bool:
    """Whether an argument allows to record or to trust. A text, be it ``"false"``, is a mistake, and means no."""
    if issubclass(type(value), (str, bytes)):
        logger.warn(name + " takes True or False, not %s: it is taken for False", values.describe(value))
        return False
    return bool(value)


def lighten(span: Span) -> None:
    """Leave the files of ``span`` out, since there is no room for them, and say so on it."""
    extra = span._extra or {}
    lifters = extra.get("files", {}).copy()  # one C call: another thread may still be adding one
    ultra = extra.get("ultra_large_report", span._owner.ultra_large_report)
    if not lifters and not ultra:
        return
    logger.warn("too many bytes wait to be sent: a span goes without its files")
    for field, lifter in lifters.items():
        for part in lifter.parts:
            part.data = ""
        lifter.notes.append("%s: its files, since too many bytes waited already" % field)
    if ultra:
        span._extras()["ultra_large_report"] = False
    chars = span._owner.text_chars
    span._input = span._input and snapshots.text(span._input)[:chars]
    span._output = span._output and snapshots.text(span._output)[:chars]


def file_prefix(span_id: int, trace_id: int) -> str:
    """What the keys of a span's files begin with: unique in the workspace, and short (contract backend.md 2.6)."""
    return "%016x%08x" % (span_id, trace_id & 0xFFFFFFFF)
