"""The clocks, locks and threads that the sending side uses, in one place: so that tests can put others there.

With simulated ones, hours of outages, freezes and exits pass in milliseconds, and the same way each time.
"""

from __future__ import annotations

import threading
import time


class Machine:
    """The real ones: names of the modules ``time`` and ``threading``, which mean what they mean there."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    Lock = staticmethod(threading.Lock)
    Condition = staticmethod(threading.Condition)
    Thread = threading.Thread

    get_ident = staticmethod(threading.get_ident)
    current_thread = staticmethod(threading.current_thread)
    main_thread = staticmethod(threading.main_thread)


REAL = Machine()
