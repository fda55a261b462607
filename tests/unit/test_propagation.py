"""Headers carry a trace from one service to the next: what is written, what is understood, what hostile ones can do."""

from __future__ import annotations

import enum
import http.client

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cozeloop_lite import extract, inject, new_client, propagation
from cozeloop_lite.propagation import (
    MAX_BAGGAGE_CHARS,
    MAX_ITEM_BYTES,
    MAX_ITEMS,
    MAX_READ_CHARS,
    MAX_STATE_CHARS,
    baggage_fault,
)

TRACE, SPAN = "0123456789abcdef" * 2, "fedcba9876543210"
OTHER = "a" * 32
PARENT = "00-%s-%s-01" % (TRACE, SPAN)
OWN, OWN_STATE = "X-Cozeloop-Traceparent", "X-Cozeloop-Tracestate"


def ids(context):
    return context.trace_id, context.span_id


@pytest.fixture
def span(client):
    with client.start_span("s") as span:
        yield span


# -- writing --------------------------------------------------------------------------------------------------------


def test_both_families_are_written(span):
    span.set_baggage({"user name": "a b/c=d,e+f", "k2": "中"})
    items = "user%20name=a%20b%2Fc%3Dd%2Ce%2Bf,k2=%E4%B8%AD"
    parent = "00-%s-%s-01" % ids(span)
    assert inject() == {OWN: parent, OWN_STATE: items, "traceparent": parent, "baggage": items}
    assert span.to_header() == {OWN: parent, OWN_STATE: items}


def test_headers_are_written_into_what_is_given_and_returned(span):
    headers = {"Accept": "*/*"}
    assert inject(headers) is headers
    assert headers["Accept"] == "*/*"
    assert headers[OWN]


def test_old_headers_are_replaced_in_any_case(span):
    old = {"x-cozeloop-TRACEPARENT": "x", "Traceparent": "x", "TRACESTATE": "x", "Baggage": "x", OWN_STATE.upper(): "x"}
    assert inject(dict(old)) == inject()


class MultiDict(dict):
    """As one of multidict 6 goes: a name may come twice, and ``del`` takes all that it has."""

    def __iter__(self):
        for name in super().__iter__():
            yield from [name] * (2 if name == "baggage" else 1)


def test_headers_that_have_a_name_twice_are_replaced(span):
    headers = inject(MultiDict({"baggage": "old=1", "Accept": "*/*"}))
    assert ids(extract(headers)) == ids(span)
    assert dict(headers) == {"Accept": "*/*", **inject()}


def test_without_a_span_nothing_is_written():
    assert inject({"traceparent": "theirs"}) == {"traceparent": "theirs"}
    assert inject() == {}


def test_a_span_that_records_nothing_writes_nothing(client):
    client.close()
    assert inject({}, client.start_span("s")) == {}
    assert client.start_span("s").to_header() == {}


def test_a_header_context_can_be_handed_on():
    context = extract({"traceparent": PARENT, "tracestate": "vendor=1", "baggage": "a=1"})
    headers = inject({}, context)
    assert headers["traceparent"] == PARENT
    assert headers["tracestate"] == "vendor=1"
    assert headers[OWN_STATE] == "a=1"


def test_a_child_hands_on_the_tracestate_of_w3c(client):
    context = extract({"traceparent": PARENT, "tracestate": "vendor=1,other=2"})
    with client.start_span("child", child_of=context), client.start_span("grandchild"):
        assert inject()["tracestate"] == "vendor=1,other=2"


@pytest.mark.parametrize("headers", [(), [], 5, "text", frozenset(), object()])
def test_what_cannot_hold_headers_is_left_alone(span, headers, logged):
    assert inject(headers) is headers
    assert len(logged()) == 1


def test_headers_of_the_standard_library_can_be_written_and_read(span):
    message = http.client.HTTPMessage()
    message["Traceparent"] = "old"
    assert ids(extract(inject(message))) == ids(span)


def test_no_header_can_smuggle_a_line_break(span):
    span.set_baggage({"k\r\nX-Evil: 1": "v\r\nX-Evil: 2", "n\x00": "\x7f\u2028;\t\"\\", "s": "\ud800"})
    for value in inject().values():
        assert all(33 <= ord(character) < 127 for character in value)
    assert extract(inject()).baggage["k\r\nX-Evil: 1"] == "v\r\nX-Evil: 2"


@pytest.mark.parametrize("state", ["a\r\nX-Evil: 1", "a\x00", "ä", "x" * (MAX_STATE_CHARS + 1)])
def test_a_tracestate_that_is_none_is_not_handed_on(state):
    assert "tracestate" not in inject({}, extract({"traceparent": PARENT, "tracestate": state}))


def test_what_is_written_is_bounded(span, logged):
    span.set_baggage({"k%d" % number: "中" * 300 for number in range(30)})
    headers = inject()
    assert 4000 < len(headers["baggage"]) <= MAX_BAGGAGE_CHARS
    assert len(logged()) == 1
    span.set_baggage({"k%d" % number: "v" for number in range(100)})
    assert len(extract(inject()).baggage) == MAX_ITEMS


def test_text_that_is_more_than_text_is_written_as_text(span):
    class Color(str, enum.Enum):
        RED = "red"

    span.set_baggage({"color": Color.RED})
    assert inject()["baggage"] == "color=red"
    assert type(span.baggage["color"]) is str


# -- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {OWN: PARENT, OWN_STATE: "a=1"},
        {OWN.lower(): PARENT, OWN_STATE.upper(): "a=1"},
        {"traceparent": PARENT, "baggage": "a=1"},
        {"TraceParent": PARENT, "BAGGAGE": "a=1"},
        {OWN.encode(): PARENT.encode(), OWN_STATE.encode(): b"a=1"},
        [(OWN, PARENT), (OWN_STATE, "a=1")],
        [(b"traceparent", PARENT.encode()), (b"baggage", b"a=1"), (b"accept", b"\xff")],
        {"HTTP_X_COZELOOP_TRACEPARENT": PARENT, "HTTP_X_COZELOOP_TRACESTATE": "a=1", "wsgi.input": object()},
        {"HTTP_TRACEPARENT": PARENT, "HTTP_BAGGAGE": "a=1", "PATH_INFO": "/"},
        {"version": "2.0", "headers": {"traceparent": PARENT, "baggage": "a=1"}, "body": "{}"},
        {"headers": None, "multiValueHeaders": {"Traceparent": [PARENT], "Baggage": ["a=1"]}},
        {"type": "http", "headers": [(b"traceparent", PARENT.encode()), (b"baggage", b"a=1")]},
        {"traceparent": " %s " % PARENT, "baggage": " a = 1 "},
        {OWN: PARENT, OWN_STATE: None, "traceparent": None, "baggage": "a=1"},
        {OWN: None, "traceparent": PARENT, "baggage": ["a=1"]},
    ],
)
def test_headers_come_in_many_shapes(headers):
    context = extract(headers)
    assert ids(context) == (TRACE, SPAN)
    assert context.baggage == {"a": "1"}


def test_cozeloop_headers_win():
    context = extract({
        "traceparent": PARENT.replace(TRACE, OTHER), "baggage": "a=theirs", OWN: PARENT, OWN_STATE: "a=ours"
    })
    assert ids(context) == (TRACE, SPAN)
    assert context.baggage == {"a": "ours"}


@pytest.mark.parametrize(
    ("parent", "valid"),
    [
        (PARENT, True),
        (PARENT.upper(), True),
        ("ff-%s-%s-zz" % (TRACE, SPAN), True),
        ("-%s-%s-" % (TRACE, SPAN), True),
        (PARENT + "-x", False),
        ("00-%s-%s" % (TRACE, SPAN), False),
        ("00-%s-%s-01" % ("0" * 32, SPAN), False),
        ("00-%s-%s-01" % (TRACE, "0" * 16), False),
        ("00-%s-%s-01" % (TRACE[1:], SPAN), False),
        ("00-%s-%s-01" % (TRACE, SPAN + "0"), False),
        ("00-%s-%s-01" % ("g" * 32, SPAN), False),
        ("00-%s-%s-01" % ("١" * 32, SPAN), False),
        (PARENT + "," + PARENT, False),
        (PARENT + "\n", True),
        ("x" * 100_000, False),
    ],
)
def test_the_rules_for_a_cozeloop_parent(parent, valid, logged):
    context = extract({OWN: parent, OWN_STATE: "a=1"})
    assert ids(context) == ((TRACE, SPAN) if valid else ("", ""))
    assert context.baggage == {"a": "1"}  # kept, whatever the ids are
    assert len(logged()) == (0 if valid else 1)


@pytest.mark.parametrize(
    ("parent", "valid"),
    [
        (PARENT, True),
        ("00-%s-%s-00" % (TRACE, SPAN), True),
        ("cc-%s-%s-01" % (TRACE, SPAN), True),
        ("cc-%s-%s-01-what-the-future-brings" % (TRACE, SPAN), True),
        ("cc-%s-%s-01.future" % (TRACE, SPAN), False),
        ("ff-%s-%s-01" % (TRACE, SPAN), False),
        (PARENT + "-x", False),
        (PARENT.upper(), False),
        ("0-%s-%s-01" % (TRACE, SPAN), False),
        ("00-%s-%s-1" % (TRACE, SPAN), False),
        ("00-%s-%s-01" % ("0" * 32, SPAN), False),
        ("00-%s-%s-01" % (TRACE, "0" * 16), False),
        ("00-%s-%s" % (TRACE, SPAN), False),
    ],
)
def test_the_rules_for_a_w3c_parent(parent, valid):
    assert ids(extract({"traceparent": parent})) == ((TRACE, SPAN) if valid else ("", ""))


@pytest.mark.parametrize(
    ("text", "baggage"),
    [
        ("user+name=a+b%2Fc%3Dd%2Ce%2Bf,k2=%E4%B8%AD", {"user name": "a b/c=d,e+f", "k2": "中"}),  # from Go
        ("user%20name=a%20b/c%3Dd%2Ce%2Bf,k2=%E4%B8%AD", {"user name": "a b/c=d,e+f", "k2": "中"}),  # from Python
        (" a = 1 ,\tb=2", {"a": "1", "b": "2"}),
        ("a=1;property=x;p2, b=2", {"a": "1", "b": "2"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=1,,b=2,", {"a": "1", "b": "2"}),
        ("a,=x,b=,%3D=1,c%2Cd=1,ok=1", {"ok": "1"}),
        ("a=%zz,b=%ff", {"a": "%zz", "b": "�"}),
        ("a=" + "x" * (MAX_ITEM_BYTES + 1) + ",b=" + "x" * MAX_ITEM_BYTES, {"b": "x" * MAX_ITEM_BYTES}),
        ("%E4%B8%AD=" + "%E4%B8%AD" * 341 + ",b=" + "%E4%B8%AD" * 342, {"中": "中" * 341}),
        ("", {}),
    ],
)
def test_the_rules_for_baggage(text, baggage):
    assert extract({OWN_STATE: text}).baggage == baggage
    assert extract({"baggage": text}).baggage == baggage


def test_what_is_read_is_bounded():
    flood = ",".join("k%d=v" % number for number in range(100_000))
    assert len(extract({"baggage": flood}).baggage) <= MAX_ITEMS
    assert extract({"baggage": "a=" + "%41" * 10_000_000}).baggage == {}

    # Headers of one name are one list, and a long one costs no more for coming in a thousand headers.
    assert len(propagation._wanted([("baggage", "x" * 10_000)] * 1000)["baggage"]) == MAX_READ_CHARS
    many = [("baggage", "k%d=v" % number) for number in range(MAX_ITEMS)]
    assert len(extract(many).baggage) == MAX_ITEMS

    looks = iter(range(10_000))
    assert ids(extract(("x", look) for look in looks)) == ("", "")
    assert next(looks) < 2000


@pytest.mark.parametrize("headers", [5, "text", b"bytes", [1], [("a",)], object(), {"traceparent": object()}, {1: 2}])
def test_what_are_no_headers_have_no_span(headers):
    context = extract(headers)
    assert ids(context) == ("", "")
    assert context.baggage == {}


def test_hostile_headers_do_not_raise():
    class Hostile(dict):
        def items(self):
            raise RuntimeError

        get = items

    assert ids(extract(Hostile(a=1))) == ("", "")


def test_no_headers_say_nothing(logged):
    assert ids(extract(None)) == ids(extract({})) == ids(extract({"Accept": "*/*"})) == ("", "")
    assert logged() == []


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("a", "b", ""),
        ("a", "=,;\n", ""),
        ("", "b", "key is empty"),
        ("a=", "b", "contains ="),
        ("a,", "b", "contains ="),
        (1, "b", "key is of the type int"),
        ("a", None, "value is of the type NoneType"),
        ("中" * 341, "中" * 341, ""),
        ("中" * 342, "b", "key is longer than 1024 bytes"),
        ("a", "x" * 1025, "value is longer than 1024 bytes"),
    ],
)
def test_what_can_be_baggage(key, value, fault):
    assert fault in baggage_fault(key, value)
    assert bool(baggage_fault(key, value)) == bool(fault)


# -- there and back -------------------------------------------------------------------------------------------------

texts = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
keys = texts.filter(lambda key: "=" not in key and "," not in key)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(keys, texts, max_size=10))
def test_what_is_written_is_read(client, baggage):
    with client.start_span("s", start_new_trace=True) as span:
        span.set_baggage(baggage)
        headers = inject()
    both = extract(headers)
    w3c = extract({name: value for name, value in headers.items() if name in ("traceparent", "baggage")})
    wsgi = extract({"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()})
    for context in (both, w3c, wsgi, extract(span.to_header())):
        assert ids(context) == ids(span)
        assert context.baggage == baggage


def test_one_trace_over_three_services(client, sent):
    with client.start_span("one") as one:
        one.set_user_id_baggage("u")
        headers = inject()
    with client.start_span("two", child_of=extract(headers)) as two:
        headers = two.to_header()
    with client.start_span("three", child_of=extract(headers)):
        pass
    assert sent("two")["parent_id"] == one.span_id
    assert sent("three")["parent_id"] == two.span_id
    assert {span["trace_id"] for span in sent()} == {one.trace_id}
    assert [span["tags_string"]["user_id"] for span in sent()] == ["u"] * 3


def test_the_decision_not_to_sample_is_carried_on(sink):
    never = new_client(workspace_id="7", api_token="t", sample_rate=0, exporter=sink)
    with never, never.start_span("a"):
        headers = inject()
    assert headers[OWN].endswith("-00")
    with new_client(workspace_id="7", api_token="t", exporter=sink) as always:
        with always.start_span("b", child_of=extract(headers)), always.start_span("c"):
            assert inject()[OWN].endswith("-00")
        with always.start_span("d", child_of=extract({"traceparent": PARENT[:-1] + "0"})):
            pass  # another tracing system's decision is not about this one
    assert [span["span_name"] for span in sink.spans] == ["d"]
