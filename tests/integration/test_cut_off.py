"""Uploads that are cut off while they are under way, so that there is time for spans, over real sockets."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from cozeloop_lite import ApiClient, errors, new_client
from cozeloop_lite.api import cut_off
from cozeloop_lite.trace.pace import Pace
from support.recording import ACCEPT, LOOPBACK, Live, delay_until, hang, json_answer, silent_server

SOON = 10  # seconds that no test waits unless it fails
PATH = "/v1/loop/files/upload"


@pytest.fixture
def cut():
    """``cut(url, due, content)``: how an upload ends that is cut off when ``due()`` says so."""

    def cut(url, due, content=b"content"):
        api = ApiClient(url, "pat")
        began = time.monotonic()
        with pytest.raises(errors.NetworkError) as caught:
            cut_off.call(due, lambda: api.upload_file(PATH, content, "key", timeout=10 * SOON))
        assert time.monotonic() - began < SOON
        api.close()
        return caught.value

    return cut


@pytest.mark.parametrize(
    "answer",
    [
        hang,
        lambda: Live(chunked=False).write(b"HTTP/1.1 "),
        lambda: Live("application/json").say(b'{"code"'),
    ],
    ids=["before it", "in its headers", "in its body"],
)
def test_an_upload_is_cut_off_while_its_answer_is_waited_for(server, cut, answer):
    looks = []

    def due():  # a while after the request has come
        looks.extend(server.requests)
        return len(looks) > 5

    server.default = answer()
    assert isinstance(cut(server.url, due), errors.RequestTimeoutError)
    server.wait_for(lambda server: not server.open_connections)


def test_an_upload_is_cut_off_while_it_is_sent(cut):
    looked_at = []

    def due():  # when it goes on no longer
        looked_at.append(time.monotonic())
        return looked_at[-1] - looked_at[-2:][0] > cut_off.LOOK_SECONDS / 2

    with silent_server() as url:  # for which the system takes far less than that
        cut(url, due, b"x" * (32 << 20))


def test_what_the_system_has_of_it_is_not_sent_any_more(cut):
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        looked_at = []

        def due():  # as above
            looked_at.append(time.monotonic())
            return looked_at[-1] - looked_at[-2:][0] > cut_off.LOOK_SECONDS / 2

        cut("http://%s:%d" % listener.getsockname(), due, b"x" * (32 << 20))
        connection, _ = listener.accept()
        with connection, pytest.raises(ConnectionResetError):
            while connection.recv(1 << 20):
                pass


def test_an_answer_that_takes_many_looks_arrives_whole(server):
    looked, goes_on = [], threading.Event()

    def due():
        looked.append(1)
        if len(looked) > 30:  # there are fewer while it is sent
            goes_on.set()
        return False

    server.default = delay_until(goes_on, json_answer({"code": 0, "data": {"text": "x" * 100_000}}))
    content = os.urandom(5 * 16 * 1024 + 1)
    answer = cut_off.call(due, lambda: ApiClient(server.url, "pat").upload_file(PATH, content, "key"))
    assert answer["data"]["text"] == "x" * 100_000
    assert content in server.requests[0].body


def test_nothing_of_it_is_left_for_other_requests(server, cut):
    server.answers(hang())
    cut(server.url, lambda: bool(server.requests))
    assert ApiClient(server.url, "pat").upload_file(PATH, b"content", "key")["code"] == 0


def test_an_upload_in_the_middle_of_another_leaves_that_as_it_was():
    def outer():  # of one client; a token function of the program's may use another
        inner = cut_off.call(lambda: False, cut_off.is_due)
        return inner, cut_off.is_due()

    assert cut_off.call(lambda: True, outer) == (False, True)
    assert cut_off.is_due() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_none_of_it():
    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0 if cut_off.is_due() is None else 1)
        return child

    assert os.waitpid(cut_off.call(lambda: True, fork), 0)[1] == 0
    assert cut_off.is_due() is None


def test_spans_are_sent_in_place_of_the_upload_that_they_wait_for_and_the_file_after_them(server, monkeypatch):
    monkeypatch.setattr(Pace, "reserved", lambda pace: bool(pace._items) and pace.deadline is not None)
    spans_came = threading.Event()

    def answer(request):
        if request.path.endswith("/upload"):
            return delay_until(spans_came, ACCEPT)
        if any(span["span_name"] == "behind" for span in request.spans()):
            spans_came.set()
        return ACCEPT

    server.default = answer
    client = new_client(server.url, "42", "pat", ultra_large_report=True)
    with client.start_span("large") as span:
        span.set_input("x" * (1 << 21))
    client.flush(0)
    server.wait_for(lambda server: any(request.path.endswith("/upload") for request in server.requests))
    client.start_span("behind").finish()
    assert client.close(2 * SOON)
    assert server.names() == ["large", "behind"]
    assert client.stats()["files"] == {"delivered": 1, "queued": 0, "dropped": {}}
