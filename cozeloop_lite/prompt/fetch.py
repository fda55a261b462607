"""Asking the platform for prompts (``mget``): in batches, and so that one bad key harms only itself.

The platform answers all or nothing: one deleted prompt fails the whole batch (contract backend.md 5). So a batch that
is refused is halved until the bad one is alone. What a failure means is decided here, too: whether the prompt is gone,
or the server just cannot be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from .. import errors
from ..entities.prompt import Prompt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence, Tuple, Union

    from ..api.client import ApiClient

    Query = Tuple[str, str, str]  # prompt_key, version, label
    Outcome = Union[Prompt, None, errors.LoopError]  # None: the server answered, and has no such prompt

PATH = "/v1/loop/prompts/mget"
BATCH_COUNT = 25  # queries, contract backend.md 5
GONE_CODES = frozenset([600501001, 600501002, 600501003, 600501007])  # of key, version, label: contract backend.md 5.3
# How often in a row the server may fail before it is taken to be down. Halving a batch until the one prompt is alone at
# which the server fails takes six.
MAX_FAILURES = 7


def fetch(
    api: ApiClient,
    workspace_id: str,
    queries: Sequence[Query],
    *,
    timeout: float | None = None,
    headers: Mapping[str, str] | None = None,
    cautious: bool = False,
) -> Iterator[tuple[Query, Outcome]]:
    """Each query, with what became of it: a prompt, ``None`` or an error; batch by batch, as it is iterated over.

    Args:
        api: the client to ask with.
        workspace_id: where the prompts are.
        queries: key, version and label of each, without duplicates.
        timeout: seconds for each request; default that of the client.
        headers: sent with each request.
        cautious: begin with a batch of one query, and double it with every success.

    When the server cannot be asked, that is the error of the queries of one batch, and the iteration ends: the queries
    that are left out are for another time.
    """
    size = 1 if cautious else BATCH_COUNT
    done = 0
    halves: list[Sequence[Query]] = []
    failures = 0
    while (halves or done < len(queries)) and failures < MAX_FAILURES:
        if halves:
            batch = halves.pop()
        else:
            batch = queries[done : done + size]
            done += len(batch)
        try:
            found = _ask(api, workspace_id, batch, timeout, headers)
        except errors.LoopError as error:
            failures = failures + 1 if is_unavailable(error) else 0
            if len(batch) > 1 and _may_be_one(error):
                middle = (len(batch) + 1) // 2
                halves += [batch[middle:], batch[:middle]]
                continue
            for query in batch:
                yield query, error
            if is_for_all(error):
                return
        else:
            failures = 0
            size = min(2 * size, BATCH_COUNT)
            for query in batch:
                yield query, found.get(query)


def is_gone(outcome: Outcome) -> bool:
    """Whether the server has no such prompt: it says so, or its answer lacks it."""
    if isinstance(outcome, errors.RemoteServiceError):
        return outcome.code in GONE_CODES
    return outcome is None


def is_unavailable(error: errors.LoopError) -> bool:
    """Whether it is not about the prompt: the server is not reached, fails, or wants fewer requests."""
    if isinstance(error, errors.RemoteServiceError):
        # An answer without a code is not the platform's: a proxy's, or a web page that says "under maintenance".
        own = error.code is not None or isinstance(error, _NOT_ALLOWED)
        return not own or isinstance(error, (errors.InternalServerError, errors.RateLimitError))
    # No token is to be had: the function that gives one failed.
    return isinstance(error, (errors.NetworkError, errors.AuthInfoRequiredError))


def is_for_all(error: errors.LoopError) -> bool:
    """Whether the next request would fail in the same way."""
    if isinstance(error, errors.NetworkError):
        return not isinstance(error, errors.AnswerTooLongError)  # that to a part of the batch may have fewer bytes
    return isinstance(error, (*_NOT_ALLOWED, errors.RateLimitError, errors.AuthInfoRequiredError))


_NOT_ALLOWED = (errors.AuthenticationError, errors.PermissionDeniedError)


def _may_be_one(error: errors.LoopError) -> bool:
    """Whether the failure of a batch may be due to one query of it."""
    if is_for_all(error):
        return False
    return not isinstance(error, errors.RemoteServiceError) or error.code is not None


def _ask(
    api: ApiClient, workspace_id: str, batch: Sequence[Query], timeout: float | None, headers: Mapping[str, str] | None
) -> dict[Query, Prompt]:
    asked = []
    for key, version, label in batch:
        query = {"prompt_key": key, "version": version}
        if label:
            query["label"] = label
        asked.append(query)
    data = {"workspace_id": workspace_id, "queries": asked}
    seconds = api.timeout if timeout is None else timeout
    end = monotonic() + seconds
    try:
        answer = api.request("POST", PATH, data, timeout=seconds, headers=headers)
    except errors.NetworkError as error:
        left = end - monotonic()
        if isinstance(error, (errors.RequestTimeoutError, errors.AnswerTooLongError)) or left <= 0:
            raise
        # A connection that was kept since the last round, or through a freeze, may be dead: a new one is worth a try.
        answer = api.request("POST", PATH, data, timeout=left, headers=headers)
    if "code" not in answer and "data" not in answer:
        # A proxy's, perhaps, which is well and knows of no prompts: to take it at its word would drop them all.
        raise errors.InternalServerError(200, None, "the answer is not the platform's: it has neither code nor data")
    return _found(batch, answer)


def _found(batch: Sequence[Query], answer: Mapping[str, Any]) -> dict[Query, Prompt]:
    """The prompts of an answer, by the query that it repeats; where it does not, by their place."""
    data = answer.get("data")
    items = data.get("items") if isinstance(data, Mapping) else None
    items = items if isinstance(items, list) else []
    wanted = frozenset(batch)
    found = {}
    for place, item in enumerate(items):
        given = item.get("prompt") if isinstance(item, Mapping) else None
        if not given or not isinstance(given, Mapping):
            continue
        query = _repeated(item.get("query"))
        if query not in wanted and len(items) == len(batch) and given.get("prompt_key") in (None, batch[place][0]):
            query = batch[place]
        if query in wanted:
            found[query] = Prompt.from_dict(given)
    return found


def _repeated(query: Any) -> Query:
    query = query if isinstance(query, Mapping) else {}
    key, version, label = (value if isinstance(value, str) else "" for value in map(query.get, _NAMES))
    return key, version, label


_NAMES = ("prompt_key", "version", "label")
