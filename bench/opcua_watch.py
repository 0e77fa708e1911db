"""What an OPC UA client sees of the plant's signals while the bus is under attack."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.adapters.opcua_own import make
from edge.opcua.shown import fingerprint

URI = "urn:kaikou:bench:client"
_EVERY_S = 0.5
_TIMEOUT_S = 20.0


class OpcUaWatch:
    """Reads every signal twice a second; remembers what ``forged`` says is no value of ours.

    port      the server's
    pki       its folder of certificates, where this client puts its own
    password  of the user ``scada``
    """

    def __init__(self, port: int, pki: Path, password: str) -> None:
        self.reads = 0
        self.good = 0
        self.forged: set[str] = set()
        self._port = port
        self._pki = pki
        self._password = password

    async def run(self, place: Path, paths: Sequence[str], forged: Callable[[float], bool]) -> None:
        """Look until cancelled."""
        from asyncua.ua.attribute_ids import AttributeIds

        async with await self._client(place) as client:
            nodes = [client.get_node(f"ns=2;s={path}").nodeid for path in paths]
            while True:
                found = await client.uaclient.read_attributes(nodes, AttributeIds.Value)
                self._take(paths, found, forged)
                await asyncio.sleep(_EVERY_S)

    def _take(
        self, paths: Sequence[str], found: Sequence[Any], forged: Callable[[float], bool]
    ) -> None:
        self.reads += 1
        self.good = 0
        for path, answer in zip(paths, found, strict=True):
            value = answer.Value.Value if answer.Value is not None else None
            self.good += answer.StatusCode is None or answer.StatusCode.is_good()
            if isinstance(value, int | float) and forged(value):
                self.forged.add(path)

    async def _client(self, place: Path) -> Any:
        from asyncua.client.client import Client
        from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

        certificate, key = place / "client.der", place / "client.pem"
        await asyncio.to_thread(make, certificate, key, URI)
        der = certificate.read_bytes()
        (self._pki / "trusted" / f"{fingerprint(der)}.der").write_bytes(der)
        client = Client(f"opc.tcp://127.0.0.1:{self._port}", timeout=_TIMEOUT_S)
        client.application_uri = URI
        await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key))
        client.set_user("scada")
        client.set_password(self._password)
        return client
