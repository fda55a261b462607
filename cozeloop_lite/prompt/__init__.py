"""Prompts: fetched, kept, formatted, executed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..client import Client as PromptClient

__all__ = ["PromptClient"]


def __getattr__(name: str) -> object:
    if name == "PromptClient":  # the official package has this interface here; loaded when it is asked for
        from ..client import Client

        return Client
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
