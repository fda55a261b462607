"""What a request says: its address, its headers, its body. Checked before anything is sent; no network here."""

from __future__ import annotations

import json
import os
import sys

from .. import __version__, config, errors, logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


class Message:
    """One request, but for the token.

    Args:
        base: the address of the platform.
        path: begins with ``/``.
        params: the query.
        content: the body, ready to be sent.
        headers: groups of headers; each replaces what those before it say, whatever the case of the names. The last one
            is what was given for this request alone, and may replace even the token.

    Raises:
        InvalidParamError: ``path`` cannot be sent.
    """

    def __init__(
        self,
        method: str,
        base: str,
        path: str,
        params: Mapping[str, Any] | None,
        content: bytes | None,
        *headers: dict[str, str],
    ) -> None:
        self.method = method
        self.url = base + _checked(path) + _query(path, params)
        self.content = content
        self._headers: dict[str, tuple[str, str]] = {}
        for group in headers:
            for name, value in group.items():
                self._headers[name.lower()] = name, value
        self.needs_token = "authorization" not in map(str.lower, headers[-1])

    def headers(self, token: str | None) -> dict[str, str]:
        """All headers, with ``token`` if there is one."""
        merged = dict(self._headers)
        if token is not None:
            merged["authorization"] = ("Authorization", "Bearer " + token)
        return dict(merged.values())


def _checked(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise errors.InvalidParamError("path must begin with '/', such as '/v1/loop/prompts/list', not %r" % (path,))
    if any(ord(char) <= 32 or ord(char) == 127 for char in path):
        raise errors.InvalidParamError("path must not contain blanks or control characters: %r" % path)
    return path


def _query(path: str, params: Mapping[str, Any] | None) -> str:
    if not params:
        return ""
    from urllib.parse import urlencode

    query = [(key, value) for key, value in params.items() if value is not None]
    return ("&" if "?" in path else "?") + urlencode(query, doseq=True)


def json_content(data: Any) -> tuple[bytes | None, dict[str, str]]:
    """``data`` as a body, and the headers it needs; bytes are taken for JSON, and None is no body.

    Raises:
        InvalidParamError: it cannot be written as JSON.
    """
    if data is None:
        return None, {}
    if not isinstance(data, bytes):
        try:
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            data = text.encode("utf-8")
        except (TypeError, ValueError, RecursionError) as problem:
            raise errors.InvalidParamError("the data to send cannot be written as JSON: %s" % problem) from problem
    return data, {"Content-Type": "application/json"}


def identity() -> dict[str, str]:
    """Who asks (contract siblings.md 1.4)."""
    system = os.uname().sysname.lower() if hasattr(os, "uname") else "windows"  # importing platform is slow
    system_version = os.environ.get("OSVERSION") or "unknown"
    python = ".".join(str(part) for part in sys.version_info[:3])
    details = {
        "version": __version__,
        "lang": "python",
        "lang_version": python,
        "os_name": system,
        "os_version": system_version,
        "scene": "cozeloop",
        "source": "openapi",
    }
    agent = "cozeloop-lite/%s python/%s %s/%s" % (__version__, python, system, system_version)
    return config.headers({"User-Agent": agent, "X-Coze-Client-User-Agent": json.dumps(details, separators=(",", ":"))})


def lane() -> dict[str, str]:
    """Headers that choose a lane of the hosted platform (contract siblings.md 1.2), read for each request."""
    found = {}
    if os.environ.get("x_tt_env"):  # noqa: SIM112 - the platform's spelling
        found["x-tt-env"] = os.environ["x_tt_env"]  # noqa: SIM112
    if os.environ.get("x_use_ppe"):  # noqa: SIM112
        found["x-use-ppe"] = "1"
    try:
        return config.headers(found)
    except errors.InvalidParamError as problem:
        logger.warn("x_tt_env is not sent: %s", problem)
        return {}
