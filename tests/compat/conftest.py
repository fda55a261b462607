"""The official client, for the tests that compare with it: they install it, which takes a network."""

from __future__ import annotations

import pytest

from compat import official


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
