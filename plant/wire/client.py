"""One MQTT connection on the event loop: paho does the protocol, this drives its socket.

An ``MqttClient`` lives for one connection. When it is lost every waiting call raises
``Unavailable`` and the object is done: the caller makes a new one, with a new paho client and a
clean session, because paho's own reconnecting resends and reorders (reference, section 2.2).
"""

from plant.model.plant import Broker
from plant.wire.message import Incoming, Outgoing


class MqttClient:
    """A connection to the broker: ``async with MqttClient(broker, "edge1", will) as mqtt: ...``.

    ``async with`` raises ``Unavailable`` when the broker refuses or is not there.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: Outgoing | None = None,
        *,
        keep_alive_s: int = 5,
        inbound_limit: int = 8192,
        timeout_s: float = 5.0,
    ) -> None:
        self.dropped = 0

    async def subscribe(self, filters: list[tuple[str, int]]) -> None:
        """Subscribe to (topic filter, QoS) pairs; returns when the broker granted them all."""
        raise NotImplementedError

    async def publish(self, message: Outgoing) -> None:
        """Hand a message to the socket; waits while its buffer is full, QoS 1 for the PUBACK."""
        raise NotImplementedError

    async def receive(self) -> list[Incoming]:
        """All messages that came since the last call, at least one."""
        raise NotImplementedError

    async def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker does not publish the will."""
        raise NotImplementedError
