"""A finished span becomes JSON that the platform takes whole: its keys, within its limits, nothing cut in silence."""

from __future__ import annotations

import datetime
import json
import pathlib

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_values import any_values

import cozeloop_lite
from cozeloop_lite.trace import encoding, wire_tags
from cozeloop_lite.trace.encoding import KEY_BYTES, MAX_SPAN_BYTES, TEXT_BYTES, VALUE_BYTES, Limits, encode
from cozeloop_lite.trace.record import record_of
from cozeloop_lite.trace.tags import FIRST_TAGS, MAX_TAGS

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests" / "wire_schema.json").read_text(encoding="utf-8"))
CONTRACT = ROOT.parent / "shared" / "contract" / "schemas" / "ingest_request.json"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

TAGS = ("tags_string", "tags_long", "tags_double", "tags_bool")
SYSTEM_TAGS = ("system_tags_string", "system_tags_long", "system_tags_double")


def decode(data):
    return json.loads(data.decode("utf-8"), parse_constant=pytest.fail)


def size(text):
    return len(text.encode("utf-8"))


def check(wire, limits):
    jsonschema.Draft7Validator(SCHEMA).validate(wire)
    assert sum(len(wire[kind]) for kind in TAGS) <= MAX_TAGS
    assert sum(len(wire[kind]) for kind in SYSTEM_TAGS) <= MAX_TAGS
    for kind in (*TAGS, *SYSTEM_TAGS):
        assert all(0 < size(key) <= KEY_BYTES for key in wire[kind])
    assert all(size(value) <= limits.value_bytes for value in wire["tags_string"].values())
    assert all(size(value) <= VALUE_BYTES for value in wire["system_tags_string"].values())
    assert max(size(wire["input"]), size(wire["output"])) <= limits.text_bytes
    for name in ("span_name", "span_type", "log_id", "service_name"):
        assert size(wire[name]) <= 1024


@pytest.fixture
def finish(client):
    """``finish(span)``: the JSON object that is sent for it, checked against the schema and the limits."""

    def finish(span, limits=None):
        limits = limits or Limits("7")
        span.finish()
        data = encode(record_of(span), limits)
        assert len(data) <= MAX_SPAN_BYTES
        wire = decode(data)
        assert data == json.dumps(wire, ensure_ascii=False, separators=(",", ":")).encode("utf-8")  # no key twice
        check(wire, limits)
        return wire

    return finish


@pytest.fixture
def span(client):
    return client.start_span("name", "type")


def cut_off(wire):
    return json.loads(wire["system_tags_string"].get("cut_off", "[]"))


def runtime(wire):
    return json.loads(wire["system_tags_string"]["runtime"])


# -- the whole ------------------------------------------------------------------------------------------------------


def test_every_field_of_the_contract_is_sent(client, finish):
    start = EPOCH + datetime.timedelta(days=20000, microseconds=123457)
    with client.start_span("parent") as parent:
        span = client.start_span("answer", "model", start_time=start)
    span.set_input("in")
    span.set_output({"中": [1]})
    span.set_error(ValueError("bad"))
    span.set_tags({"s": "text", "i": 1, "f": 1.5, "b": True})
    span.set_system_tags({"env": "prod", "n": 2, "d": 0.5, "on": True})
    span.set_service_name("service")
    span.set_log_id("log")
    span.set_finish_time(start + datetime.timedelta(seconds=1, microseconds=1))
    wire = finish(span)
    assert wire["system_tags_string"].pop("runtime")
    assert wire == {
        "started_at_micros": 20000 * 86_400_000_000 + 123457,
        "duration_micros": 1_000_001,
        "log_id": "log",
        "span_id": span.span_id,
        "parent_id": parent.span_id,
        "trace_id": parent.trace_id,
        "service_name": "service",
        "workspace_id": "7",
        "span_name": "answer",
        "span_type": "model",
        "status_code": -1,
        "input": "in",
        "output": '{"中":[1]}',
        "object_storage": "",
        "system_tags_string": {"env": "prod", "on": "true"},
        "system_tags_long": {"n": 2},
        "system_tags_double": {"d": 0.5},
        "tags_string": {"s": "text", "error": "bad"},
        "tags_long": {"i": 1},
        "tags_double": {"f": 1.5},
        "tags_bool": {"b": True},
    }


def test_an_empty_span_has_all_keys_too(span, finish):
    wire = finish(span)
    assert wire["parent_id"] == "0"
    assert (wire["input"], wire["output"], wire["log_id"], wire["service_name"]) == ("",) * 4
    assert wire["status_code"] == 0
    assert all(wire[kind] == {} for kind in TAGS)


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not beside this repository")
def test_a_full_span_fits_the_contract_schema(span, finish):
    span.set_tags({"s": "text", "i": 1, "f": 1.5, "b": True, "k" * 500: "v" * 5000})
    span.set_input("x" * 2_000_000)
    span.set_error("bad")
    span.set_runtime({"library": "langchain"})
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(contract).validate({"spans": [finish(span)]})


@pytest.mark.parametrize("empty", ["", None])
def test_a_span_without_name_or_type_is_unknown(client, finish, empty):
    wire = finish(client.start_span(empty, empty))
    assert (wire["span_name"], wire["span_type"]) == ("unknown", "unknown")


def test_a_long_name_and_type_are_cut_on_a_character(client, finish):
    wire = finish(client.start_span("中" * 1000, "😀" * 1000))
    assert wire["span_name"] == "中" * 341
    assert wire["span_type"] == "😀" * 256
    assert cut_off(wire) == ["span_name", "span_type"]


# -- time and status ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("micros", [1, 7, 999_999, 1_000_001, 3_600_000_007])
def test_a_duration_is_exact(client, finish, micros):
    start = EPOCH + datetime.timedelta(days=19876, microseconds=654_321)
    span = client.start_span("s", start_time=start)
    span.set_finish_time(start + datetime.timedelta(microseconds=micros))
    wire = finish(span)
    assert wire["duration_micros"] == micros
    assert wire["started_at_micros"] == 19876 * 86_400_000_000 + 654_321


def test_a_finish_before_the_start_takes_no_time(client, finish):
    span = client.start_span("s", start_time=EPOCH + datetime.timedelta(days=20000))
    span.set_finish_time(EPOCH + datetime.timedelta(days=1))
    assert finish(span)["duration_micros"] == 0


@pytest.mark.parametrize("start", [10**30, -5, -(10**30), 10**400])
def test_a_time_that_no_clock_shows_is_not_taken(client, finish, logged, start):
    span = client.start_span("s", start_time=start)
    assert abs(finish(span)["started_at_micros"] - datetime.datetime.now().timestamp() * 1e6) < 1e9
    assert len(logged()) == 1
    assert span.start_time


@pytest.mark.parametrize(
    ("set_status", "expected"),
    [
        (lambda span: None, 0),
        (lambda span: span.set_error("bad"), -1),
        (lambda span: (span.set_status_code(500), span.set_error("bad")), 500),
        (lambda span: (span.set_error("bad"), span.set_status_code(500)), 500),
        (lambda span: (span.set_status_code(5), span.set_status_code(2**31), span.set_status_code("6")), 5),
    ],
)
def test_an_error_has_the_status_minus_one_unless_another_is_set(span, finish, set_status, expected):
    set_status(span)
    assert finish(span)["status_code"] == expected


# -- the type of a tag ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "sent"),
    [
        ("text", "tags_string", "text"),
        ("", "tags_string", ""),
        (True, "tags_bool", True),
        (False, "tags_bool", False),
        (0, "tags_long", 0),
        (2**63 - 1, "tags_long", 2**63 - 1),
        (-(2**63), "tags_long", -(2**63)),
        (2**63, "tags_string", "9223372036854775808"),
        (10**100, "tags_string", hex(10**100)),
        (0.0, "tags_double", 0.0),
        (1e300, "tags_double", 1e300),
        (float("nan"), "tags_string", "NaN"),
        (float("-inf"), "tags_string", "-Infinity"),
        ({"a": 1}, "tags_string", '{"a":1}'),
        ([], "tags_string", "[]"),
        ("\ud800x", "tags_string", "�x"),
        ("\ud83d\ude00", "tags_string", "😀"),
        ("\ud83d", "tags_string", "�"),
    ],
)
def test_a_tag_goes_where_its_type_belongs(span, finish, value, kind, sent):
    span.set_tags({"k": value})
    wire = finish(span)
    assert {other: wire[other] for other in TAGS if wire[other]} == {kind: {"k": sent}}
    assert type(wire[kind]["k"]) is type(sent)
    assert cut_off(wire) == []


def test_a_huge_int_is_a_short_text(span, finish):
    span.set_tags({"n": 1 << 5_000_000})
    span.set_input_tokens(1 << 100)
    assert finish(span)["tags_string"]["n"].startswith("0x")


def test_none_is_no_tag_and_changes_nothing(span, finish):
    span.set_tags({"a": 1, "b": None})
    span.set_tags({"a": None})
    span.set_input("in")
    span.set_input(None)
    wire = finish(span)
    assert wire["tags_long"] == {"a": 1}
    assert wire["input"] == "in"


def test_input_and_output_among_the_tags_are_the_fields(span, finish):
    span.set_tags({"input": 0, "output": False})
    wire = finish(span)
    assert (wire["input"], wire["output"]) == ("0", "false")
    assert all(wire[kind] == {} for kind in TAGS)


def test_what_arrives_as_baggage_cannot_take_the_place_of_fields_and_counts(client, finish):
    header = "input=a,output=b,input_tokens=5,latency_first_resp=x,tokens=y,error=e,ok=1"
    context = client.get_span_from_header({"X-Cozeloop-Tracestate": header})
    wire = finish(client.start_span("s", child_of=context))
    assert (wire["input"], wire["output"]) == ("", "")
    assert wire["tags_string"] == {"error": "e", "ok": "1"}


# -- tokens and time to the first token -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "tokens"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, 7),
        ({"input_tokens": 3}, 3),
        ({"output_tokens": 4}, 4),
        ({"input_tokens": 0, "output_tokens": 0}, 0),
        ({"input_tokens": 3, "tokens": 9}, 9),
    ],
)
def test_tokens_are_the_sum_of_their_parts_unless_set(span, finish, counts, tokens):
    span.set_tags(counts)
    assert finish(span)["tags_long"] == {**counts, "tokens": tokens}


def test_the_latency_follows_from_the_first_response(client, finish):
    start = EPOCH + datetime.timedelta(days=20000)
    span = client.start_span("s", start_time=start)
    first = 20000 * 86_400_000_000 + 1234
    span.set_start_time_first_resp(first)
    assert finish(span)["tags_long"] == {"start_time_first_resp": first, "latency_first_resp": 1234}


def test_a_first_response_before_the_start_as_of_milliseconds_has_no_latency_and_the_unit_is_named(
    client, finish, logged
):
    span = client.start_span("s")
    span.set_start_time_first_resp(span._start_ns // 1_000_000)
    assert finish(span)["tags_long"]["latency_first_resp"] == 0
    assert "start_time_first_resp, in microseconds since the epoch," in logged()[-1]


# -- how many tags --------------------------------------------------------------------------------------------------


def number_tags(count):
    return {"k%02d" % number: number for number in range(count)}


def test_fifty_tags_are_sent(span, finish):
    span.set_tags(number_tags(50))
    wire = finish(span)
    assert wire["tags_long"] == number_tags(50)
    assert cut_off(wire) == []


def test_the_last_tags_give_way_and_are_named(span, finish):
    span.set_tags(number_tags(53))
    wire = finish(span)
    assert wire["tags_long"] == number_tags(50)
    assert sorted(cut_off(wire)) == ["k50", "k51", "k52"]


def test_what_the_platform_shows_keeps_its_place(span, finish):
    span.set_tags(number_tags(50))
    span.set_input("in")
    span.set_output("out")
    span.set_error("bad")
    span.set_user_id("u")
    span.set_message_id("m")
    span.set_thread_id("t")
    span.set_input_tokens(1)
    span.set_output_tokens(2)
    span.set_start_time_first_resp(span._start_ns // 1000 + 5)
    wire = finish(span)
    first = {"error", "user_id", "message_id", "thread_id"}
    counts = {"input_tokens", "output_tokens", "tokens", "start_time_first_resp", "latency_first_resp"}
    assert first | counts == FIRST_TAGS
    assert set(wire["tags_string"]) == first
    assert set(wire["tags_long"]) == counts | set(number_tags(41))
    assert (wire["input"], wire["output"]) == ("in", "out")
    assert sorted(cut_off(wire)) == ["k%d" % number for number in range(41, 50)]


def test_an_overwrite_is_no_new_tag(span, finish):
    span.set_tags(number_tags(80))
    span.set_tags({"k00": -1, "k49": -2})
    wire = finish(span)
    assert wire["tags_long"] == {**number_tags(50), "k00": -1, "k49": -2}


def test_a_million_tags_are_not_kept(span, finish):
    span.set_tags({str(number): "x" * 1000 for number in range(100_000)})
    assert len(span._tags) < 2 * MAX_TAGS
    wire = finish(span)
    assert list(wire["tags_string"]) == [str(number) for number in range(50)]
    assert cut_off(wire)


def test_keys_and_names_that_are_made_up_are_not_kept_for_ever(client, finish):
    for number in range(1500):
        span = client.start_span("name %d" % number, "type %d" % number)
        span.set_tags({"key %d" % number: number})
        assert finish(span)["tags_long"] == {"key %d" % number: number}
    assert len(wire_tags._shapes) <= 200
    assert len(encoding._labels) <= 1000


def test_a_long_text_is_not_kept_until_the_span_is_sent(span):
    span.set_tags({"a": "x" * 1_000_000})
    span.set_model_name("x" * 1_000_000)
    assert max(map(len, span._tags.values())) <= VALUE_BYTES + 1


def test_system_tags_are_bounded_in_number(span, finish):
    span.set_system_tags({"k%d" % number: "x" * 5000 for number in range(2000)})
    span.set_system_tags({"env": "prod"})
    wire = finish(span)
    assert cut_off(wire)
    assert runtime(wire)["language"] == "python"


def test_a_key_that_is_equal_once_it_is_mended_gives_way(span, finish):
    span.set_tags({chr(0xD800): 1, "�": 2, chr(0xDFFF): 3})
    assert finish(span)["tags_long"] == {"�": 2}


def test_a_lone_surrogate_beside_too_long_a_text_costs_nothing_but_itself(span, finish):
    span.set_input("\ud800")
    span.set_output("\x00" * TEXT_BYTES)
    assert finish(span)["input"] == "�"


@pytest.mark.parametrize(("given", "sent"), [("\ud800", "�"), ("a\ud83d\ude00", "a😀"), ("\ude00\ud83d", "��")])
def test_lone_surrogates_cost_nothing_but_themselves_wherever_they_are(client, finish, given, sent):
    span = client.start_span(given, given)
    span.set_input(given)
    span.set_output([given])
    span.set_tags({given: given})
    span.set_system_tags({given: given})
    span.set_log_id(given)
    span.set_service_name(given)
    span.set_runtime({"library": given})
    span.set_tags(number_tags(50))
    span.set_tags({given + "later": 1})
    wire = finish(span)
    assert [wire[name] for name in ("span_name", "span_type", "input", "log_id", "service_name")] == [sent] * 5
    assert (wire["output"], wire["tags_string"]) == ('["%s"]' % sent, {sent: sent})
    assert wire["system_tags_string"][sent] == sent
    assert runtime(wire)["library"] == sent
    assert cut_off(wire) == [sent + "later", "k49"]


# -- how long -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["x", "é", "中", "😀", "\ud800"])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_texts_are_cut_between_characters(span, finish, character, shift):
    sent = "�" if character == "\ud800" else character
    key, value, content = (shift * "a" + character * count for count in (150, 1025, TEXT_BYTES + 1))
    span.set_tags({key: value})
    span.set_input(content)
    wire = finish(span)
    (cut_key,) = wire["tags_string"]
    for whole, cut, limit in (
        (key, cut_key, KEY_BYTES),
        (value, wire["tags_string"][cut_key], VALUE_BYTES),
        (content, wire["input"], TEXT_BYTES),
    ):
        assert limit - 4 < size(cut) <= limit
        assert cut == (shift * "a" + sent * len(whole))[: len(cut)]
    assert cut_off(wire) == [cut_key, "input"]


@pytest.mark.parametrize("character", ["x", "é", "中", "😀"])
def test_what_fits_is_not_cut(span, finish, character):
    key, value, content = (character * (limit // size(character)) for limit in (KEY_BYTES, VALUE_BYTES, TEXT_BYTES))
    span.set_tags({key: value})
    span.set_output(content)
    wire = finish(span)
    assert wire["tags_string"] == {key: value}
    assert wire["output"] == content
    assert cut_off(wire) == []


def test_of_keys_that_are_equal_once_cut_the_first_keeps_its_value(span, finish):
    span.set_tags({"k" * 100 + "1": 1, "k" * 100 + "2": 2})
    wire = finish(span)
    assert wire["tags_long"] == {"k" * 100: 1}
    assert cut_off(wire) == ["k" * 100]


def test_a_key_that_is_no_longer_than_allowed_wins_over_one_that_was_cut(span, finish):
    span.set_tags({"k" * 101: 1, "k" * 100: 2})
    assert finish(span)["tags_long"] == {"k" * 100: 2}


def test_an_empty_key_is_no_tag(span, finish, logged):
    span.set_tags({"": 1, "a": 2})
    span.set_system_tags({"": 1, "env": "x"})
    wire = finish(span)
    assert wire["tags_long"] == {"a": 2}
    assert wire["system_tags_string"]["env"] == "x"
    assert logged()


def test_a_large_value_that_is_no_text_is_cut_and_named(span, finish):
    span.set_tags({"list": list(range(10_000))})
    span.set_input([{"content": "x" * 100}] * 20_000)
    wire = finish(span)
    assert cut_off(wire) == ["list", "input"]
    assert size(wire["input"]) == TEXT_BYTES


def test_cut_off_is_itself_a_short_json_array(span, finish):
    span.set_tags({"中" * 30 + str(number): "x" * 2000 for number in range(50)})
    wire = finish(span)
    names = cut_off(wire)
    assert 8 <= len(names) < 50
    assert names == ["中" * 30 + str(number) for number in range(len(names))]


def test_limits_of_ones_own_are_kept(span, finish):
    span.set_tags({"a": "x" * 50, "b": "中" * 50})
    span.set_input("y" * 200)
    wire = finish(span, Limits("7", value_bytes=20, text_bytes=100))
    assert wire["tags_string"] == {"a": "x" * 20, "b": "中" * 6}
    assert wire["input"] == "y" * 100
    assert cut_off(wire) == ["a", "b", "input"]


def test_tag_truncate_conf_is_honoured(sink):
    conf = cozeloop_lite.TagTruncateConf(normal_field_max_byte=2000, input_output_field_max_byte=30)
    client = cozeloop_lite.new_client(workspace_id="7", api_token="t", tag_truncate_conf=conf, exporter=sink)
    with client, client.start_span("s") as span:
        span.set_tags({"a": "x" * 1900, "b": "x" * 2100})
        span.set_input(["y"] * 100)
    (wire,) = sink.spans
    assert wire["tags_string"] == {"a": "x" * 1900, "b": "x" * 2000}
    assert wire["input"] == ('["y"' + ',"y"' * 99)[:30]
    assert cut_off(wire) == ["b", "input"]


# -- JSON that is longer than its texts -----------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["\x00", '"', "\\", "\n", "\x1f"])
def test_texts_full_of_escapes_are_cut_until_the_span_fits(span, finish, character):
    span.set_input(character * TEXT_BYTES)
    span.set_output(character * TEXT_BYTES)
    span.set_tags({"t": "x" * VALUE_BYTES})
    wire = finish(span)
    assert wire["tags_string"]["t"] == "x" * VALUE_BYTES  # no tag pays for them
    assert set(cut_off(wire)) <= {"input", "output"}
    assert len(encode(record_of(span), Limits("7"))) > 0.9 * MAX_SPAN_BYTES


def test_escapes_at_the_beginning_of_a_text_do_not_keep_a_span_from_fitting(span, finish):
    span.set_input("\x00" * (TEXT_BYTES // 2) + "x" * (TEXT_BYTES // 2))
    span.set_output("\x00" * (TEXT_BYTES // 2) + "x" * (TEXT_BYTES // 2))
    assert cut_off(finish(span)) == ["input", "output"]


def test_a_span_fits_whatever_its_limits_are(span, finish):
    span.set_input("x" * 10_000_000)
    for number in range(50):
        span._tags["\x00" * 98 + str(number)] = "\x00" * 100_000
    span.set_system_tags({"\x01" * 98 + str(number): "\x00" * 5000 for number in range(50)})
    wire = finish(span, Limits("7", value_bytes=10_000_000, text_bytes=100_000_000))
    assert len(wire["tags_string"]) == 50
    assert runtime(wire)


# -- system tags ----------------------------------------------------------------------------------------------------


def test_the_runtime_names_the_language_and_the_version(span, finish):
    assert runtime(finish(span)) == {
        "language": "python",
        "scene": "custom",
        "loop_sdk_version": "v" + cozeloop_lite.__version__,
    }


def test_the_scene_may_come_from_the_environment(span, finish, monkeypatch):
    monkeypatch.setenv("COZELOOP_SCENE", "evaluation")
    assert runtime(finish(span))["scene"] == "evaluation"


def test_the_runtime_of_a_framework_is_added(span, finish):
    given = {"library": "langchain", "library_version": "0.3", "scene": "s", "language": "go", "extra": {"a": ["b"]}}
    span.set_runtime(given)
    given["extra"]["a"].append("later")
    sent = runtime(finish(span))
    assert sent.pop("loop_sdk_version") == "v" + cozeloop_lite.__version__
    assert sent == {
        "language": "python", "library": "langchain", "library_version": "0.3", "scene": "s", "extra": {"a": ["b"]}
    }


@pytest.mark.parametrize(
    "given",
    [
        {"library": "x" * 100_000},
        {"extra": ["x" * 5000]},
        {"library": "\x00" * 1000, "scene": "中" * 1000, "library_version": "\ud800" * 1000, "extra": {"a": 1}},
        {"extra": float("nan"), "scene": 5, "library": b"\xff"},
        {"extra": 1 << 100_000},
    ],
)
def test_a_runtime_of_any_size_and_kind_stays_json(span, finish, given):
    span.set_runtime(given)
    wire = finish(span)
    assert runtime(wire)["language"] == "python"
    assert runtime(wire)["loop_sdk_version"]


def test_a_mask_sees_the_texts_of_the_runtime_and_its_extra_as_json(span, finish):
    seen = []

    def mask(text):
        seen.append(text)
        return text.replace("secret", "***")

    span.set_runtime({"library": "secret lib", "scene": "", "extra": {"key": ["a secret", 1], "secret": None}})
    sent = runtime(finish(span, Limits("7", mask=mask)))
    assert sent["library"] == "*** lib"
    assert sent["extra"] == {"key": ["a ***", 1], "***": None}
    assert sent["scene"] == "custom"
    assert sorted(seen) == ["secret lib", '{"key":["a secret",1],"secret":None}'.replace("None", "null")]


@pytest.mark.parametrize("left", ["no JSON", "[NaN]", "1e999", "[" * 100_000, "\ud800", ""])
def test_an_extra_of_which_a_mask_leaves_no_json_is_the_text_that_it_leaves(span, finish, left):
    span.set_runtime({"extra": {"a": "secret"}})
    wire = finish(span, Limits("7", mask=lambda text: left))
    assert "secret" not in json.dumps(wire)
    if len(left) < VALUE_BYTES:
        assert runtime(wire)["extra"] == left.replace("\ud800", "\ufffd")
    else:
        assert "extra" not in runtime(wire) and "runtime" in cut_off(wire)


@pytest.mark.parametrize("value_bytes", [VALUE_BYTES, 16])
def test_of_system_tags_that_are_cut_nothing_is_sent_that_a_mask_has_not_seen_whole(sink, value_bytes):
    def mask(text):
        return text.replace("long ", "")  # what comes last would else be sent

    given = "long " * ((value_bytes + 4000) // 5) + "a beginning of a long " + "x" * 9000
    conf = cozeloop_lite.TagTruncateConf(normal_field_max_byte=value_bytes)
    client = cozeloop_lite.new_client(
        workspace_id="7", api_token="t", exporter=sink, mask=mask, tag_truncate_conf=conf
    )
    with client.start_span("s") as span:
        span.set_runtime({"library": given, "extra": {"a": given}})
        span.set_system_tags({"system": given})
    assert client.close(60)
    (wire,) = sink.spans
    assert [runtime(wire)[name] for name in ("library", "extra")] == ["", ""]
    assert wire["system_tags_string"]["system"] == ""
    assert cut_off(wire) == ["system", "runtime"]


def test_system_tags_are_merged_and_truth_is_text(span, finish):
    span.set_system_tags({"a": 1, "b": False})
    span.set_system_tags({"a": 2, "c": None})
    wire = finish(span)
    assert wire["system_tags_long"] == {"a": 2}
    assert wire["system_tags_string"]["b"] == "false"
    assert "c" not in wire["system_tags_string"]


def test_the_caller_cannot_pass_off_own_text_as_runtime_or_cut_off(span, finish):
    span.set_system_tags({"runtime": "mine", "cut_off": "mine"})
    wire = finish(span)
    assert runtime(wire)["language"] == "python"
    assert wire["system_tags_string"].get("cut_off") in (None, "mine")


@pytest.mark.parametrize("value", [5, 1.5, ["x"], {"a": 1}, object(), True, b"x"])
def test_a_log_id_or_service_name_of_a_wrong_type_costs_itself(span, finish, logged, value):
    span.set_log_id(value)
    span.set_service_name(value)
    span.set_input("in")
    wire = finish(span)
    assert (wire["log_id"], wire["service_name"], wire["input"]) == ("", "", "in")
    assert [line.split()[1] for line in logged()] == ["log_id", "service_name"]


# -- any span -------------------------------------------------------------------------------------------------------

tag_dicts = st.dictionaries(st.one_of(st.text(), st.text(max_size=5).map(lambda key: key * 50)), any_values, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(
    name=st.one_of(st.text(), any_values),
    input=any_values,
    output=any_values,
    tags=tag_dicts,
    system_tags=tag_dicts,
    runtime=tag_dicts,
    baggage=st.dictionaries(st.text(), st.text()),
    limits=st.builds(Limits, st.just("7"), st.integers(1, 50), st.integers(1, 50)) | st.builds(Limits, st.just("7")),
)
def test_any_span_is_valid_within_limits(
    client, finish, name, input, output, tags, system_tags, runtime, baggage, limits
):
    with client.start_span("root") as root:
        root.set_baggage(baggage)
        span = client.start_span(name, name)
    span.set_input(input)
    span.set_output(output)
    span.set_tags(tags)
    span.set_system_tags(system_tags)
    span.set_runtime({**runtime, "extra": input, "library": name})
    span.set_error(input)
    finish(span, limits)


def test_the_limits_are_those_of_the_contract():
    assert (encoding.NAME_BYTES, KEY_BYTES, VALUE_BYTES, TEXT_BYTES, MAX_TAGS) == (1024, 100, 1024, 1_048_576, 50)
    assert MAX_SPAN_BYTES <= 4 * 1024 * 1024
