"""What the CozeLoop platform refuses, drops and cuts: pure functions, so that the stand-in server can say it aloud.

The platform answers code 0 once a request is queued; a span that is too old, a 52nd tag or the end of a long value
vanish later without a word. ``ingest`` applies the same rules in the same order. What the platform refuses at once is
raised as ``Refusal`` with its code and message; what it loses in silence becomes a plain-words warning beside the span.

"Contract 2.3" in a comment names the section of contract backend.md which the line mirrors.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .binding import (
    boolean,
    double,
    i32,
    i64,
    i64_in_map,
    is_number,
    map_of,
    optional_i64,
    quote,
    read_object,
    string,
    unbindable,
)
from .codes import INVALID_PARAM, TRACE_NO_ACCESS, Refusal, internal_error, invalid_trace_param

if TYPE_CHECKING:
    from typing import Any, Sequence

MAX_SPANS = 100  # contract 2.1, step 8
MAX_SPAN_BYTES = 10 * 1024 * 1024  # contract 2.1, step 9
MAX_TEXT_BYTES = 1024 * 1024  # input and output, contract 2.3
MAX_VALUE_BYTES = 1024  # every other clipped string, contract 2.3
MAX_KEY_BYTES = 100  # contract 2.3
MAX_TAGS = 50  # contract 2.3: checked before counting, so 51 survive
MAX_AGE_MICROS = 24 * 3600 * 1000000  # contract 2.2
MAX_FUTURE_MICROS = 3600 * 1000000  # contract 2.2

TAG_MAPS = ("tags_string", "tags_bytes", "tags_double", "tags_long", "tags_bool")  # in the order of the budget, 2.3
SYSTEM_TAG_MAPS = ("system_tags_string", "system_tags_double", "system_tags_long")
SYSTEM_TAGS = {  # contract 2.3; the second and third line are newer than version 1.5.1
    *("dc", "pod_name", "cluster", "deploy_stage", "env", "language", "runtime", "cut_off"),
    *("report_source", "tool_input_tokens", "tool_output_tokens"),
    *("model_system_tokens", "model_tool_choice_tokens"),
}
NEVER_NEGATIVE = (  # in tags_long, contract 2.2
    *("tokens", "start_time_first_resp", "latency_first_resp"),
    *("start_time_first_token_resp", "latency_first_token_resp", "reasoning_duration"),
)
CLIPPED_FIELDS = (  # contract 2.3
    *("span_id", "parent_id", "trace_id", "workspace_id", "span_name", "span_type"),
    *("method", "input", "output", "object_storage"),
)

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")


@dataclass
class Arrival:
    """One span of an accepted request, as the platform would store it, and what it would not have said."""

    span: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    dropped: bool = False  # the platform answers code 0 and never shows this span

    def drop(self, reason: str) -> None:
        self.dropped = True
        self.warnings.append(f"the platform would have dropped this span: {reason}")


def ingest(body: bytes, content_type: str, now_micros: int, workspace_id: str | None = None) -> list[Arrival]:
    """Read an ingest request as the platform does. ``workspace_id``: the only one the token may write to, if given."""
    arrivals = decode_request(body, content_type)
    check_request(arrivals, len(body), workspace_id)
    for arrival in arrivals:
        check_validity(arrival, now_micros)
        clip(arrival)
    return arrivals


# --- the JSON codec, contract 1.4 -------------------------------------------------------------------------------------


def decode_request(body: bytes, content_type: str) -> list[Arrival]:
    """Bind the body. Any value of a wrong type fails the whole request; unknown keys are ignored (and reported)."""
    document, notes = read_object(body, content_type)
    spans = document.get("spans")
    if spans is None:
        return []
    try:
        if not isinstance(spans, list):
            raise ValueError("spans must be an array")
        return [_decode_span(raw, f"spans[{position}]", notes) for position, raw in enumerate(spans)]
    except ValueError as error:
        raise unbindable(str(error)) from None


def _decode_span(raw: Any, path: str, notes: list[str]) -> Arrival:
    if raw is None:
        raise internal_error()  # a null pointer there: the handler panics
    if not isinstance(raw, dict):
        raise ValueError(f"{path} must be an object")
    arrival = Arrival({name: default() for name, (_, default) in _FIELDS.items()}, list(notes))
    unknown = []
    for key, value in raw.items():
        name = key.lower()
        if name in _FIELDS:
            arrival.span[name] = _FIELDS[name][0](value, f"{path}.{name}")
        else:
            unknown.append(key)
    if unknown:
        arrival.warnings.append(f"the platform ignores unknown fields: {_names(unknown)}")
    return arrival


_FIELDS: dict[str, Any] = {  # InputSpan, contract 2: name -> (decoder, zero value)
    "started_at_micros": (i64, int),
    "duration_micros": (optional_i64, lambda: None),
    "duration": (i64, int),
    "status_code": (i32, int),
}
_FIELDS.update(dict.fromkeys((*CLIPPED_FIELDS, "log_id", "service_name", "call_type"), (string, str)))
_FIELDS.update({name: (map_of(string), dict) for name in ("system_tags_string", "tags_string", "tags_bytes")})
_FIELDS.update({name: (map_of(i64_in_map), dict) for name in ("system_tags_long", "tags_long")})
_FIELDS.update({name: (map_of(double), dict) for name in ("system_tags_double", "tags_double")})
_FIELDS["tags_bool"] = (map_of(boolean), dict)


# --- what is refused at once, contract 2.1 ----------------------------------------------------------------------------


def check_request(arrivals: list[Arrival], body_bytes: int, allowed_workspace: str | None = None) -> None:
    """The synchronous checks, in the platform's order."""
    if not arrivals:
        raise invalid_trace_param("no spans provided")
    workspaces = {arrival.span["workspace_id"] for arrival in arrivals}
    if len(workspaces) > 1:
        raise invalid_trace_param("spans space id is not the same")
    workspace = workspaces.pop()
    if not workspace:
        return  # skipped without a word; check_validity says it
    if not is_number(workspace):
        raise invalid_trace_param("invalid workspace_id")
    check_workspace(int(workspace), allowed_workspace)
    if len(arrivals) > MAX_SPANS:
        raise invalid_trace_param("max span length exceeded")
    if body_bytes > MAX_SPAN_BYTES and any(_wire_bytes(arrival.span) > MAX_SPAN_BYTES for arrival in arrivals):
        raise invalid_trace_param("span size too large")


def check_workspace(workspace_id: int, allowed: str | None) -> None:
    """Whether a request about spans may name this workspace, contract 1.2."""
    if workspace_id <= 0:
        raise Refusal(INVALID_PARAM, "invalid param,invalid space_id in request")
    if allowed is not None and workspace_id != int(allowed):
        raise Refusal(TRACE_NO_ACCESS, "no access permission")


def _wire_bytes(span: dict[str, Any]) -> int:
    return len(json.dumps(span, ensure_ascii=False).encode("utf-8"))


# --- what is dropped or changed in silence, contract 2.2 --------------------------------------------------------------


def check_validity(arrival: Arrival, now_micros: int) -> None:
    """Mark the span the platform would drop, and put right the numbers it would put right."""
    span = arrival.span
    if not span["workspace_id"]:
        arrival.drop("its workspace_id is empty")
    if not _TRACE_ID.fullmatch(span["trace_id"]):
        arrival.drop(f"its trace_id is not 32 lower-case hex digits, or all zero: {quote(span['trace_id'])}")
    if not _SPAN_ID.fullmatch(span["span_id"]):
        arrival.drop(f"its span_id is not 16 lower-case hex digits, or all zero: {quote(span['span_id'])}")
    _check_start(arrival, now_micros - span["started_at_micros"])
    duration = span.pop("duration")
    if span["duration_micros"] is None:
        span["duration_micros"] = duration
    if span["duration_micros"] < 0:
        arrival.warnings.append(f"negative duration stored as 0: {span['duration_micros']}")
        span["duration_micros"] = 0
    for key in NEVER_NEGATIVE:
        if span["tags_long"].get(key, 0) < 0:
            arrival.warnings.append(f"negative {key} stored as 0: {span['tags_long'][key]}")
            span["tags_long"][key] = 0
    span["call_type"] = "Custom"  # contract 2: overwritten


def _check_start(arrival: Arrival, age_micros: int) -> None:
    if arrival.span["started_at_micros"] == 0:
        arrival.drop("it has no start time")
    elif age_micros > MAX_AGE_MICROS:
        arrival.drop(f"its start time is {_span_of_time(age_micros)} old")
    elif age_micros < -MAX_FUTURE_MICROS:
        arrival.drop(f"its start time is {_span_of_time(-age_micros)} in the future")


def _span_of_time(micros: int) -> str:
    hours = micros / 3.6e9
    return f"{hours:.3g} h" if hours < 100 else f"{hours / 24:,.0f} days"


# --- what is cut, contract 2.3 and 2.6 --------------------------------------------------------------------------------


def clip(arrival: Arrival) -> None:
    """Cut the span to the platform's limits. The platform notes the cut fields in the system tag ``clip_fields``."""
    clipped: list[str] = []
    _clip_fields(arrival, clipped)
    _filter_system_tags(arrival)
    for name in SYSTEM_TAG_MAPS:
        arrival.span[name] = _clip_entries(arrival, list(arrival.span[name].items()), "system tag", clipped)
    _clip_tags(arrival, clipped)
    if clipped:
        arrival.span["system_tags_string"]["clip_fields"] = json.dumps(clipped, ensure_ascii=False)


def _clip_fields(arrival: Arrival, clipped: list[str]) -> None:
    for name in CLIPPED_FIELDS:
        limit = MAX_TEXT_BYTES if name in ("input", "output") else MAX_VALUE_BYTES
        short = _cut(arrival.span[name], limit)
        if short is not None:
            consequence = ": it no longer parses, the links to its files are lost" if name == "object_storage" else ""
            arrival.warnings.append(f"{name} cut to {limit} bytes{consequence}")
            arrival.span[name] = short
            clipped.append(name)


def _filter_system_tags(arrival: Arrival) -> None:
    for name in SYSTEM_TAG_MAPS:
        tags = arrival.span[name]
        deleted = [key for key in tags if key not in SYSTEM_TAGS]
        if deleted:
            arrival.warnings.append(f"system tags deleted, the platform does not know them: {_names(deleted)}")
            arrival.span[name] = {key: value for key, value in tags.items() if key in SYSTEM_TAGS}


def _clip_tags(arrival: Arrival, clipped: list[str]) -> None:
    room = MAX_TAGS + 1
    deleted: list[str] = []
    for name in TAG_MAPS:
        entries = list(arrival.span[name].items())
        arrival.span[name] = _clip_entries(arrival, entries[:room], "tag", clipped)
        deleted.extend(key for key, _ in entries[room:])
        room -= min(room, len(entries))
    if deleted:
        arrival.warnings.append(f"more than {MAX_TAGS + 1} tags, {len(deleted)} deleted: {_names(deleted)}")


def _clip_entries(arrival: Arrival, entries: Sequence[Any], what: str, clipped: list[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    shortened: dict[str, Any] = {}
    for key, value in entries:
        short_value = _cut(value, MAX_VALUE_BYTES) if isinstance(value, str) else None
        if short_value is not None:
            arrival.warnings.append(f"{what} value cut to {MAX_VALUE_BYTES} bytes: {quote(key)}")
            clipped.append(f"system_tag_string_{key}")
        short_key = _cut(key, MAX_KEY_BYTES)
        if short_key is not None:
            arrival.warnings.append(f"{what} key cut to {MAX_KEY_BYTES} bytes: {quote(key)}")
            clipped.append(f"system_tag_string_{key}")
        (kept if short_key is None else shortened)[short_key or key] = value if short_value is None else short_value
    kept.update(shortened)
    if len(kept) < len(entries):
        lost = len(entries) - len(kept)
        arrival.warnings.append(f"{what} keys are the same once cut to {MAX_KEY_BYTES} bytes, values lost: {lost}")
    return kept


def _cut(text: str, limit: int) -> str | None:
    """``text`` cut to ``limit`` bytes, or None when it fits. The platform may split a character: it becomes U+FFFD."""
    if len(text) * 4 <= limit:
        return None
    data = text.encode("utf-8")
    return None if len(data) <= limit else data[:limit].decode("utf-8", "replace")


# --- names in messages ------------------------------------------------------------------------------------------------


def _names(keys: list[str]) -> str:
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(quote(key) for key in keys[:5]) + more
