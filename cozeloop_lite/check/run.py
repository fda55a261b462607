"""The check itself: which steps there are, in which order, and which needs what another one found.

A step that cannot be taken because of another is skipped, so that the first failure named is the cause of the rest.
"""

from __future__ import annotations

from math import isnan
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable, Iterable, NamedTuple
from urllib.parse import urlsplit

from .. import config
from . import failures, machine, network, platform, settings, verdicts
from .report import FAILED, OK, SKIPPED, WARNING, Report, Step

if TYPE_CHECKING:
    from ..api.client import ApiClient

STEP_SECONDS = 5.0
_HIDDEN = "is the matter of http_client: part of the step 'platform'"
STEPS_IN_ALL = 6  # a check takes at most so many times the seconds of one step


class Subject(NamedTuple):
    """What is checked: steps that were taken while it was put together, and what they found.

    Where a setting is wrong, the step about it has failed, and its place here is empty: the steps that need it are
    skipped. ``token`` is a text, a function, or None for an OAuth application.
    """

    steps: list[Step]
    url: str
    api: ApiClient | None
    workspace_id: str
    token: Any
    spool_dir: str
    snapshot: str
    ingest_path: str


class Run:
    """The state of one check."""

    def __init__(self, subject: Subject, send_span: bool, seconds: float) -> None:
        self.subject = subject
        self.api: Any = subject.api
        self.send_span = send_span
        self.seconds = seconds
        self.steps: list[Step] = list(subject.steps)
        self.blocked = {step.name: step.name for step in self.steps if step.status == FAILED}  # step -> its cause
        self.url = subject.url
        self.host = urlsplit(self.url).hostname or ""
        self.pool: Any = None
        self.hop = machine.Hop("", 0, "")
        self.hidden = False  # whether the way to the platform is: an httpx.Client does not tell its proxies
        self.addresses: list[Any] = []
        self.ahead = float("nan")
        self.access: platform.Access = platform.Access()
        self.trace_id = ""
        self.span_id = ""
        self._end = monotonic() + STEPS_IN_ALL * seconds

    def left(self, seconds: float | None = None) -> float:
        """Seconds that a step may take."""
        return min(self.seconds if seconds is None else seconds, self._end - monotonic())

    def report(self) -> Report:
        """Take all steps. Never raises."""
        for name, needs, take in STEPS:
            self.steps.append(self._taken(name, needs, take))
            if self.steps[-1].status == FAILED:
                self.blocked[name] = name
        token = self.subject.token
        return Report(self.steps, [*settings.secrets(), *([token] if isinstance(token, str) else [])])

    def _taken(self, name: str, needs: Iterable[str], take: Callable[[Run], Step]) -> Step:
        cause = next((self.blocked[need] for need in needs if need in self.blocked), "")
        if cause:
            self.blocked[name] = cause
            return Step(name, SKIPPED, "not tried, because of: %s" % cause)
        if self.left() <= 0:
            self.blocked[name] = name
            return Step(name, WARNING, "no time was left for it", "Try a longer --timeout (timeout=...).")
        try:
            return take(self)
        except Exception as problem:  # noqa: BLE001 - whatever is wrong is to be told, not to end the check
            return Step(name, FAILED, "the check itself failed: %s: %s" % (type(problem).__name__, problem))


def _proxy(run: Run) -> Step:
    from ..api import connections

    pools = run.api._open_pools() if run.api is not None else connections.Pools()
    step, run.pool, run.hop = machine.proxy(pools, run.url)
    run.hidden = step.status == OK and not hasattr(run.pool, "connection_from_url")
    return step._replace(status=SKIPPED, seen=_HIDDEN) if run.hidden else step


def _resolution(run: Run) -> Step:
    if run.hidden:
        return Step("name resolution", SKIPPED, _HIDDEN)
    step, run.addresses = network.resolve(run.hop, run.left())
    return step


def _connection(run: Run) -> Step:
    if run.hidden:
        return Step("connection", SKIPPED, _HIDDEN)
    return network.connect(run.addresses, run.hop, run.left())


def _tls(run: Run) -> Step:
    if run.hidden:
        return Step("TLS", SKIPPED, _HIDDEN)
    if run.hop.is_proxy:
        return Step("TLS", SKIPPED, "goes through the proxy: part of the next step")
    return network.tls(run.pool, run.url, run.hop, run.left())


def _platform(run: Run) -> Step:
    from ..api import message, transport

    seconds = run.left()
    headers = run.api._headers if run.api is not None else message.identity()
    try:
        url = run.url + run.subject.ingest_path
        answer, run.ahead = network.ask(run.pool, url, {**headers, **message.lane()}, seconds)
    except transport.FAILURES as problem:
        return Step("platform", FAILED, *network.no_answer(problem, run.url, run.host, run.hop, seconds))
    if run.hop.is_proxy and answer.status == 407:
        return Step("platform", FAILED, *failures.wants_password(run.hop))
    return verdicts.platform(answer, run.url)


def _clock(run: Run) -> Step:
    if isnan(run.ahead):
        return Step("clock", SKIPPED, "the server does not say what time it is")
    return verdicts.clock(run.ahead)


def _token_accepted(run: Run) -> Step:
    workspace_id = "" if "workspace" in run.blocked else run.subject.workspace_id
    run.access = platform.ask_access(run.api, workspace_id, run.subject.ingest_path, run.ahead, run.left())
    return platform.token_accepted(run.access, lambda: _token_advice(run))


def _token_advice(run: Run) -> str:
    if run.subject.token is None:  # an OAuth application, for which the error has its own advice
        return ""
    return settings.token_refused(run.subject.token, run.host, run.url == config.CN_BASE_URL)


def _workspace_accessible(run: Run) -> Step:
    return platform.workspace_accessible(run.access, run.subject.workspace_id)


def _prompts(run: Run) -> Step:
    return platform.prompts(run.api, run.subject.workspace_id, run.left())


def _test_span(run: Run) -> Step:
    if not run.send_span:
        return Step("test span", SKIPPED, "not asked for")
    step, run.trace_id, run.span_id = platform.send_span(
        run.api, run.subject.workspace_id, run.subject.ingest_path, run.left(2 * run.seconds)
    )
    return step


def _found_again(run: Run) -> Step:
    if not run.trace_id:
        return Step("found again", SKIPPED, "no span was sent")
    return platform.find_span(
        run.api, run.subject.workspace_id, run.trace_id, run.span_id, run.left(2 * run.seconds), run.seconds
    )


STEPS: tuple[tuple[str, tuple[str, ...], Callable[[Run], Step]], ...] = (
    ("software", (), lambda run: machine.software()),
    ("folders", (), lambda run: machine.folders(run.subject.spool_dir, run.subject.snapshot)),
    ("proxy", ("software", "address"), _proxy),
    ("name resolution", ("proxy",), _resolution),
    ("connection", ("name resolution",), _connection),
    ("TLS", ("connection",), _tls),
    ("platform", ("connection", "TLS"), _platform),
    ("clock", ("platform",), _clock),
    ("token accepted", ("platform", "credentials", "client"), _token_accepted),
    ("workspace accessible", ("workspace", "token accepted"), _workspace_accessible),
    ("prompts", ("workspace accessible",), _prompts),
    ("test span", ("clock", "workspace accessible"), _test_span),
    ("found again", ("test span",), _found_again),
)
