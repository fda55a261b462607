"""A small world for the queue and the exporter to live in: programs, a server and a disk, and the rules of delivery.

It stands on a :class:`~support.simulation.Simulation`. The server, the disk and the programs keep books of their own,
and the rules are checked against these whenever something has happened.
"""

from __future__ import annotations

import copy
import math
import re

from cozeloop_lite import errors, process
from cozeloop_lite.api import answers, cut_off
from cozeloop_lite.config import TraceConfig
from cozeloop_lite.trace import backlog, box, exporter, ids, uploads
from cozeloop_lite.trace.account import QUEUE_FULL
from cozeloop_lite.trace.events import SPAN_ENTRY
from cozeloop_lite.trace.exporter import SpanExporter
from cozeloop_lite.trace.queue import SendQueue
from cozeloop_lite.trace.record import NAME, PARENT_ID, START_NS

from .simulation import Simulation, Thread

REQUEST_COUNT = 100
REQUEST_BYTES = 8192  # in place of 4 MiB: see scaled()
RECORD_HEAD = 18  # bytes that a record takes in a file, besides its content
TIMEOUT = 3.0
UPLOAD_TIMEOUT = 30.0
OLDEST = 23 * 3600.0 + 1e-3  # seconds
MOMENT = 1e-6  # seconds, for what is added up in floating point


def scaled(monkeypatch):
    """Requests of at most ``REQUEST_BYTES``, so that many can be made in little time; no words in the log."""
    monkeypatch.setattr(box, "BATCH_BYTES", REQUEST_BYTES)
    monkeypatch.setattr(backlog, "BATCH_BYTES", REQUEST_BYTES)
    monkeypatch.setattr(exporter, "MAX_SPAN_BYTES", REQUEST_BYTES - 64)
    monkeypatch.setattr(uploads, "FILE_BYTES", 0)  # it would be most of what the small ones here have
    monkeypatch.setattr(ids.source, "fraction", ids.source.fraction)  # which each world makes its own


class Span:
    """A finished span, as far as it matters here."""

    def __init__(self, number, started, size=10, weight=1, bad=False, broken=False, files=()):
        self.number = number
        self.size = size  # in memory; the JSON may have more
        self.bad = bad  # the server refuses it
        self.broken = broken  # it cannot be encoded
        self.files = {"%d/%d" % (number, index): b"f" * length for index, length in enumerate(files)}
        self.json = b'{"n":%d,"p":"%s"}' % (number, b"x" * (size * weight))
        self._fields = {NAME: "span", PARENT_ID: 0, START_NS: int(started * 1e9)}

    def __getitem__(self, place):
        return self._fields[place]

    def __deepcopy__(self, memo):
        return self


def encode(span, files):
    if span.broken:
        raise ValueError("broken")
    files.update(span.files)
    return span.json


def numbers_in(json):
    return [int(number) for number in re.findall(rb'"n":([0-9]+)', json)]


# -- the disk ---------------------------------------------------------------------------------------------------------


class MemoryFile:
    def __init__(self, writer):
        self.writer = writer
        self.taker = None
        self.records = []
        self.settled = []  # those of them that whoever takes the file next will not see


class MemorySpool:
    """What :class:`cozeloop_lite.trace.spool.Spool` does, in a list of files that all programs share."""

    problem = "the disk is full", ()

    def __init__(self, world, program):
        self.world = world
        self.program = program
        self._file = None

    def write(self, records):
        self.world.keeps(self.program, records)
        if self.world.disk_is_full:
            return False
        if self._file is None:
            self._file = MemoryFile(self.program)
            self.world.disk.append(self._file)
        self._file.records += records
        return True

    def close(self):
        if self._file is not None:
            self._file.writer = None
            self._file = None

    def take(self):
        for file in self.world.disk:
            if all(owner is None or owner.ended for owner in (file.writer, file.taker)):
                file.writer, file.taker = None, self.program
                file.records = [record for record in file.records if record not in file.settled]
                return MemoryTaken(self.world, file)
        return None


class MemoryTaken:
    _fd = -1  # there is nothing that a forked child could close

    def __init__(self, world, file):
        self._world = world
        self._file = file

    def __deepcopy__(self, memo):
        return self

    def __len__(self):
        return len(self._file.records)

    def last(self, max_count, max_bytes):
        count = size = 0
        for record in reversed(self._file.records):
            length = RECORD_HEAD + len(record.content)
            if count and (count >= max_count or size + length > max_bytes):
                break
            count += 1
            size += length
        return count, self._file.records[len(self) - count :]

    def settle(self, records):
        self._file.settled += records

    def drop(self, count):
        if count:
            del self._file.records[-count:]

    def close(self):
        self._file.taker = None
        if not self._file.records:
            self._world.disk.remove(self._file)


# -- the server -------------------------------------------------------------------------------------------------------

GOOD = (200, {}, b'{"code":0,"msg":""}')
BAD_PARAM = (200, {}, b'{"code":600904002,"msg":"invalid param"}')
TOO_LARGE = (413, {}, b"Request Entity Too Large")
ANSWERS = {
    "503": (503, {}, b"down"),
    "503 with Retry-After": (503, {"retry-after": "40"}, b"down"),
    "503 for long": (503, {"retry-after": "100"}, b"down"),
    "429": (429, {}, b"slow down"),
    "429 with Retry-After": (429, {"retry-after": "7"}, b"slow down"),
    "storage fails": (200, {}, b'{"code":600904006,"msg":"mq"}'),
    "internal error": (200, {}, b'{"code":602000702,"msg":"Service Internal Error"}'),
    "a page": (200, {}, b"<html>log in</html>"),
    "nothing": (204, {}, b""),
    "401": (401, {}, b"who are you"),
}
PASSING = ["503", "503 with Retry-After", "503 for long", "429", "429 with Retry-After", "storage fails"]
PASSING += ["refused", "cut", "silent", "taken, then silent", "taken, then cut", "crash"]
REFUSING = ["internal error", "a page", "nothing", "401"]
DELAYS = [0.0, 0.0, 0.001, 0.02, 0.2, 1.0, 2.9]


class Server:
    """Takes spans and files, and notes which were accepted, and what the programs were told."""

    base_url = "http://server"
    timeout = TIMEOUT
    upload_timeout = UPLOAD_TIMEOUT

    def __init__(self, world):
        self._world = world
        self.mood = ["ok"]  # one of these for each request; "ok": it is judged by its spans
        self.script = []  # before that, these: (what, after how many seconds)
        self.most = REQUEST_COUNT  # spans in a request; for more of them it is "too large"
        self.accepted = {}  # span -> how often
        self.told = set()  # the spans that a program knows to be accepted
        self.files = set()  # the same for files
        self._files_not_before = {}

    def request(self, method, path, body, timeout):
        numbers = numbers_in(body)
        what, delay = self._choose()
        program = self._world.sends(numbers, len(body), timeout, what)
        program.in_flight, program.file_in_flight = numbers, ""
        self._pass(what, delay, timeout, lambda: self._accept(numbers))
        said = ANSWERS.get(what) or self._judge(numbers)
        if said is GOOD:
            self._accept(numbers)
        if "retry-after" in said[1]:
            program.not_before = self._world.simulation.now + float(said[1]["retry-after"])
        answers.read(*said)  # raises what the program is told
        self.told.update(numbers)
        program.told.update(number for number in numbers if number not in self._world.kept)

    def upload_file(self, path, content, key, fields, timeout):
        known = key in self.files and key not in self._world.uncertain_files
        if known and int(key.partition("/")[0]) not in self._world.uncertain:
            self._world.simulation.blame("the file %s was accepted, and is sent again" % key)
        self._world.here.file_in_flight = key
        what, delay = self._choose()
        self._world.simulation.say("%s, upload of %s: %s", self._world.here, key, what)
        asked = self._world.here, key
        if self._world.simulation.now < self._files_not_before.get(asked, 0.0) - MOMENT:
            self._world.simulation.blame("uploaded before the server's Retry-After was over")
        self._pass(what, delay, timeout, lambda: None)
        said = ANSWERS.get(what, GOOD)
        if "retry-after" in said[1]:
            self._files_not_before[asked] = self._world.simulation.now + float(said[1]["retry-after"])
        answers.read(*said)
        self.files.add(key)
        if key not in self._world.kept_files and key not in self._world.uncertain_files:
            self._world.here.files_told.add(key)

    def _choose(self):
        if self.script:
            return self.script.pop(0)
        choice = self._world.random.choice
        return choice(self.mood), choice(DELAYS)

    def _pass(self, what, delay, timeout, accept):
        """The time a request takes, and what may go wrong on the way."""
        simulation = self._world.simulation
        if what == "refused":
            raise errors.NetworkError("connection refused") from ConnectionRefusedError()
        if what == "crash":
            raise SystemExit(1) if delay else ValueError("a fault")
        if what.startswith("taken"):
            accept()
        delay = math.inf if what.endswith("silent") else delay
        end = simulation.now + timeout
        program = self._world.here
        program.waits = True
        came = self._answered(min(delay, timeout))
        program.waits, program.answered_at = False, simulation.now
        if not came:
            raise errors.NetworkError("broken off")  # as it is called while something is sent
        if delay >= timeout or simulation.now > end + MOMENT:  # the machine may have been frozen meanwhile
            raise errors.RequestTimeoutError("no answer")
        if what.endswith("cut"):
            raise errors.NetworkError("connection reset") from ConnectionResetError()

    def _answered(self, seconds):
        """Let ``seconds`` pass. False when the request is cut off before."""
        simulation = self._world.simulation
        end = simulation.now + seconds
        while True:
            cut = cut_off.is_due()
            if cut:
                return False
            pause = max(0.0, end - simulation.now)
            simulation.sleep(pause if cut is None else min(pause, cut_off.LOOK_SECONDS))
            if simulation.now >= end:
                return True

    def _judge(self, numbers):
        if len(numbers) > self.most:
            return TOO_LARGE
        return BAD_PARAM if any(self._world.spans[number].bad for number in numbers) else GOOD

    def _accept(self, numbers):
        for number in numbers:
            self.accepted[number] = self.accepted.get(number, 0) + 1


# -- programs ---------------------------------------------------------------------------------------------------------


class Program:
    """A process with a client in it, the machine as this process sees it, and a copy of its books kept by others."""

    def __init__(self, world, name):
        simulation = self._simulation = world.simulation
        self.world = world
        self.name = name
        self.monotonic, self.time = simulation.monotonic, simulation.time
        self.Lock, self.RLock, self.Condition = simulation.Lock, simulation.RLock, simulation.Condition
        self.get_ident, self.current_thread = simulation.get_ident, simulation.current_thread
        self.no_threads = False
        self.begun = 0  # spans that are being put, or were ...
        self.put = 0  # ... of which put() is over for so many
        self.sent = set()
        self.newest_sent = 0
        self.in_flight = ()  # the spans of its last request ...
        self.file_in_flight = ""  # ... or its file
        self.waits = False  # for an answer
        self.answered_at = 0.0
        self.not_before = 0.0  # as the server told
        self.told = set()  # which of its own spans were accepted
        self.files_told = set()
        self.kept = set()  # in the spool
        self.overflow_told = 0
        self.surprise = None  # what its trace_finish_event_processor will do
        self.exit_thread = None
        self.closing = False
        self.closed_inside = False  # by a callback, while it was sending
        self.silent_from = math.inf  # when nothing is sent any more
        self.ended = False

    def __str__(self):
        return self.name

    def Thread(self, target, name="", daemon=True):  # the name in threading
        thread = Thread(self._simulation, target, name)
        thread.program = self
        if self.no_threads:
            thread.start = self._cannot
        return thread

    def start_new_thread(self, function):
        self.Thread(function).start()

    def _cannot(self):
        raise RuntimeError("can't start new thread")

    def main_thread(self):
        return self.exit_thread

    def spawn(self, function):
        """A thread of the program's own."""
        thread = Thread(self._simulation, function, "thread of %s" % self.name)
        thread.program = self
        thread.start()
        return thread

    def finish_span(self, **how):
        """What the program does all the time."""
        queue = self.queue
        span = self.world.make_span(**how)
        count = len(queue._items) + queue._account.in_hand
        room = count < queue._max_count and self.bytes_open() + span.size <= queue._max_bytes
        room = room and self._simulation.current is not self.exit_thread  # which waits, while others fill it
        refused = queue._account.refused(QUEUE_FULL)
        self.begun += 1
        queue.put(span, span.size)
        self.put += 1
        assert not room or queue._account.refused(QUEUE_FULL) == refused, "there was room"

    def open_numbers(self):
        """The spans that have no fate yet."""
        queue = self.queue
        waiting = [span.number for span, _ in queue._items]
        return [span.number for span, _ in queue._batch if id(span) in queue._open] + waiting

    def bytes_open(self):
        return sum(size for _, size in self.queue._items) + sum(size for _, size in self.queue._batch)

    def fork(self):
        """All that is in memory is copied; then Python calls the hooks in the child."""
        child = Program(self.world, "%s.%d" % (self.name, len(self.world.programs)))
        memo = {id(self): child}
        spool = getattr(self.queue._aside, "_spool", None)
        if spool is not None:
            memo[id(spool)] = MemorySpool(self.world, child)
        child.queue = copy.deepcopy(self.queue, memo)
        child.closing, child.silent_from = self.closing, self.silent_from
        child.queue._on_fork()
        child.queue._send.__self__._on_fork()  # the exporter
        return child

    def end(self):
        """The process is gone. If it was about to cut off what it has just sent, the next one sends that again."""
        self.ended = True
        self.world.leaves(self)
        for thread in self._simulation.threads:
            if thread.program is self:
                thread.frozen = True


class World:
    """The programs, the server, the disk, and the rules."""

    def __init__(self, seed):
        self.simulation = Simulation(seed)
        self.simulation.check = self.check
        self.random = self.simulation.random
        ids.source.fraction = self.random.random
        self.server = Server(self)
        self.disk = []
        self.disk_is_full = False
        self.spans = [None]
        self.programs = []
        self.kept = set()
        self.let_go_at = {}  # span -> when it was kept, or would have been if the disk were not full
        self.kept_files = set()
        self.uncertain = set()  # spans that were let go at the end, while a request with them was under way or due
        self.uncertain_files = set()  # the same for files
        self.frozen = 0.0  # seconds in all
        self.latest = 0.0  # what the wall clock showed before it was set, at most

    @property
    def here(self):
        """The program of the thread that runs."""
        return self.simulation.current.program

    def start_program(self, max_count=1000, max_bytes=1_000_000, batch_count=100, shutdown_timeout=5.0, spool=False):
        program = Program(self, "program %d" % len(self.programs))
        conf = TraceConfig(queue_max_bytes=max_bytes, trace_finish_event_processor=lambda event: self._told(event))
        memory = MemorySpool(self, program) if spool else None
        sender = SpanExporter(self.server, "7", lambda: encode, conf, spool=memory, machine=program)
        program.queue = SendQueue(
            sender.send,
            max_count,
            max_bytes,
            batch_count,
            shutdown_timeout,
            sender.uploads,
            sender.keep if spool else None,
            program,
        )
        process._at_exit.discard(program.queue)
        process._after_fork.discard(program.queue)
        process._after_fork.discard(sender)
        self.programs.append(program)
        return program

    def fork(self, program):
        child = program.fork()
        self.programs.append(child)
        return child

    def make_span(self, age=0.0, **how):
        span = Span(len(self.spans), self.simulation.wall - age, **how)
        self.spans.append(span)
        return span

    def is_lost(self, span):
        """Whether the span will not even be sent."""
        return span.broken or self.simulation.wall - span[START_NS] / 1e9 > OLDEST

    def freeze(self, seconds, wall_seconds):
        self.frozen += seconds
        self.latest = max(self.latest, self.simulation.wall)
        self.simulation.jump(seconds, wall_seconds)

    # -- what the others tell ---------------------------------------------------------------------------------------

    def sends(self, numbers, size, timeout, what):
        """A request leaves. Returns the program that sends it."""
        simulation, program = self.simulation, self.here
        simulation.say("%s, request of %s, %.3g s: %s", program, numbers, timeout, what)
        if not 0 < len(numbers) <= REQUEST_COUNT or size > REQUEST_BYTES:
            simulation.blame("a request of %d spans and %d bytes" % (len(numbers), size))
        if simulation.now >= program.silent_from or program.ended:
            simulation.blame("sent after the end: %s" % numbers)
        if timeout <= 0 or timeout > TIMEOUT + 1:
            simulation.blame("a request of %r seconds" % timeout)
        if any(self.is_lost(self.spans[number]) for number in numbers):
            simulation.blame("too old, or broken: %s" % numbers)
        if program.waits:
            simulation.blame("two requests at once")
        if simulation.now < program.not_before - MOMENT:
            simulation.blame("sent before the server's Retry-After was over")
        if program.queue._ending:  # it may be too late to hold this back
            self.uncertain.update(filter(self.just_let_go, numbers))
        again = self.server.told.intersection(numbers) - self.uncertain
        if again:
            simulation.blame("known to be accepted, and sent again: %s" % sorted(again))
        if not self.kept.issuperset(numbers):  # what comes from the spool comes in any order
            if numbers != sorted(set(numbers)):
                simulation.blame("a request out of order: %s" % numbers)
            for number in numbers:
                if number not in program.sent and number < program.newest_sent:
                    simulation.blame("span %d is sent after %d" % (number, program.newest_sent))
            program.sent.update(numbers)
            program.newest_sent = max(program.newest_sent, numbers[-1])
        return program

    def keeps(self, program, records):
        """Records are to be put into the spool."""
        simulation = self.simulation
        numbers = [number for record in records if not record.key for number in numbers_in(record.content)]
        simulation.say("%s keeps %s%s", program, numbers, ", but the disk is full" if self.disk_is_full else "")
        if program.waits:
            self.uncertain.update(set(numbers).intersection(program.in_flight))
        elif program.answered_at == simulation.now:  # so the queue may not know yet that they were accepted
            self.uncertain.update(self.server.told.intersection(numbers, program.in_flight))
        keys = {record.key for record in records if record.key}
        if program.file_in_flight in keys and (program.waits or program.answered_at == simulation.now):
            self.uncertain_files.add(program.file_in_flight)
            program.files_told.discard(program.file_in_flight)
        accepted = self.server.told.intersection(numbers) - self.uncertain
        if accepted:
            simulation.blame("known to be accepted, and kept: %s" % sorted(accepted))
        if not self.disk_is_full:
            again = self.kept.intersection(numbers)
            if program.queue._ending:  # by the thread that is cut off at the end
                self.uncertain.update(filter(self.just_let_go, again))
            if again - self.uncertain:
                simulation.blame("kept twice: %s" % numbers)
            self.kept.update(numbers)
            program.kept.update(numbers)
            self.kept_files.update(keys)
        if program.queue._ending or not self.disk_is_full:
            self.let_go_at.update(dict.fromkeys(numbers, simulation.now))

    def just_let_go(self, number):
        """Whether that was at this moment."""
        return self.let_go_at.get(number) == self.simulation.now

    def leaves(self, program):
        """What it has taken from the spool, and has just sent, may stay there."""
        if program.answered_at != self.simulation.now:
            return
        for file in self.disk:
            if file.taker is program:
                left = {number for record in file.records for number in numbers_in(record.content)}
                self.uncertain.update(left.intersection(self.server.told, program.in_flight))
                self.uncertain_files.update({record.key for record in file.records} & {program.file_in_flight})

    def _told(self, event):
        program = self.here
        if event.event_type == SPAN_ENTRY and event.is_event_fail:
            program.overflow_told += event.item_num
        if program.surprise is not None:
            surprise, program.surprise = program.surprise, None
            surprise()

    # -- the rules --------------------------------------------------------------------------------------------------

    def check(self):
        for program in self.programs:
            self._check_books(program)
            self._check_bounds(program)

    def _check_books(self, program):
        stats = program.queue.stats()
        dropped = sum(stats["dropped"].values())
        assert program.put <= stats["finished"] <= program.begun, (stats, program.put)
        assert stats["finished"] == stats["delivered"] + stats["queued"] + stats["spooled"] + dropped, stats
        assert stats["delivered"] <= len(program.told) <= stats["delivered"] + stats["queued"] + len(self.uncertain)
        assert "internal" not in stats["dropped"], stats

    def _check_bounds(self, program):
        queue = program.queue
        assert len(queue._items) + queue._account.in_hand <= queue._max_count
        assert program.bytes_open() <= queue._max_bytes, "%d bytes wait" % program.bytes_open()
        waiting = [span.number for span, _ in queue._items]
        assert waiting == sorted(waiting), "out of order: %s" % waiting

    def check_rest(self, program):
        """Nothing waits in ``program``: each of its spans has one fate, and the books know which."""
        stats = program.queue.stats()
        self.simulation.say("%s at rest: %s", program, stats)
        assert stats["queued"] == 0, stats
        assert stats["delivered"] == len(program.told - self.uncertain), (stats, program.told)
        assert stats["spooled"] == len(program.kept), (stats, program.kept)
        files = stats["files"]
        assert files["queued"] == 0, stats
        twice = sum(int(key.partition("/")[0]) in self.uncertain for key in self.kept_files)
        assert 0 <= files["delivered"] - len(program.files_told) <= twice, (stats, program.files_told)
