"""amqtt, bent to what Kaikou needs on loopback; imported only where the broker runs.

amqtt asks its topic plug-ins in tasks of their own for every delivery, and iterates over its
subscriptions meanwhile; here access is a look-up that never waits.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from amqtt.broker import Broker  # noqa: TID253 - this module is imported where the broker runs
from amqtt.contexts import Action, BrokerConfig, ListenerConfig  # noqa: TID253
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler  # noqa: TID253
from amqtt.plugins.base import BaseAuthPlugin  # noqa: TID253
from amqtt.session import Session  # noqa: TID253
from amqtt.utils import gen_client_id  # noqa: TID253

from deploy.access import matches


class Accounts(BaseAuthPlugin):  # type: ignore[misc]
    """Name and password, no other account's client id, and a will it may publish itself."""

    @dataclass
    class Config:
        """Passwords and publish filters by account, client ids with their accounts.

        amqtt turns every "-" of a key into "_", so that ids are no keys.
        """

        passwords: dict[str, str] = field(default_factory=dict, repr=False)
        publish: dict[str, list[str]] = field(default_factory=dict)
        client_ids: list[tuple[str, str]] = field(default_factory=list)

    async def authenticate(self, *, session: Session) -> bool:
        """Whether the account exists, and password, client id and will are its own."""
        name, given = session.username or "", session.password or ""
        expected = self.config.passwords.get(name)
        if expected is None or not hmac.compare_digest(expected.encode(), given.encode()):
            return False
        if dict(self.config.client_ids).get(session.client_id or "", name) != name:
            return False
        if not session.will_flag:
            return True
        topic = session.will_topic or ""
        return any(matches(topic, allowed) for allowed in self.config.publish.get(name, ()))


class LoopbackBroker(Broker):  # type: ignore[misc]
    """An MQTT 3.1.1 broker for one machine: accounts, access by topic, QoS 0 to subscribers."""

    def __init__(
        self,
        port: int,
        passwords: Mapping[str, str],
        publish: Mapping[str, tuple[str, ...]],
        client_ids: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._publish = publish
        accounts = {
            "passwords": dict(passwords),
            "publish": {name: list(filters) for name, filters in publish.items()},
            "client_ids": list(client_ids.items()),
        }
        config = BrokerConfig.from_dict(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
                "plugins": {f"{__name__}.Accounts": accounts},
            }
        )
        # amqtt delivers at the subscriber's QoS, whatever the publisher asked for, and gives an
        # acknowledgement five seconds; nothing here relies on a broker's QoS.
        config.max_qos = 0
        super().__init__(config)

    async def _initialize_client_session(
        self, reader: Any, writer: Any, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Who it is first: amqtt touches the session of a client id before it asks.

        Without this a wrong password is enough to end another's subscriptions, or to give another
        session one's own account name. No session outlives its connection.
        """
        handler, session = await BrokerProtocolHandler.init_from_connect(
            reader, writer, self.plugins_manager
        )
        if await self._authenticate(session, ListenerConfig()):
            await self._delete_session(session.client_id)
        else:  # refused later on, as nobody
            session.client_id, session.username = gen_client_id(), ""
        session.clean_session, session.parent = True, 0
        return handler, session

    async def _topic_filtering(self, session: Session, topic: str, action: Any) -> bool:
        if action is not Action.PUBLISH:
            return True
        return any(matches(topic, f) for f in self._publish.get(session.username or "", ()))
