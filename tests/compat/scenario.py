"""One program for two libraries: ``python scenario.py cozeloop|cozeloop_lite http://127.0.0.1:1234``.

It calls only what the official client and cozeloop_lite both have, in the same way, and prints one line beginning with
``observed:``: JSON of what the program itself can see (headers, for instance). What the server sees is compared by
test_compat.py, span by span and by name, so no two spans here share a name. Runs on CPython 3.7 and later.
"""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from typing import Any

MIB = 1024 * 1024
SECOND_FRACTIONS = (0, 1, 123_456, 250_000, 333_333, 999_999)  # microseconds: where float arithmetic goes wrong

observed: dict[str, Any] = {}


def main(module_name: str, url: str) -> None:
    cozeloop = importlib.import_module(module_name)
    client = cozeloop.new_client(
        api_base_url=url, workspace_id="7112345678901234567", api_token="token-of-the-scenario"
    )
    for scene in (
        names,
        tags,
        contents,
        errors,
        reserved_fields,
        model_fields,
        system_fields,
        runtime,
        times,
        limits,
        tree,
        baggage,
        headers,
    ):
        scene(client, module_name)
    client.flush()
    late = client.start_span("late: finished after flush, before close", "custom")
    late.set_tags({"late": True})
    late.finish()
    client.close()
    print("observed:" + json.dumps(observed, sort_keys=True))


def alone(client: Any, name: str, span_type: str = "custom") -> Any:
    """A span of a trace of its own."""
    return client.start_span(name, span_type, start_new_trace=True)


def names(client: Any, module: str) -> None:
    alone(client, "", "named by the empty name").finish()
    alone(client, "type: empty", "").finish()
    alone(client, "name: 中文 émoji 🙂", "类型").finish()
    alone(client, "name: long " + "n" * 2000, "t" * 2000).finish()
    for span_type in ("model", "prompt", "tool", "retriever", "a type of one's own"):
        alone(client, "type: " + span_type, span_type).finish()
    with alone(client, "nothing set"):
        pass


def tags(client: Any, module: str) -> None:
    with alone(client, "tags: scalars") as span:
        span.set_tags({"str": "text", "int": 42, "zero": 0, "negative": -7, "big": 2**53 + 1})
        span.set_tags({"float": 1.5, "whole float": 2.0, "tiny": 1e-7, "large": 1e21, "third": 0.1})
        span.set_tags({"true": True, "false": False})
    with alone(client, "tags: empty string") as span:
        span.set_tags({"empty": "", "space": " "})
    with alone(client, "tags: empty dict") as span:
        span.set_tags({})
    with alone(client, "tags: none") as span:
        span.set_tags({"none": None, "beside": "none"})
    with alone(client, "tags: dict") as span:
        span.set_tags({"dict": {"a": 1, "b": [1, 2.5, None, True], "c": {"d": "e"}}})
    with alone(client, "tags: list") as span:
        span.set_tags({"list": ["a", 1, 2.5, None, False, {"k": "v"}]})
    with alone(client, "tags: empty containers") as span:
        span.set_tags({"dict": {}, "list": []})
    with alone(client, "tags: tuple") as span:
        span.set_tags({"tuple": ("a", 1)})
    with alone(client, "tags: non-ASCII") as span:
        span.set_tags({"键": "值", "emoji": "🙂", "in a dict": {"名": "字"}, "line\nbreak": 'tab\there "quoted" \\'})
    with alone(client, "tags: overwritten") as span:
        span.set_tags({"key": "first", "type changes": "text"})
        span.set_tags({"key": "second", "type changes": 3})


def contents(client: Any, module: str) -> None:
    nested = {
        "messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": None}],
        "n": [[1], [2.0]],
    }
    values = {
        "str": ("in", "out"),
        "empty str": ("", ""),
        "str that looks like JSON": ('{"a": 1}', "[1, 2]"),
        "dict": ({"q": "问", "n": 1, "ok": True}, {"a": 1.5, "none": None}),
        "list": (["a", "b"], [1, 2, 3]),
        "nested": (nested, [nested, nested]),
        "empty containers": ({}, []),
        "int": (42, -1),
        "float": (1.5, 2.0),
        "zero": (0, 0.0),
        "true": (True, True),
        "false": (False, False),
        "none": (None, None),
        "non-ASCII": ("输入 🙂", "ü" * 10),
        "control characters": ("a\nb\tc\u0001", "\u2028\u007f"),
    }
    for name, (data, output) in values.items():
        with alone(client, "content: " + name) as span:
            span.set_input(data)
            span.set_output(output)
    with alone(client, "content: overwritten") as span:
        span.set_input("first")
        span.set_input("second")
        span.set_output("first")
        span.set_output({"n": 2})


def errors(client: Any, module: str) -> None:
    with alone(client, "error: exception") as span:
        span.set_error(ValueError("it went wrong"))
    with alone(client, "error: str") as span:
        span.set_error("it went 错")
    with alone(client, "error: without a message") as span:
        span.set_error(ValueError())
    with alone(client, "error: key error") as span:
        span.set_error(KeyError("missing"))
    with alone(client, "error: status code first") as span:
        span.set_status_code(503)
        span.set_error(RuntimeError("unavailable"))
    with alone(client, "error: status code afterwards") as span:
        span.set_error(RuntimeError("unavailable"))
        span.set_status_code(504)
    with alone(client, "error: status code alone") as span:
        span.set_status_code(7)
    with alone(client, "error: status code zero") as span:
        span.set_status_code(0)


def reserved_fields(client: Any, module: str) -> None:
    with alone(client, "ids: user, message, thread") as span:
        span.set_user_id("user-1")
        span.set_message_id("message-1")
        span.set_thread_id("thread-1")
    with alone(client, "ids: as baggage") as span:
        span.set_user_id_baggage("user-2")
        span.set_message_id_baggage("message-2")
        span.set_thread_id_baggage("thread-2")
        observed["to_header: ids as baggage"] = baggage_of(span)
        with client.start_span("ids: inherited", "custom"):
            pass
    with alone(client, "ids: empty") as span:
        span.set_user_id("")
        span.set_message_id("")
        span.set_thread_id("")
    with alone(client, "ids: set as tags") as span:
        span.set_tags({"user_id": "user-3", "message_id": "message-3", "thread_id": "thread-3"})


def model_fields(client: Any, module: str) -> None:
    options = {"temperature": 0.7, "max_tokens": 100, "stop": ["\n", "停"], "top_p": 1, "stream": True, "seed": None}
    with alone(client, "model: everything", "model") as span:
        span.set_model_provider("openai")
        span.set_model_name("gpt-4o")
        span.set_model_call_options(options)
        span.set_input_tokens(12)
        span.set_output_tokens(30)
        span.set_input({"messages": [{"role": "user", "content": "hi"}]})
        span.set_output({"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}]})
    with alone(client, "model: input tokens alone", "model") as span:
        span.set_input_tokens(5)
    with alone(client, "model: output tokens alone", "model") as span:
        span.set_output_tokens(6)
    with alone(client, "model: no tokens", "model") as span:
        span.set_input_tokens(0)
        span.set_output_tokens(0)
    with alone(client, "model: call options as text", "model") as span:
        span.set_model_call_options("temperature=1")
    with alone(client, "model: empty call options", "model") as span:
        span.set_model_call_options({})
    start = a_moment_ago()
    with client.start_span("model: first response", "model", start_time=start, start_new_trace=True) as span:
        span.set_start_time_first_resp(micros(start) + 250_000)
        span.set_finish_time(start + datetime.timedelta(seconds=1))
    observed["started_at: model: first response"] = micros(start)


def system_fields(client: Any, module: str) -> None:
    with alone(client, "system: service, log id, environment") as span:
        span.set_service_name("checkout")
        span.set_log_id("0219A")
        span.set_deployment_env("boe")
    with alone(client, "system: tags") as span:
        span.set_system_tags({"cluster": "default", "dc": "华东", "shards": 3, "ratio": 0.5})
    with alone(client, "system: boolean tags") as span:
        span.set_system_tags({"yes": True, "no": False})
    with alone(client, "system: structured tags") as span:
        span.set_system_tags({"dict": {"a": 1, "b": [True, None]}, "list": ["x", 2]})
    with alone(client, "system: a none among the tags") as span:
        span.set_system_tags({"none": None, "env": "boe"})


def runtime(client: Any, module: str) -> None:
    try:
        runtime_class = importlib.import_module(module + ".spec.tracespec").Runtime
    except (ImportError, AttributeError):
        observed["runtime"] = "no Runtime"
        return
    observed["runtime"] = "Runtime"
    with alone(client, "runtime: library") as span:
        span.set_runtime(runtime_class(library="langchain", library_version="0.3.1"))
    with alone(client, "runtime: scene and language given") as span:
        span.set_runtime(runtime_class(language="go", scene="integration", loop_sdk_version="v9.9.9"))
    with alone(client, "runtime: extra") as span:
        span.set_runtime(runtime_class(library="自制", extra={"k": "v", "n": 1}))


def times(client: Any, module: str) -> None:
    start = a_moment_ago()
    for fraction in SECOND_FRACTIONS:
        name = f"time: {fraction:06d}"
        begun = start.replace(microsecond=fraction)
        with client.start_span(name, "custom", start_time=begun, start_new_trace=True) as span:
            span.set_finish_time(begun + datetime.timedelta(seconds=1, microseconds=234_567))
        observed["started_at: " + name] = micros(begun)
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    aware = start.astimezone(zone)
    with client.start_span("time: with a time zone", "custom", start_time=aware, start_new_trace=True) as span:
        span.set_finish_time(aware + datetime.timedelta(milliseconds=1500))
    observed["started_at: time: with a time zone"] = micros(aware)
    with alone(client, "time: finished twice") as span:
        span.finish()
        span.finish()


def limits(client: Any, module: str) -> None:
    with alone(client, "limit: value of 1024 bytes") as span:
        span.set_tags({"exact": "x" * 1024, "exact CJK": "中" * 341 + "x"})
    with alone(client, "limit: long ASCII value") as span:
        span.set_tags({"long": "x" * 5000})
    with alone(client, "limit: long CJK value") as span:
        span.set_tags({"long": "中" * 2000})
    with alone(client, "limit: long dict value") as span:
        span.set_tags({"long": {"text": "y" * 3000}})
    with alone(client, "limit: two long values") as span:
        span.set_tags({"first": "1" * 1025, "second": "2" * 1025})
        span.set_tags({"third": "3" * 1025})
    with alone(client, "limit: the same long value twice") as span:
        span.set_tags({"again": "1" * 1025})
        span.set_tags({"again": "2" * 1025})
    with alone(client, "limit: key of 100 bytes") as span:
        span.set_tags({"k" * 100: "fits"})
    with alone(client, "limit: key of 500 bytes") as span:
        span.set_tags({"k" * 500: "long key"})
    with alone(client, "limit: key of 2000 bytes") as span:
        span.set_tags({"k" * 2000: "longer key"})
    with alone(client, "limit: long error") as span:
        span.set_error(ValueError("e" * 3000))
    with alone(client, "limit: long model name") as span:
        span.set_model_name("m" * 3000)
    with alone(client, "limit: input and output of 1 MiB") as span:
        span.set_input("i" * MIB)
        span.set_output("o" * MIB)
    with alone(client, "limit: input over 1 MiB") as span:
        span.set_input("i" * (MIB + 10))
    with alone(client, "limit: CJK output over 1 MiB") as span:
        span.set_output("中" * (MIB // 3 + 10))
    with alone(client, "limit: structured input over 1 MiB") as span:
        span.set_input({"text": "s" * (MIB + 10)})
    with alone(client, "limit: 49 tags") as span:
        span.set_tags({f"tag-{number:02d}": number for number in range(49)})
    with alone(client, "limit: 48 tags, input and output") as span:
        span.set_input("in")
        span.set_output("out")
        span.set_tags({f"tag-{number:02d}": str(number) for number in range(48)})


def tree(client: Any, module: str) -> None:
    with alone(client, "tree: root"):
        with client.start_span("tree: level 2", "custom"), client.start_span("tree: level 3", "custom"):
            with client.start_span("tree: level 4", "custom"):
                observed["current span has ids"] = [
                    len(client.get_span_from_context().trace_id),
                    len(client.get_span_from_context().span_id),
                ]
            with client.start_span("tree: level 4, sibling", "custom"):
                pass
        with client.start_span("tree: level 2, sibling", "custom"):
            new_trace = client.start_span("tree: a new trace inside", "custom", start_new_trace=True)
            with new_trace, client.start_span("tree: child of the new trace", "custom"):
                pass
            with client.start_span("tree: after the new trace", "custom"):
                pass
    first = alone(client, "tree: finished before its child")
    first.finish()
    client.start_span("tree: child of a finished span", "custom", child_of=first).finish()
    manual = alone(client, "tree: without a with statement")
    child = client.start_span("tree: child without a with statement", "custom")
    child.finish()
    manual.finish()
    client.start_span("tree: nobody is current any more", "custom").finish()


def baggage(client: Any, module: str) -> None:
    with alone(client, "baggage: set") as span:
        span.set_baggage({"product": "loop", "user name": "a b/c=d,e+f", "k2": "中"})
        observed["to_header: baggage"] = baggage_of(span)
        with client.start_span("baggage: inherited", "custom") as child:
            child.set_baggage({"own": "1"})
            observed["to_header: inherited baggage"] = baggage_of(child)
            with client.start_span("baggage: inherited twice", "custom"):
                pass
        with client.start_span("baggage: sibling sees none of its sibling's", "custom"):
            pass
    with alone(client, "baggage: empty value") as span:
        span.set_baggage({"empty": "", "full": "1"})
        observed["to_header: empty value"] = baggage_of(span)
    with alone(client, "baggage: a key with a comma or an equals sign") as span:
        span.set_baggage({"a,b": "1", "c=d": "2", "good": "3"})
        observed["to_header: bad keys"] = baggage_of(span)
    with alone(client, "baggage: too long a value") as span:
        span.set_baggage({"long": "v" * 2000, "short": "1"})
        observed["to_header: too long a value"] = baggage_of(span)


def headers(client: Any, module: str) -> None:
    with alone(client, "header: sender") as sender:
        sender.set_baggage({"carried": "value with space + plus"})
        sent = sender.to_header()
        version, trace_id, span_id, flags = sent["X-Cozeloop-Traceparent"].split("-")
        observed["to_header: names"] = sorted(sent)
        observed["to_header: version and flags"] = [version, flags]
        observed["to_header: ids are the span's"] = [trace_id == sender.trace_id, span_id == sender.span_id]
    with alone(client, "header: no baggage") as span:
        observed["to_header: no baggage"] = baggage_of(span)
    parent = client.get_span_from_header(sent)
    client.start_span("header: receiver", "custom", child_of=parent).finish()
    lower_case = {name.lower(): value for name, value in sent.items()}
    client.start_span("header: lower case", "custom", child_of=client.get_span_from_header(lower_case)).finish()
    written = {
        "X-Cozeloop-Traceparent": "00-1234567890abcdef1234567890abcdef-1234567890abcdef-01",
        "X-Cozeloop-Tracestate": "k1=v1,k2=%E4%B8%AD%20%2B,bad,=empty,k3=",
    }
    parent = client.get_span_from_header(written)
    observed["from header"] = [parent.trace_id, parent.span_id]
    client.start_span("header: a stranger's", "custom", child_of=parent).finish()
    with alone(client, "header: something else is current"):
        client.start_span("header: child_of beats the current span", "custom", child_of=parent).finish()
        client.start_span(
            "header: child_of beats start_new_trace", "custom", child_of=parent, start_new_trace=True
        ).finish()


def baggage_of(span: Any) -> Any:
    """The baggage header, in no particular order."""
    return sorted(span.to_header().get("X-Cozeloop-Tracestate", "no such header").split(","))


def a_moment_ago() -> datetime.datetime:
    return datetime.datetime.now() - datetime.timedelta(minutes=10)


def micros(moment: datetime.datetime) -> int:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment.astimezone(datetime.timezone.utc) - epoch) // datetime.timedelta(microseconds=1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
