"""Images, files and large texts: what is lifted out of a value, what it becomes, and what stays as it is."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozeloop_lite.spec.tracespec import (
    ModelAudioURL,
    ModelChoice,
    ModelFileURL,
    ModelImageURL,
    ModelInput,
    ModelMessage,
    ModelMessagePart,
    ModelMessagePartType,
    ModelOutput,
    ModelVideoURL,
)
from cozeloop_lite.trace import media, values

PNG = "data:image/png;base64," + base64.b64encode(b"picture").decode()


def lift(value, field="input"):
    lifter = media.Lifter(field, lambda: "prefix")
    return lifter.lift(value), lifter


def part(url, kind="image_url", **more):
    return {"type": kind, kind: {"url": url, **more}}


def messages(*parts, where="parts"):
    return {"messages": [{"role": "user", where: list(parts)}]}


def files_of(value, field="input"):
    """The text, the uploads and the parsed object_storage of a value."""
    lifted, lifter = lift(value, field)
    files = media.Files("prefix")
    text = files.place(values.to_text(lifted, 10**9), lifter.parts)
    storage, without_room = files.storage()
    assert len(storage.encode()) <= 1024
    return text, files, json.loads(storage) if storage else {}, without_room


# -- data URLs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("data:image/png;base64,cGljdHVyZQ==", b"picture"),
        ("data:;base64,cGljdHVyZQ==", b"picture"),
        ("data:text/plain;charset=utf-8;name=a;base64,aGVsbG8=", b"hello"),
        ("DATA:IMAGE/PNG;BASE64,cGljdHVyZQ==", b"picture"),
        ("data:image/png;base64,cGljdHVyZQ", b"picture"),  # unpadded
        ("data:image/png;base64,cGljdHVyZQ%3D%3D", b"picture"),  # percent-encoded
        ("data:image/png;base64,cGlj\r\ndHVyZQ==", b"picture"),  # broken into lines
        ("data:application/octet-stream;base64,_-8", b"\xff\xef"),  # URL-safe
        ("data:application/octet-stream;base64,/+8=", b"\xff\xef"),
        ("data:,hello%20world", b"hello world"),  # no base64 at all: RFC 2397
        ("data:text/plain;charset=utf-8,%E4%B8%AD", "中".encode()),
        ("data:text/plain,中", "中".encode()),
    ],
)
def test_a_data_url_has_a_content(url, content):
    assert media.decode(url) == content


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,!!!", "data:image/png;base64,A", "data:image/png;base64", "data:", "data:,", "中"]
)
def test_what_is_no_data_url_has_none(url):
    assert media.decode(url) is None


@given(st.binary(min_size=1, max_size=200), st.booleans(), st.booleans(), st.sampled_from(["", "text/plain", "a;c=d"]))
def test_any_content_survives_any_way_of_writing_it(content, url_safe, padded, kind):
    encoded = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(content).decode()
    assert media.decode("data:%s;base64,%s" % (kind, encoded if padded else encoded.rstrip("="))) == content
    assert media.decode("data:%s,%s" % (kind, quote(content))) == content


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_a_data_url_or_not_and_nothing_else(text):
    for url in (text, "data:" + text, "data:;base64," + text):
        assert media.decode(url) is None or isinstance(media.decode(url), bytes)


# -- what is lifted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["parts", "content"])
@pytest.mark.parametrize("kind", ["image_url", "file_url", "audio_url", "video_url"])
@pytest.mark.parametrize(
    "url", [PNG, b"picture", bytearray(b"picture"), memoryview(b"picture")], ids=lambda url: type(url).__name__
)
def test_every_kind_of_part_is_uploaded_and_replaced_by_its_key(where, kind, url):
    text, files, storage, _ = files_of(messages(part(url, kind, name="n"), where=where))
    (key,) = files.uploads
    assert files.uploads[key] == b"picture"
    assert json.loads(text) == messages(part(key, kind, name="n"), where=where)
    assert storage == {"Attachments": [{"field": "input", "name": "n", "type": kind[:-4], "tos_key": key}]}


def test_the_forms_of_other_clients_are_known():
    data = base64.b64encode(b"picture").decode()
    value = messages(
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"file_data": PNG, "filename": "a.pdf"}},
        {"type": "input_image", "image_url": "data:image/png;base64,b3RoZXI="},
        {"type": "base64_data", "base64_data": "data:image/png;base64,dGhpcmQ="},
        where="content",
    )
    text, files, _, _ = files_of(value)
    assert sorted(files.uploads.values()) == [b"other", b"picture", b"third"]  # the first two are the same bytes
    assert "base64," not in text
    assert data not in text


def test_dataclasses_are_as_good_as_dicts():
    value = ModelInput(
        messages=[
            ModelMessage(
                role="user",
                parts=[
                    ModelMessagePart(type=ModelMessagePartType.TEXT, text="look"),
                    ModelMessagePart(type=ModelMessagePartType.IMAGE, image_url=ModelImageURL(name="a", url=PNG)),
                    ModelMessagePart(type=ModelMessagePartType.FILE, file_url=ModelFileURL(name="b", url=b"file")),
                    ModelMessagePart(type=ModelMessagePartType.AUDIO, audio_url=ModelAudioURL(url=b"sound")),
                    ModelMessagePart(type=ModelMessagePartType.VIDEO, video_url=ModelVideoURL(url=b"film")),
                ],
            )
        ]
    )
    text, files, storage, _ = files_of(value)
    assert list(files.uploads.values()) == [b"picture", b"file", b"sound", b"film"]
    parts = json.loads(text)["messages"][0]["parts"]
    assert parts[0] == {"type": "text", "text": "look"}  # what is absent is left out, never null
    assert [entry["type"] for entry in storage["Attachments"]] == ["image", "file", "audio", "video"]


def test_the_output_of_a_model_has_parts_too():
    answer = ModelMessage(role="assistant", parts=[ModelMessagePart(image_url=ModelImageURL(url=PNG))])
    for value in (
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": [part(PNG)]}}]},
        ModelOutput(choices=[ModelChoice(message=answer)]),
    ):
        _, files, storage, _ = files_of(value, "output")
        assert list(files.uploads.values()) == [b"picture"]
        assert storage["Attachments"][0]["field"] == "output"


def test_the_callers_objects_are_not_modified():
    value = messages(part(PNG), part(b"file", "file_url"))
    before = repr(value)
    spec = ModelInput(messages=[ModelMessage(parts=[ModelMessagePart(image_url=ModelImageURL(url=PNG))])])
    lift(value)
    lift(spec)
    assert repr(value) == before
    assert spec.messages[0].parts[0].image_url.url == PNG


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "http://x/y", "file-abc123", "", "hello,aGVsbG8=", "aGVsbG8=", None, 5]
)
def test_links_and_whatever_else_stay_as_they_are(url):
    value = messages(part(url))
    lifted, lifter = lift(value)
    assert lifted is value
    assert not lifter.parts


def test_a_data_url_that_cannot_be_decoded_is_put_back():
    bad = 'data:image/png;base64,"not base64"\n'
    text, files, storage, _ = files_of(messages(part(bad)))
    assert json.loads(text) == messages(part(bad))
    assert not files.uploads
    assert not storage


@pytest.mark.parametrize(
    "value",
    [None, 5, "text", [], {}, {"messages": None}, {"messages": 5}, {"messages": [None, 5, "x", {}]},
     {"messages": [{"parts": [None, 5, {"image_url": None}, {"image_url": {"url": {}}}]}]}],
)  # fmt: skip
def test_values_of_another_shape_are_left_alone(value):
    lifted, lifter = lift(value)
    assert lifted is value
    assert not lifter.parts


# -- seen at a glance -------------------------------------------------------------------------------------------------

contents = st.one_of(
    st.text(max_size=3),
    st.none(),
    st.integers(),
    st.lists(st.sampled_from([part(PNG), part("https://x/y"), {"type": "text", "text": "t"}, "text"]), max_size=2),
    st.lists(st.just(part(PNG)), max_size=1).map(tuple),
)
fields = st.dictionaries(st.sampled_from(["role", "content", "parts", "tool_calls"]), contents, max_size=3)
items = st.one_of(
    fields,
    st.fixed_dictionaries({"message": st.one_of(fields, st.text(max_size=3))}),
    st.sampled_from(["text", 1, None, (), ModelMessage(role="user", content="x"), object()]),
    st.just(ModelMessage(parts=[ModelMessagePart(image_url=ModelImageURL(url=PNG))])),
)
conversations = st.dictionaries(
    st.sampled_from(["messages", "choices", "input", "output", "prompts", "templates", "other"]),
    st.one_of(st.lists(items, max_size=3), st.lists(items, max_size=3).map(tuple), contents),
    max_size=3,
)


@settings(max_examples=500)
@given(st.one_of(conversations, items, st.lists(conversations, max_size=2)))
def test_what_has_no_parts_at_a_glance_has_none(value):
    if media.has_none(value):
        lifted, lifter = lift(value)
        assert lifted is value
        assert lifter.parts == lifter.notes == []


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [1]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [1]}]},
        {"choices": ({"index": 0, "content": "hi"},), "input": "text", "output": ["text"]},
        {"messages": list(range(media.MAX_WALKED + 1))},
        [{"messages": [part(PNG)]}],
        5,
    ],
)
def test_the_usual_values_are_seen_to_have_none(value):
    assert media.has_none(value)


@pytest.mark.parametrize(
    "value", [messages(part(PNG)), messages(part(PNG), where="content"), {"choices": [{"message": {}}]}, ModelInput()]
)
def test_what_may_have_parts_is_looked_at(value):
    assert not media.has_none(value)


def test_a_key_that_fails_when_it_is_compared_is_not_looked_at_twice():
    class Key(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            raise ValueError("compared")

    assert not media.has_none({Key("messages"): [{"content": "hi"}]})


def test_the_same_bytes_go_up_once():
    text, files, storage, _ = files_of(messages(part(PNG), part(b"picture"), part(PNG, "file_url")))
    assert len(files.uploads) == 1
    (key,) = files.uploads
    assert text.count('"%s"' % key) == 3
    assert len(storage["Attachments"]) == 1


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_at_least_ten_files_have_room_and_the_rest_is_named():
    _, files, storage, without_room = files_of(messages(*[part(b"%d" % n, name="n" * 40) for n in range(16)]))
    kept = len(storage["Attachments"])
    assert 10 <= kept < 16
    assert len(files.uploads) == kept
    assert len(files.left_out) == len(without_room) == 16 - kept


def test_the_keys_of_many_files_do_not_mix():
    text, files, _, _ = files_of(messages(*[part("data:;base64,!%d" % n if n == 1 else b"%d" % n) for n in range(12)]))
    urls = [item["image_url"]["url"] for item in json.loads(text)["messages"][0]["parts"]]
    assert urls[1] == "data:;base64,!1"
    assert [files.uploads.get(url) for url in urls if url != urls[1]][:9] == [b"0", *[b"%d" % n for n in range(2, 10)]]


def test_ten_files_have_room_beside_two_large_texts():
    _, lifter = lift(messages(*[part(b"picture %d" % n) for n in range(16)]))
    files = media.Files("%024x" % 1)
    for number, lifted_part in enumerate(lifter.parts):
        lifted_part.key = "%024x_i%02d" % (1, number)
    files.place("", lifter.parts)
    for field in ("input", "output"):
        files.large(field, "x" * 10, 9)
    assert len(json.loads(files.storage()[0])["Attachments"]) >= 10


def test_a_hundred_images_keep_no_more_than_can_be_sent():
    lifted, lifter = lift(messages(*[part(PNG + "AAAA" * n) for n in range(100)]))
    assert len(lifter.parts) == media.MAX_LIFTED
    assert lifter.notes == ["input: files more than a span can have: %d" % (100 - media.MAX_LIFTED)]
    assert "base64," not in json.dumps(lifted)


def test_one_image_again_and_again_leaves_room_for_others():
    parts = [*[part(b"one")] * 50, *[part(PNG)] * 50, part(b"the last")]
    text, files, _, _ = files_of(messages(*parts))
    urls = [item["image_url"]["url"] for item in json.loads(text)["messages"][0]["parts"]]
    assert [files.uploads[url] for url in urls] == [*[b"one"] * 50, *[b"picture"] * 50, b"the last"]
    assert len(files.uploads) == 3


@pytest.mark.parametrize("url", [b"x" * (31 << 20), "data:image/png;base64," + "A" * (42 << 20)], ids=["bytes", "text"])
def test_a_file_that_the_server_would_refuse_is_not_kept(url):
    lifted, lifter = lift(messages(part(url)))
    assert not lifter.parts
    assert "input: a file of about" in lifter.notes[0]
    assert "not uploaded" in lifted["messages"][0]["parts"][0]["image_url"]["url"]


def test_a_large_text_shows_its_first_thousand_characters():
    files = media.Files("prefix")
    assert files.large("input", "中" * 2_000_000, 1_048_576) == "中" * 1000
    assert files.uploads == {"prefix_input": ("中" * 2_000_000).encode()}
    assert json.loads(files.storage()[0]) == {"input_tos_key": "prefix_input"}
