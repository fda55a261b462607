"""A span: one timed step of a trace, and the setters that describe it.

A span is written by the program and read by the exporter. Until it is finished every setter takes a snapshot of what it
is given; after that they do nothing, so what the daemon thread reads no longer changes. No method here raises.
"""

from __future__ import annotations

from time import monotonic_ns

from .. import logger, propagation
from ..propagation import SpanContext
from . import content, context, failure, tags, values
from .account import Counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, Callable, Mapping

    from ..propagation import TraceInfo

RUNTIME_KEYS = ("library", "scene", "scene_version", "library_version", "extra")  # contract siblings.md 2.5
DEFAULT_ERROR_STATUS = -1  # contract siblings.md 2.4
_INT32 = 1 << 31
_LAST_MICROS = 253_402_300_800_000_000  # the end of the year 9999, and with it of datetime


class Span(SpanContext):
    """One step of a trace. Made by ``start_span``; ends with :meth:`finish`, or by itself as a ``with`` block.

    An exception that leaves the ``with`` block is recorded on the span and goes on unchanged.
    """

    __slots__ = (
        "_begins",
        "_duration_ns",
        "_extra",
        "_finish_us",
        "_finished",
        "_input",
        "_mono_ns",
        "_name",
        "_outer",
        "_output",
        "_owner",
        "_parent_id",
        "_recording",
        "_span_type",
        "_start_ns",
        "_status",
        "_tags",
    )

    def __init__(
        self,
        name: str,
        span_type: str,
        trace: TraceInfo,
        span_id: int,
        parent_id: int,
        baggage: dict[str, str],
        start_ns: int,
        mono_ns: int,
        outer: Span | None,
        begins: bool,
        owner: SpanOwner,
    ) -> None:
        self._name = name
        self._span_type = span_type
        self._trace = trace
        self._id = span_id
        self._parent_id = parent_id  # 0: none
        self._baggage = baggage
        self._start_ns = start_ns  # wall clock
        self._mono_ns = mono_ns  # monotonic clock, for the duration
        self._outer = outer  # the span that was current before this one (context.py)
        self._begins = begins  # whether this span began its trace on this stack
        self._recording: bool = trace.sampled is not False
        self._finished = False
        self._tags: dict[str, Any] = {}
        self._input: str | bytes | None = None  # see snapshots.py
        self._output: str | bytes | None = None
        self._status = 0
        self._finish_us = 0
        self._extra: dict[str, Any] | None = None  # what few spans have, by name
        self._owner = owner

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End the span now and hand it over for sending. Only the first call counts."""
        if self._finished:
            return
        # Whoever takes the span out of the dict of open ones reports it: one atomic step instead of a lock. In a forked
        # child that dict is empty: the parent's spans are the parent's to report.
        owner = self._owner
        reports = owner.open.pop(self, None)
        if reports:
            self._duration_ns = monotonic_ns() - self._mono_ns
        self._finished = True
        self._recording = False
        context.leave(self, self._begins)
        if reports:
            owner.done(self)

    def discard(self) -> None:
        """End the span without reporting it. Its children, if any, are reported all the same."""
        if self._owner.open.pop(self, None):
            self._owner.discarded.add()
        self._finished = True
        self._recording = False
        context.leave(self, self._begins)

    def __enter__(self) -> Span:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self._begins = True  # the block restores exactly what was current before it
        try:
            if error is not None and not isinstance(error, GeneratorExit):  # closing a generator is no failure
                failure.record(self, error)
        finally:  # also when a signal handler raises in there: the span must not stay the current one
            if self._finished:
                context.leave(self, True)
            else:
                self.finish()

    # -- input and output ---------------------------------------------------------------------------------------

    def set_input(self, input: Any) -> None:
        """What the step was given: ``str`` as it is, anything else as JSON. ``None`` is absence.

        Images and files in the messages of a model's input (:mod:`cozeloop_lite.spec.tracespec`) are uploaded.
        """
        if self._recording and input is not None and self._owner.record_inputs:
            self._input = content.snapshot(self, "input", input)

    def set_output(self, output: Any) -> None:
        """What the step returned: ``str`` as it is, anything else as JSON. ``None`` is absence.

        Images and files in the messages of a model's output are uploaded.
        """
        if self._recording and output is not None and self._owner.record_outputs:
            self._output = content.snapshot(self, "output", output)

    def set_ultra_large_report(self, ultra_large_report: bool) -> None:
        """Whether input and output over 1 MiB go up as files; to be called before they are set."""
        if self._recording:
            self._extras()["ultra_large_report"] = ultra_large_report is True

    def set_error(self, err: BaseException | str) -> None:
        """Record a failure: its message becomes the tag ``error``, and the status code -1 unless one was set."""
        if self._recording and err is not None:
            tags.put(self, "error", values.error_text(err))
            if self._status == 0:
                self._status = DEFAULT_ERROR_STATUS

    def set_status_code(self, code: int) -> None:
        """0 is success, anything else an error; a 32-bit integer."""
        if not self._recording:
            return
        number = tags.as_int(code)
        if number is None or not -_INT32 <= number < _INT32:
            logger.warn("set_status_code() takes a 32-bit int, not %s: it was not set", values.describe(code))
            return
        self._status = number

    # -- tags and baggage ---------------------------------------------------------------------------------------

    def set_tags(self, tag_kvs: Mapping[str, Any]) -> None:
        """Set tags: str, bool, int and float are searchable as such, anything else becomes JSON text.

        Keys have 100 bytes, values 1024 (UTF-8), a span 50 tags. ``None`` is absence.
        """
        if not self._recording:
            return
        try:
            tags.put_all(self, tag_kvs)
        except Exception as problem:  # noqa: BLE001 - not a mapping, or one that fails
            logger.warn("set_tags() takes a dict, and failed on %s: %s", values.type_name(tag_kvs), problem)

    def set_baggage(self, baggage_items: Mapping[str, str]) -> None:
        """Set tags that all descendants of this span inherit, in this process and in the services it calls.

        Keys and values are ``str`` of at most 1024 bytes; a key is not empty and has no ``=`` and no ``,``.
        """
        try:
            given = list(baggage_items.items())
        except Exception as problem:  # noqa: BLE001 - not a mapping, or one that fails
            logger.warn("set_baggage() takes a dict, and failed on %s: %s", values.type_name(baggage_items), problem)
            return
        if self._finished:
            return
        items = {}
        for key, value in given:
            wrong = propagation.baggage_fault(key, value)
            if wrong:
                logger.warn("the baggage item %s was left out: %s", values.describe(key), wrong)
            else:
                items[str.__str__(key)] = str.__str__(value)  # of a subclass of str (an Enum), the text alone
        if items:
            self._baggage = {**self._baggage, **items}
            for key, value in items.items():
                if self._recording:
                    tags.put(self, key, value)

    def set_user_id(self, user_id: str) -> None:
        """The tag ``user_id``."""
        self._set_one("user_id", user_id)

    def set_user_id_baggage(self, user_id: str) -> None:
        """The tag ``user_id``, inherited by all descendants."""
        self.set_baggage({"user_id": user_id})

    def set_message_id(self, message_id: str) -> None:
        """The tag ``message_id``."""
        self._set_one("message_id", message_id)

    def set_message_id_baggage(self, message_id: str) -> None:
        """The tag ``message_id``, inherited by all descendants."""
        self.set_baggage({"message_id": message_id})

    def set_thread_id(self, thread_id: str) -> None:
        """The tag ``thread_id``: the conversation, not the operating system's thread."""
        self._set_one("thread_id", thread_id)

    def set_thread_id_baggage(self, thread_id: str) -> None:
        """The tag ``thread_id``, inherited by all descendants."""
        self.set_baggage({"thread_id": thread_id})

    # -- what a model call has ----------------------------------------------------------------------------------

    def set_model_provider(self, model_provider: str) -> None:
        """The tag ``model_provider``, such as ``"openai"``."""
        self._set_one("model_provider", model_provider)

    def set_model_name(self, model_name: str) -> None:
        """The tag ``model_name``."""
        self._set_one("model_name", model_name)

    def set_model_call_options(self, model_call_options: Any) -> None:
        """The tag ``call_options``: temperature and the like, as a dict or dataclass."""
        self._set_one("call_options", model_call_options)

    def set_input_tokens(self, input_tokens: int) -> None:
        """The tag ``input_tokens``. ``tokens`` becomes the sum of both unless it is set."""
        self._set_count("input_tokens", input_tokens)

    def set_output_tokens(self, output_tokens: int) -> None:
        """The tag ``output_tokens``."""
        self._set_count("output_tokens", output_tokens)

    def set_start_time_first_resp(self, start_time_first_resp: int) -> None:
        """When the first token arrived, in µs since the epoch. ``latency_first_resp`` follows from it."""
        self._set_count("start_time_first_resp", start_time_first_resp)

    def set_prompt(self, prompt: Any) -> None:
        """The tags ``prompt_key`` and ``prompt_version`` of a prompt from the hub."""
        if not self._recording:
            return
        try:
            key, version = getattr(prompt, "prompt_key", None), getattr(prompt, "version", None)
            if key:
                tags.put(self, "prompt_key", key)
                tags.put(self, "prompt_version", version or None)
        except Exception as problem:  # noqa: BLE001 - an object that fails when it is looked at
            logger.warn("set_prompt() takes a Prompt, and failed: %s", values.error_text(problem))

    # -- the surroundings ---------------------------------------------------------------------------------------

    def set_runtime(self, runtime: Any) -> None:
        """The framework around: a ``Runtime`` or a dict with ``library``, ``library_version``, ``scene``, ``extra``."""
        if not self._recording or runtime is None:
            return
        try:
            given = runtime if isinstance(runtime, dict) else values.plain(runtime)
            limit = self._owner.tag_chars
            snapshot = {key: values.to_text(given.get(key), limit) for key in RUNTIME_KEYS}
            snapshot["extra"] = values.copied(given.get("extra"), limit)
        except Exception as problem:  # noqa: BLE001 - not a mapping, or one that fails
            logger.warn("set_runtime() takes a dict or a Runtime, and failed: %s", values.error_text(problem))
            return
        self._extras()["runtime"] = snapshot

    def set_system_tags(self, system_tags: Mapping[str, Any]) -> None:
        """System tags; the platform keeps only those it knows (contract backend.md 2.3)."""
        if not self._recording:
            return
        try:
            chars = self._owner.tag_chars
            # str() may return an object of a subclass, with code of its own.
            snapshot = {str.__str__(str(key)): values.tag_value(value, chars) for key, value in system_tags.items()}
        except Exception as problem:  # noqa: BLE001 - not a mapping, or one that fails
            logger.warn("set_system_tags() takes a dict, and failed on %s: %s", values.type_name(system_tags), problem)
            return
        kept = self._extras().setdefault("system_tags", {})
        for key, value in snapshot.items():
            if value is not None and (key in kept or len(kept) < 2 * tags.MAX_TAGS):  # more only waste memory
                kept[key] = value

    def set_deployment_env(self, deployment_env: str) -> None:
        """The tag ``deployment_env``, such as ``"production"``."""
        self._set_one("deployment_env", deployment_env)

    def set_service_name(self, service_name: str) -> None:
        """The name of the service this span belongs to."""
        self._keep("service_name", service_name)

    def set_log_id(self, log_id: str) -> None:
        """The id under which the program's own logs can be found."""
        self._keep("log_id", log_id)

    def set_finish_time(self, finish_time: datetime) -> None:
        """End the span at this time instead of when :meth:`finish` is called. Without time zone: local time."""
        if self._recording:
            micros = to_micros(finish_time)
            if micros is None:
                logger.warn("set_finish_time() takes a datetime, not %s: it was not set", values.describe(finish_time))
            else:
                self._finish_us = micros

    @property
    def start_time(self) -> Any:
        """When the span started: a ``datetime`` in local time, without time zone; 0 for a span that records nothing."""
        if not self._start_ns:
            return 0
        from datetime import datetime, timedelta

        seconds, nanos = divmod(self._start_ns, 1_000_000_000)
        return datetime.fromtimestamp(seconds) + timedelta(microseconds=nanos // 1000)

    # -- the span as an object ----------------------------------------------------------------------------------

    def __copy__(self) -> Span:
        return self

    def __deepcopy__(self, memo: Any) -> Span:
        return self  # a program that copies its request objects copies no span with them

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent to another process, a span is what a child there needs of it.
        return SpanContext, (self._trace, self._id, self._baggage)

    # -- what the setters share ---------------------------------------------------------------------------------

    def _set_one(self, key: str, value: Any) -> None:
        if self._recording:
            tags.put(self, key, value)

    def _set_count(self, key: str, value: Any) -> None:
        if self._recording:
            if type(value) is int and 0 <= value <= tags.MAX_COUNT:  # nearly always, in half the time
                self._tags[key] = value
            else:
                tags.put(self, key, value)

    def _keep(self, name: str, value: Any) -> None:
        if not self._recording or value is None:
            return
        try:
            text = str.__str__(value)
        except TypeError:
            logger.warn(name + " takes a str, not %s: it was not set", values.describe(value))
            return
        self._extras()[name] = text

    def _extras(self) -> dict[str, Any]:
        if self._extra is None:
            self._extra = {}
        return self._extra


class SpanOwner:
    """What a span needs of its tracer: the open spans, whom to tell when one is done, and what is recorded of them.

    And the account of spans that do not come as far as the queue.
    """

    def __init__(
        self,
        done: Callable[[Span], None],
        tag_chars: int,
        text_chars: int,
        ultra_large_report: bool = False,
        record_inputs: bool = True,
        record_outputs: bool = True,
    ) -> None:
        self.done = done
        self.tag_chars = tag_chars
        self.text_chars = text_chars
        self.ultra_large_report = ultra_large_report
        self.record_inputs = record_inputs
        self.record_outputs = record_outputs
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked child does."""
        self.open: dict[Span, bool] = {}
        self.started = Counter()
        self.discarded = Counter()
        self.sampled_out = Counter()


def to_micros(moment: Any) -> int | None:
    """Microseconds since the epoch, exactly, of a ``datetime`` (naive: local time) or an int that is them already."""
    try:
        if type(moment) is int:
            micros = moment
        else:
            whole = moment.replace(microsecond=0)
            micros = round(whole.timestamp()) * 1_000_000 + int(moment.microsecond)
        return micros if 0 < micros < _LAST_MICROS else None
    except Exception:  # noqa: BLE001 - not a datetime, or one out of the range that has a timestamp
        return None


NOOP = Span("", "", propagation.NO_TRACE, 0, 0, {}, 0, 0, None, False, SpanOwner(lambda span: None, 0, 0))
"""The span that records nothing: what callers get where there is none. It is finished, so every setter ignores it."""
NOOP._finished = True
