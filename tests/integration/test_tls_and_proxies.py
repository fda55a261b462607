"""The way to the platform: who is trusted to be it, through which proxy, and who gets to know the token on it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from urllib.parse import quote

import pytest
import urllib3

from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.api import addresses, cut_off, proxies, redirects
from support.calling import wait_for
from support.certificates import Authority, SecureServer
from support.proxying import ForwardProxy
from support.recording import (
    ACCEPT,
    LOOPBACK,
    dead_port,
    delay_until,
    drip,
    hang,
    json_answer,
    silent_server,
    text_answer,
)

TOKEN = "pat_secret_0123456789"
PASSWORD = "p@ss:w0rd/ünï"
PATH = "/v1/loop/things"
GENEROUS = 5.0  # seconds: far above every deadline here
VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "request_method")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("server")


@pytest.fixture
def secure(certificate):
    with SecureServer(certificate) as server:
        yield server


@pytest.fixture
def trusted(secure, authority, monkeypatch):
    """A server with TLS whose authority the machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.path)
    return secure


@pytest.fixture
def proxy():
    with ForwardProxy() as proxy:
        yield proxy


@pytest.fixture
def known_names(monkeypatch):
    """``platform.test`` is this machine."""
    lookup = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **kwargs: lookup(LOOPBACK if host == "platform.test" else host, *args, **kwargs),
    )


def api_for(server, host=None, **settings):
    url = server if isinstance(server, str) else server.url
    return ApiClient(url.replace(LOOPBACK, host) if host else url, TOKEN, **settings)


@contextlib.contextmanager
def raising(kind, *words):
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        yield caught
    assert time.monotonic() - began < GENEROUS
    for word in words:
        assert word in str(caught.value)


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_vouches_for_is_refused(secure):
    with raising(errors.NetworkError, "certificate verify failed", "SSL_CERT_FILE", "ca_certs"):
        api_for(secure).get(PATH)
    assert secure.requests == []


def test_it_is_accepted_when_the_system_trusts_its_authority(trusted):
    assert api_for(trusted).get(PATH)["code"] == 0
    assert trusted.requests[0].headers["Authorization"] == "Bearer " + TOKEN


def test_it_is_accepted_by_a_pool_that_trusts_its_authority(secure, authority):
    pool = urllib3.PoolManager(ca_certs=authority.path)
    assert api_for(secure, http_client=pool).get(PATH)["code"] == 0


def test_another_authority_will_not_do(secure, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", Authority(tmp_path, "another").path)
    with raising(errors.NetworkError, "certificate verify failed"):
        api_for(secure).get(PATH)


def test_a_certificate_for_another_host_is_refused(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", authority.path)
    with SecureServer(authority.issue("other", ["other.test"], [])) as server:
        with raising(errors.NetworkError) as caught:
            api_for(server).get(PATH)
        assert re.search("match|not valid", str(caught.value))
        assert server.requests == []


def test_a_server_that_knows_its_clients_gets_their_certificate(authority, certificate):
    client = authority.issue("client", ["client"], [])
    with SecureServer(certificate, clients=authority.path) as server:
        with raising(errors.NetworkError):
            api_for(server, http_client=urllib3.PoolManager(ca_certs=authority.path)).get(PATH)
        assert server.requests == []
        pool = urllib3.PoolManager(ca_certs=authority.path, cert_file=client)
        assert api_for(server, http_client=pool).get(PATH)["code"] == 0


def test_a_stream_comes_through_tls(trusted):
    trusted.answers(text_answer("data: 1\n\ndata: 2\n\n", content_type="text/event-stream"))
    with api_for(trusted).stream("POST", PATH, {}) as events:
        assert [event.data for event in events] == ["1", "2"]


def test_one_connection_serves_many_requests(trusted):
    api = api_for(trusted)
    for _ in range(5):
        api.post(PATH, {"x": "y" * 100_000})
    assert trusted.connections == 1


def test_a_handshake_that_never_ends_is_a_timeout():
    with silent_server() as url, raising(errors.RequestTimeoutError):
        api_for(url.replace("http:", "https:")).get(PATH, timeout=0.3)


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_a_server_that_drips_is_a_timeout(trusted, slow):
    trusted.answers(drip({"code": 0, "x": "y" * 100}, 10, slow=slow))
    with raising(errors.RequestTimeoutError):
        api_for(trusted).get(PATH, timeout=0.5)


def test_a_server_that_drips_its_body_is_a_timeout_for_a_pool_of_the_programs_own_too(secure, authority):
    secure.answers(drip({"code": 0, "x": "y" * 100}, 10))
    with raising(errors.RequestTimeoutError):
        api_for(secure, http_client=urllib3.PoolManager(ca_certs=authority.path)).get(PATH, timeout=0.5)


def test_an_upload_through_tls_that_may_be_cut_off_arrives_all_the_same(trusted):
    looks, goes_on = [], threading.Event()

    def due():
        looks.append(1)
        if len(looks) > 30:  # there are fewer while it is sent
            goes_on.set()
        return False

    trusted.default = delay_until(goes_on, ACCEPT)
    content = os.urandom(100_000)
    answer = cut_off.call(due, lambda: api_for(trusted).upload_file(PATH, content, "key"))
    assert answer["code"] == 0
    assert content in trusted.requests[0].body


def test_plain_text_where_tls_was_due_is_a_network_error(server):
    with raising(errors.NetworkError):
        # A server that finds no end of a line in what it took for a request waits for one.
        api_for(server.url.replace("http:", "https:")).get(PATH, timeout=0.5)


def test_a_redirect_never_leads_out_of_tls(trusted, server):
    trusted.answers(json_answer({}, 302, {"Location": server.url + "/plain"}))
    with raising(errors.RemoteServiceError, "never from https to http"):
        api_for(trusted).get(PATH)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "target", "same"),
    [
        ("https://h/a", "https://h/b", True),
        ("https://h/a", "https://H:443/b", True),
        ("http://h/a", "https://h/b", True),  # only the way became better
        ("http://h:80/a", "https://h:443/b", True),
        ("http://h:8888/a", "https://h:8888/b", False),
        ("http://h:8888/a", "http://h:9999/b", False),
        ("https://h/a", "https://h.evil/b", False),
        ("https://api.h/a", "https://h/b", False),
        ("https://h/a", "http://h/b", False),
        ("http://[::1]:8/a", "http://[::1]:8/b", True),
    ],
)
def test_which_servers_are_the_same(url, target, same):
    assert redirects.same_place(url, target) is same


# -- plain text -------------------------------------------------------------------------------------------------------


PRIVATE = """
    localhost LOCALHOST localhost. app.localhost 127.0.0.1 127.8.0.1 [::1] 10.1.2.3 172.16.0.1 192.168.1.1 169.254.1.1
    [fd00::1] [fe80::1] coze-loop-app printer.local app.ns.svc.cluster.local host.docker.internal
"""


@pytest.mark.parametrize("host", PRIVATE.split())
def test_nothing_is_said_about_plain_text_in_a_private_network(host, logged):
    addresses.warn_of_plain_text("http://%s:8888" % host)
    assert logged() == []


@pytest.mark.parametrize("host", ["api.example.com", "172.32.0.1", "8.8.8.8", "[2001:4860::1]", "localhost.evil.com"])
def test_plain_text_to_a_public_host_is_warned_of_once(host, logged):
    for _ in range(3):
        addresses.warn_of_plain_text("http://%s:1" % host)
    addresses.warn_of_plain_text("https://%s:1" % host)
    (message,) = logged()
    assert "http://%s:1" % host in message
    assert "COZELOOP_API_BASE_URL" in message


def test_the_warning_comes_with_the_first_request_and_each_address_has_its_own(proxy, server, monkeypatch, logged):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    hosts = "one.plain.test", "two.plain.test"
    clients = [api_for(server, host) for host in hosts for _ in "ab"]
    assert logged() == []
    for api in clients:
        assert api.get(PATH)["code"] == 0
    assert [[host in line for line in logged()] for host in hosts] == [[True, False], [False, True]]


# -- proxies ----------------------------------------------------------------------------------------------------------


def test_http_goes_through_the_proxy_as_a_whole_address(server, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert api_for(server, "platform.test").post(PATH, {"a": 1}, params={"b": 2})["code"] == 0
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("POST", "http://platform.test:%d%s?b=2" % (server.port, PATH))
    assert server.requests[0].json() == {"a": 1}
    assert server.requests[0].headers["Authorization"] == "Bearer " + TOKEN
    assert server.requests[0].headers["Host"] == "platform.test:%d" % server.port


def test_https_goes_through_a_tunnel_in_which_the_proxy_sees_nothing(trusted, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    api = api_for(trusted, "platform.test")
    for _ in range(3):
        assert api.post(PATH, {"a": 1})["code"] == 0
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", "platform.test:%d" % trusted.port)
    assert TOKEN not in str(asked.headers)
    assert trusted.requests[0].headers["Authorization"] == "Bearer " + TOKEN


def test_who_is_at_the_end_of_the_tunnel_is_checked(secure, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with raising(errors.NetworkError, "certificate verify failed"):
        api_for(secure, "platform.test").get(PATH)


def test_spans_and_streams_go_through_the_proxy(trusted, proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy.url)
    client = new_client(trusted.url.replace(LOOPBACK, "platform.test"), "7", TOKEN)
    client.start_span("a", "custom").finish()
    assert client.flush()
    trusted.answers(text_answer("data: 1\n\n", content_type="text/event-stream"))
    with client.api.stream("POST", PATH, {}) as events:
        assert [event.data for event in events] == ["1"]
    assert [span["span_name"] for span in trusted.spans()] == ["a"]
    assert {asked.method for asked in proxy.asked} == {"CONNECT"}


def test_the_environment_is_read_for_each_request(server, proxy, monkeypatch, known_names):
    api = api_for(server, "platform.test")
    api.get(PATH)
    monkeypatch.setenv("http_proxy", proxy.url)
    api.get(PATH)
    assert len(proxy.asked) == 1
    monkeypatch.setenv("NO_PROXY", "platform.test")
    api.get(PATH)
    assert (len(proxy.asked), len(server.requests)) == (1, 3)


def test_nothing_on_this_machine_is_asked_for_through_a_proxy(server, monkeypatch):
    for name in VARIABLES[:2]:
        monkeypatch.setenv(name, "http://%s:%d" % (LOOPBACK, dead_port()))
    for host in (LOOPBACK, "localhost"):
        assert api_for(server, host).get(PATH)["code"] == 0


def test_a_pool_of_the_programs_own_goes_its_own_way(server, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://%s:%d" % (LOOPBACK, dead_port()))
    assert api_for(server, http_client=urllib3.ProxyManager(proxy.url)).get(PATH)["code"] == 0
    assert len(proxy.asked) == 1


def test_a_redirect_to_another_host_finds_the_way_to_that(server, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    server.answers(json_answer({}, 302, {"Location": server.url + "/here"}))
    assert api_for(server, "platform.test").get(PATH)["code"] == 0
    assert len(proxy.asked) == 1
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer " + TOKEN, None]


@pytest.mark.parametrize("kind", ["http", "https"])
def test_user_and_password_of_the_proxy_are_sent_to_it_and_to_nobody_else(kind, server, trusted, monkeypatch):
    target = server if kind == "http" else trusted
    with ForwardProxy("ann", PASSWORD) as proxy:
        address = "http://ann:%s@%s:%d/" % (quote(PASSWORD, safe=""), LOOPBACK, proxy.port)
        monkeypatch.setenv(kind + "_proxy", address)
        assert api_for(target, "platform.test").get(PATH)["code"] == 0
        assert target.requests[0].headers["Proxy-Authorization"] is None


def shown(problem):
    """All that is shown of an exception and of those behind it."""
    text = ""
    while problem is not None:
        text += "%s %r %r" % (problem, problem, problem.__dict__)
        problem = problem.__cause__ or problem.__context__
    return text


@pytest.mark.parametrize("kind", ["http", "https"])
def test_a_proxy_that_wants_another_password_is_an_error_without_it(kind, server, trusted, monkeypatch):
    with ForwardProxy("ann", "right") as proxy:
        monkeypatch.setenv(kind + "_proxy", "http://ann:wrong-and-secret@%s:%d" % (LOOPBACK, proxy.port))
        with raising(errors.HttpError, "407") as caught:
            api_for(server if kind == "http" else trusted, "platform.test").get(PATH)
    assert "wrong-and-secret" not in shown(caught.value)


@pytest.mark.parametrize("kind", ["http", "https"])
def test_a_proxy_that_repeats_its_password_does_not_bring_it_into_the_error(kind, server, trusted, proxy, monkeypatch):
    def repeat(handler, asked):
        handler.say(b"HTTP/1.1 502 %s\r\n\r\n<html>" % asked.headers["Proxy-Authorization"].encode())
        handler.say(b"%s wrong-and-secret" % asked.headers["Proxy-Authorization"].encode())

    proxy.answer = repeat
    monkeypatch.setenv(kind + "_proxy", "http://ann:wrong-and-secret@%s:%d" % (LOOPBACK, proxy.port))
    with raising(errors.HttpError, "502") as caught:
        api_for(server if kind == "http" else trusted, "platform.test").get(PATH)
    assert "***" in str(caught.value)
    for secret in ("wrong-and-secret", "YW5uOndyb25nLWFuZC1zZWNyZXQ"):
        assert secret not in shown(caught.value)


def test_spans_that_a_proxy_does_not_let_through_are_not_tried_one_by_one(server, monkeypatch, logged):
    with ForwardProxy("ann", "right") as proxy:
        monkeypatch.setenv("HTTP_PROXY", "http://ann:wrong@%s:%d" % (LOOPBACK, proxy.port))
        client = new_client(server.url.replace(LOOPBACK, "platform.test"), "7", TOKEN)
        for _ in range(10):
            client.start_span("a", "custom").finish()
        client.flush(5)
        assert client.stats()["dropped"] == {"refused": 10}
        assert len(proxy.asked) <= 2
    assert any("user and password in the address of the proxy" in line for line in logged())


def test_a_proxy_that_is_not_there_is_named(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://ann:secret-word@%s:%d" % (LOOPBACK, dead_port()))
    with raising(errors.NetworkError, "HTTP_PROXY", "http://%s:%d" % (LOOPBACK, dead_port())) as caught:
        api_for(server, "platform.test").get(PATH)
    assert "secret-word" not in shown(caught.value)


def drip_an_answer(handler, asked):
    for byte in b"HTTP/1.1 200 OK\r\nX-Header: " + b"x" * 1000:
        handler.say(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["http", "https"])
@pytest.mark.parametrize("answer", ["silence", "drip"])
def test_the_deadline_holds_for_the_proxy(kind, answer, server, trusted, proxy, monkeypatch):
    over = threading.Event()
    proxy.answer = drip_an_answer if answer == "drip" else lambda handler, asked: over.wait(30)
    monkeypatch.setenv(kind + "_proxy", proxy.url)
    try:
        with raising(errors.RequestTimeoutError, kind + "_proxy"):
            api_for(server if kind == "http" else trusted, "platform.test").get(PATH, timeout=0.5)
    finally:
        over.set()


@pytest.mark.parametrize("slow", ["headers", "body"])
@pytest.mark.parametrize("kind", ["http", "https"])
def test_the_deadline_holds_for_what_is_behind_the_proxy(kind, slow, server, trusted, proxy, monkeypatch):
    target = server if kind == "http" else trusted
    target.answers(drip({"code": 0, "x": "y" * 100}, 10, slow=slow))
    monkeypatch.setenv(kind + "_proxy", proxy.url)
    with raising(errors.RequestTimeoutError):
        api_for(target, "platform.test").get(PATH, timeout=0.5)


def test_the_deadline_holds_for_the_handshake_in_the_tunnel(proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy.url)
    with silent_server() as url, raising(errors.RequestTimeoutError):
        api_for(url.replace("http:", "https:"), "platform.test").get(PATH, timeout=0.3)


@pytest.mark.parametrize(
    "address", ["socks5://h:1080", "http://", "http://h:port", "ftp://h", "http://ann:secret-word@:80", "http://a b"]
)
def test_what_is_no_proxy_is_an_error_that_names_the_variable_and_shows_nothing(address, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", address)
    with raising(errors.InvalidParamError, "HTTP_PROXY", "http_client") as caught:
        api_for(server, "platform.test").get(PATH)
    assert "secret-word" not in shown(caught.value)


def test_a_broken_proxy_setting_costs_spans_a_warning_and_waits_to_be_mended(server, monkeypatch, logged, known_names):
    monkeypatch.setenv("HTTP_PROXY", "socks5://h:1080")
    client = new_client(server.url.replace(LOOPBACK, "platform.test"), "7", TOKEN)
    client.start_span("a", "custom").finish()
    assert not client.flush(0.3)
    wait_for(lambda: any("HTTP_PROXY" in line for line in logged()))
    monkeypatch.delenv("HTTP_PROXY")
    assert client.flush(20)
    assert server.names() == ["a"]


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://h/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://h/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h/", None),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:2"}, "https://h/", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, "https://h/", None),
        ({"HTTPS_PROXY": "p:3128"}, "https://h/", "http://p:3128"),
        ({"HTTPS_PROXY": "https://p"}, "https://h/", "https://p"),
        ({"HTTPS_PROXY": " http://u:s@[fd00::1]:3128/x "}, "https://h/", "http://[fd00::1]:3128"),
        ({"HTTP_PROXY": "http://p:1"}, "http://h/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h/", None),  # httpoxy
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://h/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost:8/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:8/", None),
    ],
)
def test_which_proxy_the_environment_names(environment, url, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxies.proxy_for(url)
    assert (found.url if found is not None else None) == expected


@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("*", "https://h/", True),
        ("api.coze.cn", "https://api.coze.cn/", True),
        ("coze.cn", "https://api.coze.cn/", True),
        (".coze.cn", "https://api.coze.cn/", True),
        ("*.coze.cn", "https://api.coze.cn/", True),
        ("COZE.CN", "https://Api.Coze.Cn/", True),
        ("a, b ,coze.cn", "https://coze.cn/", True),
        ("oze.cn", "https://api.coze.cn/", False),
        ("coze.cn.evil", "https://api.coze.cn/", False),
        ("h:8888", "https://h:8888/", True),
        ("h:8888", "https://h:9999/", False),
        ("10.0.0.0/8", "https://10.200.1.1/", True),
        ("10.0.0.0/8", "https://11.0.0.1/", False),
        ("10.0.0.0/8", "https://ten.example/", False),
        ("10.0.0.0/99,h", "https://10.0.0.1/", False),
        ("fd00::/8", "https://[fd00::1]:8888/", True),
        ("[fd00::1]", "https://[fd00::1]/", True),
        ("192.168.1.1", "https://192.168.1.1:8888/", True),
        ("", "https://h/", False),
        (" , ,", "https://h/", False),
    ],
)
def test_what_no_proxy_excepts(listed, url, direct, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (proxies.proxy_for(url) is None) is direct


# -- a proxy as people have them ---------------------------------------------------------------------------------------


@pytest.fixture
def tinyproxy(tmp_path):
    """The address of a running tinyproxy, and its log."""
    program = shutil.which("tinyproxy")
    if program is None:
        pytest.skip("needs tinyproxy")
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        port = holder.getsockname()[1]
    log = tmp_path / "log"
    settings = ["Port %d" % port, "Listen %s" % LOOPBACK, "Timeout 60", 'LogFile "%s"' % log, "LogLevel Connect"]
    settings += ["Allow 127.0.0.0/8", "BasicAuth ann s3cret-word", "MaxClients 20"]
    (tmp_path / "conf").write_text("\n".join(settings) + "\n")
    with subprocess.Popen([program, "-d", "-c", str(tmp_path / "conf")], stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while socket.socket().connect_ex((LOOPBACK, port)):
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.02)
            yield "http://ann:s3cret-word@%s:%d" % (LOOPBACK, port), log
        finally:
            process.terminate()


@pytest.mark.skipif(os.name == "nt", reason="0.0.0.0 is no way to this machine there")
@pytest.mark.parametrize("kind", ["http", "https"])
def test_a_real_proxy_is_used_and_bypassed(kind, tinyproxy, server, trusted, monkeypatch):
    address, log = tinyproxy
    target = server if kind == "http" else trusted
    here = "0.0.0.0"  # leads to this machine, and is no loopback address by name
    monkeypatch.setenv(kind + "_proxy", address)
    api = api_for(target, here)
    assert api.post(PATH, {"x": "y" * 300_000})["code"] == 0
    assert len(target.requests[0].body) > 300_000
    wanted = "%s:%d" % (here, target.port)
    assert wanted in log.read_text()
    target.answers(hang())
    api = api_for(target, here)  # has no connection yet that the proxy may be about to close
    with raising(errors.RequestTimeoutError):
        api.get(PATH, timeout=0.5)
    target.forget_answers()
    before = log.read_text().count("Request (file")
    monkeypatch.setenv("no_proxy", here)
    assert api.get(PATH)["code"] == 0
    assert log.read_text().count("Request (file") == before
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv(kind + "_proxy", address.replace("s3cret-word", "wr0ng-word"))
    with raising(errors.HttpError, "40") as caught:
        api.get(PATH)
    assert "wr0ng-word" not in shown(caught.value)
