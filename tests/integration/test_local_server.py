"""The stand-in server over real HTTP: the protocol of the platform, what it stores, and what it survives."""

from __future__ import annotations

import http.client
import json
import os
import select
import socket
import sqlite3
import threading
import time

import pytest

from cozeloop_lite.local import StandInServer, connections
from cozeloop_lite.local.multipart import parse_multipart
from support.stand_in import TRACE_ID, raw_exchange, wire_span

INGEST = "/v1/loop/traces/ingest"
UPLOAD = "/v1/loop/files/upload"
MIB = 1024 * 1024


def form(*parts):
    lines = []
    for disposition, content in parts:
        lines += [b"--B", b"Content-Disposition: form-data; " + disposition, b"", content]
    return b"\r\n".join([*lines, b"--B--", b""])


FILE = (b'name="file"; filename="a.txt"', b"hello")
WORKSPACE = (b'name="workspace_id"', b"7")


class Client:
    """One keep-alive connection to a server, closed at the end of the test."""

    opened = []

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self.opened.append(self.connection)

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        self.headers = response.headers
        return response.status, response.read()

    def get(self, path, **headers):
        status, body = self.request("GET", path, headers=headers)
        return json.loads(body) if status == 200 else status

    def post(self, path, body, content_type="application/json", token="Bearer t"):
        headers = {"Content-Type": content_type}
        if token is not None:
            headers["Authorization"] = token
        status, answer = self.request("POST", path, body, headers)
        return json.loads(answer) if status == 200 else (status, answer.decode())

    def ingest(self, *spans, **options):
        return self.post(INGEST, json.dumps({"spans": list(spans)}), **options)

    def upload(self, body, content_type="multipart/form-data; boundary=B", **options):
        return self.post(UPLOAD, body, content_type, **options)


@pytest.fixture(autouse=True)
def close_connections():
    yield
    while Client.opened:
        Client.opened.pop().close()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def server(lines):
    with StandInServer(log=lines.append) as server:
        yield server


@pytest.fixture
def client(server):
    return Client(server)


def assert_alive(server):
    assert Client(server).get("/ping") == {"code": 0, "msg": ""}


# --- ingest ---


def test_accepted_spans_are_stored_with_their_warnings(client, server):
    answer = client.ingest(wire_span(1), wire_span(2, started_at_micros=1, span_name="old"))

    assert answer == {"code": 0, "msg": ""}
    good, old = server.store.spans()
    assert (good["input"], good["warnings"], good["dropped"]) == ("你好", [], False)
    assert (old["span_name"], old["dropped"]) == ("old", True)
    assert old["warnings"][0].startswith("the platform would have dropped this span: its start time is ")


def test_a_refusal_is_http_200_with_a_code_and_stores_nothing(client, server):
    assert client.ingest() == {"code": 600904002, "msg": "invalid param,no spans provided"}
    assert client.post(INGEST, b"{")["code"] == 602000201
    assert server.store.spans() == []
    assert server.store.stats()["refused"] == {"600904002": 1, "602000201": 1}


def test_one_connection_carries_many_requests(client):
    client.ingest(wire_span(1))
    first = client.connection.sock

    client.ingest()
    client.get("/ping")

    assert client.connection.sock is first


def test_chunked_bodies_are_read(client, server):
    body = json.dumps({"spans": [wire_span()]}).encode()

    assert client.post(INGEST, iter([body[:10], body[10:]])) == {"code": 0, "msg": ""}
    assert len(server.store.spans()) == 1


def test_answers_carry_a_log_id(client):
    client.ingest(wire_span())
    first = client.headers["X-Log-ID"]
    client.ingest()

    assert first
    assert client.headers["X-Log-ID"] != first


def test_a_span_sent_twice_is_shown_once_with_a_warning(client, server):
    client.ingest(wire_span(1, output="first"))
    client.ingest(wire_span(1, output="second"), wire_span(2))

    spans = server.store.spans()
    assert [span["output"] for span in spans] == ["first", ""]
    assert "arrived more than once" in spans[0]["warnings"][0]
    assert [span["output"] for span in server.store.spans(duplicates=True)] == ["first", "second", ""]
    assert server.store.stats()["duplicates"] == 1


def test_a_copy_of_a_dropped_span_is_the_first_the_platform_keeps(client, server):
    client.ingest(wire_span(1, started_at_micros=1))
    client.ingest(wire_span(1))

    assert [span["dropped"] for span in server.store.spans()] == [True, False]


def test_the_log_tells_of_each_batch_and_each_warning(client, lines):
    client.ingest(wire_span(1), wire_span(2, span_name="\x1b[31m", tags_string={"k": "x" * 1025}))

    assert lines == [
        "accepted 2 span(s) for workspace '7'",
        r"  warning: span '\x1b[31m': tag value cut to 1024 bytes: 'k'",
    ]


def test_a_log_that_fails_costs_no_answer():
    def broken(line):
        raise BrokenPipeError

    with StandInServer(log=broken) as server:
        assert Client(server).ingest(wire_span()) == {"code": 0, "msg": ""}


def test_of_an_internal_error_the_reason_is_said_if_it_is_the_database(client, server, lines, monkeypatch):
    problems = [sqlite3.OperationalError("database or disk is full"), ValueError("of a request")] * 2

    def fails(*args, **kwargs):
        raise problems.pop(0)

    monkeypatch.setattr(server.store, "add_spans", fails)
    monkeypatch.setattr(server.store, "reading", fails)

    assert [client.ingest(wire_span())["msg"] for _ in range(2)] == ["Service Internal Error"] * 2
    answers = [client.request("GET", "/api/traces") for _ in range(2)]

    assert [status for status, _ in answers] == [500, 500]
    full, other, *again = [line for line in lines if "internal error" in line]
    assert full.startswith("internal error: OperationalError: the disk is full: make room")
    assert other == "internal error: ValueError"
    assert again == [full, other] == [json.loads(body.decode())["error"] for _, body in answers]


def test_threads_may_send_at_the_same_time(server):
    def send(batch):
        client = Client(server)
        for number in range(10):
            client.ingest(wire_span(batch * 100 + number + 1))

    threads = [threading.Thread(target=send, args=(batch,)) for batch in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.store.spans()) == 80


def test_a_test_can_wait_for_spans(server):
    sender = threading.Timer(0.05, lambda: Client(server).ingest(wire_span()))
    sender.start()
    asked = time.monotonic()

    assert len(server.store.wait_for_spans(1, timeout=10)) == 1
    assert time.monotonic() - asked < 9, "it returned because the time was up"
    assert len(server.store.wait_for_spans(2, timeout=0.01)) == 1
    sender.join()


# --- authentication, contract backend.md 1.2 ---


def test_without_an_authorization_header_the_answer_is_an_internal_error_and_the_log_says_why(client, lines):
    assert client.ingest(wire_span(), token=None) == {"code": 602000702, "msg": "Service Internal Error"}
    assert lines[0].endswith("602000702 Service Internal Error: the request has no token")


@pytest.mark.parametrize("token", ["Bearer", "Bearer ", "bearer t", "Basic dDp0"])
def test_what_is_no_bearer_token_is_refused(client, token):
    assert client.ingest(wire_span(), token=token) == {"code": 602000101, "msg": "no access permission"}


def test_a_bare_token_is_accepted(client):
    assert client.ingest(wire_span(), token="t")["code"] == 0


def test_with_a_token_only_that_one_is_accepted():
    with StandInServer(token="s3cret") as server:
        client = Client(server)

        assert client.ingest(wire_span(), token="Bearer other")["code"] == 602000101
        assert client.upload(form(FILE, WORKSPACE), token="Bearer other")["code"] == 602000101
        assert client.ingest(wire_span(), token="Bearer s3cret")["code"] == 0


def test_with_a_workspace_only_that_one_may_be_written_to():
    with StandInServer(workspace_id="8") as server:
        client = Client(server)

        assert client.ingest(wire_span())["code"] == 600900101
        assert client.upload(form(FILE, WORKSPACE))["code"] == 602000101
        assert client.ingest(wire_span(workspace_id="8"))["code"] == 0


def test_a_token_is_never_quoted(lines):
    with StandInServer(token="s3cret", log=lines.append) as server:
        answers = [
            raw_exchange(server, b"POST " + INGEST.encode() + b" HTTP/1.1\r\nAuthorization: Bearer 0ther\r\n\r\n"),
            raw_exchange(server, b"Authorization: Bearer 0ther\r\n\r\n"),
            raw_exchange(server, b"GET / HTTP/1.1\r\nAuthorization: Bearer 0ther" + b"x" * 70000 + b"\r\n\r\n"),
        ]

    for text in [*(answer.decode() for answer in answers), *lines]:
        assert "0ther" not in text
        assert "s3cret" not in text


# --- files ---


def test_an_uploaded_file_is_kept_under_its_workspace(client, server):
    body = form(FILE, WORKSPACE)

    answer = client.upload(body)

    assert answer == {"code": 0, "msg": "", "data": {"bytes": str(len(body)), "file_name": "7/a.txt"}}
    assert server.store.files() == {"7/a.txt": b"hello"}
    assert server.store.file("7", "a.txt") == b"hello"


def test_the_parts_may_come_in_any_order_and_with_any_content(client, server):
    content = b"\r\n--\r\n--A\r\n\r\n\x00\xff" + bytes(range(256))

    client.upload(b"preamble\r\n" + form(WORKSPACE, (b'name="x"', b""), (FILE[0], content)))

    assert server.store.file("7", "a.txt") == content


@pytest.mark.parametrize(
    "filename, stored",
    [
        (b'filename="a/b/c"', "c"),
        (b'filename="../../etc/passwd"', "passwd"),
        (b"filename=plain", "plain"),
        (b'filename="a\\"b"', 'a"b'),
        ('filename="文.txt"'.encode(), "文.txt"),
        (b"filename*=UTF-8''%E6%96%87.txt", "文.txt"),
    ],
)
def test_of_a_file_name_the_base_name_is_kept(client, filename, stored):
    answer = client.upload(form((b'name="file"; ' + filename, b""), WORKSPACE))

    assert answer["data"]["file_name"] == f"7/{stored}"


def test_a_file_of_the_same_name_replaces_the_first(client, server, lines):
    client.upload(form(FILE, WORKSPACE))
    client.upload(form((FILE[0], b"bye"), WORKSPACE))

    assert server.store.files() == {"7/a.txt": b"bye"}
    assert "replaces" in lines[1]


@pytest.mark.parametrize(
    "body, code",
    [
        (form(FILE), 602000202),
        (form(WORKSPACE), 602000202),
        (form((b'name="file"', b"no file name"), WORKSPACE), 602000202),
        (form((b'name="file"; filename="/"', b""), WORKSPACE), 602000202),
        (form(FILE, (WORKSPACE[0], b"")), 602000202),
        (form(FILE, (WORKSPACE[0], b"ws1")), 602000702),
        (form(FILE, (WORKSPACE[0], b"0")), 602000703),
        (b"", 602000202),
        (b"--B", 602000202),
        (b"--B\r\n" * 1000, 602000202),
        (form(FILE, WORKSPACE)[:60], 602000202),
    ],
    ids=repr,
)
def test_an_upload_that_lacks_something_is_refused(client, server, body, code):
    assert client.upload(body)["code"] == code
    assert server.store.files() == {}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=A"],
)
def test_an_upload_that_is_no_form_is_refused(client, content_type):
    assert client.upload(form(FILE, WORKSPACE), content_type)["code"] == 602000202


# --- HTTP ---


@pytest.mark.parametrize("method, path", [("POST", "/v1/loop/nope"), ("GET", INGEST), ("PUT", INGEST), ("BREW", "/")])
def test_unknown_routes_are_404_in_plain_text(client, method, path):
    assert client.request(method, path) == (404, b"Not Found")
    assert client.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("boundary", ["boundary*=%00''", "boundary*=utf-8''%ff", "boundary="])
def test_a_form_whose_boundary_cannot_be_read_is_none(boundary):
    assert parse_multipart("multipart/form-data; " + boundary, b"--x\r\n\r\n\r\n--x--") == []



def test_20_mib_are_read_and_more_is_413(client, server):
    assert client.post(INGEST, b" " * 20 * MIB)["code"] == 602000201
    assert client.post(INGEST, b" " * (20 * MIB + 1)) == (413, "Request Entity Too Large")
    assert client.headers["Connection"] == "close"
    assert client.post(INGEST, iter([b" " * MIB] * 21)) == (413, "Request Entity Too Large")
    assert_alive(server)


def test_a_client_that_asks_first_is_told_to_continue(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(100).startswith(b"HTTP/1.1 404 ")


POST = b"POST /v1/loop/traces/ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (POST + b"Content-Length: x\r\n\r\n", b"400"),
        (POST + b"Content-Length: -1\r\n\r\n", b"400"),
        (POST + b"Content-Length: 1_0\r\n\r\n0123456789", b"400"),
        (POST + "Content-Length: ²\r\n\r\n".encode("latin-1"), b"400"),
        (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"400"),
        (POST + b"Content-Length: 99999999999\r\n\r\n", b"413"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 100000, b"400"),
        (POST + b"X: " + b"x" * 100000 + b"\r\n\r\n", b"431"),
        (POST + b"X: y\r\n" * 1000 + b"\r\n", b"431"),
        (b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"hello\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"404"),
    ],
    ids=lambda value: repr(value[-24:]),
)
def test_malformed_http_is_answered_in_plain_text_and_survived(server, request_bytes, status):
    answer = raw_exchange(server, request_bytes)

    assert answer.split(b"\r\n")[0].split(b" ")[:2] == [b"HTTP/1.1", status]
    assert b"text/plain" in answer
    assert_alive(server)


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"\r\n", POST, POST + b"Content-Length: 10\r\n\r\nabc", POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc"],
    ids=lambda value: repr(value[-24:]),
)
def test_a_client_that_goes_away_is_survived(server, lines, request_bytes):
    raw_exchange(server, request_bytes)

    assert_alive(server)
    assert not any("error" in line for line in lines)


# --- reading back ---


def test_the_read_api_lists_traces_and_shows_one(client):
    client.ingest(wire_span(1, status_code=-1), wire_span(2, parent_id=f"{1:016x}", span_name="leaf"))
    client.ingest(wire_span(3, trace_id="a" * 32, span_name="second"))

    second, first = client.get("/api/traces")["traces"]
    assert (second["trace_id"], second["name"]) == ("a" * 32, "second")
    assert (first["trace_id"], first["name"], first["spans"], first["errors"]) == (TRACE_ID, "greet", 2, 1)
    assert len(client.get("/api/traces?limit=1")["traces"]) == 1
    assert [span["span_name"] for span in client.get(f"/api/traces/{TRACE_ID}")["spans"]] == ["greet", "leaf"]
    assert client.get("/api/traces/none") == 404
    assert client.get("/api/nope") == 404


def test_the_counts_are_readable(client):
    client.ingest(wire_span(1), wire_span(2, started_at_micros=1))
    client.ingest()
    client.upload(form(FILE, WORKSPACE))
    client.request("POST", "/nope")

    assert client.get("/api/stats") == {
        "requests": 4,
        "spans": 2,
        "dropped": 1,
        "duplicates": 0,
        "traces": 1,
        "files": 1,
        "warnings": 1,
        "refused": {"404": 1, "600904002": 1},
    }


def test_with_a_token_reading_needs_it_too():
    with StandInServer(token="s3cret") as server:
        client = Client(server)

        assert client.get("/api/stats") == 403
        assert client.get("/api/stats", Authorization="Bearer s3cret")["requests"] == 0


@pytest.mark.parametrize(
    "host, readable", [("localhost:8888", True), ("127.0.0.1", True), ("[::1]:80", True), ("evil.example", False)]
)
def test_a_web_page_cannot_read_by_rebinding_its_name(client, host, readable):
    answer = client.get("/api/stats", Host=host)

    assert (answer != 403) is readable


# --- life and death ---


def test_spans_and_files_survive_a_restart(tmp_path):
    db = str(tmp_path / "spans.sqlite3")
    with StandInServer(db=db) as server:
        Client(server).ingest(wire_span(tags_string={"k": "x" * 1025}))
        Client(server).upload(form(FILE, WORKSPACE))
        before = server.store.spans()

    with StandInServer(db=db, port=server.port) as restarted:
        assert restarted.url == server.url
        assert restarted.store.spans() == before
        assert restarted.store.files() == {"7/a.txt": b"hello"}
        assert restarted.store.stats()["requests"] == 2


def test_a_path_object_may_name_the_database(tmp_path):
    with StandInServer(db=tmp_path / "spans.sqlite3") as server:
        Client(server).ingest(wire_span())
        assert Client(server).get("/api/status")["db"] == str(tmp_path / "spans.sqlite3")
    with StandInServer(db=str(tmp_path / "spans.sqlite3")) as server:
        assert len(server.store.spans()) == 1


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be removed")
def test_a_database_that_is_removed_while_the_server_runs_is_begun_anew(tmp_path):
    with StandInServer(db=str(tmp_path / "spans.sqlite3")) as server:
        client = Client(server)
        client.ingest(wire_span(1))
        since = client.get("/api/traces")["since"]
        for path in tmp_path.iterdir():
            path.unlink()

        assert client.ingest(wire_span(1), wire_span(2)) == {"code": 0, "msg": ""}

        assert [trace["spans"] for trace in client.get("/api/traces")["traces"]] == [2]
        assert client.get("/api/events?since=" + since)["reset"] is True
        assert client.get("/api/status")["stats"]["spans"] == 2


def test_a_stopped_server_answers_no_more_not_even_on_open_connections(server, client):
    client.get("/ping")

    server.stop()

    with pytest.raises((OSError, http.client.HTTPException)):
        client.get("/ping")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_who_comes_when_all_connections_are_taken_waits_until_one_ends(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    with StandInServer() as server:
        asked = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(3)]
        for connection in asked:
            connection.request("GET", "/ping")
        assert [connection.getresponse().read() for connection in asked[:2]] == [b'{"code": 0, "msg": ""}'] * 2
        assert select.select([asked[2].sock], [], [], 0.5)[0] == [], "answered although two are open"
        asked[0].close()
        assert asked[2].getresponse().status == 200
        for connection in asked:
            connection.close()


def test_a_server_whose_connections_are_all_taken_can_be_stopped(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    with StandInServer() as server:
        asked = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(3)]
    for connection in asked:
        connection.close()


def test_stopping_twice_or_before_the_start_is_fine():
    server = StandInServer()
    server.stop()
    server.stop()


def test_an_address_in_use_is_an_error(server):
    with pytest.raises(OSError):
        StandInServer(port=server.port)


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)

    with pytest.raises(sqlite3.Error):
        StandInServer(db=str(tmp_path / "notes.txt"))


def test_it_prints_nothing(capfd):
    with StandInServer() as server:
        Client(server).ingest(wire_span())
        raw_exchange(server, b"hello\r\n\r\n")

    assert capfd.readouterr() == ("", "")
