"""Whatever the setters are given: no exception reaches the caller, the JSON is valid, and every limit holds."""

from __future__ import annotations

import base64
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cozeloop_lite
from cozeloop_lite.trace.encoding import Limits, encode
from cozeloop_lite.trace.record import record_of
from support.effort import tries

LIMITS = {"value": 40, "text": 120}  # bytes; small, so that what is generated meets them

# Lone surrogates, NUL and characters of four bytes included, often.
characters = st.one_of(
    st.characters(),
    st.sampled_from(["\x00", "\ud800", "\udfff", "\U0001f600", "中", '"', "\\", "\n"]),
)
texts = st.text(characters, max_size=150)
urls = st.one_of(
    texts,
    texts.map(lambda text: "data:" + text),
    texts.map(lambda text: "data:image/png;base64," + text),
    st.binary(max_size=60).map(lambda data: "data:;base64," + base64.b64encode(data).decode()),
    st.binary(max_size=60),
)
numbers = st.one_of(st.booleans(), st.integers(), st.floats(), st.complex_numbers())
scalars = st.one_of(st.none(), numbers, texts, st.binary(max_size=40), st.datetimes())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(texts, st.integers(), st.none(), st.tuples(st.integers())), inner, max_size=4),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=15,
)
parts = st.one_of(
    values,
    st.builds(
        lambda slot, field, url, name: {"type": slot, slot: {field: url, "name": name}},
        st.sampled_from(["image_url", "file_url", "audio_url", "video_url", "input_audio", "file"]),
        st.sampled_from(["url", "data", "file_data"]),
        urls,
        texts,
    ),
)
contents = st.one_of(
    values,
    st.builds(
        lambda where, items: {"messages": [{"role": "user", where: items}]},
        st.sampled_from(["parts", "content"]),
        st.lists(parts, max_size=20),
    ),
)


class Sink:
    def export_spans(self, spans):
        pass


def utf8(text):
    return len(text.encode("utf-8"))  # raises for a lone surrogate


@settings(max_examples=tries(100, thorough=1000), deadline=None, suppress_health_check=list(HealthCheck))
@given(contents, contents, st.dictionaries(texts, values, max_size=60), texts, st.booleans())
def test_any_content_is_survived_and_sent_within_the_limits(given_input, given_output, tags, name, ultra):
    client = cozeloop_lite.new_client("http://127.0.0.1:9", "7", "t", exporter=Sink(), ultra_large_report=ultra)
    span = client.start_span(name, name)
    span.set_input(given_input)
    span.set_output(given_output)
    span.set_tags(tags)
    span.set_error(name)
    span.set_baggage({name: name})
    span.set_system_tags(tags)
    span.discard()  # it is encoded here instead of in the daemon thread
    span._duration_ns = 1

    uploads = {}
    data = encode(record_of(span), Limits("7", LIMITS["value"], LIMITS["text"], ultra), uploads)
    wire = json.loads(data.decode("utf-8"), parse_constant=lambda constant: 1 / 0)
    assert utf8(wire["input"]) <= LIMITS["text"] or (ultra and "input_tos_key" in wire["object_storage"])
    assert utf8(wire["output"]) <= LIMITS["text"] or (ultra and "output_tos_key" in wire["object_storage"])
    assert utf8(wire["object_storage"]) <= 1024
    own = [wire[kind] for kind in ("tags_string", "tags_long", "tags_double", "tags_bool")]
    assert sum(map(len, own)) <= 50
    assert all(utf8(key) <= 100 for kind in own for key in kind)
    assert all(utf8(value) <= LIMITS["value"] for value in wire["tags_string"].values())
    assert all(utf8(value) <= 1024 for value in wire["system_tags_string"].values())
    assert all(-(2**63) <= number < 2**63 for number in wire["tags_long"].values())

    storage = json.loads(wire["object_storage"]) if wire["object_storage"] else {}
    named = [entry["tos_key"] for entry in storage.get("Attachments", [])]
    named += [storage[field] for field in ("input_tos_key", "output_tos_key") if field in storage]
    assert sorted(named) == sorted(uploads)
    assert all(len(content) <= 20 * 1024 * 1024 for content in uploads.values())
