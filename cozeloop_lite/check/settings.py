"""What is configured, where it comes from, and what is wrong with it before anything is sent.

A value may be one that the library accepts and the platform cannot know: a token in quotation marks, the address of a
web page as the workspace. What is a secret is shown by its end.
"""

from __future__ import annotations

import os
import re

from .. import config, errors
from .report import FAILED, OK, WARNING, Step, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ADDRESS, WORKSPACE, TOKEN = config.ENV_API_BASE_URL, config.ENV_WORKSPACE_ID, config.ENV_API_TOKEN
OAUTH = (
    config.ENV_JWT_OAUTH_CLIENT_ID,
    config.ENV_JWT_OAUTH_PRIVATE_KEY,
    config.ENV_JWT_OAUTH_PUBLIC_KEY_ID,
)
KNOWN = frozenset(value for name, value in vars(config).items() if name.startswith("ENV_"))

MAX_SHOWN = 80  # characters of a value that is no secret
LONGEST_WORD = 24  # characters of a wrong workspace; a longer one may be a secret that got into the wrong place
MAX_ID = (1 << 63) - 1  # the platform's ids are of 64 bits, contract backend.md 1.4
HOSTED = ("coze.cn", "coze.com")
HOSTED_TOKEN = re.compile(r"(pat|sat|czu|czs)_")
SELF_HOSTED_TOKEN = re.compile(r"[0-9a-f]{64}\Z")  # contract backend.md 1.2

_QUOTES = "\"'`“”‘’"
_PLACEHOLDER = re.compile(
    r"(<.*>|\.\.\.|\$\{?\w+\}?|%\w+%|(pat_)?(x{3,}|\*{3,})|(.*[\W_])?your[-_ ].*|changeme|todo)\Z", re.IGNORECASE
)
_BEARER = re.compile(r"bearer(\s+|\Z)", re.IGNORECASE)
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*\Z")


def origin(value: Any, variable: str, default: Any = None, argument: str = "argument") -> str:
    """Where ``value`` comes from. A value that was passed and is the same in the environment counts as of there."""
    in_environment = os.environ.get(variable, "").strip()
    if in_environment and in_environment.rstrip("/") == str(value).strip().rstrip("/"):
        return variable
    return "default" if value == default and not in_environment else argument


def address(argument: str | None, flag: str = "argument") -> Step:
    """The address of the API. ``flag`` is what to call the argument."""
    given = config.setting(argument, ADDRESS)
    try:
        url = config.base_url(argument)
    except errors.InvalidParamError as problem:
        return Step("address", FAILED, str(problem), _address_advice(given))
    return Step("address", OK, "%s (%s)" % (url, origin(url, ADDRESS, config.CN_BASE_URL, flag)))


def _address_advice(given: Any) -> str:
    text = given if isinstance(given, str) and "@" not in given and "?" not in given and "#" not in given else ""
    bare = text.strip(_QUOTES + " ")
    if bare != text:
        return "Remove the quotation marks and blanks from %s: %s" % (ADDRESS, bare[:MAX_SHOWN])
    if re.match(r"[\w.-]+(:\d+)?(/\S*)?\Z", text):
        scheme = "https" if is_hosted(text.partition("/")[0].partition(":")[0]) else "http"
        return "Write the scheme, too: %s=%s://%s" % (ADDRESS, scheme, text[:MAX_SHOWN])
    return "Set %s to %s, or http://localhost:8888 for a self-hosted platform." % (ADDRESS, config.CN_BASE_URL)


def is_hosted(host: str) -> bool:
    """Whether ``host`` is of the hosted platform."""
    return any(host == name or host.endswith("." + name) for name in HOSTED)


def workspace(argument: str | None, flag: str = "argument") -> Step:
    """The workspace: on the platform a decimal number."""
    try:
        value = config.workspace_id(argument)
    except errors.PropertyUnprovidedError as problem:
        return Step("workspace", FAILED, str(problem), missing(WORKSPACE, "7400000000000000001"))
    except errors.InvalidParamError as problem:
        return Step("workspace", FAILED, str(problem))
    if value.isascii() and value.isdigit() and 0 < int(value[:20]) <= MAX_ID:
        return Step("workspace", OK, "%s (%s)" % (value, origin(value, WORKSPACE, argument=flag)))
    return Step("workspace", FAILED, *_no_workspace(value))


def _no_workspace(value: str) -> tuple[str, str]:
    advice = "It is the number in the address of the workspace's page, without anything around it."
    if value.strip(_QUOTES) != value:
        return "%s stands in quotation marks, which are sent, too" % WORKSPACE, "Remove them."
    if HOSTED_TOKEN.match(value) or SELF_HOSTED_TOKEN.match(value) or value == _from_environment(TOKEN):
        return "%s has a token in it (%s), not the number of a workspace" % (WORKSPACE, shown(value)), advice
    number = re.search(r"/space/(\d{1,19})\b", value)
    if number:
        seen = "%s is the address of a page, not the number of a workspace" % WORKSPACE
        return seen, "Set %s=%s" % (WORKSPACE, number.group(1))
    what = shown(value) if len(value) > LONGEST_WORD else repr(value)
    return "%s is not a number that a workspace can have: %s" % (WORKSPACE, what), advice


def credentials(argument: Any, *, environment: bool = True) -> Step:
    """The token or the OAuth application. ``environment=False`` for the token of a client, whatever else is set."""
    given = [name for name in OAUTH if _from_environment(name)] if environment else []
    if len(given) == len(OAUTH):
        return _oauth()
    raw = argument if argument not in (None, "") else os.environ.get(TOKEN, "")
    if callable(raw):
        return Step("credentials", OK, "a function that returns a token (argument)")
    if not str(raw).strip():
        if given:
            lacking = ", ".join(name for name in OAUTH if name not in given)
            seen = "the OAuth application is not complete: %s is set, %s is not" % (", ".join(given), lacking)
            return Step("credentials", FAILED, seen, "Set %s, or %s in place of all of them." % (lacking, TOKEN))
        seen = "no token: %s is not set, nor is an OAuth application" % TOKEN
        return Step("credentials", FAILED, seen, missing(TOKEN, "..."))
    step = _token(raw, origin(raw, TOKEN))
    if step.status == OK and given:
        seen = "%s; of an OAuth application, only %s is set, which is not used" % (step.seen, ", ".join(given))
        return step._replace(status=WARNING, seen=seen)
    return step


def _token(raw: Any, source: str) -> Step:
    text = raw if isinstance(raw, str) else ""
    bare = text.strip()
    fault, advice = _token_fault(_BEARER.sub("", bare, 1))
    if fault:
        return Step("credentials", FAILED, "%s %s" % (TOKEN, fault), advice)
    try:
        token = config.checked_token(raw, "%s is" % TOKEN)
    except errors.InvalidParamError as problem:
        return Step("credentials", FAILED, str(problem), "Copy it again, in one piece.")
    seen = "token %s (%s)" % (shown(token), source)
    if token.isdigit() and len(token) <= len(str(MAX_ID)):
        seen += ", a number such as workspaces have"
        return Step("credentials", WARNING, seen, "Are %s and %s interchanged?" % (TOKEN, WORKSPACE))
    if bare != token:
        return Step("credentials", WARNING, seen + ", with 'Bearer ' before it", "Remove that word: it is added here.")
    if bare != text:
        advice = "It is cut off here; other programs may send it."
        return Step("credentials", WARNING, seen + ", with a blank or line break around it", advice)
    return Step("credentials", OK, seen)


def _token_fault(token: str) -> tuple[str, str]:
    """What makes ``token`` one that no platform knows, and what to do; two empty texts when nothing does."""
    if not token:
        return "has the word 'Bearer' in it, and no token", "Put your token in its place."
    if token.strip(_QUOTES) != token:
        return "stands in quotation marks, which are sent as a part of it", "Remove them (an env file needs none)."
    if token.startswith("-----BEGIN"):
        return "is a key, not a token", "A private key belongs into %s." % config.ENV_JWT_OAUTH_PRIVATE_KEY
    if _PLACEHOLDER.match(token):
        return "is a placeholder, not a token", "Put your token in its place: nothing here replaces names by values."
    if _JWT.match(token):
        advice = "The platform takes the token that is granted for a JWT: set %s to that, or set %s." % (
            TOKEN,
            ", ".join(OAUTH),
        )
        return "is a JWT (%s), not an access token" % shown(token), advice
    return "", ""


def _oauth() -> Step:
    from ..api.oauth import OAuthApp

    client_id, key, key_id = (_from_environment(name) for name in OAUTH)
    try:
        OAuthApp(client_id, key_id, private_key=key)
    except errors.LoopError as problem:
        return Step("credentials", FAILED, "the OAuth application cannot be used: %s" % problem)
    seen = "OAuth application %s, public key id %s (%s)" % (client_id[:MAX_SHOWN], shown(key_id), ", ".join(OAUTH))
    if _from_environment(TOKEN):
        seen += "; %s is set, too, and is not used" % TOKEN
    return Step("credentials", OK, seen)


def token_refused(token: Any, host: str, address_is_default: bool) -> str:
    """What may be wrong with a token that the platform at ``host`` does not know."""
    hosted = is_hosted(host)
    text = token if isinstance(token, str) else ""
    if hosted and SELF_HOSTED_TOKEN.match(text):
        return "It looks like a token of a self-hosted platform: set %s to its address." % ADDRESS
    if not hosted and HOSTED_TOKEN.match(text):
        return "It looks like a token of the hosted platform: set %s to %s, or %s to a token of %s." % (
            ADDRESS,
            config.CN_BASE_URL,
            TOKEN,
            host,
        )
    advice = "Set %s to a token that was made on this platform and has not expired." % TOKEN
    if address_is_default:
        advice += " The address is the default: a platform of your own needs %s." % ADDRESS
    return advice


def missing(variable: str, example: str) -> str:
    """What to do about a variable that is not set; names those that look as if they were meant for it."""
    advice = "export %s=%s" % (variable, example)
    similar = [name for name in sorted(os.environ) if re.match(r"COZE|LOOP_", name.upper()) and name not in KNOWN]
    if similar:
        advice += " (set, and read by nothing here: %s)" % ", ".join(similar[:5])
    if os.path.isfile(".env"):
        advice += " (the file .env of this folder is not read)"
    return advice


def secrets() -> list[str]:
    """All of the environment that no report may show."""
    names = (TOKEN, config.ENV_JWT_OAUTH_PRIVATE_KEY)
    return [value for value in map(_from_environment, names) if value]


def _from_environment(name: str) -> str:
    return os.environ.get(name, "").strip()
