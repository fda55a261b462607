"""A finished span becomes the JSON that the platform takes. Pure functions, run on the daemon thread.

What the server would cut, drop or zero in silence is cut here, on character boundaries, and named in the system tag
``cut_off`` (contract backend.md 2.2 and 2.3, siblings.md 2.4 to 2.6).
"""

from __future__ import annotations

import json
import os

from .. import __version__, logger
from . import values
from .span import FIRST_TAGS, MAX_TAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .span import Span

# Bytes of UTF-8, contract backend.md 2.3.
NAME_BYTES = 1024
KEY_BYTES = 100
VALUE_BYTES = 1024
TEXT_BYTES = 1_048_576
MAX_SPAN_BYTES = 4 * 1024 * 1024 - 64  # of JSON: with its envelope, a request of 4 MiB (backend.md 2.1)

_INT64 = 1 << 63

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Limits:
    """What bounds a span: the workspace it goes to, and the bytes of a tag value and of an input or output."""

    def __init__(self, workspace_id: str, value_bytes: int = 0, text_bytes: int = 0) -> None:
        self.workspace_id = workspace_id
        self.value_bytes = value_bytes if value_bytes > 0 else VALUE_BYTES
        self.text_bytes = text_bytes if text_bytes > 0 else TEXT_BYTES
        # A text of more characters than it may have bytes is cut for certain; one more shows that there was more.
        self.tag_chars = self.value_bytes + 1
        self.text_chars = self.text_bytes + 1


def encode(span: Span, limits: Limits) -> bytes:
    """The JSON object of one finished span, in UTF-8, of at most ``MAX_SPAN_BYTES``."""
    while True:
        data = _json(wire(span, limits)).encode("utf-8")
        if len(data) <= MAX_SPAN_BYTES:
            return data
        # Escaping made more of the texts than they were (a control character is six bytes of JSON), or the limits were
        # configured that high: texts are cut in proportion.
        share = 0.95 * MAX_SPAN_BYTES / len(data)
        limits = Limits(limits.workspace_id, int(limits.value_bytes * share) or 1, int(limits.text_bytes * share) or 1)


def wire(span: Span, limits: Limits) -> dict[str, Any]:
    """The object of one finished span (contract siblings.md 2.6: exactly these keys)."""
    cut_off: list[str] = []
    start_us = span._start_ns // 1000
    duration_us = span._finish_us - start_us if span._finish_us else span._duration_ns // 1000
    extra = span._extra or {}
    tags = _Typed(_bounded_tags(span, start_us, extra, cut_off), limits.value_bytes, cut_off)
    name = _cut(span._name or "unknown", NAME_BYTES, "span_name", cut_off)
    span_type = _cut(span._span_type or "unknown", NAME_BYTES, "span_type", cut_off)
    shown_input = _cut(span._input or "", limits.text_bytes, "input", cut_off)
    shown_output = _cut(span._output or "", limits.text_bytes, "output", cut_off)
    log_id = _cut(extra.get("log_id", ""), NAME_BYTES, "log_id", cut_off)
    service_name = _cut(extra.get("service_name", ""), NAME_BYTES, "service_name", cut_off)
    system = _Typed(extra.get("system_tags") or {}, VALUE_BYTES, cut_off)
    system.strings.update(system.bools_as_text())
    system.strings["runtime"] = _runtime(extra.get("runtime"))
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
        "object_storage": "",
        "system_tags_string": system.strings,
        "system_tags_long": system.longs,
        "system_tags_double": system.doubles,
        "tags_string": tags.strings,
        "tags_long": tags.longs,
        "tags_double": tags.doubles,
        "tags_bool": tags.bools,
    }


def _bounded_tags(span: Span, start_us: int, extra: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    """At most 50 tags: inherited baggage, the span's own, what follows from them. The last ordinary ones give way."""
    tags: dict[str, Any] = {**span._baggage, **span._tags}  # one C call: the program may still be writing
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


class _Typed:
    """Tags by their type on the wire: whole numbers, fractions, truth values, and text for all the rest."""

    def __init__(self, tags: dict[str, Any], value_bytes: int, cut_off: list[str]) -> None:
        self.strings: dict[str, str] = {}
        self.longs: dict[str, int] = {}
        self.doubles: dict[str, float] = {}
        self.bools: dict[str, bool] = {}
        seen: set[str] = set()
        for given, value in tags.items():
            key = _cut(given, KEY_BYTES, "", [])
            if key != given:
                cut_off.append(key)
                if key in seen or key in tags:
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
                self.strings[key] = _cut(value if kind is str else _number_text(value), value_bytes, key, cut_off)

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


def _names(names: list[str]) -> str:
    """The names as a JSON array of at most 1024 bytes, each once, as many as fit."""
    kept: list[str] = []
    for name in dict.fromkeys(name for name in names if name):
        if len(_json([*kept, name]).encode("utf-8")) > VALUE_BYTES:
            break
        kept.append(name)
    return _json(kept)


def _runtime(given: dict[str, Any] | None) -> str:
    """The system tag ``runtime`` (contract siblings.md 2.5): language and SDK version are always ours."""
    runtime: dict[str, Any] = {"language": "python"}
    for key in ("library", "scene", "scene_version", "library_version", "extra"):
        value = (given or {}).get(key)
        if value:
            runtime[key] = value
    runtime.setdefault("scene", os.environ.get("COZELOOP_SCENE") or "custom")
    runtime["loop_sdk_version"] = "v" + __version__
    return _clean(values.to_text(runtime, VALUE_BYTES) or "")
