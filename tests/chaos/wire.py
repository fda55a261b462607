"""The two protocols as a server sees them: which spans a request brings, and the answer that takes them.

CozeLoop's is JSON. OTLP's is protobuf, of which a server that only counts needs four nested fields: a few lines read
them, and no environment has to have protobuf for it.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

OTLP_PATH = "/v1/traces"
INGEST_PATH = "/v1/loop/traces/ingest"  # contract backend.md 2.1

# Field numbers of opentelemetry/proto/collector/trace/v1 and opentelemetry/proto/trace/v1
RESOURCE_SPANS, SCOPE_SPANS, SPANS = 1, 2, 2
TRACE_ID, SPAN_ID, NAME = 1, 2, 5
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


def spans_of(path: str, body: bytes) -> list[tuple[str, str]]:
    """The ids (trace and span, in hex) and the name of each span in a request. ValueError if it is malformed."""
    try:
        if path == OTLP_PATH:
            return list(_otlp_spans(body))
        if path == INGEST_PATH:
            spans = json.loads(body.decode("utf-8"))["spans"]
            return [(span["trace_id"] + span["span_id"], span["span_name"]) for span in spans]
    except (LookupError, TypeError) as problem:
        raise ValueError("no spans: %r" % problem) from problem
    return []


def success(path: str) -> tuple[str, bytes]:
    """Content type and body of the answer to a request that is taken."""
    if path == OTLP_PATH:
        return "application/x-protobuf", b""  # an ExportTraceServiceResponse without fields
    return "application/json", b'{"code":0,"msg":""}'


def _otlp_spans(body: bytes) -> Iterator[tuple[str, str]]:
    for resource_spans in _all(body, RESOURCE_SPANS):
        for scope_spans in _all(resource_spans, SCOPE_SPANS):
            for span in _all(scope_spans, SPANS):
                fields = dict(_fields(span))
                yield (fields[TRACE_ID] + fields[SPAN_ID]).hex(), fields[NAME].decode("utf-8")


def _all(message: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(message) if number == wanted)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError("wire type %d at byte %d" % (kind, at))
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        shift += 7
        at += 1
        if byte < 128:
            return value, at
