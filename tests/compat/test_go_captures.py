"""The scenario of the Go client's captures gives the same spans and files, the listed differences excepted.

The captures belong to the contract, which lies beside the repository; without it these tests are skipped, and say so.
"""

from __future__ import annotations

import base64
import json
import os

import pytest

import cozeloop_lite
from cozeloop_lite.spec.tracespec import (
    ModelCallOption,
    ModelChoice,
    ModelFileURL,
    ModelImageURL,
    ModelInput,
    ModelMessage,
    ModelMessagePart,
    ModelOutput,
)
from support.recording import RecordingServer

CONTRACT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "contract")

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(CONTRACT, "go_wire_normal.txt")),
    reason="the contract with the captures is not beside the repository",
)

# What is different on purpose, beside ids, times, the SDK's name and version:
DIFFERENCES = {
    "cut_off": "a JSON array here, Go's own notation of a slice there",
    "nil": "absence is absence here, an empty tag there",
    "tokens": "reported here; Go stopped reporting it with 0.1.18",
    "latency_first_resp": "reported here; Go stopped reporting it with 0.1.18",
    "long": "cut on the boundary of a character here, inside of one there",
    "input of big": "1000 characters shown of a file here, 334 there; cut on a boundary here",
    "tos_key": "short here, so that ten files have room in object_storage",
    "Attachments": "left out here when there are none",
}


def data_url(kind, content):
    return "data:%s;base64,%s" % (kind, base64.b64encode(content).decode())


def run(ultra):
    """The spans, by name, and the uploaded files, by key, of the scenario behind the captures."""
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "ws1", "tok", ultra_large_report=ultra)
        with client.start_span("root", "custom") as root:
            root.set_baggage({"user name": "a b/c=d,e+f", "k2": "中"})
            with client.start_span("model", "model") as span:
                span.set_input(
                    ModelInput(
                        messages=[
                            ModelMessage(role="system", content="sys"),
                            ModelMessage(
                                role="user",
                                parts=[
                                    ModelMessagePart(type="text", text="hello"),
                                    ModelMessagePart(
                                        type="image_url",
                                        image_url=ModelImageURL(name="pic", url=data_url("image/png", b"hello")),
                                    ),
                                    ModelMessagePart(
                                        type="file_url",
                                        file_url=ModelFileURL(
                                            name="doc.txt", url=data_url("text/plain", b"world"), suffix="txt"
                                        ),
                                    ),
                                    ModelMessagePart(
                                        type="image_url",
                                        image_url=ModelImageURL(name="u", url="https://x.y/z.png"),
                                    ),
                                ],
                            ),
                        ]
                    )
                )
                answer = ModelMessage(role="assistant", content="hi")
                span.set_output(ModelOutput(choices=[ModelChoice(finish_reason="stop", index=0, message=answer)]))
                span.set_model_provider("openai")
                span.set_model_name("gpt")
                span.set_model_call_options(ModelCallOption(temperature=0.5))
                span.set_input_tokens(11)
                span.set_output_tokens(22)
                span.set_start_time_first_resp(int(span.start_time.timestamp() * 1e6) + 239)
                span.set_tags({"s": "x", "i": 1, "f": 1.5, "b": True, "nil": None, "m": {"a": 1}, "long": "中" * 500})
                span.set_error("boom")
                span.set_service_name("svc")
                span.set_log_id("logid1")
                span.set_deployment_env("boe")
                span.set_system_tags({"sb": True, "si": 3, "sf": 1.25})
            with client.start_span("big", "custom") as span:
                span.set_input("中" * 400_000)
                span.set_output(0)
        assert client.close()
        spans = {span["span_name"]: span for span in server.spans()}
        uploads = [request for request in server.requests if request.path == "/v1/loop/files/upload"]
        return spans, [upload_of(request) for request in uploads]


def upload_of(request):
    """The form fields and the file name and content of an upload."""
    boundary = request.headers["content-type"].split("boundary=")[1].encode()
    form = {}
    for part in request.body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
        names = dict(pair.split("=", 1) for pair in head.decode().split("\r\n")[0].split("; ")[1:])
        form[names["name"].strip('"')] = (names.get("filename", "").strip('"'), content)
    assert form["workspace_id"][1] == b"ws1"
    return form["file"]


def captured(name):
    """The spans, by name, and the number of uploads of a capture."""
    spans = {}
    uploads = 0
    with open(os.path.join(CONTRACT, name), encoding="utf-8") as file:
        for line in file:
            if line.startswith('{"started_at'):
                span = json.loads(line)
                spans[span["span_name"]] = span
            uploads += line.startswith("-----/v1/loop/files/upload")
    return spans, uploads


@pytest.fixture(scope="module", params=["normal", "ultra"])
def both(request):
    ours, files = run(ultra=request.param == "ultra")
    theirs, uploads = captured("go_wire_%s.txt" % request.param)
    return request.param, ours, files, theirs, uploads


def test_the_spans_have_the_same_names_keys_and_types(both):
    _, ours, _, theirs, _ = both
    assert set(ours) == set(theirs)
    for name, span in ours.items():
        assert {key: type(value) for key, value in span.items()} == {
            key: type(value) for key, value in theirs[name].items()
        }


def test_the_spans_have_the_same_parents(both):
    _, ours, _, theirs, _ = both
    for spans in (ours, theirs):
        assert spans["root"]["parent_id"] == "0"
        assert {spans["model"]["parent_id"], spans["big"]["parent_id"]} == {spans["root"]["span_id"]}
        assert len({span["trace_id"] for span in spans.values()}) == 1


@pytest.mark.parametrize("name", ["root", "model", "big"])
def test_fields_and_tags_are_the_same(both, name):
    _, ours, _, theirs, _ = both
    for field in ("log_id", "service_name", "workspace_id", "span_type", "status_code", "output"):
        assert ours[name][field] == theirs[name][field]
    for field in ("tags_string", "tags_double", "tags_bool", "tags_long", "system_tags_long", "system_tags_double"):
        left = {key: value for key, value in ours[name][field].items() if key not in DIFFERENCES}
        right = {key: value for key, value in theirs[name][field].items() if key not in DIFFERENCES}
        left.pop("start_time_first_resp", None)
        right.pop("start_time_first_resp", None)
        assert left == right
    assert ours[name]["system_tags_string"].get("sb") == theirs[name]["system_tags_string"].get("sb")
    named = "cut_off" in theirs[name]["system_tags_string"]
    assert ("cut_off" in ours[name]["system_tags_string"]) == (named or (name, both[0]) == ("model", "ultra"))


def test_what_go_no_longer_reports_is_reported(both):
    tags = both[1]["model"]["tags_long"]
    assert tags["tokens"] == 33
    assert tags["latency_first_resp"] == 239
    assert both[1]["model"]["tags_string"]["long"] == "中" * 341


def without_keys(span):
    """The input and the attachments with every key replaced by its number."""
    storage = json.loads(span["object_storage"])
    text = span["input"]
    for number, entry in enumerate(storage["Attachments"]):
        assert entry["tos_key"] in text
        text = text.replace(entry["tos_key"], "key %d" % number)
        entry["tos_key"] = number
    return json.loads(text), storage


def test_the_content_of_a_model_span_is_the_same(both):
    _, ours, _, theirs, _ = both
    assert without_keys(ours["model"]) == without_keys(theirs["model"])


def test_the_files_are_the_same(both):
    kind, ours, files, _, uploads = both
    assert len(files) == uploads
    storage = json.loads(ours["model"]["object_storage"])["Attachments"]
    expected = [(storage[0]["tos_key"], b"hello"), (storage[1]["tos_key"], b"world")]
    if kind == "ultra":
        key = json.loads(ours["big"]["object_storage"])["input_tos_key"]
        expected.append((key, ("中" * 400_000).encode()))
        assert ours["big"]["input"] == "中" * 1000
    else:
        assert ours["big"]["object_storage"] == ""
        assert ours["big"]["input"] == "中" * (1_048_576 // 3)
        assert json.loads(ours["big"]["system_tags_string"]["cut_off"]) == ["input"]
    assert files == expected
