"""An InfluxDB historian for tests: opened on fresh buckets of the run's server."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.influx import Influx
from plant.flow.port import Series
from plant.flow.sample import SampleBatch
from twin.historian.influx.bucket import prepare
from twin.historian.influx.config import Influx as Settings
from twin.historian.influx.reader import InfluxReader
from twin.historian.influx.server import Server
from twin.historian.influx.writer import InfluxWriter

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3_600_000
DAY = 24 * HOUR


def settings_of(influx: Influx, prefix: str = "kaikou-test-own", **more: object) -> Settings:
    """Settings for a server."""
    given = {"url": influx.url, "org": influx.org, "token": influx.token, "prefix": prefix}
    return Settings.model_validate({**given, **more})


def made(settings: Settings) -> Settings:
    """The same, with its buckets."""
    server = Server(settings)
    prepare(server)
    server.close()
    return settings


class Opened:
    """Writers and readers of one historian, closed at the end."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self._ends: list[Callable[[], None]] = []

    def writer(self, *series: Series) -> InfluxWriter:
        writer = InfluxWriter(self.folder, self.settings)
        self._ends.append(writer.close)
        writer.declare(series)
        return writer

    def reader(self) -> InfluxReader:
        reader = InfluxReader(self.settings)
        self._ends.append(reader.close)
        return reader

    def close(self) -> None:
        for end in self._ends:
            end()


def rows(*given: tuple) -> SampleBatch:
    """(signal, time, value[, status]) as a batch."""
    signal, time, value, status = zip(*[(*r, 0)[:4] for r in given], strict=True)
    return SampleBatch.of(signal, time, value, status)
