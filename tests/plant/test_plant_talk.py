"""A server's connections end with it, without a word from asyncio; what goes wrong is told."""

import asyncio
import logging

import pytest

from plant.flow.talk import Talks


async def _ends(talk: Talks, caplog: pytest.LogCaptureFixture) -> list[str]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    assert await reader.readexactly(1) == b"!"
    server.close()
    with caplog.at_level(logging.DEBUG):
        await talk.end()
        writer.close()
        for _ in range(5):
            await asyncio.sleep(0)
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


async def test_a_connection_that_still_talks_is_ended_quietly(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plant.flow.talk._PATIENCE_S", 0.05)

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"!")
            await asyncio.sleep(3600)
        finally:
            writer.close()

    assert await _ends(Talks("line", talk), caplog) == []


async def test_what_goes_wrong_in_a_connection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")
        writer.close()
        raise ZeroDivisionError

    assert await _ends(Talks("line", talk), caplog) == ["line: a connection ended unexpectedly"]
