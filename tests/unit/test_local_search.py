"""Searches of the stand-in server: which filters it takes, what they find, and how spans and feedback are answered."""

from __future__ import annotations

import json

import pytest

from cozeloop_lite.local import output, span_filters, span_reader
from cozeloop_lite.local.codes import Refusal
from cozeloop_lite.local.feedback import Feedback
from cozeloop_lite.local.rules import Arrival
from cozeloop_lite.local.search_endpoints import PAGE_SIZE, SearchEndpoints
from cozeloop_lite.local.span_filters import FORM, predicate
from cozeloop_lite.local.span_reader import StoredSpan
from cozeloop_lite.local.store import Store
from cozeloop_lite.local.typed import parse, write
from cozeloop_lite.query.filters import Filter, all_of, any_of, written

TRACE = "29392ac2486dfcfa46656416baabeac8"
SPAN = "5a340d219f70ccaa"
START = 1795325007510192  # µs

FIELDS = {
    "trace_id": TRACE,
    "span_id": SPAN,
    "parent_id": "0",
    "workspace_id": "7",
    "span_name": "greet 你好",
    "span_type": "model",
    "method": "GET",
    "call_type": "Custom",
    "service_name": "shop",
    "log_id": "log-1",
    "started_at_micros": START,
    "duration_micros": 372_499,
    "status_code": 0,
    "input": "in 100%",
    "output": "",
    "object_storage": "",
    "tags_string": {"user": "anna", "empty": "", "duration": "long"},
    "tags_long": {"n": 5, "zero": 0, "latency_first_resp": 1_500_000, "input_tokens": 3, "output_tokens": 4},
    "tags_double": {"d": 0.5, "none": 0.0},
    "tags_bool": {"yes": True, "no": False},
    "tags_bytes": {"raw": "bytes"},
    "system_tags_string": {"language": "python"},
    "system_tags_long": {},
    "system_tags_double": {},
}


def feedback(key, value_type, value):
    return Feedback("7", TRACE, SPAN, key, value_type, value, "", START, START)


STORED = StoredSpan(
    FIELDS,
    1000,
    [
        feedback("helpful", "bool", "true"),
        feedback("grade", "long", "4"),
        feedback("score", "double", "0.9"),
        feedback("label", "string", "good"),
        feedback("bad", "bool", "false"),
    ],
)


def field(name, kind, query_type, *values, **more):
    return {"field_name": name, "field_type": kind, "query_type": query_type, "values": list(values), **more}


def finds(*fields, relation="and", **changes):
    filters = FORM({"query_and_or": relation, "filter_fields": list(fields)}, "filters")
    return predicate(filters)(STORED._replace(fields={**FIELDS, **changes}))


def refusal_of(*fields, relation="and"):
    with pytest.raises(Refusal) as caught:
        finds(*fields, relation=relation)
    assert caught.value.code == 600904002
    assert caught.value.msg.startswith("invalid param,invalid filter: ")
    return caught.value.msg


# --- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kind, query_type, values, found",
    [
        ("user", "string", "eq", ["anna"], True),
        ("user", "string", "eq", ["ann"], False),
        ("user", "string", "not_eq", ["bob"], True),
        ("user", "string", "not_eq", ["anna"], False),
        ("user", "string", "match", ["nn"], True),
        ("user", "string", "match", ["NN"], False),
        ("input", "string", "match", ["100%"], True),
        ("user", "string", "not_match", ["nn"], False),
        ("user", "string", "not_match", ["x"], True),
        ("user", "string", "in", ["bob", "anna"], True),
        ("user", "string", "in", ["bob"], False),
        ("user", "string", "not_in", ["bob"], True),
        ("user", "string", "not_in", ["bob", "anna"], False),
        ("user", "string", "exist", [], True),
        ("user", "string", "not_exist", [], False),
        ("n", "long", "eq", ["5"], True),
        ("n", "long", "not_eq", ["5"], False),
        ("n", "long", "gt", ["4"], True),
        ("n", "long", "gt", ["5"], False),
        ("n", "long", "gte", ["5"], True),
        ("n", "long", "gte", ["6"], False),
        ("n", "long", "lt", ["6"], True),
        ("n", "long", "lt", ["5"], False),
        ("n", "long", "lte", ["5"], True),
        ("n", "long", "lte", ["4"], False),
        ("n", "long", "in", ["4", "5"], True),
        ("n", "long", "not_in", ["5"], False),
        ("n", "long", "exist", [], True),
        ("d", "double", "eq", ["0.50"], True),
        ("d", "double", "gt", ["4.9e-1"], True),
        ("d", "double", "lte", ["-1"], False),
        ("d", "double", "in", [".5"], True),
        ("yes", "bool", "eq", ["true"], True),
        ("yes", "bool", "eq", ["false"], False),
        ("yes", "bool", "in", ["true", "false"], True),
        ("no", "bool", "not_in", ["true"], True),
        ("yes", "bool", "exist", [], True),
    ],
)
def test_an_operator_compares_a_tag(name, kind, query_type, values, found):
    assert finds(field(name, kind, query_type, *values)) is found


@pytest.mark.parametrize(
    "name, kind", [("empty", "string"), ("zero", "long"), ("none", "double"), ("no", "bool"), ("never_set", "string")]
)
def test_an_empty_tag_and_zero_do_not_exist(name, kind):
    assert not finds(field(name, kind, "exist"))
    assert finds(field(name, kind, "not_exist"))


@pytest.mark.parametrize("kind, zero", [("string", ""), ("long", "0"), ("double", "0"), ("bool", "false")])
def test_a_tag_that_was_never_set_equals_nothing_of_its_type(kind, zero):
    assert finds(field("never_set", kind, "eq", zero))
    assert finds(field("never_set", kind, "in", zero))


def test_a_tag_is_found_by_the_type_in_which_it_was_set():
    assert finds(field("n", "long", "eq", "5"))
    assert not finds(field("n", "string", "eq", "5"))
    assert not finds(field("n", "double", "eq", "5"))
    assert not finds(field("raw", "string", "exist"))  # the platform looks into no map of bytes


def test_the_type_is_string_when_none_is_given():
    assert finds({"field_name": "user", "query_type": "eq", "values": ["anna"]})


def test_other_spellings_of_true_are_taken_and_read_as_false():
    assert finds(field("no", "bool", "eq", "1"))
    assert not finds(field("yes", "bool", "eq", "T"))


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kind, value",
    [
        ("trace_id", "string", TRACE),
        ("span_id", "string", SPAN),
        ("parent_id", "string", "0"),
        ("span_name", "string", "greet 你好"),
        ("span_type", "string", "model"),
        ("method", "string", "GET"),
        ("call_type", "string", "Custom"),
        ("psm", "string", "shop"),
        ("logid", "string", "log-1"),
        ("space_id", "string", "7"),
        ("input", "string", "in 100%"),
        ("output", "string", ""),
        ("object_storage", "string", ""),
        ("start_time", "long", str(START)),
        ("status_code", "long", "0"),
        ("status_code", "double", "0"),
        ("status_code", "bool", "false"),
    ],
)
def test_a_built_in_name_is_a_field_of_the_span(name, kind, value):
    assert finds(field(name, kind, "eq", value))
    assert not finds(field(name, kind, "eq", value), **{span_filters._COLUMNS[name]: "another" if value else "x"})


def test_a_built_in_name_wins_over_a_tag_unless_the_tag_is_meant():
    assert finds(field("method", "string", "eq", "GET"), tags_string={"method": "POST"})
    assert finds(field("method", "string", "eq", "POST", is_custom=True), tags_string={"method": "POST"})


@pytest.mark.parametrize("name", ["service_name", "log_id", "started_at_micros", "duration_micros", "workspace_id"])
def test_the_names_of_the_wire_are_none(name):
    assert finds(field(name, "string", "not_exist"))


def test_durations_are_given_in_ms_and_compared_in_micros():
    assert finds(field("duration", "long", "gt", "372"))
    assert finds(field("duration", "long", "lt", "373"))
    assert not finds(field("duration", "long", "eq", "372"))
    assert finds(field("latency_first_resp", "long", "in", "1500", "2"))
    assert finds(field("reasoning_duration", "long", "not_exist"))


def test_the_start_is_given_in_micros():
    assert finds(field("start_time", "long", "lte", str(START)))
    assert not finds(field("start_time", "long", "gt", str(START // 1000 * 1000 + 999)))


@pytest.mark.parametrize(
    "code, values, found",
    [
        (0, ["success"], True),
        (0, ["error"], False),
        (-1, ["error"], True),
        (500, ["success"], False),
        (500, ["success", "error"], True),
    ],
)
def test_status_is_success_or_error(code, values, found):
    assert finds(field("status", "string", "in", *values), status_code=code) is found


# --- feedback ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, kind, query_type, values, found",
    [
        ("helpful", "bool", "eq", ["true"], True),
        ("helpful", "bool", "eq", ["false"], False),
        ("bad", "bool", "eq", ["false"], True),
        ("grade", "long", "gte", ["4"], True),
        ("grade", "long", "gt", ["4"], False),
        ("score", "double", "gt", ["0.8"], True),
        ("label", "string", "match", ["oo"], True),
        ("label", "string", "not_eq", ["bad"], True),
        ("label", "string", "exist", [], True),
        ("bad", "bool", "exist", [], True),
        ("label", "string", "not_exist", [], False),
        ("other", "string", "exist", [], False),
        ("other", "string", "not_exist", [], True),
        ("other", "string", "not_eq", ["x"], False),
        ("other", "string", "eq", [""], False),
        ("grade", "string", "eq", ["4"], False),
    ],
)
def test_feedback_is_found_by_its_key(key, kind, query_type, values, found):
    assert finds(field("feedback_openapi_" + key, kind, query_type, *values)) is found


# --- and, or ----------------------------------------------------------------------------------------------------------

TRUE = field("user", "string", "eq", "anna")
FALSE = field("user", "string", "eq", "bob")


@pytest.mark.parametrize(
    "relation, fields, found",
    [
        ("and", [], True),
        ("or", [], True),
        ("and", [TRUE, TRUE], True),
        ("and", [TRUE, FALSE], False),
        ("or", [TRUE, FALSE], True),
        ("or", [FALSE, FALSE], False),
        ("and", [TRUE, None], True),
        ("or", [FALSE, {"sub_filter": {}}], False),  # what asks nothing is no alternative
        ("or", [FALSE, field("status", "string", "in", "success", "error")], True),
        ("and", [{"sub_filter": {"query_and_or": "or", "filter_fields": [FALSE, TRUE]}}, TRUE], True),
        ("and", [{"sub_filter": {"query_and_or": "and", "filter_fields": [FALSE, TRUE]}}, TRUE], False),
        ("and", [{**TRUE, "sub_filter": {"filter_fields": [FALSE]}}], False),
        ("and", [{**TRUE, "query_and_or": "or", "sub_filter": {"filter_fields": [FALSE]}}], True),
        ("and", [{**FALSE, "query_and_or": "or", "sub_filter": {"filter_fields": [FALSE]}}], False),
        ("and", [{**FALSE, "query_and_or": "or", "sub_filter": {}}], False),
    ],
)
def test_conditions_are_joined(relation, fields, found):
    assert finds(*fields, relation=relation) is found


def test_all_of_them_must_hold_when_nothing_else_is_said():
    assert not predicate(FORM({"filter_fields": [TRUE, FALSE]}, "filters"))(STORED)
    assert predicate(FORM({}, "filters"))(STORED)


def nested(depth):
    filters = {"filter_fields": [FALSE]}
    for _ in range(depth):
        filters = {"filter_fields": [{"sub_filter": filters}]}
    return {"sub_filter": filters}


def test_filters_can_be_nested_to_some_depth():
    assert not finds(nested(span_filters.MAX_DEPTH - 1))
    assert "more than 20 filters in each other" in refusal_of(nested(span_filters.MAX_DEPTH))


def test_there_may_be_many_conditions_but_not_any_number():
    assert finds(*[TRUE] * 1000)
    assert "more than 1000 conditions" in refusal_of(*[TRUE] * 998, {"sub_filter": {"filter_fields": [TRUE] * 2}})


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["user-id", "a/b", "1a", ".a", "a b", "a\n", "名", "a'] or 1 --", "feedback_openapi_"])
def test_a_name_that_is_none_is_refused(name):
    refusal_of(field(name, "string", "exist"))


@pytest.mark.parametrize(
    "kind, query_type",
    [
        ("string", "gt"),
        ("string", "lte"),
        ("long", "match"),
        ("double", "not_match"),
        ("bool", "not_eq"),
        ("bool", "gt"),
        ("string", "like"),
        ("string", "always_true"),
        ("string", ""),
        ("text", "eq"),
        ("", "eq"),
    ],
)
def test_an_operator_that_the_type_does_not_have_is_refused(kind, query_type):
    refusal_of(field("user", kind, query_type, "1"))


def test_an_operator_is_needed():
    refusal_of({"field_name": "user", "values": ["anna"]})


@pytest.mark.parametrize("query_type", ["eq", "not_eq", "gt", "gte", "lt", "lte"])
@pytest.mark.parametrize("values", [[], ["1", "2"]])
def test_one_value_is_needed_where_one_is_compared(query_type, values):
    assert "one value" in refusal_of(field("n", "long", query_type, *values))


@pytest.mark.parametrize("query_type", ["match", "not_match"])
def test_one_value_is_needed_to_be_contained(query_type):
    assert "one value" in refusal_of(field("user", "string", query_type, "a", "b"))


@pytest.mark.parametrize("query_type", ["in", "not_in"])
def test_a_list_must_not_be_empty(query_type):
    refusal_of(field("n", "long", query_type))


@pytest.mark.parametrize(
    "kind, value",
    [
        ("long", "1.5"),
        ("long", ""),
        ("long", "9223372036854775808"),
        ("double", "x"),
        ("double", "nan"),
        ("double", "1e999"),
        ("double", "1" * 5000),
        ("double", "1e" + "9" * 5000),
        ("bool", "yes"),
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused(kind, value):
    assert f"is no {kind}" in refusal_of(field("n", kind, "in", value))


@pytest.mark.parametrize(
    "name",
    [
        "duration",
        "latency_first_resp",
        "start_time_first_resp",
        "latency_first_token_resp",
        "start_time_first_token_resp",
        "reasoning_duration",
    ],
)
@pytest.mark.parametrize("kind", ["string", "double", "bool"])
def test_a_duration_of_another_type_than_long_is_refused(name, kind):
    assert "must be of the type long" in refusal_of(field(name, kind, "eq", "1" if kind != "bool" else "true"))


@pytest.mark.parametrize(
    "query_type, values",
    [("eq", ["success"]), ("not_in", ["error"]), ("in", ["ok"]), ("in", []), ("in", ["success", "0"]), ("exist", [])],
)
def test_another_question_about_the_status_is_refused(query_type, values):
    assert "status" in refusal_of(field("status", "string", query_type, *values))


@pytest.mark.parametrize("name, kind", [("input", "long"), ("span_id", "bool"), ("status_code", "string")])
def test_a_field_of_another_type_is_refused(name, kind):
    value = {"long": "1", "bool": "true", "string": "x"}[kind]
    assert "cannot be compared" in refusal_of(field(name, kind, "eq", value))


def test_what_is_wrong_anywhere_is_refused():
    refusal_of(TRUE, {"sub_filter": {"filter_fields": [field("a", "long", "match", "1")]}}, relation="or")
    refusal_of({"sub_filter": {"query_and_or": "xor", "filter_fields": []}})
    refusal_of(TRUE, relation="nor")


@pytest.mark.parametrize(
    "filters",
    [[], "x", {"filter_fields": {}}, {"filter_fields": ["x"]}, {"filter_fields": [{"values": "x"}]}],
    ids=repr,
)
def test_filters_of_another_form_are_none(filters):
    with pytest.raises(ValueError):
        FORM(filters, "filters")


# --- the client's filters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filters, found",
    [
        ({"user": "anna", "n": [4, 5], "d": 0.5, "yes": True}, True),
        ({"user": "anna", "n": 6}, False),
        ({"status": "success", "trace_id": TRACE}, True),
        (Filter("duration", "gte", 372), True),
        ([Filter("user", "match", "nn"), Filter("zero", "not_exist", field_type="long")], True),
        (any_of(Filter("n", "gt", 9), all_of(Filter("d", "lt", 1.0), Filter("user", "not_in", ["bob"]))), True),
        ({"feedback_openapi_helpful": True, "feedback_openapi_grade": 4}, True),
    ],
)
def test_what_the_client_writes_is_read(filters, found):
    assert predicate(FORM(written(filters), "filters"))(STORED) is found


# --- the order of spans -----------------------------------------------------------------------------------------------


@pytest.fixture
def spans(monkeypatch):
    """A store from which spans are read two by two: what is given is added."""
    monkeypatch.setattr(span_reader, "_CHUNK", 2)
    kept = Store()

    def add(*pairs):
        for trace_id, number in pairs:
            fields = {**FIELDS, "trace_id": trace_id, "span_id": str(number), "started_at_micros": number // 10}
            kept.add_spans([Arrival(fields)])
        return kept

    yield add
    kept.close()


def read(found):
    return [(span.fields["trace_id"], int(span.fields["span_id"])) for span in found]


def test_spans_come_by_start_and_id_and_the_last_to_arrive_first(spans):
    pairs = [("a", 12), ("a", 31), ("b", 12), ("c", 12), ("b", 11), ("d", 12), ("a", 20), ("e", 12)]
    order = [("a", 31), ("a", 20), *[(trace, 12) for trace in "edcba"], ("b", 11)]
    assert read(spans(*pairs).newest(0, 9)) == order
    assert read(spans().newest(2, 2)) == [("a", 20)]
    assert read(spans().newest(0, 9, "b")) == [("b", 12), ("b", 11)]
    assert read(spans().newest(0, 9, "none")) == []


def test_spans_below_a_place_are_strictly_below(spans):
    kept = spans(("a", 11), ("a", 12), ("b", 12), ("a", 13), ("a", 20))
    assert read(kept.newest(0, 9, below=(1, "12"))) == [("a", 11)]
    assert read(kept.newest(0, 9, below=(2, "20"))) == [("a", 13), ("b", 12), ("a", 12), ("a", 11)]
    assert read(kept.newest(0, 1, below=(9, ""))) == [("a", 13), ("b", 12), ("a", 12), ("a", 11)]
    assert read(kept.newest(0, 9, "b", below=(1, "13"))) == [("b", 12)]


def test_spans_that_arrive_during_a_search_do_not_disturb_it(spans):
    found = spans(*[("a", number) for number in range(10, 20)]).newest(0, 9)
    seen = read([next(found), next(found)])
    spans(("b", 19), ("b", 99), ("b", 5))
    assert seen + read(found) == [*[("a", number) for number in range(19, 9, -1)], ("b", 5)]


def test_spans_that_are_forgotten_during_a_search_are_left_out(spans):
    kept = spans(*[("a", number) for number in range(10, 20)])
    found = kept.newest(0, 9)
    seen = read([next(found)])
    kept._connection.execute("DELETE FROM spans WHERE span_id NOT IN ('17', '12')")
    assert seen + read(found) == [("a", number) for number in (19, 17, 12)]


# --- values in text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value_type, text, value, again",
    [
        ("string", " 你 ", " 你 ", " 你 "),
        ("long", "-9223372036854775808", -(1 << 63), "-9223372036854775808"),
        ("long", "+5", 5, "5"),
        ("double", "0.9", 0.9, "0.9"),
        ("double", "2", 2.0, "2"),
        ("double", "1e21", 1e21, "1000000000000000000000"),
        ("double", "1e-7", 1e-7, "0.0000001"),
        ("double", "-0.0", -0.0, "-0"),
        ("bool", "T", True, "true"),
        ("bool", "0", False, "false"),
    ],
)
def test_a_value_is_read_and_written(value_type, text, value, again):
    read = parse(text, value_type)
    assert (read, type(read)) == (value, type(value))
    assert write(read) == again


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_span_is_answered_with_times_in_ms_and_tags_as_text():
    assert output.span_document(STORED._replace(feedback=[])) == {
        "trace_id": TRACE,
        "span_id": SPAN,
        "parent_id": "0",
        "span_name": "greet 你好",
        "span_type": "model",
        "type": "model",
        "call_type": "Custom",
        "service_name": "shop",
        "logid": "log-1",
        "started_at": "1795325007510",
        "duration": "372",
        "logic_delete_date": "1826861007510",
        "status": "success",
        "status_code": 0,
        "input": "in 100%",
        "output": "",
        "custom_tags": {
            "user": "anna",
            "empty": "",
            "duration": "long",
            "n": "5",
            "zero": "0",
            "latency_first_resp": "1500",
            "input_tokens": "3",
            "output_tokens": "4",
            "d": "0.5",
            "none": "0",
            "yes": "true",
            "no": "false",
            "raw": "bytes",
        },
        "system_tags": {"language": "python"},
    }


def answered(detail=True, **changes):
    return output.span_document(StoredSpan({**FIELDS, **changes}, 1000, []), detail=detail)


@pytest.mark.parametrize("page_size", [0, None])
def test_a_page_of_no_size_has_the_usual_one(page_size):
    store = Store()
    store.add_spans([Arrival({**FIELDS, "span_id": str(number), "parent_id": "1"}) for number in range(PAGE_SIZE + 1)])
    asked = {"workspace_id": "7", "start_time": START // 1000, "end_time": START // 1000 + 1, "page_size": page_size}
    search = SearchEndpoints(store, None, None, lambda line: None)
    answer = search.spans("application/json", json.dumps({**asked, "span_list_type": "all_span"}).encode())
    store.close()
    assert len(json.loads(answer.body.decode())["data"]["spans"]) == PAGE_SIZE


def test_what_is_empty_has_no_log_id_and_no_service():
    assert not {"logid", "service_name", "annotations"} & set(answered(log_id="", service_name=""))


def test_a_type_that_the_platform_does_not_know_is_spelled_as_it_does():
    span = answered(span_type="tool")
    assert (span["span_type"], span["type"]) == ("tool", "unknwon")


def test_a_span_that_failed_has_the_status_error():
    span = answered(status_code=-1)
    assert (span["status"], span["status_code"]) == ("error", -1)


def test_without_details_input_and_output_are_empty():
    span = answered(detail=False, output="out")
    assert (span["input"], span["output"]) == ("", "")


def test_a_time_in_a_tag_that_is_no_number_stays_as_it_is():
    given = {"latency_first_resp": "soon", "reasoning_duration": "-1999"}
    tags = answered(tags_long={}, tags_string=given)["custom_tags"]
    assert (tags["latency_first_resp"], tags["reasoning_duration"]) == ("soon", "-1")


def test_feedback_is_answered_beside_its_span():
    given = Feedback("7", TRACE, SPAN, "grade", "long", "4", "why not", START + 5_000_000, START + 6_000_000)
    (answer,) = output.span_document(STORED._replace(feedback=[given]))["annotations"]
    assert answer == {
        "id": "043de1598556d567fb06ddc55f06a300835d551dbdfaf3c2037301bac80a1548",
        "span_id": SPAN,
        "trace_id": TRACE,
        "workspace_id": "7",
        "start_time": "1795325007510",
        "type": "openapi_feedback",
        "key": "grade",
        "value_type": "long",
        "value": "4",
        "reasoning": "why not",
        "status": "normal",
        "base_info": {"created_at": "1795325012510", "updated_at": "1795325013510"},
    }


def test_tokens_are_counted_on_calls_of_models_only():
    spans = [StoredSpan({**FIELDS, "span_type": kind}, 1, []) for kind in ("model", "LLMCall", "prompt")]
    spans.append(StoredSpan({**FIELDS, "tags_long": {}, "tags_double": {"input_tokens": 9.0}}, 1, []))
    assert output.tokens(spans) == (6, 8)
