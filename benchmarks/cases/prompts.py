"""Prompts: getting one that is kept, and formatting it: h."""

from __future__ import annotations

import time

from ..work import PROMPTS, VARIABLES, filled_in
from .clock import burst_ns, median

GETS = 200
REPEATED = 15


def prompts(setup):
    """Three messages, five variables. A formatted prompt is a fresh copy each time: the official client writes to it.

    "First" is the first time in a process, with what is loaded for it.
    """
    client, bursts = setup.subject().client, setup.count(40)
    client.get_prompt("normal")
    gets = [burst_ns(lambda: client.get_prompt("normal"), GETS) for _ in range(bursts)]
    figures = {"get.ns": median(gets)}
    for kind in PROMPTS:
        client.get_prompt(kind)
        copies = [client.get_prompt(kind) for _ in range(REPEATED * bursts)]
        begin = time.perf_counter_ns()
        first = client.prompt_format(client.get_prompt(kind), VARIABLES)
        figures["%s.first_ns" % kind] = time.perf_counter_ns() - begin
        repeated = [_format_ns(client, copies[number::bursts]) for number in range(bursts)]
        figures["%s.ns" % kind] = median(repeated)
        for messages in (first, client.prompt_format(client.get_prompt(kind), VARIABLES)):
            if [message.content for message in messages] != filled_in():
                raise SystemExit("%s formats %s prompts wrongly" % (setup.library, kind))
    return figures


def _format_ns(client, copies):
    waiting = iter(copies)
    return burst_ns(lambda: client.prompt_format(next(waiting), VARIABLES), len(copies))
