"""The ready mask: what it replaces, what it leaves, and that no text makes it slow."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cozeloop_lite import new_client
from cozeloop_lite.errors import InvalidParamError
from cozeloop_lite.masking import KINDS, Mask, mask_secrets

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"

FOUND = [
    ("private_key", "key: %s." % PEM, "key: <private_key>."),
    ("private_key", json.dumps({"key": PEM}), '{"key": "<private_key>"}'),
    ("private_key", "-----BEGIN PRIVATE KEY-----\ncut off in the mid", "<private_key>"),
    ("bearer", "Authorization: Bearer abcdefgh12345678==", "Authorization: Bearer <bearer>"),
    ("bearer", '{"authorization":"bearer abc.def-ghi_jkl"}', '{"authorization":"bearer <bearer>"}'),
    ("bearer", "Basic dXNlcjpwYXNzd29yZA==", "Basic <bearer>"),
    ("api_key", "use sk-proj-abcDEF0123456789xyz now", "use <api_key> now"),
    ("api_key", "pat_abcDEF0123456789xyz", "<api_key>"),
    ("api_key", "AKIAIOSFODNN7EXAMPLE", "<api_key>"),
    ("api_key", "AIzaSyA-1234567890abcdefghijklmnopqrstu", "<api_key>"),
    ("api_key", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "<api_key>"),
    ("api_key", "LTAI4FoobarBazQux12345", "<api_key>"),
    ("api_key", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVm", "<api_key>"),
    ("named_secret", 'password = "hunter22"', 'password = "<named_secret>"'),
    ("named_secret", '{"api_key":"0a1b2c3d"}', '{"api_key":"<named_secret>"}'),
    ("named_secret", r'{"text":"{\"secret\": \"0a1b2c3d\"}"}', r'{"text":"{\"secret\": \"<named_secret>\"}"}'),
    ("named_secret", '{"password":"my pass, word","x":1}', '{"password":"<named_secret>","x":1}'),
    ("named_secret", r'{"pwd":"p\"w \\","x":1}', '{"pwd":"<named_secret>","x":1}'),
    ("named_secret", "{'password': 'it is \"quoted\"', 'x': 1}", "{'password': '<named_secret>', 'x': 1}"),
    ("named_secret", r'{"text":"{\"secret\": \"a b, c\"}"}', r'{"text":"{\"secret\": \"<named_secret>\"}"}'),
    ("named_secret", '{"password":"cut off in the mid', '{"password":"<named_secret>'),
    ("named_secret", '{"password":"<b>7"}', '{"password":"<named_secret>"}'),
    ("named_secret", '{"password": 12345678}', '{"password": <named_secret>}'),
    ("named_secret", "password=12345678", "password=<named_secret>"),
    ("named_secret", '{"access_token":"12345678a"}', '{"access_token":"<named_secret>"}'),
    ("named_secret", "accessToken: abcd1234", "accessToken: <named_secret>"),
    ("named_secret", "DB_PASSWORD=correcthorse&x=1", "DB_PASSWORD=<named_secret>&x=1"),
    ("url_password", "postgres://bob:hunter2@db/x", "postgres://bob:<url_password>@db/x"),
    ("email", "to Bob.Smith+tag@mail.example.co.uk!", "to <email>!"),
    ("email", "邮箱：王五@例子 a_b@qq.com。", "邮箱：王五@例子 <email>。"),
    ("id_cn", "身份证11010519491231002X号", "身份证<id_cn>号"),
    ("id_cn", "440524188001010014", "<id_cn>"),
    ("card", "4111 1111 1111 1111", "<card>"),
    ("card", "pay 5500-0000-0000-0004.", "pay <card>."),
    ("card", "378282246310005", "<card>"),
    ("card", "6222021234567890128", "<card>"),
    ("phone_cn", "电话13800138000，", "电话<phone_cn>，"),
    ("phone_cn", "+86 138-0013-8000", "<phone_cn>"),
]

LEFT = [
    "4111 1111 1111 1112",  # the check digit is wrong
    "110105194912310021",  # the same
    "0000 0000 0000 0000",
    "order 12345678901234567890123",  # longer than any of them
    "1741305600123456",  # a time in µs
    "12345678901",
    "3.14159265358979",
    "29392ac2486dfcfa46656416baabeac8",  # a trace id
    "the password is not here",
    '{"input_tokens": 100, "max_tokens": 1000, "token": null}',
    "tokens: 1234567",
    '{"max_token": 4096, "token": "4096"}',
    'he said "my token:" and left "it" there',
    '{"messages":[{"content":[{"text":"your password:"}]},{"content":[["token:"]]}]}',
    "[{'text': 'your password:'}], [{'text': 'no'}]",
    "risk-averse people ask-me-anything-about-task-force-members",
    "a @ b.c and @someone",
    "http://host:8080/path@x",
    "bearer of bad news",
    "",
    "中文文本，没有秘密。",
]


@pytest.mark.parametrize(("kind", "text", "masked"), FOUND)
def test_found_alone_and_among_all_kinds(kind, text, masked):
    assert Mask(kind)(text) == masked
    assert "<" in mask_secrets(text) and mask_secrets(text) != text


@pytest.mark.parametrize("text", LEFT)
def test_left_as_it_is(text):
    assert mask_secrets(text) == text


@pytest.mark.parametrize(("kind", "text", "masked"), FOUND)
def test_what_was_masked_is_not_masked_again(kind, text, masked):
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("piece", ["xx", "\\n", "\\\"", "\\'", "\\\\"])
def test_a_long_secret_costs_little_memory(quote, piece):
    text = "password=" + quote + piece * 500_000
    tracemalloc.start()
    try:
        assert mask_secrets(text) == "password=" + quote + "<named_secret>"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [4, 999, 1000, 1001, 2000, 2500])
def test_a_secret_in_quotes_ends_at_its_quote_however_many_escapes_it_has(count):
    secret = "".join(("\\n", '\\"', "\\\\", "\\u0041 ")[place % 4] for place in range(count))
    text = '[{"password":"%s","x":"a"}, {"pwd": "abc%sd", "y": "b"}]'
    assert mask_secrets(text % (secret, secret)) == text.replace("abc%sd", "%s") % (("<named_secret>",) * 2)


def test_every_kind_is_tried_here():
    assert {kind for kind, _, _ in FOUND} == set(KINDS)


def test_only_the_chosen_kinds_are_masked():
    assert Mask("email")("bob@example.com 13800138000") == "<email> 13800138000"


def test_an_unknown_kind_is_an_error_that_names_the_known_ones():
    with pytest.raises(InvalidParamError, match=r"no kind 'emails'.*email"):
        Mask("emails")


def test_it_is_a_mask_of_a_client(sink):
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask_secrets)
    with client.start_span("step", "custom") as span:
        span.set_input({"to": "bob@example.com"})
        span.set_output("sk-abcdefghijklmnop1234")
        span.set_tags({"phone": "13800138000"})
        span.set_error(ValueError("card 4111111111111111"))
    assert client.flush()
    (sent,) = sink.spans
    assert sent["input"] == '{"to":"<email>"}'
    assert sent["output"] == "<api_key>"
    assert sent["tags_string"]["phone"] == "<phone_cn>"
    assert sent["tags_string"]["error"] == "card <card>"


@given(st.text())
def test_anything_at_all_is_taken(text):
    assert isinstance(mask_secrets(text), str)


HOSTILE = [
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "bearer ", "sk-", "a@", "a.", "a.a@a.", "1", "1 ", "1-",
    "411111 ", "http://", "a://b:", "password=", 'password":"', "token \\\\\\\"", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ",
    " ", "\\", "_", "-", "secret" * 2, "11010519", "+86 1", "x" * 7,
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_grows_with_the_length_and_no_faster(piece):
    def seconds(count):
        text = piece * (count // len(piece))
        best = 1e9
        for _ in range(3):
            began = time.thread_time()
            mask_secrets(text)
            best = min(best, time.thread_time() - began)
        return best

    short, long = seconds(10_000), seconds(80_000)
    assert long < 8 * 5 * short + 0.05, "8 times the text, %.0f times the time" % (long / short)
