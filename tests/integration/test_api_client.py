"""The API client over real connections: what goes over the wire, the deadline, each way in which a call can fail."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3

from cozeloop_lite import ApiClient, __version__, errors, new_client
from cozeloop_lite.api import body, transport
from cozeloop_lite.api import client as client_module
from cozeloop_lite.local import StandInServer
from support.calling import TOKEN, Ahead, raising, unknown_hosts
from support.recording import (
    LOOPBACK,
    Live,
    RecordingServer,
    close_early,
    dead_port,
    drip,
    hang,
    json_answer,
    reset,
    silent_server,
    text_answer,
)

PATH = "/v1/loop/things"


def api_for(server, token=TOKEN, **settings):
    return ApiClient(getattr(server, "url", server), token, **settings)


# -- what is sent


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_a_request_says_who_asks_and_for_whom(server, method):
    assert getattr(api_for(server), method)(PATH) == {"code": 0, "msg": ""}
    (request,) = server.requests
    assert (request.method, request.path) == (method.upper(), PATH)
    assert request.headers.get_all("Authorization") == ["Bearer " + TOKEN]
    (agent,) = request.headers.get_all("User-Agent")
    assert agent.startswith("cozeloop-lite/%s python/%s " % (__version__, platform.python_version().split("+")[0]))
    assert json.loads(request.headers["X-Coze-Client-User-Agent"]) == {
        "version": __version__,
        "lang": "python",
        "lang_version": platform.python_version().split("+")[0],
        "os_name": platform.system().lower(),
        "os_version": "unknown",
        "scene": "cozeloop",
        "source": "openapi",
    }
    if method in ("post", "put"):
        assert request.json() == {}
        assert request.headers["Content-Type"] == "application/json"


def test_the_body_is_compact_json_in_utf_8(server):
    api_for(server).post(PATH, {"文": ["字", 1, None, True], "n": 1 << 60})
    assert server.requests[0].body == '{"文":["字",1,null,true],"n":1152921504606846976}'.encode()
    api_for(server).delete(PATH, {"ids": [1]})
    assert server.requests[1].body == b'{"ids":[1]}'


def test_the_query_is_encoded_and_none_is_absent(server):
    api_for(server).get(PATH, params={"q": "a b&c=日", "ids": [1, 2], "none": None})
    assert server.requests[0].path == PATH + "?q=a+b%26c%3D%E6%97%A5&ids=1&ids=2"
    api_for(server).get(PATH + "?a=1", params={"b": 2})
    assert server.requests[1].path == PATH + "?a=1&b=2"


def test_a_base_url_may_have_a_path_and_a_slash_at_its_end(server):
    ApiClient(server.url + "/proxy/", TOKEN).get(PATH)
    assert server.requests[0].path == "/proxy" + PATH


@pytest.mark.parametrize("path", ["", "no/slash", "/a b", "/a\r\nX-Evil: 1", "/\x7f", None, 5])
def test_a_path_that_cannot_be_sent_is_an_error_before_anything_is(server, path):
    with raising(errors.InvalidParamError):
        api_for(server).get(path)
    assert server.requests == []


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": object()}, "\ud800"], ids=["nan", "object", "surrogate"])
def test_data_that_is_no_json_is_an_error_before_anything_is_sent(server, data):
    with raising(errors.InvalidParamError):
        api_for(server).post(PATH, data)
    circle = []
    circle.append(circle)
    with raising(errors.InvalidParamError):
        api_for(server).post(PATH, circle)
    assert server.requests == []


@pytest.mark.parametrize("timeout", [0, -1, "3", float("inf"), float("nan"), True])
def test_a_timeout_that_is_none_is_an_error(server, timeout):
    with raising(errors.InvalidParamError):
        api_for(server).get(PATH, timeout=timeout)


def test_a_very_long_timeout_is_fine(server):
    assert api_for(server, timeout=1e12).get(PATH, timeout=1e15)["code"] == 0


def test_own_headers_are_sent_and_replace_ours_in_any_case_but_not_the_token(server):
    headers = {"X-Team": "blue", "user-agent": "mine", "authorization": "Basic x", "content-type": "text/plain"}
    api_for(server, headers=headers).post(PATH, {})
    (request,) = server.requests
    assert request.headers.get_all("X-Team") == ["blue"]
    assert request.headers.get_all("User-Agent") == ["mine"]
    assert request.headers.get_all("Authorization") == ["Bearer " + TOKEN]
    assert request.headers.get_all("Content-Type") == ["application/json"]


def test_the_lane_of_the_environment_is_read_for_each_request(server, monkeypatch, logged):
    api = api_for(server)
    monkeypatch.setenv("x_tt_env", "boe_lane")
    monkeypatch.setenv("x_use_ppe", "1")
    api.get(PATH)
    assert server.requests[0].headers["x-tt-env"] == "boe_lane"
    assert server.requests[0].headers["x-use-ppe"] == "1"
    monkeypatch.setenv("x_tt_env", "a\nb")
    monkeypatch.delenv("x_use_ppe")
    api.get(PATH)
    assert server.requests[1].headers["x-tt-env"] is None
    assert any("x_tt_env" in message for message in logged())


def test_an_upload_is_a_multipart_form_as_the_platform_reads_it(server):
    """Contract siblings.md 2.6: a file part ``file`` whose file name is the key, a form field ``workspace_id``."""
    content = bytes(range(256)) * 10 + b"\r\n--boundary?--\r\n"
    api_for(server).upload_file("/v1/loop/files/upload", content, "trace_span_input_text", {"workspace_id": "42"})
    (request,) = server.requests
    assert request.method == "POST"
    head = ("Content-Type: %s\r\n\r\n" % request.headers["Content-Type"]).encode()
    form = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
    assert set(parts) == {"file", "workspace_id"}
    assert parts["workspace_id"].get_payload(decode=True) == b"42"
    assert parts["file"].get_filename() == "trace_span_input_text"
    assert parts["file"].get_content_type() == "application/octet-stream"
    assert content in request.body


def test_one_connection_serves_many_requests_and_a_restarted_server_gets_a_new_one(server):
    api = api_for(server)
    for _ in range(20):
        api.post(PATH, {})
    assert server.connections == 1
    server.answers(json_answer({"code": 0}, headers={"Connection": "close"}))
    api.get(PATH)
    server.wait_for(lambda server: server.open_connections == 0)
    api.get(PATH)
    assert server.connections == 2


def test_a_place_that_made_room_for_others_is_found_again(server):
    api = api_for(server)
    api.get(PATH)
    manager = api._pools.of(server.url)[0]
    pool = manager.connection_from_url(server.url)
    for port in range(1, 9):  # no connection is made
        manager.connection_from_url("http://%s:%d" % (LOOPBACK, port))
    pool.close()  # as urllib3 does in its older versions
    assert api.get(PATH) == {"code": 0, "msg": ""}


def test_close_ends_the_connections_and_the_client_can_still_be_used(server):
    api = api_for(server)
    api.get(PATH)
    api.close()
    server.wait_for(lambda server: server.open_connections == 0)
    api.get(PATH)
    assert server.connections == 2


def test_many_threads_may_share_a_client(server):
    api = api_for(server)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(api.get(PATH)["code"])) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 30


# -- the token


def test_a_token_function_is_asked_for_each_request(server):
    tokens = iter(["one", "Bearer two", " three "])
    api = api_for(server, lambda: next(tokens))
    for _ in range(3):
        api.get(PATH)
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize("token", [None, "", 5, TOKEN + "\n" + TOKEN, TOKEN + "é"])
def test_a_token_function_that_returns_no_token_is_an_error_that_does_not_show_it(server, token):
    with raising(errors.AuthInfoRequiredError):
        api_for(server, lambda: token).get(PATH)
    assert server.requests == []


def test_a_token_function_that_raises_is_an_error_that_names_the_kind_of_failure(server):
    def token():
        raise LookupError("the vault does not know " + TOKEN)

    with pytest.raises(errors.AuthInfoRequiredError) as caught:
        api_for(server, token).get(PATH)
    assert "LookupError" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_token_is_in_no_representation(server):
    api = api_for(server)
    api.get(PATH)
    assert TOKEN not in repr(api)
    server.answers(json_answer({"code": 602000101, "msg": "no access permission"}))
    with raising(errors.AuthenticationError):
        api.get(PATH)


# -- redirects


@pytest.fixture
def elsewhere():
    with RecordingServer() as elsewhere:
        yield elsewhere


def moved(location, status=302):
    return json_answer({}, status=status, headers={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_loses_the_authorization_header_and_all_that_is_not_for_strangers(
    server, elsewhere, status, monkeypatch
):
    monkeypatch.setenv("x_tt_env", "lane")
    server.answers(moved(elsewhere.url + "/there?sig=1", status))
    api = api_for(server, headers={"X-Api-Key": "for the gateway", "Cookie": "session=1"})
    assert api.get(PATH, headers={"X-Own": "1"})["code"] == 0
    assert server.requests[0].headers["Authorization"] == "Bearer " + TOKEN
    (request,) = elsewhere.requests
    assert (request.method, request.path, request.body) == ("GET", "/there?sig=1", b"")
    assert request.headers["Host"] == elsewhere.url.partition("//")[2]
    assert {name.lower() for name in request.headers} <= {"host", "user-agent", "accept", "accept-encoding"}
    assert TOKEN not in str(request.headers)


def test_what_was_lost_on_the_way_does_not_come_back_with_the_next_redirect(server, elsewhere):
    server.answers(moved(elsewhere.url + "/there"))
    elsewhere.answers(moved(server.url + "/back"))
    assert api_for(server).get(PATH)["code"] == 0
    assert [request.path for request in server.requests] == [PATH, "/back"]
    assert server.requests[1].headers["Authorization"] is None


def test_a_redirect_within_the_host_keeps_all_headers(server):
    server.answers(moved("/v2" + PATH + "?a=1"))
    assert api_for(server, headers={"X-Team": "blue"}).get(PATH)["code"] == 0
    assert [request.path for request in server.requests] == [PATH, "/v2" + PATH + "?a=1"]
    assert server.requests[1].headers.get_all("Authorization") == ["Bearer " + TOKEN]
    assert server.requests[1].headers["X-Team"] == "blue"


def test_a_refusal_by_a_host_without_the_token_says_why_and_costs_no_second_attempt(server, elsewhere):
    server.answers(moved(elsewhere.url + "/there"))
    elsewhere.default = json_answer({"code": 602000101, "msg": "no access permission"}, headers={"x-log-id": "log-1"})
    with raising(errors.AuthenticationError) as caught:
        api_for(server, lambda: TOKEN, api_token_ttl=60).get(PATH)
    assert "redirected to %s/there, which is not given the token" % elsewhere.url in str(caught.value)
    assert caught.value.log_id == "log-1"
    assert (len(server.requests), len(elsewhere.requests)) == (1, 1)


def test_requests_to_several_places_in_turn_arrive_each_at_its_own(server, elsewhere):
    api = api_for(server)
    for _ in range(3):
        server.answers(moved(elsewhere.url + "/there?a=b#c"))
        api.get(PATH)
        api.post(PATH + "/changed?x=1", {"a": 1})
    assert [request.path for request in server.requests] == [PATH, PATH + "/changed?x=1"] * 3
    assert [request.path for request in elsewhere.requests] == ["/there?a=b"] * 3
    assert elsewhere.connections == 1


def test_redirects_end_after_three(server):
    server.default = lambda request: moved(request.path + "x")
    with raising(errors.RemoteServiceError) as caught:
        api_for(server).get(PATH)
    assert caught.value.status == 302
    assert "at most 3 times" in caught.value.hint
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://127.0.0.1/x",
        "http://user:secret@127.0.0.1/",
        "http://:80/x",
        "http://[::1/",
        "http://h:99999/",
        "/\xe9",
    ],
)
def test_a_redirect_to_nowhere_is_the_error_that_it_is(server, location):
    server.answers(moved(location))
    with raising(errors.RemoteServiceError) as caught:
        api_for(server).get(PATH)
    assert caught.value.status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", ["post", "put", "delete", "upload_file"])
@pytest.mark.parametrize("status", [302, 307])
def test_what_changes_something_is_never_redirected(server, elsewhere, call, status):
    server.answers(moved(elsewhere.url + "/steal", status))
    arguments = (PATH, b"content", "name") if call == "upload_file" else (PATH, {"a": 1})
    with raising(errors.RemoteServiceError) as caught:
        getattr(api_for(server), call)(*arguments)
    assert caught.value.status == status
    assert "redirect" in caught.value.hint
    assert elsewhere.requests == []


def test_all_redirects_together_have_the_time_of_the_call(server):
    server.default = lambda request: drip({}, 100, 302, {"Location": "/x"}, slow="headers")
    with raising(errors.RequestTimeoutError):
        api_for(server).get(PATH, timeout=0.5)


# -- what comes back


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("header", ["x-tt-logid", "X-Log-ID", "X-Tt-Logid"])
def test_an_error_carries_status_code_message_and_log_id(server, header, status):
    server.answers(json_answer({"code": 600904002, "msg": "no spans"}, status=status, headers={header: "2026-log"}))
    with raising(errors.BadRequestError) as caught:
        api_for(server).post(PATH, {})
    error = caught.value
    assert (error.status, error.code, error.msg, error.log_id) == (status, 600904002, "no spans", "2026-log")


def test_retry_after_reaches_the_error(server):
    server.answers(json_answer({}, status=429, headers={"Retry-After": "17"}))
    with raising(errors.RateLimitError) as caught:
        api_for(server).get(PATH)
    assert caught.value.retry_after == 17


def test_html_is_an_error_with_a_hint_at_the_base_url(server):
    server.answers(text_answer("<html>welcome</html>", content_type="text/html"))
    with raising(errors.RemoteServiceError) as caught:
        api_for(server).get(PATH)
    assert "COZELOOP_API_BASE_URL" in str(caught.value)


def test_a_body_without_a_declared_length_is_read_to_its_end(server):
    answer = json_answer({"code": 0, "n": list(range(1000))})
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (answer.body[:100], answer.body[100:], b""))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(head + chunks) as url:
        assert len(api_for(url).get(PATH)["n"]) == 1000
    with raw_server(b"HTTP/1.0 200 OK\r\n\r\n" + answer.body) as url:
        assert len(api_for(url).get(PATH)["n"]) == 1000


# -- no answer


@contextlib.contextmanager
def raw_server(*answers):
    """Says exactly these bytes to one request each, then closes the connection."""
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(8)

    def serve():
        for answer in answers:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    pass
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield "http://%s:%d" % listener.getsockname()
    finally:
        listener.close()


def test_a_refused_connection_is_a_network_error():
    with raising(errors.NetworkError) as caught:
        api_for("http://127.0.0.1:%d" % dead_port()).get(PATH, params={"q": "private"})
    assert not isinstance(caught.value, errors.RequestTimeoutError)
    assert (caught.value.status, caught.value.code) == (None, None)
    assert "private" not in str(caught.value).partition(" failed")[0]


def test_an_unknown_host_is_a_network_error(monkeypatch):
    unknown_hosts(monkeypatch, "no-such-host.invalid")
    with raising(errors.NetworkError) as caught:
        api_for("http://no-such-host.invalid").get(PATH)
    assert "no-such-host.invalid" in str(caught.value)


@pytest.mark.parametrize("answer", [reset(), close_early(), close_early(sent=0)], ids=["reset", "half", "head only"])
def test_a_connection_that_breaks_off_is_a_network_error_and_never_a_short_answer(server, answer):
    server.answers(answer)
    api = api_for(server)
    with raising(errors.NetworkError):
        api.get(PATH)
    assert api.get(PATH)["code"] == 0  # and what was left of it does not disturb the next call


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-ffffffffffffffffffff\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: %s\r\n" % (b"x" * 70_000),
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: x\r\n" * 1000 + b"\r\n",
    ],
    ids=lambda said: repr(said[:50]),
)
def test_what_is_no_http_is_a_network_error(said):
    with raw_server(said) as url, raising(errors.NetworkError):
        api_for(url).get(PATH)


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_what_comes_before_the_answer_is_not_the_answer(status):
    interim = b"HTTP/1.1 %d Early\r\nLink: </style.css>; rel=preload\r\n\r\n" % status
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"code":0,"data":"x"}'
    with raw_server(interim * 3 + answer) as url:
        assert ApiClient(url, TOKEN, timeout=10).get("/v1/x") == {"code": 0, "data": "x"}


def test_that_nobody_listens_is_said_without_the_words_of_another_library():
    url = "http://127.0.0.1:%d" % dead_port()
    with raising(errors.NetworkError) as caught:
        api_for(url).get(PATH)
    said = str(caught.value)
    assert re.match(r"GET %s%s failed: Failed to establish a new connection: .*refused\. Is" % (url, PATH), said)
    assert said.endswith(" Is api_base_url (COZELOOP_API_BASE_URL) right, and is the server up?")


def test_a_server_that_speaks_no_tls_is_told_by_the_setting():
    with StandInServer() as server, raising(errors.NetworkError) as caught:
        api_for(server.url.replace("http:", "https:")).get(PATH)
    assert str(caught.value).endswith(" speaks http, not https: is api_base_url (COZELOOP_API_BASE_URL) right?")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "the connection was closed before an answer came"),
        (b"SSH-2.0-x\r\n", r"what answers there does not speak HTTP, it says 'SSH-2.0-x\r\n'"),
    ],
)
def test_an_answer_that_is_none_is_told_without_the_words_of_another_library(said, told):
    with raw_server(said) as url, raising(errors.NetworkError) as caught:
        api_for(url).get(PATH)
    assert str(caught.value) == "GET %s%s failed: %s" % (url, PATH, told)


def test_a_reset_is_told_without_the_words_of_another_library(server):
    server.answers(reset())
    with raising(errors.NetworkError) as caught:
        api_for(server).get(PATH)
    assert re.search(r"failed: Connection aborted: \[Errno \d+\] Connection reset by peer\Z", str(caught.value))


def test_a_huge_answer_is_cut_short(server, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 100_000)
    server.answers(json_answer({"code": 0, "x": "y" * 200_000}))
    api = api_for(server)
    with raising(errors.NetworkError) as caught:
        api.get(PATH)
    assert "100000" in str(caught.value)
    assert api.get(PATH)["code"] == 0


def test_a_compressed_answer_that_nobody_asked_for_is_not_unpacked(server):
    api_for(server).get(PATH)
    assert server.requests[0].headers["Accept-Encoding"] in (None, "identity")


# -- the deadline


@pytest.mark.parametrize(
    "answer",
    [
        hang(),
        drip({"code": 0, "x": "y" * 100}, 10),
        drip({"code": 0}, 10, slow="headers"),
        drip({"code": 0}, 10, slow="all"),
    ],
    ids=["hangs", "drips the body", "drips the headers", "drips all"],
)
def test_a_timeout_is_the_deadline_of_the_whole_call(server, answer):
    server.answers(answer)
    began = time.monotonic()
    with raising(errors.RequestTimeoutError) as caught:
        api_for(server).get(PATH, timeout=0.5)
    assert time.monotonic() - began >= 0.4
    assert "0.5 s" in str(caught.value)


def test_the_environment_may_set_the_timeout_in_milliseconds(server, monkeypatch):
    monkeypatch.setenv("COZELOOP_REQUEST_TIMEOUT", " 250 ")
    assert api_for(server).timeout == 0.25
    assert api_for(server, timeout=7).timeout == 7
    server.answers(hang())
    with raising(errors.RequestTimeoutError) as caught:
        api_for(server).get(PATH)
    assert "0.25 s" in str(caught.value)
    monkeypatch.setenv("COZELOOP_REQUEST_TIMEOUT", "")
    assert api_for(server).timeout == 3


@pytest.mark.parametrize("value", ["0", "-5", "3s", "nan", "inf", "1,5"])
def test_a_timeout_of_the_environment_that_is_none_is_an_error_that_names_it(server, monkeypatch, value):
    monkeypatch.setenv("COZELOOP_REQUEST_TIMEOUT", value)
    with raising(errors.InvalidParamError) as caught:
        api_for(server)
    assert "COZELOOP_REQUEST_TIMEOUT" in str(caught.value)
    assert "milliseconds" in str(caught.value)
    assert api_for(server, timeout=7).timeout == 7


def test_a_slow_answer_within_the_deadline_is_an_answer(server):
    server.answers(drip({"code": 0}, 200, slow="all"))
    assert api_for(server).get(PATH, timeout=30)["code"] == 0


def test_a_server_that_never_accepts_is_a_timeout():
    with silent_server() as url, raising(errors.RequestTimeoutError):
        api_for(url).get(PATH, timeout=0.3)


def test_a_server_that_does_not_read_a_large_body_is_a_timeout(server):
    """On a connection that was used before, too, whose socket still has the timeout of the answer before."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind((LOOPBACK, 0))
    listener.listen(1)
    done = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(65536):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            done.wait(30)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    api = api_for("http://%s:%d" % listener.getsockname(), timeout=30)
    try:
        api.get(PATH)
        with raising(errors.RequestTimeoutError):
            api.post(PATH, {"x": "y" * (30 << 20)}, timeout=0.5)
    finally:
        done.set()
        listener.close()
        thread.join()


def test_a_connection_does_not_inherit_the_short_time_that_the_answer_before_had_left(server):
    api = api_for(server)
    api.get(PATH)
    pool = api._pools.of(server.url)[0].connection_from_url(server.url)
    kept = pool.pool.get()
    kept.sock.settimeout(0.000001)
    pool.pool.put(kept)
    api.post(PATH, {"x": "y" * (8 << 20)}, timeout=30)
    assert server.connections == 1


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="a full backlog drops connections on Linux")
def test_the_deadline_holds_for_all_addresses_of_a_host_together(monkeypatch):
    with full_backlog() as port:
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.%d" % n, port)) for n in range(1, 9)]
        lookup = socket.getaddrinfo

        def getaddrinfo(host, *args, **kwargs):
            return answer if host == "many.test" else lookup(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with raising(errors.RequestTimeoutError):
            api_for("http://many.test:%d" % port).get(PATH, timeout=1.0)  # 8 s if each address had all of it


@contextlib.contextmanager
def full_backlog():
    """A port on all of 127.0.0.0/8 where a connection is neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("0.0.0.0", 0))
        listener.listen(0)
        for _ in range(20):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect((LOOPBACK, listener.getsockname()[1]))
            except OSError:
                break
        yield listener.getsockname()[1]


def test_a_host_whose_first_address_is_dead_is_reached_by_its_second(server, monkeypatch):
    lookup = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host != "two.test":
            return lookup(host, port, *args, **kwargs)
        return [entry for address in ("127.0.0.2", LOOPBACK) for entry in lookup(address, port, 0, socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert api_for("http://two.test:%d" % server.port).get(PATH)["code"] == 0
    assert server.requests[0].headers["Host"] == "two.test:%d" % server.port


# -- a pool of the program's own


@pytest.mark.parametrize("pool", [object(), "pool", urllib3.Timeout(3)])
def test_what_is_no_pool_is_an_error_at_once(pool):
    with raising(errors.InvalidParamError) as caught:
        ApiClient("http://127.0.0.1:1", TOKEN, http_client=pool)
    assert "http_client" in str(caught.value)


def test_the_body_of_an_answer_has_the_time_of_the_call_with_any_pool(server):
    api = api_for(server, http_client=urllib3.PoolManager())
    server.answers(drip({"code": 0, "x": "y" * 100}, 10))
    with raising(errors.RequestTimeoutError):
        api.get(PATH, timeout=0.5)
    server.forget_answers()
    assert api.get(PATH)["code"] == 0
    assert api.get(PATH, timeout=30)["code"] == 0


def test_a_body_that_stops_has_only_what_is_left_of_the_time(server, monkeypatch):
    """With a pool of the program's own, too, which would wait as long again for each piece."""
    clock = Ahead().put_into(monkeypatch, body, client_module, transport)
    pieces = Live("application/json").say(b'{"code"')
    server.answers(pieces)

    class Pool(urllib3.PoolManager):
        def urlopen(self, *args, **kwargs):
            response = super().urlopen(*args, **kwargs)
            clock.move(59.5)
            return response

    with raising(errors.RequestTimeoutError):  # soon: in half a second, and not in a minute
        api_for(server, http_client=Pool()).get(PATH, timeout=60)


def test_an_answer_that_has_arrived_counts_though_the_time_is_up_when_that_is_seen(server, monkeypatch):
    clock = iter([time.monotonic()])
    monkeypatch.setattr(body, "monotonic", lambda: next(clock, float("inf")))
    assert api_for(server).get(PATH) == {"code": 0, "msg": ""}


def test_a_pool_manager_of_the_programs_own_is_used_and_not_closed(server):
    pool = urllib3.PoolManager(headers={"X-Pool": "1"})
    api = api_for(server, http_client=pool)
    api.get(PATH)
    api.close()
    pool.request("GET", server.url + PATH)
    assert server.connections == 1
    server.answers(hang())
    with raising(errors.RequestTimeoutError):
        api.get(PATH, timeout=0.3)


# -- the example


ROOT = Path(client_module.__file__).resolve().parent.parent.parent


def run_example(**settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return subprocess.run(
        [sys.executable, "-m", "examples.api.api_client"],
        cwd=str(ROOT),
        env={**plain, **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_example_shows_an_answer_and_a_refusal():
    settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": TOKEN}
    with StandInServer(workspace_id="7") as server:
        with new_client(server.url, "7", TOKEN) as client:
            client.start_span("a", "custom").finish()
        done = run_example(COZELOOP_API_BASE_URL=server.url, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first == "code 0, 1 traces in the last hour"
    assert second.startswith("refused: HTTP 200, code 600904002, ")


@pytest.mark.parametrize("missing", ["COZELOOP_WORKSPACE_ID", "COZELOOP_API_TOKEN"])
def test_the_example_names_the_setting_that_is_missing(missing):
    settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": TOKEN}
    del settings[missing]
    done = run_example(**settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert missing in done.stderr


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="an interval timer of POSIX")
def test_a_signal_handler_that_makes_a_request_does_not_wait_for_what_it_interrupted():
    """urllib3's own queue of idle connections has a lock that its thread could wait for, for ever."""
    program = """
import signal, sys
from cozeloop_lite import ApiClient, errors
client = ApiClient(sys.argv[1], "token-of-some-length", timeout=20)
busy = []
def handler(*_):
    if not busy:
        busy.append(1)
        client.get("/in-the-handler")
        busy.clear()
client.get("/first")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.0021)
for _ in range(300):
    client.get("/outside")
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""
    root = Path(__file__).resolve().parents[2]
    with RecordingServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.url], cwd=str(root), capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
        assert {request.path for request in server.requests} == {"/first", "/outside", "/in-the-handler"}
