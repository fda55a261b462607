"""The faults, one row of the table each: what happens when, and what must hold for cozeloop_lite then."""

from __future__ import annotations

from typing import Any, NamedTuple

from .environment import LITE, OFFICIAL, OTEL

ALL = (LITE, OFFICIAL, OTEL)
SHUTDOWN_SECONDS = 5.0  # shutdown_timeout of cozeloop_lite, by default
EXIT_SECONDS = SHUTDOWN_SECONDS + 0.5
SILENT_EXIT_SECONDS = 2.5
REFUSED_EXIT_SECONDS = 1.0
BEGINS, ENDS = 2.25, 7.25  # seconds after the start of the program, when it is not said otherwise
BURST = 200_000  # spans

Step = Any  # (seconds, method of a run, arguments)


class Row(NamedTuple):
    """A fault.

    Attributes:
        name, says: what it is called in the table, and what it is.
        steps: ``(seconds, method of Run, *arguments)``, from the start of the program.
        seconds: how long the program traces.
        options: of the program.
        settings: of cozeloop_lite.
        again: whether a second program follows, with a healthy server.
        loses: whether spans may be lost, all of them counted.
        twice: whether spans may arrive twice.
        exit: seconds that the exit may take.
        alone: whether it takes all cores, and so must not run beside others.
        why: what is to be said of figures that surprise.
    """

    name: str
    says: str
    steps: tuple[Step, ...] = ()
    seconds: float = 10.0
    options: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    libraries: tuple[str, ...] = ALL
    host: str = "127.0.0.1"
    again: bool = False
    loses: bool = False
    twice: bool = False
    exit: float = EXIT_SECONDS
    alone: bool = False
    why: str = ""


def passing(fault: str) -> tuple[Step, ...]:
    return (BEGINS, "behave", fault), (ENDS, "behave", "well")


def lasting(fault: str) -> tuple[Step, ...]:
    return ((BEGINS, "behave", fault),)


def frozen(what: str) -> tuple[Step, ...]:
    return (4.0, "freeze"), (5.0, what), (7.0, "thaw")


def all_rows(outage_seconds: float) -> list[Row]:
    """In the order of the table."""
    outage = ((BEGINS, "behave", "refused"), (BEGINS + outage_seconds, "behave", "well"))
    minutes = ((BEGINS, "behave", "503"), (BEGINS + 2 * outage_seconds, "behave", "well"))
    after = BEGINS + outage_seconds + 6
    return [
        Row("healthy", "for comparison"),
        Row("refused, for 5 s", "nobody listens at the address", passing("refused")),
        Row("refused, to the end", "the same", lasting("refused"), loses=True, exit=REFUSED_EXIT_SECONDS),
        Row(
            "refused, for %g s" % outage_seconds,
            "an outage; 12,000 spans pile up in a minute",
            outage,
            after,
            why="The queues of cozeloop and OpenTelemetry hold 1,024 and 2,048 spans, that of cozeloop_lite 65,536.",
        ),
        Row(
            "the same, with a spool",
            "the queue holds 2,000, the rest goes to spool_dir and comes back",
            outage,
            after,
            settings={"queue": 2000, "spool_dir": True},
            libraries=(LITE,),
        ),
        Row(
            "refused, to the end, with a spool",
            "another program sends what the first one could not",
            lasting("refused"),
            settings={"spool_dir": True},
            libraries=(LITE,),
            again=True,
            exit=REFUSED_EXIT_SECONDS,
        ),
        Row("reset, for 5 s", "RST once the request is read", passing("reset")),
        Row("reset, to the end", "the same", lasting("reset"), loses=True),
        Row(
            "answer lost, for 5 s",
            "the spans are taken, then RST",
            passing("answer lost"),
            twice=True,
            why="Who does not hear the answer sends again: the ids are the same, and the platform shows them once.",
        ),
        Row("silent, for 5 s", "requests are read, never answered", passing("silent")),
        Row("silent, to the end", "the same", lasting("silent"), loses=True, exit=SILENT_EXIT_SECONDS),
        Row(
            "slow, to the end",
            "each answer takes 2 s",
            lasting("slow"),
            loses=True,
            why="More spans arrive the more fit into a request: 100, the platform's limit, or 512 with OpenTelemetry. "
            "The exit of cozeloop_lite ends after shutdown_timeout, 5 s.",
        ),
        Row("a byte a second, for 5 s", "the body of each answer", passing("dripping")),
        Row("a byte a second, to the end", "the same", lasting("dripping"), loses=True),
        Row(
            "slow name resolution",
            "1.5 s for each look-up of a name",
            options=("--dns-seconds", "1.5"),
            host="localhost",
        ),
        Row(
            "no name resolution",
            "each look-up fails after 10 s",
            options=("--dns-seconds", "10", "--dns-fails"),
            host="localhost",
            loses=True,
            exit=SILENT_EXIT_SECONDS,
        ),
        Row("TLS failure, to the end", "the server aborts the handshake", ((0, "behave", "no TLS"),), loses=True),
        Row(
            "HTTP 200 with a web page, for 5 s",
            "as of a hotel's network",
            passing("garbage"),
            loses=True,
            why="cozeloop_lite takes the third such answer for a refusal, so that a wrong address is noticed. "
            "OTLP's answers are not looked at: what the page swallowed is lost unseen.",
        ),
        Row("HTTP 429, for 5 s", "without Retry-After", passing("429")),
        Row("HTTP 429 with Retry-After, for 5 s", "3 s", passing("429 later")),
        Row("HTTP 503, to the end", "", lasting("503"), loses=True),
        Row("HTTP 503, for %g s" % (2 * outage_seconds), "", minutes, BEGINS + 2 * outage_seconds + 6),
        Row(
            "redirect loop, for 5 s",
            "307 to itself",
            passing("redirect"),
            loses=True,
            why="A redirect is a refusal for cozeloop_lite: the address is wrong.",
        ),
        Row(
            "HTTP 413 with 20 MiB, for 5 s",
            "a page of that size, for requests of over 10 spans",
            passing("413"),
        ),
        Row("closed in a freeze", "the process is stopped for 3 s, the server closes", frozen("close_connections")),
        Row(
            "half-open after a freeze",
            "the same, but the connections are dead, unnoticed",
            frozen("forget_connections"),
        ),
        Row(
            "a burst of 200,000, healthy",
            "8 threads, as fast as they can",
            options=("--threads", "8", "--count", str(BURST)),
            loses=True,
            alone=True,
        ),
        Row(
            "a burst of 200,000, silent",
            "the same, nothing is ever answered",
            ((0, "behave", "silent"),),
            options=("--threads", "8", "--count", str(BURST)),
            loses=True,
            exit=SILENT_EXIT_SECONDS,
            alone=True,
        ),
    ]
