"""What every route needs: the plant, the live table, the historian, people, the stream."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Depends, HTTPException, Request, status
from starlette.requests import HTTPConnection

from gateway.connection import Connections
from gateway.history import Asking, History
from gateway.person import People
from gateway.role import Person, Right
from gateway.statement import Statements
from gateway.stream import Stream
from gateway.turn import Turns
from gateway.watcher import Watchers
from plant.flow.clock import Clock
from plant.flow.live import LiveTable
from plant.model.plant import Plant
from plant.model.signal import Signal

COOKIE = "kaikou_session"


@dataclass(frozen=True, slots=True)
class State:
    """Held by the application, one a process.

    shown    the paths of all signals that are not hidden
    hashing  turns at argon2, which takes 64 MiB and a core
    """

    plant: Plant
    clock: Clock
    live: LiveTable
    links: Callable[[], list[dict[str, object]]]
    connected: Callable[[], bool]
    history: History
    people: People
    stream: Stream
    statements: Statements
    watchers: Watchers
    hashing: Turns
    shown: frozenset[str]
    connections: Connections
    refused: Callable[[], int] = lambda: 0
    dropped: Callable[[], int] = lambda: 0

    def signal(self, path: str) -> Signal:
        """A signal by path; 404 where the plant has none."""
        asset, _, id = path.partition("/")
        found = self.plant.assets.get(asset)
        signal = found.signal(id) if found else None
        if signal is None or signal.hidden:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"no signal {path!r} in this plant")
        return signal


def state(connection: HTTPConnection) -> State:
    """The application's state, for routes."""
    found: State = connection.app.state.kaikou
    return found


def whoever(connection: HTTPConnection) -> Person | None:
    """Who a request comes from, by its session cookie."""
    token = connection.cookies.get(COOKIE)
    return state(connection).people.whose(token) if token else None


def asking(request: Request) -> Asking:
    """The historian in the turn of whoever sent a request, for routes behind the log-in."""
    person: Person = request.state.person

    async def gone() -> bool:
        await request.body()  # the end of the connection is told behind it
        return await request.is_disconnected()

    return Asking(state(request).history, person.name, gone)


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a browser sent it from our own pages (no Origin: not a browser's cross-site)."""
    origin = connection.headers.get("origin")
    return origin is None or origin.split("://", 1)[-1] == connection.headers.get("host")


def need(right: Right) -> Callable[[Request], Person]:
    """A dependency: the person, 401 where nobody is logged in, 403 without the right."""

    def person(request: Request) -> Person:
        found = whoever(request)
        if found is None:
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "log in first: POST /api/login")
        if request.method not in {"GET", "HEAD"} and not same_origin(request):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "sent from another site")
        if right not in found.rights:
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"needs the right {right.value!r}")
        request.state.person = found
        return found

    return person


VIEWER = Depends(need(Right.VIEWER))
"""A route for everybody who is logged in."""
OPERATOR = Depends(need(Right.OPERATOR))
"""A route for who runs the machines: operators and engineers."""
ADMIN = Depends(need(Right.ADMIN))
"""A route for who keeps accounts."""
