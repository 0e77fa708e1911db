"""The certificate that the edge shows to OPC UA servers, made once."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import hashlib
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plant.file import write_whole

_BITS = 2048
_VALID = timedelta(days=3650)
_BEFORE = timedelta(days=1)
"""A server whose clock is a little behind must not find us not valid yet."""


def load(path: Path) -> x509.Certificate:
    """A certificate from its file, DER or PEM."""
    content = path.read_bytes()
    if content.startswith(b"-----"):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def thumbprint(path: Path) -> str:
    """SHA-1 of a certificate, as servers show it to their administrators."""
    der = load(path).public_bytes(Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def uri_of(path: Path, otherwise: str) -> str:
    """The application URI a certificate was made for; a server compares the two."""
    try:
        names = load(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return otherwise
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uris[0]) if uris else otherwise


def make(certificate: Path, key: Path, uri: str) -> None:
    """Our own pair, where there is none; the key is readable by its owner only.

    Raises
    ------
    ValueError
        One of them is missing or damaged: servers know the pair, so nothing is made over it.
    """
    if certificate.exists() or key.exists():
        if problem := _damage(certificate, key):
            raise ValueError(
                f"{problem}; restore {certificate.name} and {key.name}, or remove both and a new "
                "pair is made (servers must then trust it again)"
            )
        return
    key.parent.mkdir(parents=True, exist_ok=True)
    private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(key, pem)
    write_whole(certificate, _signed(private, uri).public_bytes(Encoding.DER))


def _damage(certificate: Path, key: Path) -> str:
    """What is wrong with our own pair, "" where nothing is."""
    for file in (certificate, key):
        if not file.exists():
            return f"{file.name} is missing"
    try:
        ours = load(certificate)
        ours.verify_directly_issued_by(ours)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        return f"{certificate.name} is damaged ({str(error) or 'its signature is wrong'})"
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"{key.name} is damaged ({error})"
    same = private.public_key() == ours.public_key()
    return "" if same else f"{key.name} is not the key of {certificate.name}"


def _signed(private: rsa.RSAPrivateKey, uri: str) -> x509.Certificate:
    """As OPC 10000-6 table 43 asks of an application, and self-signed."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Kaikou edge"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kaikou"),
        ]
    )
    public, now = private.public_key(), datetime.now(UTC)
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(socket.gethostname())]
    may = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    other = ("key_agreement", "crl_sign", "encipher_only", "decipher_only")
    usage = dict.fromkeys(may, True) | {"key_cert_sign": True} | dict.fromkeys(other, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
