"""The way to the platform, one piece at a time: name, connection, TLS, and the first answer.

Each piece is bounded in time. TLS and requests use the pool of the client, so what is judged is what the program gets.
"""

from __future__ import annotations

import socket
import ssl
import threading
from time import monotonic, time
from typing import Any

from .. import process
from . import failures, verdicts
from .machine import Hop
from .report import FAILED, OK, SKIPPED, WARNING, Step
from .settings import ADDRESS
from .verdicts import Answer

GUESS_SECONDS = 2.0  # to find out whether a port that gave no usable answer speaks the other protocol
MAX_ANSWER_BYTES = 1024 * 1024
PROBE = b'{"spans":[]}'  # refused by any platform, whoever asks: contract backend.md 2.1


def resolve(hop: Hop, seconds: float) -> tuple[Step, list[Any]]:
    """The addresses of ``hop``, in the order in which they are tried."""
    with process.loading():
        from urllib3.util.connection import allowed_gai_family

    found: list[Any] = []
    failed: list[BaseException] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(hop.host, hop.port, allowed_gai_family(), socket.SOCK_STREAM))
        except (OSError, UnicodeError) as problem:
            failed.append(problem)

    began = monotonic()
    thread = threading.Thread(target=look_up, name="cozeloop-check", daemon=True)  # there is no way to interrupt it
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        seen = "the host %s of %s could not be resolved within %.3g s" % (hop.host, hop.setting, seconds)
        return Step("name resolution", FAILED, seen, "The name server of this machine does not answer."), []
    if failed:
        return Step("name resolution", FAILED, *failures.resolution(failed[0], hop)), []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    took = "%d ms" % round((monotonic() - began) * 1000)
    shown = ", ".join(addresses[:4]) + (" and %d more" % (len(addresses) - 4) if len(addresses) > 4 else "")
    return Step("name resolution", OK, "%s is %s (%s)" % (hop.host, shown, took)), found


def connect(found: list[Any], hop: Hop, seconds: float) -> Step:
    """A TCP connection to one of the addresses of ``hop`` that were ``found``."""
    end = monotonic() + seconds
    last: BaseException = OSError("no address")
    unreachable = []
    for number, (family, kind, protocol, _, address) in enumerate(found):
        began = monotonic()
        try:
            with socket.socket(family, kind, protocol) as sock:
                sock.settimeout(max(0.001, (end - began) / (len(found) - number)))
                sock.connect(address)
        except OSError as problem:
            last = problem
            unreachable.append(str(address[0]))
            continue
        seen = "%s port %d accepts (%d ms)" % (address[0], hop.port, round((monotonic() - began) * 1000))
        if unreachable:
            seen += "; no connection to %s" % ", ".join(unreachable[:4])
        return Step("connection", OK, seen)
    return Step("connection", FAILED, *failures.connection(last, hop, seconds))


def tls(pool: Any, url: str, hop: Hop, seconds: float) -> Step:
    """The TLS handshake with the platform, by the trust and the settings of ``pool``."""
    with process.loading():
        from ..api import addresses, connections, transport

    if not url.lower().startswith("https://"):
        if addresses.is_private(hop.host):
            return Step("TLS", SKIPPED, "not used: the address begins with http://")
        return Step("TLS", WARNING, "not used: token and spans travel as plain text", "Use https:// in %s." % ADDRESS)
    connection = pool.connection_from_url(url)._new_conn()
    connection.timeout = seconds
    try:
        with connections.Deadline(monotonic() + seconds):
            connection.connect()
        until = (connection.sock.getpeercert() or {}).get("notAfter")
        seen = "%s, certificate %s" % (connection.sock.version(), "valid until %s" % until if until else "not checked")
        return Step("TLS", OK, seen)
    except transport.FAILURES as problem:
        return Step("TLS", FAILED, *_tls_fault(problem, hop, seconds))
    finally:
        connection.close()


def _tls_fault(problem: BaseException, hop: Hop, seconds: float) -> tuple[str, str]:
    refused = failures.certificate_fault(problem)
    if refused is not None:
        return failures.certificate(refused, hop.host)
    if speaks_plain_http(hop.host, hop.port):
        return verdicts.speaks_plain_http(hop.host, hop.port)
    place = "%s port %d (%s)" % (hop.host, hop.port, ADDRESS)
    if failures.is_timeout(problem):
        seen = "%s accepts connections, and no TLS handshake within %.3g s" % (place, seconds)
        return seen, "Is it the port of the API? Else the server, or something before it, hangs."
    seen = "the TLS handshake with %s fails: %s" % (place, failures.innermost(problem))
    return seen, "Is it the port of the API? Else its TLS and that of this Python have no version in common."


def ask(pool: Any, url: str, headers: dict[str, str], seconds: float) -> tuple[Answer, float]:
    """The answer to a request without a token, and how far this machine's clock is ahead of the server's; NaN: unknown.

    Raises:
        urllib3.exceptions.HTTPError, OSError, ValueError: no answer arrived.
    """
    with process.loading():
        import urllib3

        from ..api import body, connections

    end = monotonic() + seconds
    began = time()
    with connections.Deadline(end):
        response = pool.urlopen(
            "POST",
            url,
            body=PROBE,
            headers={**headers, "Content-Type": "application/json"},
            timeout=urllib3.Timeout(total=seconds),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
    headers = {name.lower(): value for name, value in response.headers.items()}
    ended = time()
    return Answer(response.status, headers, body.whole(response, end, MAX_ANSWER_BYTES)), _ahead(headers, began, ended)


def _ahead(headers: dict[str, str], began: float, ended: float) -> float:
    from email.utils import parsedate_to_datetime

    try:
        # The header has whole seconds, and was written at some time while the request was under way.
        return (began + ended) / 2 - parsedate_to_datetime(headers.get("date", "")).timestamp() - 0.5
    except (TypeError, ValueError, IndexError, OverflowError):
        return float("nan")


def no_answer(problem: BaseException, url: str, host: str, hop: Hop, seconds: float) -> tuple[str, str]:
    """Why no answer came from ``host``, though ``hop`` accepts connections."""
    refused = failures.certificate_fault(problem)
    if refused is not None:
        return failures.certificate(refused, host)
    if hop.is_proxy:
        fault = failures.of_proxy(problem, hop)
        if fault is not None:
            return fault
    elif url.lower().startswith("http://") and speaks_tls(hop.host, hop.port):
        return verdicts.speaks_tls(hop.host, hop.port)
    if failures.is_timeout(problem):
        seen = "%s (%s) accepts connections, and does not answer within %.3g s" % (url, ADDRESS, seconds)
        return seen, "Is it the port of the API? Else the server hangs or is slow: see its log, or wait longer."
    seen = "%s (%s) gives no HTTP answer: %s" % (url, ADDRESS, failures.innermost(problem))
    return seen, "Is it the port of the API? Else a gateway or the server ends connections: see its log."


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake succeeds there, with whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), GUESS_SECONDS) as sock:
            context.wrap_socket(sock, server_hostname=host).close()
        return True
    except (OSError, ValueError):
        return False


def speaks_plain_http(host: str, port: int) -> bool:
    """Whether a request without TLS gets an HTTP answer there (one that asks for TLS is none)."""
    request = "GET /ping HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host
    try:
        with socket.create_connection((host, port), GUESS_SECONDS) as sock:
            sock.sendall(request.encode("idna" if not host.isascii() else "ascii"))
            said = sock.recv(4096)
    except (OSError, ValueError):
        return False
    return said.startswith(b"HTTP/") and b"https" not in said.lower()
