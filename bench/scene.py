"""The scene of ``bench chaos``: a plant, its historians, the processes that are to be killed."""

import argparse
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.buckets import Buckets
from bench.files import Files
from bench.influxd import Influxd
from bench.moment import Marks
from bench.rig import Device, Ports, free_ports, write_plant
from bench.stored import Store
from bench.victim import Process, Server, Victim, commands
from deploy.init import init_influxdb
from deploy.kinds import kinds
from plant.model.load import load
from plant.model.plant import Plant

TOKEN = "KAIKOU_BENCH_INFLUX_TOKEN"


@dataclass(slots=True)
class Scene:
    """Everything that runs, and where."""

    given: argparse.Namespace
    place: Path
    devices: Sequence[Device]
    victims: dict[str, Victim]
    plant: Plant
    stores: dict[str, Store]
    marks: Marks
    caught: Counter[str]

    @property
    def data(self) -> Path:
        """The plant's data folder."""
        return self.place / "data"

    @property
    def ledger(self) -> Path:
        """What the edge made durable."""
        return self.place / "ledger"


def set_scene(given: argparse.Namespace, place: Path, devices: Sequence[Device]) -> Scene:
    """plant.yaml, influxd with its buckets, the processes; nothing of the plant runs yet."""
    ports = Ports(*free_ports(3))
    used = {"historian": given.historian, "copy": given.copy}
    server = Influxd(place / "influxd") if "influxdb" in used.values() else None
    environment = {**os.environ, **({TOKEN: server.token} if server else {})}
    told: dict[str, Mapping[str, object] | None] = {}
    stores: dict[str, Store] = {}
    for name, kind in used.items():
        told[name] = _settings(name, kind, given.rate, server)
        if kind == "influxdb" and server is not None:
            stores[name] = Buckets(server.influx, f"chaos_{name}")
        elif kind == "embedded":
            folder_ = {"historian": "historian", "copy": "historian-copy"}[name]
            stores[name] = Files(place / "data" / folder_)
    file = write_plant(place, devices, ports, embedded=False, opcua=False, **told)
    plant = load(file, kinds(), environment)
    victims: dict[str, Victim] = {
        name: Process(name, command, place / f"{name}.log", environment)
        for name, command in commands(file, place / "data", place, ports.broker, given.bug).items()
    }
    scene = Scene(given, place, devices, victims, plant, stores, Marks(place / "marks"), Counter())
    if server is not None:
        victims["influxd"] = Server(server)
        victims["influxd"].start()
        list(init_influxdb(plant, environment))
    return scene


def _settings(
    name: str, kind: str, rate: int, server: Influxd | None
) -> Mapping[str, object] | None:
    """A historian in plant.yaml; the embedded one seals every second and merges every two."""
    if kind == "embedded":
        return {"kind": kind, "seal_rows": rate, "seal_s": 1.0, "merge": 2}
    if kind == "none" or server is None:
        return None
    here = {"url": server.url, "org": server.org, "token": f"${{{TOKEN}}}"}
    return {"kind": kind, **here, "prefix": f"chaos_{name}"}
