"""The benchmarks measure what they say: each case does its work, all of which arrives, and the report adds up."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import pytest

from benchmarks import environment, report, targets, wire
from benchmarks.__main__ import PLAN
from benchmarks.cases import CASES, shapes, startup
from benchmarks.figures import Figures
from benchmarks.sink import Sink
from benchmarks.worker import Setup

TINY = 0.003
HERE = dict(os.environ, PYTHONPATH=environment.ROOT)


@pytest.fixture(scope="module")
def server():
    with Sink(env=HERE) as server:
        yield server


def run(server, library, case):
    server.account()
    result = CASES[case](Setup(library, server.urls, TINY))
    return result, server.account()


@pytest.mark.parametrize("case", [case for case in CASES if case != "size"])
def test_each_case_runs_and_all_its_spans_arrive(server, case):
    result, came = run(server, "cozeloop_lite", case)
    if "spans" in result:
        assert came["spans"] == came["distinct"] == result.pop("spans") > 0
        assert came["files"] == result.pop("files", 0)
    assert result
    assert all(value >= 0 for value in result.values())


@pytest.mark.parametrize("case", [case for _, case, bare, _ in PLAN if bare])
def test_the_bare_object_does_the_same_work(server, case):
    result, came = run(server, "bare", case)
    assert result.pop("spans") > 0
    assert came["spans"] == 0
    assert all(value > 0 for value in result.values())


def test_the_plan_has_every_case():
    assert {case for _, case, _, _ in PLAN} == set(CASES)


def test_every_figure_of_a_case_is_in_the_report(server):
    shown = {row[0] for _, _, rows in report.SECTIONS for row in rows}
    hidden = {"typical.text.alone_ns"}
    hidden |= {"content.%s.%s" % (kind, key) for kind in ("text", "messages") for key in ("least_ns", "alone_ns")}
    for case in ("bare", "content", "typical", "exporting", "delivery", "prompts", "shapes", "threads"):
        result, _ = run(server, "cozeloop_lite", case)
        result.pop("spans", None)
        assert {"%s.%s" % (case, key) for key in result} - shown <= hidden


def test_a_whole_program_reports_one_span(server):
    server.account()
    code = startup.whole_code("cozeloop_lite", server.urls["sink"])
    subprocess.run([sys.executable, "-c", code], env=HERE, check=True, timeout=30)
    assert server.account()["spans"] == 1


def test_a_program_says_what_its_first_span_took(server):
    code = startup.first_span_code("cozeloop_lite", server.urls["sink"])
    done = subprocess.run([sys.executable, "-c", code], env=HERE, check=True, timeout=30, stdout=subprocess.PIPE)
    assert b'"ms"' in done.stdout


def test_what_is_compared_takes_turns_and_its_ratio_is_that_of_neighbours():
    order = []
    ones, others = shapes._in_turns([lambda: order.append("a") or len(order), lambda: order.append("b") or 9], 2)
    assert "".join(order) == "baabbaab"
    assert (ones, others) == ([6, 7], [9, 9])  # the first turns are to warm up
    assert shapes._ratio([2.0, 4.0, 90.0], [1.0, 2.0, 3.0]) == 2.0


@pytest.mark.skipif(sys.version_info < (3, 8), reason="there is no importlib.metadata")
def test_the_package_itself_is_counted_without_what_the_installer_has_of_it(tmp_path):
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").write_bytes(b"x" * 30)
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "RECORD").write_text("thing/__init__.py,,\nthing-1.0.dist-info/METADATA,,\n")
    env = dict(HERE, PYTHONPATH=os.pathsep.join([environment.ROOT, str(tmp_path)]))
    command = [sys.executable, "-m", "benchmarks.worker", "thing", "size", '{"urls": {}}']
    done = subprocess.run(command, env=env, check=True, timeout=60, stdout=subprocess.PIPE)
    assert b'"own_bytes": 30,' in done.stdout


# -- what the sink is told --------------------------------------------------------------------------------------------


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def test_spans_are_found_in_otlp():
    ids = field(1, b"t" * 16) + field(2, b"s" * 8)
    varint, fixed64, fixed32 = b"\x30\x96\x01", b"\x39" + b"\0" * 8, b"\x85\x01" + b"1234"  # fields 6, 7 and 16
    span = ids + varint + fixed64 + fixed32
    scope = field(1, b"scope") + field(2, span) + field(2, ids)
    body = field(1, field(1, b"resource") + field(2, scope))
    for sent in (body, gzip.compress(body)):
        came = wire.account([("/v1/traces", sent)])
        assert (came["spans"], came["distinct"], came["requests"]) == (2, 1, 1)


def test_spans_are_found_in_json_and_files_beside_them():
    spans = b'{"spans":[{"trace_id":"1","span_id":"2"},{"trace_id":"1","span_id":"3"}]}'
    came = wire.account([("/v1/loop/traces/ingest", spans), ("/v1/loop/files/upload", b"file")])
    assert came == {"requests": 1, "bytes": len(spans), "spans": 2, "distinct": 2, "files": 1, "file_bytes": 4}


# -- the report -------------------------------------------------------------------------------------------------------


def rounds(lite_ns, bare_ns):
    return {"cozeloop_lite": {"bare.ns": lite_ns}, "cozeloop": {"bare.ns": [9000.0]}, "bare": {"bare.ns": bare_ns}}


def test_a_target_is_met_or_not_by_the_medians():
    met = targets.judged(Figures(rounds([3000.0, 3000.0, 99_000.0], [1500.0])))
    assert met == [("a", "at most 2 times the bare object", "2.00 ×", "met")]
    missed = targets.judged(Figures(rounds([3001.0], [1500.0])))
    assert missed[0][3] == "**not met**"


def test_the_report_has_medians_spreads_ratios_and_notes():
    about = {
        "date": "D", "commit": "C", "rounds": 3, "minutes": 1.0, "cpu": "P", "system": "S", "python": "Y", "load": "1",
        "load_after": "2", "versions": {"cozeloop_lite": {"urllib3": "2.0"}},
    }  # fmt: skip
    text = report.document(about, rounds([3000.0, 2000.0, 4000.0], [1500.0]), ["something was lost"])
    assert "| a span | 3.00 (2.00–4.00) | 9.00 | 1.50 | 3.0 |" in text
    assert "`cozeloop_lite`: urllib3 2.0" in text
    assert "- something was lost" in text
    assert "## h." not in text


def test_no_environment_is_configured(monkeypatch):
    monkeypatch.setenv("COZELOOP_API_TOKEN", "t")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert not {"COZELOOP_API_TOKEN", "HTTPS_PROXY", "OTEL_TRACES_SAMPLER"} & set(environment.variables())
