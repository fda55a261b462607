"""The files that keep what could not be delivered: whole records, one taker, nothing fatal."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite import errors
from cozeloop_lite.trace import spool as spool_module
from cozeloop_lite.trace.machine import Machine
from cozeloop_lite.trace.spool import Record, Spool

MANY = 1 << 28  # bytes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="flock")


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "spool")


@pytest.fixture
def spool(folder):
    return Spool(folder, "http://host 7", MANY)


def spans(*numbers):
    return [Record("", b'{"n":%d}' % number, 1000 + number) for number in numbers]


def everything(taken):
    """All that is left in a file, in the order in which it was written, cut off batch by batch."""
    found = []
    while len(taken):
        count, records = taken.last(2, 1 << 20)
        found[:0] = [(record.key, record.content, record.started_us) for record in records]
        taken.drop(count)
    taken.close()
    return found


def files(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def test_what_was_written_is_read_in_the_next_process(spool, folder):
    assert spool.write(spans(1, 2)) and spool.write([Record("键", b"\0" * 1000, 5)])
    spool.close()
    taken = Spool(folder, "http://host 7", MANY).take()
    assert everything(taken) == [("", b'{"n":1}', 1001), ("", b'{"n":2}', 1002), ("键", b"\0" * 1000, 5)]
    assert files(folder) == []


def test_a_file_that_is_being_written_is_not_taken(spool, folder):
    spool.write(spans(1))
    assert Spool(folder, "http://host 7", MANY).take() is None
    assert spool.take() is None


def test_a_file_is_taken_once(spool, folder):
    spool.write(spans(1))
    spool.close()
    taken = spool.take()
    assert taken is not None and spool.take() is None
    taken.close()  # not sent: the next one gets it
    assert spool.take() is not None


def test_the_oldest_file_comes_first(spool, folder):
    for number in (1, 2):
        spool.write(spans(number))
        spool.close()
        time.sleep(0.002)  # the name has the time in ms
    assert everything(spool.take())[0][1] == b'{"n":1}'


def test_another_destination_gets_nothing(spool, folder):
    spool.write(spans(1))
    spool.close()
    assert Spool(folder, "http://host 8", MANY).take() is None


def test_what_was_accepted_is_not_read_again(spool):
    spool.write(spans(1, 2, 3))
    spool.close()
    taken = spool.take()
    taken.drop(taken.last(1, 1)[0])
    taken.close()
    assert [content for _, content, _ in everything(spool.take())] == [b'{"n":1}', b'{"n":2}']


@pytest.mark.parametrize("settled", [{1}, {2}, {3}, {1, 3}, {1, 2}])
def test_what_was_accepted_before_something_that_was_not_is_not_read_again_either(spool, settled):
    spool.write(spans(1, 2, 3))
    spool.close()
    taken = spool.take()
    _, records = taken.last(3, 1 << 20)
    taken.settle([record for record in records if record.started_us - 1000 in settled])
    taken.close()
    taken = spool.take()
    assert len(taken) == 3 - len(settled)
    assert {started_us - 1000 for _, _, started_us in everything(taken)} == {1, 2, 3} - settled


def test_a_file_of_which_all_was_accepted_is_removed(spool, folder, logged):
    spool.write(spans(1, 2))
    spool.close()
    taken = spool.take()
    taken.settle(taken.last(2, 1 << 20)[1])
    taken.close()
    taken = spool.take()
    assert len(taken) == 0
    taken.close()
    assert files(folder) == []
    assert logged() == []


def test_a_batch_keeps_to_count_and_bytes_but_has_at_least_one(spool):
    spool.write([Record("", b"x" * 1000, 1) for _ in range(5)])
    spool.close()
    taken = spool.take()
    assert taken.last(3, 1 << 20)[0] == 3
    assert taken.last(100, 2500)[0] == 2
    assert taken.last(100, 10)[0] == 1
    taken.close()


def test_only_the_owner_can_read_it(spool, folder):
    spool.write(spans(1))
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(files(folder)[0]).st_mode) == 0o600


def said(spool):
    template, args = spool.problem
    return template % args


def test_no_more_is_kept_than_fits(folder):
    spool = Spool(folder, "d", max_bytes=3000)
    record = [Record("", b"x" * 1000, 1)]
    assert spool.write(record) and spool.write(record)
    assert not spool.write(record)
    assert "spool_max_bytes is 3000" in said(spool)
    spool.close()
    assert not Spool(folder, "other", max_bytes=3000).write(record), "the folder counts, not the file"


def test_what_many_processes_keep_at_once_fits_too(folder):
    max_bytes = 1 << 20
    spools = [Spool(folder, "d", max_bytes) for _ in range(8)]
    record = Record("", b"x" * 1000, 1)
    for _ in range(max_bytes // 1000):
        for spool in spools:
            spool.write([record])
    used = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    assert 0.9 * max_bytes < used < 1.3 * max_bytes  # 8 / 32 more at most, and the last record of each


def test_a_long_file_is_followed_by_another(spool, folder, monkeypatch):
    monkeypatch.setattr(spool_module, "MAX_FILE_BYTES", 3000)
    for _ in range(4):
        assert spool.write([Record("", b"x" * 1000, 1)])
    assert len(files(folder)) == 2


def test_of_a_folder_that_cannot_be_written_to_there_is_something_to_say_and_nothing_more(tmp_path, logged):
    (tmp_path / "file").write_text("in the way")
    spool = Spool(str(tmp_path / "file"), "d", MANY)
    assert not spool.write(spans(1))
    assert spool.take() is None
    assert "cannot be written" in said(spool)
    assert logged() == [], "whoever writes may hold a lock that a handler of the log waits for"


def test_without_flock_there_is_no_spool(monkeypatch, folder):
    monkeypatch.setattr(spool_module, "fcntl", None)
    with pytest.raises(errors.InvalidParamError, match="COZELOOP_SPOOL_DIR"):
        Spool(folder, "d", MANY)


@pytest.mark.parametrize("call", ["open", "write", "rename"])
def test_a_signal_handler_in_the_middle_of_a_write_writes_a_file_of_its_own(spool, folder, monkeypatch, call):
    function, handled = getattr(os, call), []

    def interrupted(*args):
        if not handled:
            handled.append(True)
            handled.append(spool.write(spans(3, 4)))
            spool.close()
        return function(*args)

    monkeypatch.setattr(spool_module.os, call, interrupted)
    writes = threading.Thread(target=lambda: handled.append(spool.write(spans(1, 2))), daemon=True)
    writes.start()
    writes.join(10)
    assert handled == [True, True, True]
    assert spool.write(spans(5))
    spool.close()
    assert len(files(folder)) == 2
    found = [content for _ in range(2) for _, content, _ in everything(spool.take())]
    assert sorted(found) == [b'{"n":%d}' % number for number in (1, 2, 3, 4, 5)]


# -- a disk that fails ------------------------------------------------------------------------------------------------


class Clock(Machine):
    """A machine whose time passes when it is told to."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def disk(monkeypatch):
    """``disk.room``: bytes for which there is room, in all files together, from when it is set."""

    class Disk:
        room = None

        def write(self, fd, data):
            if self.room is None:
                return write(fd, data)
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = write(fd, data[: self.room])
            self.room -= written
            return written

    write, disk = os.write, Disk()
    monkeypatch.setattr(spool_module.os, "write", disk.write)
    return disk


def times(monkeypatch, name):
    """The calls of ``os.<name>`` from now on."""
    calls, function = [], getattr(os, name)
    monkeypatch.setattr(spool_module.os, name, lambda *args: [calls.append(args), function(*args)][1])
    return calls


def test_when_the_disk_becomes_full_in_the_middle_of_a_batch_none_of_it_is_kept(spool, disk):
    assert spool.write(spans(1))
    disk.room = 70  # for two more, and some of the next one
    assert not spool.write(spans(2, 3, 4))
    assert "No space left" in said(spool)
    spool.close()
    assert [content for _, content, _ in everything(spool.take())] == [b'{"n":1}']


@pytest.mark.parametrize("room", [0, 10, 17, 30])
def test_on_a_full_disk_no_files_are_left_behind(spool, folder, disk, room):
    disk.room = room
    assert not spool.write(spans(1))
    assert files(folder) == []


def test_where_there_are_no_locks_no_files_are_left_behind(spool, folder, monkeypatch):
    monkeypatch.setattr(spool_module, "_lock", lambda fd: False)
    assert not spool.write(spans(1))
    assert "no locks" in said(spool)
    assert files(folder) == []


def test_what_failed_is_not_tried_again_for_every_span(folder, disk, monkeypatch):
    clock = Clock()
    spool = Spool(folder, "d", MANY, clock)
    disk.room = 0
    looks = times(monkeypatch, "scandir")
    for _ in range(100):
        assert not spool.write(spans(1))
    assert len(looks) == 1
    assert "No space left" in said(spool)
    disk.room = None
    clock.now += spool_module.BROKEN_SECONDS
    assert spool.write(spans(1))


def test_when_the_folder_is_full_nothing_empty_is_left_and_room_that_others_make_is_seen(folder):
    clock = Clock()
    spool, other = Spool(folder, "d", 1100, clock), Spool(folder, "other", 1100)
    assert other.write([Record("", b"x" * 1000, 1)])
    other.close()
    for _ in range(10):
        assert not spool.write([Record("", b"x" * 1000, 1)])
    assert len(files(folder)) == 1
    everything(other.take())
    clock.now += spool_module.BROKEN_SECONDS
    assert spool.write([Record("", b"x" * 1000, 1)])


def test_when_a_file_fails_another_one_is_begun_at_once(spool, folder, disk):
    assert spool.write(spans(1))
    disk.room = 0
    assert not spool.write(spans(2))
    disk.room = None
    assert spool.write(spans(3))
    assert len(files(folder)) == 2


def test_a_file_that_another_process_removes_meanwhile_does_no_harm(spool, folder, monkeypatch):
    os.makedirs(folder)
    gone = os.path.join(folder, "cozeloop-gone")
    monkeypatch.setattr(Spool, "_paths", lambda self, prefix="": iter([gone]))
    assert spool.write(spans(1))


def test_what_is_written_after_the_file_was_removed_is_in_a_new_one(spool, folder):
    assert spool.write(spans(1))
    os.unlink(files(folder)[0])
    assert spool.write(spans(2)) and spool.write(spans(3))
    spool.close()
    assert len(files(folder)) == 1
    assert [content for _, content, _ in everything(spool.take())] == [b'{"n":2}', b'{"n":3}']


def test_what_is_not_ours_in_the_folder_hides_nothing_of_what_is(folder, monkeypatch):
    monkeypatch.setattr(spool_module, "MAX_FILES", 20)
    os.makedirs(folder)
    for number in range(100):
        with open(os.path.join(folder, ".cozeloop-%d" % number), "wb"):
            pass
    spool = Spool(folder, "d", 3000)
    record = [Record("", b"x" * 1000, 1)]
    kept = 0
    for _ in range(10):
        kept += spool.write(record)
        spool.close()
    assert kept == 2
    assert spool.take() is not None


def test_the_files_of_others_do_not_hide_ours(folder, monkeypatch):
    monkeypatch.setattr(spool_module, "MAX_FILES", 3)
    for _ in range(20):
        other = Spool(folder, "other", MANY)
        other.write(spans(1))
        other.close()
    spool = Spool(folder, "d", MANY)
    spool.write(spans(2))
    spool.close()
    assert everything(spool.take())[0][1] == b'{"n":2}'


def test_a_file_that_stays_does_not_hold_up_the_others(spool):
    for number in (1, 2, 3):
        spool.write(spans(number))
        spool.close()
        time.sleep(0.002)  # the name has the time in ms
    found = []
    for _ in range(4):
        taken = spool.take()
        found += [record.content for record in taken.last(1, 1)[1]]
        taken.close()
    assert found == [b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":1}']


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_file_that_cannot_be_read_is_let_go_of(spool, monkeypatch):
    spool.write(spans(1))
    spool.close()

    def fails(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(spool_module.os, "pread", fails)
    before = set(os.listdir("/proc/self/fd"))  # threads of tests before may close theirs meanwhile
    assert spool.take() is None
    assert set(os.listdir("/proc/self/fd")) <= before
    monkeypatch.undo()
    assert spool.take() is not None


# -- what a killed process, a stranger, or an enemy left there --------------------------------------------------------


@pytest.fixture
def whole(spool, folder):
    """A file of three records, as bytes."""
    spool.write(spans(1, 2, 3))
    spool.close()
    (path,) = files(folder)
    with open(path, "rb") as file:
        return path, file.read()


def test_torn_at_any_byte_only_the_record_being_written_is_lost(whole, spool, folder):
    path, data = whole
    ends = [data.index(b'{"n":%d}' % number) + 7 for number in (1, 2, 3)]
    for size in range(len(data) + 1):
        for left in files(folder):
            os.unlink(left)
        with open(path, "wb") as file:
            file.write(data[:size])
        taken = spool.take()
        assert [content for _, content, _ in everything(taken)] == [
            b'{"n":%d}' % (number + 1) for number in range(3) if size >= ends[number]
        ]
        left = files(folder)
        assert left == ([path + ".aside"] if size < ends[0] and size != len(b"cozeloop spool 1\n") else [])


def test_a_torn_file_of_which_all_the_rest_was_delivered_is_removed(whole, spool, folder):
    path, data = whole
    with open(path, "wb") as file:
        file.write(data[:-1])
    taken = spool.take()
    taken.settle(taken.last(MANY, MANY)[1])
    os.close(taken._fd)  # as if the process had ended here
    taken = spool.take()
    assert len(taken) == 0
    taken.close()
    assert files(folder) == []


def test_a_byte_that_changed_costs_records_never_the_process(whole, spool, folder):
    path, data = whole
    good = {b'{"n":1}', b'{"n":2}', b'{"n":3}'}
    for position in range(len(data)):
        for left in files(folder):
            os.unlink(left)
        with open(path, "wb") as file:
            file.write(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        found = {content for _, content, _ in everything(spool.take())}
        assert found < good


@given(st.binary(max_size=200))
def test_anything_at_all_may_be_in_a_file(tmp_path_factory, data):
    folder = str(tmp_path_factory.mktemp("spool"))
    spool = Spool(folder, "d", MANY)
    spool.write(spans(1))
    spool.close()
    (path,) = files(folder)
    with open(path, "ab") as file:
        file.write(data)
    assert everything(spool.take())[0] == ("", b'{"n":1}', 1001)


def test_what_is_set_aside_is_removed_after_a_day(spool, folder):
    os.makedirs(folder)
    path = os.path.join(folder, spool._prefix + "1-2-3")
    with open(path, "wb") as file:
        file.write(b"something else")
    taken = spool.take()
    assert len(taken) == 0
    taken.close()
    assert spool.take() is None and files(folder) == [path + ".aside"]
    os.utime(path + ".aside", (1, 1))
    assert spool.take() is None and files(folder) == []


def test_a_link_is_not_followed(spool, folder, tmp_path):
    os.makedirs(folder)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    os.symlink(str(target), os.path.join(folder, spool._prefix + "1-2-3"))
    assert spool.take() is None
    assert target.read_bytes() == b"precious"


def test_killed_while_writing_and_while_sending(folder):
    writer = """
import os, sys
from cozeloop_lite.trace.spool import Record, Spool
spool = Spool(sys.argv[1], "d", 1 << 20)
for number in range(10):
    spool.write([Record("", b"%d" % number, number)])
os.kill(os.getpid(), 9)
"""
    sender = """
import os, sys
from cozeloop_lite.trace.spool import Spool
taken = Spool(sys.argv[1], "d", 1 << 20).take()
taken.drop(taken.last(4, 1 << 20)[0])
taken.settle(taken.last(4, 1 << 20)[1][1:3])
os.kill(os.getpid(), 9)
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for script in (writer, sender):
        done = subprocess.run([sys.executable, "-c", script, folder], cwd=root, stderr=subprocess.PIPE)
        assert done.returncode == -9, done.stderr
    assert [content for _, content, _ in everything(Spool(folder, "d", MANY).take())] == [b"0", b"1", b"2", b"5"]


def test_many_processes_take_each_file_once(folder):
    for number in range(20):
        spool = Spool(folder, "d", MANY)
        spool.write([Record("", b"%d" % number, number)])
        spool.close()
    script = """
import sys
from cozeloop_lite.trace.spool import Spool
spool = Spool(sys.argv[1], "d", 1 << 20)
sys.stdin.readline()
while True:
    taken = spool.take()
    if taken is None:
        break
    count, records = taken.last(100, 1 << 20)
    for record in records:
        print(record.content.decode())
    taken.drop(count)
    taken.close()
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-c", script, folder]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe) for _ in range(4)]
    printed = [process.communicate(b"go\n")[0].split() for process in processes]
    assert sorted(int(number) for numbers in printed for number in numbers) == list(range(20))
    assert files(folder) == []
