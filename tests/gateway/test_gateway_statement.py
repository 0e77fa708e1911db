"""People state reasons, products and modes: through a real gateway, broker and twin, and back."""

import asyncio

import httpx
import pytest

from gateway import statement
from tests.gateway.conftest import HOUR, Rig


async def said(client: httpx.AsyncClient, what: str, body: dict) -> httpx.Response:
    """The answer; a twin that starts may not have reached the broker yet."""
    for _ in range(4):
        answer = await client.post(f"/api/{what}", json=body)
        if answer.status_code != 503:
            break
    return answer


async def test_a_reason_is_on_the_band_when_the_answer_comes(with_twin: Rig) -> None:
    rig, now = with_twin, with_twin.now
    stop = {"asset": "saw", "start": now - HOUR, "end": now - 60_000, "code": "jam"}
    band = {"asset": "saw", "start": now - 2 * HOUR, "end": now}
    async with rig.logged_in("li") as client:
        before = (await client.get("/api/runs", params=band)).json()["runs"]
        assert [(r["state"], r["reason"]) for r in before] == [(6, None), (5, None), (6, None)]
        answer = await said(client, "reasons", {**stop, "note": " 卡住了 "})
        first = answer.json()
        assert (answer.status_code, first["readable"]) == (200, True)
        runs = (await client.get("/api/runs", params=band)).json()["runs"]
        assert [r["state"] for r in runs] == [6, 5, 6]
        assert runs[1]["reason"] == {
            "code": "jam",
            "name": {"zh": "卡料", "en": "Jam"},
            "kind": "minor",
            "note": "卡住了",
            "person": "li",
            "said": first["said"],
        }
        assert (runs[0]["reason"], runs[1]["former"]) == (None, [])
    async with rig.logged_in("zhao") as client:
        second = (await said(client, "reasons", {**stop, "code": "repair"})).json()
        assert second["said"] > first["said"]
        runs = (await client.get("/api/runs", params=band)).json()["runs"]
        assert (runs[1]["reason"]["code"], runs[1]["reason"]["person"]) == ("repair", "zhao")
        assert [f["code"] for f in runs[1]["former"]] == ["jam"]
        then = {**band, "known_at": first["said"] - 1}
        assert (await client.get("/api/runs", params=then)).json()["runs"][1]["reason"] is None
        assert (await said(client, "reasons", {**stop, "code": ""})).json()["readable"]
        runs = (await client.get("/api/runs", params=band)).json()["runs"]
        assert runs[1]["reason"] is None
        assert [f["code"] for f in runs[1]["former"]] == ["repair", "jam"]


async def test_products_and_modes_go_the_same_way(with_twin: Rig) -> None:
    rig, now = with_twin, with_twin.now
    async with rig.logged_in("li") as client:
        product = {"asset": "hall", "start": now - HOUR, "product": "shell"}
        assert (await said(client, "products", product)).json()["readable"]
        mode = {"asset": "saw", "start": now - HOUR, "end": now - 60_000, "mode": "maintenance"}
        assert (await said(client, "mode", mode)).json()["readable"]
        band = {"asset": "saw", "start": now - 2 * HOUR, "end": now}
        runs = (await client.get("/api/runs", params=band)).json()["runs"]
        assert [r["mode"] for r in runs] == [None, "maintenance", None]
        assert (
            await said(client, "mode", {**mode, "end": None, "mode": "setup"})
        ).status_code == 200
        events = await client.get("/api/events", params={"start": now - 2 * HOUR, "end": now})
        assert [e["kind"] for e in events.json()][:3] == ["product", "mode", "mode"]
        told = {"start": now - 2 * HOUR, "end": now, "kind": ["product", "meter.reset"]}
        events = await client.get("/api/events", params=told)
        assert [e["kind"] for e in events.json()] == ["product", "meter.reset"]
        made = (await client.get("/api/products/now")).json()
        told = {"product": "shell", "start": now - HOUR, "person": "li", "said": made[0]["said"]}
        assert sorted(made, key=lambda m: m["asset"]) == [
            {"asset": id, **told} for id in ("gauge", "hall", "saw")
        ]
        before = {"at": now - HOUR - 1}
        assert (await client.get("/api/products/now", params=before)).json() == []
        then = {"known_at": made[0]["said"] - 1}
        assert (await client.get("/api/products/now", params=then)).json() == []
        (now_on,) = (await client.get("/api/mode")).json()
        assert {k: now_on[k] for k in ("asset", "mode", "start", "end", "person")} == {
            "asset": "saw", "mode": "setup", "start": now - HOUR, "end": None, "person": "li",
        }  # fmt: skip
        back = {"asset": "saw", "start": now - 30_000, "end": None, "mode": ""}
        assert (await said(client, "mode", back)).json()["readable"]
        assert (await client.get("/api/mode")).json() == []
        (earlier,) = (await client.get("/api/mode", params={"at": now - 30_001})).json()
        assert earlier["mode"] == "setup"


async def test_a_reason_without_an_end_holds_until_the_stop_ends(with_twin: Rig) -> None:
    rig, now = with_twin, with_twin.now
    band = {"asset": "saw", "start": now - 2 * HOUR, "end": now}
    async with rig.logged_in("li") as client:
        said_at = now - HOUR + 600_000
        body = {"asset": "saw", "start": said_at, "end": None, "code": "jam"}
        answer = await said(client, "reasons", body)
        assert (answer.status_code, answer.json()["readable"]) == (200, True)
        runs = (await client.get("/api/runs", params=band)).json()["runs"]
        assert [(r["state"], r["reason"] and r["reason"]["code"]) for r in runs] == [
            (6, None), (5, None), (5, "jam"), (6, None),
        ]  # fmt: skip
        assert runs[2]["start"] == said_at
        kpi = (await client.get("/api/oee", params=band | {"by": "range"})).json()
        jam = [s for s in kpi["rows"][0]["stops"] if s["code"] == "jam"]
        assert sum(s["seconds"] for s in jam) <= (runs[2]["end"] - said_at) / 1000
        del body["end"]
        assert (await client.post("/api/reasons", json=body)).status_code == 422


WRONG = [
    ("reasons", {"asset": "lathe"}, "no machine 'lathe' in this plant"),
    ("reasons", {"asset": "hall"}, "'hall' is a line; say it of one of its machines"),
    ("reasons", {"code": "jamm"}, "no reason 'jamm' in this plant"),
    ("reasons", {"start": 9 * 10**12}, "start: Input should be less than or equal to"),
    ("reasons", {"start": 1}, "start is more than 400 days ago"),
    ("reasons", {"end": 4 * 10**12}, "end is in the future"),
    ("reasons", {"end": 1.5}, "end: Input should be a valid integer"),
    ("reasons", {"note": "x" * 501}, "note: String should have at most 500"),
    ("reasons", {"note": "\u0007"}, "a note holds no control characters"),
    ("reasons", {"shift": "day"}, "shift: Extra inputs are not permitted"),
    ("products", {"end": None, "code": None, "product": "y"}, "no product 'y' in this plant"),
    ("mode", {"code": None, "mode": "fun"}, "mode"),
]


async def test_what_is_wrong_is_said(with_twin: Rig) -> None:
    now = with_twin.now
    async with with_twin.logged_in("li") as client:
        for what, change, detail in WRONG:
            body = {"asset": "saw", "start": now - HOUR, "end": now - 1, "code": "jam", **change}
            given = {k: v for k, v in body.items() if v is not None}
            answer = await said(client, what, given)
            assert (change, answer.status_code) == (change, 422)
            assert answer.json()["detail"].startswith(detail)


async def test_who_may_not_does_not(rig: Rig) -> None:
    body = {"asset": "saw", "start": rig.now - HOUR, "end": rig.now, "code": "jam"}
    bodies = {
        "reasons": body,
        "products": {"asset": "saw", "start": 1, "product": ""},
        "mode": {"asset": "saw", "start": 1, "mode": "setup"},
    }
    async with rig.client() as nobody:
        for what, given in bodies.items():
            assert (await nobody.post(f"/api/{what}", json=given)).status_code == 401
        assert (await nobody.get("/api/reasons")).status_code == 401
    for name in ("wang", "root"):
        async with rig.logged_in(name) as client:
            for what, given in bodies.items():
                answer = await client.post(f"/api/{what}", json=given)
                assert (answer.status_code, "'operator'" in answer.text) == (403, True)
    async with rig.logged_in("li") as client:
        headers = {"Origin": "http://elsewhere.example"}
        cross = await client.post("/api/reasons", json=body, headers=headers)
        assert (cross.status_code, cross.json()["detail"]) == (403, "sent from another site")
        big = await client.post("/api/reasons", content=b" " * 70_000)
        assert (big.status_code, big.json()["detail"]) == (413, "a request has at most 65536 bytes")

        async def endless():
            for _ in range(100):
                yield b" " * 1000

        assert (await client.post("/api/reasons", content=endless())).status_code == 413


async def test_without_a_twin_the_answer_is_503(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"asset": "saw", "start": rig.now - HOUR, "end": rig.now, "code": "jam"}
    monkeypatch.setattr(statement, "A_MINUTE", 2)
    async with rig.logged_in("li") as client:
        none = await client.post("/api/reasons", json=body)
        assert none.status_code == 503
        assert none.json()["detail"].startswith("the twin did not answer within 5 s")
        both = await asyncio.gather(*(client.post("/api/reasons", json=body) for _ in range(2)))
        assert sorted(a.status_code for a in both) == [429, 503]
        often = next(a for a in both if a.status_code == 429)
        assert 0 < int(often.headers["retry-after"]) <= 60


async def test_the_choices_are_listed(rig: Rig) -> None:
    async with rig.logged_in() as client:
        reasons = {r["code"]: r for r in (await client.get("/api/reasons")).json()}
        assert reasons["jam"] == {
            "code": "jam",
            "name": {"zh": "卡料", "en": "Jam"},
            "kind": "minor",
        }
        products = (await client.get("/api/products")).json()
        assert products == [
            {"id": "shell", "name": {"zh": "壳体", "en": "Shell"}, "cycle_s": {"saw": 30.0}}
        ]


@pytest.mark.timeout(120)  # everybody connects twice, each with a pause that doubles
async def test_a_broker_that_goes_is_503_at_once(with_twin: Rig, mosquitto: object) -> None:
    body = {"asset": "saw", "start": with_twin.now - HOUR, "end": with_twin.now, "code": "jam"}
    async with with_twin.logged_in("li") as client:
        assert (await said(client, "reasons", body)).status_code == 200
        mosquitto.kill()

        async def down() -> bool:
            return (await client.get("/healthz")).status_code == 503

        while not await down():
            await asyncio.sleep(0.02)
        answer = await client.post("/api/reasons", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (503, "the broker is not there")
        await mosquitto.start()
        while await down():
            await asyncio.sleep(0.02)
        assert (await said(client, "reasons", body)).status_code == 200
