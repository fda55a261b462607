"""The tracer starts spans: finds the parent, draws the ids, reads the clocks. What is finished goes into the queue.

It can be built alone from an :class:`~cozeloop_lite.ApiClient`; :class:`~cozeloop_lite.Client` has one as ``tracer``.
"""

from __future__ import annotations

import _thread
import itertools
import logging
from time import monotonic_ns, time_ns

from .. import config, errors, logger, process
from ..propagation import COZELOOP_TRACEPARENT, NEW_TRACE, NO_TRACE, SpanContext, TraceInfo, baggage_fault, extract
from . import content, context, depth, ids, uncut, unseen, values
from .account import NEVER_FINISHED
from .exporter import SpanExporter
from .queue import SendQueue
from .record import record_of, weight
from .span import NOOP, Span, SpanOwner, to_micros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..api.client import ApiClient
    from .exporter import Encode

_RATE_BITS = 56  # of the trace id decide whether a trace is sampled: all services with one rate agree
LIGHT_BYTES = 64 * 1024  # a record of less never makes the difference between room in the queue and none
MAX_OPEN = config.QUEUE_COUNT  # spans; as many as may wait in the queue
UNFINISHED = "unfinished"  # the tag of a span that was open when the process ended
_NO_BAGGAGE: dict[str, str] = {}


class Tracer:
    """Makes spans, and delivers them from one daemon thread.

    Args:
        api: the client that sends them.
        workspace_id: where they belong.
        conf: the settings of tracing; the defaults when omitted.
        exporter: an object with ``export_spans(spans)`` that takes the place of the platform.
    """

    def __init__(
        self, api: ApiClient, workspace_id: str, conf: config.TraceConfig | None = None, exporter: Any = None
    ) -> None:
        if exporter is not None and not callable(getattr(exporter, "export_spans", None)):
            raise errors.InvalidParamError("exporter must be an object with a method export_spans(spans)")
        conf = self.conf = conf or config.TraceConfig()
        self._workspace_id = workspace_id
        self._exporter = SpanExporter(api, workspace_id, self._load_encoder, conf, exporter)
        # A text of more characters than it may have bytes is cut for certain; one more shows that there was more.
        chars, more = (int, 1) if conf.mask is None else (uncut.Limit, 1 + content.MASK_MARGIN)
        self._owner = SpanOwner(
            self._finished,
            chars(conf.normal_field_max_byte + more),
            chars(conf.input_output_field_max_byte + more),
            conf.ultra_large_report,
            conf.record_inputs,
            conf.record_outputs,
        )
        self._queue = SendQueue(
            self._exporter.send,
            max_count=conf.span_queue_length,
            max_bytes=conf.queue_max_bytes,
            batch_count=conf.span_max_export_batch_length,
            shutdown_timeout=conf.shutdown_timeout,
            keep=self._exporter.keep if conf.spool_dir else None,
            aside=self._exporter.uploads,
        )
        self._sample_below = None if conf.sample_rate >= 1 else int(conf.sample_rate * (1 << _RATE_BITS))
        self._closed = False
        process.on_fork(self)
        process.on_exit(self)

    # -- spans ------------------------------------------------------------------------------------------------------

    def start_span(
        self,
        name: str,
        span_type: str = "custom",
        *,
        start_time: Any = None,
        child_of: SpanContext | None = None,
        start_new_trace: bool = False,
    ) -> Span:
        """Start a span and make it the current one of this thread. Never raises.

        Args:
            name: what the step is called; at most 1024 bytes.
            span_type: its kind, such as ``"model"``, ``"prompt"``, ``"retriever"``, ``"tool"``; any text will do.
            start_time: a ``datetime`` (without time zone: local time); now when omitted.
            child_of: the parent; the current span of this thread when omitted.
            start_new_trace: take no parent. ``child_of`` is stronger.

        Returns:
            The span. End it with ``finish()``, or use it as ``with client.start_span("step", "custom") as span:``.
        """
        if self._closed:
            logger.warn("a span was started after its client was closed: it records nothing")
            return NOOP
        if depth.ABORTS and depth.near_limit():
            return NOOP
        start_ns = time_ns()
        source = ids.source
        if not 0 <= start_ns - source.fresh_ns < ids.RESEED_NS:
            source.refresh(start_ns)
        # After that look for a fork: the thread of a child may have the id of one that sent in the parent.
        if unseen.threads and not start_new_trace and _thread.get_ident() in unseen.threads:  # in a __repr__, maybe
            return NOOP
        outer = context.current()
        if outer is not None and child_of is None and not start_new_trace:  # the usual case, without detours
            trace, parent_id, baggage, begins = outer._trace, outer._id, outer._baggage, False
        else:
            trace, parent_id, baggage = self._parent(child_of, None if start_new_trace else outer)
            begins = outer is None or outer._trace is not trace
        mono_ns = monotonic_ns()
        if start_time is not None:
            start_ns, mono_ns = _started(start_time, start_ns, mono_ns)
        if type(name) is not str or type(span_type) is not str:
            name, span_type = _label(name), _label(span_type)
        owner = self._owner
        span = Span(
            name, span_type, trace, source.bits(64) or 1, parent_id, baggage, start_ns, mono_ns, outer, begins, owner
        )
        owner.started.add()
        owner.open[span] = True
        if len(owner.open) > MAX_OPEN:
            self._forget_oldest()
        context.push(span)
        return span

    # -- delivery ---------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 10) -> bool:
        """Send what is finished now, and wait for it.

        Args:
            timeout: how long to wait at most, in seconds.

        Returns:
            True when every span that waited at the time of the call was delivered.

        Raises:
            InvalidParamError: ``timeout`` is no number.
        """
        return self._queue.flush(config.patience("timeout", timeout))

    def close(self, timeout: float | None = None) -> bool:
        """Send what is left, for at most ``timeout`` seconds (default: the setting ``shutdown_timeout``), and stop.

        Spans started later record nothing. Returns True when nothing was lost. A second call does nothing.

        Raises:
            InvalidParamError: ``timeout`` is no number.
        """
        seconds = None if timeout is None else config.patience("timeout", timeout)
        self._closed = True
        return self._queue.close(seconds)

    def stats(self) -> dict[str, Any]:
        """The account of spans, at this instant.

        ``started`` = ``finished`` + ``open`` + ``discarded`` + ``sampled_out``, and ``finished`` = ``delivered`` +
        ``queued`` + ``spooled`` + the sum of ``dropped``, which tells the reasons. ``files`` has the account of
        uploads; ``replayed`` are spans and files of earlier processes, from ``spool_dir``; ``replay_lost``
        are those of them that the server refused, or that are too old.
        """
        owner = self._owner
        account = self._queue.stats()
        account["replayed"] = self._exporter.uploads.replayed
        account["replay_lost"] = self._exporter.uploads.replay_lost
        account["discarded"] = owner.discarded.value()
        account["sampled_out"] = owner.sampled_out.value()
        account["started"] = owner.started.value()  # last: what is between two of these at the moment counts as open
        account["open"] = (
            account["started"] - account["finished"] - account["discarded"] - account["sampled_out"]
        )
        return account

    # -- inside -----------------------------------------------------------------------------------------------------

    def _parent(self, child_of: Any, outer: Span | None) -> tuple[TraceInfo, int, dict[str, str]]:
        """Trace, parent id and baggage of a span that is not simply a child of the current one."""
        baggage = _NO_BAGGAGE
        if child_of is not None:
            parent = child_of if issubclass(type(child_of), SpanContext) else _foreign(child_of)
            trace = parent._trace
            if trace.id:
                if trace.sampled is None:
                    trace = TraceInfo(trace.id, self._sampled(trace.id), trace.state)
                return trace, parent._id, parent._baggage
            baggage = parent._baggage
            if trace.sampled:  # NEW_TRACE or a copy of it, as opposed to NO_TRACE
                outer = None
        if outer is not None:  # an empty child_of falls back to the current span
            return outer._trace, outer._id, {**outer._baggage, **baggage} if baggage else outer._baggage
        trace_id = ids.source.bits(128) or 1
        return TraceInfo(trace_id, self._sampled(trace_id)), 0, baggage

    def _sampled(self, trace_id: int) -> bool:
        return self._sample_below is None or trace_id & ((1 << _RATE_BITS) - 1) < self._sample_below

    def _forget_oldest(self) -> None:
        """More spans are open than any program has at work: it never finishes some, which would fill the memory.

        A sixteenth goes at once, since finding the oldest one costs as much as there were older ones.
        """
        open_spans = self._owner.open
        try:
            oldest = list(itertools.islice(open_spans, MAX_OPEN // 16))
        except RuntimeError:  # another thread changed the dict; the next span comes here again
            return
        for span in oldest:
            if open_spans.pop(span, None):
                self._queue.refuse(NEVER_FINISHED)
        text = "over %d spans are open: the oldest, such as %r, are taken for forgotten, and lost"
        logger.warn(text, MAX_OPEN, oldest[0]._name)

    def _on_exit_begins(self) -> None:
        open_spans = [] if self._closed else list(self._owner.open)
        if not open_spans:
            return
        names = ", ".join(repr(span._name[:80]) for span in open_spans[:3])
        logger.say(logging.WARNING, "unfinished at exit, and sent as such, %d in all: %s", len(open_spans), names)
        for span in reversed(open_spans):  # the children first, as they would have been finished
            span.set_tags({UNFINISHED: True})
            span.finish()

    def _on_fork(self) -> None:
        self._owner.forget()

    def _load_encoder(self) -> Encode:
        """What makes the JSON of spans: loaded late, so that the first span of a program does not pay its 0.6 ms."""
        with process.loading():
            from .encoding import Limits, encode
        conf = self.conf
        limits = Limits(
            self._workspace_id,
            conf.normal_field_max_byte,
            conf.input_output_field_max_byte,
            conf.ultra_large_report,
            conf.mask,
        )
        return lambda record, files: encode(record, limits, files)

    def _finished(self, span: Span) -> None:
        if span._trace.sampled is False:
            self._owner.sampled_out.add()
            return
        kept = record_of(span)
        size = weight(kept)
        if size > LIGHT_BYTES and size > self._queue.room():
            content.lighten(span)  # better a span without its files than no span
            kept = record_of(span)
            size = weight(kept)
        self._queue.put(kept, size)


def _started(start_time: Any, now_ns: int, mono_ns: int) -> tuple[int, int]:
    """Both clocks as they stood at ``start_time``."""
    micros = to_micros(start_time)
    if micros is None:
        logger.warn("start_time takes a datetime, not %s: the span starts now", values.describe(start_time))
        return now_ns, mono_ns
    return micros * 1000, mono_ns - (now_ns - micros * 1000)


def _label(text: Any) -> str:
    return text if type(text) is str else "" if text is None else values.error_text(text)


def _foreign(context_like: Any) -> SpanContext:
    """A parent that is no SpanContext of this package: any object with ``trace_id``, ``span_id`` and ``baggage``."""
    try:
        if not context_like.trace_id:
            return SpanContext(NO_TRACE, 0, {})
        baggage = context_like.baggage() if callable(context_like.baggage) else context_like.baggage
        found = extract({COZELOOP_TRACEPARENT: "00-%s-%s-01" % (context_like.trace_id, context_like.span_id)})
        given = dict(baggage or {}).items()
        items = {str.__str__(key): str.__str__(value) for key, value in given if not baggage_fault(key, value)}
        return SpanContext(found._trace, found._id, items)
    except Exception as problem:  # noqa: BLE001 - not a context at all
        logger.warn("child_of takes a span or a SpanContext, not %s: %s", values.describe(context_like), problem)
        return SpanContext(NEW_TRACE, 0, {})
