"""Requests that leave the program: the service that is called continues the trace. One line for each HTTP client.

    session = trace_requests(requests.Session())
    client = trace_httpx(httpx.Client())                            # or httpx.AsyncClient()
    pool = trace_urllib3(urllib3.PoolManager())
    opener = trace_urllib(urllib.request.build_opener())

From then on each request has the headers that :func:`cozeloop_lite.inject` writes for the span that is current when it
is made. They go where the program sends the request, and nowhere else: after a redirect only if scheme, host and port
are still the same. Headers that the caller set stay: where one of CozeLoop's is there already, those are left out, and
likewise W3C's. Everything else about the client is as before.
"""

from __future__ import annotations

import contextlib
import threading

from .. import errors, logger, process, propagation
from ..trace import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, MutableMapping, TypeVar

    T = TypeVar("T")

__all__ = ["trace_httpx", "trace_requests", "trace_urllib", "trace_urllib3"]

_FAMILIES = (
    (propagation.COZELOOP_TRACEPARENT, propagation.COZELOOP_TRACESTATE),
    (propagation.TRACEPARENT, propagation.TRACESTATE, propagation.BAGGAGE),
)
_MARK = "cozeloop_lite"  # in the extensions of a request of httpx: where it went first, and what was added to it


def trace_requests(session: T) -> T:
    """Let the requests of a ``requests.Session`` carry the current span; returns the session.

    Raises:
        InvalidParamError: ``session`` is no session.
    """
    send = _method(session, "send", "trace_requests() takes a requests.Session")
    calls = _Calls(lambda request: _origin(request.url))

    def traced(request: Any, *args: Any, **kwargs: Any) -> Any:
        with calls.carry(request, request.headers) as added:
            response = send(request, *args, **kwargs)
            following = getattr(response, "next", None)  # what would follow a redirect that is not followed here
            if following is not None:
                _take_out(following.headers, added)
            return response

    session.send = traced  # type: ignore[attr-defined]
    return session


def trace_httpx(client: T) -> T:
    """Let the requests of an ``httpx.Client`` or ``httpx.AsyncClient`` carry the current span; returns the client.

    Raises:
        InvalidParamError: ``client`` is no client.
    """
    import inspect

    send = _method(client, "send", "trace_httpx() takes an httpx.Client or httpx.AsyncClient")

    async def asynchronous(request: Any) -> None:
        _carry_httpx(request)

    hook = asynchronous if inspect.iscoroutinefunction(send) else _carry_httpx
    client.event_hooks["request"].append(hook)  # type: ignore[attr-defined]
    return client


def trace_urllib3(pool: T) -> T:
    """Let the requests of a ``urllib3.PoolManager`` or ``ProxyManager`` carry the current span; returns the pool.

    Raises:
        InvalidParamError: ``pool`` is none.
    """
    wanted = "trace_urllib3() takes a urllib3.PoolManager"
    _method(pool, "connection_from_url", wanted)
    urlopen = _method(pool, "urlopen", wanted)
    calls = _Calls(_origin)

    def traced(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        given = kwargs.get("headers")
        if given is None:
            given = pool.headers  # type: ignore[attr-defined]
        headers = given.copy() if hasattr(given, "copy") else dict(given or {})
        with calls.carry(url, headers):
            kwargs["headers"] = headers
            return urlopen(method, url, *args, **kwargs)

    pool.urlopen = traced  # type: ignore[attr-defined]
    return pool


def trace_urllib(opener: T) -> T:
    """Let the requests of a ``urllib.request.OpenerDirector`` carry the current span; returns the opener.

    For ``urllib.request.urlopen``: ``urllib.request.install_opener(trace_urllib(urllib.request.build_opener()))``.

    Raises:
        InvalidParamError: ``opener`` is none.
    """
    from urllib.request import Request

    open_ = _method(opener, "open", "trace_urllib() takes an OpenerDirector, which urllib.request.build_opener() makes")
    calls = _Calls(lambda request: (request.type, request.host))

    def traced(fullurl: Any, *args: Any, **kwargs: Any) -> Any:
        request = Request(fullurl) if isinstance(fullurl, str) else fullurl
        others = [*request.headers, *(name for name, _ in opener.addheaders)]  # type: ignore[attr-defined]
        with calls.carry(request, request.unredirected_hdrs, others):
            return open_(request, *args, **kwargs)

    opener.open = traced  # type: ignore[attr-defined]
    return opener


# -- what they share ------------------------------------------------------------------------------------------------


class _Calls:
    """The calls that are in progress, one on each thread; a request that follows a redirect is made inside it.

    Args:
        origin_of: scheme, host and port of a request, as the client itself finds them.
    """

    def __init__(self, origin_of: Callable[[Any], Any]) -> None:
        self._origin_of = origin_of
        # By the id of the thread, which is looked up at each call (see trace/machine.py): where the program's request
        # goes, and what was added to it.
        self._under_way: dict[int, tuple[Any, dict[str, str]]] = {}
        process.on_fork(self)

    def _on_fork(self) -> None:
        here = threading.get_ident()
        self._under_way = {thread: call for thread, call in self._under_way.items() if thread == here}

    @contextlib.contextmanager
    def carry(
        self, request: Any, headers: MutableMapping[str, str], others: Iterable[str] = ()
    ) -> Iterator[dict[str, str]]:
        """Have the headers of the current span in ``headers`` while one request is made, and then no more.

        ``others`` are names of headers that go out as well. Gives what was added.
        """
        thread = threading.get_ident()
        first, added = self._under_way.get(thread, (None, {}))
        outermost = first is None
        try:
            try:
                _take_out(headers, added)  # a redirected request has those of the one before
                origin = self._origin_of(request)
                if outermost:
                    first, added = self._under_way[thread] = origin, _missing([*headers, *others])
                if origin == first:
                    headers.update(added)
            except Exception as problem:  # noqa: BLE001 - a request that the client itself will not like
                logger.warn("a request leaves without the headers of its span: %s", values.describe(problem))
            yield added
        finally:  # also of what an interruption left half done: the next request would take it for its own
            _take_out(headers, added)
            if outermost:
                self._under_way.pop(thread, None)


def _carry_httpx(request: Any) -> None:
    """Called before each request, also before one that follows a redirect, with the extensions of the first.

    Never raises.
    """
    try:
        first, added = request.extensions.get(_MARK, (None, {}))
        _take_out(request.headers, added)
        origin = request.url.scheme, request.url.host, request.url.port
        if first is None or first == origin:
            added = _missing(request.headers)
            request.headers.update(added)
            request.extensions = {**request.extensions, _MARK: (origin, added)}
    except Exception as problem:  # noqa: BLE001 - another version of httpx
        logger.warn("a request leaves without the headers of its span: %s", values.describe(problem))


def _missing(present: Iterable[Any]) -> dict[str, str]:
    """The headers of the current span, but for the families of which one is present."""
    names = {(name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower() for name in present}
    made = propagation.inject()
    return {
        name: made[name]
        for family in _FAMILIES
        if names.isdisjoint(map(str.lower, family))
        for name in family
        if name in made
    }


def _take_out(headers: MutableMapping[str, str], added: dict[str, str]) -> None:
    for name in added:
        headers.pop(name, None)


def _origin(url: str) -> Any:
    from urllib3.util import parse_url

    parts = parse_url(url)
    return parts.scheme, parts.host, parts.port


def _method(owner: Any, name: str, wanted: str) -> Any:
    method = getattr(owner, name, None)
    if not callable(method):
        raise errors.InvalidParamError("%s, not %s" % (wanted, values.describe(owner)))
    return method
