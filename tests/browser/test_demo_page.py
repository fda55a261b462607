"""What a newcomer sees first: the trace of ``python -m examples.demo`` in a browser, from a server and from a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from .driven import CHOOSE, find

pytestmark = [
    pytest.mark.skipif(not (find("chromium") and find("chromedriver")), reason="chromium or chromedriver is not there"),
    pytest.mark.timeout(120),
]

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "examples.demo"]
SPANS = 10
RED = "rgb(198, 42, 65)"


def environment(**changes):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    return {**plain, "PYTHONIOENCODING": "utf-8", **changes}


def look(browser):
    """An image, a failed step in red, and two services, in one trace."""
    browser.wait_text(".sums h1", "answer")
    browser.wait(f"return document.querySelectorAll('[role=treeitem]').length === {SPANS}")
    facts = browser.text(".facts")
    assert "assistant" in facts and "reranker" in facts
    assert "Errors1" in facts
    failed = "[...document.querySelectorAll('.row')].find((row) => row.querySelector('.bar.failed'))"
    assert browser.run(f"return {failed}.querySelector('.name').textContent") == "count_lines"
    assert browser.run(f"return getComputedStyle({failed}.querySelector('.bar')).backgroundColor") == RED
    browser.run(CHOOSE, "count_lines")
    browser.wait_text(".details .fault pre", "there is no file docs/manual.txt")
    browser.run(CHOOSE, "chat")
    browser.wait("const i = document.querySelector('.details img'); return !!i && i.naturalWidth > 1000")
    assert browser.text(".details figcaption").startswith("trace.png")


def test_where_nobody_looks_it_writes_a_file_that_shows_the_trace(browser, tmp_path):
    done = subprocess.run(
        COMMAND,
        cwd=str(ROOT),
        env=environment(TMPDIR=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    browser.open(re.search(r"^  (file:///\S+)$", done.stdout, flags=re.M).group(1))
    look(browser)
    assert browser.run("return performance.getEntriesByType('resource').map((r) => r.name)") == []


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_in_a_terminal_its_server_goes_on_until_enter(browser):
    import pty

    terminal, other = pty.openpty()
    process = subprocess.Popen(COMMAND, cwd=str(ROOT), env=environment(), stdin=other, stdout=other, stderr=other)
    os.close(other)
    output = b""
    try:
        while b"press Enter" not in output:
            output += os.read(terminal, 65536)
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/\S*", output.decode("utf-8").rpartition("in a browser")[2])
        browser.open(addresses[0])
        browser.wait("return document.querySelectorAll('.list .row').length === 3")
        browser.open(addresses[1])
        look(browser)
        os.write(terminal, b"\n")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
