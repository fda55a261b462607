"""What is recorded of an exception: its frames, but not those of this package's wrappers."""

from __future__ import annotations

import os

import pytest

import cozeloop_lite
from cozeloop_lite.trace.failure import stack_text

PACKAGE = os.path.dirname(cozeloop_lite.__file__)


def raised_through(path):
    """An exception that came through a frame of the file ``path``."""
    names = {}
    exec(compile("def wrapper(function):\n    function()", path, "exec"), names)

    def fail():
        raise ValueError("a fault")

    try:
        names["wrapper"](fail)
    except ValueError as error:
        return error
    return None


@pytest.mark.parametrize("folder", ["trace", "decorator", "integration", os.path.join("integration", "langchain")])
def test_the_frames_of_wrappers_are_left_out(folder):
    text = stack_text(raised_through(os.path.join(PACKAGE, folder, "wrapper.py")))
    assert [line.rpartition(" in ")[2] for line in text.splitlines()] == ["raised_through", "fail"]


@pytest.mark.parametrize("path", ["/program/integration/wrapper.py", os.path.join(PACKAGE, "integrations.py")])
def test_the_frames_of_the_program_are_not(path):
    text = stack_text(raised_through(path))
    assert [line.rpartition(" in ")[2] for line in text.splitlines()] == ["raised_through", "wrapper", "fail"]
