"""How much the tests try whose inputs are made up: a part of it in everyday runs, all of it with ``THOROUGH=1``.

Either way they are drawn by the same rules, and are the same in each run. ``make test THOROUGH=1`` takes the long form.
"""

from __future__ import annotations

import os

THOROUGH = os.environ.get("THOROUGH") == "1"


def tries(usual, thorough):
    """How many inputs to make up."""
    return thorough if THOROUGH else usual
