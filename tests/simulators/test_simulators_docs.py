"""docs/simulators.md says what the devices do."""

from pathlib import Path

from simulators.device import REGISTERS, VARIABLES
from simulators.fault import KINDS
from simulators.recorded import REGISTERS as RECORDED

TEXT = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text("utf-8")


def test_every_register_is_in_its_table():
    maps = [m for units in REGISTERS.values() for m in units.values()]
    rows = [
        f"| `{r.table}:{r.address}` | {r.type} | {r.text} |" for m in [*maps, RECORDED] for r in m
    ]
    assert [row for row in rows if row not in TEXT] == []
    assert sum(
        line.startswith(("| `input:", "| `holding:", "| `discrete:")) for line in TEXT.splitlines()
    ) == len(rows)


def test_every_fault_and_node_is_named():
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.usual} | {kind.text.en} |" in TEXT
    for nodes in VARIABLES.values():
        for node in nodes:
            assert f"| `ns=2;s={node.id}` | {node.type} |" in TEXT
