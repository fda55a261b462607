"""What the stand-in server shows to pages and commands, over real HTTP: lists, trees, spans, files, prompts."""

from __future__ import annotations

import http.client
import json
import socket
import time
from urllib.parse import quote, urlencode

import pytest

from cozeloop_lite.local import StandInServer, api, archive, trace_search
from support.stand_in import TRACE_ID, wire_span

OTHER = "a" * 32
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20


class Client:
    """One keep-alive connection to a server."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)

    def request(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = self.connection.getresponse()
        self.headers = response.headers
        return response.status, response.read()

    def get(self, path, **asked):
        status, body = self.request("GET", path + ("?" + urlencode(asked, doseq=True) if asked else ""))
        return json.loads(body) if status == 200 else status

    def names(self, **asked):
        return [trace["name"] for trace in self.get("/api/traces", **asked)["traces"]]

    def post(self, path, document, **headers):
        headers = {"Content_Type": "application/json", **headers}
        status, body = self.request("POST", path, json.dumps(document), **headers)
        return json.loads(body) if status == 200 else (status, json.loads(body)["error"])

    def ingest(self, *spans):
        for first in range(0, len(spans), 100):
            sent = {"spans": spans[first : first + 100]}
            assert self.post("/v1/loop/traces/ingest", sent, Authorization="Bearer t")["code"] == 0

    def upload(self, name, content, workspace="7"):
        disposition = "\r\n--B\r\nContent-Disposition: form-data; name="
        body = disposition + '"workspace_id"\r\n\r\n' + workspace + disposition + '"file"; filename="' + name + '"'
        body = body.encode() + b"\r\n\r\n" + content + b"\r\n--B--\r\n"
        sent = {"Content_Type": "multipart/form-data; boundary=B", "Authorization": "Bearer t"}
        assert self.request("POST", "/v1/loop/files/upload", body, **sent)[0] == 200


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """On a busy machine, too, a search for texts goes through all traces at once."""
    monkeypatch.setattr(trace_search, "MAX_SECONDS", 60)


@pytest.fixture(params=["memory", "file"])
def server(request, tmp_path):
    with StandInServer(db=":memory:" if request.param == "memory" else str(tmp_path / "s.db")) as server:
        yield server


@pytest.fixture
def client(server):
    client = Client(server)
    yield client
    client.connection.close()


@pytest.fixture
def one(tmp_path):
    """A client of a server in memory, where that makes no difference."""
    with StandInServer() as server:
        client = Client(server)
        client.server = server
        yield client
        client.connection.close()


# --- lists ---


def test_a_row_of_the_list_is_as_described(client):
    start = int(time.time() * 1000000)
    model = {"span_type": "model", "tags_long": {"input_tokens": 210, "output_tokens": 95}, "status_code": 1}
    client.ingest(
        wire_span(2, parent_id=f"{1:016x}", started_at_micros=start + 10, duration_micros=1900, **model),
        wire_span(1, span_name="chat", span_type="agent", service_name="shop", started_at_micros=start, unknown=1),
        wire_span(3, started_at_micros=1),
    )

    (row,) = client.get("/api/traces")["traces"]

    assert start < row.pop("received_at_micros") <= time.time() * 1000000
    assert row == {
        "trace_id": TRACE_ID, "number": 1, "name": "chat", "type": "agent", "has_root": True, "status": "error",
        "started_at_micros": start, "duration_micros": 1910, "spans": 3, "errors": 1, "dropped": 1, "warnings": 2,
        "input_tokens": 210, "output_tokens": 95, "services": ["shop"],
    }


def test_pages_follow_each_other_without_a_gap_while_traces_arrive(client):
    client.ingest(*(wire_span(n, trace_id=f"{n:032x}", span_name=str(n)) for n in range(1, 8)))

    seen, before = [], None
    while True:
        page = client.get("/api/traces", limit=3, **({"before": before} if before else {}))
        seen.append([trace["name"] for trace in page["traces"]])
        before = page["next"]
        if before is None:
            break
        number = 100 + len(seen)
        client.ingest(wire_span(number, trace_id=f"{number:032x}"), wire_span(90 + len(seen), trace_id=f"{7:032x}"))

    assert seen == [["7", "6", "5"], ["4", "3", "2"], ["1"]]


@pytest.mark.parametrize(
    "asked, found",
    [
        ({"q": "needle"}, ["in a tag", "in an output", "in an input", "needle in the name"]),
        ({"q": "NeeDLE in THE n"}, ["needle in the name"]),
        ({"q": '"quoted" \\ 100%_'}, ["special"]),
        ({"q": "100%"}, ["special"]),
        ({"q": "1%0"}, []),
        ({"q": "日本"}, ["special"]),
        ({"q": "line\nbreak"}, ["special"]),
        ({"q": "span_name"}, []),
        ({"q": "tags_string"}, []),
        ({"q": "ag_value"}, []),
        ({"q": "42"}, ["in a tag"]),
        ({"tag": "count=42"}, ["in a tag"]),
        ({"tag": "ratio=0.5"}, ["in a tag"]),
        ({"tag": "flag=true"}, ["in a tag"]),
        ({"tag": "count=4"}, []),
        ({"tag": "note=a needle=b"}, ["in a tag"]),
        ({"tag": "note=a"}, []),
        ({"tag": ["count=42", "ratio=0.5"]}, ["in a tag"]),
        ({"tag": ["count=42", "ratio=1"]}, []),
        ({"tag": "count=42", "q": "needle"}, ["in a tag"]),
        ({"tag": "count=42", "q": "absent"}, []),
        ({"user_id": "ada"}, ["in a tag"]),
        ({"user_id": "ad"}, []),
        ({"log_id": "log-1"}, ["special"]),
        ({"trace_id": f"{1:032x}"}, ["needle in the name"]),
        ({"status": "error"}, ["in an output"]),
        ({"status": "warned"}, ["in an input"]),
        ({"status": "ok", "limit": 2}, ["in a tag", "in an input"]),
        ({"user_id": "ada", "status": "error"}, []),
    ],
    ids=str,
)
def test_a_list_can_be_narrowed(one, asked, found):
    def span(number, name, **changes):
        return wire_span(number, trace_id=f"{number:032x}", span_name=name, **changes)

    tags = {"tags_string": {"note": "a needle=b", "user_id": "ada"}, "tags_long": {"count": 42}}
    one.ingest(
        span(5, "special", input='"quoted" \\ 100%_ 日本 line\nbreak', log_id="log-1", status_code=0, unknown=1),
        span(1, "needle in the name"),
        span(2, "in an input", input="<Needle>", span_type="x" * 2000),
        span(3, "in an output", output="needle", status_code=5),
        span(4, "in a tag", tags_double={"ratio": 0.5}, tags_bool={"flag": True}, **tags),
    )
    if asked.get("status") == "warned":
        found = [*found, "special"]

    assert one.names(**asked) == found


def test_a_list_can_be_narrowed_to_a_time(one):
    start = int(time.time() * 1000000)
    for n in range(1, 5):
        one.ingest(wire_span(n, trace_id=f"{n:032x}", span_name=str(n), started_at_micros=start + n))

    assert one.names(**{"from": start + 2, "to": start + 3}) == ["3", "2"]
    assert one.names(**{"from": start + 4}) == ["4"]


def test_a_search_ends_after_a_while_and_goes_on_from_there(one, monkeypatch):
    one.ingest(*(wire_span(n, trace_id=f"{n:032x}", span_name=f"needle {n}" if n == 1 else "hay") for n in range(1, 6)))
    monkeypatch.setattr(trace_search, "MAX_SECONDS", -1)

    found, before, pages = [], None, 0
    while pages == 0 or before is not None:
        page = one.get("/api/traces", q="needle", **({"before": before} if before else {}))
        found += page["traces"]
        before, pages = page["next"], pages + 1

    assert [trace["name"] for trace in found] == ["needle 1"]
    assert pages > 1


@pytest.mark.parametrize(
    "asked",
    [
        *({"limit": text} for text in ("0", "1001", "x", "-1", "1.5", "٣", "9" * 5000)),
        *({"before": "x"}, {"from": "yesterday"}, {"to": "-1"}, {"status": "broken"}, {"tag": "k"}, {"tag": "=v"}),
        *({"tag": ["a=b"] * 6}, {"q": "x" * 201}, {"tag": "k=" + "v" * 201}),
    ],
    ids=lambda asked: str(asked)[:40],
)
def test_what_is_asked_wrongly_is_said_to_be_wrong(one, asked):
    status, body = one.request("GET", "/api/traces?" + urlencode(asked, doseq=True))

    assert status == 400
    assert next(iter(asked)) in json.loads(body)["error"] or "text to look for" in json.loads(body)["error"]


# --- what has changed ---


def test_changes_are_told_from_one_call_to_the_next(client):
    client.ingest(wire_span(1), wire_span(2, trace_id=OTHER))
    since = client.get("/api/traces")["since"]
    assert client.get("/api/events", since=since) == {"since": since, "reset": False, "traces": []}

    client.ingest(wire_span(3, span_name="later"))

    answer = client.get("/api/events", since=since)
    assert [(trace["trace_id"], trace["spans"]) for trace in answer["traces"]] == [(TRACE_ID, 2)]
    assert client.get("/api/events", since=answer["since"])["traces"] == []


@pytest.mark.parametrize("since", ["", "0", "x", "00000000-1", "-", "-5", "9" * 100, "\x00"])
def test_who_comes_from_another_server_is_told_to_begin_again(one, since):
    one.ingest(wire_span(1))

    answer = one.get("/api/events", since=since)

    assert (answer["reset"], answer["traces"]) == (True, [])


def test_who_missed_too_much_is_told_to_begin_again(one, monkeypatch):
    monkeypatch.setattr(archive, "MAX_CHANGES", 3)
    since = one.get("/api/traces")["since"]
    one.ingest(*(wire_span(n, trace_id=f"{n:032x}") for n in range(1, 4)))
    assert len(one.get("/api/events", since=since)["traces"]) == 3

    one.ingest(wire_span(4, trace_id=f"{4:032x}"))

    assert one.get("/api/events", since=since)["reset"] is True


# --- one trace ---


def test_a_trace_has_all_its_spans_without_what_is_in_them(client):
    start = int(time.time() * 1000000)
    tags = {"tags_string": {"error": "e" * 500, "user_id": "ada"}, "tags_long": {"input_tokens": 2, "output_tokens": 3}}
    sent = wire_span(1, started_at_micros=start, service_name="shop", log_id="l", output="x" * 9, unknown=1, **tags)
    client.ingest(sent, wire_span(2, started_at_micros=1, span_id="bad"))

    answer = client.get(f"/api/traces/{TRACE_ID}")

    assert (answer["trace"]["spans"], answer["more"]) == (2, False)
    first, second = answer["spans"]
    assert first == {
        "row": 1, "trace_id": TRACE_ID, "span_id": f"{1:016x}", "parent_id": "0", "span_name": "greet",
        "span_type": "custom", "started_at_micros": start, "duration_micros": 1500, "status_code": 0,
        "error": "e" * 200, "service_name": "shop", "log_id": "l", "user_id": "ada",
        "input_tokens": 2, "output_tokens": 3, "tokens": 5, "input_bytes": 6, "output_bytes": 9, "dropped": False,
        "warnings": ["the platform ignores unknown fields: 'unknown'"],
    }
    assert (second["dropped"], len(second["warnings"])) == (True, 2)
    assert client.get(f"/api/traces/{OTHER}") == 404


def test_ten_thousand_spans_come_in_one_answer_that_reads_no_texts(one):
    one.ingest(*(wire_span(n, input="x" * 100) for n in range(1, 10001)))
    one.server.store._connection.execute("UPDATE spans SET span = 'no JSON'")

    answer = one.get(f"/api/traces/{TRACE_ID}")

    assert (len(answer["spans"]), answer["more"]) == (10000, False)
    assert len(one.get(f"/api/traces/{TRACE_ID}", limit=10)["spans"]) == 10
    assert one.get(f"/api/traces/{TRACE_ID}", limit=10)["more"] is True


def test_a_trace_can_be_had_whole_when_it_is_not_too_large(client, monkeypatch):
    client.ingest(wire_span(1), wire_span(2, input="x" * 1000))

    assert [span["input"] for span in client.get(f"/api/traces/{TRACE_ID}", full=1)["spans"]] == ["你好", "x" * 1000]
    monkeypatch.setattr(archive, "MAX_WHOLE_BYTES", 1000)
    assert client.get(f"/api/traces/{TRACE_ID}", full=1) == 413


# --- one span ---


def span_path(span_id=f"{1:016x}", trace_id=TRACE_ID):
    return f"/api/traces/{quote(trace_id, safe='')}/spans/{quote(span_id, safe='')}"


def test_a_span_has_everything(client):
    storage = json.dumps({"input_tos_key": "long text", "Attachments": [{"tos_key": "a&b.png", "type": "image"}]})
    client.ingest(wire_span(1, tags_long={"n": 1 << 60}, object_storage=storage))
    client.upload("a&b.png", PNG)
    said = {"workspace_id": "7", "trace_id": TRACE_ID, "annotation_key": "good", "annotation_value": "yes"}
    assert client.post("/v1/loop/annotations", said, Authorization="Bearer t")["code"] == 0

    span = client.get(span_path())

    assert (span["input"], span["input_bytes"], span["input_cut"]) == ("你好", 6, False)
    assert (span["tags_long"], span["row"], span["dropped"]) == ({"n": 1 << 60}, 1, False)
    missing = {"key": "long text", "field": "input", "name": "", "type": "text", "bytes": None}
    there = {"key": "a&b.png", "field": "", "name": "", "type": "image", "bytes": len(PNG)}
    assert span["files"] == [
        {**missing, "url": "/api/files/long%20text?workspace=7"},
        {**there, "url": "/api/files/a%26b.png?workspace=7"},
    ]
    assert span["warnings"] == client.get(f"/api/traces/{TRACE_ID}")["spans"][0]["warnings"]
    assert "long text" in span["warnings"][0]
    (feedback,) = span["feedback"]
    assert (feedback["key"], feedback["value_type"], feedback["value"]) == ("good", "string", "yes")
    assert client.request("GET", span["files"][1]["url"]) == (200, PNG)


def test_a_long_text_is_cut_between_characters_and_can_be_had_whole(one):
    text = "x" + "你" * 200000
    one.ingest(wire_span(1, output=text))

    span = one.get(span_path())

    assert (span["output_bytes"], span["output_cut"]) == (600001, True)
    assert text.startswith(span["output"])
    assert api.MAX_TEXT_BYTES - 3 < len(span["output"].encode()) <= api.MAX_TEXT_BYTES
    assert one.request("GET", span_path() + "?part=output") == (200, text.encode())
    assert one.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert one.request("GET", span_path() + "?part=tags")[0] == 400


@pytest.mark.parametrize("span_id", ["", "a/b", "..", "%2e", "?row=1", "\x00\n", "你"])
def test_spans_of_any_id_can_be_had(one, span_id):
    one.ingest(wire_span(1, span_id=span_id, trace_id="t/../" + span_id), wire_span(2))

    span = one.get(span_path(span_id, "t/../" + span_id))

    assert (span["span_id"], span["dropped"], span["feedback"]) == (span_id, True, [])


def test_of_spans_with_one_id_the_row_says_which(one):
    one.ingest(wire_span(1, started_at_micros=1, input="old"), wire_span(1, input="new"))

    assert one.get(span_path())["input"] == "new"
    assert one.get(span_path(), row=1)["input"] == "old"
    assert one.get(span_path(), row=3) == 404


def test_what_is_not_there_is_404(one):
    one.ingest(wire_span(1))
    for path in (
        *(span_path("nope"), "/api/", "/api/nope", "/api/traces/x/y", "/api/traces/x/y/z", "/api/files/x"),
        "/api/files",
        *("/api/prompts/x", "/api/prompts/x/y", "/api/status/x", "/api/events/x", "/api/traces/"),
        *("/api/files/..%2f..%2fetc%2fpasswd", "/../server.py", "/pages/index.html", "/api/../server.py"),
    ):
        assert one.request("GET", path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert one.request(method, "/api/traces")[0] == 404, method


# --- files ---


@pytest.mark.parametrize(
    "content, kind",
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "image/webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", None),
        (b"<html><script>alert(1)</script>", None),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"", None),
    ],
    ids=repr,
)
def test_only_images_are_shown_and_everything_else_is_an_attachment(one, content, kind):
    one.upload("x; é.png", content)

    status, body = one.request("GET", "/api/files/" + quote("x; é.png"))

    assert (status, body) == (200, content)
    assert one.headers["X-Content-Type-Options"] == "nosniff"
    if kind is None:
        assert one.headers["Content-Type"] == "application/octet-stream"
        assert one.headers["Content-Disposition"] == "attachment; filename*=UTF-8''x%3B%20%C3%A9.png"
    else:
        assert one.headers["Content-Type"] == kind
        assert one.headers["Content-Disposition"] is None


def test_a_file_is_of_a_workspace(one):
    one.upload("a", b"of 7")
    one.upload("a", b"of 8", "8")

    assert one.request("GET", "/api/files/a?workspace=7") == (200, b"of 7")
    assert one.request("GET", "/api/files/a") == (200, b"of 8")
    assert one.request("GET", "/api/files/a?workspace=9")[0] == 404


# --- prompts ---


def version(content, kind="normal", **more):
    defs = [{"key": "name", "type": "string"}, {"key": "history", "type": "placeholder"}]
    messages = [{"role": "placeholder", "content": "history"}, {"role": "user", "content": content}]
    return {"prompt_template": {"template_type": kind, "messages": messages, "variable_defs": defs}, **more}


@pytest.fixture
def prompts(one):
    versions = {"0.0.1": version("Hi {{name}}"), "0.0.10": version("{{ name|upper }}", "jinja2"), "0.0.2": version("")}
    one.server.prompts.put({"prompt_key": "a/b", "versions": versions, "labels": {"beta": "0.0.1"}})
    return one


def test_prompts_are_listed_and_shown(prompts):
    (listed,) = prompts.get("/api/prompts")["prompts"]
    assert (listed["prompt_key"], listed["versions"]) == ("a/b", ["0.0.1", "0.0.2", "0.0.10"])

    shown = prompts.get("/api/prompts/a%2Fb")

    assert (shown["prompt_key"], shown["latest"], shown["labels"]) == ("a/b", "0.0.10", {"beta": "0.0.1"})
    assert [one["version"] for one in shown["versions"]] == ["0.0.10", "0.0.2", "0.0.1"]
    oldest = shown["versions"][-1]
    assert (oldest["labels"], oldest["template_type"]) == (["beta"], "normal")
    assert oldest["messages"][1] == {"role": "user", "content": "Hi {{name}}"}
    assert [variable["key"] for variable in oldest["variables"]] == ["name", "history"]


def test_null_in_a_prompt_is_not_shown(one):
    template = {"messages": [None, {"role": "user", "content": "Hi"}], "variable_defs": [None, {"key": "name"}]}
    one.server.prompts.put({"prompt_key": "p", "versions": {"0.0.1": {"prompt_template": template}}})

    (shown,) = one.get("/api/prompts/p")["versions"]

    assert [message["content"] for message in shown["messages"]] == ["Hi"]
    assert [variable["key"] for variable in shown["variables"]] == ["name"]


def test_a_prompt_can_be_tried_out(prompts):
    history = [{"role": "assistant", "content": "before"}]
    asked = {"version": "0.0.1", "variables": {"name": "{{name}} Ada", "history": history}}

    answer = prompts.post("/api/prompts/a%2Fb/render", asked)

    assert answer == {"version": "0.0.1", "messages": [*history, {"role": "user", "content": "Hi {{name}} Ada"}]}
    latest = prompts.post("/api/prompts/a%2Fb/render", {"variables": {"name": "ada"}})
    assert (latest["version"], latest["messages"]) == ("0.0.10", [{"role": "user", "content": "ADA"}])
    assert prompts.post("/api/prompts/a%2Fb/render", {"label": "beta"})["version"] == "0.0.1"


@pytest.mark.parametrize(
    "asked, status, said",
    [
        ({"version": "9.9.9"}, 400, "version not exist"),
        ({"label": "none"}, 400, "label"),
        ({"version": 1}, 400, "version must be a string"),
        ({"variables": []}, 400, "variables must be a dict"),
        ({"version": "0.0.1", "variables": {"history": "x"}}, 400, "history"),
        ([], 400, "must be a JSON object"),
        ({"variables": {"name": "x" * (1024 * 1024)}}, 413, "longer than"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_does_not_render_is_said_with_the_reason(prompts, asked, status, said):
    answer = prompts.post("/api/prompts/a%2Fb/render", asked)

    assert answer[0] == status
    assert said in answer[1]


def test_a_template_that_would_run_for_ever_is_stopped(one):
    loop = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"
    one.server.prompts.put({"prompt_key": "p", "versions": {"0.0.1": version(loop, "jinja2")}})

    assert one.post("/api/prompts/p/render", {})[0] == 400
    assert one.post("/api/prompts/none/render", {})[0] == 404


# --- who may ask ---


def test_every_answer_has_the_strict_headers(one):
    for method, path in (
        *(("GET", "/"), ("GET", "/api/traces"), ("GET", "/api/nope"), ("GET", "/nope"), ("GET", "/ping")),
        *(("POST", "/v1/loop/traces/ingest"), ("OPTIONS", "/api/traces"), ("POST", "/v1/loop/prompts/mget")),
    ):
        one.request(method, path)
        assert "default-src 'none'" in one.headers["Content-Security-Policy"], path
        assert one.headers["X-Content-Type-Options"] == "nosniff"
        assert one.headers["Referrer-Policy"] == "no-referrer"
        assert one.headers["Cache-Control"] == ("no-cache" if path == "/" else "no-store")
        assert not [name for name in one.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/", "/api/traces", "/api/status", f"/api/traces/{TRACE_ID}", "/api/files/a"])
def test_a_page_cannot_read_by_rebinding_its_name(one, path):
    one.ingest(wire_span(1))
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", ""):
        assert one.request("GET", path, Host=host)[0] == 403, host
    assert one.request("GET", path, Host=f"localhost:{one.server.port}")[0] in (200, 404)


@pytest.mark.parametrize(
    "path", ["/api/prompts/a%2Fb/render", "/v1/loop/traces/ingest", "/v1/loop/traces/search", "/v1/loop/files/upload"]
)
def test_a_page_cannot_send(prompts, path):
    host = f"localhost:{prompts.server.port}"
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        assert prompts.request("POST", path, "{}", Host=host, Origin=origin)[0] == 403
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Authorization": "Bearer t"}
    assert prompts.request("POST", path, "{}", **rebound)[0] == 403
    own = {"Host": host, "Origin": f"http://{host}", "Content_Type": "application/json"}
    assert prompts.request("POST", path, "{}", **own)[0] == 200


def test_a_form_of_a_page_renders_nothing(prompts):
    assert prompts.request("POST", "/api/prompts/a%2Fb/render", "{}", Content_Type="text/plain")[0] == 400


def test_with_a_token_a_browser_enters_by_the_address_and_stays_by_the_cookie():
    with StandInServer(token="s3cret") as server:
        client = Client(server)
        assert client.get("/api/status") == 403
        assert client.request("GET", "/api/status?token=s3cret")[0] == 403
        assert client.request("GET", "/?token=wrong")[0] == 403
        status, body = client.request("GET", "/?token=s3cret")
        assert (status, body, client.headers["Location"]) == (303, b"", "/")
        cookie = client.headers["Set-Cookie"].partition(";")[0]
        assert client.request("GET", "/api/status", Cookie=cookie)[0] == 200
        assert client.request("GET", "/api/status", Cookie=cookie.upper())[0] == 403
        sent = {"Cookie": cookie, "Content_Type": "application/json"}
        assert client.request("POST", "/v1/loop/traces/search", "{}", **sent)[1] != b"", "the platform knows no cookies"
        client.connection.close()


def test_a_server_that_others_can_reach_has_a_token():
    with StandInServer("0.0.0.0") as server:
        client = Client(server)
        refused = client.post("/v1/loop/traces/ingest", {"spans": [wire_span()]}, Authorization="Bearer t")
        assert refused["code"] == 602000101
        assert client.get("/api/traces") == 403
        assert client.request("GET", "/api/traces", Authorization=f"Bearer {server.token}")[0] == 200
        client.connection.close()


@pytest.mark.parametrize(
    "target", ["/api/traces?%", "/api/%ff%fe", "/api/traces/%00", "/?token=%ff", "/api/events?since=%ff"]
)
def test_hostile_targets_are_answered(one, target):
    with socket.create_connection(("127.0.0.1", one.server.port), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.split()[1] in (b"200", b"303", b"400", b"404")
    assert b"602000702" not in answer


def test_the_status_says_what_is_kept(client, server):
    client.ingest(wire_span(1))

    status = client.get("/api/status")

    assert (status["url"], status["keep_days"], status["keep_mb"]) == (server.url, None, None)
    assert (status["stats"]["spans"], status["stats"]["traces"]) == (1, 1)
    assert 10000 < status["bytes"] < 1000000
    assert client.get("/api/stats") == client.get("/api/status")["stats"]


def test_an_error_of_the_server_is_not_taken_for_an_answer(one, monkeypatch):
    monkeypatch.setattr(one.server._api, "answer", None)

    assert one.request("GET", "/api/traces") == (500, b'{"error": "internal error: TypeError"}')


def test_what_others_post_below_api_does_not_exist():
    with StandInServer(token="s3cret") as server:
        client = Client(server)
        for path in ("/api/permission/oauth2/token", "/api/traces", "/api/prompts"):
            assert client.request("POST", path, "{}") == (404, b"Not Found")
        assert client.request("POST", "/api/prompts/x/render", "{}")[0] == 403
        client.connection.close()
