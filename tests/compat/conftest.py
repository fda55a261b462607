"""The official client, and the marker of the tests that compare with it: they install it, which takes a network."""

from __future__ import annotations

import pytest

from compat import official


def pytest_configure(config):
    config.addinivalue_line("markers", "compat: compares with the official client, installed from PyPI")


@pytest.fixture(scope="session")
def official_python() -> str:
    """An interpreter that has the official client."""
    try:
        interpreter = official.python()
    except official.NotInstalledError as error:
        pytest.fail(str(error), pytrace=False)
    if interpreter is None:
        pytest.skip("the official client needs CPython {}.{} or later and none is here".format(*official.NEEDS))
    return interpreter
