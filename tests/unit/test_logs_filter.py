"""``TraceFilter``: log lines say which span they belong to, and spans under which log id their lines are found."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cozeloop_lite import bind, start_span
from cozeloop_lite.integration.logs import TraceFilter
from cozeloop_lite.local import StandInServer
from cozeloop_lite.testing import capture_spans

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def spans():
    with capture_spans() as spans:
        yield spans


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(trace_id)s|%(span_id)s|%(log_id)s|%(message)s"))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record).split("|"))


@pytest.fixture
def log():
    """``log(handler)``: a logger with that handler."""
    logger = logging.getLogger("program")
    logger.setLevel(1)
    logger.propagate = False

    def log(handler):
        logger.addHandler(handler)
        return logger

    yield log
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def logger(log, lines):
    lines.addFilter(TraceFilter())
    return log(lines)


@pytest.fixture
def making(log, lines):
    lines.addFilter(TraceFilter(make_log_ids=True))
    return log(lines)


def test_a_record_has_the_ids_of_the_current_span(logger, lines):
    with start_span("outer") as outer:
        with start_span("inner") as inner:
            logger.info("a")
        logger.info("b")
    assert lines.lines == [
        [inner.trace_id, inner.span_id, "", "a"],
        [outer.trace_id, outer.span_id, "", "b"],
    ]


def test_without_a_span_it_has_empty_text(logger, lines, making):
    start_span("finished").finish()
    logger.info("a")
    assert lines.lines == [["", "", "", "a"]]


def test_the_log_id_is_that_of_the_nearest_span_that_has_one(logger, lines):
    with start_span("outer") as outer:
        outer.set_log_id("log-1")
        with start_span("middle"), start_span("inner") as inner:
            logger.info("a")
            inner.set_log_id("log-2")
            logger.info("b")
        with start_span("another trace", start_new_trace=True):
            logger.info("c")
    assert [line[2] for line in lines.lines] == ["log-1", "log-2", ""]


def test_a_log_id_is_not_looked_for_without_end(logger, lines):
    opened = [start_span("deep") for _ in range(500)]
    opened[0].set_log_id("far away")
    logger.info("a")
    for span in reversed(opened):
        span.finish()
    assert lines.lines[0][2] == ""


def test_a_function_that_is_bound_to_a_span_logs_its_ids(logger, lines):
    with start_span("outer") as outer:
        outer.set_log_id("log-1")
        thread = threading.Thread(target=bind(lambda: logger.info("a")))
        thread.start()
        thread.join()
    assert lines.lines == [[outer.trace_id, outer.span_id, "log-1", "a"]]


def test_ids_that_a_record_has_already_stay(logger, lines):
    with start_span("outer") as outer:
        logger.info("a", extra={"trace_id": "mine"})
    assert lines.lines == [["mine", outer.span_id, "", "a"]]


def test_a_record_that_goes_through_a_queue_keeps_the_ids_of_its_thread(log, lines):
    waiting = queue.Queue()
    sender = logging.handlers.QueueHandler(waiting)
    sender.addFilter(TraceFilter())
    lines.addFilter(TraceFilter())
    listener = logging.handlers.QueueListener(waiting, lines)
    logger = log(sender)
    listener.start()
    with start_span("outer") as outer:
        logger.info("a")
    logger.info("b")
    listener.stop()
    assert [line[:2] for line in lines.lines] == [[outer.trace_id, outer.span_id], ["", ""]]


def test_it_can_be_configured_by_name(lines):
    made = {"class": "logging.StreamHandler", "filters": ["trace"]}
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"trace": {"()": "cozeloop_lite.integration.logs.TraceFilter", "make_log_ids": True}},
        "handlers": {"console": made},
        "loggers": {"program": {"handlers": ["console"]}},
    })  # fmt: skip
    logger = logging.getLogger("program")
    (handler,) = logger.handlers
    logger.removeHandler(handler)
    (found,) = handler.filters
    assert type(found) is TraceFilter


# -- log ids that are made ------------------------------------------------------------------------------------------


def test_log_ids_are_made_only_when_asked_for(logger, spans):
    with start_span("outer"):
        logger.info("a")
    assert spans[0].wire["log_id"] == ""


def test_a_span_in_which_something_is_logged_gets_a_log_id(making, lines, spans):
    with start_span("outer") as outer:
        making.info("a")
        with start_span("quiet"):
            pass
        with start_span("inner"):
            making.info("b")
    assert [line[2] for line in lines.lines] == [outer.trace_id] * 2
    found = {span.name: span.wire["log_id"] for span in spans}
    assert found == {"outer": outer.trace_id, "quiet": "", "inner": outer.trace_id}


def test_a_log_id_of_the_program_is_handed_down(making, lines, spans):
    with start_span("outer") as outer:
        outer.set_log_id("log-1")
        with start_span("inner"):
            making.info("b")
    assert lines.lines[0][2] == "log-1"
    assert [span.wire["log_id"] for span in spans] == ["log-1", "log-1"]


def test_what_the_platform_holds_is_found_by_the_log_id_of_a_line():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COZELOOP_")}
    with StandInServer(token="right", workspace_id="7") as server:
        settings = {
            "COZELOOP_API_BASE_URL": server.url, "COZELOOP_WORKSPACE_ID": "7", "COZELOOP_API_TOKEN": "right",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "examples.log_correlation"], cwd=str(ROOT), env={**plain, **settings},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        spans = {span["span_name"]: span for span in server.store.spans()}
        assert server.store.warnings() == []
    assert set(spans) == {"answer", "search"}
    logged = re.findall(r"^WARNING trace=(\w+) span=(\w+) log=(\S+) (.*)$", done.stderr, flags=re.M)
    trace_id, log_id = spans["answer"]["trace_id"], spans["answer"]["log_id"]
    assert logged == [
        (trace_id, spans["answer"]["span_id"], log_id, "a question came in"),
        (trace_id, spans["search"]["span_id"], log_id, "nothing was found"),
    ]
    assert log_id.startswith("request-")
    assert spans["search"]["log_id"] == log_id
    assert done.stdout == "found by the log id: answer, search\n"
