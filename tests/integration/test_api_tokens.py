"""Tokens over real HTTP: functions that give them, how long one is used, what a refusal leads to. None is shown."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import time
import traceback

import pytest

from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.api import client as client_module
from cozeloop_lite.api import tokens
from support.calling import Ahead, Clocks, at_once, wait_for
from support.private_keys import RSA_PEM, body_of
from support.proxying import ForwardProxy
from support.recording import RecordingServer, close_early, dead_port, hang, json_answer, reset, text_answer

PATH = "/v1/loop/things"
REFUSED = json_answer({"code": 602000101, "msg": "no access permission"})


class Vault:
    """A token function: gives ``token-1``, ``token-2`` ..., or fails. ``calls`` says how often it was asked."""

    def __init__(self):
        self.calls = 0
        self.problem = None
        self.before = lambda: None
        self.lock = threading.Lock()

    def __call__(self):
        with self.lock:
            self.calls += 1
            number = self.calls
        self.before()
        if self.problem is not None:
            raise self.problem
        return "token-%d" % number


class Platform(RecordingServer):
    """Takes every token but those in ``refused``."""

    def __init__(self):
        super().__init__()
        self.refused = set()
        self.default = lambda request: REFUSED if self.token(request) in self.refused else json_answer({"code": 0})

    @staticmethod
    def token(request):
        return request.headers["Authorization"].partition(" ")[2]

    def tokens(self):
        return [self.token(request) for request in self.requests]


@pytest.fixture
def vault():
    return Vault()


@pytest.fixture
def platform():
    with Platform() as platform:
        yield platform


@pytest.fixture
def clock(monkeypatch):
    return Clocks().put_into(monkeypatch, tokens)


@pytest.fixture
def cached(platform, vault):
    return ApiClient(platform.url, vault, api_token_ttl=60)


# -- a function for each request --------------------------------------------------------------------------------------


def test_a_function_is_called_for_each_request(platform, vault):
    api = ApiClient(platform.url, vault)
    for _ in range(3):
        api.get(PATH)
    assert platform.tokens() == ["token-1", "token-2", "token-3"]


def test_a_token_that_was_made_for_this_request_and_is_refused_is_refused(platform, vault):
    platform.refused.add("token-1")
    with pytest.raises(errors.AuthenticationError):
        ApiClient(platform.url, vault).get(PATH)
    assert platform.tokens() == ["token-1"]


@pytest.mark.parametrize("ttl", [None, 60])
def test_a_function_that_raises_fails_the_call_with_that_cause(platform, vault, ttl):
    vault.problem = LookupError("no connection to the vault")
    api = ApiClient(platform.url, vault, api_token_ttl=ttl)
    for call in (lambda: api.get(PATH, retries=3), lambda: api.stream("POST", PATH, {}), lambda: api.post(PATH)):
        with pytest.raises(errors.AuthInfoRequiredError, match="LookupError") as caught:
            call()
        assert caught.value.__cause__ is vault.problem
    assert platform.requests == []
    vault.problem = None
    assert api.get(PATH)["code"] == 0


@pytest.mark.parametrize("ttl", [None, 60])
def test_tracing_logs_a_function_that_raises_and_sends_once_it_works(platform, vault, ttl, logged):
    vault.problem = LookupError("no connection to the vault")
    client = new_client(platform.url, "7", vault, api_token_ttl=ttl)
    client.start_span("a", "custom").finish()
    assert not client.flush(0.1)
    wait_for(lambda: any("LookupError" in line for line in logged()))
    vault.problem = None
    assert client.flush(20)
    assert [span["span_name"] for span in platform.spans()] == ["a"]


@pytest.mark.parametrize("ttl", [None, 60])
def test_a_function_takes_its_time_from_that_of_the_call(platform, vault, ttl, monkeypatch):
    clock = Ahead().put_into(monkeypatch, client_module)
    vault.before = lambda: clock.move(20)
    with pytest.raises(errors.RequestTimeoutError, match=r"token took all of the 20 s"):
        ApiClient(platform.url, vault, api_token_ttl=ttl).get(PATH, timeout=20)
    assert platform.requests == []


def test_a_time_that_is_over_before_the_request_is_ready_does_not_blame_the_token(platform):
    with pytest.raises(errors.RequestTimeoutError, match="COZELOOP_REQUEST_TIMEOUT is in milliseconds"):
        ApiClient(platform.url, "t").get(PATH, timeout=1e-9)
    assert platform.requests == []


# -- a function whose token is kept -----------------------------------------------------------------------------------


def test_a_token_is_used_for_the_given_time(platform, vault, cached, clock):
    for _ in range(3):
        cached.get(PATH)
    clock.move(59.9)
    cached.get(PATH)
    clock.move(0.1)
    cached.get(PATH)
    assert platform.tokens() == ["token-1"] * 4 + ["token-2"]


@pytest.mark.parametrize("which", ["wall", "monotonic"])
def test_either_clock_ends_it(platform, vault, cached, clock, which):
    cached.get(PATH)
    setattr(clock, which, getattr(clock, which) + 60)  # a machine that slept, a clock that was set
    cached.get(PATH)
    assert platform.tokens() == ["token-1", "token-2"]


def test_however_many_threads_ask_the_function_is_called_once(platform, vault, cached):
    vault.before = lambda: time.sleep(0.1)
    assert at_once(30, lambda: cached.get(PATH, timeout=20)["code"]) == [0] * 30
    assert vault.calls == 1


def test_those_who_waited_share_a_failure_each_with_an_exception_of_its_own(vault):
    given = tokens.CachedToken(vault, 60)
    waiting = []

    class Lock:
        """The one of the token; counts who wants it."""

        def __init__(self, lock):
            self._lock = lock
            self.release = lock.release

        def acquire(self, timeout):
            waiting.append(None)
            return self._lock.acquire(timeout=timeout)

    given._lock = Lock(given._lock)
    vault.problem = LookupError("no connection to the vault")
    vault.before = lambda: wait_for(lambda: len(waiting) == 20)
    problems = at_once(20, lambda: given.token(20))
    assert {type(problem) for problem in problems} == {errors.AuthInfoRequiredError}
    assert {problem.__cause__ for problem in problems} == {vault.problem}
    assert len({id(problem) for problem in problems}) == 20
    assert vault.calls == 1
    vault.problem, vault.before = None, lambda: None
    assert given.token(1) == "token-2"


def test_who_waits_for_another_thread_waits_no_longer_than_it_wanted(vault):
    given = tokens.CachedToken(vault, 60)
    asked, release = threading.Event(), threading.Event()
    vault.before = lambda: (asked.set(), release.wait(20))
    other = threading.Thread(target=given.token, args=(20,), daemon=True)
    other.start()
    assert asked.wait(20)
    with pytest.raises(errors.RequestTimeoutError, match=r"0\.02 s"):
        given.token(0.02)
    release.set()
    other.join(20)
    assert given.token(0.02) == "token-1"


def test_there_may_be_any_amount_of_time(vault):
    assert tokens.CachedToken(vault, 60).token(1e12) == "token-1"


@pytest.mark.parametrize("ttl", [0, -1, "60", float("nan"), True])
def test_a_time_that_is_none_is_an_error(ttl, vault):
    with pytest.raises(errors.InvalidParamError, match="api_token_ttl"):
        ApiClient(None, vault, api_token_ttl=ttl)


def test_the_time_is_one_of_the_settings_of_a_client(vault):
    client = new_client(None, "7", vault, api_token_ttl=60)
    assert new_client(None, "7", vault, api_token_ttl=60) is client
    assert new_client(None, "7", vault, api_token_ttl=61) is not client
    assert new_client(None, "7", vault) is not client


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_waits_for_no_thread_of_its_parent(vault):
    given = tokens.CachedToken(vault, 60)
    asked, release = threading.Event(), threading.Event()
    vault.before = lambda: (asked.set(), release.wait(20))
    other = threading.Thread(target=given.token, args=(20,), daemon=True)
    other.start()
    assert asked.wait(20)
    child = os.fork()
    if child == 0:
        vault.before = lambda: None
        code = 1
        try:
            code = 0 if given.token(1) == "token-2" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    release.set()
    other.join(20)
    assert status == 0


# -- a refused token --------------------------------------------------------------------------------------------------


def calls_of(api):
    return {
        "get": lambda: api.get(PATH),
        "post": lambda: api.post(PATH, {"a": 1}),
        "upload": lambda: api.upload_file(PATH, b"content", "name"),
    }


@pytest.mark.parametrize("kind", ["get", "post", "upload"])
def test_a_refused_token_is_replaced_and_the_request_made_again(platform, vault, cached, kind):
    call = calls_of(cached)[kind]
    call()
    platform.refused.add("token-1")
    assert call()["code"] == 0
    assert platform.tokens() == ["token-1", "token-1", "token-2"]
    assert platform.requests[1].body == platform.requests[2].body


def test_a_stream_is_opened_again_with_another_token(platform, vault, cached):
    platform.answers(REFUSED, text_answer("data: 1\n\n", content_type="text/event-stream"))
    with cached.stream("POST", PATH, {}) as events:
        assert [event.data for event in events] == ["1"]
    assert platform.tokens() == ["token-1", "token-2"]


def test_a_replacement_that_is_refused_as_well_is_an_error_and_no_reason_to_ask_again(platform, vault, cached):
    platform.default = REFUSED
    for _ in range(4):
        with pytest.raises(errors.AuthenticationError) as caught:
            cached.get(PATH, retries=3)
        assert "COZELOOP_API_TOKEN" in str(caught.value)
    assert platform.tokens() == ["token-1"] + ["token-2"] * 4


def test_ten_seconds_later_it_is_worth_another_try(platform, vault, cached, clock):
    platform.refused.update(["token-1", "token-2"])
    with pytest.raises(errors.AuthenticationError):
        cached.get(PATH)
    clock.move(10)
    assert cached.get(PATH)["code"] == 0
    assert platform.tokens() == ["token-1", "token-2", "token-2", "token-3"]


def test_many_refusals_at_once_make_one_call_of_the_function(platform, vault, cached):
    cached.get(PATH)
    platform.refused.add("token-1")
    assert at_once(20, lambda: cached.get(PATH, timeout=20)["code"]) == [0] * 20
    assert vault.calls == 2


def test_who_may_not_is_not_asked_for_another_token(platform, vault, cached):
    platform.default = json_answer({"code": 600900101, "msg": "no access permission"})
    with pytest.raises(errors.PermissionDeniedError):
        cached.get(PATH)
    assert platform.tokens() == ["token-1"]


def test_authorization_that_comes_with_a_request_is_sent_as_it_is_and_refused_once(platform, vault, cached):
    platform.default = REFUSED
    with pytest.raises(errors.AuthenticationError):
        cached.get(PATH, headers={"AUTHORIZATION": "Basic eHg="})
    assert [request.headers.get_all("Authorization") for request in platform.requests] == [["Basic eHg="]]
    assert vault.calls == 0


# -- secrets ----------------------------------------------------------------------------------------------------------


TOKEN = "pat_very-secret-token-0123456789"
PROXY_PASSWORD = "proxy-passw0rd-xyz"
SECRETS = [TOKEN, PROXY_PASSWORD, "dTpwcm94eS1wYXNzdzByZC14eXo", body_of(RSA_PEM)[200:224]]  # the third in base64


class Everything(logging.Handler):
    """Keeps all that any logger says, formatted with its exceptions."""

    def __init__(self):
        super().__init__(1)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record) + repr(record.args))


@pytest.fixture
def everything(capfd):
    """``everything()``: what was logged, by whomever, and printed."""
    root = logging.getLogger()
    handler, level = Everything(), root.level
    root.addHandler(handler)
    root.setLevel(1)

    def everything():
        printed = capfd.readouterr()
        return "".join(handler.lines) + printed.out + printed.err

    yield everything
    root.removeHandler(handler)
    root.setLevel(level)


def shown(problem):
    """All that is ever shown of an exception, and of those behind it."""
    text = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    with contextlib.suppress(Exception):  # urllib3 has exceptions that cannot be pickled
        text += repr(pickle.dumps(problem))
    while problem is not None:
        text += "%s %r %r %r" % (problem, problem, problem.args, problem.__dict__)
        problem = problem.__cause__ or problem.__context__
    return text


def echo(request):
    """An answer that repeats the request, in its body and its headers."""
    said = " ".join(request.headers.values())
    return json_answer({"code": 600904002, "msg": said, "data": said}, headers={"x-tt-logid": said, "X-Echo": said})


def echo_badly(handler, asked):
    """No HTTP at all, but the headers of the request."""
    handler.say((" ".join(asked.headers.values()) + "\r\n\r\n").encode("latin-1"))


FAILURES = {
    "reset": reset(),
    "half": close_early(),
    "hangs": hang(),
    "no JSON": text_answer("<html>", 502, "text/html"),
    "refused": REFUSED,
    "busy": json_answer({}, 503),
    "echo": echo,
    "echo as text": lambda request: text_answer(" ".join(request.headers.values()), 500),
    "echo of a refusal": lambda request: json_answer({"code": 602000101, "msg": request.headers["Authorization"]}),
    "redirect": lambda request: json_answer({}, 302, {"Location": "http://127.0.0.1:%d/x" % dead_port()}),
    "echo in a redirect": lambda request: json_answer({}, 302, {"Location": "/" + request.headers["Authorization"]}),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("way", ["direct", "proxy"])
def test_no_secret_is_shown_whatever_fails(name, way, platform, everything, monkeypatch):
    with contextlib.ExitStack() as stack:
        url = platform.url
        if way == "proxy":
            proxy = stack.enter_context(ForwardProxy())
            monkeypatch.setenv("http_proxy", "http://u:%s@127.0.0.1:%d" % (PROXY_PASSWORD, proxy.port))
            url = url.replace("127.0.0.1", "platform.test")
        settings = {"timeout": 0.2, "upload_timeout": 0.2, "shutdown_timeout": 0.1}
        client = stack.enter_context(new_client(url, "7", TOKEN, **settings))
        platform.default = FAILURES[name]
        problems = raised_by(client)
        assert problems
        text = everything() + "".join(map(shown, problems)) + repr(client) + repr(client.api)
    for secret in SECRETS:
        assert secret not in text


def raised_by(client):
    """What each kind of call raises; spans, which raise nothing, fail besides."""
    api, problems = client.api, []
    for call in (
        lambda: api.get(PATH, retries=1),
        lambda: api.post(PATH, {"a": 1}),
        lambda: api.upload_file(PATH, b"content", "name"),
        lambda: list(api.stream("POST", PATH, {})),
    ):
        try:
            call()
        except errors.LoopError as problem:
            problems.append(problem)
    client.start_span("a", "custom").finish()
    client.flush(0.1)
    return problems


def test_no_secret_is_shown_when_the_server_speaks_no_http_and_repeats_what_it_heard(everything, monkeypatch):
    with ForwardProxy() as proxy:
        proxy.answer = echo_badly
        client = new_client(proxy.url, "7", TOKEN, timeout=2, shutdown_timeout=0.1)
        problems = raised_by(client)
        monkeypatch.setenv("http_proxy", "http://u:%s@127.0.0.1:%d" % (PROXY_PASSWORD, proxy.port))
        other = new_client("http://platform.test:1", "7", TOKEN, timeout=2, shutdown_timeout=0.1)
        problems += raised_by(other)
        client.close()
        other.close()
    assert len(problems) == 8
    assert any("***" in str(problem) for problem in problems)
    text = everything() + "".join(map(shown, problems))
    for secret in SECRETS:
        assert secret not in text


def test_no_secret_is_shown_when_a_setting_is_wrong(everything, platform):
    problems = []
    for settings in (
        {"api_token": TOKEN + "\n" + TOKEN},
        {"api_token": TOKEN.encode()},
        {"api_token": TOKEN, "headers": {"Authorization": TOKEN + "\n"}},
        {"api_token": TOKEN, "api_base_url": "http://u:%s@h" % PROXY_PASSWORD},
        {"jwt_oauth_client_id": "c", "jwt_oauth_public_key_id": "k", "jwt_oauth_private_key": RSA_PEM[:900]},
        {"jwt_oauth_client_id": "c", "jwt_oauth_private_key": RSA_PEM},
        {"api_token": TOKEN, "jwt_oauth_private_key": RSA_PEM},
    ):
        with pytest.raises(errors.LoopError) as caught:
            new_client(**{"workspace_id": "7", "api_base_url": platform.url, **settings})
        problems.append(caught.value)
    text = everything() + "".join(map(shown, problems))
    for secret in SECRETS:
        assert secret not in text


def test_the_secrets_that_are_looked_for_would_be_found(everything, platform):
    logging.getLogger("any").debug("the token is %s", TOKEN)
    print(PROXY_PASSWORD)
    try:
        raise LookupError(TOKEN)
    except LookupError as problem:
        assert TOKEN in shown(problem)
    text = everything()
    assert TOKEN in text
    assert PROXY_PASSWORD in text
    assert SECRETS[3] in body_of(RSA_PEM)
