"""``python -m examples.demo`` as people start it: what it prints, and what it sends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from cozeloop_lite.local import StandInServer

ROOT = Path(__file__).resolve().parent.parent.parent
WRITTEN = tempfile.TemporaryDirectory(prefix="cozeloop_lite_test_")  # where the demo writes its page; until the end

QUESTION = [  # (name, type) of a span and of its parent, in the order they started
    ("answer", "agent", None),
    ("search", "retriever", "answer"),
    ("call /rerank", "remote", "answer"),
    ("POST /rerank", "function", "call /rerank"),
    ("call /passages", "remote", "POST /rerank"),
    ("POST /passages", "function", "call /passages"),
    ("score", "custom", "POST /rerank"),
    ("chat", "model", "answer"),
]
TOOL_QUESTION = [*QUESTION, ("count_lines", "tool", "answer"), ("chat", "model", "answer")]


def run_demo(*arguments, **settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    nowhere = "http://127.0.0.1:9"  # whoever asked a proxy for the way to this machine would fail
    plain.update(http_proxy=nowhere, HTTP_PROXY=nowhere, PYTHONIOENCODING="utf-8", TMPDIR=WRITTEN.name)
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=str(ROOT),
        env={**plain, **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.fixture(scope="module")
def output():
    result = run_demo()
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.fixture(scope="module")
def sent():
    """The spans of each trace that the demo sends to a platform, in the order of their start."""
    with StandInServer(token="right", workspace_id="7") as server:
        settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right", "COZELOOP_API_BASE_URL": server.url}
        result = run_demo("--send", **settings)
        assert (result.returncode, result.stderr) == (0, "")
        assert server.store.warnings() == []
        assert server.store.stats()["refused"] == {}
        trace_ids = re.findall(r"^  ([0-9a-f]{32})$", result.stdout, flags=re.M)
        assert sorted(trace_ids) == sorted(trace["trace_id"] for trace in server.store.traces())
        return [
            sorted(server.store.spans(trace_id), key=lambda span: span["started_at_micros"]) for trace_id in trace_ids
        ]


def named(spans, name):
    return [span for span in spans if span["span_name"] == name]


def drawn_trees(output):
    """Each tree as the list of (name, type, name of the parent), from top to bottom."""
    trees = []
    for block in re.findall(r"^trace [0-9a-f]{32}.*\n((?:[│├└ ].*\n)+)", output, flags=re.M):
        path, tree = [], []
        for line in block.splitlines():
            branch, name, span_type = re.match(r"([│├└─ ]*)(\S.*?)  (\S+)  ", line).groups()
            depth = len(branch) // 3 - 1
            tree.append((name, span_type, path[depth - 1] if depth else None))
            path[depth:] = [name]
        trees.append(tree)
    return trees


# -- what it prints ---------------------------------------------------------------------------------------------------


def test_it_draws_one_tree_for_each_question(output):
    assert drawn_trees(output) == [QUESTION, QUESTION, TOOL_QUESTION]


def test_the_failed_step_is_drawn_as_an_error_and_nothing_else_is(output):
    failed = [line for line in output.splitlines() if "error -1" in line]
    assert len(failed) == 1
    assert re.search(r"count_lines  tool  .*error -1  there is no file docs/manual.txt", failed[0])


def test_model_spans_are_drawn_with_their_tokens(output):
    models = [line for line in output.splitlines() if "─ chat  model" in line]
    assert len(models) == 4
    assert all(re.search(r"ok  tokens \d+ in, \d+ out", line) for line in models)


def test_everything_finished_was_delivered_and_the_server_objects_to_nothing(output):
    assert re.search(r"^assistant +17 spans finished, 17 delivered, 0 waiting, dropped: none$", output, flags=re.M)
    assert re.search(r"^reranker +9 spans finished, 9 delivered, 0 waiting, dropped: none$", output, flags=re.M)
    assert "26 spans in " in output
    assert "refused requests: 0, dropped spans: 0, warnings: 0" in output
    assert "26 of 26 spans have it" in output


def test_it_says_that_the_model_is_none_and_how_to_send_to_a_platform(output):
    assert "no LLM is called" in output.replace("\n", " ")
    for variable in ("COZELOOP_API_BASE_URL", "COZELOOP_WORKSPACE_ID", "COZELOOP_API_TOKEN"):
        assert "export " + variable in output
    assert "examples.demo --send" in output


def test_where_nobody_looks_it_ends_and_leaves_a_page_of_the_last_trace(output):
    trace_id = re.findall(r"^trace ([0-9a-f]{32})", output, flags=re.M)[-1]
    with urlopen(re.search(r"^  (file://\S+)$", output, flags=re.M).group(1)) as page:
        text = page.read().decode("utf-8")
    assert trace_id in text
    assert "data:image/png;base64," in text


def test_it_fits_a_terminal(output):
    # Not the commands and the file, which begin with paths
    lines = [line for line in output.splitlines() if " -m " not in line and "file://" not in line]
    assert max(map(len, lines)) <= 100


def test_other_questions_can_be_asked():
    result = run_demo("How many lines has LICENSE?")
    assert result.returncode == 0
    assert "The tool says: LICENSE has 21 lines." in result.stdout
    assert drawn_trees(result.stdout) == [TOOL_QUESTION]


# -- what it sends ----------------------------------------------------------------------------------------------------


def test_two_processes_report_to_one_trace(sent):
    for spans in sent:
        names = {span["span_id"]: span["span_name"] for span in spans}
        found = {(span["span_name"], span["span_type"], names.get(span["parent_id"])) for span in spans}
        assert found >= set(QUESTION)
        services = {span["span_name"]: span["service_name"] for span in spans if span["service_name"]}
        assert services == {"answer": "assistant", "POST /rerank": "reranker", "POST /passages": "assistant"}


def test_baggage_reaches_every_span_in_both_processes(sent):
    assert [[span["tags_string"].get("user_id") for span in spans] for spans in sent] == [
        ["user-1"] * 8,
        ["user-1"] * 8,
        ["user-1"] * 10,
    ]


def test_retriever_spans_have_the_form_the_platform_draws(sent):
    for spans in sent:
        (search,) = named(spans, "search")
        assert set(json.loads(search["input"])) == {"query"}
        documents = json.loads(search["output"])["documents"]
        assert [document["index"] for document in documents] == list(range(len(documents))) and documents
        assert all(set(document) == {"id", "index", "content", "score"} for document in documents)


def test_model_spans_have_messages_choices_tokens_and_the_time_to_the_first_token(sent):
    for span in [span for spans in sent for span in named(spans, "chat")]:
        messages = json.loads(span["input"])["messages"]
        assert [message["role"] for message in messages][:2] == ["system", "user"]
        (choice,) = json.loads(span["output"])["choices"]
        assert choice["message"]["content"] or choice["message"]["tool_calls"]
        tags = span["tags_long"]
        assert tags["tokens"] == tags["input_tokens"] + tags["output_tokens"]
        assert 0 <= tags["latency_first_resp"] <= time.time_ns() // 1000 - span["started_at_micros"]
        assert {"model_name", "model_provider", "call_options"} <= set(span["tags_string"])


def test_the_failed_tool_is_an_error_and_the_program_went_on(sent):
    failed = [span for spans in sent for span in spans if span["status_code"] != 0]
    assert [(span["span_name"], span["status_code"], span["tags_string"]["error"]) for span in failed] == [
        ("count_lines", -1, "there is no file docs/manual.txt")
    ]
    assert named(sent[2], "answer")[0]["output"] == "The tool says: there is no file docs/manual.txt."


def test_sending_without_settings_names_the_missing_one():
    result = run_demo("--send")
    assert result.returncode == 2
    assert "COZELOOP_WORKSPACE_ID" in result.stderr
    assert "Traceback" not in result.stderr
