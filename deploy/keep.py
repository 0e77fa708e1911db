"""Backup, restore and trust: what people do beside the running rooms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from deploy.room import HISTORIAN
from plant.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from edge.opcua.shown import Shown
    from edge.opcua.trust import TrustStore

FOLDER = "name the data folder with --data (the demo's is data/demo)"


def backup(data: Path, file: Path) -> str:
    """Copy the historian of a data folder into one file; says what was copied."""
    from twin import backup as archive

    if not (data / HISTORIAN).is_dir():
        raise ConfigError(f"{data} holds no history; {FOLDER}")
    try:
        return f"{file}: {archive.backup(data / HISTORIAN, file)}"
    except OSError as error:  # no such folder, no right, no space
        if error.filename and Path(error.filename).is_relative_to(data / HISTORIAN):
            raise Unavailable(f"{error.filename} cannot be read: {error.strerror}") from error
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from error


def restore(file: Path, data: Path) -> str:
    """Bring a backup into a data folder; says what came back."""
    from twin import backup as archive

    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    try:
        kept = archive.restore(file, data / HISTORIAN)
    except OSError as error:
        raise Unavailable(f"{data} cannot take the backup: {error.strerror}") from error
    return f"{data}: {kept}; what came later is covered by gap records"


Ask = Callable[[str], bool]
"""Shows a question to a person; whether the answer was yes."""


@dataclass(frozen=True, slots=True)
class Trusting:
    """What ``kaikou trust`` is to do: look, accept, take back (``remove``) or ``clear``.

    ``ask`` is shown what is about to be done, with the whole fingerprint.
    """

    edge: str | None = None
    fingerprint: str | None = None
    remove: bool = False
    clear: bool = False
    ask: Ask = lambda _: True


def trust(data: Path, what: Trusting) -> Iterator[str]:
    """List the certificates of clients, or change who is trusted; what was done, line by line.

    Raises
    ------
    ConfigError
        No such server or certificate, or the person did not say yes.
    """
    folders = sorted(data.glob(f"opcua-{what.edge or '*'}"))
    if not folders:
        raise ConfigError(f"{data} holds no OPC UA server; {FOLDER}")
    if what.fingerprint and len(folders) > 1:
        names = ", ".join(f.name.removeprefix("opcua-") for f in folders)
        raise ConfigError(f"several edges have an OPC UA server; say which with --edge: {names}")
    from edge.opcua.trust import TrustStore

    for folder in folders:
        store = TrustStore(folder / "pki")
        name = folder.name.removeprefix("opcua-")
        if what.clear:
            yield f"{name}: {store.clear()} refused certificates are forgotten"
        elif what.fingerprint and what.remove:
            yield from _take_back(store, what.fingerprint, what.ask)
        elif what.fingerprint:
            yield from _accept(store, what.fingerprint, what.ask)
        else:
            yield from _listed(store, name)


def _listed(store: "TrustStore", name: str) -> Iterator[str]:
    for title, shown in (("trusted", store.trusted()), ("refused", store.rejected())):
        yield f"{name}: {title}{'' if shown else ': none'}"
        yield from (f"  {certificate}" for certificate in shown)
    if store.rejected():
        yield "accept one of the refused with the beginning of its fingerprint"
    if store.trusted():
        yield "take trust back with --remove and the beginning of its fingerprint"


def _accept(store: "TrustStore", prefix: str, ask: Ask) -> Iterator[str]:
    found = store.find(prefix)
    text = f"{_described(found)}\nCompare the fingerprint with what the client shows. Let it in?"
    if not ask(text):
        raise ConfigError("nothing was changed")
    yield f"trusted from now on: {store.accept(found.fingerprint)}"


def _take_back(store: "TrustStore", prefix: str, ask: Ask) -> Iterator[str]:
    found = store.find(prefix, trusted=True)
    if not ask(f"{_described(found)}\nShut it out? Its connections end within seconds."):
        raise ConfigError("nothing was changed")
    der = found.file.read_bytes()
    yield f"trusted no more: {store.remove(found.fingerprint)}"
    if store.trusts(der):
        yield "an authority in the trust folder still lets it in: revoke it there"


def _described(found: "Shown") -> str:
    fingerprint = " ".join(wrap(found.fingerprint, 8))
    wrong = "".join(f"\n  wrong        {problem}" for problem in found.problems)
    return (
        f"  fingerprint  {fingerprint}\n  subject      {found.subject}\n"
        f"  application  {found.uri or 'not named'}\n  until        {found.ends:%Y-%m-%d}{wrong}"
    )
