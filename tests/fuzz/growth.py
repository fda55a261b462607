"""Whether the time of a reader grows faster than its input: inputs are pumped up, and the time is taken at each length.

A piece of an input is repeated until the whole is some kilobytes long, then twice as long, and so on. Time that is
quadratic grows by four with each step; linear time by two, and by less where it is bounded.
"""

from __future__ import annotations

import gc
import random
from typing import NamedTuple

from .running import cpu_seconds

FIRST_BYTES = 128
LAST_BYTES = 128 * 1024
FAST_SECONDS = 0.0004  # what takes less says nothing
ENOUGH_SECONDS = 0.05  # what takes more is not made longer
SURE_SECONDS = 0.5  # the same when it is to be known for sure
STEPS = 3  # doublings that are looked at together
SUSPICIOUS = 2.6  # times the time for twice the length, in each of these steps: 2 is linear, 4 quadratic
PIECE_BYTES = 40


class Growth(NamedTuple):
    """What was seen of one input that was pumped up: its lengths and times."""

    front: bytes
    piece: bytes
    end: bytes
    times: list[tuple[int, float]]

    @property
    def factor(self):
        """How much the time grew at least with each of some doublings in a row; 0 when it was too short to tell."""
        seconds = [taken for _, taken in self.times]
        ratios = [later / sooner for sooner, later in zip(seconds, seconds[1:]) if later >= FAST_SECONDS]
        if ratios and seconds[-1] > ENOUGH_SECONDS:
            steps = min(STEPS, len(ratios))  # it may be very steep
        else:
            steps = STEPS
        return max((min(ratios[end - steps : end]) for end in range(steps, len(ratios) + 1)), default=0.0)


def pumped(data, chance):
    """``data`` in three: the piece in the middle is what is repeated."""
    start = chance.randrange(len(data) + 1)
    stop = min(len(data), start + 1 + int(chance.random() ** 2 * PIECE_BYTES))
    return data[:start], data[start:stop], data[stop:]


def grown(take_time, front, piece, end, enough=ENOUGH_SECONDS):
    """Take the time of longer and longer inputs: ``take_time(data)`` is in seconds."""
    times = []
    size = FIRST_BYTES
    while size <= LAST_BYTES:
        data = front + piece * (size // len(piece)) + end
        times.append((len(data), take_time(data)))
        if times[-1][1] > enough:
            break
        size *= 2
    return Growth(front, piece, end, times)


def suspicious(reader, data, pumps, seed=0):
    """Those ways to pump ``data`` up, of ``pumps``, by which the time grows too fast, also when it is taken again."""
    chance = random.Random(seed)
    found = []
    gc.disable()  # it comes when it likes
    try:
        for number in range(pumps):
            front, piece, end = pumped(data, chance) if number else (b"", data, b"")
            if not piece:
                continue
            growth = grown(lambda longer: cpu_seconds(reader.fuzz_one, longer, 1), front, piece, end)
            if growth.factor > SUSPICIOUS:
                growth = grown(lambda longer: cpu_seconds(reader.fuzz_one, longer, 3), front, piece, end, SURE_SECONDS)
                if growth.factor > SUSPICIOUS:
                    found.append(growth)
    finally:
        gc.enable()
    return found
