"""What a data folder says of itself: whose it is (``plant.json``), and which clock it keeps."""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from plant.errors import ConfigError
from plant.file import Damaged, make_folder, read_object, set_aside, write_whole
from plant.flow.clock import Clock, plant_clock
from plant.model.plant import Plant

log = logging.getLogger("kaikou.folder")


def read_clock(data: Path) -> Clock:
    """The plant's clock: real time, or faster where the data folder says so.

    Raises
    ------
    ConfigError
        ``clock.json`` is damaged: what is stored lies on the time axis that it gave.
    """
    file = data / "clock.json"
    how = "restore it, or give another folder with --data: what is stored has that clock's times"
    given = read_object(file, how)
    if given is None:
        return plant_clock()
    origin, factor = (given.get(name, 0) for name in ("origin", "factor"))
    numbers = _is_number(origin) and _is_number(factor)
    if not (numbers and origin > 0 and 0 < factor <= 1e6):
        raise ConfigError(f"{file} is damaged (origin {origin!r}, factor {factor!r}); {how}")
    return plant_clock(int(origin), float(factor))


def claim(plant: Plant, data: Path) -> None:
    """Refuse to mix simulated with real values, or two plants, in one data folder.

    A ``plant.json`` that is empty or damaged is set aside and written anew, with a warning:
    older versions could leave it so after a power cut, and no room may stand still for that.
    """
    make_folder(data)
    file = data / "plant.json"
    mine = {"plant": plant.group, "simulated": plant.simulated}
    theirs = _owner(file)
    if theirs is None:
        write_whole(file, json.dumps(mine))
    elif theirs != mine:
        what = "simulated" if theirs["simulated"] else "real"
        raise ConfigError(
            f"{data} holds {what} values of plant {theirs['plant']!r}; "
            f"this is {'simulated' if plant.simulated else 'real'} {plant.group!r}: "
            "give another folder with --data"
        )


def _owner(file: Path) -> Mapping[str, object] | None:
    """Whose folder it is; None where nobody has said, or what was said is lost."""
    try:
        said = read_object(file, "")
    except Damaged:
        said = {}
    if said is None:
        return None
    owner = {"plant": said.get("plant"), "simulated": said.get("simulated")}
    if isinstance(owner["plant"], str) and isinstance(owner["simulated"], bool):
        return owner
    with suppress(FileNotFoundError):  # another room that starts now was first
        aside = set_aside(file)
        log.warning(
            "%s was damaged and is written anew (the old one is %s): this folder is taken to be of "
            "the plant that starts now", file, aside.name,
        )  # fmt: skip
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
