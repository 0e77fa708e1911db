"""DL/T 645 lines whose answers come spoiled, read by the edge's own runners over real sockets.

A line has three meters of four items, or one of one, so a late copy meets the very question it
answers once more. Every answer has a running number, which is its value.
A value is wrongly taken where it is Good and not the one of the last question for this meter and
item. What the protocol cannot tell is left out and counted as ``undetectable``: its check-sum is
one byte, so of spoiled bytes a few are a sound frame of the right meter and item again. Late copies
and the traffic of another master lie in wait before the question, or come together with the answer;
on a line that is paced as real ones are they also come alone, before the answer can be there.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from bench.fuzz import Figures
from bench.fuzz_device import Device, Talker, Tally, hastened, meet
from edge.adapters.dlt645 import Dlt645
from edge.adapters.dlt645_point import MeterPoint
from edge.source import Source
from plant.flow.supervisor import Backoff

LINES, PACED_LINES = 64, 24
PACED = 1_000
"""Of the spoiled streams so many come over lines of 2400 baud, with answers that take so long."""
PACED_S = 0.3
TIMEOUT_MS = 60
METERS = ("000000000001", "202611220002", "999999999999")
ITEMS = {"00010000": 4, "02030000": 3, "02010100": 2, "0202FF00": 9}
"""Item -> bytes of its value; the last one is a block of three numbers."""
TURNS = {"00010000": 100.0, "02030000": 1e4, "02010100": 10.0, "0202FF00": 1e3}
AT = [
    MeterPoint.model_validate(f"{meter} {item}" + (" 2" if item == "0202FF00" else ""))
    for meter in METERS
    for item in ITEMS
]
READ, ANSWER, ERROR = 0x11, 0x91, 0xD1


def framed(meter: str, control: int, data: bytes) -> bytes:
    """A frame as the standard has it, made here and not by the edge."""
    body = b"\x68" + bytes.fromhex(meter)[::-1] + b"\x68" + bytes((control, len(data)))
    body += bytes((byte + 0x33) % 256 for byte in data)
    return b"\xfe" * 4 + body + bytes((sum(body) % 256, 0x16))


def sound(stream: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Meter, control and data of whatever in a stream has the right check-sum."""
    for at in range(len(stream) - 11):
        if stream[at] == 0x68 and stream[at + 7] == 0x68:
            end = at + 12 + stream[at + 9]
            frame = stream[at:end]
            if len(frame) == end - at and frame[-1] == 0x16 and sum(frame[:-2]) % 256 == frame[-2]:
                data = bytes((byte - 0x33) % 256 for byte in frame[10:-2])
                yield frame[6:0:-1].hex(), frame[8], data


def content(item: str, number: int) -> bytes:
    """The identifier and the digits that say a number."""
    size, parts = (3, 3) if item == "0202FF00" else (ITEMS[item], 1)
    digits = bytes.fromhex(f"{number % (8 * 10 ** (2 * size - 1)):0{2 * size}d}")[::-1]
    return bytes.fromhex(item)[::-1] + digits * parts


def value(item: str, number: int) -> float:
    """What the edge must make of it."""
    size = 3 if item == "0202FF00" else ITEMS[item]
    return float(number % (8 * 10 ** (2 * size - 1))) / TURNS[item]


class Line(Device):
    """A line; ``answer_s`` is how long an answer takes, ``at`` what is read of it."""

    def __init__(
        self, at: list[MeterPoint], random: random.Random, tally: Tally, answer_s: float = 0.0
    ) -> None:
        super().__init__(len(at), random, tally)
        self.at = at
        self.place = {(point.meter, point.item): n for n, point in enumerate(at)}
        self.answer_s = answer_s
        self.undetectable = 0
        self.sent: list[bytes] = []

    def connection(self) -> asyncio.Protocol:
        return Connection(self)

    def source(self) -> Source:
        timeout_ms = round(TIMEOUT_MS + self.answer_s * 1500)
        baud: Literal[2400, 38400] = 2400 if self.answer_s else 38400
        return Dlt645.model_construct(
            host="127.0.0.1",
            port=self.port,
            poll_ms=1000 if self.answer_s else 20,
            timeout_ms=timeout_ms,
            baud=baud,
        )

    def points(self) -> list[MeterPoint]:
        return self.at

    def answer(self, meter: str, item: str) -> bytes:
        self.number += 1
        self.shown[self.place[meter, item]] = value(item, self.number)
        return framed(meter, ANSWER, content(item, self.number))


Spoil = Callable[[Line, str, str, bytes], list[bytes]]
"""(line, meter, item, sound answer) -> what is heard, in pieces."""


def _flipped(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    spoiled = bytearray(answer)
    for _ in range(line.random.choice((1, 1, 1, 2, 4))):
        bit = line.random.randrange(8 * len(answer))
        spoiled[bit // 8] ^= 1 << bit % 8
    return [bytes(spoiled)]


def _cut(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    return [answer[: line.random.randrange(len(answer))]]


def _shifted(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    at, size = line.random.randrange(len(answer)), line.random.choice((1, 2, 4))
    if line.random.random() < 0.5:
        return [answer[:at] + answer[at + size :]]
    return [answer[:at] + line.random.randbytes(size) + answer[at:]]


def _noise(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    noise = line.random.randbytes(line.random.choice((1, 5, 12, 30)))
    head = line.random.choice((b"", b"\x68", answer[:14], answer[:5]))
    return line.random.choice(([noise + head + answer], [answer + noise], [head, noise + answer]))


def _rubbish(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    return [line.random.randbytes(line.random.choice((1, 12, 60, 700)))]


def _strange(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    """Frames that are sound and answer something else, before and behind; or nothing else."""
    other_meter = line.random.choice([m for m in (*METERS, "123456789012") if m != meter])
    other_item = line.random.choice([i for i in ITEMS if i != item])
    frames = [
        framed(other_meter, ANSWER, content(item, line.number + 5)),
        framed(meter, ANSWER, content(other_item, line.number + 5)),
        framed(meter, READ, bytes.fromhex(item)[::-1]),
        framed(meter, 0x92, content(item, line.number + 5)),
        framed(meter, 0x81, content(item, line.number + 5)),
    ]
    line.random.shuffle(frames)
    some = b"".join(frames[: line.random.randrange(1, 4)])
    return line.random.choice(([some + answer], [some, answer], [answer + some], [some]))


def _senseless(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    """The right meter and item with data that are no number, of no or of another length."""
    name = bytes.fromhex(item)[::-1]
    data = line.random.choice((b"", b"\x1f\xa2\x33\xbb", b"\x12" * 13, b"\x12" * 5, b"\xaa"))
    return [framed(meter, ANSWER, name[: line.random.choice((4, 4, 2, 0))] + data)]


def _refusal(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    data = line.random.choice((b"\x02", b"\xff", b"", b"\x01\x02\x03"))
    return [framed(meter, ERROR, data)]


def _copied(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    """An older answer to the same question comes together with the new one."""
    old = framed(meter, ANSWER, content(item, max(0, line.number - line.random.randrange(1, 40))))
    return [old + answer]


def _pieces(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    return [answer[at : at + 3] for at in range(0, len(answer), 3)]


def _nothing(line: Line, meter: str, item: str, answer: bytes) -> list[bytes]:
    return []


SPOILS: tuple[Spoil, ...] = (
    _flipped, _flipped, _cut, _shifted, _noise, _rubbish, _strange, _strange, _senseless, _refusal,
    _copied, _pieces, _nothing,
)  # fmt: skip


class Connection(Talker):
    """Hears questions, says what the line made of the answers."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._heard = b""
        self._copy: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self._heard += data
        for meter, control, asked in list(sound(self._heard)):
            self._heard = b""
            item = asked[3::-1].hex().upper()
            if control == READ and (meter, item) in self._line.place:
                self._answer(meter, item)

    def _answer(self, meter: str, item: str) -> None:
        line = self._line
        if self._copy is not None:  # in the very moment of a question nobody could tell it from
            self._copy.cancel()  # the answer, see docs/adapters.md
        answer = line.answer(meter, item)
        line.sent = [*line.sent[-7:], answer]
        if not line.spoils():
            self.send([answer], line.answer_s, closes=False)
            return
        if line.answer_s:  # paced: what was under way comes alone, then the answer in its time
            old = [framed(meter, ANSWER, content(item, line.number + 7)), *line.sent[:1]]
            self.send(old, 0.0, closes=False)
            self.send([answer], line.answer_s, closes=False)
            return
        pieces = line.random.choice(SPOILS)(line, meter, item, answer)
        if self._is_undetectable(b"".join(pieces), meter, item, answer):
            line.undetectable += 1
            pieces = []
        self.send(pieces, 0.0, closes=line.random.random() < 0.05)
        if pieces and line.random.random() < 0.3:  # a late copy, which waits for the next question
            loop = asyncio.get_running_loop()
            late_s = line.random.choice((0.001, 0.003))
            self._copy = loop.call_later(late_s, self._send, answer, False)

    @staticmethod
    def _is_undetectable(stream: bytes, meter: str, item: str, answer: bytes) -> bool:
        """Whether a stream holds, alone, a sound answer that was never given."""
        true = next(sound(answer))
        found = [
            frame
            for frame in sound(stream)
            if frame[:2] == true[:2] and frame[2][:4] == true[2][:4] and len(frame[2]) > 4
        ]
        return len(found) == 1 and found[0] != true and not _is_senseless(item, found[0][2][4:])


def _is_senseless(item: str, digits: bytes) -> bool:
    """Whether data can be refused for what they are."""
    size = 3 if item == "0202FF00" else ITEMS[item]
    signed = item in ("02030000", "0202FF00")
    numbers = [digits[at : at + size] for at in range(0, len(digits), size)]
    if len(digits) % size or len(digits) > ITEMS[item]:
        return True
    tops = [bytes((n[-1] & (0x7F if signed else 0xFF), *n[-2::-1])).hex() for n in numbers]
    return not all(text.isdecimal() for text in tops)


def run(count: int, seed: int) -> Figures:
    """Meet ``count`` spoiled streams."""
    tally = Tally(count)
    lines: list[Line] = []

    def make(number: int, answer_s: float = 0.0) -> Device:
        at = AT if number % 3 else AT[number // 3 % len(AT) :][:1]
        lines.append(Line(at, random.Random(f"{seed}/{number}/{answer_s}"), tally, answer_s))
        return lines[-1]

    backoffs = {
        "runner__Backoff": partial(Backoff, 0.01, 0.05),
        "dlt645_session___FIRST_S": 0.1,
        "dlt645_session___LAST_S": 1.0,
        "turn___SHARE": 0.2,
    }
    with hastened(**backoffs):  # at the speed of a real line
        tally.wanted = min(PACED, count // 10) if count >= PACED else 0
        asyncio.run(meet(tally, partial(make, answer_s=PACED_S), PACED_LINES))
    times = {"_ANSWER_S": 0.03, "_QUIET_S": 0.005, "_DOUBT_S": 0.01, "_DOUBTED_S": 1.0}
    with hastened(**backoffs, **{f"dlt645_line__{name}": time for name, time in times.items()}):
        tally.wanted = count
        asyncio.run(meet(tally, make, LINES))
    figures = tally.figures()
    undetectable = sum(line.undetectable for line in lines)
    return Figures(
        figures.cases,
        figures.process_ended,
        figures.wrongly_taken,
        figures.never_healed,
        {**figures.more, "undetectable": undetectable},
    )
