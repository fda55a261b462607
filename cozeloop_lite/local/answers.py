"""What the stand-in server answers: JSON, plain text, or a stream of events. How it is sent: ``connections``."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any, Iterable


class Answer(NamedTuple):
    """One answer. With ``pieces``, the body is a stream, and each of them leaves when it is there.

    Browsers are told to keep none, unless ``headers`` say otherwise.
    """

    status: int
    content_type: str
    body: bytes
    pieces: Iterable[bytes] | None = None
    headers: tuple[tuple[str, str], ...] = ()  # beside those of every answer


def json_answer(document: Any, status: int = 200) -> Answer:
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status, "application/json; charset=utf-8", body)


def text_answer(status: int) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", phrase(status).encode("ascii"))


def stream_answer(pieces: Iterable[bytes]) -> Answer:
    return Answer(200, "text/event-stream", b"", pieces)


def phrase(status: int) -> str:
    """The text of a status."""
    # Contract backend.md 1.1 gives the text of 413; newer Pythons have another.
    return "Request Entity Too Large" if status == 413 else HTTPStatus(status).phrase
