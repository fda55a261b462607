"""A web application for ``gunicorn --preload``: the client is made, and used, before the workers are forked."""

from __future__ import annotations

import itertools
import os

from . import endings
from .clients import LIBRARIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

endings.client = LIBRARIES[os.environ["CHAOS_LIBRARY"]](os.environ["CHAOS_URL"])
endings.trace_few()
_numbers = itertools.count(endings.FEW)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    endings.trace(next(_numbers))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
