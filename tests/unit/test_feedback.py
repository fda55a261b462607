"""Feedback: what is sent for each kind of value, and what is refused before it is sent."""

from __future__ import annotations

import enum

import pytest

from cozeloop_lite import InvalidParamError
from cozeloop_lite.feedback import add_feedback, delete_feedback

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


class Api:
    """Records what would be sent."""

    def __init__(self):
        self.sent = []

    def post(self, path, data):
        self.sent.append(("POST", path, data))
        return {"code": 0, "msg": ""}

    def delete(self, path, *, params):
        self.sent.append(("DELETE", path, params))
        return {"code": 0, "msg": ""}


@pytest.fixture
def api():
    return Api()


def test_feedback_goes_to_the_root_of_the_trace_unless_a_span_is_named(api):
    assert add_feedback(api, "7", TRACE, "helpful", True) is None
    body = {
        "workspace_id": "7",
        "trace_id": TRACE,
        "annotation_key": "helpful",
        "annotation_value": "true",
        "annotation_value_type": "bool",
    }
    assert api.sent == [("POST", "/v1/loop/annotations", body)]


def test_span_and_reasoning_are_sent_when_given(api):
    add_feedback(api, "7", TRACE, "helpful", True, SPAN, "it said where the key is")
    ((_, _, body),) = api.sent
    assert (body["span_id"], body["reasoning"]) == (SPAN, "it said where the key is")


class Grade(enum.IntEnum):
    GOOD = 1


class Verdict(str, enum.Enum):
    FINE = "fine"


@pytest.mark.parametrize(
    ("value", "written", "value_type"),
    [
        (True, "true", "bool"),
        (False, "false", "bool"),
        (0, "0", "long"),
        (-(2**63), "-9223372036854775808", "long"),
        (2**63 - 1, "9223372036854775807", "long"),
        (Grade.GOOD, "1", "long"),
        (0.5, "0.5", "double"),
        (1e300, "1e+300", "double"),
        (-0.0, "-0.0", "double"),
        ("", "", "string"),
        ("好", "好", "string"),
        ("true", "true", "string"),
        (Verdict.FINE, "fine", "string"),
    ],
)
def test_the_python_type_says_what_kind_of_value_it_is(api, value, written, value_type):
    add_feedback(api, "7", TRACE, "k", value)
    ((_, _, body),) = api.sent
    assert (body["annotation_value"], body["annotation_value_type"]) == (written, value_type)
    assert type(body["annotation_value"]) is str


def test_ids_in_capitals_are_those_of_the_platform_in_small_letters(api):
    add_feedback(api, "7", TRACE.upper(), "k", 1, SPAN.upper())
    ((_, _, body),) = api.sent
    assert (body["trace_id"], body["span_id"]) == (TRACE, SPAN)


def test_deleting_names_the_key_and_the_span_in_the_query(api):
    assert delete_feedback(api, "7", TRACE, "helpful", SPAN) is None
    delete_feedback(api, "7", TRACE, "helpful")
    query = {"workspace_id": "7", "trace_id": TRACE, "annotation_key": "helpful"}
    assert api.sent == [
        ("DELETE", "/v1/loop/annotations", {**query, "span_id": SPAN}),
        ("DELETE", "/v1/loop/annotations", query),
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"trace_id": TRACE[:-1]}, "trace_id"),
        ({"trace_id": TRACE + "\n"}, "trace_id"),
        ({"trace_id": "0" * 32}, "trace_id"),
        ({"trace_id": "x" * 32}, "trace_id"),
        ({"trace_id": None}, "trace_id"),
        ({"trace_id": 10**5000}, "trace_id"),
        ({"span_id": SPAN + "0"}, "span_id"),
        ({"span_id": "0" * 16}, "span_id"),
        ({"span_id": ""}, "span_id"),
        ({"key": ""}, "key"),
        ({"key": " \n"}, "key"),
        ({"key": 5}, "key"),
        ({"key": "\ud800"}, "key"),
        ({"value": None}, "value"),
        ({"value": ["a"]}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": float("-inf")}, "value"),
        ({"value": 2**63}, "value"),
        ({"value": "\udfff"}, "value"),
        ({"reasoning": 1}, "reasoning"),
        ({"reasoning": "\ud800"}, "reasoning"),
    ],
)
def test_what_the_platform_cannot_take_is_refused_by_the_name_of_the_argument(api, arguments, named):
    given = {"trace_id": TRACE, "key": "k", "value": 1, **arguments}
    with pytest.raises(InvalidParamError, match="^%s " % named) as caught:
        add_feedback(api, "7", **given)
    assert len(str(caught.value)) < 200
    assert api.sent == []
    if "value" not in arguments and "reasoning" not in arguments:
        given.pop("value")
        with pytest.raises(InvalidParamError, match="^%s " % named):
            delete_feedback(api, "7", **given)
        assert api.sent == []


def test_the_id_of_a_span_that_records_nothing_is_explained(api):
    with pytest.raises(InvalidParamError, match="records nothing"):
        add_feedback(api, "7", "", "k", 1)
