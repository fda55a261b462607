"""One browser for the tests of a file, and servers with something to look at."""

from __future__ import annotations

import pytest

from cozeloop_lite.local import StandInServer


@pytest.fixture(scope="module")
def browser():
    from .driven import Browser

    browser = Browser()
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def journey():
    """A server with the traces of the showcase, and the id of the one worth looking at."""
    from . import showcase

    with StandInServer() as server:
        showcase.everyday(server, 12)
        trace_id = showcase.plan_a_journey(server)
        server.prompts.put(showcase.PROMPT)
        yield server, trace_id


@pytest.fixture
def server():
    with StandInServer() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_ran(request):
    """After each test: nothing ran which should not, and nothing failed unseen."""
    browser = request.getfixturevalue("browser")
    browser.look(1400, 860)
    yield
    browser.quiet()
