"""The platform's prompt endpoints, each from a request's body to its answer: mget, execute, execute_streaming.

What they refuse is raised as ``Refusal``. "Contract" in a comment means contract backend.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import codes, forms
from .answers import Answer, json_answer, stream_answer
from .binding import bind, quote
from .codes import Refusal, invalid_param
from .execute import check, error_event, events, execute

if TYPE_CHECKING:
    from typing import Callable, Sequence

    from .execute import Reply
    from .prompts import Document, Prompts

MGET = "/v1/loop/prompts/mget"
EXECUTE = "/v1/loop/prompts/execute"
EXECUTE_STREAMING = "/v1/loop/prompts/execute_streaming"
MAX_QUERIES = 1000  # in one request, for the sake of memory; the platform has no limit, contract 5


class PromptEndpoints:
    """``workspace_id``: the only one that has the prompts; None: every workspace has them. ``say``: the log."""

    def __init__(self, prompts: Prompts, workspace_id: str | None, say: Callable[[str], None]) -> None:
        self._prompts = prompts
        self._workspace_id = workspace_id
        self._say = say

    def mget(self, content_type: str, body: bytes) -> Answer:
        """Versions of prompts, in the order of the queries; one that fails fails all, contract 5."""
        request = bind(forms.MGET, body, content_type)
        workspace_id = request.get("workspace_id", 0)
        if workspace_id == 0:
            raise invalid_param("workspace_id is empty")
        queries = [query for query in request.get("queries", ()) if query is not None]
        if len(queries) > MAX_QUERIES:
            raise invalid_param(f"more than {MAX_QUERIES} queries, which this server answers at most")
        documents = self._prompts.find(query.get("prompt_key", "") for query in queries)
        self._check_access(workspace_id, documents, "read")
        versions = [document.version(*_wanted(query)) for document, query in zip(documents, queries)]
        items = [
            {"query": query, "prompt": document.answered(version, workspace_id)}
            for query, document, version in zip(queries, documents, versions)
        ]
        names = [f"{quote(document.key)} {version.number}" for document, version in zip(documents, versions)]
        self._say(f"served {len(items)} prompt(s): {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}")
        return json_answer({"code": 0, "msg": "", "data": {"items": items} if items else {}})

    def execute(self, content_type: str, body: bytes) -> Answer:
        """The whole reply, contract 6."""
        reply = self._execute(content_type, body)
        data = {"message": reply.message, "finish_reason": reply.finish_reason, "usage": reply.usage}
        return json_answer({"code": 0, "msg": "", "data": data})

    def execute_streaming(self, content_type: str, body: bytes) -> Answer:
        """The reply piece by piece, contract 7."""
        return stream_answer(events(self._execute(content_type, body)))

    def _execute(self, content_type: str, body: bytes) -> Reply:
        request = bind(forms.EXECUTE, body, content_type)
        check(request)
        asked = request["prompt_identifier"]
        (document,) = self._prompts.find([asked["prompt_key"]])
        number, label = _wanted(asked)
        version = document.version(number, label or request.get("release_label", ""))
        self._check_access(request["workspace_id"], [document], "execute")
        reply = execute(version, request)
        self._say(f"executed {quote(document.key)} {version.number}: {reply.usage['output_tokens']} word(s) of reply")
        return reply

    def _check_access(self, workspace_id: int, documents: Sequence[Document], action: str) -> None:
        if workspace_id < 0:
            raise Refusal(codes.INVALID_PARAM, "invalid param,invalid space_id in request")
        if self._workspace_id is not None and workspace_id != int(self._workspace_id):
            ids = ",".join(str(document.id) for document in documents)
            raise Refusal(codes.PROMPT_NO_ACCESS, f"no access permission,prompt ids: {ids}, action: {action}")


def stream_refusal(refusal: Refusal) -> Answer:
    """How a stream refuses, contract 7: by an event, for by then it is open; a body it cannot read, by a status."""
    if refusal.code == codes.UNBINDABLE:
        return Answer(400, "text/plain; charset=utf-8", refusal.msg.encode("utf-8"))
    return stream_answer([error_event(refusal)])


def _wanted(query: dict[str, str]) -> tuple[str, str]:
    return query.get("version", ""), query.get("label", "")
