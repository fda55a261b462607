"""Stored spans and feedback as the platform gives them back: times in ms, every tag as text, every int64 as text.

Contract backend.md 1.4, 2.5 and 8.1.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .binding import is_number
from .typed import write

if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping

    from .feedback import Feedback
    from .span_reader import StoredSpan

TYPES = (  # contract 2.5: all others are answered as UNKNOWN
    *("prompt", "model", "parser", "embedding", "memory", "plugin", "function", "graph", "remote", "loader"),
    *("transformer", "vector_store", "vector_retriever", "agent", "LLMCall"),
)
UNKNOWN = "unknwon"  # as the platform spells it
MODELS = ("model", "LLMCall")  # whose tokens are counted
RETENTION_MICROS = 365 * 24 * 3600 * 1000000  # contract 2.4

_IN_MICROS = (  # tags that are answered in ms
    *("start_time_first_resp", "latency_first_resp", "start_time_first_token_resp", "latency_first_token_resp"),
    *("reasoning_duration", "logic_delete_date"),
)


def span_document(stored: StoredSpan, *, detail: bool = True) -> dict[str, Any]:
    """One span; without ``detail``, input and output are empty."""
    span = stored.fields
    document = {name: span[name] for name in ("trace_id", "span_id", "parent_id", "span_name", "span_type")}
    document.update(
        type=span["span_type"] if span["span_type"] in TYPES else UNKNOWN,
        started_at=milliseconds(span["started_at_micros"]),
        duration=milliseconds(span["duration_micros"]),
        status="error" if span["status_code"] else "success",
        status_code=span["status_code"],
        input=span["input"] if detail else "",
        output=span["output"] if detail else "",
        call_type=span["call_type"],
        logic_delete_date=milliseconds(span["started_at_micros"] + RETENTION_MICROS),
        custom_tags=_tags(span, "tags_string", "tags_long", "tags_double", "tags_bool", "tags_bytes"),
        system_tags=_tags(span, "system_tags_string", "system_tags_long", "system_tags_double"),
    )
    for name, field in (("service_name", "service_name"), ("logid", "log_id")):
        if span[field]:
            document[name] = span[field]
    if stored.feedback:
        document["annotations"] = [feedback_document(feedback, span) for feedback in stored.feedback]
    return document


def feedback_document(feedback: Feedback, span: Mapping[str, Any]) -> dict[str, Any]:
    """Feedback on a span."""
    which = (feedback.span_id, feedback.trace_id, "openapi_feedback", feedback.key)
    return {
        "id": hashlib.sha256(":".join(which).encode("utf-8")).hexdigest(),
        "span_id": feedback.span_id,
        "trace_id": feedback.trace_id,
        "workspace_id": feedback.workspace_id,
        "start_time": milliseconds(span["started_at_micros"]),
        "type": "openapi_feedback",
        "key": feedback.key,
        "value_type": feedback.value_type,
        "value": feedback.value,
        "reasoning": feedback.reasoning,
        "status": "normal",
        "base_info": {
            "created_at": milliseconds(feedback.created_at_micros),
            "updated_at": milliseconds(feedback.updated_at_micros),
        },
    }


def tokens(spans: Iterable[StoredSpan]) -> tuple[int, int]:
    """The tokens that went into the models of some spans, and those that came out."""
    counted = [stored.fields["tags_long"] for stored in spans if stored.fields["span_type"] in MODELS]
    return sum(tags.get("input_tokens", 0) for tags in counted), sum(tags.get("output_tokens", 0) for tags in counted)


def milliseconds(micros: int) -> str:
    """µs as ms, in text; what is left over is cut off, as Go's division does."""
    return str(micros // 1000 if micros >= 0 else -(-micros // 1000))


def _tags(span: Mapping[str, Any], *maps: str) -> dict[str, str]:
    tags = {key: write(value) for name in maps for key, value in span[name].items()}
    for key in _IN_MICROS:
        if is_number(tags.get(key, "")):
            tags[key] = milliseconds(int(tags[key]))
    return tags
