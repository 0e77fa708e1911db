"""The server's own application certificate (OPC 10000-6 section 6.2.2).

It is made at the first start, and made again with the same key and names before it ends. One that
somebody else issued is only read: who put it there puts the next one there.
"""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import ipaddress
import logging
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plant.errors import ConfigError
from plant.file import make_folder, write_whole
from plant.text import printable

log = logging.getLogger("kaikou.opcua")

ORGANISATION = "Kaikou"
KEY_BITS = 2048
"""What all three policies allow (2048 to 4096); more costs a small box seconds a connection."""
VALID = timedelta(days=5 * 365)
BEFORE = timedelta(days=1)
"""Valid from so long ago: a client whose clock is behind must not find it not valid yet."""
WARN = timedelta(days=60)
RENEW = timedelta(days=30)
"""One that we made is made again when it has no more than this left."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Our certificate and key. ``uri`` is the application URI, taken from the certificate."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    uri: str


def identity(folder: Path, name: str, addresses: tuple[str, ...] = ()) -> Identity:
    """The server's identity from ``folder``; made when there is neither certificate nor key.

    Parameters
    ----------
    folder
        Holds ``certificate.der`` and ``key.pem``.
    name
        Ends the application URI, ``urn:HOST:kaikou:NAME``, of a certificate made now.
    addresses
        IP addresses and host names that clients will use, beside this host's own name.

    Raises
    ------
    ConfigError
        Half of it is missing, it does not belong together, or it is not valid now and not ours
        to renew.
    """
    certificate_file, key_file = folder / "certificate.der", folder / "key.pem"
    if not certificate_file.exists() and not key_file.exists():
        _make(folder, name, addresses)
    found = _read(folder)
    if _is_ours(found.certificate) and _ends_soon(found.certificate):
        found = _renew(folder, found)
    _check_dates(found.certificate, folder)
    return found


def _read(folder: Path) -> Identity:
    try:
        certificate = x509.load_der_x509_certificate((folder / "certificate.der").read_bytes())
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
        if _is_ours(certificate):
            certificate.verify_directly_issued_by(certificate)
    except PermissionError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from error
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        why = printable(error) or "the signature of certificate.der is wrong"
        raise ConfigError(
            f"OPC UA server certificate in {folder}: {why}; restore certificate.der "
            "and key.pem, or remove both and a new pair is made (clients must then trust it again)"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or certificate.public_key() != key.public_key():
        raise ConfigError(f"OPC UA server certificate in {folder}: key.pem is not its RSA key")
    uris = application_uris(certificate)
    if len(uris) != 1:
        raise ConfigError(f"OPC UA server certificate in {folder}: it must name one URI: {uris}")
    return Identity(certificate, key, uris[0])


def application_uris(certificate: x509.Certificate) -> list[str]:
    """The URIs in a certificate's subjectAltName."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def _is_ours(certificate: x509.Certificate) -> bool:
    """Whether we signed it ourselves, and nobody has to be asked for another one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ours = any(name.value == ORGANISATION for name in names)
    return ours and certificate.issuer == certificate.subject


def _ends_soon(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - datetime.now(UTC) <= RENEW


def _check_dates(certificate: x509.Certificate, folder: Path) -> None:
    now = datetime.now(UTC)
    ends = certificate.not_valid_after_utc
    if not certificate.not_valid_before_utc <= now <= ends:
        raise ConfigError(
            f"OPC UA server certificate in {folder}: valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d} to {ends:%Y-%m-%d}; check the clock, or "
            "remove certificate.der and key.pem and a new pair is made"
        )
    if ends - now <= WARN:
        log.warning(
            "the OPC UA server's certificate ends in %d days (%s)",
            (ends - now).days,
            f"{ends:%Y-%m-%d}",
        )


def _make(folder: Path, name: str, addresses: tuple[str, ...]) -> None:
    host = socket.gethostname() or "localhost"
    uri = f"urn:{host}:kaikou:{name}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Kaikou {name}"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
        ]
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [_general_name(a) for a in dict.fromkeys((host, "localhost", "127.0.0.1", *addresses))]
    certificate = _signed(key, subject, x509.SubjectAlternativeName(names))
    make_folder(folder)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_whole(folder / "key.pem", pem)
    write_whole(folder / "certificate.der", certificate.public_bytes(serialization.Encoding.DER))
    log.info("made an OPC UA application certificate for %s in %s", uri, folder)


def _renew(folder: Path, held: Identity) -> Identity:
    """The same key and names, valid for longer; the former certificate is kept beside it."""
    old = held.certificate
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    certificate = _signed(held.key, old.subject, names)
    file = folder / "certificate.der"
    der = serialization.Encoding.DER
    write_whole(
        folder / f"certificate.until-{old.not_valid_after_utc:%Y-%m-%d}.der", old.public_bytes(der)
    )
    write_whole(file, certificate.public_bytes(der))
    log.warning(
        "renewed the OPC UA server's certificate, which ended on %s: clients that were given the "
        "former one must trust the new one, %s", f"{old.not_valid_after_utc:%Y-%m-%d}", file,
    )  # fmt: skip
    return Identity(certificate, held.key, held.uri)


def _signed(
    key: rsa.RSAPrivateKey, subject: x509.Name, names: x509.SubjectAlternativeName
) -> x509.Certificate:
    """A certificate of ours for a key, valid from a day ago."""
    public, now = key.public_key(), datetime.now(UTC)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + VALID)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(key, hashes.SHA256())
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _key_usage() -> x509.KeyUsage:
    """What OPC 10000-6 table 43 asks of an application certificate, and self-signed."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
