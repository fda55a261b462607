"""The pages of the stand-in server in a real browser: what they show, and how they are used."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.keys import Keys

from cozeloop_lite import new_client
from cozeloop_lite.local import StandInServer
from cozeloop_lite.local.export import export

from . import showcase
from .driven import CHOOSE, CHOSEN, find, ingest, open_trace, read, span

pytestmark = [
    pytest.mark.skipif(not (find("chromium") and find("chromedriver")), reason="chromium or chromedriver is not there"),
    pytest.mark.timeout(300),
]

# --- the list ---------------------------------------------------------------------------------------------------------


def test_traces_are_listed_the_latest_first(browser, journey):
    server, _ = journey
    browser.open(server.url)
    browser.wait("return document.querySelectorAll('.list .row').length >= 13")
    first = browser.run("return [...document.querySelectorAll('.list .row')][0].innerText")
    assert "plan_journey" in first and "error" in first and "3.42 s" in first and "12" in first and "2,076" in first


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (999, "999 µs"),
        (1_500, "1.50 ms"),
        (999_700, "1.00 s"),
        (119_700_000, "2 min 0 s"),
        (3_599_700_000, "1.0 h"),
    ],
)
def test_durations_are_rounded_to_the_next_unit(browser, server, micros, shown):
    ingest(server, [span(0, started_at_micros=1000000 * int(time.time() - 7200), duration_micros=micros)])
    browser.open(server.url)
    browser.wait_text(".list .row .cell.duration", shown)


def test_new_traces_appear_by_themselves(browser, server):
    browser.open(server.url)
    browser.wait_text(".first pre", "COZELOOP_API_BASE_URL=" + server.url)
    ingest(server, [span(0, span_name="just now")])
    browser.wait_text(".list .row", "just now")
    ingest(server, [span(1, "0000000000000001", status_code=-1)])
    browser.wait_text(".list .row .cell.status", "error")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=MARKER", ["found"]),
        ("status=error", ["broken"]),
        ("status=ok", ["found", "tagged"]),
        ("tag=color%3Dblue", ["tagged"]),
        ("user_id=ada", ["broken"]),
        ("log_id=log-1", ["found"]),
        ("trace_id=" + "2" * 32, ["tagged"]),
        ("q=nothing+has+this", []),
        ("to=1000000", []),
    ],
)
def test_traces_are_searched(browser, server, query, names):
    ingest(server, [span(0, trace_id="1" * 32, span_name="found", input="has a marker", log_id="log-1")])
    ingest(server, [span(1, trace_id="2" * 32, span_name="tagged", tags_string={"color": "blue"})])
    ingest(server, [span(2, trace_id="3" * 32, span_name="broken", status_code=5, tags_string={"user_id": "ada"})])
    browser.open(f"{server.url}/#/?{query}")
    browser.wait("return !!document.querySelector('p[role=status]').textContent")
    shown = browser.run("return [...document.querySelectorAll('.list .row a')].map((a) => a.textContent)")
    assert sorted(shown) == names


def test_typing_searches_and_the_address_says_what_for(browser, server):
    ingest(server, [span(0, trace_id="1" * 32, span_name="apple"), span(1, trace_id="2" * 32, span_name="pear")])
    browser.open(server.url)
    browser.wait("return document.querySelectorAll('.list .row').length === 2")
    browser.element("input[name=q]").send_keys("pear")
    browser.wait("return document.querySelectorAll('.list .row').length === 1")
    assert browser.driver.current_url.endswith("#/?q=pear")


CLEAR = "document.querySelector('form.filters > button[type=button]').click();"


@pytest.mark.parametrize("at_once", [False, True])
def test_what_was_searched_for_can_be_cleared(browser, server, at_once):
    ingest(server, [span(0, trace_id="1" * 32, span_name="apple"), span(1, trace_id="2" * 32, span_name="pear")])
    browser.open(server.url + "/#/")
    browser.wait("return document.querySelectorAll('.list .row').length === 2")
    if not at_once:
        browser.element("input[name=q]").send_keys("pear")
        browser.wait("return document.querySelectorAll('.list .row').length === 1")
    tag = "const tag = document.querySelector('[name=tag]'); tag.value = 'unfinished';"
    browser.run(tag + "tag.dispatchEvent(new Event('input', { bubbles: true }));" + CLEAR)
    browser.wait("return document.querySelectorAll('.list .row').length === 2")
    assert browser.run("return [...document.querySelectorAll('input')].map((field) => field.value).join('')") == ""
    assert browser.driver.current_url.endswith("#/")


def test_the_list_is_walked_by_keyboard(browser, journey):
    server, trace_id = journey
    browser.open(server.url)
    browser.wait("return document.querySelectorAll('.list .row').length >= 13")
    browser.run("document.querySelector('.rows').focus()")
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ENTER)
    browser.wait_text(".sums h1", "plan_journey")
    assert trace_id in browser.driver.current_url


def made_up(n):
    numbers = dict.fromkeys(("dropped", "errors", "warnings", "input_tokens", "output_tokens", "received_at_micros"), 0)
    times = {"started_at_micros": n * 1000000, "duration_micros": n}
    about = {"type": "custom", "has_root": True, "status": "ok", "spans": 1, "services": []}
    return {"trace_id": f"{n:032x}", "number": n, "name": f"trace {n}", **numbers, **times, **about}


@pytest.fixture
def archive(server, monkeypatch):
    """What a list is told: ``newest`` made-up traces, and whether too many have changed since the last time."""

    class Archive:
        newest, reset = 5000, False

        def page(self, wanted, before, limit):
            first = self.newest if before is None else before - 1
            last = max(0, first - limit)
            traces = [made_up(n) for n in range(first, last, -1)]
            return {"traces": traces, "next": last + 1 if last else None, "since": self.since()}

        def since(self):
            return f"x-{self.newest}"

        def changes(self, since):
            known = int(since[2:])
            traces = [] if self.reset else [made_up(n) for n in range(known + 1, self.newest + 1)]
            return {"since": self.since(), "reset": self.reset, "traces": traces}

    archive = Archive()
    monkeypatch.setattr(server._api._archive, "page", archive.page)
    monkeypatch.setattr(server._api._archive, "changes", archive.changes)
    return archive


SCROLL_TO = """
const box = document.querySelector(".rows");
while (parseInt(document.querySelector("p[role=status]").textContent.replace(",", "")) < arguments[0]) {
  box.scrollTop = box.scrollHeight;
  await new Promise(requestAnimationFrame);
}
"""
COUNTED = "return parseInt(document.querySelector('p[role=status]').textContent.replace(',', ''))"


def test_a_list_that_stays_open_does_not_grow_for_ever(browser, server, archive):
    browser.open(server.url)
    browser.element(".list .row")
    browser.run_async(SCROLL_TO, 4000)
    browser.run("document.querySelector('.rows').scrollTop = 0")
    archive.newest += 1
    browser.wait_text("p[role=status]", "1 new or changed trace")
    assert 2000 < browser.run(COUNTED) < 2100
    browser.run_async(SCROLL_TO, 3000)
    browser.run("document.querySelector('.rows').focus()")
    browser.press(Keys.HOME)
    names = "return [...document.querySelectorAll('.list .row a')].map((a) => a.textContent)"
    browser.run("document.querySelector('.rows').scrollTop = 36 * 2020")
    browser.wait(f"{names}.includes('trace 2981')")
    shown = [int(name[6:]) for name in browser.run(names)]
    assert shown == list(range(shown[0], shown[-1] - 1, -1)), "no gap where it was cut off"


def test_what_one_reads_stays_in_its_place_when_very_much_arrives(browser, server, archive):
    browser.open(server.url)
    browser.element(".list .row")
    browser.run("document.querySelector('.rows').scrollTop = 3600")
    archive.newest, archive.reset = 9000, True
    browser.wait_text("p[role=status]", "scroll to the top")
    assert browser.run("return document.querySelector('.rows').scrollTop") == 3600
    assert "trace 4900" in browser.text(".list .rows")
    archive.reset = False
    browser.run("document.querySelector('.rows').scrollTop = 0")
    browser.wait_text(".list .row", "trace 9000")


@pytest.mark.parametrize("width", [400, 800, 1600])
@pytest.mark.parametrize("traces", [1, 60])
def test_titles_stand_above_their_columns(browser, server, width, traces):
    ingest(server, [span(n, trace_id=f"{n + 1:032x}", warnings=1) for n in range(traces)])
    browser.look(width, 800)
    browser.open(server.url)
    browser.element(".list .row")
    places = """
        return [...document.querySelectorAll(`${arguments[0]} .cell`)].map((cell) => cell.getBoundingClientRect())
          .map(({left, right}) => [Math.round(left), Math.round(right)]);
    """
    assert browser.run(places, ".titles") == browser.run(places, ".list .row:first-child")


def test_a_server_that_goes_away_and_comes_back_is_told(browser):
    with StandInServer() as server:
        ingest(server, [span(0, span_name="before")])
        browser.open(server.url)
        browser.wait_text(".list .row", "before")
        port = server.port
    browser.wait_text("[role=alert]", "The server does not answer; trying again.")
    with StandInServer(port=port) as server:
        ingest(server, [span(0, trace_id="cd" * 16, span_name="after")])
        browser.wait_text(".list .row", "after")
        assert browser.text("[role=alert]") == ""


def test_a_hundred_thousand_traces_are_listed_with_few_rows_in_the_document(browser, server, archive):
    archive.newest = 100000
    browser.open(server.url)
    browser.element(".list .row")
    most = browser.run_async("""
        const box = document.querySelector(".rows");
        let most = 0;
        while (!document.querySelector("p[role=status]").textContent.startsWith("100,000")) {
          box.scrollTop = box.scrollHeight;
          await new Promise(requestAnimationFrame);
          most = Math.max(most, document.querySelectorAll(".row").length);
        }
        return most;
    """)
    assert most < 100
    browser.run("document.querySelector('.rows').focus()")
    browser.press(Keys.END)
    browser.wait(
        "const r = document.querySelector('.row[aria-selected=true]'); return !!r && r.innerText.includes('trace 1 ')"
    )


# --- one trace --------------------------------------------------------------------------------------------------------


def test_a_trace_is_a_tree_beside_a_waterfall_drawn_to_scale(browser, server):
    start = int(time.time() * 1e6) - 5000000
    ingest(
        server,
        [
            span(0, started_at_micros=start, duration_micros=1000000, span_name="root"),
            span(1, 0, started_at_micros=start + 250000, duration_micros=500000, span_name="child"),
            span(2, 1, started_at_micros=start + 500000, duration_micros=250000, span_name="grandchild"),
        ],
    )
    open_trace(browser, server)
    rows = browser.run("""
        return [...document.querySelectorAll("[role=treeitem]")].map((row) => {
          const [line, bar] = [".line", ".bar"].map((one) => row.querySelector(one).getBoundingClientRect());
          const level = Number(row.getAttribute("aria-level"));
          const place = [(bar.left - line.left) / line.width, bar.width / line.width];
          return [row.querySelector(".name").textContent, level, ...place];
        });
    """)
    assert [row[:2] for row in rows] == [["root", 1], ["child", 2], ["grandchild", 3]]
    for row, (left, width) in zip(rows, [(0, 1), (0.25, 0.5), (0.5, 0.25)]):
        assert row[2:] == pytest.approx([left, width], abs=0.01)


def test_the_tree_is_walked_by_keyboard(browser, journey):
    open_trace(browser, *journey)
    seen = []
    for keys in [
        (),
        (Keys.ARROW_DOWN,),
        (Keys.ARROW_DOWN,),
        (Keys.ARROW_RIGHT,),
        (Keys.ARROW_LEFT,),
        (Keys.ARROW_LEFT, Keys.ARROW_DOWN),
        (Keys.END,),
        (Keys.HOME,),
    ]:
        browser.press(*keys)
        seen.append(browser.run(CHOSEN))
    assert seen == [
        "plan_journey",
        "prompt travel.planner",
        "search_places",
        "embed",
        "search_places",
        "chat_model",
        "save_plan",
        "plan_journey",
    ]
    assert (
        browser.run(
            "const active = document.querySelector('[role=tree]').getAttribute('aria-activedescendant');"
            "return document.getElementById(active).getAttribute('aria-selected');"
        )
        == "true"
    )
    browser.press(Keys.ENTER)
    assert browser.run("return document.activeElement.className") == "details"
    browser.press(Keys.ESCAPE)
    assert browser.run("return document.activeElement.getAttribute('role')") == "tree"


def test_an_input_is_shown_as_the_conversation_it_is(browser, journey):
    open_trace(browser, *journey)
    browser.run(CHOOSE, "chat_model")
    browser.wait_text(".details h2", "chat_model")
    assert browser.run("return [...document.querySelectorAll('.details .message')].map((m) => m.className)") == [
        "message system",
        "message user",
        "message assistant",
    ]
    browser.wait("const i = document.querySelector('.details img'); return !!i && i.naturalWidth === 240")
    assert browser.text(".details figcaption").startswith("beach.png")
    assert "coast west of Lisboa" in browser.text(".reasoning")
    assert "Calls find_trains" in browser.text(".call") and '"Lisboa"' in browser.text(".call")
    assert "Ended because: tool_calls" in browser.text(".message.assistant")
    assert not browser.run(
        "return [...document.querySelectorAll('.message.user')].some((m) => m.textContent.includes('Ended'))"
    )


def test_an_error_and_its_stack_are_red(browser, journey):
    open_trace(browser, *journey)
    browser.run(CHOOSE, "attempt 2")
    browser.wait_text(".details .fault pre", 'File "planner/http.py", line 17, in get')
    red = browser.run("return getComputedStyle(document.querySelector('.fault pre')).color")
    assert (
        red == browser.run("return getComputedStyle(document.querySelector('.facts .bad')).color") == "rgb(179, 23, 44)"
    )


def test_what_a_span_inherited_is_told_apart_from_its_own_tags(browser, journey):
    open_trace(browser, *journey)
    browser.run(CHOOSE, "search_places")
    browser.wait_text(".details h2", "search_places")
    browser.wait(
        "return [...document.querySelectorAll('.details tr')].some((r) => r.textContent === 'user_idada baggage')"
    )


def test_warnings_of_the_server_are_told(browser, server):
    ingest(server, [span(0, tags_string={"k": "x" * 2000})])
    open_trace(browser, server)
    assert "tag value cut to 1024 bytes: 'k'" in browser.text(".details .warned")
    browser.run("document.querySelector('header button').click()")
    browser.wait_text(".details .warned", "tag 的值被截断为 1024 字节")
    assert browser.run("return document.documentElement.lang") == "zh-CN"
    browser.run("localStorage.clear()")


def test_json_is_folded_and_searched(browser, server):
    deep = {
        "a": {"b": {"c": {"needle": 1}}},
        "list": list(range(500)),
        "text": "hay",
        "more": [{"n": n} for n in range(20)],
    }
    ingest(server, [span(0, input=json.dumps(deep))])
    open_trace(browser, server)
    assert "needle" not in browser.text(".json")
    assert browser.run("return document.querySelectorAll('.json .leaf').length") < 300
    browser.element(".details .find").send_keys("NEEDLE")
    browser.wait_text(".json mark", "needle")
    assert browser.text(".details [role=status]") == "1 found" and "hay" not in browser.text(".json")


def test_numbers_beyond_two_to_the_53_keep_their_digits(browser, server):
    ingest(server, [span(0, input='{"id": 9007199254740993}', tags_long={"n": 9223372036854775807})])
    open_trace(browser, server)
    assert "9007199254740993" in browser.text(".json")
    browser.wait_text("section[aria-label=Tags]", "9,223,372,036,854,775,807")


def test_a_large_text_is_loaded_when_it_is_asked_for(browser, server):
    ingest(server, [span(0, output="x" * 700000 + "the end")])
    open_trace(browser, server)
    output = "document.querySelector('section[aria-label=Output]')"
    assert browser.run(f"return {output}.textContent.length") < 30000
    button = f"[...{output}.querySelectorAll('button')].find((b) => b.textContent.startsWith(arguments[0]))"
    browser.run(f"{button}.click()", "Load all")
    browser.wait(f"return !{button}", "Load all")
    while browser.run(f"const b = {button}; if (b) b.click(); return !!b", "Show more"):
        pass
    assert browser.run(f"return {output}.textContent.includes('the end')")


def test_a_text_that_was_uploaded_is_loaded_when_it_is_asked_for(browser, server):
    with new_client(api_base_url=server.url, workspace_id="7", api_token="any", ultra_large_report=True) as client:
        with client.start_span("large", "custom") as large:
            large.set_output("x" * 1100000 + "the end")
        assert client.flush()
    open_trace(browser, server, large.trace_id)
    assert browser.text("section[aria-label=Output] .head").startswith("Output1.0 MB")
    buttons = "[...document.querySelectorAll('section[aria-label=Output] button')]"
    browser.run(f"{buttons}.find((b) => b.textContent.startsWith('Load all')).click()")
    more = f"return {buttons}.some((b) => b.textContent.startsWith('Show more (1080007'))"
    browser.wait(more)


def test_copying_takes_the_whole_text(browser, server):
    text = "x" * 300000 + "the end"
    ingest(server, [span(0, output=text)])
    open_trace(browser, server)
    browser.run(
        "window.__copied = null;"
        "const clipboard = {writeText: async (text) => { window.__copied = text; }};"
        "Object.defineProperty(navigator, 'clipboard', {value: clipboard});"
    )
    browser.run("document.querySelector('section[aria-label=Output] .head button').click()")
    browser.wait("return window.__copied !== null")
    assert browser.run("return window.__copied") == text


def test_ten_thousand_spans_are_few_rows_in_the_document(browser, server):
    ingest(server, [span(n, "0" if n == 0 else (n - 1) // 10) for n in range(10000)])
    open_trace(browser, server)
    most = browser.run_async("""
        const box = document.querySelector(".rows");
        let most = 0;
        for (let i = 0; i <= 60; i += 1) {
          box.scrollTop = (box.scrollHeight * i) / 60;
          await new Promise(requestAnimationFrame);
          await new Promise(requestAnimationFrame);
          most = Math.max(most, document.querySelectorAll(".row").length);
        }
        return most;
    """)
    assert 10 < most < 100
    browser.press(Keys.END)
    browser.wait_text(".details h2", browser.run(CHOSEN))
    assert browser.run("return document.querySelector('.row[aria-selected=true]').id").endswith("-9999")


def test_spans_whose_parents_are_missing_or_make_a_circle_are_all_shown(browser, server):
    ingest(server, [span(0, 1), span(1, 0), span(2, "00000000000000ff"), span(3, 3), span(4, 1)])
    open_trace(browser, server)
    assert browser.run("return document.querySelectorAll('[role=treeitem]').length") == 5
    browser.run(CHOOSE, "span 2")
    browser.wait_text(".details .warned", "Its parent is not here.")


def test_five_thousand_levels_are_walked(browser, server):
    ingest(server, [span(n, n - 1 if n else "0") for n in range(5000)])
    open_trace(browser, server)
    browser.press(Keys.END)
    browser.wait_text(".details h2", "span 4999")


def test_impossible_times_do_not_stretch_the_picture(browser, server):
    ingest(
        server, [span(0), span(1, 0, started_at_micros=0), span(2, 0, started_at_micros=2**62, duration_micros=2**62)]
    )
    open_trace(browser, server)
    assert browser.text(".axis span:last-child") == "90 µs"


def test_a_trace_grows_while_it_is_looked_at(browser, server):
    ingest(server, [span(0)])
    open_trace(browser, server)
    ingest(server, [span(1, 0, span_name="later")])
    browser.wait("return document.querySelectorAll('[role=treeitem]').length === 2")


def test_a_trace_is_shown_as_soon_as_it_arrives(browser, server):
    browser.open(f"{server.url}/#/trace/{'ab' * 16}")
    browser.wait_text("main p[role=status]", f"There is no trace {'ab' * 16} here.")
    ingest(server, [span(0, span_name="at last")])
    browser.wait_text(".details h2", "at last")


def test_an_image_is_shown_as_soon_as_it_arrives(browser, server):
    storage = json.dumps({"Attachments": [{"field": "input", "name": "sea", "type": "image", "tos_key": "sea.png"}]})
    ingest(server, [span(0, object_storage=storage)])
    open_trace(browser, server)
    browser.wait_text("section[aria-label=Files]", "not uploaded")
    server.store.add_file("7", "sea.png", showcase.picture())
    browser.wait("const i = document.querySelector('.details img'); return !!i && i.naturalWidth === 240")
    assert "no file was uploaded" not in browser.text(".details")


def test_a_warning_of_a_span_that_is_shown_is_told_where_one_reads(browser, server):
    again = span(0, output="x\n" * 2000)
    ingest(server, [again])
    open_trace(browser, server)
    browser.run("document.querySelector('.details').scrollTop = 500")
    ingest(server, [again])
    browser.wait_text(".details .warned", "this span arrived more than once")
    assert browser.run("return document.querySelector('.details').scrollTop") == 500


def test_a_span_is_found_and_unfolded(browser, journey):
    open_trace(browser, *journey)
    browser.run("[...document.querySelectorAll('.tools button')][1].click()")
    browser.wait("return document.querySelectorAll('[role=treeitem]').length === 1")
    browser.element(".tools .find").send_keys("vector_store" + Keys.ENTER)
    browser.wait_text(".details h2", "vector_store.query")


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_a_prompt_shows_its_versions_labels_variables_and_what_changed(browser, journey):
    browser.open(journey[0].url + "/#/prompts")
    browser.wait_text(".prompt h2", "travel.planner")
    browser.element("nav.left a").click()
    browser.wait("return location.hash === '#/prompts/travel.planner'")
    browser.wait_text(".prompt h2", "travel.planner")
    assert "1.1.0 · beta · latest" in browser.text(".prompt select")
    assert "of the answer" in browser.text(".prompt table")
    assert "You plan journeys by train." in browser.text(".diff ins") and "You plan journeys." in browser.text(
        ".diff del"
    )


def test_a_prompt_is_tried_out_beside_the_version_before(browser, journey):
    browser.open(journey[0].url + "/#/prompts/travel.planner")
    fields = "document.querySelectorAll('.try textarea')"
    browser.wait(f"return {fields}.length === 2")
    browser.driver.find_elements("css selector", ".try textarea")[1].send_keys("Porto <b>")
    browser.element(".try button").click()
    browser.wait(
        "const texts = [...document.querySelectorAll('.prompt .message pre')];"
        "return texts.some((text) => text.textContent === 'Two days in Porto <b>.');"
    )
    assert "Name prices." in browser.run("return [...document.querySelectorAll('.diff')].pop().textContent")


def test_a_value_that_is_no_json_is_told_to_who_typed_it(browser, server):
    server.prompts.put(
        {
            "prompt_key": "p",
            "versions": {
                "1.0.0": {
                    "prompt_template": {
                        "template_type": "jinja2",
                        "messages": [{"role": "user", "content": "{{ n + 1 }}"}],
                        "variable_defs": [{"key": "n", "desc": "", "type": "integer"}],
                    }
                }
            },
        }
    )
    browser.open(server.url + "/#/prompts/p")
    browser.element(".try textarea").send_keys("four")
    browser.element(".try button").click()
    browser.wait_text(".prompt .error", "n must be JSON")


# --- how it is used ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [400, 700, 900, 1600])
def test_pages_fit_the_window(browser, journey, width):
    server, trace_id = journey
    browser.look(width, 800)
    for path in ("/", f"/#/trace/{trace_id}", "/#/prompts/travel.planner"):
        browser.open(server.url + path)
        browser.element(".row, .prompt h2")
        assert browser.run("return document.documentElement.scrollWidth") <= width
        if path.startswith("/#/trace"):
            browser.run(CHOOSE, "chat_model")
            browser.element(".details img")
        assert browser.run("return document.documentElement.scrollHeight") <= 800


def test_the_language_follows_the_browser_and_the_switch(browser, journey):
    browser.open(journey[0].url)
    browser.wait_text("nav a", "Traces")
    browser.run("document.querySelector('header button').click()")
    browser.wait_text("header button", "English")
    browser.open(journey[0].url)
    browser.wait_text("header button", "English")
    browser.run("localStorage.clear()")


# --- the exported file ------------------------------------------------------------------------------------------------


def test_an_exported_trace_is_one_file_that_looks_the_same(browser, journey, tmp_path):
    server, trace_id = journey
    file = tmp_path / "trace.html"
    file.write_text(export(read(server, f"/api/traces/{trace_id}?full=1")), encoding="utf-8")
    browser.open(file.as_uri())
    browser.wait_text(".details h2", "plan_journey")
    assert browser.run("return document.querySelectorAll('[role=treeitem]').length") == 12
    assert "1,864" in browser.text(".facts") and not browser.run("return document.querySelector('nav')")
    browser.run(CHOOSE, "attempt 2")
    browser.wait_text(".details .fault pre", "planner/http.py")
    assert browser.run("return performance.getEntriesByType('resource').map((r) => r.name)") == []
