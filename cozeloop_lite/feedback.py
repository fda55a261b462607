"""Feedback on traces: what people or programs think of an answer, attached to the span that gave it.

Adding and deleting are the same when done twice (contract backend.md 8.1), so whoever lost an answer may simply try
again.
"""

from __future__ import annotations

from .query import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api.client import ApiClient

PATH = "/v1/loop/annotations"  # contract backend.md 8.1


def add_feedback(
    api: ApiClient,
    workspace_id: str,
    trace_id: str,
    key: str,
    value: str | bool | int | float,
    span_id: str | None = None,
    reasoning: str | None = None,
) -> None:
    """Attach feedback to a span. The same key again replaces the value.

    The span may still be on its way: the platform waits for it some time. So no error does not yet mean that the
    feedback is attached, and feedback on a trace that never arrives is lost.

    Args:
        api: the client to send with.
        workspace_id: where the trace is.
        trace_id: 32 hex digits.
        key: what the feedback is about, such as ``helpful``. Only keys of letters, digits, ``_`` and ``.`` can be
            filtered by, as ``feedback_openapi_<key>``.
        value: what is thought of it: True or False, a number, a text.
        span_id: 16 hex digits; default the root of the trace.
        reasoning: why.

    Raises:
        InvalidParamError: an argument cannot be used.
        HttpError: see :meth:`ApiClient.request`.
    """
    written, value_type = arguments.typed("value", value)
    body = _target(workspace_id, trace_id, key, span_id)
    body.update(annotation_value=written, annotation_value_type=value_type)
    if reasoning is not None:
        body["reasoning"] = arguments.text("reasoning", reasoning)
    api.post(PATH, body)


def delete_feedback(api: ApiClient, workspace_id: str, trace_id: str, key: str, span_id: str | None = None) -> None:
    """Take feedback away; none being there is no error. Arguments and errors as for :func:`add_feedback`."""
    api.delete(PATH, params=_target(workspace_id, trace_id, key, span_id))


def _target(workspace_id: str, trace_id: str, key: str, span_id: str | None) -> dict[str, Any]:
    target = {
        "workspace_id": workspace_id,
        "trace_id": arguments.trace_id(trace_id),
        "annotation_key": arguments.filled("key", key),
    }
    if span_id is not None:
        target["span_id"] = arguments.span_id(span_id)
    return target
