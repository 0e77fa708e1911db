"""Historians of every kind, fresh and empty."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from plant.flow.port import HistorianWriter
from tests.contracts.historian_support import Place, PlaceOf, Settle
from twin.historian import KINDS


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlaceOf]:
    """``place_of(kind, **settings)``: a new one each time."""
    with ExitStack() as stack:
        made = 0

        def make(kind: str, **settings) -> Place:
            nonlocal made
            made += 1
            if kind == "influxdb":
                settings = {**_influx(request, stack), **settings}
            where = Place(kind, tmp_path / f"historian{made}", **settings)
            if kind == "influxdb":
                _prepare(where)
            stack.callback(where.close)
            return where

        yield make


def _influx(request: pytest.FixtureRequest, stack: ExitStack) -> dict[str, str]:
    from bench.influx import fresh_prefix

    influx = request.getfixturevalue("influx")
    prefix = stack.enter_context(fresh_prefix(influx))
    return {"url": influx.url, "org": influx.org, "token": influx.token, "prefix": prefix}


def _prepare(where: Place) -> None:
    """The buckets, as ``kaikou init influxdb`` makes them."""
    from twin.historian.influx.bucket import prepare
    from twin.historian.influx.server import Server

    server = Server(where.settings)
    prepare(server)
    server.close()


@pytest.fixture(params=list(KINDS))
def place(request: pytest.FixtureRequest, place_of: PlaceOf) -> Place:
    """One of every kind."""
    return place_of(request.param)


@pytest.fixture(params=[False, True], ids=["hot", "sealed"])
def settle(request: pytest.FixtureRequest) -> Settle:
    """Called after writing: every promise holds before and after sealing."""

    def settle(writer: HistorianWriter) -> None:
        if request.param:
            writer.retain(0, force=True)

    return settle
