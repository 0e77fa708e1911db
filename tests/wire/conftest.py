"""Brokers for the tests of the wire."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from plant.model.plant import Broker
from tests.wire.broker_support import Mosquitto, amqtt_broker


@pytest.fixture(params=["mosquitto", "amqtt"])
async def broker(
    request: pytest.FixtureRequest, need: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Broker]:
    """Both brokers, one after the other."""
    if request.param == "amqtt":
        async with amqtt_broker() as where:
            yield where
        return
    it = Mosquitto(need("mosquitto"), tmp_path)
    await it.start()
    yield it.broker
    it.kill()
