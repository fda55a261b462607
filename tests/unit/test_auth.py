"""The access token: one request for all who need it, kept, renewed early, used to its end, replaced when refused."""

from __future__ import annotations

import os
import threading

import pytest

from cozeloop_lite import errors
from cozeloop_lite.api import auth, oauth
from cozeloop_lite.api.tokens import GivenToken
from support.calling import Clocks, at_once
from support.private_keys import RSA, RSA_PEM, verified


def application(**settings):
    if not settings:
        settings = {"signer": lambda data: b"s" * 256}
    return oauth.OAuthApp("client-1", "kid-1", **settings)


@pytest.fixture
def clock(monkeypatch):
    return Clocks().put_into(monkeypatch, auth)


class Platform:
    """Stands in for ``ApiClient.post``: grants ``token-1``, ``token-2`` ..., each for 900 seconds by its clock."""

    def __init__(self, clock=None):
        self.clock = clock
        self.requests = []
        self.script = []  # what happens at the next requests: an answer, an error, a function

    def __call__(self, path, data, *, timeout, headers):
        self.requests.append((path, data, timeout, headers))
        number = len(self.requests)
        step = self.script.pop(0) if self.script else None
        if callable(step):
            step = step()
        if isinstance(step, BaseException):
            raise step
        return self.grant(number) if step is None else step

    def grant(self, number, seconds=900):
        now = self.clock.wall if self.clock is not None else auth.time()
        return {"access_token": "token-%d" % number, "expires_in": int(now) + seconds, "refresh_token": "refresh"}


@pytest.fixture(scope="module")
def app():
    return application()


@pytest.fixture
def platform(clock):
    return Platform(clock)


@pytest.fixture
def tokens(app, platform):
    return auth.AccessToken(app, "https://api.coze.cn", platform)


@pytest.mark.parametrize(
    ("base_url", "audience"),
    [
        ("https://api.coze.cn", "api.coze.cn"),
        ("http://localhost:8888", "localhost:8888"),
        ("https://gateway.example:8443/loop/api", "gateway.example:8443"),
        ("http://[::1]:80", "[::1]:80"),
    ],
)
def test_the_request_for_a_token_carries_the_proof_for_this_platform(platform, base_url, audience):
    tokens = auth.AccessToken(application(private_key=RSA_PEM, account_id=7), base_url, platform)
    assert tokens.token(2.5) == "token-1"
    ((path, data, timeout, headers),) = platform.requests
    assert path == "/api/permission/oauth2/account/7/token"
    assert data == application().body()
    assert timeout == 2.5
    assert list(headers) == ["Authorization"]
    scheme, proof = headers["Authorization"].split(" ")
    assert scheme == "Bearer"
    _, claims = verified(proof, RSA.public_key())
    assert claims["aud"] == audience
    assert claims["exp"] == platform.clock.wall + 900


def test_a_token_is_asked_for_once_and_kept_until_a_minute_before_its_end(tokens, platform, clock):
    assert [tokens.token(1) for _ in range(5)] == ["token-1"] * 5
    clock.move(839.9)
    assert tokens.token(1) == "token-1"
    clock.move(0.1)
    assert tokens.token(1) == "token-2"
    assert len(platform.requests) == 2


@pytest.mark.parametrize(
    ("expires_in", "kept_for"),
    [
        (1_700_000_600, 540),
        ("1700000600", 540),
        (1_700_000_600.5, 540.5),
        (600, 540),  # a duration
        ("600", 540),
        (1_700_086_400, 840),  # longer than was asked for: this clock is behind the platform's
        (1_699_996_400, 840),  # expired an hour ago: this clock is ahead of the platform's
        (1_700_000_600_000, 840),  # milliseconds
        (None, 840),
        ("soon", 840),
        ([], 840),
        (float("nan"), 840),
        (float("inf"), 840),
        (10**400, 840),
    ],
)
def test_how_long_a_token_is_kept(tokens, platform, clock, expires_in, kept_for):
    platform.script = [{"access_token": "first", "expires_in": expires_in}]
    assert tokens.token(1) == "first"
    clock.move(kept_for - 0.01)
    assert tokens.token(1) == "first"
    clock.move(0.02)
    assert tokens.token(1) == "token-2"


@pytest.mark.parametrize("expires_in", [1_700_000_000, 1_699_999_999, 0])
def test_a_token_that_ends_at_once_serves_one_call(tokens, platform, clock, expires_in):
    platform.script = [{"access_token": "first", "expires_in": expires_in}]
    assert tokens.token(1) == "first"
    clock.move(0.001)
    assert tokens.token(1) == "token-2"


def test_a_clock_that_is_set_forward_ends_a_token_and_starts_no_loop(tokens, platform, clock):
    tokens.token(1)
    platform.clock = Clocks()  # that of the platform stays right
    clock.wall += 86_400
    assert [tokens.token(1) for _ in range(3)] == ["token-2"] * 3
    clock.move(839)
    assert tokens.token(1) == "token-2"
    assert len(platform.requests) == 2


def test_a_clock_that_is_set_back_keeps_no_expired_token(tokens, platform, clock):
    tokens.token(1)
    clock.wall -= 86_400
    clock.move(839)
    assert tokens.token(1) == "token-1"
    clock.move(1)
    assert tokens.token(1) == "token-2"


def test_a_machine_that_slept_keeps_no_expired_token(tokens, platform, clock):
    tokens.token(1)
    clock.wall += 3600  # while the monotonic clock stood still
    assert [tokens.token(1) for _ in range(3)] == ["token-2"] * 3


def test_a_token_is_used_to_its_end_when_it_cannot_be_renewed(tokens, platform, clock, logged):
    tokens.token(1)
    clock.move(850)
    platform.script = [errors.NetworkError("no way")] * 9
    assert [tokens.token(4) for _ in range(5)] == ["token-1"] * 5
    assert len(platform.requests) == 2  # the first of the five tried, and the others did not
    assert platform.requests[1][2] == 2  # seconds: half of the time is for what the token is needed for
    assert ["no way" in line for line in logged()] == [True]
    clock.move(10)
    assert tokens.token(1) == "token-1"
    assert len(platform.requests) == 3
    clock.move(40)
    with pytest.raises(errors.NetworkError, match="no way"):
        tokens.token(1)
    platform.script = []
    clock.move(1)
    assert tokens.token(1) == "token-5"


def test_nobody_waits_for_a_renewal_while_the_old_token_is_good(tokens, platform, clock):
    tokens.token(1)
    clock.move(850)
    asked, release, got = threading.Event(), threading.Event(), []

    def slowly():
        asked.set()
        assert release.wait(10)

    platform.script = [slowly]
    renewing = threading.Thread(target=lambda: got.append(tokens.token(1)))
    renewing.start()
    assert asked.wait(10)
    assert tokens.token(1) == "token-1"
    release.set()
    renewing.join(10)
    assert got == ["token-2"]
    assert tokens.token(1) == "token-2"


def test_a_token_that_another_thread_renewed_in_this_moment_is_taken(tokens, platform, clock):
    tokens.token(1)
    clock.move(850)
    lock = tokens._lock

    class Overtaken:
        release = lock.release

        @staticmethod
        def acquire(blocking):
            tokens._lock = lock
            assert tokens.token(1) == "token-2"
            return lock.acquire(blocking)

    tokens._lock = Overtaken
    assert tokens.token(1) == "token-2"
    assert len(platform.requests) == 2


def test_a_refused_token_is_replaced_by_one_request_however_many_say_so(tokens, platform):
    token = tokens.token(1)
    assert all(tokens.invalidate(token) for _ in range(3))
    assert tokens.token(1) == "token-2"
    assert tokens.invalidate(token)  # a late one: there is a new token already
    assert tokens.token(1) == "token-2"
    assert len(platform.requests) == 2


def test_a_replacement_that_is_refused_as_well_is_no_reason_to_ask_again_and_again(tokens, platform, clock):
    tokens.invalidate(tokens.token(1))
    assert not tokens.invalidate(tokens.token(1))
    assert tokens.token(1) == "token-2"
    clock.move(10)
    assert tokens.invalidate(tokens.token(1))
    assert tokens.token(1) == "token-3"
    assert len(platform.requests) == 3


def test_a_token_that_was_renewed_in_the_usual_way_is_replaced_when_it_is_refused(tokens, clock):
    tokens.invalidate(tokens.token(1))
    assert tokens.token(1) == "token-2"
    clock.move(840)
    assert tokens.token(1) == "token-3"
    assert tokens.invalidate("token-3")


def test_there_may_be_any_amount_of_time(tokens):
    assert tokens.token(1e12) == "token-1"


@pytest.mark.parametrize("answer", [{}, {"access_token": ""}, {"access_token": 5}, {"access_token": "a b\r\nX: 1"}])
def test_an_answer_without_a_token_is_an_error(tokens, platform, answer):
    platform.script = [answer]
    words = r"the answer is no OAuth token: access_token is .*Check jwt_oauth"
    with pytest.raises(errors.AuthenticationError, match=words):
        tokens.token(1)


def test_an_error_in_an_answer_of_success_is_an_error(tokens, platform):
    platform.script = [{"error_code": "invalid_client", "error_message": "who\n are you" + "?" * 999}]
    with pytest.raises(errors.AuthenticationError) as raised:
        tokens.token(1)
    assert raised.value.code == "invalid_client"
    assert raised.value.msg.startswith("who are you???")
    assert len(raised.value.msg) < 250


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (errors.AuthenticationError, "COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID"),
        (errors.BadRequestError, "COZELOOP_JWT_OAUTH_CLIENT_ID"),
        (errors.NotFoundError, "a self-hosted platform has none and needs api_token"),
        (errors.RateLimitError, "No OAuth token was granted."),
        (errors.InternalServerError, "No OAuth token was granted."),
    ],
)
def test_a_refusal_says_that_it_is_about_the_oauth_token_and_what_to_check(tokens, platform, kind, advice):
    problem = kind(499, "some_code", "words", "log-1", "Check api_token (COZELOOP_API_TOKEN): advice for another case.")
    problem.retry_after = 7.0
    platform.script = [problem]
    with pytest.raises(kind) as raised:
        tokens.token(1)
    found = raised.value
    assert (found.status, found.code, found.msg, found.log_id) == (499, "some_code", "words", "log-1")
    assert found.retry_after == 7
    assert advice in found.hint
    assert advice in str(found)
    assert "another case" not in str(found)


def test_a_token_that_was_granted_and_is_refused_is_no_matter_of_api_token(tokens):
    problem = errors.AuthenticationError(401, 4100, "words", "log-1", "Check api_token (COZELOOP_API_TOKEN).")
    found = tokens.refusal(problem)
    assert (type(found), found.status, found.code, found.msg) == (errors.AuthenticationError, 401, 4100, "words")
    assert "permissions" in str(found)
    assert "COZELOOP_API_TOKEN" not in str(found)


def test_a_failure_is_not_kept_but_answers_for_a_second(tokens, platform, clock):
    platform.script = [errors.NetworkError("no way")]
    for _ in range(3):
        with pytest.raises(errors.NetworkError, match="no way"):
            tokens.token(1)
        clock.move(0.3)
    assert len(platform.requests) == 1
    clock.move(0.11)
    assert tokens.token(1) == "token-2"


def test_a_timeout_is_that_of_one_caller(tokens, platform):
    platform.script = [errors.RequestTimeoutError("no answer")]
    with pytest.raises(errors.RequestTimeoutError):
        tokens.token(0.01)
    assert tokens.token(1) == "token-2"


def test_a_failure_that_is_kept_holds_on_to_no_frames(tokens, platform):
    platform.script = [errors.NetworkError("no way")]
    with pytest.raises(errors.NetworkError):
        tokens.token(1)
    with pytest.raises(errors.NetworkError) as raised:
        tokens.token(1)
    kept = tokens._failure._error
    assert kept.__traceback__ is kept.__context__ is kept.__cause__ is None
    assert raised.value is not kept


def test_a_signer_that_takes_its_time_takes_it_from_the_request(platform, clock):
    def sign(data):
        clock.move(2)
        return b"s" * 256

    tokens = auth.AccessToken(application(signer=sign), "http://h", platform)
    tokens.token(3)
    assert platform.requests[0][2] == 1


def test_a_failing_signer_fails_the_call_and_only_the_call(platform):
    working = []

    def sign(data):
        if not working:
            raise OSError("no connection to the key service")
        return b"s" * 256

    tokens = auth.AccessToken(application(signer=sign), "http://h", platform)
    with pytest.raises(errors.AuthInfoRequiredError, match="OSError"):
        tokens.token(1)
    working.append(True)
    platform.clock.move(1)
    assert tokens.token(1) == "token-1"


# -- a token of the user's ---------------------------------------------------------------------------------------------


def test_a_given_token_is_what_it_is_and_a_function_is_called_for_each_request():
    assert GivenToken("given").token(1) == "given"
    numbers = iter(range(9))
    changing = GivenToken(lambda: "Bearer token-%d " % next(numbers))
    assert [changing.token(1) for _ in range(3)] == ["token-0", "token-1", "token-2"]


def test_a_given_token_that_is_refused_has_no_replacement():
    given = GivenToken("given")
    problem = errors.AuthenticationError(401, 4100, "words")
    assert not given.invalidate("given")
    assert given.refusal(problem) is problem
    assert given.key() == GivenToken("given").key() != GivenToken("other").key()


# -- many at once -----------------------------------------------------------------------------------------------------


@pytest.fixture
def when_all_ask(monkeypatch):
    """``when_all_ask(count, step)``: a step of a platform's script, taken once ``count`` threads found no token."""

    def when_all_ask(count, step):
        everybody, lock, left = threading.Event(), threading.Lock(), [count]

        def found_none():
            with lock:
                left[0] -= 1
            if left[0] <= 0:
                everybody.set()

        def take():
            assert everybody.wait(10)
            return step

        monkeypatch.setattr(auth.process, "check_fork", found_none)
        return take

    return when_all_ask


def test_however_many_threads_ask_there_is_one_request(tokens, platform, when_all_ask):
    platform.script = [when_all_ask(50, None)]
    assert at_once(50, lambda: tokens.token(10)) == ["token-1"] * 50
    assert len(platform.requests) == 1


def test_those_who_waited_take_a_token_that_ends_at_once(tokens, platform, when_all_ask):
    platform.script = [when_all_ask(20, {"access_token": "short", "expires_in": 0})]
    assert at_once(20, lambda: tokens.token(10)) == ["short"] * 20
    assert len(platform.requests) == 1


def test_those_who_waited_share_a_failure_each_with_an_exception_of_its_own(tokens, platform, when_all_ask):
    platform.script = [when_all_ask(50, errors.RateLimitError(429, None, "slow down"))]
    problems = at_once(50, lambda: tokens.token(10))
    assert {(type(problem), str(problem)) for problem in problems} == {(errors.RateLimitError, str(problems[0]))}
    assert len({id(problem) for problem in problems}) == 50
    assert len(platform.requests) == 1


def test_many_refusals_at_once_make_one_request(tokens, platform, when_all_ask):
    token = tokens.token(1)
    platform.script = [when_all_ask(30, None)]

    def refused():
        assert tokens.invalidate(token)
        return tokens.token(10)

    assert at_once(30, refused) == ["token-2"] * 30
    assert len(platform.requests) == 2


class Asking:
    """A thread that has the request under way until it is let go."""

    def __init__(self, tokens, platform, ends_with=None):
        self.asked, self.release, self.result = threading.Event(), threading.Event(), []

        def slowly():
            self.asked.set()
            assert self.release.wait(20)
            return ends_with

        platform.script = [slowly]
        self.thread = threading.Thread(target=self.run, args=(tokens,), daemon=True)

    def run(self, tokens):
        try:
            self.result.append(tokens.token(10))
        except BaseException as problem:
            self.result.append(problem)

    def __enter__(self):
        self.thread.start()
        assert self.asked.wait(10)
        return self

    def __exit__(self, *exc_info):
        self.release.set()
        self.thread.join(10)


def test_who_waits_for_another_thread_waits_no_longer_than_it_wanted(tokens, platform):
    words = r"no OAuth token within 0\.02 s"
    with Asking(tokens, platform) as other, pytest.raises(errors.RequestTimeoutError, match=words):
        tokens.token(0.02)
    assert other.result == ["token-1"]


def test_when_the_thread_that_asked_dies_the_next_one_asks(tokens, platform):
    with Asking(tokens, platform, ends_with=SystemExit()) as other:
        waiting = threading.Thread(target=lambda: other.result.append(tokens.token(10)), daemon=True)
        waiting.start()
        other.release.set()
        waiting.join(10)
    assert sorted(map(str, other.result)) == ["", "token-2"]
    assert len(platform.requests) == 2


def test_a_signal_handler_may_need_a_token_while_one_is_asked_for(tokens, platform):
    platform.script = [lambda: tokens.token(1) and None]
    assert tokens.token(1) == "token-1"
    assert tokens.token(1) in ("token-1", "token-2")
    assert len(platform.requests) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_waits_for_no_thread_of_its_parent_and_keeps_its_token(app, platform):
    empty, full = (auth.AccessToken(app, "http://h", platform) for _ in "ab")
    assert full.token(1) == "token-1"
    with Asking(empty, platform):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, ("%s %s" % (empty.token(1), full.token(1))).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said_by_child = pipe.read()
        os.waitpid(child, 0)
    assert said_by_child == b"token-3 token-1"


def test_two_of_one_application_have_equal_keys(tokens, app, platform):
    assert tokens.key() == auth.AccessToken(app, "http://h", platform).key() == app.key()


def test_nothing_shows_the_token(tokens, app):
    token = tokens.token(1)
    assert token not in repr(tokens) + repr(app)
    assert "client-1" in repr(tokens)
