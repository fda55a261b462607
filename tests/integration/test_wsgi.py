"""``TraceMiddleware``: a span for each request, around applications that do not notice."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wsgiref import simple_server, util
from wsgiref.validate import validator

import pytest

import cozeloop_lite
from cozeloop_lite import inject, start_span
from cozeloop_lite.integration import frameworks
from cozeloop_lite.integration.wsgi import TraceMiddleware
from cozeloop_lite.local import StandInServer
from cozeloop_lite.masking import mask_secrets
from cozeloop_lite.testing import capture_spans
from cozeloop_lite.trace import context

ROOT = Path(__file__).resolve().parents[2]
SOON = 60  # seconds that no test waits unless it fails
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = "00-%s-%s-01" % (TRACE_ID, SPAN_ID)


@pytest.fixture
def spans():
    with capture_spans() as spans:
        yield spans


def environ(path="/", **more):
    made = {"PATH_INFO": path, "QUERY_STRING": "", **more}
    util.setup_testing_defaults(made)
    return made


class Start:
    """A server's ``start_response``."""

    def __init__(self):
        self.calls = []
        self.written = []

    def __call__(self, status, headers, exc_info=None):
        self.calls.append((status, headers, exc_info))
        return self.written.append


def ask(app, path="/", **more):
    """What a server does: call, read to the end, close."""
    start = Start()
    body = TraceMiddleware(app)(environ(path, **more), start)
    try:
        return start, b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Body:
    """An iterable that counts its closes."""

    def __init__(self, parts, on_close=None):
        self.parts = parts
        self.on_close = on_close
        self.closes = 0

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        self.closes += 1
        if self.on_close:
            self.on_close()


def answering(body, status="200 OK"):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return app


# -- the span -------------------------------------------------------------------------------------------------------


def test_a_request_is_a_root_span_with_method_path_and_status(spans):
    assert ask(hello, "/orders/7")[1] == b"hello"
    (span,) = spans
    assert (span.name, span.type, span.parent_id, span.status) == ("GET /orders/7", "function", "", 0)
    assert span.tags == {"http_method": "GET", "http_path": "/orders/7", "http_status": 200}
    assert (span.input, span.output) == ("", "")


def test_the_path_is_that_of_the_whole_server_and_utf_8(spans):
    ask(hello, "/caf\xc3\xa9", SCRIPT_NAME="/shop")
    assert spans[0].name == "GET /shop/café"


def test_what_the_application_does_is_below_it(spans):
    def app(environ, start_response):
        cozeloop_lite.get_span_from_context().set_tags({"user": "u"})
        with start_span("work"):
            return hello(environ, start_response)

    ask(app)
    assert spans.named("work").parent is spans.named("GET /")
    assert spans.named("GET /").tags["user"] == "u"


@pytest.mark.parametrize("family", ["x-cozeloop-", ""], ids=["CozeLoop", "W3C"])
def test_the_caller_is_its_parent_and_hands_down_baggage(spans, family):
    with start_span("caller") as caller:
        caller.set_baggage({"user_id": "u-1"})
        headers = inject({})
    names = [name for name in headers if name.lower().startswith("x-cozeloop-") == bool(family)]
    assert len(names) == 2
    ask(hello, **{"HTTP_" + name.upper().replace("-", "_"): headers[name] for name in names})
    span = spans.named("GET /")
    assert span.parent is spans.named("caller")
    assert span.tags["user_id"] == "u-1"


@pytest.mark.parametrize("trust", [False, "false"])  # the latter is a mistake, and no trust
def test_without_trust_in_headers_every_request_is_a_root(spans, trust):
    app = TraceMiddleware(hello, trust_headers=trust)
    list(app(environ(HTTP_TRACEPARENT=PARENT, HTTP_BAGGAGE="a=b"), Start()))
    assert (spans[0].parent_id, spans[0].trace_id != TRACE_ID, "a" in spans[0].tags) == ("", True, False)


def test_variables_of_the_process_are_no_headers(spans):
    ask(hello, TRACEPARENT=PARENT, traceparent=PARENT, BAGGAGE="a=b")
    assert (spans[0].parent_id, "a" in spans[0].tags) == ("", False)


def test_what_is_current_on_the_thread_of_the_server_is_no_parent_and_stays_current(spans):
    with start_span("server") as server:
        ask(hello)
        assert context.current() is server
    assert spans.named("GET /").parent_id == ""


@pytest.mark.parametrize("headers", [{}, {"HTTP_TRACEPARENT": PARENT}], ids=["root", "child"])
@pytest.mark.parametrize("body", [[b"all"], Body([b"in ", b"parts"])], ids=["list", "stream"])
def test_an_application_that_is_wrapped_inside_another_one_belongs_to_its_request(spans, headers, body):
    inner = TraceMiddleware(answering(body))

    def outer(environ, start_response):
        with start_span("dispatch"):
            return inner({**environ, "SCRIPT_NAME": "/shop"}, start_response)

    for _ in range(2):
        ask(outer, **headers)
    requests = [span for span in spans if span.name == "GET /"]
    assert [span.parent_id for span in requests] == [SPAN_ID if headers else ""] * 2
    inside = [span for span in spans if span.name == "GET /shop/"]
    assert [span.parent.name for span in inside] == ["dispatch"] * 2
    assert [span.parent.parent for span in inside] == requests
    assert context.current() is None


def test_a_query_string_is_recorded_only_when_asked_for(spans):
    ask(hello, QUERY_STRING="token=secret")
    list(TraceMiddleware(hello, record_query="false")(environ(QUERY_STRING="token=secret"), Start()))  # a mistake
    list(TraceMiddleware(hello, record_query=True)(environ(QUERY_STRING="page=2"), Start()))
    assert "secret" not in repr([span.wire for span in spans])
    assert spans[2].tags["http_query"] == "page=2"


def test_a_client_of_its_own_can_be_given(client, sent):
    list(TraceMiddleware(hello, client)(environ(), Start()))
    assert sent("GET /")["parent_id"] == "0"


def test_what_a_hostile_request_names_is_cut(spans):
    huge = "x" * 3_000_000
    headers = {"HTTP_BAGGAGE": "k=" + huge, "HTTP_TRACEPARENT": huge, "HTTP_X_COZELOOP_TRACESTATE": "a=b," * 500_000}
    assert ask(hello, "/" + huge, REQUEST_METHOD=huge, QUERY_STRING=huge, **headers)[1] == b"hello"
    assert len(spans[0].name) < 1100
    assert len(repr(spans[0].wire)) < 10_000
    assert "cut_off" not in spans[0].wire["system_tags_string"]  # it was cut before, not only for sending


def test_a_mask_sees_the_path_in_the_name_and_more_of_path_and_query_than_is_sent(sink):
    secret = "11010519491231002X"
    long = "/" + "x" * 984 + "/" + secret
    client = cozeloop_lite.new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask_secrets)
    app = TraceMiddleware(hello, client, record_query=True)
    for path in ("/mail/bob@example.com", long + "/of/7", "/" + "x" * 1005 + "/" + secret, long * 10):
        list(app(environ(path, QUERY_STRING=path), Start()))
    with client.start_span("bob@example.com"):  # a name that the program gave
        pass
    assert client.close(60)
    for path, span in zip(["/mail/<email>", long.replace(secret, "<id_cn>") + "/of/7"], sink.spans):
        assert (span["span_name"], span["tags_string"]["http_path"]) == ("GET " + path, path)
        assert span["tags_string"]["http_query"] == path
    assert "/110" not in repr(sink.spans)
    cut_off = [json.loads(span["system_tags_string"].get("cut_off", "[]")) for span in sink.spans]
    assert cut_off == [[], [], [], ["span_name", "http_path", "http_query"], []]
    assert sink.spans[-1]["span_name"] == "bob@example.com"


@pytest.mark.parametrize(("filler", "limit"), [("中", 1024), ("x", 100), ("x", 10_000)])
def test_a_mask_sees_more_of_path_and_query_than_is_sent_also_where_it_leaves_little_of_them(sink, filler, limit):
    def mask(text):
        return re.sub(filler + "+", "*", text.replace(secret, "<id_cn>"))

    secret = "11010519491231002X"
    conf = cozeloop_lite.TagTruncateConf(normal_field_max_byte=limit)
    client = cozeloop_lite.new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask, tag_truncate_conf=conf)
    app = TraceMiddleware(hello, client, record_query=True)
    cuts = {(limit + 4096 + 1) // len(filler.encode()), limit + 4096 + 1, 1024 + 4096 + 1}  # of bytes, of characters
    for cut in cuts:
        for begun in (3, 8, 12):
            path = "/" + filler * (cut - begun) + secret + filler * 30_000
            path = path.encode().decode("latin-1")  # PEP 3333
            list(app(environ(path, QUERY_STRING=path), Start()))
    assert client.close(60)
    assert "110105" not in repr([(span["span_name"], span["tags_string"]) for span in sink.spans])


def test_an_environ_or_a_status_of_nonsense_changes_nothing(spans, logged):
    def app(environ, start_response):
        start_response(None, [])
        return [b"ok"]

    assert list(TraceMiddleware(app)({"PATH_INFO": 7}, Start())) == [b"ok"]
    assert "a request is not traced" in logged()[-1]
    ask(app)
    assert "http_status" not in spans[0].tags


# -- failures -------------------------------------------------------------------------------------------------------


def test_an_exception_is_recorded_and_goes_on_unchanged(spans):
    problem = ValueError("bad")

    def app(environ, start_response):
        raise problem

    with pytest.raises(ValueError) as caught:
        ask(app)
    assert caught.value is problem
    assert context.current() is None
    assert (spans[0].status, spans[0].tags["error"], spans[0].tags["error_type"]) == (-1, "bad", "ValueError")
    assert " in app" in spans[0].tags["error_stack"] and "integration/wsgi" not in spans[0].tags["error_stack"]


@pytest.mark.parametrize("status, failed", [("404 Not Found", False), ("500 Oops", True), ("503 Busy", True)])
def test_a_status_from_500_up_is_an_error(spans, status, failed):
    ask(answering([b"page"], status))
    assert spans[0].status == (-1 if failed else 0)
    assert spans[0].tags.get("error") == ("HTTP " + status if failed else None)


def test_an_exception_that_the_application_answers_itself_is_recorded(spans):
    def app(environ, start_response):
        try:
            raise KeyError("gone")
        except KeyError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    start, body = ask(app)
    assert (body, start.calls[0][2][0]) == (b"sorry", KeyError)
    assert (spans[0].tags["error"], spans[0].tags["error_type"]) == ("'gone'", "KeyError")
    assert spans[0].tags["http_status"] == 500


def test_the_last_status_counts(spans):
    def app(environ, start_response):
        start_response("200 OK", [])
        start_response("502 Bad Gateway", [], (None, None, None))
        return [b""]

    ask(app)
    assert spans[0].tags["http_status"] == 502


def test_without_settings_the_application_is_called_as_it_is(logged):
    body = Body([b"x"])
    start = Start()
    assert TraceMiddleware(lambda environ, given: body if given is start else None)(environ(), start) is body
    assert "nothing is traced" in logged()[0]


# -- bodies ---------------------------------------------------------------------------------------------------------


def test_a_list_is_handed_on_as_it_is(spans):
    body = [b"a", b"b"]
    assert TraceMiddleware(answering(body))(environ(), Start()) is body
    assert len(spans) == 1


def test_a_streamed_body_belongs_to_the_span_and_its_reader_does_not(spans):
    def app(environ, start_response):
        start_response("200 OK", [])
        for part in (b"a", b"b"):
            with start_span("part"):
                yield part

    body = iter(TraceMiddleware(app)(environ(), Start()))
    assert next(body) == b"a"
    start_span("reader").finish()
    assert list(body) == [b"b"]
    assert [span.name for span in spans] == ["reader", "part", "part", "GET /"]
    assert spans[0].parent_id == "" and spans[1].parent is spans[2].parent is spans[3]
    assert (spans[3].tags["http_status"], spans[3].status, "error" in spans[3].tags) == (200, 0, False)


def test_who_has_begun_with_a_body_goes_on_where_he_was(spans):
    body = Body([b"a", b"b", b"c"])  # one that begins anew when it is iterated over again
    parts = iter(TraceMiddleware(answering(body))(environ(), Start()))
    assert [next(parts), *parts] == [b"a", b"b", b"c"]


def test_a_body_that_can_be_had_once_arrives(spans):
    class Once(Body):
        def __iter__(self):
            return iter([self.parts.pop() for _ in range(len(self.parts))])

    assert ask(answering(Once([b"b", b"a"])))[1] == b"ab"  # joined by bytes.join, which asks twice


def test_a_body_that_can_be_had_twice_arrives_twice(spans):
    body = TraceMiddleware(answering(Body([b"a", b"b"])))(environ(), Start())
    assert [sum(map(len, body)), b"".join(body), list(body)] == [2, b"ab", [b"a", b"b"]]  # its length, first
    assert next(body, None) is None
    assert len(spans) == 1


def test_requests_that_are_answered_in_turns_on_one_thread_keep_apart(spans):
    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(3):
            with start_span("part of " + environ["PATH_INFO"]):
                yield b"x"

    bodies = [iter(TraceMiddleware(app)(environ("/%d" % number), Start())) for number in range(4)]
    for _ in range(4):
        for body in bodies:
            next(body, None)
    parts = [span for span in spans if span.name.startswith("part")]
    assert len(parts) == 12
    assert all(part.parent.name == "GET /" + part.name[-1] for part in parts)
    assert context.current() is None


def test_an_exception_in_the_body_is_recorded_and_goes_on(spans):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        ask(app)
    assert len(spans) == 1
    assert (spans[0].tags["error"], spans[0].tags["http_status"]) == ("broken", 200)


def test_close_is_called_once_and_what_it_does_is_below_the_span(spans):
    body = Body([b"a"], on_close=lambda: start_span("teardown").finish())
    answer = TraceMiddleware(answering(body))(environ(), Start())
    assert list(answer) == [b"a"]
    assert [span.name for span in spans] == ["GET /"]
    answer.close()
    answer.close()
    assert body.closes == 1
    assert spans.named("teardown").parent is spans.named("GET /")


def test_a_body_that_is_left_is_closed_and_incomplete(spans):
    body = Body([b"a", b"b"])
    answer = TraceMiddleware(answering(body))(environ(), Start())
    next(iter(answer))
    answer.close()
    assert (body.closes, spans[0].tags["incomplete"], spans[0].status) == (1, True, 0)


def test_a_body_that_is_dropped_ends_its_span_as_well(spans):
    TraceMiddleware(answering(Body([b"a"])))(environ(), Start())
    assert spans[0].tags["incomplete"] is True


def test_an_exception_of_close_goes_on(spans):
    def fail():
        raise OSError("late")

    answer = TraceMiddleware(answering(Body([b"a"], on_close=fail)))(environ(), Start())
    with pytest.raises(OSError, match="late"):
        answer.close()
    assert spans[0].tags["error"] == "late"


def test_what_is_no_body_fails_where_it_would_fail_without(spans):
    answer = TraceMiddleware(answering(None))(environ(), Start())
    with pytest.raises(TypeError):
        list(answer)
    assert spans[0].tags["error_type"] == "TypeError"


def test_the_length_of_a_body_is_still_there(spans):
    class Sized(Body):
        def __len__(self):
            return len(self.parts)

    assert len(TraceMiddleware(answering(Sized([b"a", b"b"])))(environ(), Start())) == 2
    assert not hasattr(TraceMiddleware(answering(Body([b"a"])))(environ(), Start()), "__len__")


def test_the_callable_write_is_that_of_the_server(spans):
    def app(environ, start_response):
        write = start_response("200 OK", [])
        with start_span("writing"):
            write(b"written")
        return []

    start, _ = ask(app)
    assert start.written == [b"written"]
    assert spans.named("writing").parent.name == "GET /"


class FileWrapper:
    """A server's own, which it knows by its type, and closes what it wraps."""

    def __init__(self, filelike, size=8192):
        self.filelike = filelike
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return iter(self.filelike.read, b"")


class SlottedFileWrapper(FileWrapper):
    """One that takes no attribute, as those written in C."""

    __slots__ = ()

    def __setattr__(self, name, value):
        if name == "close":
            raise AttributeError(name)
        super().__setattr__(name, value)

    def __init__(self, filelike, size=8192):
        self.filelike = filelike


class File(io.BytesIO):
    closes = 0

    def close(self):
        self.closes += 1
        start_span("closing").finish()
        super().close()


def test_a_wrapped_file_stays_what_the_server_knows_how_to_send(spans):
    file = File(b"content")

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    answer = TraceMiddleware(app)(environ(**{"wsgi.file_wrapper": FileWrapper}), Start())
    assert type(answer) is FileWrapper
    assert answer.filelike is file
    assert b"".join(answer) == b"content"
    assert not spans
    answer.close()
    assert file.closes == 1
    assert spans.named("closing").parent is spans.named("GET /")


def test_a_wrapped_file_without_close_ends_its_span(spans):
    for wrapper in (FileWrapper, SlottedFileWrapper):
        app = TraceMiddleware(lambda environ, start: environ["wsgi.file_wrapper"](type("Raw", (), {"read": None})()))
        answer = app(environ(**{"wsgi.file_wrapper": wrapper}), Start())
        if wrapper is FileWrapper:
            answer.close()
    assert len(spans) == 2


def test_a_span_that_is_left_open_is_no_parent_of_the_next_request(spans):
    left = []

    def app(environ, start_response):
        left.append(start_span("left open"))
        return hello(environ, start_response)

    ask(app)
    ask(hello, "/next")
    assert spans.named("GET /next").parent_id == ""
    assert context.current() is None


# -- over HTTP ------------------------------------------------------------------------------------------------------


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        """Keep stderr quiet."""

    def get_stderr(self):
        return io.StringIO()


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    block_on_close = True  # when it is closed, every request was answered to the end
    daemon_threads = False


@contextlib.contextmanager
def served(app):
    with simple_server.make_server("127.0.0.1", 0, app, Server, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def fetch(port, path, method="GET", headers=None):
    """Status, headers (but for the time) and body; how the answer broke off, if it did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SOON)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        kept = sorted((name, value) for name, value in answer.getheaders() if name not in ("Date", "Last-Modified"))
        return answer.status, kept, answer.read()
    except http.client.HTTPException as problem:
        return type(problem)
    finally:
        connection.close()


def plain():
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        headers = [("Content-Type", "text/plain")]
        if path == "/raise":
            raise ValueError(path)
        if path == "/late":
            return late(start_response, headers)
        write = start_response("418 I'm a teapot" if path == "/teapot" else "200 OK", headers)
        if path == "/write":
            write(b"by hand, ")
        if path == "/stream":
            return (b"%d\n" % number for number in range(3))
        if path == "/file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file" * 10_000))
        return [b"plain"]

    def late(start_response, headers):
        start_response("200 OK", headers)
        yield b"begun"
        raise ValueError("late")

    return app, ["/", "/raise", "/late", "/teapot", "/write", "/stream", "/file"]


def flask():
    flask = pytest.importorskip("flask")
    app = flask.Flask("app")
    app.logger.disabled = True

    @app.route("/orders/<int:number>")
    def order(number):
        return {"number": number}

    @app.route("/raise")
    def fail():
        raise ValueError("bad")

    @app.route("/stream")
    def stream():
        return flask.Response(flask.stream_with_context(flask.request.path for _ in range(3)))

    @app.route("/file")
    def file():
        return flask.send_file(__file__)

    @app.route("/away")
    def away():
        return flask.redirect("/orders/1")

    return app, ["/orders/7", "/orders/x", "/raise", "/stream", "/file", "/away"]


def bottle():
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.route("/orders/<number:int>")
    def order(number):
        return {"number": number}

    @app.route("/raise")
    def fail():
        raise ValueError("bad")

    @app.route("/stream")
    def stream():
        yield "a"
        yield "b"

    @app.route("/file")
    def file():
        return bottle.static_file(os.path.basename(__file__), root=os.path.dirname(__file__))

    return app, ["/orders/7", "/orders/x", "/raise", "/stream", "/file"]


def django():
    django = pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"], ROOT_URLCONF="test_wsgi_urls", SECRET_KEY="none",
            LOGGING={
                "version": 1,
                "disable_existing_loggers": False,
                "loggers": {"django": {"handlers": [], "propagate": False}},
            },
        )  # fmt: skip
        django.setup()
    import types

    from django import http, urls
    from django.core.wsgi import get_wsgi_application

    def fail(request):
        raise ValueError("bad")

    module = types.ModuleType("test_wsgi_urls")
    module.urlpatterns = [
        urls.path("orders/<int:number>", lambda request, number: http.JsonResponse({"number": number})),
        urls.path("raise", fail),
        urls.path("stream", lambda request: http.StreamingHttpResponse(iter([b"a", b"b"]))),
        urls.path("file", lambda request: http.FileResponse(open(__file__, "rb"))),  # noqa: SIM115 - Django closes it
    ]
    sys.modules[module.__name__] = module
    return get_wsgi_application(), ["/orders/7", "/orders/x", "/raise", "/stream", "/file"]


FRAMEWORKS = [plain, flask, bottle, django]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_answer_is_the_same_with_and_without(spans, framework):
    app, paths = framework()
    requests = [(path, method) for path in paths for method in ("GET", "HEAD", "POST")]
    apps = [app]
    with served(lambda environ, start_response: apps[-1](environ, start_response)) as port:  # pages may show the port
        without = [fetch(port, *request) for request in requests]
        apps.append(TraceMiddleware(app))
        traced = [fetch(port, *request) for request in requests]
    assert traced == without
    assert len({span.trace_id for span in spans}) == len(spans) == len(requests)
    assert all(span.tags["http_status"] == answer[0] for span, answer in in_order(spans, requests, traced))


def in_order(spans, requests, answers):
    """Each span with its answer, for those that were answered by the application."""
    by_request = {(span.tags["http_path"], span.tags["http_method"]): span for span in spans}
    pairs = [(by_request[request], answer) for request, answer in zip(requests, answers)]
    return [(span, answer) for span, answer in pairs if "http_status" in span.tags and isinstance(answer, tuple)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_request_that_fails_is_an_error(spans, framework):
    app, _ = framework()
    with served(TraceMiddleware(app)) as port:
        assert fetch(port, "/raise")[0] == 500
    (span,) = spans
    assert (span.status, "error" in span.tags) == (-1, True)


@pytest.mark.parametrize("framework", [flask, bottle, django])
def test_an_exception_that_the_framework_answers_is_recorded_with_its_stack(spans, framework):
    app, _ = framework()
    if framework is flask:
        pytest.importorskip("blinker")  # Flask 2.2 and before may lack it
    elif framework is bottle and sys.modules["bottle"].__version__ < "0.13":
        pytest.skip("this release tells the server nothing of what it catches")
    with served(TraceMiddleware(app)) as port:
        assert fetch(port, "/raise")[0] == 500
        assert fetch(port, "/orders/7")[0] == 200
    other, failed = sorted(spans, key=lambda span: span.tags["http_path"])  # they may end in any order
    assert (failed.tags["error"], failed.tags["error_type"]) == ("bad", "ValueError")
    assert "test_wsgi.py" in failed.tags["error_stack"]
    assert "error" not in other.tags


def test_a_failure_belongs_to_the_span_of_its_request_alone(spans):
    def fail(app):  # which is not wrapped
        start = Start()
        b"".join(app(environ("/raise"), start))
        assert start.calls[-1][0].startswith("500")

    for app, _ in (flask(), django()):
        ask(app)  # from now on the middleware hears of failures
        with start_span("around"):
            fail(app)
            cozeloop_lite.bind(fail)(app)
    assert [span.name for span in spans] == ["GET /", "around", "GET /", "around"]
    assert all("error" not in span.tags for span in spans)


def test_a_framework_that_fails_when_it_is_looked_at_changes_nothing(spans, monkeypatch):
    class Lazy:
        def __getattr__(self, name):
            raise ImportError(name)

    monkeypatch.setattr(frameworks, "_heard", set())
    monkeypatch.setitem(sys.modules, "flask", Lazy())
    assert ask(answering([b"x"]))[1] == b"x"
    assert [span.name for span in spans] == ["GET /"]


def test_a_route_that_fails_when_it_is_looked_at_changes_nothing(spans, logged):
    class Hostile(Body):
        @property
        def _resource_closers(self):
            raise RuntimeError("not to be asked")

    assert ask(answering(Hostile([b"x"])))[1] == b"x"
    assert [span.name for span in spans] == ["GET /"]
    assert len(logged()) == 1


@pytest.mark.parametrize(
    "framework, name",
    [
        (flask, "GET /orders/<int:number>"),
        (bottle, "GET /orders/<number:int>"),
        (django, "GET /orders/<int:number>"),
    ],
)
def test_a_span_is_named_after_the_route_where_the_framework_tells_it(spans, framework, name):
    app, _ = framework()
    with served(TraceMiddleware(app)) as port:
        fetch(port, "/orders/7?secret=1")
        fetch(port, "/nowhere")
    assert sorted(span.name for span in spans) == ["GET /nowhere", name]
    span = spans.named(name)
    assert (span.tags["http_route"], span.tags["http_path"]) == (name[4:], "/orders/7")


@pytest.mark.parametrize("framework", [plain, flask, django])  # Bottle itself does not pass the validator
def test_it_keeps_to_the_standard_on_both_sides(spans, framework):
    app, _ = framework()
    known = "/" if framework is plain else "/orders/7"
    with served(validator(TraceMiddleware(validator(app)))) as port:
        assert [fetch(port, path)[0] for path in (known, "/stream")] == [200, 200]
    assert len(spans) == 2


def test_many_requests_at_once_are_traces_of_their_own(spans):
    together = threading.Barrier(8, timeout=SOON)

    def app(environ, start_response):
        with start_span("outer"):
            together.wait()
            with start_span("inner " + environ["PATH_INFO"]):
                together.wait()
        return hello(environ, start_response)

    with served(TraceMiddleware(app)) as port, ThreadPoolExecutor(8) as pool:
        assert [answer[0] for answer in pool.map(lambda number: fetch(port, "/%d" % number), range(32))] == [200] * 32
    inner = [span for span in spans if span.name.startswith("inner")]
    assert len(inner) == 32
    assert all(span.parent.parent.name == span.name.replace("inner", "GET") for span in inner)
    assert len({span.trace_id for span in spans}) == 32


def test_two_services_of_flask_make_one_trace(spans):
    pytest.importorskip("flask")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    with StandInServer(token="right", workspace_id="7") as server:
        settings = {
            "COZELOOP_API_BASE_URL": server.url, "COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "examples.flask_pair"], cwd=str(ROOT), env={**plain, **settings},
            capture_output=True, text=True, timeout=SOON,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        found = {span["span_name"]: span for span in server.store.spans()}
        assert server.store.warnings() == []
    parents = {name: span["parent_id"] for name, span in found.items()}
    assert parents == {
        "GET /orders/<number>": "0",
        "answer": found["GET /orders/<number>"]["span_id"],
        "GET /stock/<item>": found["answer"]["span_id"],
    }
    assert re.search(r"^trace (\w+)$", done.stdout, flags=re.M).group(1) == found["answer"]["trace_id"]
    assert len({span["trace_id"] for span in found.values()}) == 1
