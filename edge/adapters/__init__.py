"""One file per protocol. The table is the only place that names them."""

from plant.flow.resolver import Kinds

KINDS = Kinds(
    "kaikou.sources",
    {
        "modbus": "edge.adapters.modbus:Modbus",
        "dlt645": "edge.adapters.dlt645:Dlt645",
        "opcua": "edge.adapters.opcua:OpcUa",
    },
)
"""Source kinds: name in plant.yaml -> configuration class."""
