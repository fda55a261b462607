"""Each test starts with no settings in the environment, no clients, no current span and nothing logged lately."""

from __future__ import annotations

import gc
import logging
import os

import pytest
from hypothesis import HealthCheck, settings

from cozeloop_lite import clients, config, errors, new_client
from cozeloop_lite import logger as logger_module
from cozeloop_lite.api import keys
from cozeloop_lite.trace import context, verdicts
from support.recording import RecordingServer

# A slow machine is no failure, a run leaves no files behind, and two runs try the same examples.
settings.register_profile(
    "cozeloop_lite", deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cozeloop_lite")


def pytest_collection_finish():
    """The tests themselves are none of the garbage collector's business: what looks for garbage gets done quickly."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable():
    """Lone surrogates, which some tests say and log, do not pass from one process of pytest-xdist to the other."""
    outcome = yield
    outcome.force_result(_without_surrogates(outcome.get_result()))


def _without_surrogates(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without_surrogates, value))
    return value


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("COZELOOP_", "OTEL_")) or name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
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


SHORTEST_SECRET = 8  # characters; less may stand in any text


@pytest.fixture(autouse=True)
def no_secret_leaks(monkeypatch):
    """In no test does a token or private key that it uses stand in what is logged, or in an error of the package."""
    secrets, texts = set(), []
    checked_token, signer, error_init = config.checked_token, keys.signer, errors.LoopError.__init__

    def seen_token(value, where):
        token = checked_token(value, where)
        secrets.add(token)
        return token

    def seen_key(text):
        if isinstance(text, str):
            secrets.update(line for line in text.split() if len(line) > 40)
        return signer(text)

    def seen_error(self, *args, **kwargs):
        texts.extend(map(str, args))
        error_init(self, *args, **kwargs)

    class Reader(logging.Handler):
        def emit(self, record):
            texts.append(self.format(record))

    monkeypatch.setattr(config, "checked_token", seen_token)
    monkeypatch.setattr(keys, "signer", seen_key)
    monkeypatch.setattr(errors.LoopError, "__init__", seen_error)
    reader = Reader()
    logger_module.logger.addHandler(reader)
    yield
    logger_module.logger.removeHandler(reader)
    leaked = [text for secret in secrets if len(secret) >= SHORTEST_SECRET for text in texts if secret in text]
    assert not leaked, "a secret stands in a message"


@pytest.fixture
def server():
    """A real one, of which each test has its own: see ``support/recording.py``."""
    with RecordingServer() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """Pauses between two attempts that a test can wait for."""
    monkeypatch.setattr(verdicts, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(verdicts, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def no_gc():
    """What is let go in a test is let go by its last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


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
