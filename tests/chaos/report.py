"""The results become RESULTS.md."""

from __future__ import annotations

from .environment import LITE, OFFICIAL, OTEL
from .rows import Row
from .runs import WAYS, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

NAMES = {LITE: "**cozeloop_lite**", OFFICIAL: "cozeloop", OTEL: "OpenTelemetry"}
LIBRARIES = (LITE, OFFICIAL, OTEL)

INTRODUCTION = """\
# What becomes of spans when things fail

Written by `make chaos`, which runs every row anew: real processes that trace, a real server in another process that
misbehaves, real signals. cozeloop_lite stands beside the official `cozeloop` and OpenTelemetry's SDK with its OTLP/HTTP
exporter; each is used as its manual says, with its own defaults, and reports to the same server in its own protocol.
A part of it, or an hour of soak: `PYTHONPATH=tests .venv/bin/python -m chaos --help`.

%(date)s · %(python)s · %(cpu)s, %(cores)s cores · %(system)s
load average %(load_before).1f at the beginning, %(load_after).1f at the end; %(jobs)d programs at a time
cozeloop_lite %(cozeloop_lite)s with urllib3 %(urllib3)s · cozeloop %(cozeloop)s · opentelemetry-sdk %(sdk)s, \
OTLP/HTTP exporter %(exporter)s
"""

FAULTS = """\
## Faults

Four threads trace 200 spans a second together (start, set the input, finish), for 10 s where nothing else is said. A
fault begins after 2 s. Then the program returns from its main function.

- **Delivered**: spans the server took, each counted once. **Twice**: those it was sent again after it had taken them.
- **Counted**: what the library's own account says is lost, with the reasons; the two others have none. **Missing**:
  what is left of *made*: lost, and in no account, though a line in the log may speak of it. *Unanswered*, or *in a
  request*: sent, and the program ended before the answer; such spans may have arrived as well.
- **Waited**, **longest call**, **over 5 ms**: of all calls on spans. In brackets a control: after each call the same
  thread spends the same time on nothing but looking at the clock. *Waited* is the longest time within one call in which
  the thread neither had a core nor was ready for one: it waited for the network, a lock, or the interpreter. The rest
  of a long call is the machine's other work, which the control meets as often.
- **Exit**: from the last line of the program to the end of the process. A process that has not ended after 60 s is
  killed.
- **Memory**: the most the process ever had.
"""

FAULT_HEAD = (
    "Fault", "Library", "Made", "Delivered", "Twice", "Counted", "Missing", "Waited, ms", "Longest call, ms",
    "Over 5 ms", "Exit, s", "Memory, MiB",
)  # fmt: skip

ENDINGS = """\
## Ways to end a process

The server is well, nothing is flushed but where the name says so. Delivered of made, and the seconds from the last
line of the program, or the signal, to the end of the process.
"""

FORKS = """\
## Forks

One thread forks, at most 8 children at a time, while 8 others trace, flush and log. Each child traces two spans, logs,
and ends as a program does; every other one flushes before. A child that has not ended after 20 s hangs, and five that
hang are enough.
"""

SOAK = """\
## Soak

%g spans a second for %g s. Memory, threads, file descriptors and sockets are medians of the second fifth of that time,
and of the last.
"""


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| %s |" % " | ".join(line) for line in lines) + "\n"


def faults(rows: list[Row], results: list[Result]) -> str:
    found = {(result.name, result.library): result for result in results}
    lines, notes = [], []
    for row in rows:
        for library in row.libraries:
            if (row.name, library) in found:
                first = library == row.libraries[0]
                name = row.name + (" (%s)" % row.says if row.says else "")
                lines.append([name if first else "", *_fault_cells(found[row.name, library])])
        if row.why and any((row.name, library) in found for library in row.libraries):
            notes.append("- *%s*: %s" % (row.name, row.why))
    return "\n".join([FAULTS, table(FAULT_HEAD, lines), *notes, ""])


def _fault_cells(result: Result) -> list[str]:
    reasons = "; ".join("%s %s" % (reason, _count(count)) for reason, count in sorted(result.reasons.items()))
    counted = "–" if result.counted is None else _count(result.counted) + (" (%s)" % reasons if reasons else "")
    return [
        NAMES[result.library],
        _count(result.made),
        _count(result.delivered),
        _count(result.twice),
        counted,
        _count(result.missing()),
        _beside(result, "longest_sleep", "%.1f"),
        _beside(result, "longest", "%.1f"),
        _beside(result, "over", "%d"),
        _exit(result),
        "%.0f" % result.peak,
    ]


def _beside(result: Result, key: str, form: str) -> str:
    if not result.calls:
        return "?"
    return (form + " (" + form + ")") % (result.calls[key], result.control[key])


def _exit(result: Result) -> str:
    if result.killed:
        return "killed"
    return "?" if result.exit is None else "%.2f" % result.exit


def _count(number: int) -> str:
    return f"{number:,}"


def endings(results: list[Result]) -> str:
    found = {(result.name, result.library): result for result in results}
    lines = []
    for way in WAYS:
        cells = [_ending_cell(found.get((way, library))) for library in LIBRARIES]
        if any(cells):
            lines.append([way, *(cell or "–" for cell in cells)])
    return "\n".join([ENDINGS, table(["Way", *(NAMES[library] for library in LIBRARIES)], lines)])


def _ending_cell(result: Result | None) -> str:
    if result is None:
        return ""
    twice = ", %d twice" % result.twice if result.twice else ""
    return "%d of %d%s, %s s" % (result.delivered, result.made, twice, _exit(result))


def forks(results: list[Result]) -> str:
    head = [
        "Library", "Forks", "Children that hang", "that fail", "Spans made", "Delivered", "Twice", "Equal ids",
        "Malformed requests",
    ]  # fmt: skip
    lines = [
        [
            NAMES[result.library],
            _count(result.more["forked"]),
            result.more["hung"],
            result.more["failed"],
            _count(result.made),
            _count(result.delivered),
            _count(result.twice),
            _count(result.collisions),
            result.malformed,
        ]
        for result in results
    ]
    return "\n".join([FORKS, table(head, lines)])


def soak(results: list[Result], rate: float, seconds: float) -> str:
    head = [
        "Library", "Made", "Delivered", "Memory, MiB", "Threads", "Files", "Sockets", "Waited, ms", "Longest call, ms",
        "Exit, s",
    ]  # fmt: skip
    lines = [
        [
            NAMES[result.library],
            _count(result.made),
            _count(result.delivered),
            *(_trend(result, key, form) for key, form in _TRENDS),
            _beside(result, "longest_sleep", "%.1f"),
            _beside(result, "longest", "%.1f"),
            _exit(result),
        ]
        for result in results
    ]
    return "\n".join([SOAK % (rate, seconds), table(head, lines)])


_TRENDS = [("memory", "%.1f"), ("threads", "%d"), ("files", "%d"), ("sockets", "%d")]


def _trend(result: Result, key: str, form: str) -> str:
    if key not in result.more:
        return "?"
    return " → ".join(form % value for value in result.more[key])


def shortfalls(results: list[Result]) -> str:
    """What cozeloop_lite should do and did not; and what was measured again."""
    lines = ["- *%s*: %s" % (result.name, text) for result in results for text in result.short]
    again = ["*%s* (%d times)" % (result.name, result.attempts) for result in results if result.attempts > 1]
    text = "## Where cozeloop_lite falls short\n\n" + ("\n".join(lines) if lines else "Nowhere, in this run.") + "\n"
    if again:
        text += (
            "\nMeasured again, because a caller seemed to be held, which the machine's other work can feign; the table "
            "has the last measurement: %s.\n" % ", ".join(again)
        )
    return text
