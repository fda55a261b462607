"""An ``httpx.Client`` of the program's own carries all requests, as with the official package."""

from __future__ import annotations

import json
import sys
import threading

import pytest

import cozeloop_lite
from cozeloop_lite import AnswerTooLongError, InvalidParamError, NetworkError, NotFoundError, RequestTimeoutError
from cozeloop_lite.api import client as api_module
from support.recording import close_early, dead_port, hang, json_answer, reset, text_answer

httpx = pytest.importorskip("httpx")


@pytest.fixture
def carrier():
    with httpx.Client(headers={"X-From": "httpx"}, trust_env=False) as carrier:
        yield carrier


@pytest.fixture
def client(server, carrier):
    with cozeloop_lite.new_client(server.url, "7", "token-of-httpx", timeout=5, http_client=carrier) as client:
        yield client


def test_spans_go_through_it(server, client):
    with client.start_span("root"):
        pass
    assert client.flush()
    (request,) = server.requests
    assert server.names() == ["root"]
    assert request.headers["X-From"] == "httpx"
    assert request.headers["Authorization"] == "Bearer token-of-httpx"
    assert request.headers["Accept-Encoding"] == "identity"


def test_files_go_through_it(server, client):
    client.api.upload_file("/v1/loop/files/upload", b"content" * 1000, "name", {"workspace_id": "7"})
    (request,) = server.requests
    assert b"content" * 1000 in request.body


def test_an_answer_is_read_whole(server, client):
    server.answers(json_answer({"code": 0, "msg": "", "data": {"text": "中" * 100_000}}))
    assert client.api.get("/x")["data"]["text"] == "中" * 100_000


def test_it_serves_many_threads(server, client):
    threads = [threading.Thread(target=client.api.get, args=("/x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 8


def test_events_are_read_as_they_arrive(server, client):
    event = json.dumps({"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"})
    server.answers(text_answer("data: %s\n\n" % event, content_type="text/event-stream"))
    with client.execute_prompt("p", stream=True) as stream:
        assert [piece.message.content for piece in stream] == ["hi"]


# -- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [reset(), close_early({"code": 0, "msg": "x" * 1000}, sent=20)])
def test_what_breaks_off_is_a_network_error(server, client, answer):
    server.answers(answer)
    with pytest.raises(NetworkError) as raised:
        client.api.get("/x")
    assert not isinstance(raised.value, RequestTimeoutError)


def test_nobody_there_is_a_network_error(carrier):
    client = cozeloop_lite.new_client("http://127.0.0.1:%d" % dead_port(), "7", "t", http_client=carrier)
    with pytest.raises(NetworkError):
        client.api.get("/x")


def test_no_answer_in_time_is_a_timeout(server, client):
    client.api.get("/x")  # which loads what a request needs
    server.answers(hang())
    with pytest.raises(RequestTimeoutError, match=r"within 0\.2 s"):
        client.api.get("/x", timeout=0.2)


def test_a_refusal_is_what_it_is(server, client):
    server.answers(json_answer({"code": 600_005_001, "msg": "no such thing"}, status=404))
    with pytest.raises(NotFoundError, match="no such thing"):
        client.api.get("/x")


def test_an_answer_that_is_too_long_is_not_read_to_its_end(server, client, monkeypatch):
    monkeypatch.setattr(api_module, "MAX_ANSWER_BYTES", 1000)
    server.answers(text_answer("x" * 100_000))
    with pytest.raises(AnswerTooLongError):
        client.api.get("/x")


def test_a_body_is_not_sent_where_a_redirect_leads(server, client):
    server.answers(json_answer({}, status=307, headers={"Location": "/elsewhere"}))
    with pytest.raises(cozeloop_lite.RemoteServiceError):
        client.api.post("/x", {"a": 1})
    assert [request.path for request in server.requests] == ["/x"]


# -- whose it is ----------------------------------------------------------------------------------------------------


def test_closing_the_client_does_not_close_it(server, carrier):
    cozeloop_lite.new_client(server.url, "7", "t", http_client=carrier).close()
    assert not carrier.is_closed


def test_the_same_one_gives_the_same_client(server, client, carrier):
    assert cozeloop_lite.new_client(server.url, "7", "token-of-httpx", timeout=5, http_client=carrier) is client


def test_one_for_asyncio_is_refused(server):
    with pytest.raises(InvalidParamError, match=r"httpx\.Client, not AsyncClient"):
        cozeloop_lite.new_client(server.url, "7", "t", http_client=httpx.AsyncClient())


def test_without_httpx_it_is_not_looked_for(server, monkeypatch):
    monkeypatch.delitem(sys.modules, "httpx")
    with pytest.raises(InvalidParamError, match=r"urllib3\.PoolManager"):
        cozeloop_lite.new_client(server.url, "7", "t", http_client=object())
