"""One TCP connection to a serial-to-TCP server with meters behind it, which take turns."""

import asyncio
import contextlib

from edge.adapters.dlt645_frame import ANSWER, ANSWER_MORE, ERROR, ERRORS, FrameReader, request
from edge.adapters.line import Lines, no_connection
from plant.errors import DecodeError, Unavailable

_BITS = 11
"""Of a byte on the line: start, eight data, even parity, stop."""


class Silent(Unavailable):
    """The line is there, the meter does not answer."""


class Refused(DecodeError):
    """The meter answered that it does not give this item."""


class MeterLine:
    """A slow line. One request is on its way at a time; late answers are told by their contents.

    An answer carries the meter's address and the identifier, so one that came late is passed over
    unless it answers the same question. After a timeout the line is closed, and the next request
    waits on the new connection until it has been quiet, before it speaks.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._turn = asyncio.Lock()
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._late = False

    async def ask(
        self, meter: str, item: str, *, size: int, baud: int, wake: int, timeout_s: float
    ) -> bytes:
        """The data of an item, identifier left out; ``size`` is the most it can be.

        Raises
        ------
        Unavailable
            No connection; ``Silent`` where only the meter does not answer.
        Refused, DecodeError
            The meter has no such item; what came makes no sense.
        """
        frame = request(meter, item, wake)
        on_line_s = (len(frame) + wake + 16 + size) * _BITS / baud
        async with self._turn:
            reader, writer = await self._connected(timeout_s)
            try:
                writer.write(frame)
                async with asyncio.timeout(timeout_s + on_line_s):
                    await writer.drain()
                    return await _answer(reader, meter, item)
            except TimeoutError:
                self._late = True
                self._drop()
                raise Silent(f"meter {meter} at {self.host}:{self.port} does not answer") from None
            except OSError as error:
                self._drop()
                raise Unavailable(f"{self.host}:{self.port}: {error}") from error
            except Refused:
                raise
            except BaseException:
                self._drop()
                raise

    async def _connected(
        self, timeout_s: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._pipe is None:
            try:
                async with asyncio.timeout(max(timeout_s, 1.0)):
                    self._pipe = await asyncio.open_connection(self.host, self.port)
            except (OSError, TimeoutError, ValueError) as error:
                raise Unavailable(f"{self.host}:{self.port} {no_connection(error)}") from error
            if self._late:
                self._late = False
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        while await self._pipe[0].read(256):
                            pass
        return self._pipe

    def _drop(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe[1].close()

    async def close(self) -> None:
        """Close the connection."""
        pipe = self._pipe
        self._drop()
        if pipe is not None:
            with contextlib.suppress(OSError):
                await pipe[1].wait_closed()


async def _answer(reader: asyncio.StreamReader, meter: str, item: str) -> bytes:
    frames = FrameReader()
    while True:
        received = await reader.read(256)
        if not received:
            raise Unavailable("the serial server closed the connection")
        for frame in frames.feed(received):
            if meter not in (frame.meter, "A" * 12):
                continue
            if frame.control == ERROR:
                bits = frame.data[0] if frame.data else 1
                reasons = [text for bit, text in enumerate(ERRORS) if bits >> bit & 1]
                raise Refused(f"meter {meter} refuses {item}: {', '.join(reasons)}")
            if frame.control in (ANSWER, ANSWER_MORE) and frame.item == item:
                return frame.data[4:]
        if frames.noise > 512:
            raise DecodeError(f"{frames.noise} bytes that are no DL/T 645 frame")


LINES = Lines(MeterLine)
"""Every meter line of this process."""
