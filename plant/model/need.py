"""What a plant.yaml needs of the box it is read on: secrets and files, and who uses which."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from plant.errors import Problem
from plant.model.locate import Document, Where
from plant.model.secret import is_of_the_box, is_secret

_ROOMS = ("broker", "gateway")


Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Need:
    """A secret or a file that plant.yaml names.

    where    the key that names it: ``("broker", "password")``
    name     of the environment variable, or the file
    secret   whether it is a secret, or the name that goes with one
    missing  what to say where it is not there; None where it is
    """

    where: Where
    name: str
    secret: bool
    missing: Problem | None = None


def secrets_of(document: Document) -> Iterator[Need]:
    """The secrets that a document refers to, and the name at the broker, in its order."""
    for where, names in document.referenced.items():
        if is_of_the_box(where):
            for name in names:
                yield Need(where, name, True, document.unset.get(where))


def check_secrets(document: Document) -> Iterator[Problem]:
    """Secrets stand in the environment or in files, never in plant.yaml."""
    for where, value in _scalars(document.data, ()):
        if value is not None and is_secret(where) and where not in document.referenced:
            yield document.problem(where, "a secret is written as ${NAME}, never in the file")


def _scalars(data: object, where: Where) -> Iterator[tuple[Where, object]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _scalars(value, (*where, key))
    elif isinstance(data, list):
        for at, value in enumerate(data):
            yield from _scalars(value, (*where, at))
    else:
        yield where, data


def files_of(
    document: Document, shape: BaseModel, sources: Mapping[str, tuple[str, object]], folder: Path
) -> Iterator[Need]:
    """The files that the broker, the gateway and the sources name, and whether they are there."""
    for room in _ROOMS:
        yield from _files(document, (room,), beside(getattr(shape, room), folder))
    for id, (edge, config) in sources.items():
        if isinstance(config, BaseModel):
            yield from _files(document, ("edges", edge, "sources", id), config)


def beside(settings: Settings, folder: Path) -> Settings:
    """Settings whose files are found from the folder of plant.yaml, wherever a process runs."""
    keys = [k for k, f in type(settings).model_fields.items() if _names_a_file(f)]
    given = {k: getattr(settings, k) for k in keys if getattr(settings, k) is not None}
    return settings.model_copy(update={k: type(v)(folder / v) for k, v in given.items()})


def _names_a_file(field: object) -> bool:
    extra = getattr(field, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("format") == "file"


def _files(document: Document, where: Where, settings: BaseModel) -> Iterator[Need]:
    for key, field in type(settings).model_fields.items():
        name = getattr(settings, key)
        if _names_a_file(field) and name is not None:
            text = _wrong(Path(name))
            here = (*where, key)
            problem = document.problem(here, text) if text else None
            yield Need(here, str(name), False, problem)


def _wrong(file: Path) -> str:
    """Why a file cannot be used; "" where it is there, also where only its owner may look."""
    try:
        if file.is_file():
            return ""
        what = "is a folder" if file.is_dir() else "no such file"
    except OSError as error:
        return "" if isinstance(error, PermissionError) else f"{file}: {error.strerror}"
    return f"{what}: {file.absolute()}"
