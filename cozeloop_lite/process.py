"""What happens to a process: it exits, and it forks. Here, and only here, the package hears of either.

Who has something to do then (a queue to drain, a connection pool to leave to the parent) registers an object, which
is held weakly. The exit hook is installed when the package is first imported, so that it runs after the exit hooks of
the program, whose last spans it can still send.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref

from . import logger  # imported first: its exit hook (logging.shutdown) must run after ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

FORK_WAIT_SECONDS = 10.0  # an import takes a tenth of a second, unless the machine is very busy
FORK_SECONDS = 1.0  # a fork takes less, be the process large

_at_exit: weakref.WeakSet[Any] = weakref.WeakSet()
_after_fork: weakref.WeakSet[Any] = weakref.WeakSet()
_pid = os.getpid()
_exiting = False
_finalizer: Any = None
_celery: Any = None  # the signal of Celery that is listened to
# Held while something is imported late, on a thread of ours or of the program's; a fork on another one waits for it.
# Python's own lock on a module that is being imported would stay locked in the child for ever, and so would whoever
# imports the module there.
_loading = threading.RLock()
_forking: set[int] = set()  # the threads whose fork waits for it, or has it
# Up to CPython 3.9.5 a thread ends by pthread_exit (bpo-44434), and for the first one that does, glibc loads libgcc_s
# while other threads run on. A child that is forked at that moment has half of it, and aborts when a thread of it ends.
_ENDING_LOADS = sys.platform == "linux" and sys.version_info < (3, 9, 6)


# The methods that are called at exit, each of all objects before the next one: what is open is finished, what waits is
# hurried (all at once, so that exit takes as long as the slowest), what was sent is waited for.
_STEPS = ("_on_exit_begins", "_on_exit_hurry", "_on_exit")


def on_exit(obj: Any) -> None:
    """Call the methods ``_on_exit_begins``, ``_on_exit_hurry`` and ``_on_exit`` of ``obj``, which has some, at exit."""
    _at_exit.add(obj)
    if _exiting:  # made by an exit hook of the program that runs after ours
        _leave([obj])


def on_fork(obj: Any) -> None:
    """Call ``obj._on_fork()`` in a child process before it goes on."""
    _after_fork.add(obj)


def loading() -> Any:
    """``with process.loading():`` around an import that a thread may be the first to do while another one forks."""
    check_fork()  # else, where none of Python's hooks ran, a lock of the parent's may be waited for: for ever
    return _loading


def hold_off_forks() -> Any:
    """Enter ``loading()`` unless another thread imports something; returns the lock that is to be released, or None.

    For an import that may be a part of another one: to wait for the other thread, which may wait for a module that this
    one is in the middle of, could take for ever. A fork that is under way is waited for, a second at most.
    """
    lock = _loading  # in a child of whoever forks meanwhile on this thread, there is another one
    return lock if lock.acquire(False) or (_forking and lock.acquire(timeout=FORK_SECONDS)) else None


def ending() -> None:
    """To be called on a thread of ours that may be the first of the process to end."""
    if _ENDING_LOADS:
        with loading():
            try:
                import _ctypes  # ctypes itself takes longer

                _ctypes.dlopen("libgcc_s.so.1", 0)
            except Exception:  # noqa: BLE001, S110 - no _ctypes here, or no such file (with musl), or neither is allowed
                pass


def check_fork() -> None:
    """Notice a fork that ran none of Python's hooks (uWSGI forks so). Costs one system call."""
    if os.getpid() != _pid:
        _forked()


def at_work() -> None:
    """To be called when there is something to do at exit.

    A forked child of ``multiprocessing`` forgets the ``atexit`` hooks it has from its parent, or (before CPython 3.13)
    runs none at all: it has hooks of its own. A worker of Celery ends by ``os._exit``, and tells by a signal.
    """
    global _finalizer, _celery
    signal = getattr(sys.modules.get("celery.signals"), "worker_process_shutdown", None)
    if signal is not None and signal is not _celery:
        _celery = signal
        _listen(signal)
    if "gevent.monkey" in sys.modules:
        try:  # gevent finds addresses with it, and from CPython 3.9 on it cannot be loaded when the program ends
            import concurrent.futures.thread  # noqa: F401
        except RuntimeError:  # which it does already
            pass
    util = sys.modules.get("multiprocessing.util")
    if util is None or _finalizer is not None:
        return
    process = sys.modules["multiprocessing.process"].current_process()
    if getattr(process, "_parent_pid", None) is not None:  # not the main process, where atexit does
        _finalizer = util.Finalize(None, leave, exitpriority=-100)  # after those of the program


def _listen(signal: Any) -> None:
    try:
        signal.connect(_worker_ends, weak=False)
    except Exception as problem:  # noqa: BLE001 - of another module of that name
        logger.warn("what a worker of Celery has not sent when it ends is lost: %r", problem)


def _worker_ends(**about: Any) -> None:
    leave()


def _before_fork() -> None:
    _forking.add(threading.get_ident())  # first this: whoever finds the lock taken knows by whom
    # Not for ever: better a child that may hang in an import than a program that cannot fork.
    _loading.acquire(timeout=FORK_WAIT_SECONDS)


def _after_fork_in_parent() -> None:
    _forking.discard(threading.get_ident())
    try:
        _loading.release()
    except RuntimeError:  # it was not to be had in time
        pass


def _forked() -> None:
    global _pid, _exiting, _finalizer, _loading
    _pid = os.getpid()
    _forking.clear()
    _exiting = False
    _finalizer = None
    _loading = threading.RLock()
    _call_each(_after_fork, "_on_fork")


def leave() -> None:
    """What is done at exit, for a process that is about to end without its exit hooks."""
    global _exiting
    check_fork()
    if _exiting:
        return
    _exiting = True
    try:
        _leave(_at_exit)
    except (KeyboardInterrupt, SystemExit):  # whoever sits at the keyboard, or sends a signal, has waited long enough
        pass


def leaving() -> bool:
    """Whether that is under way, or was done."""
    return _exiting


def _leave(objects: Iterable[Any]) -> None:
    for step in _STEPS:
        _call_each(objects, step)


def _call_each(objects: Iterable[Any], method: str) -> None:
    for obj in _listed(objects):
        try:
            getattr(obj, method, _nothing)()
        except Exception as problem:  # noqa: BLE001 - one failing object must not keep the others from their turn
            logger.error("%s failed: %r", method, problem)


def _listed(objects: Iterable[Any]) -> list[Any]:
    while True:
        try:
            return list(objects)
        except RuntimeError:  # another thread has added one meanwhile
            pass


def _nothing() -> None:
    """What an object without one of the methods does."""


atexit.register(leave)
_main = threading.main_thread()
if threading.get_ident() == _main.ident and not _main.is_alive():
    _exiting = True  # it is one of the program's exit hooks that imports us: one that is installed now is not called
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_forked)
