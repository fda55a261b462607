"""``import cozeloop_lite.as_cozeloop``: from there on ``import cozeloop`` is this library, in all of the program.

For programs, and libraries they use, that are written for the official package and are not to be changed. Importing a
module under a second name would run it twice and give two default clients; here ``cozeloop.decorator`` and all the
others are the very modules of this library.

``observe`` then names its spans, and records arguments, as the official package does (``decorator/official.py``): of
functions that are decorated from here on.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder

from .decorator import official

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

NAME = "cozeloop"
HOME = __name__.rpartition(".")[0]  # of this library, which may be vendored


class _Alias(MetaPathFinder, Loader):
    """Finds what is called ``cozeloop`` or ``cozeloop.…``, first of all finders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != NAME and not name.startswith(NAME + "."):
            return None
        home = HOME + name[len(NAME) :]
        try:
            found = importlib.util.find_spec(home)
        except ModuleNotFoundError:
            found = None
        return importlib.util.spec_from_loader(name, self) if found is not None else None

    def exec_module(self, module: ModuleType) -> None:
        # A module may replace itself while it is loaded: whoever imports it gets what is in sys.modules then.
        name = module.__name__
        sys.modules[name] = importlib.import_module(HOME + name[len(NAME) :])


def _install() -> None:
    other = sys.modules.get(NAME)
    if other is None:
        sys.meta_path.insert(0, _Alias())
        importlib.import_module(NAME)
    elif other is not sys.modules[HOME]:
        raise ImportError(
            "the official package is loaded already: import %s before anything that imports %s" % (__name__, NAME)
        )


if HOME != NAME:  # a copy of the folder under that name needs nothing of this
    _install()
    official.wanted = True
