"""Who may see what the stand-in server keeps: a web page from elsewhere may not, nor, without the token, the network.

A page can send requests to ``localhost`` from the browser of who visits it; what stands against that is the name in
the request (``Host``, when it gave its own name a local address), ``Origin``, and that no answer allows another origin.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import socket
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from .answers import Answer

if TYPE_CHECKING:
    from email.message import Message

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EVERYWHERE = ("0.0.0.0", "::", "")
HEADERS = (  # of every answer
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_PORT = re.compile(r":[0-9]{0,5}$")
_MAX_COOKIES = 8192  # characters


class Guard:
    """``address``: where the server listens, host and port. ``token``: the only one accepted; None: any may read, but
    on an address that others can reach, where one is made.
    """

    def __init__(self, address: tuple[str, int], token: str | None) -> None:
        self._host, port = address
        token = token or None  # an empty one, of a variable that is not set, would be everybody's
        self.token = secrets.token_urlsafe(24) if token is None and self._host not in LOOPBACK else token
        self._cookie = f"cozeloop_{port}"  # browsers send the cookies of all ports of a host to each of them

    def is_host(self, headers: Message) -> bool:
        """Whether a request was meant for this server: not for a name that somebody else gave its address."""
        hosts = headers.get_all("Host") or []
        return len(hosts) < 2 and all(self._is_name(_PORT.sub("", host.strip())) for host in hosts)

    def is_origin(self, headers: Message) -> bool:
        """Whether a request comes from a page of this server, or from no page."""
        origins = headers.get_all("Origin") or []
        host = (headers.get("Host") or "").strip().lower()
        return all(
            origin.strip().lower() in (f"http://{host}", f"https://{host}") and self.is_host(headers)
            for origin in origins
        )

    def _is_name(self, name: str) -> bool:
        name = name.lower()
        bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        if bare in LOOPBACK or bare == self._host.lower():
            return True
        return self._host in _EVERYWHERE and (_is_address(bare) or bare == socket.gethostname().lower())

    def may_read(self, headers: Message) -> bool:
        """Whether a request shows the token, in ``Authorization`` or by the cookie; without a token, any may read."""
        if self.token is None:
            return True
        scheme, _, given = (headers.get("Authorization") or "").partition(" ")
        if scheme == "Bearer" and self.is_token(given):
            return True
        cookies = "; ".join(headers.get_all("Cookie") or [])[:_MAX_COOKIES].split(";")
        expected = f"{self._cookie}={self._proof()}"
        return any(_same(cookie.strip(), expected) for cookie in cookies)

    def is_token(self, given: str) -> bool:
        """Whether ``given`` is the token; without one, whatever may be one."""
        if self.token is None:
            return given not in ("", "Bearer") and " " not in given
        return _same(given, self.token)

    def enter(self, query: str) -> Answer | None:
        """The answer to ``/?token=...``: a cookie, and the same page without the token in its address."""
        asked = parse_qsl(query, keep_blank_values=True)
        given = [value for name, value in asked if name == "token"]
        if not given:
            return None
        if self.token is not None and not self.is_token(given[0]):
            return Answer(403, "text/plain; charset=utf-8", b"this is not the token of the server")
        rest = urlencode([(name, value) for name, value in asked if name != "token"])
        cookie = f"{self._cookie}={self._proof()}; Path=/; HttpOnly; SameSite=Strict"
        headers = (("Location", f"/?{rest}" if rest else "/"), ("Set-Cookie", cookie))
        return Answer(303, "text/plain; charset=utf-8", b"", None, headers)

    def _proof(self) -> str:
        # Not the token: what a browser keeps, and sends to other ports of the host, must not do for sending spans.
        return hmac.new((self.token or "").encode("utf-8", "replace"), b"cozeloop pages", hashlib.sha256).hexdigest()


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
