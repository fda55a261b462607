"""``python -m cozeloop_lite check`` as a new user runs it: right setups, and wrong ones whose cause it must name."""

from __future__ import annotations

import datetime
import email.utils
import http.server
import ipaddress
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import cozeloop_lite
from cozeloop_lite import errors, new_client
from cozeloop_lite.check.platform import CLOSE_SECONDS
from cozeloop_lite.check.subject import check_client, check_environment
from cozeloop_lite.config import APIBasePath
from cozeloop_lite.local import StandInServer
from support.calling import unknown_hosts
from support.recording import hang, json_answer, reset, text_answer

ROOT = str(Path(cozeloop_lite.__file__).resolve().parent.parent)
TOKEN = "pat_0123456789-the-secret-one"
INGEST, SEARCH, MGET = "/v1/loop/traces/ingest", "/v1/loop/traces/search", "/v1/loop/prompts/mget"
REFUSED = json_answer({"code": 602000101, "msg": "no access permission"})
NOT_THE_SETUP = ("COZELOOP_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "NODE_EXTRA_CA")


class Result:
    """What one run of the command said."""

    def __init__(self, report, code):
        self.code = code
        self.report = report
        self.steps = {step["name"]: step for step in self.report["steps"]}
        self.failed = [step for step in self.report["steps"] if step["status"] == "failed"]

    def status(self, name):
        return self.steps[name]["status"]

    def seen(self, name):
        return self.steps[name]["seen"]

    def advice(self, name):
        return self.steps[name]["advice"]


def start(*arguments, **variables):
    inherited = dict(os.environ)
    plain(inherited.pop)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "cozeloop_lite", "check", *arguments],
        env={**inherited, "PYTHONPATH": ROOT, "PYTHONIOENCODING": "utf-8", **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def check(url="", *arguments, token=TOKEN, workspace="7", **variables):
    settings = {"COZELOOP_API_BASE_URL": url, "COZELOOP_WORKSPACE_ID": workspace, "COZELOOP_API_TOKEN": token}
    done = start("--json", *arguments, **{**settings, **variables})
    assert TOKEN not in done.stdout + done.stderr
    assert done.stderr == ""
    result = Result(json.loads(done.stdout), done.returncode)
    assert result.code == (1 if result.failed else 0)
    assert result.report["ok"] is not bool(result.failed)
    return result


@pytest.fixture
def inside(monkeypatch):
    """As ``check``, in this process: the same, but for the command line, in a fraction of the time."""

    def inside(url, *, token=TOKEN, workspace="7", send_span=True, timeout=5.0, **variables):
        plain(monkeypatch.delenv)
        settings = {"COZELOOP_API_BASE_URL": url, "COZELOOP_WORKSPACE_ID": workspace, "COZELOOP_API_TOKEN": token}
        for name, value in {**settings, **variables}.items():
            monkeypatch.setenv(name, value)
        report = check_environment(send_span=send_span, timeout=timeout)
        assert TOKEN not in str(report)
        return Result(report.to_dict(), None)

    return inside


def plain(forget):
    for name in list(os.environ):
        if name.startswith(NOT_THE_SETUP) or name.lower().endswith("_proxy"):
            forget(name)


def assert_cause(result, step, *words):
    """The first failure is ``step``, and says ``words``."""
    assert result.failed, "nothing failed"
    first = result.failed[0]
    assert first["name"] == step, first
    for word in words:
        assert word in "%s %s" % (first["seen"], first["advice"])


@pytest.fixture
def platform():
    with StandInServer(token=TOKEN, workspace_id="7") as server:
        yield server


def by_path(**answers):
    """A platform that answers ``ingest``, ``search`` and ``mget`` as given, and else accepts."""
    paths = {INGEST: "ingest", SEARCH: "search", MGET: "mget"}
    return lambda request: answers.get(paths.get(request.path), json_answer({"code": 0, "msg": "", "data": {}}))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# -- TLS --------------------------------------------------------------------------------------------------------------


class Authority:
    """Makes certificates; ``folder`` gets their files."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("authority", self.key, self.key, authority=True)
        self.file = self._written("authority", [self.certificate], None)

    def _signed(self, name, key, by, names=("127.0.0.1", "localhost"), days=(-10, 10), authority=False, issuer=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        called = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            issuer or called,
            called,
            key.public_key(),
            x509.random_serial_number(),
            now + datetime.timedelta(days=days[0]),
            now + datetime.timedelta(days=days[1]),
        )
        for extension, critical in (
            (x509.BasicConstraints(ca=authority, path_length=None), True),
            (x509.KeyUsage(True, False, False, False, False, authority, authority, False, False), True),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        alternatives = [
            x509.IPAddress(ipaddress.ip_address(item)) if item[0].isdigit() else x509.DNSName(item) for item in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(by, hashes.SHA256())

    def _written(self, name, certificates, key):
        path = self.folder / (name + ".pem")
        content = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
        if key is not None:
            content += key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        path.write_bytes(content)
        return str(path)

    def issue(self, **changes):
        """The file of a certificate for this machine and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed("server", key, self.key, issuer=self.certificate.subject, **changes)
        return self._written("server", [certificate], key)

    def self_signed(self):
        key = ec.generate_private_key(ec.SECP256R1())
        return self._written("alone", [self._signed("alone", key, key)], key)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"code":0,"msg":"","data":{}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class TLSServer(socketserver.ThreadingTCPServer):
    """A platform behind TLS that accepts everything."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, certificate):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.url = "https://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def finish_request(self, request, client_address):
        request.settimeout(10)
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that does not like the certificate

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


# -- right setups -----------------------------------------------------------------------------------------------------


def test_a_right_setup_is_followed_to_a_span_that_is_found_again(platform):
    result = check(platform.url)
    assert [step["status"] for step in result.report["steps"] if step["status"] not in ("ok", "skipped")] == []
    (span,) = platform.store.spans()
    assert (span["span_name"], span["workspace_id"]) == ("cozeloop_lite check", "7")
    assert span["trace_id"] in result.seen("test span")
    assert result.status("found again") == "ok"
    assert result.seen("address") == platform.url + " (COZELOOP_API_BASE_URL)"
    assert result.seen("workspace") == "7 (COZELOOP_WORKSPACE_ID)"
    assert "****-one, %d characters (COZELOOP_API_TOKEN)" % len(TOKEN) in result.seen("credentials")


def test_arguments_are_stronger_than_the_environment(platform):
    result = check("http://127.0.0.1:1", "--api-base-url", platform.url, "--workspace-id", "7", workspace="8")
    assert result.code == 0
    assert result.seen("address") == platform.url + " (--api-base-url)"
    assert result.seen("workspace") == "7 (--workspace-id)"


def test_no_span_is_sent_when_none_is_wanted(platform):
    result = check(platform.url, "--no-span")
    assert result.code == 0
    assert platform.store.spans() == []
    assert (result.status("test span"), result.status("found again")) == ("skipped", "skipped")


def test_a_server_without_search_gets_the_span_and_is_no_failure(server):
    server.default = by_path(search=text_answer("404 page not found", 404), mget=text_answer("404", 404))
    result = check(server.url)
    assert result.code == 0
    assert result.seen("found again").startswith("sent, could not be looked up")
    assert server.names() == ["cozeloop_lite check"]
    assert result.status("workspace accessible") == result.status("prompts") == "skipped"


def test_a_platform_that_is_slow_to_show_a_span_is_a_warning(server):
    server.default = by_path()
    result = check(server.url, "--timeout", "0.6")
    assert result.code == 0
    assert result.status("found again") == "warning"
    assert server.spans()[0]["trace_id"] in result.advice("found again")


def test_the_questions_before_the_span_change_nothing(server):
    server.default = by_path()
    check(server.url, "--no-span")
    assert [request.path for request in server.requests] == [INGEST, SEARCH, MGET]
    probe, search, mget = server.requests
    assert (probe.json(), probe.headers.get("Authorization")) == ({"spans": []}, None)
    assert search.json()["workspace_id"] == mget.json()["workspace_id"] == "7"
    assert mget.json()["queries"] == []


def test_tls_with_an_authority_that_python_trusts(authority):
    with TLSServer(authority.issue()) as server:
        result = check(server.url, "--no-span", SSL_CERT_FILE=authority.file)
    assert result.code == 0
    assert result.status("TLS") == "ok"
    assert "valid until" in result.seen("TLS")


def test_a_proxy_that_works(server):
    server.default = by_path()
    result = check("http://coze.example", "--no-span", HTTP_PROXY=server.url)
    assert result.code == 0
    assert "HTTP_PROXY" in result.seen("proxy")
    assert server.requests[0].path == "http://coze.example" + INGEST


def test_a_spool_that_can_be_written(inside, platform, tmp_path):
    result = inside(platform.url, COZELOOP_SPOOL_DIR=str(tmp_path / "new" / "spool"))
    assert result.status("folders") == "ok"
    assert list(tmp_path.iterdir()) == []


# -- wrong settings ---------------------------------------------------------------------------------------------------


def test_no_token(platform):
    result = check(platform.url, token="", COZELOOP_TOKEN="x", COZE_API_KEY="y")
    assert_cause(result, "credentials", "no token", "COZELOOP_API_TOKEN is not set", "COZELOOP_TOKEN, COZE_API_KEY")
    assert result.status("platform") == "ok"  # what can be told without one is told
    assert result.status("token accepted") == "skipped"


def test_no_workspace(platform):
    result = check(platform.url, workspace="")
    assert_cause(result, "workspace", "no workspace", "COZELOOP_WORKSPACE_ID")
    assert result.status("token accepted") == "ok"
    assert platform.store.spans() == []


def test_a_wrong_token_is_told_from_a_missing_workspace(inside, platform):
    result = inside(platform.url, token="another-secret-token", workspace="")
    assert [step["name"] for step in result.failed] == ["workspace", "token accepted"]


@pytest.mark.parametrize("quoted", ['"%s"', "'%s'", "“%s”"])
def test_a_token_in_quotation_marks(inside, platform, quoted):
    result = inside(platform.url, token=quoted % TOKEN)
    assert_cause(result, "credentials", "COZELOOP_API_TOKEN", "quotation marks", "Remove them")


def test_a_token_that_was_copied_in_two_lines(platform):
    result = check(platform.url, token=TOKEN[:10] + "\n" + TOKEN[10:])
    assert_cause(result, "credentials", "COZELOOP_API_TOKEN", "line breaks", "in one piece")


@pytest.mark.parametrize(("token", "word"), [(TOKEN + "\n", "line break"), ("Bearer " + TOKEN, "Bearer")])
def test_a_token_with_something_around_it_that_is_cut_off_works_and_is_noted(inside, platform, token, word):
    result = inside(platform.url, token=token)
    assert result.failed == []
    assert result.status("credentials") == "warning"
    assert word in result.seen("credentials")


def test_a_wrong_token(platform):
    result = check(platform.url, token="tok_0123456789-a-wrong-one")
    assert_cause(result, "token accepted", "COZELOOP_API_TOKEN", "does not accept", "602000101")
    assert platform.store.spans() == []


def test_a_token_of_the_hosted_platform_for_a_self_hosted_one(inside, platform):
    result = inside(platform.url, token="pat_of-another-platform")
    assert_cause(result, "token accepted", "COZELOOP_API_TOKEN", "looks like a token of the hosted platform")


def test_token_and_workspace_interchanged(inside, platform):
    result = inside(platform.url, token="7400000000000000001", workspace=TOKEN)
    assert_cause(result, "workspace", "COZELOOP_WORKSPACE_ID", "has a token in it")
    assert "interchanged" in result.advice("credentials")


def test_a_workspace_that_is_no_number(platform):
    result = check(platform.url, workspace="my-workspace")
    assert_cause(result, "workspace", "COZELOOP_WORKSPACE_ID", "is not a number", "'my-workspace'")


def test_a_workspace_of_somebody_else(platform):
    result = check(platform.url, workspace="8")
    assert_cause(result, "workspace accessible", "COZELOOP_WORKSPACE_ID", "may not use this workspace", "600900101")
    assert result.status("token accepted") == "ok"
    assert platform.store.spans() == []


def test_an_address_without_a_scheme():
    result = check("localhost:8888")
    assert_cause(result, "address", "COZELOOP_API_BASE_URL", "http://localhost:8888")
    assert result.status("connection") == "skipped"


def test_a_host_that_does_not_exist(inside, monkeypatch):
    unknown_hosts(monkeypatch, "no-such-host.invalid")
    result = inside("http://no-such-host.invalid:8888")
    assert_cause(result, "name resolution", "COZELOOP_API_BASE_URL", "no-such-host.invalid", "cannot be resolved")


def test_a_port_where_nobody_listens():
    port = free_port()
    result = check("http://localhost:%d" % port)
    assert_cause(result, "connection", "COZELOOP_API_BASE_URL", "nobody listens on localhost port %d" % port, "8888")


def test_the_port_of_the_web_page(server):
    server.default = text_answer("<html><h1>405 Not Allowed</h1>nginx</html>", 405, "text/html")
    result = check(server.url)
    assert_cause(result, "platform", "web page", "HTTP 405", "COZELOOP_API_BASE_URL=http://127.0.0.1:8888")


def test_an_html_page_with_status_200(server):
    server.default = text_answer("<!DOCTYPE html><title>Sign in</title>", 200, "text/html; charset=utf-8")
    result = check(server.url)
    assert_cause(result, "platform", "a web page", "not the CozeLoop API", "COZELOOP_API_BASE_URL", "'Sign in'")


def test_https_to_a_port_of_plain_http(platform):
    result = check(platform.url.replace("http:", "https:"), "--timeout", "2")
    assert_cause(result, "TLS", "speaks plain HTTP", "Set COZELOOP_API_BASE_URL=%s" % platform.url)


def test_http_to_a_port_of_tls(authority):
    with TLSServer(authority.issue()) as server:
        result = check(server.url.replace("https:", "http:"))
        assert_cause(result, "platform", "speaks TLS", "Set COZELOOP_API_BASE_URL=%s" % server.url)


def test_a_self_signed_certificate(authority):
    with TLSServer(authority.self_signed()) as server:
        result = check(server.url, REQUESTS_CA_BUNDLE="/some/file.pem")
    assert_cause(result, "TLS", "is self-signed", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE is set, which Python does not")


def test_a_certificate_of_an_unknown_authority(inside, authority):
    with TLSServer(authority.issue()) as server:
        result = inside(server.url, SSL_CERT_FILE="/no/such/file.pem")
    assert_cause(result, "TLS", "unknown authority", "SSL_CERT_FILE", "does not exist: /no/such/file.pem")


def test_an_expired_certificate(authority):
    with TLSServer(authority.issue(days=(-9, -1))) as server:
        result = check(server.url, SSL_CERT_FILE=authority.file)
    assert_cause(result, "TLS", "COZELOOP_API_BASE_URL", "has expired", "clock")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_for_another_host(authority, host):
    with TLSServer(authority.issue(names=("coze.example",))) as server:
        result = check("https://%s:%d" % (host, server.port), SSL_CERT_FILE=authority.file)
    assert_cause(result, "TLS", "COZELOOP_API_BASE_URL", "another host name than %s" % host)


def test_a_server_that_hangs(server):
    server.default = hang()
    began = time.monotonic()
    result = check(server.url, "--timeout", "0.5")
    assert_cause(result, "platform", "COZELOOP_API_BASE_URL", "does not answer within 0.5 s", "hangs")
    assert time.monotonic() - began < 20


def test_a_server_that_breaks_off(inside, server):
    server.default = reset()
    assert_cause(inside(server.url), "platform", "COZELOOP_API_BASE_URL", "gives no HTTP answer")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down(scheme):
    port = free_port()
    variable = scheme.upper() + "_PROXY"
    result = check(scheme + "://coze.example", **{variable: "http://me:pass-word@127.0.0.1:%d" % port})
    assert_cause(result, "connection", variable, "nobody listens on 127.0.0.1 port %d" % port, "NO_PROXY")
    assert "pass-word" not in json.dumps(result.report)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password(inside, server, scheme):
    server.default = text_answer("<html>who are you?</html>", 407, "text/html")
    result = inside(scheme + "://coze.example", **{scheme.upper() + "_PROXY": server.url})
    assert_cause(result, "platform", scheme.upper() + "_PROXY", "wants a user name and password", "407")


def test_a_proxy_that_does_not_let_the_request_through(inside, server):
    server.default = text_answer("no", 403)
    result = inside("https://coze.example", HTTPS_PROXY=server.url)
    assert_cause(result, "platform", "HTTPS_PROXY", "does not let the request through", "403")


def test_an_address_of_a_proxy_that_is_none(inside):
    result = inside("http://coze.example", HTTP_PROXY="socks5://secret-word@host:1080")
    assert_cause(result, "proxy", "HTTP_PROXY is not the address of a proxy")
    assert "secret-word" not in json.dumps(result.report)


@pytest.mark.parametrize(("hours", "word"), [(-2, "2 h 0 min ahead"), (2, "2 h 0 min behind")])
def test_a_clock_that_is_two_hours_off(server, hours, word):
    date = email.utils.formatdate(time.time() + hours * 3600, usegmt=True)
    server.default = json_answer({"code": 0, "msg": "", "data": {}}, headers={"Date": date})
    result = check(server.url)
    assert_cause(result, "clock", word, "drops spans", "NTP")
    assert result.status("token accepted") == "ok"
    assert server.spans() == []


def test_a_server_that_is_too_old(server):
    server.default = text_answer("404 page not found", 404)
    result = check(server.url)
    assert_cause(result, "platform", "COZELOOP_API_BASE_URL", "404", "too old")


def test_an_address_with_a_path_too_much(inside, server):
    server.default = text_answer("404 page not found", 404)
    assert_cause(inside(server.url + "/v1/loop"), "platform", "without a path: %s." % server.url)


def test_a_server_that_is_asked_too_often(server):
    server.default = json_answer({"code": 429, "msg": "slow down"}, 429, {"Retry-After": "17"})
    assert_cause(check(server.url), "platform", "asked too often", "429", "No setting is wrong", "17 seconds")


def test_a_server_that_fails(inside, server):
    server.default = text_answer("<title>502 Bad Gateway</title>", 502, "text/html")
    assert_cause(inside(server.url), "platform", "COZELOOP_API_BASE_URL", "fails: HTTP 502", "log of the server")


def test_a_redirect_to_https(inside, server):
    location = "https://api.example" + INGEST
    server.default = json_answer({}, 301, {"Location": location})
    assert_cause(inside(server.url), "platform", "redirects to", "Set COZELOOP_API_BASE_URL=https://api.example")


def test_a_workspace_without_quota(server):
    refused = json_answer({"code": 600903230, "msg": "no capacity available to report trace"})
    server.default = by_path(ingest=refused)
    result = check(server.url)
    assert_cause(result, "test span", "no capacity left", "600903230", "quota", "COZELOOP_WORKSPACE_ID")


def test_a_workspace_that_only_the_span_tells_of(inside, server):
    refused = json_answer({"code": 600900101, "msg": "no access permission"})
    server.default = by_path(search=text_answer("404", 404), ingest=refused)
    result = inside(server.url)
    assert_cause(result, "test span", "may not use this workspace", "COZELOOP_WORKSPACE_ID")


def test_a_gateway_that_takes_the_token_away(inside, server):
    server.default = json_answer({"code": 602000702, "msg": "Service Internal Error"}, headers={"X-Log-ID": "log-1"})
    assert_cause(inside(server.url), "token accepted", "took the token away", "log-1", "Authorization")


def test_a_token_of_the_hosted_gateway_that_is_invalid(inside, server):
    server.default = json_answer({"code": 4100, "msg": "authentication is invalid"}, 401)
    assert_cause(inside(server.url), "token accepted", "COZELOOP_API_TOKEN", "authentication is invalid")


def test_a_gateway_that_refuses_with_words_of_its_own(inside, server):
    blocked = text_answer("<html>blocked", 403, "text/html")
    server.default = by_path(search=blocked, ingest=json_answer({"code": 600904002, "msg": "no spans provided"}))
    result = inside(server.url)
    assert_cause(result, "token accepted", "a gateway before the platform", "403", "new_client(headers=...)")
    assert "may not use this workspace" not in json.dumps(result.report)


def test_prompts_that_the_token_may_not_read_are_a_warning(inside, server):
    server.default = by_path(mget=json_answer({"code": 600500101, "msg": "no access permission"}))
    result = inside(server.url, send_span=False)
    assert result.failed == []
    assert result.status("prompts") == "warning"


def test_an_oauth_application_that_is_not_complete(inside, platform):
    result = inside(platform.url, token="", COZELOOP_JWT_OAUTH_CLIENT_ID="c", COZELOOP_JWT_OAUTH_PUBLIC_KEY_ID="k")
    assert_cause(result, "credentials", "not complete", "Set COZELOOP_JWT_OAUTH_PRIVATE_KEY")
    assert result.status("platform") == "ok"


def oauth(**changes):
    names = {"CLIENT_ID": "client-1", "PUBLIC_KEY_ID": "key-id-0123456789", "PRIVATE_KEY": "key.pem", **changes}
    return {"COZELOOP_JWT_OAUTH_" + name: value for name, value in names.items()}


def test_an_oauth_application_with_a_key_that_is_none(inside, platform):
    result = inside(platform.url, **oauth())
    assert_cause(result, "credentials", "neither PEM nor base64")
    assert result.status("platform") == "ok"


def test_an_oauth_application_at_a_platform_without_oauth(inside, platform):
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    result = inside(platform.url, **oauth(PRIVATE_KEY=key.decode("ascii")))
    assert_cause(result, "token accepted", "COZELOOP_API_TOKEN", "There is no OAuth at this address")
    assert "client-1" in result.seen("credentials")
    assert "****6789" in result.seen("credentials")
    assert "PRIVATE KEY-----" not in json.dumps(result.report)


def test_a_spool_that_cannot_be_written(inside, platform, tmp_path):
    (tmp_path / "file").write_text("")
    result = inside(platform.url, COZELOOP_SPOOL_DIR=str(tmp_path / "file" / "spool"))
    assert_cause(result, "folders", "COZELOOP_SPOOL_DIR", "is not a folder")


def test_the_span_of_a_check_is_not_kept_for_later(inside, server, tmp_path):
    accepted = by_path()
    server.default = lambda request: json_answer({}, 503) if request.spans() else accepted(request)
    result = inside(server.url, timeout=2, COZELOOP_SPOOL_DIR=str(tmp_path))
    assert_cause(result, "test span", "HTTP 503")
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_says_of_the_span_is_told_and_not_what_became_of_a_last_attempt(inside, server):
    accepted = by_path()

    def answer(request):
        if not request.spans():
            return accepted(request)
        time.sleep(2 * CLOSE_SECONDS)  # longer than the last attempt may take
        return json_answer({}, 503)

    server.default = answer
    assert_cause(inside(server.url, timeout=2), "test span", "HTTP 503")


def test_a_machine_without_urllib3(platform, tmp_path):
    (tmp_path / "urllib3.py").write_text("raise ImportError('there is none')\n")
    result = check(platform.url, PYTHONPATH=os.pathsep.join([str(tmp_path), ROOT]))
    assert_cause(result, "software", "urllib3 cannot be imported", "pip install")
    assert result.status("platform") == "skipped"


# -- the output -------------------------------------------------------------------------------------------------------


def test_the_text_has_a_line_for_each_step_the_advice_below_and_no_colors():
    done = start(COZELOOP_API_BASE_URL="localhost:8888", COZELOOP_WORKSPACE_ID="7", COZELOOP_API_TOKEN=TOKEN)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith("✗ address")
    assert lines[1].strip().startswith("→ Write the scheme, too: COZELOOP_API_BASE_URL=http://localhost:8888")
    assert lines[2].startswith("✓ workspace")
    assert lines[-1] == "failed: address"
    assert "\x1b" not in done.stdout


def test_a_terminal_without_these_signs_gets_words():
    done = start(COZELOOP_WORKSPACE_ID="7", COZELOOP_API_BASE_URL="x", PYTHONIOENCODING="ascii")
    assert done.stdout.startswith("FAILED  address")
    assert "\n" + " " * 8 + "ok" not in done.stdout
    assert "-> " in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["--timeout", "x"], ["--token", TOKEN]])
def test_wrong_arguments_and_a_token_among_them(arguments):
    assert start(*arguments).returncode == 2


# -- a client ---------------------------------------------------------------------------------------------------------


def statuses(report):
    return {step.name: step.status for step in report.steps}


def test_a_client_is_checked_without_touching_its_own_spans(platform):
    client = new_client(platform.url, "7", TOKEN)
    report = check_client(client)
    assert report.ok, str(report)
    assert statuses(report)["found again"] == "ok"
    assert client.stats()["started"] == 0
    assert "(argument)" in str(report)
    assert TOKEN not in str(report) + repr(report) + json.dumps(report.to_dict())


def test_a_check_in_the_middle_of_a_trace_is_no_part_of_it(platform):
    client = new_client(platform.url, "7", TOKEN)
    with client.start_span("outer", "custom") as outer:
        assert check_client(client).ok
        assert client.get_span_from_context() is outer
    (span,) = platform.store.spans()
    assert span["parent_id"] == "0"
    assert span["trace_id"] != outer.trace_id


def test_the_span_of_a_check_goes_where_those_of_the_client_go(server):
    server.default = by_path(search=text_answer("404", 404))
    paths = APIBasePath(trace_span_upload_path="/mine")
    client = new_client(server.url, "7", TOKEN, api_base_path=paths)
    assert check_client(client).ok
    assert [request.path for request in server.requests if request.spans()] == ["/mine"]


def test_all_that_a_check_sends_goes_to_the_paths_of_the_client(server):
    server.default = by_path(ingest=text_answer("404", 404), search=text_answer("404", 404))
    paths = APIBasePath(trace_span_upload_path="/mine")
    report = check_client(new_client(server.url, "7", TOKEN, api_base_path=paths))
    assert report.ok, str(report)
    probe, *more = [request.json() for request in server.requests if request.path == "/mine"]
    assert (probe, len(more)) == ({"spans": []}, 2)  # is it the platform, does it know the token, the test span
    assert INGEST not in [request.path for request in server.requests]


def test_a_client_with_an_httpx_client_is_checked_as_far_as_that_tells(platform):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(trust_env=False) as carrier:
        report = check_client(new_client(platform.url, "7", TOKEN, http_client=carrier))
    assert report.ok, str(report)
    found = statuses(report)
    assert {found[name] for name in ("proxy", "name resolution", "connection", "TLS")} == {"skipped"}
    assert {found[name] for name in ("platform", "token accepted", "test span", "found again")} == {"ok"}


def test_a_client_with_an_httpx_client_that_reaches_nobody_is_no_exception():
    httpx = pytest.importorskip("httpx")
    with httpx.Client(trust_env=False) as carrier:
        report = check_client(new_client("http://127.0.0.1:%d" % free_port(), "7", TOKEN, http_client=carrier))
    assert statuses(report)["platform"] == "failed"
    assert "the check itself failed" not in str(report)


def test_a_client_with_a_pool_whose_proxy_is_down():
    port = free_port()
    pool = urllib3.ProxyManager("http://127.0.0.1:%d" % port)
    report = check_client(new_client("http://coze.example", "7", TOKEN, http_client=pool))
    assert statuses(report)["connection"] == "failed"
    assert "the proxy of http_client" in str(report)


def test_a_client_whose_token_function_fails(platform):
    def token():
        raise RuntimeError("the secret is s3cret-word")

    report = check_client(new_client(platform.url, "7", token))
    assert statuses(report)["token accepted"] == "failed"
    assert "the function given as api_token failed: RuntimeError" in str(report)
    assert "s3cret-word" not in str(report)


def test_a_client_that_is_refused_is_no_exception(server, logged):
    server.default = by_path(ingest=REFUSED)
    report = check_client(new_client(server.url, "7", TOKEN))
    assert not report.ok
    assert statuses(report)["test span"] == "failed"
    assert "602000101" in str(report)


def test_a_check_takes_no_more_time_than_it_may(server):
    server.default = by_path(search=hang(), ingest=json_answer({"code": 0}))
    client = new_client(server.url, "7", TOKEN)
    began = time.monotonic()
    report = check_client(client, timeout=1)  # for each step: those before have to come to their end
    assert time.monotonic() - began < 20
    assert statuses(report)["token accepted"] == "failed"


def test_what_was_asked_for_wrongly_is_an_error(platform):
    with pytest.raises(errors.InvalidParamError, match="timeout"):
        check_client(new_client(platform.url, "7", TOKEN), timeout=0)
