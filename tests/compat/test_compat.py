"""The same program through the official client and through cozeloop_lite sends the same, but for differences.py.

The official client lives in an environment of its own: official.py finds or makes it.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from compat.differences import ABSENT, DIFFERENCES, Difference
from support.recording import RecordingServer

pytestmark = pytest.mark.compat

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SCENARIO = os.path.join(HERE, "scenario.py")
SCENARIO_SECONDS = 60

FIELDS = {
    "started_at_micros",
    "log_id",
    "span_id",
    "parent_id",
    "trace_id",
    "duration_micros",
    "service_name",
    "workspace_id",
    "span_name",
    "span_type",
    "status_code",
    "input",
    "output",
    "object_storage",
    "system_tags_string",
    "system_tags_long",
    "system_tags_double",
    "tags_string",
    "tags_long",
    "tags_double",
    "tags_bool",
}


class Run(NamedTuple):
    """What one library made of the scenario."""

    spans: list[dict[str, Any]]
    observed: dict[str, Any]
    requests: list[tuple[Any, ...]]


class Mismatch(NamedTuple):
    span: str
    field: str
    official: Any
    lite: Any

    def __str__(self) -> str:
        return f"{self.span!r}, {self.field}: official {_shorten(self.official)}, lite {_shorten(self.lite)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return (
        text if len(text) <= 200 else f"{text[:80]}...{text[-80:]} ({type(value).__name__} of {len(text)} characters)"
    )


# --- the two libraries ---------------------------------------------------------------------------------------------


def _environment(*, without: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().startswith(without)}


def run_scenario(python: str, module: str) -> Run:
    environment = _environment(without=("python", "cozeloop_", "x_", "osversion", "http_proxy", "all_proxy"))
    environment.update(PYTHONUTF8="1", PYTHONWARNINGS="ignore")
    if module == "cozeloop_lite":
        environment["PYTHONPATH"] = ROOT
    with RecordingServer() as server:
        process = subprocess.run(
            [python, SCENARIO, module, server.url],
            capture_output=True,
            timeout=SCENARIO_SECONDS,
            env=environment,
        )
        output = process.stdout.decode("utf-8")
        lines = [line for line in output.splitlines() if line.startswith("observed:")]
        if process.returncode != 0 or not lines:
            errors = process.stderr.decode("utf-8", "replace")
            pytest.fail(
                f"the scenario failed with {module} ({process.returncode}):\n{output[-2000:]}\n{errors[-4000:]}",
                pytrace=False,
            )
        requests = [
            (request.method, request.path, request.headers["Authorization"], request.headers["Content-Type"])
            for request in server.requests
        ]
        return Run(server.spans(), json.loads(lines[-1][len("observed:") :]), requests)


@pytest.fixture(scope="session")
def official(official_python: str) -> Run:
    return run_scenario(official_python, "cozeloop")


@pytest.fixture(scope="session")
def lite() -> Run:
    return run_scenario(sys.executable, "cozeloop_lite")


# --- the comparison ------------------------------------------------------------------------------------------------


def normalise(run: Run) -> dict[str, dict[str, Any]]:
    """Spans by name, flat (``tags_string.key``); ids are names of spans, times relative or mere types."""
    names = {span["span_id"]: span["span_name"] for span in run.spans}
    traces: dict[str, str] = {}
    for span in run.spans:
        traces[span["trace_id"]] = min(span["span_name"], traces.get(span["trace_id"], span["span_name"]))
    normal = {}
    for span in copy.deepcopy(run.spans):
        name = span["span_name"]
        started_at = run.observed.get("started_at: " + name)
        if started_at is None:
            span["started_at_micros"] = _kind(span["started_at_micros"])
            span["duration_micros"] = _kind(span["duration_micros"])
        else:  # the scenario chose the times, so they can be compared
            if "start_time_first_resp" in span["tags_long"]:
                span["tags_long"]["start_time_first_resp"] -= span["started_at_micros"]
            span["started_at_micros"] -= started_at
        span["trace_id"] = _id(span["trace_id"], 32, f"the trace of {traces[span['trace_id']]!r}")
        span["span_id"] = _id(span["span_id"], 16, "a span id")
        span["parent_id"] = names.get(span["parent_id"], span["parent_id"])
        runtime = json.loads(span["system_tags_string"]["runtime"])
        runtime["loop_sdk_version"] = _kind(runtime["loop_sdk_version"])
        span["system_tags_string"]["runtime"] = json.dumps(runtime, sort_keys=True)
        normal[name] = _flatten(span)
    return normal


def _kind(value: Any) -> str:
    sign = "negative " if isinstance(value, int) and value < 0 else ""
    return f"some {sign}{type(value).__name__}"


def _id(value: Any, length: int, name: str) -> Any:
    return name if re.fullmatch(f"[0-9a-f]{{{length}}}", value) and int(value, 16) else value


def _flatten(span: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for field, value in span.items():
        if isinstance(value, dict):
            flat[field] = {}  # an empty map is something else than none
            flat.update({f"{field}.{key}": item for key, item in value.items()})
        else:
            flat[field] = value
    return flat


def compare(official: Run, lite: Run) -> list[Mismatch]:
    """Every difference, explained or not; the spans' order of arrival counts for nothing."""
    ours, theirs = normalise(lite), normalise(official)
    ours["(observed)"], theirs["(observed)"] = (
        {name: value for name, value in run.observed.items() if not name.startswith("started_at: ")}
        for run in (lite, official)
    )
    if lite.observed["runtime"] == "no Runtime":  # cozeloop_lite.spec.tracespec is not written yet
        theirs = {name: span for name, span in theirs.items() if not name.startswith("runtime: ")}
        theirs["(observed)"]["runtime"] = "no Runtime"
    found = []
    for name in sorted(set(ours) | set(theirs)):
        if name not in ours or name not in theirs:
            found.append(Mismatch(name, "(the whole span)", theirs.get(name, ABSENT), ours.get(name, ABSENT)))
            continue
        for field in sorted(set(ours[name]) | set(theirs[name])):
            mismatch = Mismatch(name, field, theirs[name].get(field, ABSENT), ours[name].get(field, ABSENT))
            if not _same(mismatch.official, mismatch.lite):
                found.append(mismatch)
    return found


def _same(official: Any, lite: Any) -> bool:
    return type(official) is type(lite) and official == lite


def explanation(mismatch: Mismatch) -> Difference | None:
    return next((difference for difference in DIFFERENCES if difference.explains(*mismatch)), None)


# --- the tests -----------------------------------------------------------------------------------------------------


def test_both_send_the_same_but_for_the_written_differences(official: Run, lite: Run) -> None:
    unexplained = [str(mismatch) for mismatch in compare(official, lite) if explanation(mismatch) is None]
    assert not unexplained, "not explained by differences.py:\n" + "\n".join(unexplained)


def test_every_written_difference_really_occurs(official: Run, lite: Run) -> None:
    used = [explanation(mismatch) for mismatch in compare(official, lite)]
    stale = [difference.reason for difference in DIFFERENCES if difference not in used]
    assert not stale, "explains nothing any more:\n" + "\n".join(stale)


@pytest.mark.parametrize("library", ["official", "lite"])
def test_every_span_arrives_once_with_exactly_the_fields_of_the_wire_format(
    library: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(library)
    names = [span["span_name"] for span in run.spans]
    assert len(names) == len(set(names)) > 100
    for span in run.spans:
        assert set(span) == FIELDS, span["span_name"]


def test_both_ask_for_the_same_path_with_the_same_token_and_content_type(official: Run, lite: Run) -> None:
    assert set(lite.requests) == set(official.requests)


# --- the comparison itself -----------------------------------------------------------------------------------------


def test_two_runs_of_the_official_client_do_not_differ(official_python: str, official: Run) -> None:
    again = run_scenario(official_python, "cozeloop")
    by_chance = {"duration_micros", "system_tags_string.cut_off"}  # rounding; the order of a set
    assert [str(mismatch) for mismatch in compare(official, again) if mismatch.field not in by_chance] == []


@pytest.mark.parametrize(
    ("span", "change", "field"),
    [
        ("tags: scalars", lambda span: span["tags_long"].update({"int": 43}), "tags_long.int"),
        ("tags: scalars", lambda span: span["tags_long"].update({"int": 42.0}), "tags_long.int"),
        ("tags: scalars", lambda span: span["tags_string"].update({"more": ""}), "tags_string.more"),
        ("tags: scalars", lambda span: span["tags_bool"].pop("false"), "tags_bool.false"),
        ("nothing set", lambda span: span.pop("tags_double"), "tags_double"),
        ("nothing set", lambda span: span.update(tags_double=None), "tags_double"),
        ("nothing set", lambda span: span.update(duration_micros=-1), "duration_micros"),
        ("nothing set", lambda span: span.update(span_id="ABCDEF0123456789"), "span_id"),
        ("tree: level 4", lambda span: span.update(parent_id="0"), "parent_id"),
        ("tree: level 4", lambda span: span.update(trace_id="1" * 32), "trace_id"),
        (
            "time: 123456",
            lambda span: span.update(started_at_micros=span["started_at_micros"] + 1),
            "started_at_micros",
        ),
        ("content: str", lambda span: span.update(span_name="another"), "(the whole span)"),
    ],
)
def test_a_seeded_difference_is_found(official: Run, span: str, change: Any, field: str) -> None:
    spans = copy.deepcopy(official.spans)
    (changed,) = [candidate for candidate in spans if candidate["span_name"] == span]
    change(changed)
    found = compare(official, official._replace(spans=spans))
    assert field in [mismatch.field for mismatch in found]
    assert [mismatch for mismatch in found if explanation(mismatch) is None]
