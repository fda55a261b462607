"""Tags as they are sent: at most 50 of a span, each under its type, as JSON; and the system tags beside them.

Run on the thread that sends. Between spans only what the keys of tags tell is kept (contract backend.md 2.2 and 2.3,
siblings.md 2.4 to 2.6).
"""

from __future__ import annotations

import json

from .. import __version__, logger
from ..config import VALUE_BYTES
from . import values
from .span import RUNTIME_KEYS
from .tags import FIRST_TAGS, MAX_TAGS
from .texts import clean, cut, masked, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Container, Iterable, Iterator, Sequence

    from .encoding import Limits
    from .record import Record

KEY_BYTES = 100  # of UTF-8, contract backend.md 2.3

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1  # of a whole number
_OUR_SYSTEM_TAGS = frozenset(["runtime", "cut_off"])

_SYSTEM_TAGS = '"system_tags_string":{%s},"system_tags_long":{%s},"system_tags_double":{%s}'

_json = values.encoder(None)


class _Shape:
    """What the keys of a span's tags tell by themselves: programs set the same few sets of them again and again.

    Attributes:
        keys: of all tags, those included that follow from others.
        names: their JSON, each with a colon; None when they are too many, or not all can be sent as they are.
        counts: where the numbers of tokens stand, whose sum is the tag ``tokens``.
        first_resp: where the time of the first answer stands, from which ``latency_first_resp`` follows; -1: nowhere.
    """

    __slots__ = ("counts", "first_resp", "keys", "names")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.counts = tuple(keys.index(key) for key in ("input_tokens", "output_tokens") if key in keys)
        self.first_resp = keys.index("start_time_first_resp") if "start_time_first_resp" in keys else -1
        if "tokens" in keys:
            self.counts = ()
        if "latency_first_resp" in keys:
            self.first_resp = -1
        if self.counts:
            keys += ("tokens",)
        if self.first_resp >= 0:
            keys += ("latency_first_resp",)
        self.keys = keys
        self.names: tuple[str, ...] | None = None
        if len(keys) <= MAX_TAGS and all(key and cut(clean(key), KEY_BYTES, "", []) == key for key in keys):
            self.names = tuple(quote(key) + ":" for key in keys)

    def complete(self, given: tuple[Any, ...], start_ns: int) -> tuple[Any, ...]:
        """The values of all tags, from those that were set."""
        if self.counts:
            total = 0
            for place in self.counts:  # a comprehension and sum() take twice as long
                total += given[place]
            given += (total,)
        if self.first_resp >= 0:
            latency = given[self.first_resp] - start_ns // 1000
            if latency < 0:
                logger.warn("start_time_first_resp, in microseconds since the epoch, is before the span began")
            given += (max(0, latency),)
        return given


_shapes: dict[tuple[str, ...], _Shape] = {}  # those that have names
# 0.3 MB of usual ones, 3 MB of 50 keys as long as can be. With more sets of keys in use a span takes 3 µs longer.
_MAX_SHAPES = 200


def _shape_of(keys: tuple[str, ...]) -> _Shape:
    shape = _Shape(keys)
    if shape.names is not None:
        if len(_shapes) >= _MAX_SHAPES:  # keys that are made up, of ids perhaps
            _shapes.clear()
        _shapes[keys] = shape
    return shape


def tags_json(record: Record, notes: Sequence[str], limits: Limits, cut_off: list[str]) -> bytes:
    """The fields with the tags of a span; ``notes`` say which of its files are not uploaded."""
    _, _, _, _, _, start_ns, _, _, _, _, keys, given, extra = record
    shape = _shapes.get(keys) or _shape_of(keys)
    given = shape.complete(given, start_ns)
    if shape.names is not None and not notes:  # tags were left out, if at all, of more than have names
        members: Iterable[tuple[str, str, Any]] = zip(shape.names, shape.keys, given)
    else:
        tags = dict(zip(shape.keys, given))
        if notes:
            tags["not_uploaded"] = "; ".join(notes)
        members = _members(_bounded_tags(tags, extra or {}, cut_off), cut_off)
    strings, longs, doubles, bools = _typed(members, limits, limits.value_bytes, cut_off)
    return _as_utf8(  # 0.15 µs faster than with a template and %
        f'"tags_string":{{{",".join(strings)}}},"tags_long":{{{",".join(longs)}}},'
        f'"tags_double":{{{",".join(doubles)}}},"tags_bool":{{{",".join(bools)}}}'
    )


def _bounded_tags(tags: dict[str, Any], extra: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    """At most 50 of ``tags``. The last ordinary ones give way."""
    left_out: list[str] = list(extra.get("left_out", ()))
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
    strings, longs, doubles, bools = _typed(_members(tags, cut_off), limits, VALUE_BYTES, cut_off)
    for name, colon, value in (member.rpartition(":") for member in bools):  # which have no other place
        strings.append('%s%s"%s"' % (name, colon, value))
    strings.append('"runtime":' + quote(_runtime(runtime or {}, limits, cut_off)))
    if cut_off:
        strings.append('"cut_off":' + quote(_listed(cut_off)))
    return _as_utf8(_SYSTEM_TAGS % (",".join(strings), ",".join(longs), ",".join(doubles)))


def _bounded_system_tags(given: dict[str, Any], cut_off: list[str]) -> dict[str, Any]:
    tags = {key: value for key, value in given.copy().items() if key not in _OUR_SYSTEM_TAGS}
    for key in list(tags)[MAX_TAGS - len(_OUR_SYSTEM_TAGS) :]:
        del tags[key]
        cut_off.append(cut(clean(key), KEY_BYTES, "", []))
    return tags


def _typed(
    members: Iterable[tuple[str, str, Any]], limits: Limits, value_bytes: int, cut_off: list[str]
) -> tuple[list[str], list[str], list[str], list[str]]:
    """The members of the JSON objects with text, with whole numbers, with fractions and with truth values.

    Written here one by one: for six tags 1.5 µs, where four dicts and an encoder for each take 3.5.
    """
    strings: list[str] = []
    longs: list[str] = []
    doubles: list[str] = []
    bools: list[str] = []
    for name, key, value in members:
        kind = type(value)
        if kind is int and _LEAST <= value <= _MOST:
            longs.append(name + repr(value))
        elif kind is str:
            if limits.mask is not None and value:  # of system tags no more was kept than of others
                value = masked(value, min(value_bytes, limits.value_bytes), limits, key, cut_off)
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


def _members(tags: dict[str, Any], cut_off: list[str]) -> Iterator[tuple[str, str, Any]]:
    """The JSON of the key, with a colon; the key; the value. Of tags whose keys need not be fit to be sent."""
    shortened: set[str] = set()
    for given, value in tags.items():
        key = _sendable(given, tags, shortened, cut_off)
        if key:
            yield quote(key) + ":", key, value


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


def _runtime(given: dict[str, Any], limits: Limits, cut_off: list[str]) -> str:
    """The system tag ``runtime`` (contract siblings.md 2.5): language and SDK version are always ours."""
    runtime = {key: given[key] for key in RUNTIME_KEYS if given.get(key)}
    if limits.mask is not None:
        runtime = {key: _masked_part(value, limits, cut_off) for key, value in runtime.items()}
    runtime.setdefault("scene", limits.scene)
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


def _masked_part(value: Any, limits: Limits, cut_off: list[str]) -> Any:
    """A text of the runtime, or its ``extra``, of which the mask is given the JSON: it stays what it was if it can."""
    most = min(VALUE_BYTES, limits.value_bytes)
    if type(value) is str:
        return masked(value, most, limits, "runtime", cut_off)
    text = masked(_json(value), most, limits, "runtime", cut_off)
    try:
        left = json.loads(text)
        _json(left)  # or there is a number in it now that JSON does not have
        return left
    except Exception:  # noqa: BLE001 - whatever a mask makes of it
        return text
