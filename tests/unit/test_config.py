"""Settings: argument over environment over default; errors name what to change and never show a secret."""

from __future__ import annotations

import functools

import pytest

from cozeloop_lite import APIBasePath, QueueConf, TagTruncateConf, config, errors, new_client

SECRET = "pat_s3cr3t"


def test_an_argument_is_stronger_than_the_environment_which_is_stronger_than_the_default(monkeypatch):
    assert config.base_url(None) == "https://api.coze.cn"
    monkeypatch.setenv("COZELOOP_API_BASE_URL", "http://env:1/")
    monkeypatch.setenv("COZELOOP_WORKSPACE_ID", " 8 ")
    monkeypatch.setenv("COZELOOP_API_TOKEN", "env-token\n")
    assert (config.base_url(None), config.workspace_id(None), config.token(None)) == ("http://env:1", "8", "env-token")
    assert config.base_url("http://arg:2//") == "http://arg:2"
    assert config.workspace_id("9") == "9"
    assert config.token("arg-token") == "arg-token"
    assert config.base_url("") == "http://env:1"


@pytest.mark.parametrize(
    ("given", "error", "argument", "variable"),
    [
        ({"api_token": "t"}, errors.PropertyUnprovidedError, "workspace_id", "COZELOOP_WORKSPACE_ID"),
        ({"workspace_id": " "}, errors.PropertyUnprovidedError, "workspace_id", "COZELOOP_WORKSPACE_ID"),
        ({"workspace_id": "7"}, errors.AuthInfoRequiredError, "api_token", "COZELOOP_API_TOKEN"),
        ({"workspace_id": "7", "api_token": " "}, errors.AuthInfoRequiredError, "api_token", "COZELOOP_API_TOKEN"),
    ],
)
def test_a_missing_setting_names_the_argument_and_the_variable(given, error, argument, variable):
    with pytest.raises(error) as raised:
        new_client(**given)
    assert argument in str(raised.value)
    assert variable in str(raised.value)


def test_a_missing_workspace_and_a_missing_token_are_told_at_once():
    with pytest.raises(errors.PropertyUnprovidedError) as raised:
        new_client()
    for name in ("workspace_id", "COZELOOP_WORKSPACE_ID", "api_token", "COZELOOP_API_TOKEN"):
        assert name in str(raised.value)
    with pytest.raises(errors.PropertyUnprovidedError) as raised:
        new_client(api_token="t")
    assert "token" not in str(raised.value)


@pytest.mark.parametrize(
    "token",
    [SECRET + " x", SECRET + "\r\nX: y", "中" + SECRET, "Bearer %s x" % SECRET, SECRET.encode(), [SECRET], {SECRET: 1}],
)
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(token):
    with pytest.raises(errors.AuthInfoRequiredError) as raised:
        config.token(token)
    assert SECRET not in str(raised.value)
    assert "COZELOOP_API_TOKEN" in str(raised.value)


@pytest.mark.parametrize("token", [SECRET, " %s\n" % SECRET, "Bearer " + SECRET, "bearer  " + SECRET])
def test_a_token_is_taken_bare(token):
    assert config.token(token) == SECRET


@pytest.mark.parametrize(
    "url",
    [
        "https://user:%s@host" % SECRET,
        "ftp://user:%s@host" % SECRET,
        "user:%s@host" % SECRET,
        "https://host?token=" + SECRET,
        "host?token=" + SECRET,
        "https://host#" + SECRET,
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_without_showing_it(url):
    with pytest.raises(errors.InvalidParamError) as raised:
        config.base_url(url)
    assert SECRET not in str(raised.value)
    assert "COZELOOP_API_BASE_URL" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        *("host", "ftp://host", "http://", "https:///", "http:///host", "http://:80", "http://a b", "http://a\nb"),
        *("http://[::1", "http://]", "http://a\u2100b", "http://a:99999", "http://a:0", "http://a:b"),
        *(5, ["http://a"]),
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(errors.InvalidParamError, match=r"api_base_url.*COZELOOP_API_BASE_URL"):
        config.base_url(url)


@pytest.mark.parametrize("workspace", [5.0, b"7", True, ["7"], object()])
def test_a_workspace_of_a_wrong_type_is_refused(workspace):
    with pytest.raises(errors.InvalidParamError, match="workspace_id"):
        config.workspace_id(workspace)


def test_a_workspace_may_be_a_number():
    assert config.workspace_id(7) == "7"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "3"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("upload_timeout", float("inf")),
        ("shutdown_timeout", -0.1),
        ("sample_rate", 1.1),
        ("sample_rate", -0.1),
        ("sample_rate", "1"),
        ("sample_rate", None),
        ("sample_rate", float("nan")),
        ("queue_max_bytes", "5"),
        ("queue_max_bytes", 1.5),
        ("trace_finish_event_processor", 5),
        ("tag_truncate_conf", {"normal_field_max_byte": 5}),
        ("trace_queue_conf", 5),
        ("trace_queue_conf", QueueConf(span_queue_length="5")),
        ("api_base_path", "path"),
        ("api_base_path", APIBasePath("no-slash")),
        ("headers", 5),
        ("headers", ["abc"]),
        ("headers", {"a": 5}),
        ("headers", {"a": "b\r\nX-Evil: 1"}),
        ("headers", {"a:b": "c"}),
        ("headers", {"": "c"}),
        ("exporter", object()),
        ("exporter", "otpl"),
        ("record_inputs", "false"),  # as from an environment variable; it would be true
        ("record_outputs", "no"),
        ("ultra_large_report", b"0"),
        ("prompt_trace", ""),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name, value):
    with pytest.raises(errors.InvalidParamError) as raised:
        new_client(workspace_id="7", api_token=SECRET, **{name: value})
    inner = {"trace_queue_conf": "span_queue_length", "api_base_path": "trace_span_upload_path"}
    assert name in str(raised.value) or inner[name] in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_header_value_is_not_shown():
    with pytest.raises(errors.InvalidParamError) as raised:
        config.headers({"X-Key": SECRET + "\n"})
    assert SECRET not in str(raised.value)


def test_what_is_not_given_has_the_documented_default():
    conf = config.TraceConfig()
    assert (conf.span_queue_length, conf.span_max_export_batch_length, conf.queue_max_bytes) == (65_536, 100, 64 << 20)
    assert (conf.shutdown_timeout, conf.sample_rate) == (5.0, 1.0)
    assert conf.ingest_path == "/v1/loop/traces/ingest"


def test_a_batch_is_never_larger_than_the_server_takes():
    assert config.TraceConfig(trace_queue_conf=QueueConf(0, 5000)).span_max_export_batch_length == 100
    assert config.TraceConfig(trace_queue_conf=QueueConf(0, 5)).span_max_export_batch_length == 5


def test_an_object_with_the_same_fields_will_do():
    class Official:
        span_queue_length = 5
        span_max_export_batch_length = 6

    assert config.TraceConfig(trace_queue_conf=Official()).span_queue_length == 5


class Unhashable:
    __hash__ = None

    def __call__(self, event):
        pass


def test_equal_settings_have_equal_keys():
    def key(**settings):
        return config.TraceConfig(**settings).key()

    assert key() == key(tag_truncate_conf=TagTruncateConf(), trace_queue_conf=QueueConf(), sample_rate=1)
    assert key() != key(sample_rate=0.5)
    assert key(trace_finish_event_processor=print) == key(trace_finish_event_processor=print)
    one, other = Unhashable(), Unhashable()
    assert key(trace_finish_event_processor=one) == key(trace_finish_event_processor=one)
    assert key(trace_finish_event_processor=one) != key(trace_finish_event_processor=other)
    assert hash(key(trace_finish_event_processor=functools.partial(print)))


@pytest.mark.parametrize("token", ["Bearer", "bearer ", " Bearer  "])
def test_the_word_bearer_alone_is_no_token(token):
    with pytest.raises(errors.AuthInfoRequiredError, match="empty"):
        config.checked_token(token, "api_token is")
