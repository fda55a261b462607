"""One trace as one HTML file, to attach to a ticket: the pages of the server, without a server.

The file holds the style, the script and the trace. Its Content-Security-Policy names the first two by their hash and
allows nothing else, so that whatever stands in the spans neither runs nor is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from typing import TYPE_CHECKING

from .files import image_type
from .page_files import FOLDER

if TYPE_CHECKING:
    from typing import Any, Callable

MAX_IMAGE_BYTES = 16 * 1024 * 1024  # of all images in one page
_ENTRY = "app"
_IMPORT = re.compile(r'^import (\{[^}]*\}|\* as \w+) from "\./(\w+)\.js";$', re.M)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.M)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<noscript>This page needs JavaScript.</noscript>
<script type="application/json" id="exported-trace">{trace}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def export(trace: dict[str, Any]) -> str:
    """The HTML of a trace with its whole spans, as ``GET /api/traces/<trace_id>?full=1`` answers it.

    Images are shown where the ``url`` of a file is a ``data:`` URL; of other files, the name and size. Raises
    ``OSError`` when this copy of the package has no pages.
    """
    style, script = _read("style.css"), _bundle()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(f"{trace['trace'].get('name') or '?'} · CozeLoop".encode("utf-8", "replace").decode("utf-8"))
    # In a script block, only "<" could end it; as ASCII, lone surrogates can be written, too.
    data = json.dumps(trace, separators=(",", ":")).replace("<", "\\u003c")
    return _PAGE.format(policy=policy, title=title, style=style, trace=data, script=script)


def with_images(trace: dict[str, Any], read: Callable[[str, str], bytes | None]) -> dict[str, Any]:
    """``trace`` with the images of its spans, as far as there is room; ``read(key, workspace_id)`` gets a file."""
    left = MAX_IMAGE_BYTES
    for span in trace["spans"]:
        for file in span.get("files", ()):
            size = file.get("bytes") or 0
            content = (0 < size <= left and read(file["key"], span["workspace_id"])) or b""
            kind = image_type(content)
            if kind:
                file["url"] = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
                left -= len(content)
    return trace


def _read(name: str) -> str:
    with open(os.path.join(FOLDER, name), encoding="utf-8", newline=None) as file:
        return file.read()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _bundle() -> str:
    """The modules as one script: each a function that returns what it exports, after those that it imports."""
    pieces: dict[str, str] = {}

    def take(name: str) -> None:
        source = _read(f"{name}.js")
        for _, needed in _IMPORT.findall(source):
            if needed not in pieces:
                take(needed)
        exports = ", ".join(found for _, found in _EXPORT.findall(source))
        body = _IMPORT.sub(_as_constant, _EXPORT.sub(r"\1", source))
        pieces[name] = f"const module_{name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n"

    take(_ENTRY)
    return "\n" + "".join(pieces.values())


def _as_constant(found: re.Match[str]) -> str:
    names, module = found.groups()
    return f"const {names.replace('* as ', '')} = module_{module};"
