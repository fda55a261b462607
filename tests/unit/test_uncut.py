"""With a mask, nothing is cut inside of a value before the mask has seen it; without one, it is cut as ever."""

from __future__ import annotations

import json

import pytest

from cozeloop_lite import new_client, observe
from cozeloop_lite.decorator.observer import ITEM_CHARS, KEPT_ITEMS
from cozeloop_lite.trace.values import MAX_COPIED, REPR_CHARS, to_text

SECRET = "11010519491231002X"
NAN = float("nan")


def mask(text):
    return text.replace(SECRET, "<id_cn>")


class Shown:
    """An object with nothing better than its repr, of which a cut would go through a secret."""

    def __init__(self, secret_chars):
        self._text = "x" * (REPR_CHARS - 1 - secret_chars) + " " + SECRET + " the end"

    def __repr__(self):
        return self._text


class Fails(Shown):
    def __repr__(self):
        raise RuntimeError


def recorded(sink, mask, record):
    """The span that ``record`` was given, as it is sent."""
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask)
    with client.start_span("s") as span:
        record(span)
    assert client.close(60)
    return sink.spans[-1]


def texts_of(wire):
    return json.dumps(wire, separators=(",", ":"))  # no number in it stands after a blank


WRAPS = [
    lambda shown: shown,
    lambda shown: [shown],
    lambda shown: {"a": [1, {"b": shown}]},
    lambda shown: [Fails(1), shown],
    lambda shown: [NAN, shown],
    lambda shown: {NAN: [shown]},
    lambda shown: {shown: 1},
    lambda shown: {(shown, 1): NAN},
    lambda shown: {"messages": [{"content": [{"type": "file", "file": {"file_data": b"x"}}, shown]}]},
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("secret_chars", [3, 17])
@pytest.mark.parametrize("ultra_large_report", [False, True])
def test_a_mask_sees_the_whole_of_a_long_repr(sink, wrap, secret_chars, ultra_large_report):
    def record(span):
        span.set_ultra_large_report(ultra_large_report)
        value = wrap(Shown(secret_chars))
        span.set_input(value)
        span.set_output(value)
        span.set_tags({"tag": value})
        span.set_system_tags({"system": value})
        span.set_runtime({"library": value, "extra": value})

    wire = recorded(sink, mask, record)
    assert " 110" not in texts_of(wire)
    assert wire["input"].count("<id_cn> the end") == wire["output"].count("<id_cn> the end") == 1


def test_of_a_long_repr_no_more_is_sent_than_of_any_text(sink):
    class Endless:
        def __repr__(self):
            return "x" * 3_000_000 + SECRET

    wire = recorded(sink, mask, lambda span: span.set_input([Endless(), Endless()]))
    assert wire["input"] == '["' + "x" * (1_048_576 - 2)
    assert json.loads(wire["system_tags_string"]["cut_off"]) == ["input"]


@pytest.mark.parametrize("ultra_large_report", [False, True])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: {"a": data}, lambda data: [NAN, memoryview(data)]])
def test_a_mask_sees_more_of_bytes_that_are_text_than_is_sent(sink, wrap, ultra_large_report):
    def record(span):
        span.set_ultra_large_report(ultra_large_report)
        span.set_input(wrap(b"x" * (MAX_COPIED - 10) + (" " + SECRET).encode() * 9 + b" " * 2_000_000))

    files = {}
    sink.export_files = files.update
    wire = recorded(sink, mask, record)
    assert " 110" not in texts_of(wire)
    assert b" 110" not in b"".join(files.values())
    assert len(files) == ultra_large_report


@pytest.mark.parametrize("wrap", WRAPS[:-1])
def test_without_a_mask_a_long_repr_is_cut_also_beside_a_client_that_has_one(sink, wrap):
    value = wrap(Shown(3))
    before = recorded(sink, None, lambda span: span.set_input(value))["input"]
    recorded(sink, mask, lambda span: span.set_input(value))
    recorded(sink, mask, lambda span: span.set_input(Fails(1)))
    assert recorded(sink, None, lambda span: span.set_input(value))["input"] == before == to_text(value, 10_000)
    assert " 11" in before and "the end" not in before



@pytest.mark.parametrize("place", [0, 1, 2 * KEPT_ITEMS - 1])
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text, 5], lambda text: {"a": [NAN, text]}])
def test_a_mask_sees_the_whole_of_an_item_or_it_is_left_out(sink, place, wrap):
    cut_at = 473_000 if place == 0 else ITEM_CHARS // 2  # half of the room: JSON of JSON may be twice as long
    large = wrap("x" * (cut_at - 12) + (" " + SECRET) * 50 + " " + "y" * 2 * cut_at)
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask)

    @observe(client=client)
    def items():
        yield "" if place == 0 else "x" * 940_000
        for number in range(2 * KEPT_ITEMS + 1):
            yield large if number == place else number

    list(items())
    assert client.close(60)
    (wire,) = sink.spans
    assert wire["output"].startswith('["') and wire["output"].endswith(",200]")
    assert " 110" not in texts_of(wire)


def test_a_mask_sees_the_whole_of_an_item_whose_json_is_twice_as_long(sink):
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask)

    @observe(client=client)
    def items():
        yield "\n" * (MAX_COPIED // 2 - 6) + SECRET + "\n" * 200_000

    list(items())
    assert client.close(60)
    assert "110" not in sink.spans[0]["output"]


def test_an_item_that_is_left_out_says_so(sink):
    client = new_client(workspace_id="7", api_token="t", exporter=sink, mask=mask)

    @observe(client=client)
    def items():
        yield from range(KEPT_ITEMS)
        yield "x" * ITEM_CHARS
        yield "x" * (ITEM_CHARS + 1)
        yield {"a": SECRET}

    list(items())
    assert client.close(60)
    output = json.loads(sink.spans[0]["output"])
    assert output[KEPT_ITEMS:] == ["x" * ITEM_CHARS, "… more than 10000 characters …", {"a": "<id_cn>"}]
