"""A serial line with DL/T 645-2007 meters behind a serial-to-TCP server.

The server passes bytes on as a line of 2400 baud 8E1 would: eleven bits a byte, one exchange at a
time, the answer in the pieces in which a serial server forwards it. Own frames (standard section
7), so that the edge's codec is not tested against itself.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from plant.flow.talk import Talks
from simulators.link import Link

BITS_A_BYTE = 11
TURNAROUND_S = 0.03
"""A meter answers between 20 and 500 ms after the last byte (standard, section 5.3)."""
PIECE = 16
"""Bytes a serial server forwards at once."""
READ, READ_ADDRESS, ANSWER, ERROR = 0x11, 0x13, 0x80, 0xC0
NO_SUCH_DATA = 0x02
ANYBODY = "AAAAAAAAAAAA"
RUNNING_NUMBER = "FF000001"
"""Not of the standard: how many answers the meter has given, this one counted; 8 BCD digits."""

Items = Callable[[], Mapping[str, bytes]]
Answered = Callable[[str, str, bytes], None]
"""Told of every answer with data: meter, item, data."""


@dataclass(slots=True)
class LineMeter:
    """A meter on the line: its items, and how it answers now."""

    items: Items
    link: Link = field(default_factory=Link)
    answers: int = 0


def frame(address: bytes, control: int, data: bytes) -> bytes:
    """68 A0..A5 68 C L data+33 CS 16.

    >>> frame(bytes([0xAA] * 6), 0x11, bytes.fromhex("00000100")).hex(" ").upper()
    '68 AA AA AA AA AA AA 68 11 04 33 33 34 33 AE 16'
    """
    body = bytes([0x68, *address, 0x68, control, len(data)])
    body += bytes((b + 0x33) % 256 for b in data)
    return body + bytes([sum(body) % 256, 0x16])


class SerialLine:
    """The meters of one line by their twelve-digit address, and the TCP port that leads to them.

    Parameters
    ----------
    baud
        0 sends without pacing.
    link
        Of the serial server itself.
    """

    def __init__(
        self,
        meters: Mapping[str, LineMeter],
        baud: int = 2400,
        link: Link | None = None,
        answered: Answered | None = None,
    ) -> None:
        self.meters = meters
        self.link = link or Link()
        self._byte_s = BITS_A_BYTE / baud if baud else 0.0
        self._answered = answered
        self._busy = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._talks = Talks("serial line", self._serve)

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        self._server = await asyncio.start_server(self._talks, host, port, limit=4096)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the line is not open")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._talks.end()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Cut every connection that is open."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            buffer = b""
            while not self.link.offline:
                data = await reader.read(512)
                if not data or self.link.offline:
                    break
                buffer += data
                while (found := _next(buffer)) is not None:
                    request, buffer = found
                    async with self._busy:
                        await self._exchange(request, len(data), writer)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, request: bytes, size: int, writer: asyncio.StreamWriter) -> None:
        """The line is busy from the first byte of the request to the last of the answer."""
        ends = time.monotonic() + size * self._byte_s
        answer, link = self.answer(request)
        if answer is None or self.link.silent:
            await _until(ends)
            return
        if self._byte_s:
            ends += TURNAROUND_S
        ends += max(link.late_s, self.link.late_s)
        if link.garbage or self.link.garbage:
            answer = answer[:8] + bytes(b ^ 0x5A for b in answer[8:])
        for start in range(0, len(answer), PIECE):
            piece = answer[start : start + PIECE]
            ends += len(piece) * self._byte_s
            await _until(ends)
            writer.write(piece)
            await writer.drain()

    def answer(self, request: bytes) -> tuple[bytes | None, Link]:
        """The answer to a whole frame, None where no meter is meant, and whose line it is."""
        address, control = request[1:7], request[8]
        wanted = address[::-1].hex().upper()
        name = self._called(wanted)
        if name is None:
            return None, self.link
        meter = self.meters[name]
        if meter.link.offline or meter.link.silent:
            return None, meter.link
        own = bytes.fromhex(name)[::-1]
        if control == READ_ADDRESS:
            return _wake(frame(own, control | ANSWER, own)), meter.link
        data = bytes((b - 0x33) % 256 for b in request[10:-2])
        item = data[:4][::-1].hex().upper()
        if control == READ and len(data) >= 4:
            content = self._content(meter, item)
            if content is not None:
                meter.answers += 1
                if self._answered is not None:
                    self._answered(name, item, content)
                return _wake(frame(own, READ | ANSWER, data[:4] + content)), meter.link
        return _wake(frame(own, control | ERROR, bytes([NO_SUCH_DATA]))), meter.link

    def _content(self, meter: LineMeter, item: str) -> bytes | None:
        if item == RUNNING_NUMBER:
            return bytes.fromhex(f"{(meter.answers + 1) % 10**8:08d}")[::-1]
        return meter.items().get(item)

    def _called(self, address: str) -> str | None:
        """The meter that an address means; AA bytes stand for any digits."""
        return next(
            (
                name
                for name in self.meters
                if all(a in ("AA", n) for a, n in zip(_pairs(address), _pairs(name), strict=True))
            ),
            None,
        )


def _pairs(text: str) -> list[str]:
    return [text[i : i + 2] for i in range(0, len(text), 2)]


def _wake(answer: bytes) -> bytes:
    return b"\xfe" * 4 + answer


def _next(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The first whole and sound frame, and what follows; noise before it is skipped."""
    start = buffer.find(0x68)
    while start >= 0:
        if len(buffer) < start + 12:
            return None
        end = start + 12 + buffer[start + 9]
        if buffer[start + 7] == 0x68:
            if len(buffer) < end:
                return None
            found = buffer[start:end]
            if found[-1] == 0x16 and sum(found[:-2]) % 256 == found[-2]:
                return found, buffer[end:]
        start = buffer.find(0x68, start + 1)
    return None


async def _until(monotonic_s: float) -> None:
    await asyncio.sleep(max(0.0, monotonic_s - time.monotonic()))
