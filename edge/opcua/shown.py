"""Certificates as a person sees them before trusting them."""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge.opcua.certificate import application_uris
from plant.text import printable

log = logging.getLogger("kaikou.opcua")

_SUFFIXES = {".der", ".pem", ".crt", ".cer"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate; what its owner wrote into it is printable text here."""

    fingerprint: str
    subject: str
    uri: str
    ends: datetime
    file: Path
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.fingerprint}  {self.subject}  {self.uri}  until {self.ends:%Y-%m-%d}"
        return f"{what}  ({'; '.join(self.problems)})" if self.problems else what


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


def der_of(certificate: x509.Certificate) -> bytes:
    """A certificate as bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def subject_of(certificate: x509.Certificate) -> str:
    """Who it says that it is."""
    return printable(certificate.subject.rfc4514_string())


def uri_of(certificate: x509.Certificate) -> str:
    """The application it says that it is of."""
    return printable(", ".join(application_uris(certificate)))


def certificates(folder: Path) -> Iterator[tuple[Path, x509.Certificate]]:
    """The certificates in a folder, DER or PEM; what is none is told and left out."""
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in _SUFFIXES:
            continue
        try:
            content = file.read_bytes()
            if content.startswith(b"-----"):
                yield file, x509.load_pem_x509_certificate(content)
            else:
                yield file, x509.load_der_x509_certificate(content)
        except FileNotFoundError:  # it was moved meanwhile
            continue
        except (OSError, ValueError) as error:
            log.warning("%s is no certificate: %s", printable(file), printable(error))


def shown(folder: Path) -> list[Shown]:
    """What lies in a folder, the newest first."""
    now = datetime.now(UTC)
    found: Sequence[tuple[Path, x509.Certificate]] = sorted(
        certificates(folder), key=lambda pair: -pair[0].stat().st_mtime_ns
    )
    return [
        Shown(
            fingerprint(der_of(certificate)),
            subject_of(certificate),
            uri_of(certificate),
            certificate.not_valid_after_utc,
            file,
            tuple(problems(certificate, now)),
        )
        for file, certificate in found
    ]


def problems(certificate: x509.Certificate, now: datetime) -> list[str]:
    """What is wrong with a client's certificate, trusted or not (OPC 10000-4 section 6.1.3)."""
    found = []
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        found.append(f"valid only from {begins:%Y-%m-%d %H:%M} on; it is {now:%Y-%m-%d %H:%M}")
    elif now > ends:
        found.append(f"valid only until {ends:%Y-%m-%d %H:%M}")
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 4096:
        found.append("not an RSA key of 2048 to 4096 bits")
    signed = certificate.signature_hash_algorithm
    if signed is None or signed.digest_size < 32:
        found.append("signed with less than SHA-256")
    if not application_uris(certificate):
        found.append("names no application URI")
    return found + _usage_problems(certificate)


def _usage_problems(certificate: x509.Certificate) -> list[str]:
    found = []
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature and usage.key_encipherment):
            found.append("not for signing and key encipherment")
        purpose = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.CLIENT_AUTH not in purpose:
            found.append("not for a client")
    except x509.ExtensionNotFound as error:
        found.append(printable(error))
    return found
