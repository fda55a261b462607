"""Which private keys are understood, whatever became of them on their way, and what is said of those that are not."""

from __future__ import annotations

import base64
import gc
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519

from cozeloop_lite import errors
from cozeloop_lite.api import keys
from support.private_keys import (
    EC,
    ENCRYPTED,
    PEM,
    PKCS8,
    RSA,
    RSA_PEM,
    TRADITIONAL,
    assert_nothing_shown,
    body_of,
    certificate,
    framed,
    public,
    written,
)


def same_key(key, other):
    return public(key) == public(other)


@pytest.mark.parametrize(
    ("key", "form", "first_line", "alg"),
    [
        (RSA, PKCS8, "-----BEGIN PRIVATE KEY-----", "RS256"),
        (RSA, TRADITIONAL, "-----BEGIN RSA PRIVATE KEY-----", "RS256"),
        (EC, PKCS8, "-----BEGIN PRIVATE KEY-----", "ES256"),
        (EC, TRADITIONAL, "-----BEGIN EC PRIVATE KEY-----", "ES256"),
    ],
    ids=["PKCS#8 RSA", "PKCS#1", "PKCS#8 EC", "SEC1"],
)
def test_a_key_of_each_form_is_read_and_says_how_it_signs(key, form, first_line, alg):
    text = written(key, form)
    assert text.startswith(first_line)
    for given in (text, body_of(text)):  # the latter without its first and last line
        read, found = keys.read(given)
        assert same_key(read, key)
        assert found == alg


ON_ITS_WAY = {
    "breaks escaped": lambda pem: pem.replace("\n", "\\n"),
    "breaks escaped twice": lambda pem: pem.replace("\n", "\\\\n"),
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "CRLF escaped": lambda pem: pem.replace("\n", "\\r\\n"),
    "CR": lambda pem: pem.replace("\n", "\r"),
    "breaks lost to blanks": lambda pem: pem.replace("\n", " "),
    "breaks lost": lambda pem: pem.replace("\n", ""),
    "in double quotes": lambda pem: '"%s"' % pem.replace("\n", "\\n"),
    "in single quotes": lambda pem: "'%s'" % pem,
    "in blanks": lambda pem: " \t\n" + pem + "\n\n ",
    "indented": lambda pem: textwrap.indent(pem, "    "),
    "byte order mark": lambda pem: "\ufeff" + pem,
    "words around it": lambda pem: "Bag Attributes\n    friendlyName: a\n" + pem + "# the end\n",
    "with its certificate": lambda pem: certificate(RSA) + pem,
    "with its public key": lambda pem: public(RSA) + pem,
    "bare base64": body_of,
    "bare base64 after a byte order mark": lambda pem: "\ufeff" + body_of(pem),
    "bare base64 in lines": lambda pem: "\n".join(pem.splitlines()[1:-1]),
    "bare base64 in quotes, breaks escaped": lambda pem: '"%s\\n"' % "\\n".join(pem.splitlines()[1:-1]),
    "the whole as base64": lambda pem: base64.b64encode(pem.encode()).decode(),
}


@pytest.mark.parametrize("way", ON_ITS_WAY)
def test_a_key_is_read_whatever_happened_to_it_on_its_way(way):
    changed = ON_ITS_WAY[way](RSA_PEM)
    assert changed != RSA_PEM
    key, alg = keys.read(changed)
    assert same_key(key, RSA)
    assert alg == "RS256"


def test_parameters_before_an_ec_key_are_passed_over():
    # as "openssl ecparam -genkey" writes them
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert same_key(keys.read(parameters + written(EC, TRADITIONAL))[0], EC)


def shortened(pem, part=0.5):
    lines = pem.splitlines()
    middle = lines[1:-1]
    return "\n".join([lines[0], *middle[: int(len(middle) * part)], lines[-1]])


def altered(pem):
    """Base64 all right, and not the key any more: the length of the first number is another one."""
    der = bytearray(base64.b64decode(body_of(pem)))
    der[4:8] = b"\xff\xff\xff\xff"
    return framed("PRIVATE KEY", bytes(der))


SIZE = len(base64.b64decode(body_of(RSA_PEM)))
P384 = ec.generate_private_key(ec.SECP384R1())
OTHER = ed25519.Ed25519PrivateKey.generate()
WRONG_KEYS = {
    "empty": ("", "is empty"),
    "blank": (' "\\n" ', "is empty"),
    "bytes": (RSA_PEM.encode(), "is a bytes, not a str"),
    "a path object": (Path("key.pem"), r"is a \w*Path, not a str"),
    "nothing": (None, "is a NoneType, not a str"),
    "a public key": (public(RSA), "is a public key"),
    "a public EC key": (public(EC), "is a public key"),
    "a public key, PKCS#1": (
        RSA.public_key().public_bytes(PEM, serialization.PublicFormat.PKCS1).decode(),
        "is a public key",
    ),
    "a public key, bare": (body_of(public(RSA)), "is a public key"),
    "a public key called private": (public(RSA).replace("PUBLIC", "PRIVATE"), "is a public key"),
    "a certificate": (certificate(RSA), "is a certificate"),
    "a certificate, bare": (body_of(certificate(RSA)), "is a certificate"),
    "encrypted": (written(RSA, PKCS8, ENCRYPTED), "is encrypted"),
    "encrypted, PKCS#1": (written(RSA, TRADITIONAL, ENCRYPTED), "is encrypted"),
    "encrypted, breaks escaped": (
        written(RSA, TRADITIONAL, ENCRYPTED).replace("\n", "\\n"),
        "is encrypted",
    ),
    "encrypted, bare": (
        body_of(written(RSA, PKCS8, ENCRYPTED)),
        "is encrypted",
    ),
    "broken off inside": (shortened(RSA_PEM), r"is truncated: \d+ of %d bytes" % SIZE),
    "broken off, bare": (body_of(RSA_PEM)[: len(body_of(RSA_PEM)) // 2], r"is truncated: \d+ of %d bytes" % SIZE),
    "broken off, SEC1": (body_of(written(EC, TRADITIONAL))[:80], r"is truncated: 60 of 121 bytes"),
    "broken off at the end": (RSA_PEM[: len(RSA_PEM) // 2], "its last line, -----END"),
    "broken off at the beginning": (RSA_PEM[len(RSA_PEM) // 2 :], "its first line, -----BEGIN"),
    "only the first line": ("-----BEGIN PRIVATE KEY-----\\n", "its last line, -----END"),
    "nothing between the lines": (framed("PRIVATE KEY", b""), "between its first and its last line is no base64"),
    "no base64": (RSA_PEM.replace("\n", "\n????", 1), "between its first and its last line is no base64"),
    "no base64, bare": (body_of(RSA_PEM)[:100] + "????" + body_of(RSA_PEM)[100:], "is neither PEM nor base64"),
    "a digit short": (framed("PRIVATE KEY", b"").replace("\n-", "\nAAAAA-", 1), "is no base64"),
    "altered": (altered(RSA_PEM), "is damaged, or a key of a kind that cryptography does not know"),
    "another curve": (written(P384), "is an EC key on the curve secp384r1, and only P-256"),
    "another curve, SEC1": (written(P384, TRADITIONAL), "is an EC key on the curve secp384r1, and only P-256"),
    "the curve of coins": (written(ec.generate_private_key(ec.SECP256K1())), "on the curve secp256k1, and only P-256"),
    "Ed25519": (written(OTHER), r"is a key of another kind \(Ed25519\)"),
    "DSA": (written(dsa.generate_private_key(1024)), r"is a key of another kind \(DSA\)"),
    "OpenSSH": (written(OTHER, serialization.PrivateFormat.OpenSSH), "is in the format of OpenSSH"),
    "parameters": (framed("EC PARAMETERS", b"12345678"), "has the parameters of an EC key, and not the key"),
    "a request": (framed("CERTIFICATE REQUEST", b"1" * 99), r"something else in PEM form \(CERTIFICATE REQUEST\)"),
    "words": ("my secret key!", "is neither PEM nor base64"),
    "a word that looks like base64": ("changeme", "is no key"),
    "not ASCII": ("密钥" * 20, "is neither PEM nor base64"),
    "a path to nowhere": ("/no/such/folder/key.pem", "is neither PEM nor base64"),
    "a null byte": ("key\0.pem", "is neither PEM nor base64"),
    "endless": ("aGVsbG8gd29y" * 6000, "more than 65536 characters"),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
def test_of_another_key_it_is_said_what_it_is_and_nothing_of_it_is_shown(case):
    key, words = WRONG_KEYS[case]
    with pytest.raises(errors.ParsePrivateKeyError, match=words) as raised:
        keys.signer(key)
    message = str(raised.value)
    assert message.startswith("jwt_oauth_private_key (COZELOOP_JWT_OAUTH_PRIVATE_KEY) ")
    assert "Pass the text of the PEM file of an RSA key" in message
    assert raised.value.__context__ is None
    if isinstance(key, (str, bytes)):
        assert_nothing_shown(raised.value, key if isinstance(key, str) else key.decode())


@pytest.mark.parametrize("form", ["%s", '"%s"', " %s\n", "~/%s"])
def test_of_a_path_it_is_said_that_it_is_one(tmp_path, monkeypatch, form):
    (tmp_path / "key.pem").write_text(RSA_PEM)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    text = form % ("key.pem" if "~" in form else tmp_path / "key.pem")
    with pytest.raises(errors.ParsePrivateKeyError, match=r"is the path of a file.*: pass the content of the file"):
        keys.read(text)


def test_a_key_is_not_read_again_while_it_is_in_use(monkeypatch):
    first = keys.signer(RSA_PEM)
    monkeypatch.setattr(keys, "read", lambda text: pytest.fail("read again"))
    assert keys.signer(RSA_PEM) is first
    monkeypatch.undo()
    other = keys.signer(written(EC))
    assert (first.alg, other.alg) == ("RS256", "ES256")
    assert first.digest != other.digest
    digest = first.digest
    del first
    gc.collect()
    assert digest not in keys._in_use
