"""One mishap at a time, in the simulated world of tests/support: each was found there by chance, or would be.

The rules of that world are checked as well, whatever else a test looks at.
"""

from __future__ import annotations

import pytest

from cozeloop_lite import logger
from cozeloop_lite.trace.queue import SendQueue
from cozeloop_lite.trace.uploads import Uploads
from support import world as world_module
from support.simulation import dismiss_workers
from support.world import World, numbers_in

OK = ("ok", 0.0)
DOWN = ("503", 0.0)
SILENT = ("silent", 0.0)


@pytest.fixture
def world(monkeypatch):
    world_module.scaled(monkeypatch)
    monkeypatch.setattr(logger.logger, "disabled", True)
    world = World(1)
    yield world
    world.simulation.finish()
    dismiss_workers()


@pytest.fixture
def start(world):
    """``start(**how)``: a program whose thread has shown that it works, and sleeps."""

    def start(**how):
        program = world.start_program(**how)
        world.server.script = [OK]
        program.finish_span()
        world.simulation.run(2)
        assert program.queue.stats()["delivered"] == 1
        return program

    return start


def finish(program, count, **how):
    for _ in range(count):
        program.finish_span(**how)


def spawned(program, function, *args):
    """``function`` in a thread of the program; its result will be in the list."""
    results = []
    program.spawn(lambda: results.append(function(*args)))
    return results


def uploads(world):
    return [line.split("upload of ")[1] for line in world.simulation.log if "upload of" in line]


def requests(world):
    return [line.split("request of ")[1].split("], ")[0] + "]" for line in world.simulation.log if "request of" in line]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_when_close_has_given_up_brings_no_further_request(world, start):
    program = start()
    finish(program, 3)
    world.server.script = [("503", 2.95)]
    world.simulation.run(1.5)  # the request is under way for half a second
    closed = spawned(program, program.queue.close)
    world.simulation.run(2.42)  # nothing was heard for 2 s
    assert closed == [False]
    world.simulation.run(60)
    assert requests(world) == ["[1]", "[2, 3, 4]"]
    assert program.queue.stats()["dropped"] == {"shutdown": 3}


def test_of_a_batch_that_is_under_way_at_the_end_only_what_has_no_fate_is_kept_and_once(world, start):
    program = start(spool=True)
    finish(program, 3)
    program.finish_span(bad=True)
    world.server.script = [OK, OK, SILENT]  # refused, then the first half accepted, then nothing
    world.simulation.run(1.5)
    closed = spawned(program, program.queue.close)
    world.simulation.run(60)
    assert closed == [False]
    assert requests(world) == ["[1]", "[2, 3, 4, 5]", "[2, 3]", "[4]"]
    assert program.queue.stats()["spooled"] == 2
    assert program.kept == {4, 5}


def test_what_is_kept_at_the_end_is_kept_in_order(world, start):
    program = start(spool=True, batch_count=2)
    world.server.mood = ["silent"]
    finish(program, 5)
    world.simulation.run(0.3)
    spawned(program, program.queue.close)
    world.simulation.run(60)
    assert requests(world) == ["[1]", "[2, 3]"]
    assert [number for file in world.disk for record in file.records for number in numbers_in(record.content)] == [
        2, 3, 4, 5, 6,
    ]  # fmt: skip


def test_what_is_being_uploaded_at_the_end_is_kept_with_what_waits_behind_it(world, start):
    program = start(spool=True)
    world.server.script = [OK, SILENT]
    program.finish_span(files=[5, 5])
    world.simulation.run(1.5)
    closed = spawned(program, program.queue.close)
    world.simulation.run(60)
    assert closed == [False]
    assert program.queue.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {"spooled": 2}}
    world.server.mood = ["ok"]
    another = world.start_program(spool=True)
    another.finish_span()
    world.simulation.run(60)
    assert world.server.files == {"2/0", "2/1"}


def leave(queue):
    queue._on_exit_hurry()
    queue._on_exit()


@pytest.mark.parametrize("end", [SendQueue.close, leave])
def test_at_the_end_spans_do_not_wait_in_vain_for_an_upload_that_is_under_way(world, start, end):
    program = start(shutdown_timeout=2.0, batch_count=2)
    world.server.script = [OK, SILENT, OK, OK, OK, OK]
    program.finish_span(files=[5])
    world.simulation.run(1.5)
    finish(program, 5)
    spawned(program, end, program.queue)
    world.simulation.run(60)
    assert requests(world) == ["[1]", "[2]", "[3, 4]", "[5, 6]", "[7]"]
    assert uploads(world) == ["2/0: silent", "2/0: ok"]  # in what the spans left of the time
    world.check_rest(program)


def test_a_file_that_spans_have_taken_the_time_of_is_kept(world, start):
    program = start(shutdown_timeout=2.0, spool=True)
    world.server.script = [OK, SILENT, OK, SILENT]
    program.finish_span(files=[5])
    world.simulation.run(1.5)
    finish(program, 3)
    closed = spawned(program, program.queue.close)
    world.simulation.run(60)
    assert closed == [False]
    assert requests(world) == ["[1]", "[2]", "[3, 4, 5]"]
    assert program.queue.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {"spooled": 1}}


def test_an_upload_is_not_cut_off_when_nothing_waits_for_its_end(world, start):
    program = start(shutdown_timeout=2.0)
    world.server.script = [OK, ("ok", 2.0)]
    program.finish_span(files=[5])
    world.simulation.run(1.5)
    closed = spawned(program, program.queue.close)
    world.simulation.run(60)
    assert closed == [True]
    assert uploads(world) == ["2/0: ok"]


def test_an_upload_is_not_cut_off_while_there_is_time_for_both(world, start):
    program = start()
    world.server.script = [OK, ("ok", 4.0), OK]
    program.finish_span(files=[5])
    world.simulation.run(1.5)
    finish(program, 3)
    closed = spawned(program, program.queue.close, 5.0)
    world.simulation.run(60)
    assert closed == [True]
    assert uploads(world) == ["2/0: ok"]


@pytest.mark.parametrize("end", [SendQueue.close, leave])
def test_an_upload_that_begins_at_the_end_has_its_time_from_when_the_server_was_last_heard_of(world, start, end):
    program = start(batch_count=2)
    world.server.script = [("ok", 0.8), ("ok", 0.8), OK, OK]
    program.finish_span(files=[5])
    finish(program, 5)
    spawned(program, end, program.queue)
    world.simulation.run(60)
    assert uploads(world) == ["2/0: ok"]
    world.check_rest(program)


def test_a_flush_cuts_no_upload_off_since_there_will_be_time_after_it(world, start):
    program = start()
    world.server.script = [OK, ("ok", 4.0), OK]
    program.finish_span(files=[5])
    world.simulation.run(1.5)
    finish(program, 3)
    flushed = spawned(program, program.queue.flush, 2.0)
    world.simulation.run(60)
    assert flushed == [False]
    assert uploads(world) == ["2/0: ok"]
    world.check_rest(program)


def test_what_a_callback_of_the_thread_closes_is_accounted_for_when_the_time_is_up(world, start):
    program = start()
    closed = []
    program.surprise = lambda: closed.append(program.queue.close(1.0))
    world.server.mood = ["503"]
    world.server.script = [OK]
    program.finish_span(files=[5, 5])
    world.simulation.run(60)
    assert closed == [False]
    assert program.queue.stats()["files"] == {"delivered": 0, "queued": 0, "dropped": {"shutdown": 2}}
    assert not program.queue._alive()


def test_what_a_callback_closes_where_no_thread_can_be_started_is_accounted_for_at_once(world):
    program = world.start_program(batch_count=1)
    program.no_threads = True
    closed = []
    program.surprise = lambda: closed.append(program.queue.close(60))
    world.server.script = [("ok", 1.0)]
    finish(program, 3)
    flushed = spawned(program, program.queue.flush, 1.5)
    world.simulation.run(60)
    assert (closed, flushed) == ([False], [False])
    assert program.queue.stats()["dropped"] == {"shutdown": 3}


def test_what_is_being_sent_for_a_flush_when_a_close_gives_up_does_not_wait_for_ever(world):
    """The time of both is up; that of the flush, on whose thread it is sent, was so first."""
    program = world.start_program()
    program.no_threads = True
    world.server.mood = ["503"]
    world.server.script = [SILENT]
    program.finish_span()
    flushed = spawned(program, program.queue.flush, 1.0)
    world.simulation.run(0.5)
    program.surprise = lambda: program.queue.close(5.0)
    world.freeze(60, 60)
    world.simulation.run(60)
    assert flushed == [False]
    world.check_rest(program)
    assert program.queue.stats()["dropped"] == {"shutdown": 1}


def test_an_exit_gives_no_more_time_than_the_close_that_comes_in_between(world, start):
    program = start()
    program.surprise = lambda: program.queue.close(1.0)
    world.server.mood = ["503"]
    program.finish_span()
    program.queue._on_exit_hurry()
    world.simulation.run(0.1)
    assert program.queue._closed
    program.silent_from = world.simulation.now + 1.0
    spawned(program, program.queue._on_exit)
    world.simulation.run(60)
    world.check_rest(program)


def test_an_exit_that_gave_up_leaves_room_for_what_comes_after_it(world):
    program = world.start_program(max_bytes=100, shutdown_timeout=0.0)
    program.no_threads = True
    program.finish_span(size=90)
    spawned(program, lambda: [program.queue._on_exit_hurry(), program.queue._on_exit()])
    world.simulation.run(30)
    program.finish_span(size=90)
    assert program.queue.stats()["dropped"] == {"shutdown": 1}


@pytest.mark.parametrize(("no_threads", "timeout"), [(False, None), (True, None), (True, 0)])
def test_a_closed_client_lets_go_of_its_files_and_the_next_one_in_the_process_sends_them(world, no_threads, timeout):
    program = world.start_program(spool=True)
    program.no_threads = no_threads
    world.server.mood = ["503"]
    finish(program, 3)
    closed = spawned(program, program.queue.close, timeout)
    world.simulation.run(60)
    assert closed == [False]
    world.server.mood = ["ok"]
    another = world.start_program(spool=True)
    another.finish_span()
    world.simulation.run(60)
    assert world.server.told == {1, 2, 3, 4}
    assert world.disk == []


def test_a_closed_client_lets_go_of_the_file_that_it_was_sending(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    finish(before, 2, size=2500, weight=3, files=[5])  # each in a request of its own
    spawned(before, before.queue.close)
    world.simulation.run(60)
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, OK, DOWN]
    program.finish_span()
    world.simulation.run(30)
    closed = spawned(program, program.queue.close)
    world.simulation.run(60)
    assert closed == [True]
    assert requests(world)[-1] == "[2]"  # its file failed, and will be tried again in a minute
    another = world.start_program(spool=True)
    another.finish_span()
    world.simulation.run(60)
    assert world.server.told == {1, 2, 3, 4}
    assert world.disk == []


# -- no thread can be started -----------------------------------------------------------------------------------------


def test_a_queue_that_filled_up_while_no_thread_could_be_started_is_emptied_once_one_can(world):
    program = world.start_program(max_count=2)
    program.no_threads = True
    finish(program, 3)
    program.no_threads = False
    program.finish_span()  # for which there is no room, either
    world.simulation.run(30)
    assert program.queue.stats()["delivered"] == 2


def test_what_a_flush_gives_back_waits_in_its_old_order_and_takes_its_room(world):
    program = world.start_program(max_bytes=3000)
    program.no_threads = True
    finish(program, 3, size=1000, weight=5)  # each in a request of its own
    world.server.mood = ["503"]
    flushed = spawned(program, program.queue.flush, 1.0)
    world.simulation.run(5)
    assert flushed == [False]
    program.finish_span(size=1000)
    assert program.queue.stats()["dropped"] == {"queue_full": 1}
    world.server.mood = ["ok"]
    flushed = spawned(program, program.queue.flush, 10.0)
    world.simulation.run(10)
    assert flushed == [True]
    assert requests(world)[-3:] == ["[1]", "[2]", "[3]"]


def test_what_is_given_back_while_a_bad_span_is_looked_for_waits_in_its_old_order(world):
    program = world.start_program()
    program.no_threads = True
    program.finish_span()
    program.finish_span(bad=True)
    finish(program, 2)
    world.server.script = [OK, OK]  # all of them are refused, and the first two
    world.server.mood = ["503"]
    spawned(program, program.queue.flush, 1.0)
    world.simulation.run(5)
    assert program.open_numbers() == [1, 2, 3, 4]


def test_what_a_flush_gives_back_is_sent_by_the_thread_that_was_started_meanwhile(world):
    program = world.start_program(max_count=1)
    program.no_threads = True
    program.finish_span()
    world.server.script = [SILENT]
    flushed = spawned(program, program.queue.flush, 1.0)
    world.simulation.run(0.5)
    program.no_threads = False
    program.finish_span()  # there is no room for it, but now there is a thread
    world.simulation.run(30)
    assert flushed == [False]
    assert program.queue.stats()["delivered"] == 1


def test_a_flush_that_is_told_to_come_later_than_it_can_wait_asks_once(world):
    program = world.start_program()
    program.no_threads = True
    world.server.mood = ["503 with Retry-After"]
    program.finish_span()
    flushed = spawned(program, program.queue.flush, 10.0)
    world.simulation.run(30)
    assert flushed == [False]
    assert requests(world) == ["[1]"]
    assert world.simulation.ticks < 1000


def test_two_such_flushes_do_not_wake_each_other_all_the_time(world):
    program = world.start_program()
    program.no_threads = True
    world.server.mood = ["503 with Retry-After"]
    program.finish_span()
    for _ in range(2):
        spawned(program, program.queue.flush, 10.0)
    world.simulation.run(30)
    assert requests(world) == ["[1]"]
    assert world.simulation.ticks < 2000


def test_a_flush_with_a_spool_tries_as_long_as_it_can(world):
    program = world.start_program(spool=True)
    program.no_threads = True
    world.server.script = [DOWN] * 5
    world.server.mood = ["ok"]
    program.finish_span()
    flushed = spawned(program, program.queue.flush, 60.0)
    world.simulation.run(60)
    assert flushed == [True]
    assert requests(world) == ["[1]"] * 6


def test_an_upload_takes_no_more_time_than_the_flush_that_does_it(world):
    program = world.start_program()
    program.no_threads = True
    world.server.mood = ["ok"]
    program.finish_span(files=[5])
    world.server.script = [OK, SILENT]
    began = world.simulation.now
    flushed = spawned(program, lambda: (program.queue.flush(2.0), world.simulation.now - began))
    world.simulation.run(60)
    ((done, took),) = flushed
    assert not done
    assert took == pytest.approx(2.0)


def test_one_flush_does_not_give_its_time_to_another(world):
    """The first waits out the pause of a file, and ends while the second sends."""
    program = world.start_program()
    program.no_threads = True
    world.server.script = [OK, ("429 with Retry-After", 0.0), SILENT]
    program.finish_span(files=[5])
    spawned(program, program.queue.flush, 1.0)
    world.simulation.run(0.5)
    program.finish_span()
    began = world.simulation.now
    flushed = spawned(program, lambda: (program.queue.flush(1.0), world.simulation.now - began))
    world.simulation.run(60)
    ((done, took),) = flushed
    assert not done
    assert took == pytest.approx(1.0)


def test_a_close_gives_no_more_time_to_the_flush_that_sends_and_sends_the_rest_itself(world):
    program = world.start_program()
    program.no_threads = True
    world.server.script = [SILENT]
    program.finish_span()
    began = world.simulation.now
    flushed = spawned(program, lambda: (program.queue.flush(1.0), world.simulation.now - began))
    world.simulation.run(0.5)
    closed = spawned(program, program.queue.close, 60.0)
    world.simulation.run(60)
    ((_, took),) = flushed
    assert took == pytest.approx(1.0)
    assert closed == [True]
    assert program.queue.stats()["delivered"] == 1


def test_what_earlier_processes_left_is_sent_by_one_thread_at_a_time(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    finish(before, 5)
    spawned(before, before.queue.close)
    world.simulation.run(60)
    program = world.start_program(spool=True)
    program.no_threads = True
    world.server.mood = ["ok"]
    program.finish_span()
    program.queue._on_exit_hurry()  # now flushes wait for what others left, too
    world.server.script = [OK, ("ok", 0.5)]
    for _ in range(3):
        spawned(program, program.queue.flush, 4.0)
    world.simulation.run(60)
    assert sorted(requests(world)[-2:]) == ["[1, 2, 3, 4, 5]", "[6]"]
    assert set(world.server.accepted.values()) == {1}


@pytest.mark.parametrize("no_threads", [False, True])
@pytest.mark.parametrize("end", ["close", "exit"])
def test_the_end_does_not_wait_for_a_file_that_the_server_wants_after_it(world, end, no_threads):
    program = world.start_program()
    program.no_threads = no_threads
    world.server.script = [OK, ("429 with Retry-After", 0.0), OK]
    world.server.mood = ["ok"]
    program.finish_span(files=[5, 5])
    ended = []

    def leave():
        began = world.simulation.now
        if end == "close":
            program.queue.close()
        else:
            program.queue._on_exit_hurry()
            program.queue._on_exit()
        ended.append(world.simulation.now - began)

    program.spawn(leave)
    world.simulation.run(60)
    assert ended[0] < 0.1
    assert world.server.files == {"1/1"}  # what could be sent was
    assert program.queue.stats()["files"] == {"delivered": 1, "queued": 0, "dropped": {"shutdown": 1}}


def test_a_file_that_the_server_wants_later_does_not_keep_the_end_from_sending_what_others_left(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    finish(before, 150)  # two requests
    spawned(before, before.queue.close)
    world.simulation.run(60)
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, ("429 with Retry-After", 0.0), ("ok", 0.9)]
    program.finish_span(files=[5])
    spawned(program, program.queue.close)
    world.simulation.run(60)
    assert world.server.told == set(range(1, 152))


def test_nothing_that_waits_is_nothing_in_vain():
    """The last file may get its fate while a close looks: it has arrived."""
    assert not Uploads(lambda upload, pace: 0, 1000).in_vain(3600.0)


# -- flush ------------------------------------------------------------------------------------------------------------


def test_a_flush_waits_for_its_own_files_whatever_becomes_of_later_ones(world, start):
    program = start()
    program.finish_span(files=[5])
    world.server.script = [OK, ("429 with Retry-After", 0.0), OK, OK, OK]
    flushed = spawned(program, program.queue.flush, 60.0)
    world.simulation.run(1)
    program.finish_span(files=[5, 5])
    world.simulation.run(4)
    assert {"3/0", "3/1"} <= world.server.files  # two files more have arrived
    assert flushed == []
    world.simulation.run(60)
    assert flushed == [True]


@pytest.mark.parametrize("files", [[], [5]])
def test_a_callback_that_flushes_does_not_wait_for_itself(world, start, files):
    program = start()
    took = []

    def surprise():
        began = world.simulation.now
        program.queue.flush(10.0)
        took.append(world.simulation.now - began)

    program.finish_span(files=files)
    world.simulation.run(1)
    program.surprise = surprise
    world.simulation.run(60)
    assert took in ([0.0], [])
    program.finish_span()
    world.simulation.run(60)
    assert took == [0.0]


def test_a_file_that_the_server_wants_later_is_not_hurried_by_a_flush(world, start):
    program = start()
    program.finish_span(files=[5])
    world.server.script = [OK, ("429 with Retry-After", 0.0)]
    world.server.mood = ["ok"]
    world.simulation.run(1.5)
    flushed = spawned(program, program.queue.flush, 60.0)
    world.simulation.run(5)
    assert flushed == []
    world.simulation.run(60)
    assert flushed == [True]


# -- an outage --------------------------------------------------------------------------------------------------------


def test_what_comes_after_a_batch_that_is_to_come_later_comes_later_too(world, start):
    program = start(batch_count=1, max_count=4, spool=True)
    world.server.script = [("503 with Retry-After", 0.0)]
    world.server.mood = ["ok"]
    finish(program, 4)  # it is crowded: the first two make room for more
    world.simulation.run(20)
    assert program.kept
    assert requests(world)[1:] == ["[2]"]
    world.simulation.run(60)
    assert world.server.told == {1, 2, 3, 4, 5}


def test_retry_after_is_not_waited_out_while_the_queue_overflows_when_there_is_a_spool(world, start):
    program = start(max_count=20, batch_count=5, spool=True)
    world.server.mood = ["503 with Retry-After"]
    finish(program, 5)
    world.simulation.run(2)
    for _ in range(30):
        program.finish_span()
        world.simulation.run(0.1)
    stats = program.queue.stats()
    assert stats["dropped"] == {}
    assert stats["spooled"] > 10
    assert requests(world)[1:] == ["[2, 3, 4, 5, 6]"]


def test_what_a_slow_server_leaves_in_the_queue_goes_into_the_spool_before_it_overflows(world, start):
    program = start(max_count=100, batch_count=5, spool=True)
    world.server.script = [("ok", 0.5)] * 30
    world.server.mood = ["ok"]
    for _ in range(300):  # five times what such a server takes
        program.finish_span()
        world.simulation.run(0.02)
    stats = program.queue.stats()
    assert stats["dropped"] == {}
    assert stats["spooled"] > 100
    assert stats["delivered"] > 30
    world.simulation.run(120)
    assert world.server.told == set(range(1, 302))


def test_what_a_fast_server_takes_does_not_go_through_the_spool(world, start):
    program = start(max_count=100, batch_count=5, spool=True)
    world.server.script = [("ok", 0.001)] * 100
    finish(program, 100)
    world.simulation.run(5)
    assert program.queue.stats()["delivered"] == 101


def test_a_full_spool_does_not_bring_a_request_for_every_span(world, start):
    program = start(max_count=100, batch_count=5, spool=True)
    world.disk_is_full = True
    world.server.script = [DOWN] * 1000
    for _ in range(200):
        program.finish_span()
        world.simulation.run(0.05)
    assert len(requests(world)) < 12


def test_however_crowded_it_is_the_server_is_asked_again_when_the_pause_is_over(world, start):
    program = start(max_count=4, batch_count=100, spool=True)
    world.server.script = [DOWN]
    for _ in range(5):
        finish(program, 4)
        world.simulation.run(20)
    assert program.queue.stats()["spooled"] <= 4
    assert world.server.told == set(range(1, 22))


# -- what was left by others ------------------------------------------------------------------------------------------


def test_spans_from_the_spool_are_not_sent_again_for_a_file_that_fails(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    before.finish_span(files=[5, 6])
    finish(before, 2)
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, OK, OK, DOWN]
    program.finish_span()
    world.simulation.run(30)
    assert requests(world)[-1] == "[1, 2, 3]"
    assert world.server.files == {"1/0"}
    program.finish_span()
    world.simulation.run(120)
    assert world.server.files == {"1/0", "1/1"}
    assert set(world.server.accepted.values()) == {1}
    assert world.disk == []


def test_nor_when_there_is_no_room_to_put_that_file_elsewhere(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    before.finish_span(files=[5, 6, 7])
    finish(before, 2)
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    program = world.start_program(spool=True)
    world.disk_is_full = True
    world.server.mood = ["ok"]
    world.server.script = [OK, OK, OK, DOWN]
    program.finish_span()
    world.simulation.run(30)
    assert world.server.files == {"1/0"}
    program.finish_span()
    world.simulation.run(120)
    assert world.server.files == {"1/0", "1/1", "1/2"}
    assert set(world.server.accepted.values()) == {1}
    assert world.disk == []


def test_what_was_accepted_from_the_spool_is_not_sent_again_when_the_process_is_killed_among_the_files(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    before.finish_span(files=[5, 6])
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    killed = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, OK, OK, SILENT]
    killed.finish_span()
    world.simulation.run(10)
    killed.end()
    program = world.start_program(spool=True)
    program.finish_span()
    world.simulation.run(10)
    assert world.server.files == {"1/0", "1/1"}
    assert set(world.server.accepted.values()) == {1}
    assert world.disk == []


def test_a_server_that_hangs_on_one_file_from_the_spool_is_not_asked_for_the_next_at_once(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    finish(before, 5, files=[5])
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, OK, SILENT, SILENT]
    program.finish_span()
    world.simulation.run(5)
    program.finish_span()
    world.simulation.run(40)
    assert program.queue.stats()["delivered"] == 2


def test_a_server_that_hangs_on_spans_from_the_spool_is_not_given_them_again_at_once(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    before.finish_span()
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    attempts = requests(world).count("[1]")
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, SILENT]
    for _ in range(10):
        program.finish_span()
        world.simulation.run(4)
    assert requests(world).count("[1]") <= attempts + 1
    assert program.queue.stats()["delivered"] >= 9
    world.simulation.run(60)
    assert 1 in world.server.told


def test_what_the_server_says_to_spans_from_the_spool_holds_for_others_too(world):
    before = world.start_program(spool=True)
    world.server.mood = ["503"]
    before.finish_span()
    spawned(before, before.queue.close)
    world.simulation.run(60)
    before.end()
    program = world.start_program(spool=True)
    world.server.mood = ["ok"]
    world.server.script = [OK, ("503 with Retry-After", 0.0)]
    program.finish_span()
    world.simulation.run(10)
    program.finish_span()
    world.simulation.run(20)  # it said 40 s
    assert requests(world)[-2:] == ["[2]", "[1]"]
    world.simulation.run(60)
    assert world.server.told == {1, 2, 3}


def test_a_forked_child_tells_of_its_own_overflow(world, start):
    program = start(max_count=2)
    finish(program, 10)
    world.simulation.run(5)
    program.finish_span()
    world.simulation.run(5)
    assert program.overflow_told == 8
    child = world.fork(program)
    finish(child, 5)
    world.simulation.run(5)
    assert child.overflow_told == 3
