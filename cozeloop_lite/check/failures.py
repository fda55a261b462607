"""What it means that no answer arrives: the cause in words, and what to change. Pure functions of the exception.

urllib3 wraps the cause in two or three exceptions of its own, differently in each version: looked at is the innermost
one that says something.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from typing import Iterator

from ..api import addresses
from .machine import Hop
from .settings import ADDRESS

MAX_CAUSES = 20  # exceptions inside one another that are looked at

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 18, 62, 64
_UNKNOWN_AUTHORITY = (2, 19, 20, 21)
_TRUST = "Let Python trust %s: SSL_CERT_FILE=/path/to/it.pem, or http_client=urllib3.PoolManager(ca_certs=...)."
_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


def causes(problem: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that it wraps in whatever way, the outermost first."""
    waiting, seen = [problem], 0
    while waiting and seen < MAX_CAUSES:
        current = waiting.pop(0)
        seen += 1
        if isinstance(current, BaseException):
            yield current
            inner = [getattr(current, "reason", None), getattr(current, "original_error", None)]
            waiting += [*inner, *current.args[:2], current.__cause__, current.__context__]


def certificate_fault(problem: BaseException) -> BaseException | None:
    """The refusal of the server's certificate in ``problem``, if it is one."""
    return next((cause for cause in causes(problem) if _is_of_certificate(cause)), None)


def _is_of_certificate(cause: BaseException) -> bool:
    # urllib3 1.26 compares the names itself, and has an exception of its own for that.
    return isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ == "CertificateError"


def certificate(fault: BaseException, host: str) -> tuple[str, str]:
    """What is wrong with the certificate of ``host``, and what helps."""
    code = getattr(fault, "verify_code", _WRONG_HOST)
    own_words = str(getattr(fault, "verify_message", "") or fault)
    if code in (_EXPIRED, _NOT_YET_VALID):
        what = "has expired" if code == _EXPIRED else "is not valid yet"
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        seen = "the certificate of %s (%s) %s; this machine's clock says %s" % (host, ADDRESS, what, now)
        return seen, "Right is that the server gets a new certificate; or, if the clock is wrong, set the clock."
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        seen = "the certificate is for another host name than %s (%s): %s" % (host, ADDRESS, own_words)
        return seen, "Write the host name for which the certificate is into %s." % ADDRESS
    if code == _SELF_SIGNED:
        seen = "the certificate of %s (%s) is self-signed, and not among those that Python trusts" % (host, ADDRESS)
        return seen, _TRUST % "it" + _trusted_now()
    if code in _UNKNOWN_AUTHORITY:
        seen = "the certificate of %s (%s) is signed by an unknown authority: %s" % (host, ADDRESS, own_words)
        advice = _TRUST % "that authority (a company's proxy that reads along has its own, too)"
        return seen, advice + _trusted_now()
    seen = "the certificate of %s (%s) is refused: %s" % (host, ADDRESS, own_words)
    return seen, "It has to be made anew by the rules of RFC 5280, to which Python holds strictly from 3.13 on."


def _trusted_now() -> str:
    """What this Python trusts, where that explains something."""
    given = os.environ.get("SSL_CERT_FILE")
    if given and not os.path.isfile(given):
        return " SSL_CERT_FILE is set to a file that does not exist: %s" % given
    if not given:
        others = [name for name in _OTHERS if os.environ.get(name)]
        if others:
            return " (%s is set, which Python does not read.)" % others[0]
        if not ssl.create_default_context().cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
            return " (This Python has no certificates of authorities at all.)"
    return ""


def resolution(problem: BaseException, hop: Hop) -> tuple[str, str]:
    """Why the name of ``hop`` has no address."""
    temporary = isinstance(problem, socket.gaierror) and problem.errno == socket.EAI_AGAIN
    why = "the name server does not answer" if temporary else "there is no such name"
    seen = "the host %s of %s cannot be resolved: %s (%s)" % (hop.host, hop.setting, why, _words(problem))
    advice = "Check the host name in %s, and that this machine can resolve names." % hop.setting
    if "." not in hop.host:
        advice += " Names of containers are known inside their network only."
    elif not hop.is_proxy:
        advice += " In a network with a proxy, set HTTPS_PROXY."
    return seen, advice


def connection(problem: BaseException, hop: Hop, seconds: float) -> tuple[str, str]:
    """Why there is no connection to ``hop``."""
    place = "%s port %d (%s)" % (hop.host, hop.port, hop.setting)
    if isinstance(problem, socket.timeout) or getattr(problem, "errno", None) == errno.ETIMEDOUT:
        seen = "no answer from %s within %.3g s: switched off, or behind a firewall" % (place, seconds)
        if hop.is_proxy:
            return seen, "Check %s." % hop.setting
        return seen, "Check host and port in %s. A network with a proxy needs HTTPS_PROXY or http_client." % hop.setting
    if not isinstance(problem, ConnectionRefusedError):
        return "no connection to %s: %s" % (place, _words(problem)), "Check host and port of %s." % hop.setting
    seen = "nobody listens on %s" % place
    if hop.is_proxy:
        return seen, "Check %s: is it running? Else unset it, or list the platform in NO_PROXY." % hop.setting
    if addresses.is_loopback(hop.host):
        return seen, (
            "Check %s: is the platform running on this machine, and is %d the port of its API (self-hosted: 8888)? "
            "Inside a container, %s is the container itself." % (hop.setting, hop.port, hop.host)
        )
    return seen, "Check host and port in %s; a self-hosted platform has its API on port 8888." % hop.setting


def is_timeout(problem: BaseException) -> bool:
    """Whether time ran out, rather than something being refused."""
    found = list(causes(problem))
    if any(isinstance(cause, ConnectionError) for cause in found):
        return False
    return any(isinstance(cause, socket.timeout) or "Timeout" in type(cause).__name__ for cause in found)


def of_proxy(problem: BaseException, hop: Hop) -> tuple[str, str] | None:
    """What the proxy ``hop`` has to do with the failure; None when it has nothing."""
    found = list(causes(problem))
    said = " ".join(str(cause) for cause in found)
    if " 407 " in said:
        return wants_password(hop)
    if any(type(cause).__name__ == "ProxyError" for cause in found) or "Tunnel connection failed" in said:
        said = innermost(problem)
        seen = "%s (%s port %d) does not let the request through: %s" % (hop.setting, hop.host, hop.port, said)
        return seen, "Check %s, and whether it may connect to the platform." % hop.setting
    return None


def wants_password(hop: Hop) -> tuple[str, str]:
    """The proxy ``hop`` does not know who asks."""
    seen = "%s (%s port %d) wants a user name and password: HTTP 407" % (hop.setting, hop.host, hop.port)
    return seen, "Write them into the address of the proxy: http://user:password@%s:%d" % (hop.host, hop.port)


def innermost(problem: BaseException) -> str:
    """The words of the innermost exception that has some."""
    said = [_words(cause) for cause in causes(problem) if isinstance(cause, (OSError, ssl.SSLError))]
    return said[-1] if said else _words(problem)


def _words(problem: BaseException) -> str:
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
