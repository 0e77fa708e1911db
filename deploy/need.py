"""Which room on which box needs which secret and which file of plant.yaml."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plant.errors import ConfigError
from plant.model.locate import Where
from plant.model.need import Need
from plant.model.plant import Plant

_PARTS = {
    "edge": ("broker",),
    "twin": ("broker", "historian", "copy"),
    "analytics": ("broker", "historian"),
    "gateway": ("broker", "historian", "gateway"),
    "history": ("historian", "copy"),
}
"""Room -> the parts of plant.yaml that it uses beside those of its edge; ``history`` are the
commands that read or write what is stored."""


@dataclass(frozen=True, slots=True)
class User:
    """A room, of an edge where there is one for each."""

    room: str
    edge: str = ""

    def __str__(self) -> str:
        return f"{self.room} of {self.edge}" if self.edge else self.room

    def uses(self, where: Where, plant: Plant) -> bool:
        """Whether it uses what stands at a key.

        A room of an edge that was not named is that of any.
        """
        if where[0] != "edges":
            fed = self.room == "opcua" and self._by_broker(plant) and where[0] == "broker"
            return fed or where[0] in _PARTS.get(self.room, ())
        part = {"sources": ("edge", "simulators"), "opcua": ("opcua",)}.get(str(where[2]), ())
        return self.room in part and self.edge in ("", where[1])

    def _by_broker(self, plant: Plant) -> bool:
        servers = [e.opcua for id, e in plant.edges.items() if self.edge in ("", id)]
        return any(s is not None and s.feed == "broker" for s in servers)


def users_of(plant: Plant) -> list[User]:
    """Every room that this plant may run."""
    users = [User("broker")] if plant.broker.embedded else []
    users += [User("edge", id) for id in plant.edges]
    users += [User("opcua", id) for id, e in plant.edges.items() if e.opcua is not None]
    users += [User(room) for room in ("twin", "analytics", "gateway")]
    return users + ([User("simulators")] if plant.simulated else [])


def require(plant: Plant, user: User | None) -> Plant:
    """The plant, or a ConfigError with what its user misses; None: nobody, files are needed."""
    missing = [
        need.missing
        for need in plant.needs
        if need.missing is not None
        and (not need.secret if user is None else user.uses(need.where, plant))
    ]
    if missing:
        raise ConfigError(problems=tuple(dict.fromkeys(missing)))
    return plant


def need_lines(plant: Plant) -> Iterator[str]:
    """The secrets and files of a plant, and which room needs each."""
    users = users_of(plant)
    for title, secret in (("secret", True), ("file", False)):
        by_name: dict[str, list[Need]] = {}
        for need in plant.needs:
            if need.secret is secret:
                by_name.setdefault(need.name, []).append(need)
        for name, needs in by_name.items():
            rooms = ", ".join(str(u) for u in users if _any(u, needs, plant)) or "nobody"
            unset = any(n.missing is not None for n in needs)
            yield f"{title:<10} {name}: {rooms}{' (NOT SET here)' if unset else ''}"


def _any(user: User, needs: Sequence[Need], plant: Plant) -> bool:
    return any(user.uses(need.where, plant) for need in needs)
