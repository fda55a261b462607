"""What earlier processes left, and what becomes of files at the end: with real files, and locks that a fork multiplies.

A server is played by ``post`` and ``attempt``, which stand for one request each.
"""

from __future__ import annotations

import errno
import os
import time

import pytest

from cozeloop_lite.trace import spool as spool_module
from cozeloop_lite.trace.backlog import LOOK_SECONDS, Backlog
from cozeloop_lite.trace.machine import Machine
from cozeloop_lite.trace.pace import Pace
from cozeloop_lite.trace.spool import Record, Spool
from cozeloop_lite.trace.uploads import Uploads
from cozeloop_lite.trace.verdicts import AGAIN, TAKEN

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and flock")


@pytest.fixture
def open_spool(tmp_path):
    """``open_spool()``: as another process would have it."""
    return lambda: Spool(str(tmp_path / "spool"), "http://host 7", 1 << 28)


@pytest.fixture
def left(open_spool):
    """Something that an earlier process left."""
    spool = open_spool()
    far = 1 << 52  # µs: it does not become too old
    assert spool.write([Record("", b'{"n":1}', far), Record("key", b"content", far)])
    spool.close()


class Clock(Machine):
    """A machine whose time passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


def backlog(spool, post=lambda spans, pace: TAKEN, attempt=lambda upload, pace: 0, machine=None):
    made = Backlog(attempt, 1 << 20, spool, post, machine or Clock())
    made.server_is_up(True)
    return made


def contents(spool):
    """All that is in the spool."""
    spool.close()
    found = []
    for _ in range(len(os.listdir(spool._folder))):
        taken = spool.take()
        if taken is not None:
            found += [record.content for record in taken.last(100, 1 << 20)[1]]
            taken.close()
    return sorted(found)


def test_a_forked_child_does_not_keep_others_from_a_file_that_its_parent_was_sending(open_spool, left):
    answers = iter([AGAIN])
    to_child, to_parent = os.pipe(), os.pipe()

    def post(spans, pace):
        child = os.fork()
        if not child:
            try:
                mine.reset()  # as the queue does in a child
                os.write(to_parent[1], b"x")
                os.read(to_child[0], 1)
            finally:
                os._exit(0)
        children.append(child)
        assert os.read(to_parent[0], 1) == b"x"
        return next(answers)

    children = []
    mine = backlog(open_spool(), post)
    mine.step(Pace())  # the file is let go of: the server is down
    try:
        taken = open_spool().take()
        assert taken is not None, "the child still has a hold on its lock"
        taken.close()
    finally:
        os.write(to_child[1], b"x")
        os.waitpid(children[0], 0)


def test_when_it_is_released_others_may_send_what_it_held(open_spool, left):
    mine = backlog(open_spool(), attempt=lambda upload, pace: 1.0)
    mine.step(Pace())  # the file fails, and is kept for later
    assert mine.keep([(1 << 52, b'{"n":2}', {})])
    other = open_spool()
    assert other.take() is None
    mine.release()
    taken = other.take()
    assert taken is not None
    assert [record.content for record in taken.last(100, 1 << 20)[1]] == [b"content", b'{"n":2}']
    taken.close()


# -- what is sent, and what is not ------------------------------------------------------------------------------------


def test_spans_on_which_the_server_hangs_do_not_hold_up_those_that_live(open_spool, left):
    posted = []
    clock = Clock()
    mine = backlog(open_spool(), lambda spans, pace: posted.append(spans) or AGAIN, machine=clock)
    for _ in range(50):
        mine.step(Pace())
        mine.server_is_up(True)  # as the spans show that came meanwhile
    assert len(posted) == 1
    assert not mine.left_by_others()
    assert mine.wait() == LOOK_SECONDS
    clock.now += LOOK_SECONDS
    mine.step(Pace())
    assert len(posted) == 2


def test_spans_on_which_the_server_hangs_do_not_hold_up_those_in_other_files(open_spool):
    for number in (1, 2):
        spool = open_spool()
        assert spool.write([Record("", b"%d" % number, 1 << 52)])
        spool.close()
        time.sleep(0.002)  # the name has the time in ms
    posted = []

    def post(spans, pace):
        posted.extend(spans)
        return AGAIN if spans == [b"1"] else TAKEN

    clock = Clock()
    mine = backlog(open_spool(), post, machine=clock)
    mine.step(Pace())
    mine.server_is_up(True)
    clock.now += LOOK_SECONDS
    mine.step(Pace())
    assert posted == [b"1", b"2"]


def test_a_file_that_the_server_refuses_is_not_counted_as_sent(open_spool, left):
    mine = backlog(open_spool(), attempt=lambda upload, pace: -1)
    mine.step(Pace())
    assert (mine.replayed, mine.replay_lost) == (1, 1)


def test_a_file_is_tried_again_when_the_server_wants_it_so_whatever_is_kept_meanwhile(open_spool, left):
    clock, tried = Clock(), []

    def attempt(upload, pace):
        tried.append(clock.now)
        upload.patient = True
        return 100.0

    mine = backlog(open_spool(), attempt=attempt, machine=clock)
    for _ in range(110):
        mine.step(Pace())
        assert mine.keep([(1 << 52, b'{"n":2}', {})])
        clock.now += 1
    assert tried[0] == 1000
    assert tried[1] >= 1100


@pytest.mark.parametrize("call", ["pread", "ftruncate"])
def test_a_disk_that_fails_is_not_asked_again_at_once(open_spool, left, monkeypatch, logged, call):
    posted = []
    mine = backlog(open_spool(), lambda spans, pace: posted.append(spans) or TAKEN)

    def fails(*args):
        raise OSError(errno.EIO, "Input/output error")

    taken = mine._taken = mine._take()
    monkeypatch.setattr(spool_module.os, call, fails)
    for _ in range(10):
        mine.step(Pace())
    assert mine._taken is None and taken is not None
    assert len(posted) <= 1
    assert mine.wait() == LOOK_SECONDS
    assert len(logged()) == 1


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [1.0, 0, -1])
def test_what_is_being_uploaded_when_the_end_comes_is_kept_like_what_waits_behind_it(open_spool, answer):
    said = []

    def attempt(upload, pace):
        said.extend(mine.abandon("shutdown"))  # what another thread does meanwhile
        return answer

    mine = backlog(open_spool(), attempt=attempt)
    mine.add("first", b"1")
    mine.add("second", b"2")
    mine.step(Pace())
    assert [template % args for template, args in said] == [
        "2 files could not be uploaded in time, and are kept in spool_dir"
    ]
    assert mine.stats() == {"delivered": 0, "queued": 0, "dropped": {"spooled": 2}}
    assert mine.done_with(2)
    assert mine.wait() is None
    mine.release()
    assert contents(open_spool()) == [b"1", b"2"]


@pytest.mark.parametrize("spooled", [False, True])
def test_a_file_that_comes_after_the_end_is_kept_or_lost_at_once(open_spool, spooled):
    """Its span was on the way when all was given up, and was accepted: nobody will come for the file."""
    attempts = []
    attempt = lambda upload, pace: attempts.append(upload) or 0  # noqa: E731
    mine = backlog(open_spool(), attempt=attempt) if spooled else Uploads(attempt, 9999)
    assert mine.abandon("shutdown") == []
    mine.add("late", b"1")
    mine.step(Pace())
    mine.release()
    assert attempts == []
    assert mine.stats() == {"delivered": 0, "queued": 0, "dropped": {"spooled" if spooled else "shutdown": 1}}
    assert not spooled or contents(open_spool()) == [b"1"]


def test_where_nothing_can_be_kept_the_files_are_lost_and_whoever_gives_up_says_so(tmp_path, logged):
    (tmp_path / "file").write_text("in the way")
    mine = backlog(Spool(str(tmp_path / "file"), "d", 1 << 20))
    mine.add("key", b"1")
    said = [template % args for template, args in mine.abandon("shutdown")]
    assert "spool_dir cannot be written to" in said[0]
    assert said[1:] == ["1 files could not be uploaded in time: they are lost"]
    assert mine.stats() == {"delivered": 0, "queued": 0, "dropped": {"shutdown": 1}}
    assert logged() == [], "a lock is held, and a handler of the log may wait for it"


def test_nothing_to_give_up_is_not_counted():
    files = Uploads(lambda upload, pace: 0, 1 << 20)
    assert files.abandon("shutdown") == []
    assert files.stats() == {"delivered": 0, "queued": 0, "dropped": {}}


class PutsBack(Clock):
    """``then`` happens when the time is asked for, as it is before a file that failed is put back."""

    then = staticmethod(lambda: None)

    def monotonic(self):
        self.then()
        return super().monotonic()


@pytest.mark.parametrize("spooled", [False, True])
def test_a_file_that_is_put_back_while_another_thread_gives_up_is_counted(open_spool, spooled):
    machine = PutsBack()

    def attempt(upload, pace):
        machine.then = lambda: files.abandon("shutdown")
        return 1.0

    files = backlog(open_spool(), attempt=attempt, machine=machine) if spooled else Uploads(attempt, 9999, machine)
    files.add("key", b"1")
    files.step(Pace())
    machine.then = lambda: None
    assert files.stats() == {"delivered": 0, "queued": 0, "dropped": {"spooled" if spooled else "shutdown": 1}}
    assert files.done_with(1)


def test_without_a_spool_what_is_being_uploaded_at_the_end_may_still_arrive(logged):
    said = []

    def attempt(upload, pace):
        said.extend(files.abandon("shutdown"))
        return 0

    files = Uploads(attempt, 9999)
    files.add("first", b"1")
    files.add("second", b"2")
    files.step(Pace())
    assert [template % args for template, args in said] == ["2 files could not be uploaded in time: they are lost"]
    assert logged() == []
    assert files.stats() == {"delivered": 1, "queued": 0, "dropped": {"shutdown": 1}}
