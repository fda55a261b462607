"""A batch was refused for some span in it, and the server does not say which: it is found in few requests.

The others are delivered on the way. Nothing is known here of spans and requests: ``send(batch)`` tries some of them and
returns a verdict with what is left of them, whose fate is only open when the verdict is ``BAD_SPAN``; ``refuse(batch)``
settles those that are to blame.
"""

from __future__ import annotations

from .verdicts import BAD_SPAN, GIVE_UP, TAKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Send = Callable[[list[Any]], tuple[int, list[Any]]]
    Refuse = Callable[[list[Any]], None]

PROBES = 8


def isolate(suspects: list[Any], send: Send, refuse: Refuse) -> None:
    """Find the span for which ``suspects`` was refused, in one request for each halving; deliver the others.

    When the first half is accepted the fault is in the second, which needs no request to be known; when the first half
    is refused the second is set aside, and all that was set aside goes in one request at the end. So one bad span of
    ``n`` costs ``log2(n) + 1`` requests, rounded up, which is the least that is possible: the last request must be one
    that is accepted, and of the answers to ``d`` requests only half end so. A span is lost only when it was refused
    alone, or when all the others were accepted without it.
    """
    aside: list[Any] = []
    verdicts = {BAD_SPAN}
    alone = len(suspects) == 1
    while len(suspects) > 1:
        middle = len(suspects) // 2
        rest = suspects[middle:]
        verdict, half = send(suspects[:middle])
        verdicts.add(verdict)
        alone = verdict == BAD_SPAN and len(half) == 1
        if verdict == BAD_SPAN:
            suspects, aside = half, rest + aside
        else:
            suspects = rest
    verdict = GIVE_UP
    if aside:
        verdict, aside = send(aside)
    if alone or (verdict == TAKEN and verdicts <= {TAKEN, BAD_SPAN}):
        refuse(suspects)
    else:
        _halve(suspects, send, refuse)
    if verdict == BAD_SPAN:
        _sort_out(aside, send, refuse, TAKEN in verdicts)


def _sort_out(batch: list[Any], send: Send, refuse: Refuse, accepted: bool) -> None:
    """``batch`` was refused, and so was a span besides: there are more bad ones, or it is not the spans.

    The latter is likely when nothing was ``accepted`` so far, and taken for certain when spans from all over ``batch``
    are refused alone.
    """
    if not accepted:
        # Golden-section steps: spread, and not in step with bad spans that come at regular intervals.
        chosen = {int(number * 0.618034 % 1 * len(batch)) for number in range(1, PROBES + 1)}
        verdicts = [_send_alone(batch[index], send, refuse) for index in chosen]
        batch = [span for index, span in enumerate(batch) if index not in chosen]
        if set(verdicts) == {BAD_SPAN}:
            refuse(batch)
            return
    if batch:
        _halve(batch, send, refuse)


def _send_alone(span: Any, send: Send, refuse: Refuse) -> int:
    verdict, refused = send([span])
    if verdict == BAD_SPAN:
        refuse(refused)
    return verdict


def _halve(batch: list[Any], send: Send, refuse: Refuse) -> None:
    """Deliver ``batch``, in which there may be many bad spans: what is refused is halved, and so on."""
    if len(batch) == 1:
        _send_alone(batch[0], send, refuse)
        return
    verdict, batch = send(batch)
    if verdict == BAD_SPAN:
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if half:
                _halve(half, send, refuse)
