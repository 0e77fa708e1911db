"""The server's own application certificate, made at the first start (OPC 10000-6 section 6.2.2)."""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import ipaddress
import logging
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from plant.errors import ConfigError

log = logging.getLogger("kaikou.opcua")

KEY_BITS = 2048
"""What all three policies allow (2048 to 4096); more costs a small box seconds a connection."""
VALID = timedelta(days=5 * 365)
WARN_DAYS = (60, 30, 7)


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
        Half of it is missing, it does not belong together, or it is not valid now.
    """
    certificate_file, key_file = folder / "certificate.der", folder / "key.pem"
    if not certificate_file.exists() and not key_file.exists():
        _make(folder, name, addresses)
    try:
        certificate = x509.load_der_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"OPC UA server certificate in {folder}: {error}; restore certificate.der and key.pem, "
            "or remove both and a new pair is made (clients must then trust it again)"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or certificate.public_key() != key.public_key():
        raise ConfigError(f"OPC UA server certificate in {folder}: key.pem is not its RSA key")
    uris = application_uris(certificate)
    if len(uris) != 1:
        raise ConfigError(f"OPC UA server certificate in {folder}: it must name one URI: {uris}")
    _check_dates(certificate, folder)
    return Identity(certificate, key, uris[0])


def application_uris(certificate: x509.Certificate) -> list[str]:
    """The URIs in a certificate's subjectAltName."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def _check_dates(certificate: x509.Certificate, folder: Path) -> None:
    now = datetime.now(UTC)
    ends = certificate.not_valid_after_utc
    if not certificate.not_valid_before_utc <= now <= ends:
        raise ConfigError(
            f"OPC UA server certificate in {folder}: valid only from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d} to {ends:%Y-%m-%d}; check the clock, or "
            "remove certificate.der and key.pem and a new pair is made"
        )
    left = (ends - now).days
    if left <= max(WARN_DAYS):
        log.warning(
            "the OPC UA server's certificate ends in %d days (%s)", left, f"{ends:%Y-%m-%d}"
        )


def _make(folder: Path, name: str, addresses: tuple[str, ...]) -> None:
    host = socket.gethostname() or "localhost"
    uri = f"urn:{host}:kaikou:{name}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"Kaikou {name}"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kaikou"),
        ]
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [_general_name(a) for a in dict.fromkeys((host, "localhost", "127.0.0.1", *addresses))]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .add_extension(_key_usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
    )
    certificate = builder.sign(key, hashes.SHA256())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "certificate.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    log.info("made an OPC UA application certificate for %s in %s", uri, folder)


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
