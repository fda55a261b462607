"""The prompts folder of the stand-in server: JSON files that are read again when they change.

Each request looks at the names, times and sizes of the files, no more. A file that cannot be used is reported once for
each state it is in, and what it said before goes on counting.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from .binding import parse_json, quote
from .prompts import Document, merge, parse

if TYPE_CHECKING:
    from typing import Callable, Tuple

    Stamp = Tuple[int, int, int]

MAX_FILE_BYTES = 8 * 1024 * 1024


class PromptFolder:
    """The documents in a folder. ``say`` is called with one line for each thing worth telling.

    Raises ``NotADirectoryError`` when there is no such folder.
    """

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, "there is no such folder", path)
        self._path = path
        self._say = say
        self._files: dict[str, tuple[Stamp, Document | None]] = {}
        self._missing = False
        self._documents: dict[str, Document] = {}
        self._lock = threading.Lock()
        self._started = False
        self.documents()  # what cannot be used is said now
        self._started = True

    def documents(self) -> dict[str, Document]:
        """What the files say now, by prompt key. Not to be changed."""
        with self._lock:
            stamps = self._stamps()
            if stamps is not None and stamps != {name: stamp for name, (stamp, _) in self._files.items()}:
                for name in sorted(set(self._files) - set(stamps)):
                    self._say(f"the prompt file {name} is gone")
                self._files = {name: (stamp, self._read(name, stamp)) for name, stamp in sorted(stamps.items())}
                self._documents = merge(filter(None, (document for _, document in self._files.values())), self._say)
            return self._documents

    def _stamps(self) -> dict[str, Stamp] | None:
        """What tells a file from what it was before; None when the folder cannot be read."""
        stamps = {}
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    if entry.name.endswith(".json") and entry.is_file():
                        state = entry.stat()
                        stamps[entry.name] = (state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError as error:
            if not self._missing:
                self._say(f"the prompts folder cannot be read, what it held goes on counting: {error.strerror}")
            self._missing = True
            return None
        self._missing = False
        return stamps

    def _read(self, name: str, stamp: Stamp) -> Document | None:
        before = self._files.get(name)
        if before is not None and before[0] == stamp:
            return before[1]
        try:
            if stamp[1] > MAX_FILE_BYTES:
                raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
            with open(os.path.join(self._path, name), encoding="utf-8-sig") as file:
                document = parse(parse_json(file.read(MAX_FILE_BYTES)))
        except (OSError, ValueError) as error:
            last = before[1] if before is not None else None
            kept = "nothing is served from it" if last is None else "what it said before goes on counting"
            self._say(f"the prompt file {name} cannot be used, {kept}: {error}")
            return last
        if self._started:
            self._say(f"read the prompt file {name}: {quote(document.key)} {', '.join(document.versions)}")
        return document
