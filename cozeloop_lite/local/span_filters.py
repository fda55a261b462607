"""Filters for spans as the platform reads them: what it refuses, and which spans it finds (contract backend.md 8.2).

Some names are columns of its table of spans; every other one is a key in the span's map of tags of the type given. In
such a map, what is missing is "" or 0: the platform cannot tell a tag that was set to them from one that was not set.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from .binding import boolean, list_of, quote, string, struct
from .codes import invalid_trace_param
from .typed import ZERO, parse

if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, Sequence

    from .codes import Refusal
    from .span_reader import StoredSpan

    Predicate = Callable[[StoredSpan], bool]

MAX_DEPTH = 20  # filters in each other; the limits of this server, not of the platform
MAX_CONDITIONS = 1000  # in one request

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")
_COLUMNS = {  # names of columns: names of fields
    "start_time": "started_at_micros",
    "duration": "duration_micros",
    "psm": "service_name",
    "logid": "log_id",
    "space_id": "workspace_id",
    **{name: name for name in ("trace_id", "span_id", "parent_id", "span_type", "span_name", "method", "call_type")},
    **{name: name for name in ("status_code", "input", "output", "object_storage")},
}
_NUMBERS = ("start_time", "duration", "status_code")
_MILLISECONDS = (  # in filters; stored in µs
    *("duration", "latency_first_resp", "start_time_first_resp"),
    *("latency_first_token_resp", "start_time_first_token_resp", "reasoning_duration"),
)
_FEEDBACK = "feedback_openapi_"
_STATUSES = ("success", "error")

_ANY_TYPE = ("eq", "in", "not_in", "exist", "not_exist")
_NUMBER = (*_ANY_TYPE, "not_eq", "gt", "gte", "lt", "lte")
_OPERATORS = {
    "bool": _ANY_TYPE,
    "string": (*_ANY_TYPE, "not_eq", "match", "not_match"),
    "long": _NUMBER,
    "double": _NUMBER,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "not_eq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "match": operator.contains,
    "not_match": lambda text, part: part not in text,
}


def _form(depth: int) -> Callable[[Any, str], Any]:
    field = {
        "field_name": string,
        "field_type": string,
        "query_type": string,
        "values": list_of(string),
        "is_custom": boolean,
        "query_and_or": string,
        "sub_filter": _form(depth - 1) if depth else _too_deep,
    }
    return struct({"query_and_or": string, "filter_fields": list_of(struct(field))})


def _too_deep(value: Any, path: str) -> Any:
    raise _refused(f"more than {MAX_DEPTH} filters in each other, which this server does not take")


def _refused(reason: str) -> Refusal:
    return invalid_trace_param(f"invalid filter: {reason}")


FORM = _form(MAX_DEPTH)  # of the field "filters" in a request


def predicate(filters: Mapping[str, Any]) -> Predicate:
    """Whether a span is what the filters look for. Raises ``Refusal`` for filters that the platform does not take."""
    if _size(filters) > MAX_CONDITIONS:
        raise _refused(f"more than {MAX_CONDITIONS} conditions, which this server does not take")
    return _group(filters) or (lambda span: True)


def _size(filters: Mapping[str, Any]) -> int:
    fields = [field for field in filters.get("filter_fields", ()) if field is not None]
    return len(fields) + sum(_size(field["sub_filter"]) for field in fields if "sub_filter" in field)


def _group(filters: Mapping[str, Any]) -> Predicate | None:
    relation = filters.get("query_and_or", "and")
    if relation not in ("and", "or"):
        raise _refused(f"query_and_or is {quote(relation)}")
    return _joined(relation, [_field(field) for field in filters.get("filter_fields", ()) if field is not None])


def _field(field: Mapping[str, Any]) -> Predicate | None:
    own = _condition(field) if field.get("field_name") else None
    below = _group(field["sub_filter"]) if "sub_filter" in field else None
    return _joined(field.get("query_and_or", "and"), [own, below])


def _joined(relation: str, parts: Sequence[Predicate | None]) -> Predicate | None:
    """All of the parts, or one of them; None when there are none, for what asks nothing is no part of a query."""
    asked = [part for part in parts if part is not None]
    if len(asked) < 2:
        return asked[0] if asked else None
    enough = any if relation == "or" else all
    return lambda span: enough(part(span) for part in asked)


def _condition(field: Mapping[str, Any]) -> Predicate:
    name, kind, relation = field["field_name"], field.get("field_type", "string"), field.get("query_type", "")
    if not _NAME.fullmatch(name):
        raise _refused(f"the name {quote(name)} has other characters than letters, digits, _ and .")
    if relation not in _OPERATORS.get(kind, ()):
        raise _refused(f"the operator {quote(relation)} for {quote(name)} of the type {quote(kind)}")
    values = _values(name, kind, field)
    if name == "status":
        return _status(relation, values)
    if name in _MILLISECONDS:
        if kind != "long":
            raise _refused(f"{name} must be of the type long, in ms")
        values = [value * 1000 for value in values]
    compare = _comparison(name, kind, relation, values)
    if name.startswith(_FEEDBACK):
        return _on_feedback(name[len(_FEEDBACK) :], kind, relation, compare)
    column = None if field.get("is_custom") else _COLUMNS.get(name)
    if column is None:
        tags = f"tags_{kind}"
        return lambda span: compare(span.fields[tags].get(name, ZERO[kind]))
    if (name in _NUMBERS) == (kind == "string"):
        raise _refused(f"{name} cannot be compared with values of the type {kind}")
    return lambda span: compare(span.fields[column])


def _values(name: str, kind: str, field: Mapping[str, Any]) -> list[Any]:
    texts = [text or "" for text in field.get("values", ())]
    try:
        values = [parse(text, kind) for text in texts]
    except ValueError as error:
        raise _refused(f"{quote(name)}: {error}") from None
    # It takes the other spellings of true, such as 1, and then reads them as false.
    return [text == "true" for text in texts] if kind == "bool" else values


def _comparison(name: str, kind: str, relation: str, values: list[Any]) -> Callable[[Any], bool]:
    zero = ZERO[kind]
    if relation in ("exist", "not_exist"):
        return lambda value: bool(value != zero) == (relation == "exist")
    if relation in ("in", "not_in"):
        if not values:
            raise _refused(f"{quote(name)} needs a value")
        members = frozenset(values)
        return lambda value: (value in members) == (relation == "in")
    if len(values) != 1:
        raise _refused(f"{quote(name)} needs one value, not {len(values)}")
    holds = _COMPARISONS[relation]
    return lambda value: holds(value, values[0])


def _status(relation: str, values: list[Any]) -> Predicate:
    if relation != "in" or not values or not set(values) <= set(_STATUSES):
        raise _refused("status takes the operator in, with success, error or both")
    return lambda span: _STATUSES[span.fields["status_code"] != 0] in values


def _on_feedback(key: str, kind: str, relation: str, compare: Callable[[Any], bool]) -> Predicate:
    if not key:
        raise _refused(f"{_FEEDBACK} must be followed by the key of feedback")

    def matches(span: StoredSpan) -> bool:
        given = next((feedback for feedback in span.feedback if feedback.key == key), None)
        if given is None or relation in ("exist", "not_exist"):
            return (relation == "exist") if given else (relation == "not_exist")
        # A column for each type: feedback of another type is there, and has nothing in this one.
        return compare(parse(given.value, kind) if given.value_type == kind else ZERO[kind])

    return matches
