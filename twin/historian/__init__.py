"""Historians: where samples stay, behind the ports of ``plant.flow.port``."""

from plant.flow.resolver import Kinds

KINDS = Kinds(
    "kaikou.historians",
    {
        "embedded": "twin.historian.embedded:Embedded",
        "influxdb": "twin.historian.influx.config:Influx",
    },
)
"""Every kind of historian; an entry is the kind's own configuration class."""
