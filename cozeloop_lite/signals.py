"""Signals that end a process: what was finished is sent before. Only where a program asks for it.

A signal whose handler is the default one kills the process without its exit hooks, and its last spans with it.
A library that installs handlers unasked would change its host, so this is an offer
(:meth:`cozeloop_lite.Client.install_signal_flush`). Whatever handler was there runs afterwards, and the process ends as
it would have: by the signal, with its exit status.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref

from . import config, errors, logger, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from .client import Client

# client -> how many seconds its flush may take
_clients: weakref.WeakKeyDictionary[Client, float] = weakref.WeakKeyDictionary()
_previous: dict[int, Any] = {}  # signal -> the handler that was there before ours


def install(client: Client, timeout: float, signals: Iterable[int] | None) -> None:
    """Flush ``client`` when one of ``signals`` arrives; see :meth:`cozeloop_lite.Client.install_signal_flush`."""
    if threading.current_thread() is not threading.main_thread():
        raise errors.InvalidParamError("install_signal_flush() must be called in the main thread: Python wants it so")
    _clients[client] = config.patience("timeout", timeout)
    for number in (signal.SIGTERM, signal.SIGINT) if signals is None else signals:
        try:
            before = signal.getsignal(number)
            if before is _handle:
                continue
            if before is None:
                logger.warn("signal %d has a handler that Python did not install: it is left alone", number)
                continue
            signal.signal(number, _handle)
        except (ValueError, TypeError, OSError) as problem:
            text = "install_signal_flush(): %r cannot be handled: %s"
            raise errors.InvalidParamError(text % (number, problem)) from None
        _previous[int(number)] = before


def _handle(number: int, frame: Any) -> Any:
    before = _previous.get(number, signal.SIG_DFL)
    if before is signal.default_int_handler:  # raises KeyboardInterrupt, after which the exit hooks run
        return before(number, frame)
    if callable(before):
        _flush_all()
        return before(number, frame)
    if before is signal.SIG_DFL and os.getpid() == 1:  # of a container: the kernel lets no signal end it by default
        _flush_all()
    elif before is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)  # whoever sends it twice has waited long enough
        if not process.leaving():  # else the process ends anyway, and soon
            process.leave()
            os.kill(os.getpid(), number)
    return None  # where the signal was ignored, it still is


def _flush_all() -> None:
    """All at once: two platforms that hang hold the signal up no longer than one."""
    waiting, began = list(_clients.items()), time.monotonic()
    for client, _ in waiting[1:]:
        client.flush(0)
    for client, timeout in waiting:
        client.flush(began + timeout - time.monotonic())
