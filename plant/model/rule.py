"""Rules of the catalogue: what a signal's value says of the machine's state or mode."""

from collections.abc import Mapping, Sequence

from plant.errors import Problem
from plant.model.locate import Document, Where
from plant.model.mode import MODE_NAMES, WAITING_NAMES
from plant.model.packml import PackML
from plant.model.plant import StateRule
from plant.model.shape import StateRuleShape
from plant.model.signal import Signal
from plant.model.validate import did_you_mean

_STATES: Mapping[str, tuple[int, int]] = {
    **{name: (int(state), 0) for name, state in PackML.__members__.items()},
    **{name: (int(PackML.Suspended), int(why)) for why, name in WAITING_NAMES.items()},
}
"""What a state rule may say -> PackML state, and what the machine waits for."""
_MODES: Mapping[str, tuple[int, int]] = {name: (int(mode), 0) for mode, name in MODE_NAMES.items()}


def read_rules(
    key: str,
    shapes: Sequence[StateRuleShape],
    signals: Sequence[Signal],
    document: Document,
    problems: list[Problem],
) -> tuple[StateRule, ...]:
    """The rules under ``key`` ("state", "mode") whose signals this asset has, in order."""
    by_id = {s.id: s for s in signals}
    words, what = (_STATES, "PackML state") if key == "state" else (_MODES, "mode")
    found = []
    for i, shape in enumerate(shapes):
        signal = by_id.get(shape.signal)
        if signal is None:
            continue
        numbers = {label.en.lower().replace(" ", "_"): n for n, label in signal.states.items()}
        says: dict[int, tuple[int, int]] = {}
        for state, target in shape.map.items():
            number = state if isinstance(state, int) else numbers.get(state)
            where: Where = (key, i, "map", state)
            if number is None or number not in signal.states:
                text = f"{signal.id!r} has no state {state!r}{did_you_mean(state, list(numbers))}"
                problems.append(document.problem(where, text, key=True))
            elif target not in words:
                text = f"no {what} {target!r}{did_you_mean(target, list(words))}"
                problems.append(document.problem(where, text))
            else:
                says[number] = words[target]
        waiting = {number: why for number, (_, why) in says.items() if why}
        found.append(StateRule(signal.path, {n: said for n, (said, _) in says.items()}, waiting))
    return tuple(found)
