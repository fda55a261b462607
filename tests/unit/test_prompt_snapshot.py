"""The file that keeps prompts for the next start: replaced as a whole, shared by workspaces, and never trusted."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest

from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.prompt import snapshot as snapshot_module
from cozeloop_lite.prompt.cache import Entry, PromptCache
from cozeloop_lite.prompt.snapshot import Snapshot, SnapshotFile
from support.platform import prompt, text_of


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "prompts.json")


def file_of(path, owner="http://platform 7", max_count=100):
    return SnapshotFile(path, owner, max_count)


def kept(count=2, text="text %d"):
    return [
        (("key%d" % number, "", ""), Prompt.from_dict(prompt("key%d" % number, "0.0.1", text % number)))
        for number in range(count)
    ]


def read(path, **options):
    return {query: text_of(prompt) for query, prompt in file_of(path, **options).read()}


# -- writing and reading --------------------------------------------------------------------------------------------


def test_what_was_written_is_read(path):
    prompts = kept(3)
    file_of(path).write(prompts)
    assert file_of(path).read() == prompts


def test_keys_versions_labels_and_texts_of_any_kind_survive(path):
    prompts = [
        (("a:b", "0.0.1", ""), Prompt(prompt_key="a:b")),
        (("中文", "", "生产"), Prompt.from_dict(prompt("中文", "1", "你好 \u2028 \ud800 😀"))),
        (("x", "", ""), Prompt.from_dict({"prompt_key": "x", "new_field": {"a": [1]}, "security_level": "L9"})),
    ]
    file_of(path).write(prompts)
    assert file_of(path).read() == prompts
    assert file_of(path).read()[2][1].to_dict()["new_field"] == {"a": [1]}


def test_only_its_owner_may_read_the_file(path):
    before = os.umask(0)
    try:
        file_of(path).write(kept())
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 or os.name == "nt"


def test_nothing_else_is_left_in_the_folder(path, tmp_path):
    file_of(path).write(kept())
    file_of(path).write(kept())
    assert os.listdir(str(tmp_path)) == ["prompts.json"]


def test_no_file_is_no_prompts_and_no_word(path, logged):
    assert read(path) == {}
    assert logged() == []


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path, logged):
    nowhere = str(tmp_path / "no such folder" / "prompts.json")
    file_of(nowhere).write(kept())
    assert len(logged()) == 1
    assert "prompt_snapshot" in logged()[0]
    assert nowhere in logged()[0]


def test_when_writing_fails_the_old_file_stays_and_no_other_does(path, tmp_path, monkeypatch):
    file_of(path).write(kept(1))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    file_of(path).write(kept(2))
    monkeypatch.undo()
    assert len(read(path)) == 1
    assert os.listdir(str(tmp_path)) == ["prompts.json"]


# -- who shares it --------------------------------------------------------------------------------------------------


def test_two_workspaces_share_a_file(path):
    file_of(path, "http://a 7").write(kept(1, "of a %d"))
    file_of(path, "http://b 7").write(kept(1, "of b %d"))
    assert read(path, owner="http://a 7") == {("key0", "", ""): "of a 0"}
    assert read(path, owner="http://b 7") == {("key0", "", ""): "of b 0"}
    assert read(path, owner="http://a 8") == {}


def test_the_workspaces_that_were_written_last_have_room(path, monkeypatch):
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(snapshot_module, "time", lambda: next(clock))
    monkeypatch.setattr(snapshot_module, "MAX_BYTES", 3000)
    for owner in "abcdefg":
        file_of(path, owner).write(kept(2))
    assert os.path.getsize(path) <= 3000
    there = [owner for owner in "abcdefg" if read(path, owner=owner)]
    assert 1 < len(there) < 7
    assert there == list("abcdefg")[-len(there) :]


def test_a_file_is_never_larger_than_it_may_be_to_be_read(path, monkeypatch):
    monkeypatch.setattr(snapshot_module, "MAX_OWN_BYTES", 2000)
    prompts = kept(50)
    prompts[1] = (prompts[1][0], Prompt(prompt_key="key1", description="x" * 5000))
    file_of(path).write(prompts)
    assert os.path.getsize(path) < 2200
    written = [query[0] for query, _ in file_of(path).read()]
    assert written == ["key0", *("key%d" % number for number in range(2, len(written) + 1))]
    assert len(written) > 2


def test_no_more_prompts_are_read_than_are_kept(path):
    file_of(path).write(kept(10))
    assert list(read(path, max_count=3)) == [("key0", "", ""), ("key1", "", ""), ("key2", "", "")]


def test_many_who_write_at_once_never_leave_half_a_file(path):
    file_of(path).write(kept(1))
    done = threading.Event()
    failures = []

    def write(number):
        for _ in range(30):
            file_of(path, "owner %d" % number).write(kept(20, "%d" + " x" * 500))

    def look():
        while not done.is_set():
            with open(path, "rb") as file:
                try:
                    json.loads(file.read().decode("utf-8"))
                except ValueError as problem:
                    failures.append(problem)

    reader = threading.Thread(target=look)
    reader.start()
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert failures == []


# -- a file that is none --------------------------------------------------------------------------------------------


def test_a_file_torn_at_any_byte_is_ignored(path, logged):
    file_of(path).write(kept(2))
    with open(path, "rb") as file:
        whole = file.read()
    for size in range(len(whole) - 1):  # the last byte is a line break
        with open(path, "wb") as file:
            file.write(whole[:size])
        assert read(path) == {}, size
    assert len(logged()) == 1
    assert "is ignored" in logged()[0]


def put(path, content):
    with open(path, "wb") as file:
        file.write(content)


def owners(**sections):
    return json.dumps({"format": snapshot_module.FORMAT, "owners": sections}).encode("utf-8")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'{"format":"another"}',
        b'{"format":"cozeloop_lite prompts 1"}',
        b'{"format":"cozeloop_lite prompts 1","owners":[]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 1_000_000,
        b'{"format":"cozeloop_lite prompts 1","owners":{"o":{"saved_at":' + b"9" * 100_000 + b"}}}",
        b"-----BEGIN PRIVATE KEY-----",
    ],
    ids=range(15),
)
def test_a_file_of_any_other_kind_is_ignored_with_a_warning(path, logged, content):
    put(path, content)
    assert read(path) == {}
    assert len(logged()) == 1
    file_of(path).write(kept(1))
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    "section",
    [
        None,
        [],
        {},
        {"saved_at": "x", "prompts": []},
        {"saved_at": 1, "prompts": {}},
        {"saved_at": 1, "prompts": [None, 5, [], {}, {"prompt": {}}, {"prompt_key": "a", "prompt": {}}]},
        {"saved_at": 1, "prompts": [{"prompt_key": "", "version": "", "label": "", "prompt": {}}]},
        {"saved_at": 1, "prompts": [{"prompt_key": ["a"], "version": "", "label": "", "prompt": {}}]},
        {"saved_at": 1, "prompts": [{"prompt_key": "a", "version": None, "label": "", "prompt": {}}]},
        {"saved_at": 1, "prompts": [{"prompt_key": "a", "version": "", "label": "", "prompt": "x"}]},
    ],
    ids=range(10),
)
def test_what_is_unsound_inside_is_left_out(path, section):
    put(path, owners(**{"http://platform 7": section, "sound": {"saved_at": 1, "prompts": []}}))
    assert read(path) == {}
    file_of(path).write(kept(1))
    assert len(read(path)) == 1


def test_a_hostile_prompt_is_read_as_far_as_it_is_one(path):
    hostile = {"prompt_key": {"a": []}, "prompt_template": {"messages": [5, {"role": 7}]}, "tools": "x", "x": [[[]]]}
    item = {"prompt_key": "a", "version": "", "label": "", "prompt": hostile}
    put(path, owners(**{"http://platform 7": {"saved_at": 1, "prompts": [item]}}))
    ((query, found),) = file_of(path).read()
    assert query == ("a", "", "")
    assert isinstance(found, Prompt)


def test_a_huge_file_is_not_read(path, monkeypatch, logged):
    monkeypatch.setattr(snapshot_module, "MAX_BYTES", 1000)
    file_of(path).write(kept(100))
    put(path, b" " * 1001)
    assert read(path) == {}
    assert "1000 bytes" in logged()[-1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hold_up_the_program(path, logged):
    os.mkfifo(path)
    assert read(path) == {}
    assert "no regular file" in logged()[0]


def test_a_folder_is_ignored(path, logged):
    os.mkdir(path)
    for _ in range(3):
        assert read(path) == {}
    file_of(path).write(kept(1))
    assert len(logged()) == 2
    assert os.listdir(path) == []


# -- the cache behind it --------------------------------------------------------------------------------------------


def cache_with(prompts):
    cache = PromptCache(5)
    for query, given in reversed(prompts):
        cache.put(query, Entry(given))
    return cache


def test_without_a_path_there_is_no_snapshot():
    cache = cache_with(kept(1))
    snapshot = Snapshot("", "owner", cache)
    snapshot.load()
    snapshot.outdate()
    snapshot.save()
    assert not snapshot


def test_it_is_written_only_when_something_changed(path):
    snapshot = Snapshot(path, "owner", cache_with(kept(2)))
    snapshot.save()
    assert not os.path.exists(path)
    snapshot.outdate()
    snapshot.save()
    assert len(read(path, owner="owner")) == 2
    os.unlink(path)
    snapshot.save()
    assert not os.path.exists(path)


def test_it_is_read_once_into_the_reserve(path):
    file_of(path, "owner").write(kept(2))
    cache = PromptCache(5)
    snapshot = Snapshot(path, "owner", cache)
    snapshot.load()
    assert cache.get(("key0", "", "")) is None
    assert (text_of(cache.reserve(("key0", "", "")).prompt), cache.reserve(("key0", "", "")).source) == (
        "text 0",
        "snapshot",
    )
    cache.drop(("key0", "", ""))
    snapshot.load()
    assert cache.reserve(("key0", "", "")) is None


def test_what_a_process_did_not_use_is_not_lost_when_it_writes(path):
    file_of(path, "owner").write(kept(3, "old %d"))
    snapshot = Snapshot(path, "owner", cache_with(kept(1, "new %d")))
    snapshot.outdate()
    snapshot.save()
    assert list(read(path, owner="owner").values()) == ["new 0", "old 1", "old 2"]


def test_whoever_saves_waits_for_the_thread_that_writes(path, monkeypatch):
    writing, go_on, seen = threading.Event(), threading.Event(), []
    replace = os.replace

    def slow_replace(source, target):
        writing.set()
        assert go_on.wait(10)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow_replace)
    cache = cache_with(kept(1))
    snapshot = Snapshot(path, "owner", cache)
    snapshot.outdate()
    first = threading.Thread(target=snapshot.save)
    first.start()
    assert writing.wait(10)
    second = threading.Thread(target=lambda: (snapshot.save(), seen.extend(os.listdir(os.path.dirname(path)))))
    second.start()
    snapshot.load()  # a prompt that is asked for meanwhile does not wait
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    for thread in (first, second):
        thread.join(10)
    assert seen == [os.path.basename(path)]


def test_it_has_no_more_prompts_than_the_cache(path):
    file_of(path, "owner").write(kept(5, "old %d"))
    cache = cache_with([(("new%d" % number, "", ""), Prompt()) for number in range(4)])
    snapshot = Snapshot(path, "owner", cache)
    snapshot.outdate()
    snapshot.save()
    assert [query[0] for query, _ in file_of(path, "owner").read()] == ["new0", "new1", "new2", "new3", "key0"]


class Process:
    """A process with a cache, that writes ``path`` with each prompt it gets."""

    def __init__(self, path):
        self._cache = PromptCache(5)
        self.snapshot = Snapshot(path, "owner", self._cache)

    def get(self, key, text):
        self._cache.put((key, "", ""), Entry(Prompt.from_dict(prompt(key, "0.0.1", text))))
        self.snapshot.outdate()
        self.snapshot.save()


def test_what_another_process_wrote_meanwhile_is_neither_lost_nor_older_than_it_had_it(path):
    web, worker = Process(path), Process(path)
    worker.get("shared", "old")
    web.get("of the web", "x")
    worker.get("shared", "new")
    worker.get("of the worker", "y")
    web.get("last", "z")
    texts = {query[0]: text for query, text in read(path, owner="owner").items()}
    assert texts == {"shared": "new", "of the web": "x", "of the worker": "y", "last": "z"}


def test_what_was_dropped_does_not_come_back_from_the_file(path):
    Process(path).get("deleted", "old")
    process = Process(path)
    process.get("kept", "x")
    assert process.snapshot.drop(("deleted", "", "")) is True
    process.snapshot.save()
    assert list(read(path, owner="owner")) == [("kept", "", "")]
    process.get("more", "y")
    assert sorted(key for key, _, _ in read(path, owner="owner")) == ["kept", "more"]
