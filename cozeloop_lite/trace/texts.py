"""The texts of a span as they are sent: masked, cut to whole characters, and the files that go in their place.

Run on the thread that sends.
"""

from __future__ import annotations

import json
import re

from .. import logger
from . import media, snapshots
from .content import MASK_MARGIN, file_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection, Mapping, Sequence

    from .encoding import Limits
    from .record import Record

MASK_FAILED = "(masked: the mask failed)"

quote = json.encoder.encode_basestring  # a str as JSON, non-ASCII kept


def cut(text: str, limit: int, name: str, cut_off: list[str]) -> str:
    """``text`` in at most ``limit`` bytes of UTF-8, whole characters; if that cuts it, ``cut_off`` gets ``name``.

    What is short may still have lone surrogates; that is seen to when it is encoded, as all of it is.
    """
    if len(text) * 4 <= limit:
        return text
    if text.isascii():
        if len(text) <= limit:
            return text
        kept = text[:limit]
    else:
        text = clean(text)
        data = text.encode("utf-8")
        if len(data) <= limit:
            return text
        kept = data[:limit].decode("utf-8", "ignore")
    cut_off.append(name)
    return kept


def clean(text: str) -> str:
    """``text`` without lone surrogates, which UTF-8 does not have: pairs are joined, the rest becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def text_json(text: str, limit: int, name: str, cut_off: list[str]) -> bytes:
    """``text`` as JSON in UTF-8: cut as by :func:`cut`, and clean."""
    if len(text) * 4 > limit:
        text = cut(text, limit, name, cut_off)
    try:
        return quote(text).encode()
    except UnicodeEncodeError:
        return quote(clean(text)).encode()


def masked(text: str, limit: int, limits: Limits, name: str, cut_off: list[str]) -> str:
    """``text`` as the mask leaves it; of one that is too long for ``limit`` bytes, ``cut_off`` gets ``name``."""
    if len(text) <= limit + MASK_MARGIN:
        return limits.masked(text)
    cut_off.append(name)
    return _without_end([limits.masked(text[: limit + 1 + MASK_MARGIN])])


def _without_end(pieces: list[str]) -> str:
    """The masked ``pieces`` of a text that is not all there, without what comes last: it may be the beginning of a
    secret, which no mask finds.
    """
    text = "".join(pieces)
    return text if pieces[-1] is MASK_FAILED else text[:-MASK_MARGIN]


class Attached:
    """What goes with the two texts of a span: nothing, with nearly all.

    Attributes:
        storage: the field of the span that tells the platform of its files.
        uploads: the files, by their keys.
        notes: which files are not uploaded, and why.
        cut_off: the names of what was left out.
    """

    storage = ""
    uploads: Mapping[str, bytes] = {}
    notes: Sequence[str] = ()
    cut_off: Sequence[str] = ()


NOTHING = Attached()


class Content(Attached):
    """The texts of a span as they are sent, where they are masked or go up as files, and what goes with them."""

    def __init__(self, record: Record, limits: Limits) -> None:
        _, _, trace_id, span_id, _, _, _, _, given, returned, _, _, extra = record
        texts = {"input": snapshots.text(given), "output": snapshots.text(returned)}
        self._prepare(texts, extra or {}, file_prefix(span_id, trace_id), limits)
        self.input, self.output = texts["input"], texts["output"]

    def _prepare(self, texts: dict[str, str], extra: dict[str, Any], prefix: str, limits: Limits) -> None:
        noted: list[str] = []
        ultra = extra.get("ultra_large_report", limits.ultra_large_report)
        lifters = extra.get("files", {}).copy()  # one C call: a setter that began before the end may come late
        notes = extra.get("notes") or {}
        files = media.Files(prefix) if ultra or lifters else None
        most = limits.text_bytes if limits.mask is None else limits.text_bytes + MASK_MARGIN
        # Those without their end: it was left out when they were set, or is left out here.
        partial = [field for field, text in texts.items() if len(text) > most and (not ultra or field in notes)]
        if not ultra:  # the JSON of a copied value may be longer, and the rest need not be looked at
            texts.update({field: text[: most + 1] for field, text in texts.items()})
        if files is not None:
            for field, lifter in lifters.items():
                texts[field] = files.place(texts[field], lifter.parts)
                noted.extend(lifter.notes)
        if limits.mask is not None:  # after what turned out to be no file was put back
            _mask(texts, limits, lifters, partial)
            self.cut_off = partial
            if files is not None:
                files.mask(limits.masked)
        if files is not None:
            self._split_off(texts, files, limits.text_bytes if ultra else 0, notes)
            noted.extend(files.notes)
        noted.extend(notes.values())
        self.notes = noted

    def _split_off(
        self, texts: dict[str, str], files: media.Files, large_bytes: int, too_large: Collection[str]
    ) -> None:
        for field, text in texts.items():
            if large_bytes and field not in too_large and len(text) * 4 > large_bytes:
                texts[field] = files.large(field, clean(text), large_bytes)
        self.storage, without_room = files.storage()
        for key in without_room:
            for field in texts:
                texts[field] = texts[field].replace(key, "(not uploaded: one file more than a span can have)")
        if without_room:
            logger.warn("a span has more files than the platform can store with it: see its system tag cut_off")
        self.uploads = files.uploads
        self.cut_off = [*self.cut_off, *files.left_out]


def _mask(
    texts: dict[str, str], limits: Limits, lifters: dict[str, media.Lifter], partial: Collection[str]
) -> None:
    """Mask ``texts``, of which the ``partial`` ones are not all there."""
    # Not the keys of files, which the output may share with the input: a mask may take their digits for a secret.
    keys = [part.key for lifter in lifters.values() for part in lifter.parts]
    for field, text in texts.items():
        pieces = re.split("(%s)" % "|".join(keys), text) if keys else [text]
        pieces = [piece if piece in keys or not piece else limits.masked(piece) for piece in pieces]
        texts[field] = _without_end(pieces) if field in partial else "".join(pieces)
