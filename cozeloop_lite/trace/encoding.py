"""A finished span becomes the JSON that the platform takes. Pure functions, run on the daemon thread.

What the server would cut, drop or zero in silence is cut here, on character boundaries, and named in the system tag
``cut_off`` (contract backend.md 2.2 and 2.3, siblings.md 2.4 to 2.6).
"""

from __future__ import annotations

import json
import os
import re

from .. import __version__, logger
from . import media, values
from .content import file_prefix
from .span import RUNTIME_KEYS
from .tags import COUNT_TAGS, FIRST_TAGS, MAX_TAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Container

    from .span import Span

# Bytes of UTF-8, contract backend.md 2.3.
NAME_BYTES = 1024
KEY_BYTES = 100
VALUE_BYTES = 1024
TEXT_BYTES = 1_048_576
MAX_SPAN_BYTES = 4 * 1024 * 1024 - 64  # of JSON: with its envelope, a request of 4 MiB (backend.md 2.1)

_INT64 = 1 << 63
# What baggage, which is text, cannot be: fields of the span, and counts.
_NOT_INHERITED = COUNT_TAGS | {"input", "output"}
_OUR_SYSTEM_TAGS = frozenset(["runtime", "cut_off"])

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


MASK_FAILED = "(masked: the mask failed)"


class Limits:
    """What bounds a span: its workspace, the bytes of a tag value and of an input or output, and the mask."""

    def __init__(
        self,
        workspace_id: str,
        value_bytes: int = 0,
        text_bytes: int = 0,
        ultra_large_report: bool = False,
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self.workspace_id = workspace_id
        self.ultra_large_report = ultra_large_report
        self.mask = mask
        self.value_bytes = value_bytes if value_bytes > 0 else VALUE_BYTES
        self.text_bytes = text_bytes if text_bytes > 0 else TEXT_BYTES
        # A text of more characters than it may have bytes is cut for certain; one more shows that there was more.
        self.tag_chars = self.value_bytes + 1
        self.text_chars = self.text_bytes + 1


    def masked(self, text: str) -> str:
        """``text`` as it may leave the process. A mask that fails lets nothing through."""
        if self.mask is None:
            return text
        try:
            masked = self.mask(text)
        except BaseException as problem:  # noqa: BLE001 - not even SystemExit may end the daemon thread
            kind = type(problem).__name__
            logger.error("the mask failed, a placeholder is sent instead of what it was given: %s", kind)
            return MASK_FAILED
        return masked if isinstance(masked, str) else MASK_FAILED


def encode(span: Span, limits: Limits, uploads: dict[str, bytes] | None = None) -> bytes:
    """The JSON object of one finished span, in UTF-8, of at most ``MAX_SPAN_BYTES``.

    Its files are added to ``uploads``, by their keys.
    """
    content = Content(span, limits)
    if uploads is not None:
        uploads.update(content.uploads)
    while True:
        fields = wire(span, limits, content)
        data = _json(fields).encode("utf-8")
        if len(data) <= MAX_SPAN_BYTES:
            return data
        limits = _narrower(limits, fields, len(data))


def _narrower(limits: Limits, fields: dict[str, Any], size: int) -> Limits:
    """What to cut to when the JSON is too long: escaping made more of the texts (a control character is six bytes of
    JSON), or the limits were configured that high. Input and output pay first."""
    texts = [fields["input"], fields["output"]]
    texts_size = len(_json(texts).encode("utf-8"))
    room = MAX_SPAN_BYTES - (size - texts_size)
    if room < MAX_SPAN_BYTES // 8:
        return Limits(limits.workspace_id, limits.value_bytes // 2, limits.text_bytes, mask=limits.mask)
    longest = max(len(text.encode("utf-8")) for text in texts)
    return Limits(
        limits.workspace_id, limits.value_bytes, int(longest * 0.98 * room / texts_size), mask=limits.mask
    )


def wire(span: Span, limits: Limits, content: Content | None = None) -> dict[str, Any]:
    """The object of one finished span (contract siblings.md 2.6: exactly these keys)."""
    content = content or Content(span, limits)
    cut_off: list[str] = list(content.cut_off)
    start_us = span._start_ns // 1000
    duration_us = span._finish_us - start_us if span._finish_us else span._duration_ns // 1000
    extra = span._extra or {}
    tags = _Typed(_bounded_tags(span, start_us, extra, content.notes, cut_off), limits, limits.value_bytes, cut_off)
    name = _cut(span._name or "unknown", NAME_BYTES, "span_name", cut_off)
    span_type = _cut(span._span_type or "unknown", NAME_BYTES, "span_type", cut_off)
    shown_input = _cut(content.texts["input"], limits.text_bytes, "input", cut_off)
    shown_output = _cut(content.texts["output"], limits.text_bytes, "output", cut_off)
    log_id = _cut(extra.get("log_id", ""), NAME_BYTES, "log_id", cut_off)
    service_name = _cut(extra.get("service_name", ""), NAME_BYTES, "service_name", cut_off)
    system = _Typed(_bounded_system_tags(extra, cut_off), limits, VALUE_BYTES, cut_off)
    system.strings.update(system.bools_as_text())
    system.strings["runtime"] = _runtime(extra.get("runtime") or {}, cut_off)
    if cut_off:
        system.strings["cut_off"] = _names(cut_off)
    return {
        "started_at_micros": start_us,
        "log_id": log_id,
        "span_id": "%016x" % span._id,
        "parent_id": "%016x" % span._parent_id if span._parent_id else "0",
        "trace_id": "%032x" % span._trace.id,
        "duration_micros": max(0, duration_us),
        "service_name": service_name,
        "workspace_id": limits.workspace_id,
        "span_name": name,
        "span_type": span_type,
        "status_code": span._status,
        "input": shown_input,
        "output": shown_output,
        "object_storage": content.storage,
        "system_tags_string": system.strings,
        "system_tags_long": system.longs,
        "system_tags_double": system.doubles,
        "tags_string": tags.strings,
        "tags_long": tags.longs,
        "tags_double": tags.doubles,
        "tags_bool": tags.bools,
    }


def _bounded_tags(
    span: Span, start_us: int, extra: dict[str, Any], notes: list[str], cut_off: list[str]
) -> dict[str, Any]:
    """At most 50 tags: inherited baggage, the span's own, what follows from them. The last ordinary ones give way."""
    tags: dict[str, Any] = {**span._baggage, **span._tags}  # one C call: the program may still be writing
    for key in _NOT_INHERITED.intersection(span._baggage):
        if key not in span._tags:
            del tags[key]
    if notes:
        tags["not_uploaded"] = "; ".join(notes)
    first_resp = tags.get("start_time_first_resp")
    if type(first_resp) is int and "latency_first_resp" not in tags:
        tags["latency_first_resp"] = max(0, first_resp - start_us)
    counts = [tags[key] for key in ("input_tokens", "output_tokens") if type(tags.get(key)) is int]
    if counts and "tokens" not in tags:
        tags["tokens"] = sum(counts)
    left_out: list[str] = list(extra.get("left_out", ()))
    for key in reversed(list(tags)) if len(tags) > MAX_TAGS else ():
        if key not in FIRST_TAGS:
            del tags[key]
            left_out.append(key)
            if len(tags) == MAX_TAGS:
                break
    if left_out:
        logger.warn("a span has more than %d tags: the last ones are left out, see its system tag cut_off", MAX_TAGS)
        cut_off.extend(_cut(key, KEY_BYTES, "", []) for key in left_out)
    return tags


def _bounded_system_tags(extra: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    given = extra.get("system_tags") or {}
    tags = {key: value for key, value in given.items() if key not in _OUR_SYSTEM_TAGS}
    for key in list(tags)[MAX_TAGS - len(_OUR_SYSTEM_TAGS) :]:
        del tags[key]
        cut_off.append(_cut(key, KEY_BYTES, "", []))
    return tags


class _Typed:
    """Tags by their type on the wire: whole numbers, fractions, truth values, and text for all the rest."""

    def __init__(self, tags: dict[str, Any], limits: Limits, value_bytes: int, cut_off: list[str]) -> None:
        self.strings: dict[str, str] = {}
        self.longs: dict[str, int] = {}
        self.doubles: dict[str, float] = {}
        self.bools: dict[str, bool] = {}
        seen: set[str] = set()
        for given, value in tags.items():
            if not given:
                logger.warn("a tag with an empty key is left out")
                continue
            was_cut: list[str] = []
            key = _cut(given, KEY_BYTES, given, was_cut)
            if was_cut:
                cut_off.append(key)
            if key != given and (key in seen or key in tags):
                continue  # two long keys that are equal once cut: the first one keeps its value
            seen.add(key)
            kind = type(value)
            if kind is bool:
                self.bools[key] = value
            elif kind is int and -_INT64 <= value < _INT64:
                self.longs[key] = value
            elif kind is float and value - value == 0:  # neither NaN nor infinite, which JSON does not have
                self.doubles[key] = value
            elif value is not None:
                text = limits.masked(value) if kind is str else _number_text(value)
                self.strings[key] = _cut(text, value_bytes, key, cut_off)

    def bools_as_text(self) -> dict[str, str]:
        return {key: "true" if value else "false" for key, value in self.bools.items()}


def _number_text(value: Any) -> str:
    """A number that JSON, or the platform's 64 bits, has no room for."""
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else values.hex_text(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _cut(text: str, limit: int, name: str, cut_off: list[str]) -> str:
    """``text`` in at most ``limit`` bytes of UTF-8, whole characters; if that cuts it, ``cut_off`` gets ``name``."""
    if text.isascii():
        if len(text) <= limit:
            return text
        cut = text[:limit]
    else:
        text = _clean(text)
        if len(text) * 4 <= limit:
            return text
        data = text[: limit + 1].encode("utf-8")
        if len(data) <= limit:
            return text
        cut = data[:limit].decode("utf-8", "ignore")
    cut_off.append(name)
    return cut


def _clean(text: str) -> str:
    """``text`` without lone surrogates, which UTF-8 does not have: pairs are joined, the rest becomes U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Content:
    """The texts of a span as they are sent, and the files that go with them."""

    def __init__(self, span: Span, limits: Limits) -> None:
        self.texts = {"input": span._input or "", "output": span._output or ""}
        self.storage = ""
        self.uploads: dict[str, bytes] = {}
        self.notes: list[str] = []
        self.cut_off: list[str] = []
        extra = span._extra or {}
        ultra = extra.get("ultra_large_report", limits.ultra_large_report)
        lifters = extra.get("files") or {}
        notes = extra.get("notes") or {}
        files = media.Files(file_prefix(span)) if ultra or lifters else None
        if files is not None:
            for field, lifter in lifters.items():
                self.texts[field] = files.place(self.texts[field], lifter.parts)
                self.notes.extend(lifter.notes)
        if limits.mask is not None:  # after what turned out to be no file was put back
            self._mask(limits, lifters)
        if files is not None:
            self._split_off(files, limits.text_bytes if ultra else 0, notes)
        self.notes.extend(notes.values())

    def _mask(self, limits: Limits, lifters: dict[str, media.Lifter]) -> None:
        for field, text in self.texts.items():
            keys = [part.key for part in lifters[field].parts] if field in lifters else []
            # Not the keys of files: a mask may take their digits for something secret.
            pieces = re.split("(%s)" % "|".join(keys), text) if keys else [text]
            masked = (piece if piece in keys or not piece else limits.masked(piece) for piece in pieces)
            self.texts[field] = "".join(masked)

    def _split_off(self, files: media.Files, large_bytes: int, too_large: Container[str]) -> None:
        for field, text in self.texts.items():
            if large_bytes and field not in too_large and len(text) * 4 > large_bytes:
                self.texts[field] = files.large(field, _clean(text), large_bytes)
        self.storage, without_room = files.storage()
        for key in without_room:
            for field in self.texts:
                self.texts[field] = self.texts[field].replace(key, "(not uploaded: one file more than a span can have)")
        if without_room:
            logger.warn("a span has more files than the platform can store with it: see its system tag cut_off")
        self.uploads = files.uploads
        self.notes.extend(files.notes)
        self.cut_off.extend(files.left_out)


def _names(names: list[str]) -> str:
    """The names as a JSON array of at most 1024 bytes, each once, as many as fit."""
    kept: list[str] = []
    for name in dict.fromkeys(name for name in names if name):
        if len(_json([*kept, name]).encode("utf-8")) > VALUE_BYTES:
            break
        kept.append(name)
    return _json(kept)


def _runtime(given: dict[str, Any], cut_off: list[str]) -> str:
    """The system tag ``runtime`` (contract siblings.md 2.5): language and SDK version are always ours."""
    runtime = {key: given[key] for key in RUNTIME_KEYS if given.get(key)}
    runtime.setdefault("scene", os.environ.get("COZELOOP_SCENE") or "custom")
    runtime["language"] = "python"
    runtime["loop_sdk_version"] = "v" + __version__
    text = _clean(_json(runtime))
    for limit in (150, 30):  # bytes of each text; with the last one it fits however much is escaped
        if len(text.encode("utf-8")) <= VALUE_BYTES:
            break
        cut_off.append("runtime")
        runtime.pop("extra", None)
        text = _json({key: _cut(value, limit, "", []) for key, value in runtime.items()})
    return text
