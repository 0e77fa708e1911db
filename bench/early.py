"""A twin that breaks the promise: it acknowledges first and commits half a second later.

Built here for ``bench chaos --bug ack-early``, to show that the bench sees such a twin. The
product has no switch for this.
"""

import asyncio
import sys
from pathlib import Path

from bench import moment
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


if __name__ == "__main__":
    vars(service)["Host"] = EarlyHost
    sys.exit(moment.run(*(Path(argument) for argument in sys.argv[1:4])))
