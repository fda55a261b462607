"""Streams of events over real connections: as they arrive, to their end or to an error, and what becomes of the
connection."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import pytest
import urllib3

from cozeloop_lite import ApiClient, errors
from cozeloop_lite.api import body, sse, transport
from cozeloop_lite.api import client as client_module
from support.calling import GENEROUS, TOKEN, Ahead, raising
from support.recording import Live, dead_port, hang, json_answer, text_answer

PATH = "/v1/loop/prompts/execute_streaming"


@pytest.fixture(params=["own pool", "given pool", "given pool of one"])
def api(request, server):
    pools = {
        "own pool": lambda: None,
        "given pool": urllib3.PoolManager,
        "given pool of one": lambda: urllib3.PoolManager(maxsize=1, block=True),
    }
    return ApiClient(server.url, TOKEN, timeout=30, http_client=pools[request.param]())


@pytest.fixture
def live(server):
    live = Live()
    server.answers(live)
    return live


def opened(api, **arguments):
    return api.stream("POST", PATH, {"x": "日"}, **arguments)


def data(events):
    return [event.data for event in events]


def all_closed(server):
    server.wait_for(lambda server: server.open_connections == 0)


def still_works(api, server):
    """Also with a pool that has one connection only: none is lost."""
    server.forget_answers()
    assert api.get("/next", timeout=10) == {"code": 0, "msg": ""}
    assert server.requests[-1].outcome == "answered 200"


# -- what is sent, and what is known before the first event


def test_a_stream_is_asked_for_like_everything_else(api, server, live):
    with opened(api, params={"q": 1}, headers={"X-Tt-Env": "lane"}):
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", PATH + "?q=1")
    assert request.body == '{"x":"日"}'.encode()
    assert request.headers.get_all("Authorization") == ["Bearer " + TOKEN]
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "text/event-stream"
    assert request.headers["X-Tt-Env"] == "lane"


@pytest.mark.parametrize("name", ["x-tt-logid", "X-Log-ID"])
def test_status_and_log_id_are_known_before_the_first_event(api, server, name):
    server.answers(Live("Text/Event-Stream; charset=utf-8", {name: "2026-log"}))
    with opened(api) as events:
        assert (events.status, events.log_id) == (200, "2026-log")


def test_without_a_log_id_it_is_empty(api, live):
    with opened(api) as events:
        assert events.log_id == ""


def test_a_stream_says_whether_its_end_is_marked(api, server):
    server.answers(
        Live(),
        Live(headers={"Content-Length": "100"}, chunked=False),
        Live(chunked=False).hang_up(),
        Live(headers={"Connection": "close"}),
    )
    framed = []
    for _ in range(4):
        with opened(api) as events:
            framed.append(events.framed)
    assert framed == [True, True, False, True]


# -- events as they arrive


def test_each_event_is_there_as_soon_as_it_is_sent(api, server, live):
    """The server sends one only after the one before was received; waiting for more would be waiting for ever."""
    with opened(api) as events:
        for number in range(5):
            live.say(b"id: %d\nevent:data\ndata: %d\n\n" % (number, number))
            assert next(events) == sse.Event("data", str(number), str(number), None)
        live.finish()
        assert list(events) == []


def test_an_event_does_not_wait_for_the_rest_of_its_chunk(api, live):
    with opened(api) as events:
        live.write(b"ffff\r\ndata: early\n\ndata: la")
        assert next(events).data == "early"
        live.write(b"te\n\n")
        assert next(events).data == "late"


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "100000"}], ids=["no length", "length"])
def test_nor_for_the_rest_of_a_body_without_chunks(api, server, headers):
    live = Live(headers=headers, chunked=False)
    server.answers(live)
    with opened(api) as events:
        for number in range(3):
            live.write(b"data: %d\n\n" % number)
            assert next(events).data == str(number)


def test_several_events_in_one_chunk_and_one_event_in_several(api, live):
    live.say(b"data: 1\n\ndata: 2\n\nda").say(b"ta: \xe6\x97").say(b"\xa5\n").say(b"\n").finish()
    with opened(api) as events:
        assert data(events) == ["1", "2", "日"]


def test_a_large_event_arrives_whole(api, live):
    text = "0123456789" * 300_000
    for start in range(0, len(text), 500_000):
        live.say((b"data: " if start == 0 else b"") + text[start : start + 500_000].encode())
    live.say(b"\n\n").finish()
    with opened(api) as events:
        assert data(events) == [text]


def test_many_streams_at_once_do_not_mix(server):
    api = ApiClient(server.url, TOKEN, timeout=30)
    answers = [Live() for _ in range(20)]
    streams = []
    for answer in answers:
        server.answers(answer)
        streams.append(opened(api))
    for turn in range(3):
        for number, answer in reversed(list(enumerate(answers))):
            answer.say(b"data: %d %d\n\n" % (number, turn))
        for number, events in enumerate(streams):
            assert next(events).data == "%d %d" % (number, turn)
    for events in streams:
        events.close()
    all_closed(server)


# -- the end


@pytest.mark.parametrize("last", [b"data: last\n\n", b"data: last"], ids=["blank line", "no blank line"])
def test_a_stream_that_was_read_to_its_end_leaves_its_connection_to_the_next_request(api, server, live, last):
    live.say(b"data: first\n\n").say(last).finish()
    with opened(api) as events:
        assert data(events) == ["first", "last"]
        assert next(events, None) is None
    still_works(api, server)
    assert server.connections == 1


def test_so_does_one_with_a_length(api, server):
    server.answers(text_answer("data: 1\n\ndata: 2", content_type="text/event-stream"))
    events = opened(api)
    assert data(events) == ["1", "2"]
    events.close()
    still_works(api, server)
    assert server.connections == 1


def test_an_empty_body_is_a_stream_without_events(api, server, live):
    live.finish()
    server.answers(text_answer("", content_type="text/event-stream"))
    assert data(opened(api)) == []
    assert data(opened(api)) == []
    assert server.connections == 1


def test_a_body_without_a_marked_end_ends_with_its_connection(api, server):
    server.answers(Live(chunked=False).write(b"data: 1\n\ndata: 2").hang_up())
    with opened(api) as events:
        assert data(events) == ["1", "2"]
    still_works(api, server)


def test_the_little_time_that_was_left_is_not_for_the_next_request(server, live):
    """With a pool of the program's own, which may send on the connection without a word about time."""
    pool = urllib3.PoolManager()
    api = ApiClient(server.url, TOKEN, http_client=pool)
    events = opened(api, timeout=10)
    before = events._body._sock.gettimeout()
    live.finish()
    assert data(events) == []
    kept = pool.connection_from_url(server.url).pool.get()
    assert kept.sock.gettimeout() == before
    kept.close()


# -- leaving early


def test_the_end_of_a_with_block_closes_the_connection(api, server, live):
    with opened(api) as events:
        live.say(b"data: 1\n\ndata: 2\n\n")
        assert next(events).data == "1"
    all_closed(server)
    assert next(events, None) is None  # the second was there already, and comes no more
    still_works(api, server)
    assert server.connections == 2


def test_an_exception_in_the_block_closes_the_connection_and_goes_on(api, server, live):
    with pytest.raises(LookupError), opened(api):
        raise LookupError
    all_closed(server)
    still_works(api, server)


def test_close_closes_the_connection_at_any_time_and_any_number_of_times(api, server, live):
    events = opened(api)
    events.close()
    all_closed(server)
    events.close()
    assert list(events) == []
    still_works(api, server)


def test_a_stream_that_nobody_holds_any_more_closes_its_connection(server, live):
    api = ApiClient(server.url, TOKEN, timeout=30)
    events = opened(api)
    live.say(b"data: 1\n\n")
    next(events)
    del events
    gc.collect()
    all_closed(server)
    still_works(api, server)


def test_close_from_another_thread_ends_the_wait_for_the_next_event(api, server, live):
    live.say(b"data: 1\n\n")
    events = opened(api)
    got, first = [], threading.Event()

    def read():
        for event in events:
            got.append(event.data)
            first.set()
        got.append("over")

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(GENEROUS)
    events.close()
    reader.join(GENEROUS)
    assert got == ["1", "over"]
    all_closed(server)
    still_works(api, server)


@pytest.mark.parametrize("step", ["feed", "end"])
def test_close_while_another_thread_is_busy_with_what_came_leaves_nothing_open(api, server, live, monkeypatch, step):
    live.say(b"data: 1\n\n").finish()
    events = opened(api)
    original = getattr(sse.Decoder, step)

    def closed_meanwhile(*args):
        closer = threading.Thread(target=events.close)
        closer.start()
        closer.join()
        return original(*args)

    if step == "end":
        next(events)
    monkeypatch.setattr(sse.Decoder, step, closed_meanwhile)
    assert list(events) == []
    assert events._body is None
    still_works(api, server)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a POSIX timer")
def test_close_in_a_signal_handler_ends_the_wait_for_the_next_event(api, server, live):
    events = opened(api)
    before = signal.signal(signal.SIGALRM, lambda *_: events.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert list(events) == []
    finally:
        signal.signal(signal.SIGALRM, before)
    all_closed(server)
    still_works(api, server)


def test_an_interrupted_stream_is_closed_and_does_not_go_on_with_a_gap(api, server, live, monkeypatch):
    def interrupted(self, data):
        raise KeyboardInterrupt

    live.say(b"data: 1\n\n")
    events = opened(api)
    monkeypatch.setattr(sse.Decoder, "feed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(events)
    assert list(events) == []
    all_closed(server)
    still_works(api, server)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the server's threads stay in the parent
def test_a_forked_child_can_neither_read_nor_end_the_stream_of_its_parent(api, server, live):
    events = opened(api)
    live.say(b"data: 1\n\ndata: 2\n\n")
    assert next(events).data == "1"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            next(events)
        except errors.NetworkError:
            status = 0
        finally:
            events.close()
            del events
            gc.collect()
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert next(events).data == "2"
    live.say(b"data: 3\n\n").finish()
    assert data(events) == ["3"]
    still_works(api, server)
    assert server.connections == 1


# -- breaking off


@pytest.mark.parametrize(
    "answer",
    [
        Live().say(b"data: 1\n\ndata: 2").hang_up(),
        Live().say(b"data: 1\n\n").write(b"20\r\ndata: 2\n").hang_up(),
        Live().say(b"data: 1\n\n").write(b"2").hang_up(),
        Live().write(b"9\r\ndata: 1\n\n").hang_up(),
        Live().say(b"data: 1\n\n").write(b"zz\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        Live().say(b"data: 1\n\n").write(b"\r\n"),
        Live().say(b"data: 1\n\n").write(b"-9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        Live().say(b"data: 1\n\n").write(b"1" * 70_000 + b"\r\n"),
        Live(headers={"Content-Length": "100"}, chunked=False).write(b"data: 1\n\ndata: 2\n").hang_up(),
    ],
    ids=[
        "between chunks",
        "in a chunk",
        "in a length",
        "after a chunk",
        "no number",
        "empty",
        "negative",
        "endless",
        "content length",
    ],
)
def test_a_stream_that_breaks_off_is_an_error_after_its_events(api, server, answer):
    answer = copy_of(answer)
    server.answers(answer)
    events = opened(api)
    assert next(events).data == "1"
    with raising(errors.NetworkError) as caught:
        next(events)
    assert not isinstance(caught.value, errors.RequestTimeoutError)
    assert str(caught.value).startswith("POST %s%s failed: " % (server.url, PATH))
    assert next(events, None) is None
    all_closed(server)
    still_works(api, server)


def copy_of(answer):
    """An answer is used up, and these serve each kind of pool."""
    copy = Live(headers=answer.headers, chunked=False)
    for step in list(answer._steps.queue):
        copy._then(step)
    return copy


def test_a_connection_that_is_reset_in_the_middle_of_an_event_is_an_error(api, server, live):
    events = opened(api)
    live.say(b"data: 1\n\ndata: 2")
    assert next(events).data == "1"
    live.reset()
    with raising(errors.NetworkError):
        next(events)
    still_works(api, server)


def test_a_reset_is_an_error_without_a_marked_end_too(api, server):
    live = Live(chunked=False).write(b"data: 1\n\ndata: 2\n\n")
    server.answers(live)
    events = opened(api)
    assert next(events).data == "1"
    assert next(events).data == "2"
    live.reset()
    with raising(errors.NetworkError):
        next(events)


def test_an_event_without_end_is_an_error_and_not_memory(api, server, live, monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100_000)
    live.say(b"data: 1\n\n" + b"data: " + b"x" * 100_000)
    events = opened(api)
    assert next(events).data == "1"
    with raising(errors.NetworkError) as caught:
        next(events)
    assert "100000 bytes" in str(caught.value)
    all_closed(server)
    still_works(api, server)


def test_a_refused_connection_is_a_network_error():
    with raising(errors.NetworkError):
        opened(ApiClient("http://127.0.0.1:%d" % dead_port(), TOKEN))


# -- the deadline


@pytest.mark.parametrize(
    "drip",
    [b"", b":" * 1000, b"data: x\n\n" * 1000, b"1\r\nx\r\n" * 1000, b"3\r\n:\n\n\r\n" * 1000],
    ids=["silence", "a line", "events", "chunks", "heartbeats"],
)
def test_the_timeout_is_the_deadline_of_the_whole_stream(api, server, live, drip):
    live.say(b"data: 1\n\n").write(b"" if drip[:1].isdigit() else b"fffff\r\n").drip(drip, 50)
    began = time.monotonic()
    with raising(errors.RequestTimeoutError) as caught:
        for event in opened(api, timeout=0.2):
            assert event.data in ("1", "x")
    assert time.monotonic() - began >= 0.15
    assert "0.2 s" in str(caught.value)
    all_closed(server)
    still_works(api, server)


def test_a_wait_is_bounded_by_what_is_left_and_not_by_the_whole_time_once_more(server, live, monkeypatch):
    """With a pool of the program's own, too, whose sockets have the timeout with which the request began."""
    api = ApiClient(server.url, TOKEN, http_client=urllib3.PoolManager())
    clock = Ahead().put_into(monkeypatch, body, client_module, transport)
    live.write(b"fffff\r\n:")  # and then nothing more
    events = opened(api, timeout=60)
    clock.move(59.5)
    with raising(errors.RequestTimeoutError):  # soon: in half a second, and not in a minute
        list(events)


def test_a_flood_that_never_ends_is_over_at_the_deadline(api, server, live):
    live.flood(b": nothing\n" * 6000)
    with raising(errors.RequestTimeoutError):
        list(opened(api, timeout=0.2))
    all_closed(server)


def test_an_answer_that_never_begins_is_a_timeout(api, server):
    server.answers(hang())
    with raising(errors.RequestTimeoutError):
        opened(api, timeout=0.2)
    still_works(api, server)


def test_the_time_is_that_of_the_client_unless_the_call_names_one(server, live):
    with raising(errors.RequestTimeoutError) as caught:
        list(opened(ApiClient(server.url, TOKEN, timeout=0.3)))
    assert "0.3 s" in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, "3", float("inf"), float("nan"), True])
def test_a_timeout_that_is_none_is_an_error_before_anything_is_sent(server, timeout):
    with raising(errors.InvalidParamError):
        opened(ApiClient(server.url, TOKEN), timeout=timeout)
    assert server.requests == []


# -- an answer that is no stream


@pytest.mark.parametrize(
    ("answer", "kind", "status", "code"),
    [
        (json_answer({"code": 602000101, "msg": "no access permission"}), errors.AuthenticationError, 200, 602000101),
        (json_answer({"code": 600502002, "msg": "limited"}), errors.RateLimitError, 200, 600502002),
        (json_answer({"code": 5, "msg": "?"}, 500), errors.InternalServerError, 500, 5),
        (json_answer({}, 429, {"Retry-After": "17"}), errors.RateLimitError, 429, None),
        (json_answer({}, 302, {"Location": "/elsewhere"}), errors.RemoteServiceError, 302, None),
        (text_answer("404 page not found", 404), errors.NotFoundError, 404, None),
        (text_answer("cannot decode", 400), errors.BadRequestError, 400, None),
        (text_answer("data: x\n\n", 503, "text/event-stream"), errors.InternalServerError, 503, None),
        (text_answer("<html>", 200, "text/html"), errors.RemoteServiceError, 200, None),
        (json_answer({"code": 0, "msg": "", "data": {}}), errors.RemoteServiceError, 200, 0),
        (json_answer({"message": "hi"}), errors.RemoteServiceError, 200, None),
        (json_answer({"code": []}), errors.RemoteServiceError, 200, None),
        (text_answer("", 204), errors.RemoteServiceError, 204, None),
    ],
)
def test_an_answer_that_is_no_stream_is_the_error_it_means(api, server, answer, kind, status, code):
    answer.headers["X-Log-ID"] = "2026-log"
    server.answers(answer)
    with raising(kind) as caught:
        opened(api)
    error = caught.value
    assert (error.status, error.code, error.log_id) == (status, code, "2026-log")
    assert error.retry_after == (17 if status == 429 else None)
    still_works(api, server)
    assert server.connections == 1


def test_json_where_a_stream_was_due_is_said_to_be_that(api, server):
    server.answers(json_answer({"code": 0}))
    with raising(errors.RemoteServiceError) as caught:
        opened(api)
    assert "application/json, not a stream of events" in str(caught.value)


def test_an_error_that_never_ends_is_cut_short(api, server, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 100_000)
    server.answers(Live("application/json").say(b" " * 200_000))
    with raising(errors.NetworkError):
        opened(api)
    all_closed(server)
    still_works(api, server)


@pytest.mark.parametrize(
    ("headers", "chunked"),
    [({"Content-Encoding": "gzip"}, True), ({"Transfer-Encoding": "gzip, chunked"}, False)],
    ids=["content", "transfer"],
)
def test_a_compressed_stream_is_an_error_and_not_a_stream_without_events(api, server, headers, chunked):
    server.answers(Live(headers=headers, chunked=chunked))
    with raising(errors.RemoteServiceError) as caught:
        opened(api)
    assert "gzip" in str(caught.value)
    all_closed(server)
    still_works(api, server)


# -- the token


def test_a_token_that_the_server_echoes_is_in_no_error_and_in_no_event(api, server):
    echo = "you sent Bearer " + TOKEN
    server.answers(
        json_answer({"code": 5, "msg": echo}, headers={"x-tt-logid": TOKEN}),
        text_answer(echo, 404, "text/plain; " + TOKEN),
        json_answer({"code": 0}, headers={"Content-Type": "text/x-" + TOKEN}),
        Live(headers={"Content-Encoding": TOKEN}),
    )
    for _ in range(4):
        with raising(errors.RemoteServiceError) as caught:
            opened(api)
        assert "***" in str(caught.value)
    live = Live(headers={"x-tt-logid": TOKEN})
    live.say(b"event: error\ndata: Bearer pat_sec").say(b"ret_0123456789\nid: " + TOKEN.encode() + b"\n\n").finish()
    server.answers(live)
    events = opened(api)
    assert events.log_id == "***"
    assert list(events) == [sse.Event("error", "Bearer ***", "***", None)]
    assert TOKEN not in repr(events)


def test_a_long_id_is_searched_for_secrets_once_and_not_with_each_event_that_has_it(server, live, monkeypatch):
    searched = []
    hidden = transport.Call.hidden
    monkeypatch.setattr(transport.Call, "hidden", lambda call, text: searched.append(text) or hidden(call, text))
    with opened(ApiClient(server.url, TOKEN)) as events:
        live.say(b"id: i%s\n" % TOKEN.encode() + b"data: x\n\n" * 3 + b"id: j\ndata: x\n\n").finish()
        assert [event.id for event in events] == ["i***", "i***", "i***", "j"]
    assert searched.count("i" + TOKEN) == 1


def test_a_word_that_is_short_is_no_secret(server):
    """As in tests and on a server that takes any token: the answer must not be mangled."""
    api = ApiClient(server.url, "token")
    server.answers(json_answer({"code": 0, "input_tokens": 1}), Live().say(b'data: {"input_tokens":1}\n\n').finish())
    assert api.get(PATH) == {"code": 0, "input_tokens": 1}
    assert data(opened(api)) == ['{"input_tokens":1}']


# -- headers of one call


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_headers_of_a_call_replace_all_others_in_any_case(server, method):
    api = ApiClient(server.url, TOKEN, headers={"X-Team": "blue", "X-Lane": "a"})
    getattr(api, method)(PATH, headers={"x-team": "red", "user-agent": "mine", "content-type": "application/x"})
    getattr(api, method)(PATH)
    first, second = server.requests
    assert first.headers.get_all("X-Team") == ["red"]
    assert first.headers.get_all("X-Lane") == ["a"]
    assert first.headers.get_all("User-Agent") == ["mine"]
    assert first.headers.get_all("Content-Type") == ["application/x"]
    assert first.headers.get_all("Authorization") == ["Bearer " + TOKEN]
    assert second.headers.get_all("X-Team") == ["blue"]


def test_a_call_with_credentials_of_its_own_does_not_ask_for_the_token_and_they_are_hidden_as_well(server):
    def token():
        raise AssertionError("asked")

    api = ApiClient(server.url, token)
    server.default = json_answer({"code": 5, "msg": "got " + TOKEN})
    with raising(errors.RemoteServiceError):
        api.request("POST", PATH, headers={"authorization": "Bearer " + TOKEN})
    with raising(errors.RemoteServiceError):
        api.stream("GET", PATH, headers={"Authorization": TOKEN})
    assert [request.headers.get_all("Authorization") for request in server.requests] == [["Bearer " + TOKEN], [TOKEN]]


@pytest.mark.parametrize("headers", [{"X": "a\r\nb"}, {"X y": "a"}, {"X": 5}, {5: "a"}, "X", 5])
def test_headers_that_cannot_be_sent_are_an_error_before_anything_is(server, headers):
    api = ApiClient(server.url, TOKEN)
    for call in (api.get, api.post, api.put, api.delete):
        with raising(errors.InvalidParamError):
            call(PATH, headers=headers)
    with raising(errors.InvalidParamError):
        opened(api, headers=headers)
    assert server.requests == []
