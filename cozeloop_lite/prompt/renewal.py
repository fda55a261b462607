"""One round of refreshing: all prompts that are kept are fetched again, and none of them keeps another from its turn.

What failed the last time goes apart, in small company, so that a prompt with which every request hangs ends up alone.
It goes by turns before and after the rest, so that it does not meet a server that fails now and then in its bad moments
for ever.
"""

from __future__ import annotations

import logging

from .. import errors, logger, process
from ..trace import unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..api.client import ApiClient
    from .cache import PromptCache
    from .fetch import Query
    from .snapshot import Snapshot

NAMED = 5  # prompts in one message


class Renewal:
    """Brings a cache up to date.

    Args:
        api: what asks the platform.
        workspace_id: where the prompts are.
        cache: what is brought up to date, and its ``snapshot``.

    Attributes:
        stopped: set to end the round that is under way after its present request.
    """

    def __init__(self, api: ApiClient, workspace_id: str, cache: PromptCache, snapshot: Snapshot) -> None:
        self._api = api
        self._workspace_id = workspace_id
        self._cache = cache
        self._snapshot = snapshot
        self._missed_first = False
        self.stopped = False

    @unseen.always
    def run(self) -> None:
        """Fetch everything again. What the server does not have any more is dropped; what fails stays as it is."""
        with process.loading():
            from . import fetch
        usual, missed = self._cache.queries()
        self._missed_first = not self._missed_first
        gone: list[Query] = []
        failure: errors.LoopError | None = None
        for queries in (missed, usual) if self._missed_first else (usual, missed):
            cautious = queries is missed
            for query, outcome in fetch.fetch(self._api, self._workspace_id, queries, cautious=cautious):
                if self.stopped:
                    return
                if fetch.is_gone(outcome):
                    if self._snapshot.drop(query):
                        gone.append(query)
                elif isinstance(outcome, errors.LoopError):
                    failure = outcome
                    self._cache.missed(query)
                elif outcome is not None and self._cache.renew(query, outcome):
                    self._snapshot.outdate()
            if failure is not None and not cautious and fetch.is_for_all(failure):
                break
        if gone:
            names = ", ".join(map(name_of, gone[:NAMED])) + (", ..." if len(gone) > NAMED else "")
            logger.say(logging.WARNING, "%d prompts are no longer on the server and not kept: %s", len(gone), names)
        if failure is not None:
            logger.warn("prompts could not be refreshed, the copies stay in use: %s", str(failure))


def name_of(query: Query) -> str:
    """A prompt, as it is named in messages."""
    key, version, label = query
    return "%r%s%s" % (key[:80], version and " version %r" % version[:80], label and " label %r" % label[:80])
