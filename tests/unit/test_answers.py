"""What an answer of the platform means, as a table (contract backend.md 1.2, 1.3, 9; siblings.md 6.5)."""

from __future__ import annotations

import calendar
import json
import pickle

import pytest

from cozeloop_lite import errors
from cozeloop_lite.api import answers
from cozeloop_lite.errors import (
    AuthenticationError,
    BadRequestError,
    HttpError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RemoteServiceError,
)


def read(status, body, headers=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
    return answers.read(status, headers or {}, raw)


def failure(status, body, headers=None):
    with pytest.raises(RemoteServiceError) as caught:
        read(status, body, headers)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"code": 0, "msg": "", "data": {"items": []}}),
        (200, {"code": 0}),
        (200, {"code": "0"}),
        (200, {"code": None}),
        (200, {"msg": "without a code"}),
        (200, {}),
        (201, {"code": 0}),
        (200, {"data": "任意", "code": 0}),
    ],
)
def test_2xx_with_code_0_is_the_whole_object(status, body):
    assert read(status, body) == body


def test_a_byte_order_mark_is_no_part_of_the_answer():
    assert read(200, b'\xef\xbb\xbf{"code": 0}') == {"code": 0}


def named(code, msg="words of the server"):
    return {"code": code, "msg": msg}


TABLE = [
    # contract backend.md 1.2: who may not
    (200, named(602000702, "Service Internal Error"), InternalServerError, 602000702),
    (200, named(602000101, "no access permission"), AuthenticationError, 602000101),
    (200, named(600900101, "no access permission"), PermissionDeniedError, 600900101),
    (200, named(600500101, "no access permission,prompt ids: 1, action: read"), PermissionDeniedError, 600500101),
    (200, named(600903231, "account not available"), PermissionDeniedError, 600903231),
    (200, named(602000202, "invalid param,invalid space_id in request"), BadRequestError, 602000202),
    # backend.md 9: every other row
    (200, named(602000201), BadRequestError, 602000201),
    (200, named(602000703), InternalServerError, 602000703),
    (200, named(602000801), InternalServerError, 602000801),
    (200, named(602001001), BadRequestError, 602001001),
    (200, named(601200101), PermissionDeniedError, 601200101),
    (200, named(600900205), RateLimitError, 600900205),
    (200, named(600502001), RateLimitError, 600502001),
    (200, named(600502002), RateLimitError, 600502002),
    (200, named(600904002), BadRequestError, 600904002),
    (200, named(600904003), BadRequestError, 600904003),
    (200, named(600904004), InternalServerError, 600904004),
    (200, named(600904006), InternalServerError, 600904006),
    (200, named(600903230), RemoteServiceError, 600903230),
    (200, named(600903203), PermissionDeniedError, 600903203),
    (200, named(600903208), NotFoundError, 600903208),
    (200, named(600903209), RemoteServiceError, 600903209),
    (200, named(600500202), BadRequestError, 600500202),
    (200, named(600501001), NotFoundError, 600501001),
    (200, named(600501002), NotFoundError, 600501002),
    (200, named(600501003), NotFoundError, 600501003),
    (200, named(600501007), NotFoundError, 600501007),
    (200, named(600501004), RemoteServiceError, 600501004),
    (200, named(600501008), RemoteServiceError, 600501008),
    (200, named(600500701), InternalServerError, 600500701),
    (200, named(600500803), InternalServerError, 600500803),
    (200, named(600505014), RemoteServiceError, 600505014),
    (200, named(601505003), RateLimitError, 601505003),
    (200, named(601505004), RateLimitError, 601505004),
    (200, named(601505009), RemoteServiceError, 601505009),
    (200, named(601203002), RateLimitError, 601203002),
    (200, named(601205021), RateLimitError, 601205021),
    (200, named(601103006), RateLimitError, 601103006),
    (200, named(601203001), RemoteServiceError, 601203001),
    (200, named(1), InternalServerError, 1),
    # the class of a code that no row names: its last digits
    (200, named(601100101), PermissionDeniedError, 601100101),
    (200, named(601100205), RateLimitError, 601100205),
    (200, named(601100204), BadRequestError, 601100204),
    (200, named(601100702), InternalServerError, 601100702),
    # codes in other clothes
    (200, named("600904002"), BadRequestError, 600904002),
    (200, named(600904002.0), BadRequestError, 600904002),
    (200, named("-1"), RemoteServiceError, -1),
    (200, named("unknown"), RemoteServiceError, "unknown"),
    (200, named("\u00b2"), RemoteServiceError, "\u00b2"),
    (200, named(["what"]), RemoteServiceError, "['what']"),
    # by status
    (400, named(4000), BadRequestError, 4000),
    (401, named(4100, "authentication is invalid"), AuthenticationError, 4100),
    (200, named(4100, "authentication is invalid"), AuthenticationError, 4100),
    (403, named(4101), PermissionDeniedError, 4101),
    (404, named(4200), NotFoundError, 4200),
    (408, named(5), RemoteServiceError, 5),
    (429, named(4013), RateLimitError, 4013),
    (500, named(4000), InternalServerError, 4000),  # siblings.md 6.5
    (500, {"code": 0}, InternalServerError, 0),
    (500, {}, InternalServerError, None),
    (302, {}, RemoteServiceError, None),
    # siblings.md 6.5: OAuth
    (403, {"error_code": "invalid_request"}, AuthenticationError, "invalid_request"),
    (401, {"error": "e", "error_code": "c", "error_message": "m"}, AuthenticationError, "c"),
    (400, {"error_code": "slow_down", "error_message": "m"}, AuthenticationError, "slow_down"),
    (500, {"error_code": "c", "error_message": "m"}, InternalServerError, "c"),
    # no JSON object
    (404, b"return html.", NotFoundError, None),
    (404, b"404 page not found", NotFoundError, None),
    (405, b"<html>405 Not Allowed</html>", BadRequestError, None),
    (413, b"Request Entity Too Large", BadRequestError, None),
    (400, b"malformed", BadRequestError, None),
    (502, b"<html>bad gateway</html>", InternalServerError, None),
    (503, b"", InternalServerError, None),
    (200, b"<html>log in first</html>", RemoteServiceError, None),
    (200, b"", RemoteServiceError, None),
    (200, b"[]", RemoteServiceError, None),
    (200, b"null", RemoteServiceError, None),
    (200, b'"text"', RemoteServiceError, None),
    (200, b"\xff\xfe", RemoteServiceError, None),
    (200, b"[" * 100_000, RemoteServiceError, None),
    (200, b'{"code": 0', RemoteServiceError, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), TABLE, ids=lambda value: repr(value)[:40])
def test_every_failure_has_its_class_code_message_and_log_id(status, body, kind, code):
    error = failure(status, body, {"x-tt-logid": "log-1"})
    assert type(error) is kind
    assert isinstance(error, HttpError)
    assert (error.status, error.code, error.log_id) == (status, code, "log-1")
    assert (error.http_code, error.error_code) == (status, code)
    assert error.msg
    text = str(error)
    assert "http_code=%d" % status in text
    assert "logid=log-1" in text
    if isinstance(body, dict) and body.get("msg"):
        assert body["msg"] in text
        assert body["msg"] == error.msg == error.error_message


@pytest.mark.parametrize(
    ("headers", "log_id"),
    [
        ({"x-tt-logid": "hosted"}, "hosted"),
        ({"x-log-id": "own"}, "own"),
        ({"x-tt-logid": "hosted", "x-log-id": "own"}, "hosted"),
        ({}, ""),
        ({"x-log-id": "x" * 5000}, "x" * 256),
    ],
)
def test_the_log_id_is_read_from_either_header(headers, log_id):
    assert failure(500, {}, headers).log_id == log_id


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (200, {"code": 602000101}, "COZELOOP_API_TOKEN"),
        (401, b"", "COZELOOP_API_TOKEN"),
        (200, {"code": 600900101}, "COZELOOP_WORKSPACE_ID"),
        (200, {"code": 600501001}, "prompt_key"),
        (200, {"code": 600501002}, "version"),
        (200, {"code": 600501003}, "draft"),
        (200, {"code": 600501007}, "label"),
        (403, b"", "COZELOOP_WORKSPACE_ID"),
        (405, b"<html>", "8888"),
        (407, b"<html>", "HTTP_PROXY"),
        (301, b"", "COZELOOP_API_BASE_URL"),
        (404, b"404", "COZELOOP_API_BASE_URL"),
        (200, b"<html>", "COZELOOP_API_BASE_URL"),
    ],
)
def test_errors_say_which_setting_to_look_at(status, body, hint):
    error = failure(status, body, {"content-type": "text/html"})
    assert hint in error.hint
    assert error.hint in str(error)


def test_what_the_server_says_is_shown_within_bounds_and_on_one_line():
    for body in (b"<html>\r\n" + b"\x00x\n" * 100_000, json.dumps({"code": 5, "msg": "a\r\nb " * 100_000}).encode()):
        text = str(failure(500, body, {"content-type": "text/" + "y" * 10_000}))
        assert len(text) < 1500
        assert "\n" not in text
        assert "\r" not in text


def test_what_the_server_says_does_not_move_the_cursor_of_a_terminal():
    body = json.dumps({"code": 5, "msg": "\x1b[2Jno\x9b1m such\u202e prompt: 天气"}).encode()
    text = str(failure(500, body))
    assert text.isprintable()
    assert "\\x1b[2Jno\\x9b1m such\\u202e prompt: 天气" in text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("-1", 0),
        ("Sun, 01 Nov 2026 13:00:00 GMT", 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("\xb2", None),
        ("9" * 50, None),
        ("Wed, 99 Oct 99999999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(monkeypatch, value, seconds):
    monkeypatch.setattr(answers, "time", lambda: calendar.timegm((2026, 11, 1, 12, 0, 0)))
    error = failure(503, b"", {"retry-after": value})
    if seconds is None:
        assert error.retry_after is None
    else:
        assert error.retry_after == seconds


def test_errors_survive_pickling():
    error = failure(401, {"code": 4100, "msg": "m"}, {"x-tt-logid": "l"})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.AuthenticationError
    assert (str(again), again.code, again.log_id, again.hint) == (str(error), 4100, "l", error.hint)


def test_a_number_of_a_million_digits_costs_no_time_and_no_code_makes_a_long_message():
    with pytest.raises(errors.RemoteServiceError):
        answers.read(200, {}, b'{"code":' + b"9" * 1_000_000 + b"}")
    with pytest.raises(errors.RemoteServiceError) as raised:
        answers.read(200, {}, b'{"code":"' + b"9" * 1_000_000 + b'"}')
    assert len(str(raised.value)) < 1000


def test_an_answer_of_more_objects_than_there_can_be_is_none():
    objects = ",".join(["{}"] * answers.MAX_OBJECTS)
    assert len(answers.parse("[%s]" % objects)) == answers.MAX_OBJECTS
    assert answers.parse('{"a":[%s]}' % objects) is None
    assert failure(200, b'{"code":0,"data":[%s]}' % objects.encode()).code is None


def test_braces_in_the_texts_of_an_answer_are_no_objects():
    braces = "{" * 2 * answers.MAX_OBJECTS
    assert read(200, {"code": 0, "data": {"text": braces, "number": 5}})["data"] == {"text": braces, "number": 5}
