"""Traces as they are read back: spans, the feedback on them, and the tree they form.

Dataclasses of what the platform answers (contract backend.md 2.5, 8.1; the structs ``OutputSpan`` and ``Annotation`` of
its interface definition). Times are ms since the epoch: that is as exact as the platform gives them back.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Iterator, Mapping

from .entity import Entity, as_integer, as_mapping, as_number, as_text, dataclass, many, one, read_by

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ROOT_PARENTS = ("", "0")  # contract backend.md 2
_MODEL_TYPES = ("model", "LLMCall")  # whose tokens the platform counts, contract backend.md 2.5


def _tags(value: Any) -> dict[str, str] | None:
    return {str(key): as_text(tag) or "" for key, tag in value.items()} if isinstance(value, Mapping) else None


def _time(milliseconds: int | None) -> datetime | None:
    try:
        return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:  # no time that a calendar has
        return None


_READ_VALUE: dict[str, Callable[[Any], Any]] = {
    "bool": {"true": True, "false": False}.get,
    "long": as_integer,
    "double": as_number,
    "number": as_number,
}


@dataclass
class Feedback(Entity):
    """A judgement on a span: by this library (``type`` is ``openapi_feedback``), by a person or an evaluator."""

    key: str = read_by(as_text, "")
    value_text: str = read_by(as_text, "", "value")
    value_type: str = read_by(as_text, "string")
    reasoning: str | None = read_by(as_text)
    type: str | None = read_by(as_text)
    id: str | None = read_by(as_text)
    trace_id: str | None = read_by(as_text)
    span_id: str | None = read_by(as_text)
    workspace_id: str | None = read_by(as_text)
    start_time: int | None = read_by(as_integer)  # of the span
    status: str | None = read_by(as_text)
    base_info: dict[str, Any] | None = read_by(as_mapping)  # who and when
    auto_evaluate: dict[str, Any] | None = read_by(as_mapping)
    manual_feedback: dict[str, Any] | None = read_by(as_mapping)

    @property
    def value(self) -> str | bool | int | float:
        """The value in the type it was given in; its text, when that does not read as one."""
        read = _READ_VALUE.get(self.value_type)
        value = read(self.value_text) if read else None
        return self.value_text if value is None else value


@dataclass
class FileLinks(Entity):
    """Where the files of a span are, as links that hold for some hours (contract backend.md 2.6)."""

    input_data_url: str | None = read_by(as_text)  # the whole input, when the span has only its beginning
    output_data_url: str | None = read_by(as_text)
    multimodal_data: dict[str, str] | None = read_by(_tags)  # the key in the message: link


@dataclass
class TraceSpan(Entity):
    """A span as the platform has it.

    ``span_type`` is what was reported; ``type`` is the same for the types that the platform knows and ``unknwon`` (sic)
    for all others. Tags of every type come back as text, and durations among them (``latency_first_resp``) in ms.
    An error's text is the tag ``error``.
    """

    trace_id: str = read_by(as_text, "")
    span_id: str = read_by(as_text, "")
    parent_id: str = read_by(as_text, "")
    span_name: str = read_by(as_text, "")
    span_type: str = read_by(as_text, "")
    type: str = read_by(as_text, "")
    status: str = read_by(as_text, "")  # success or error
    status_code: int = read_by(as_integer, 0)
    started_at_ms: int = read_by(as_integer, 0, "started_at")
    duration_ms: int = read_by(as_integer, 0, "duration")
    input: str = read_by(as_text, "")
    output: str = read_by(as_text, "")
    custom_tags: dict[str, str] = read_by(_tags)
    system_tags: dict[str, str] = read_by(_tags)
    annotations: list[Feedback] = read_by(many(Feedback))
    service_name: str | None = read_by(as_text)
    logid: str | None = read_by(as_text)
    call_type: str | None = read_by(as_text)
    logic_delete_date: int | None = read_by(as_integer)  # when the platform will forget the span
    attr_tos: FileLinks | None = read_by(one(FileLinks))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fill()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TraceSpan:
        """Read what the platform sent. Never raises for what is in a dict."""
        span = super().from_dict(data)
        span._fill()
        return span

    def _fill(self) -> None:
        """No tags and no feedback are an empty dict and list, not None: these are what programs go through."""
        self.custom_tags = {} if self.custom_tags is None else self.custom_tags
        self.system_tags = {} if self.system_tags is None else self.system_tags
        self.annotations = [] if self.annotations is None else self.annotations

    @property
    def started_at(self) -> datetime | None:
        """When the span began, in UTC; None when the number is no time."""
        return _time(self.started_at_ms)


@dataclass
class Trace:
    """The spans of one trace, by their start; empty, and so false, when there are none.

    Attributes:
        spans: the earliest first.
        complete: False when the trace has more spans than are read; then these are the latest.
    """

    spans: list[TraceSpan]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.spans)

    def __iter__(self) -> Iterator[TraceSpan]:
        return iter(self.spans)

    @property
    def trace_id(self) -> str:
        """The id of the trace; ``""`` when there are no spans."""
        return self.spans[0].trace_id if self.spans else ""

    @property
    def root(self) -> TraceSpan | None:
        """The span without a parent; the earliest one when it has not arrived; None when there are no spans."""
        earliest = self.spans[0] if self.spans else None
        return next((span for span in self.spans if span.parent_id in _ROOT_PARENTS), earliest)

    @property
    def input_tokens(self) -> int:
        """Tokens that went into models: the sum over the spans of model calls, as the platform counts."""
        return self._tokens("input_tokens")

    @property
    def output_tokens(self) -> int:
        """Tokens that models wrote."""
        return self._tokens("output_tokens")

    def walk(self) -> Iterator[tuple[int, TraceSpan]]:
        """Each span once with its depth, parents before their children, siblings by their start.

        A span whose parent is not here is a root, as on the platform's page.
        """
        present = {span.span_id for span in self.spans}
        below: dict[str | None, list[TraceSpan]] = {}
        for span in self.spans:
            below.setdefault(span.parent_id if span.parent_id in present else None, []).append(span)
        seen: set[int] = set()
        for start in below.get(None, []) + self.spans:  # all of them: spans that are each other's parents have no root
            stack = [(0, start)]  # not recursive: a trace may be deeper than Python's stack
            while stack:
                depth, span = stack.pop()
                if id(span) not in seen:
                    seen.add(id(span))
                    yield depth, span
                    # Taken away: of many spans with one id, the first has the children, and only once.
                    stack.extend((depth + 1, child) for child in reversed(below.pop(span.span_id, [])))

    def _tokens(self, tag: str) -> int:
        counted = (span.custom_tags.get(tag) for span in self.spans if span.span_type in _MODEL_TYPES)
        return sum(as_integer(text) or 0 for text in counted)
