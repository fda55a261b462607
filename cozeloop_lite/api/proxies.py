"""Which proxy a request goes through: ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``, as other programs read them.

Read for each request, the names in lower case first. Nothing on this machine is asked for through a proxy.
"""

from __future__ import annotations

import os
from base64 import b64encode
from ipaddress import ip_network
from urllib.parse import unquote, urlsplit

from .. import errors
from . import addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from urllib.parse import SplitResult


class Proxy:
    """A proxy, its user and password apart from its address, so that no message can show them.

    Attributes:
        variable: the environment variable that named it.
        url: the address.
        headers: what the proxy wants to be told: who asks.
        secrets: what must not be shown of that.
    """

    def __init__(self, variable: str, parts: SplitResult) -> None:
        self.variable = variable
        host = parts.hostname or ""
        self.url = "%s://%s" % (parts.scheme, "[%s]" % host if ":" in host else host)
        if parts.port is not None:
            self.url += ":%d" % parts.port
        self.headers: dict[str, str] = {}
        self.secrets: tuple[str, ...] = ()
        if parts.username is not None or parts.password is not None:
            password = unquote(parts.password or "")
            credentials = "%s:%s" % (unquote(parts.username or ""), password)
            written = b64encode(credentials.encode("utf-8", "surrogateescape")).decode("ascii")
            self.headers = {"Proxy-Authorization": "Basic " + written}
            self.secrets = tuple({written, password, parts.password or ""} - {""})

    def key(self) -> tuple[str, str]:
        """Equal for equal proxies."""
        return self.url, self.headers.get("Proxy-Authorization", "")


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for ``url``; None when there is none.

    Raises:
        InvalidParamError: the environment names what cannot be used as a proxy.
    """
    parts = urlsplit(url)
    variable, address = _named(parts.scheme)
    if not address:
        return None
    host = parts.hostname or ""
    if addresses.is_loopback(host) or _excepted(host, parts.port):
        return None
    return _parsed(variable, address)


def _named(scheme: str) -> tuple[str, str]:
    """A variable, and its value."""
    variable = scheme + "_proxy"
    if variable not in os.environ:
        # In a CGI script HTTP_PROXY is the header Proxy of whoever asks (httpoxy, CVE-2016-1000110).
        if scheme == "http" and "REQUEST_METHOD" in os.environ:
            return variable, ""
        variable = variable.upper()
    return variable, os.environ.get(variable, "").strip()


def _excepted(host: str, port: int | None) -> bool:
    """Whether ``NO_PROXY`` has ``host``: a name, with all names below it; host:port; an address; a network; ``*``."""
    listed = os.environ.get("no_proxy", os.environ.get("NO_PROXY", "")).lower()
    ip = addresses.as_ip(host)
    for entry in listed.replace(",", " ").split():
        name = entry[1:] if entry.startswith("*.") else entry
        name = name.lstrip(".")
        if name == "*" or host == name.strip("[]") or host.endswith("." + name) or "%s:%s" % (host, port) == name:
            return True
        if ip is not None and "/" in name:
            try:
                if ip in ip_network(name, strict=False):
                    return True
            except ValueError:  # it is no network
                continue
    return False


def _parsed(variable: str, address: str) -> Proxy:
    try:
        parts = urlsplit(address if "://" in address else "http://" + address)
        host = parts.hostname or ""
        if parts.scheme in ("http", "https") and host and all(32 < ord(char) < 127 for char in host):
            return Proxy(variable, parts)
    except ValueError:  # its port is none
        pass
    # Not shown: there may be a password in it.
    raise errors.InvalidParamError(
        "%s is not the address of a proxy, such as http://proxy.example:3128. For one of another kind (SOCKS) pass a "
        "pool of your own as http_client." % variable
    )
