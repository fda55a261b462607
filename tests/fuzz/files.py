"""Files that an earlier process left: spooled spans, and the snapshot of prompts."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile

from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.prompt.snapshot import FORMAT, MAX_BYTES, SnapshotFile
from cozeloop_lite.trace import spool
from cozeloop_lite.trace.spool import Record, Spool

from . import values
from .feed import Feed, example
from .reader import Reader


@functools.lru_cache(maxsize=None)
def _folder(pid):
    """A folder of this process, in memory where that is possible."""
    memory = "/dev/shm"
    folder = tempfile.mkdtemp(prefix="cozeloop-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _put(name, content):
    path = os.path.join(_folder(os.getpid()), name)
    with open(path, "wb") as file:
        file.write(content)
    return path


# -- the spool --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _spool(folder):
    return Spool(folder, "", 1 << 30)


def fuzz_spool(data):
    """All records before the first broken byte are found, each once, and the file is gone afterwards."""
    feed = Feed(data)
    count, size = feed.number(8) + 1, feed.number(2000)
    content = feed.rest()
    folder = _folder(os.getpid())
    path = _put(_spool(folder)._prefix + "1", content)
    taken = _spool(folder).take()
    found = []
    while len(taken):
        left = len(taken)
        number, records = taken.last(count, size)
        assert 1 <= number <= left
        assert len(records) <= number
        assert all(type(record.content) is bytes and type(record.key) is str for record in records)
        assert all(record.pack() in content or "\ufffd" in record.key for record in records)
        found += [(record.key, record.content) for record in reversed(records)]
        taken.drop(number)
        assert len(taken) == left - number
    foreign = taken._foreign
    taken.close()
    assert not os.path.exists(path)
    assert os.path.exists(path + ".aside") == foreign
    if foreign:
        os.unlink(path + ".aside")
    sound = [(record.key, record.content) for record in _sound(content)]
    assert found[::-1][: len(sound)] == sound


def _sound(content):
    """The records from the beginning on, as far as they are whole."""
    if not content.startswith(spool._MAGIC):
        return
    position = len(spool._MAGIC)
    while True:
        head = content[position : position + spool._HEAD.size]
        if len(head) < spool._HEAD.size:
            return
        key_size, size, started, _ = spool._HEAD.unpack(head)
        start = position + spool._HEAD.size
        key, body = content[start : start + key_size], content[start + key_size : start + key_size + size]
        record = Record(key.decode("utf-8", "replace"), body, started)
        end = start + key_size + size
        if record.pack() != content[position:end] or key.decode("utf-8", "replace").encode("utf-8") != key:
            return
        yield record
        position = end


# -- the snapshot -----------------------------------------------------------------------------------------------------

_OWNER = "https://api.coze.cn 7"


def fuzz_snapshot(data):
    feed = Feed(data)
    packed, writes = feed.flag(), feed.number(4) == 0
    content = feed.rest()
    if packed:
        content = json.dumps(values.decode(content, _WORDS)).encode("ascii")
    path = _put("snapshot", content)
    file = SnapshotFile(path, _OWNER, 3)
    kept = file.read()
    assert len(kept) <= 3
    for (key, version, label), prompt in kept:
        assert key
        assert {str} == {type(key), type(version), type(label)}
        assert type(prompt) is Prompt
    if writes:
        others = {owner: section for owner, section in file._sections().items() if owner != _OWNER}
        file.write(kept)
        with open(path, "rb") as written:
            whole = json.loads(written.read(MAX_BYTES).decode("ascii"))
        assert whole["format"] == FORMAT
        assert whole["owners"][_OWNER]["saved_at"] > 1_750_000_000  # it is a new one
        assert values.same({**whole["owners"], _OWNER: None}, {**others, _OWNER: None})
        assert [query for query, _ in file.read()] == [query for query, _ in kept]
        assert values.same(*[[prompt.to_dict() for _, prompt in prompts] for prompts in (file.read(), kept)])


# -- examples ---------------------------------------------------------------------------------------------------------

_RECORDS = [
    Record("", b'{"span_id":"a","input":"hello"}', 1700000000000000),
    Record("0123456789abcdef_i00", b"\x89PNG\r\n", 1700000000000000),
    Record("", b'{"span_id":"b"}', -1),
    Record("", b"", 0),
]
_SPOOL = spool._MAGIC + b"".join(record.pack() for record in _RECORDS)
_MANY = spool._MAGIC + _RECORDS[2].pack() * 20

_KEPT = {
    "prompt_key": "a",
    "version": "",
    "label": "",
    "prompt": {"prompt_key": "a", "version": "1", "prompt_template": {"messages": [{"role": "user", "content": "a"}]}},
}
_SECTION = {"saved_at": 1700000000, "prompts": [_KEPT, {**_KEPT, "version": "1"}, {**_KEPT, "label": "beta"}, _KEPT]}
_SNAPSHOTS = (
    {"format": FORMAT, "owners": {_OWNER: _SECTION}},
    {"format": FORMAT, "owners": {"another": _SECTION, _OWNER: {"saved_at": 1, "prompts": []}, "\ud800": _SECTION}},
    {"format": "cozeloop_lite prompts 2", "owners": {}},
)
_WORDS = (
    *("format", FORMAT, "owners", _OWNER, "another", "saved_at", "prompts", "prompt_key", "version", "label", "prompt"),
    *("prompt_template", "messages", "role", "user", "content", "a", "beta"),
)

READERS = [
    Reader(
        "spool",
        fuzz_spool,
        [example(content, count, 0, 200) for content in (_SPOOL, _MANY, _SPOOL[:-3], b"") for count in (0, 7)],
        (spool._MAGIC, *(record.pack() for record in _RECORDS), b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0" * 18),
        seconds=2.0,
    ),
    Reader(
        "snapshot",
        fuzz_snapshot,
        [
            *[example(json.dumps(snapshot), 0, writes) for snapshot in _SNAPSHOTS for writes in (0, 1)],
            *[example(values.encode(snapshot, _WORDS), 1, writes) for snapshot in _SNAPSHOTS for writes in (0, 1)],
        ],
        (b'"saved_at":', b'"prompts":[', b"[" * 60, b"NaN", b"\\ud800", b"9" * 21, *values.WORDS),
        seconds=2.0,
    ),
]
