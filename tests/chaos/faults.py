"""What a server does to a request, by name. Each is a coroutine over one connection, run by the sink.

A span counts as delivered from the moment the sink takes it: just before the last byte of an answer that says so, or
(``answer lost``) before it cuts the connection. What is not answered was not taken.
"""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable

from . import wire

PAGE_BYTES = 20 * 1024 * 1024
FEW_SPANS = 10
SLOW_SECONDS = 2.0  # a second less than the timeout of cozeloop and cozeloop_lite
RETRY_AFTER = 3  # seconds
PAGE = b"<html><body>Please log in to the network of this hotel.</body></html>"
ABORTED_HANDSHAKE = b"\x15\x03\x03\x00\x02\x02\x28"  # TLS alert, fatal, handshake_failure


async def well(line: Any, request: Any) -> None:
    kind, body = wire.success(request.path)
    line.take(request)
    await line.answer(200, body, {"Content-Type": kind})


async def slow(line: Any, request: Any) -> None:
    await asyncio.sleep(SLOW_SECONDS)
    await well(line, request)


async def silent(line: Any, request: Any) -> None:
    await line.until_gone()


async def dripping(line: Any, request: Any) -> None:
    """A body of which a byte a second arrives. OTLP's answer has none: blanks are as good as any."""
    kind, body = wire.success(request.path)
    body = body or b" " * 19
    await line.answer(200, body, {"Content-Type": kind}, sent=0)
    for index in range(len(body) - 1):
        await line.write(body[index : index + 1])
        await asyncio.sleep(1)
    line.take(request)
    await line.write(body[-1:])


async def resetting(line: Any, request: Any) -> None:
    line.reset()


async def answer_lost(line: Any, request: Any) -> None:
    line.take(request)
    line.reset()


async def garbage(line: Any, request: Any) -> None:
    await line.answer(200, PAGE, {"Content-Type": "text/html"})


async def redirecting(line: Any, request: Any) -> None:
    await line.answer(307, b"", {"Location": request.path})


async def too_large(line: Any, request: Any) -> None:
    """As a gateway with a narrow limit and a long page to say so."""
    if len(request.spans) <= FEW_SPANS:
        await well(line, request)
    else:
        await line.answer(413, b"x" * PAGE_BYTES, {"Content-Type": "text/html"})


async def no_tls(line: Any, request: Any) -> None:
    """The handshake is aborted; see :attr:`BEFORE_REQUEST`."""
    await line.write(ABORTED_HANDSHAKE)
    line.close()


def status(code: int, **headers: str) -> Callable[[Any, Any], Awaitable[None]]:
    async def answer(line: Any, request: Any) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await line.answer(code, b"{}", {"Content-Type": "application/json", **named})

    return answer


REFUSED = "refused"  # nobody listens: the sink sees to it itself
FAULTS = {
    "well": well,
    "slow": slow,
    "silent": silent,
    "dripping": dripping,
    "reset": resetting,
    "answer lost": answer_lost,
    "garbage": garbage,
    "redirect": redirecting,
    "413": too_large,
    "429": status(429),
    "429 later": status(429, Retry_After=str(RETRY_AFTER)),
    "503": status(503),
    "no TLS": no_tls,
}
BEFORE_REQUEST = frozenset({"no TLS"})  # do not wait for one
