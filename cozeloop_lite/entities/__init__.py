"""The objects people handle: prompts, messages, results, streams."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import prompt, stream
    from .prompt import Message, Prompt

__all__ = ["Message", "Prompt", "prompt", "stream"]


def __getattr__(name: str) -> object:
    """What ``import cozeloop`` has loaded in the official package, loaded when it is used."""
    if name not in __all__:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    module = importlib.import_module(".stream" if name == "stream" else ".prompt", __name__)
    return module if name in ("prompt", "stream") else getattr(module, name)
