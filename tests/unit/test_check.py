"""What the check makes of settings, answers and failures; over real connections: integration/test_check_command.py."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import types

import pytest

from cozeloop_lite import errors, terminal
from cozeloop_lite.check import command, failures, machine, platform, settings, verdicts
from cozeloop_lite.check.machine import Hop
from cozeloop_lite.check.report import FAILED, OK, SKIPPED, WARNING, Report, Step, shown
from cozeloop_lite.check.run import STEPS, Run, Subject
from cozeloop_lite.check.verdicts import Answer
from cozeloop_lite.trace import spool

URL, WORKSPACE, TOKEN = "COZELOOP_API_BASE_URL", "COZELOOP_WORKSPACE_ID", "COZELOOP_API_TOKEN"
HEX_TOKEN = "0123456789abcdef" * 4
HERE = Hop("coze.example", 8888, URL)
PROXY = Hop("proxy.example", 3128, "the proxy of HTTPS_PROXY", True)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def said(step):
    return "%s %s" % (step.seen, step.advice)


# -- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "may_be_shown"),
    [("", "****, 0 characters"), ("abcdefghijk", "****, 11 characters"), ("abcdefghijkl", "****ijkl, 12 characters")],
)
def test_of_a_secret_its_end_is_shown_if_it_is_long_enough(secret, may_be_shown):
    assert shown(secret) == may_be_shown


def test_a_report_shows_no_secret_whatever_step_it_got_into():
    report = Report([Step("platform", FAILED, "it said Bearer abc-secret", "not abc-secret")], ["abc-secret"])
    assert "abc-secret" not in str(report) + str(report.to_dict())
    assert report.steps[0].seen == "it said Bearer ***"


def test_a_report_shows_no_control_characters_and_no_novels():
    (step,) = Report([Step("platform", OK, "\x1b[2J\r\n中" + "x" * 5000)]).steps
    assert step.seen.startswith("\\x1b[2J\\r\\n中x")
    assert len(step.seen) < 650


def test_only_a_failure_is_one():
    steps = [Step("a", OK, ""), Step("b", WARNING, ""), Step("c", SKIPPED, "")]
    assert Report(steps).ok
    assert not Report([*steps, Step("d", FAILED, "")]).ok


def test_the_text_of_a_report():
    report = Report([Step("address", OK, "here"), Step("TLS", FAILED, "no", "do"), Step("clock", WARNING, "off")])
    assert str(report).splitlines() == [
        "✓ address  here",
        "✗ TLS      no",
        "           → do",
        "! clock    off",
        "",
        "failed: TLS; warnings: clock",
    ]
    assert report.text(symbols=False).splitlines()[1:3] == ["FAILED  TLS      no", " " * 17 + "-> do"]
    assert report.text(color=True).splitlines()[1] == "\x1b[31m✗\x1b[0m TLS      no"
    assert report.to_dict()["steps"][1] == {"name": "TLS", "status": "failed", "seen": "no", "advice": "do"}


@pytest.mark.parametrize(
    ("tty", "variables", "colors"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colors_are_for_terminals_that_want_them(monkeypatch, tty, variables, colors):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(isatty=lambda: tty, encoding="latin-1"))
    assert terminal.has_colors() is colors
    assert command._has_symbols() is False


# -- settings ---------------------------------------------------------------------------------------------------------


def test_each_setting_says_where_it_is_from(monkeypatch):
    assert settings.address(None).seen == "https://api.coze.cn (default)"
    assert settings.address("http://a:1/", "--api-base-url").seen == "http://a:1 (--api-base-url)"
    monkeypatch.setenv(URL, " http://a:1/ ")
    assert settings.address(None).seen == "http://a:1 (%s)" % URL
    assert settings.address("https://api.coze.cn").seen == "https://api.coze.cn (argument)"
    monkeypatch.setenv(WORKSPACE, "7")
    assert settings.workspace(None).seen == "7 (%s)" % WORKSPACE
    assert settings.workspace("8").seen == "8 (argument)"
    assert settings.credentials("abcdefgh-1234").seen == "token ****1234, 13 characters (argument)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:8888", "%s=http://localhost:8888" % URL),
        ("api.coze.cn", "%s=https://api.coze.cn" % URL),
        ("coze.example/api", "%s=http://coze.example/api" % URL),
        ('"http://localhost:8888"', "Remove the quotation marks and blanks from %s: http://localhost:8888" % URL),
        ("ftp://x", "http://localhost:8888 for a self-hosted platform"),
        ("http://", "https://api.coze.cn"),
        ("http://localhost:88888", "perhaps a port"),
        ("http://localhost:port", "perhaps a port"),
    ],
)
def test_an_address_that_cannot_be_used(given, words):
    step = settings.address(given)
    assert step.status == FAILED
    assert words in said(step)
    assert URL in said(step)


@pytest.mark.parametrize("given", ["http://me:pass-word@host", "http://host?token=pass-word", "pass-word@host"])
def test_an_address_with_a_secret_in_it_is_not_shown(given):
    step = settings.address(given)
    assert step.status == FAILED
    assert "pass-word" not in said(step)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("0", "is not a number that a workspace can have: '0'"),
        ("-7", "is not a number"),
        ("７", "is not a number"),
        ("9" * 19, "is not a number"),
        ("9" * 400, "is not a number"),
        ('"7"', "stands in quotation marks"),
        ("my workspace", "is not a number that a workspace can have: 'my workspace'"),
        ("https://loop.coze.cn/console/enterprise/personal/space/7400123/overview", "Set %s=7400123" % WORKSPACE),
        ("pat_abcdefghijklmnopqrstuvw", "has a token in it (****tuvw"),
        (HEX_TOKEN, "has a token in it"),
    ],
)
def test_a_workspace_that_cannot_be_one(given, words):
    step = settings.workspace(given)
    assert step.status == FAILED
    assert words in said(step)
    assert WORKSPACE in said(step)


def test_a_long_wrong_workspace_may_be_a_secret_and_is_not_shown():
    assert "sk-abcdef" not in said(settings.workspace("sk-abcdefghijklmnopqrstuvwxyz"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("`%s`" % HEX_TOKEN, "stands in quotation marks"),
        ("'", "stands in quotation marks"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "is a key, not a token"),
        ("<your token>", "is a placeholder"),
        ("$COZELOOP_TOKEN", "is a placeholder"),
        ("${TOKEN}", "is a placeholder"),
        ("%TOKEN%", "is a placeholder"),
        ("your_api_token", "is a placeholder"),
        ("put-your-token-here", "is a placeholder"),
        ("pat_xxxxxx", "is a placeholder"),
        ("...", "is a placeholder"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl", "is a JWT"),
        ("one two", "it contains blanks"),
        ("tökén", "non-ASCII"),
        ("Bearer ", "no token"),
        ("Bearer $TOKEN", "is a placeholder"),
    ],
)
def test_a_token_that_no_platform_knows(given, words):
    step = settings.credentials(given)
    assert step.status == FAILED
    assert words in said(step)
    assert TOKEN in said(step)


@pytest.mark.parametrize("given", [HEX_TOKEN, "pat_OYDacMzM3WyOWV3Dtj2bHRMymzxP", "sat_x", "local", "0" * 64])
def test_a_token_is_not_refused_for_its_looks(given):
    assert settings.credentials(given).status == OK


def test_a_token_that_is_a_number_is_suspicious():
    step = settings.credentials("7400000000000000001")
    assert step.status == WARNING
    assert "interchanged" in step.advice


def test_a_token_may_come_from_a_function():
    assert settings.credentials(lambda: "x").seen == "a function that returns a token (argument)"


def test_settings_that_seem_meant_are_named_but_not_their_values(monkeypatch, tmp_path):
    monkeypatch.setenv("COZE_LOOP_TOKEN", "the-secret")
    (tmp_path / ".env").write_text("")
    step = settings.credentials(None)
    assert "COZE_LOOP_TOKEN" in step.advice
    assert ".env of this folder is not read" in step.advice
    assert "the-secret" not in said(step)


def test_a_part_of_an_oauth_application_beside_a_token_is_a_warning(monkeypatch):
    monkeypatch.setenv("COZELOOP_JWT_OAUTH_CLIENT_ID", "client-1")
    assert settings.credentials("abcdefgh-1234").status == WARNING
    assert settings.credentials("abcdefgh-1234", environment=False).status == OK


@pytest.mark.parametrize(
    ("token", "host", "is_default", "words"),
    [
        (HEX_TOKEN, "api.coze.cn", True, "looks like a token of a self-hosted platform: set %s" % URL),
        ("pat_abc", "localhost", False, "looks like a token of the hosted platform: set %s" % URL),
        ("pat_abc", "api.coze.cn", True, "The address is the default"),
        ("pat_abc", "api.coze.com", False, "Set %s to a token that was made on this platform" % TOKEN),
        (HEX_TOKEN, "localhost", False, "Set %s to a token" % TOKEN),
        (len, "localhost", False, "Set %s to a token" % TOKEN),
    ],
)
def test_what_may_be_wrong_with_a_token_that_is_refused(token, host, is_default, words):
    assert words in settings.token_refused(token, host, is_default)


def test_which_hosts_are_of_the_hosted_platform():
    assert settings.is_hosted("api.coze.cn")
    assert settings.is_hosted("coze.com")
    assert not settings.is_hosted("notcoze.cn")


# -- the machine ------------------------------------------------------------------------------------------------------


def test_the_versions_are_told():
    step = machine.software()
    assert step.status == OK
    for word in ("cozeloop_lite ", "Python 3", "urllib3 ", "jinja2 ", "SSL "):
        assert word in step.seen


@pytest.mark.parametrize(
    ("name", "module", "status"),
    [
        ("urllib3", None, FAILED),
        ("urllib3", types.SimpleNamespace(__version__="1.25.11"), FAILED),
        ("jinja2", None, WARNING),
        ("jinja2", types.SimpleNamespace(__version__="2.11.3"), WARNING),
        ("jinja2", types.SimpleNamespace(), OK),
    ],
)
def test_libraries_that_are_missing_or_too_old(monkeypatch, name, module, status):
    monkeypatch.setitem(sys.modules, name, module)
    step = machine.software()
    assert step.status == status
    assert status == OK or "pip install" in step.advice


def test_files_are_written_where_they_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    assert machine.folders("", "").status == SKIPPED
    assert machine.folders(str(tmp_path / "a" / "b"), str(tmp_path / "c.json")).status == OK
    assert "spool_dir" in machine.folders(str(tmp_path / "file"), "").seen
    assert "prompt_snapshot" in machine.folders("", str(tmp_path / "file" / "c.json")).seen
    assert machine.folders("", str(tmp_path)).status == FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_spool_needs_locks_and_a_snapshot_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "fcntl", None)
    step = machine.folders(str(tmp_path), "")
    assert (step.status, "flock" in step.seen) == (FAILED, True)
    assert machine.folders("", str(tmp_path / "c.json")).status == OK


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o500)
    assert machine.folders(str(tmp_path), "").status == FAILED


class Pools:
    def __init__(self, **pool):
        self.pool = types.SimpleNamespace(**pool)

    def of(self, url):
        return self.pool, None


def test_the_first_hop_is_the_platform_or_a_proxy(monkeypatch):
    assert machine.proxy(Pools(), "https://coze.example")[2] == ("coze.example", 443, URL, False)
    assert machine.proxy(Pools(), "http://[::1]:8888")[2][:2] == ("::1", 8888)
    step, _, hop = machine.proxy(Pools(proxy="http://me:pass-word@proxy.example:3128/"), "https://coze.example")
    assert hop == ("proxy.example", 3128, "the proxy of http_client", True)
    assert "pass-word" not in said(step)
    assert machine.proxy(Pools(proxy_url="socks5h://proxy.example:1080"), "http://x")[2].is_proxy
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    step, _, hop = machine.proxy(Pools(), "https://coze.example")
    assert not hop.is_proxy
    assert "HTTPS_PROXY is set" in step.seen


# -- answers ----------------------------------------------------------------------------------------------------------


def answered(status, body, url="http://coze.example:8888", **headers):
    headers.setdefault("content_type", "text/html" if body.startswith("<") else "application/json")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return verdicts.platform(Answer(status, named, body.encode()), url)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"code":602000702,"msg":"Service Internal Error"}'),
        (200, '{"code":0}'),
        (401, '{"code":4100,"msg":"authentication is invalid"}'),
        (405, '{"code":1}'),
        (400, '{"error_code":"invalid_request"}'),
    ],
)
def test_an_answer_of_the_platform_is_known_by_its_envelope_whatever_its_status(status, body):
    assert answered(status, body).status == OK


@pytest.mark.parametrize(
    ("status", "body", "url", "words"),
    [
        (200, "<html>", "http://h:8082", "Set %s=http://h:8888" % URL),
        (405, "<html>", "http://h", "Set %s=http://h:8888" % URL),
        (405, "<html>", "http://[::1]:8082", "Set %s=http://[::1]:8888" % URL),
        (200, "<title>扣子</title>", "https://loop.coze.cn", "Set %s=https://api.coze.cn" % URL),
        (200, '{"hello":"world"}', "http://h:1", "something else, not the CozeLoop API"),
        (200, "[]", "http://h:1", "not the CozeLoop API"),
        (200, "", "http://h:1", "not the CozeLoop API"),
        (401, "<html>", "http://h:1", "new_client(headers=...)"),
        (404, "404 page not found", "http://h:1", "too old"),
        (404, "404 page not found", "http://h:1/v1/loop", "without a path: http://h:1."),
        (400, "Client sent an HTTP request to an HTTPS server.", "http://h:443", "Set %s=https://h:443" % URL),
        (400, "<title>400 The plain HTTP request was sent to HTTPS port</title>", "http://h", "speaks TLS"),
        (302, "", "http://h:1", "redirects to nowhere"),
        (429, '{"code":1}', "http://h:1", "No setting is wrong"),
        (503, '{"code":1}', "http://h:1", "fails: HTTP 503"),
        (500, "\x1b[2Joh", "http://h:1", "fails: HTTP 500, '\\x1b[2Joh'"),
    ],
)
def test_who_else_may_answer(status, body, url, words):
    step = answered(status, body, url)
    assert step.status == FAILED
    assert words in said(step)


def test_a_redirect_names_its_target_without_what_may_be_secret():
    step = answered(302, "", location="https://login.example/start?state=pass-word")
    assert "https://login.example/start" in step.seen
    assert "pass-word" not in said(step)


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0, OK), (-299, OK), (301, WARNING), (-3599, WARNING), (3601, FAILED), (-3601, FAILED), (1e9, FAILED)],
)
def test_a_clock_may_differ_by_minutes_not_by_more_than_an_hour(ahead, status):
    assert verdicts.clock(ahead).status == status


def refused(kind, code, status=200):
    return kind(status, code, "its words", "log-1", "the hint")


@pytest.mark.parametrize(
    ("error", "token", "workspace"),
    [
        (None, OK, OK),
        (refused(errors.AuthenticationError, 602000101), FAILED, None),
        (refused(errors.AuthenticationError, 4100, 401), FAILED, None),
        (refused(errors.PermissionDeniedError, 600900101), OK, FAILED),
        (refused(errors.PermissionDeniedError, 600903203), OK, OK),
        (refused(errors.NotFoundError, 600903208), OK, OK),
        (refused(errors.BadRequestError, 600904002), OK, SKIPPED),
        (refused(errors.BadRequestError, 602000202), OK, FAILED),
        (refused(errors.RateLimitError, 600900205), OK, SKIPPED),
        (refused(errors.RateLimitError, None, 429), WARNING, SKIPPED),
        (refused(errors.PermissionDeniedError, None, 403), FAILED, None),
        (refused(errors.InternalServerError, 602000702), FAILED, None),
        (errors.RequestTimeoutError("POST: no complete answer within 1 s"), FAILED, None),
        (errors.AuthInfoRequiredError(), FAILED, None),
    ],
)
def test_what_a_refused_question_tells_about_token_and_workspace(error, token, workspace):
    access = platform.Access(error, True)
    assert platform.token_accepted(access, lambda: "advice").status == token
    if workspace is not None:
        assert platform.workspace_accessible(access, "7").status == workspace


def test_a_refusal_that_may_be_of_a_gateway_is_not_laid_to_the_workspace():
    assert "a gateway" in verdicts.refusal(refused(errors.PermissionDeniedError, None, 403))[0]
    assert WORKSPACE in verdicts.refusal(refused(errors.PermissionDeniedError, 600900101))[0]


def test_a_question_that_was_not_about_the_workspace_tells_nothing_about_it():
    assert platform.workspace_accessible(platform.Access(None, False), "7").status == SKIPPED


def test_an_unknown_token_comes_with_advice_that_of_an_application_with_the_errors_own():
    access = platform.Access(refused(errors.AuthenticationError, 602000101))
    assert platform.token_accepted(access, lambda: "make another").advice == "make another"
    assert platform.token_accepted(access, lambda: "").advice == "the hint"


# -- no answer --------------------------------------------------------------------------------------------------------


def verification_error(code, message="in OpenSSL's words"):
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "is not valid yet"),
        (10, "has expired"),
        (18, "is self-signed"),
        (19, "unknown authority"),
        (20, "unknown authority"),
        (21, "unknown authority"),
        (62, "another host name than h"),
        (64, "another host name than h"),
        (85, "RFC 5280"),
    ],
)
def test_what_is_wrong_with_a_certificate(code, words):
    seen, advice = failures.certificate(verification_error(code), "h")
    assert words in seen + advice
    assert URL in seen
    assert advice


def test_the_cause_is_found_however_deep_it_is_wrapped():
    class CertificateError(ValueError):
        """That of urllib3 1.26."""

    for inner in (verification_error(18), CertificateError("doesn't match")):
        outer = RuntimeError("outer")
        outer.__cause__ = ValueError("pool", OSError(inner))
        assert failures.certificate_fault(outer) is inner
    assert failures.certificate_fault(RuntimeError("x")) is None


def test_exceptions_that_hold_each_other_are_looked_at_once_in_a_while():
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert len(list(failures.causes(one))) <= failures.MAX_CAUSES


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "there is no such name"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "the name server does not answer"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_a_name_without_an_address(problem, words):
    seen, advice = failures.resolution(problem, HERE)
    assert words in seen
    assert "coze.example" in seen
    assert URL in seen + advice


def test_a_name_without_a_dot_may_be_one_of_a_container():
    assert "containers" in failures.resolution(OSError("x"), Hop("coze-loop-app", 8888, URL))[1]


@pytest.mark.parametrize(
    ("problem", "hop", "words"),
    [
        (ConnectionRefusedError(), HERE, ["nobody listens on coze.example port 8888", URL]),
        (ConnectionRefusedError(), Hop("localhost", 1, URL), ["Inside a container, localhost is", URL]),
        (ConnectionRefusedError(), PROXY, ["the proxy of HTTPS_PROXY", "NO_PROXY"]),
        (socket.timeout(), HERE, ["no answer from coze.example port 8888", "within 5 s", URL, "HTTPS_PROXY"]),
        (socket.timeout(), PROXY, ["no answer from proxy.example", "the proxy of HTTPS_PROXY"]),
        (OSError(113, "No route to host"), HERE, ["No route to host", URL]),
    ],
)
def test_no_connection(problem, hop, words):
    text = " ".join(failures.connection(problem, hop, 5.0))
    for word in words:
        assert word in text


# -- the order of steps -----------------------------------------------------------------------------------------------


def run(*steps, seconds=5.0):
    return Run(Subject(list(steps), "http://127.0.0.1:1", None, "7", "", "", "", "/v1"), False, seconds)


def test_every_step_needs_steps_before_it():
    before = {"address", "workspace", "credentials", "client"}
    for name, needs, _ in STEPS:
        assert set(needs) <= before
        before.add(name)


def test_what_depends_on_a_failure_is_skipped_and_names_the_first_cause():
    report = run(Step("address", FAILED, "none")).report()
    steps = {step.name: step for step in report.steps}
    assert steps["software"].status == OK
    assert steps["found again"] == Step("found again", SKIPPED, "not tried, because of: address")
    assert [step.name for step in report.steps if step.status == FAILED] == ["address"]


def test_a_fault_of_the_check_is_told_and_not_raised(monkeypatch):
    monkeypatch.setattr(machine, "software", lambda: 1 / 0)
    step = run().report().steps[0]
    assert (step.name, step.status) == ("software", FAILED)
    assert "ZeroDivisionError" in step.seen


def test_when_the_time_is_up_the_rest_is_left_undone():
    report = run(seconds=1e-9).report()
    assert "no time was left for it" in report.steps[0].seen
    assert {step.status for step in report.steps} <= {WARNING, SKIPPED}
