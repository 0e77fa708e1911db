"""How a Sparkplug host says that it is there: STATE, retained, with a will (specification 5.14)."""

import json

from plant.wire.edge_session import parse_state
from plant.wire.message import Outgoing
from plant.wire.topic import check_id, state_topic

AGAIN_S = 1.0


class HostState:
    """The STATE messages of one host, pure. Only the system of record publishes them.

    Order in a connection: CONNECT with ``will``, subscribe to ``subscription`` and to the nodes,
    publish ``online``; before an intended disconnect ``offline``.
    """

    def __init__(self, host_id: str) -> None:
        self.host_id = check_id(host_id, "host id")
        self._connected_at: int | None = None
        self._said_at = float("-inf")
        self._denied = False

    @property
    def subscription(self) -> tuple[str, int]:
        """Our own topic: another session's late death certificate has to be contradicted."""
        return state_topic(self.host_id), 1

    def will(self, now: int) -> Outgoing:
        """The death certificate for CONNECT; its time (ms UTC) is that of the birth as well."""
        self._connected_at = now
        return self._state(online=False, time=now)

    def online(self) -> Outgoing:
        """The birth certificate, with the time of the will."""
        if self._connected_at is None:
            raise RuntimeError("online before will: there is no connection")
        return self._state(online=True, time=self._connected_at)

    def offline(self, now: int) -> Outgoing:
        """The death certificate of an intended disconnect."""
        time = max(now, self._connected_at or 0)
        self._connected_at = None
        return self._state(online=False, time=time)

    def on_message(self, topic: str, payload: bytes, mono_s: float = 0.0) -> Outgoing | None:
        """Say again that we are online where our topic says that we are not.

        At once, then after ``AGAIN_S``, by ``tick``. ``mono_s`` is the process's clock.
        """
        if topic != state_topic(self.host_id) or self._connected_at is None:
            return None
        state = parse_state(payload)
        self._denied = self._denied or (state is not None and not state[0])
        return self.tick(mono_s)

    def tick(self, mono_s: float) -> Outgoing | None:
        """The contradiction that is due: who denies us without end gets one answer a second."""
        if not self._denied or self._connected_at is None or mono_s < self._said_at + AGAIN_S:
            return None
        self._denied, self._said_at = False, mono_s
        return self.online()

    def _state(self, *, online: bool, time: int) -> Outgoing:
        payload = json.dumps({"online": online, "timestamp": time}, separators=(",", ":"))
        return Outgoing(state_topic(self.host_id), payload.encode(), qos=1, retain=True)
