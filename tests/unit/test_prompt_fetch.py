"""Asking for prompts: batches of 25, one bad key harms only itself, and a server that is down is not asked for long."""

from __future__ import annotations

import time

import pytest

from cozeloop_lite import errors
from cozeloop_lite.api import answers
from cozeloop_lite.entities.prompt import Prompt
from cozeloop_lite.prompt.fetch import fetch, is_gone, is_unavailable
from support.platform import Platform, prompt, refusal, text_of


def queries(count, start=0):
    return [("key%d" % number, "", "") for number in range(start, start + count)]


def platform_with(count):
    return Platform(**{"key%d" % number: "text %d" % number for number in range(count)})


def outcomes(platform, asked, **options):
    return dict(fetch(platform, "7", asked, **options))


class Failing:
    """An API whose every request fails in the same way."""

    timeout = 3.0

    def __init__(self, error):
        self.error = error
        self.requests = 0

    def request(self, *args, **kwargs):
        self.requests += 1
        raise self.error


# -- the request ----------------------------------------------------------------------------------------------------


def test_a_query_has_its_version_and_a_label_only_if_there_is_one():
    platform = Platform()
    list(fetch(platform, "7", [("a", "", ""), ("b", "0.0.2", ""), ("c", "", "beta")], timeout=2, headers={"X": "y"}))
    (data, timeout, headers) = platform.sent[0]
    assert data == {
        "workspace_id": "7",
        "queries": [
            {"prompt_key": "a", "version": ""},
            {"prompt_key": "b", "version": "0.0.2"},
            {"prompt_key": "c", "version": "", "label": "beta"},
        ],
    }
    assert (timeout, headers) == (2, {"X": "y"})


def test_sixty_queries_are_three_requests_in_order():
    platform = platform_with(60)
    found = outcomes(platform, queries(60))
    assert [len(asked) for asked in platform.asked] == [25, 25, 10]
    assert [query for asked in platform.asked for query in asked] == queries(60)
    assert [text_of(found[query]) for query in queries(60)] == ["text %d" % number for number in range(60)]


def test_no_queries_are_no_request():
    platform = Platform()
    assert outcomes(platform, []) == {}
    assert platform.asked == []


# -- the answer -----------------------------------------------------------------------------------------------------


def ask_for(items, *asked):
    platform = Platform()
    platform.trouble = lambda _: {"code": 0, "msg": "", "data": {"items": items}}
    return [outcome and text_of(outcome) for outcome in outcomes(platform, list(asked)).values()]


A, B = ("a", "", ""), ("b", "", "")


def item(key, text, **query):
    return {"query": {"prompt_key": key, **query}, "prompt": prompt(key, "0.0.1", text)}


def test_prompts_are_told_apart_by_the_repeated_query_not_by_their_place():
    assert ask_for([item("b", "B"), item("a", "A")], A, B) == ["A", "B"]
    assert ask_for([item("b", "B", version=None, label=None)], A, B) == [None, "B"]


def test_one_key_in_two_versions_is_told_apart():
    asked = [("a", "0.0.1", ""), ("a", "", "beta"), ("a", "", "")]
    items = [item("a", "latest"), item("a", "beta", label="beta", version=""), item("a", "one", version="0.0.1")]
    assert ask_for(items, *asked) == ["one", "beta", "latest"]


def test_where_the_query_is_not_repeated_in_full_the_place_decides():
    asked = [("a", "", "beta"), B]
    assert ask_for([item("a", "A", version="0.0.9"), item("b", "B")], *asked) == ["A", "B"]
    assert ask_for([{"prompt": prompt("a", "1", "A")}, {"prompt": prompt("b", "1", "B")}], *asked) == ["A", "B"]


def test_a_prompt_is_never_taken_for_another_one():
    assert ask_for([item("stranger", "X"), item("b", "B")], A, B) == [None, "B"]
    assert ask_for([item("b", "B")], A, B) == [None, "B"]
    assert ask_for([{"prompt": {"version": "1", "prompt_template": None}}], A, B) == [None, None]
    assert ask_for([{"query": {"prompt_key": "stranger"}, "prompt": prompt("stranger", "1", "X")}], A) == [None]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {},
        {"items": None},
        {"items": {}},
        {"items": [None]},
        {"items": [5]},
        {"items": [{}]},
        {"items": [{"query": {"prompt_key": "a"}}]},
        {"items": [{"query": {"prompt_key": "a"}, "prompt": None}]},
        {"items": [{"query": {"prompt_key": "a"}, "prompt": "x"}]},
        {"items": [{"query": {"prompt_key": "a"}, "prompt": {}}]},
        {"items": [{"query": {"prompt_key": ["a"], "version": {}}, "prompt": None}]},
    ],
)
def test_an_answer_without_the_prompt_is_none_whatever_its_shape(data):
    platform = Platform()
    platform.trouble = lambda _: {"code": 0, "msg": "", "data": data}
    assert outcomes(platform, [A]) == {A: None}


@pytest.mark.parametrize("answer", [{}, {"status": "ok"}, {"msg": ""}])
def test_an_answer_that_says_nothing_of_prompts_is_no_word_that_they_are_gone(answer):
    platform = Platform()
    platform.trouble = lambda _: answer
    found = outcomes(platform, queries(25))
    assert len(platform.asked) == 1  # it is not about one of them
    for outcome in found.values():
        assert is_unavailable(outcome)
        assert not is_gone(outcome)


def test_a_repeated_query_of_any_shape_does_no_harm():
    given = prompt("a", "0.0.1", "A")
    for echo in (None, 5, [], {"prompt_key": ["a"]}, {"prompt_key": "a", "version": {"x": 1}, "label": 5}):
        assert ask_for([{"query": echo, "prompt": given}], A) == ["A"]


# -- one bad key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, 1, 12, 13, 24])
def test_one_missing_key_harms_only_itself_and_costs_ten_more_requests_at_most(bad):
    platform = platform_with(25)
    platform.delete("key%d" % bad)
    found = outcomes(platform, queries(25))
    missing = found.pop(("key%d" % bad, "", ""))
    assert isinstance(missing, errors.NotFoundError)
    assert is_gone(missing)
    assert all(isinstance(outcome, Prompt) for outcome in found.values())
    assert len(platform.asked) <= 1 + 10


def test_when_all_keys_are_missing_each_is_said_to_be():
    platform = Platform()
    found = outcomes(platform, queries(25))
    assert len(found) == 25
    assert all(map(is_gone, found.values()))
    assert len(platform.asked) == 49


def test_a_prompt_at_which_the_server_fails_harms_only_itself():
    platform = platform_with(60)
    poison = ("key30", "", "")
    platform.trouble = lambda asked: refusal(602000702, "panic") if poison in asked else None
    found = outcomes(platform, queries(60))
    assert isinstance(found.pop(poison), errors.InternalServerError)
    assert len(found) == 59
    assert all(isinstance(outcome, Prompt) for outcome in found.values())


def test_a_key_that_cannot_be_sent_harms_only_itself():
    class Strict(Platform):
        def request(self, method, path, data=None, **options):
            if any(query["prompt_key"] == "\ud800" for query in data["queries"]):
                raise errors.InvalidParamError("cannot be written")
            return super().request(method, path, data, **options)

    platform = Strict(a="A", b="B")
    found = outcomes(platform, [A, ("\ud800", "", ""), B])
    assert [type(outcome) for outcome in found.values()] == [Prompt, errors.InvalidParamError, Prompt]


def test_an_answer_that_is_too_long_is_asked_for_in_parts():
    platform = platform_with(25)

    def too_long(asked):
        if len(asked) > 7:
            raise errors.AnswerTooLongError("the answer is longer than 8388608 bytes")

    platform.trouble = too_long
    found = outcomes(platform, queries(25))
    assert all(isinstance(outcome, Prompt) for outcome in found.values())


# -- a server that cannot be asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestTimeoutError("late"),
        errors.RateLimitError(200, 600502001, "slow down"),
        errors.AuthenticationError(401, 602000101, "who?"),
        errors.PermissionDeniedError(200, 600500101, "no"),
        errors.AuthInfoRequiredError("the function given as api_token failed"),
    ],
)
def test_what_would_happen_again_happens_once_and_the_rest_waits(error):
    api = Failing(error)
    found = outcomes(api, queries(60))
    assert api.requests == 1
    assert list(found) == queries(25)
    assert set(found.values()) == {error}


def test_a_dead_connection_is_tried_again_once_in_the_time_that_is_left():
    platform = Platform(a="A")
    healthy = platform.request
    given = []

    def dead_at_first(*args, timeout, **options):
        given.append(timeout)
        if len(given) == 1:
            time.sleep(0.02)
            raise errors.NetworkError("reset")
        return healthy(*args, timeout=timeout, **options)

    platform.request = dead_at_first
    assert text_of(outcomes(platform, [A])[A]) == "A"
    assert given[0] == platform.timeout
    assert 0 < given[1] <= given[0] - 0.01


def test_a_server_that_is_not_there_is_tried_twice_and_the_rest_waits():
    api = Failing(errors.NetworkError("refused"))
    found = outcomes(api, queries(60))
    assert api.requests == 2
    assert list(found) == queries(25)


def test_a_gateway_that_fails_now_and_then_costs_only_the_batches_that_it_fails():
    platform = platform_with(500)
    healthy = platform.request

    def every_second(*args, **options):
        if len(platform.sent) % 2:
            platform.sent.append(None)
            raise errors.InternalServerError(503, None, "Service Unavailable")
        return healthy(*args, **options)

    platform.request = every_second
    found = outcomes(platform, queries(500))
    assert len(found) == 500
    fetched = [query for query, outcome in found.items() if isinstance(outcome, Prompt)]
    assert fetched == [query for start in range(0, 500, 50) for query in queries(25, start)]


@pytest.mark.parametrize("code", [None, 602000702])
def test_a_server_that_always_fails_is_not_asked_for_long(code):
    api = Failing(errors.InternalServerError(503, code, "down"))
    outcomes(api, queries(1000))
    assert api.requests == 7


def test_whoever_is_cautious_begins_with_one_and_doubles():
    platform = platform_with(100)
    found = outcomes(platform, queries(100), cautious=True)
    assert [len(asked) for asked in platform.asked] == [1, 2, 4, 8, 16, 25, 25, 19]
    assert list(found) == queries(100)


# -- what a failure means -------------------------------------------------------------------------------------------


def error_of(status, body):
    with pytest.raises(errors.RemoteServiceError) as raised:
        answers.read(status, {}, body)
    return raised.value


@pytest.mark.parametrize("code", [600501001, 600501002, 600501003, 600501007])
def test_a_prompt_is_gone_when_the_platform_says_so(code):
    error = error_of(200, b'{"code":%d,"msg":"resource not found"}' % code)
    assert is_gone(error)
    assert not is_unavailable(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"404 page not found"), (200, b"<html>under maintenance</html>"), (502, b""), (503, b"{}"), (400, b"bad")],
)
def test_an_answer_of_somebody_else_does_not_mean_that_a_prompt_is_gone(status, body):
    error = error_of(status, body)
    assert not is_gone(error)
    assert is_unavailable(error)


@pytest.mark.parametrize("code", [600502001, 602000702, 602000703, 602000801, 600500701, 600500803])
def test_what_may_be_over_soon_is_unavailability(code):
    assert is_unavailable(error_of(200, b'{"code":%d,"msg":"x"}' % code))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (403, b""),
        (200, b'{"code":602000101}'),
        (200, b'{"code":600500101}'),
        (200, b'{"code":600500202}'),
        (200, b'{"code":602000201}'),
    ],
)
def test_a_refusal_is_none(status, body):
    error = error_of(status, body)
    assert not is_unavailable(error)
    assert not is_gone(error)
