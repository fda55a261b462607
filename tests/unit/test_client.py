"""The client: one for each set of settings, and the default one behind the module-level functions."""

from __future__ import annotations

import logging
import sys
import threading
import types

import pytest

import cozeloop_lite
from cozeloop_lite import errors, new_client

SECRET = "pat_s3cr3t"


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", "8")
    monkeypatch.setenv("COZELOOP_API_TOKEN", SECRET)
    monkeypatch.setenv("COZELOOP_API_BASE_URL", "http://127.0.0.1:9")


class ListSink(list):
    """An exporter without a hash."""

    export_spans = list.extend


# -- one client for each set of settings ----------------------------------------------------------------------------


def test_the_same_settings_give_the_same_client(environment):
    assert new_client() is new_client()
    assert new_client(workspace_id="8", api_token=SECRET, timeout=3) is new_client()
    assert new_client(workspace_id="9") is not new_client()


@pytest.mark.parametrize(
    "setting",
    [
        {"workspace_id": "9"},
        {"api_token": "other"},
        {"api_base_url": "http://other"},
        {"timeout": 5},
        {"headers": {"a": "b"}},
        {"sample_rate": 0.5},
        {"exporter": ListSink()},
        {"queue_max_bytes": 5000},
    ],
)
def test_other_settings_give_another_client(setting):
    base = {"workspace_id": "7", "api_token": "t"}
    assert new_client(**{**base, **setting}) is not new_client(**base)
    assert new_client(**{**base, **setting}) is new_client(**{**base, **setting})


def test_exporters_are_told_apart_even_if_they_are_equal():
    one, other = ListSink(), ListSink()
    assert new_client(workspace_id="7", api_token="t", exporter=one) is not new_client(
        workspace_id="7", api_token="t", exporter=other
    )


def test_a_token_may_be_a_function_without_a_hash():
    class Token:
        __hash__ = None

        def __call__(self):
            return "t"

    token = Token()
    assert new_client(workspace_id="7", api_token=token) is new_client(workspace_id="7", api_token=token)


def test_a_closed_client_is_not_given_out_again(environment):
    first = new_client()
    first.close()
    assert first.closed
    second = new_client()
    assert second is not first
    assert not second.closed


def test_many_threads_get_one_client(environment):
    clients = []
    start = threading.Barrier(8)

    def build():
        start.wait(10)
        clients.append(new_client())

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 8
    assert len(set(clients)) == 1


def test_a_with_block_closes_the_client_and_delivers(sink):
    with new_client(workspace_id="7", api_token="t", exporter=sink) as client:
        client.start_span("s").finish()
    assert client.closed
    assert [span["span_name"] for span in sink.spans] == ["s"]
    assert client.close() is True


def test_a_closed_client_traces_nothing_and_does_not_raise(sink, client):
    client.close()
    with client.start_span("s") as span:
        span.set_input("x")
    assert client.flush() is True
    assert sink.spans == []
    assert client.get_span_from_context().trace_id == ""


def test_a_client_has_its_parts(client):
    assert client.workspace_id == "7"
    assert isinstance(client.api, cozeloop_lite.ApiClient)
    assert isinstance(client.tracer, cozeloop_lite.Tracer)
    account = client.stats()
    assert {"finished", "delivered", "queued", "dropped", "open", "sampled_out"} <= set(account)


def test_the_account_without_a_client_has_the_same_entries(client):
    entries = set(client.stats())
    client.close()
    cozeloop_lite.set_default_client(None)
    assert set(cozeloop_lite.stats()) == entries
    assert not any(value for name, value in cozeloop_lite.stats().items() if name not in ("dropped", "files"))


def test_the_account_balances(client, sent):
    client.start_span("open")
    client.start_span("discarded").discard()
    with client.start_span("a", start_new_trace=True), client.start_span("b"):
        pass
    sent()
    account = client.stats()
    assert (account["started"], account["discarded"], account["open"]) == (4, 1, 1)
    assert (account["finished"], account["delivered"]) == (2, 2)
    assert (account["queued"], sum(account["dropped"].values())) == (0, 0)


def test_spans_that_are_never_finished_do_not_fill_the_memory(client, sent, logged, monkeypatch):
    monkeypatch.setattr("cozeloop_lite.trace.tracer.MAX_OPEN", 64)
    spans = [client.start_span("open", start_new_trace=True) for _ in range(70)]
    for span in spans:
        span.finish()
    sent()
    account = client.stats()
    assert (account["started"], account["open"], account["delivered"]) == (70, 0, 62)
    assert account["dropped"] == {"never_finished": 8}
    assert any("are taken for forgotten, and lost" in message for message in logged())


def test_no_token_is_ever_shown(environment, logged):
    client = new_client(headers={"Authorization": "Basic " + SECRET})
    texts = [repr(client), str(client), repr(client.api), repr(client.tracer), *map(repr, logged())]
    with pytest.raises(errors.HttpError) as raised:
        client.api.get("/v1/x", timeout=2)
    with pytest.raises(errors.LoopError) as refused:
        new_client(api_token=SECRET + "\n\n x")
    with client.start_span("s"):
        pass
    client.close(0.01)
    texts += [repr(raised.value), str(raised.value), repr(vars(raised.value)), str(refused.value), *logged()]
    assert not [text for text in texts if SECRET in text]


def test_nothing_is_printed(environment, capfd):
    with new_client(workspace_id=10) as client:
        with client.start_span("s") as span:
            span.set_input(object())
            span.set_tags(5)
        client.close(0.01)
    assert capfd.readouterr().out == ""


# -- the default client ---------------------------------------------------------------------------------------------


def test_without_settings_tracing_is_a_no_op_with_one_warning(logged):
    for _ in range(3):
        with cozeloop_lite.start_span("s", "t") as span:
            span.set_input("x")
            assert span.trace_id == ""
    assert len(logged()) == 1
    assert "workspace_id" in logged()[0]
    assert "COZELOOP_WORKSPACE_ID" in logged()[0]
    assert cozeloop_lite.flush() is True
    assert cozeloop_lite.close() is True
    assert cozeloop_lite.stats()["delivered"] == cozeloop_lite.stats()["files"]["delivered"] == 0
    assert cozeloop_lite.get_span_from_context().span_id == ""


def test_a_wrong_environment_hurts_nobody(environment, monkeypatch, logged):
    monkeypatch.setenv("COZELOOP_API_BASE_URL", "nonsense")
    cozeloop_lite.start_span("s", "t").finish()
    assert "COZELOOP_API_BASE_URL" in logged()[0]


def test_what_is_asked_for_explicitly_raises_without_settings():
    for ask in (cozeloop_lite.get_default_client, cozeloop_lite.workspace_id):
        with pytest.raises(errors.PropertyUnprovidedError, match="COZELOOP_WORKSPACE_ID"):
            ask()


def test_a_client_built_later_takes_over(sink):
    cozeloop_lite.start_span("lost").finish()
    client = new_client(workspace_id="7", api_token="t", exporter=sink)
    assert cozeloop_lite.get_default_client() is client
    with cozeloop_lite.start_span("kept", "t"):
        assert cozeloop_lite.get_span_from_context().trace_id
    assert cozeloop_lite.flush()
    assert [span["span_name"] for span in sink.spans] == ["kept"]
    assert cozeloop_lite.workspace_id() == "7"
    assert cozeloop_lite.stats()["delivered"] == 1


def test_the_environment_is_read_when_it_is_first_needed(environment):
    assert cozeloop_lite.workspace_id() == "8"
    assert cozeloop_lite.get_default_client() is new_client()


@pytest.mark.parametrize("name", ["httpx", "cozeloop_lite.api.oauth"])
def test_a_client_is_built_while_another_thread_loads_a_module_whose_objects_it_may_be_given(
    environment, monkeypatch, name
):
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))  # as it is at first: without anything in it
    assert new_client().workspace_id == "8"


def test_the_first_client_is_the_default_one_until_another_is_set(sink):
    first = new_client(workspace_id="1", api_token="t", exporter=sink)
    second = new_client(workspace_id="2", api_token="t", exporter=sink)
    assert cozeloop_lite.workspace_id() == "1"
    cozeloop_lite.set_default_client(second)
    assert cozeloop_lite.workspace_id() == "2"
    assert not first.closed


def test_after_the_default_client_was_closed_a_new_one_takes_over(sink):
    new_client(workspace_id="1", api_token="t", exporter=sink)
    assert cozeloop_lite.close() is True
    cozeloop_lite.start_span("lost", "t").finish()
    new_client(workspace_id="2", api_token="t", exporter=sink)
    cozeloop_lite.start_span("kept", "t").finish()
    assert cozeloop_lite.flush()
    assert [span["span_name"] for span in sink.spans] == ["kept"]


def test_the_level_of_the_log_can_be_set(logged):
    cozeloop_lite.set_log_level(logging.ERROR)
    cozeloop_lite.start_span("s").finish()
    assert logged() == []


@pytest.mark.parametrize("timeout", ["5", None, True, float("nan"), [5]])
def test_a_time_to_wait_that_is_none_is_an_error_and_leaves_the_client_open(sink, timeout):
    client = new_client(workspace_id="7", api_token="t", exporter=sink)
    with pytest.raises(errors.InvalidParamError, match="timeout"):
        client.flush(timeout)
    if timeout is not None:
        with pytest.raises(errors.InvalidParamError, match="timeout"):
            client.close(timeout)
    client.start_span("step", "custom").finish()
    assert client.close(10**400)  # more than a clock has
    assert len(sink.spans) == 1
