"""A twin that breaks the promise: it acknowledges first and commits half a second later.

Built here for ``bench chaos --bug ack-early``, to show that the bench sees such a twin. The
product has no switch for this.
"""

import asyncio
import sys
from pathlib import Path

from deploy.room import open_ports, read_plant, with_account
from plant.errors import Unavailable
from twin import host, service

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


def main(plant_file: Path, data: Path) -> None:
    """Run the twin."""
    plant = with_account(read_plant(plant_file, data), "kaikou_twin", data)
    vars(service)["Host"] = EarlyHost
    asyncio.run(service.run(plant, open_ports("twin", plant, data, {})))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
