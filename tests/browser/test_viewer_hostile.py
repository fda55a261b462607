"""Nothing that stands in a span or a prompt runs in the pages of the stand-in server, or in an exported trace."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from cozeloop_lite.local.export import export

from .driven import CHOOSE, find, ingest, open_trace, read, span
from .payloads import PAYLOADS

pytestmark = [
    pytest.mark.skipif(not (find("chromium") and find("chromedriver")), reason="chromium or chromedriver is not there"),
    pytest.mark.timeout(300),
]

WALK = """
    const pause = () => new Promise((resolve) => setTimeout(resolve, 0));
    const pane = document.querySelector(".details");
    const box = document.querySelector(".rows");
    let walked = 0;
    for (let i = 0; i < arguments[0]; i += 1) {
      box.scrollTop = i * 28;
      let row;
      while (!(row = document.querySelector(`[id$="-${i}"].row`))) await pause();
      row.click();
      const name = row.querySelector(".name").textContent;
      let since = performance.now();
      while (!pane.querySelector("h2") || pane.querySelector("h2").textContent !== name) {
        if (performance.now() - since > 20000) throw new Error("not shown: " + i + name);
        await pause();
      }
      for (const one of pane.querySelectorAll("details")) one.open = true;
      for (const one of pane.querySelectorAll("select")) {
        for (const option of one.options) {
          one.value = option.value;
          one.dispatchEvent(new Event("change"));
        }
      }
      for (const one of document.querySelectorAll("*")) {
        const href = one.getAttribute("href") || "#";
        const stranger = ["IFRAME", "OBJECT", "EMBED", "BASE", "svg", "FORM", "VIDEO", "AUDIO"].includes(one.tagName);
        const handles = one.getAttributeNames().some((name) => name.startsWith("on"));
        if (stranger || handles || !/^(#|https?:|data:,|style\\.css$|[/]api[/]files[/])/.test(href)) {
          throw new Error(`not of these pages: ${one.outerHTML}`);
        }
      }
      walked += 1;
    }
    return walked;
"""


def hostile(number, payload):
    messages = [
        {"role": payload, "content": payload, "name": payload, "reasoning_content": payload},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": payload},
                {"type": "image_url", "image_url": {"url": payload, "name": payload}},
                {"type": "file_url", "file_url": {"url": payload, "name": payload}},
                {"type": payload, payload: payload},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": payload, "function": {"name": payload, "arguments": json.dumps({payload: payload})}}],
        },
        {"role": "tool", "tool_call_id": payload, "parts": [{"type": "text", "text": payload}]},
    ]
    storage = {"Attachments": [{"field": "input", "type": "image", "name": payload, "tos_key": payload}]}
    return span(
        number,
        "0" if number == 0 else 0,
        span_name=payload,
        span_type=payload,
        method=payload,
        service_name=payload,
        log_id=payload,
        status_code=-1,
        input=json.dumps({"messages": messages, "tools": [{payload: payload}]}),
        output=payload,
        object_storage=json.dumps(storage),
        tags_string={payload: payload, "error": payload, "json": json.dumps({payload: [payload]}), "user_id": payload},
        system_tags_string={"env": payload, "cut_off": payload},
        unknown=payload,
    )


def test_no_payload_runs_in_a_trace_or_the_list(browser, server):
    assert len(PAYLOADS) >= 60 and len(set(PAYLOADS)) == len(PAYLOADS)
    ingest(server, [hostile(n, payload) for n, payload in enumerate(PAYLOADS)])
    ingest(
        server,
        [{**hostile(n, payload), "trace_id": f"{n + 1:032x}", "parent_id": "0"} for n, payload in enumerate(PAYLOADS)],
    )
    open_trace(browser, server)
    assert browser.run_async(WALK, len(PAYLOADS)) == len(PAYLOADS)
    assert browser.text(".details h2") == PAYLOADS[-1]
    browser.quiet()
    browser.open(server.url)
    browser.element(".list .row")
    browser.run_async(
        "const box = document.querySelector('.rows');"
        "for (let y = 0; y < box.scrollHeight; y += 300) {"
        "  box.scrollTop = y;"
        "  await new Promise(requestAnimationFrame);"
        "}"
    )


HUGE = 2**70  # no number of JavaScript: the pages keep it as a BigInt
OWN = {"toString": 1, "valueOf": 2}  # an object that is no text, and cannot be made one


def part(kind, **fields):
    return {"role": "user", "content": [{"type": kind, kind: {"url": "https://x.invalid/y", **fields}}]}


def calls(*tool_calls):
    return {"role": "assistant", "content": None, "tool_calls": list(tool_calls)}


ODD = {
    "a name of an image that is a number": part("image_url", name=123),
    "a name of a file that is an object": part("file_url", name={"a": 1}),
    "a name of a file that is a list": part("file_url", name=["a"]),
    "a name of a file that is true": part("file", filename=True),
    "an image that is a number": {"role": "user", "content": [{"type": "x", "image_url": HUGE}]},
    "an address that is an object": part("image_url", url=OWN),
    "parts of all kinds": {"role": "user", "parts": [1, None, [], {}, "s", HUGE, {"type": "text", "text": 5}]},
    "a role that is an object": {"role": OWN, "content": "x"},
    "a name that is an object": {"role": "user", "content": "x", "name": OWN},
    "a name that has no prototype": {"role": "user", "content": "x", "name": {"__proto__": None}},
    "a content that is a number": {"role": "user", "content": HUGE},
    "a reasoning with a number": {"role": "assistant", "content": "x", "reasoning_content": {"n": HUGE}},
    "an id of a result that is an object": {"role": "tool", "content": "x", "tool_call_id": OWN},
    "an id of a call that is an object": calls({"id": OWN, "function": {"name": "f", "arguments": "{}"}}),
    "a function that is a number": calls({"id": 1, "function": {"name": HUGE, "arguments": HUGE}}),
    "a function that is an object": calls({"function": {"name": OWN}}),
    "calls of all kinds": calls(None, 1, "x", [], {"function": 5}, {"function": "f"}, {"function": {"name": ["a"]}}),
}
ODD_INPUTS = {
    **{name: {"messages": [message]} for name, message in ODD.items()},
    "a reason of the end that is a number": {"choices": [{"finish_reason": HUGE, "message": {"content": "x"}}]},
    "a reason of the end with a number": {"choices": [{"finish_reason": {"a": HUGE}, "message": {"content": "x"}}]},
    "names that objects have": {"__proto__": {"role": "user", "content": "x"}, "constructor": 1, "toString": 2},
    "tools and usage with numbers": {"messages": [{"content": "x"}], "usage": {"a": HUGE}, "tools": [HUGE]},
    "tools and usage that are numbers": {"messages": [{"content": "x"}], "usage": 5, "tools": 5},
}


def test_messages_of_unexpected_types_are_shown_as_what_they_are(browser, server):
    fields = [{"span_name": name, "input": json.dumps(value)} for name, value in ODD_INPUTS.items()]
    ingest(server, [span(number, "0" if number == 0 else 0, **given) for number, given in enumerate(fields)])
    open_trace(browser, server)

    assert browser.run_async(WALK, len(ODD_INPUTS)) == len(ODD_INPUTS)

    for name, said in [
        ("a name of an image that is a number", "123"),
        ("an id of a call that is an object", '{"toString":1,"valueOf":2}'),
        ("a function that is a number", str(HUGE)),
    ]:
        browser.run(CHOOSE, name)
        browser.wait_text(".details h2", name)
        browser.wait_text(".details", said)


def test_no_payload_runs_in_prompts(browser, server):
    for payload in PAYLOADS:
        definition = [{"key": payload, "desc": payload, "type": "string"}]
        message = {"role": "user", "content": payload + "{{" + payload + "}}"}
        template = {"template_type": "normal", "messages": [message], "variable_defs": definition}
        changed = {**template, "messages": [message, {"role": "system", "content": payload}]}
        server.prompts.put(
            {
                "prompt_key": payload,
                "versions": {"1.0.0": {"prompt_template": template}, "1.0.1": {"prompt_template": changed}},
                "labels": {},
            }
        )
    browser.open(server.url + "/#/prompts")
    browser.wait("return document.querySelectorAll('nav.left a').length === arguments[0]", len(PAYLOADS))
    shown = browser.run_async("""
        const links = [...document.querySelectorAll("nav.left a")].map((a) => [a.textContent, a.getAttribute("href")]);
        const until = async (test, what) => {
          const since = performance.now();
          while (!test()) {
            if (performance.now() - since > 20000) throw new Error(what);
            await new Promise((resolve) => setTimeout(resolve, 0));
          }
        };
        const shown = () => (document.querySelector(".prompt h2") || {}).textContent;
        const show = async ([text, href]) => {
          location.hash = href;
          await until(() => shown() === text, "not shown: " + text);
        };
        await show(links[1]); // the first one is shown without being asked for, and would be shown twice
        for (const [text, href] of links) {
          await show([text, href]);
          const field = document.querySelector(".try textarea");
          field.value = text; field.dispatchEvent(new Event("input"));
          document.querySelector(".try button").click();
          await until(() => document.querySelector(".try + div").childElementCount, "not rendered " + text);
        }
        return links.length;
    """)
    assert shown == len(PAYLOADS)


def test_no_payload_runs_by_the_address(browser, server):
    for payload in PAYLOADS[:8]:
        browser.open(server.url + "/#/trace/" + payload)
        browser.wait_text("main p[role=status]", "There is no trace ")
        browser.quiet()


def test_no_payload_runs_in_an_exported_trace(browser, server, tmp_path):
    ingest(server, [hostile(n, payload) for n, payload in enumerate(PAYLOADS)])
    file = tmp_path / "trace.html"
    file.write_text(export(read(server, f"/api/traces/{'ab' * 16}?full=1")), encoding="utf-8")
    browser.open(file.as_uri())
    browser.element(".details h2")
    assert browser.run_async(WALK, len(PAYLOADS)) == len(PAYLOADS)
