"""What every route needs: the plant, the live table, the historian, people, the stream."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Depends, HTTPException, Request, status
from starlette.requests import HTTPConnection

from gateway.person import People, Person, Right
from gateway.stream import Stream
from plant.flow.clock import Clock
from plant.flow.live import LiveTable
from plant.flow.port import HistorianReader
from plant.model.plant import Plant
from plant.model.signal import Signal

COOKIE = "kaikou_session"
T = TypeVar("T")


class History:
    """The historian, read in threads of its own so that a long question blocks nobody.

    Each thread opens its own reader. ``ask`` waits for a free thread; at most ``threads``
    questions are under way.
    """

    def __init__(self, opener: Callable[[], HistorianReader], threads: int = 2) -> None:
        self._opener = opener
        self._readers: list[HistorianReader] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="historian")

    async def ask(self, question: Callable[[HistorianReader], T]) -> T:
        """Run a question against a reader."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, question)

    def _answer(self, question: Callable[[HistorianReader], T]) -> T:
        reader: HistorianReader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._opener()
            self._local.reader = reader
            self._readers.append(reader)
        return question(reader)

    def close(self) -> None:
        """Wait for what is under way, then release."""
        self._pool.shutdown()
        for reader in self._readers:
            reader.close()


@dataclass(frozen=True, slots=True)
class State:
    """Held by the application, one a process."""

    plant: Plant
    clock: Clock
    live: LiveTable
    links: Callable[[], list[dict[str, object]]]
    connected: Callable[[], bool]
    history: History
    people: People
    stream: Stream

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
        if right not in found.rights:
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"needs the right {right.value!r}")
        return found

    return person


VIEWER = Depends(need(Right.VIEWER))
"""A route for everybody who is logged in."""
