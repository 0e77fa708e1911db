"""The one WebSocket: live values of a view, links of the edges, a heartbeat each second."""

import asyncio

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.person import Right
from gateway.state import same_origin, state, whoever
from gateway.stream import Stream, View, Viewer

router = APIRouter()

POLICY_VIOLATION = 1008


class Watch(BaseModel):
    """What a client asks for; asking again replaces the view."""

    model_config = ConfigDict(extra="forbid")

    view: list[str] = Field(max_length=20_000)
    hz: float = Field(5.0, gt=0, le=10)


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Send ``{"view": [paths], "hz": 5}``; get a snapshot, then frames of what changed."""
    person = whoever(socket)
    if person is None or Right.VIEWER not in person.rights or not same_origin(socket):
        await socket.close(POLICY_VIOLATION, "log in first")
        return
    await socket.accept()
    kaikou = state(socket)
    viewer = Viewer()
    view: View | None = None
    sender: asyncio.Task[None] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                watch = Watch.model_validate(orjson.loads(await socket.receive_text()))
                known = {s.path for s in kaikou.plant.signals if not s.hidden}
                paths = [p for p in dict.fromkeys(watch.view) if p in known]
                if view is not None:
                    kaikou.stream.leave(viewer, view)
                view = kaikou.stream.join(viewer, paths, watch.hz)
                if sender is not None:
                    sender.cancel()
                send = _send(socket, viewer, kaikou.stream, view)
                sender = group.create_task(send, name="viewer")
    except* (WebSocketDisconnect, RuntimeError):
        pass  # gone; uvicorn raises RuntimeError where it closed under a send
    except* (ValidationError, orjson.JSONDecodeError):
        await socket.close(POLICY_VIOLATION, 'send {"view": [paths], "hz": 5}')
    finally:
        if view is not None:
            kaikou.stream.leave(viewer, view)


async def _send(socket: WebSocket, viewer: Viewer, stream: Stream, view: View) -> None:
    while True:
        message = await viewer.next(lambda: stream.snapshot(view))
        await socket.send_text(message.decode())
