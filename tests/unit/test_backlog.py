"""What earlier processes left, and who may send it: with real files, which hold locks that a fork multiplies."""

from __future__ import annotations

import os

import pytest

from cozeloop_lite.trace.backlog import Backlog
from cozeloop_lite.trace.pace import Pace
from cozeloop_lite.trace.spool import Record, Spool
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


def backlog(spool, post=lambda spans, pace: TAKEN, attempt=lambda upload, pace: 0):
    made = Backlog(attempt, 1 << 20, spool, post)
    made.server_is_up(True)
    return made


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
