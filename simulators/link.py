"""How a device answers: what device faults change and every protocol's server obeys."""

from dataclasses import dataclass


@dataclass(slots=True)
class Link:
    """The line between a device and whoever asks it.

    offline  connections are refused or cut
    silent   connections stand, nothing is answered
    late_s   real seconds by which every answer comes late (it still comes)
    garbage  answers are nonsense
    """

    offline: bool = False
    silent: bool = False
    late_s: float = 0.0
    garbage: bool = False

    def heal(self) -> None:
        """Answer at once and truly again."""
        self.offline = self.silent = self.garbage = False
        self.late_s = 0.0
