"""OAuth over real HTTP: the request for a token, the ways in which it fails, and clients that live on such tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import cozeloop_lite
from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.api import auth, oauth
from support.private_keys import EC, RSA, RSA_PEM, assert_nothing_shown, public, said, verified, written
from support.recording import RecordingServer, hang, json_answer, reset, text_answer

ROOT = Path(cozeloop_lite.__file__).resolve().parent.parent
TOKEN_PATH = "/api/permission/oauth2/token"
PATH = "/v1/loop/things"
REFUSED = {"code": 602000101, "msg": "no access permission"}  # contract backend.md 1.2, with HTTP 200
SETTINGS = {
    "jwt_oauth_client_id": "client-1",
    "jwt_oauth_private_key": RSA_PEM,
    "jwt_oauth_public_key_id": "kid-1",
}
VARIABLES = {"COZELOOP_" + name.upper(): value for name, value in SETTINGS.items()}


class OAuthPlatform(RecordingServer):
    """Grants ``granted-1``, ``granted-2`` ... for a JWT that holds, and takes no other tokens, nor revoked ones."""

    def __init__(self, key=RSA):
        super().__init__()
        self.key = key
        self.granted = []
        self.revoked = set()
        self.grants_are_good = True
        self.default = self.answer

    def answer(self, request):
        scheme, _, bearer = request.headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        if request.path != TOKEN_PATH:
            good = bearer in self.granted and bearer not in self.revoked
            return json_answer({"code": 0, "msg": "", "data": {}} if good else REFUSED)
        header, claims = verified(bearer, self.key.public_key())
        now = time.time()
        assert header["kid"] == "kid-1"
        assert (claims["iss"], claims["aud"]) == ("client-1", "127.0.0.1:%d" % self.port)
        assert claims["iat"] <= now < claims["exp"]
        token = "granted-%d-and-secret" % (len(self.granted) + 1)
        self.granted.append(token)
        if not self.grants_are_good:
            self.revoked.add(token)
        return json_answer({"access_token": token, "expires_in": int(now) + 900, "refresh_token": ""})

    def revoke(self):
        self.revoked.update(self.granted)

    def paths(self):
        return [request.path for request in self.requests]


@pytest.fixture
def platform():
    with OAuthPlatform() as platform:
        yield platform


# -- the request for a token ------------------------------------------------------------------------------------------


def application(**settings):
    return oauth.OAuthApp("client-1", "kid-1", private_key=RSA_PEM, **settings)


def tokens_of(server, **settings):
    return auth.AccessToken(application(**settings), server.url, ApiClient(server.url, "not-to-be-sent").post)


def test_the_request_for_a_token_as_it_goes_over_the_wire(platform):
    assert tokens_of(platform).token(5) == "granted-1-and-secret"
    (request,) = platform.requests
    assert (request.method, request.path) == ("POST", TOKEN_PATH)
    assert request.headers["Content-Type"] == "application/json"
    assert len(request.headers.get_all("Authorization")) == 1
    assert request.headers["User-Agent"].startswith("cozeloop-lite/")
    assert json.loads(request.headers["X-Coze-Client-User-Agent"])["scene"] == "cozeloop"
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert request.json() == {"client_id": "client-1", "grant_type": grant, "duration_seconds": 900}


def test_a_token_for_another_account_is_asked_for_on_its_path(platform):
    platform.answers(json_answer({"access_token": "for-42", "expires_in": 60}))
    assert tokens_of(platform, account_id=42).token(5) == "for-42"
    assert platform.paths() == ["/api/permission/oauth2/account/42/token"]


def test_a_client_is_given_an_application_with_settings_of_its_own(platform, monkeypatch):
    monkeypatch.setenv("COZELOOP_API_TOKEN", "not-to-be-sent")
    more = {"ttl": 3600, "account_id": 42, "scope": {"attribute_constraint": {}}, "claims": {"session_name": "user-1"}}
    platform.answers(json_answer({"access_token": "for-42", "expires_in": int(time.time()) + 3600}))
    platform.default = json_answer({"code": 0, "msg": ""})
    with new_client(platform.url, "7", application(**more)) as client:
        client.start_span("step").finish()
        assert client.flush()
    assert platform.paths() == ["/api/permission/oauth2/account/42/token", "/v1/loop/traces/ingest"]
    proof, sent = (request.headers["Authorization"].partition(" ")[2] for request in platform.requests)
    assert verified(proof, RSA.public_key())[1]["session_name"] == "user-1"
    asked = platform.requests[0].json()
    assert (asked["duration_seconds"], asked["scope"]) == (3600, {"attribute_constraint": {}})
    assert sent == "for-42"


def test_applications_with_the_same_settings_are_of_one_client(platform):
    with new_client(platform.url, "7", application(account_id=42)) as client:
        assert new_client(platform.url, "7", application(account_id=42)) is client
        with new_client(platform.url, "7", application(account_id=43)) as other:
            assert other is not client


def test_check_says_that_the_token_is_of_an_application(platform):
    platform.default = json_answer({"code": 0, "msg": "", "access_token": "any", "expires_in": int(time.time()) + 900})
    with new_client(platform.url, "7", application()) as client:
        assert "OAuth" in str(client.check(send_span=False))


OAUTH_ERROR = {"error_code": "invalid_client", "error_message": "kid is not registered", "error": "e"}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (json_answer(OAUTH_ERROR, 400), errors.AuthenticationError, ["not registered", "jwt_oauth_public_key_id"]),
        (json_answer(OAUTH_ERROR, 401), errors.AuthenticationError, ["error_code=invalid_client", "machine's clock"]),
        (json_answer(OAUTH_ERROR, 200), errors.AuthenticationError, ["kid is not registered", "machine's clock"]),
        (json_answer({"error_code": "access_denied"}, 403), errors.AuthenticationError, ["error_code=access_denied"]),
        (json_answer({"code": 4100, "msg": "invalid jwt"}, 401), errors.AuthenticationError, ["invalid jwt", "clock"]),
        (json_answer({"code": 0, "msg": ""}), errors.AuthenticationError, ["no OAuth token"]),
        (text_answer("404 page not found", 404), errors.NotFoundError, ["a self-hosted platform has none"]),
        (text_answer("<html>", 405, "text/html"), errors.BadRequestError, ["COZELOOP_API_BASE_URL"]),
        (json_answer({}, 429, {"Retry-After": "7"}), errors.RateLimitError, ["No OAuth token was granted"]),
        (json_answer({}, 503), errors.InternalServerError, ["No OAuth token was granted"]),
        (reset(), errors.NetworkError, [TOKEN_PATH]),
    ],
)
def test_a_failure_says_that_it_was_about_the_token_and_shows_no_proof(platform, answer, kind, words):
    platform.answers(answer)
    with pytest.raises(kind) as raised:
        tokens_of(platform).token(5)
    for word in words:
        assert word in str(raised.value)
    assert "COZELOOP_API_TOKEN): it is" not in str(raised.value)
    proof = platform.requests[0].headers["Authorization"].partition(" ")[2]
    assert not [part for part in proof.split(".") if part in said(raised.value)]
    assert_nothing_shown(raised.value, RSA_PEM)


def test_an_answer_that_repeats_the_proof_does_not_bring_it_into_the_error(platform):
    platform.answers(lambda request: json_answer({"code": 4100, "msg": request.headers["Authorization"]}, 401))
    with pytest.raises(errors.AuthenticationError) as raised:
        tokens_of(platform).token(5)
    proof = platform.requests[0].headers["Authorization"].partition(" ")[2]
    assert proof not in said(raised.value)
    assert "***" in str(raised.value)


def test_the_time_for_a_token_is_bounded(platform):
    platform.answers(hang())
    with pytest.raises(errors.RequestTimeoutError, match=TOKEN_PATH):
        tokens_of(platform).token(1)  # of which the signature takes some


# -- clients ----------------------------------------------------------------------------------------------------------


def client_of(platform, **settings):
    return new_client(platform.url, "7", **{**SETTINGS, **settings})


def test_a_client_gets_its_token_with_the_first_request_and_keeps_it(platform):
    client = client_of(platform)
    assert platform.requests == []  # building a client needs no network
    for _ in range(3):
        assert client.api.get(PATH)["code"] == 0
    assert platform.paths() == [TOKEN_PATH, PATH, PATH, PATH]
    assert platform.requests[1].headers.get_all("Authorization") == ["Bearer granted-1-and-secret"]


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_the_settings_may_come_from_the_environment_with_breaks_escaped(platform, monkeypatch, key):
    platform.key = key
    monkeypatch.setenv("COZELOOP_API_BASE_URL", platform.url)
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", "7")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COZELOOP_JWT_OAUTH_PRIVATE_KEY", '"%s"' % written(key).replace("\n", "\\n"))
    assert new_client().api.get(PATH)["code"] == 0


def test_a_signer_takes_the_place_of_the_private_key_even_of_that_in_the_environment(platform, monkeypatch):
    monkeypatch.setenv("COZELOOP_JWT_OAUTH_PRIVATE_KEY", "broken")

    def sign(data):
        return RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())

    client = client_of(platform, jwt_oauth_private_key=None, jwt_oauth_signer=sign)
    assert client.api.get(PATH)["code"] == 0


def test_oauth_is_stronger_than_a_token(platform, monkeypatch):
    monkeypatch.setenv("COZELOOP_API_TOKEN", "of-the-environment")
    assert client_of(platform, api_token="given").api.get(PATH)["code"] == 0


def test_a_part_of_the_settings_in_the_environment_does_not_get_into_the_way_of_a_token(platform, monkeypatch, logged):
    platform.granted.append("given")
    monkeypatch.setenv("COZELOOP_JWT_OAUTH_CLIENT_ID", "client-1")
    assert new_client(platform.url, "7", "given").api.get(PATH)["code"] == 0
    assert platform.paths() == [PATH]
    assert ["client_id" in line for line in logged()] == [True]


@pytest.mark.parametrize("missing", SETTINGS)
@pytest.mark.parametrize("token", [None, "given"])
def test_settings_that_were_passed_must_be_complete(missing, token):
    given = {name: value for name, value in SETTINGS.items() if name != missing}
    with pytest.raises(errors.AuthInfoRequiredError) as raised:
        new_client(workspace_id="7", api_token=token, **given)
    assert missing in str(raised.value)
    assert "COZELOOP_" + missing.upper() in str(raised.value)
    assert_nothing_shown(raised.value, RSA_PEM)


@pytest.mark.parametrize("missing", VARIABLES)
def test_an_environment_without_a_token_must_be_complete(monkeypatch, missing):
    for name, value in VARIABLES.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    with pytest.raises(errors.AuthInfoRequiredError, match=missing):
        new_client(workspace_id="7")


def test_without_any_setting_both_ways_are_named():
    with pytest.raises(errors.AuthInfoRequiredError) as raised:
        new_client(workspace_id="7")
    for name in ("api_token", "COZELOOP_API_TOKEN", *SETTINGS, *VARIABLES):
        assert name in str(raised.value)


def test_a_wrong_key_is_an_error_when_the_client_is_built():
    with pytest.raises(errors.ParsePrivateKeyError, match="is a public key"):
        new_client(workspace_id="7", **{**SETTINGS, "jwt_oauth_private_key": public(RSA)})


def test_a_wrong_key_in_the_environment_costs_the_spans_and_nothing_else(monkeypatch, logged):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", "7")
    monkeypatch.setenv("COZELOOP_JWT_OAUTH_PRIVATE_KEY", RSA_PEM[:400])
    with cozeloop_lite.start_span("a", "custom"):
        pass
    (line,) = logged()
    assert "is damaged" in line
    assert RSA_PEM[100:120] not in line


def test_the_same_settings_give_the_same_client(platform):
    client = client_of(platform)
    assert client_of(platform) is client
    assert client_of(platform, jwt_oauth_client_id="client-2") is not client
    assert client_of(platform, jwt_oauth_private_key=written(EC)) is not client


def test_a_refused_token_is_replaced_once_and_the_request_made_again(platform):
    client = client_of(platform)
    client.api.get(PATH)
    platform.revoke()
    assert client.api.post(PATH, {"a": 1})["code"] == 0
    assert platform.paths() == [TOKEN_PATH, PATH, PATH, TOKEN_PATH, PATH]
    assert platform.requests[2].body == platform.requests[4].body == b'{"a":1}'


def test_a_file_goes_up_again_when_its_token_was_refused(platform):
    client = client_of(platform)
    client.api.get(PATH)
    platform.revoke()
    client.api.upload_file("/v1/loop/files/upload", b"content", "name")
    first, second = [request for request in platform.requests if "upload" in request.path]
    assert first.body == second.body
    assert b"content" in second.body


def test_a_stream_is_opened_again_when_its_token_was_refused(platform):
    client = client_of(platform)
    client.api.get(PATH)
    platform.revoke()
    refuse, events = json_answer(REFUSED), text_answer("data: 1\n\n", content_type="text/event-stream")
    platform.answers(refuse, platform.answer, events)
    with client.api.stream("POST", PATH, {}) as stream:
        assert [event.data for event in stream] == ["1"]


def test_a_token_that_is_always_refused_is_an_error_after_the_second_attempt_and_no_storm(platform):
    platform.grants_are_good = False
    client = client_of(platform)
    for _ in range(3):
        with pytest.raises(errors.AuthenticationError) as raised:
            client.api.get(PATH)
        assert "which permissions the application has" in str(raised.value)
        assert "COZELOOP_API_TOKEN" not in str(raised.value)
        assert "and-secret" not in said(raised.value)
    assert platform.paths().count(TOKEN_PATH) == 2
    assert platform.paths().count(PATH) == 4


def test_there_is_no_third_attempt_whatever_becomes_of_the_tokens_meanwhile(platform, monkeypatch):
    platform.grants_are_good = False
    client = client_of(platform)
    monkeypatch.setattr(client.api._auth, "invalidate", lambda token: True)
    with pytest.raises(errors.AuthenticationError):
        client.api.get(PATH)
    assert platform.paths().count(PATH) == 2


def test_authorization_given_with_a_request_is_sent_and_no_token_asked_for(platform):
    with pytest.raises(errors.AuthenticationError):
        client_of(platform).api.get(PATH, headers={"authorization": "Bearer mine"})
    assert platform.paths() == [PATH]
    assert platform.requests[0].headers.get_all("Authorization") == ["Bearer mine"]


def test_many_threads_of_a_client_share_one_token(platform):
    client = client_of(platform)
    together, results = threading.Barrier(50), []

    def run():
        together.wait(20)
        results.append(client.api.get(PATH, timeout=20)["code"])

    threads = [threading.Thread(target=run, daemon=True) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [0] * 50
    assert platform.paths().count(TOKEN_PATH) == 1


def test_the_token_takes_its_time_from_that_of_the_call(platform):
    platform.answers(hang())
    client = client_of(platform, timeout=60)
    began = time.monotonic()
    with pytest.raises(errors.RequestTimeoutError):
        client.api.get(PATH, timeout=0.3)
    assert time.monotonic() - began < 30
    platform.forget_answers()
    assert client.api.get(PATH)["code"] == 0


def test_spans_arrive_also_when_the_token_was_refused_meanwhile(platform):
    client = client_of(platform)
    for name in ("first", "second"):
        with client.start_span(name, "custom"):
            pass
        assert client.flush()
        platform.revoke()
    assert [span["span_name"] for span in platform.spans()] == ["first", "second"]
    assert len(platform.granted) == 2


def test_spans_wait_while_no_token_can_be_had(platform):
    platform.answers(json_answer({}, 503))
    client = client_of(platform)
    with client.start_span("a", "custom"):
        pass
    assert client.flush(20)
    assert [span["span_name"] for span in platform.spans()] == ["a"]


def test_no_secret_is_logged_or_shown(platform, logged):
    client = client_of(platform)
    client.api.get(PATH)
    platform.revoke()
    platform.answers(json_answer(REFUSED), json_answer({}, 503))
    with client.start_span("a", "custom"):
        pass
    client.flush(0.5)
    shown = repr(client) + repr(client.api) + repr(client.api._auth) + "".join(logged())
    for secret in [*platform.granted, RSA_PEM[100:120]]:
        assert secret not in shown


# -- the example ------------------------------------------------------------------------------------------------------


def run_example(**settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return subprocess.run(
        [sys.executable, "-m", "examples.auth.oauth_jwt"],
        cwd=str(ROOT),
        env={**plain, "COZELOOP_WORKSPACE_ID": "7", "PYTHONWARNINGS": "ignore", **settings},  # of an old Python
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_example_says_where_its_span_went(platform):
    done = run_example(COZELOOP_API_BASE_URL=platform.url, **VARIABLES)
    assert (done.returncode, done.stderr) == (0, "")
    (span,) = platform.spans()
    assert done.stdout == "trace %s\ndelivered to workspace 7 by <ApiClient %s>\n" % (span["trace_id"], platform.url)


def test_the_example_does_not_use_a_personal_token_instead(platform):
    done = run_example(COZELOOP_API_BASE_URL=platform.url, COZELOOP_API_TOKEN="personal")
    assert (done.returncode, platform.spans()) == (1, [])
    assert "variables are not set" in done.stderr


@pytest.mark.parametrize("missing", VARIABLES)
def test_the_example_names_the_variable_that_is_missing(missing):
    done = run_example(**{name: value for name, value in VARIABLES.items() if name != missing})
    assert done.returncode == 1
    assert done.stderr.startswith("an OAuth application needs ")
    assert missing in done.stderr


def test_the_example_says_what_is_wrong_with_a_key():
    done = run_example(**{**VARIABLES, "COZELOOP_JWT_OAUTH_PRIVATE_KEY": "key.pem"})
    assert done.returncode == 1
    assert "is neither PEM nor base64" in done.stderr


def test_the_example_is_short():
    assert len((ROOT / "examples" / "auth" / "oauth_jwt.py").read_text(encoding="utf-8").splitlines()) < 60
