"""The live stream: what changed, encoded once for everyone who watches the same view.

A view is a list of paths and a rate. Per view there is one cursor on the live table and one
encoding a tick; the same bytes go to all its viewers. A viewer who does not read gets no queue:
what it missed is replaced by one snapshot of now (latest only), and the drop is counted.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from plant.flow.clock import Clock
from plant.flow.live import Cursor, LiveTable
from plant.flow.sample import Int32, SampleBatch

MAX_HZ = 10.0
HEARTBEAT_S = 1.0


def encode(message: dict[str, object]) -> bytes:
    """JSON; numpy columns as lists, NaN as null."""
    return orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)


class Viewer:
    """One WebSocket's end: at most one message waits."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: list[bytes] = []
        self._behind = False
        self._changed = asyncio.Event()

    def offer(self, message: bytes, *, delta: bool = False) -> bool:
        """Hand over a message; a delta that would have to queue makes the viewer fall behind.

        False: the viewer does not get it.
        """
        if delta and (len(self._waiting) > 1 or self._behind):
            self._behind = True
            self.dropped += 1
            return False
        if len(self._waiting) < 4:
            self._waiting.append(message)
            self._changed.set()
        return True

    async def next(self, snapshot: Callable[[], bytes]) -> bytes:
        """The next message to send; a snapshot of now where some were missed."""
        while not self._waiting and not self._behind:
            self._changed.clear()
            await self._changed.wait()
        if self._waiting:
            return self._waiting.pop(0)
        self._behind = False
        return snapshot()


@dataclass(slots=True)
class View:
    """A list of signals that somebody watches, at ``hz`` frames a second at most."""

    paths: tuple[str, ...]
    hz: float
    signals: Int32
    cursor: Cursor
    place: Int32
    viewers: set[Viewer] = field(default_factory=set)
    sequence: int = 0
    due: float = 0.0


class Stream:
    """All views of one live table.

    links     what is known of every link
    revision  rises when the state of a link changes, which is then told at once
    """

    def __init__(
        self,
        live: LiveTable,
        clock: Clock,
        links: Callable[[], list[dict[str, object]]],
        revision: Callable[[], int],
    ) -> None:
        self.frames = 0
        self.dropped = 0
        self._live = live
        self._clock = clock
        self._links = links
        self._revision = revision
        self._views: dict[tuple[tuple[str, ...], float], View] = {}
        self._someone = asyncio.Event()

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(len(v.viewers) for v in self._views.values())

    def join(self, viewer: Viewer, paths: Sequence[str], hz: float) -> View:
        """Watch a view: the snapshot and the links are offered at once."""
        hz = min(max(hz, 0.2), MAX_HZ)
        key = (tuple(paths), hz)
        view = self._views.get(key)
        if view is None:
            signals = np.array([self._live.table.add(p) for p in paths], np.int32)
            self._live.snapshot(signals)
            view = View(key[0], hz, signals, self._live.cursor(), self._places(signals))
            self._views[key] = view
        view.viewers.add(viewer)
        viewer.offer(self.snapshot(view))
        viewer.offer(encode({"type": "links", "links": self._links()}))
        self._someone.set()
        return view

    def leave(self, viewer: Viewer, view: View) -> None:
        """Stop watching; a view that nobody watches is forgotten."""
        view.viewers.discard(viewer)
        if not view.viewers:
            self._views.pop((view.paths, view.hz), None)

    def snapshot(self, view: View) -> bytes:
        """Everything of a view, as it is now."""
        now = self._live.snapshot(view.signals)
        head = {"v": 1, "type": "snapshot", "time": self._clock.now(), "paths": view.paths}
        return encode({**head, **_columns(now)})

    def tick(self, now_s: float) -> None:
        """Offer each due view's changes to its viewers; ``now_s`` is monotonic."""
        for view in self._views.values():
            if now_s < view.due:
                continue
            changed = view.cursor.changed()
            if not len(changed):
                continue
            if len(self._live.table) > len(view.place):
                view.place = self._places(view.signals)
            at = view.place[changed]
            at = at[at >= 0]
            if not len(at):
                continue
            view.due = now_s + 1.0 / view.hz
            view.sequence += 1
            samples = self._live.snapshot(view.signals[at])
            head = {"type": "frame", "seq": view.sequence, "time": self._clock.now(), "i": at}
            frame = encode({**head, **_columns(samples)})
            self.frames += 1
            for viewer in view.viewers:
                self.dropped += not viewer.offer(frame, delta=True)

    async def run(self) -> None:
        """Tick for as long as somebody watches, with a heartbeat each second."""
        loop = asyncio.get_running_loop()
        beat, links, told = 0.0, b"", self._revision()
        while True:
            if not self._views:
                self._someone.clear()
                await self._someone.wait()
            now = loop.time()
            self.tick(now)
            revision = self._revision()
            if now >= beat or revision != told:
                beat, told = now + HEARTBEAT_S, revision
                self._all(encode({"type": "heartbeat", "time": self._clock.now()}))
                newer = encode({"type": "links", "links": self._links()})
                if newer != links:
                    links = newer
                    self._all(links)
            await asyncio.sleep(1.0 / MAX_HZ / 2)

    def _all(self, message: bytes) -> None:
        for view in self._views.values():
            for viewer in view.viewers:
                viewer.offer(message)

    def _places(self, signals: Int32) -> Int32:
        place = np.full(max(len(self._live.table), 1), -1, np.int32)
        place[signals] = np.arange(len(signals), dtype=np.int32)
        return place


def _columns(samples: SampleBatch) -> dict[str, object]:
    return {
        "value": samples.value,
        "status": samples.status,
        "source_time": samples.source_time,
    }
