"""The figures become a document: what was measured, where, with what result, and how to do it again."""

from __future__ import annotations

from statistics import median

from .figures import Figures
from .targets import judged

COLUMNS = ("cozeloop_lite", "cozeloop", "opentelemetry", "langfuse", "bare", "urllib3", "python")
LITE = COLUMNS[0]
RIVALS = COLUMNS[1:4]

NS, UNIT, KB = 1e-3, 1, 1e-3

# Letter, heading, what it is; then key, label, factor, format, and whether more is better (None: not to be compared).
SECTIONS = [
    (
        "a. Start and finish a span, µs",
        "What the caller's thread pays, in processor time, while nothing is sent: bursts of 90 spans, the queue "
        "emptied in between. The first of each burst is told apart, by the clock: it finds cold caches, and may wake "
        "the thread that sends. *bare* is a plain object: two random ids in hexadecimal, two clocks, a stack in a "
        "`threading.local`, a bounded `queue.Queue`.",
        [
            ("bare.ns", "a span", NS, "%.2f", False),
            ("bare.least_ns", "best burst", NS, "%.2f", False),
            ("bare.alone_ns", "the first of a burst", NS, "%.1f", False),
        ],
    ),
    (
        "b. The same with input and output, and with three tags and two token counts, µs",
        "The latter is what is called a typical span below. The input is a text, or a dict of two messages, which "
        "becomes JSON: with cozeloop_lite on the thread that sends (see d), with the others at once. The bare object "
        "keeps what it is given.",
        [
            ("content.text.ns", "text, in and out", NS, "%.2f", False),
            ("content.messages.ns", "messages, in and out", NS, "%.2f", False),
            ("typical.text.ns", "text, typical", NS, "%.2f", False),
            ("typical.text.least_ns", "text, typical, best burst", NS, "%.2f", False),
            ("typical.messages.ns", "messages, typical", NS, "%.2f", False),
            ("typical.messages.least_ns", "messages, typical, best burst", NS, "%.2f", False),
            ("typical.messages.alone_ns", "messages, typical, the first of a burst", NS, "%.1f", False),
        ],
    ),
    (
        "c. The same while it is being sent, µs",
        "20,000 typical spans in one go, from the first to the last call (cozeloop begins to send after a second, the "
        "others with a full batch: who is slower meets more of its own sending), and to the end of the flush; then "
        "1,000, one each millisecond.",
        [
            ("exporting.%s.%s" % (kind, key), "%s, %s" % (kind, label), NS, form, False)
            for kind in ("text", "messages")
            for key, label, form in (
                ("mean_ns", "in one go, mean", "%.1f"),
                ("flushed_ns", "in one go, until all is delivered", "%.1f"),
                ("median_ns", "in one go, median", "%.1f"),
                ("p99_ns", "in one go, 99 % of the calls", "%.0f"),
                ("paced.median_ns", "paced, median", "%.1f"),
                ("paced.p99_ns", "paced, 99 % of the calls", "%.0f"),
            )
        ],
    ),
    (
        "d. Delivery",
        "10,000 typical spans, from the first call to the end of the flush, all of the process.",
        [
            ("delivery.text.cpu_us", "text, processor time a span, µs", UNIT, "%.1f", False),
            ("delivery.text.per_second", "text, delivered spans a second", UNIT, "%.0f", True),
            ("delivery.messages.cpu_us", "messages, processor time a span, µs", UNIT, "%.1f", False),
            ("delivery.messages.per_second", "messages, delivered spans a second", UNIT, "%.0f", True),
            ("delivery.wire_bytes", "bytes on the wire a span", UNIT, "%.0f", None),
        ],
    ),
    (
        "e. Imports",
        "In a fresh process. *first span*: import, make a client, finish one span. *cold*: the packages have no byte "
        "code (the standard library has). Heavy are urllib3, jinja2, ssl and dataclasses. The targets go by processor "
        "time.",
        [
            ("import.warm.ms", "import, ms", UNIT, "%.1f", False),
            ("import.warm.cpu_ms", "import, processor time, ms", UNIT, "%.1f", False),
            ("import.cold.ms", "import, cold, ms", UNIT, "%.1f", False),
            ("import.warm.modules", "modules loaded by it", UNIT, "%.0f", False),
            ("first.warm.ms", "first span, ms", UNIT, "%.1f", False),
            ("first.warm.cpu_ms", "first span, processor time, ms", UNIT, "%.1f", False),
            ("first.cold.ms", "first span, cold, ms", UNIT, "%.1f", False),
            ("first.warm.modules", "modules loaded by then", UNIT, "%.0f", False),
            ("first.warm.heavy", "of these, heavy ones", UNIT, "%.0f", None),
        ],
    ),
    (
        "f. A whole program: start, one span delivered, exit",
        "*python* is the interpreter that does nothing.",
        [
            ("program.ms", "clock, ms", UNIT, "%.0f", False),
            ("program.cpu_ms", "processor time, ms", UNIT, "%.0f", False),
        ],
    ),
    (
        "g. Memory",
        "Bytes that the interpreter allocated for each of 10,000 spans in the queue, the server silent; and how far "
        "the peak of the process rose above what it held before, with spans made while the server was down. There each "
        "client has its own bounds: cozeloop keeps 1,024 spans and drops the rest, opentelemetry 2,048, cozeloop_lite "
        "65,536.",
        [
            ("queued.bare_bytes", "a bare span in the queue, bytes", UNIT, "%.0f", False),
            ("queued.typical_bytes", "a typical span in the queue, bytes", UNIT, "%.0f", False),
            ("burst.peak_bytes", "10,000 made, server down: growth, KB", KB, "%.0f", None),
            ("flood.peak_bytes", "100,000 made, server down: growth, KB", KB, "%.0f", None),
        ],
    ),
    (
        "h. Prompts: three messages, five variables, µs",
        "The rendered texts are checked. *first* is the first time in a process, with what is loaded for it.",
        [
            ("prompts.get.ns", "get one that is kept", NS, "%.2f", False),
            ("prompts.normal.first_ns", "format, normal, first", NS, "%.0f", False),
            ("prompts.normal.ns", "format, normal, again", NS, "%.1f", False),
            ("prompts.jinja2.first_ns", "format, jinja2, first", NS, "%.0f", False),
            ("prompts.jinja2.ns", "format, jinja2, again", NS, "%.1f", False),
        ],
    ),
    (
        "i. Large inputs",
        "*caller* is what the thread pays, *processor* what the process spends until it is delivered. The text of "
        "20 MB and the image are uploaded as files; opentelemetry has none and sends them inside the span.",
        [
            ("lengths.short.ns", "text of 10 bytes, at rest, µs", NS, "%.1f", False),
            ("lengths.long.ns", "text of 100 kB, at rest, µs", NS, "%.1f", False),
            ("lengths.short.sending_ns", "text of 10 bytes, while sending, µs", NS, "%.1f", False),
            ("lengths.long.sending_ns", "text of 100 kB, while sending, µs", NS, "%.1f", False),
            ("large.text_1mb.ms", "text of 1 MB, caller, ms", UNIT, "%.2f", False),
            ("large.text_1mb.cpu_ms", "text of 1 MB, processor, ms", UNIT, "%.1f", False),
            ("large.dict_1mb.ms", "messages of 1 MB, caller, ms", UNIT, "%.2f", False),
            ("large.dict_1mb.cpu_ms", "messages of 1 MB, processor, ms", UNIT, "%.1f", False),
            ("large.text_20mb.ms", "text of 20 MB, caller, ms", UNIT, "%.2f", False),
            ("large.text_20mb.cpu_ms", "text of 20 MB, processor, ms", UNIT, "%.0f", False),
            ("image.image.ms", "image of 5 MB, caller, ms", UNIT, "%.2f", False),
            ("image.image.cpu_ms", "image of 5 MB, processor, ms", UNIT, "%.0f", False),
        ],
    ),
    (
        "j. Deep and wide traces: processor time of a span, µs",
        "100 traces of depth 10 beside one of 1,000; 100 spans with 100 children beside one with 10,000. They take "
        "turns; a ratio is the median of those of neighbours.",
        [
            ("shapes.depth_10.us", "depth 10", UNIT, "%.2f", False),
            ("shapes.depth_1000.us", "depth 1,000", UNIT, "%.2f", False),
            ("shapes.depth.ratio", "depth 1,000 to depth 10", UNIT, "%.2f", None),
            ("shapes.fan_100.us", "100 children", UNIT, "%.2f", False),
            ("shapes.fan_10000.us", "10,000 children", UNIT, "%.2f", False),
            ("shapes.fan.ratio", "10,000 to 100 children", UNIT, "%.2f", None),
        ],
    ),
    (
        "k. Threads: 3,000 typical spans by all of them, µs a span",
        "The processor time is that of the threads, the clock runs from the first span to the last. Ratios as in j. "
        "Python gives a thread 5 ms before another has its turn, so that of 16 threads with 187 spans each few are "
        "under way at a time. With turns of 0.5 ms the last ratio was 1.3 in one run for cozeloop_lite, 2.5 for "
        "cozeloop and 1.5 for opentelemetry.",
        [
            ("threads.%d.%s" % (count, unit), "%d at once, %s" % (count, label), UNIT, "%.1f", False)
            for count in (1, 4, 16)
            for unit, label in (("us", "clock"), ("cpu_us", "processor time"))
        ]
        + [
            ("threads.%d.%s_ratio" % (count, unit), "%d at once to one, %s" % (count, label), UNIT, "%.2f", None)
            for count in (4, 16)
            for unit, label in (("us", "clock"), ("cpu_us", "processor time"))
        ],
    ),
    (
        "l. Size on the disk, without byte code",
        "",
        [
            ("size.own_bytes", "the package, KB", KB, "%.0f", False),
            ("size.all_bytes", "with all that comes with it, KB", KB, "%.0f", False),
            ("size.packages", "packages in all", UNIT, "%.0f", None),
        ],
    ),
]


def document(
    about: dict[str, object], rounds: dict[str, dict[str, list[float]]], notes: list[str], full: bool = False
) -> str:
    """The whole of ``RESULTS.md``; ``full``: every case was to be measured."""
    figures = Figures(rounds)
    parts = [_head(about), _targets(figures, full)]
    for heading, text, rows in SECTIONS:
        table = _table(figures, rows)
        if table:
            parts.append("## %s\n\n%s%s" % (heading, text + "\n\n" if text else "", table))
    parts.append("## What did not go as it should\n\n%s" % ("\n".join("- " + note for note in notes) or _ALL_WELL))
    return "\n\n".join(parts) + "\n"


_ALL_WELL = (
    "Nothing: every span and file of every client arrived, once, where the server answers, and every case ended."
)

_HEAD = """# Results

Written by `make bench`; not to be edited. Each figure is the median of all times, with the least and the most; a
ratio says how many times better cozeloop_lite is, below 1 that it is worse. What counts are the ratios within one run:
all clients run in turns. Nothing is pinned to a processor.

- {date}, commit {commit}, {rounds} rounds in {minutes:.0f} minutes
- {cpu}; {system}
- {python}; load average {load} before, {load_after} after
{versions}

To do it again: `make bench`, on a machine that has nothing else to do. `python -m benchmarks --quick` is a short form,
`--only a,b` measures a part, `--with langfuse` takes a further client along."""


def _head(about: dict[str, object]) -> str:
    versions = [
        "- `%s`: %s" % (library, ", ".join("%s %s" % pair for pair in packages.items()))
        for library, packages in about["versions"].items()  # type: ignore[attr-defined]
    ]
    return _HEAD.format(**dict(about, versions="\n".join(versions)))


def _targets(figures: Figures, full: bool) -> str:
    lines = ["## Targets", "", "| | target | figure | |", "|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s |" % row for row in judged(figures, full)]
    return "\n".join(lines)


def _table(figures: Figures, rows: list[tuple[str, str, float, str, object]]) -> str:
    columns = [name for name in COLUMNS if any(figures.values(name, row[0]) for row in rows)]
    if not columns:
        return ""
    rivals = [name for name in RIVALS if name in columns and LITE in columns]
    compared = any(row[4] is not None for row in rows)
    heads = ["", *columns, *(["× " + name for name in rivals] if compared else [])]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for key, label, factor, form, more_is_better in rows:
        cells = [label, *(_cell([value * factor for value in figures.values(name, key)], form) for name in columns)]
        if compared:
            cells += [_ratio(figures, name, key, more_is_better) for name in rivals]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], form: str) -> str:
    if not values:
        return ""
    shown, least, most = form % median(values), form % min(values), form % max(values)
    return shown if least == most else "%s (%s–%s)" % (shown, least, most)


def _ratio(figures: Figures, rival: str, key: str, more_is_better: object) -> str:
    if more_is_better is None or not figures.values(rival, key) or not figures.values(LITE, key):
        return ""
    lite, other = figures.median(LITE, key), figures.median(rival, key)
    if not lite or not other:
        return ""
    return "%.1f" % (lite / other if more_is_better else other / lite)
