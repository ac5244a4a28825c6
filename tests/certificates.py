"""Certificates made when a test needs them, and an authority that nobody trusts unless told to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Makes certificates; `file`, once written, is what SSL_CERT_FILE has to name for them to be trusted."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    @property
    def file(self) -> Path:
        """The authority's own certificate."""
        target = self.folder / "authority.pem"
        if not target.is_file():
            made = self._sign("authority", self.key, timedelta(days=1), is_authority=True)
            target.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return target

    def server(self, host: str = "localhost", valid_for: timedelta = timedelta(days=1)) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate of this name."""
        key = _key()
        target = self.folder / f"{host}.pem"
        plain = serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(serialization.Encoding.PEM, form, plain)
        target.write_bytes(self._sign(host, key, valid_for).public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(target)
        target.unlink()
        return context

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, valid_for: timedelta, *, is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        whose = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + valid_for)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(whose, critical=False)
        )
        return made.sign(self.key, hashes.SHA256())
