"""Odd questions: 4xx in plain words, never 5xx, never a traceback."""

import asyncio
import json
import logging
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from gateway.app import create_app
from gateway.gate import PATH_BYTES
from tests.gateway.conftest import Rig

ODD_ADDRESSES = [
    "/%00", "/a%00b", "/assets/%00", "/%0a%1b%5b31m", "/%ff%fe", "/api/%c0%af",
    "/..%5c..%5cwindows",
    "/" + "a" * (PATH_BYTES + 1), "/" + "%41" * 2_000, "/?" + "q" * 50_000,
]  # fmt: skip
MISSING = [
    "/assets/%2e%2e/%2e%2e/pyproject.toml",
    "/assets/" + "a" * 1_900,
    "/api/%F0%9F%92%A9", "/api//plant", "/api/plant/", "/assets/",
]  # fmt: skip
ODD_VALUES = [
    "NaN", "inf", "-1", "1e400", "9" * 400, "0x10", "", " ", "\u0000", "\ud83d\ude00", "true",
    "'; DROP TABLE person;--", "../../etc/passwd", "%00", "null", "[]", "1.5", "١٢٣", "\u202e",
]  # fmt: skip
BODIES = [
    b"", b"{", b"nul", b"[" * 60_000, b'{"a":' * 10_000, b"\xff\xfe", b'{"user": NaN}',
    b'{"user": 1' + b"0" * 5_000 + b"}", b'{"user": "\\ud800", "password": "\\ud800"}',
    b'{"\\ud800": 1}', b'"text"', b"[]", b'{"user": {"$gt": ""}, "password": []}',
    b'{"user": "\\u0000", "password": "\\u0000"}', "é".encode("utf-16"),
    b'{"start": 1e999, "end": NaN, "asset": "saw", "code": "\\ud800"}',
]  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing of this is an error of ours."""
    yield
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert not errors, errors


def _plain(answer: httpx.Response, expected: tuple[int, ...] = ()) -> None:
    assert answer.status_code in expected or 400 <= answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.content:
        assert len(answer.json()["detail"]) < 4_000
    assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_odd_addresses_are_refused(rig: Rig) -> None:
    async with rig.client() as client:
        for address in ODD_ADDRESSES:
            answer = await client.get(httpx.URL(rig.url + address))
            assert answer.status_code in {400, 414}, address
            _plain(answer)
        for address in MISSING:
            answer = await client.get(httpx.URL(rig.url + address))
            assert answer.status_code == 404, address
            _plain(answer)


async def test_every_parameter_takes_odd_values_in_good_part(rig: Rig) -> None:
    sound = {"path": "saw/current", "asset": "saw", "start": rig.now - 60_000, "end": rig.now}
    sound |= {"width_ms": 60_000, "step_ms": 60_000, "at": rig.now}
    paths: dict[str, Any] = create_app(None).openapi()["paths"]
    async with rig.logged_in("root") as client:
        for path, methods in paths.items():
            names = [p["name"] for p in methods.get("get", {}).get("parameters", ())]
            known = {n: sound[n] for n in names if n in sound}
            for name in names:
                others = urlencode({n: v for n, v in known.items() if n != name})
                for value in ODD_VALUES:
                    odd = quote(value.encode("utf-8", "surrogatepass"))
                    _plain(await client.get(f"{path}?{name}={odd}&{others}"), (200,))


async def test_every_body_is_read_or_refused(rig: Rig) -> None:
    paths: dict[str, Any] = create_app(None).openapi()["paths"]
    posts = [p for p, methods in paths.items() if "post" in methods and "logout" not in p]
    async with rig.logged_in("root") as root, rig.logged_in("zhao") as zhao:
        for path in posts:
            client = root if "people" in path or "sessions" in path else zhao
            for body in BODIES:
                headers = {"content-type": "application/json"}
                _plain(await client.post(path, content=body, headers=headers))
            for kind in ("text/plain", "multipart/form-data; boundary=x", "application/xml"):
                _plain(await client.post(path, content=b"--x", headers={"content-type": kind}))
            _plain(await client.post(path, content=b"0" * 70_000))


async def test_other_methods_and_ranges_are_answered_in_words(rig: Rig) -> None:
    async with rig.logged_in() as client:
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "X" * 200):
            for path in ("/", "/api/plant", "/api/login", "/healthz"):
                answer = await client.request(method, path)
                assert answer.status_code == 405, (method, path)
                assert "allow" in answer.headers
        for path in ("/", "/api/plant", "/api/openapi.json", "/healthz"):
            whole = await client.get(path)
            head = await client.head(path)
            assert (head.status_code, head.content) == (whole.status_code, b"")
            assert head.headers["content-type"] == whole.headers["content-type"]
        for wanted in ("bytes=0-0", "bytes=" + "0-," * 2_000, "bytes=-0", "bytes=9-1", "items=1"):
            answer = await client.get("/api/openapi.json", headers={"Range": wanted})
            assert (answer.status_code, "content-range" in answer.headers) == (200, False)


async def test_odd_headers_are_taken_in_good_part(rig: Rig) -> None:
    async with rig.client() as client:
        for headers in (
            {"Cookie": "kaikou_session=" + "é" * 200},
            {"Cookie": "; ".join(f"c{i}=1" for i in range(2_000))},
            {"Cookie": "kaikou_session; =; ;;=x"},
            {"X-Forwarded-For": "1.2.3.4, \x7f", "X-Forwarded-Proto": "https"},
            {"Authorization": "Bearer " + "x" * 20_000},
            {"Accept-Encoding": "gzip;q=NaN, br;q=1e999"},
        ):
            raw = [(k.encode(), v.encode()) for k, v in headers.items()]
            answer = await client.get("/api/me", headers=raw)
            assert 400 <= answer.status_code < 500
            assert "strict-transport-security" not in answer.headers


async def test_the_page_of_the_interface_needs_nothing_from_elsewhere(rig: Rig) -> None:
    async with rig.client() as client:
        page = await client.get("/api/docs")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        parts = [page.text]
        for name in ("docs.js", "docs.css"):
            part = await client.get(f"/docs/{name}")
            assert part.status_code == 200
            parts.append(part.text)
        assert not any("://" in part.replace("http://www.w3.org", "") for part in parts)
        schema = (await client.get("/api/openapi.json")).json()
        assert json.dumps(schema).count('"/api/') > 20


async def test_a_request_of_two_lengths_is_refused_and_nothing_after_it_is_read(rig: Rig) -> None:
    url = httpx.URL(rig.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    try:
        async with asyncio.timeout(10):
            answers = await reader.read()
    finally:
        writer.transport.abort()
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1") == 1
