"""How deep the program recurses, where that matters: before CPython 3.10, where tracing it could end the process."""

from __future__ import annotations

import sys

ABORTS: bool = sys.version_info < (3, 10)
HEADROOM_FRAMES = 200  # below the recursion limit, what recording a call may need on its way


def near_limit() -> bool:
    """Whether the program recurses so deeply that recording could end the process.

    Before CPython 3.10 that is what becomes of code which survives a RecursionError and then calls 50 frames further:
    "Cannot recover from stack overflow".
    """
    limit = sys.getrecursionlimit()
    try:
        sys._getframe(max(limit - HEADROOM_FRAMES, limit // 2))
        return True
    except ValueError:  # the usual case: there are not so many frames
        return False
