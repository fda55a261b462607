"""Nothing that stands in a span or a prompt runs in the pages of the stand-in server, or in an exported trace."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from cozeloop_lite.local.export import export

from .driven import find, ingest, open_trace, read, span
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
