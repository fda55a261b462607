"""The short programs in ``examples``: each runs as people start it, and what it says it does is what arrives."""

from __future__ import annotations

import base64
import difflib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cozeloop_lite.local import StandInServer

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "examples" / "trace"
PROMPTS = ROOT / "examples" / "prompts"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
PROMPT_PROGRAMS = sorted(path.stem for path in (ROOT / "examples" / "prompt").glob("*.py") if path.stem != "__init__")
BAGGAGE = {"user_id": "uid-123", "message_id": "msg-123", "thread_id": "thread-123"}


def run_example(name, package="trace", *arguments, **settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    nowhere = "http://127.0.0.1:9"  # whoever asked a proxy for the way to this machine would fail
    return subprocess.run(
        [sys.executable, "-m", "examples.%s.%s" % (package, name), *arguments],
        cwd=str(ROOT),
        env={**plain, "http_proxy": nowhere, "HTTP_PROXY": nowhere, "PYTHONIOENCODING": "utf-8", **settings},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


class Arrived:
    """What a program printed, and what it sent."""

    def __init__(self, output, spans, files):
        self.output = output
        self.spans = sorted(spans, key=lambda span: span["started_at_micros"])
        self.files = files

    def span(self, name):
        (found,) = [span for span in self.spans if span["span_name"] == name]
        return found

    def tree(self):
        """(name, type, name of the parent) of each span, in the order of their start."""
        names = {span["span_id"]: span["span_name"] for span in self.spans}
        return [(span["span_name"], span["span_type"], names.get(span["parent_id"])) for span in self.spans]

    def file(self, key):
        return self.files["7/" + key]


_arrived = {}


def arrived(name, package="trace", refused=None):
    if name not in _arrived:
        with StandInServer(token="right", workspace_id="7", prompts=str(PROMPTS)) as server:
            settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right"}
            result = run_example(name, package, COZELOOP_API_BASE_URL=server.url, **settings)
            assert (result.returncode, result.stderr) == (0, "")
            assert server.store.warnings() == []
            assert server.store.stats()["refused"] == (refused or {})
            _arrived[name] = Arrived(result.stdout, server.store.spans(), server.store.files())
    return _arrived[name]


def tags(span):
    return {**span["tags_string"], **span["tags_long"], **span["tags_double"], **span["tags_bool"]}


def parts_of(text, *path):
    for step in path:
        text = (json.loads(text) if isinstance(text, str) else text)[step]
    return text


# -- all of them ------------------------------------------------------------------------------------------------------


def test_there_is_one_for_each_row_of_the_quick_start_and_the_readme_lists_them():
    rows = ["index", "root", "basic", "llm", "large_text", "multi_modality", "transfer_between_services"]
    assert sorted(rows) == PROGRAMS
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `trace/(\w+)\.py`", readme, flags=re.M) == rows


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_prints_the_id_of_the_one_trace_that_arrived(name):
    found = arrived(name)
    assert re.findall(r"^trace ([0-9a-f]{32})$", found.output, flags=re.M) == [found.spans[0]["trace_id"]]
    assert len({span["trace_id"] for span in found.spans}) == 1


NEEDING_SETTINGS = [("trace", name) for name in PROGRAMS] + [("prompt", name) for name in PROMPT_PROGRAMS]
NEEDING_SETTINGS.append(("feedback", "feedback"))
NEEDING_SETTINGS.append(("cron", "nightly"))
OTHERS = [("api", "api_client"), ("feedback", "feedback"), ("auth", "oauth_jwt"), ("serverless", "lambda_handler")]
OTHERS += [("legacy", "before"), ("legacy", "after"), ("vendored", "into_a_project"), ("cron", "nightly")]


@pytest.mark.parametrize("package, name", sorted({*NEEDING_SETTINGS, *OTHERS}))
def test_it_is_short_and_can_be_copied_alone(package, name):
    text = (ROOT / "examples" / package / (name + ".py")).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert not re.search(r"^\s*(from|import) +(\.|examples)", text, flags=re.M)


@pytest.mark.parametrize("package, name", NEEDING_SETTINGS)
def test_without_settings_it_names_the_missing_one(package, name):
    result = run_example(name, package)
    assert result.returncode == 1
    assert "COZELOOP_WORKSPACE_ID" in result.stderr.splitlines()[-1]


# -- one by one -------------------------------------------------------------------------------------------------------


def test_index_uses_the_client_that_was_built_first():
    found = arrived("index")
    assert found.tree() == [("answer", "agent", None)]
    assert found.span("answer")["output"] == "You asked: What is a span?"
    assert found.output.endswith("\ndelivered\n")


def test_root_hands_its_ids_down_to_every_span():
    found = arrived("root")
    assert found.tree() == [
        ("TestRootSpan", "RootSpanType", None),
        ("search", "retriever", "TestRootSpan"),
        ("write", "custom", "TestRootSpan"),
    ]
    assert [tags(span) for span in found.spans] == [{**BAGGAGE, "custom_id": "custom-123"}] * 3
    root = found.span("TestRootSpan")
    assert (root["input"], root["output"]) == ("What is a span?", "A span is a timed step.")


def test_basic_nests_spans_made_in_three_ways():
    assert arrived("basic").tree() == [
        ("TestCustomParentSpan", "MyCustomType", None),
        ("do_something", "MyCustomType", "TestCustomParentSpan"),
        ("weather", "tool", "TestCustomParentSpan"),
        ("TestCustomChildSpan", "MyCustomType", "TestCustomParentSpan"),
        ("do_something", "MyCustomType", "TestCustomChildSpan"),
    ]


def test_basic_records_input_output_tags_and_errors():
    found = arrived("basic")
    parent, first, weather, child, second = found.spans
    assert (parent["input"], parent["output"]) == ("xxx", "3 km")
    assert (json.loads(first["input"]), first["output"]) == ({"number": 3, "unit": "km"}, "3 km")
    assert (json.loads(second["input"]), second["output"]) == ({"number": 4, "unit": "m"}, "4 m")
    assert tags(child) == {"custom-tag": "xxx", "attempt": 2, "seconds": 0.25, "cached": False, "ids": "[1,2]"}
    assert tags(first) == {"custom-tag": "xxx"}
    assert (parent["status_code"], tags(parent)["error"]) == (-1, "custom error message")
    assert (weather["status_code"], tags(weather)["error"]) == (-1, "no such city: Atlantis")
    assert [span["status_code"] for span in (first, child, second)] == [0, 0, 0]


def test_llm_sends_messages_tools_and_choices_of_dataclasses():
    span = arrived("llm").span("TestModelSpan")
    assert json.loads(span["input"]) == {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "test-tool",
                    "description": "tool-description",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        "tool_choice": {"type": "auto", "function": {"name": "test-tool"}},
    }
    (choice,) = json.loads(span["output"])["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello!"}


def test_llm_sends_what_the_platform_shows_of_a_model_call():
    found = arrived("llm")
    assert found.tree() == [
        ("conversation", "custom", None),
        ("TestModelSpan", "model", "conversation"),
        ("streamed", "model", "conversation"),
    ]
    for span in found.spans[1:]:
        assert tags(span)["model_name"] == "custom-model"
        assert [tags(span)[name] for name in ("input_tokens", "output_tokens", "tokens")] == [100, 200, 300]
        assert 0 <= tags(span)["latency_first_resp"] <= time.time_ns() // 1000 - span["started_at_micros"]
    span = found.span("TestModelSpan")
    assert tags(span)["model_provider"] == "cozeloop"
    assert json.loads(tags(span)["call_options"]) == {"temperature": 0.5, "max_tokens": 1000}


def test_llm_joins_the_pieces_of_a_stream():
    found = arrived("llm")
    span = found.span("streamed")
    assert json.loads(span["input"]) == {"messages": [{"role": "user", "content": "hi"}]}
    assert parts_of(span["output"], "choices", 0, "message") == {"role": "assistant", "content": "Hello!"}
    assert "\nHello!\n" in found.output


def test_large_text_goes_up_as_a_file_and_the_span_keeps_its_beginning():
    found = arrived("large_text")
    span = found.span("TestLargeTextSpan")
    (key,) = found.files
    assert json.loads(span["object_storage"]) == {"input_tos_key": key[len("7/") :]}
    whole = found.files[key].decode("utf-8")
    assert json.loads(whole) == {"messages": [{"role": "user", "content": "x" * (2 * 1024 * 1024)}]}
    assert span["input"] == whole[:1000]
    assert span["output"] == "many x"
    assert "cut_off" not in span["system_tags_string"]


def test_multi_modality_uploads_what_is_no_link_and_puts_the_keys_in_its_place():
    found = arrived("multi_modality")
    span = found.span("TestMultiModalitySpan")
    text, image, note, data, link = parts_of(span["input"], "messages", 0, "parts")
    assert text == {"type": "text", "text": "What do you see?"}
    assert found.file(image["image_url"]["url"])[:8] == b"\x89PNG\r\n\x1a\n"
    assert found.file(note["file_url"]["url"]).decode("utf-8") == "A note: 你好"
    assert found.file(data["file_url"]["url"]) == b"just bytes"
    assert [part["file_url"]["name"] for part in (note, data)] == ["note.txt", "bytes.txt"]
    assert link == {"type": "image_url", "image_url": {"url": "https://www.coze.cn/favicon.ico"}}
    words, drawn = parts_of(span["output"], "choices", 0, "message", "content")
    assert words["text"] == "A pixel, like this:"
    assert found.file(drawn["image_url"]["url"]) == found.file(image["image_url"]["url"])


def test_multi_modality_lists_its_files_in_the_span():
    found = arrived("multi_modality")
    attachments = json.loads(found.spans[0]["object_storage"])["Attachments"]
    assert sorted("7/" + attachment["tos_key"] for attachment in attachments) == sorted(found.files)
    listed = {(attachment["field"], attachment["type"], attachment["name"]) for attachment in attachments}
    assert listed >= {("input", "image", "pixel.png"), ("input", "file", "note.txt"), ("input", "file", "bytes.txt")}
    sent = found.spans[0]["input"] + found.spans[0]["output"]
    assert "base64" not in sent
    assert base64.b64encode(b"just bytes").decode("ascii") not in sent


def test_transfer_makes_one_trace_of_two_services_with_either_family_of_headers():
    found = arrived("transfer_between_services")
    kind = "TransferBetweenServicesType"
    assert found.tree() == [("ParentSpan", kind, None)] + [("ChildSpan", kind, "ParentSpan")] * 3
    assert [span["input"] for span in found.spans[1:]] == ["both", "CozeLoop", "W3C"]
    assert [tags(span) for span in found.spans] == [BAGGAGE] * 4


# -- prompts ----------------------------------------------------------------------------------------------------------


def lines_of(name, **options):
    return arrived(name, "prompt", **options).output.splitlines()


def test_there_is_one_for_each_prompt_row_of_the_quick_start_and_two_more_and_the_readme_lists_them():
    rows = ["hub", "with_jinja", "with_multi_part", "with_label", "ptaas"]
    assert sorted(rows) == PROMPT_PROGRAMS
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `prompt/(\w+)\.py`", readme, flags=re.M) == rows


def test_the_readme_lists_the_sample_prompts():
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+\.json)`", readme, flags=re.M)
    assert sorted(listed) == sorted(path.name for path in PROMPTS.iterdir())


def test_hub_gets_a_version_and_the_latest_and_formats_both():
    system = "system: You are a guide in Shanghai. Answer in one sentence."
    question = "user: Where is the best view?"
    first = [system, question]
    latest = ["version 0.0.2", system, "user: Hello!", "assistant: Hello. Ask me.", question]
    own = [line.replace("Shanghai", "Beijing").replace("the best view", "it quiet") for line in first]
    assert lines_of("hub")[1:] == first + latest + own


def test_hub_records_what_was_got_and_formatted():
    found = arrived("hub", "prompt")
    pair = [("PromptHub", "prompt_hub", "answer"), ("PromptTemplate", "prompt", "answer")]
    assert sorted(found.tree()[1:]) == sorted(pair * 3)
    assert found.tree()[0] == ("answer", "custom", None)
    assert found.output.startswith("trace %s\n" % found.spans[0]["trace_id"])
    formatted = [span for span in found.spans if span["span_name"] == "PromptTemplate"]
    assert [tags(span)["prompt_version"] for span in formatted] == ["0.0.1", "0.0.2", "0.0.1"]
    assert [message["content"] for message in json.loads(formatted[1]["output"])["prompts"]][1:3] == [
        "Hello!",
        "Hello. Ask me.",
    ]


def test_with_jinja_renders_conditions_loops_and_filters():
    assert lines_of("with_jinja") == [
        "system: You plan 2 days in Shanghai. There are children.",
        "user: 1. Shanghai Museum (closed on Monday)",
        "2. Yu Garden",
        "You plan 1 day in Beijing.",
        "type of variable 'days' should be integer, not str",
    ]


def test_with_multi_part_puts_images_in_their_place():
    assert lines_of("with_multi_part") == [
        "system: You describe pictures in English.",
        "user: ",
        "  text: Here they are, taken in Shanghai:",
        "  image_url: https://www.coze.cn/favicon.ico",
        "  text: and, much smaller,",
        "  base64_data: data:image/png;base64,iVBORw0KGgoAAAANSU",
        "  text: What do you see?",
        "2 parts without pictures",
    ]


def test_with_label_follows_the_labels():
    *lines, problem, fallback = lines_of("with_label", refused={"600501007": 1})
    assert lines == [
        "production is version 0.0.1",
        "beta is version 0.0.2",
        "0.0.1 is version 0.0.1, whatever the label",
    ]
    assert problem.startswith("not found: ")
    assert "600501007" in problem
    assert fallback == "in use: version 0.0.1"


def test_ptaas_gets_the_answer_whole_and_in_pieces():
    assert lines_of("ptaas")[1:] == [
        "answer: Walk along the Bund at dusk, when the lights come on.",
        "ended by stop, 19 tokens in",
        "stream: And| at| {{night}}?|",
    ]
    found = arrived("ptaas", "prompt")
    assert found.tree() == [
        ("answer", "custom", None),
        ("PromptExecute", "prompt_execute", "answer"),
        ("PromptExecute", "prompt_execute_streaming", "answer"),
    ]


# -- feedback; for api, OAuth and serverless see test_api_client.py, test_oauth_client.py and test_serverless.py -------


def test_there_is_one_for_each_of_the_others_and_the_readme_lists_them():
    files = [path for path in (ROOT / "examples").glob("*/*.py") if path.stem != "__init__"]
    found = {(path.parent.name, path.stem) for path in files if path.parent.name not in ("trace", "prompt", "demo")}
    assert found == set(OTHERS)
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `((?!trace|prompt|demo)\w+)/(\w+)\.py`", readme, flags=re.M) == OTHERS


def test_feedback_is_attached_and_read_back():
    found = arrived("feedback", "feedback")
    assert found.output.splitlines() == [
        "trace " + found.spans[0]["trace_id"],
        "answer (agent)",
        "  helpful = True",
        "    write (model)",
        "      accuracy = 0.9 because: Not every span is timed.",
        "4 tokens in, 6 out",
    ]
    assert found.tree() == [("answer", "agent", None), ("write", "model", "answer")]


# -- programs that are there already ----------------------------------------------------------------------------------

LEGACY_OUTPUT = ["skipped: could not convert string to float: '?'", "Anna spent 4.50.", "Bo spent 24.50."]


def test_the_legacy_script_is_traced_by_five_lines_and_nothing_else_is_changed():
    before, after = [
        (ROOT / "examples" / "legacy" / (name + ".py")).read_text(encoding="utf-8").splitlines()
        for name in ("before", "after")
    ]
    changes = [line for line in difflib.ndiff(before, after) if line[0] != " "]
    assert {line[0] for line in changes} == {"+"}
    code = [line[2:] for line in changes if line[2:].strip() and not line.startswith("+ #")]
    assert len(code) == 5 and code[0] == "import cozeloop_lite"


def test_the_legacy_script_prints_the_same_with_tracing():
    assert run_example("before", "legacy").stdout.splitlines() == LEGACY_OUTPUT
    found = arrived("after", "legacy")
    assert found.output.splitlines() == LEGACY_OUTPUT
    prices = [("price_of", "custom", "report")] * 4
    summaries = [("summarise", "model", "report")] * 2
    assert found.tree() == [("report", "custom", None), ("read_orders", "custom", "report"), *prices, *summaries]
    assert [span["status_code"] for span in found.spans[2:6]] == [0, 0, -1, 0]
    assert json.loads(found.spans[-1]["input"]) == {"customer": "Bo", "total": 24.5}


def test_the_legacy_script_runs_where_nothing_is_configured():
    result = run_example("after", "legacy")
    assert (result.returncode, result.stdout.splitlines()) == (0, LEGACY_OUTPUT)
    (warning,) = result.stderr.splitlines()
    assert "nothing is traced" in warning


def test_a_copy_under_another_name_traces_a_project(tmp_path):
    with StandInServer(token="right", workspace_id="7") as server:
        settings = {"COZELOOP_API_BASE_URL": server.url, "COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right"}
        result = run_example("into_a_project", "vendored", str(tmp_path), **settings)
        assert (result.returncode, result.stderr) == (0, "")
        (span,) = server.store.spans()
    copy = tmp_path / "acme" / "third_party" / "tracing"
    assert result.stdout.splitlines() == [
        "copied to %s" % copy,
        "trace %s" % span["trace_id"],
        "by acme.third_party.tracing.trace.span",
    ]
    assert (span["span_name"], span["input"], span["output"]) == ("report", "How many?", "42")
    assert (copy / "LICENSE").is_file()


@pytest.mark.skipif(os.name == "nt", reason="flock")
def test_what_one_run_of_the_job_cannot_send_the_next_one_does(tmp_path):
    with StandInServer(token="right", workspace_id="7") as server:
        port = int(server.url.rpartition(":")[2])
    settings = {
        "COZELOOP_API_BASE_URL": server.url, "COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right",
        "COZELOOP_SPOOL_DIR": str(tmp_path / "spool"),
    }  # fmt: skip
    first = run_example("nightly", "cron", **settings)
    assert first.returncode == 0
    assert first.stdout.splitlines()[1:] == ["delivered 0, of earlier runs 0, kept for the next run 2"]
    with StandInServer(port=port, token="right", workspace_id="7") as server:
        second = run_example("nightly", "cron", **settings)
        assert (second.returncode, second.stderr) == (0, "")
        assert second.stdout.splitlines()[1:] == ["delivered 2, of earlier runs 2, kept for the next run 0"]
        traces = {span["trace_id"] for span in server.store.spans()}
    assert traces == {run.stdout.split()[1] for run in (first, second)}
    assert list((tmp_path / "spool").iterdir()) == []


# -- the quick start --------------------------------------------------------------------------------------------------

QUICK_START = """
    oauth-jwt api-client hub with-jinja with-multi-part index root basic llm large_text multi_modality
    transfer-between-services
"""


def test_every_row_of_the_quick_start_has_the_example_of_its_name():
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `\w+/(\w+)\.py` \|.*\| `([\w-]+)\.ts` \|$", readme, flags=re.M))
    assert sorted(rows.values()) == sorted(QUICK_START.split())
    assert {name: row for name, row in rows.items() if name != row.replace("-", "_")} == {}
