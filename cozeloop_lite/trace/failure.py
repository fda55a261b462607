"""What is recorded of an exception that ended a step: its type, and where it came from."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .span import Span

STACK_FRAMES = 20  # the innermost ones
STACK_CHARS = 1000  # of the innermost ones, since a tag has 1024 bytes (contract backend.md 2.3)


def record(span: Span, error: BaseException) -> None:
    """Set the tags ``error``, ``error_type`` and ``error_stack``, and the status code. Never raises."""
    if span._recording:
        span.set_error(error)
        span._set("error_type", type(error).__name__)
        span._set("error_stack", stack_text(error))


def stack_text(error: BaseException) -> str:
    """The innermost frames of the traceback, one to a line, the last one where it was raised.

    Without the lines of source, which would have to be read from disk on the caller's thread.
    """
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    lines = []
    for frame in frames[-STACK_FRAMES:]:
        code = frame.tb_frame.f_code
        lines.append("%s:%d in %s" % (code.co_filename, frame.tb_lineno, code.co_name))
    return "\n".join(lines)[-STACK_CHARS:]
