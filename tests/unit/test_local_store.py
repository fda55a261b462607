"""What the stand-in server keeps: each span once, summaries that agree with the spans, and no more than it should."""

from __future__ import annotations

import os
import sqlite3
import threading
import time

import pytest

from cozeloop_lite.local import retention, rules, sqlite_reasons, summaries, trace_search
from cozeloop_lite.local import store as store_module
from cozeloop_lite.local.archive import Archive
from cozeloop_lite.local.feedback import Feedback
from cozeloop_lite.local.rules import Arrival
from cozeloop_lite.local.store import Store
from cozeloop_lite.local.trace_search import Wanted

TRACE = "29392ac2486dfcfa46656416baabeac8"
EMPTY = {name: default() for name, (_, default) in rules._FIELDS.items() if name != "duration"}


def arrival(number=1, *, dropped=False, warnings=(), **changes):
    span = {
        **EMPTY,
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": "0",
        "workspace_id": "7",
        "span_name": f"span {number}",
        "span_type": "custom",
        "started_at_micros": 1000,
        "duration_micros": 10,
        "tags_string": {},
        "tags_long": {},
        **changes,
    }
    return Arrival(span, list(warnings), dropped)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """On a busy machine, too, a search for texts goes through all traces at once."""
    monkeypatch.setattr(trace_search, "MAX_SECONDS", 60)


@pytest.fixture
def store():
    store = Store()
    yield store
    store.close()


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "spans.sqlite3")


def summary(store):
    (found,) = store.traces()
    return found


# --- each span once ---


def test_a_copy_that_is_the_same_is_counted_and_not_stored_again(store):
    for _ in range(3):
        store.add_spans([arrival(1)])

    assert len(store.spans(duplicates=True)) == 1
    assert store.spans()[0]["warnings"] == [
        "this span arrived more than once: trace views show the first copy, metrics count each"
    ]
    stats = store.stats()
    assert (stats["spans"], stats["duplicates"], stats["warnings"]) == (3, 2, 1)
    assert (summary(store)["spans"], summary(store)["warnings"]) == (1, 1)


def test_copies_that_arrive_together_are_one_span(store):
    store.add_spans([arrival(1), arrival(1), arrival(1, output="other")])

    assert [span["output"] for span in store.spans()] == [""]
    assert [span["output"] for span in store.spans(duplicates=True)] == ["", "other"]
    assert summary(store)["spans"] == 1


# --- batches ---


def test_a_batch_that_cannot_be_stored_costs_itself(store):
    broken = arrival(2, started_at_micros=1 << 70)  # more than a database can hold

    with pytest.raises(OverflowError):
        store.add_spans([arrival(1), broken])
    store.add_spans([arrival(3)])

    assert [span["span_name"] for span in store.spans()] == ["span 3"]
    assert summary(store)["spans"] == 1


def test_a_batch_that_cannot_be_stored_counts_nothing(store):
    store.add_spans([arrival(1)])
    store.count("requests")

    with pytest.raises(OverflowError):  # tried twice: the second attempt is for batches that came with it
        store.add_spans([arrival(1), arrival(2, started_at_micros=1 << 70)])
    store.add_file("7", "a.txt", b"")

    assert (store.stats()["spans"], store.stats()["duplicates"], store.stats()["requests"]) == (1, 0, 1)


def test_batches_that_come_while_another_is_written_are_committed_together(store):
    committed = []
    commit = store._commit
    store._commit = lambda batches: (committed.append(len(batches)), commit(batches))
    problems = []

    def send(number):
        spans = [arrival(number, started_at_micros=1 << 70 if number == 3 else 1000)]
        try:
            store.add_spans(spans)
        except OverflowError:
            problems.append(number)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 6)]
    with store._changed:  # as if one were being written
        for thread in threads:
            thread.start()
        while len(store._waiting) < 5:
            time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert committed[0] == 5, "the first to get the turn takes all"
    assert committed[1:] == [1] * 5, "one cannot be stored, so each is tried alone"
    assert problems == [3]
    assert sorted(span["span_name"] for span in store.spans()) == ["span 1", "span 2", "span 4", "span 5"]


def test_two_servers_may_write_to_one_file(db):
    stores = [Store(db), Store(db)]

    def send(store, first):
        for number in range(first, first + 40):
            store.add_spans([arrival(number), arrival(number + 1000, trace_id="a" * 32)])

    threads = [threading.Thread(target=send, args=(stores[n % 2], 1 + 40 * n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stores[0].spans()) == 320
    assert [trace["spans"] for trace in stores[1].traces()] == [160, 160]
    for store in stores:
        store.close()


# --- summaries ---


def test_a_summary_is_made_of_all_spans_in_whatever_order_they_come(store):
    tokens = {"input_tokens": 5, "output_tokens": 2}
    model = {"span_type": "model", "status_code": 3, "service_name": "shop", "tags_long": tokens}
    store.add_spans([arrival(2, parent_id=f"{1:016x}", started_at_micros=1500, duration_micros=2000, **model)])
    assert (summary(store)["name"], summary(store)["has_root"]) == ("span 2", False)
    agent = {"span_type": "agent", "service_name": "web", "tags_long": {"input_tokens": 99}}
    store.add_spans(
        [
            arrival(1, warnings=["cut"], **agent),
            arrival(3, started_at_micros=1200, span_type="LLMCall", tags_long={"input_tokens": 1}),
        ]
    )

    found = summary(store)
    assert (found["name"], found["type"], found["has_root"], found["status"]) == ("span 1", "agent", True, "error")
    assert (found["started_at_micros"], found["duration_micros"]) == (1000, 2500)
    assert (found["spans"], found["errors"], found["dropped"], found["warnings"]) == (3, 1, 0, 1)
    assert (found["input_tokens"], found["output_tokens"]) == (6, 2), "only models count"
    assert found["services"] == ["shop", "web"]


def test_dropped_spans_are_shown_but_do_not_stretch_a_trace(store):
    store.add_spans([arrival(1, dropped=True, started_at_micros=0)])
    assert (summary(store)["started_at_micros"], summary(store)["dropped"]) == (0, 1)

    store.add_spans([arrival(2, started_at_micros=5000)])
    store.add_spans([arrival(3, dropped=True, started_at_micros=9)])

    found = summary(store)
    assert (found["started_at_micros"], found["duration_micros"]) == (5000, 10)
    assert (found["spans"], found["dropped"]) == (3, 2)


def test_numbers_at_the_end_of_their_range_are_survived(store):
    most = (1 << 63) - 1
    huge = {"span_type": "model", "tags_long": {"input_tokens": most, "output_tokens": most}}
    store.add_spans([arrival(1, started_at_micros=most, duration_micros=most, **huge), arrival(2, **huge)])

    assert summary(store)["input_tokens"] == most
    assert len(Archive(store).trace(TRACE, 10)["spans"]) == 2


def test_of_many_services_some_are_named(store):
    store.add_spans([arrival(n, service_name=f"s{n}") for n in range(1, 100)])

    assert summary(store)["services"] == [f"s{n}" for n in range(1, summaries.MAX_SERVICES + 1)]


def test_a_file_of_an_older_version_gets_its_summaries_when_it_is_opened(db, monkeypatch):
    monkeypatch.setattr(summaries, "_CHUNK", 2)
    store = Store(db)
    store.add_spans([arrival(n, trace_id="ab"[n % 2] * 32, output="x" * n) for n in range(1, 8)])
    store.add_spans([arrival(7, trace_id="b" * 32, output="a copy")])
    expected = Archive(store).page(Wanted(), None, 10)["traces"], Archive(store).trace("b" * 32, 10)["spans"]
    store.close()
    connection = sqlite3.connect(db)
    connection.executescript("DROP TABLE traces; DROP TABLE briefs; DELETE FROM counts;")
    connection.close()

    store = Store(db)
    assert (Archive(store).page(Wanted(), None, 10)["traces"], Archive(store).trace("b" * 32, 10)["spans"]) == expected
    store.close()


# --- forgetting ---


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(retention, "STEP_SECONDS", 0)


def received(store, trace_id, days_ago):
    micros = int((time.time() - days_ago * 86400) * 1000000)
    with store._connection:
        store._connection.execute("UPDATE traces SET received_at_micros = ? WHERE trace_id = ?", (micros, trace_id))


def test_what_is_too_old_is_forgotten_with_all_that_belongs_to_it(db, always_due):
    store = Store(db, keep_days=2)
    store.add_spans([arrival(1, trace_id="a" * 32, warnings=["cut"])])
    store.add_spans([arrival(2, trace_id="b" * 32, warnings=["cut"])])
    received(store, "a" * 32, 2.1)
    received(store, "b" * 32, 1.9)

    store.tidy()

    assert [trace["trace_id"] for trace in store.traces()] == ["b" * 32]
    for table in ("spans", "briefs", "warnings"):
        assert store._connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,), table
    store.close()


def test_what_is_too_much_is_forgotten_the_oldest_first_and_the_file_stays_small(db, always_due):
    store = Store(db, keep_mb=2)
    for number in range(1, 61):
        store.add_spans([arrival(number, trace_id=f"{number:032x}", input="x" * 100000)])
        store.add_file("7", f"file {number}", b"y" * 100000)
    left = [int(trace["trace_id"], 16) for trace in store.traces()]

    assert 3 < len(left) < 20
    assert left == list(range(60, 60 - len(left), -1))
    assert 3 < len(store.files()) < 20
    assert "7/file 60" in store.files()
    assert Archive(store).size() <= 2.3 * 1024 * 1024
    store.close()
    assert os.path.getsize(db) < 4 * 1024 * 1024


def test_one_step_of_forgetting_is_bounded(always_due, monkeypatch):
    monkeypatch.setattr(retention, "MAX_ROWS", 10)
    store = Store(keep_days=1)
    store.add_spans([arrival(n) for n in range(1, 26)])
    received(store, TRACE, 2)

    left = []
    while store.traces():
        store.tidy()
        left.append(len(store.spans()))

    assert left == [15, 5, 0]
    store.close()


def test_a_change_after_everything_was_forgotten_is_a_new_change(always_due):
    store = Store(keep_days=1)
    archive = Archive(store)
    store.add_spans([arrival(1)])
    since = archive.changes("")["since"]
    received(store, TRACE, 2)
    store.tidy()
    assert store.traces() == []

    store.add_spans([arrival(2)])

    assert [trace["trace_id"] for trace in archive.changes(since)["traces"]] == [TRACE]
    store.close()


def test_a_trace_that_comes_after_everything_was_forgotten_has_changed(db, always_due):
    store = Store(db, keep_days=1)
    store.add_spans([arrival(number) for number in range(1, 4)])
    change = store.last_change()
    received(store, TRACE, 2)
    store.tidy()
    assert store.changed_since(change) == (change, [])

    store.add_spans([arrival(9, trace_id="b" * 32)])  # in the first row again

    change, traces = store.changed_since(change)
    assert traces == ["b" * 32]
    assert store.changed_since(change) == (change, [])
    store.close()


def test_what_cannot_be_forgotten_now_costs_no_batch(db, always_due):
    store = Store(db, keep_days=1)
    store.add_spans([arrival(1)])
    received(store, TRACE, 2)
    store._connection.execute("CREATE TRIGGER no BEFORE DELETE ON traces BEGIN SELECT RAISE(ABORT, 'no'); END")

    store.add_spans([arrival(2, trace_id="b" * 32)])

    assert [trace["trace_id"] for trace in store.traces()] == ["b" * 32, TRACE]
    store.close()


def feedback(number, trace_id, days_ago):
    micros = int((time.time() - days_ago * 86400) * 1000000)
    return Feedback("7", trace_id, "", f"key {number}", "string", "x" * 1000000, "", micros, micros)


def test_feedback_on_traces_that_are_not_here_is_forgotten_and_pushes_no_trace_out(db, always_due):
    store = Store(db, keep_mb=2)
    for number in range(4):
        store.feedback.put(feedback(number, "a" * 32, days_ago=1))

    for _ in range(4):
        store.add_spans([arrival(1)])

    assert len(store.spans()) == 1
    assert 0 < store._connection.execute("SELECT count(*) FROM feedback").fetchone()[0] < 4
    store.close()


def test_what_is_forgotten_is_found_without_looking_through_all_feedback(db, always_due):
    store = Store(db, keep_days=2)
    arrivals = [arrival(number, trace_id=f"{number:032x}") for number in range(1, 1001)]
    store.add_spans(arrivals)
    for number in range(1, 11):
        received(store, f"{number:032x}", days_ago=3)
    values = "SELECT '7', trace_id, '', 'key', 'string', 'x', '', received_at_micros, received_at_micros FROM traces"
    with store._connection:
        store._connection.execute("INSERT INTO feedback " + values)
    steps = []
    store._connection.set_progress_handler(lambda: steps.append(100), 100)  # of sqlite's own machine

    store.tidy()

    assert sum(steps) < 20_000
    assert len(store.traces(1000)) == 990
    assert store._connection.execute("SELECT count(*) FROM feedback").fetchone()[0] == 990
    store.close()


def test_feedback_without_its_trace_is_forgotten_when_it_is_too_old_and_that_with_one_is_not(db, always_due):
    store = Store(db, keep_days=2)
    store.add_spans([arrival(1)])
    for number, (trace_id, days_ago) in enumerate([("a" * 32, 2.1), ("a" * 32, 1.9), (TRACE, 2.1)]):
        store.feedback.put(feedback(number, trace_id, days_ago))

    for _ in range(3):
        store.tidy()

    left = store._connection.execute("SELECT key FROM feedback ORDER BY key").fetchall()
    assert left == [("key 1",), ("key 2",)]
    store.close()


def test_without_limits_everything_is_kept(store):
    store.add_spans([arrival(1)])
    received(store, TRACE, 10000)

    store.tidy()

    assert len(store.spans()) == 1


# --- counts ---


def test_counts_are_written_with_the_next_batch_and_when_the_store_is_closed(db):
    store = Store(db)
    store.count("requests")
    store.add_spans([arrival(1)])
    store.count("404")
    assert (store.stats()["requests"], store.stats()["refused"]) == (1, {"404": 1})
    store.close()
    store.close()

    store = Store(db)
    assert (store.stats()["requests"], store.stats()["refused"]) == (1, {"404": 1})
    store.close()


# --- reading beside writing ---


def test_a_file_is_found_again_when_the_program_changes_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("spans.sqlite3")
    store.add_spans([arrival(1)])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    assert Archive(store).trace(TRACE, 10)["spans"]
    assert not list(elsewhere.iterdir())
    store.close()


def test_what_is_read_is_of_one_moment(db):
    store = Store(db)
    store.add_spans([arrival(1)])
    with store.reading() as connection:
        before = connection.execute("SELECT count(*) FROM spans").fetchone()
        store.add_spans([arrival(2)])
        assert connection.execute("SELECT count(*) FROM spans").fetchone() == before
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DELETE FROM spans")
    assert len(store.spans()) == 2
    store.close()


def test_spans_are_stored_while_a_store_in_memory_is_searched(store, monkeypatch):
    monkeypatch.setattr(trace_search, "STEP_SECONDS", -1)  # a pause after each span
    store.add_spans([arrival(number) for number in range(1, 301)])
    searching, stored_before = threading.Event(), []
    pause = store.pause

    def counted_pause():
        searching.set()
        pause()
        stored_before.append(writer.is_alive())

    def write():
        searching.wait(10)
        store.add_spans([arrival(1000, trace_id="a" * 32)])

    monkeypatch.setattr(store, "pause", counted_pause)
    writer = threading.Thread(target=write)
    writer.start()

    assert Archive(store).page(Wanted(q="nothing has this"), None, 50)["traces"] == []

    writer.join()
    assert len(stored_before) >= 300
    assert stored_before[-1] is False, "the writer had to wait for the end of the search"


def test_what_comes_while_texts_are_searched_is_told_of_afterwards(store, monkeypatch):
    monkeypatch.setattr(trace_search, "STEP_SECONDS", -1)
    store.add_spans([arrival(1)])
    archive = Archive(store)
    monkeypatch.setattr(store, "pause", lambda: store.add_spans([arrival(2, trace_id="a" * 32)]))

    page = archive.page(Wanted(q="span 1"), None, 50)

    assert [trace["trace_id"] for trace in page["traces"]] == [TRACE]
    assert [trace["trace_id"] for trace in archive.changes(page["since"])["traces"]] == ["a" * 32]


@pytest.mark.parametrize("step_seconds", [-1, 60])
@pytest.mark.parametrize("number", [1, 7, 13])
def test_a_search_finds_a_span_wherever_it_pauses(store, monkeypatch, step_seconds, number):
    monkeypatch.setattr(trace_search, "STEP_SECONDS", step_seconds)
    nameless = [arrival(0, span_id="", dropped=True, span_name=f"needle {n}") for n in (7, 8)]
    store.add_spans([arrival(13, span_name="needle 13"), *nameless, arrival(1, span_name="needle 1"), arrival(2)])

    assert len(Archive(store).page(Wanted(q=f"needle {number}"), None, 50)["traces"]) == 1
    assert Archive(store).page(Wanted(q="needle 99"), None, 50)["traces"] == []


# --- a file that is removed ---


def remove(db):
    for name in os.listdir(os.path.dirname(db)):
        os.unlink(os.path.join(os.path.dirname(db), name))


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be removed")
def test_what_comes_after_the_file_was_removed_is_in_a_new_one(db):
    store = Store(db)
    store.add_spans([arrival(1)])
    store.feedback.put(feedback(1, TRACE, days_ago=0))
    remove(db)

    store.add_spans([arrival(2), arrival(3)])
    store.feedback.put(feedback(2, TRACE, days_ago=0))

    assert [span["span_name"] for span in store.spans()] == ["span 2", "span 3"]
    other = Store(db, read_only=True)
    assert [span["span_name"] for span in other.spans()] == ["span 2", "span 3"]
    assert other._connection.execute("SELECT key FROM feedback").fetchall() == [("key 2",)]
    other.close()
    store.close()


@pytest.mark.skipif(os.name == "nt", reason="a file that is open cannot be removed")
def test_who_reads_after_the_file_was_removed_finds_nothing_and_begins_again(db):
    store = Store(db)
    archive = Archive(store)
    store.add_spans([arrival(1)])
    since = archive.changes("")["since"]
    remove(db)

    assert archive.page(Wanted(), None, 50)["traces"] == []
    assert archive.changes(since)["reset"] is True
    assert os.path.exists(db)
    store.close()


@pytest.mark.skipif(os.name == "nt", reason="a folder of open files cannot be moved")
def test_while_the_folder_is_away_what_was_open_still_is(db):
    folder = os.path.dirname(db)
    store = Store(db)
    archive = Archive(store)
    store.add_spans([arrival(1)])
    os.rename(folder, folder + " away")
    with pytest.raises(sqlite3.Error):
        archive.page(Wanted(), None, 50)
    os.rename(folder + " away", folder)

    store.add_spans([arrival(2)])
    assert [span["spans"] for span in archive.page(Wanted(), None, 50)["traces"]] == [2]
    store.close()


# --- files that cannot be used ---


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions")
def test_only_its_owner_may_read_a_new_file(db):
    store = Store(db)
    store.add_spans([arrival(1)])

    files = [name for name in os.listdir(os.path.dirname(db)) if name.startswith("spans.sqlite3")]
    assert len(files) == 3, "and what sqlite keeps beside it"
    assert {os.stat(os.path.join(os.path.dirname(db), name)).st_mode & 0o777 for name in files} == {0o600}
    store.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "you may not read it, or not write to its folder"),
        (b"no database, just a text\n" * 100, "it is not a database of `python -m cozeloop_lite serve`"),
        (b"", "nothing of `python -m cozeloop_lite serve` is in it"),
    ],
)
def test_the_reason_why_a_file_is_of_no_use_is_said(db, content, said):
    if content is not None:
        with open(db, "wb") as file:
            file.write(content)

    with pytest.raises(sqlite3.Error) as caught:
        Store(db, read_only=True)

    assert said in sqlite_reasons.reason(caught.value)
    assert str(caught.value) in sqlite_reasons.reason(caught.value)


def test_a_database_that_another_program_holds_is_told_from_an_old_one(db, monkeypatch):
    Store(db).close()
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0)
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(sqlite3.OperationalError) as caught:
        Store(db, read_only=True)
    other.close()

    assert "another program has been writing" in sqlite_reasons.reason(caught.value)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no such table: traces", "older version"),
        ("database or disk is full", "make room"),
        ("attempt to write a readonly database", "permissions"),
        ("database disk image is malformed", "damaged"),
        ("disk I/O error", "disk cannot be read"),
        ("something new", "something new"),
    ],
)
def test_what_sqlite_says_is_said_with_what_to_do(message, said):
    assert said in sqlite_reasons.reason(sqlite3.OperationalError(message))
