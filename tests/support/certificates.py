"""Certificates to test with: an authority of our own, and servers and clients that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .recording import RecordingServer

NAMES = ("localhost", "platform.test")
ADDRESSES = ("127.0.0.1", "0.0.0.0")  # the latter, too, leads to this machine
FIRST_DAY, LAST_DAY = datetime.datetime(2020, 1, 1), datetime.datetime(2040, 1, 1)

# To sign certificates and lists of revoked ones, and for none of the seven other uses.
_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


class Authority:
    """Signs certificates. ``folder`` gets files of them: ``ca.pem``, and ``name.pem`` with certificate and key."""

    def __init__(self, folder, title="authority"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(title)
        builder = self._builder(self.name, self.key).add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(_USAGE, critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.path = str(folder / "ca.pem")
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, title, names=NAMES, addresses=ADDRESSES):
        """The path of a file with a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subjects = [x509.DNSName(name) for name in names]
        subjects += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = self._builder(_name(title), key).add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = self.folder / (title + ".pem")
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(path)

    def _builder(self, subject, key):
        """With what CPython 3.13 asks for: its contexts check as strictly as RFC 5280 (``VERIFY_X509_STRICT``)."""
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), serial, FIRST_DAY, LAST_DAY)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(signer, critical=False)


def _name(title):
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, title)])


class SecureServer(RecordingServer):
    """A recording server that speaks TLS; with ``clients`` only to who has a certificate of that authority."""

    def __init__(self, certificate, clients=None):
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        # The handshake is left to the thread of the connection, whose first read begins it.
        self._listener = context.wrap_socket(self._listener, server_side=True, do_handshake_on_connect=False)
        self.url = "https://127.0.0.1:%d" % self.port
