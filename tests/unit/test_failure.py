"""What is recorded of an exception: its frames, but not those of this package's wrappers."""

from __future__ import annotations

import os
import sys

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


def test_a_frame_whose_line_nobody_knows_is_shown_all_the_same():
    """As from CPython 3.11 on one is in which Ctrl-C comes before the first line, or which a tool has rewritten."""

    def fail():
        raise ValueError("a fault")

    if sys.version_info >= (3, 11):
        nowhere = b"\xff"  # "no location" for eight code units
        fail.__code__ = fail.__code__.replace(co_linetable=nowhere * len(fail.__code__.co_code))
    try:
        fail()
    except ValueError as error:
        caught = error
    lines = stack_text(caught).splitlines()  # out here: pytest cannot show what came through such a frame
    assert lines[-1].startswith(__file__ + ":")
    assert lines[-1].endswith(" in fail")


class Nameless(type):
    @property
    def __name__(cls):
        raise ZeroDivisionError


class OfNoName(Exception, metaclass=Nameless):
    pass


class OfNoOrigin(Exception):
    @property
    def __traceback__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [OfNoName, OfNoOrigin], ids=["its name", "its traceback"])
def test_an_error_that_fails_when_it_is_looked_at_is_the_programs_own_all_the_same(client, sent, kind):
    caught = None
    try:
        with client.start_span("a", "custom"):
            raise kind("a fault")
    except Exception as error:  # whatever it is: pytest cannot show what came through
        caught = error
    assert type(caught) is kind
    (span,) = sent()
    assert span["status_code"] == -1
    assert span["tags_string"]["error"] == "a fault"
