"""Files inside the input and output of a model: ``data:`` URLs, and what they are lifted out of."""

from __future__ import annotations

import base64
import json
import textwrap
from urllib.parse import quote

from cozeloop_lite.trace import media

from . import values
from .feed import Feed, as_text, example
from .reader import Reader

# Each says the same bytes (RFC 2397, RFC 4648).
_FORMS = (
    lambda content: "data:;base64," + base64.b64encode(content).decode("ascii"),
    lambda content: base64.b64encode(content).decode("ascii"),
    lambda content: "DATA:image/png ;a=b; BASE64," + base64.urlsafe_b64encode(content).decode("ascii"),
    lambda content: "data:x/y;base64," + base64.b64encode(content).decode("ascii").rstrip("="),
    lambda content: "data:x/y;base64,\r\n" + "\r\n ".join(textwrap.wrap(base64.b64encode(content).decode("ascii"), 60)),
    lambda content: "data:x/y;base64," + quote(base64.b64encode(content).decode("ascii"), safe=""),
    lambda content: "data:text/plain;charset=utf-8," + quote(content, safe=""),
)


def fuzz_decode(data):
    feed = Feed(data)
    content, form = feed.rest(), feed.pick(_FORMS)
    found = media.decode(as_text(content))
    assert found is None or (type(found) is bytes and found)
    assert media.decode(form(content)) == (content or None)
    assert media.decode(_FORMS[0](content) + "!") is None


def fuzz_lift(data):
    """What is lifted out and put in place again: each upload is named in the text, and nothing else has changed."""
    feed = Feed(data)
    value = values.decode(feed.rest(), _WORDS)
    before = json.dumps(value)
    lifter = media.Lifter("input", lambda: "0" * 24)
    lifted = lifter.lift(value)
    assert json.dumps(value) == before
    assert len(lifter.parts) <= media.MAX_LIFTED
    text = json.dumps(lifted, ensure_ascii=False)
    files = media.Files("0" * 24)
    placed = files.place(text, lifter.parts)
    if not files.uploads:
        assert lifter.notes or not lifter.parts or _without_files(value, placed)
    storage, dropped = files.storage()
    assert len(storage.encode("utf-8")) <= media.MAX_STORAGE_BYTES
    assert json.loads(placed) is not None or lifted is None
    assert all(key in placed for key in (*files.uploads, *dropped))
    assert all(type(content) is bytes and content for content in files.uploads.values())
    named = {entry["tos_key"] for entry in json.loads(storage or "{}").get("Attachments", ())}
    assert named == set(files.uploads)
    assert named.isdisjoint(dropped)
    assert len(files.large("output", data.decode("utf-8", "replace"), 100)) <= media.SHOWN_CHARS


def _without_files(value, placed):
    """What is no file is back where it was."""
    return values.same(json.loads(placed), json.loads(json.dumps(value)))


# -- examples ---------------------------------------------------------------------------------------------------------

_GIF = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
_WORDS = (
    *media._LISTS,
    *media._PARTS,
    *(name for holder in media._HOLDERS for name in holder),
    *(name for name, _ in media._DIRECT),
    *("message", "type", "text", "role", "user", "name", "filename", "a.png", _GIF, "data:text/plain,hello", "YWJj"),
    *("https://example.com/x.png", "data:", "data:;base64,", "data:;base64,!", "base64_data"),
)
_PARTS = [
    {"type": "image_url", "image_url": {"url": _GIF, "name": "a.png"}},
    {"type": "image_url", "image_url": _GIF},
    {"type": "file", "file": {"file_data": "data:text/plain,hello", "filename": "ä.txt"}},
    {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
    {"type": "base64_data", "base64_data": "data:;base64,!"},
]
_VALUES = (
    {"messages": [{"role": "user", "content": _PARTS}, {"role": "user", "content": "hello"}]},
    {"choices": [{"message": {"role": "user", "parts": _PARTS[:2]}}]},
    {"input": [{"content": _PARTS[2:]}], "output": [{"parts": _PARTS}]},
    {"output": [{"parts": [{"file_url": {"url": "data:,%d" % number, "name": "x" * 40}} for number in range(20)]}]},
)

READERS = [
    Reader(
        "data url",
        fuzz_decode,
        [
            *[example(text, form) for form in range(len(_FORMS)) for text in (_GIF, "YWJj\r\nZGU", "data:,a%20b")],
            *[example(_GIF.replace("=", "%3D"), 0), example("data:text/plain;charset=utf-8;base64 ,YQ", 1)],
        ],
        (b"data:", b";base64,", b";base64;", b"%3d", b"%", b"%zz", b"=", b"-_", b","),
    ),
    Reader("media", fuzz_lift, [values.encode(value, _WORDS) for value in _VALUES], values.WORDS),
]
