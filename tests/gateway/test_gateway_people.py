"""Accounts over REST, and what happens to sessions and WebSockets when they change."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway import watcher
from gateway.person import People
from gateway.role import Role
from gateway.session import SESSION_S
from tests.gateway.conftest import PASSWORD, Rig

Do = Callable[[httpx.AsyncClient, httpx.AsyncClient], Awaitable[object]]


def _live(rig: Rig, client: httpx.AsyncClient, **options: object) -> connect:
    headers = {"Cookie": f"kaikou_session={client.cookies['kaikou_session']}"}
    url = f"{rig.url.replace('http', 'ws')}/api/live"
    return connect(url, additional_headers=headers, **options)


async def _closed(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def _log_out(wang: httpx.AsyncClient, root: httpx.AsyncClient) -> object:
    return await wang.post("/api/logout")


async def _end(wang: httpx.AsyncClient, root: httpx.AsyncClient) -> object:
    sessions = (await root.get("/api/sessions")).json()
    (mine,) = [s["id"] for s in sessions if s["name"] == "wang"]
    return await root.post("/api/sessions/end", json={"id": mine})


async def _remove(wang: httpx.AsyncClient, root: httpx.AsyncClient) -> object:
    return await root.post("/api/people/remove", json={"name": "wang"})


async def _password(wang: httpx.AsyncClient, root: httpx.AsyncClient) -> object:
    return await root.post("/api/people/password", json={"name": "wang"})


async def _role(wang: httpx.AsyncClient, root: httpx.AsyncClient) -> object:
    return await root.post("/api/people/role", json={"name": "wang", "role": "operator"})


@pytest.mark.parametrize(
    ("do", "after"), [(_log_out, 401), (_end, 401), (_remove, 401), (_password, 401), (_role, 200)]
)
async def test_a_stream_ends_with_its_session_and_its_rights(rig: Rig, do: Do, after: int) -> None:
    async with rig.logged_in("wang") as wang, rig.logged_in("root") as root:
        async with _live(rig, wang) as socket:
            await socket.send(json.dumps({"view": ["saw/current"]}))
            assert json.loads(await socket.recv())["type"] == "snapshot"
            kept = dict(wang.cookies)
            answer = await do(wang, root)
            assert answer.status_code < 300, answer.text
            assert await _closed(socket) == 1008
        wang.cookies.update(kept)
        assert (await wang.get("/api/me")).status_code == after


async def test_a_stream_ends_with_what_another_process_or_the_clock_does(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig.logged_in("wang") as wang, rig.logged_in("li") as li:
        async with _live(rig, wang) as first, _live(rig, li) as second:
            people = People(rig.folder / "gateway" / "people.sqlite")
            people.set_role("wang", Role.ENGINEER, "the box")
            assert await _closed(first) == 1008
            people._file.row("UPDATE session SET until = until - ?", (SESSION_S,))
            assert await _closed(second) == 1008
            people.close()
        assert (await li.get("/api/me")).status_code == 401


async def test_a_stream_that_is_not_read_ends_with_its_session_too(rig: Rig) -> None:
    async with rig.logged_in("wang") as wang, rig.logged_in("root") as root:
        async with _live(rig, wang, max_queue=1, close_timeout=1) as socket:
            await socket.send(json.dumps({"view": ["saw/current"]}))
            socket.transport.pause_reading()
            await _remove(wang, root)
            for _ in range(400):
                if (await root.get("/healthz")).json()["viewers"] == 0:
                    break
                await asyncio.sleep(0.05)
            assert (await root.get("/healthz")).json()["viewers"] == 0
            socket.transport.resume_reading()


async def test_streams_of_one_account_are_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "EACH", 2)
    async with rig.logged_in("wang") as wang:
        async with _live(rig, wang) as one, _live(rig, wang), _live(rig, wang) as third:
            assert await _closed(third) == 1013
            await one.close()
            async with _live(rig, wang) as again:
                await again.send('{"view": []}')
                assert json.loads(await again.recv())["type"] == "snapshot"


@pytest.mark.parametrize(
    "message",
    [b"\0\1", "[" * 100_000, '{"view": 1}', '{"view": [], "hz": NaN}', '{"view": ["\\ud800"]}', ""],
)
async def test_what_is_no_question_ends_the_stream(rig: Rig, message: str | bytes) -> None:
    async with rig.logged_in("wang") as wang, _live(rig, wang) as socket:
        await socket.send(message)
        assert await _closed(socket) == 1008


async def test_views_in_a_hurry_and_messages_without_end_end_the_stream(rig: Rig) -> None:
    async with rig.logged_in("wang") as wang:
        async with _live(rig, wang) as socket:
            for _ in range(40):
                await socket.send('{"view": ["saw/current"]}')
            assert await _closed(socket) == 1008
        async with _live(rig, wang) as socket:
            await socket.send("x" * (2**20 + 1))
            assert await _closed(socket) == 1009


async def test_a_stream_from_another_site_is_refused(rig: Rig) -> None:
    async with rig.logged_in("wang") as wang:
        with pytest.raises(Exception, match="403"):
            async with _live(rig, wang, origin="http://elsewhere.example"):
                pass


async def test_an_admin_keeps_accounts_and_nobody_else_does(rig: Rig) -> None:
    async with rig.logged_in("root") as root, rig.logged_in("zhao") as zhao:
        for path in ("people", "sessions", "acts"):
            assert (await zhao.get(f"/api/{path}")).status_code == 403
        body = {"name": "sun", "role": "operator"}
        assert (await zhao.post("/api/people", json=body)).status_code == 403
        made = (await root.post("/api/people", json=body)).json()
        assert (await root.post("/api/people", json=body)).status_code == 422
        async with rig.client() as sun:
            log_in = {"user": "sun", "password": made["password"]}
            assert (await sun.post("/api/login", json=log_in)).json()["rights"] == [
                "operator",
                "viewer",
            ]
        accounts = {a["name"]: a for a in (await root.get("/api/people")).json()}
        assert (accounts["sun"]["role"], accounts["sun"]["sessions"]) == ("operator", 1)
        acts = (await root.get("/api/acts")).json()
        assert (acts[0]["person"], acts[0]["what"], acts[0]["about"]) == (
            "root",
            "added as operator",
            "sun",
        )
        last = await root.post("/api/people/remove", json={"name": "root"})
        assert (last.status_code, "last admin" in last.text) == (422, True)
        weak = await root.post("/api/people", json={**body, "name": "qian", "password": "short"})
        assert weak.status_code == 422
        everything = json.dumps([accounts, acts, (await root.get("/api/sessions")).json()])
        assert made["password"] not in everything
        assert "argon2" not in everything


async def test_a_name_is_the_same_however_a_keyboard_composes_it(rig: Rig) -> None:
    async with rig.logged_in("root") as root, rig.client() as rene:
        body = {"name": "ren\u00e9", "role": "viewer", "password": PASSWORD}
        assert (await root.post("/api/people", json=body)).status_code == 200
        log_in = {"user": "rene\u0301", "password": PASSWORD}
        assert (await rene.post("/api/login", json=log_in)).json()["name"] == "ren\u00e9"


async def test_people_change_their_own_password_with_the_present_one(rig: Rig) -> None:
    async with rig.logged_in("wang") as wang, rig.logged_in("wang") as elsewhere:
        new = {"old": PASSWORD, "new": "battery-staple-horse"}
        wrong = await wang.post("/api/password", json={**new, "old": "not-the-password"})
        assert wrong.status_code == 403
        assert (await wang.post("/api/password", json={**new, "new": "short"})).status_code == 422
        cross = await wang.post("/api/password", json=new, headers={"Origin": "http://x.example"})
        assert cross.status_code == 403
        assert (await wang.post("/api/password", json=new)).status_code == 204
        assert (await wang.get("/api/me")).status_code == 200
        assert (await elsewhere.get("/api/me")).status_code == 401


async def test_a_log_in_ends_the_session_that_the_browser_had(rig: Rig) -> None:
    async with rig.logged_in("wang") as shared, rig.client() as other:
        other.cookies.update(shared.cookies)
        await shared.post("/api/login", json={"user": "li", "password": PASSWORD})
        assert (await shared.get("/api/me")).json()["name"] == "li"
        assert (await other.get("/api/me")).status_code == 401


async def test_a_flood_of_log_ins_is_refused_before_it_costs_anything(rig: Rig) -> None:
    async with rig.logged_in("wang") as known, rig.client() as flood:
        bodies = [{"user": f"n{i}", "password": "guessed-at"} for i in range(60)]
        asked = [asyncio.create_task(flood.post("/api/login", json=body)) for body in bodies]
        true = await known.post("/api/login", json={"user": "wang", "password": PASSWORD})
        assert true.status_code == 200, "a known device has a turn of its own"
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert set(codes) <= {401, 429}


async def test_who_knows_a_name_locks_out_nobody(rig: Rig) -> None:
    async with rig.logged_in("wang") as known, rig.client() as stranger:
        guess = {"user": "wang", "password": "guessed"}
        codes = [(await stranger.post("/api/login", json=guess)).status_code for _ in range(8)]
        assert (codes[0], codes[-1]) == (401, 429)
        true = {"user": "wang", "password": PASSWORD}
        assert (await stranger.post("/api/login", json=true)).status_code == 429
        assert (await known.post("/api/login", json=true)).status_code == 200
        for _ in range(100):
            answer = await stranger.post("/api/login", json=true)
            if answer.status_code == 200:
                break
            await asyncio.sleep(min(float(answer.headers["retry-after"]), 2.0))
        assert answer.status_code == 200, "and after the delay the true password passes"


SPOILED = {
    "no text": b"\x81\x82\0\0\0\0\xff\xfe",
    "reserved": b"\x83\x80\0\0\0\0",
    "unmasked": b"\x81\x05hello",
    "going on with nothing": b"\x80\x80\0\0\0\0",
    "a long ping": b"\x89\xfe\0\x7e\0\0\0\0" + b"p" * 126,
    "reserved bits": b"\xc1\x80\0\0\0\0",
    "two in one packet": b"\x83\x80\0\0\0\0\x81\x82\0\0\0\0\xff\xfe",
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=list(SPOILED))
async def test_spoiled_frames_end_their_stream_and_nothing_else(
    rig: Rig, spoiled: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.logged_in("wang") as wang, _live(rig, wang) as other:
        async with _live(rig, wang) as socket:
            socket.transport.write(spoiled)
            assert await _closed(socket) in {1002, 1006, 1007}
        await other.send('{"view": ["saw/current"]}')
        assert json.loads(await other.recv())["type"] == "snapshot"
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []
