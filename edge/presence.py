"""Which assets are there, and which give values: what each source last said of every signal.

An asset is lost when no source reaches it any more. It gives values while at least one of its
signals was last told with a status that is not Bad; a source that only reports changes need not
say so again.
"""

from collections.abc import Callable, Sequence

import numpy as np

from plant.flow.sample import SampleBatch, Text
from plant.flow.status import StatusCode, is_bad
from plant.model.signal import Signal


class Presence:
    """Counts for every asset the sources that reach it.

    ``lost`` and ``back`` are called with the asset's id when it goes and when it comes again.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        lost: Callable[[str], None],
        back: Callable[[str], None],
    ) -> None:
        self._assets = list(dict.fromkeys(s.asset for s in signals))
        code = {asset: at for at, asset in enumerate(self._assets)}
        self._sources: dict[int, set[str]] = {}
        self._down: dict[int, set[str]] = {}
        of: dict[tuple[str, int], list[int]] = {}
        for at, signal in enumerate(signals):
            if signal.reading is not None:
                self._sources.setdefault(code[signal.asset], set()).add(signal.reading.source)
                of.setdefault((signal.reading.source, code[signal.asset]), []).append(at)
        self._feeds: dict[str, list[tuple[int, np.ndarray]]] = {}
        for (source, asset), mine in of.items():
            self._feeds.setdefault(source, []).append((asset, np.array(mine, np.int32)))
        self._status = np.full(len(signals), StatusCode.BadWaitingForInitialData, np.uint32)
        """What was last said of each signal."""
        self._lost = lost
        self._back = back
        self._gone: set[int] = set()

    def see(
        self, source: str, batch: SampleBatch, texts: Sequence[Text] = (), *, good: bool
    ) -> list[str]:
        """Take one answer into account; returns the assets of which some signal is not Bad.

        Assets that are there again are told before this returns, lost ones by ``settle``.
        """
        self._status[batch.signal] = batch.status
        for text in texts:
            self._status[text.signal] = text.status
        usable = []
        for asset, signals in self._feeds.get(source, ()):
            status = self._status[signals]
            if not good or (status == StatusCode.BadNoCommunication).all():
                self._down.setdefault(asset, set()).add(source)
                continue
            self._reached(asset, source)
            if not is_bad(status).all():
                usable.append(self._assets[asset])
        return usable

    def _reached(self, asset: int, source: str) -> None:
        down = self._down.get(asset)
        if down:
            down.discard(source)
            if asset in self._gone:
                self._gone.discard(asset)
                self._back(self._assets[asset])

    def settle(self) -> None:
        """Tell of assets that no source reaches any more, after their Bad values were accepted."""
        for at, down in self._down.items():
            if at not in self._gone and down == self._sources[at]:
                self._gone.add(at)
                self._lost(self._assets[at])
