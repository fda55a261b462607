"""An ``httpx.Client`` of the program's own in the place of a pool, as the official package takes one.

It decides on proxies, certificates, and how long each wait on the network may take; the deadline of a request is looked
at between its waits. Nothing of httpx is imported: whoever has a client has it.
"""

from __future__ import annotations

import sys
from typing import Any, Iterator

from urllib3.exceptions import ProtocolError, TimeoutError


class Pool:
    """What is used of a ``urllib3.PoolManager``, by an ``httpx.Client``."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def urlopen(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], timeout: Any, **options: Any
    ) -> Any:
        """The response, its body not yet read. Nothing compressed is asked for, and no redirect followed."""
        plain = {**headers, "Accept-Encoding": "identity"}
        request = self._client.build_request(method, url, content=body, headers=plain, timeout=timeout.total)
        return _Response(_named(lambda: self._client.send(request, stream=True, follow_redirects=False)))


class _Response:
    """What is used of a response of urllib3."""

    _pool = None

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.close = response.close
        self._fp = _Raw(response)

    def release_conn(self) -> None:
        """Nothing to do: httpx takes the connection back when the body ends."""


class _Raw:
    """What is used of a response of ``http.client``: its body, as it arrives. httpx says when it breaks off."""

    fp = None  # no socket to set timeouts on
    chunk_left = None
    length = None

    def __init__(self, response: Any) -> None:
        self.chunked = "transfer-encoding" in response.headers or "content-length" in response.headers
        self._response = response
        self._pieces: Iterator[bytes] = response.iter_raw()

    def isclosed(self) -> bool:
        return bool(self._response.is_closed)

    def read1(self, limit: int) -> bytes:
        """The next piece, of whatever length; ``b""`` at the end."""
        return _named(lambda: next((piece for piece in self._pieces if piece), b""))  # type: ignore[no-any-return]

    def close(self) -> None:
        self._response.close()


def _named(action: Any) -> Any:
    """What ``action`` returns; the failures of httpx by the names that those of urllib3 have."""
    httpx: Any = sys.modules["httpx"]
    try:
        return action()
    except httpx.TimeoutException as problem:
        raise TimeoutError(str(problem)) from problem
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as problem:
        raise ProtocolError(str(problem)) from problem
