"""Which clients the OPC UA server believes: trusted, issuers and rejected certificates in folders.

It fails closed. A client is let in when its very certificate lies in ``trusted``, or when a
certification authority in ``trusted`` issued it (also over authorities in ``issuers``) and each
of them has a revocation list there that does not name it. Anything else is refused, and a
certificate that is only unknown is kept in ``rejected`` until a person accepts it.
"""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge.opcua.certificate import application_uris
from plant.errors import ConfigError

log = logging.getLogger("kaikou.opcua")

KEPT = 50
"""Rejected certificates that are kept; the oldest go."""
MAX_BYTES = 8192
"""A certificate larger than this is not kept."""
MAX_CHAIN = 3
_CERTIFICATES = {".der", ".pem", ".crt", ".cer"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate, as a person sees it before trusting it."""

    fingerprint: str
    subject: str
    uri: str
    ends: datetime
    file: Path
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.fingerprint}  {self.subject}  {self.uri}  until {self.ends:%Y-%m-%d}"
        return f"{what}  ({'; '.join(self.problems)})" if self.problems else what


class TrustStore:
    """The folders ``trusted``, ``issuers`` and ``rejected`` under one folder, made when missing.

    Files may be put there by hand (DER or PEM; revocation lists end in ``.crl``); they are read
    again when a folder changes, without a restart.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("trusted", "issuers", "rejected"):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._read_at: tuple[int, ...] = ()
        self._trusted: dict[bytes, x509.Certificate] = {}
        self._issuers: list[x509.Certificate] = []
        self._lists: list[x509.CertificateRevocationList] = []

    def refusal(self, der: bytes, now: datetime | None = None) -> str | None:
        """Why a client with this certificate is not let in; None when it is.

        An unknown certificate is kept in ``rejected``.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            faults = problems(certificate, now or datetime.now(UTC))
        except (ValueError, TypeError) as error:
            return f"not a certificate: {error}"
        self._read()
        if not self._known(certificate):
            self._keep(der, certificate)
            return f"not trusted: {fingerprint(der)}"
        return "; ".join(faults) or None

    def rejected(self) -> list[Shown]:
        """What waits for a person, newest first."""
        return _shown(self.folder / "rejected")

    def trusted(self) -> list[Shown]:
        """What is let in."""
        return _shown(self.folder / "trusted")

    def accept(self, prefix: str) -> Shown:
        """Trust a rejected certificate, named by the beginning of its fingerprint.

        Raises
        ------
        ConfigError
            None of the rejected certificates has this fingerprint, or more than one.
        """
        wanted = prefix.replace(":", "").lower()
        found = [s for s in self.rejected() if wanted and s.fingerprint.startswith(wanted)]
        if len(found) != 1:
            known = "".join(f"\n  {s}" for s in self.rejected()) or " none is waiting"
            what = "more than one" if found else "no"
            raise ConfigError(f"{what} rejected certificate begins with {prefix!r}:{known}")
        shown = found[0]
        target = self.folder / "trusted" / shown.file.name
        shown.file.replace(target)
        return Shown(
            shown.fingerprint, shown.subject, shown.uri, shown.ends, target, shown.problems
        )

    def _read(self) -> None:
        folders = [self.folder / "trusted", self.folder / "issuers"]
        stamps = tuple(
            stat.st_mtime_ns
            for f in folders
            for p in (f, *sorted(f.iterdir()))
            for stat in [p.stat()]
        )
        if stamps == self._read_at:
            return
        self._trusted = {_der(c): c for _, c in _certificates(folders[0])}
        self._issuers = [c for _, c in _certificates(folders[1])]
        self._lists = [found for f in folders for found in _lists(f)]
        self._read_at = stamps

    def _known(self, certificate: x509.Certificate) -> bool:
        """Trusted itself, or by a chain of authorities with revocation lists."""
        for _ in range(MAX_CHAIN):
            if _der(certificate) in self._trusted:
                return True
            issuer = self._issuer(certificate)
            if issuer is None or not self._cleared(certificate, issuer):
                return False
            certificate = issuer
        return _der(certificate) in self._trusted

    def _issuer(self, certificate: x509.Certificate) -> x509.Certificate | None:
        now = datetime.now(UTC)
        for authority in (*self._trusted.values(), *self._issuers):
            if not _is_authority(authority) or authority == certificate:
                continue
            if not authority.not_valid_before_utc <= now <= authority.not_valid_after_utc:
                continue
            try:
                certificate.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return authority
        return None

    def _cleared(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """Whether a current revocation list of the issuer does not name the certificate."""
        now = datetime.now(UTC)
        key = issuer.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        lists = [
            found
            for found in self._lists
            if found.issuer == issuer.subject
            and found.is_signature_valid(key)
            and (found.next_update_utc is None or found.next_update_utc >= now)
        ]
        serial = certificate.serial_number
        return bool(lists) and all(
            found.get_revoked_certificate_by_serial_number(serial) is None for found in lists
        )

    def _keep(self, der: bytes, certificate: x509.Certificate) -> None:
        folder = self.folder / "rejected"
        file = folder / f"{fingerprint(der)}.der"
        if file.exists() or len(der) > MAX_BYTES:
            return
        file.write_bytes(_der(certificate))
        log.warning(
            "refused an OPC UA client: %s (%s) is not trusted; kaikou trust %s lets it in",
            certificate.subject.rfc4514_string(),
            ", ".join(application_uris(certificate)) or "no URI",
            fingerprint(der)[:16],
        )
        kept = sorted(folder.glob("*.der"), key=lambda f: f.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink()


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


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
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature and usage.key_encipherment):
            found.append("not for signing and key encipherment")
        purpose = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.CLIENT_AUTH not in purpose:
            found.append("not for a client")
    except x509.ExtensionNotFound as error:
        found.append(str(error))
    return found


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _certificates(folder: Path) -> Iterator[tuple[Path, x509.Certificate]]:
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in _CERTIFICATES:
            content = file.read_bytes()
            try:
                if content.startswith(b"-----"):
                    yield file, x509.load_pem_x509_certificate(content)
                else:
                    yield file, x509.load_der_x509_certificate(content)
            except ValueError as error:
                log.warning("%s is no certificate: %s", file, error)


def _lists(folder: Path) -> Iterator[x509.CertificateRevocationList]:
    for file in sorted(folder.glob("*.crl")):
        content = file.read_bytes()
        try:
            if content.startswith(b"-----"):
                yield x509.load_pem_x509_crl(content)
            else:
                yield x509.load_der_x509_crl(content)
        except ValueError as error:
            log.warning("%s is no revocation list: %s", file, error)


def _shown(folder: Path) -> list[Shown]:
    now = datetime.now(UTC)
    found: Sequence[tuple[Path, x509.Certificate]] = sorted(
        _certificates(folder), key=lambda pair: -pair[0].stat().st_mtime_ns
    )
    return [
        Shown(
            fingerprint(_der(certificate)),
            certificate.subject.rfc4514_string(),
            ", ".join(application_uris(certificate)),
            certificate.not_valid_after_utc,
            file,
            tuple(problems(certificate, now)),
        )
        for file, certificate in found
    ]
