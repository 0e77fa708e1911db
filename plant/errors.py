"""What can go wrong, by what the caller should do about it.

KaikouError
├── ConfigError    plant.yaml or the installation is wrong: print it, exit 2, never retry
├── Unavailable    the peer is not there now: wait, retry, one log line per transition
│   └── Condemned  what this process keeps is damaged: end, the next start begins anew
├── DecodeError    the peer is there, one answer makes no sense: Bad with reason, count it
└── Rejected       the peer refused rows or a command: say which and why, never retry

Anything else is a bug. It ends the unit it happened in (a source, a viewer, a method), which begins
anew (``plant.flow.supervisor.Unexpected``); only in the core of a process does it end the process.
"""

from dataclasses import dataclass, field


class KaikouError(Exception):
    """Base of every error that Kaikou raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding in a file, printed as ``file:line:col: path: what is wrong``.

    >>> print(Problem("plant.yaml", 6, 5, "sources.io.prot", "unknown key; did you mean 'port'?"))
    plant.yaml:6:5: sources.io.prot: unknown key; did you mean 'port'?
    """

    file: str
    line: int
    column: int
    path: str
    text: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{where}{self.path}: {self.text}" if self.path else f"{where}{self.text}"


@dataclass(eq=False)
class ConfigError(KaikouError):
    """The configuration or the installation is wrong.

    ``problems`` holds every finding of the pass that failed, in file order; ``text`` is used
    when there is no file to point at (a missing extra, a port below 1024 without the right).
    """

    text: str = ""
    problems: tuple[Problem, ...] = field(default=())

    def __str__(self) -> str:
        return "\n".join([self.text] * bool(self.text) + [str(p) for p in self.problems])


class Unavailable(KaikouError):
    """The peer cannot be reached now; the supervisor waits and tries again."""


class Condemned(Unavailable):
    """What this process alone keeps is damaged: it ends, and its next start sets that aside."""


class DecodeError(KaikouError):
    """A peer answered, and the answer cannot be understood; ``raw`` is what it sent."""

    def __init__(self, text: str, raw: bytes = b"") -> None:
        super().__init__(f"{text}: {raw.hex(' ')}" if raw else text)
        self.raw = raw


class Rejected(KaikouError):
    """The peer refused what it was given; sending it again would be refused again."""
