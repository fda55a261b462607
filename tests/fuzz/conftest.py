"""What is logged while inputs are tried is formatted and not kept; tests of other files find the logger as it was."""

from __future__ import annotations

import pytest

from . import running


@pytest.fixture(autouse=True)
def listener():
    log = running.library_logger.logger
    running.listen()
    yield
    log.handlers = [handler for handler in log.handlers if not isinstance(handler, running.Listener)]
    log.propagate = True
