"""A finished span becomes the JSON that the platform takes. Pure functions, run on the daemon thread.

What the server would cut, drop or zero in silence is cut here, on character boundaries, and named in the system tag
``cut_off`` (contract backend.md 2.2 and 2.3, siblings.md 2.4 to 2.6).
"""

from __future__ import annotations

import json
import os

from .. import __version__, logger
from . import values
from .span import RUNTIME_KEYS
from .tags import COUNT_TAGS, FIRST_TAGS, MAX_TAGS
from .texts import Content, clean, cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Container, Sequence

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
_NO_EXTRA: dict[str, Any] = {}

MASK_FAILED = "(masked: the mask failed)"

_json = values.encoder(None)
_quote = json.encoder.encode_basestring  # a str as JSON, non-ASCII kept

# The object of a span, contract siblings.md 2.6: exactly these keys. To fill it in takes half the time of a dict of
# fields and a JSON encoder (4.5 µs and 8), which also writes the keys of each span anew.
_SPAN = (
    b'{"started_at_micros":%d,"log_id":%b,"span_id":"%016x","parent_id":"%b","trace_id":"%032x","duration_micros":%d,'
    b'"service_name":%b,"workspace_id":%b,"span_name":%b,"span_type":%b,"status_code":%d,"input":%b,"output":%b,'
    b'"object_storage":%b,"system_tags_string":%b,"system_tags_long":%b,"system_tags_double":%b,"tags_string":%b,'
    b'"tags_long":%b,"tags_double":%b,"tags_bool":%b}'
)


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
        # What nearly all spans have in common, as JSON, made once.
        self.workspace_json = _json(workspace_id).encode("utf-8", "replace")
        self.scene = os.environ.get("COZELOOP_SCENE") or "custom"
        cut_off: list[str] = []
        runtime = _runtime({}, self.scene, cut_off)
        self.system_tags_json = b"" if cut_off else _object({"runtime": runtime})

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
    if uploads is not None and content.uploads:
        uploads.update(content.uploads)
    while True:
        data, texts = _filled_in(span, limits, content)
        if len(data) <= MAX_SPAN_BYTES:
            return data
        limits = _narrower(limits, texts, len(data))


def _narrower(limits: Limits, texts: list[str], size: int) -> Limits:
    """What to cut to when the JSON is too long: escaping made more of the texts (a control character is six bytes of
    JSON), or the limits were configured that high. Input and output pay first."""
    texts = [clean(text) for text in texts]
    texts_size = len(_json(texts).encode("utf-8"))
    room = MAX_SPAN_BYTES - (size - texts_size)
    if room < MAX_SPAN_BYTES // 8:
        return Limits(limits.workspace_id, limits.value_bytes // 2, limits.text_bytes, mask=limits.mask)
    longest = max(len(text.encode("utf-8")) for text in texts)
    return Limits(
        limits.workspace_id, limits.value_bytes, int(longest * 0.98 * room / texts_size), mask=limits.mask
    )


def _filled_in(span: Span, limits: Limits, content: Content) -> tuple[bytes, list[str]]:
    """The object of one finished span, and the input and output in it."""
    cut_off: list[str] = list(content.cut_off)
    start_us = span._start_ns // 1000
    duration_us = span._finish_us - start_us if span._finish_us else span._duration_ns // 1000
    extra = span._extra or _NO_EXTRA
    tags = _Typed(_bounded_tags(span, content.notes, cut_off), limits, limits.value_bytes, cut_off)
    name = _text(cut(span._name or "unknown", NAME_BYTES, "span_name", cut_off))
    span_type = _text(cut(span._span_type or "unknown", NAME_BYTES, "span_type", cut_off))
    shown_input = cut(content.texts["input"], limits.text_bytes, "input", cut_off)
    shown_output = cut(content.texts["output"], limits.text_bytes, "output", cut_off)
    log_id = service_name = b'""'
    if extra:
        log_id = _text(cut(extra.get("log_id", ""), NAME_BYTES, "log_id", cut_off))
        service_name = _text(cut(extra.get("service_name", ""), NAME_BYTES, "service_name", cut_off))
    system_strings, system_longs, system_doubles = _system_tags(extra, limits, cut_off)
    data = _SPAN % (
        start_us,
        log_id,
        span._id,
        b"%016x" % span._parent_id if span._parent_id else b"0",
        span._trace.id,
        max(0, duration_us),
        service_name,
        limits.workspace_json,
        name,
        span_type,
        span._status,
        _text(shown_input),
        _text(shown_output),
        _text(content.storage) if content.storage else b'""',
        system_strings,
        system_longs,
        system_doubles,
        _object(tags.strings) if tags.strings else b"{}",
        _object(tags.longs) if tags.longs else b"{}",
        _object(tags.doubles) if tags.doubles else b"{}",
        _object(tags.bools) if tags.bools else b"{}",
    )
    return data, [shown_input, shown_output]


def _text(text: str) -> bytes:
    try:
        return _quote(text).encode("utf-8")
    except UnicodeEncodeError:
        return clean(_quote(text)).encode("utf-8")


def _object(fields: dict[str, Any]) -> bytes:
    try:
        return _json(fields).encode("utf-8")
    except UnicodeEncodeError:
        return clean(_json(fields)).encode("utf-8")


def _bounded_tags(span: Span, notes: Sequence[str], cut_off: list[str]) -> dict[str, Any]:
    """At most 50 tags: inherited baggage, the span's own, what follows from them. The last ordinary ones give way."""
    own = span._tags
    if span._baggage:
        tags: dict[str, Any] = {**span._baggage, **own}  # one C call: the program may still be writing
        for key in _NOT_INHERITED.intersection(span._baggage):
            if key not in own:
                del tags[key]
    else:
        tags = own.copy()  # one C call, too
    if notes:
        tags["not_uploaded"] = "; ".join(notes)
    first_resp = tags.get("start_time_first_resp")
    if first_resp is not None and "latency_first_resp" not in tags:
        tags["latency_first_resp"] = max(0, first_resp - span._start_ns // 1000)
    read, written = tags.get("input_tokens"), tags.get("output_tokens")
    if (read is not None or written is not None) and "tokens" not in tags:
        tags["tokens"] = (read or 0) + (written or 0)
    left_out: list[str] = list(span._extra.get("left_out", ())) if span._extra else []
    for key in reversed(list(tags)) if len(tags) > MAX_TAGS else ():
        if key not in FIRST_TAGS:
            del tags[key]
            left_out.append(key)
            if len(tags) == MAX_TAGS:
                break
    if left_out:
        logger.warn("a span has more than %d tags: the last ones are left out, see its system tag cut_off", MAX_TAGS)
        cut_off.extend(cut(clean(key), KEY_BYTES, "", []) for key in left_out)
    return tags


def _system_tags(extra: dict[str, Any], limits: Limits, cut_off: list[str]) -> tuple[bytes, bytes, bytes]:
    """The system tags that are text, whole numbers and fractions, as JSON."""
    given, runtime = extra.get("system_tags"), extra.get("runtime")
    if not given and not runtime and not cut_off and limits.system_tags_json:  # the usual case
        return limits.system_tags_json, b"{}", b"{}"
    typed = _Typed(_bounded_system_tags(given or {}, cut_off), limits, VALUE_BYTES, cut_off)
    typed.strings.update((key, "true" if value else "false") for key, value in typed.bools.items())
    typed.strings["runtime"] = _runtime(runtime or {}, limits.scene, cut_off)
    if cut_off:
        typed.strings["cut_off"] = _names(cut_off)
    return _object(typed.strings), _object(typed.longs), _object(typed.doubles)


def _bounded_system_tags(given: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    tags = {key: value for key, value in given.items() if key not in _OUR_SYSTEM_TAGS}
    for key in list(tags)[MAX_TAGS - len(_OUR_SYSTEM_TAGS) :]:
        del tags[key]
        cut_off.append(cut(clean(key), KEY_BYTES, "", []))
    return tags


class _Typed:
    """Tags by their type on the wire: whole numbers, fractions, truth values, and text for all the rest."""

    __slots__ = ("_shortened", "bools", "doubles", "longs", "strings")

    def __init__(self, tags: dict[str, Any], limits: Limits, value_bytes: int, cut_off: list[str]) -> None:
        self.strings: dict[str, str] = {}
        self.longs: dict[str, int] = {}
        self.doubles: dict[str, float] = {}
        self.bools: dict[str, bool] = {}
        self._shortened: set[str] = set()
        for key, value in tags.items():
            if not (key.isascii() and 0 < len(key) <= KEY_BYTES):
                key = self._sendable(key, tags, cut_off)
                if not key:
                    continue
            kind = type(value)
            if kind is str:
                text = value if limits.mask is None else limits.masked(value)
                self.strings[key] = cut(text, value_bytes, key, cut_off)
            elif kind is bool:
                self.bools[key] = value
            elif kind is int and -_INT64 <= value < _INT64:
                self.longs[key] = value
            elif kind is float and value - value == 0:  # neither NaN nor infinite, which JSON does not have
                self.doubles[key] = value
            elif value is not None:
                self.strings[key] = cut(_number_text(value), value_bytes, key, cut_off)

    def _sendable(self, given: str, tags: Container[str], cut_off: list[str]) -> str:
        """The key as it may be sent; "" when it may not."""
        if not given:
            logger.warn("a tag with an empty key is left out")
            return ""
        was_cut: list[str] = []
        key = cut(clean(given), KEY_BYTES, given, was_cut)
        if was_cut:
            cut_off.append(key)
        if key == given:
            return key
        if key in self._shortened or key in tags:
            return ""  # two long keys that are equal once cut: the first one keeps its value
        self._shortened.add(key)
        return key


def _number_text(value: Any) -> str:
    """A number that JSON, or the platform's 64 bits, has no room for."""
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else values.hex_text(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _names(names: list[str]) -> str:
    """The names as a JSON array of at most 1024 bytes, each once, as many as fit."""
    kept: list[str] = []
    for name in dict.fromkeys(name for name in names if name):
        if len(_json([*kept, name]).encode("utf-8")) > VALUE_BYTES:
            break
        kept.append(name)
    return _json(kept)


def _runtime(given: dict[str, Any], scene: str, cut_off: list[str]) -> str:
    """The system tag ``runtime`` (contract siblings.md 2.5): language and SDK version are always ours."""
    runtime = {key: given[key] for key in RUNTIME_KEYS if given.get(key)}
    runtime.setdefault("scene", scene)
    runtime["language"] = "python"
    runtime["loop_sdk_version"] = "v" + __version__
    text = clean(_json(runtime))
    for limit in (150, 30):  # bytes of each text; with the last one it fits however much is escaped
        if len(text.encode("utf-8")) <= VALUE_BYTES:
            break
        cut_off.append("runtime")
        runtime.pop("extra", None)
        text = clean(_json({key: cut(value, limit, "", []) for key, value in runtime.items()}))
    return text
