"""What the stand-in server refuses, drops and cuts, and the words in which it says so. Numbers: contract backend.md."""

from __future__ import annotations

import gzip
import json

import pytest

from cozeloop_lite.local import rules
from cozeloop_lite.local.rules import Refusal

NOW = 1795325007510192
HOUR = 3600 * 1000000
JSON = "application/json"


def wire_span(**changes):
    span = {
        "started_at_micros": NOW - 1000,
        "duration_micros": 372,
        "trace_id": "29392ac2486dfcfa46656416baabeac8",
        "span_id": "5a340d219f70ccaa",
        "parent_id": "0",
        "workspace_id": "7",
        "span_name": "greet",
        "span_type": "custom",
        "status_code": 0,
        "input": "in",
        "output": "out",
    }
    span.update(changes)
    return span


def ingest(*spans, **options):
    body = json.dumps({"spans": list(spans)}).encode()
    return rules.ingest(body, JSON, NOW, options.get("workspace_id"))


def ingest_one(**changes):
    (arrival,) = ingest(wire_span(**changes))
    return arrival


def refusal_of(*spans, **options):
    with pytest.raises(Refusal) as caught:
        ingest(*spans, **options)
    return caught.value.code, caught.value.msg


def refusal_of_body(body, content_type=JSON):
    with pytest.raises(Refusal) as caught:
        rules.ingest(body, content_type, NOW)
    return caught.value.code


def test_a_good_span_is_kept_as_it_is_without_a_warning():
    tags = {"tags_string": {"a": "x"}, "tags_long": {"n": 1}, "tags_double": {"d": 1.5}, "tags_bool": {"b": True}}

    arrival = ingest_one(system_tags_string={"runtime": "{}"}, **tags)

    assert arrival.warnings == []
    assert not arrival.dropped
    assert {key: arrival.span[key] for key in wire_span()} == wire_span()
    assert {key: arrival.span[key] for key in tags} == tags
    assert arrival.span["system_tags_string"] == {"runtime": "{}"}


# --- the JSON codec, 1.4 ---


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"spans": null}', b'{"spans": []}'])
def test_a_request_without_spans_is_refused(body):
    assert refusal_of_body(body) == 600904002


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"7", b'{"spans": {}}', b'{"spans": [1]}', b"\xff\xfe", b'{"spans": NaN}', b"[" * 100000],
    ids=lambda body: repr(body[:16]),
)
def test_a_body_that_cannot_be_bound_is_refused(body):
    assert refusal_of_body(body) == 602000201


def test_gzip_is_not_decoded():
    assert refusal_of_body(gzip.compress(json.dumps({"spans": [wire_span()]}).encode())) == 602000201


def test_without_a_json_content_type_the_request_looks_empty():
    body = json.dumps({"spans": [wire_span()]}).encode()

    assert refusal_of_body(body, "text/plain") == 600904002
    assert len(rules.ingest(body, "Application/JSON; charset=utf-8", NOW)) == 1


@pytest.mark.parametrize(
    "field, value",
    [
        ("started_at_micros", None),
        ("started_at_micros", 1.5),
        ("started_at_micros", "1e3"),
        ("started_at_micros", 1 << 63),
        ("started_at_micros", True),
        ("duration", None),
        ("duration_micros", "soon"),
        ("status_code", "0"),
        ("status_code", 1 << 31),
        ("status_code", 0.5),
        ("span_name", 7),
        ("input", {"a": 1}),
        ("tags_string", {"a": 1}),
        ("tags_string", []),
        ("tags_long", {"a": 1.5}),
        ("tags_long", {"a": "x"}),
        ("tags_double", {"a": "1.5"}),
        ("tags_bool", {"a": 0}),
        ("system_tags_long", {"a": 1.0}),
    ],
)
def test_one_value_of_a_wrong_type_fails_the_whole_request(field, value):
    code, msg = refusal_of(wire_span(span_id="1" * 16), wire_span(**{field: value}))

    assert code == 602000201
    assert f"spans[1].{field}" in msg


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"9" * 5000])
def test_a_number_no_double_can_hold_fails_the_request(number):
    assert refusal_of_body(b'{"spans": [{"tags_double": {"a": ' + number + b"}}]}") == 602000201


def test_64_bit_integers_may_be_decimal_strings():
    span = ingest_one(started_at_micros=str(NOW), duration_micros="12", tags_long={"n": "-3"}).span

    assert (span["started_at_micros"], span["duration_micros"], span["tags_long"]) == (NOW, 12, {"n": -3})


def test_null_maps_and_strings_are_empty():
    span = ingest_one(tags_string=None, tags_long=None, log_id=None, duration_micros=None).span

    assert (span["tags_string"], span["tags_long"], span["log_id"], span["duration_micros"]) == ({}, {}, "", 0)


def test_keys_match_in_any_case():
    span = wire_span()
    span["Span_Name"] = span.pop("span_name")

    assert rules.ingest(json.dumps({"Spans": [span]}).encode(), JSON, NOW)[0].span["span_name"] == "greet"


def test_unknown_fields_are_ignored_and_named():
    arrival = ingest_one(tag_string={"a": "b"})

    assert "tag_string" not in arrival.span
    assert arrival.warnings == ["the platform ignores unknown fields: 'tag_string'"]


def test_the_old_duration_counts_only_without_the_new_one():
    old = wire_span(duration=5)
    del old["duration_micros"]

    assert ingest(old)[0].span["duration_micros"] == 5
    assert ingest_one(duration=5, duration_micros=9).span["duration_micros"] == 9


def test_broken_utf8_and_lone_surrogates_become_the_replacement_character():
    body = json.dumps({"spans": [wire_span(output="\ud800!")]}).encode().replace(b'"in"', b'"\xff"')

    (arrival,) = rules.ingest(body, JSON, NOW)

    assert (arrival.span["input"], arrival.span["output"]) == ("\ufffd", "\ufffd!")
    assert arrival.warnings == ["the request was not valid UTF-8: broken bytes became U+FFFD"]


def test_a_null_span_makes_the_handler_panic():
    assert refusal_of(None) == (602000702, "Service Internal Error")


# --- refused at once, 2.1 ---


def test_spans_of_two_workspaces_are_refused_together():
    expected = (600904002, "invalid param,spans space id is not the same")

    assert refusal_of(wire_span(), wire_span(workspace_id="8")) == expected
    assert refusal_of(wire_span(), wire_span(workspace_id="")) == expected


@pytest.mark.parametrize("workspace_id", ["ws1", "1.0", " 1", "９", "9" * 19])
def test_a_workspace_id_that_is_no_64_bit_number_is_refused(workspace_id):
    assert refusal_of(wire_span(workspace_id=workspace_id)) == (600904002, "invalid param,invalid workspace_id")


@pytest.mark.parametrize("workspace_id", ["0", "-7"])
def test_a_workspace_id_that_is_not_positive_is_refused(workspace_id):
    assert refusal_of(wire_span(workspace_id=workspace_id))[0] == 602000202


def test_a_workspace_the_token_may_not_write_to_is_refused():
    assert refusal_of(wire_span(), workspace_id="8") == (600900101, "no access permission")
    assert len(ingest(wire_span(), workspace_id="7")) == 1


def test_100_spans_are_accepted_and_101_refused():
    assert len(ingest(*[wire_span()] * 100)) == 100
    assert refusal_of(*[wire_span()] * 101) == (600904002, "invalid param,max span length exceeded")


def test_the_first_failing_check_decides():
    assert refusal_of(*[wire_span(workspace_id="x")] * 101)[1] == "invalid param,invalid workspace_id"
    assert refusal_of(*[wire_span()] * 101, workspace_id="8")[0] == 600900101


def test_one_span_over_10_mib_is_refused_and_many_small_ones_are_not():
    half = "x" * (6 << 20)

    assert refusal_of(wire_span(input=half, output=half)) == (600904002, "invalid param,span size too large")
    assert len(ingest(wire_span(input=half), wire_span(input=half))) == 2


# --- dropped or changed in silence, 2.2 ---


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"started_at_micros": NOW - 26 * HOUR}, "its start time is 26 h old"),
        ({"started_at_micros": NOW - 24 * HOUR - 1}, "its start time is 24 h old"),
        ({"started_at_micros": NOW - 240 * HOUR}, "its start time is 10 days old"),
        ({"started_at_micros": NOW + HOUR + 1}, "its start time is 1 h in the future"),
        ({"started_at_micros": 0}, "it has no start time"),
        ({"workspace_id": ""}, "its workspace_id is empty"),
        ({"trace_id": "A" * 32}, f"its trace_id is not 32 lower-case hex digits, or all zero: '{'A' * 32}'"),
        ({"trace_id": "0" * 32}, f"its trace_id is not 32 lower-case hex digits, or all zero: '{'0' * 32}'"),
        ({"span_id": "1" * 15}, f"its span_id is not 16 lower-case hex digits, or all zero: '{'1' * 15}'"),
        ({"span_id": "1" * 16 + "\n"}, rf"its span_id is not 16 lower-case hex digits, or all zero: '{'1' * 16}\n'"),
    ],
)
def test_a_span_the_platform_would_drop_is_marked_with_the_reason(changes, reason):
    arrival = ingest_one(**changes)

    assert arrival.dropped
    assert arrival.warnings == [f"the platform would have dropped this span: {reason}"]


@pytest.mark.parametrize("started_at_micros", [NOW - 24 * HOUR, NOW + HOUR])
def test_the_limits_of_the_start_time_themselves_are_accepted(started_at_micros):
    assert not ingest_one(started_at_micros=started_at_micros).dropped


def test_the_other_spans_of_the_batch_are_kept():
    old, good = ingest(wire_span(started_at_micros=1), wire_span())

    assert (old.dropped, good.dropped) == (True, False)


def test_a_batch_without_workspace_is_answered_with_success_whatever_its_size():
    arrivals = ingest(*[wire_span(workspace_id="")] * 101)

    assert all(arrival.dropped for arrival in arrivals)


def test_negative_durations_and_token_counts_become_0():
    arrival = ingest_one(duration_micros=-5, tags_long={"tokens": -1, "latency_first_resp": -2, "input_tokens": -3})

    assert arrival.span["duration_micros"] == 0
    assert arrival.span["tags_long"] == {"tokens": 0, "latency_first_resp": 0, "input_tokens": -3}
    assert arrival.warnings == [
        "negative duration stored as 0: -5",
        "negative tokens stored as 0: -1",
        "negative latency_first_resp stored as 0: -2",
    ]


def test_the_call_type_is_overwritten():
    assert ingest_one(call_type="Mine").span["call_type"] == "Custom"


# --- cut, 2.3 and 2.6 ---


@pytest.mark.parametrize("field, limit", [("input", 1048576), ("output", 1048576), ("span_name", 1024)])
def test_fields_are_cut_to_their_limit_in_bytes(field, limit):
    assert ingest_one(**{field: "x" * limit}).warnings == []

    arrival = ingest_one(**{field: "x" * (limit + 1)})

    assert arrival.span[field] == "x" * limit
    assert arrival.warnings == [f"{field} cut to {limit} bytes"]
    assert json.loads(arrival.span["system_tags_string"]["clip_fields"]) == [field]


def test_a_cut_in_the_middle_of_a_character_breaks_it():
    assert ingest_one(span_type="中" * 342).span["span_type"] == "中" * 341 + "\ufffd"


def test_a_cut_object_storage_loses_the_links_to_its_files():
    arrival = ingest_one(object_storage="x" * 1025)

    assert arrival.warnings == [
        "object_storage cut to 1024 bytes: it no longer parses, the links to its files are lost"
    ]


def test_tag_keys_and_values_are_cut():
    arrival = ingest_one(tags_string={"k" * 101: "a", "v": "x" * 1025})

    assert arrival.span["tags_string"] == {"k" * 100: "a", "v": "x" * 1024}
    assert arrival.warnings == [
        f"tag key cut to 100 bytes: '{'k' * 40}…'",
        "tag value cut to 1024 bytes: 'v'",
    ]


def test_keys_that_become_the_same_lose_a_value_aloud():
    arrival = ingest_one(tags_string={"k" * 101: "a", "k" * 102: "b"})

    assert len(arrival.span["tags_string"]) == 1
    assert "tag keys are the same once cut to 100 bytes, values lost: 1" in arrival.warnings


def test_51_tags_survive():
    assert ingest_one(tags_string={str(n): "" for n in range(51)}).warnings == []


def test_the_budget_of_tags_is_spent_in_the_order_string_bytes_double_long_bool():
    arrival = ingest_one(
        tags_bool={"bool": True},
        tags_long={"input_tokens": 1},
        tags_double={"double": 1.0},
        tags_bytes={"bytes": ""},
        tags_string={str(n): "" for n in range(49)},
    )

    span = arrival.span
    assert (len(span["tags_string"]), span["tags_bytes"], span["tags_double"]) == (49, {"bytes": ""}, {"double": 1.0})
    assert (span["tags_long"], span["tags_bool"]) == ({}, {})
    assert arrival.warnings == ["more than 51 tags, 2 deleted: 'input_tokens', 'bool'"]


def test_system_tags_the_platform_does_not_know_are_deleted():
    arrival = ingest_one(system_tags_string={"runtime": "{}", "mine": "x"}, system_tags_long={"response_id": 1})

    assert arrival.span["system_tags_string"] == {"runtime": "{}"}
    assert arrival.span["system_tags_long"] == {}
    assert arrival.warnings == [
        "system tags deleted, the platform does not know them: 'mine'",
        "system tags deleted, the platform does not know them: 'response_id'",
    ]


def test_system_tags_do_not_count_as_tags_but_their_values_are_cut():
    arrival = ingest_one(tags_string={str(n): "" for n in range(51)}, system_tags_string={"cut_off": "x" * 1025})

    assert arrival.span["system_tags_string"]["cut_off"] == "x" * 1024
    assert arrival.warnings == ["system tag value cut to 1024 bytes: 'cut_off'"]


def test_a_warning_escapes_the_control_characters_of_a_key():
    (warning,) = ingest_one(tags_string={"\x1b[31m": "x" * 1025}).warnings

    assert "\x1b" not in warning
