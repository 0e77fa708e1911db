"""The embedded broker: a room of its own process, on loopback, never anonymous."""

import asyncio
import logging
import socket

from deploy.access import client_ids, publish_filters
from plant.errors import ConfigError, Unavailable
from plant.flow.port import Ports
from plant.flow.supervisor import Supervisor
from plant.model.plant import Plant

log = logging.getLogger("kaikou.broker")

CLOSE_S = 1.0


async def run(plant: Plant, ports: Ports) -> None:
    """Serve until told to stop. ``options["accounts"]``: name -> password."""
    if not plant.broker.embedded:
        raise ConfigError("this plant names a broker of its own; there is none to run")
    port = plant.broker.port
    require_free(port, "the MQTT broker")
    accounts = ports.options["accounts"]
    if not isinstance(accounts, dict) or not accounts:
        raise ConfigError("the broker has no accounts, and nobody is anonymous")
    from deploy.loopback import LoopbackBroker

    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    broker = LoopbackBroker(port, accounts, publish_filters(plant), client_ids(plant))
    await broker.start()
    log.info("MQTT on 127.0.0.1:%d, %d accounts", port, len(accounts))
    ports.ready()
    try:
        async with Supervisor() as supervisor:
            supervisor.on_signals()
            await supervisor.stopping.wait()
    finally:
        try:
            async with asyncio.timeout(CLOSE_S):
                await broker.shutdown()
        except TimeoutError:
            log.warning("some MQTT clients did not let go")


def require_free(port: int, what: str) -> None:
    """Unavailable when something else listens on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            text = f"port {port} for {what} is not to be had: {error.strerror}"
            raise Unavailable(text) from error
