"""Tags as they are sent: at most 50 of a span, each under its type, as JSON; and the system tags beside them.

Run on the thread that sends. Between spans only the JSON of keys is kept (contract backend.md 2.2 and 2.3, siblings.md
2.4 to 2.6).
"""

from __future__ import annotations

from .. import __version__, logger
from . import values
from .span import RUNTIME_KEYS
from .tags import FIRST_TAGS, MAX_TAGS
from .texts import clean, cut, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Container, Sequence

    from .encoding import Limits
    from .record import Record

# Bytes of UTF-8, contract backend.md 2.3.
KEY_BYTES = 100
VALUE_BYTES = 1024

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1  # of a whole number
_OUR_SYSTEM_TAGS = frozenset(["runtime", "cut_off"])

_TAGS = '"tags_string":{%s},"tags_long":{%s},"tags_double":{%s},"tags_bool":{%s}'
_SYSTEM_TAGS = '"system_tags_string":{%s},"system_tags_long":{%s},"system_tags_double":{%s}'

_json = values.encoder(None)

# The keys that are sent as they are, each with its JSON and a colon: programs set the same few again and again.
_names: dict[str, str] = {}
_MAX_NAMES = 1000


def tags_json(record: Record, notes: Sequence[str], limits: Limits, cut_off: list[str]) -> bytes:
    """The fields with the tags of a span; ``notes`` say which of its files are not uploaded."""
    strings, longs, doubles, bools = _typed(_bounded_tags(record, notes, cut_off), limits, limits.value_bytes, cut_off)
    return _as_utf8(_TAGS % (",".join(strings), ",".join(longs), ",".join(doubles), ",".join(bools)))


def _bounded_tags(record: Record, notes: Sequence[str], cut_off: list[str]) -> dict[str, Any]:
    """At most 50 tags: those that were set, and what follows from them. The last ordinary ones give way."""
    _, _, _, _, _, start_ns, _, _, _, _, keys, tag_values, extra = record
    tags: dict[str, Any] = dict(zip(keys, tag_values))
    if notes:
        tags["not_uploaded"] = "; ".join(notes)
    first_resp = tags.get("start_time_first_resp")
    if first_resp is not None and "latency_first_resp" not in tags:
        tags["latency_first_resp"] = max(0, first_resp - start_ns // 1000)
    read, written = tags.get("input_tokens"), tags.get("output_tokens")
    if (read is not None or written is not None) and "tokens" not in tags:
        tags["tokens"] = (read or 0) + (written or 0)
    left_out: list[str] = list(extra.get("left_out", ())) if extra else []
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


def system_tags_json(extra: dict[str, Any], limits: Limits, cut_off: list[str]) -> bytes:
    """The fields with the system tags: those that were set, ``runtime``, and ``cut_off`` if there is any."""
    given, runtime = extra.get("system_tags"), extra.get("runtime")
    if not given and not runtime and not cut_off and limits.system_tags_json:  # the usual case
        return limits.system_tags_json
    tags = _bounded_system_tags(given or {}, cut_off)
    strings, longs, doubles, bools = _typed(tags, limits, VALUE_BYTES, cut_off)
    for name, colon, value in (member.rpartition(":") for member in bools):  # which have no other place
        strings.append('%s%s"%s"' % (name, colon, value))
    strings.append('"runtime":' + quote(_runtime(runtime or {}, limits.scene, cut_off)))
    if cut_off:
        strings.append('"cut_off":' + quote(_listed(cut_off)))
    return _as_utf8(_SYSTEM_TAGS % (",".join(strings), ",".join(longs), ",".join(doubles)))


def _bounded_system_tags(given: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    tags = {key: value for key, value in given.items() if key not in _OUR_SYSTEM_TAGS}
    for key in list(tags)[MAX_TAGS - len(_OUR_SYSTEM_TAGS) :]:
        del tags[key]
        cut_off.append(cut(clean(key), KEY_BYTES, "", []))
    return tags


def _typed(
    tags: dict[str, Any], limits: Limits, value_bytes: int, cut_off: list[str]
) -> tuple[list[str], list[str], list[str], list[str]]:
    """The members of the JSON objects with text, with whole numbers, with fractions and with truth values.

    Written here one by one: for six tags 1.5 µs, where four dicts and an encoder for each take 3.5.
    """
    strings: list[str] = []
    longs: list[str] = []
    doubles: list[str] = []
    bools: list[str] = []
    shortened: set[str] = set()
    names = _names
    for key, value in tags.items():
        try:
            name = names[key]
        except KeyError:
            key = _sendable(key, tags, shortened, cut_off)
            if not key:
                continue
            name = _named(key)
        kind = type(value)
        if kind is int and _LEAST <= value <= _MOST:
            longs.append(name + repr(value))
        elif kind is str:
            if limits.mask is not None:
                value = limits.masked(value)
            if len(value) * 4 > value_bytes:
                value = cut(value, value_bytes, key, cut_off)
            strings.append(name + quote(value))
        elif kind is float and value - value == 0:  # neither NaN nor infinite, which JSON does not have
            doubles.append(name + repr(value))
        elif kind is bool:
            bools.append(name + ("true" if value else "false"))
        elif value is not None:
            strings.append(name + quote(cut(_number_text(value), value_bytes, key, cut_off)))
    return strings, longs, doubles, bools


def _sendable(given: str, tags: Container[str], shortened: set[str], cut_off: list[str]) -> str:
    """A key as it may be sent; "" when it may not. ``shortened`` are those that had to be changed for it."""
    if not given:
        logger.warn("a tag with an empty key is left out")
        return ""
    was_cut: list[str] = []
    key = cut(clean(given), KEY_BYTES, given, was_cut)
    if was_cut:
        cut_off.append(key)
    if key == given:
        return key
    if key in shortened or key in tags:
        return ""  # two long keys that are equal once cut: the first one keeps its value
    shortened.add(key)
    return key


def _as_utf8(fields: str) -> bytes:
    """As :func:`texts.text_json` ends, which does it itself to save a call for each text."""
    try:
        return fields.encode()
    except UnicodeEncodeError:
        return clean(fields).encode()


def _named(key: str) -> str:
    name: str = quote(key) + ":"
    if len(_names) >= _MAX_NAMES:  # keys that are made up, of ids perhaps
        _names.clear()
    _names[key] = name
    return name


def _number_text(value: Any) -> str:
    """A number that JSON, or the platform's 64 bits, has no room for."""
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else values.hex_text(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _listed(names: list[str]) -> str:
    """The names as a JSON array of at most 1024 bytes, each once, as many as fit."""
    kept: list[str] = []
    for name in dict.fromkeys(name for name in names if name):
        if len(_json([*kept, name]).encode("utf-8")) > VALUE_BYTES:
            break
        kept.append(name)
    return _json(kept)


def usual_system_tags(scene: str) -> bytes:
    """The fields with the system tags of a span of which nothing was cut, and that has none set; ``b""`` if none is."""
    cut_off: list[str] = []
    runtime = _runtime({}, scene, cut_off)
    return b"" if cut_off else _as_utf8(_SYSTEM_TAGS % ('"runtime":' + quote(runtime), "", ""))


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
