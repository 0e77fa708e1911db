"""``kaikou init influxdb``: the buckets of a plant, made once, with how long they keep."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from deploy.check import retention_problem
from plant.errors import ConfigError
from plant.model.plant import Plant

ADMIN_TOKEN = "KAIKOU_INFLUX_INIT_TOKEN"  # noqa: S105 - a variable's name
"""Environment variable of a token that may create buckets, where the plant's own may not."""


def init_influxdb(plant: Plant, env: Mapping[str, str] = os.environ) -> Iterator[str]:
    """What was done, line by line.

    Raises
    ------
    ConfigError
        The plant has no such historian, keeps less than its outboxes hold, or the server is
        another, or does not let us in.
    Unavailable
        Nobody answers.
    """
    stores = [s for s in (plant.historian, plant.copy) if getattr(s, "kind", "") == "influxdb"]
    if not stores:
        raise ConfigError(
            "this plant keeps nothing in InfluxDB: plant.yaml has neither"
            " `historian: {kind: influxdb, ...}` nor `copy: {kind: influxdb, ...}`"
        )
    for store in stores:
        yield from _init(store, plant, env)


def _init(store: Any, plant: Plant, env: Mapping[str, str]) -> Iterator[str]:
    from pydantic import SecretStr

    from twin.historian.influx.bucket import identify, prepare
    from twin.historian.influx.server import Server

    too_short = retention_problem(store, plant)
    if too_short:
        raise ConfigError(too_short)
    if env.get(ADMIN_TOKEN):
        store = store.model_copy(update={"token": SecretStr(env[ADMIN_TOKEN])})
    with closing(Server(store)) as server:
        yield f"{store.url}: InfluxDB {identify(server)}, organisation {store.org}"
        yield from prepare(server)
