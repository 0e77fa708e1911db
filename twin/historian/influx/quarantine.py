"""Sending lines so that a wrong one never stops the others: bodies are parted until it is alone.

The server stores of a body what it can and names one line that it cannot, or none at all when it
cannot parse one. Either way the same lines may be sent again: they overwrite themselves.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from plant.errors import Rejected, Unavailable
from twin.historian.influx.server import Server, TooLarge

BODY_LINES = 5_000
"""Of one request, as the server's makers advise."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that the server does not take: its place among those sent, and why."""

    place: int
    line: str
    reason: str


def send(server: Server, which: str, lines: Sequence[str]) -> list[Refusal]:
    """Make lines durable in a bucket; those that it does not take come back.

    Raises
    ------
    Unavailable
        Some may be stored and some not.
    """
    return _send(server, which, lines, 0) if lines else []


def _send(server: Server, which: str, lines: Sequence[str], first: int) -> list[Refusal]:
    try:
        server.write(which, "\n".join(lines).encode("utf-8"))
    except Rejected as error:
        if len(lines) == 1:
            reason = "larger than the server takes" if isinstance(error, TooLarge) else str(error)
            return [Refusal(first, lines[0], reason)]
    else:
        return []
    half = len(lines) // 2
    return [
        *_send(server, which, lines[:half], first),
        *_send(server, which, lines[half:], first + half),
    ]


class Pipe:
    """Bodies on a few connections, while the next is still being made."""

    def __init__(self, server: Server, connections: int) -> None:
        self._server = server
        self._connections = connections
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="influxdb")

    def send(self, which: str, bodies: Iterable[Sequence[str]]) -> list[Refusal]:
        """As ``send``; nothing is on its way any more when this returns or raises."""
        waiting: deque[Future[list[Refusal]]] = deque()
        refused: list[Refusal] = []
        failed: Unavailable | None = None
        place = 0
        for body in bodies:
            waiting.append(self._threads.submit(_send, self._server, which, body, place))
            place += len(body)
            while len(waiting) > self._connections and failed is None:
                failed = _taken(waiting.popleft(), refused)
            if failed is not None:
                break
        while waiting:
            failed = _taken(waiting.popleft(), refused) or failed
        if failed is not None:
            raise failed
        return refused

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _taken(answer: Future[list[Refusal]], refused: list[Refusal]) -> Unavailable | None:
    try:
        refused += answer.result()
    except Unavailable as error:
        return error
    return None
