"""Trees of spans for a terminal, of well-formed traces and of hostile ones."""

from __future__ import annotations

import pytest

from cozeloop_lite.local.tree import MAX_INDENT, duration, escape, has_root, render, render_list


def stored_span(span_id, parent_id="0", start=0, **changes):
    span = {
        "trace_id": "t1",
        "span_id": span_id,
        "parent_id": parent_id,
        "span_name": span_id,
        "span_type": "custom",
        "started_at_micros": start,
        "duration_micros": 1500,
        "status_code": 0,
        "tags_string": {},
        "tags_long": {},
        "warnings": [],
        "dropped": False,
    }
    span.update(changes)
    return span


def names(lines):
    return [line.lstrip("│├└─ ").split("  ")[0] for line in lines[1:]]


def test_children_hang_below_their_parent_in_the_order_of_their_start():
    spans = [
        stored_span("late", "root", 30),
        stored_span("leaf", "early", 20),
        stored_span("early", "root", 10),
        stored_span("root"),
    ]

    assert list(render(spans)) == [
        "trace t1  4 span(s)  1.5 ms",
        "└─ root  custom  1.5 ms  ok",
        "   ├─ early  custom  1.5 ms  ok",
        "   │  └─ leaf  custom  1.5 ms  ok",
        "   └─ late  custom  1.5 ms  ok",
    ]


def test_a_line_shows_status_error_and_tokens():
    tags = {"tags_string": {"error": "boom"}, "tags_long": {"input_tokens": 11, "output_tokens": 22, "tokens": 33}}

    lines = list(render([stored_span("call", span_type="model", status_code=-1, **tags)]))

    assert lines[1] == "└─ call  model  1.5 ms  error -1  tokens 11 in, 22 out  boom"


def test_warnings_stand_below_their_span_and_keep_the_branches():
    spans = [stored_span("a", warnings=["cut"], dropped=True), stored_span("b", start=1, warnings=["old"])]

    assert list(render(spans))[1:] == [
        "├─ a  custom  1.5 ms  ok  (dropped)",
        "│     ⚠ cut",
        "└─ b  custom  1.5 ms  ok",
        "      ⚠ old",
    ]


def test_a_span_whose_parent_is_absent_is_a_root():
    child_of_a_skewed_clock = stored_span("child", "orphan", 0)

    lines = list(render([child_of_a_skewed_clock, stored_span("orphan", "gone", 1)]))

    assert [line[:9] for line in lines[1:]] == ["└─ orphan", "   └─ chi"]


@pytest.mark.parametrize(
    "parents",
    [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a", "d": "c", "root": "0"}],
    ids=["itself", "two", "three with a tail, beside a root"],
)
def test_cycles_are_drawn_once_each_span(parents):
    spans = [stored_span(name, parent, start) for start, (name, parent) in enumerate(parents.items())]

    assert sorted(names(list(render(spans)))) == sorted(parents)


def test_spans_of_one_id_are_all_drawn():
    spans = [stored_span("a"), stored_span("a", start=1), stored_span("b", "a", 2)]

    assert names(list(render(spans))) == ["a", "b", "a"]


def test_a_chain_of_5000_spans_is_drawn_with_bounded_indentation():
    spans = [stored_span("s0")] + [stored_span(f"s{n}", f"s{n - 1}", n) for n in range(1, 5000)]

    lines = list(render(spans))

    assert len(lines) == 5001
    assert "(depth 4999) s4999" in lines[-1]
    assert max(len(line) for line in lines) < 3 * MAX_INDENT + 80


def test_no_name_can_send_control_characters_to_the_terminal():
    evil = "\x1b]0;owned\x07\x9b31m\r\n\u202egnp.exe\u2028"
    hostile = stored_span("a", span_name=evil, span_type=evil, trace_id=evil, status_code=1, warnings=[evil])
    hostile["tags_string"] = {"error": evil}

    for line in [*render([hostile]), *render_list([{"trace_id": evil, "name": evil}])]:
        assert line.isprintable()
    assert r"\x1b]0;owned\x07\x9b31m\r\n\u202egnp.exe\u2028" in list(render([hostile]))[1]


def test_text_of_other_scripts_is_shown_as_it_is():
    assert escape("旅行\u3000助手 é", 80) == "旅行\u3000助手 é"


def test_long_text_is_cut():
    assert escape("x" * 100, 10) == "x" * 9 + "…"


def test_colours_only_if_asked():
    spans = [stored_span("a", status_code=1)]

    assert "\x1b[31m" in list(render(spans, color=True))[1]
    assert "\x1b" not in "".join(render(spans))


@pytest.mark.parametrize("junk", [None, [], {}, "x", float("nan"), float("inf"), 10**400, "9" * 30])
def test_values_of_any_type_are_survived(junk):
    span = dict.fromkeys(stored_span("a"), junk)

    assert list(render([span, {}, span]))
    assert list(render_list([span]))


def test_integers_as_decimal_strings_are_read():
    assert "2.00 s" in list(render([stored_span("a", duration_micros="2000000")]))[1]


def test_no_spans_are_no_lines():
    assert list(render([])) == []


@pytest.mark.parametrize("parent_id, expected", [("0", True), ("", True), ("5a340d219f70ccaa", False)])
def test_a_root_has_no_parent(parent_id, expected):
    assert has_root([stored_span("a", parent_id)]) is expected


@pytest.mark.parametrize("micros, text", [(0, "0 µs"), (999, "999 µs"), (1500, "1.5 ms"), (2340000, "2.34 s")])
def test_durations_have_a_unit_people_read(micros, text):
    assert duration(micros) == text


def test_the_list_shows_one_line_a_trace():
    traces = [{"trace_id": "t1", "name": "root", "spans": 3, "duration_micros": 1500, "errors": 1, "warnings": 2}]

    assert list(render_list(traces)) == ["t1  root  3 span(s)  1.5 ms  1 error(s)  ⚠ 2"]


def test_bars_show_when_each_span_was_at_work():
    spans = [
        stored_span("root", duration_micros=1000, warnings=["cut"]),
        stored_span("first", "root", 0, duration_micros=250),
        stored_span("last", "root", 750, duration_micros=250, status_code=1),
        stored_span("moment", "root", 1000, duration_micros=0),
        stored_span("before", "root", 500, duration_micros=-900),
    ]

    assert [line[:10] for line in render(spans, bars=8)][1:] == [
        *("████████  ", "          ", "██        ", "    ▏     ", "      ██  ", "       ▏  "),
    ]
    assert "\x1b[31m██\x1b[0m" in "".join(render(spans, bars=8, color=True))


@pytest.mark.parametrize("junk", [None, "x", float("nan"), float("inf"), 10**400, -(10**30)])
def test_bars_of_any_times_are_of_one_width(junk):
    times = {"started_at_micros": junk, "duration_micros": junk}
    spans = [stored_span("a"), stored_span("b", **times), stored_span("c", start=1 << 62)]

    for line in list(render(spans, bars=8))[1:]:
        assert line[8:10] == "  "
        assert set(line[:8]) <= set(" █▏")


def test_brief_spans_are_drawn_like_whole_ones():
    brief = {
        "span_name": "call",
        "span_type": "model",
        "duration_micros": 1500,
        "status_code": -1,
        "error": "boom",
        "input_tokens": 11,
        "output_tokens": 22,
        "tokens": 33,
    }

    assert list(render([brief]))[1] == "└─ call  model  1.5 ms  error -1  tokens 11 in, 22 out  boom"
