"""The gateway's process: the live view of the bus behind a web server."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from gateway.app import create_app
from gateway.connection import MOST, SPARE, Connections, Listener
from gateway.gate import Gate
from gateway.history import History
from gateway.person import People
from gateway.protocol import protocols
from gateway.repeat import quieten
from gateway.state import State
from gateway.statement import Statements
from gateway.stream import Stream
from gateway.tls import Certificate
from gateway.turn import Turns
from gateway.watcher import Watchers
from plant.errors import ConfigError, Unavailable
from plant.flow.live import SignalTable
from plant.flow.port import Ports
from plant.flow.supervisor import Supervisor
from plant.model.plant import Gateway, Plant
from plant.wire.ownership import Ownership
from plant.wire.view import LiveView

log = logging.getLogger("kaikou.gateway")

SHUTDOWN_S = 3
BACKLOG = 1024
HEAD_BYTES = 65_536


class Server(uvicorn.Server):
    """uvicorn that leaves the signals to the supervisor and says when it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the supervisor stops us."""
        yield


def listen(gateway: Gateway, connections: Connections) -> Listener:
    """The listening socket, or Unavailable, which says what is in the way.

    It names its protocol: asyncio turns Nagle's algorithm off only where it sees that it is TCP,
    and with it on every answer waits 40 ms for an acknowledgement.
    """
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.connections = connections
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
    certificate = Certificate(plant.gateway) if plant.gateway.tls_cert else None
    connections = Connections(_room_for_connections(), proxies=plant.gateway.proxies)
    quieten("uvicorn.error", "asyncio", "kaikou.gateway.refused")
    listener = listen(plant.gateway, connections)
    people = People(ports.data / "people.sqlite")
    for name, password in people.first_accounts():
        # for people, not for the log: it is shown once and kept nowhere
        sys.stdout.write(f"first log-in: {name} {password}\n")
    sys.stdout.flush()
    shown = [s.path for s in plant.signals if not s.hidden]
    table = SignalTable(shown)
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
    watchers = Watchers(people)
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
        watchers=watchers,
        hashing=Turns(max(1, (os.cpu_count() or 1) // 2), 1, 512, 4),
        shown=frozenset(shown),
        connections=connections,
    )
    server = Server(_config(state, plant.gateway, connections, certificate))
    try:
        async with Supervisor() as supervisor:
            supervisor.on_signals()
            supervisor.source("bus", follow, contained=True)
            supervisor.source("stream", stream.run, contained=True)
            supervisor.source("watchers", watchers.run, contained=True)
            supervisor.source("connections", connections.run, contained=True)
            _on_hangup(certificate)
            supervisor.start("web", lambda: _serve(server, listener))
            supervisor.start("end", lambda: _end(supervisor, server))
            scheme = "https" if certificate else "http"
            log.info("%s://%s:%d", scheme, plant.gateway.host, plant.gateway.port)
            ports.ready()
    finally:
        listener.close()
        history.close()
        people.close()


def _config(
    state: State, gateway: Gateway, connections: Connections, certificate: Certificate | None
) -> uvicorn.Config:
    config = uvicorn.Config(
        Gate(create_app(state)),
        log_config=None,
        access_log=False,
        lifespan="off",
        backlog=BACKLOG,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws_max_size=2**20,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
        proxy_headers=bool(gateway.proxies),
        forwarded_allow_ips=list(gateway.proxies),
        **protocols(connections),
    )
    config.load()
    config.ssl = certificate.context if certificate else None
    return config


def _room_for_connections() -> int:
    """How many connections may be open, with descriptors to spare for everything else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + SPARE
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(16, min(MOST, soft - SPARE))


def _on_hangup(certificate: Certificate | None) -> None:
    """SIGHUP reads the certificate anew; at a terminal it ends us as ever."""
    if sys.stdin is not None and sys.stdin.isatty():
        return

    def nothing() -> None:
        log.info("told to read the certificate anew; plant.yaml names none")

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, certificate.reload if certificate else nothing)


async def _serve(server: Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    if not server.should_exit:
        raise Unavailable("the web server ended by itself")


async def _end(supervisor: Supervisor, server: Server) -> None:
    await supervisor.stopping.wait()
    server.should_exit = True
