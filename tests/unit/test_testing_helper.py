"""``capture_spans``: what the tests of a traced program see of its spans, and that nothing else changes by looking."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import cozeloop_lite
from cozeloop_lite import clients, errors, inject, new_client, observe, start_span
from cozeloop_lite.entities.prompt import Message, Prompt, PromptTemplate, Role
from cozeloop_lite.testing import CapturedSpans, capture_spans
from cozeloop_lite.trace import context

pytest_plugins = ["cozeloop_lite.testing"]

ROOT = Path(__file__).resolve().parents[2]


@observe(span_type="tool", tags={"version": 2})
def weather(city):
    return {"degrees": 12}


# -- what is captured -----------------------------------------------------------------------------------------------


def test_a_span_has_name_type_parent_tags_input_output_and_status():
    with capture_spans() as spans:
        with start_span("answer", "agent") as root:
            root.set_input("how?")
            root.set_user_id_baggage("u-1")
            weather("Paris")
        with start_span("other") as other:
            other.set_error("bad")
            other.set_status_code(7)
    child, root_span, other_span = spans
    assert (child.name, child.type) == ("weather", "tool")
    assert (child.input, child.output) == ('{"city":"Paris"}', '{"degrees":12}')
    assert child.tags == {"user_id": "u-1", "version": 2}
    assert child.parent is root_span and child.parent_id == root_span.span_id == root.span_id
    assert (root_span.input, root_span.output, root_span.parent, root_span.parent_id) == ("how?", "", None, "")
    assert (root_span.trace_id, child.trace_id) == (root.trace_id, root.trace_id)
    assert (root_span.status, other_span.status, other_span.tags["error"]) == (0, 7, "bad")


def test_the_whole_of_it_is_there_as_it_would_be_sent():
    with capture_spans() as spans, start_span("a") as span:
        span.set_log_id("log-1")
        span.set_tags({"long": "x" * 2000})
    assert spans[0].wire["log_id"] == "log-1"
    assert spans[0].wire["system_tags_string"]["cut_off"] == '["long"]'
    assert len(spans[0].tags["long"]) == 1024


def test_a_span_is_there_the_moment_it_is_finished_and_not_before():
    with capture_spans() as spans:
        span = start_span("a")
        assert spans == []
        span.finish()
        assert [span.name for span in spans] == ["a"]
        start_span("discarded").discard()
    assert len(spans) == 1


def test_spans_of_other_threads_are_captured():
    with capture_spans() as spans:
        threads = [threading.Thread(target=weather, args=(city,)) for city in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(spans) == len({span.trace_id for span in spans}) == 4


def test_a_span_is_found_by_its_name():
    with capture_spans() as spans:
        for name in ("a", "b", "b"):
            start_span(name).finish()
    assert isinstance(spans, CapturedSpans)
    assert spans.named("a") is spans[0]
    with pytest.raises(LookupError, match=r"0 spans are named 'c'; captured: \[<CapturedSpan a \(custom\)>, "):
        spans.named("c")
    with pytest.raises(LookupError, match="2 spans are named 'b'"):
        spans.named("b")


def test_a_parent_in_another_service_is_known_by_its_id():
    with capture_spans() as spans:
        with start_span("caller") as caller:
            headers = inject({})
        start_span("callee", child_of=cozeloop_lite.extract(headers)).finish()
        del spans[0]
    assert (spans[0].parent, spans[0].parent_id) == (None, caller.span_id)


def test_a_span_that_ends_after_the_block_is_captured_as_well_and_sent_nowhere(client, sink):
    with capture_spans() as spans:
        late = start_span("late")
    late.finish()
    assert client.flush()
    assert [span.name for span in spans] == ["late"]
    assert sink.spans == []


def test_sampling_follows_the_headers_of_the_caller():
    with capture_spans() as spans:
        headers = {"X-Cozeloop-Traceparent": "00-%s-%s-00" % ("1" * 32, "2" * 16)}
        start_span("not sampled", child_of=cozeloop_lite.extract(headers)).finish()
        assert cozeloop_lite.stats()["sampled_out"] == 1
    assert spans == []


def test_the_account_adds_up():
    with capture_spans():
        start_span("a").finish()
        still_open = start_span("b")
        found = cozeloop_lite.stats()
        still_open.finish()
    assert (found["started"], found["finished"], found["delivered"], found["open"]) == (2, 1, 1, 1)


# -- what is replaced, and put back ---------------------------------------------------------------------------------


def test_the_default_client_is_replaced_and_restored(client, sent):
    before = clients._default
    with capture_spans() as spans:
        assert cozeloop_lite.get_default_client() is not client
        start_span("inside").finish()
    assert clients._default is before is client
    start_span("outside").finish()
    assert [span["span_name"] for span in sent()] == ["outside"]
    assert [span.name for span in spans] == ["inside"]


def test_where_there_was_none_there_is_none_afterwards():
    with capture_spans():
        start_span("a").finish()
    assert clients._default is None


def test_a_block_that_fails_restores_everything_and_hides_nothing(client):
    with pytest.raises(ZeroDivisionError), capture_spans(client):
        start_span("left open")
        raise ZeroDivisionError
    assert clients._default is client
    assert type(client.tracer) is cozeloop_lite.Tracer
    assert context.current() is None


def test_spans_around_the_block_are_no_parents_in_it(client):
    with start_span("around") as around:
        with capture_spans() as spans:
            start_span("inside").finish()
        assert context.current() is around
    assert spans[0].parent_id == ""


def test_the_innermost_block_has_the_spans():
    with capture_spans() as outer:
        start_span("a").finish()
        with capture_spans() as inner:
            start_span("b").finish()
        start_span("c").finish()
    assert [[span.name for span in spans] for spans in (outer, inner)] == [["a", "c"], ["b"]]


def test_what_the_program_does_to_the_default_client_ends_with_the_block(client, sink):
    with capture_spans() as spans:
        cozeloop_lite.set_default_client(new_client(workspace_id="8", api_token="token", exporter=sink))
        start_span("to the other").finish()
        assert cozeloop_lite.close()
    assert clients._default is client
    assert spans == []
    assert [span["span_name"] for span in sink.spans] == ["to the other"]


def test_flush_and_close_are_at_once_and_later_spans_are_nothing():
    with capture_spans() as spans:
        start_span("a").finish()
        assert cozeloop_lite.flush(0)
        assert cozeloop_lite.close(0)
        start_span("b").finish()
    assert [span.name for span in spans] == ["a"]


def test_another_client_is_captured_by_its_own_settings(sink):
    settings = {"mask": lambda text: "***", "record_outputs": False}
    client = new_client(workspace_id="9", api_token="token", exporter=sink, **settings)
    tracer, hub_tracer = client.tracer, client.prompts._tracer
    with capture_spans(client) as spans:
        with client.start_span("mine") as span:
            span.set_input("secret")
            span.set_output("secret")
        weather("Paris")
    assert [(span.name, span.input, span.output) for span in spans] == [
        ("mine", "***", ""), ("weather", '{"city":"Paris"}', '{"degrees":12}'),
    ]  # fmt: skip
    assert spans[0].wire["workspace_id"] == "9"
    assert (client.tracer, client.prompts._tracer) == (tracer, hub_tracer)
    client.start_span("after").finish()
    assert client.flush()
    assert [span["span_name"] for span in sink.spans] == ["after"]


def test_spans_of_the_prompts_of_another_client_are_captured(sink):
    client = new_client(workspace_id="9", api_token="token", exporter=sink, prompt_trace=True)
    template = PromptTemplate(messages=[Message(role=Role.USER, content="hi")])
    prompt = Prompt(prompt_key="guide", version="0.0.1", prompt_template=template)
    client.prompt_format(prompt)
    with capture_spans(client) as spans:
        client.prompt_format(prompt)
    assert [span.type for span in spans] == ["prompt"]


# -- no network, no settings, no threads ----------------------------------------------------------------------------


def test_nothing_needs_settings_and_nothing_goes_out(monkeypatch, tmp_path, logged):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("COZELOOP_SPOOL_DIR", str(tmp_path))
    monkeypatch.setenv("COZELOOP_API_BASE_URL", "https://example.invalid")
    before = set(threading.enumerate())  # those of tests before may end meanwhile
    with capture_spans():
        start_span("a").finish()
        assert cozeloop_lite.flush()
        assert set(threading.enumerate()) <= before
        kept = cozeloop_lite.get_default_client()
        assert kept.tracer.conf.spool_dir == ""
        with pytest.raises(errors.NetworkError, match=r"there is no network in capture_spans\(\)"):
            cozeloop_lite.get_prompt("guide")
        spare = {"prompt_key": "guide", "prompt_template": {"messages": [{"role": "user", "content": "hi"}]}}
        prompt = cozeloop_lite.get_prompt("guide", fallback=spare)
        assert cozeloop_lite.prompt_format(prompt)[0].content == "hi"
    assert kept.closed
    assert set(threading.enumerate()) <= before
    assert list(tmp_path.iterdir()) == []
    assert not [message for message in logged() if "guide" not in message]


# -- pytest ---------------------------------------------------------------------------------------------------------


def test_the_fixture_captures_the_spans_of_a_test(captured_spans):
    weather("Paris")
    assert captured_spans.named("weather").output == '{"degrees":12}'


SUITE = """
    import cozeloop_lite
    %s

    def test_one(captured_spans):
        cozeloop_lite.start_span("a").finish()
        assert [span.name for span in captured_spans] == ["a"]

    def test_two(captured_spans):
        assert captured_spans == []
"""
WAYS = {
    "plugin": ('pytest_plugins = ["cozeloop_lite.testing"]', ""),
    "import": ("from cozeloop_lite.testing import captured_spans", ""),
    "in the test": ("", "from cozeloop_lite.testing import captured_spans"),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_the_fixture_comes_as_a_plugin_or_by_import(tmp_path, way):
    conftest, line = WAYS[way]
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(textwrap.dedent(SUITE % line))
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_pytest_is_not_imported_where_it_is_not_there(tmp_path):
    program = """
        import sys
        from cozeloop_lite.testing import capture_spans
        import cozeloop_lite
        with capture_spans() as spans:
            cozeloop_lite.start_span("a").finish()
        print([span.name for span in spans], "pytest" in sys.modules)
    """
    done = python("-c", textwrap.dedent(program), folder=tmp_path)
    assert (done.stdout, done.stderr) == ("['a'] False\n", "")


def python(*arguments, folder):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=str(folder), env={**plain, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
