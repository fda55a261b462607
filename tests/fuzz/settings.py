"""Settings, as a program or its environment gives them; private keys; and texts from which secrets are taken."""

from __future__ import annotations

import base64
import contextlib
import os
import re
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cozeloop_lite import config, errors, masking
from cozeloop_lite.api import addresses, keys, proxies

from .feed import SEPARATOR, Feed, as_text, example
from .reader import Reader

# -- settings ---------------------------------------------------------------------------------------------------------


def _base_url(text):
    url = config.base_url(text)
    assert re.match(r"https?://[^\s\x7f@?#]+\Z", url, re.I)
    assert not url.endswith("/")
    addresses._warned.clear()
    addresses.warn_of_plain_text(url)
    assert urlsplit(url).hostname


def _workspace_id(text):
    assert config.workspace_id(text).strip()


@contextlib.contextmanager
def _environment(**variables):
    try:
        os.environ.update(variables)
    except ValueError:  # no environment can have such characters
        pass
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def _timeout(text):
    with _environment(**{config.ENV_REQUEST_TIMEOUT: text}):
        assert 0 < config.request_timeout(None) < float("inf")


def _proxy(text):
    address, _, exceptions = text.partition("\x1e")
    with _environment(https_proxy=address, no_proxy=exceptions):
        for url in ("https://api.example.com/x", "https://[2001:db8::1]:8888/x"):
            proxy = proxies.proxy_for(url)
            if proxy is not None:
                assert re.match(r"https?://[\x21-\x7e]+\Z", proxy.url)
                assert "@" not in proxy.url
                assert all(re.match(r"[\x20-\x7e]+\Z", value) for value in proxy.headers.values())


def _path(text):
    path = config.file_path("spool_dir", text)
    assert path == "" or os.path.isabs(path)


def _headers(text):
    given = dict(line.partition(":")[::2] for line in text.split("\x1e"))
    for name, value in config.headers(given).items():
        assert re.match(r"[\x21-\x39\x3b-\x7e]+\Z", name)
        assert not re.search(r"[\x00-\x1f\x7f]", value)
        value.encode("latin-1")


def _token(text):
    try:
        token = config.token(text)
    except errors.InvalidParamError as error:
        assert len(text.strip()) < 12 or text.strip() not in str(error)
        raise
    assert re.match(r"[\x21-\x7e]+\Z", token)
    assert token in text


_SETTINGS = (_base_url, _workspace_id, _timeout, _path, _headers, _token, _proxy)


def fuzz_setting(data):
    feed = Feed(data)
    check = feed.pick(_SETTINGS)
    try:
        check(feed.text())
    except errors.InvalidParamError as error:
        assert str(error)


# -- private keys -----------------------------------------------------------------------------------------------------


def fuzz_key(data):
    text = as_text(data)
    try:
        _, algorithm = keys.read(text)
    except errors.ParsePrivateKeyError as error:
        said = str(error)
        assert len(said) < 500
        for label in re.findall(r"-----BEGIN ([A-Z0-9 ]{1,40})-----", text):  # which is said, and no secret
            said = said.replace(label, "")
        assert not any(word in said for word in re.findall(r"[A-Za-z0-9+/=]{16,}", text) if word not in _SAID)
    else:
        assert algorithm in ("RS256", "ES256")


_SAID = str(keys._unusable("")) + " ".join((*keys._OTHERS, *keys._OTHERS.values()))

# -- masks ------------------------------------------------------------------------------------------------------------

_LONGER = ("url_password", "named_secret", "bearer")  # what stands before may begin one that goes on, and is none
_ONE_KIND = {kind: masking.Mask(kind) for kind in masking.KINDS}
_PLANTED = {  # each between blanks, whatever stands around
    "private_key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIabcdef\n-----END RSA PRIVATE KEY-----", "MIIabcdef"),
    "bearer": ("Bearer abcdefgh12345678", "abcdefgh12345678"),
    "api_key": ("sk-abcdefghijklmnop1234", "sk-abcdefghijklmnop1234"),
    "named_secret": ('"password": "hunter2hunter2"', "hunter2hunter2"),
    "url_password": ("https://user:s3cr3t-s3cr3t@example.com", "s3cr3t-s3cr3t"),
    "email": ("bob.q@example.com", "bob.q@example.com"),
    "card": ("4111111111111111", "4111111111111111"),
    "phone_cn": ("13800138000", "13800138000"),
}


def fuzz_mask(data):
    feed = Feed(data)
    kind = feed.pick(sorted(_PLANTED))
    text = feed.text()
    mask = _ONE_KIND[kind]
    masked = masking.mask_secrets(text)
    assert type(masked) is str
    secret, hidden = _PLANTED[kind]
    if hidden not in text:
        assert hidden not in mask("%s\n%s" % (secret, text))
        if kind not in _LONGER:
            assert hidden not in mask("%s\n %s \n%s" % (text, secret, text))


# -- examples ---------------------------------------------------------------------------------------------------------


def _pem(key, form):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode("ascii")


def _rsa():
    """A small key, the same each time: it is quick to check."""
    p, q, exponent = 2**521 - 1, 2**607 - 1, 65537
    d = _inverse(exponent, (p - 1) * (q - 1))
    crt = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(exponent, p * q)).private_key()


def _inverse(number, modulus):
    """As ``pow(number, -1, modulus)`` of newer Pythons."""
    old, new, rest, left = 0, 1, modulus, number
    while left:
        times = rest // left
        old, new, rest, left = new, old - times * new, left, rest - times * left
    return old % modulus


_EC = ec.derive_private_key(7, ec.SECP256R1())
_PKCS8, _TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_PEMS = [_pem(_EC, _PKCS8), _pem(_EC, _TRADITIONAL), _pem(ec.derive_private_key(7, ec.SECP384R1()), _PKCS8)]
_PEMS.append(_pem(_rsa(), _PKCS8))
_PUBLIC = _EC.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
).decode("ascii")
_KEYS = (
    *_PEMS,
    *(_PEMS[0].replace("\n", "\\n"), '"%s"' % _PEMS[0].replace("\n", " ")),
    base64.b64encode(_PEMS[0].encode()).decode(),
    *("".join(line for line in _PEMS[0].splitlines() if "-----" not in line), _PUBLIC, "/etc/passwd", ""),
)
_TEXTS = (
    "mail bob@example.com, key sk-abcdefghijklmnop1234, Authorization: Bearer abcdefgh12345678",
    '{"api_key": "0123456789abcdef", "password":"hunter22", \\"token\\": \\"x1y2z3\\"}',
    "https://user:s3cr3t@example.com:8080/path?access_token=abcdef ghp_" + "a" * 36,
    "4111 1111 1111 1111, 13800138000, +86 138-0013-8000, 11010519491231002X",
    "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\neyJhbGciOiJ9.eyJzdWIiOiIx.c2lnbmF0dXJl",
)
_URLS = ("https://api.coze.cn", "http://localhost:8888/", "HTTP://[::1%25eth0]:8888/base", "http://10.0.0.1./x/")

READERS = [
    Reader(
        "setting",
        fuzz_setting,
        [
            *[example(url, 0) for url in _URLS],
            *[example(text, 1) for text in ("7", " 7 ")],
            *[example(text, 2) for text in ("3000", "1e3", "nan", "1_0")],
            *[example(text, 3) for text in ("/tmp/spool", "~/x", "../x")],
            example(SEPARATOR.join((b"X-A:b", b"X-C: d")), 4),
            *[example(text, 5) for text in ("pat_abcdefghijklmnop", "Bearer pat_abcdefghijklmnop ")],
            example(b"http://user:p%40ss@proxy.example:3128" + SEPARATOR + b"localhost, .example.org,10.0.0.0/8", 6),
            example(b"proxy:3128" + SEPARATOR + b"2001:db8::/32,*.example.com:443,api.example.com:8888", 6),
        ],
        (
            *(b"http://", b"https://", b"[", b"]", b"[::1]", b"@", b"?", b"#", b"\\", b":99999", b":x", b"%25"),
            b"\xe2\x84\x80",
        ),
    ),
    Reader(
        "private key",
        fuzz_key,
        [example(text) for text in _KEYS],
        (
            *(b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----", b"-----BEGIN A-----", b"-----", b"\\n"),
            *(b"RSA ", b"EC ", b"ENCRYPTED ", b"PUBLIC KEY", b"CERTIFICATE", b"Proc-Type:", b"/etc", b"~", b"AAAA"),
            *(b"=", b"MII"),
        ),
    ),
    Reader(
        "mask",
        fuzz_mask,
        [example(text, kind) for text in _TEXTS for kind in range(len(_PLANTED))],
        (
            *(b"sk-", b"eyJ", b".eyJ", b"@", b".com", b"://", b"-----BEGIN ", b"PRIVATE KEY-----", b"-----END "),
            *(b"password", b"_token", b"secret=", b'": "', b"Bearer ", b"4111", b"138", b"11010519491231", b"a:b@"),
            *(b"\\\\\\", b"a" * 17, b"a.", b"1-", b"1 ", b"x@y."),
        ),
    ),
]
