"""Our certificate towards an OPC UA server, and which of its certificates we accept."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

import asyncio
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge.adapters.opcua_own import load, make, thumbprint, uri_of
from plant.errors import Unavailable
from plant.file import write_whole

if TYPE_CHECKING:
    from edge.adapters.opcua import OpcUa

_POLICY = SecurityPolicyBasic256Sha256
_MODE = ua.MessageSecurityMode.SignAndEncrypt
_UNTRUSTED = {
    StatusCodes.BadSecurityChecksFailed,
    StatusCodes.BadCertificateUntrusted,
    StatusCodes.BadCertificateInvalid,
    StatusCodes.BadCertificateTimeInvalid,
    StatusCodes.BadCertificateUriInvalid,
    StatusCodes.BadCertificateUseNotAllowed,
    StatusCodes.BadCertificateIssuerUseNotAllowed,
    StatusCodes.BadCertificateChainIncomplete,
    StatusCodes.BadCertificateRevocationUnknown,
    StatusCodes.BadCertificateIssuerRevocationUnknown,
    StatusCodes.BadCertificateRevoked,
    StatusCodes.BadCertificatePolicyCheckFailed,
    StatusCodes.BadNoValidCertificates,
}
"""What a server says of a client's certificate. Most say BadSecurityChecksFailed for everything."""
_REFUSED_USER = {
    StatusCodes.BadUserAccessDenied,
    StatusCodes.BadIdentityTokenInvalid,
    StatusCodes.BadIdentityTokenRejected,
    StatusCodes.BadUserSignatureInvalid,
}


class Trust:
    """Both certificates of one source; ``folder`` is the edge's own."""

    def __init__(self, config: "OpcUa", folder: Path) -> None:
        self._config = config
        self._place = folder / "opcua_client"
        self._uri = f"urn:{socket.gethostname()}:kaikou:edge"
        self._shown = b""
        given = config.server_certificate
        self._accepted = Path(given or self._place / (re.sub(r"\W+", "_", config.url) + ".der"))
        if config.certificate is not None and config.private_key is not None:
            self.own, self._key = Path(config.certificate), Path(config.private_key)
        else:
            self.own, self._key = self._place / "own.der", self._place / "own.pem"

    async def prepare(self, client: Client) -> bool:
        """Have a certificate and look whether one is needed at all; True where nothing is."""
        if self._config.security == "None":
            return True
        try:
            if self._config.certificate is None:
                await asyncio.to_thread(make, self.own, self._key, self._uri)
            client.application_uri = await asyncio.to_thread(uri_of, self.own, self._uri)
        except (OSError, ValueError) as error:
            raise Unavailable(f"our OPC UA certificate {self.own}: {error}") from error
        return False

    def compare(self, endpoints: Sequence[Any]) -> None:
        """Look whether the server shows the certificate that we know, if we know one.

        Raises
        ------
        Unavailable
            It shows another, or offers no Basic256Sha256 with SignAndEncrypt.
        """
        offered = Client.find_endpoint(endpoints, _MODE, _POLICY.URI)
        chain = bytes(offered.ServerCertificate or b"")
        self._shown = x509.load_der_x509_certificate(_first(chain)).public_bytes(Encoding.DER)
        try:
            if self._config.server_certificate is None and not self._accepted.exists():
                return
            known = load(self._accepted).public_bytes(Encoding.DER)
        except (OSError, ValueError) as error:
            raise Unavailable(f"the server's certificate {self._accepted}: {error}") from error
        if known != self._shown:
            raise Unavailable(
                f"the server shows another certificate than {self._accepted}; "
                "if that is right, remove the file, or name the new one in server_certificate"
            )

    def keep(self) -> None:
        """Keep the first certificate a server showed, after it has proved that it is its own."""
        if self._shown and not self._accepted.exists():
            self._accepted.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._accepted, self._shown)

    async def secure(self, client: Client) -> None:
        """Set the policy for the connections to come."""
        try:
            await client.set_security(
                _POLICY,
                certificate=self.own,
                private_key=self._key,
                server_certificate=self._shown,
                mode=_MODE,
            )
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(f"our OPC UA certificate {self.own}, {self._key}: {error}") from error

    def problem(self, error: Exception, *, at_channel: bool = False) -> str:
        """What a refusal means, in words that help; "" where it is not about certificate or user.

        at_channel  the server refused to open the secure channel, where only certificates count
        """
        code = error.code if isinstance(error, UaStatusCodeError) else None
        if code in _REFUSED_USER:
            return f"the server refuses the user {self._config.user!r}: {error}"
        if not self._shown or not (at_channel or code in _UNTRUSTED):
            return ""
        if code is not None and code not in _UNTRUSTED:
            return ""
        if code is None:
            told = "the server hung up when it was shown our certificate and does not trust it yet"
        else:
            told = f"the server does not trust our certificate ({type(error).__name__})"
        return (
            f"{told}: give {self.own} to its administrator to be trusted "
            f"(SHA-1 {thumbprint(self.own)})"
        )


def _first(chain: bytes) -> bytes:
    """The first certificate of a chain: DER says its own length."""
    if len(chain) > 4 and chain[:2] == b"\x30\x82":
        return chain[: 4 + int.from_bytes(chain[2:4], "big")]
    return chain
