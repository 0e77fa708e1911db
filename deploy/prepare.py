"""``kaikou init``: what a plant's servers need, made from plant.yaml."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from deploy.argument import add_data, add_plant, data_folder, plant_file

_ABOUT = """\
influxdb   makes the six buckets of the InfluxDB 2 that plant.yaml names under historian or copy,
           and sets how long they keep; what is there already stays. The token of plant.yaml is
           used, or KAIKOU_INFLUX_INIT_TOKEN where that one may not create buckets
mosquitto  writes configuration, accounts and access lists for Mosquitto: who may write, read and
           be called what; passwords that were made before stay
systemd    writes a hardened unit for each room, which runs without root

Each may be run again.
"""


def add_init(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``kaikou init``, and what it does."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _ABOUT
    parser.add_argument("server", choices=["influxdb", "mosquitto", "systemd"], metavar="WHAT")
    add_plant(parser)
    add_data(parser)
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="folder for the files (default: ./WHAT)"
    )

    def call(arguments: argparse.Namespace) -> int:
        for line in _init(arguments):
            print(line)
        return 0

    parser.set_defaults(call=call)


def _init(arguments: argparse.Namespace) -> Iterable[str]:
    from deploy.need import User, require
    from deploy.room import read_plant

    data = data_folder(arguments)
    file = plant_file(arguments.plant)
    plant = read_plant(file, data if data.is_dir() else None)
    folder: Path = arguments.to or Path(arguments.server)
    if arguments.server == "influxdb":
        from deploy.init import init_influxdb

        return init_influxdb(require(plant, User("history")))
    if arguments.server == "mosquitto":
        from deploy.mosquitto import init_mosquitto

        return init_mosquitto(plant, folder)
    from deploy.systemd import init_systemd

    return init_systemd(plant, file, folder)
