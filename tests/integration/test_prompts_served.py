"""The stand-in server's prompts over real HTTP: mget, execute and execute_streaming as the platform answers them."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import jsonschema
import pytest

from cozeloop_lite.local import StandInServer
from support.stand_in import raw_exchange

ROOT = pathlib.Path(__file__).parents[2]
SCHEMAS = json.loads((ROOT / "tests" / "prompt_schema.json").read_text(encoding="utf-8"))
CONTRACT = ROOT.parent / "shared" / "contract" / "schemas"
EXAMPLES = ROOT / "examples" / "prompts"

MGET = "/v1/loop/prompts/mget"
EXECUTE = "/v1/loop/prompts/execute"
STREAM = "/v1/loop/prompts/execute_streaming"

GREET = {
    "prompt_key": "greet",
    "versions": {
        "0.0.1": {
            "prompt_template": {
                "template_type": "normal",
                "messages": [{"role": "user", "content": "Hi {{name}}"}],
                "variable_defs": [{"key": "name", "desc": "", "type": "string"}],
            },
            "llm_config": {"temperature": 0.7, "max_tokens": 4096, "json_mode": False},
        },
        "0.0.2": {
            "prompt_template": {"template_type": "normal", "messages": [{"role": "placeholder", "content": "history"}]},
            "reply": "Good morning",
        },
    },
    "labels": {"beta": "0.0.1"},
}
EMPTY = {"prompt_key": "empty", "versions": {}}
GO = {
    "prompt_key": "go",
    "version": "1.0.0",
    "prompt_template": {"template_type": "go_template", "messages": [{"role": "user", "content": "x"}]},
}


def valid(answer, name):
    """``answer``, which is what the platform could say, too."""
    jsonschema.Draft7Validator({**SCHEMAS, "$ref": "#/definitions/" + name}).validate(answer)
    contract = CONTRACT / (name + ".json")
    if contract.exists():
        jsonschema.Draft202012Validator(json.loads(contract.read_text(encoding="utf-8"))).validate(answer)
    return answer


class Client:
    """Requests to a server, each on a connection of its own."""

    def __init__(self, server):
        self.port = server.port

    def request(self, method, path, body=b"", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        try:
            return response, response.read()
        finally:
            connection.close()

    def post(self, path, document, **headers):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        usual = {"Content_Type": "application/json", "Authorization": "Bearer t"}
        return self.request("POST", path, body, **{**usual, **headers})

    def mget(self, *queries, workspace_id="7", **headers):
        response, body = self.post(MGET, {"workspace_id": workspace_id, "queries": list(queries)}, **headers)
        assert response.status == 200
        return valid(json.loads(body), "mget_response")

    def execute(self, prompt_key="greet", workspace_id="7", **more):
        request = {"workspace_id": workspace_id, "prompt_identifier": {"prompt_key": prompt_key}, **more}
        response, body = self.post(EXECUTE, request)
        assert response.status == 200
        return valid(json.loads(body), "execute_response")

    def stream(self, prompt_key="greet", workspace_id="7", **more):
        """The events of a stream as (name, data)."""
        request = {"workspace_id": workspace_id, "prompt_identifier": {"prompt_key": prompt_key}, **more}
        response, body = self.post(STREAM, request)
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        return [(event["event"], event["data"]) for event in map(parsed, body.decode("utf-8").split("\n\n")[:-1])]


def parsed(event):
    head, data = event.split("\n")
    assert head.startswith("event:")
    assert data.startswith("data:{")
    return valid({"event": head[6:], "data": json.loads(data[5:])}, "execute_stream_event")


@pytest.fixture
def lines():
    return []


@pytest.fixture
def server(lines):
    with StandInServer(log=lines.append) as server:
        for document in (GREET, EMPTY, GO):
            server.prompts.put(document)
        yield server


@pytest.fixture
def client(server):
    return Client(server)


# --- mget, contract backend.md 5 --------------------------------------------------------------------------------------


def test_a_prompt_is_answered_as_the_platform_does(client):
    answer = client.mget({"prompt_key": "greet", "label": "beta"})

    fields = GREET["versions"]["0.0.1"]
    prompt = {
        "workspace_id": "7",
        "prompt_key": "greet",
        "version": "0.0.1",
        "prompt_template": {**fields["prompt_template"], "metadata": {}},
        "llm_config": {**fields["llm_config"], "id": None},
        "id": None,
        "created_at": None,
        "updated_at": None,
    }
    item = {"query": {"prompt_key": "greet", "label": "beta"}, "prompt": prompt}
    assert answer == {"code": 0, "msg": "", "data": {"items": [item]}}


def test_items_come_in_the_order_of_the_queries_with_their_echo(client):
    queries = [
        {"prompt_key": "greet", "version": "0.0.2", "label": ""},
        {"prompt_key": "go"},
        {"prompt_key": "greet", "version": "0.0.1", "label": "beta"},
        {"prompt_key": "greet"},
        {"prompt_key": "greet"},
    ]

    items = client.mget(*queries)["data"]["items"]

    assert [item["query"] for item in items] == queries
    versions = [(item["prompt"]["prompt_key"], item["prompt"]["version"]) for item in items]
    assert versions == [("greet", "0.0.2"), ("go", "1.0.0"), ("greet", "0.0.1"), ("greet", "0.0.2"), ("greet", "0.0.2")]


def test_the_version_wins_over_the_label(client):
    (item,) = client.mget({"prompt_key": "greet", "version": "0.0.2", "label": "no such label"})["data"]["items"]
    assert item["prompt"]["version"] == "0.0.2"


def test_no_queries_is_a_success_without_items(client):
    assert client.mget() == {"code": 0, "msg": "", "data": {}}
    assert json.loads(client.post(MGET, {"workspace_id": 7})[1]) == {"code": 0, "msg": "", "data": {}}
    assert client.mget(None) == {"code": 0, "msg": "", "data": {}}


def test_a_thousand_queries_are_answered_and_not_more(client):
    many = [{"prompt_key": "go"}] * 1000
    assert len(client.mget(*many)["data"]["items"]) == 1000
    assert client.mget(*many, {"prompt_key": "go"})["code"] == 600500202


def test_keys_match_in_any_case_and_unknown_ones_are_ignored(client):
    request = {"Workspace_ID": 7, "Queries": [{"PROMPT_KEY": "greet", "version": None, "new": 1}], "more": {}}

    (item,) = json.loads(client.post(MGET, request)[1])["data"]["items"]

    assert item["query"] == {"prompt_key": "greet"}


@pytest.mark.parametrize(
    "query, code, msg",
    [
        ({"prompt_key": "nope"}, 600501001, "resource not found,prompt key: nope not found"),
        ({}, 600501001, "resource not found,prompt key:  not found"),
        ({"prompt_key": "greet", "version": "9.9.9"}, 600501002, "prompt version not exist"),
        ({"prompt_key": "greet", "version": "$Draft"}, 600501002, "prompt version not exist"),
        ({"prompt_key": "empty"}, 600501003, "prompt not committed,prompt key: empty"),
        (
            {"prompt_key": "greet", "label": "x"},
            600501007,
            "prompt label unassociated with commit version,prompt key: greet, label: x",
        ),
    ],
    ids=repr,
)
def test_one_query_that_fails_fails_all_of_them(client, query, code, msg):
    assert client.mget({"prompt_key": "greet"}, query) == {"code": code, "msg": msg}


@pytest.mark.parametrize("workspace_id", [0, "0", None])
def test_without_a_workspace_the_request_is_invalid(client, lines, workspace_id):
    answer = client.mget({"prompt_key": "greet"}, workspace_id=workspace_id)

    assert answer == {"code": 600500202, "msg": "invalid param"}
    assert lines == ["refused /v1/loop/prompts/mget: 600500202 invalid param: workspace_id is empty"]


def test_a_body_of_another_type_looks_empty(client):
    _, body = client.post(MGET, {"workspace_id": 7}, Content_Type="text/plain")
    assert json.loads(body)["code"] == 600500202


def test_a_negative_workspace_is_refused(client):
    assert client.mget({"prompt_key": "greet"}, workspace_id=-1)["code"] == 602000202


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"workspace_id": "x"}',
        b'{"workspace_id": 1.5}',
        b'{"workspace_id": 7, "queries": {}}',
        b'{"workspace_id": 7, "queries": ["greet"]}',
        b'{"workspace_id": 7, "queries": [{"prompt_key": 1}]}',
        b"[" * 100000,
    ],
    ids=lambda body: repr(body[:50]),
)
def test_a_malformed_body_is_refused(client, body):
    response, answer = client.post(MGET, body)
    assert (response.status, json.loads(answer)["code"]) == (200, 602000201)


def test_a_request_needs_a_token_as_everywhere(client):
    assert client.mget(Authorization="")["code"] == 602000702
    with StandInServer(token="s3cret") as other:
        for path in (MGET, EXECUTE, STREAM):
            response, body = Client(other).post(path, {})
            assert response.headers["Content-Type"].startswith("application/json")
            assert (response.status, json.loads(body)) == (200, {"code": 602000101, "msg": "no access permission"})


def test_prompts_belong_to_the_workspace_of_the_server_if_it_has_one():
    with StandInServer(workspace_id="8") as server:
        server.prompts.put(GREET)
        client = Client(server)

        refused = client.mget({"prompt_key": "greet"})
        assert refused["code"] == 600500101
        assert re.fullmatch(r"no access permission,prompt ids: \d+, action: read", refused["msg"])
        assert client.mget({"prompt_key": "nope"})["code"] == 600501001, "what is not there is said before"
        assert client.execute()["msg"].endswith("action: execute")
        assert client.stream()[0][1]["code"] == 600500101
        assert client.mget({"prompt_key": "greet"}, workspace_id="8")["code"] == 0
        assert client.execute(workspace_id="8")["code"] == 0


def test_lone_surrogates_are_survived(client, server):
    template = {"messages": [{"content": "\ud800"}]}
    server.prompts.put({**GO, "prompt_key": "odd", "reply": "\ud800", "prompt_template": template})
    query = json.dumps({"workspace_id": 7, "queries": [{"prompt_key": "odd", "version": "1.0.0"}]})

    assert json.loads(client.post(MGET, query.encode())[1])["code"] == 0
    assert client.execute("odd")["code"] == 0
    assert client.stream("odd")[-1][1]["finish_reason"] == "stop"


# --- execute, contract backend.md 6 -----------------------------------------------------------------------------------


def test_executing_answers_the_reply_or_an_echo(client):
    replied = client.execute()
    echoed = client.execute(
        prompt_identifier={"prompt_key": "greet", "label": "beta"}, variable_vals=[{"key": "name", "value": "中"}]
    )

    assert replied["data"] == {
        "message": {"role": "assistant", "content": "Good morning"},
        "finish_reason": "stop",
        "usage": {"input_tokens": 0, "output_tokens": 2},
    }
    assert echoed["data"]["message"]["content"] == "Hi 中"
    assert echoed["data"]["usage"] == {"input_tokens": 2, "output_tokens": 2}


def test_the_old_name_of_a_label_still_works(client):
    assert client.execute(release_label="beta")["data"]["message"]["content"] == "Hi "


def test_messages_of_the_caller_are_appended_and_rendered(client):
    user = {"role": "user", "content": "{{name}}!"}
    values = [{"key": "name", "value": "Ann"}]
    beta = {"prompt_key": "greet", "label": "beta"}

    answers = [
        client.execute(prompt_identifier=beta, variable_vals=values, messages=[{**user, "skip_render": skip}])
        for skip in (False, True)
    ]

    assert [answer["data"]["message"]["content"] for answer in answers] == ["Ann!", "{{name}}!"]


@pytest.mark.parametrize(
    "key, more, code, in_stream",
    [
        ("nope", {}, 600501001, 600501001),
        ("", {}, 600500202, 600500202),
        ("greet", {"workspace_id": 0}, 600500202, 600500202),
        ("go", {}, 600501006, 600501006),
        ("empty", {}, 600501003, 600501003),
        ("greet", {"messages": [None]}, 602000702, 1),
        ("greet", {"messages": [{"parts": [{"type": "video_url", "config": {"fps": 9}}]}]}, 602000202, 1),
        ("greet", {"messages": [{"parts": [{"type": "image_url", "image_url": "picture"}]}]}, 600500202, 600500202),
        ("greet", {"messages": [{"parts": [{"type": "base64_data", "base64_data": "aGk="}]}]}, 600500202, 600500202),
    ],
    ids=repr,
)
def test_what_cannot_be_executed_is_refused_and_in_a_stream_by_an_event(client, server, key, more, code, in_stream):
    assert client.execute(key, **more)["code"] == code
    ((name, data),) = client.stream(key, **more)
    assert (name, data["code"]) == ("error", in_stream)
    assert server.store.stats()["refused"] == {str(code): 2}


def test_an_error_event_names_what_was_asked_for(client):
    ((_, data),) = client.stream("nope")

    assert data["msg"] == "resource not found,prompt key: nope not found"
    assert data["biz_extra"]["biz_err_affect_stability"] == "0"
    assert json.loads(data["biz_extra"]["biz_err_custom_extra"]) == {"prompt_key": "nope"}


def test_a_body_that_cannot_be_read_is_a_code_or_in_a_stream_a_status(client):
    wrong = {"workspace_id": 7, "prompt_identifier": "greet"}

    assert json.loads(client.post(EXECUTE, wrong)[1])["code"] == 602000201
    response, body = client.post(STREAM, wrong)
    assert response.status == 400
    assert response.headers["Content-Type"].startswith("text/plain")
    assert b"prompt_identifier must be an object" in body


# --- execute_streaming, contract backend.md 7 -------------------------------------------------------------------------


def test_a_stream_brings_the_same_reply_in_pieces(client):
    *pieces, last = client.stream()

    assert [(name, data["message"]["content"], data["finish_reason"]) for name, data in pieces] == [
        ("data", "Good", ""),
        ("data", " morning", ""),
    ]
    assert last[1]["finish_reason"] == "stop"
    assert last[1]["usage"] == client.execute()["data"]["usage"]


def post(version, path, **document):
    body = json.dumps(document).encode()
    lines = ["POST %s HTTP/%s", "Host: x", "Authorization: t", "Content-Type: application/json", "Content-Length: %d"]
    return ("\r\n".join([*lines, "", ""]) % (path, version, len(body))).encode() + body


def test_the_wire_is_chunked_an_event_each_and_ends_without_a_mark(server):
    request = post("1.1", STREAM, workspace_id=7, prompt_identifier={"prompt_key": "greet"})

    head, _, body = raw_exchange(server, request).partition(b"\r\n\r\n")

    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 200 ok"
    assert {"content-type: text/event-stream", "cache-control: no-cache", "transfer-encoding: chunked"} <= set(lines)
    assert not [line for line in lines if line.startswith(("content-length", "x-log-id"))]
    event = b'event:data\ndata:{"message":{"role":"assistant","content":"Good"},"finish_reason":""}\n\n'
    assert body.startswith(b"%x\r\n%s\r\n" % (len(event), event))
    assert body.endswith(b"\n\n\r\n0\r\n\r\n")
    assert b"[DONE]" not in body


def test_a_client_of_http_1_0_gets_the_stream_as_it_is(server):
    request = post("1.0", STREAM, workspace_id=7, prompt_identifier={"prompt_key": "greet"})

    head, _, body = raw_exchange(server, request).partition(b"\r\n\r\n")

    assert b"chunked" not in head
    assert body.startswith(b"event:data\ndata:{")
    assert body.endswith(b"}\n\n")


def test_after_a_stream_the_connection_goes_on(server):
    request = post("1.1", STREAM, workspace_id=7, prompt_identifier={"prompt_key": "greet"})

    answers = raw_exchange(server, request + request)

    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"\r\n0\r\n\r\n") == 2


def test_events_leave_one_by_one(server, monkeypatch):
    read = threading.Event()

    def pieces(reply):
        yield b"event:data\ndata:{}\n\n"
        assert read.wait(10), "the first event did not arrive before the second was there"
        yield b"event:data\ndata:null\n\n"

    monkeypatch.setattr("cozeloop_lite.local.prompt_endpoints.events", pieces)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({"workspace_id": 7, "prompt_identifier": {"prompt_key": "greet"}})
    connection.request("POST", STREAM, body, {"Content-Type": "application/json", "Authorization": "t"})
    response = connection.getresponse()

    assert [response.readline() for _ in range(3)][1] == b"data:{}\n"
    read.set()
    assert response.read() == b"event:data\ndata:null\n\n"
    connection.close()


def test_a_stream_that_breaks_off_is_not_ended(server, lines, monkeypatch):
    def pieces(reply):
        yield b"event:data\ndata:{}\n\n"
        raise RuntimeError("in mid-answer")

    monkeypatch.setattr("cozeloop_lite.local.prompt_endpoints.events", pieces)

    answer = raw_exchange(server, post("1.1", STREAM, workspace_id=7, prompt_identifier={"prompt_key": "greet"}))

    assert answer.endswith(b"data:{}\n\n\r\n")
    assert lines[-1] == "internal error: RuntimeError"


# --- the server -------------------------------------------------------------------------------------------------------


def test_the_log_tells_what_was_served_and_shows_no_control_characters(client, lines):
    client.mget({"prompt_key": "greet"}, {"prompt_key": "greet", "version": "0.0.1"})
    client.execute()
    client.mget({"prompt_key": "\x1b[31m"})

    assert lines == [
        "served 2 prompt(s): 'greet' 0.0.2, 'greet' 0.0.1",
        "executed 'greet' 0.0.2: 2 word(s) of reply",
        "refused /v1/loop/prompts/mget: 600501001 resource not found,prompt key: \\x1b[31m not found",
    ]


def test_the_read_api_lists_the_prompts(client):
    _, body = client.request("GET", "/api/prompts")
    listed = json.loads(body)["prompts"]

    assert [prompt["prompt_key"] for prompt in listed] == ["empty", "go", "greet"]
    assert listed[2]["versions"] == ["0.0.1", "0.0.2"]
    assert listed[2]["labels"] == {"beta": "0.0.1"}
    assert client.request("GET", "/api/prompts", Host="evil.example")[0].status == 403


def test_a_server_without_prompts_finds_none():
    with StandInServer() as server:
        assert Client(server).mget({"prompt_key": "greet"})["code"] == 600501001


def test_a_folder_is_served_and_followed(tmp_path, lines):
    (tmp_path / "greet.json").write_text(json.dumps(GREET), encoding="utf-8")
    with StandInServer(prompts=str(tmp_path), log=lines.append) as server:
        client = Client(server)
        first = client.mget({"prompt_key": "greet"})["data"]["items"][0]["prompt"]["version"]
        changed = {**GREET, "versions": {**GREET["versions"], "0.1.0": GREET["versions"]["0.0.1"]}}
        (tmp_path / "greet.json").write_text(json.dumps(changed), encoding="utf-8")
        second = client.mget({"prompt_key": "greet"})["data"]["items"][0]["prompt"]["version"]
        (tmp_path / "greet.json").write_text("{", encoding="utf-8")
        third = client.mget({"prompt_key": "greet"})["data"]["items"][0]["prompt"]["version"]

    assert (first, second, third) == ("0.0.2", "0.1.0", "0.1.0")
    assert len([line for line in lines if "cannot be used" in line]) == 1


def test_a_folder_that_is_not_there_is_an_error_and_leaves_no_port_open(tmp_path):
    with pytest.raises(NotADirectoryError):
        StandInServer(prompts=str(tmp_path / "nope"))


def test_the_examples_are_what_the_platform_could_answer():
    with StandInServer(prompts=str(EXAMPLES)) as server:
        queries = [
            {"prompt_key": document.key, "version": number}
            for document in server.prompts.documents().values()
            for number in document.versions
        ]
        assert len(Client(server).mget(*queries)["data"]["items"]) == len(queries) >= 4


def test_threads_may_ask_and_change_at_the_same_time(tmp_path):
    path = tmp_path / "greet.json"
    path.write_text(json.dumps(GREET), encoding="utf-8")
    failed = []

    def ask(server):
        client = Client(server)
        for _ in range(10):
            if client.mget({"prompt_key": "greet"})["code"] != 0 or client.execute()["code"] != 0:
                failed.append(1)

    with StandInServer(prompts=str(tmp_path)) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(10):
            path.write_text(json.dumps({**GREET, "reply": "x" * number}), encoding="utf-8")
        for thread in threads:
            thread.join()
    assert failed == []


# --- the command line -------------------------------------------------------------------------------------------------


def run(folder, *arguments):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return subprocess.Popen(
        [sys.executable, "-m", "cozeloop_lite", *arguments],
        cwd=str(folder),
        env={**plain, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def test_serve_says_which_prompts_there_are_and_serves_them(tmp_path):
    with run(tmp_path, "serve", "--port", "0", "--db", ":memory:", "--prompts", str(EXAMPLES)) as process:
        greeting = [process.stdout.readline() for _ in range(6)]
        url = re.search(r"COZELOOP_API_BASE_URL=http://127.0.0.1:(\d+)", "".join(greeting))
        connection = http.client.HTTPConnection("127.0.0.1", int(url.group(1)), timeout=10)
        connection.request("GET", "/api/prompts")
        listed = json.loads(connection.getresponse().read())["prompts"]
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10)[1] == ""

    assert f"prompts are in {EXAMPLES}" in greeting[0]
    assert greeting[1] == "prompts: %s\n" % ", ".join(repr(prompt["prompt_key"]) for prompt in listed)


@pytest.mark.parametrize("folder", ["nope", "notes.txt"])
def test_serve_without_such_a_folder_is_a_usage_error(tmp_path, folder):
    (tmp_path / "notes.txt").write_text("no folder")
    with run(tmp_path, "serve", "--port", "0", "--prompts", folder) as process:
        _, errors = process.communicate(timeout=30)

    assert process.returncode == 2
    assert f"there is no folder '{folder}'" in errors


def test_the_help_says_what_a_prompt_file_looks_like(tmp_path):
    with run(tmp_path, "serve", "--help") as process:
        text, _ = process.communicate(timeout=30)

    assert "--prompts DIR" in text
    document = json.loads(re.search(r"^  (\{.*?\}\})$", text, re.S | re.M).group(1))
    with StandInServer() as server:
        server.prompts.put(document)
        (item,) = Client(server).mget({"prompt_key": "greet", "label": "production"})["data"]["items"]
        assert Client(server).execute()["data"]["message"]["content"] == "Hello!"
    assert item["prompt"]["version"] == "0.0.1"
