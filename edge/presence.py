"""Which assets are there: an asset is lost when no source reaches it any more."""

from collections.abc import Callable, Sequence

import numpy as np

from plant.flow.sample import SampleBatch
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
        self._asset_of = np.array([code[s.asset] for s in signals], np.int32)
        self._sources: dict[int, set[str]] = {}
        self._down: dict[int, set[str]] = {}
        for signal in signals:
            if signal.reading is not None:
                self._sources.setdefault(code[signal.asset], set()).add(signal.reading.source)
        self._feeds: dict[str, list[int]] = {}
        for at, sources in self._sources.items():
            for source in sources:
                self._feeds.setdefault(source, []).append(at)
        self._lost = lost
        self._back = back
        self._gone: set[int] = set()

    def see(self, source: str, batch: SampleBatch, *, good: bool) -> list[str]:
        """Take one answer into account; returns the assets that gave at least one good value.

        Assets that are there again are told before this returns, lost ones by ``settle``.
        """
        fed = self._feeds.get(source, [])
        if not good:
            for at in fed:
                self._down.setdefault(at, set()).add(source)
            return []
        silent, usable = self._look(batch, fed)
        for at in fed:
            down = self._down.get(at)
            if at in silent:
                self._down.setdefault(at, set()).add(source)
            elif down:
                down.discard(source)
                if at in self._gone:
                    self._gone.discard(at)
                    self._back(self._assets[at])
        return [self._assets[at] for at in fed if at in usable]

    def _look(self, batch: SampleBatch, fed: list[int]) -> tuple[set[int], set[int]]:
        """Assets of which nothing answers, and those of which something is not Bad."""
        bad = is_bad(batch.status)
        if not bad.any():
            return set(), set(fed)
        of = self._asset_of[batch.signal]
        answered = batch.status != StatusCode.BadNoCommunication
        silent = set(of.tolist()) - set(of[answered].tolist())
        useless = set(of.tolist()) - set(of[~bad].tolist())
        return silent, set(fed) - useless

    def settle(self) -> None:
        """Tell of assets that no source reaches any more, after their Bad values were accepted."""
        for at, down in self._down.items():
            if at not in self._gone and down == self._sources[at]:
                self._gone.add(at)
                self._lost(self._assets[at])
