"""No page of the stand-in server has what axe-core finds wrong at level AA, light or dark."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from .driven import CHOOSE, find

pytestmark = [
    pytest.mark.skipif(not (find("chromium") and find("chromedriver")), reason="chromium or chromedriver is not there"),
    pytest.mark.timeout(300),
]

AXE = "axe-core@4.10.2"
PATHS = {
    "list": "/",
    "filters": "/#/?status=error&user_id=ada",
    "prompt": "/#/prompts/travel.planner",
    "empty": "/",
    "missing": "/#/trace/none",
    "no prompts": "/#/prompts",
}


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, fetched by npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not there, which fetches axe-core")
    folder = str(tmp_path_factory.mktemp("axe"))
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, AXE]
    if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm cannot fetch axe-core")
    with open(os.path.join(folder, "node_modules", "axe-core", "axe.min.js"), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", ["list", "filters", "trace", "error", "prompt", "empty", "missing", "no prompts"])
def test_axe_finds_nothing_at_level_aa(browser, journey, server, axe, page, dark):
    empty, (server, trace_id) = server, journey
    browser.look(1400, 860, dark)
    path = PATHS.get(page, f"/#/trace/{trace_id}")
    if page in ("empty", "no prompts"):
        server = empty
    browser.open(server.url + path)
    if page in ("trace", "error"):
        browser.element("[role=treeitem]")
        browser.run(CHOOSE, "chat_model" if page == "trace" else "attempt 1")
        browser.wait_text(".details h2", "chat_model" if page == "trace" else "attempt 1")
        browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    elif page == "prompt":
        browser.element(".try button").click()
        browser.element(".try + div h4")
    else:
        there = {"empty": ".first pre", "missing": "main [role=status]", "no prompts": "main pre"}
        browser.element(there.get(page, ".list .row"))
    browser.run(axe)
    found = browser.run_async("""
        const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
        const result = await axe.run(document, {runOnly: {type: "tag", values: tags}});
        return result.violations.map(({id, nodes}) => `${id}: ${nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
    """)
    assert found == []
