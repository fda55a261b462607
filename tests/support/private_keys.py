"""Private keys to test with, in the forms in which they are kept; JWTs verified by hand; and what exceptions show."""

from __future__ import annotations

import base64
import datetime
import json
import traceback

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()
PASSPHRASE = "p4ss-phrase"
ENCRYPTED = serialization.BestAvailableEncryption(PASSPHRASE.encode())
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def written(key, form=PKCS8, protection=PLAIN):
    """The key as PEM."""
    return key.private_bytes(PEM, form, protection).decode("ascii")


RSA_PEM = written(RSA)


def public(key):
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "test")])
    first, last = datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, first, last)
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode("ascii")


def body_of(pem):
    """Its base64, in one line."""
    return "".join(line for line in pem.splitlines() if "-----" not in line)


def framed(label, data):
    text = base64.encodebytes(data).decode("ascii")
    return "-----BEGIN %s-----\n%s-----END %s-----\n" % (label, text, label)


def decoded(part):
    assert "=" not in part
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token, public_key):
    """Header and claims of a JWT, after its signature was checked, by hand (RFC 7515 5.2, RFC 7518 3.3 and 3.4)."""
    header, claims, signature = token.split(".")
    signed = ("%s.%s" % (header, claims)).encode("ascii")
    raw = decoded(signature)
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert len(raw) == 64
        numbers = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        public_key.verify(numbers, signed, ec.ECDSA(hashes.SHA256()))
    return json.loads(decoded(header)), json.loads(decoded(claims))


def said(problem):
    """All that is ever shown of an exception, and of those behind it."""
    text = "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
    while problem is not None:
        text += repr(problem) + str(problem) + repr(problem.args) + repr(problem.__dict__)
        problem = problem.__cause__ or problem.__context__
    return text


def assert_nothing_shown(problem, key):
    text, key = said(problem), key if isinstance(key, str) else str(key)
    digits = "".join(key.replace("\\n", "\n").split())
    for start in range(0, len(digits) - 12, 4):
        piece = digits[start : start + 12]
        if "-" not in piece and "/no/such" not in key:
            assert piece not in text
    assert PASSPHRASE not in text
