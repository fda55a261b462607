"""What becomes of a batch, by what the server says to it: the policy alone, without threads and network."""

from __future__ import annotations

import json
import math
import sys
import time

import pytest

from cozeloop_lite import errors
from cozeloop_lite.api import answers
from cozeloop_lite.config import TraceConfig
from cozeloop_lite.trace import ids
from cozeloop_lite.trace.box import FULL
from cozeloop_lite.trace.exporter import SpanExporter
from cozeloop_lite.trace.machine import Machine
from cozeloop_lite.trace.record import NAME, PARENT_ID, START_NS

INGEST = "/v1/loop/traces/ingest"
OK = (200, {"code": 0, "msg": ""})
BAD_PARAM = (200, {"code": 600904002, "msg": "invalid param"})


class FakeSpan:
    def __init__(self, number, started=None, parent=0):
        start_ns = int((time.time() if started is None else started) * 1e9)
        self._fields = {NAME: "span %d" % number, PARENT_ID: parent, START_NS: start_ns}
        self.number = number

    def __getitem__(self, place):
        return self._fields[place]


def encode(span, files=None):
    return json.dumps({"n": span.number, "pad": getattr(span, "pad", "")}).encode()


class Clock(Machine):
    def __init__(self):
        self.now = 1000.0
        self.wall = time.time()

    def monotonic(self):
        return self.now

    def time(self):
        return self.wall


class Book:
    """The queue as an exporter sees it: an account, and a clock that only its waits move."""

    def __init__(self, spans, seconds=math.inf):
        self.clock = Clock()
        self.open = len(spans)
        self.delivered = 0
        self.lost = {}
        self.given_up = []
        self.given_up_as = set()
        self.told_of = 0
        self.waits = []
        self.seconds = seconds
        self.pace = self  # told of requests and answers, too
        self.told = []

    def sends(self, size):
        self.told.append("sends")

    def loads(self, load):
        pass

    def heard(self):
        self.told.append("heard")

    def unreached(self):
        self.told.append("unreached")

    def settle(self, spans, lost=""):
        count = len(spans)
        self.open -= count
        if lost:
            self.lost[lost] = self.lost.get(lost, 0) + count
        else:
            self.delivered += count

    def give_up(self, spans, lost="shutdown"):
        self.open -= len(spans)
        self.given_up += [span.number for span in spans]
        self.given_up_as.add(lost)

    def wait(self, seconds, patient=False):
        self.waits.append((seconds, patient))
        self.clock.now += seconds
        self.seconds -= seconds
        return self.seconds > 0

    def time_left(self, seconds):
        return max(0.0, min(seconds, self.seconds))

    def overflowed(self):
        new, self.told_of = self.lost.get("queue_full", 0) - self.told_of, self.lost.get("queue_full", 0)
        return new


class Server:
    """Answers requests by ``judge(numbers) -> (status, body[, headers])``, or an exception to raise."""

    base_url = "http://server"
    timeout = 3.0
    upload_timeout = 30.0

    def __init__(self, judge):
        self.judge = judge if callable(judge) else lambda numbers: judge
        self.requests = []
        self.accepted = []
        self.bodies = []
        self.timeouts = []

    def request(self, method, path, body, timeout):
        assert (method, path) == ("POST", INGEST)
        numbers = [span["n"] for span in json.loads(body.decode())["spans"]]
        self.requests.append(numbers)
        self.bodies.append(len(body))
        self.timeouts.append(timeout)
        said = self.judge(numbers)
        if isinstance(said, BaseException):
            raise said
        status, answer, *rest = said
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        result = answers.read(status, rest[0] if rest else {}, text)
        self.accepted += numbers
        return result


def in_turn(*said):
    """Each answer once; the last one for ever."""
    left = list(said)
    return lambda numbers: left.pop(0) if len(left) > 1 else left[0]


def deliver(judge, spans=100, seconds=math.inf, processor=None, make=encode):
    server = Server(judge)
    if isinstance(spans, int):
        spans = [FakeSpan(number) for number in range(spans)]
    book = Book(spans, seconds)
    conf = TraceConfig(trace_finish_event_processor=processor)
    SpanExporter(server, "1", lambda: make, conf, machine=book.clock).send(spans, book)
    assert book.open == 0, "every span is settled, and once"
    assert len(server.accepted) == len(set(server.accepted)), "nothing that was accepted is sent again"
    assert book.delivered == len(server.accepted)
    return server, book


def refusing(*bad):
    """A server that refuses a batch with any of the spans ``bad`` in it."""
    return lambda numbers: BAD_PARAM if set(numbers) & set(bad) else OK


# -- accepted


def test_a_batch_that_is_accepted_is_one_request():
    server, book = deliver(OK)
    assert server.requests == [list(range(100))]
    assert (book.delivered, book.lost, book.waits) == (100, {}, [])


@pytest.mark.parametrize("body", [{}, {"code": 0}, {"code": "0"}, {"msg": "ok"}, {"code": None, "data": {}}])
def test_an_answer_without_a_code_is_a_success_by_its_status(body):
    server, book = deliver((200, body))
    assert len(server.requests) == 1
    assert book.delivered == 100


def test_requests_have_at_most_4_mib_however_large_the_spans():
    spans = [FakeSpan(number) for number in range(60)]
    for span in spans:
        span.pad = "x" * (1 << 20)
    server, book = deliver(OK, spans)
    assert book.delivered == 60
    assert max(server.bodies) <= 4 << 20
    assert len(server.requests) == 20


def test_a_large_request_has_the_time_that_a_slow_line_needs_for_it():
    spans = [FakeSpan(number) for number in range(3)]
    server, _ = deliver(OK, spans)
    assert 3 <= server.timeouts[0] < 3.1
    for span in spans:
        span.pad = "x" * (1 << 20)
    server, _ = deliver(OK, spans)
    assert server.timeouts[0] > 10


# -- not now


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"Internal Server Error"),
        (502, b"<html>bad gateway</html>"),
        (503, {"code": 0}),
        (503, {"code": 4000, "msg": "?"}),
        (408, b""),
        (429, b"slow down"),
        (429, {"code": 4013, "msg": "too fast"}),
        (200, {"code": 602000703}),
        (200, {"code": 602000801}),
        (200, {"code": 600904004}),
        (200, {"code": 600904006}),
        (200, {"code": 600900205}),
        (200, {"code": "600904006"}),
        (200, {"code": 600500701}),
        errors.NetworkError("connection refused"),
        errors.RequestTimeoutError("no answer"),
        ValueError("a token function that fails"),
        SystemExit("a token function that wants to leave"),
    ],
    ids=repr,
)
def test_what_may_pass_is_waited_out_and_nothing_is_lost(failure):
    server, book = deliver(in_turn(*[failure] * 20, OK))
    assert server.requests == [list(range(100))] * 21
    assert (book.delivered, book.lost) == (100, {})
    assert len(book.waits) == 20


def test_pauses_grow_with_full_jitter_up_to_a_bound():
    _, book = deliver(in_turn(*[(503, b"")] * 200, OK))
    pauses = [pause for pause, patient in book.waits]
    for attempt, pause in enumerate(pauses, 1):
        assert 0 <= pause <= min(15, 0.25 * 2**attempt)
    assert max(pauses[50:]) > 10
    assert min(pauses[50:]) < 5


def cut(problem):
    """What the API client raises for a connection that broke: the network layer's own error is its cause."""
    error = errors.NetworkError("the request failed")
    error.__cause__ = problem
    return error


CLOSED = cut(RuntimeError("urllib3's own"))
CLOSED.__cause__.__context__ = ConnectionResetError()


@pytest.mark.parametrize("failure", [cut(ConnectionResetError()), cut(BrokenPipeError()), CLOSED], ids=repr)
def test_after_a_connection_that_was_cut_the_next_attempt_comes_at_once_but_only_once(failure, monkeypatch):
    monkeypatch.setattr(ids.source, "fraction", lambda: 0.9)
    _, book = deliver(in_turn(failure, failure, failure, OK))
    pauses = [pause for pause, patient in book.waits]
    assert pauses == [pytest.approx(0.01), pytest.approx(0.9), pytest.approx(1.8)]


@pytest.mark.parametrize(
    "failure",
    [
        cut(ConnectionRefusedError()),
        cut(None),
        cut(OSError("no route")),
        errors.RequestTimeoutError("no answer"),
        (503, b""),
    ],
    ids=repr,
)
def test_after_any_other_failure_there_is_a_pause(failure, monkeypatch):
    monkeypatch.setattr(ids.source, "fraction", lambda: 0.9)
    _, book = deliver(in_turn(failure, OK))
    assert [pause for pause, patient in book.waits] == [pytest.approx(0.45)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("  7 ", 7), ("100000", 300), ("date", 30), ("past", 0), ("soon", 0), ("", 0), ("-5", 0), ("\xb2", 0)],
)
def test_retry_after_is_honoured_within_reason(header, seconds):
    if header in ("date", "past"):
        from email.utils import formatdate

        header = formatdate(time.time() + (seconds or -100), usegmt=True)
    _, book = deliver(in_turn((503, b"", {"retry-after": header}), OK))
    ((pause, patient),) = book.waits
    if seconds:
        assert seconds - 2 <= pause <= seconds + 2
        assert patient
    else:
        assert pause <= 0.5
        assert not patient


# -- not now, or never


@pytest.mark.parametrize(
    "failure",
    [
        (200, {"code": 602000702, "msg": "Service Internal Error"}),
        (200, b"<html>log in to this network first</html>"),
        (200, b""),
        (200, [1, 2]),
        (204, b""),
        errors.AnswerTooLongError("over 8 MiB"),
    ],
    ids=repr,
)
def test_what_may_be_a_refusal_is_tried_three_times_then_counted(failure, logged):
    server, book = deliver(failure)
    assert server.requests == [list(range(100))] * 3
    assert book.lost == {"refused": 100}
    assert any("they are lost" in message for message in logged())
    server, book = deliver(in_turn(failure, failure, OK))
    assert book.delivered == 100


# -- never, whatever the spans


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        ((401, b"who are you"), "COZELOOP_API_TOKEN"),
        ((401, {"code": 4100, "msg": "authentication is invalid"}), "COZELOOP_API_TOKEN"),
        ((200, {"code": 602000101, "msg": "no access permission"}), "COZELOOP_API_TOKEN"),
        ((403, {"code": 1, "msg": "no"}), "COZELOOP_WORKSPACE_ID"),
        ((200, {"code": 600900101, "msg": "no access permission"}), "COZELOOP_WORKSPACE_ID"),
        ((200, {"code": 600903231, "msg": "account"}), "COZELOOP_WORKSPACE_ID"),
        ((200, {"code": 600903230, "msg": "no capacity"}), "no capacity"),
        ((200, {"code": 602000202, "msg": "bad workspace"}), "bad workspace"),
        ((404, b"404 page not found"), "COZELOOP_API_BASE_URL"),
        ((405, b"<html>405</html>"), "8888"),
        ((302, b"", {"location": "http://elsewhere/"}), "COZELOOP_API_BASE_URL"),
    ],
    ids=repr,
)
def test_what_no_span_can_help_is_dropped_at_once_and_logged_once_with_a_hint(failure, hint, logged):
    server, book = deliver(failure)
    assert len(server.requests) == 1
    assert book.lost == {"refused": 100}
    (message,) = logged()
    assert hint in message
    deliver(failure)
    assert len(logged()) == 1


@pytest.mark.parametrize(
    "problem",
    [
        ModuleNotFoundError("No module named 'urllib3'", name="urllib3"),
        ModuleNotFoundError("No module named 'urllib3.filepost'", name="urllib3.filepost"),
        ImportError("urllib3 v2 only supports OpenSSL 1.1.1+, currently the 'ssl' module is compiled with 1.0.2"),
    ],
    ids=repr,
)
def test_without_urllib3_nothing_is_waited_for_and_the_log_says_what_is_missing(problem, logged):
    server, book = deliver(problem)
    assert len(server.requests) == 1
    assert book.lost == {"refused": 100}
    (message,) = logged()
    assert "pip install urllib3" in message


def test_what_a_programs_own_exporter_cannot_import_may_be_there_later():
    _, book = deliver(in_turn(ModuleNotFoundError("No module named 'theirs'", name="theirs"), OK))
    assert book.delivered == 100


# -- a bad span among good ones


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 99, 100])
def test_of_a_refused_batch_only_the_bad_span_is_lost_for_few_requests(size):
    most = 0
    for bad in range(size):
        server, book = deliver(refusing(bad), size)
        assert book.lost == {"refused": 1}
        assert sorted(server.accepted) == [number for number in range(size) if number != bad]
        most = max(most, len(server.requests) - 1)
    assert most <= (math.ceil(math.log2(size)) + 1 if size > 1 else 0)


@pytest.mark.parametrize(
    "bad",
    [
        (0, 1),
        (0, 1, 2),
        (97, 98, 99),
        (0, 99),
        (49, 50),
        tuple(range(10)),
        tuple(range(90, 100)),
        tuple(range(0, 100, 3)),
        tuple(range(20, 70)),
        (3, 17, 42, 77, 78),
    ],
    ids=str,
)
def test_several_bad_spans_are_lost_and_none_besides(bad):
    server, book = deliver(refusing(*bad))
    assert sorted(server.accepted) == sorted(set(range(100)) - set(bad))
    assert book.lost == {"refused": len(bad)}
    assert len(server.requests) <= 9 + 8 + 2 * 100


def test_when_every_span_is_refused_it_is_noticed_soon():
    server, book = deliver(BAD_PARAM)
    assert book.lost == {"refused": 100}
    assert len(server.requests) <= 17


def test_no_span_is_lost_for_being_one_too_many():
    """A refusal that is about the size of the batch, without saying so, is about no span of it."""
    server, book = deliver(lambda numbers: BAD_PARAM if len(numbers) > 5 else OK)
    assert len(server.accepted) >= 99
    server, book = deliver(lambda numbers: BAD_PARAM if len(numbers) > 1 else OK, 2)
    assert sorted(server.accepted) == [0, 1]
    assert book.lost == {}


def test_a_batch_that_is_too_large_is_split_and_all_of_it_delivered():
    server, book = deliver(lambda numbers: (413, b"Request Entity Too Large") if len(numbers) > 30 else OK)
    assert book.delivered == 100
    assert book.lost == {}
    assert len(server.requests) == 7


def test_a_span_that_is_too_large_alone_is_the_only_one_lost():
    _server, book = deliver(lambda numbers: (413, b"") if 7 in numbers else OK)
    assert book.lost == {"refused": 1}
    assert book.delivered == 99


def test_an_outage_in_the_middle_of_splitting_loses_nothing():
    calls = []

    def judge(numbers):
        calls.append(numbers)
        return (503, b"") if len(calls) % 2 == 0 else refusing(42)(numbers)

    _server, book = deliver(judge)
    assert book.lost == {"refused": 1}
    assert book.delivered == 99


def test_when_the_token_is_revoked_in_the_middle_of_splitting_the_rest_is_refused():
    server, book = deliver(in_turn(BAD_PARAM, OK, (401, b"")))
    assert book.delivered == 50
    assert book.lost == {"refused": 50}
    assert len(server.requests) < 12  # one for each part that was not settled yet


# -- the end


def test_when_the_time_is_up_what_is_left_is_given_up():
    server, book = deliver((503, b""), seconds=20)
    assert book.given_up == list(range(100))
    assert len(server.requests) < 60


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((503, b""), "shutdown"),
        (errors.NetworkError("connection refused"), "shutdown"),
        (errors.RequestTimeoutError("no answer"), "unanswered"),
        (in_turn(errors.RequestTimeoutError("no answer"), (503, b"")), "unanswered"),
    ],
)
def test_what_may_have_arrived_is_lost_for_a_reason_of_its_own(said, reason):
    _server, book = deliver(said, seconds=20)
    assert book.given_up == list(range(100))
    assert book.given_up_as == {reason}


def test_without_any_time_nothing_is_encoded_or_sent():
    encoded = []
    server, book = deliver(OK, seconds=0, make=lambda span, files: encoded.append(span))
    assert (server.requests, encoded) == ([], [])
    assert book.given_up == list(range(100))


def test_when_the_time_is_up_in_the_middle_of_splitting_every_span_has_its_place():
    said = in_turn(BAD_PARAM, OK, (503, b""))
    _server, book = deliver(said, seconds=2)
    assert book.delivered == 50
    assert sorted(book.given_up) == list(range(50, 100))


# -- spans that cannot be sent at all


def test_spans_wait_while_the_encoder_cannot_be_loaded(logged):
    loads = iter([OSError("Too many open files"), encode])

    def load():
        loaded = next(loads)
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    spans = [FakeSpan(0), FakeSpan(1)]
    book = Book(spans)
    server = Server(OK)
    exporter = SpanExporter(server, "1", load, TraceConfig(), machine=book.clock)
    exporter.send(spans, book)
    assert (book.given_up, book.waits, server.requests) == ([0, 1], [(1.0, False)], [])
    assert "Too many open files" in logged()[0]
    exporter.send(spans, book)
    exporter.send(spans, book)  # loaded once
    assert server.requests == [[0, 1], [0, 1]]


def test_spans_wait_while_what_finds_a_refused_one_cannot_be_loaded(logged, monkeypatch):
    spans = [FakeSpan(0), FakeSpan(1)]
    book = Book(spans)
    server = Server(BAD_PARAM)
    monkeypatch.setitem(sys.modules, "cozeloop_lite.trace.isolation", None)  # no file can be opened any more, perhaps
    SpanExporter(server, "1", lambda: encode, TraceConfig(), machine=book.clock).send(spans, book)
    assert (book.given_up, book.waits, server.requests) == ([0, 1], [(1.0, False)], [[0, 1]])
    assert any("isolation" in line for line in logged())


def test_a_span_that_cannot_be_encoded_costs_itself(logged):
    def choosy(span, files):
        if span.number == 7:
            raise ValueError("no JSON for this")
        return encode(span, files)

    _server, book = deliver(OK, make=choosy)
    assert book.delivered == 99
    assert book.lost == {"unencodable": 1}
    assert any("no JSON for this" in message for message in logged())


def test_spans_older_than_23_hours_are_counted_and_not_sent():
    now = time.time()
    spans = [FakeSpan(0, now - 23 * 3600 - 60), FakeSpan(1, now - 23 * 3600 + 60), FakeSpan(2)]
    server, book = deliver(OK, spans)
    assert server.requests == [[1, 2]]
    assert book.lost == {"too_old": 1}


def test_spans_grow_too_old_while_the_server_is_down():
    spans = [FakeSpan(number, time.time() + 60) for number in range(100)]
    book = Book(spans)

    def later(numbers):
        book.clock.wall += 3600
        return 503, b""

    server = Server(later)
    SpanExporter(server, "1", lambda: encode, TraceConfig(), machine=book.clock).send(spans, book)
    assert book.lost == {"too_old": 100}
    assert len(server.requests) == 24


# -- events


class Processor:
    def __init__(self, problem=None):
        self.events = []
        self.problem = problem

    def __call__(self, event):
        self.events.append(event)
        if self.problem is not None:
            raise self.problem


def test_the_processor_hears_of_the_queue_and_of_each_request():
    processor = Processor()
    spans = [FakeSpan(0), FakeSpan(1, parent=5)]
    deliver(in_turn((503, b"down"), OK), spans, processor=processor)
    told = [
        (e.event_type, e.is_event_fail, e.item_num, bool(e.detail_msg), e.extra_params.is_root_span)
        for e in processor.events
    ]
    assert told == [
        ("queue_manager.span_entry.rate", False, 2, False, True),
        ("exporter.span_flush.rate", True, 2, True, True),
        ("exporter.span_flush.rate", False, 2, False, True),
    ]
    assert all(isinstance(e.extra_params.latency_ms, int) for e in processor.events)
    assert "exporter.span_flush.rate" in repr(processor.events[-1])


def test_the_processor_hears_once_of_spans_that_the_queue_had_no_room_for():
    processor = Processor()
    server = Server(OK)
    exporter = SpanExporter(server, "1", lambda: encode, TraceConfig(trace_finish_event_processor=processor))
    book = Book([])
    book.lost["queue_full"] = 5
    exporter.send([FakeSpan(0, parent=1)], book)
    exporter.send([FakeSpan(1, parent=1)], book)
    overflows = [e for e in processor.events if e.event_type.startswith("queue") and e.is_event_fail]
    assert [e.item_num for e in overflows] == [5]
    assert not any(e.extra_params.is_root_span for e in processor.events)


def test_that_the_queue_is_full_is_said_by_whoever_sends_even_while_the_server_takes_nothing(logged):
    book = Book([])

    def judge(numbers):
        book.lost["queue_full"] = 5
        return (503, b"") if not judge.calls else OK

    judge.calls = []
    server = Server(lambda numbers: (judge(numbers), judge.calls.append(1))[0])
    SpanExporter(server, "1", lambda: encode, TraceConfig()).send([FakeSpan(0)], book)
    full = "[cozeloop] " + FULL
    assert [message for message in logged() if "full" in message] == [full]


def test_after_a_fork_the_processor_hears_of_the_childs_overflow():
    processor = Processor()
    exporter = SpanExporter(Server(OK), "1", lambda: encode, TraceConfig(trace_finish_event_processor=processor))
    book = Book([])
    book.lost["queue_full"] = 5
    exporter.send([FakeSpan(0)], book)
    exporter._on_fork()
    childs = Book([])
    childs.lost["queue_full"] = 3
    exporter.send([FakeSpan(1)], childs)
    overflows = [e for e in processor.events if e.event_type.startswith("queue") and e.is_event_fail]
    assert [e.item_num for e in overflows] == [5, 3]


@pytest.mark.parametrize("problem", [ValueError("a fault"), SystemExit(1), KeyboardInterrupt()], ids=repr)
def test_a_processor_that_raises_costs_a_line_in_the_log(problem, logged):
    _server, book = deliver(OK, processor=Processor(problem))
    assert book.delivered == 100
    assert len([message for message in logged() if "trace_finish_event_processor" in message]) == 1


# -- another place to send to


def test_an_exporter_of_the_programs_own_gets_the_spans_as_dicts_and_is_tried_again_when_it_raises():
    class Sink:
        def __init__(self):
            self.calls = []

        def export_spans(self, spans):
            self.calls.append(spans)
            if len(self.calls) < 3:
                raise RuntimeError("not yet")

    sink = Sink()
    spans = [FakeSpan(0)]
    book = Book(spans)
    SpanExporter(Server(OK), "1", lambda: encode, TraceConfig(), sink, machine=book.clock).send(spans, book)
    assert sink.calls == [[{"n": 0, "pad": ""}]] * 3
    assert book.delivered == 1


class Speechless(Exception):
    def __str__(self):
        raise ValueError("no words")

    __repr__ = __str__


class Vague(Exception):
    retry_after = "a while"


@pytest.mark.parametrize("problem", [Speechless(), Vague()], ids=["says nothing", "no number of seconds"])
def test_an_exporter_of_the_programs_own_may_raise_whatever_it_likes(problem, logged):
    class Sink:
        problems = [problem]  # of the first call

        def export_spans(self, spans):
            if self.problems:
                raise self.problems.pop()

    spans = [FakeSpan(0)]
    book = Book(spans)
    SpanExporter(Server(OK), "1", lambda: encode, TraceConfig(), Sink(), machine=book.clock).send(spans, book)
    assert book.delivered == 1
    assert [message for message in logged() if type(problem).__name__ in message]
