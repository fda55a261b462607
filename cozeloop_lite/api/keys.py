"""Private keys as people have them: the text of a PEM file after its way through a shell, an .env file, a secret store.

Line breaks become ``\\n`` or blanks, quotes are added, header lines get lost, and the wrong file is taken. What can be
understood is taken; of all else the error says what it is instead, and shows no part of it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import re
import weakref

from .. import config, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SETTING = "jwt_oauth_private_key (%s)" % config.ENV_JWT_OAUTH_PRIVATE_KEY
MAX_CHARS = 65_536  # far more than any key has, and little to look through

_WANTED = (
    "Pass the text of the PEM file of an RSA key, or of an EC key on the curve P-256: the private key to the public "
    "key that the platform has."
)
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END [A-Z0-9 ]{1,40}-----", re.S)
_ESCAPED_BREAK = re.compile(r"\\+[nrt]")
_AROUND = " \t\r\n\0\ufeff\"'`"
_READABLE = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")  # PKCS#8, PKCS#1, SEC1
_ENCRYPTED = "is encrypted, and is needed in plain form: openssl pkey -in key.pem -out plain.pem"
_OTHERS = {
    "PUBLIC KEY": "is a public key",
    "RSA PUBLIC KEY": "is a public key",
    "CERTIFICATE": "is a certificate",
    "TRUSTED CERTIFICATE": "is a certificate",
    "ENCRYPTED PRIVATE KEY": _ENCRYPTED,
    "OPENSSH PRIVATE KEY": "is in the format of OpenSSH, which 'ssh-keygen -p -m PEM -f FILE' turns into PEM",
    "EC PARAMETERS": "has the parameters of an EC key, and not the key",
}


class Signer:
    """Signs with a private key: takes the bytes to sign, returns the signature as a JWT has it.

    Attributes:
        alg: ``RS256`` or ``ES256``, as the key is.
        digest: tells keys apart; says nothing about the key.
    """

    def __init__(self, text: str, digest: str) -> None:
        self._key, self.alg = read(text)
        self._algorithm = _library("jwt.algorithms").get_default_algorithms()[self.alg]
        self.digest = digest

    def __call__(self, data: bytes) -> bytes:
        return self._algorithm.sign(data, self._key)  # type: ignore[no-any-return] # PyJWT need not be installed


# By digest, as long as a client has them: checking an RSA key takes 40 ms, and new_client() may be called often.
_in_use: weakref.WeakValueDictionary[str, Signer] = weakref.WeakValueDictionary()


def signer(text: str) -> Signer:
    """What signs with the private key in ``text``.

    Raises:
        ParsePrivateKeyError: there is no such key in ``text``.
        InvalidParamError: PyJWT or cryptography, the extra ``jwt`` of this package, is not installed.
    """
    if not isinstance(text, str):
        raise _unusable("is a %s, not a str" % type(text).__name__)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    found = _in_use.get(digest)
    if found is None:
        _in_use[digest] = found = Signer(text, digest)
    return found


def read(text: str) -> tuple[Any, str]:
    """The private key in ``text``, as an object of ``cryptography``, and its algorithm; raises like :func:`signer`."""
    der = _der(text)
    serialization = _library("cryptography.hazmat.primitives.serialization")
    rsa = _library("cryptography.hazmat.primitives.asymmetric.rsa")
    ec = _library("cryptography.hazmat.primitives.asymmetric.ec")
    key, found = None, ""
    try:
        key = serialization.load_der_private_key(der, None)
    except TypeError:
        found = _ENCRYPTED
    except Exception:  # noqa: BLE001 - which one it is says less than what _found() finds
        found = _found(der, serialization)
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name == "secp256r1":
            return key, "ES256"
        found = "is an EC key on the curve %s, and only P-256 (secp256r1) will do" % key.curve.name
    elif key is not None:
        found = "is a key of another kind (%s)" % type(key).__name__.strip("_").replace("PrivateKey", "")
    raise _unusable(found)  # outside of the except: no exception of a library, which holds frames, hangs on to it


def _unusable(found: str) -> errors.ParsePrivateKeyError:
    return errors.ParsePrivateKeyError("%s %s. %s" % (SETTING, found, _WANTED))


def _library(name: str) -> Any:
    """By name: type checkers need not have it, either."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise errors.InvalidParamError(
            '%s needs PyJWT and cryptography (%s): pip install "PyJWT>=2.4,<3" "cryptography>=3.4". '
            "Without them, pass a function that signs as jwt_oauth_signer." % (SETTING, problem)
        ) from problem


def _der(text: str) -> bytes:
    """The bytes for which the text stands."""
    given = text[: MAX_CHARS + 1].strip(_AROUND)
    text = _ESCAPED_BREAK.sub("\n", given).strip(_AROUND)
    if not text:
        raise _unusable("is empty")
    if len(text) > MAX_CHARS:
        raise _unusable("has more than %d characters, and no key is that long" % MAX_CHARS)
    framed = "-----" in text
    if not framed and _is_file(given):
        raise _unusable("is the path of a file, and not what is in it: pass the content of the file")
    digits = "".join((_block(text) if framed else text).split()).rstrip("=")
    der = b""
    try:
        der = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        pass
    if b"-----BEGIN " in der:  # a whole PEM as base64, as secret stores hand it out
        return _der(der.decode("ascii", "replace"))
    if not der:
        raise _unusable(
            "is damaged: between its first and its last line is no base64" if framed else "is neither PEM nor base64"
        )
    return der


def _block(text: str) -> str:
    """What is between the first and the last line of the private key in a PEM text."""
    blocks = _BLOCK.findall(text)
    for label, body in blocks:
        if label in _READABLE:
            if "Proc-Type:" in body:  # 4,ENCRYPTED
                raise _unusable(_ENCRYPTED)
            return str(body)
    if blocks:
        label = blocks[0][0]
        raise _unusable(_OTHERS.get(label, "is something else in PEM form (%s)" % label))
    missing = "last line, -----END" if "-----BEGIN " in text else "first line, -----BEGIN"
    raise _unusable("is damaged: its %s ...-----, is missing" % missing)


def _is_file(text: str) -> bool:
    try:
        return os.path.isfile(os.path.expanduser(text))
    except ValueError:  # no path can have such characters
        return False


def _found(der: bytes, serialization: Any) -> str:
    """What bytes are that are no private key."""
    size = _size(der)
    if not size:
        return "is no key: what it contains as base64 is something else"
    if size > len(der):
        return "is truncated: %d of %d bytes are there" % (len(der), size)
    x509 = _library("cryptography.x509")
    for load, found in (
        (serialization.load_der_public_key, "is a public key"),
        (x509.load_der_x509_certificate, "is a certificate"),
    ):
        try:
            load(der)
        except Exception:  # noqa: BLE001, S112 - it is not that, then
            continue
        return found
    return "is damaged, or a key of a kind that cryptography does not know"


def _size(der: bytes) -> int:
    """How many bytes there are by the length at their beginning (X.690 8.1.3); 0 when they begin like no key."""
    if len(der) < 6 or der[0] != 0x30:
        return 0
    if der[1] < 0x80:
        return 2 + der[1]
    octets = der[1] - 0x80
    return 2 + octets + int.from_bytes(der[2 : 2 + octets], "big") if 1 <= octets <= 4 else 0
