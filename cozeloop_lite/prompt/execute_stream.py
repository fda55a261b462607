"""The answer of a model piece by piece: a reader that never takes a broken answer for a whole one, and puts the pieces
together as they come.

The end of the stream is the end of the body (contract backend.md 7), so every other way to end is told apart here: an
error that the server reports in mid-answer, a connection that breaks, an answer that never began.
"""

from __future__ import annotations

import copy
import io
from time import time_ns

from .. import errors
from ..api import answers
from ..entities.entity import copied
from ..entities.prompt import ExecuteResult, FunctionCall, Message, Role, TokenUsage, ToolCall, ToolType
from ..entities.stream import StreamReader
from ..spec import tracespec
from ..trace import failure
from . import spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..api.stream import EventStream
    from ..entities.prompt import ContentPart
    from ..trace.span import Span

MAX_STREAM_CHARS = 64 * 1024 * 1024  # of all events of one answer, the most of which is kept for collect()
_DATA_EVENTS = ("data", "message")  # the latter is the name of an event that has none


class ExecuteStreamReader(StreamReader[ExecuteResult]):
    """The pieces of an answer, as they arrive. Made by ``execute_prompt(..., stream=True)``, when the server accepted.

    An iterator, and a context manager: ``with`` closes the connection when the loop is left early. Each item has what
    is new: a piece of ``content``, of ``reasoning_content``, of the ``arguments`` of a tool call; ``usage`` and
    ``finish_reason`` come towards the end. :meth:`collect` puts them together. One thread at a time may read; another
    may call :meth:`close` meanwhile.

    Iterating raises:

    - ``RequestTimeoutError`` when the time given for the whole answer is over, that of the loop's body included;
    - ``NetworkError`` when the connection breaks;
    - ``RemoteServiceError`` (the subclass says more) when the server reports an error in mid-answer, sends what cannot
      be understood, or ends without any answer.

    After an error, after :meth:`close` and at the end there is no next item.
    """

    def __init__(self, events: EventStream, span: Span) -> None:
        self._events = events
        self._span = span
        self._merged = _Merged()
        self._room = MAX_STREAM_CHARS
        self._begun = False  # whether an item has arrived
        self._ended = False
        self._failure: errors.HttpError | None = None

    @property
    def log_id(self) -> str:
        """The platform's id of this request, for its support; ``""`` when the answer has none."""
        return self._events.log_id

    def __next__(self) -> ExecuteResult:
        """The next piece."""
        if self._ended:
            raise StopIteration
        try:
            result = self._advance()
        except BaseException as error:
            if isinstance(error, errors.HttpError):
                error.log_id = error.log_id or self.log_id
            self._failure = _kept(error)
            self._end(error)
            raise
        if result is None:
            self._end(None)
            raise StopIteration
        return result

    def collect(self) -> ExecuteResult:
        """The whole answer: takes all pieces that are still to come, and puts everything that was received together.

        It does not matter how many pieces were taken before. After :meth:`close`, what was received until then.
        Fields that this version does not know are in the pieces only.

        Raises:
            HttpError: the answer did not come to its end, now or before; see :class:`ExecuteStreamReader`.
        """
        for _ in self:
            pass
        if self._failure is not None:
            raise self._failure
        return self._merged.result()

    def close(self) -> None:
        """Close the connection. Nothing more comes. A second call does nothing, nor does one after the end."""
        self._end(GeneratorExit())

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # noqa: BLE001, S110 - the interpreter may be at its end, and nobody is there to be told
            pass

    # -- inside -----------------------------------------------------------------------------------------------------

    def _advance(self) -> ExecuteResult | None:
        """The next piece; None at the end of a whole answer."""
        for event in self._events:
            text = event.data.strip()
            self._room -= len(event.data)
            if self._room < 0:
                raise errors.NetworkError("the answer is longer than %d characters" % MAX_STREAM_CHARS)
            name = event.event.lower()
            if "error" in name:
                raise self._error(text)
            if name not in _DATA_EVENTS or not text or text == "null":
                continue
            if text == "[DONE]":  # never sent by the platform itself, but by what may stand between
                break
            return self._piece(text)
        else:
            if self._ended:  # by another thread
                return None
            if not self._events.framed and not self._merged.finish_reason:
                raise errors.NetworkError("the answer broke off: the connection was closed before it was complete")
        if not self._begun:
            raise self._fault("the stream ended without an answer")
        return None

    def _piece(self, text: str) -> ExecuteResult:
        data = answers.parse(text)
        if not isinstance(data, dict):
            raise self._fault("an event of the stream is not a JSON object: %r" % text[: answers.SHOWN_CHARS])
        if data.get("code") not in (None, 0, "0", "") or (data.get("error") and not data.get("message")):
            raise self._error(text)
        data.pop("code", None)
        data.pop("msg", None)
        result = read_result(data)
        self._merged.add(result)
        if not self._begun:
            self._begun = True
            self._span.set_start_time_first_resp(time_ns() // 1000)
        return result

    def _error(self, text: str) -> errors.RemoteServiceError:
        """What the server reported: JSON with a code, or just text."""
        data = answers.parse(text)
        if not isinstance(data, dict):
            return answers.error(self._events.status, None, text or "an error without any details", self.log_id)
        words = data.get("msg") or data.get("message") or data.get("error") or "an error without any details"
        details = data.get("biz_extra")
        if isinstance(details, dict) and details.get("biz_err_custom_extra"):
            words = "%s %s" % (words, details["biz_err_custom_extra"])
        return answers.error(self._events.status, data.get("code"), words, self.log_id)

    def _fault(self, words: str) -> errors.InternalServerError:
        return errors.InternalServerError(self._events.status, None, words, self.log_id)

    def _end(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._events.close()
        result = self._merged.result() if self._begun and self._span._recording else None
        end_span(self._span, result, error)


def read_result(data: dict[str, Any]) -> ExecuteResult:
    """The result that the platform's JSON describes. Who speaks is the model, unless it says otherwise."""
    message = data.get("message")
    if isinstance(message, dict) and not message.get("role"):
        message["role"] = Role.ASSISTANT.value
    return ExecuteResult.from_dict(data)


def end_span(span: Span, result: ExecuteResult | None, error: BaseException | None) -> None:
    """The answer has come to its end, to an error, or (GeneratorExit) to where nobody wants more of it."""
    try:
        if result is not None:
            _set_result(span, result)
        if isinstance(error, GeneratorExit):
            span.set_tags({"incomplete": True})
        elif error is not None:
            spans.set_failure(span, error)
            failure.record(span, error)
    finally:
        span.finish()


@spans.about
def _set_result(span: Span, result: ExecuteResult) -> None:
    """What the model said, in the form of a model's output, and the tokens it took."""
    if result.usage is not None:
        span.set_input_tokens(result.usage.input_tokens)
        span.set_output_tokens(result.usage.output_tokens)
    if result.message is not None and span._owner.record_outputs:
        choice = tracespec.ModelChoice(result.finish_reason or "", 0, spans.model_message(result.message))
        span.set_output(tracespec.ModelOutput(choices=[choice]))


def _kept(error: BaseException) -> errors.HttpError:
    """What :meth:`ExecuteStreamReader.collect` raises after ``error``: without the frames that it came through."""
    if isinstance(error, errors.HttpError):
        return copy.copy(error)
    return errors.NetworkError("the answer is incomplete: reading it was interrupted by %s" % type(error).__name__)


class _Merged:
    """The whole of the pieces so far. Takes time and memory in proportion to what is added."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._usage: TokenUsage | None = None
        self._message: Message | None = None  # without what is put together here:
        self._metadata: dict[str, Any] | None = None
        self._content = _Text()
        self._reasoning = _Text()
        self._parts: list[ContentPart] | None = None
        self._calls: list[tuple[ToolCall, _Text]] = []
        self._latest: dict[int, tuple[ToolCall, _Text]] = {}  # by index: where the next fragment belongs

    def add(self, piece: ExecuteResult) -> None:
        if piece.finish_reason or self.finish_reason is None:
            self.finish_reason = piece.finish_reason
        if piece.usage is not None:
            usage = self._usage = self._usage or TokenUsage()
            usage.input_tokens = piece.usage.input_tokens or usage.input_tokens
            usage.output_tokens = piece.usage.output_tokens or usage.output_tokens
        if piece.message is not None:
            self._add_message(piece.message)

    def result(self) -> ExecuteResult:
        whole = copied(self._message)
        if whole is not None:
            whole.content = self._content.whole()
            whole.reasoning_content = self._reasoning.whole()
            whole.parts = copied(self._parts)
            whole.metadata = dict(self._metadata) if self._metadata is not None else None
            calls = sorted(self._calls, key=lambda call: call[0].index)
            whole.tool_calls = [_whole_call(call, arguments) for call, arguments in calls] or None
        return ExecuteResult(message=whole, finish_reason=self.finish_reason, usage=copied(self._usage))

    def _add_message(self, piece: Message) -> None:
        message = self._message = self._message or Message(role=piece.role)
        message.tool_call_id = piece.tool_call_id or message.tool_call_id
        message.signature = piece.signature or message.signature
        if piece.metadata is not None:
            self._metadata = self._metadata or {}
            self._metadata.update(copied(piece.metadata))
        self._content.add(piece.content)
        self._reasoning.add(piece.reasoning_content)
        if piece.parts is not None:
            self._parts = self._parts or []
            self._parts += copied(piece.parts)
        for call in piece.tool_calls or ():
            self._add_call(call)

    def _add_call(self, piece: ToolCall) -> None:
        known = self._latest.get(piece.index)
        if known is None or (piece.id and known[0].id and piece.id != known[0].id):
            known = self._latest[piece.index] = (ToolCall(index=piece.index), _Text())
            self._calls.append(known)
        call, arguments = known
        call.id = call.id or piece.id
        if piece.type and call.type is ToolType.FUNCTION:  # what it is until something else is said
            call.type = piece.type
        call.output_id = piece.output_id or call.output_id
        call.signature = piece.signature or call.signature
        if piece.function_call is not None:
            call.function_call = call.function_call or FunctionCall()
            call.function_call.name = call.function_call.name or piece.function_call.name
            arguments.add(piece.function_call.arguments)


def _whole_call(call: ToolCall, arguments: _Text) -> ToolCall:
    whole: ToolCall = copied(call)
    if whole.function_call is not None:
        whole.function_call.arguments = arguments.whole()
    return whole


class _Text:
    """A text that comes in pieces; None until one has come."""

    def __init__(self) -> None:
        self._pieces: io.StringIO | None = None

    def add(self, piece: str | None) -> None:
        if piece is not None:
            self._pieces = self._pieces or io.StringIO()
            self._pieces.write(piece)

    def whole(self) -> str | None:
        return self._pieces.getvalue() if self._pieces is not None else None
