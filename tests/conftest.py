"""Each test starts with no settings in the environment, no clients, no current span and nothing logged lately."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from cozeloop_lite import clients, new_client
from cozeloop_lite import logger as logger_module
from cozeloop_lite.trace import context

# A slow machine is no failure, a run leaves no files behind, and two runs try the same examples.
settings.register_profile(
    "cozeloop_lite", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cozeloop_lite")


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch):
    for name in list(os.environ):
        if name.startswith("COZELOOP_") or name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
            monkeypatch.delenv(name)
    _forget()
    yield
    _forget()


def _forget():
    for client in list(clients._clients.values()):
        client.close(0.1)
    clients._clients.clear()
    clients._default = None
    logger_module._logged.clear()
    logger_module.logger.setLevel(0)
    context.push(None)


class Sink:
    """An exporter that keeps the spans, as the dicts that would go to the platform."""

    def __init__(self):
        self.spans = []

    def export_spans(self, spans):
        self.spans.extend(spans)


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def client(sink):
    return new_client(workspace_id="7", api_token="token", exporter=sink)


@pytest.fixture
def sent(client, sink):
    """``sent()``: what ``client`` has reported by now. ``sent("name")``: the one span of that name."""

    def sent(name=None):
        assert client.flush()
        if name is None:
            return sink.spans
        (found,) = [span for span in sink.spans if span["span_name"] == name]
        return found

    return sent


@pytest.fixture
def logged(caplog):
    """``logged()``: the messages of the package's logger so far."""
    caplog.set_level(1, "cozeloop_lite")

    def logged():
        return [record.getMessage() for record in caplog.records if record.name == "cozeloop_lite"]

    return logged
