"""What the check needs of the machine: libraries, folders, and the proxy between here and the platform."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .. import __version__, config, errors
from .report import FAILED, OK, SKIPPED, WARNING, Step
from .settings import ADDRESS

OLDEST_URLLIB3 = (1, 26)
OLDEST_JINJA2 = (3,)


def software() -> Step:
    """The versions. Without urllib3 nothing can be sent; without jinja2 only templates of that kind are missing."""
    python = "%s %s" % (sys.implementation.name.replace("cpython", "Python"), sys.version.split()[0])
    said = ["cozeloop_lite %s" % __version__, python]
    try:
        import urllib3
    except ImportError as problem:
        seen = "%s; urllib3 cannot be imported: %s" % (", ".join(said), problem)
        return Step("software", FAILED, seen, '%s -m pip install "urllib3>=1.26,<3"' % sys.executable)
    urllib3_version = str(getattr(urllib3, "__version__", "?"))
    said.append("urllib3 %s" % urllib3_version)
    try:
        import jinja2

        jinja2_version = str(getattr(jinja2, "__version__", "?"))
        said.append("jinja2 %s" % jinja2_version)
    except ImportError as problem:
        seen = "%s; jinja2 cannot be imported: %s" % (", ".join(said), problem)
        return Step("software", WARNING, seen, 'For prompts with jinja2 templates: pip install "jinja2>=3,<4"')
    try:
        import ssl

        said.append(ssl.OPENSSL_VERSION)
    except ImportError:
        said.append("no TLS in this Python")
    seen = ", ".join(said)
    if (0,) < _numbers(urllib3_version) < OLDEST_URLLIB3:
        return Step("software", FAILED, seen, 'This urllib3 is too old: pip install "urllib3>=1.26,<3"')
    if (0,) < _numbers(jinja2_version) < OLDEST_JINJA2:
        return Step("software", WARNING, seen, 'This jinja2 is too old: pip install "jinja2>=3,<4"')
    return Step("software", OK, seen)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def folders(spool_dir: str, snapshot: str) -> Step:
    """Whether what is to be kept in files can be written. ``""`` where nothing is."""
    wanted = [("spool_dir (%s)" % config.ENV_SPOOL_DIR, spool_dir, spool_dir)]
    wanted.append(("prompt_snapshot", snapshot, os.path.dirname(snapshot)))
    from ..trace.spool import has_locks

    said = []
    for name, path, folder in wanted:
        if path:
            fault = _folder_fault(folder)
            if not fault and path == spool_dir and not has_locks():
                fault = "this system lacks flock, which spool_dir needs"
            if not fault and path == snapshot and os.path.isdir(path):
                fault = "it is a folder, not a file"
            if fault:
                seen = "%s: %s cannot be written: %s" % (name, path, fault)
                return Step("folders", FAILED, seen, "Set it to a place where this user may write.")
            said.append("%s: %s" % (name, path))
    if not said:
        return Step("folders", SKIPPED, "nothing is kept in files: spool_dir (%s) is not set" % config.ENV_SPOOL_DIR)
    return Step("folders", OK, ", ".join(said))


def _folder_fault(folder: str) -> str:
    """Why no file can be made in ``folder``, or ``folder`` itself cannot; ``""`` when it can."""
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)  # what is not there is made when it is needed
    if not os.path.isdir(folder):
        return "%s is not a folder" % folder
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as problem:
        return problem.strerror or str(problem)


class Hop(NamedTuple):
    """Whom this machine connects to: the platform, or a proxy. ``setting`` is what names it."""

    host: str
    port: int
    setting: str
    is_proxy: bool = False


def proxy(pools: Any, url: str) -> tuple[Step, Any, Hop]:
    """Whether requests for ``url`` go through a proxy; the step, the pool that makes them, and the first hop."""
    parts = urlsplit(url)
    direct = Hop(parts.hostname or "", parts.port or _port(parts.scheme), ADDRESS)
    try:
        pool, found = pools.of(url)
    except errors.InvalidParamError as problem:
        return Step("proxy", FAILED, str(problem), "Correct it, or list the host in NO_PROXY."), None, direct
    if found is not None:
        return _through(found.url, "the proxy of %s" % found.variable, pool)
    given = getattr(pool, "proxy", None) or getattr(pool, "proxy_url", None)  # that of SOCKS
    if given:
        return _through(str(given), "the proxy of http_client", pool)
    variables = [name for name in os.environ if name.lower() == parts.scheme + "_proxy" and os.environ[name]]
    if not variables:
        return Step("proxy", OK, "none"), pool, direct
    seen = "none, though %s is set: http_client, NO_PROXY or an address of this machine is stronger" % variables[0]
    return Step("proxy", OK, seen), pool, direct


def _through(proxy_url: str, setting: str, pool: Any) -> tuple[Step, Any, Hop]:
    parts = urlsplit(proxy_url)
    hop = Hop(parts.hostname or "", parts.port or _port(parts.scheme), setting, True)
    return Step("proxy", OK, "%s port %d (%s)" % (hop.host, hop.port, setting)), pool, hop


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
