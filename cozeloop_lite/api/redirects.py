"""Where a redirected request goes, and what it still says there. The token never leaves the host it is for."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from urllib.parse import SplitResult

MAX_REDIRECTS = 3
STATUSES = frozenset([301, 302, 303, 307, 308])

_FOR_ANYONE = ("accept", "user-agent")  # all other headers may tell a stranger what is none of its business
_PORTS = {"http": 80, "https": 443}


def followed(url: str, location: str) -> str | None:
    """The address that ``location``, an answer from ``url``, sends to; None when it is no place to go to."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        _port(there)
    except ValueError:
        return None
    if there.scheme not in _PORTS or not there.hostname or "@" in there.netloc:
        return None
    if here.scheme == "https" and there.scheme != "https":
        return None
    target = there.geturl()
    return target if all(32 < ord(char) < 127 for char in target) else None


def same_place(url: str, target: str) -> bool:
    """Whether both are the same server, so that what the one may know is known to the other.

    ``https`` in place of ``http`` counts as the same, each on its usual port.
    """
    here, there = urlsplit(url), urlsplit(target)
    if here.hostname != there.hostname:
        return False
    ways = (here.scheme, _port(here)), (there.scheme, _port(there))
    return ways[0] == ways[1] or ways == (("http", 80), ("https", 443))


def for_a_stranger(headers: dict[str, str]) -> dict[str, str]:
    """The headers that may be sent to whatever host."""
    return {name: value for name, value in headers.items() if name.lower() in _FOR_ANYONE}


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)
