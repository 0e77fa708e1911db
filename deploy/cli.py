"""The ``kaikou`` command."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from deploy.argument import DEMO_DATA, DEMO_PLANT, add_data, add_plant, data_folder, plant_file
from deploy.people import add_people
from deploy.prepare import add_init
from deploy.room import PLACE
from deploy.transfer import add_history
from plant.errors import ConfigError, Unavailable
from plant.file import UMASK

ABOUT = """\
Kaikou gives mute machines a voice: it reads them, mirrors the line they stand in, and says what
fails next and where the energy goes. Everything is told by one plant.yaml.

Start with:  kaikou demo
"""
MORE = """\
PLANT is plant.yaml in the current folder unless given; `demo` as PLANT is the demo's own.
Exit codes: 0 fine, 1 a bug (with a traceback), 2 the plant or the installation is wrong (each
problem on its line), 3 something needed is not there (a port, a disk, a peer).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    umask = os.umask(UMASK)
    try:
        code: int = arguments.call(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 3
    except OSError as error:
        if error.errno not in PLACE:
            raise
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    finally:
        os.umask(umask)
    return code


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("kaikou", description=ABOUT, epilog=MORE, formatter_class=raw)
    parser.add_argument("--version", action="version", version=version("kaikou"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _demo(commands.add_parser("demo", help="a line of simulated machines, live in the browser"))
    _check(commands.add_parser("check", help="read a plant.yaml and list all that is wrong"))
    add_init(commands.add_parser("init", help="make what a broker, a database, systemd need"))
    _run(commands.add_parser("run", help="run one room of a plant as this process"))
    _simulate(commands.add_parser("simulate", help="run only the simulated machines of a plant"))
    _backup(commands.add_parser("backup", help="copy a running plant's data into one file"))
    _restore(commands.add_parser("restore", help="bring a backup into a data folder"))
    _types(commands.add_parser("types", help="list machine types, or the signals of one"))
    _units(commands.add_parser("units", help="list units, or what a spelling means"))
    add_people(commands.add_parser("people", help="accounts, passwords, roles and sessions"))
    add_history(commands.add_parser("history", help="export, import or migrate what was stored"))
    _trust(commands.add_parser("trust", help="who may be an OPC UA client: accept, take back"))
    return parser


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Starts a line of eight simulated machines behind their real protocols, and everything "
        "that reads, stores and shows them. Ctrl-C stops it; the next start keeps the data."
    )
    add_data(parser, DEMO_DATA)
    parser.add_argument(
        "--factor", type=float, default=1.0, metavar="N",
        help="run physics and production N times faster, in a data folder of its own",
    )  # fmt: skip
    parser.add_argument(
        "--fault", action="append", metavar="NAME",
        help="the fault to play (repeatable; `none` for none; default: bearing-wear)",
    )  # fmt: skip
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="faults by time, from a file")
    parser.add_argument("--verbose", action="store_true", help="show every line of every log")

    def call(arguments: argparse.Namespace) -> int:
        from deploy.demo.session import demo

        return demo(
            DEMO_PLANT,
            arguments.data.resolve(),
            factor=arguments.factor,
            faults=arguments.fault,
            scenario=arguments.scenario,
            verbose=arguments.verbose,
        )

    parser.set_defaults(call=call)


def _check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads a plant.yaml as every process would, and prints every problem with its place, or "
        "the plant in short: what is read from where, how long an outage each edge bridges, and "
        "which room needs which secret and file. With --room: whether this room can run here."
    )
    add_plant(parser)
    add_data(parser)
    rooms = ("broker", "edge", "opcua", "twin", "analytics", "gateway", "simulators")
    parser.add_argument(
        "--room", choices=rooms, metavar="ROOM", help="what this room needs must be there"
    )
    parser.add_argument("--edge", metavar="ID", help="of which edge, with --room edge or opcua")

    def call(arguments: argparse.Namespace) -> int:
        from deploy.check import summary
        from deploy.need import User, require
        from deploy.room import read_plant

        file = plant_file(arguments.plant)
        data = data_folder(arguments)
        plant = read_plant(file, data if data.is_dir() else None)
        user = User(arguments.room, arguments.edge or "") if arguments.room else None
        return _print(summary(require(plant, user)).splitlines())

    parser.set_defaults(call=call)


def _types(parser: argparse.ArgumentParser) -> None:
    parser.description = "Lists the machine types that plant.yaml may name, or the signals of one."
    parser.add_argument("type", nargs="?", metavar="TYPE", help="the type to show")
    parser.add_argument("--catalog", type=Path, metavar="DIR", help="a folder of further types")

    def call(arguments: argparse.Namespace) -> int:
        from deploy.listing import type_lines

        return _print(type_lines(arguments.catalog, arguments.type))

    parser.set_defaults(call=call)


def _units(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Lists the units that plant.yaml may give: symbol, UCUM code, code of UNECE Recommendation "
        "20, further spellings."
    )
    parser.add_argument(
        "unit", nargs="?", metavar="WORD", help="a quantity, or a unit in any of its spellings"
    )

    def call(arguments: argparse.Namespace) -> int:
        from deploy.listing import unit_lines

        return _print(unit_lines(arguments.unit))

    parser.set_defaults(call=call)


def _print(lines: Iterable[str]) -> int:
    try:
        for line in lines:
            print(line, flush=True)
    except BrokenPipeError:  # `| head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(parser: argparse.ArgumentParser) -> None:
    from deploy.room import ROOMS

    raw = argparse.RawDescriptionHelpFormatter
    parser.formatter_class = raw
    rooms = "\n".join(f"  {name:<11}{room.does}" for name, room in ROOMS.items())
    parser.description = f"Runs one room of a plant until it is told to stop.\n\n{rooms}"
    parser.add_argument("room", choices=list(ROOMS), metavar="ROOM")
    add_plant(parser)
    add_data(parser)
    parser.add_argument("--edge", metavar="ID", help="which edge, where the plant has several")
    parser.add_argument("--preload", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    _simulation(parser)

    def call(arguments: argparse.Namespace) -> int:
        return _run_room(arguments.room, arguments)

    parser.set_defaults(call=call)


def _simulate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serves the machines of a plant.yaml over their real protocols, so that an edge can be "
        "tried without hardware. Same as `kaikou run simulators`."
    )
    add_plant(parser)
    add_data(parser)
    parser.add_argument("--preload", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    _simulation(parser)
    parser.set_defaults(call=lambda arguments: _run_room("simulators", arguments), edge=None)


def _simulation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("simulators only")
    group.add_argument("--fault", action="append", metavar="NAME", help="a fault to play")
    group.add_argument("--scenario", type=Path, metavar="FILE", help="faults by time")
    group.add_argument("--seed", type=int, metavar="N", help="another course of chance")
    group.add_argument("--file", type=Path, metavar="CSV", help="what recorded machines play")
    group.add_argument(
        "--rows-per-s", type=float, metavar="N", help="real rows a second (0: one an answer)"
    )


def _run_room(room: str, arguments: argparse.Namespace) -> int:
    from deploy.room import log_to_stderr, run_room

    log_to_stderr()
    names = ("edge", "preload", "fault", "scenario", "seed", "file", "rows_per_s")
    given = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in given.items() if value is not None}
    if "fault" in options:
        options["faults"] = options.pop("fault")
    return run_room(room, plant_file(arguments.plant), data_folder(arguments), options)


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.description = "Copies what the twin has stored into one file, while it runs."
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup to write")
    add_data(parser, Path("data"))

    def call(arguments: argparse.Namespace) -> int:
        from deploy.keep import backup

        print(backup(arguments.data.resolve(), arguments.file))
        return 0

    parser.set_defaults(call=call)


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Brings a backup into a data folder that has no history. What was stored after the backup "
        "is covered by a gap record that says so. The plant must be stopped."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup to read")
    add_data(parser, Path("data"))

    def call(arguments: argparse.Namespace) -> int:
        from deploy.keep import restore

        print(restore(arguments.file, arguments.data.resolve()))
        return 0

    parser.set_defaults(call=call)


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Lists the certificates of OPC UA clients, accepts one that was refused, or takes trust "
        "back. It shows the whole fingerprint and asks first."
    )
    parser.add_argument(
        "fingerprint", nargs="?", metavar="FINGERPRINT",
        help="the one that is meant; its first 8 characters are enough",
    )  # fmt: skip
    add_data(parser, Path("data"))
    parser.add_argument("--edge", metavar="ID", help="which edge, where the plant has several")
    parser.add_argument("--remove", action="store_true", help="trust it no more")
    parser.add_argument("--clear", action="store_true", help="forget the refused ones that wait")
    parser.add_argument("--yes", action="store_true", help="do not ask")

    def call(arguments: argparse.Namespace) -> int:
        from deploy.keep import Trusting, trust

        if arguments.remove and not arguments.fingerprint:
            raise ConfigError("say which one: kaikou trust --remove FINGERPRINT")
        what = Trusting(
            arguments.edge,
            arguments.fingerprint,
            arguments.remove,
            arguments.clear,
            _yes if arguments.yes else _ask,
        )
        for line in trust(arguments.data.resolve(), what):
            print(line)
        return 0

    parser.set_defaults(call=call)


def _yes(question: str) -> bool:
    print(question)
    return True


def _ask(question: str) -> bool:
    """Ask a person; nobody there is no."""
    print(question)
    try:
        return input("yes or no: ").strip().lower() in {"yes", "y", "是"}
    except EOFError:
        return False
