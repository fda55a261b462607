"""For the tests of programs that are traced: which spans did this code make? Without a server, settings or waiting.

    from cozeloop_lite.testing import capture_spans

    with capture_spans() as spans:
        answer("What is a span?")
    assert [span.name for span in spans] == ["search", "answer"]
    assert spans.named("search").parent.name == "answer"

With pytest, ``pytest_plugins = ["cozeloop_lite.testing"]`` in ``conftest.py``, or an import of it, brings the fixture
``captured_spans``. (PYTEST_DONT_REWRITE: nothing is asserted in here.)
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys

from . import clients, config
from .api.client import ApiClient
from .client import Client
from .trace import context
from .trace.account import Counter
from .trace.record import record_of
from .trace.tracer import Tracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List, NoReturn

    from .trace.span import Span

    _ListOfSpans = List["CapturedSpan"]
else:
    _ListOfSpans = list

__all__ = ["CapturedSpan", "CapturedSpans", "capture_spans"]


class CapturedSpan:
    """A finished span, as the platform would have been sent it.

    Attributes:
        name, type: what ``start_span`` was given.
        trace_id, span_id: of 32 and 16 hexadecimal digits.
        parent_id: the ``span_id`` of the parent; ``""`` of a root.
        tags: all of them, baggage and ``error`` included.
        input, output: text; JSON where another value than a text was set; ``""`` where none was.
        status: 0, or that of an error (-1 unless another one was set).
        wire: the whole JSON object, with the system tags, log id, times and so on.
    """

    def __init__(self, wire: dict[str, Any], others: CapturedSpans) -> None:
        self.wire = wire
        self.name: str = wire["span_name"]
        self.type: str = wire["span_type"]
        self.trace_id: str = wire["trace_id"]
        self.span_id: str = wire["span_id"]
        self.parent_id: str = wire["parent_id"] if wire["parent_id"] != "0" else ""
        self.tags: dict[str, Any] = {
            **wire["tags_string"], **wire["tags_long"], **wire["tags_double"], **wire["tags_bool"],
        }  # fmt: skip
        self.input: str = wire["input"]
        self.output: str = wire["output"]
        self.status: int = wire["status_code"]
        self._others = others

    @property
    def parent(self) -> CapturedSpan | None:
        """The parent, if that was captured, too; it usually finishes later."""
        for span in self._others:
            if span.span_id == self.parent_id:
                return span
        return None

    def __repr__(self) -> str:
        return "<CapturedSpan %s (%s)>" % (self.name, self.type)


class CapturedSpans(_ListOfSpans):
    """The spans that are finished by now, in the order of their ends: a list that grows."""

    def named(self, name: str) -> CapturedSpan:
        """The one span of that name.

        Raises:
            LookupError: there is none, or there are several.
        """
        found = [span for span in self if span.name == name]
        if len(found) != 1:
            raise LookupError("%d spans are named %r; captured: %r" % (len(found), name, list(self)))
        return found[0]


@contextlib.contextmanager
def capture_spans(client: Client | None = None) -> Iterator[CapturedSpans]:
    """Keep the spans that are started in the ``with`` block, in any thread, instead of sending them.

    In the block another client is the default one, which needs no settings and has no network: what it is asked of the
    platform (a prompt) fails with a ``NetworkError``. A span of before the block is no parent in it. Blocks may be
    nested; the innermost has the spans. They are for the whole process: not for tests that run at once on threads.

    Args:
        client: another client whose spans are kept as well, by its own settings (mask, sampling); the rest of it stays.
    """
    spans = CapturedSpans()
    no_network: Any = _NoNetwork()
    api = ApiClient("https://cozeloop.invalid", "none", timeout=1, upload_timeout=1, http_client=no_network)
    current = context.top()
    with contextlib.ExitStack() as replaced:
        stand_in = Client(api, _CapturingTracer(api, "0", config.TraceConfig(), spans), "0")
        replaced.callback(stand_in.close)
        replaced.enter_context(_replaced(clients, "_default", stand_in))
        if client is not None:
            tracer = _CapturingTracer(client.api, client.workspace_id, client.tracer.conf, spans)
            replaced.enter_context(_replaced(client, "tracer", tracer))
            replaced.enter_context(_replaced(client.prompts, "_tracer", tracer))
        context.push(None)
        try:
            yield spans
        finally:
            context.push(current)


class _CapturingTracer(Tracer):
    """A tracer whose finished spans are encoded as ever, at once, and go no further."""

    def __init__(self, api: ApiClient, workspace_id: str, conf: config.TraceConfig, spans: CapturedSpans) -> None:
        own = copy.copy(conf)
        own.spool_dir = ""  # what waits there is for a server
        super().__init__(api, workspace_id, own)
        self._spans = spans
        self._kept = Counter()

    def _finished(self, span: Span) -> None:
        if span._trace.sampled is False:
            self._owner.sampled_out.add()
        else:
            self._kept.add()
            self._spans.append(CapturedSpan(json.loads(self._exporter.encoder()(record_of(span), {})), self._spans))

    def stats(self) -> dict[str, Any]:
        """The account, in which what was kept was delivered."""
        kept = self._kept.value()
        account = super().stats()
        return {**account, "finished": kept, "delivered": kept, "open": account["open"] - kept}

    def _on_exit_begins(self) -> None:
        """A test that leaves spans open has nothing to be told when all tests are over."""


class _NoNetwork:
    """In place of a pool of connections."""

    def urlopen(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise OSError("there is no network in capture_spans(): for prompts, use capture_spans(client) or StandInServer")


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _captured_spans() -> Iterator[CapturedSpans]:
    """The spans of a test: see :func:`cozeloop_lite.testing.capture_spans`."""
    with capture_spans() as spans:
        yield spans


if "pytest" in sys.modules:  # else nobody needs a fixture, and pytest need not be there
    captured_spans: Callable[..., Any] = sys.modules["pytest"].fixture(name="captured_spans")(_captured_spans)
