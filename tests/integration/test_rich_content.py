"""Large texts and files on their way to a real server: uploaded, retried, bounded, counted."""

from __future__ import annotations

import base64
import json
import threading
import time

import pytest

import cozeloop_lite
from cozeloop_lite.config import TagTruncateConf
from cozeloop_lite.local import StandInServer
from cozeloop_lite.masking import mask_secrets
from cozeloop_lite.spec.tracespec import ModelImageURL, ModelInput, ModelMessage, ModelMessagePart
from support.recording import RecordingServer, json_answer

INGEST, UPLOAD = "/v1/loop/traces/ingest", "/v1/loop/files/upload"


def image(content, name=None):
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return ModelMessagePart(type="image_url", image_url=ModelImageURL(name=name, url=url))


def model_input(*parts):
    return ModelInput(messages=[ModelMessage(role="user", parts=list(parts))])


def by_path(answers):
    """A server's answer for each path; anything else is a success."""

    def answer(request):
        return answers.get(request.path, lambda: json_answer({"code": 0, "msg": ""}))()

    return answer


def uploads(server):
    return [request for request in server.requests if request.path == UPLOAD]


def test_the_stand_in_server_keeps_files_and_warns_about_none():
    with StandInServer() as server, cozeloop_lite.new_client(server.url, "7", "t", ultra_large_report=True) as client:
        with client.start_span("model", "model") as span:
            span.set_input(model_input(image(b"one", "a.png"), image(b"two"), image(b"one")))
            span.set_output("x" * 2_000_000)
        assert client.flush(30)
        (stored,) = server.store.spans()
        storage = json.loads(stored["object_storage"])
        keys = [entry["tos_key"] for entry in storage["Attachments"]]
        assert [server.store.file("7", key) for key in keys] == [b"one", b"two"]
        assert server.store.file("7", storage["output_tos_key"]) == b"x" * 2_000_000
        urls = [part["image_url"]["url"] for part in json.loads(stored["input"])["messages"][0]["parts"]]
        assert urls == [keys[0], keys[1], keys[0]]
        assert stored["output"] == "x" * 1000
        assert stored["warnings"] == []
        assert client.stats()["files"] == {"delivered": 3, "queued": 0, "dropped": {}}


def test_without_ultra_large_report_a_large_text_is_cut():
    with RecordingServer() as server, cozeloop_lite.new_client(server.url, "7", "t") as client:
        with client.start_span("s") as span:
            span.set_input("x" * 2_000_000)
        with client.start_span("told") as span:
            span.set_ultra_large_report(True)
            span.set_input("x" * 2_000_000)
        assert client.flush(30)
        cut, whole = server.spans()
        assert len(cut["input"]) == 1_048_576
        assert json.loads(cut["system_tags_string"]["cut_off"]) == ["input"]
        assert len(whole["input"]) == 1000
        assert len(uploads(server)) == 1


def test_an_upload_that_fails_is_tried_again_and_spans_go_on_meanwhile():
    failures = [json_answer({}, status=503) for _ in range(2)]
    answer = by_path({UPLOAD: lambda: failures.pop() if failures else json_answer({"code": 0})})
    with RecordingServer() as server, cozeloop_lite.new_client(server.url, "7", "t") as client:
        server.default = answer
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one")))
        for _ in range(3):
            client.start_span("other").finish()
        assert client.flush(30)
        assert len(uploads(server)) == 3
        assert len(server.spans()) == 4
        assert client.stats()["files"] == {"delivered": 1, "queued": 0, "dropped": {}}


def test_an_upload_that_is_refused_is_counted():
    answer = by_path({UPLOAD: lambda: json_answer({"code": 602001001, "msg": "file size is too large"})})
    with RecordingServer() as server, cozeloop_lite.new_client(server.url, "7", "t") as client:
        server.default = answer
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one"), image(b"two")))
        assert client.flush(30) is False
        assert client.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {"refused": 2}}
        assert client.stats()["delivered"] == 1


def test_files_of_a_span_that_was_refused_are_not_sent():
    answer = by_path({INGEST: lambda: json_answer({"code": 600904002, "msg": "invalid param"})})
    with RecordingServer() as server, cozeloop_lite.new_client(server.url, "7", "t") as client:
        server.default = answer
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one")))
        assert client.flush(30) is False
        assert not uploads(server)


def test_an_upload_holds_spans_back_for_no_longer_than_itself():
    blocked, release = threading.Event(), threading.Event()

    def slow(request):
        if request.path == UPLOAD:
            blocked.set()
            release.wait(30)
        return json_answer({"code": 0, "msg": ""})

    with RecordingServer() as server, cozeloop_lite.new_client(server.url, "7", "t", upload_timeout=60) as client:
        server.default = slow
        with client.start_span("s") as span:
            span.set_input(model_input(*[image(b"%d" % number) for number in range(5)]))
        flushing = threading.Thread(target=client.flush, args=(30,))
        flushing.start()
        assert blocked.wait(30)
        for _ in range(100):
            client.start_span("more").finish()
        release.set()
        flushing.join()
        assert client.flush(30)
        order = [request.path for request in server.requests]
        assert order[:3] == [INGEST, UPLOAD, INGEST]
        assert order.count(UPLOAD) == 5


def test_close_sends_the_files_of_all_batches_that_wait():
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t")
        for number in range(250):
            client.start_span("%d" % number, start_new_trace=True).finish()
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one")))
        assert client.close(30)
        assert client.stats()["files"] == {"delivered": 1, "queued": 0, "dropped": {}}
        assert len(server.spans()) == 251


def test_close_does_not_wait_for_uploads_longer_than_it_may():
    release = threading.Event()

    def stuck(request):
        if request.path == UPLOAD:
            release.wait(30)
        return json_answer({"code": 0, "msg": ""})

    with RecordingServer() as server:
        server.default = stuck
        client = cozeloop_lite.new_client(server.url, "7", "t")
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one"), image(b"two")))
        assert client.flush(0.1) is False
        server.wait_for(uploads)
        assert client.close(timeout=0.5) is False
        assert client.stats()["delivered"] == 1
        release.set()


@pytest.mark.parametrize("count", [100])
def test_a_hundred_images_in_one_span(count):
    with StandInServer() as server, cozeloop_lite.new_client(server.url, "7", "t") as client:
        with client.start_span("model", "model") as span:
            span.set_input(model_input(*[image(b"%d" % number) for number in range(count)]))
        assert client.flush(30)
        (stored,) = server.store.spans()
        kept = json.loads(stored["object_storage"])["Attachments"]
        assert 10 <= len(kept) == len(server.store.files())
        assert stored["warnings"] == []
        assert "input image " in stored["system_tags_string"]["cut_off"]
        assert "not_uploaded" in stored["tags_string"]


def test_more_bytes_than_may_wait_cost_the_files_and_not_the_span():
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", queue_max_bytes=200_000)
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"x" * 300_000)))
        assert client.close()
        (sent,) = server.spans()
        assert "too many bytes" in sent["tags_string"]["not_uploaded"]
        assert json.loads(sent["input"])["messages"][0]["parts"][0]["image_url"]["url"] == ""
        assert not uploads(server)


@pytest.mark.parametrize("of_the_client", [True, False])
def test_more_bytes_than_may_wait_cost_a_large_text_its_file_and_not_the_span(of_the_client):
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(
            server.url, "7", "t", queue_max_bytes=3_000_000, ultra_large_report=of_the_client
        )
        with client.start_span("s") as span:
            if not of_the_client:
                span.set_ultra_large_report(True)
            span.set_input("x" * 8_000_000)
        assert client.close()
        (sent,) = server.spans()
        assert sent["input"] == "x" * (1 << 20)
        assert not uploads(server)


def test_what_is_kept_out_is_kept_out():
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", record_inputs=False, record_outputs=False)
        with client.start_span("s") as span:
            span.set_input("secret")
            span.set_output({"secret": 1})
            span.set_tags({"input": "secret", "output": "secret", "other": "told"})
        assert cozeloop_lite.observe(lambda secret: secret, record_inputs=True, client=client)("secret") == "secret"
        assert client.close()
        assert "secret" not in "".join(json.dumps([sent["input"], sent["output"]]) for sent in server.spans())
        assert server.spans()[0]["tags_string"] == {"other": "told"}


def test_a_mask_sees_every_text_and_the_keys_of_files_survive_it():
    def mask(text):
        return text.replace("secret", "***").translate({ord(digit): "#" for digit in "0123456789"})

    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=mask, ultra_large_report=True)
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one"), ModelMessagePart(type="text", text="the secret 12")))
            span.set_output("secret" * 400_000)
            span.set_tags({"a": "secret", "n": 5})
            span.set_error("secret 12")
            span.set_baggage({"b": "secret"})
        assert client.close()
        (sent,) = server.spans()
        (entry,) = json.loads(sent["object_storage"])["Attachments"]
        assert '"url":"%s"' % entry["tos_key"] in sent["input"]
        assert "the *** ##" in sent["input"]
        assert sent["tags_string"] == {"a": "***", "error": "*** ##", "b": "***"}
        assert sent["tags_long"] == {"n": 5}
        assert all(b"secret" not in request.body for request in server.requests)


def test_a_mask_sees_names_of_files_and_files_that_are_text():
    def mask(text):
        return text.replace("secret", "***")

    picture = b"\x89PNG\r\n\x1a\n\x00\x00secret"
    with StandInServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=mask)
        with client.start_span("s") as span:
            note = {"type": "file_url", "file_url": {"name": "secret.txt", "url": "the secret 密码".encode()}}
            other = {"type": "file_url", "file_url": {"url": "data:text/plain,another%20secret"}}
            odd = {"type": "file_url", "file_url": {"url": b"\0, a secret"}}
            small = image(b"GIF89a\x01\0\x01\0secret")
            span.set_input({"messages": [{"role": "user", "parts": [note, other, odd, image(picture), small]}]})
        assert client.close()
        (stored,) = server.store.spans()
        entries = json.loads(stored["object_storage"])["Attachments"]
        assert [entry["name"] for entry in entries[:2]] == ["***.txt", ""]
        contents = [server.store.file("7", entry["tos_key"]) for entry in entries]
        assert contents == ["the *** 密码".encode(), b"another ***", b"\0, a ***", picture, b"GIF89a\x01\0\x01\0secret"]


def test_what_a_mask_makes_of_the_name_or_text_of_a_file_need_not_be_fit_to_be_sent():
    with StandInServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=lambda text: text + "\ud800")
        with client.start_span("s") as span:
            part = {"type": "file_url", "file_url": {"name": "a.txt", "url": b"text"}}
            span.set_input({"messages": [{"role": "user", "parts": [part]}]})
        assert client.close()
        (stored,) = server.store.spans()
        assert json.loads(stored["object_storage"])["Attachments"][0]["name"] == "a.txt?"
        assert list(server.store.files().values()) == [b"text?"]


def test_of_a_mask_that_fails_at_a_file_a_placeholder_goes_up():
    with StandInServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=fails)
        with client.start_span("s") as span:
            part = {"type": "file_url", "file_url": {"name": "secret", "url": b"secret"}}
            span.set_input({"messages": [{"role": "user", "parts": [part]}]})
        assert client.close()
        assert list(server.store.files().values()) == [b"(masked: the mask failed)"]
        assert "secret" not in json.dumps(server.store.spans())


@pytest.mark.parametrize("ultra_large_report", [False, True])
def test_a_cut_leaves_no_part_of_what_a_mask_would_have_found(ultra_large_report):
    secret, end = "11010519491231002X", " and more" * 10_000

    def upto(limit, secret_chars):  # so that the limit goes through the secret
        return "x" * (limit - secret_chars - 1) + " " + secret + end

    conf = TagTruncateConf(input_output_field_max_byte=1 << 16)
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(
            server.url, "7", "t", mask=mask_secrets, ultra_large_report=ultra_large_report, tag_truncate_conf=conf
        )
        for secret_chars in (3, 17):
            with client.start_span("s") as span:
                span.set_input(upto(1 << 16, secret_chars))
                span.set_output({"": upto((1 << 16) - 5, secret_chars)})
                span.set_tags({"tag": upto(1024, secret_chars), "user_id": upto(1024, secret_chars)})
                span.set_error(ValueError(upto(1024, secret_chars)))
                span.set_system_tags({"system": upto(1024, secret_chars)})
        assert client.close(30)
        assert len(server.spans()) == 2
        assert all(b" 110" not in request.body for request in server.requests)
        for sent in server.spans():
            assert sent["tags_string"]["tag"].startswith("x" * 1000)
            cut = json.loads(sent["system_tags_string"]["cut_off"])
            assert {"tag", "user_id", "error", "system"} <= set(cut)
            assert ultra_large_report == (not {"input", "output"} & set(cut))


def test_the_end_of_a_cut_text_is_left_out_where_a_mask_makes_it_shorter():
    seen = []

    def mask(text):
        seen.append(text)
        return text.replace("long ", "")  # what comes last would else be sent

    with RecordingServer() as server:
        conf = TagTruncateConf(input_output_field_max_byte=1 << 16)
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=mask, tag_truncate_conf=conf)
        with client.start_span("s") as span:
            span.set_tags({"tag": "long " * 1010 + "a beginning of a long " + "x" * 9000})
            span.set_input("long " * 13_500 + "a beginning of a long " + "x" * 9000)
        assert client.close(30)
        (sent,) = server.spans()
    assert [("x" * 20 in text) for text in seen] == [True, True]
    assert sent["tags_string"]["tag"] == sent["input"] == ""
    assert set(json.loads(sent["system_tags_string"]["cut_off"])) == {"tag", "input"}


def test_the_key_of_a_file_that_input_and_output_share_survives_a_mask():
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=lambda text: "*" * len(text))
        with client.start_span("s") as span:
            span.set_input(model_input(image(b"one")))
            span.set_output({"choices": [{"message": {"role": "assistant", "parts": [image(b"one")]}}]})
        assert client.close()
        (sent,) = server.spans()
        (entry,) = json.loads(sent["object_storage"])["Attachments"]
        assert entry["tos_key"] in sent["input"]
        assert entry["tos_key"] in sent["output"]


def fails(text):
    raise RuntimeError(text)


def forgets_to_return(text):
    text.replace("secret", "***")


class Odd(type):
    @property
    def __name__(cls):
        raise RuntimeError("not to be asked")


@pytest.mark.parametrize("mask", [fails, forgets_to_return, str.encode, lambda text: Odd("Odd", (), {})()])
def test_a_mask_that_fails_lets_nothing_through_and_says_so(mask, logged):
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=mask)
        with client.start_span("s") as span:
            span.set_input("secret")
            span.set_tags({"a": "secret"})
        assert client.close()
        assert b"secret" not in server.requests[0].body
        assert server.spans()[0]["input"] == "(masked: the mask failed)"
    (said,) = [line for line in logged() if "mask" in line]
    assert "secret" not in said


def test_a_mask_sees_no_empty_text_and_its_text_is_taken_as_one():
    class Text(str):
        def __len__(self):
            return 0

        encode = __str__ = None

    seen = []

    def mask(text):
        seen.append(text)
        return Text("*" * len(text))

    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=mask)
        with client.start_span("s") as span:
            span.set_input("secret")
            span.set_tags({"empty": "", "long": "x" * 2000})
        assert client.close()
        (sent,) = server.spans()
    assert sent["input"] == "******"
    assert sent["tags_string"] == {"empty": "", "long": "*" * 1024}
    assert "" not in seen


def test_the_stand_in_server_warns_of_a_key_without_a_file_until_the_file_arrives():
    with StandInServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t")
        span = {
            "started_at_micros": int(time.time() * 1e6),
            "duration_micros": 1,
            "span_id": "1" * 16,
            "parent_id": "0",
            "trace_id": "1" * 32,
            "workspace_id": "7",
            "span_name": "s",
            "span_type": "custom",
            "status_code": 0,
            "input": "",
            "output": "",
            "object_storage": json.dumps({"input_tos_key": "the-key"}),
        }
        client.api.post(INGEST, {"spans": [span]})
        assert "the-key" in server.store.spans()[0]["warnings"][0]
        client.api.upload_file(UPLOAD, b"content", "the-key", {"workspace_id": "7"})
        assert server.store.spans()[0]["warnings"] == []
        client.close()


def test_what_turns_out_to_be_no_file_is_masked_all_the_same():
    with RecordingServer() as server:
        client = cozeloop_lite.new_client(server.url, "7", "t", mask=lambda text: text.replace("secret", "***"))
        with client.start_span("s") as span:
            span.set_input({"messages": [{"content": [{"type": "file", "file": {"file_data": "data: secret"}}]}]})
        assert client.close()
        assert b"secret" not in server.requests[0].body


def test_a_server_that_echoes_the_token_does_not_bring_it_into_an_error():
    answer = json_answer({"code": 5, "msg": "you sent Bearer my-token"}, headers={"x-tt-logid": "my-token"})
    with RecordingServer() as server:
        server.default = answer
        client = cozeloop_lite.new_client(server.url, "7", "my-token")
        with pytest.raises(cozeloop_lite.RemoteServiceError) as caught:
            client.api.get("/x")
        assert "my-token" not in str(caught.value) + repr(caught.value.__dict__)
        client.close()
