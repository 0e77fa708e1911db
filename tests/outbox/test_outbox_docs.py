"""What docs/outbox.md says of numbers is what the code does."""

from pathlib import Path

from plant.model.plant import Outbox
from plant.outbox.schema import WAL_BYTES
from plant.outbox.sender import Rules
from plant.outbox.split import ROW_METRICS
from plant.wire.record import RECORD

TEXT = (Path(__file__).parents[2] / "docs" / "outbox.md").read_text("utf-8")


def test_the_numbers_of_the_page():
    options, rules = Outbox(), Rules()
    assert (
        f"{{max_mb: {options.max_mb}, when_full: {options.when_full}, "
        f"commit_ms: {options.commit_ms}}}" in TEXT
    )
    assert f"{WAL_BYTES >> 20} MiB of log" in TEXT
    assert f"up to {ROW_METRICS} metrics" in TEXT
    assert f"at most {rules.window_bytes >> 20} MiB unacknowledged" in TEXT
    assert f"{rules.retry_s:g} s (then 4, 8 … {rules.retry_cap_s:g} s)" in TEXT
    assert f"acknowledgement for {rules.silence_s:g} s" in TEXT
    assert f"`{RECORD}`" in TEXT
