"""Arguments that several commands share: which plant, which data folder."""

import argparse
from pathlib import Path

DEMO_PLANT = Path(__file__).parent / "demo" / "plant.yaml"
DEMO_DATA = Path("data/demo")


def add_plant(parser: argparse.ArgumentParser) -> None:
    """PLANT: which plant.yaml."""
    parser.add_argument(
        "plant", nargs="?", default="plant.yaml", metavar="PLANT",
        help="the plant.yaml to read; `demo` for the demo's (default: plant.yaml)",
    )  # fmt: skip


def add_data(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """--data: which folder."""
    parser.add_argument(
        "--data", type=Path, default=default, metavar="DIR",
        help=f"data folder (default: {default or 'data, or data/demo for the demo plant'})",
    )  # fmt: skip


def plant_file(given: str) -> Path:
    """The file that a PLANT argument means."""
    return DEMO_PLANT if given == "demo" else Path(given)


def data_folder(arguments: argparse.Namespace) -> Path:
    """The data folder that is meant."""
    given: Path | None = arguments.data
    if given is None:
        demo = plant_file(arguments.plant).resolve() == DEMO_PLANT
        given = DEMO_DATA if demo else Path("data")
    return given.resolve()
