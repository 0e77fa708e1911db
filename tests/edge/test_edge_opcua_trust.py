"""Trust by certification authority: chains, revocation lists, and everything that must fail."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.opcua.trust import KEPT, TrustStore
from edge.opcua.unit import unit_id

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Party:
    """A certificate with its key, issued by another or by itself."""

    def __init__(self, name: str, issuer: "Party | None" = None, *, ca: bool = False) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name if issuer else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:{name}")]),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(True, True, True, True, False, ca, ca, False, False), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())
        self.der = self.certificate.public_bytes(serialization.Encoding.DER)

    def revokes(self, *parties: "Party", ends: datetime = NOW + DAY) -> bytes:
        """A revocation list."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(NOW - DAY)
            .next_update(ends)
        )
        for party in parties:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(party.certificate.serial_number)
                .revocation_date(NOW - DAY)
                .build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def root() -> Party:
    """A certification authority."""
    return Party("root", ca=True)


@pytest.fixture(scope="module")
def middle(root: Party) -> Party:
    """An authority below it."""
    return Party("middle", root, ca=True)


@pytest.fixture(scope="module")
def client(middle: Party) -> Party:
    """A client of the lower authority."""
    return Party("client", middle)


def put(folder: Path, name: str, content: bytes) -> None:
    """A file in the store."""
    (folder / name).write_bytes(content)


def test_a_chain_needs_every_link_and_every_list(
    tmp_path: Path, root: Party, middle: Party, client: Party
) -> None:
    store = TrustStore(tmp_path)
    assert "not trusted" in (store.refusal(client.der) or "")
    put(tmp_path, "trusted/root.der", root.der)
    assert "not trusted" in (store.refusal(client.der) or "")
    put(tmp_path, "issuers/middle.der", middle.der)
    assert "not trusted" in (store.refusal(client.der) or "")  # no revocation lists
    put(tmp_path, "issuers/middle.crl", middle.revokes())
    assert "not trusted" in (store.refusal(client.der) or "")  # not of the root
    put(tmp_path, "trusted/root.crl", root.revokes())
    assert store.refusal(client.der) is None


def test_a_revoked_client_or_authority_is_refused(
    tmp_path: Path, root: Party, middle: Party, client: Party
) -> None:
    store = TrustStore(tmp_path)
    put(tmp_path, "trusted/root.der", root.der)
    put(tmp_path, "issuers/middle.der", middle.der)
    put(tmp_path, "issuers/middle.crl", middle.revokes(client))
    put(tmp_path, "trusted/root.crl", root.revokes())
    assert "not trusted" in (store.refusal(client.der) or "")
    put(tmp_path, "issuers/middle.crl", middle.revokes())
    assert store.refusal(client.der) is None
    put(tmp_path, "trusted/root.crl", root.revokes(middle))
    assert "not trusted" in (store.refusal(client.der) or "")


def test_an_old_or_forged_list_counts_for_nothing(tmp_path: Path, root: Party) -> None:
    client = Party("direct", root)
    store = TrustStore(tmp_path)
    put(tmp_path, "trusted/root.der", root.der)
    put(tmp_path, "trusted/root.crl", root.revokes(ends=NOW - DAY / 2))
    assert "not trusted" in (store.refusal(client.der) or "")
    forger = Party("root", ca=True)
    put(tmp_path, "trusted/root.crl", forger.revokes())
    assert "not trusted" in (store.refusal(client.der) or "")
    put(tmp_path, "trusted/root.crl", b"broken")
    assert "not trusted" in (store.refusal(client.der) or "")
    put(tmp_path, "trusted/root.crl", root.revokes())
    assert store.refusal(client.der) is None


def test_an_issuer_that_is_not_trusted_itself_lets_nobody_in(tmp_path: Path) -> None:
    authority = Party("somebody", ca=True)
    client = Party("client", authority)
    store = TrustStore(tmp_path)
    put(tmp_path, "issuers/a.der", authority.der)
    put(tmp_path, "issuers/a.crl", authority.revokes())
    assert "not trusted" in (store.refusal(client.der) or "")


def test_a_trusted_client_is_no_authority(tmp_path: Path) -> None:
    client = Party("client")
    imposter = Party("imposter", client)
    store = TrustStore(tmp_path)
    put(tmp_path, "trusted/client.der", client.der)
    put(tmp_path, "trusted/client.crl", client.revokes())
    assert store.refusal(client.der) is None
    assert "not trusted" in (store.refusal(imposter.der) or "")


def test_refused_certificates_do_not_fill_the_disk(tmp_path: Path, root: Party) -> None:
    store = TrustStore(tmp_path)
    der = root.der
    for number in range(KEPT + 5):
        put(tmp_path, f"rejected/{number:064x}.der", der)
    assert store.refusal(Party("new").der)
    assert len(list((tmp_path / "rejected").iterdir())) == KEPT


def test_unit_codes() -> None:
    assert unit_id("bar") == int.from_bytes(b"BAR", "big")
