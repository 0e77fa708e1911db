"""Questions about many nodes, in portions that the server takes."""
# ruff: noqa: TID253 - only ``OpcUa.open`` imports this

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from plant.errors import Unavailable

T = TypeVar("T")

_MOST = 500
"""Where the server tells no limit."""
_TOO_MANY = frozenset(
    {
        StatusCodes.BadTooManyOperations,
        StatusCodes.BadRequestTooLarge,
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadEncodingLimitsExceeded,
        StatusCodes.BadTcpMessageTooLarge,
    }
)


class Portions:
    """How many nodes go into one question: what the server tells, and less where it refuses.

    told  its limit; 0 or None: it tells none
    """

    def __init__(self, told: int | None = None) -> None:
        self.most = min(told, _MOST) if told and told > 0 else _MOST

    async def ask(
        self, items: Sequence[T], question: Callable[[Sequence[T]], Awaitable[Sequence[Any]]]
    ) -> list[Any]:
        """Ask about all items; one result for each, in order.

        What is not answered is asked again.

        Raises
        ------
        Unavailable
            No results, or more than items.
        UaStatusCodeError
            The server refuses for another reason than the size.
        """
        results: list[Any] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.most]
            try:
                told = await question(part)
            except UaStatusCodeError as error:
                if error.code not in _TOO_MANY or len(part) == 1:
                    raise
                self.most = len(part) // 2
                continue
            if not 0 < len(told) <= len(part):
                raise Unavailable(f"the server gives {len(told)} results for {len(part)} nodes")
            results += told
        return results
