"""The file that keeps prompts for the next cold start, in case the server is down then. Opt-in.

Several processes may write it, for several workspaces: it is replaced as a whole, so the last one wins and nobody reads
half a file. What is read is hostile all the same: a file that is torn, huge or something else is ignored.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from time import time

from .. import logger, process
from .cache import Entry, PromptCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Tuple

    from ..entities.prompt import Prompt
    from .fetch import Query

    Kept = Iterable[Tuple[Query, Prompt]]

FORMAT = "cozeloop_lite prompts 1"
MAX_BYTES = 16 * 1024 * 1024  # of the file
FRAME_BYTES = 100  # around the workspaces
MAX_OWN_BYTES = 8 * 1024 * 1024  # of one workspace's prompts
INTEGER_CHARS = 20  # of a 64-bit integer; the conversion of a long one may take quadratic time
SOURCE = "snapshot"  # of the copies that come from the file


class Snapshot:
    """What a cache has, kept in a file; nothing at all when ``path`` is empty. See :class:`SnapshotFile`.

    It is read when it is first needed: when the server cannot be asked, or before it is written.
    """

    def __init__(self, path: str, owner: str, cache: PromptCache) -> None:
        self._file = SnapshotFile(path, owner, cache.max_count) if path else None
        self._cache = cache
        self._loaded = False
        self._unsaved = False
        self._gone: set[Query] = set()  # what was dropped, and is not to come back from the file
        self._on_fork()
        process.on_fork(self)

    def _on_fork(self) -> None:
        # Held while the file is read or written: another thread may need it, or write what is newer, at the same time.
        self._lock = threading.RLock()

    def __bool__(self) -> bool:
        return self._file is not None

    def load(self) -> None:
        """Put what the file has into the reserve of the cache."""
        if self._file is None or self._loaded:  # without the lock: a get does not wait for a thread that writes
            return
        with self._lock:
            if not self._loaded:
                self._read(self._file)

    def outdate(self) -> None:
        """The cache has something else now."""
        self._unsaved = True

    def drop(self, query: Query) -> bool:
        """Forget a prompt altogether, in the cache and in the file; False when it was not known."""
        self.load()  # or it would bring back what is dropped now
        dropped = self._cache.drop(query)
        if dropped:
            self._gone.add(query)
            self.outdate()
        return dropped

    def _read(self, file: SnapshotFile) -> None:
        for query, prompt in file.read():
            if query not in self._gone:
                self._cache.add_reserve(query, Entry(prompt, SOURCE))
        self._loaded = True

    def save(self) -> None:
        """Write the file, if it is out of date. Never raises."""
        if self._file is None:
            return
        with self._lock:  # whoever exits waits for the thread that writes, which would leave half a file behind
            if self._unsaved:
                self._read(self._file)  # what others wrote meanwhile must not be lost, nor be older than they had it
                self._unsaved = False
                self._file.write((query, entry.prompt) for query, entry in self._cache.latest())


class SnapshotFile:
    """The prompts of one workspace in a file.

    Args:
        path: the file.
        owner: the platform and the workspace, which share the file with others.
        max_count: how many prompts are read at most.
    """

    def __init__(self, path: str, owner: str, max_count: int) -> None:
        self._path = path
        self._owner = owner
        self._max_count = max_count

    def read(self) -> list[tuple[Query, Prompt]]:
        """What the file has for this workspace. Never raises."""
        with process.loading():
            from ..entities.prompt import Prompt
        section = self._sections().get(self._owner)
        kept: list[tuple[Query, Prompt]] = []
        for item in section["prompts"][: self._max_count] if section else ():
            given = item.get("prompt") if isinstance(item, dict) else None
            if isinstance(given, dict):
                key, version, label = item.get("prompt_key"), item.get("version"), item.get("label")
                if key and all(isinstance(text, str) for text in (key, version, label)):
                    kept.append(((key, version, label), Prompt.from_dict(given)))
        return kept

    def write(self, prompts: Kept) -> None:
        """Replace what the file has for this workspace; the most important prompts first. Never raises."""
        try:
            self._replace(self._text(prompts).encode("ascii"))
        except Exception as problem:  # noqa: BLE001 - a full disk, a read-only folder: the prompts in memory still are
            logger.warn("prompt_snapshot: the file %s could not be written: %s", self._path, str(problem))

    # -- reading ----------------------------------------------------------------------------------------------------

    def _sections(self) -> dict[str, Any]:
        """What the file has, by owner; those that are sound."""
        try:
            content = self._content()
            if content is None:
                return {}
            whole = json.loads(content.decode("utf-8"), parse_int=_integer)
            owners = whole.get("owners") if isinstance(whole, dict) and whole.get("format") == FORMAT else None
            if not isinstance(owners, dict):
                raise ValueError("it is no snapshot of this version")
            return {owner: section for owner, section in owners.items() if _is_sound(section)}
        except (OSError, ValueError, RecursionError) as problem:
            logger.warn("prompt_snapshot: the file %s is ignored: %s", self._path, str(problem))
            return {}

    def _content(self) -> bytes | None:
        # O_NONBLOCK: opening a pipe would wait for whoever writes into it.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("it is no regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MAX_BYTES:
            raise ValueError("it has more than %d bytes" % MAX_BYTES)
        return content

    # -- writing ----------------------------------------------------------------------------------------------------

    def _text(self, prompts: Kept) -> str:
        own: list[str] = []
        left = MAX_OWN_BYTES
        for (key, version, label), prompt in prompts:
            text = _json({"prompt_key": key, "version": version, "label": label, "prompt": prompt.to_dict()})
            if len(text) < left:
                left -= len(text) + 1
                own.append(text)
        sections = ['%s:{"saved_at":%d,"prompts":[%s]}' % (_json(self._owner), time(), ",".join(own))]
        left = MAX_BYTES - len(sections[0]) - FRAME_BYTES
        others = [item for item in self._sections().items() if item[0] != self._owner]
        for owner, section in sorted(others, key=lambda item: -item[1]["saved_at"]):
            text = "%s:%s" % (_json(owner), _json(section))
            if len(text) < left:
                left -= len(text) + 1
                sections.append(text)
        return '{"format":%s,"owners":{%s}}\n' % (_json(FORMAT), ",".join(sections))

    def _replace(self, content: bytes) -> None:
        temporary = "%s.%s.tmp" % (self._path, os.urandom(6).hex())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(temporary, flags, 0o600)
        try:
            try:
                rest = memoryview(content)
                while rest:  # without a buffer, of which a forked child would have a copy
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.replace(temporary, self._path)
        except BaseException:
            os.unlink(temporary)
            raise


def _integer(text: str) -> int:
    if len(text) > INTEGER_CHARS:
        raise ValueError("it has a number of %d digits" % len(text))
    return int(text)


_json = json.JSONEncoder(separators=(",", ":")).encode  # in ASCII: lone surrogates survive as what they are


def _is_sound(section: Any) -> bool:
    return (
        isinstance(section, dict)
        and isinstance(section.get("saved_at"), int)
        and isinstance(section.get("prompts"), list)
    )
