"""Which clients the OPC UA server believes: trusted, issuers and rejected certificates in folders.

It fails closed. A client is let in when its very certificate lies in ``trusted``, or when a
certification authority in ``trusted`` issued it (also over authorities in ``issuers``) and each
of them has a revocation list there that does not name it. Anything else is refused, and a
certificate that is only unknown is kept in ``rejected`` until a person accepts it.
"""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from edge.opcua.shown import Shown, certificates, der_of, fingerprint, problems, shown
from edge.opcua.waiting import KEPT, Waiting
from plant.errors import ConfigError
from plant.file import make_folder
from plant.text import printable

__all__ = ["KEPT", "Shown", "TrustStore", "fingerprint"]

log = logging.getLogger("kaikou.opcua")

MAX_CHAIN = 3
SHORTEST = 8
"""Characters of a fingerprint that name a certificate; fewer might be met by chance."""


class TrustStore:
    """The folders ``trusted``, ``issuers`` and ``rejected`` under one folder, made when missing.

    Files may be put there by hand (DER or PEM; revocation lists end in ``.crl``); they are read
    again when a folder changes, without a restart.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("trusted", "issuers", "rejected"):
            make_folder(folder / name)
        self._waiting = Waiting(folder / "rejected")
        self._read_at: tuple[tuple[str, int], ...] | None = None
        self._trusted: dict[bytes, x509.Certificate] = {}
        self._issuers: list[x509.Certificate] = []
        self._lists: list[x509.CertificateRevocationList] = []

    def refusal(self, der: bytes, address: str = "") -> str | None:
        """Why a client with this certificate is not let in; None when it is.

        An unknown certificate is kept in ``rejected``, a few for each ``address``.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
            faults = problems(certificate, datetime.now(UTC))
        except (ValueError, TypeError) as error:
            return f"not a certificate: {printable(error)}"
        self._read()
        if not self._known(certificate):
            self._waiting.keep(der, certificate, address)
            return f"not trusted: {fingerprint(der)}"
        return "; ".join(faults) or None

    def trusts(self, der: bytes) -> bool:
        """Whether it is let in as things are now; nothing is kept of it."""
        try:
            certificate = x509.load_der_x509_certificate(der)
        except (ValueError, TypeError):
            return False
        self._read()
        return self._known(certificate) and not problems(certificate, datetime.now(UTC))

    def rejected(self) -> list[Shown]:
        """What waits for a person, newest first."""
        return shown(self.folder / "rejected")

    def trusted(self) -> list[Shown]:
        """What is let in."""
        return shown(self.folder / "trusted")

    def find(self, prefix: str, *, trusted: bool = False) -> Shown:
        """The certificate whose fingerprint begins like this: a rejected one, or a trusted one.

        Raises
        ------
        ConfigError
            There is none, or more than one, or the beginning is too short to mean one.
        """
        wanted = prefix.replace(":", "").replace(" ", "").lower()
        kind, there = ("trusted", self.trusted()) if trusted else ("rejected", self.rejected())
        found = [one for one in there if wanted and one.fingerprint.startswith(wanted)]
        known = "".join(f"\n  {one}" for one in there) or " none is waiting" * (not trusted)
        if len(found) != 1:
            what = "more than one" if found else "no"
            raise ConfigError(
                f"{what} {kind} certificate begins with {printable(prefix)!r}:{known}"
            )
        if len(wanted) < SHORTEST:
            raise ConfigError(
                f"{printable(prefix)!r} is too short: give at least {SHORTEST} characters of the "
                f"fingerprint:{known}"
            )
        return found[0]

    def accept(self, prefix: str) -> Shown:
        """Trust a rejected certificate, named by the beginning of its fingerprint; see ``find``."""
        found = self.find(prefix)
        return _moved(found, self.folder / "trusted")

    def remove(self, prefix: str) -> Shown:
        """Trust a certificate no more; it waits among the rejected again. See ``find``."""
        found = self.find(prefix, trusted=True)
        return _moved(found, self.folder / "rejected")

    def clear(self) -> int:
        """Forget the certificates that wait; how many they were."""
        waiting = self.rejected()
        for one in waiting:
            one.file.unlink(missing_ok=True)
        return len(waiting)

    def _read(self) -> None:
        folders = [self.folder / "trusted", self.folder / "issuers"]
        stamps = tuple(stamp for folder in folders for stamp in _stamps(folder))
        if stamps == self._read_at:
            return
        self._trusted = {der_of(c): c for _, c in certificates(folders[0])}
        self._issuers = [c for _, c in certificates(folders[1])]
        self._lists = [found for f in folders for found in _lists(f)]
        self._read_at = stamps

    def _known(self, certificate: x509.Certificate) -> bool:
        """Trusted itself, or by a chain of authorities with revocation lists."""
        for _ in range(MAX_CHAIN):
            if der_of(certificate) in self._trusted:
                return True
            issuer = self._issuer(certificate)
            if issuer is None or not self._cleared(certificate, issuer):
                return False
            certificate = issuer
        return der_of(certificate) in self._trusted

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


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _lists(folder: Path) -> Iterator[x509.CertificateRevocationList]:
    for file in sorted(folder.glob("*.crl")):
        try:
            content = file.read_bytes()
            if content.startswith(b"-----"):
                yield x509.load_pem_x509_crl(content)
            else:
                yield x509.load_der_x509_crl(content)
        except (OSError, ValueError) as error:
            log.warning("%s is no revocation list: %s", printable(file), printable(error))


def _stamps(folder: Path) -> Iterator[tuple[str, int]]:
    """What changes when a file is put there, changed or taken away."""
    for path in (folder, *sorted(folder.iterdir())):
        try:
            yield path.name, path.stat().st_mtime_ns
        except FileNotFoundError:  # taken away meanwhile
            continue


def _moved(found: Shown, folder: Path) -> Shown:
    target = folder / f"{found.fingerprint}{found.file.suffix}"
    found.file.replace(target)
    return replace(found, file=target)
