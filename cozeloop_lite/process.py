"""What happens to a process: it exits, and it forks. Here, and only here, the package hears of either.

Who has something to do then (a queue to drain, a connection pool to leave to the parent) registers an object, which
is held weakly. The exit hook is installed when the package is first imported, so that it runs after the exit hooks of
the program, whose last spans it can still send.
"""

from __future__ import annotations

import atexit
import os
import weakref

from . import logger  # imported first: its exit hook (logging.shutdown) must run after ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_at_exit: weakref.WeakSet[Any] = weakref.WeakSet()
_after_fork: weakref.WeakSet[Any] = weakref.WeakSet()
_pid = os.getpid()


def on_exit(obj: Any) -> None:
    """Call ``obj._on_exit()`` when the interpreter exits."""
    _at_exit.add(obj)


def on_fork(obj: Any) -> None:
    """Call ``obj._on_fork()`` in a child process before it goes on."""
    _after_fork.add(obj)


def check_fork() -> None:
    """Notice a fork that ran none of Python's hooks (uWSGI forks so). Costs one system call."""
    if os.getpid() != _pid:
        _forked()


def _forked() -> None:
    global _pid
    _pid = os.getpid()
    _call_each(_after_fork, "_on_fork")


def _exit() -> None:
    _call_each(_at_exit, "_on_exit")


def _call_each(objects: weakref.WeakSet[Any], method: str) -> None:
    for obj in list(objects):
        try:
            getattr(obj, method)()
        except Exception as problem:  # noqa: BLE001 - one failing object must not keep the others from their turn
            logger.error("%s failed: %r", method, problem)


atexit.register(_exit)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)
