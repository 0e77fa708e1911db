"""The wire of the OPC UA server: what asyncua leaves open before a session stands.

Found in asyncua 2.1 and closed here: a frame's announced size is believed until 4 GiB are
buffered; a client's certificate is looked at only when it asks for a session, and then whichever
it names, not the one of its channel; a channel with policy None opens although the policy is not
offered, and carries sessions and passwords; RegisterServer is open to everyone; one connection may
create sessions without end.
"""
# ruff: noqa: TID253 - only the server's process imports this
# mypy: disable-error-code="no-untyped-call"

import logging
import secrets
from collections.abc import Callable
from typing import Any

from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer, ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import SessionState
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary, uatcp_to_binary
from cryptography import x509

from edge.opcua.session import ViewSession
from edge.opcua.vocabulary import ua

log = logging.getLogger("kaikou.opcua")

LIMITS = TransportLimits(
    max_recv_buffer=65_535,
    max_send_buffer=65_535,
    max_chunk_count=32,
    max_message_size=2 << 20,
)
"""About 2 MiB in 32 chunks: a flood of chunks before log-in ends here."""
MAX_CONNECTIONS = 50
MAX_CONNECTIONS_PER_ADDRESS = 20

_DISCOVERY = {
    ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary,
    ua.ObjectIds.FindServersRequest_Encoding_DefaultBinary,
    ua.ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary,
}
"""All that a channel without security is for (OPC 10000-4 section 5.4.1)."""
_NEVER = {
    ua.ObjectIds.RegisterServerRequest_Encoding_DefaultBinary,
    ua.ObjectIds.RegisterServer2Request_Encoding_DefaultBinary,
}
_CREATE_SESSION = ua.ObjectIds.CreateSessionRequest_Encoding_DefaultBinary

Refusal = Callable[[bytes, str], "str | None"]
"""Why a client's certificate (DER) from an address is not let in; None when it is."""


class Channel(UaProcessor):
    """One client's secure channel."""

    refusal: Refusal

    async def process(self, header: Any, body: Any) -> bool:
        """One frame; False closes the connection."""
        understood = False
        try:
            keep: bool = await super().process(header, body)
            understood = True
        except ServiceError as error:
            text = ua.StatusCode(error.code).name
            message = ua.ErrorMessage(ua.StatusCode(error.code), text)
            self._transport.write(uatcp_to_binary(ua.MessageType.Error, message))
            keep, understood = False, True
        finally:
            if not understood:  # what cannot be read or verified ends the connection
                self._transport.close()
        return keep

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        """Open, when the client's certificate is one we know."""
        uri = algohdr.SecurityPolicyURI
        if uri != "http://opcfoundation.org/UA/SecurityPolicy#None":
            address = self.name[0] if isinstance(self.name, tuple) else ""
            why = self.refusal(first_certificate(algohdr.SenderCertificate or b""), address)
            if why is not None:
                log.info("refused an OPC UA client at %s: %s", self.name, why)
                raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        super().open_secure_channel(algohdr, seqhdr, body)

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        policy = self._connection.security_policy
        if typeid.Identifier in _NEVER:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if policy.Mode != ua.MessageSecurityMode.SignAndEncrypt:
            if typeid.Identifier not in _DISCOVERY:
                raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        elif typeid.Identifier == _CREATE_SESSION:
            self._check_session_request(body, policy.peer_certificate or b"")
        return await super()._process_message(typeid, requesthdr, seqhdr, body)

    def _check_session_request(self, body: Buffer, channel: bytes) -> None:
        if self.session is not None and self.session.state is not SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        asked = struct_from_binary(ua.CreateSessionParameters, body.copy())
        named = first_certificate(asked.ClientCertificate or b"")
        if named != first_certificate(channel):
            raise ServiceError(ua.StatusCodes.BadCertificateInvalid)
        names = x509.load_der_x509_certificate(named).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        if asked.ClientDescription.ApplicationUri not in uris:
            raise ServiceError(ua.StatusCodes.BadCertificateUriInvalid)


class Core(InternalServer):
    """The services, with lowered caps and sessions that only look."""

    def __init__(self, user_manager: Any) -> None:
        super().__init__(user_manager=user_manager)
        self.allow_remote_admin = False
        self.supported_tokens = (ua.UserNameIdentityToken,)  # type: ignore[assignment]
        self.max_connections = MAX_CONNECTIONS
        self.max_pending_activation_seconds = 15.0
        self.max_pending_messages_per_connection = 64
        self.max_session_timeout_ms = 120_000
        self.max_unacked_messages_per_subscription = 50
        self.max_monitored_item_queue_size = 100
        self.max_lifetime_count = 6_000
        self.max_keep_alive_count = 2_000
        self.max_subscriptions = 100

    def create_session(self, name: str, user: Any = None, external: bool = False) -> ViewSession:
        """A session that cannot change anything; its token is a secret, not a number."""
        session = ViewSession(self, self.aspace, self.subscription_service, name, external=external)
        self.unregister_external_session(session)
        session.auth_token = ua.NodeId(secrets.token_bytes(32), 0)
        self.register_external_session(session)
        return session

    def decrypt_user_token(self, isession: Any, token: Any) -> tuple[str, str]:
        """The password, unless it came by RSA PKCS 1.5 (its padding can be probed)."""
        if token.EncryptionAlgorithm == "http://www.w3.org/2001/04/xmlenc#rsa-1_5":
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        name, password = super().decrypt_user_token(isession, token)
        return name, password


def first_certificate(chain: bytes) -> bytes:
    """The first certificate of a chain; DER says its own length.

    >>> first_certificate(bytes.fromhex("308200020102" "30820001ff")).hex()
    '308200020102'
    """
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] != 0x82:
        return chain
    return chain[: 4 + int.from_bytes(chain[2:4], "big")]
