"""The rounds become figures, and the figures a table."""

from __future__ import annotations

from statistics import median

# key in a round, what it says, unit, format, whether more is better
ROWS = [
    ("span.ns", "start + finish", "µs", 1e-3, "%.2f", False),
    ("span.least_ns", "  the same, best burst", "µs", 1e-3, "%.2f", False),
    ("span.alone_ns", "  the first after a pause", "µs", 1e-3, "%.1f", False),
    ("full_span.ns", "… with input, output, 3 tags, tokens", "µs", 1e-3, "%.2f", False),
    ("full_span.least_ns", "  the same, best burst", "µs", 1e-3, "%.2f", False),
    ("full_span.alone_ns", "  the first after a pause", "µs", 1e-3, "%.1f", False),
    ("import_ms", "import", "ms", 1, "%.1f", False),
    ("import_modules", "  modules loaded by it", "", 1, "%.0f", False),
    ("finished_ms", "import to the first finished span", "ms", 1, "%.1f", False),
    ("finished_modules", "  modules loaded by then", "", 1, "%.0f", False),
    ("delivered_ms", "import to the first delivered span", "ms", 1, "%.1f", False),
    ("modules", "  modules loaded by then", "", 1, "%.0f", False),
    ("delivery.cpu_us", "processor time a delivered span", "µs", 1, "%.1f", False),
    ("delivery.per_second", "delivered spans a second", "/s", 1, "%.0f", True),
    ("delivery.bytes", "bytes on the wire a span", "B", 1, "%.0f", False),
]


def summary(rounds: dict[str, dict[str, list[float]]]) -> list[dict[str, object]]:
    """Median and spread of each row for each library, and how many times better lite is."""
    rows = []
    for key, label, unit, factor, form, more_is_better in ROWS:
        row: dict[str, object] = {"key": key, "label": label, "unit": unit, "format": form}
        for library, figures in rounds.items():
            values = [value * factor for value in figures.get(key, ())]
            if values:
                row[library] = {"median": median(values), "least": min(values), "most": max(values), "n": len(values)}
        if "lite" in row and "official" in row:
            lite, official = row["lite"]["median"], row["official"]["median"]  # type: ignore[index]
            row["ratio"] = lite / official if more_is_better else official / lite
            rows.append(row)
    return rows


def table(environment: dict[str, object], rows: list[dict[str, object]], notes: list[str]) -> str:
    """What ``python -m benchmarks`` prints."""
    versions = environment["versions"]
    lines = [
        "cozeloop_lite %s beside cozeloop %s" % (versions["cozeloop_lite"], versions["cozeloop"]),
        "%(date)s · %(python)s · %(cpu)s, %(cores)s cores, load %(load).1f · %(system)s" % environment,
        "httpx %(httpx)s, pydantic %(pydantic)s, urllib3 %(urllib3)s" % versions,
        "",
        _line("median (least to most of the rounds)", "", "lite", "official", "lite better by", "bare object"),
        _line("-" * 40, "-" * 2, "-" * 24, "-" * 24, "-" * 14, "-" * 11),
    ]
    for row in rows:
        bare = row.get("bare")
        lines.append(
            _line(
                row["label"],
                row["unit"],
                _figure(row["lite"], row["format"]),
                _figure(row["official"], row["format"]),
                "%.1f ×" % row["ratio"],
                row["format"] % bare["median"] if bare else "",
            )
        )
    return "\n".join(lines + ([""] if notes else []) + notes)


def _figure(figure, form):
    median_text, least, most = form % figure["median"], form % figure["least"], form % figure["most"]
    return median_text if least == most else "%s (%s to %s)" % (median_text, least, most)


def _line(label, unit, lite, official, ratio, bare):
    return ("%-40s %-2s %24s %24s %14s %11s" % (label, unit, lite, official, ratio, bare)).rstrip()
