"""What the name of a host tells about the way to it: whether it ends on this machine, or in a private network."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from urllib.parse import urlsplit

from .. import config, logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_PRIVATE_NAMES = (".local", ".internal", ".localhost")  # RFC 6762, ICANN SAC113, RFC 6761
_warned: set[str] = set()  # the addresses of platforms, of which a program knows a few


def warn_of_plain_text(base_url: str) -> None:
    """Log, once for each address, that ``http://`` to a public host shows the token to everyone on the way."""
    parts = urlsplit(base_url)
    if parts.scheme != "http" or base_url in _warned or is_private(parts.hostname or ""):
        return
    _warned.add(base_url)
    logger.say(
        logging.WARNING,
        "api_base_url (%s) is %s: the token and all that is sent travel as plain text; use https://",
        config.ENV_API_BASE_URL,
        base_url,
    )


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine."""
    name, ip = _read(host)
    return ip.is_loopback if ip is not None else name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether ``host`` is this machine, or in a private network; so is a name without a dot (Docker, Kubernetes)."""
    name, ip = _read(host)
    return ip.is_private if ip is not None else "." not in name or name.endswith(_PRIVATE_NAMES)


def as_ip(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` is; None when it is a name."""
    return _read(host)[1]


def _read(host: str) -> tuple[str, IPv4Address | IPv6Address | None]:
    name = host.lower().strip("[]").partition("%")[0].rstrip(".")  # % begins the zone of a link-local address
    try:
        return name, ip_address(name)
    except ValueError:
        return name, None
