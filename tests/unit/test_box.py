"""The box of what waits: its bounds, its batches and its account, with nobody who takes out of it by himself."""

from __future__ import annotations

import collections
import sys
import threading

from cozeloop_lite.trace import box as box_module
from cozeloop_lite.trace.box import BATCH_BYTES, Box

MANY = 1 << 30


def box(*sizes, **how):
    """A box with items 0, 1, ... of these sizes."""
    made = Box(how.pop("max_count", MANY), how.pop("max_bytes", MANY), how.pop("batch_count", 100), **how)
    for item, size in enumerate(sizes):
        made.put(item, size)
    return made


def take(box):
    return [item for item, _ in box._take_batch()]


def account(box):
    stats = box.stats()
    assert stats["finished"] == sum(stats[name] for name in ("delivered", "queued", "spooled")) + sum(
        stats["dropped"].values()
    )
    return stats


def test_what_is_in_hand_still_takes_its_room():
    waiting = box(10, 10, max_count=2)
    assert take(waiting) == [0, 1]
    waiting.put(2, 10)
    waiting.settle([0])
    waiting.put(3, 10)  # there is room for the place of the one that was delivered
    assert account(waiting)["dropped"] == {"queue_full": 1}
    assert account(waiting)["queued"] == 2


def test_bytes_are_free_when_the_batch_is_done_with():
    waiting = box(50, 50, max_bytes=100)
    take(waiting)
    waiting.settle([0, 1])
    assert waiting.room() == 0
    waiting._end_batch()
    assert waiting.room() == 100


def test_an_item_has_one_fate_and_a_second_one_is_not_heard():
    waiting = box(1, 1)
    take(waiting)
    waiting.settle([0])
    waiting.settle([0, 1], "refused")
    assert account(waiting)["delivered"] == 1
    assert account(waiting)["dropped"] == {"refused": 1}


def test_one_object_may_wait_twice():
    waiting = box()
    waiting.put("same", 1)
    waiting.put("same", 1)
    take(waiting)
    waiting.settle(["same"])
    assert account(waiting)["queued"] == 1
    waiting.settle(["same"], "refused")
    assert account(waiting)["queued"] == 0


def test_a_batch_ends_before_the_bytes_of_a_request_and_what_is_too_much_waits_on_in_order():
    waiting = box(*[BATCH_BYTES // 4] * 7, batch_count=6)
    assert take(waiting) == [0, 1, 2, 3]
    waiting._end_batch()
    assert take(waiting) == [4, 5, 6]


def interrupted(call, at):
    """Whether ``call`` comes as far as its step ``at`` in the module of boxes, where Ctrl-C then cuts it off."""
    steps = 0

    def trace(frame, event, arg):
        nonlocal steps
        if frame.f_code.co_filename != box_module.__file__:
            return None
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        if steps == at:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    outer = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # CPython 3.12 wants one such frame when it begins to trace
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(outer)
    return False


def test_ctrl_c_at_any_step_of_taking_a_batch_leaves_each_item_once_and_in_order():
    at, reached = 0, True
    while reached:
        at += 1
        waiting = box(*[BATCH_BYTES // 4] * 7, batch_count=6)
        reached = interrupted(waiting._take_batch, at)
        assert [item for item, _ in waiting._batch + list(waiting._items)] == list(range(7)), at
        assert account(waiting)["queued"] == 7, at
    assert at > 50


def test_what_has_no_fate_when_the_batch_is_done_with_is_lost_by_a_fault():
    waiting = box(1, 1, 1)
    take(waiting)
    waiting.settle([1])
    waiting._end_batch()
    assert account(waiting)["dropped"] == {"internal": 2}


def test_what_is_given_back_is_first_in_line_again_in_its_old_order_with_its_bytes():
    waiting = box(10, 20, 30, 40, batch_count=3, max_bytes=100)
    take(waiting)
    waiting.give_up([2])
    waiting.settle([1])
    waiting.give_up([0])
    assert account(waiting)["queued"] == 3
    assert waiting._end_batch()
    assert waiting.room() == 100 - 10 - 30 - 40
    assert take(waiting) == [0, 2, 3]


def test_at_the_end_nothing_is_given_back():
    waiting = box(1, 1)
    take(waiting)
    waiting._ending = True
    waiting.give_up([0, 1])
    assert not waiting._end_batch()
    assert account(waiting)["dropped"] == {"shutdown": 2}


def test_what_was_given_back_just_before_the_end_does_not_wait_after_it():
    waiting = box(1, 1)
    take(waiting)
    waiting.give_up([0, 1])
    waiting._ending = True
    assert waiting._discard() == 2
    assert not waiting._end_batch()
    assert account(waiting)["dropped"] == {"shutdown": 2}


def test_what_is_in_hand_when_the_time_is_up_may_yet_arrive():
    waiting = box(1, 1, 1, batch_count=2)
    take(waiting)
    assert waiting._discard() == 2
    assert account(waiting)["dropped"] == {"shutdown": 1}
    waiting.settle([0, 1])
    assert account(waiting)["delivered"] == 2


def test_but_where_it_can_be_kept_it_is_kept_once_and_in_order():
    kept = []
    waiting = box(1, 1, 1, 1, batch_count=3, keep=lambda items: kept.extend(items) or items)
    take(waiting)
    waiting.settle([0])
    waiting._ending = True
    assert waiting._discard() == 0
    waiting.give_up([1, 2])  # by the thread that was stuck
    waiting._end_batch()
    assert kept == [1, 2, 3]
    assert account(waiting)["spooled"] == 3
    assert account(waiting)["delivered"] == 1


def test_it_is_crowded_from_three_quarters_until_half_is_free():
    waiting = box(*[1] * 7, max_count=10, batch_count=1)
    assert not waiting.crowded()
    waiting.put(7, 1)
    assert waiting.crowded()
    for crowded in (True, True, True, False):
        waiting.settle(take(waiting))
        waiting._end_batch()
        assert waiting.crowded() is crowded
    waiting = box(80, max_bytes=100)
    assert waiting.crowded()


def test_to_keep_items_holds_up_nobody_and_is_not_tried_again_once_it_failed():
    looked = []
    kept = []

    def keep(items):
        look = threading.Thread(target=lambda: looked.append(account(waiting)["queued"]), daemon=True)
        look.start()
        look.join(10)  # which it would wait for in vain if the lock were held
        kept.append(items)
        return items[:1] if len(kept) == 1 else []

    waiting = box(*[1] * 9, batch_count=3, keep=keep)
    waiting._ending = True
    assert waiting._discard() == 0
    assert kept == [[0, 1, 2], [3, 4, 5]]
    assert looked == [9, 6]
    assert (account(waiting)["spooled"], account(waiting)["dropped"]) == (1, {"shutdown": 8})


def test_a_signal_handler_may_take_the_rest_in_the_middle_of_a_batch():
    class Thief(collections.deque):
        def popleft(self):
            item = super().popleft()
            self.clear()
            return item

    waiting = box(1, 1, 1)
    waiting._items = Thief(waiting._items)
    assert take(waiting) == [0]
