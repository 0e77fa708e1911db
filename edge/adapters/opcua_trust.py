"""Our certificate towards an OPC UA server, and which of its certificates we accept."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import asyncio
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from plant.errors import Unavailable

if TYPE_CHECKING:
    from edge.adapters.opcua import OpcUa

_DAYS = 3650


async def secure(client: Client, config: "OpcUa", folder: Path) -> None:
    """Set user, certificate and policy before the client connects.

    Raises
    ------
    Unavailable
        The server shows another certificate than the one accepted before, or offers no
        Basic256Sha256 with SignAndEncrypt.
    """
    if config.user is not None and config.password is not None:
        client.set_user(config.user)
        client.set_password(config.password.get_secret_value())
    if config.security == "None":
        return
    place = folder / "opcua_client"
    client.application_uri = f"urn:{socket.gethostname()}:kaikou:edge"
    if config.certificate is not None and config.private_key is not None:
        own, key = Path(config.certificate), Path(config.private_key)
        client.application_uri = await asyncio.to_thread(_uri_of, own, client.application_uri)
    else:
        own, key = place / "own.der", place / "own.pem"
        await asyncio.to_thread(_make_own, own, key, client.application_uri)
    shown = await _shown(client)
    if config.server_certificate is not None:
        accepted = Path(config.server_certificate)
    else:
        accepted = place / (re.sub(r"\W+", "_", config.url) + ".der")
    await asyncio.to_thread(_compare, accepted, shown, first=config.server_certificate is None)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=own,
        private_key=key,
        server_certificate=shown,
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )


async def _shown(client: Client) -> bytes:
    """The certificate (DER) of the endpoint we want."""
    policy = SecurityPolicyBasic256Sha256.URI
    mode = ua.MessageSecurityMode.SignAndEncrypt
    endpoints = await client.connect_and_get_server_endpoints()
    certificate = Client.find_endpoint(endpoints, mode, policy).ServerCertificate
    return x509.load_der_x509_certificate(_first(bytes(certificate))).public_bytes(Encoding.DER)


def _first(chain: bytes) -> bytes:
    """The first certificate of a chain: DER says its own length."""
    if len(chain) > 4 and chain[:2] == b"\x30\x82":
        return chain[: 4 + int.from_bytes(chain[2:4], "big")]
    return chain


def _compare(accepted: Path, shown: bytes, *, first: bool) -> None:
    if not accepted.exists() and first:
        accepted.parent.mkdir(parents=True, exist_ok=True)
        accepted.write_bytes(shown)
        return
    if _load(accepted).public_bytes(Encoding.DER) != shown:
        raise Unavailable(
            f"the server shows another certificate than {accepted}; "
            "if that is right, remove the file, or name the new one in server_certificate"
        )


def _load(path: Path) -> x509.Certificate:
    content = path.read_bytes()
    if content.startswith(b"-----"):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def _uri_of(path: Path, otherwise: str) -> str:
    """The application URI a certificate was made for; a server compares the two."""
    try:
        names = _load(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return otherwise
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uris[0]) if uris else otherwise


def _make_own(certificate: Path, key: Path, uri: str) -> None:
    """Our own pair, made once; the key is readable by its owner only."""
    if certificate.exists() and key.exists():
        return
    key.parent.mkdir(parents=True, exist_ok=True)
    private = generate_private_key()
    key.touch(mode=0o600)
    key.write_bytes(dump_private_key_as_pem(private))
    made = generate_self_signed_app_certificate(
        private,
        "Kaikou edge",
        {"organizationName": "Kaikou"},
        [x509.UniformResourceIdentifier(uri), x509.DNSName(socket.gethostname())],
        extended=[ExtendedKeyUsageOID.CLIENT_AUTH],
        days=_DAYS,
    )
    certificate.write_bytes(made.public_bytes(Encoding.DER))
