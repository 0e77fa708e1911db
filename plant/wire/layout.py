"""The fixed byte patterns of a metric that is one double by alias, Good or not, live or historical.

A layout is a template of bytes in which only alias, time, status and value vary, so that a run of
metrics of one layout is a matrix: numpy writes it, checks it against the template, and reads it.
Templates are made by protobuf itself, so they are what protobuf would write.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant.flow.sample import Float64, Int64, UInt32
from plant.flow.status import StatusCode
from plant.wire import sparkplug_b_pb2 as pb

TIME_FROM = 1 << 35
TIME_TO = 1 << 42
"""A time in ms has six varint bytes from 1971 to 2109."""
QUALITY_GOOD, QUALITY_STALE, QUALITY_BAD = 192, 500, 0
INT32, UINT32 = 3, 7
_TILES = 512
"""Mask and template are kept repeated this often: one flat comparison is eight times as fast."""
_LANES = np.uint64(0x3F80_3F80_3F80)
_LOW = np.uint64(0x007F_007F_007F)
_MORE = np.uint64(0x0080_8080_8080)


def add_quality(properties: pb.Payload.PropertySet, status: int) -> None:
    """The two properties of a sample that is not Good: one for strangers, one for us."""
    severity = status >> 30
    quality = (QUALITY_GOOD, QUALITY_STALE, QUALITY_BAD, QUALITY_BAD)[severity]
    properties.keys.extend(("Quality", "StatusCode"))
    properties.values.add(type=INT32, int_value=quality)
    properties.values.add(type=UINT32, int_value=status)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One byte pattern. ``severity`` is the two highest bits of the statuses it is for."""

    severity: int
    null: bool
    historical: bool
    stride: int
    template: NDArray[np.uint8]
    fixed: NDArray[np.uint8]
    record: "np.dtype[np.void]"
    tile: NDArray[np.uint8]
    tiled: bytes

    def write(
        self, alias: NDArray[np.uint16], time: Int64, value: Float64, status: UInt32
    ) -> bytes:
        """The metrics of equally long columns; times and aliases in the range of the layout."""
        matrix = np.empty((len(alias), self.stride), np.uint8)
        matrix[:] = self.template
        record: Any = matrix.view(self.record)[:, 0]
        # alias: two varint bytes; written after the time, whose word overlaps it
        record["time"] = (_spread(time) << np.uint64(16)) | np.uint64(0x1800)
        record["alias"] = (alias & np.uint16(0x7F)) | ((alias & np.uint16(0x3F80)) << 1) | 0x80
        if not self.null:
            record["value"] = value
        if self.severity:
            wide = status.astype(np.uint64)
            low = (wide & 0x7F) | ((wide & 0x3F80) << 1) | ((wide & 0x1F_C000) << 2)
            record["status"] = low | ((wide & 0xFE0_0000) << 3) | 0x8080_8080
            record["status_end"] = wide >> 28
        return matrix.tobytes()

    def matches(self, data: bytes) -> NDArray[np.bool_]:
        """Which metrics of a run of this stride have this pattern."""
        matrix = np.frombuffer(data, np.uint8).reshape(-1, self.stride)
        return np.asarray(((matrix & self.fixed) == self.template).all(axis=1))

    def matches_all(self, data: bytes) -> bool:
        """Whether a whole run has this pattern."""
        if len(data) > len(self.tile):
            return bool(self.matches(data).all())
        flat = np.frombuffer(data, np.uint8) & self.tile[: len(data)]
        return flat.tobytes() == self.tiled[: len(data)]

    def read(self, data: bytes) -> tuple[Int64, Int64, Float64 | float, UInt32 | int]:
        """Alias, time, value and status of a run that matches."""
        record: Any = np.frombuffer(data, self.record)
        short = record["alias"]
        alias = ((short & 0x7F) | ((short >> 1) & 0x3F80)).astype(np.int64)
        word = record["time"] >> np.uint64(16)
        if (word == word[0]).all():  # a whole poll has one time
            time = np.full(len(word), _gather_one(int(word[0])), np.int64)
        else:
            time = _gather(word)
        value = np.nan if self.null else record["value"].astype(np.float64)
        if not self.severity:
            return alias, time, value, 0
        wide = record["status"].astype(np.uint64)
        low = (wide & 0x7F) | ((wide >> 1) & 0x3F80) | ((wide >> 2) & 0x1F_C000)
        low |= ((wide >> 3) & 0xFE0_0000) | (record["status_end"].astype(np.uint64) << 28)
        return alias, time, value, low.astype(np.uint32)


def _spread(time: Int64) -> NDArray[np.uint64]:
    """42 bits to six bytes of seven, continuation bits set on all but the last."""
    t = time.astype(np.uint64)
    lanes = (t & 0x3FFF) | ((t & 0xFFF_C000) << 2) | ((t & 0x3FF_F000_0000) << 4)
    return np.asarray((lanes & _LOW) | ((lanes & _LANES) << 1) | _MORE)


def _gather(word: NDArray[np.uint64]) -> Int64:
    """The inverse of ``_spread``; bits above the sixth byte must be zero."""
    lanes = (word & _LOW) | ((word >> 1) & _LANES)
    time = (lanes & 0x3FFF) | ((lanes >> 2) & 0xFFF_C000) | ((lanes >> 4) & 0x3FF_F000_0000)
    return np.asarray(time.astype(np.int64))


def _gather_one(word: int) -> int:
    """The same for one."""
    return sum(((word >> (8 * i)) & 0x7F) << (7 * i) for i in range(6))


def _layout(severity: int, null: bool, historical: bool) -> Layout:
    status = int((StatusCode.Good, StatusCode.Uncertain, StatusCode.Bad)[severity])
    metric = pb.Payload.Metric(alias=128, timestamp=TIME_FROM)
    if historical:
        metric.is_historical = True
    if null:
        metric.is_null = True
    if severity:
        add_quality(metric.properties, status)
    if not null:
        metric.double_value = 0.0
    body = metric.SerializeToString()
    template = np.frombuffer(bytes([0x12, len(body)]) + body, np.uint8).copy()
    stride = len(template)
    fields = {"alias": ("<u2", 3), "time": ("<u8", 4)}
    varying = {3: 0x80, 4: 0x80} | dict.fromkeys(range(6, 12), 0x80)
    if not null:
        fields["value"] = ("<f8", stride - 8)
        varying |= dict.fromkeys(range(stride - 8, stride), 0)
    if severity:
        at = stride - 5 if null else stride - 14
        fields["status"] = ("<u4", at)
        fields["status_end"] = ("u1", at + 4)
        # the last of the five bytes holds the severity: fixed; 11 is Bad as well and has its bit
        varying |= dict.fromkeys(range(at, at + 4), 0x80) | {
            at + 4: 0xF8 if severity == 2 else 0xFC
        }
    fixed = np.array([varying.get(i, 0xFF) for i in range(stride)], np.uint8)
    record = np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": stride,
        }
    )
    template &= fixed
    tile, tiled = np.tile(fixed, _TILES), np.tile(template, _TILES).tobytes()
    return Layout(severity, null, historical, stride, template, fixed, record, tile, tiled)


LAYOUTS: tuple[Layout, ...] = tuple(
    _layout(severity, null, historical)
    for severity, null in ((0, False), (1, False), (1, True), (2, False), (2, True))
    for historical in (False, True)
)
BY_STRIDE = {layout.stride: layout for layout in LAYOUTS}
BY_KIND = {(x.severity, x.null, x.historical): x for x in LAYOUTS}
