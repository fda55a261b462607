"""Web applications over WSGI (Flask, Django, Bottle and others): a span for each request, in the trace of its caller.

What runs while a request is answered finds its span as the current one, whichever framework it is, and the body that
is made after the application returned belongs to it as well.

    app.wsgi_app = TraceMiddleware(app.wsgi_app)            # Flask
    application = TraceMiddleware(get_wsgi_application())   # Django, in wsgi.py
    bottle.run(TraceMiddleware(bottle.default_app()))       # Bottle

The server sees what it would see without: the same answers, exceptions and calls of ``close``.
"""

from __future__ import annotations

from .. import clients, logger
from ..config import VALUE_BYTES
from ..propagation import BAGGAGE, COZELOOP_TRACEPARENT, COZELOOP_TRACESTATE, TRACEPARENT, TRACESTATE
from ..trace import content, context, failure, uncut, values
from ..trace.span import NOOP
from . import frameworks, incoming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    from ..client import Client
    from ..trace.span import Span

    Environ = dict[str, Any]
    Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

__all__ = ["TraceMiddleware"]

MAX_PATH_CHARS = 1000
MAX_METHOD_CHARS = 20
MAX_STATUS_CHARS = 100

# Only these are looked at: a server may put the variables of its process beside the headers of the request.
_CARRIERS = [
    "HTTP_" + name.upper().replace("-", "_")
    for name in (COZELOOP_TRACEPARENT, COZELOOP_TRACESTATE, TRACEPARENT, TRACESTATE, BAGGAGE)
]


class TraceMiddleware:
    """The WSGI application ``app``, with a span of the type ``function`` for each request.

    The span is named after method and route (``GET /orders/<id>``; the path where the framework does not tell the
    route), and has the tags ``http_method``, ``http_path``, ``http_route`` and ``http_status``. It ends when the body
    was sent. An exception, be it one that the framework answers, and a status from 500 up are errors; a body that was
    not read to its end has the tag ``incomplete``. Bodies, headers and cookies are not recorded. Never raises by
    itself.

    Args:
        app: the application.
        client: default the default client.
        record_query: whether the query string is recorded, as the tag ``http_query``. It may hold what is secret.
        trust_headers: False for a server that strangers reach: every request is then the root of a new trace, whatever
            trace and baggage its headers name. Inside another request, which is the parent, nothing depends on it.
    """

    def __init__(
        self, app: Application, client: Client | None = None, *, record_query: bool = False, trust_headers: bool = True
    ) -> None:
        self._app = app
        self._client = client
        self._record_query = content.allowed("record_query", record_query)
        self._trust_headers = content.allowed("trust_headers", trust_headers)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        outside = context.top()
        span = self._start(environ)
        context.push(outside)
        if span is NOOP:
            return self._app(environ, start_response)
        frameworks.listen()
        request = _Request(span, environ)
        body = request.run(self._app, environ, request.heard(start_response))
        request.note_body(body)
        return _watched(body, request)  # type: ignore[no-any-return]  # whatever the application returned

    def _start(self, environ: Environ) -> Span:
        """The span of a request; one that records nothing when there is no client. Never raises."""
        try:
            client = self._client if self._client is not None else clients.for_tracing()
            if client is None:
                return NOOP
            method = str(environ.get("REQUEST_METHOD", "GET"))[:MAX_METHOD_CHARS]
            path, query = self._asked_for(environ, MAX_PATH_CHARS)
            headers = {name: environ[name] for name in _CARRIERS if name in environ} if self._trust_headers else None
            span = incoming.start_span(client, method + " " + path, "function", headers)
            if uncut.sees(span):  # it is to see more than is sent, also in the name; a character may be four of these
                path, query = self._asked_for(environ, 4 * (VALUE_BYTES + span._owner.tag_chars))
                span._name = method + " " + path
                span._extras()["mask_name"] = True
            span.set_tags({"http_method": method, "http_path": path, "http_query": query or None})
            return span
        except Exception as problem:  # noqa: BLE001 - an environ that is none, or a client of the program's own making
            logger.warn("a request is not traced: %s", values.describe(problem))
            return NOOP

    def _asked_for(self, environ: Environ, limit: int) -> tuple[str, str | None]:
        """The path of a request and, if it is to be recorded, its query string."""
        path = _text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), limit)
        return path, _text(environ.get("QUERY_STRING", ""), limit) if self._record_query else None


class _Request:
    """A request that is being answered, step by step: the call of the application, each part of the body, the close.

    Between the steps the thread belongs to the server, so the request has a stack of spans of its own. At its bottom is
    a stand-in, which remains a parent when the span is finished: ``close`` may have work to do after the last part.
    """

    def __init__(self, span: Span, environ: Environ) -> None:
        self.environ = environ
        self._span = span
        self._status = ""
        self._route: str | None = None
        outside = context.top()
        context.push(incoming.RequestStandIn(span))
        self._stack = context.Stack()
        context.push(outside)

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take a step. One that raises is the last but for the close."""
        outside = self._stack.resume()
        try:
            return step(*args)
        except BaseException as error:
            if not isinstance(error, (StopIteration, GeneratorExit)):  # the body is at its end, or was left
                failure.record(self._span, error)
            self.end(incomplete=False)
            raise
        finally:
            self._stack.suspend(outside)

    def heard(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        """``start_response``, with an ear for the status."""

        def listening(*args: Any, **kwargs: Any) -> Any:
            write = start_response(*args, **kwargs)
            try:
                self._note(*args, **kwargs)
            except Exception as problem:  # noqa: BLE001 - the server takes what is not in the standard
                logger.warn("status and route of a request are not recorded: %s", values.describe(problem))
            return write

        return listening

    def _note(self, status: Any, headers: Any = None, exc_info: Any = None) -> None:
        self._status = str(status)[:MAX_STATUS_CHARS]
        self._route = frameworks.route_of(self.environ)  # Flask takes away at the end what tells it
        if exc_info and exc_info[1] is not None:  # handled by the application, and answered with a page of its own
            failure.record(self._span, exc_info[1])

    def note_body(self, body: Any) -> None:
        """What the application returned. Never raises."""
        try:
            self._route = self._route or frameworks.route_behind(body)
        except Exception as problem:  # noqa: BLE001 - of a type that fails when it is looked at
            logger.warn("the route of a request is not recorded: %s", values.describe(problem))

    def end(self, incomplete: bool) -> None:
        """The request is answered. Only the first call counts; never raises."""
        span = self._span
        if span._finished:
            return
        code = int(self._status[:3]) if self._status[:3].isdecimal() else None
        span.set_tags({"http_route": self._route, "http_status": code, "incomplete": incomplete or None})
        if self._route:  # known only now
            span._name = "%s %s" % (span._tags.get("http_method"), self._route)
        if code is not None and code >= 500 and "error" not in span._tags:
            span.set_error("HTTP " + self._status)
        span.finish()


def _watched(body: Any, request: _Request) -> Any:
    """``body``, whose end will be noticed."""
    if type(body) is list or type(body) is tuple:  # all is there; and servers ask it for its length
        request.end(incomplete=False)
        return body
    wrapper = request.environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        return _watched_file(body, request)
    return _SizedBody(body, request) if hasattr(type(body), "__len__") else _Body(body, request)


def _watched_file(body: Any, request: _Request) -> Any:
    """A file, which must stay what it is: the server knows its own wrapper, and has a faster way to send it."""
    close = getattr(body, "close", None)

    def closed() -> None:
        try:
            if close is not None:
                request.run(close)
        finally:
            request.end(incomplete=False)

    try:
        body.close = closed
    except (AttributeError, TypeError):  # a wrapper in C, which has no place for it
        request.end(incomplete=False)
    return body


class _Body:
    """The body of an answer, made part by part while the server sends it."""

    def __init__(self, body: Any, request: _Request) -> None:
        self._body = body
        self._request = request
        self._parts: Any = None
        self._at_end = False
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        # An iterator that is iterated over goes on: "for" asks it once more. Only what can be had twice begins anew.
        if self._parts is None or self._at_end:
            self._parts = self._request.run(iter, self._body)
            self._at_end = False
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            iter(self)
        try:
            return self._request.run(next, self._parts)  # type: ignore[no-any-return]
        except StopIteration:
            self._at_end = True
            raise

    def close(self) -> None:
        """Close what the application returned, once."""
        if self._closed:
            return
        self._closed = True
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._request.run(close)
        finally:
            self._request.end(incomplete=True)

    def __del__(self) -> None:
        self._request.end(incomplete=True)  # of a server that does not close what it leaves


class _SizedBody(_Body):
    """One that knows how many parts it has."""

    def __len__(self) -> int:
        return len(self._body)


def _text(value: str, limit: int) -> str:
    """What WSGI has as Latin-1, as the UTF-8 that it is (PEP 3333), cut."""
    return value[:limit].encode("latin-1", "replace").decode("utf-8", "replace")
