"""The platform's endpoints for feedback, each from a request to its answer (contract backend.md 8.1)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .answers import json_answer
from .binding import bind, bind_query, i64, quote, string, struct
from .codes import INVALID_PARAM, Refusal, invalid_trace_param
from .feedback import Feedback
from .rules import check_workspace
from .typed import ZERO, parse, write

if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from .answers import Answer
    from .store import Store

PATH = "/v1/loop/annotations"
MAX_VALUE_BYTES = 4 * 1024 * 1024

_WHERE = {"workspace_id": i64, "trace_id": string, "span_id": string, "annotation_key": string}
_REQUIRED = ("workspace_id", "trace_id", "annotation_key")
_DELETE = struct(_WHERE, _REQUIRED)
_PUT = struct(
    {**_WHERE, "annotation_value": string, "annotation_value_type": string, "reasoning": string},
    (*_REQUIRED, "annotation_value"),
)
_SAME_TYPES = {"category": "string", "number": "double"}


class FeedbackEndpoints:
    """``workspace_id``: the only one that there may be feedback in; None: every one. ``say``: the log."""

    def __init__(self, store: Store, workspace_id: str | None, say: Callable[[str], None]) -> None:
        self._store = store
        self._workspace_id = workspace_id
        self._say = say

    def put(self, content_type: str, body: bytes) -> Answer:
        """Keep feedback; the span may come later."""
        request = bind(_PUT, body, content_type)
        value_type, value = self._value(request)
        now = int(time.time() * 1000000)
        which = self._which(request)
        arrived = self._store.feedback.put(Feedback(*which, value_type, value, request.get("reasoning", ""), now, now))
        where = _described(request) + ("" if arrived else ", which has not arrived yet")
        self._say(f"accepted feedback {quote(request['annotation_key'])} ({value_type}) on {where}")
        return json_answer({"code": 0, "msg": ""})

    def delete(self, query: str) -> Answer:
        """Forget feedback; none being there is no error."""
        request = bind_query(_DELETE, query)
        found = self._store.feedback.delete(*self._which(request))
        what = f"feedback {quote(request['annotation_key'])} on {_described(request)}"
        self._say(f"deleted {what}" if found else f"nothing to delete: there is no {what}")
        return json_answer({"code": 0, "msg": ""})

    def _which(self, request: Mapping[str, Any]) -> tuple[str, str, str, str]:
        for name in ("trace_id", "annotation_key"):
            if not request[name]:
                raise Refusal(INVALID_PARAM, f"invalid param,{name} is empty")
        check_workspace(request["workspace_id"], self._workspace_id)
        workspace_id = str(request["workspace_id"])
        return workspace_id, request["trace_id"], request.get("span_id", ""), request["annotation_key"]

    def _value(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """The type of the value as it is stored, and the value as it is answered."""
        text, asked = request["annotation_value"], request.get("annotation_value_type", "")
        if len(text.encode("utf-8")) > MAX_VALUE_BYTES:
            raise invalid_trace_param("annotation_value is longer than 4 MiB")
        value_type = _SAME_TYPES.get(asked, asked)
        if value_type not in ZERO:
            if asked:
                self._say(f"  warning: feedback of the type {quote(asked)}, which the platform takes for text")
            value_type = "string"
        try:
            return value_type, write(parse(text, value_type))
        except ValueError as error:
            raise invalid_trace_param(f"invalid annotation_value: {error}") from None


def _described(request: Mapping[str, Any]) -> str:
    span_id = request.get("span_id")
    return f"span {quote(span_id)}" if span_id else f"the root of trace {quote(request['trace_id'])}"
