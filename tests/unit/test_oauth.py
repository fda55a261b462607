"""The OAuth application: its settings, the JWT that proves who asks, and functions that sign in place of a key."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

import cozeloop_lite
from cozeloop_lite import errors
from cozeloop_lite.api import keys, oauth
from support.private_keys import EC, PKCS8, RSA, RSA_PEM, TRADITIONAL, assert_nothing_shown, body_of, verified, written

ROOT = Path(cozeloop_lite.__file__).parent.parent
DECLARED = re.search(r'extras_require=\{"jwt": \[(.*?)\]\}', (ROOT / "setup.py").read_text(encoding="utf-8")).group(1)
NOW = 1_700_000_000.75


def application(**settings):
    if "signer" not in settings:
        settings.setdefault("private_key", RSA_PEM)
    return oauth.OAuthApp("client-1", "kid-1", **settings)


@pytest.mark.parametrize(
    ("key", "form", "alg"),
    [(RSA, PKCS8, "RS256"), (RSA, TRADITIONAL, "RS256"), (EC, PKCS8, "ES256"), (EC, TRADITIONAL, "ES256")],
)
def test_the_jwt_is_signed_and_says_who_asks_whom_and_until_when(key, form, alg):
    token = application(private_key=written(key, form)).jwt("api.coze.cn", NOW)
    header, claims = verified(token, key.public_key())
    assert header == {"alg": alg, "typ": "JWT", "kid": "kid-1"}
    assert re.fullmatch("[0-9a-f]{16,}", claims.pop("jti"))
    assert claims == {"iss": "client-1", "aud": "api.coze.cn", "iat": 1_699_999_940, "exp": 1_700_000_900}


def test_no_two_jwts_have_the_same_id():
    app = application()
    ids = {verified(app.jwt("h", NOW), RSA.public_key())[1]["jti"] for _ in range(20)}
    assert len(ids) == 20


def test_further_claims_are_added_and_replace_none_of_ours():
    context = {"device_info": {"device_id": "设备"}}
    app = application(claims={"session_name": "s-1", "session_context": context, "iss": "x", "exp": 1, "jti": "1"})
    _, claims = verified(app.jwt("h", NOW), RSA.public_key())
    assert claims["session_name"] == "s-1"
    assert claims["session_context"] == context
    assert (claims["iss"], claims["exp"]) == ("client-1", 1_700_000_900)
    assert claims["jti"] != "1"


def test_settings_are_those_at_the_beginning_whatever_becomes_of_the_dicts():
    claims, scope = {"session_name": "s-1"}, {"account_permission": {"permission_list": ["a"]}}
    app = application(claims=claims, scope=scope)
    claims["session_name"] = "s-2"
    scope["account_permission"]["permission_list"].append("b")
    assert verified(app.jwt("h", NOW), RSA.public_key())[1]["session_name"] == "s-1"
    app.body()["scope"]["account_permission"]["permission_list"].append("c")
    assert app.body()["scope"] == {"account_permission": {"permission_list": ["a"]}}


def test_what_is_asked_of_the_platform():
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    app = application()
    assert app.path == "/api/permission/oauth2/token"
    assert app.body() == {"client_id": "client-1", "grant_type": grant, "duration_seconds": 900}
    app = application(ttl=3600, account_id=42, scope={"a": 1})
    assert app.path == "/api/permission/oauth2/account/42/token"
    assert app.body() == {"client_id": "client-1", "grant_type": grant, "duration_seconds": 3600, "scope": {"a": 1}}


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"ttl": 60}, errors.InvalidParamError, "ttl must be an int from 61 to 86399"),
        ({"ttl": 86400}, errors.InvalidParamError, "ttl"),
        ({"ttl": 900.0}, errors.InvalidParamError, "ttl"),
        ({"ttl": True}, errors.InvalidParamError, "ttl"),
        ({"account_id": "../x"}, errors.InvalidParamError, "account_id"),
        ({"account_id": "²"}, errors.InvalidParamError, "account_id"),
        ({"account_id": ""}, errors.InvalidParamError, "account_id"),
        ({"scope": {"a": object()}}, errors.InvalidParamError, "scope"),
        ({"claims": {"a": float("nan")}}, errors.InvalidParamError, "claims"),
        ({"claims": [1]}, errors.InvalidParamError, "claims"),
        ({"signer": len, "private_key": RSA_PEM}, errors.InvalidParamError, "only one of them"),
        ({"signer": "x"}, errors.InvalidParamError, "jwt_oauth_signer must be a function"),
        ({"signer": len, "alg": "HS256"}, errors.InvalidParamError, "jwt_oauth_alg must be one of RS256, ES256"),
        ({"private_key": None}, errors.AuthInfoRequiredError, "jwt_oauth_private_key.*COZELOOP_JWT_OAUTH_PRIVATE_KEY"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings, kind, words):
    with pytest.raises(kind, match=words) as raised:
        application(**settings)
    assert_nothing_shown(raised.value, RSA_PEM)


@pytest.mark.parametrize(("client_id", "key_id"), [("", "kid"), (" ", "kid"), (None, "kid"), ("id", ""), ("id", None)])
def test_a_missing_id_names_the_argument_and_the_variable(client_id, key_id):
    name, variable = (
        ("jwt_oauth_public_key_id", "COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID")
        if client_id == "id"
        else ("jwt_oauth_client_id", "COZELOOP_JWT_OAUTH_CLIENT_ID")
    )
    with pytest.raises(errors.AuthInfoRequiredError) as raised:
        oauth.OAuthApp(client_id, key_id, private_key=RSA_PEM)
    assert name in str(raised.value)
    assert variable in str(raised.value)


def test_an_id_may_be_a_number():
    app = oauth.OAuthApp(1234567890, 5, private_key=RSA_PEM)
    header, claims = verified(app.jwt("h", NOW), RSA.public_key())
    assert (header["kid"], claims["iss"], app.body()["client_id"]) == ("5", "1234567890", "1234567890")


def test_equal_settings_have_equal_keys_and_no_secret_in_them():
    def sign(data):
        return b"1" * 256

    assert application().key() == application(private_key=RSA_PEM).key()
    assert application(signer=sign).key() == application(signer=sign).key()
    others = [
        application(),
        application(private_key=written(EC)),
        application(signer=sign),
        application(signer=sign, alg="ES256"),
        application(ttl=901),
        application(account_id=1),
        application(scope={"a": 1}),
        application(claims={"a": 1}),
    ]
    assert len({app.key() for app in others}) == len(others)
    for app in others:
        assert body_of(RSA_PEM)[100:120] not in repr(app.key()) + repr(app) + repr(app.__dict__)


# -- a signer in place of the key -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_signer_takes_the_place_of_an_rsa_key(kind):
    app = application(signer=lambda data: kind(RSA.sign(data, padding.PKCS1v15(), hashes.SHA256())))
    header, claims = verified(app.jwt("h", NOW), RSA.public_key())
    assert header["alg"] == "RS256"
    assert claims["iss"] == "client-1"


def test_a_signer_for_es256_may_return_der_as_key_services_do_or_the_two_numbers():
    def der(data):
        return EC.sign(data, ec.ECDSA(hashes.SHA256()))

    algorithm = importlib.import_module("jwt.algorithms").get_default_algorithms()["ES256"]
    for sign in [der] * 30 + [lambda data: algorithm.sign(data, EC)]:  # 30: numbers of all lengths
        header, _ = verified(application(signer=sign, alg="ES256").jwt("h", NOW), EC.public_key())
        assert header["alg"] == "ES256"


@pytest.mark.parametrize(
    "der",
    [
        "",
        "30",
        "3006",
        "300602010102",
        "30060201010201",
        "3006020101020102ff",
        "3007020101020102ff",
        "3106020101020102",
        "30250201010220" + "01" * 33,
        "30260201010221" + "01" * 33,
    ],
)
def test_a_signature_that_is_none_is_an_error(der):
    app = application(signer=lambda data: bytes.fromhex(der), alg="ES256")
    with pytest.raises(errors.AuthInfoRequiredError, match="jwt_oauth_signer returned no signature of ES256"):
        app.jwt("h", NOW)


@pytest.mark.parametrize(("result", "words"), [("text", "returned a str"), (None, "a NoneType"), (b"", "no signature")])
def test_what_a_signer_returns_must_be_bytes(result, words):
    with pytest.raises(errors.AuthInfoRequiredError, match=words):
        application(signer=lambda data: result).jwt("h", NOW)


def test_a_signer_that_fails_is_named_and_its_words_are_not_shown():
    def sign(data):
        raise RuntimeError("secret-of-the-service")

    with pytest.raises(errors.AuthInfoRequiredError, match="could not be signed: RuntimeError") as raised:
        application(signer=sign).jwt("h", NOW)
    assert "secret-of-the-service" not in str(raised.value)
    assert str(raised.value.__cause__) == "secret-of-the-service"


def test_a_signer_needs_neither_pyjwt_nor_cryptography():
    code = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("jwt", "cryptography", "urllib3", "jinja2"):
                raise ImportError("blocked: " + name)

    sys.meta_path.insert(0, Blocker())
    from cozeloop_lite.api import auth, oauth

    app = oauth.OAuthApp("id", "kid", signer=lambda data: b"s" * 256)
    answer = {"access_token": "granted", "expires_in": 900}
    print(auth.AccessToken(app, "http://h", lambda *args, **kwargs: answer).token(1))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env=environment, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, [b"granted"])


# -- the extra -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def without(*packages):
    """As if the packages were not installed."""
    real = importlib.import_module

    def import_module(name, package=None):
        if name.partition(".")[0] in packages:
            raise ModuleNotFoundError("No module named %r" % name.partition(".")[0])
        return real(name, package)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib, "import_module", import_module)
        patch.setattr(keys, "_in_use", {})
        yield


@pytest.mark.parametrize("missing", ["jwt", "cryptography"])
def test_without_the_extra_the_error_names_the_command_that_installs_it(missing):
    with without(missing), pytest.raises(errors.InvalidParamError) as raised:
        oauth.OAuthApp("client", "kid", private_key=RSA_PEM)
    message = str(raised.value)
    assert "pip install %s" % " ".join(DECLARED.split(", ")) in message
    assert "No module named '%s'" % missing in message
    assert "jwt_oauth_signer" in message
    assert_nothing_shown(raised.value, RSA_PEM)


def test_the_extra_is_declared():
    assert "PyJWT" in DECLARED
    assert "cryptography" in DECLARED
