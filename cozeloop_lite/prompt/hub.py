"""The prompt hub hands out prompts, and formats them.

A prompt that is kept costs a copy, and nothing on the network: a background thread sees to it that it is of today. A
prompt that is not kept costs one request for all who ask. When the server cannot be asked there is the last good copy.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import config, errors, logger, process, propagation
from ..trace import values
from .cache import Entry, PromptCache
from .flight import Flights
from .refresher import Refresher
from .renewal import Renewal, name_of
from .snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Union

    from ..api.client import ApiClient
    from ..entities.prompt import ExecuteResult, Message, Prompt
    from ..trace.span import Span
    from ..trace.tracer import Tracer
    from .execute_stream import ExecuteStreamReader
    from .fetch import Query

    Fallback = Union[Prompt, Mapping[str, Any], Callable[[], Any]]

LAST_GOOD = "last_good"  # where a copy comes from that the server did not just send
FALLBACK = "fallback"


class Found:
    """A prompt, and where it was found."""

    __slots__ = ("hit", "prompt", "source")

    def __init__(self, prompt: Prompt | None, hit: bool, source: str) -> None:
        self.prompt = prompt  # the caller's own copy
        self.hit = hit  # whether it was kept
        self.source = source  # "" when the server sent it


class PromptHub:
    """The prompts of one workspace. A client has one as ``prompts``; it can also be built alone.

        hub = PromptHub(api_client, "7533633794566258689", traceable=True)
        messages = hub.format_prompt(hub.get("greeting", "0.0.1"), {"name": "Ada"})

    Args:
        api_client: what asks the platform.
        workspace_id: where the prompts are; default ``COZELOOP_WORKSPACE_ID``.
        traceable: whether getting and formatting a prompt are spans.
        tracer: what makes these spans; default that of the default client, at the time of the call.
        cache_max_count: how many prompts are kept; default 100.
        cache_refresh_interval: seconds after which what is kept is fetched again; default 60.
        snapshot: the path of a file that keeps the prompts for the next start, in case the server is down then.

    Raises:
        InvalidParamError: an argument cannot be used; ``PropertyUnprovidedError`` when there is no workspace.
    """

    def __init__(
        self,
        api_client: ApiClient,
        workspace_id: str | None = None,
        *,
        traceable: bool = False,
        tracer: Tracer | None = None,
        cache_max_count: int | None = None,
        cache_refresh_interval: float | None = None,
        snapshot: Any = None,
    ) -> None:
        if not hasattr(api_client, "request"):
            raise errors.InvalidParamError("api_client must be an ApiClient, not %s" % values.type_name(api_client))
        self._api = api_client
        self._workspace_id = config.workspace_id(workspace_id)
        self._traceable = config.flag("traceable", traceable)
        self._tracer = tracer
        count = config.count("cache_max_count", cache_max_count, config.PROMPT_COUNT)
        interval = config.interval("cache_refresh_interval", cache_refresh_interval, config.PROMPT_INTERVAL)
        owner = "%s %s" % (api_client.base_url, self._workspace_id)
        self._cache = PromptCache(count)
        self._snapshot = Snapshot(config.file_path("snapshot", snapshot), owner, self._cache)
        self._renewal = Renewal(api_client, self._workspace_id, self._cache, self._snapshot)
        self._refresher = Refresher(self._work, interval)
        self._flights = Flights()
        self._closed = False
        if self._snapshot:
            process.on_exit(self)

    def __repr__(self) -> str:
        return "<PromptHub workspace_id=%r %r%s>" % (self._workspace_id, self._api, " closed" if self._closed else "")

    def get(
        self, prompt_key: str, version: str = "", label: str = "", *, fallback: Fallback | None = None
    ) -> Prompt | None:
        """A prompt: that of ``version``, else the one that has ``label``, else the latest.

        The first time it takes a request, within the ``timeout`` of the client; after that it is at hand, and follows
        the server within two intervals. When the server cannot be asked, the last good copy is used, with a warning.

        Args:
            prompt_key: the key of the prompt.
            version: such as ``"0.0.1"``.
            label: such as ``"production"``; without effect when there is a version.
            fallback: what to use when the server cannot be asked and no copy is left: a ``Prompt``, a dict of the same
                shape, or a function that returns one.

        Returns:
            A copy, which is the caller's own. ``None`` when the server has no such prompt, and does not say so.

        Raises:
            NotFoundError: there is no such prompt.
            NetworkError: the server was not reached, or ``RequestTimeoutError`` not in time, and no copy is left.
            RemoteServiceError: the server refused; the subclass says more.
            InvalidParamError: an argument cannot be used.
            ClientClosedError: the hub is closed.
        """
        if self._closed:
            raise errors.ClientClosedError()
        if fallback is not None and not callable(fallback):
            _check_fallback(fallback)
        query = _query(prompt_key, version, label)
        if not self._traceable:
            entry = self._cache.get(query)
            if entry is None:
                return self._find(query, fallback).prompt
            self._refresher.attend()
            return entry.copy()
        with process.loading():
            from . import spans
        with self._starts_spans()("PromptHub", "prompt_hub") as span:
            spans.set_scene(span, "prompt_hub")
            spans.set_query(span, query)
            try:
                found = self._find(query, fallback)
            except Exception as error:
                spans.set_failure(span, error)
                raise
            spans.set_found(span, found)
        return found.prompt

    def format_prompt(self, prompt: Prompt, variables: Mapping[str, Any] | None = None) -> list[Message]:
        """The messages of ``prompt``, with ``variables`` in their places; ``prompt`` stays as it is.

        Raises:
            InvalidParamError: a variable has a wrong type.
            TemplateError: the template cannot be rendered.
            ClientClosedError: the hub is closed.
        """
        if self._closed:
            raise errors.ClientClosedError()
        with process.loading():
            from .template import format_prompt
        if not self._traceable:
            return format_prompt(prompt, variables)
        with process.loading():
            from . import spans
        with self._starts_spans()("PromptTemplate", "prompt") as span:
            spans.set_scene(span, "prompt_template")
            spans.set_template(span, prompt, variables)
            messages = format_prompt(prompt, variables)
            spans.set_messages(span, messages)
        return messages

    def execute(
        self,
        prompt_key: str,
        *,
        version: str | None = None,
        label: str | None = None,
        variable_vals: Mapping[str, Any] | None = None,
        messages: Any = None,
        stream: bool = False,
        timeout: float | None = None,
    ) -> ExecuteResult | ExecuteStreamReader:
        """Have the platform execute a prompt: see :func:`cozeloop_lite.prompt.execute.execute`."""
        if self._closed:
            raise errors.ClientClosedError()
        with process.loading():
            from .execute import execute
        return execute(
            self._api,
            self._workspace_id,
            prompt_key,
            version=version,
            label=label,
            variable_vals=variable_vals,
            messages=messages,
            stream=stream,
            timeout=timeout,
            start_span=self._starts_spans() if self._traceable else None,
        )

    def close(self) -> None:
        """Stop refreshing; afterwards nothing can be got. A second call does nothing."""
        process.check_fork()
        if not self._closed:
            self._closed = self._renewal.stopped = True
            self._refresher.stop()
            self._snapshot.save()

    # -- getting a prompt -------------------------------------------------------------------------------------------

    def _starts_spans(self) -> Callable[..., Span]:
        if self._tracer is not None:
            return self._tracer.start_span
        from ..default import start_span

        return start_span

    def _find(self, query: Query, fallback: Fallback | None) -> Found:
        entry = self._cache.get(query)
        hit = entry is not None
        if hit:
            self._refresher.attend()
        else:
            try:
                entry = self._flights.share(query, lambda seconds: self._ask(query, seconds), self._api.timeout)
            except errors.LoopError as error:
                entry = self._last_good(query, error)
                if entry is None:
                    if fallback is None or not _is_unavailable(error):
                        raise
                    return Found(_fallen_back(fallback, error, query), False, FALLBACK)
        if entry is None:
            return Found(None, hit, "")
        return Found(entry.copy(), hit, entry.source)

    def _ask(self, query: Query, seconds: float) -> Entry | None:
        """Ask the server for one prompt, and keep it."""
        entry = self._cache.get(query)
        if entry is not None:  # it came while this thread was on its way here
            return entry
        with process.loading():
            from . import fetch
        asked = fetch.fetch(self._api, self._workspace_id, [query], timeout=seconds, headers=propagation.inject({}))
        ((_, outcome),) = asked
        if fetch.is_gone(outcome):
            self._snapshot.drop(query)
        if outcome is None:
            return None
        if isinstance(outcome, errors.LoopError):
            raise outcome
        entry = Entry(outcome)
        self._keep(query, entry)
        return entry

    def _keep(self, query: Query, entry: Entry) -> None:
        self._cache.put(query, entry)
        self._refresher.attend()
        if self._snapshot:
            self._snapshot.outdate()
            self._refresher.run_errand()
            process.at_work()

    def _last_good(self, query: Query, error: errors.LoopError) -> Entry | None:
        """A copy of former times, to be used until the server can be asked again."""
        if not _is_unavailable(error):
            return None
        self._snapshot.load()
        reserve = self._cache.reserve(query)
        if reserve is None:
            return self._cache.get(query)  # another thread may have been here a moment ago
        entry = Entry(reserve.prompt, reserve.source or LAST_GOOD)
        _warn(query, entry.source, error)
        self._cache.put(query, entry)
        self._refresher.attend()
        return entry

    # -- in the background ------------------------------------------------------------------------------------------

    def _work(self, due: bool) -> None:
        if due:
            self._renewal.run()
        self._snapshot.save()

    def _on_exit(self) -> None:
        if not self._closed:
            self._snapshot.save()


def _query(prompt_key: Any, version: Any, label: Any) -> Query:
    if prompt_key and type(prompt_key) is str and type(version) is str and type(label) is str:  # the usual case
        return prompt_key, version, label
    if not isinstance(prompt_key, str) or not prompt_key:
        raise errors.InvalidParamError("prompt_key must be the key of a prompt, not %s" % values.describe(prompt_key))
    for name, value in (("version", version), ("label", label)):
        if value is not None and not isinstance(value, str):
            raise errors.InvalidParamError("%s must be a str, not %s" % (name, values.describe(value)))
    return str.__str__(prompt_key), str.__str__(version or ""), str.__str__(label or "")


def _is_unavailable(error: errors.LoopError) -> bool:
    from . import fetch

    return fetch.is_unavailable(error)


def _warn(query: Query, source: str, error: errors.LoopError) -> None:
    text = "the server cannot be asked for the prompt %s, a copy is used (%s): %s"
    logger.warn(text, name_of(query), source, str(error))


def _check_fallback(given: Any) -> None:
    with process.loading():
        from ..entities.prompt import Prompt
    if not isinstance(given, (Prompt, Mapping)):
        raise errors.InvalidParamError(
            "fallback must be a Prompt, a dict of the same shape, or a function that returns one, not %s"
            % values.type_name(given)
        )


def _fallen_back(fallback: Any, error: errors.LoopError, query: Query) -> Prompt:
    from ..entities.entity import copied
    from ..entities.prompt import Prompt

    given = fallback
    if callable(fallback):
        given = fallback()
        _check_fallback(given)
    prompt: Prompt = copied(Prompt.model_validate(given))
    _warn(query, FALLBACK, error)
    return prompt
