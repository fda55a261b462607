"""A real Chromium without a window, and what the tests of the pages do with it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--lang=en-US"),
    "--enable-precise-memory-info",
)
PATIENCE = 30  # seconds

# Scripts: click the first row with a text; the name in the chosen row.
CHOOSE = """
const row = [...document.querySelectorAll(".row")].find((row) => row.textContent.includes(arguments[0]));
row.click();
"""
CHOSEN = (
    "const r = document.querySelector('.row[aria-selected=true]'); return r && r.querySelector('.name').textContent"
)

# Before any script of a page: what would run if a payload did, and what the Content-Security-Policy had to stop.
_WATCH = """
window.__hacked = 0; window.hacked = () => { window.__hacked += 1; };
window.alert = window.confirm = window.prompt = window.hacked;
window.__violations = [];
const told = (text) => window.__violations.push(text);
document.addEventListener("securitypolicyviolation", (e) => told(`${e.violatedDirective} ${e.blockedURI}`));
window.addEventListener("error", (e) => told(`error ${e.message}`));
window.addEventListener("unhandledrejection", (e) => told(`rejection ${e.reason}`));
"""


def find(name):
    """The path of Debian's program, or None."""
    path = f"/usr/bin/{name}"
    return path if os.path.exists(path) else shutil.which(name)


class Browser:
    """One browser with a new, empty profile."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="cozeloop_lite_browser_")
        options = webdriver.ChromeOptions()
        options.binary_location = find("chromium")
        for flag in (*FLAGS, f"--user-data-dir={self._profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service(find("chromedriver")))
        self.driver.set_script_timeout(120)
        self._command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        self.look(1400, 860)

    def quit(self):
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def look(self, width, height, dark=False):
        """Size of the window, light or dark."""
        self._command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address):
        """Load a page anew; a change of what follows ``#`` alone would not."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script, *arguments):
        """The value of a script that may ``await``."""
        done = "arguments[arguments.length - 1]"
        whole = f"(async () => {{ {script} }})().then({done}, (error) => {done}(`failed: ${{error}}`));"
        return self.driver.execute_async_script(whole, *arguments)

    def wait(self, script, *arguments):
        """The value of a script once it is true."""
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: self.run(script, *arguments), script)

    def wait_text(self, selector, text):
        self.wait(
            "const e = document.querySelector(arguments[0]); return !!e && e.textContent.includes(arguments[1])",
            selector,
            text,
        )

    def element(self, selector):
        self.wait("return !!document.querySelector(arguments[0])", selector)
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.run("const e = document.querySelector(arguments[0]); return e && e.textContent", selector)

    def press(self, *keys):
        for key in keys:
            ActionChains(self.driver, duration=0).send_keys(key).perform()

    def quiet(self):
        """That nothing ran which should not, that nothing had to be stopped, and that nothing failed unseen."""
        assert self.run("return window.__hacked") == 0
        assert self.run("return window.__violations") == []


def ingest(server, spans):
    """Send spans as they are, without a client that would put them right."""
    for first in range(0, len(spans), 100):
        body = json.dumps({"spans": spans[first : first + 100]}).encode("utf-8", "replace")
        headers = {"Authorization": "Bearer any", "Content-Type": "application/json"}
        request = urllib.request.Request(server.url + "/v1/loop/traces/ingest", body, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            assert json.loads(response.read())["code"] == 0


def read(server, path):
    """What the server's read API answers."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(server.url + path, timeout=60) as response:
        return json.loads(response.read())


def span(number, parent="0", trace_id="ab" * 16, **fields):
    span_id = f"{number + 1:016x}"
    times = {"started_at_micros": int(time.time() * 1e6) + number * 100 - 60000000, "duration_micros": 90}
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent if isinstance(parent, str) else f"{parent + 1:016x}",
        "workspace_id": "7",
        "span_name": f"span {number}",
        "span_type": "custom",
        "status_code": 0,
        "input": "",
        "output": "",
        **times,
        **fields,
    }


def open_trace(browser, server, trace_id="ab" * 16):
    browser.open(f"{server.url}/#/trace/{trace_id}")
    browser.element(".details h2")
