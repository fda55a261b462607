"""What must hold for cozeloop_lite: where it does not, a sentence says so. The other libraries are only measured."""

from __future__ import annotations

import math

from .meter import HELD_NS
from .rows import EXIT_SECONDS, Row
from .runs import Result

HELD_MS = HELD_NS / 1e6
CHANCE = 3.0  # standard deviations
GROWTH_MIB = 1.0  # of memory, between the beginning and the end of a soak


def of_fault(row: Row, result: Result) -> list[str]:
    short = _ended(result, row.exit) + _balance(result, row.twice) + held(result)
    if result.counted and not row.loses:
        short.append("%d spans are lost (%s), and need not be" % (result.counted, _reasons(result)))
    return short


def of_ending(result: Result) -> list[str]:
    return _ended(result, EXIT_SECONDS) + _all_arrived(result)


def of_forks(result: Result) -> list[str]:
    short = _all_arrived(result)
    for what in ("hung", "failed", "stuck"):
        if result.more[what]:
            short.append("%d of %d children or threads: %s" % (result.more[what], result.more["forked"], what))
    return short


def of_soak(result: Result) -> list[str]:
    short = _ended(result, EXIT_SECONDS) + _all_arrived(result) + held(result)
    for what, (early, late) in result.more.items():
        if late > early + (GROWTH_MIB if what == "memory" else 0):
            short.append("%s: %g at the beginning, %g at the end" % (what, early, late))
    return short


def held(result: Result) -> list[str]:
    """Whether callers were held: a call slept too long, and longer than any control; or too many took too long."""
    calls, control = result.calls, result.control
    if not calls:
        return ["no measurement of the calls"]
    if calls["longest_sleep"] > max(HELD_MS, 2 * control["longest_sleep"]):
        text = "a caller slept for %.1f ms in %s (%d calls over 5 ms, of the control %d)"
        return [text % (calls["longest_sleep"], calls["sleeper"], calls["asleep"], control["asleep"])]
    if calls["over"] - control["over"] > CHANCE * math.sqrt(calls["over"] + control["over"] + 1):
        return ["%d calls took over 5 ms, of the control %d" % (calls["over"], control["over"])]
    return []


def _ended(result: Result, seconds: float) -> list[str]:
    if result.killed:
        return ["it did not end and was killed"]
    if result.exit is None:
        return ["it ended before its time, with %s: %s" % (result.code, result.said)]
    if result.exit > seconds:
        return ["exit took %.2f s, not %g" % (result.exit, seconds)]
    return []


def _balance(result: Result, twice: bool) -> list[str]:
    short = []
    missing = result.missing()
    if missing > 0:
        short.append("%d spans are lost and not counted" % missing)
    if missing < 0:
        short.append("%d spans arrived and are counted as lost" % -missing)
    if result.twice and not twice:
        short.append("%d spans arrived twice" % result.twice)
    if result.collisions:
        short.append("%d spans have ids of others" % result.collisions)
    if result.printed:
        short.append("%d bytes on standard output" % result.printed)
    return short


def _all_arrived(result: Result) -> list[str]:
    lost = result.made - result.delivered
    short = ["%d of %d spans did not arrive" % (lost, result.made)] if lost or not result.made else []
    return short + [text for text in _balance(result, False) if "lost" not in text]


def _reasons(result: Result) -> str:
    return ", ".join("%s: %d" % pair for pair in sorted(result.reasons.items()))
