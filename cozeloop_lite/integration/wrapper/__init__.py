"""Tracing the clients of the ``openai`` library without touching the code that calls them.

    client = openai_wrapper(openai.OpenAI())

All that these clients ask a model goes through their method ``post``, whichever way the program took to it:
``create``, ``parse``, ``stream``, the raw and streaming responses of each. So that one method is what is replaced, on
the one client; methods, types and streams stay those of the library, and so do results and exceptions.
"""

from __future__ import annotations

import functools

from ... import logger
from ...trace import values
from .call import ModelCall, asynchronous, synchronous

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    from ...client import Client

    T = TypeVar("T")

__all__ = ["openai_wrapper"]

DEFAULT_NAME = "ChatOpenAI"


def openai_wrapper(client: T, *, chat_name: str = DEFAULT_NAME, loop_client: Client | None = None) -> T:
    """Make each model call of an OpenAI client a span; returns the client. Never raises.

    Recorded are chat completions and responses, with their messages, tools, answers, settings and token counts, the
    time to the first token of a stream, and errors. A stream ends its span when it ends, is closed or is dropped; left
    before its end, it has the tag ``incomplete``. Token counts of a streamed chat completion come only if the program
    asks for them: ``stream_options={"include_usage": True}``. Copies made with ``with_options`` are traced as well.

    Args:
        client: an ``OpenAI``, ``AsyncOpenAI``, ``AzureOpenAI`` or ``AsyncAzureOpenAI`` of openai 1.x or later. Anything
            else is returned as it is, with a warning in the log. Wrapping a client twice traces it once.
        chat_name: of the spans; default ``"ChatOpenAI"``, for Azure ``"AzureChatOpenAI"``.
        loop_client: the client that sends the spans; default the default client.
    """
    try:
        _trace(client, chat_name, loop_client)
    except Exception as problem:  # noqa: BLE001 - no openai, or one that is built in another way
        logger.warn("openai_wrapper() traces nothing of %s: %s", values.type_name(client), values.describe(problem))
    return client


def _trace(client: Any, chat_name: str, loop_client: Client | None) -> None:
    import importlib

    openai = importlib.import_module("openai")
    if not isinstance(client, (openai.OpenAI, openai.AsyncOpenAI)):
        logger.warn("openai_wrapper() takes an OpenAI client, not %s, and traces nothing", values.type_name(client))
        return
    bare = client.post
    if hasattr(bare, _MARK):
        return
    azure = isinstance(client, (openai.AzureOpenAI, openai.AsyncAzureOpenAI))
    name = "AzureChatOpenAI" if azure and chat_name == DEFAULT_NAME else chat_name
    call = ModelCall(bare, name, "azure" if azure else "openai", loop_client)
    post = (asynchronous if isinstance(client, openai.AsyncOpenAI) else synchronous)(call)
    setattr(post, _MARK, True)

    def copying(copy: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(copy)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return openai_wrapper(copy(*args, **kwargs), chat_name=chat_name, loop_client=loop_client)

        return wrapper

    client.copy, client.with_options = copying(client.copy), copying(client.with_options)
    client.post = post
    _hand_out(client, post)


_MARK = "_cozeloop_lite"


def _hand_out(owner: Any, post: Any) -> None:
    """The parts of a client that exist already (``client.chat``) took the bare method with them when they were made."""
    for part in list(vars(owner).values()):
        if hasattr(part, "_post"):
            part._post = post
            _hand_out(part, post)
