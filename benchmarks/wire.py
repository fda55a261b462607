"""What is in the requests that the sink took: how many spans and files, told from JSON, multipart and OTLP."""

from __future__ import annotations

import gzip
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

# Field numbers of opentelemetry/proto/trace/v1/trace.proto, and of the request around it.
_RESOURCE_SPANS = 1
_SCOPE_SPANS = 2
_SPANS = 2
_TRACE_ID = 1
_SPAN_ID = 2


def account(received: list[tuple[str, bytes]]) -> dict[str, int]:
    """How many ``requests`` there were, of how many ``bytes``; the ``spans`` in them and how many of these are
    ``distinct``; the ``files`` and their ``file_bytes``, with what surrounds them."""
    ids: list[tuple[object, object]] = []
    files = [body for path, body in received if path.endswith("/files/upload")]
    json_spans = [body for path, body in received if path.endswith("/traces/ingest")]
    otlp_spans = [body for path, body in received if path.endswith("/v1/traces")]
    for body in json_spans:
        ids += _ids_of_json(body)
    for body in otlp_spans:
        ids += _ids_of_otlp(body)
    return {
        "requests": len(json_spans) + len(otlp_spans),
        "bytes": sum(map(len, json_spans)) + sum(map(len, otlp_spans)),
        "spans": len(ids),
        "distinct": len(set(ids)),
        "files": len(files),
        "file_bytes": sum(map(len, files)),
    }


def _ids_of_json(body: bytes) -> list[tuple[object, object]]:
    return [(span["trace_id"], span["span_id"]) for span in json.loads(body.decode("utf-8"))["spans"]]


def _ids_of_otlp(body: bytes) -> list[tuple[object, object]]:
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    ids: list[tuple[object, object]] = []
    for resource in _fields(body, _RESOURCE_SPANS):
        for scope in _fields(resource, _SCOPE_SPANS):
            for span in _fields(scope, _SPANS):
                ids.append((next(_fields(span, _TRACE_ID)), next(_fields(span, _SPAN_ID))))
    return ids


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The values of the length-delimited fields with the number ``wanted`` of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 1:
            at += 8
        elif kind == 5:
            at += 4
        elif kind == 2:
            size, at = _varint(message, at)
            if number == wanted:
                yield message[at : at + size]
            at += size
        else:
            raise ValueError("no protobuf: wire type %d" % kind)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
