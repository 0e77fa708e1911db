"""What was, over real HTTP from a real historian: as of a moment, as known then, and its limits."""

import asyncio
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from gateway import history
from gateway.history import History
from gateway.turn import TooMany
from plant.errors import Unavailable
from plant.flow.status import StatusCode
from tests.gateway.conftest import HOUR, Rig
from tests.wire.broker_support import until

MINUTE = 60_000


async def test_the_plant_as_it_was_in_one_answer(rig: Rig) -> None:
    async with rig.logged_in() as client:
        at = rig.now - HOUR - 500
        whole = (await client.get("/api/as-of", params={"at": at})).json()
        assert (whole["at"], whole["known_at"]) == (at, None)
        signals = [s for s in rig.plant.signals if not s.hidden and s.kind != "text"]
        assert whole["paths"] == [s.path for s in signals]
        row = {
            path: (value, status, time)
            for path, value, status, time in zip(
                whole["paths"], whole["value"], whole["status"], whole["source_time"], strict=True
            )
        }
        assert row["saw/state"] == (6.0, 0, rig.now - HOUR - MINUTE)
        assert row["saw/current"][2] == at - 500
        assert row["gauge/state"] == (None, StatusCode.BadNoData, 0)
        some = {"at": at, "path": ["saw/state", "saw/current", "saw/state"]}
        few = (await client.get("/api/as-of", params=some)).json()
        assert few["paths"] == some["path"]
        assert few["value"][0] == few["value"][2] == 6.0
        before = (await client.get("/api/as-of", params={"at": 0, "path": "saw/state"})).json()
        assert (before["value"], before["source_time"]) == ([None], [0])


async def test_known_at_hides_what_came_late(rig: Rig) -> None:
    late = rig.now - 90 * MINUTE + 500
    async with rig.logged_in() as client:
        now = {"path": "saw/current", "start": late - 500, "end": late + 500}
        then = {**now, "known_at": rig.known - 1}
        for query, values in ((now, 2), (then, 1)):
            trend = (await client.get("/api/history", params=query)).json()
            assert trend["raw_count"] == values
            bucket = (await client.get("/api/aggregate", params={**query, "width_ms": 1000})).json()
            assert bucket["count"] == [values]
            at = {k: v for k, v in query.items() if k in {"path", "known_at"}} | {"at": late}
            was = (await client.get("/api/as-of", params=at)).json()
            assert (was["value"] == [50.0]) == (values == 2)
        never = {"start": 0, "end": rig.now + HOUR, "known_at": 1}
        for what in ("gaps", "events"):
            assert (await client.get(f"/api/{what}", params=never)).json() == []
            assert (await client.get(f"/api/{what}", params={**never, "known_at": rig.now})).json()
        runs = {**never, "path": "saw/state", "start": rig.now - HOUR}
        assert (await client.get("/api/states", params=runs)).json()["runs"] == []


async def test_an_event_no_encoder_takes_is_shown_with_what_it_can(rig: Rig) -> None:
    async with rig.logged_in() as client:
        answer = await client.get("/api/events", params={"start": 0, "end": rig.now})
        assert answer.status_code == 200
        (odd,) = [event for event in answer.json() if event["kind"] == "odd"]
        assert odd["data"]["large"] == str(2**70)
        assert json.dumps(odd["data"]["deep"]).count("[") < 20


async def test_signals_at_the_same_moments(rig: Rig) -> None:
    start = rig.now - HOUR - 10_250
    query = {
        "path": ["saw/current", "saw/state", "gauge/state"],
        "start": start,
        "end": start + 2000,
        "step_ms": 500,
    }
    async with rig.logged_in() as client:
        found = (await client.get("/api/interpolated", params=query)).json()
        raw = {"path": "saw/current", "start": start - 1000, "end": start + 3000}
        rows = (await client.get("/api/history", params=raw)).json()
    assert found["paths"] == query["path"]
    assert found["time"] == [start, start + 500, start + 1000, start + 1500]
    line = np.interp(found["time"], rows["time"], rows["value"])
    assert found["value"][0] == pytest.approx(line.tolist())
    assert (found["value"][1], found["status"][1]) == ([6.0] * 4, [0] * 4)
    assert found["value"][2] == [None] * 4
    assert set(found["status"][2]) == {StatusCode.BadNoData}


DAY = 86_400_000
WRONG = [
    ("history", {"start": 5, "end": 5}, "start is not before end, or in the future"),
    ("history", {"start": 4 * 10**12, "end": 4 * 10**12 + 1}, "start is not before end"),
    ("history", {"px": 5}, "px: Input should be greater than or equal to 10"),
    ("history", {"start": "noon"}, "start: Input should be a valid integer"),
    ("history", {"start": 10**30}, "start: Input should be less than or equal to"),
    ("history", {"known_at": -1}, "known_at: Input should be greater than or equal to 0"),
    ("aggregate", {"width_ms": 10}, "width_ms: Input should be greater than or equal to 1000"),
    ("aggregate", {"start": 0, "width_ms": 1000}, "more than 20000 buckets; choose a greater"),
    ("interpolated", {"step_ms": 0}, "step_ms: Input should be greater than or equal to 1"),
    ("interpolated", {"step_ms": 1}, "more than 500000 values; choose a greater step_ms or"),
    ("interpolated", {"step_ms": 10**6, "path": ["saw/state"] * 1001}, "path: List should have"),
    ("states", {"path": "saw/current"}, "'saw/current' is not a state"),
    ("states", {"path": "saw/state", "start": 0}, "the range is longer than 400 days"),
    ("runs", {"asset": "edge1"}, "'edge1' has no state"),
    ("runs", {}, "asset: Field required"),
    ("oee", {"asset": "saw", "by": "week"}, "by: Input should be 'range', 'shift', 'day' or"),
    ("oee", {"asset": "saw", "start": 0}, "the range is longer than 400 days"),
    ("shifts", {"start": 0}, "the range is longer than 400 days"),
    ("as-of", {}, "at: Field required"),
]


async def test_what_cannot_be_asked_is_said_plainly(rig: Rig) -> None:
    async with rig.logged_in() as client:
        for what, change, detail in WRONG:
            query = {"path": "saw/current", "start": rig.now - HOUR, "end": rig.now, **change}
            if what == "aggregate":
                query = {"width_ms": 60_000, **query}
            answer = await client.get(f"/api/{what}", params=query)
            assert (what, change, answer.status_code) == (what, change, 422)
            assert answer.json()["detail"].startswith(detail), answer.text


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("history", {"path": "saw/curent"}),
        ("aggregate", {"path": "x", "width_ms": 60_000}),
        ("as-of", {"path": ["saw/state", "no/such"], "at": 1}),
        ("states", {"path": "oven/state"}),
        ("runs", {"asset": "oven"}),
        ("oee", {"asset": "oven"}),
    ],
)
async def test_what_is_not_there_is_404(rig: Rig, what: str, query: dict) -> None:
    async with rig.logged_in() as client:
        times = {"start": rig.now - HOUR, "end": rig.now}
        assert (await client.get(f"/api/{what}", params={**times, **query})).status_code == 404


async def test_every_question_needs_a_log_in(rig: Rig) -> None:
    async with rig.client() as client:
        schema = (await client.get("/api/openapi.json")).json()
        open_to_all = {"/api/login", "/api/logout"}
        asked = 0
        for path, methods in schema["paths"].items():
            if not path.startswith("/api/") or path in open_to_all:
                continue
            for method in methods:
                answer = await client.request(method.upper(), path, json={})
                assert (path, answer.status_code) == (path, 401)
                asked += 1
        assert asked >= 18


async def test_a_long_question_keeps_nobody_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "WAITING", 2)
    released = threading.Event()
    asked = History(lambda: SimpleNamespace(close=lambda: None))
    long = [asyncio.create_task(asked.ask(lambda _: released.wait(), long=True)) for _ in range(3)]
    try:
        assert await asked.ask(lambda _: "at once") == "at once"
        with pytest.raises(Unavailable, match="too many questions"):
            await asked.ask(lambda _: "never", long=True)
        assert (asked.refused, asked.waiting) == (1, 3)
    finally:
        released.set()
    assert await asyncio.gather(*long) == [True] * 3
    asked.close()


async def test_hundreds_of_questions_of_one_keep_nobody_else_waiting() -> None:
    released = threading.Event()
    asked = History(lambda: SimpleNamespace(close=lambda: None))
    heavy = [
        asyncio.create_task(asked.ask(lambda _: released.wait(), who="wang")) for _ in range(400)
    ]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            for _ in range(3):
                assert await asked.ask(lambda _: "at once", who="li") == "at once"
    finally:
        released.set()
    done = await asyncio.gather(*heavy, return_exceptions=True)
    assert (done.count(True), sum(isinstance(d, TooMany) for d in done)) == (66, 334)
    asked.close()


async def test_who_has_gone_is_not_answered() -> None:
    async def gone() -> bool:
        return True

    asked = History(lambda: SimpleNamespace(close=lambda: None))
    with pytest.raises(Unavailable, match="gone"):
        await asked.ask(lambda _: pytest.fail("asked for nobody"), gone=gone)
    assert asked.waiting == 0
    asked.close()


async def test_two_hundred_heavy_questions_of_one_viewer_let_another_through(rig: Rig) -> None:
    heavy = {"asset": "saw", "start": rig.now - 24 * HOUR, "end": rig.now, "by": "shift"}
    other = {"path": "saw/current", "start": rig.now - 2 * HOUR, "end": rig.now}
    async with rig.logged_in("wang") as known, rig.logged_in("li") as li, rig.client() as wang:
        wang.cookies.update(known.cookies)
        asked = [asyncio.create_task(wang.get("/api/oee", params=heavy)) for _ in range(100)]
        asked += [asyncio.create_task(wang.get("/api/runs", params=heavy)) for _ in range(100)]
        while sum(task.done() for task in asked) < 20:
            await asyncio.sleep(0.01)
        done = sum(task.done() for task in asked)
        assert (await li.get("/api/history", params=other)).status_code == 200
        assert sum(task.done() for task in asked) - done < 100, "not behind all of them"
        codes = {answer.status_code for answer in await asyncio.gather(*asked)}
        assert codes <= {200, 429}


async def test_questions_of_a_page_that_was_left_are_not_asked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, asked, answer = threading.Event(), [], History._answer

    def held(self: History, question: Callable) -> object:
        asked.append(question)
        released.wait(20)
        return answer(self, question)

    monkeypatch.setattr(History, "_answer", held)
    query = {"path": "saw/current", "start": rig.now - HOUR, "end": rig.now}
    async with rig.logged_in("wang") as wang:
        try:
            tasks = [asyncio.create_task(wang.get("/api/history", params=query)) for _ in range(40)]
            await until(lambda: len(asked) == 2, "the first two")
            text = "kaikou_history_waiting 40.0"
            async with rig.client() as other:
                while text not in (await other.get("/metrics")).text:
                    await asyncio.sleep(0.02)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.sleep(0.2)
                released.set()
                while "kaikou_history_waiting 0.0" not in (await other.get("/metrics")).text:
                    await asyncio.sleep(0.02)
        finally:
            released.set()
    assert len(asked) < 10
