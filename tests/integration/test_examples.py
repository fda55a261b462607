"""``examples/trace``: each program runs as people start it, and what it says it sends is what arrives."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cozeloop_lite.local import StandInServer

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "examples" / "trace"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
BAGGAGE = {"user_id": "uid-123", "message_id": "msg-123", "thread_id": "thread-123"}


def run_example(name, **settings):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    nowhere = "http://127.0.0.1:9"  # whoever asked a proxy for the way to this machine would fail
    return subprocess.run(
        [sys.executable, "-m", "examples.trace." + name],
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


def arrived(name):
    if name not in _arrived:
        with StandInServer(token="right", workspace_id="7") as server:
            settings = {"COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right"}
            result = run_example(name, COZELOOP_API_BASE_URL=server.url, **settings)
            assert (result.returncode, result.stderr) == (0, "")
            assert server.store.warnings() == []
            assert server.store.stats()["refused"] == {}
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


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_short_and_can_be_copied_alone(name):
    text = (FOLDER / (name + ".py")).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert not re.search(r"^\s*(from|import) +(\.|examples)", text, flags=re.M)


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_settings_it_names_the_missing_one(name):
    result = run_example(name)
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
        assert 0 <= tags(span)["latency_first_resp"] <= span["duration_micros"]
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
