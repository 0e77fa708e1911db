"""What strangers can cause is logged once a while: the rest of it is counted."""

import logging
import time
from collections.abc import Callable

QUIET_S = 60.0
KINDS = 256
"""So many kinds of lines are told apart; beyond, all new ones are one kind."""


class Repeats(logging.Filter):
    """Lets one line of a kind through in a minute, the next one with how many there were between.

    A kind is the text before its values are filled in, or the place that an error comes from; its
    traceback is written the first time only.
    """

    def __init__(self, mono_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._mono_s = mono_s
        self._told: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it."""
        kind, now = _kind(record), self._mono_s()
        if kind not in self._told and len(self._told) >= KINDS:
            kind = "others"
        last = self._told.get(kind)
        if last is not None and now - last < QUIET_S:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._told[kind] = now
        held = self._held.pop(kind, 0)
        if record.exc_info and last is not None:
            error = record.exc_info[1]
            record.msg, record.args = f"{record.getMessage().strip()}: {error!r}"[:500], ()
            record.exc_info = record.exc_text = None
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} times since)", ()
        return True


def quieten(*names: str) -> None:
    """Hold repetitions of these loggers back."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(f, Repeats) for f in logger.filters):
            logger.addFilter(Repeats())


def _kind(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return f"{record.name} {record.msg}"[:200]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{record.name} {type(error).__name__} {place}"
