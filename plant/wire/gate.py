"""The gate: what a message may be before anybody behind it looks at it.

Whatever comes from the bus passes ``decode_payload``, ``parse_topic`` or ``read_json``, and these
hold it to the bounds here: size, depth, ranges, encoding. What is beyond them is a ``DecodeError``
that names what was wrong; the rest of the platform need not check again.
"""

from plant.errors import DecodeError

PAYLOAD_BYTES = 8 << 20
"""A birth of a node of ours with all aliases it can have is less than this."""
FOREIGN_BYTES = 2 << 20
"""The same for a node that plant.yaml does not name."""
METRIC_BYTES = 1 << 20
METRICS = 20_000
"""Most metrics of one message; a node of ours has 16,256 aliases."""
NAME_CHARS = 512
TEXT_BYTES = 1 << 16
PROPERTIES = 64
PROPERTY_BYTES = 1 << 16
RECORD_BYTES = 1 << 16
"""An event or a gap record as JSON."""
ACK_BYTES = 1 << 17
REPLY_BYTES = 1 << 14
STATE_BYTES = 1024
RUNS = 1024
"""So many runs an outbox announces, or an acknowledgement marks, at most."""
RUN_CHARS = 64
ID_CHARS = 128
"""Group, node and device ids in topics."""
TOPIC_CHARS = 4 * ID_CHARS
TIME_LAST = 1 << 45
"""ms UTC in the year 3084; no store and no calendar fails before."""
SEQ_LAST = 255
INT64_LAST = (1 << 63) - 1


def check_size(data: bytes, most: int) -> None:
    """Refuse a payload that is longer than it may be."""
    if len(data) > most:
        raise DecodeError(f"too large: {len(data)} bytes; {most} are taken")


def check_count(metrics: int, most: int = METRICS) -> None:
    """Refuse a message of too many metrics."""
    if metrics > most:
        raise DecodeError(f"too many metrics: more than {most}")


def check_head(timestamp: int, seq: int | None) -> None:
    """Refuse a payload from another millennium, or with a sequence number of no session."""
    if timestamp > TIME_LAST:
        raise DecodeError(f"timestamp out of range: {timestamp}")
    if seq is not None and seq > SEQ_LAST:
        raise DecodeError(f"seq out of range: {seq} is not in 0..{SEQ_LAST}")


def check_run(run: str) -> None:
    """Refuse the name of a run that no outbox of ours gives.

    >>> check_run("a1b2")
    """
    if not 0 < len(run) <= RUN_CHARS or not run.isascii() or not run.isprintable():
        raise DecodeError(f"no name of a run: {run[:RUN_CHARS]!r}")


def check_offset(offset: int) -> None:
    """Refuse an offset that no database keeps."""
    if not 0 <= offset <= INT64_LAST:
        raise DecodeError(f"offset out of range: {offset}")


def text_of(raw: bytes, most: int, what: str) -> str:
    r"""Bytes of a stranger as text: UTF-8, else GBK as Chinese tools write it, else escaped.

    A text is readable, if not always right; what controls a terminal is escaped as well.

    >>> text_of("温度".encode("gbk"), 64, "name"), text_of(b"\xff\xfe", 64, "name")
    ('温度', '\\xff\\xfe')
    >>> text_of(b"a\x1b[2J\n", 64, "name")
    'a\\x1b[2J\\n'
    """
    if len(raw) > most:
        raise DecodeError(f"{what} too long: {len(raw)} bytes; {most} are taken")
    text = decoded(raw)
    return text if text.isprintable() else "".join(map(_printable, text))


def decoded(raw: bytes) -> str:
    """UTF-8, else GBK, else with what is neither escaped."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "backslashreplace")


def _printable(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()
