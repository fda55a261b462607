"""What becomes of a call, by what the server says: which error, with which data, and whether waiting is worth it.

Every row of the contract (backend.md 1.2, 1.3 and 9, siblings.md 6.5) goes through an ``ApiClient`` to a real server.
"""

from __future__ import annotations

import time

import pytest

from cozeloop_lite import ApiClient, errors
from cozeloop_lite.api import answers, body, connections, retry, transport
from cozeloop_lite.api import client as client_module
from cozeloop_lite.errors import (
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RemoteServiceError,
)
from cozeloop_lite.trace import verdicts
from support.calling import Ahead
from support.recording import close_early, dead_port, hang, json_answer, reset, text_answer

PATH = "/v1/loop/things"
RETRIES = 4
NEVER, TWICE, ALWAYS = 0, 2, RETRIES  # how often a call with that many retries is repeated


@pytest.fixture
def api(server):
    return ApiClient(server.url, "pat_secret_0123456789")


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.0)


def words(code, msg="words of the server"):
    return {"code": code, "msg": msg}


# HTTP status, body, error, its code, how often it is repeated
ROWS = [
    # backend.md 1.2
    (200, words(602000702, "Service Internal Error"), InternalServerError, 602000702, TWICE),  # no header
    (200, words(602000101, "no access permission"), AuthenticationError, 602000101, NEVER),
    (200, words(600900101, "no access permission"), PermissionDeniedError, 600900101, NEVER),
    (200, words(600500101, "no access permission,prompt ids: 1"), PermissionDeniedError, 600500101, NEVER),
    (200, words(600903231, "account not available,check permission failed"), PermissionDeniedError, 600903231, NEVER),
    (200, words(602000202, "invalid param,invalid space_id in request"), BadRequestError, 602000202, NEVER),
    (200, words(602000703, "invalid param,invalid space_id in request"), InternalServerError, 602000703, ALWAYS),
    # backend.md 1.3: an envelope of another kind
    (200, {"msg": "without a code", "code": "602000201"}, BadRequestError, 602000201, NEVER),
    (500, {"code": 0, "msg": ""}, InternalServerError, 0, ALWAYS),
    (500, {}, InternalServerError, None, ALWAYS),
    (200, b"", RemoteServiceError, None, TWICE),
    (200, b"[]", RemoteServiceError, None, TWICE),
    (200, b"<html>log in first</html>", RemoteServiceError, None, TWICE),
    # backend.md 9, from top to bottom
    (200, words(602000201), BadRequestError, 602000201, NEVER),
    (200, words(602000801), InternalServerError, 602000801, ALWAYS),
    (200, words(602001001), BadRequestError, 602001001, NEVER),
    (200, words(601200101), PermissionDeniedError, 601200101, NEVER),
    (200, words(600900205), RateLimitError, 600900205, ALWAYS),
    (200, words(600502001), RateLimitError, 600502001, ALWAYS),
    (200, words(600502002), RateLimitError, 600502002, ALWAYS),
    (200, words(600904002), BadRequestError, 600904002, NEVER),
    (200, words(600904003), BadRequestError, 600904003, NEVER),
    (200, words(600904004), InternalServerError, 600904004, ALWAYS),
    (200, words(600904006), InternalServerError, 600904006, ALWAYS),
    (200, words(600903230), RemoteServiceError, 600903230, NEVER),
    (200, words(600903203), PermissionDeniedError, 600903203, NEVER),
    (200, words(600903208), NotFoundError, 600903208, NEVER),
    (200, words(600903209), RemoteServiceError, 600903209, NEVER),
    (200, words(600500202), BadRequestError, 600500202, NEVER),
    (200, words(600501001), NotFoundError, 600501001, NEVER),
    (200, words(600501002), NotFoundError, 600501002, NEVER),
    (200, words(600501003), NotFoundError, 600501003, NEVER),
    (200, words(600501007), NotFoundError, 600501007, NEVER),
    (200, words(600501004), RemoteServiceError, 600501004, NEVER),
    (200, words(600501005), RemoteServiceError, 600501005, NEVER),
    (200, words(600501006), RemoteServiceError, 600501006, NEVER),
    (200, words(600501008), RemoteServiceError, 600501008, NEVER),
    (200, words(600501009), RemoteServiceError, 600501009, NEVER),
    (200, words(600501010), RemoteServiceError, 600501010, NEVER),
    (200, words(600500701), InternalServerError, 600500701, ALWAYS),
    (200, words(600500803), InternalServerError, 600500803, ALWAYS),
    (200, words(600505014), RemoteServiceError, 600505014, NEVER),
    (200, words(601505011), RemoteServiceError, 601505011, NEVER),
    (200, words(601205014), RemoteServiceError, 601205014, NEVER),
    (200, words(601505003), RateLimitError, 601505003, ALWAYS),
    (200, words(601505004), RateLimitError, 601505004, ALWAYS),
    (200, words(601505005), RemoteServiceError, 601505005, NEVER),
    (200, words(601505008), RemoteServiceError, 601505008, NEVER),
    (200, words(601505009), RemoteServiceError, 601505009, NEVER),
    (200, words(601505010), RemoteServiceError, 601505010, NEVER),
    (200, words(601505012), RemoteServiceError, 601505012, NEVER),
    (200, words(601203002), RateLimitError, 601203002, ALWAYS),
    (200, words(601205021), RateLimitError, 601205021, ALWAYS),
    (200, words(601103006), RateLimitError, 601103006, ALWAYS),
    (200, words(601203001), RemoteServiceError, 601203001, NEVER),
    (200, words(1), InternalServerError, 1, NEVER),
    (413, b"Request Entity Too Large", BadRequestError, None, NEVER),
    (400, b"malformed", BadRequestError, None, NEVER),
    (404, b"404 page not found", NotFoundError, None, NEVER),
    (405, b"<html>405 Not Allowed</html>", BadRequestError, None, NEVER),
    (500, b"", InternalServerError, None, ALWAYS),
    (502, b"<html>bad gateway</html>", InternalServerError, None, ALWAYS),
    (503, words(5), InternalServerError, 5, ALWAYS),
    (429, words(4013), RateLimitError, 4013, ALWAYS),
    (408, words(5), RemoteServiceError, 5, ALWAYS),
    (401, words(4100, "authentication is invalid"), AuthenticationError, 4100, NEVER),
    (403, words(4101), PermissionDeniedError, 4101, NEVER),
    # siblings.md 6.5
    (403, {"error_code": "invalid_request"}, AuthenticationError, "invalid_request", NEVER),
    (401, {"error": "e", "error_code": "c", "error_message": "m"}, AuthenticationError, "c", NEVER),
    (500, words(4000), InternalServerError, 4000, ALWAYS),
    (404, b"return html.", NotFoundError, None, NEVER),
    (400, words(4000), BadRequestError, 4000, NEVER),
    (200, b'"a wrong type"', RemoteServiceError, None, TWICE),
]


def said(status, body):
    headers = {"x-tt-logid": "log-1"}
    if isinstance(body, bytes):
        answer = text_answer(body.decode("utf-8"), status)
        answer.headers.update(headers)
        return answer
    return json_answer(body, status, headers)


@pytest.mark.parametrize(("status", "body", "kind", "code", "repeated"), ROWS, ids=lambda value: repr(value)[:40])
def test_each_answer_has_its_error_and_is_asked_for_again_or_not(
    server, api, no_pauses, status, body, kind, code, repeated
):
    server.default = said(status, body)
    with pytest.raises(errors.HttpError) as caught:
        api.get(PATH, retries=RETRIES)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.log_id) == (status, code, "log-1")
    assert (error.http_code, error.error_code) == (status, code)
    if isinstance(body, dict) and (body.get("msg") or body.get("error_message")):
        assert error.msg == error.error_message == (body.get("msg") or body["error_message"])
        assert error.msg in str(error)
    assert str(error)
    assert len(server.requests) == 1 + repeated


@pytest.mark.parametrize(("status", "body", "kind", "code", "repeated"), ROWS, ids=lambda value: repr(value)[:40])
def test_tracing_waits_for_the_same(status, body, kind, code, repeated):
    problem = kind(status, code, body.get("msg", "") if isinstance(body, dict) else "")
    verdict = verdicts.judge(problem)
    assert {verdicts.AGAIN: ALWAYS, verdicts.DOUBTFUL: TWICE}.get(verdict, NEVER) == repeated


@pytest.mark.parametrize("answer", [reset(), close_early()], ids=["reset", "half"])
def test_a_connection_that_breaks_is_worth_another_try(server, api, no_pauses, answer):
    server.answers(answer, answer)
    assert api.get(PATH, retries=2)["code"] == 0
    server.answers(answer, answer)
    with pytest.raises(NetworkError):
        api.get(PATH, retries=1)
    assert len(server.requests) == 5


def test_a_server_that_is_not_there_yet_is_worth_another_try(pauses):
    with pytest.raises(NetworkError):
        ApiClient("http://127.0.0.1:%d" % dead_port(), "t").get(PATH, retries=3)
    assert len(pauses) == 3


def test_what_the_server_said_is_not_lost_when_a_pause_takes_longer_than_there_is_time(server, api, monkeypatch):
    clock = Ahead().put_into(monkeypatch, client_module)
    monkeypatch.setattr(retry, "pause", lambda problem, attempt, retries: 0.01)
    monkeypatch.setattr(client_module, "sleep", lambda seconds: clock.move(30))
    server.default = json_answer({"code": 0}, 503)
    with pytest.raises(InternalServerError):
        api.get(PATH, retries=3, timeout=30)
    assert len(server.requests) == 1


def test_an_answer_that_is_too_long_will_be_as_long_again(server, api, no_pauses, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
    server.default = json_answer({"code": 0, "x": "y" * 2000})
    with pytest.raises(errors.AnswerTooLongError):
        api.get(PATH, retries=RETRIES)
    assert len(server.requests) == 1


def test_of_a_refusal_only_the_beginning_is_read_however_long_its_page(server, api):
    server.default = text_answer("Request Entity Too Large ".ljust(20 << 20, "x"), 413)
    with pytest.raises(BadRequestError) as caught:
        api.post(PATH, {})
    assert caught.value.status == 413
    assert len(str(caught.value)) < 1000
    server.default = json_answer({"code": 0})
    assert api.post(PATH, {}) == {"code": 0}


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_nothing_is_repeated_unless_it_is_asked_for(server, api, no_pauses, method):
    server.default = json_answer({}, 503)
    with pytest.raises(InternalServerError):
        getattr(api, method)(PATH)
    assert len(server.requests) == 1
    server.answers(json_answer({}, 503))
    server.default = json_answer({"code": 0})
    assert getattr(api, method)(PATH, retries=1)["code"] == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize("retries", [-1, 1.5, "1", None, True])
def test_retries_that_are_no_number_are_an_error(server, api, retries):
    with pytest.raises(errors.InvalidParamError, match="retries"):
        api.get(PATH, retries=retries)
    assert server.requests == []


# -- pauses -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch):
    """The pauses so far, of which none was made."""
    pauses = []
    monkeypatch.setattr(client_module, "sleep", pauses.append)
    return pauses


@pytest.fixture
def longest(monkeypatch):
    """The jitter at its upper end."""
    monkeypatch.setattr(retry.os, "urandom", lambda count: b"\xff" * count)


def busy(**headers):
    return json_answer({}, 503, {name.replace("_", "-"): value for name, value in headers.items()})


def test_pauses_double_up_to_ten_seconds(server, pauses, longest):
    server.default = busy()
    with pytest.raises(InternalServerError):
        ApiClient(server.url, "t", timeout=1e5).get(PATH, retries=9)
    assert [round(pause, 3) for pause in pauses] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]


def test_no_two_clients_come_back_at_the_same_moment():
    problem = InternalServerError(503, None)
    pauses = [retry.pause(problem, 5, 9) for _ in range(200)]
    assert all(0 <= pause < 3.2 for pause in pauses)
    assert min(pauses) < 1 < 2 < max(pauses)
    assert len(set(pauses)) > 150


def test_the_server_may_say_how_long_to_wait(server, pauses, longest):
    server.answers(busy(Retry_After="2"), busy(Retry_After="0"))
    server.default = json_answer({"code": 0})
    assert ApiClient(server.url, "t", timeout=1e5).get(PATH, retries=2)["code"] == 0
    assert [round(pause, 3) for pause in pauses] == [2, 0.4]


def test_who_is_to_wait_longer_than_there_is_time_hears_so_at_once(server):
    server.default = busy(Retry_After="60")
    began = time.monotonic()
    with pytest.raises(InternalServerError) as caught:
        ApiClient(server.url, "t").get(PATH, timeout=50, retries=3)
    assert time.monotonic() - began < 20
    assert caught.value.retry_after == 60
    assert len(server.requests) == 1


def test_all_attempts_together_have_the_time_of_the_call(server, monkeypatch):
    clock = Ahead().put_into(monkeypatch, body, client_module, connections, transport)
    monkeypatch.setattr(client_module, "sleep", lambda seconds: clock.move(59.5))
    server.answers(busy(), hang())
    began = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError, match="60 s"):
        ApiClient(server.url, "t").get(PATH, timeout=60, retries=9)
    assert time.monotonic() - began < 30
    assert len(server.requests) == 2


def test_no_attempt_has_more_time_than_the_first(server, no_pauses, monkeypatch):
    ends, answered = [], client_module._whole_answer

    def spy(pools, call):
        ends.append(call.end)
        return answered(pools, call)

    monkeypatch.setattr(client_module, "_whole_answer", spy)
    server.answers(busy(), busy())
    assert ApiClient(server.url, "t").get(PATH, retries=2)["code"] == 0
    assert len(ends) == 3
    assert len(set(ends)) == 1


def test_what_has_no_chance_of_another_outcome_is_final():
    for kind in (errors.InvalidParamError, errors.AuthInfoRequiredError, errors.ClientClosedError, ValueError):
        assert retry.outlook(kind()) == retry.FINAL


def test_every_code_that_is_known_is_in_the_table():
    assert {*answers._BY_CODE, *retry._PASSING_CODES, *retry._DOUBTFUL_CODES, *retry._FINAL_CODES} <= {
        row[3] for row in ROWS
    }
