"""``kaikou people``: accounts, passwords, roles and sessions, on the box itself.

It works on the file of the gateway, which may run: what is changed holds at once. Who may write
that file needs no log-in, so a plant whose admins are all locked out gets back in.
"""

import argparse
import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.argument import add_data
from deploy.keep import FOLDER
from gateway.role import RIGHTS, Role
from plant.errors import ConfigError, Rejected

if TYPE_CHECKING:
    from gateway.person import People

Lines = Iterator[str]


def add_people(parser: argparse.ArgumentParser) -> None:
    """``kaikou people`` and its actions."""
    parser.description = (
        "Keeps the accounts of the dashboard: what is changed holds at once, also for who is "
        "logged in. Passwords are asked for, read from a pipe, or made with --generate."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    _action(actions, "list", "all accounts with their roles", _list)
    add = _action(actions, "add", "a new account", _add)
    _name(add)
    add.add_argument("--role", choices=[*Role], default="viewer", help="default: viewer")
    _generate(add)
    password = _action(actions, "password", "give an account another password", _password)
    _name(password)
    _generate(password)
    role = _action(actions, "role", "give an account another role", _role)
    _name(role)
    role.add_argument("role", choices=[*Role], metavar="ROLE", help=", ".join(Role))
    _name(_action(actions, "remove", "take an account away", _remove))
    _action(actions, "sessions", "who is logged in from where", _sessions)
    end = _action(actions, "end", "end a session", _end)
    end.add_argument("session", metavar="SESSION", help="as `kaikou people sessions` names it")
    _action(actions, "acts", "what was done to accounts, and by whom", _acts)


Call = Callable[["People", argparse.Namespace], Lines]


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, help: str, call: Call
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help)
    add_data(parser, Path("data"))

    def run(arguments: argparse.Namespace) -> int:
        with closing(_open(arguments.data.resolve())) as people:
            try:
                for line in call(people, arguments):
                    sys.stdout.write(f"{line}\n")
            except Rejected as error:
                raise ConfigError(str(error)) from error
        return 0

    parser.set_defaults(call=run)
    return parser


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generate", action="store_true", help="make a password, and print it")


def _open(data: Path) -> "People":
    """The accounts of a data folder, which must be one."""
    if not data.is_dir():
        raise ConfigError(f"{data} is not there; {FOLDER}")
    try:
        from gateway.person import People
    except ModuleNotFoundError as error:
        text = f"people needs the library {error.name}: pip install 'kaikou[gateway]'"
        raise ConfigError(text) from error
    return People(data / "gateway" / "people.sqlite")


def _list(people: "People", arguments: argparse.Namespace) -> Lines:
    accounts = people.accounts()
    if not accounts:
        yield "no accounts yet; the first start of the gateway makes two"
    for account in accounts:
        note = "  damaged: give it a password" if account.damaged else ""
        yield f"{account.name:<24} {account.role:<10} {account.sessions} sessions{note}"


def _add(people: "People", arguments: argparse.Namespace) -> Lines:
    given = None if arguments.generate else _ask(arguments.name)
    role = Role(arguments.role)
    password = people.add(arguments.name, given, RIGHTS[role], _who())
    yield f"{arguments.name}: added as {role}"
    if given is None:
        yield f"password: {password}"


def _password(people: "People", arguments: argparse.Namespace) -> Lines:
    given = None if arguments.generate else _ask(arguments.name)
    password = people.set_password(arguments.name, given, _who())
    (role,) = (a.role for a in people.accounts() if a.name == arguments.name)
    yield f"{arguments.name}, {role}: has another password; its sessions have ended"
    if given is None:
        yield f"password: {password}"


def _role(people: "People", arguments: argparse.Namespace) -> Lines:
    people.set_role(arguments.name, Role(arguments.role), _who())
    yield f"{arguments.name}: is {arguments.role} from now on"


def _remove(people: "People", arguments: argparse.Namespace) -> Lines:
    people.remove(arguments.name, _who())
    yield f"{arguments.name}: removed; its sessions have ended"


def _sessions(people: "People", arguments: argparse.Namespace) -> Lines:
    sessions = people.sessions()
    if not sessions:
        yield "nobody is logged in"
    for one in sessions:
        begun = _moment(one.begun)
        yield f"{one.id}  {one.name:<24} since {begun}  {one.address}  {_printable(one.agent)}"


def _end(people: "People", arguments: argparse.Namespace) -> Lines:
    yield f"ended a session of {people.end_session(arguments.session, _who())}"


def _acts(people: "People", arguments: argparse.Namespace) -> Lines:
    for act in reversed(people.acts()):
        yield f"{_moment(act.time / 1000)}  {act.about}: {act.what}, by {act.person}"


def _ask(name: str) -> str:
    """A password from the terminal, typed twice, or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"password for {name}: ")
    if getpass.getpass("once more: ") != first:
        raise ConfigError("the two are not the same")
    return first


def _who() -> str:
    """Who sits at the box, as the log of acts names him."""
    try:
        return f"{getpass.getuser()} at the box"
    except (KeyError, OSError):  # a container without an entry for its user
        return "at the box"


def _moment(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(" ", "seconds")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
