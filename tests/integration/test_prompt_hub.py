"""The prompt hub against a real server: what a get costs, how it follows the server, and what bad times are like."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

import cozeloop_lite
from cozeloop_lite import ApiClient, Client, Prompt, PromptHub, errors, new_client
from cozeloop_lite.api import client as api_client
from cozeloop_lite.prompt import flight
from support.calling import wait_for
from support.platform import Platform, refusal, text_of
from support.recording import (
    RecordingServer,
    close_early,
    dead_port,
    delay_until,
    hang,
    json_answer,
    reset,
    text_answer,
)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(cozeloop_lite.__file__)))
SECONDS = 60  # that a test waits for what must happen


@pytest.fixture
def platform():
    return Platform(greeting="hello", other="other")


@pytest.fixture
def server(platform):
    with RecordingServer() as server:
        server.default = platform.serve
        yield server


@pytest.fixture
def make(server):
    """``make(**settings)``: a hub that asks ``server``."""
    hubs = []

    def make(url=server.url, timeout=10, **settings):
        hub = PromptHub(ApiClient(url, "token", timeout=timeout), "7", **settings)
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.close()


@pytest.fixture
def hub(make):
    return make()


def refresh(hub):
    """What the background thread does when an interval is over."""
    hub._work(True)


def key(number):
    return "key%d" % number


def fill(platform, hub, count):
    for number in range(count):
        platform.publish(key(number), "text %d" % number)
        hub.get(key(number))


def in_threads(count, work):
    """The results of ``work()`` in so many threads at once, exceptions included."""
    results = []

    def run():
        try:
            results.append(work())
        except Exception as problem:
            results.append(problem)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def join(threads):
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


# -- getting prompts ------------------------------------------------------------------------------------------------


def test_a_prompt_is_got_by_key_version_and_label(hub, platform):
    platform.publish("greeting", "first", "0.0.1")
    platform.publish("greeting", "second", "0.0.2", label="production")
    platform.publish("greeting", "third", "0.0.3")
    assert text_of(hub.get("greeting")) == "third"
    assert text_of(hub.get("greeting", "0.0.1")) == "first"
    assert text_of(hub.get("greeting", label="production")) == "second"
    assert text_of(hub.get("greeting", "0.0.1", "production")) == "first"
    assert hub.get("greeting").version == "0.0.3"
    assert isinstance(hub.get("greeting"), Prompt)


def test_a_prompt_at_hand_needs_no_server(hub, server):
    hub.get("greeting")
    server.stop()
    for _ in range(100):
        assert text_of(hub.get("greeting")) == "hello"
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["a:b:c", "中文", "a/b?c=d&e", " ", "%00", "😀", "a" * 5000, '"', "\\"])
def test_a_key_may_have_any_characters(hub, platform, name):
    platform.publish(name, "found", label=name)
    assert text_of(hub.get(name)) == text_of(hub.get(name, label=name)) == "found"
    platform.publish(name, "changed", "0.0.2", label=name)
    refresh(hub)
    assert text_of(hub.get(name)) == text_of(hub.get(name, label=name)) == "changed"


def test_the_callers_copy_is_the_callers(hub):
    for _ in range(3):  # fetched, then at hand
        prompt = hub.get("greeting")
        assert text_of(prompt) == "hello"
        assert len(prompt.prompt_template.messages) == 1
        assert prompt.llm_config.temperature == 0.7
        prompt.prompt_template.messages[0].content = "changed"
        prompt.prompt_template.messages.append(None)
        prompt.llm_config.temperature = 2


@pytest.fixture
def storm(server, monkeypatch):
    """``storm(count, work, answer)``: the results of so many threads that all wait for the one answer."""
    waiting = []
    wait = flight._Flight.wait

    def counted(self, seconds):
        waiting.append(self)
        wait(self, seconds)

    monkeypatch.setattr(flight._Flight, "wait", counted)

    def storm(count, work, answer):
        go = threading.Event()
        server.answers(delay_until(go, answer))
        threads, results = in_threads(count, work)
        end = time.monotonic() + SECONDS
        while len(waiting) < count - 1:
            assert time.monotonic() < end
            time.sleep(0.001)
        go.set()
        join(threads)
        return results

    return storm


def test_a_thousand_threads_make_one_request_and_get_a_thousand_copies(make, server, platform, storm):
    hub = make(timeout=SECONDS)
    prompts = storm(1000, lambda: hub.get("greeting"), platform.serve)
    assert len(server.requests) == 1
    assert {text_of(prompt) for prompt in prompts} == {"hello"}
    assert len({id(prompt) for prompt in prompts}) == 1000


def test_who_comes_a_moment_too_late_makes_no_request(hub, server, monkeypatch):
    hub.get("greeting")
    look = hub._cache.get
    answers = iter([None])  # as if the answer came between the look and the request
    monkeypatch.setattr(hub._cache, "get", lambda query: next(answers, look(query)))
    assert text_of(hub.get("greeting")) == "hello"
    assert len(server.requests) == 1


def test_a_storm_on_an_absent_key_is_one_request_and_an_error_for_each(make, server, platform, storm):
    hub = make(timeout=SECONDS)
    raised = storm(200, lambda: hub.get("nothing"), platform.serve)
    assert len(server.requests) == 1
    assert {(type(error), error.code) for error in raised} == {(errors.NotFoundError, 600501001)}
    assert len(set(map(id, raised))) == 200


def test_a_storm_in_bad_times_gives_the_last_good_copy_to_all(make, storm):
    hub = make(cache_max_count=1, timeout=SECONDS)
    hub.get("greeting")
    hub.get("other")
    prompts = storm(200, lambda: hub.get("greeting"), json_answer({}, status=503))
    assert {text_of(prompt) for prompt in prompts} == {"hello"}


def test_an_absent_prompt_is_there_as_soon_as_it_was_made(hub, platform):
    with pytest.raises(errors.NotFoundError):
        hub.get("new")
    platform.publish("new", "made")
    assert text_of(hub.get("new")) == "made"


def test_a_prompt_that_the_answer_lacks_is_none(hub, server):
    server.answers(json_answer({"code": 0, "msg": "", "data": {"items": []}}), json_answer({"code": 0, "msg": ""}))
    assert hub.get("greeting") is None
    assert hub.get("greeting") is None
    assert text_of(hub.get("greeting")) == "hello"


@pytest.mark.parametrize("name", ["", None, 5, b"key", ["key"]])
def test_a_key_that_is_none_is_refused_without_a_request(hub, server, name):
    with pytest.raises(errors.InvalidParamError, match="prompt_key"):
        hub.get(name)
    assert server.requests == []


@pytest.mark.parametrize("argument", ["version", "label"])
def test_a_version_or_label_that_is_no_text_is_refused(hub, argument):
    with pytest.raises(errors.InvalidParamError, match=argument):
        hub.get("greeting", **{argument: 1})
    assert text_of(hub.get("greeting", **{argument: None})) == "hello"


def test_a_key_that_cannot_be_sent_is_refused(hub):
    with pytest.raises(errors.InvalidParamError):
        hub.get("\ud800")


def test_a_get_ends_within_the_timeout_of_the_client(make, server):
    hub = make(timeout=0.2)
    server.answers(hang())
    begun = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError):
        hub.get("greeting")
    assert time.monotonic() - begun < 5


def test_a_request_has_no_more_time_than_is_left_of_the_call(platform, monkeypatch):
    hub = PromptHub(platform, "7")
    monkeypatch.setattr(hub._flights, "share", lambda query, ask, seconds: ask(seconds / 2))  # the rest was waited for
    hub.get("greeting")
    hub.close()
    ((_, timeout, _),) = platform.sent
    assert timeout == platform.timeout / 2


def test_a_connection_that_broke_meanwhile_is_no_trouble(hub, server):
    hub.get("greeting")
    server.answers(reset())
    assert text_of(hub.get("other")) == "other"
    assert len(server.requests) == 3


def test_a_prompt_that_newer_servers_send_is_no_trouble(hub, server):
    strange = {
        "prompt_key": "greeting",
        "version": None,
        "prompt_template": {"template_type": "quantum", "messages": [{"role": "oracle", "parts": [{"type": "smell"}]}]},
        "tools": [{"type": "teleport"}],
        "tool_call_config": None,
        "surprise": {"a": [1]},
    }
    items = [{"query": {"prompt_key": "greeting"}, "prompt": strange}]
    server.answers(json_answer({"code": 0, "msg": "", "data": {"items": items}}))
    found = hub.get("greeting")
    assert found.prompt_template.messages[0].parts[0].type == "smell"
    assert hub.get("greeting").to_dict()["surprise"] == {"a": [1]}


# -- following the server -------------------------------------------------------------------------------------------


def test_a_new_version_and_a_moved_label_are_followed(hub, platform):
    platform.publish("greeting", "old", "0.0.1", label="production")
    for label in ("", "production"):
        assert text_of(hub.get("greeting", label=label)) == "old"
    assert text_of(hub.get("greeting", "0.0.1")) == "old"
    platform.publish("greeting", "new", "0.0.2", label="production")
    refresh(hub)
    for label in ("", "production"):
        assert text_of(hub.get("greeting", label=label)) == "new"
    assert text_of(hub.get("greeting", "0.0.1")) == "old"


def test_the_server_is_followed_by_itself_within_two_intervals(make, server, platform):
    hub = make(cache_refresh_interval=0.05)
    hub.get("greeting")
    platform.publish("greeting", "new", "0.0.2")
    seen = len(server.requests)
    server.wait_for(lambda server: len(server.requests) > seen + 1, SECONDS)  # so one round is complete
    assert text_of(hub.get("greeting")) == "new"


def test_sixty_prompts_are_refreshed_with_three_requests(hub, platform, server):
    fill(platform, hub, 60)
    del platform.asked[:]
    refresh(hub)
    assert [len(asked) for asked in platform.asked] == [25, 25, 10]
    assert len({query for asked in platform.asked for query in asked}) == 60


def test_a_deleted_prompt_leaves_with_a_word_and_freezes_no_other(hub, platform, logged):
    fill(platform, hub, 30)
    platform.delete(key(7))
    for number in range(30):
        if number != 7:
            platform.publish(key(number), "new", "0.0.2")
    refresh(hub)
    assert {text_of(hub.get(key(number))) for number in range(30) if number != 7} == {"new"}
    with pytest.raises(errors.NotFoundError):
        hub.get(key(7))
    (message,) = logged()
    assert "no longer on the server" in message
    assert "'key7'" in message


def test_a_label_that_was_taken_away_leaves_only_itself(hub, platform):
    platform.publish("greeting", "old", label="beta")
    hub.get("greeting", label="beta")
    hub.get("greeting")
    del platform.labels["greeting", "beta"]
    refresh(hub)
    assert text_of(hub.get("greeting")) == "old"
    with pytest.raises(errors.NotFoundError) as raised:
        hub.get("greeting", label="beta")
    assert raised.value.code == 600501007


def test_a_prompt_that_answers_lack_leaves_too(hub, server, platform):
    hub.get("greeting")
    server.answers(json_answer({"code": 0, "msg": "", "data": {"items": []}}))
    refresh(hub)
    platform.publish("greeting", "again", "0.0.2")
    assert text_of(hub.get("greeting")) == "again"


@pytest.mark.parametrize(
    "trouble",
    [
        json_answer({}, status=503),
        json_answer({"code": 602000702, "msg": "panic"}),
        json_answer({"code": 602000101, "msg": "token expired"}),
        json_answer({"code": 600500101, "msg": "no permission"}),
        json_answer({"code": 600502001, "msg": "slow down"}),
        text_answer("404 page not found", status=404),
        text_answer("<html>under maintenance</html>"),
        reset(),
        close_early({"code": 0, "msg": "", "data": {}}),
    ],
)
def test_no_trouble_of_the_server_takes_a_prompt_away(hub, server, platform, logged, trouble):
    fill(platform, hub, 30)
    server.default = trouble
    refresh(hub)
    assert [text_of(hub.get(key(number))) for number in range(30)] == ["text %d" % number for number in range(30)]
    assert any("could not be refreshed" in message for message in logged())
    server.default = platform.serve
    for number in range(30):
        platform.publish(key(number), "new", "0.0.2")
    refresh(hub)
    assert {text_of(hub.get(key(number))) for number in range(30)} == {"new"}


@pytest.mark.parametrize("failing", [json_answer({}, status=503), reset(), json_answer({"code": 602000702})])
def test_with_a_server_that_fails_every_second_time_everything_is_fresh_in_the_end(hub, server, platform, failing):
    fill(platform, hub, 100)
    for number in range(100):
        platform.publish(key(number), "new", "0.0.2")
    turn = iter(range(10_000))
    server.default = lambda request: failing if next(turn) % 2 else platform.serve(request)
    for _ in range(12):
        refresh(hub)
    assert {text_of(hub.get(key(number))) for number in range(100)} == {"new"}


def test_a_prompt_with_which_requests_hang_keeps_no_other_from_being_fresh(platform):
    hub = PromptHub(platform, "7")
    fill(platform, hub, 60)
    for number in range(60):
        platform.publish(key(number), "new", "0.0.2")

    def hang_with_one(asked):
        if (key(30), "", "") in asked:
            raise errors.RequestTimeoutError("no answer")

    platform.trouble = hang_with_one
    for _ in range(10):
        refresh(hub)
    assert {number for number in range(60) if text_of(hub.get(key(number))) != "new"} == {30}
    del platform.asked[:]
    refresh(hub)
    assert sorted(len(asked) for asked in platform.asked) == [1, 9, 25, 25]
    hub.close()


def test_after_a_long_outage_a_few_requests_make_everything_fresh(platform):
    hub = PromptHub(platform, "7")
    fill(platform, hub, 100)

    def hang_always(asked):
        raise errors.RequestTimeoutError("no answer")

    platform.trouble = hang_always
    counts = []
    for _ in range(10):
        del platform.asked[:]
        refresh(hub)
        counts.append(len(platform.asked))
    assert max(counts) <= 2
    assert counts[-1] == 1
    platform.trouble = lambda asked: None
    del platform.asked[:]
    refresh(hub)
    assert len(platform.asked) == 8
    assert hub._cache.queries()[1] == []
    hub.close()


def test_a_server_that_is_down_is_not_asked_for_what_failed_before_too(platform):
    hub = PromptHub(platform, "7")
    hub.get("greeting")
    hub.get("other")
    hub._cache.missed(("other", "", ""))

    def refuse(asked):
        raise errors.AuthenticationError(200, 602000101, "token expired")

    platform.trouble = refuse
    for _ in range(2):  # by turns, first the one and then the other
        del platform.asked[:]
        hub._cache.renew(("greeting", "", ""), hub.get("greeting"))
        refresh(hub)
    assert platform.asked == [[("greeting", "", "")]]
    hub.close()


def test_closing_in_the_middle_of_a_refresh_makes_this_request_the_last(hub, server, platform):
    fill(platform, hub, 60)
    go = threading.Event()
    server.answers(delay_until(go, platform.serve))
    thread = threading.Thread(target=refresh, args=(hub,))
    thread.start()
    server.wait_for(lambda server: len(server.requests) == 61)
    hub.close()
    go.set()
    join([thread])
    assert len(server.requests) == 61


def test_prompts_that_together_are_too_long_for_an_answer_are_fetched_apart(hub, platform, monkeypatch):
    fill(platform, hub, 25)
    for number in range(25):
        platform.publish(key(number), "new" + "x" * 1000, "0.0.2")
    monkeypatch.setattr(api_client, "MAX_ANSWER_BYTES", 5000)
    refresh(hub)
    assert {text_of(hub.get(key(number)))[:3] for number in range(25)} == {"new"}


def test_refreshing_holds_up_nobody(hub, server, platform):
    hub.get("greeting")
    go = threading.Event()
    server.answers(delay_until(go, platform.serve))
    thread = threading.Thread(target=refresh, args=(hub,))
    thread.start()
    server.wait_for(lambda server: len(server.requests) == 2)
    assert text_of(hub.get("greeting")) == "hello"
    assert text_of(hub.get("other")) == "other"
    go.set()
    join([thread])


def test_what_left_the_cache_in_the_middle_of_a_refresh_stays_out(make, server, platform):
    hub = make(cache_max_count=1)
    hub.get("greeting")
    go = threading.Event()
    server.answers(delay_until(go, platform.serve))
    thread = threading.Thread(target=refresh, args=(hub,))
    thread.start()
    server.wait_for(lambda server: len(server.requests) == 2)
    hub.get("other")
    go.set()
    join([thread])
    assert hub._cache.queries() == ([("other", "", "")], [])


def test_refreshing_starts_no_spans_of_an_observed_token_function(server, client, sent):
    hub = PromptHub(ApiClient(server.url, cozeloop_lite.observe(name="token", client=client)(lambda: "token")), "7")
    with client.start_span("request"):
        hub.get("greeting")
    asked = len(server.requests)
    refresh(hub)
    hub.close()
    assert len(server.requests) == asked + 1
    assert [span["span_name"] for span in sent()] == ["token", "request"]


def test_ten_thousand_keys_leave_no_more_than_the_cache(make, platform):
    for number in range(10_000):
        platform.publish(key(number))
    hub = PromptHub(platform, "7", cache_max_count=100)  # without the network, which is not the point
    for number in range(10_000):
        hub.get(key(number))
    for number in range(1000):
        with pytest.raises(errors.NotFoundError):
            hub.get("absent%d" % number)
    assert len(hub._cache) == 100
    assert (len(hub._cache._reserve), len(hub._cache._asked), len(hub._flights)) == (100, 100, 0)
    gc.collect()
    assert sum(type(kept) is Prompt for kept in gc.get_objects()) <= 210
    hub.close()


# -- a frozen process -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["_steady", "_wall"])
def test_after_a_long_freeze_the_first_get_is_at_once_and_the_next_one_fresh(hub, server, platform, clock):
    hub.get("greeting")
    time.sleep(0.05)  # the thread is asleep now: only an alarm wakes it
    platform.publish("greeting", "new", "0.0.2")
    before = getattr(hub._refresher, clock)
    setattr(hub._refresher, clock, lambda: before() + 3600)
    go = threading.Event()
    server.answers(delay_until(go, platform.serve))
    assert text_of(hub.get("greeting")) == "hello"
    server.wait_for(lambda server: len(server.requests) == 2)
    assert text_of(hub.get("greeting")) == "hello"
    go.set()
    end = time.monotonic() + SECONDS
    while text_of(hub.get("greeting")) != "new":
        assert time.monotonic() < end
        time.sleep(0.001)
    assert len(server.requests) <= 3


# -- the life of the thread -----------------------------------------------------------------------------------------


def refreshers():
    return {thread for thread in threading.enumerate() if thread.name == "cozeloop_lite prompts"}


def test_a_hub_has_no_thread_until_it_has_a_prompt(make):
    before = refreshers()
    hub = make()
    with pytest.raises(errors.NotFoundError):
        hub.get("nothing")
    hub.format_prompt(Prompt(), {})
    assert refreshers() == before
    hub.get("greeting")
    hub.get("other")
    assert len(refreshers() - before) == 1


def test_closing_ends_the_thread_and_the_requests(make, server):
    before = refreshers()
    hub = make(cache_refresh_interval=0.02)
    hub.get("greeting")
    (thread,) = refreshers() - before
    server.wait_for(lambda server: len(server.requests) > 2)
    hub.close()
    hub.close()
    join([thread])
    asked = len(server.requests)
    time.sleep(0.1)  # nothing is to happen
    assert len(server.requests) == asked


def test_after_closing_nothing_can_be_had(hub):
    prompt = hub.get("greeting")
    hub.close()
    for call in (
        lambda: hub.get("greeting"),
        lambda: hub.format_prompt(prompt, {}),
        lambda: hub.execute("greeting"),
    ):
        with pytest.raises(errors.ClientClosedError):
            call()


def test_closing_does_not_wait_for_a_server_that_hangs(make, server):
    hub = make(cache_refresh_interval=0.02)
    hub.get("greeting")
    server.default = hang()
    server.wait_for(lambda server: any(request.outcome == "left hanging" for request in server.requests))
    begun = time.monotonic()
    hub.close()
    assert time.monotonic() - begun < 5


def test_a_hub_that_nobody_has_any_more_ends_its_thread(server):
    before = refreshers()
    hub = PromptHub(ApiClient(server.url, "token"), "7", cache_refresh_interval=3600)
    hub.get("greeting")
    (thread,) = refreshers() - before
    gone = weakref.ref(hub)
    del hub
    wait_for(lambda: gc.collect() >= 0 and gone() is None)  # the thread looks at it before it sleeps
    join([thread])


# -- bad times ------------------------------------------------------------------------------------------------------


def test_what_was_got_before_is_there_when_the_server_is_not(make, server, logged):
    hub = make(cache_max_count=1, timeout=5)
    hub.get("greeting")
    hub.get("other")
    server.stop()
    assert text_of(hub.get("greeting")) == "hello"
    assert text_of(hub.get("greeting")) == "hello"
    assert len(logged()) == 1
    assert "'greeting'" in logged()[0]
    with pytest.raises(errors.NetworkError):
        hub.get("never got")


@pytest.mark.parametrize(
    "trouble",
    [
        json_answer({}, status=500),
        json_answer({"code": 600502001, "msg": "slow down"}),
        json_answer({"code": 600500702, "msg": "internal"}),
        text_answer("<html>maintenance</html>", status=200),
        reset(),
    ],
)
def test_the_last_good_copy_takes_part_again_when_the_server_is_back(make, server, platform, trouble):
    hub = make(cache_max_count=1)
    hub.get("greeting")
    hub.get("other")
    server.default = trouble
    assert text_of(hub.get("greeting")) == "hello"
    server.default = platform.serve
    platform.publish("greeting", "new", "0.0.2")
    refresh(hub)
    assert text_of(hub.get("greeting")) == "new"
    assert hub._cache.get(("greeting", "", "")).source == ""


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (602000101, errors.AuthenticationError),
        (600500101, errors.PermissionDeniedError),
        (600501001, errors.NotFoundError),
        (600500202, errors.BadRequestError),
    ],
)
def test_a_refusal_is_a_refusal_whatever_there_was(make, server, code, kind):
    hub = make(cache_max_count=1)
    hub.get("greeting")
    hub.get("other")
    server.default = json_answer(refusal(code))
    with pytest.raises(kind):
        hub.get("greeting", fallback={"prompt_key": "greeting"})


def test_a_prompt_that_was_deleted_does_not_come_back_in_bad_times(make, server, platform):
    hub = make(cache_max_count=1)
    hub.get("greeting")
    hub.get("other")
    platform.delete("greeting")
    with pytest.raises(errors.NotFoundError):
        hub.get("greeting")
    server.stop()
    with pytest.raises(errors.NetworkError):
        hub.get("greeting")


def built_in():
    return Prompt(prompt_key="greeting", version="built in")


@pytest.mark.parametrize("fallback", [built_in(), built_in().to_dict(), built_in, lambda: built_in().to_dict()])
def test_a_fallback_is_for_what_was_never_got(make, fallback, logged):
    hub = make("http://127.0.0.1:%d" % dead_port())
    for _ in range(2):
        found = hub.get("greeting", fallback=fallback)
        assert (type(found), found.version) == (Prompt, "built in")
        found.version = "changed"
    assert len(logged()) == 1
    assert "fallback" in logged()[0]


def test_a_fallback_that_is_not_needed_is_not_called(hub):
    assert text_of(hub.get("greeting", fallback=lambda: 1 / 0)) == "hello"


@pytest.mark.parametrize("fallback", [5, "text", []])
def test_a_fallback_that_is_none_says_so_before_it_is_needed(hub, fallback):
    for _ in range(2):
        with pytest.raises(errors.InvalidParamError, match="fallback"):
            hub.get("greeting", fallback=fallback)
        hub.get("greeting")


@pytest.mark.parametrize("fallback", [lambda: None, lambda: 5])
def test_a_function_that_returns_no_fallback_says_so(make, fallback):
    hub = make("http://127.0.0.1:%d" % dead_port())
    with pytest.raises(errors.InvalidParamError, match="fallback") as raised:
        hub.get("greeting", fallback=fallback)
    assert isinstance(raised.value.__context__, errors.NetworkError)


def test_a_fallback_that_fails_fails_the_call(make):
    hub = make("http://127.0.0.1:%d" % dead_port())
    with pytest.raises(ZeroDivisionError):
        hub.get("greeting", fallback=lambda: 1 / 0)


def test_a_token_that_is_not_to_be_had_is_like_a_server_that_is_not_there(server):
    tokens = iter(["token", "token"])
    hub = PromptHub(ApiClient(server.url, lambda: next(tokens)), "7", cache_max_count=1)
    hub.get("greeting")
    hub.get("other")
    assert text_of(hub.get("greeting")) == "hello"
    with pytest.raises(errors.AuthInfoRequiredError):
        hub.get("never got")
    hub.close()


# -- the snapshot ---------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "prompts.json"


def test_a_cold_start_without_a_server_has_the_prompts_of_last_time(make, server, path, logged):
    before = make(snapshot=path)
    before.get("greeting", label="")
    before.get("other", "0.0.1")
    before.close()
    server.stop()
    hub = make(snapshot=path)
    assert text_of(hub.get("greeting")) == "hello"
    assert text_of(hub.get("other", "0.0.1")) == "other"
    assert "snapshot" in logged()[0]
    with pytest.raises(errors.NetworkError):
        hub.get("other")


def test_when_the_server_is_there_it_wins(make, platform, path, logged):
    before = make(snapshot=path)
    before.get("greeting")
    before.close()
    platform.publish("greeting", "new", "0.0.2")
    assert text_of(make(snapshot=path).get("greeting")) == "new"
    assert logged() == []


def test_it_follows_the_server_as_the_prompts_do(make, server, platform, path):
    hub = make(snapshot=path)
    hub.get("greeting")
    refresh(hub)
    platform.publish("greeting", "new", "0.0.2")
    refresh(hub)
    server.stop()
    assert text_of(make(snapshot=path).get("greeting")) == "new"


def test_it_is_written_soon_after_a_prompt_was_got_for_the_first_time(make, path):
    hub = make(snapshot=str(path))
    hub.get("greeting")
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_the_server_deleted_leaves_the_file_too(make, server, platform, path):
    hub = make(snapshot=path)
    hub.get("greeting")
    hub.get("other")
    hub.close()
    platform.delete("greeting")
    hub = make(snapshot=path)
    with pytest.raises(errors.NotFoundError):
        hub.get("greeting")
    hub.close()
    server.stop()
    hub = make(snapshot=path)
    with pytest.raises(errors.NetworkError):
        hub.get("greeting")
    assert text_of(hub.get("other")) == "other"


def test_another_workspace_has_a_part_of_its_own(server, path):
    def hub_of(workspace, url=server.url):
        return PromptHub(ApiClient(url, "token"), workspace, snapshot=path)

    for workspace in ("7", "8"):
        hub = hub_of(workspace)
        hub.get("greeting" if workspace == "7" else "other")
        hub.close()
    server.stop()
    assert text_of(hub_of("7").get("greeting")) == "hello"
    assert text_of(hub_of("8").get("other")) == "other"
    for hub in (hub_of("8"), hub_of("7", "http://127.0.0.1:%d" % dead_port())):
        with pytest.raises(errors.NetworkError):
            hub.get("greeting")


def test_a_torn_file_is_no_worse_than_none(make, path, logged):
    path.write_bytes(b'{"format":"cozeloop_lite prompts 1","owners":{"')
    hub = make("http://127.0.0.1:%d" % dead_port(), snapshot=path)
    with pytest.raises(errors.NetworkError):
        hub.get("greeting")
    assert "is ignored" in logged()[0]
    assert hub.get("greeting", fallback=built_in).version == "built in"


# -- other processes ------------------------------------------------------------------------------------------------


def run(server, program, until=None):
    """What a program in a process of its own prints, which ends well and says nothing else.

    Where it asks for ``input()``, it waits until ``until`` is the case of the server.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    environment.update(
        PYTHONPATH=ROOT,
        PYTHONWARNINGS="ignore",  # newer Pythons warn of a fork with threads
        COZELOOP_API_BASE_URL=server.url,
        COZELOOP_API_TOKEN="token",
        COZELOOP_WORKSPACE_ID="7",
    )
    command = [sys.executable, "-c", textwrap.dedent(program)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        if until is not None:
            server.wait_for(until, SECONDS)
        out, err = process.communicate("\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    return out.split()


def asked_again(server):
    return len(server.requests) == 2


def test_a_program_that_just_ends_has_written_its_snapshot(server, path):
    run(server, """
    import cozeloop_lite
    client = cozeloop_lite.new_client(prompt_snapshot=%r)
    client.get_prompt("greeting")
    """ % str(path))
    assert path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_multiprocessing_has_written_its_snapshot(server, path):
    run(server, """
    import multiprocessing
    import cozeloop_lite
    cozeloop_lite.new_client(prompt_snapshot=%r)
    child = multiprocessing.get_context("fork").Process(target=cozeloop_lite.get_prompt, args=("greeting",))
    child.start()
    child.join()
    """ % str(path))
    assert path.exists()


def test_a_program_ends_at_once_while_a_refresh_hangs(server, platform):
    answered = iter([platform.serve])
    server.default = lambda request: next(answered, hang())
    begun = time.monotonic()
    run(server, """
    import cozeloop_lite
    client = cozeloop_lite.new_client(prompt_cache_refresh_interval=0.01, timeout=30)
    client.get_prompt("greeting")
    input()
    """, until=asked_again)
    assert time.monotonic() - begun < 15
    assert len(server.requests) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_in_the_middle_of_a_refresh_refreshes_by_itself(server, platform):
    go = threading.Event()

    def third(request):  # the child's, while the parent waits for the answer to the second
        platform.publish("greeting", "new", "0.0.2")
        go.set()
        return platform.serve(request)

    server.answers(platform.serve, delay_until(go, platform.serve), third)
    out = run(server, """
    import os, sys, time
    import cozeloop_lite

    def wait_for(text):
        for _ in range(2000):
            if cozeloop_lite.get_prompt("greeting").prompt_template.messages[0].content == text:
                return
            time.sleep(0.01)
        os._exit(1)

    cozeloop_lite.new_client(prompt_cache_refresh_interval=0.1, timeout=30)
    cozeloop_lite.get_prompt("greeting")
    input()  # by then the thread waits for an answer
    pid = os.fork()
    wait_for("hello" if pid else "new")
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        wait_for("new")
    print("parent" if pid else "child", flush=True)
    """, until=asked_again)
    assert out == ["child", "parent"]


def test_building_hubs_and_clients_loads_nothing_heavy(server):
    out = run(server, """
    import sys
    import cozeloop_lite
    client = cozeloop_lite.new_client(prompt_trace=True)
    first = [name for name in ("urllib3", "jinja2", "dataclasses", "cozeloop_lite.prompt.hub") if name in sys.modules]
    hub = cozeloop_lite.PromptHub(client.api, "7", traceable=True)
    print(first, [name for name in ("urllib3", "jinja2", "dataclasses") if name in sys.modules])
    """)
    assert out == ["[]", "[]"]


# -- the client and the functions of the package --------------------------------------------------------------------


@pytest.fixture
def environment(server, monkeypatch):
    monkeypatch.setenv("COZELOOP_API_BASE_URL", server.url)
    monkeypatch.setenv("COZELOOP_API_TOKEN", "token")
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", "7")


def test_a_client_has_a_hub_with_its_settings(environment, sink, tmp_path):
    client = new_client(prompt_cache_max_count=5, prompt_trace=True, exporter=sink, prompt_snapshot=tmp_path / "p")
    assert isinstance(client.prompts, PromptHub)
    assert client.prompts is client.prompts
    assert client.prompts._cache.max_count == 5
    messages = client.prompt_format(client.get_prompt("greeting"), {})
    assert [message.content for message in messages] == ["hello"]
    client.close()
    assert [span["span_name"] for span in sink.spans] == ["PromptHub", "PromptTemplate"]
    assert (tmp_path / "p").exists()


def test_many_threads_get_one_hub(environment, monkeypatch):
    at_once = threading.Barrier(5)
    build = PromptHub.__init__

    def slowly(self, *args, **settings):
        build(self, *args, **settings)
        at_once.wait(SECONDS)

    monkeypatch.setattr(PromptHub, "__init__", slowly)
    client = new_client()
    threads, hubs = in_threads(5, lambda: client.prompts)
    join(threads)
    assert isinstance(hubs[0], PromptHub)
    assert len(set(map(id, hubs))) == 1


def test_a_closed_client_gives_no_prompts(environment):
    used, unused = new_client(), new_client(timeout=5)
    prompt = used.get_prompt("greeting")
    for client in (used, unused):
        client.close()
        for call in (
            lambda client=client: client.get_prompt("greeting"),
            lambda client=client: client.prompt_format(prompt, {}),
            lambda client=client: client.execute_prompt("greeting"),
        ):
            with pytest.raises(errors.ClientClosedError):
                call()


@pytest.mark.parametrize(
    "setting",
    [
        {"prompt_cache_max_count": 5},
        {"prompt_cache_refresh_interval": 5},
        {"prompt_trace": True},
        {"prompt_snapshot": "prompts.json"},
    ],
)
def test_other_settings_are_another_client(environment, setting):
    assert new_client(**setting) is new_client(**setting)
    assert new_client(**setting) is not new_client()


def test_settings_that_say_nothing_are_the_defaults(environment):
    plain = new_client()
    assert plain is new_client(prompt_cache_max_count=0, prompt_cache_refresh_interval=-1, prompt_snapshot="")
    assert plain is new_client(prompt_cache_max_count=100, prompt_cache_refresh_interval=60, prompt_trace=False)
    assert plain.prompts._cache.max_count == 100
    assert plain.prompts._refresher._interval == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_max_count", "5"),
        ("cache_max_count", 1.5),
        ("cache_max_count", True),
        ("cache_refresh_interval", "5"),
        ("cache_refresh_interval", True),
        ("cache_refresh_interval", float("nan")),
        ("cache_refresh_interval", float("inf")),
        ("snapshot", 5),
        ("snapshot", "a\0b"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environment, name, value):
    with pytest.raises(errors.InvalidParamError, match="prompt_" + name):
        new_client(**{"prompt_" + name: value})
    with pytest.raises(errors.InvalidParamError, match="^" + name):
        PromptHub(ApiClient(), **{name: value})


def test_a_hub_finds_its_workspace_in_the_environment(environment, platform, server):
    hub = PromptHub(ApiClient())
    assert text_of(hub.get("greeting")) == "hello"
    assert server.requests[0].json()["workspace_id"] == "7"
    assert "7" in repr(hub)
    hub.close()
    assert "closed" in repr(hub)


def test_a_hub_without_a_workspace_or_an_api_client_says_so(monkeypatch):
    with pytest.raises(errors.PropertyUnprovidedError, match="COZELOOP_WORKSPACE_ID"):
        PromptHub(ApiClient(api_token="t"))
    with pytest.raises(errors.InvalidParamError, match="api_client"):
        PromptHub("http://localhost:8888", "7")


def test_the_functions_of_the_package_use_the_default_client(environment):
    prompt = cozeloop_lite.get_prompt("greeting")
    assert [message.content for message in cozeloop_lite.prompt_format(prompt, {})] == ["hello"]
    cozeloop_lite.close()
    with pytest.raises(errors.ClientClosedError):
        cozeloop_lite.get_prompt("greeting")


def test_without_settings_prompts_are_an_error(platform):
    for call in (
        lambda: cozeloop_lite.get_prompt("greeting"),
        lambda: cozeloop_lite.prompt_format(Prompt(), {}),
        lambda: cozeloop_lite.execute_prompt("greeting"),
    ):
        with pytest.raises(errors.PropertyUnprovidedError, match="COZELOOP_WORKSPACE_ID"):
            call()


def test_executing_a_prompt_asks_the_platform(environment, server, sink):
    server.default = json_answer({"code": 0, "msg": "", "data": {"message": {"role": "assistant", "content": "hi"}}})
    arguments = {"version": "0.0.1", "variable_vals": {"name": "Ada"}, "messages": [{"role": "user", "content": "?"}]}
    new_client(exporter=sink)
    assert cozeloop_lite.execute_prompt("greeting", **arguments).message.content == "hi"
    assert [request.path for request in server.requests] == ["/v1/loop/prompts/execute"]
    sent = server.requests[0].json()
    assert sent["prompt_identifier"] == {"prompt_key": "greeting", "version": "0.0.1"}
    traced = new_client(exporter=sink, prompt_trace=True)
    traced.execute_prompt("greeting", label="beta", timeout=5)
    assert traced.flush()
    assert [span["span_name"] for span in sink.spans] == ["PromptExecute"]


def test_there_is_no_asyncio(environment):
    for call in (cozeloop_lite.aexecute_prompt, new_client().aexecute_prompt, Client.aexecute_prompt):
        with pytest.raises(NotImplementedError, match="synchronous"):
            call("greeting", variable_vals={})
