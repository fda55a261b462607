"""One case for one client, in a process of its own: ``python -m benchmarks.worker LIBRARY CASE OPTIONS``.

Prints one JSON object: the figures, and how many ``spans`` and ``files`` the sink must have got.
"""

from __future__ import annotations

import json
import os
import sys

from .cases import CASES
from .subjects import SUBJECTS


class Setup:
    """What a case is given: the client to measure, the addresses of the sink, and how much to do."""

    def __init__(self, library, urls, scale=1.0):
        self.library = library
        self._urls = urls
        self._scale = scale

    def subject(self, server="sink", **options):
        """A client that reports to ``sink``, ``silent`` or ``down``."""
        return SUBJECTS[self.library](self.library, self._urls[server], **options)

    def count(self, full):
        """How often to do what a full run does ``full`` times."""
        return max(1, int(full * self._scale))


def main(library, case, options):
    print(json.dumps(CASES[case](Setup(library, **json.loads(options)))), flush=True)
    os._exit(0)  # what waits for a server that never answers would wait here, too


if __name__ == "__main__":
    main(*sys.argv[1:])
