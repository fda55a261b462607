"""Where cozeloop_lite means to send something else than the official client, and why.

Everything test_compat.py finds different must be explained here, and everything here must really be found: a line that
explains nothing is stale and fails the test as well. ``holds`` says what the difference has to be; values are what was
on the wire, ``ABSENT`` where there was nothing.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any, Callable


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True)
class Difference:
    """``spans`` and ``field`` are regular expressions for the whole span name and the whole dotted field name."""

    reason: str
    field: str
    holds: Callable[[Any, Any], bool]
    spans: str = ".*"

    def explains(self, span: str, field: str, official: Any, lite: Any) -> bool:
        if not re.fullmatch(self.spans, span, re.DOTALL) or not re.fullmatch(self.field, field, re.DOTALL):
            return False
        try:
            return self.holds(official, lite)
        except (ValueError, TypeError, AttributeError, SyntaxError):
            return False


def is_compact(official: Any, lite: Any) -> bool:
    """Both are the same JSON (keys in the same order, numbers written alike), lite's without blanks between tokens."""
    return lite == compact(json.loads(official))


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_compact_and_cut(official: Any, lite: Any) -> bool:
    """Both are cut to one length, and but for the one blank after the colon they are the same text."""
    return len(official) == len(lite) and lite[:-1] == official.replace(": ", ":", 1)


def is_json_of_repr(official: Any, lite: Any) -> bool:
    """Official sends Python's repr of a value, lite its JSON."""
    return lite == compact(ast.literal_eval(official))


def is_one_of(*pairs: Any) -> Callable[[Any, Any], bool]:
    return lambda official, lite: (official, lite) in pairs


LONG_KEY = "k" * 100

DIFFERENCES = [
    Difference(
        "JSON is written compactly, as by the Go and Node.js clients: less to send, and more fits the limits",
        spans=r"(?!content: str).*",  # a str is sent as it is, JSON or not
        field=r"input|output|tags_string\..*",
        holds=is_compact,
    ),
    Difference(
        "JSON is written compactly: the text cut at the limit reaches one character further",
        spans="limit: long dict value|limit: structured input over 1 MiB",
        field=r"input|tags_string\.long",
        holds=is_compact_and_cut,
    ),
    Difference(
        "cut_off is a JSON array of names; official sends Python's repr of a list, in the order of a set",
        field=r"system_tags_string\.cut_off",
        holds=lambda official, lite: sorted(ast.literal_eval(official)) == sorted(json.loads(lite)),
    ),
    Difference(
        "a tag key has 100 bytes, which is what the server keeps; official cuts at 1024 and the server cuts again",
        spans="limit: key of (500|2000) bytes",
        field=r"tags_string\.k+",
        holds=is_one_of(("long key", ABSENT), ("longer key", ABSENT), (ABSENT, "long key"), (ABSENT, "longer key")),
    ),
    Difference(
        "a cut key is named in cut_off by what it was cut to, which is what the server has",
        spans="limit: key of (500|2000) bytes",
        field=r"system_tags_string\.cut_off",
        holds=lambda official, lite: json.loads(lite) == [LONG_KEY],
    ),
    Difference(
        "False and zero are values; official takes every falsy input or output for an empty one",
        spans="content: (zero|false)",
        field="input|output",
        holds=is_one_of(("", "0"), ("", "0.0"), ("", "false")),
    ),
    Difference(
        "content that is no text is JSON; official writes True as Python does",
        spans="content: true",
        field="input|output",
        holds=is_one_of(("True", "true")),
    ),
    Difference(
        "None is absence; official sends the text None",
        field=r"(system_)?tags_string\.none",
        holds=is_one_of(("None", ABSENT)),
    ),
    Difference(
        "system tags are strings, and a boolean is written as in JSON (so does Go); official writes it as Python does",
        spans="system: boolean tags",
        field=r"system_tags_string\.(yes|no)",
        holds=is_one_of(("True", "true"), ("False", "false")),
    ),
    Difference(
        "structured system tags are JSON; official sends Python's repr",
        spans="system: structured tags",
        field=r"system_tags_string\.(dict|list)",
        holds=is_json_of_repr,
    ),
    Difference(
        "an error without a message is told by its repr; official sends an empty error",
        spans="error: without a message",
        field=r"tags_string\.error",
        holds=is_one_of(("", "ValueError()")),
    ),
    Difference(
        "tokens is reported whenever input or output tokens are (so does Go); official leaves out a sum of zero",
        spans="model: no tokens",
        field=r"tags_long\.tokens",
        holds=is_one_of((ABSENT, 0)),
    ),
    Difference(
        "a span's name and type are cut as silently by official as by the server; here cut_off names them",
        spans="name: long .*",
        field=r"system_tags_string\.cut_off",
        holds=is_one_of((ABSENT, '["span_name","span_type"]')),
    ),
    Difference(
        "the baggage header escapes the slash too, as Go's does; both are read alike",
        spans=r"\(observed\)",
        field="to_header: .*",
        holds=lambda official, lite: [item.replace("/", "%2F") for item in official] == lite,
    ),
    Difference(
        "a duration is exact; official computes it with floats and is one microsecond short in about half of all spans",
        field="duration_micros",
        holds=lambda official, lite: official - lite == -1,
    ),
    Difference(
        "a scene that was given is kept; official overwrites it with 'custom'",
        spans="runtime: .*",
        field=r"system_tags_string\.runtime",
        holds=lambda official, lite: {**json.loads(lite), "scene": "custom"} == json.loads(official),
    ),
]
