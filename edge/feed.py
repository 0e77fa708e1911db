"""Where an OPC UA server finds the feed of its edge: a loopback port, named in a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from plant.errors import Unavailable
from plant.file import write_whole
from plant.model.plant import Edge
from plant.outbox.feed import Feed

FILE = "feed.port"


@asynccontextmanager
async def served(feed: Feed, edge: Edge, folder: Path) -> AsyncIterator[None]:
    """Serve the feed while the context lasts, where the edge has an OPC UA server at all."""
    if edge.opcua is None:
        yield
        return
    async with feed.serve(0) as port:
        file = folder / FILE
        write_whole(file, f"{port}\n")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def feed_port(folder: Path) -> int:
    """The port of the feed of the edge that has this folder.

    Raises
    ------
    Unavailable
        The edge does not run.
    """
    try:
        return int((folder / FILE).read_text("ascii"))
    except (OSError, ValueError) as error:
        raise Unavailable(f"the edge with the folder {folder} does not run") from error
