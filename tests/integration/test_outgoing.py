"""Requests that leave carry the current span, whichever client makes them, and nothing else about them changes."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from cozeloop_lite import errors, inject, start_span
from cozeloop_lite.integration.http import trace_httpx, trace_requests, trace_urllib, trace_urllib3
from cozeloop_lite.testing import capture_spans
from support.recording import RecordingServer, json_answer

SOON = 60  # seconds that no test waits unless it fails
OURS = ["x-cozeloop-traceparent", "x-cozeloop-tracestate", "traceparent", "tracestate", "baggage"]


@pytest.fixture(autouse=True)
def spans():
    with capture_spans() as spans:
        yield spans


@pytest.fixture
def other():
    with RecordingServer() as server:
        yield server


class Requests:
    """How a client is made, and how it makes requests; the same for all four."""

    trace = staticmethod(trace_requests)

    def __init__(self):
        requests = pytest.importorskip("requests")
        self.failure = requests.ConnectionError
        self.client = requests.Session()

    def get(self, url, headers=None):
        answer = self.client.get(url, headers=headers, timeout=SOON)
        return answer.status_code, answer.content, answer.url

    def close(self):
        self.client.close()


class Httpx:
    trace = staticmethod(trace_httpx)

    def __init__(self):
        httpx = pytest.importorskip("httpx")
        self.failure = httpx.ConnectError
        self.client = httpx.Client(follow_redirects=True, timeout=SOON)

    def get(self, url, headers=None):
        answer = self.client.get(url, headers=headers)
        return answer.status_code, answer.content, str(answer.url)

    def close(self):
        self.client.close()


class AsyncHttpx(Httpx):
    def __init__(self):
        httpx = pytest.importorskip("httpx")
        self.failure = httpx.ConnectError
        self.loop = asyncio.new_event_loop()
        self.client = httpx.AsyncClient(follow_redirects=True, timeout=SOON)

    def get(self, url, headers=None):
        answer = self.loop.run_until_complete(self.client.get(url, headers=headers))
        return answer.status_code, answer.content, str(answer.url)

    def close(self):
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()


class Urllib3:
    trace = staticmethod(trace_urllib3)
    failure = urllib3.exceptions.MaxRetryError

    def __init__(self):
        self.client = urllib3.PoolManager(timeout=SOON)

    def get(self, url, headers=None):
        answer = self.client.request("GET", url, headers=headers, retries=4)
        return answer.status, answer.data, None

    def close(self):
        self.client.clear()


class Urllib:
    trace = staticmethod(trace_urllib)
    failure = OSError

    def __init__(self):
        self.client = urllib.request.build_opener()

    def get(self, url, headers=None):
        request = urllib.request.Request(url, headers=headers) if headers else url
        with self.client.open(request, timeout=SOON) as answer:
            return answer.status, answer.read(), answer.url

    def close(self):
        """Each of its requests has a connection of its own."""


CLIENTS = [Requests, Httpx, AsyncHttpx, Urllib3, Urllib]


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.__name__)
def caller(request):
    made = request.param()
    assert made.trace(made.client) is made.client
    yield made
    made.close()


def carried(request):
    """The headers of ours that arrived with a request."""
    return {name: request.headers[name] for name in OURS if name in request.headers}


def expected(span):
    return {name.lower(): value for name, value in inject({}, span).items()}


def redirect(url, status=302):
    return json_answer({}, status=status, headers={"Location": url})


# -- what is carried ------------------------------------------------------------------------------------------------


def test_a_request_carries_the_span_that_is_current_when_it_is_made(server, caller):
    for number in range(2):
        with start_span("call") as span:
            span.set_baggage({"user_id": "u-%d" % number})
            assert caller.get(server.url + "/a")[0] == 200
        assert carried(server.requests[-1]) == expected(span)
        assert "user_id=u-%d" % number in carried(server.requests[-1])["baggage"]


def test_without_a_span_it_carries_nothing(server, caller):
    caller.get(server.url)
    assert carried(server.requests[0]) == {}


@pytest.mark.parametrize("mine", ["traceparent", "baggage", "TraceState"])
def test_headers_of_w3c_that_the_caller_set_are_left_alone(server, caller, mine):
    with start_span("call") as span:
        span.set_baggage({"a": "b"})
        caller.get(server.url)
        caller.get(server.url, {mine: "mine"})
    ours = expected(span)
    assert carried(server.requests[1]) == {
        mine.lower(): "mine",
        "x-cozeloop-traceparent": ours["x-cozeloop-traceparent"],
        "x-cozeloop-tracestate": ours["x-cozeloop-tracestate"],
    }


def test_headers_of_cozeloop_that_the_caller_set_are_left_alone(server, caller):
    with start_span("call") as span:
        caller.get(server.url, {"x-cozeloop-TRACEPARENT": "mine"})
    found = carried(server.requests[0])
    assert found == {"x-cozeloop-traceparent": "mine", "traceparent": expected(span)["traceparent"]}


def test_what_the_caller_injected_is_not_doubled(server, caller):
    with start_span("outer") as outer, start_span("call"):
        caller.get(server.url, inject({}, outer))
    assert carried(server.requests[0]) == expected(outer)
    assert server.requests[0].headers.get_all("traceparent") == [expected(outer)["traceparent"]]


def test_headers_of_the_caller_are_not_modified(server, caller):
    headers = {"Accept": "text/plain"}
    with start_span("call"):
        caller.get(server.url, headers)
    assert headers == {"Accept": "text/plain"}
    assert server.requests[0].headers["Accept"] == "text/plain"


def test_to_trace_a_client_twice_changes_nothing(server, other, caller):
    caller.trace(caller.client)
    server.answers(redirect(server.url + "/b"), redirect(other.url))
    with start_span("call") as span:
        caller.get(server.url + "/a")
    assert [carried(request) for request in server.requests] == [expected(span)] * 2
    assert carried(other.requests[0]) == {}


def test_one_client_on_many_threads(server, caller):
    if isinstance(caller, AsyncHttpx):
        pytest.skip("one event loop runs on one thread")
    together = threading.Barrier(4, timeout=SOON)

    def call(number):
        together.wait()
        with start_span("call") as span:
            caller.get("%s/%d" % (server.url, number))
        return "/%d" % number, expected(span)

    with ThreadPoolExecutor(4) as pool:
        made = dict(pool.map(call, range(16)))
    assert {request.path: carried(request) for request in server.requests} == made


def test_tasks_that_call_at_once_carry_their_own_spans(server):
    httpx = pytest.importorskip("httpx")

    async def call(client, number):
        with start_span("call") as span:
            await client.get("%s/%d" % (server.url, number))
        return "/%d" % number, expected(span)

    async def main():
        async with trace_httpx(httpx.AsyncClient(timeout=SOON)) as client:
            return dict(await asyncio.gather(*(call(client, number) for number in range(8))))

    made = asyncio.run(main())
    assert {request.path: carried(request) for request in server.requests} == made


# -- where it goes --------------------------------------------------------------------------------------------------


def test_redirects_to_the_same_place_are_followed_with_the_headers(server, caller):
    server.answers(redirect(server.url + "/b"), redirect("/c"))
    with start_span("call") as span:
        caller.get(server.url + "/a")
    assert [request.path for request in server.requests] == ["/a", "/b", "/c"]
    assert [carried(request) for request in server.requests] == [expected(span)] * 3


def test_another_place_gets_none_and_nor_do_those_it_redirects_to(server, other, caller):
    server.answers(redirect(other.url + "/b"))
    other.answers(redirect("/c"))
    with start_span("call") as span:
        span.set_baggage({"secret": "s"})
        assert caller.get(server.url + "/a", {"X-Mine": "1"})[0] == 200
    assert carried(server.requests[0]) == expected(span)
    assert [carried(request) for request in other.requests] == [{}, {}]
    assert [request.headers["X-Mine"] for request in other.requests] == ["1", "1"]


def test_another_place_that_redirects_back_ends_where_the_program_wanted_to_go(server, other, caller):
    server.answers(redirect(other.url + "/b"))
    other.answers(redirect(server.url + "/c"))
    with start_span("call") as span:
        caller.get(server.url + "/a")
    assert [carried(request) for request in server.requests] == [expected(span)] * 2
    assert carried(other.requests[0]) == {}


def test_headers_that_the_caller_set_go_wherever_the_client_takes_them(server, other, caller):
    server.answers(redirect(other.url))
    with start_span("call"):
        caller.get(server.url, {"traceparent": "mine"})
    assert carried(other.requests[0]).get("traceparent") == "mine"
    assert "x-cozeloop-traceparent" not in carried(other.requests[0])


TRICKS = [r"http://127.0.0.1:{other}\@127.0.0.1:{server}/", "//127.0.0.1:{other}#@127.0.0.1:{server}/"]


@pytest.mark.parametrize("trick", TRICKS)
def test_an_address_that_reads_two_ways_leads_nobody_astray(server, other, caller, trick):
    server.answers(redirect(trick.format(server=server.port, other=other.port)))
    with start_span("call"):
        try:
            caller.get(server.url + "/a")
        except Exception:  # noqa: S110 - the client may refuse it
            pass
    assert all(carried(request) == {} for request in other.requests)


# -- the rest is as before ------------------------------------------------------------------------------------------


def outcome(caller, url):
    try:
        return caller.get(url)
    except Exception as problem:
        return type(problem), str(problem)[:40]


@pytest.mark.parametrize("kind", CLIENTS)
def test_answers_and_failures_are_the_same_with_and_without(server, kind):
    server.default = lambda request: {
        "/redirect": redirect("/end"), "/missing": json_answer({}, status=404), "/loop": redirect("/loop"),
    }.get(request.path, json_answer({"path": request.path}))  # fmt: skip
    paths = ["/end", "/redirect", "/missing", "/loop"]
    seen = []
    for traced in (False, True):
        made = kind()
        if traced:
            made.trace(made.client)
        with start_span("call"):
            seen.append([outcome(made, server.url + path) for path in paths])
            seen[-1].append(outcome(made, "http://127.0.0.1:9/")[0])
            seen[-1].append(outcome(made, "no address")[0])
        made.close()
    assert seen[0] == seen[1]
    assert seen[0][0][0] == 200


def test_after_a_failure_the_next_request_carries_its_own_span(server, caller):
    with start_span("failing"), pytest.raises(caller.failure):
        caller.get("http://127.0.0.1:9/")
    with start_span("next") as span:
        caller.get(server.url)
    assert carried(server.requests[-1]) == expected(span)


def test_after_an_interruption_the_next_request_carries_its_own_span(server):
    class Interrupted(dict):
        def copy(self):
            return self

        def update(self, *args):
            raise KeyboardInterrupt

    pool = trace_urllib3(urllib3.PoolManager(timeout=SOON))
    with start_span("interrupted"), pytest.raises(KeyboardInterrupt):
        pool.urlopen("GET", server.url, headers=Interrupted())
    with start_span("next") as span:
        pool.request("GET", server.url)
    assert carried(server.requests[-1]) == expected(span)
    pool.clear()


def test_a_prepared_request_of_requests_can_be_sent_again_and_stays_as_it_was(server):
    requests = pytest.importorskip("requests")
    session = trace_requests(requests.Session())
    prepared = requests.Request("GET", server.url, headers={"A": "b"}).prepare()
    before = dict(prepared.headers)
    for number in range(2):
        with start_span("call") as span:
            answer = session.send(prepared)
        assert carried(server.requests[number]) == expected(span)
        assert answer.request is prepared
        assert dict(prepared.headers) == before


def test_a_request_of_httpx_can_be_sent_again(server):
    httpx = pytest.importorskip("httpx")
    extensions = {"mine": 1}
    with trace_httpx(httpx.Client()) as client:
        request = client.build_request("GET", server.url, extensions=extensions)
        for number in range(2):
            with start_span("call") as span:
                client.send(request)
            assert carried(server.requests[number]) == expected(span)
        client.send(request)
    assert carried(server.requests[2]) == {}
    assert extensions == {"mine": 1}


def test_a_request_of_urllib_can_be_sent_again(server):
    opener = trace_urllib(urllib.request.build_opener())
    request = urllib.request.Request(server.url, data=b"{}", method="PUT")
    for number in range(2):
        with start_span("call") as span:
            opener.open(request, timeout=SOON).close()
        assert carried(server.requests[number]) == expected(span)
        assert (server.requests[number].method, server.requests[number].body) == ("PUT", b"{}")
    assert not [name for name, _ in request.header_items() if name.lower() in OURS]


def test_a_redirect_that_the_program_follows_itself_takes_nothing_along(server, other):
    requests, httpx = pytest.importorskip("requests"), pytest.importorskip("httpx")
    server.default = redirect(other.url)
    with start_span("call"):
        following = trace_requests(requests.Session()).get(server.url, allow_redirects=False).next
        requests.Session().send(following)
        with trace_httpx(httpx.Client()) as client:
            client.send(client.get(server.url).next_request)
    assert [carried(request) for request in other.requests] == [{}, {}]


def test_a_pool_of_urllib3_keeps_its_own_headers(server):
    pool = trace_urllib3(urllib3.PoolManager(headers={"X-Mine": "1"}))
    other = urllib3._collections.HTTPHeaderDict({"X-Other": "2"})
    with start_span("call") as span:
        pool.request("GET", server.url)
        pool.request("POST", server.url, fields={"a": "b"}, headers=other)
        pool.urlopen("GET", server.url)
    assert [carried(request) for request in server.requests] == [expected(span)] * 3
    assert [request.headers.get("X-Mine") for request in server.requests] == ["1", None, "1"]
    assert server.requests[1].headers["X-Other"] == "2"
    assert (pool.headers, dict(other)) == ({"X-Mine": "1"}, {"X-Other": "2"})


def test_urlopen_and_headers_of_an_opener(server, monkeypatch):
    opener = urllib.request.build_opener()
    monkeypatch.setattr(urllib.request, "_opener", None)
    urllib.request.install_opener(trace_urllib(opener))
    with start_span("call") as span:
        urllib.request.urlopen(server.url, b"data", timeout=SOON).close()
        opener.addheaders = [("Traceparent", "mine")]
        urllib.request.urlopen(server.url, timeout=SOON).close()
    assert (server.requests[0].method, carried(server.requests[0])) == ("POST", expected(span))
    assert carried(server.requests[1])["traceparent"] == "mine"


@pytest.mark.parametrize("trace", [trace_requests, trace_httpx, trace_urllib, trace_urllib3])
def test_what_is_no_client_is_an_error_that_says_what_is_wanted(trace):
    with pytest.raises(errors.InvalidParamError, match=r"%s\(\) takes an? .*, not 'x'" % trace.__name__):
        trace("x")
