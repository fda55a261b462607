"""Filters for spans: which field, compared how, with what; and/or of them. Checked here, where the error can name them.

The type of a value chooses what is looked at: a tag that was set to the number 5 is found by 5, not by ``"5"``.
"""

from __future__ import annotations

import re

from .. import errors
from . import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping, Sequence, Union

    from .arguments import Value

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*\Z")  # contract backend.md 8.2
_ANY_TYPE = ("eq", "in", "not_in", "exist", "not_exist")
_NUMBER = (*_ANY_TYPE, "not_eq", "gt", "gte", "lt", "lte")
# What the platform accepts of those in contract backend.md 8.2 (its loop_span/filter.go)
_OPERATORS = {
    "bool": _ANY_TYPE,
    "string": (*_ANY_TYPE, "not_eq", "match", "not_match"),
    "long": _NUMBER,
    "double": _NUMBER,
}
_OF_LISTS = ("in", "not_in")
_OF_NOTHING = ("exist", "not_exist")
# In ms and whole numbers, as the platform's processLatencyFilter has it
_DURATIONS = (
    "duration",
    "latency_first_resp",
    "latency_first_token_resp",
    "start_time_first_resp",
    "start_time_first_token_resp",
    "reasoning_duration",
)
_STATUSES = ("success", "error")


class Filter:
    """One condition on a span: ``Filter("duration", "gte", 1000)``.

    Args:
        name: a field (``span_name``, ``span_type``, ``trace_id``, ``logid``, ``input``, ``output``, ``status``,
            ``duration`` in ms), the key of a tag, or ``feedback_openapi_`` with the key of feedback. Letters, digits,
            ``_`` and ``.`` only: tags with other characters in their keys cannot be searched for.
        operator: ``eq`` or ``not_eq``; for text ``match`` or ``not_match`` (contains it); for numbers ``gt``, ``gte``,
            ``lt``, ``lte``; ``in`` or ``not_in`` with a list; ``exist`` or ``not_exist`` without a value.
        value: str, bool, int or float, of the type in which the tag was set; for ``in`` and ``not_in`` a list of them.
        field_type: for ``exist`` and ``not_exist``, the type of the tag: ``string`` (default), ``long``, ``double``,
            ``bool``.

    Raises:
        InvalidParamError: the platform does not take this.
    """

    __slots__ = ("field_type", "name", "operator", "values")

    def __init__(
        self, name: str, operator: str, value: Value | Iterable[Value] | None = None, *, field_type: str = "string"
    ) -> None:
        self.name = _name(name)
        self.operator = operator
        what = "the value of the filter for %s" % self.name
        if operator in _OF_NOTHING:
            if value is not None:
                raise errors.InvalidParamError("%s: %s takes none" % (what, operator))
            self.values: list[str] = []
            self.field_type = field_type
        else:
            self.values, self.field_type = _values(what, _listed(what, value) if operator in _OF_LISTS else [value])
        self._check(what)

    def _check(self, what: str) -> None:
        possible = _OPERATORS.get(self.field_type) if isinstance(self.field_type, str) else None
        if possible is None:
            raise errors.InvalidParamError(
                "field_type must be one of %s, not %s" % (", ".join(_OPERATORS), arguments.shown(self.field_type))
            )
        if self.operator not in possible:
            raise errors.InvalidParamError(
                "the operator of the filter for %s must be one of %s, for a value of the type %s"
                % (self.name, ", ".join(possible), self.field_type)
            )
        if self.name in _DURATIONS and self.field_type != "long":
            raise errors.InvalidParamError("%s must be an int, of ms" % what)
        if self.name == "status":
            if self.operator == "eq":
                self.operator = "in"  # the only one there is for it, contract backend.md 8.2
            if self.operator != "in" or not set(self.values) <= set(_STATUSES):
                raise errors.InvalidParamError("status can only be compared by eq or in, with success or error")

    def to_dict(self) -> dict[str, Any]:
        """As the platform reads it."""
        return {
            "field_name": self.name,
            "field_type": self.field_type,
            "query_type": self.operator,
            "values": list(self.values),
        }

    def __repr__(self) -> str:
        return "Filter(%r, %r, %s)" % (self.name, self.operator, ", ".join(self.values))


class FilterGroup:
    """Conditions of which all, or one, must hold. Made by :func:`all_of` and :func:`any_of`."""

    __slots__ = ("conditions", "relation")

    def __init__(self, relation: str, conditions: Sequence[Condition]) -> None:
        if not conditions:
            raise errors.InvalidParamError("a group of filters must have one at least")
        for condition in conditions:
            if not isinstance(condition, (Filter, FilterGroup)):
                raise errors.InvalidParamError(
                    "filters must be Filter objects and groups of them, not %s" % type(condition).__name__
                )
        self.relation = relation
        self.conditions = tuple(conditions)

    def to_dict(self) -> dict[str, Any]:
        """As the platform reads it."""
        fields = [
            condition.to_dict()
            if isinstance(condition, Filter)
            else {"query_and_or": "and", "sub_filter": condition.to_dict()}
            for condition in self.conditions
        ]
        return {"query_and_or": self.relation, "filter_fields": fields}

    def __repr__(self) -> str:
        return "%s(%s)" % ({"and": "all_of", "or": "any_of"}[self.relation], ", ".join(map(repr, self.conditions)))


if TYPE_CHECKING:  # here, where the classes are known to whoever evaluates these
    Condition = Union[Filter, FilterGroup]
    Filters = Union[Condition, Sequence[Condition], Mapping[str, Any]]


def all_of(*conditions: Condition) -> FilterGroup:
    """Every one of the conditions must hold."""
    return FilterGroup("and", conditions)


def any_of(*conditions: Condition) -> FilterGroup:
    """One of the conditions must hold."""
    return FilterGroup("or", conditions)


def written(filters: Filters | None) -> dict[str, Any] | None:
    """What a caller gave as ``filters``, as the platform reads it; None when there are none."""
    if isinstance(filters, FilterGroup):
        return filters.to_dict()
    if isinstance(filters, Filter):
        return all_of(filters).to_dict()
    if not filters:
        return None
    if isinstance(filters, dict):
        return all_of(*[_equal(name, value) for name, value in filters.items()]).to_dict()
    if isinstance(filters, (list, tuple)):
        return all_of(*filters).to_dict()
    raise errors.InvalidParamError(
        "filters must be a dict, a Filter or a list of Filter objects, not %s" % type(filters).__name__
    )


def _equal(name: str, value: Any) -> Filter:
    return Filter(name, "in" if isinstance(value, (list, tuple, set, frozenset)) else "eq", value)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise errors.InvalidParamError(
            "the name in a filter must be made of letters, digits, _ and . and not begin with a digit or ., not %r"
            % (name if isinstance(name, str) else type(name).__name__,)
        )
    return str.__str__(name)


def _listed(what: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple, set, frozenset)) or not value:
        raise errors.InvalidParamError("%s must be a list, with one element at least" % what)
    return list(value)


def _values(what: str, values: list[Any]) -> tuple[list[str], str]:
    """The values as text, and the one type that all of them have."""
    texts, types = zip(*(arguments.typed(what, value) for value in values))
    if set(types) == {"long", "double"}:
        return list(texts), "double"
    if len(set(types)) > 1:
        raise errors.InvalidParamError("%s must be all of one type" % what)
    return list(texts), types[0]
