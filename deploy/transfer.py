"""The command line of ``kaikou history``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from deploy.argument import add_data, add_plant, data_folder, plant_file


def add_history(parser: argparse.ArgumentParser) -> None:
    """``kaikou history`` and its actions."""
    parser.description = (
        "Moves history: every row with both its times, every event and gap record. Each command "
        "shows its progress, goes on where it was stopped, and counts what arrived."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    export = actions.add_parser("export", help="into a folder of Parquet or CSV files")
    add_plant(export)
    add_data(export)
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    export.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    export.add_argument("--start", metavar="TIME", help="source times from, ISO 8601 with offset")
    export.add_argument("--end", metavar="TIME", help="source times before")
    export.add_argument(
        "--signal", action="append", default=[], metavar="GLOB", help="e.g. 'lathe/*' (repeatable)"
    )

    def out(arguments: argparse.Namespace) -> str:
        from deploy.history import Store, export, moment
        from twin.transfer.bundle import Choice

        start = moment(arguments.start) if arguments.start else None
        end = moment(arguments.end) if arguments.end else None
        choice = Choice(start, end, tuple(arguments.signal))
        store = Store.of(plant_file(arguments.plant), data_folder(arguments))
        return export(store, arguments.to.resolve(), arguments.format, choice)

    bring = actions.add_parser("import", help="an export into the plant's historian")
    add_plant(bring)
    add_data(bring)
    bring.add_argument(
        "--from", type=Path, required=True, dest="source", metavar="DIR", help="an export's folder"
    )

    def into(arguments: argparse.Namespace) -> str:
        from deploy.history import Store, bring

        store = Store.of(plant_file(arguments.plant), data_folder(arguments))
        return bring(arguments.source.resolve(), store)

    migrate = actions.add_parser("migrate", help="from one historian into another")
    add_plant(migrate)
    add_data(migrate)
    migrate.add_argument(
        "--to", type=Path, required=True, metavar="PLANT", help="the plant.yaml with the new one"
    )
    migrate.add_argument(
        "--to-data", type=Path, metavar="DIR", help="its data folder (default: the same)"
    )

    def over(arguments: argparse.Namespace) -> str:
        from deploy.history import Store, migrate

        data = data_folder(arguments)
        old = Store.of(plant_file(arguments.plant), data)
        return migrate(old, Store.of(arguments.to, (arguments.to_data or data).resolve()))

    checking = actions.add_parser(
        "verify", help="compare every stored file with what was written; the plant may run"
    )
    add_plant(checking)
    add_data(checking)

    def whole(arguments: argparse.Namespace) -> str:
        from deploy.history import Store, check

        return check(Store.of(plant_file(arguments.plant), data_folder(arguments)))

    back = actions.add_parser(
        "adopt", help="bring back what was set aside, as far as it is whole; stop the plant first"
    )
    add_plant(back)
    add_data(back)

    def again(arguments: argparse.Namespace) -> str:
        from deploy.history import Store, adopt

        return adopt(Store.of(plant_file(arguments.plant), data_folder(arguments)))

    pairs = ((export, out), (bring, into), (migrate, over), (checking, whole), (back, again))
    for action, run in pairs:
        action.set_defaults(call=_printed(run))


def _printed(run: Callable[[argparse.Namespace], str]) -> Callable[[argparse.Namespace], int]:
    def call(arguments: argparse.Namespace) -> int:
        print(run(arguments))
        return 0

    return call
