"""Take the pictures that the README shows: ``PYTHONPATH=tests python -m browser`` writes docs/screenshots."""

from __future__ import annotations

import os

from cozeloop_lite.local import StandInServer

from . import showcase
from .driven import CHOOSE, Browser

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "screenshots")
PICTURES = (  # name, path, dark, the span to choose, what shows that it is there
    ("trace", "/#/trace/{trace_id}", False, "chat_model", ".details img"),
    ("error", "/#/trace/{trace_id}", True, "attempt 2", ".details .fault"),
    ("prompt", "/#/prompts/travel.planner", False, None, ".diff"),
)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    with StandInServer() as server:
        showcase.everyday(server)
        trace_id = showcase.plan_a_journey(server)
        server.prompts.put(showcase.PROMPT)
        browser = Browser()
        try:
            for name, path, dark, span, there in PICTURES:
                browser.look(1400, 860, dark)
                browser.open(server.url + path.format(trace_id=trace_id))
                if span:
                    browser.element(".details h2")
                    browser.run(CHOOSE, span)
                    browser.wait_text(".details h2", span)
                browser.element(there)
                browser.wait("return [...document.images].every((image) => image.complete)")
                browser.driver.save_screenshot(os.path.join(FOLDER, f"{name}.png"))
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
