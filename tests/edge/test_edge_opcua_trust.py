"""Trust by certification authority: chains, revocation lists, and everything that must fail."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.opcua import certificate
from edge.opcua.certificate import application_uris, identity
from edge.opcua.shown import fingerprint
from edge.opcua.trust import TrustStore
from edge.opcua.unit import unit_id
from edge.opcua.waiting import KEPT, KEPT_OF_ONE
from plant.errors import ConfigError

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


def signed(name: str, *, before: datetime = NOW - DAY, after: datetime = NOW + DAY) -> bytes:
    """A client certificate whose subject says whatever it likes."""
    party = Party.__new__(Party)
    party.key = KEY
    party.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(party.name)
        .issuer_name(party.name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:a:b")]), critical=False
        )
        .add_extension(
            x509.KeyUsage(True, True, True, True, False, False, False, False, False), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_subject_forges_no_entry_and_no_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = TrustStore(tmp_path)
    evil = "pump\nedge1: trusted\x1b[2K\r\u202egood"
    assert store.refusal(signed(evil))
    (waiting,) = store.rejected()
    lines = [str(waiting), *(record.getMessage() for record in caplog.records)]
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable(), repr(line)
    assert "\\n" in waiting.subject


def test_a_flood_of_certificates_pushes_nobody_out(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    honest = signed("honest")
    store.refusal(honest, "10.0.0.7")
    for number in range(60):
        store.refusal(signed(f"flood {number}"), "10.0.0.66")
    for number in range(60):
        store.refusal(signed(f"many {number}"), f"10.0.1.{number}")
    waiting = {one.fingerprint for one in store.rejected()}
    assert fingerprint(honest) in waiting
    assert len(waiting) == KEPT
    assert sum("flood" in one.subject for one in store.rejected()) <= KEPT_OF_ONE
    assert store.clear() == KEPT
    late = signed("late")
    store.refusal(late, "10.0.0.66")
    assert [one.fingerprint for one in store.rejected()] == [fingerprint(late)]


def test_one_key_is_not_enough_to_name_a_certificate(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    der = signed("a")
    store.refusal(der)
    for short in (fingerprint(der)[:1], fingerprint(der)[:7]):
        with pytest.raises(ConfigError, match="too short"):
            store.accept(short)
    assert not store.trusted()
    store.accept(fingerprint(der)[:8])
    assert store.refusal(der) is None


def test_trust_is_taken_back(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    der = signed("a")
    store.refusal(der, "10.0.0.7")
    store.accept(fingerprint(der))
    assert store.trusts(der)
    assert store.remove(fingerprint(der)[:12]).file.parent.name == "rejected"
    assert not store.trusts(der)
    assert "not trusted" in (store.refusal(der) or "")
    assert len(store.rejected()) == 1
    with pytest.raises(ConfigError, match="no trusted certificate"):
        store.remove(fingerprint(der))


def test_a_certificate_of_tomorrow_is_said_to_be_so(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    der = signed("a", before=NOW + DAY, after=NOW + 2 * DAY)
    put(tmp_path, "trusted/a.der", der)
    assert (store.refusal(der) or "").startswith("valid only from")


@pytest.mark.parametrize("name", ["a.der", "a.crl"])
def test_what_lies_in_the_folders_and_cannot_be_read_is_passed_over(
    tmp_path: Path, name: str
) -> None:
    store = TrustStore(tmp_path)
    der = signed("a")
    (tmp_path / "trusted" / name).mkdir()
    put(tmp_path, "trusted/b.der", der)
    assert store.refusal(der) is None
    assert len(store.trusted()) == 1


# ------------------------------------------------------------------------------ our own certificate


def test_our_certificate_is_valid_from_a_day_ago(tmp_path: Path) -> None:
    made = identity(tmp_path, "a:b:edge1").certificate
    age = datetime.now(UTC) - made.not_valid_before_utc
    assert timedelta(hours=23) < age < timedelta(hours=25)


@pytest.mark.parametrize("left", [timedelta(days=-3), timedelta(days=29)])
def test_our_certificate_is_made_again_before_it_ends_with_the_same_key_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: timedelta
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificate, "VALID", left)
        patch.setattr(certificate, "BEFORE", timedelta(days=400))
        patch.setattr(certificate, "RENEW", timedelta(days=-9999))
        certificate._make(tmp_path, "a:b:edge1", ())
    old = (tmp_path / "certificate.der").read_bytes()
    made = identity(tmp_path, "a:b:edge1")
    assert made.certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=1000)
    before = x509.load_der_x509_certificate(old)
    assert before.public_key() == made.certificate.public_key()
    assert application_uris(before) == [made.uri]
    (kept,) = tmp_path.glob("certificate.until-*.der")
    assert kept.read_bytes() == old


def test_a_certificate_that_somebody_else_issued_is_not_made_again(tmp_path: Path) -> None:
    party = Party("plant authority")
    put(tmp_path, "certificate.der", party.der)
    pem = party.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    put(tmp_path, "key.pem", pem)
    assert identity(tmp_path, "a:b:edge1").certificate == party.certificate


@pytest.mark.parametrize("left", [b"", b"\x00" * 40, b"-----BEGIN"])
@pytest.mark.parametrize("name", ["certificate.der", "key.pem"])
def test_a_damaged_certificate_or_key_is_told_with_what_to_do(
    tmp_path: Path, name: str, left: bytes
) -> None:
    identity(tmp_path, "a:b:edge1")
    put(tmp_path, name, left)
    with pytest.raises(ConfigError, match="remove both and a new pair is made"):
        identity(tmp_path, "a:b:edge1")
