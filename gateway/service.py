"""The gateway's process: the live view of the bus behind a web server."""

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator

import uvicorn

from gateway.app import create_app
from gateway.history import History
from gateway.person import People
from gateway.state import State
from gateway.statement import Statements
from gateway.stream import Stream
from plant.errors import ConfigError, Unavailable
from plant.flow.live import SignalTable
from plant.flow.port import Ports
from plant.flow.supervisor import Supervisor
from plant.model.plant import Gateway, Plant
from plant.wire.ownership import Ownership
from plant.wire.view import LiveView

log = logging.getLogger("kaikou.gateway")

SHUTDOWN_S = 3


class Server(uvicorn.Server):
    """uvicorn that leaves the signals to the supervisor and says when it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the supervisor stops us."""
        yield


def listen(gateway: Gateway) -> socket.socket:
    """The listening socket, or Unavailable, which says what is in the way.

    It names its protocol: asyncio turns Nagle's algorithm off only where it sees that it is TCP,
    and with it on every answer waits 40 ms for an acknowledgement.
    """
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((gateway.host, gateway.port))
    except OSError as error:
        listener.close()
        text = f"gateway: {gateway.host}:{gateway.port} is not to be had: {error.strerror}"
        raise Unavailable(f"{text}; another one is set by gateway.port in plant.yaml") from error
    return listener


async def run(plant: Plant, ports: Ports) -> None:
    """Run until SIGTERM or SIGINT. The first start prints its two accounts once."""
    if ports.reader is None:
        raise ConfigError("the gateway needs a historian to read from")
    listener = listen(plant.gateway)
    people = People(ports.data / "people.sqlite")
    for name, password in people.first_accounts():
        # for people, not for the log: it is shown once and kept nowhere
        sys.stdout.write(f"first log-in: {name} {password}\n")
    sys.stdout.flush()
    table = SignalTable([s.path for s in plant.signals if not s.hidden])
    view = LiveView(
        plant.group,
        plant.edges,
        host_id=plant.host_id,
        clock=ports.clock,
        table=table,
        asks=True,
        ownership=Ownership.of(plant),
    )

    def links() -> list[dict[str, object]]:
        return [
            {
                "edge": link.edge,
                "state": str(link.state),
                "since": link.since,
                "complete_up_to": link.complete_up_to,
                "best_effort": link.best_effort,
                "other_plant": link.plant_hash not in {"", plant.hash},
            }
            for link in view.links()
        ]

    async def follow() -> None:
        await view.run(plant.broker, f"kaikou-gateway-{plant.gateway.port}")

    stream = Stream(view.live, ports.clock, links, lambda: view.revision)
    history = History(ports.reader)
    state = State(
        plant=plant,
        clock=ports.clock,
        live=view.live,
        links=links,
        connected=lambda: view.connected,
        history=history,
        people=people,
        stream=stream,
        statements=Statements(view.asker, history),
        refused=lambda: view.session.refused,
        dropped=lambda: view.dropped,
    )
    server = Server(
        uvicorn.Config(
            create_app(state),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=2**20,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            server_header=False,
            ssl_certfile=plant.gateway.tls_cert,
            ssl_keyfile=plant.gateway.tls_key,
        )
    )
    try:
        async with Supervisor() as supervisor:
            supervisor.on_signals()
            supervisor.source("bus", follow)
            supervisor.source("stream", stream.run)
            supervisor.start("web", lambda: _serve(server, listener))
            supervisor.start("end", lambda: _end(supervisor, server))
            scheme = "https" if plant.gateway.tls_cert else "http"
            log.info("%s://%s:%d", scheme, plant.gateway.host, plant.gateway.port)
            ports.ready()
    finally:
        listener.close()
        history.close()
        people.close()


async def _serve(server: Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    if not server.should_exit:
        raise Unavailable("the web server ended by itself")


async def _end(supervisor: Supervisor, server: Server) -> None:
    await supervisor.stopping.wait()
    server.should_exit = True
