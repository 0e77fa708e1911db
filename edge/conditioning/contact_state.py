"""A state from the relay contacts of a machine: "running", "fault", whatever is wired out.

Contacts bounce and change one after the other, so a state is given only when every contact stood
still for ``debounce_ms``, which is real time also where the plant's clock runs faster.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from edge.conditioning.condition import ConditionModel, Inputs, Rows, is_bad_code
from plant.flow.sample import SampleBatch


class ContactState(ConditionModel):
    """Contacts (0 open, else closed) -> a number that plant.yaml names under ``states:``.

    ``contacts`` names the inputs in their order. The first of ``priority`` that is active decides;
    its state is its place among the contacts, counted from 1. 0: none is active, which says only
    that.

    >>> from plant.flow.sample import SampleBatch
    >>> washer = ContactState(kind="contact_state", contacts=("running", "fault"),
    ...     priority=("fault", "running"), normally_closed=("fault",), debounce_ms=0).open()
    >>> rows = SampleBatch.of([0, 1, 0, 1], [0, 0, 500, 900], [0, 1, 1, 0])
    >>> washer.update(rows).value.tolist()
    [0.0, 1.0, 2.0]
    """

    kind: Literal["contact_state"]
    contacts: tuple[str, ...] = Field(min_length=1, description="names of the inputs, in order")
    priority: tuple[str, ...] = Field((), description="strongest first; empty: as in contacts")
    normally_closed: tuple[str, ...] = Field(
        (), description="active when open, so a broken wire is active too"
    )
    debounce_ms: float = Field(50.0, ge=0, description="real ms a contact must stand still")
    pushed: bool = Field(False, description="inputs come only when they change (no polling)")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if len(set(self.contacts)) != len(self.contacts):
            raise ValueError("contacts: a name appears twice")
        for key in ("priority", "normally_closed"):
            for name in getattr(self, key):
                if name not in self.contacts:
                    raise ValueError(f"{key}: {name!r} is not one of the contacts")
        if self.priority and set(self.priority) != set(self.contacts):
            raise ValueError("priority: name every contact, or none")
        return self

    def check(self, inputs: int) -> Iterable[str]:
        """One input for each contact."""
        if inputs != len(self.contacts):
            yield f"names {len(self.contacts)} contacts, {inputs} inputs given"

    def open(
        self,
        saved: Mapping[str, float] | None = None,
        factor: float = 1.0,
    ) -> "Contacts":
        """Begin; nothing is kept between processes."""
        return Contacts(self, factor)


class Debounced:
    """One contact; ``closed`` is None until it stood still once."""

    def __init__(self, hold_ms: float) -> None:
        self.closed: bool | None = None
        self._hold_ms = hold_ms
        self._side: bool | None = None
        self._since = 0

    def see(self, closed: bool, time: int) -> None:
        """One reading."""
        if closed is not self._side or time < self._since:  # or a clock set back
            self._side, self._since = closed, time
        if time - self._since >= self._hold_ms:
            self.closed = closed

    @property
    def moving(self) -> bool:
        """Whether the newest reading is not certain yet."""
        return self.closed is None or self.closed is not self._side

    def forget(self) -> None:
        """Nothing is known any more."""
        self.closed = self._side = None


class Contacts:
    """The contacts at work."""

    def __init__(self, config: ContactState, factor: float) -> None:
        self._inputs = Inputs(len(config.contacts))
        hold_ms = config.debounce_ms * factor
        self._contacts = [Debounced(hold_ms) for _ in config.contacts]
        self._inverted = [name in config.normally_closed for name in config.contacts]
        self._order = [config.contacts.index(name) for name in config.priority or config.contacts]
        self._pushed = config.pushed
        self._heard = 0

    def update(self, batch: SampleBatch) -> SampleBatch:
        """A row for each moment at which all contacts are certain."""
        rows = Rows()
        for time in self._inputs.moments(batch):
            self._heard = time
            self._see(time, rows)
        return rows.batch()

    def _see(self, time: int, rows: Rows) -> None:
        inputs = self._inputs
        status = inputs.worst()
        if is_bad_code(status):
            for contact in self._contacts:
                contact.forget()
            rows.bad(time, status)
            return
        for contact, value, heard in zip(self._contacts, inputs.value, inputs.status, strict=True):
            if heard is not None:
                contact.see(value != 0, time)
        if not any(contact.moving for contact in self._contacts):
            rows.add(time, self._state(), status)

    def _state(self) -> float:
        for at in self._order:
            if bool(self._contacts[at].closed) is not self._inverted[at]:
                return float(at + 1)
        return 0.0

    def tick(self, now_ms: int) -> SampleBatch:
        """Contacts that were pushed and stand still since; polled ones are seen by ``update``."""
        rows = Rows()
        if (
            self._pushed
            and now_ms > self._heard
            and self._inputs.complete
            and any(contact.moving for contact in self._contacts)
            and not is_bad_code(self._inputs.worst())
        ):
            self._see(now_ms, rows)
        return rows.batch()

    def saved(self) -> Mapping[str, float]:
        """Nothing."""
        return {}
