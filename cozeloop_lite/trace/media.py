"""Images, files, recordings and films inside the input and output of a model span, and texts too large for a span.

The platform stores them as files, and a span holds their keys (contract backend.md 2.6, siblings.md 2.8). The work is
split: on the caller's thread a :class:`Lifter` takes the parts out of the value, which is no more than walking over its
messages, for what is heavy in them is immutable; on the daemon thread :class:`Files` decodes them, names them and
puts the keys in place. The caller's objects are never modified.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

MAX_FILE_BYTES = 20 * 1024 * 1024 - 4096  # the server takes bodies of 20 MiB, form included (contract backend.md 3)
MAX_STORAGE_BYTES = 1024  # of the field object_storage (contract backend.md 2.3)
MAX_WALKED = 10_000  # items of a list that are looked at: no conversation is longer, and numbers are not one
MAX_LIFTED = 16  # parts of one input or output; fewer fit into object_storage
SHOWN_CHARS = 1000  # of a text that goes up as a file (contract siblings.md 2.8)

# Where a model's input and output has messages, where a message has parts, and where a part has its content.
_LISTS = ("messages", "choices", "input", "output", "prompts", "templates")
_PARTS = ("parts", "content")
_SEQUENCES = frozenset([list, tuple])
_WITHOUT_FIELDS = frozenset([list, tuple, bool, int, float])
_HOLDERS = (  # (field of the part, field inside it, kind)
    ("image_url", "url", "image"),
    ("file_url", "url", "file"),
    ("audio_url", "url", "audio"),
    ("video_url", "url", "video"),
    ("input_audio", "data", "audio"),
    ("file", "file_data", "file"),
)
_DIRECT = (("image_url", "image"), ("video_url", "video"), ("base64_data", "file"), ("file_data", "file"))

_text = json.JSONEncoder(ensure_ascii=False).encode


class Part:
    """One part that was lifted out: what it is, the key that stands in its place, and its content as it was given."""

    __slots__ = ("data", "field", "key", "kind", "name")

    def __init__(self, field: str, kind: str, name: str, key: str, data: str | bytes) -> None:
        self.field = field
        self.kind = kind
        self.name = name
        self.key = key
        self.data = data


def has_none(value: Any) -> bool:
    """Whether it is plain at a glance that ``value`` has no parts: no messages, or messages of nothing but text.

    That is nearly always so, and seen in a fraction of the time that a :class:`Lifter` takes (0.5 µs instead of 3).
    """
    if type(value) is not dict:
        return type(value) in _WITHOUT_FIELDS
    try:
        for name in _LISTS:
            items: Any = value.get(name)
            if type(items) in _SEQUENCES and len(items) <= MAX_WALKED:
                for item in items:
                    if type(item) is dict:
                        if "parts" in item or "message" in item or type(item.get("content")) in _SEQUENCES:
                            return False
                    elif type(item) is not str:
                        return False
        return True
    except Exception:  # noqa: BLE001 - a key that fails when it is compared
        return False


class Lifter:
    """Takes the parts out of one value; :attr:`parts` has them afterwards.

    Args:
        field: ``"input"`` or ``"output"``.
        prefix: gives what the keys begin with, unique to the span; asked when there is something to lift.
    """

    def __init__(self, field: str, prefix: Callable[[], str]) -> None:
        self._field = field
        self._prefix = prefix
        self._number = 0
        self._surplus = 0  # how many parts there was no place for
        self.parts: list[Part] = []
        self.notes: list[str] = []

    def lift(self, value: Any) -> Any:
        """``value`` with keys in the place of its parts; ``value`` itself when it has none."""
        for name in _LISTS:
            items = _get(value, name)
            if type(items) in (list, tuple) and len(items) <= MAX_WALKED:
                value = _replaced(value, name, [self._message(item) for item in items])
        if self._surplus:
            self.notes.append("%s: files more than a span can have: %d" % (self._field, self._surplus))
        return value

    def _message(self, item: Any) -> Any:
        inner = _get(item, "message")  # of a choice
        if inner is not None:
            item = _replaced(item, "message", self._message(inner))
        for name in _PARTS:
            parts = _get(item, name)
            if type(parts) in (list, tuple) and len(parts) <= MAX_WALKED:
                item = _replaced(item, name, [self._part(part) for part in parts])
        return item

    def _part(self, part: Any) -> Any:
        for name, inside, kind in _HOLDERS:
            holder = _get(part, name)
            data = _get(holder, inside)
            if data is not None:
                key = self._key(data, kind, _get(holder, "name") or _get(holder, "filename"), inside == "data")
                if key is not data:
                    return _replaced(part, name, _replaced(holder, inside, key))
        for name, kind in _DIRECT:
            data = _get(part, name)
            if isinstance(data, (str, bytes, bytearray, memoryview)):
                key = self._key(data, kind, _get(part, "filename"), False)
                if key is not data:
                    return _replaced(part, name, key)
        return part

    def _key(self, data: Any, kind: str, name: Any, bare: bool) -> Any:
        """The key that takes the place of ``data``; ``data`` itself when it is a link or anything else."""
        if isinstance(data, str):
            data = str.__str__(data)
        elif isinstance(data, (bytes, bytearray, memoryview)) and type(data) is not bytes:
            data = memoryview(data).tobytes()
        if isinstance(data, bytes):
            size = len(data)
        elif isinstance(data, str) and (bare or data[:5].lower() == "data:"):
            size = len(data) * 3 // 4
        else:
            return data
        if size > MAX_FILE_BYTES + 1024:
            self.notes.append("%s: a file of about %d bytes, %d at most" % (self._field, size, MAX_FILE_BYTES))
            return "(not uploaded: about %d bytes, and a file may have %d)" % (size, MAX_FILE_BYTES)
        for part in self.parts:  # one file, however often it stands there
            if type(part.data) is type(data) and part.data == data:
                return part.key
        if self._number >= MAX_LIFTED:
            self._surplus += 1
            return "(not uploaded: one file more than a span can have)"
        # Two digits always: no key is the beginning of another one, so replacing one in a text leaves the others alone.
        key = "%s_%s%02d" % (self._prefix(), self._field[0], self._number)
        self._number += 1
        label = _sendable(name) if isinstance(name, str) else ""
        self.parts.append(Part(self._field, kind, label, key, data))
        return key


class Files:
    """The files of one span, on their way: which keys its texts shall have, and what is to be uploaded under them."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._large: dict[str, str] = {}
        self._entries: list[tuple[Part, str]] = []  # with the name that is shown
        self._keys: dict[bytes, str] = {}  # by content: the same bytes go up once
        self.uploads: dict[str, bytes] = {}
        self.left_out: list[str] = []  # names, for the system tag cut_off
        self.notes: list[str] = []

    def place(self, text: str, parts: list[Part]) -> str:
        """``text``, with the keys of those ``parts`` that are files; what turns out to be none is put back."""
        for part in parts:
            content = part.data if isinstance(part.data, bytes) else decode(part.data)
            if content is None:
                text = text.replace(part.key, _text(part.data)[1:-1])
                continue
            if len(content) > MAX_FILE_BYTES:
                self.notes.append("%s: a file of %d bytes, %d at most" % (part.field, len(content), MAX_FILE_BYTES))
                text = text.replace(part.key, "(not uploaded: %d bytes)" % len(content))
                continue
            known = self._keys.setdefault(content, part.key)
            if known != part.key:
                text = text.replace(part.key, known)
                continue
            self.uploads[part.key] = content
            self._entries.append((part, part.name))
        return text

    def mask(self, masked: Callable[[str], str]) -> None:
        """Let ``masked`` replace the names of files, and the content of those that are text."""
        self._entries = [(part, _sendable(masked(name)) if name else "") for part, name in self._entries]
        for part, _ in self._entries:
            try:
                text = self.uploads[part.key].decode("utf-8")
            except UnicodeDecodeError:
                continue
            if part.kind == "file" or "\0" not in text:  # or it is a picture of a few bytes
                self.uploads[part.key] = masked(text).encode("utf-8", "replace")

    def large(self, field: str, text: str, limit: int) -> str:
        """``text`` goes up as a file if it has more than ``limit`` bytes; its beginning is what the span shows."""
        content = text.encode("utf-8")
        if len(content) <= limit:
            return text
        if len(content) > MAX_FILE_BYTES:
            self.notes.append("%s: a text of %d bytes, a file may have %d" % (field, len(content), MAX_FILE_BYTES))
            return text
        key = "%s_%s" % (self._prefix, field)
        self._large[field + "_tos_key"] = key
        self.uploads[key] = content
        return text[:SHOWN_CHARS]

    def storage(self) -> tuple[str, list[str]]:
        """The field ``object_storage``, and the keys that it has no room for; those are not uploaded."""
        dropped: list[str] = []
        for name_chars in (10_000, 16, 0):
            text = self._storage(name_chars)
            if len(text.encode("utf-8")) <= MAX_STORAGE_BYTES:
                return text, dropped
        while len(text.encode("utf-8")) > MAX_STORAGE_BYTES:
            part, name = self._entries.pop()
            del self.uploads[part.key]
            dropped.append(part.key)
            self.left_out.append("%s %s %s" % (part.field, part.kind, name or part.key))
            text = self._storage(0)
        return text, dropped

    def _storage(self, name_chars: int) -> str:
        if not self._large and not self._entries:
            return ""
        storage: dict[str, Any] = dict(self._large)
        if self._entries:
            storage["Attachments"] = [
                {"field": part.field, "name": name[:name_chars], "type": part.kind, "tos_key": part.key}
                for part, name in self._entries
            ]
        return json.dumps(storage, ensure_ascii=False, separators=(",", ":"))


def decode(data: str) -> bytes | None:
    """The content of a ``data:`` URL (RFC 2397), or of bare base64; None when it is neither.

    Base64 may be that of RFC 4648 section 4 or 5, with padding or without, percent-encoded or broken into lines.
    """
    import base64
    import binascii
    from urllib.parse import unquote_to_bytes

    start, encoded = 0, True
    if data[:5].lower() == "data:":
        start = data.find(",") + 1
        if not start:
            return None
        encoded = data[: start - 1].lower().replace(" ", "").endswith(";base64")
    payload = data[start:]
    if encoded and len(payload) % 4 == 0 and re.match(_BASE64, payload):  # the usual case: megabytes, and no copy more
        return binascii.a2b_base64(payload) or None
    try:
        raw = unquote_to_bytes(payload) if "%" in payload else payload.encode("utf-8")
        if not encoded:
            return raw or None
        raw = raw.translate(_URL_SAFE, b" \t\r\n").rstrip(b"=")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


_BASE64 = r"[A-Za-z0-9+/]*={0,2}\Z"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _sendable(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


def _get(node: Any, name: str) -> Any:
    """The field ``name`` of a dict, a dataclass or a pydantic model; None when it has none."""
    if type(node) is dict:
        return node.get(name)
    kind = type(node)
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "model_dump"):
        return getattr(node, name, None)
    return None


def _replaced(node: Any, name: str, value: Any) -> Any:
    """``node`` with another ``name``; ``node`` itself where nothing changed. An object becomes a dict of its fields."""
    before = _get(node, name)
    if before is value or (type(value) is list and len(value) == len(before) and all(map(_same, value, before))):
        return node
    if type(node) is dict:
        return {**node, name: value}
    kind = type(node)
    fields = kind.__dataclass_fields__ if hasattr(kind, "__dataclass_fields__") else node.__dict__
    copy = {field: getattr(node, field) for field in fields}
    if getattr(kind, "__leave_out_none__", False):
        copy = {field: item for field, item in copy.items() if item is not None}
    copy[name] = value
    return copy


def _same(one: Any, other: Any) -> bool:
    return one is other
