"""The pages of the stand-in server as files, and a trace exported as one; their use is tested in tests/browser."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re

import pytest

from cozeloop_lite.local import page_files
from cozeloop_lite.local.export import export

NAMES = sorted(os.listdir(page_files.FOLDER))
BRIEF = {"trace_id": "1" * 32, "name": "chat", "spans": 1}


def source(name):
    with open(os.path.join(page_files.FOLDER, name), encoding="utf-8") as file:
        return file.read()


def exported(name="chat", **fields):
    return export({"trace": {**BRIEF, "name": name}, "more": False, "spans": [{"row": 1, **fields}]})


def blocks(page):
    """The exported trace, the script and the style of a page, as a browser reads them."""
    (trace,) = re.findall(r'<script type="application/json" id="exported-trace">(.*?)</script', page, re.S)
    (script,) = re.findall(r'<script type="module">(.*?)</script', page, re.S)
    (style,) = re.findall(r"<style>(.*?)</style", page, re.S)
    return trace, script, style


def test_the_pages_are_small():
    assert sum(os.path.getsize(os.path.join(page_files.FOLDER, name)) for name in NAMES) < 100 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_inserted_as_html_nor_made_into_code(name):
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML"
    assert not re.findall(forbidden + r"|\beval\b|new Function|srcdoc|cssText|\.style\.\w+ =|\bimport\(", source(name))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_from_elsewhere(name):
    assert not re.findall(r"https?://[\w.]+|@import|url\(", source(name).replace("https?:\\/\\/", ""))


def test_the_document_has_no_script_style_or_handler_of_its_own():
    page = source("index.html")
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script>|<script(?![^>]*src=)", page)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_modules_import_what_others_export(name):
    for names, module in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', source(name), re.M):
        exports = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", source(f"{module}.js"), re.M)
        assert set(map(str.strip, names.split(","))) <= set(exports)


def test_both_languages_say_the_same_things():
    english, chinese = (
        re.findall(r"(\w+): \[?\"", source("text.js").split(f"const {name} = {{")[1].split("\n};")[0])
        for name in ("ENGLISH", "CHINESE")
    )
    assert english == chinese and len(set(english)) == len(english)


def test_every_text_that_a_page_says_is_there():
    said = {key for name in NAMES for key in re.findall(r'\bsay\("(\w+)"', source(name))}
    assert said and said <= set(re.findall(r"(\w+): \[?\"", source("text.js")))


# --- export -----------------------------------------------------------------------------------------------------------


def test_an_exported_trace_allows_its_own_script_and_style_and_nothing_else():
    page = exported()
    _, script, style = blocks(page)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    script_hash, style_hash = (
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode() for text in (script, style)
    )
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src 'sha256-{script_hash}'",
        f"style-src 'sha256-{style_hash}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_an_exported_trace_has_all_modules_each_after_those_it_uses():
    _, script, _ = blocks(exported())
    order = re.findall(r"^const module_(\w+) = ", script, re.M)
    assert sorted(order) == sorted(name[:-3] for name in NAMES if name.endswith(".js"))
    for name in order:
        needed = re.findall(r'from "\./(\w+)\.js"', source(f"{name}.js"))
        assert all(order.index(one) < order.index(name) for one in needed)
    assert not re.findall(r"^(?:import|export) (?!COZELOOP_)", script, re.M)


@pytest.mark.parametrize("text", ["</script><script>hacked()</script>", "<!--<script>", "\u2028", "\ud800", "{title}"])
def test_what_a_span_holds_comes_back_and_ends_nothing(text):
    page = exported(text, input=text)
    page.encode("utf-8")
    trace, _, _ = blocks(page)
    assert "<" not in trace
    assert json.loads(trace)["spans"] == [{"row": 1, "input": text}]
    assert page.count("<script") == 2 and page.count("hacked()</script>") == 0


def test_integers_beyond_two_to_the_53_are_exported_as_they_are():
    trace, _, _ = blocks(exported(tags_long={"n": 2**63 - 1}))
    assert json.loads(trace)["spans"][0]["tags_long"] == {"n": 2**63 - 1}
