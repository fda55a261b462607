"""The server the other tests lean on does what its helpers say, stops at once, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

from support.recording import (
    STOP_SECONDS,
    RecordingServer,
    close_early,
    dead_port,
    delay_until,
    drip,
    hang,
    json_answer,
    reset,
    silent_server,
    text_answer,
)

ACCEPTED = {"code": 0, "msg": ""}


@pytest.fixture
def server():
    threads = set(threading.enumerate())
    with RecordingServer() as server:
        yield server
        began = time.monotonic()
    assert time.monotonic() - began < STOP_SECONDS, "stopping took too long"
    assert set(threading.enumerate()) <= threads  # those of tests before may end meanwhile
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


class Client:
    """One connection."""

    def __init__(self, server, timeout=5):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.connection.close()

    def post(self, body=None, path="/v1/loop/traces/ingest"):
        data = json.dumps({} if body is None else body).encode()
        self.connection.request("POST", path, data, {"Content-Type": "application/json"})
        return self.connection.getresponse()


def post(server, *names):
    with Client(server) as client:
        return client.post({"spans": [{"span_name": name} for name in names]}).read()


def names(spans):
    return [span["span_name"] for span in spans]


def test_a_request_is_recorded_whole(server):
    with Client(server) as client:
        response = client.post({"键": "值"}, "/some/path?q=1")
        assert (response.status, json.loads(response.read().decode())) == (200, ACCEPTED)
    (request,) = server.requests
    assert (request.method, request.path, request.json()) == ("POST", "/some/path?q=1", {"键": "值"})
    assert request.headers["content-type"] == "application/json"
    assert request.body == json.dumps({"键": "值"}).encode()
    assert 0 <= time.monotonic() - request.received_at < 5


def test_a_connection_is_kept_alive(server):
    with Client(server) as client:
        for _ in range(3):
            client.post().read()
        assert (len(server.requests), server.connections, server.open_connections) == (3, 1, 1)
    server.wait_for(lambda server: server.open_connections == 0)


def test_a_chunked_body_is_put_together(server):
    with Client(server) as client:
        client.connection.request("POST", "/", iter([b"one ", b"two"]), encode_chunked=True)
        client.connection.getresponse().read()
    assert server.requests[0].body == b"one two"


def test_answers_come_in_order_and_then_the_default(server):
    server.answers(json_answer({"code": 5}, 503, {"Retry-After": "7"}), text_answer("<html>", 405, "text/html"))
    server.default = json_answer(ACCEPTED, 201)
    with Client(server) as client:
        first = client.post()
        assert (first.status, first.headers["Retry-After"], first.read()) == (503, "7", b'{"code": 5}')
        second = client.post()
        assert (second.status, second.headers["Content-Type"], second.read()) == (405, "text/html", b"<html>")
        for _ in range(2):
            third = client.post()
            third.read()
            assert third.status == 201


def test_spans_are_those_of_accepted_requests(server):
    server.answers(
        json_answer(ACCEPTED),
        json_answer(ACCEPTED, 500),
        json_answer({"code": 600900101, "msg": "no"}),
        text_answer("ok"),
        json_answer({}),
    )
    for name in ("a", "b", "c", "d", "e", "f"):
        post(server, name, name + "2")
    assert names(server.spans()) == ["a", "a2", "f", "f2"]
    assert len(server.all_spans()) == 12


def test_an_answer_may_depend_on_the_request(server):
    def refuse_the_poisoned(request):
        poisoned = "poison" in names(request.spans())
        return json_answer({"code": 600904002, "msg": "invalid param"}) if poisoned else json_answer(ACCEPTED)

    server.default = refuse_the_poisoned
    post(server, "good", "poison")
    post(server, "good")
    assert names(server.spans()) == ["good"]


def test_invalid_json_is_an_error_and_not_a_span(server):
    with Client(server) as client:
        client.connection.request("POST", "/", b'{"spans": [{"n": NaN}]}', {"Content-Type": "application/json"})
        client.connection.getresponse().read()
    with pytest.raises(ValueError, match="NaN"):
        server.spans()


def test_wait_for_returns_as_soon_as_the_condition_holds(server):
    thread = threading.Thread(target=post, args=(server, "a", "b"))
    thread.start()
    assert names(server.wait_for_spans(2)) == ["a", "b"]
    thread.join()


def test_wait_for_tells_what_it_saw_instead(server):
    server.answers(json_answer({}, 503))
    post(server, "a")
    with pytest.raises(AssertionError, match=r"2 accepted spans .*(\n.*)*POST /v1/loop/traces/ingest .*answered 503"):
        server.wait_for_spans(2, timeout=0.05)


@pytest.mark.parametrize("slow", ["body", "headers", "all"])
def test_a_dripping_answer_arrives_byte_by_byte(server, slow):
    server.answers(drip(ACCEPTED, bytes_per_second=2000, slow=slow))
    with Client(server) as client:
        assert json.loads(client.post().read().decode()) == ACCEPTED


@pytest.mark.parametrize(("slow", "at_once"), [("body", 1), ("headers", 0), ("all", 0)])
def test_what_drips_is_what_was_asked_for(server, slow, at_once):
    server.answers(drip(ACCEPTED, bytes_per_second=5, slow=slow))
    with Client(server, timeout=0.5) as client:
        client.connection.request("POST", "/", b"")
        server.wait_for(lambda server: server.requests)
        client.connection.sock.settimeout(5)
        received = client.connection.sock.recv(1000)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n") == bool(at_once)
        assert server.spans() == []


def test_a_hanging_answer_never_comes(server):
    server.answers(hang())
    with Client(server, timeout=0.1) as client, pytest.raises(socket.timeout):
        client.post()
    server.wait_for(lambda server: server.open_connections == 0)


def test_reset_is_a_reset(server):
    server.answers(reset())
    with Client(server) as client, pytest.raises(ConnectionResetError):
        client.post()


def test_an_answer_closed_early_is_incomplete(server):
    server.answers(close_early())
    with Client(server) as client, pytest.raises(http.client.IncompleteRead):
        client.post().read()
    assert not server.requests[0].accepted


def test_an_answer_can_wait_for_an_event(server):
    event = threading.Event()
    server.answers(delay_until(event, json_answer(ACCEPTED)))
    thread = threading.Thread(target=post, args=(server, "a"))
    thread.start()
    server.wait_for(lambda server: server.all_spans())
    assert server.spans() == []
    event.set()
    server.wait_for_spans(1)
    thread.join()


@pytest.mark.parametrize("answer", [hang(), drip(ACCEPTED, 0.01), delay_until(threading.Event(), hang())])
def test_stopping_cuts_an_answer_short(server, answer):
    server.answers(answer)
    with Client(server) as client:
        client.connection.request("POST", "/", b"")
        server.wait_for(lambda server: server.requests)
        server.stop()


def test_nothing_listens_on_a_dead_port():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", dead_port()), timeout=1)


def test_a_silent_server_takes_the_connection_and_says_nothing():
    with silent_server() as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.settimeout(0.05)
            with pytest.raises(socket.timeout):
                connection.recv(1)
