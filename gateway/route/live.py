"""The one WebSocket: live values of a view, links of the edges, a heartbeat each second."""

import asyncio
import contextlib

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.role import Right
from gateway.state import COOKIE, State, same_origin, state, whoever
from gateway.stream import Stream, View, Viewer
from gateway.watcher import Watcher
from plant.errors import Rejected
from plant.flow.rate import Rate

router = APIRouter()

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
CLOSE_S = 2.0
ASKED = 30
"""So many views may be asked for in ``ASKED_S``."""
ASKED_S = 10.0


class Watch(BaseModel):
    """What a client asks for; asking again replaces the view."""

    model_config = ConfigDict(extra="forbid")

    view: list[str] = Field(max_length=20_000)
    hz: float = Field(5.0, gt=0, le=10)


class Closing(Exception):
    """Why the stream ends, with the code of its close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Send ``{"view": [paths], "hz": 5}``; get a snapshot, then frames of what changed.

    It ends with code 1008 when the session ends or the rights of the person change.
    """
    person = whoever(socket)
    if person is None or Right.VIEWER not in person.rights or not same_origin(socket):
        await socket.close(POLICY_VIOLATION, "log in first")
        return
    kaikou = state(socket)
    try:
        with kaikou.watchers.watching(socket.cookies[COOKIE], person) as watcher:
            await socket.accept()
            await _stream(socket, kaikou, watcher)
    except Rejected as error:
        await socket.accept()
        await _close(socket, Closing(TRY_AGAIN_LATER, str(error)))


async def _stream(socket: WebSocket, kaikou: State, watcher: Watcher) -> None:
    viewer = Viewer()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_until(watcher), name="session")
            await _follow(socket, kaikou, viewer, group)
    except* (WebSocketDisconnect, RuntimeError):
        pass  # gone; uvicorn raises RuntimeError where it closed under a send
    except* Closing as group_of:
        why = group_of.exceptions[0]
        if isinstance(why, Closing):
            await _close(socket, why)


async def _until(watcher: Watcher) -> None:
    await watcher.ended.wait()
    raise Closing(POLICY_VIOLATION, "the session has ended, or may do something else now")


async def _follow(
    socket: WebSocket, kaikou: State, viewer: Viewer, group: asyncio.TaskGroup
) -> None:
    """Give the view that was asked for last, until the other end has gone."""
    sender: asyncio.Task[None] | None = None
    view: View | None = None
    rate = Rate(ASKED, ASKED_S)
    try:
        while True:
            watch = await _asked(socket)
            if not rate.take():
                raise Closing(POLICY_VIOLATION, f"more than {ASKED} views in {ASKED_S:.0f} s")
            paths = [p for p in dict.fromkeys(watch.view) if p in kaikou.shown]
            if view is not None:
                kaikou.stream.leave(viewer, view)
            view = kaikou.stream.join(viewer, paths, watch.hz)
            if sender is not None:
                sender.cancel()
            send = _send(socket, viewer, kaikou.stream, view)
            sender = group.create_task(send, name="viewer")
    finally:
        if view is not None:
            kaikou.stream.leave(viewer, view)


async def _asked(socket: WebSocket) -> Watch:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    try:
        return Watch.model_validate(orjson.loads(message.get("text") or b""))
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise Closing(POLICY_VIOLATION, 'send {"view": [paths], "hz": 5}') from error


async def _close(socket: WebSocket, why: Closing) -> None:
    """Say why; who does not read is not waited for."""
    with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(why.code, str(why))


async def _send(socket: WebSocket, viewer: Viewer, stream: Stream, view: View) -> None:
    while True:
        message = await viewer.next(lambda: stream.snapshot(view))
        await socket.send_text(message.decode())
