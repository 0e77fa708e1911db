"""Shifts and OEE over real HTTP, from a real historian."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.gateway.conftest import HOUR, Rig

SHANGHAI = ZoneInfo("Asia/Shanghai")


async def test_shifts_are_whole_and_belong_to_the_day_they_start(rig: Rig) -> None:
    noon = datetime(2026, 3, 10, 12, tzinfo=SHANGHAI)
    start = int(noon.timestamp() * 1000)
    async with rig.logged_in() as client:
        found = (
            await client.get("/api/shifts", params={"start": start, "end": start + 12 * HOUR})
        ).json()
        assert (await client.get("/api/plant")).json()["calendar"] is True
    assert found["calendar"] is True
    day, night = found["shifts"]
    assert (day["id"], night["id"], night["date"]) == ("day", "night", "2026-03-10")
    assert (day["start"], day["end"]) == (start - 4 * HOUR, start + 8 * HOUR)
    assert day["breaks"] == [[start, start + HOUR // 2]]
    assert (day["name"], day["crew"]) == ({"zh": "白班", "en": "Day shift"}, None)
    assert (day["working"], day["note"]) == (True, None)


async def test_oee_of_a_machine_and_of_the_line_at_its_constraint(rig: Rig) -> None:
    start, end = rig.now - 2 * HOUR, rig.now - HOUR
    async with rig.logged_in() as client:
        query = {"asset": "saw", "start": start, "end": end}
        oee = (await client.get("/api/oee", params=query)).json()
        assert (oee["asset"], oee["line"], oee["constraint"]) == ("saw", False, None)
        (row,) = oee["rows"]
        assert (row["key"], row["start"], row["end"]) == ("", start, end)
        assert (row["coverage"], row["availability"], row["quality"]) == (1.0, 1.0, None)
        assert row["oee"] == pytest.approx(1.0, abs=0.4), (
            "parts of a break count, its time does not"
        )
        times = row["times"]
        assert times["pot_s"] == pytest.approx(times["pbt_s"] + times["pdt_s"])
        assert times["apt_s"] + times["outside_s"] == pytest.approx(3600)
        assert row["counts"]["pq"] == pytest.approx(90, abs=1)
        assert (row["counts"]["gq"], row["quality_source"]) == (None, None)
        assert row["products"][0]["pru_s"] == 40
        line = (await client.get("/api/oee", params={**query, "asset": "hall"})).json()
        assert (line["line"], line["constraint"]) == (True, {"asset": "saw", "how": "named"})


async def test_stops_are_losses_and_rows_are_by_shift_day_and_product(rig: Rig) -> None:
    query = {"asset": "saw", "start": rig.now - 2 * HOUR, "end": rig.now}
    async with rig.logged_in() as client:
        (row,) = (await client.get("/api/oee", params=query)).json()["rows"]
        lost = sum(loss["seconds"] for loss in row["losses"] if loss["key"] == "suspended")
        breaks = row["times"]["pdt_s"]
        assert lost == pytest.approx(3600 - 60, abs=breaks + 61)
        assert row["stops"][0]["count"] >= 1
        assert row["stops"][0]["name"]["en"]
        for by in ("shift", "day", "product"):
            rows = (await client.get("/api/oee", params={**query, "by": by})).json()["rows"]
            assert sum(r["times"]["apt_s"] for r in rows) == pytest.approx(row["times"]["apt_s"])
            assert all(set(r) == set(row) for r in rows)
        shift = (await client.get("/api/oee", params={**query, "by": "shift"})).json()["rows"][0]
        assert shift["key"] == f"{shift['shift']['date']}/{shift['shift']['id']}"


async def test_too_little_is_known_for_a_figure(rig: Rig) -> None:
    query = {"asset": "gauge", "start": rig.now - HOUR, "end": rig.now}
    async with rig.logged_in() as client:
        (row,) = (await client.get("/api/oee", params=query)).json()["rows"]
        assert (row["oee"], row["availability"], row["failures"]) == (None, None, None)
        assert "0 %" in row["why_not"]["zh"]
        believed = {**query, "asset": "saw", "known_at": 1}
        (row,) = (await client.get("/api/oee", params=believed)).json()["rows"]
        assert (row["coverage"], row["oee"]) == (0.0, None)
