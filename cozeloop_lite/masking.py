"""A ready mask: secrets and personal numbers are replaced before a text leaves the process.

    client = cozeloop_lite.new_client(mask=masking.mask_secrets)
    client = cozeloop_lite.new_client(mask=masking.Mask("email", "phone_cn"))

It finds what has a form: it is no substitute for not recording what must not be recorded (``record_inputs=False``).
What could be anything (a run of digits) is only replaced when its check digit is right. Each pattern reads a text once,
so the time a text costs grows with its length and nothing else.
"""

from __future__ import annotations

import re

from . import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Pattern

__all__ = ["KINDS", "Mask", "mask_secrets"]


def _luhn(text: str) -> bool:
    """The check of payment cards, ISO/IEC 7812-1 annex B."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + doubled) % 10 == 0


def _resident(text: str) -> bool:
    """The check of Chinese resident identity numbers, GB 11643-1999: ISO 7064 MOD 11-2."""
    total = sum(int(char) * (2 ** (17 - place) % 11) for place, char in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def _always(text: str) -> bool:
    return True


_NO_WORD_BEFORE = r"(?<![0-9A-Za-z_\-])"
_NO_DIGIT_BEFORE, _NO_DIGIT_AFTER = r"(?<![0-9])(?<![0-9][.\-])", r"(?![0-9])(?!\.[0-9])"
_TO_VALUE = r"\\{0,3}[\"']?\s{0,8}[:=]\s{0,8}"  # what is between a name and its value
_WORD = r"[^\s\"'\\,;&}\])<>]"  # a character of a value without quotes
_NOTHING = r"[\[\]{},\s]*"  # what stands between two texts of JSON
_COUNT = r"(?<=token)" + _TO_VALUE + r"\\{0,3}[\"']?[0-9]+(?!" + _WORD + r")"  # a number of tokens is no secret
_SECRET_NAMES = (
    r"(?:\b|_)(?:(?:api|access|secret|private|auth|client)[_\-]?(?:key|token|secret)"
    r"|secret|token|password|passwd|pwd|credentials?)"
)
_LAST = -1  # the group that took part in the match, of several

# kind -> (the pattern, which group of it is replaced, what else must be true of it)
_PATTERNS: dict[str, tuple[Pattern[str], int, Callable[[str], bool]]] = {
    "private_key": (
        re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40})PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.S),
        0,
        _always,
    ),
    "bearer": (re.compile(r"\b(?:bearer|basic)\s{1,8}([0-9A-Za-z._~+/\-]{8,}=*)", re.I), 1, _always),
    "api_key": (
        re.compile(
            _NO_WORD_BEFORE + r"(?:"
            r"(?:sk|pk|rk|pat|sat|cztei)[_\-][0-9A-Za-z_\-]{16,}"  # OpenAI, Anthropic, Stripe; Coze
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}"  # Amazon
            r"|LTAI[0-9A-Za-z]{12,26}|AKLT[0-9A-Za-z_\-]{20,}|AKID[0-9A-Za-z]{13,}"  # Alibaba, Volcengine, Tencent
            r"|AIza[0-9A-Za-z_\-]{30,}"  # Google
            r"|gh[pousr]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{30,}|glpat-[0-9A-Za-z_\-]{16,}"
            r"|xox[abeoprs]-[0-9A-Za-z\-]{10,}|hf_[0-9A-Za-z]{20,}"
            r"|eyJ[0-9A-Za-z_\-]{8,}\.eyJ[0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{8,}"  # a JSON Web Token
            r")"
        ),
        0,
        _always,
    ),
    # name = value, "name": "value", also where the quotes are escaped because the JSON is a text in JSON
    "named_secret": (
        re.compile(
            _SECRET_NAMES + r"(?!" + _COUNT + r")" + _TO_VALUE + r"(?:"
            # In quotes all, but not what follows a name at the end of a text, up to the next one; without, a word.
            # Each time that a group is repeated takes 150 bytes of memory: not for each character, nor for each escape.
            r'"(?!\s|' + _NOTHING + r'(?:"|\Z))((?=(?:[^"\\]|\\.){4})[^"\\]*)'
            r"|'(?!\s|" + _NOTHING + r"(?:'|\Z))((?=(?:[^'\\]|\\.){4})[^'\\]*)"
            r'|\\{1,3}"(?!\s|' + _NOTHING + r'(?:\\|\Z))([^"\\]{4,})'
            r"|\\{0,3}[\"']?(" + _WORD + r"{4,}))",
            re.I | re.S,
        ),
        _LAST,
        lambda text: text.lower() not in ("null", "none", "true", "false"),
    ),
    "url_password": (
        re.compile(r"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@\"']{0,100}:([^\s/@\"']{1,200})@", re.I),
        1,
        _always,
    ),
    "email": (
        re.compile(r"(?<![\w.+\-])[\w.+\-]{1,64}@(?:[0-9A-Za-z\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w\-])"),
        0,
        _always,
    ),
    "id_cn": (
        re.compile(
            _NO_DIGIT_BEFORE + r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
            r"[0-9]{3}[0-9Xx](?![0-9A-Za-z])"
        ),
        0,
        _resident,
    ),
    "card": (
        re.compile(_NO_DIGIT_BEFORE + r"[2-6][0-9]{3}(?:[ \-]?[0-9]{2,6}){2,4}[0-9]" + _NO_DIGIT_AFTER),
        0,
        _luhn,
    ),
    "phone_cn": (
        re.compile(
            _NO_DIGIT_BEFORE + r"(?:(?:\+|00)86[ \-]?)?1[3-9][0-9][ \-]?[0-9]{4}[ \-]?[0-9]{4}" + _NO_DIGIT_AFTER
        ),
        0,
        _always,
    ),
}

# How a text in quotes goes on after an escape, by the group of "named_secret" that has its beginning.
_GOES_ON = {
    1: re.compile(r'(?:\\.[^"\\]*){1,1000}', re.S),
    2: re.compile(r"(?:\\.[^'\\]*){1,1000}", re.S),
}

_SIGNS = tuple("<%s>" % kind for kind in _PATTERNS)  # what has been replaced is left alone

KINDS = tuple(_PATTERNS)
"""What can be masked, in the order in which it is: private keys, bearer tokens, API keys of well-known services, values
beside a name such as ``password``, passwords in addresses, mail addresses, Chinese resident identity numbers, numbers
of payment cards, Chinese mobile numbers."""


class Mask:
    """A function that replaces what it finds of ``kinds``, by ``<kind>``.

    Args:
        kinds: some of :data:`KINDS`; all of them when none is given.

    Raises:
        InvalidParamError: there is no such kind.

    >>> Mask()("mail bob@example.com, key sk-abcdefghijklmnop1234")
    'mail <email>, key <api_key>'
    """

    def __init__(self, *kinds: str) -> None:
        unknown = [kind for kind in kinds if kind not in _PATTERNS]
        if unknown:
            raise errors.InvalidParamError("there is no kind %r to mask: choose of %s" % (unknown[0], ", ".join(KINDS)))
        self.kinds = tuple(kind for kind in KINDS if not kinds or kind in kinds)

    def __call__(self, text: str) -> str:
        """``text`` without what was found."""
        for kind in self.kinds:
            text = _replaced(text, kind)
        return text

    def __repr__(self) -> str:
        return "Mask(%s)" % ", ".join(map(repr, self.kinds))


def _replaced(text: str, kind: str) -> str:
    pattern, which, holds = _PATTERNS[kind]
    pieces: list[str] = []
    done = 0
    match = pattern.search(text)
    while match is not None:
        group = (match.lastindex or 0) if which == _LAST else which
        start, end = match.span(group)
        after = match.end()
        if which == _LAST and group in _GOES_ON:
            end = after = _end_of_quoted(text, end, _GOES_ON[group])
        found = text[start:end]
        if holds(found) and not found.startswith(_SIGNS):
            pieces += (text[done:start], "<%s>" % kind)
            done = end
        match = pattern.search(text, after)
    return "".join(pieces) + text[done:] if pieces else text


def _end_of_quoted(text: str, end: int, goes_on: Pattern[str]) -> int:
    """Where the text in quotes ends of which all up to ``end`` is known."""
    match = goes_on.match(text, end)
    while match is not None:
        end = match.end()
        match = goes_on.match(text, end)
    return end


mask_secrets = Mask()
"""The mask of all kinds."""
