"""What the library has set itself, and whether this run met it. A target is never changed to fit a figure."""

from __future__ import annotations

from .figures import Figures, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Judge = Callable[["Judgement"], None]

LITE, OFFICIAL, OTEL, BARE = "cozeloop_lite", "cozeloop", "opentelemetry", "bare"
BARE_US, CONTENT_US = 1.7, 5.0  # where the bare object takes 1.7 µs, a span with input and output may take 5


class Judgement:
    """One target against the figures: each comparison adds to ``shown``, and one that fails ends ``met``."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self.shown: list[str] = []
        self.met = True

    def median(self, library: str, key: str) -> float:
        return self._figures.median(library, key)

    def lite(self, key: str) -> float:
        return self.median(LITE, key)

    def most(self, key: str) -> float:
        """For what must never be: one time of many is too often."""
        return max([self.lite(key), *self._figures.values(LITE, key)])

    def at_most(self, value: float, limit: float, form: str) -> None:
        self.shown.append(form % value)
        self.met = self.met and value <= limit

    def at_least(self, value: float, limit: float, form: str) -> None:
        self.shown.append(form % value)
        self.met = self.met and value >= limit

    def faster(self, key: str, official: float, otel: float = 0) -> None:
        """At least so many times less than the others."""
        self.at_least(self.median(OFFICIAL, key) / self.lite(key), official, "%.2f × (cozeloop)")
        if otel:
            self.at_least(self.median(OTEL, key) / self.lite(key), otel, "%.2f × (opentelemetry)")


def _content(kind: str) -> Judge:
    def judge(to: Judgement) -> None:
        key = "content.%s.ns" % kind
        limit = to.median(BARE, "bare.ns") / 1000 / BARE_US * CONTENT_US
        to.at_most(to.lite(key) / 1000, limit, "%%.2f µs of %.2f" % limit)
        to.faster(key, 4, 2)

    return judge


def _typical(kind: str) -> Judge:
    return lambda to: to.faster("typical.%s.ns" % kind, 4, 2)


def _exporting(key: str) -> Judge:
    return lambda to: to.faster("exporting." + key, 3.5, 2)


def _delivery(kind: str) -> Judge:
    def judge(to: Judgement) -> None:
        to.faster("delivery.%s.cpu_us" % kind, 4, 2)
        to.at_least(to.lite("delivery.%s.per_second" % kind), 20_000, "%.0f spans/s")

    return judge


def _lengths(to: Judgement) -> None:
    to.at_most(to.lite("lengths.long.ns") / to.lite("lengths.short.ns"), 1.2, "%.2f × at rest")
    to.at_most(to.lite("lengths.long.sending_ns") / to.lite("lengths.short.sending_ns"), 1.2, "%.2f × while sending")


def _first_span(to: Judgement) -> None:
    first = to.lite("first.warm.cpu_ms")
    to.at_most(first / to.median("urllib3", "import.warm.cpu_ms"), 1 / 3, "%.2f of import urllib3")
    to.at_most(first / to.median(OFFICIAL, "import.warm.cpu_ms"), 1 / 12, "%.3f of import cozeloop")


def _nothing_heavy(to: Judgement) -> None:
    to.at_most(to.most("first.warm.heavy"), 0, "%.0f of urllib3, jinja2, ssl, dataclasses loaded")


def _formatting(to: Judgement) -> None:
    for key, limit in (("prompts.normal.ns", 20), ("prompts.jinja2.ns", 50)):
        to.at_least(to.median(OFFICIAL, key) / to.lite(key), limit, "%%.0f × (%s)" % key.split(".")[1])


def _flat(*ratios: str) -> Judge:
    def judge(to: Judgement) -> None:
        for key in ratios:
            to.at_most(to.lite(key), 1.2, "%.2f ×")

    return judge


def _size(to: Judgement) -> None:
    to.at_most(to.lite("size.own_bytes") / 1e3, 400, "%.0f KB")
    to.at_most(to.lite("size.packages") - 1, 3, "%.0f packages come with it")


TARGETS: list[tuple[str, str, Judge]] = [
    (
        "a",
        "at most 2 times the bare object",
        lambda to: to.at_most(to.lite("bare.ns") / to.median(BARE, "bare.ns"), 2, "%.2f ×"),
    ),
    ("b", "text, in and out: 5 µs where the bare object takes 1.7; 4 and 2 times faster", _content("text")),
    ("b", "messages, in and out: the same", _content("messages")),
    ("b", "text, typical: 4 and 2 times faster", _typical("text")),
    ("b", "messages, typical: the same", _typical("messages")),
    ("c", "text, in one go, mean: 3.5 and 2 times faster", _exporting("text.mean_ns")),
    ("c", "text, paced, median: the same", _exporting("text.paced.median_ns")),
    ("c", "messages, in one go, mean: the same", _exporting("messages.mean_ns")),
    ("c", "messages, paced, median: the same", _exporting("messages.paced.median_ns")),
    ("c", "a text of 100 kB at most 1.2 times one of 10 bytes", _lengths),
    ("d", "text: 4 and 2 times less processor time, above 20,000 spans/s", _delivery("text")),
    ("d", "messages: the same", _delivery("messages")),
    ("e", "first finished span: a third of import urllib3, a twelfth of import cozeloop", _first_span),
    ("e", "nothing heavy loaded until a request is due", _nothing_heavy),
    ("f", "4 times faster on the clock", lambda to: to.faster("program.ms", 4)),
    ("f", "4 times less processor time", lambda to: to.faster("program.cpu_ms", 4)),
    (
        "g",
        "at most 1.5 KB for a small span in the queue",
        lambda to: to.at_most(to.lite("queued.bare_bytes"), 1500, "%.0f bytes"),
    ),
    ("h", "a cached prompt in at most 5 µs", lambda to: to.at_most(to.lite("prompts.get.ns") / 1e3, 5, "%.1f µs")),
    ("h", "formatting 20 times (normal) and 50 times (jinja2) faster", _formatting),
    (
        "j",
        "depth 1,000 and 10,000 children within 20 %",
        _flat("shapes.depth.ratio", "shapes.fan.ratio"),
    ),
    (
        "k",
        "4 and 16 threads within 20 %, processor time and clock",
        _flat(*("threads.%d.%s_ratio" % (count, unit) for unit in ("cpu_us", "us") for count in (4, 16))),
    ),
    ("l", "under 400 KB; three packages come with it", _size),
]


def judged(figures: Figures, all_of_them: bool = False) -> list[tuple[str, str, str, str]]:
    """Letter, target, figures and ``met`` or ``not met``.

    What was not measured is left out; it is not met where ``all_of_them`` were to be: its case failed each time.
    """
    rows = []
    for letter, text, judge in TARGETS:
        judgement = Judgement(figures)
        try:
            judge(judgement)
        except Missing as missing:
            if not all_of_them:
                continue
            judgement.shown, judgement.met = ["no figure: %s" % missing], False
        rows.append((letter, text, ", ".join(judgement.shown), "met" if judgement.met else "**not met**"))
    return rows
