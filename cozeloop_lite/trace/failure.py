"""What is recorded of an exception that ended a step: its type, and where it came from."""

from __future__ import annotations

import collections
import os

from .. import logger
from . import tags, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .span import Span

STACK_FRAMES = 20  # the innermost ones
STACK_BYTES = 1024  # of the innermost ones: that is what a tag may have (contract backend.md 2.3)


def record(span: Span, error: BaseException) -> None:
    """Set the tags ``error``, ``error_type`` and ``error_stack``, and the status code. Never raises."""
    if not span._recording:
        return
    try:
        span.set_error(error)
        tags.put(span, "error_type", values.type_name(error))
        tags.put(span, "error_stack", stack_text(error))
    except Exception as problem:  # noqa: BLE001 - an error that fails when it is looked at
        logger.warn("an error is recorded in part: looking at it failed with %s", values.type_name(problem))


def stack_text(error: BaseException) -> str:
    """The innermost frames of the traceback, one to a line, the last one where it was raised; as many as fit.

    Without the frames of our wrappers, and without the lines of source, which would have to be read from disk on the
    caller's thread.
    """
    frames: collections.deque[str] = collections.deque(maxlen=STACK_FRAMES)
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_WRAPPERS):
            frames.append("%s:%d in %s" % (code.co_filename, traceback.tb_lineno or 0, code.co_name))
        traceback = traceback.tb_next
    left = STACK_BYTES
    lines: collections.deque[str] = collections.deque()
    for line in reversed(frames):
        left -= len(line.encode("utf-8", "replace")) + 1
        if left < 0:
            break
        lines.appendleft(line)
    return "\n".join(lines or list(frames)[-1:])


_PACKAGE = os.path.dirname(os.path.dirname(stack_text.__code__.co_filename))
_WRAPPERS = tuple(os.path.join(_PACKAGE, folder) + os.sep for folder in ("trace", "decorator", "integration"))
