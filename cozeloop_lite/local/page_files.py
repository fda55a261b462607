"""The files of the pages in the browser: those that lie in the folder ``pages`` when they are asked for first.

A request names one of a fixed list; no path of a request is ever a path of the file system.
"""

from __future__ import annotations

import os

from .answers import Answer

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_CHECKED = (("Cache-Control", "no-cache"),)  # kept by browsers, and asked for again: a new version shows at once
_NONE = b"<!doctype html><title>cozeloop_lite</title><p>This copy of cozeloop_lite has no pages: see /api/traces.\n"
_files: dict[str, Answer] = {}


def page_file(path: str) -> Answer | None:
    """The answer to a path such as ``/`` or ``/app.js``; None when there is no such file."""
    if not _files:
        _files.update(read_files(FOLDER))
    return _files.get(path)


def read_files(folder: str) -> dict[str, Answer]:
    """The files of a folder, by the path that asks for them."""
    found = {"/": Answer(200, _TYPES[".html"], _NONE, None, _CHECKED)}
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        kind = _TYPES.get(os.path.splitext(name)[1])
        if kind is not None:
            with open(os.path.join(folder, name), "rb") as file:
                answer = Answer(200, kind, file.read(), None, _CHECKED)
            found["/" if name == "index.html" else f"/{name}"] = answer
    return found
