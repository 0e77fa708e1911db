"""The InfluxDB historian's configuration; what opens it imports influxdb-client.

Every process of the plant reads it, so nothing heavy is imported here.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from plant.flow.port import HistorianReader, HistorianWriter
from plant.model.host import host_problem, is_loopback

DAY_MS = 86_400_000
BUCKETS = ("raw", "minute", "hour", "day", "event", "mark")
"""What a bucket is called after the prefix."""

_Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Influx(BaseModel):
    """An InfluxDB 2.x that holds the history; ``kaikou init influxdb`` makes its buckets.

    url             of the server, https beyond loopback
    org             organisation the buckets belong to
    token           may read and write the six buckets (init: may create them); only ``${NAME}``
    prefix          the buckets are ``<prefix>_raw``, ``_minute``, ``_hour``, ``_day``, ``_event``,
                    ``_mark``
    retention_days  of raw samples; None: for ever. Each signal keeps its last row before the cut
    minute_days     of the one-minute tier; None: for ever, as hours and days are kept
    timezone        whose days the day tier has; the plant's
    gzip            compress what is written: for slow links, it costs more than it saves on a LAN
    connections     that large commits are written over
    timeout_s       of one request
    ca_file         certificate authority of the server, where the system does not know it
    plain_http      allows http:// beyond loopback
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["influxdb"] = "influxdb"
    url: _Url = "http://127.0.0.1:8086"
    org: str = Field("kaikou", min_length=1)
    token: SecretStr = Field(description="only as `${NAME}`")
    prefix: _Name = "kaikou"
    retention_days: float | None = Field(None, gt=0)
    minute_days: float | None = Field(None, gt=0)
    timezone: str = "UTC"
    gzip: bool = False
    connections: int = Field(2, ge=1, le=16)
    timeout_s: float = Field(30.0, gt=0)
    ca_file: Path | None = Field(None, json_schema_extra={"format": "file"})
    plain_http: bool = False

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if problem := host_problem(host):
            raise ValueError(problem)
        if parts.scheme == "http" and not self.plain_http and not is_loopback(host):
            raise ValueError(
                "plain HTTP beyond loopback shows the token to the network: use https, or say"
                " `plain_http: true` where that network is the plant's own"
            )
        return self

    def bucket(self, which: str) -> str:
        """Name of one of ``BUCKETS``."""
        return f"{self.prefix}_{which}"

    def cut(self, now: int) -> int | None:
        """Raw rows before this (ms UTC) are not kept; None where all are."""
        return None if self.retention_days is None else now - int(self.retention_days * DAY_MS)

    def keeps_days(self, which: str) -> float | None:
        """What the server is told to keep of a bucket: a day more than we do; None: everything."""
        days = {"raw": self.retention_days, "minute": self.minute_days}.get(which)
        return None if days is None else days + 1

    def writer(self, folder: Path) -> HistorianWriter:
        """Open for writing; a second writer on this box is refused (``Unavailable``)."""
        from twin.historian.influx.writer import InfluxWriter

        return InfluxWriter(folder, self)

    def reader(self, folder: Path) -> HistorianReader:
        """Open for reading, in any process."""
        from twin.historian.influx.reader import InfluxReader

        return InfluxReader(self)
