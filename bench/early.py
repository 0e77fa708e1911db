"""Twins that break the promise, to show that ``bench chaos`` sees them; the product has no switch.

``ack-early`` acknowledges first and commits half a second later. ``mark-early`` moves the copy's
mark first and brings the rows half a second later.
"""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import moment
from plant.errors import Unavailable
from plant.flow.port import HistorianReader, HistorianWriter, Mark
from plant.flow.sample import SampleBatch
from twin import copy, host, service
from twin.transfer.follow import COPY, pages

DELAY_S = 0.5


class EarlyHost(host.Host):
    """The commit comes after the acknowledgement."""

    async def run_commits(self) -> None:
        """Acknowledge, wait, commit."""
        while not (self._closing and self.intake.queued == 0):
            commit = self.intake.take()
            if commit is not None:
                await self._acknowledge(self.intake.committed(self._clock.now()))
            await asyncio.sleep(DELAY_S)
            if commit is not None:
                try:
                    await self._in_thread(self._thread, self._write, commit)
                except Unavailable:
                    return


def early_follow(reader: HistorianReader, writer: HistorianWriter, source: str) -> None:
    """The rows come after the mark."""
    for page in pages(reader, writer.marks().get((COPY, source), 0)):
        nothing = replace(page, samples=SampleBatch.empty())
        writer.adopt(nothing, Mark(COPY, source, page.upto))
        time.sleep(DELAY_S)
        writer.adopt(page)


if __name__ == "__main__":
    if sys.argv[4] == "ack-early":
        vars(service)["Host"] = EarlyHost
    else:
        vars(copy)["follow"] = early_follow
    sys.exit(moment.run(*(Path(argument) for argument in sys.argv[1:4])))
