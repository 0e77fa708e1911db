"""What a plant.yaml needs of the box it is read on: secrets and files, and who uses which."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from plant.errors import Problem
from plant.model.locate import Document, Where
from plant.model.secret import is_secret

_FILES: Mapping[str, tuple[str, ...]] = {
    "broker": ("ca_file", "certificate_file", "key_file"),
    "gateway": ("tls_cert", "tls_key"),
}


@dataclass(frozen=True, slots=True)
class Need:
    """A secret or a file that plant.yaml names.

    where    the key that names it: ``("broker", "password")``
    name     of the environment variable, or the file
    secret   whether it is a secret
    missing  what to say where it is not there; None where it is
    """

    where: Where
    name: str
    secret: bool
    missing: Problem | None = None


def secrets_of(document: Document) -> Iterator[Need]:
    """The secrets that a document refers to, in its order."""
    for where, names in document.referenced.items():
        if is_secret(where):
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
    document: Document, shape: BaseModel, sources: Mapping[str, tuple[str, object]]
) -> Iterator[Need]:
    """The files that the broker, the gateway and the sources name, and whether they are there."""
    for room, keys in _FILES.items():
        yield from _files(document, (room,), getattr(shape, room), keys)
    for id, (edge, config) in sources.items():
        if isinstance(config, BaseModel):
            marked = (k for k, f in type(config).model_fields.items() if _names_a_file(f))
            yield from _files(document, ("edges", edge, "sources", id), config, marked)


def _names_a_file(field: object) -> bool:
    extra = getattr(field, "json_schema_extra", None)
    return isinstance(extra, dict) and extra.get("format") == "file"


def _files(
    document: Document, where: Where, settings: object, keys: Iterable[str]
) -> Iterator[Need]:
    for key in keys:
        name = getattr(settings, key)
        if name is not None:
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
