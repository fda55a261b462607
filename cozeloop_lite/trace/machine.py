"""The clocks, locks and threads that the sending side uses, in one place: so that tests can put others there.

With simulated ones, hours of outages, freezes and exits pass in milliseconds, and the same way each time.
"""

from __future__ import annotations

import _thread
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Machine:
    """The real ones: names of the modules ``time`` and ``threading``, which mean what they mean there.

    What makes or names threads is looked up at each call: gevent puts its own there, maybe long after the import (in a
    worker of gunicorn that was preloaded). A lock of threads would hold up all of its greenlets.
    """

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    Thread = threading.Thread

    @staticmethod
    def Lock() -> Any:
        return threading.Lock()

    @staticmethod
    def RLock() -> Any:
        return threading.RLock()

    @staticmethod
    def Condition(lock: Any) -> threading.Condition:
        return threading.Condition(lock)

    @staticmethod
    def start_new_thread(function: Callable[[], None]) -> None:
        """Run ``function`` on a thread that nobody knows of, and do not wait for its first turn.

        Raises:
            RuntimeError: no thread can be started, or (from CPython 3.12 on, in some sub-interpreters) none that is a
                daemon.
        """
        allowed = getattr(_thread, "daemon_threads_allowed", None)
        if allowed is not None and not allowed():
            raise RuntimeError("no daemon threads here")
        _thread.start_new_thread(function, ())

    @staticmethod
    def get_ident() -> int:
        return _thread.get_ident()

    current_thread = staticmethod(threading.current_thread)
    main_thread = staticmethod(threading.main_thread)


REAL = Machine()
