"""The files that a span refers to: their keys in ``object_storage``, and what the platform makes of them.

Contract backend.md 2.6: the key is the bare name of an upload, without the workspace; where no such file is, the
platform shows nothing, and says nothing. A file may arrive after its span, so this is looked at when a span is read.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def links(object_storage: str) -> list[dict[str, str]]:
    """The files in the field ``object_storage``, in order: ``key``, and what is said about it, ``field``, ``name`` and
    ``type``. None when it does not parse.
    """
    try:
        storage: Any = json.loads(object_storage) if object_storage else {}
    except (ValueError, RecursionError):
        return []
    if not isinstance(storage, dict):
        return []
    fields = {name.lower(): value for name, value in storage.items()}  # the server matches names in any case
    found: list[Any] = [
        {"tos_key": fields.get(f"{field}_tos_key"), "field": field, "type": "text"} for field in ("input", "output")
    ]
    attachments = fields.get("attachments")
    found += attachments if isinstance(attachments, list) else []
    return [
        {"key": entry["tos_key"], **{name: _text(entry.get(name)) for name in ("field", "name", "type")}}
        for entry in found
        if isinstance(entry, dict) and _text(entry.get("tos_key"))
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def keys(object_storage: str) -> list[str]:
    """The keys in the field ``object_storage``, in order."""
    return [link["key"] for link in links(object_storage)]


def warnings(object_storage: str, has_file: Callable[[str], bool]) -> list[str]:
    """What is wrong with the files of a span, in plain words."""
    found = []
    for key in keys(object_storage):
        if "/" in key:
            text = "the key %.100r has a slash: uploads are stored under their base name, without the workspace"
            found.append(text % key)
        elif not has_file(key):
            text = "no file was uploaded under the key %.100r so far: the platform would show nothing there"
            found.append(text % key)
    return found


_IMAGES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


def image_type(content: bytes) -> str:
    """The media type of an image that a browser may show; "" for anything else, whatever its name says."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _IMAGES if content.startswith(start)), "")
