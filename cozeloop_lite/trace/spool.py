"""What could not be delivered is kept in files, which the next client on this machine sends. Opt-in: ``spool_dir``.

A file has one writer, which appends whole records and holds a lock on the file as long as it lives. Whoever gets the
lock of a file that nobody writes any more may send it, one process at a time, from its end. What was accepted is cut
off, or, while something next to it was not, marked as done with. So a process that is killed, at any byte, loses at
most the record it was writing, and what was accepted is not sent again. What cannot be read is set aside, never fatal.
Files hold what the spans hold: their owner alone can read them, and no token is in them.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import os
import stat
import struct
import threading
import time
import zlib

from .. import errors, logger, process
from .machine import REAL, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_RECORD_BYTES = 32 * 1024 * 1024  # more than any span, and than the largest file the server takes
MAX_FILE_BYTES = 64 * 1024 * 1024  # then a new one is begun
MAX_FILES = 10_000  # of ours in the folder that are looked at, among ten times as many of anybody's
COUNTS = 32  # times that one process, while it fills the folder, looks at what others have written there
BROKEN_SECONDS = 5.0  # between two attempts to begin a file where that fails, or where there is no room
KEEP_ASIDE_SECONDS = 24 * 3600  # how long what could not be read is kept, for whoever wants to know

_MAGIC = b"cozeloop spool 1\n"
# Length of the key, length of the content, when the span started (µs since the epoch), CRC-32 of all that and the rest
_HEAD = struct.Struct(">HIqI")
_TIME_AT = struct.calcsize(">HI")
_DONE = -(1 << 63)  # in place of the time: this record is done with
_DONE_MARK = struct.pack(">q", _DONE)
_OPEN_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Record:
    """The JSON of a span, with an empty key; or one of the files of a span, with its key."""

    __slots__ = ("content", "key", "offset", "started_us")

    def __init__(self, key: str, content: bytes, started_us: int, offset: int = 0) -> None:
        self.key = key
        self.content = content
        self.started_us = started_us
        self.offset = offset  # where it stands in the file that it was read from

    def pack(self) -> bytes:
        """As it stands in a file."""
        key = self.key.encode("utf-8", "replace")
        crc = zlib.crc32(self.content, zlib.crc32(key, _seed(len(key), len(self.content), self.started_us)))
        return b"".join([_HEAD.pack(len(key), len(self.content), self.started_us, crc), key, self.content])


def _seed(key_length: int, length: int, started_us: int) -> int:
    return zlib.crc32(_HEAD.pack(key_length, length, started_us, 0))


class Spool:
    """The files of one destination in one folder.

    Args:
        folder: made when the first record is written.
        destination: what tells apart who is to get them: address and workspace.
        max_bytes: of all files in the folder; what would be more is not written.
        machine: its clock.

    Raises:
        InvalidParamError: the system has no ``flock``.
    """

    def __init__(self, folder: str, destination: str, max_bytes: int, machine: Machine = REAL) -> None:
        if not has_locks():
            raise errors.InvalidParamError("spool_dir (COZELOOP_SPOOL_DIR) needs flock, which this system lacks")
        self._folder = folder
        self._prefix = "cozeloop-%s-" % hashlib.sha256(destination.encode("utf-8", "replace")).hexdigest()[:16]
        self._max_bytes = max_bytes
        self._machine = machine
        # Why the last write failed, for the log: for the caller to say, who may hold a lock that a handler of it wants.
        self.problem: tuple[str, tuple[object, ...]] = ("", ())
        self._lock = threading.RLock()  # R: for signal handlers ...
        self._writing = False  # ... that come into the middle of a write of their own thread
        self._fd: int | None = None
        self._path, self._written = "", 0  # of the file that is open: where it is, and how many bytes are in it
        self._used = 0  # bytes of all files: as counted, and written here since
        self._since = 0  # the latter alone
        self._broken_until = 0.0  # monotonic seconds
        self._sent_last = ""  # the path that was taken last: if it stays, it does not hold up those that come after it
        process.on_fork(self)

    def _on_fork(self) -> None:
        self._lock = threading.RLock()
        self._writing = False
        self._close()  # the file is the parent's, which still has it open, and locked

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(self, records: list[Record]) -> bool:
        """Append ``records``: all of them, or none; then ``problem`` says why. Never raises."""
        data = b"".join(record.pack() for record in records)
        with self._lock:
            if self._writing:
                return self._write_beside(records)
            self._writing = True
            try:
                return self._write(data)
            finally:
                self._writing = False

    def _write_beside(self, records: list[Record]) -> bool:
        """Into a file of its own, since nobody can wait for what is under way on the same thread."""
        other = copy.copy(self)
        other._writing, other._fd = False, None
        try:
            return other.write(records)
        finally:
            self.problem = other.problem
            other.close()

    def _write(self, data: bytes) -> bool:
        begins = self._is_gone() or self._written + len(data) > MAX_FILE_BYTES
        if begins and self._machine.monotonic() < self._broken_until:
            return False
        try:
            if begins:
                self._open()
            elif self._since > self._max_bytes // COUNTS:
                self._count()
            if self._used + len(data) <= self._max_bytes:
                self._append(data)
                return True
            text = "spool_dir is full, nothing more is kept there (spool_max_bytes is %d)"
            self.problem = text, (self._max_bytes,)
        except OSError as problem:
            self.problem = "spool_dir cannot be written to: %s", (problem,)
        self._take_back()
        if begins:  # to look through the folder for every span would take the time that there is at the end
            self._broken_until = self._machine.monotonic() + BROKEN_SECONDS
        return False

    def _is_gone(self) -> bool:
        """Whether no file is open, or one that has been removed: nobody would find what is written to it."""
        with contextlib.suppress(OSError):
            return self._fd is None or os.fstat(self._fd).st_nlink == 0
        return True

    def _open(self) -> None:
        self._close()
        os.makedirs(self._folder, 0o700, exist_ok=True)
        self._count()
        name = "%s%015d-%d-%s" % (self._prefix, int(time.time() * 1000), os.getpid(), os.urandom(4).hex())
        listed = os.path.join(self._folder, name)
        self._path = os.path.join(self._folder, "." + name)  # until it is locked: nobody may take it before
        self._written = 0
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _OPEN_FLAGS, 0o600)
        if not _lock(self._fd):
            raise OSError("the folder's file system has no locks")
        self._append(_MAGIC)
        os.rename(self._path, listed)
        self._path = listed

    def _count(self) -> None:
        """Other processes write there as well."""
        self._used, self._since = sum(map(_size, self._paths())), 0

    def _take_back(self) -> None:
        """A write has failed: leave nothing of it, nor a file with nothing in it."""
        with contextlib.suppress(OSError):  # who reads it will see that the last record is torn
            if self._fd is not None and self._written > len(_MAGIC):
                os.ftruncate(self._fd, self._written)
            elif self._fd is not None:
                os.unlink(self._path)
        self._close()

    def _append(self, data: bytes) -> None:
        assert self._fd is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(data)
        self._used += len(data)
        self._since += len(data)

    def close(self) -> None:
        """End the file that is being written: from now on it may be sent."""
        with self._lock:
            if not self._writing:
                self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # a disk in the network may fail as late as this
                os.close(fd)

    # -- reading ----------------------------------------------------------------------------------------------------

    def take(self) -> Taken | None:
        """The next file that nobody writes or has taken, the oldest first; None when there is none. Never raises."""
        try:
            paths = sorted(self._paths(self._prefix), key=lambda path: (path <= self._sent_last, path))
        except OSError:
            return None
        for path in paths:
            with contextlib.suppress(OSError):  # another process was faster
                if path.endswith(".aside"):
                    if time.time() - os.stat(path).st_mtime > KEEP_ASIDE_SECONDS:
                        os.unlink(path)
                    continue
                taken = _take(path)
                if taken is not None:
                    self._sent_last = path
                    return taken
        return None

    def _paths(self, prefix: str = "cozeloop-") -> Iterator[str]:
        with os.scandir(self._folder) as entries:
            named = (entry for entry in itertools.islice(entries, 10 * MAX_FILES) if entry.name.startswith(prefix))
            ours = (entry.path for entry in named if entry.is_file(follow_symlinks=False))
            yield from itertools.islice(ours, MAX_FILES)


def has_locks() -> bool:
    """Whether this system has what a spool needs."""
    return fcntl is not None


def destination(base_url: str, workspace_id: str) -> str:
    """What files are named after: whose spans they hold."""
    return "%s %s" % (base_url, workspace_id)


class Taken:
    """A file that is being sent, with the lock on it. Read from its end."""

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd
        self._spans, end, self._torn = _index(fd)
        self._foreign = self._torn and end <= len(_MAGIC)

    def __len__(self) -> int:
        return len(self._spans)

    def last(self, max_count: int, max_bytes: int) -> tuple[int, list[Record]]:
        """How many of the last records make a batch (at least one, when there is one), and those that can be read."""
        count = size = 0
        for _, length in reversed(self._spans):
            if count and (count >= max_count or size + length > max_bytes):
                break
            count += 1
            size += length
        found = [_read(self._fd, offset, length) for offset, length in self._spans[len(self._spans) - count :]]
        records = [record for record in found if record is not None]
        self._torn = self._torn or len(records) < count
        return count, records

    def settle(self, records: list[Record]) -> None:
        """These are done with, while others of the last ones are not: mark them, for whoever takes the file next.

        A few bytes where they stand, for which there is room on a full disk, too.
        """
        for record in records:
            os.pwrite(self._fd, _DONE_MARK, record.offset + _TIME_AT)

    def drop(self, count: int) -> None:
        """The last ``count`` records are done with."""
        if count:
            os.ftruncate(self._fd, self._spans[-count][0])
            del self._spans[-count:]

    def close(self) -> None:
        """Let go of the file. Removed when all that could be read of it is done with; set aside when nothing could."""
        try:
            if self._foreign:
                logger.warn("a file in spool_dir cannot be read and is set aside: %s", self._path)
                os.replace(self._path, self._path + ".aside")
            elif not self._spans:
                if self._torn:
                    logger.warn("the rest of a file in spool_dir cannot be read, and is lost: %s", self._path)
                os.unlink(self._path)
        except OSError as problem:
            logger.warn("a file in spool_dir cannot be removed: %s", problem)
        finally:
            os.close(self._fd)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # another process was done with it
        return 0


def _lock(fd: int) -> bool:
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _take(path: str) -> Taken | None:
    fd = os.open(path, os.O_RDWR | _OPEN_FLAGS)
    taken = None
    try:
        found = os.fstat(fd)
        mine = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
        # After the lock: whoever had it may have removed the file meanwhile.
        if mine and _lock(fd) and os.stat(path).st_ino == found.st_ino:
            taken = Taken(path, fd)
        return taken
    finally:
        if taken is None:
            os.close(fd)


def _index(fd: int) -> tuple[list[tuple[int, int]], int, bool]:
    """Where the records are, as offset and length, but for those that are done with; where the last of all ends, and
    whether something else follows.
    """
    size = os.fstat(fd).st_size
    if os.pread(fd, len(_MAGIC), 0) != _MAGIC:
        return [], 0, True
    found: list[tuple[int, int]] = []
    offset = len(_MAGIC)
    while offset < size:
        head = os.pread(fd, _HEAD.size, offset)
        if len(head) < _HEAD.size:
            return found, offset, True
        key_length, content_length, started_us, _ = _HEAD.unpack(head)
        length = _HEAD.size + key_length + content_length
        if length > MAX_RECORD_BYTES or offset + length > size:
            return found, offset, True
        if started_us != _DONE:
            found.append((offset, length))
        offset += length
    return found, offset, False


def _read(fd: int, offset: int, length: int) -> Record | None:
    data = os.pread(fd, length, offset)
    if len(data) < length:
        return None
    key_length, content_length, started_us, crc = _HEAD.unpack_from(data)
    key, content = data[_HEAD.size : _HEAD.size + key_length], data[_HEAD.size + key_length :]
    if zlib.crc32(content, zlib.crc32(key, _seed(key_length, content_length, started_us))) != crc:
        return None
    return Record(key.decode("utf-8", "replace"), content, started_us, offset)
