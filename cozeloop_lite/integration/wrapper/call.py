"""One call of a model: the span around it, whatever the call returns or raises."""

from __future__ import annotations

import functools

from ... import logger
from ...decorator.observer import Observer
from ...decorator.stream import is_stream
from ...trace import values
from ...trace.context import Stack
from ...trace.span import NOOP
from ...trace.steps import Steps, drive
from . import content
from .pieces import ChatChunks, ResponseEvents
from .stream import Watch, watched, watched_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ...client import Client
    from ...trace.span import Span
    from .pieces import Pieces

# The requests that are model calls, and what the items of their streams are
ENDPOINTS: dict[str, type[Pieces]] = {"/chat/completions": ChatChunks, "/responses": ResponseEvents}


def synchronous(call: ModelCall) -> Callable[..., Any]:
    """What takes the place of ``post`` of a client that waits."""
    bare = call.fn

    @functools.wraps(bare)
    def post(path: str, *args: Any, **kwargs: Any) -> Any:
        pieces = _endpoint(path)
        if pieces is None:
            return bare(path, *args, **kwargs)
        span = call.start()
        try:
            call.note_arguments(span, args, kwargs)
            result = bare(path, *args, **kwargs)
        except BaseException as error:
            call.fail(span, error)
            raise
        return call.returned(span, result, pieces, None)

    return post


def asynchronous(call: ModelCall) -> Callable[..., Any]:
    """What takes the place of ``post`` of a client to be awaited."""
    bare = call.fn

    @functools.wraps(bare)
    async def post(path: str, *args: Any, **kwargs: Any) -> Any:
        pieces = _endpoint(path)
        if pieces is None:
            return await bare(path, *args, **kwargs)
        span = call.start()
        try:
            call.note_arguments(span, args, kwargs)
            stack = Stack(span)
            result = await drive(Steps(bare(path, *args, **kwargs), stack))
        except BaseException as error:
            call.fail(span, error)
            raise
        return call.returned(span, result, pieces, stack)

    return post


def _endpoint(path: Any) -> type[Pieces] | None:
    return ENDPOINTS.get(path.partition("?")[0]) if isinstance(path, str) else None


class ModelCall(Observer):
    """What is recorded of the model calls of one client."""

    def __init__(self, post: Any, name: str, provider: str, client: Client | None) -> None:
        super().__init__(post, name=name, span_type="model", tags=None, baggage=None, client=client)
        self._provider = provider

    def note_arguments(self, span: Span, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The request is about to be sent; its body is as the library made it of the arguments of the program."""
        if not span._recording:
            return
        span.set_model_provider(self._provider)
        try:
            content.note_request(span, kwargs.get("body"), kwargs.get("options"))
        except Exception as problem:  # noqa: BLE001 - a body of the program's own making
            logger.warn("the input of %s is not recorded: %s", self.name, values.describe(problem))

    def returned(self, span: Span, result: Any, pieces: type[Pieces], stack: Stack | None) -> Any:
        """``result``, for the program; watched, if the answer is still to come."""
        if span is NOOP:
            return result
        try:
            response = getattr(result, "http_response", None)
            if response is not None and response.is_closed:  # a raw response, which is all there
                self.succeed(span, content.body_of(response))
                return result
            if response is not None or is_stream(result):
                watch = Watch(self, span, stack or Stack(span), pieces(self.name, span))
                return watched(result, watch) if response is None else watched_response(result, watch)
        except Exception as problem:  # noqa: BLE001 - of a type that is not like others
            logger.warn("the answer of %s is not recorded: %s", self.name, values.describe(problem))
            span.finish()
            return result
        self.succeed(span, result)
        return result

    def fail(self, span: Span, error: BaseException) -> None:
        """The call raised ``error``; one of the library's has an answer with it that was too short to be parsed."""
        if type(error).__name__ == "LengthFinishReasonError":
            self._set_output(span, error, lambda error: error.completion)
        super().fail(span, error)

    def end(self, span: Span, items: Any, error: BaseException | None) -> None:
        """A stream came to its end, to an error, or (GeneratorExit) to where nobody wants more of it."""
        try:
            self._set_output(span, items, lambda pieces: pieces.body())
        finally:
            if error is None:
                span.finish()
            else:
                self.fail(span, error)

    def _set_output(self, span: Span, output: Any, hook: Any) -> None:
        if not span._recording:
            return
        try:
            content.note_answer(span, content.plain(output if hook is None else hook(output)))
        except Exception as problem:  # noqa: BLE001 - an answer of a form that nobody expects
            logger.warn("the output of %s is not recorded: %s", self.name, values.describe(problem))
