"""Reading multipart/form-data, the form in which files are uploaded, as the platform reads it."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import NamedTuple

_MAX_PARTS = 100
_MAX_HEADER_BYTES = 8 * 1024  # of one part


class Part(NamedTuple):
    name: str
    filename: str
    content: bytes


def parse_multipart(content_type: str, body: bytes) -> list[Part]:
    """The parts of a form, as Go's parser reads them: of a file name only the base name. Empty if it is no form."""
    boundary = _parameter(content_type, "boundary")
    if not content_type.lower().startswith("multipart/form-data") or not 0 < len(boundary) <= 70:
        return []
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    # The first delimiter may open the body; it then has no line break before it.
    position = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    parts: list[Part] = []
    while position != -1 and len(parts) < _MAX_PARTS:
        start = position + len(delimiter)
        end = body.find(delimiter, start)
        if body[start : start + 2] != b"\r\n" or end < 0:  # "--" closes the form; anything else is not a form
            break
        header_end = body.find(b"\r\n\r\n", start, min(end + 4, start + _MAX_HEADER_BYTES))
        if header_end < 0:
            break
        disposition = _disposition(body[start + 2 : header_end])
        filename = _parameter(disposition, "filename").rstrip("/").rpartition("/")[2]
        parts.append(Part(_parameter(disposition, "name"), filename, body[header_end + 4 : end]))
        position = end
    return parts


def _disposition(header: bytes) -> str:
    for line in header.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return value.strip()
    return ""


def _parameter(value: str, name: str) -> str:
    message = Message()
    message["X"] = value[:_MAX_HEADER_BYTES]  # the parser takes quadratic time
    found = message.get_param(name, "", header="X")
    try:
        return collapse_rfc2231_value(found) if found else ""
    except ValueError:  # it names a character set with a NUL in it
        return ""
