"""Refused certificates that wait for a person; who sends many pushes nobody else out.

A few for each address are kept, and the first ones stay: a flood from one machine takes places
of its own only, one from many finds no more places when all are taken.
"""
# ruff: noqa: TID253 - only the server's process and `kaikou trust` import this

import logging
import re
import time
from collections import defaultdict
from pathlib import Path

from cryptography import x509

from edge.opcua.shown import der_of, fingerprint, subject_of, uri_of
from plant.file import write_whole

log = logging.getLogger("kaikou.opcua")

KEPT = 50
"""Certificates that are kept in all."""
KEPT_OF_ONE = 5
"""Of one address."""
MAX_BYTES = 8192
"""A certificate larger than this is not kept."""
_TELL_S = 60.0


class Waiting:
    """The folder of refused certificates; a file is named by fingerprint and address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told_s = -_TELL_S
        self._untold = 0

    def keep(self, der: bytes, certificate: x509.Certificate, address: str) -> None:
        """Keep one, where there is a place for it; a full disk keeps none."""
        print_ = fingerprint(der)
        of = self._by_address()
        address = re.sub(r"[^0-9A-Za-z.:]", "", address)[:45]
        if any(file.name.startswith(print_) for files in of.values() for file in files):
            return
        if len(der) > MAX_BYTES or not self._has_place(of, address):
            self._tell_full(address)
            return
        name = f"{print_}_{address}.der" if address else f"{print_}.der"
        try:
            write_whole(self._folder / name, der_of(certificate))
        except OSError as error:
            log.warning("a refused OPC UA client's certificate cannot be kept: %s", error)
            return
        log.warning(
            "refused an OPC UA client: %s (%s) is not trusted; kaikou trust %s lets it in",
            subject_of(certificate),
            uri_of(certificate) or "no URI",
            print_[:16],
        )

    def _by_address(self) -> dict[str, list[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for file in self._folder.glob("*.der"):
            found[file.stem.partition("_")[2]].append(file)
        return found

    def _has_place(self, of: dict[str, list[Path]], address: str) -> bool:
        """Whether one more of this address may be kept; who has most gives way where it is full."""
        own = len(of.get(address, ()))
        while (there := sum(map(len, of.values()))) >= KEPT:
            most = max(of.values(), key=len)
            if there == KEPT and len(most) <= max(1, own):
                return False
            newest = max(most, key=lambda file: file.stat().st_mtime_ns)
            most.remove(newest)
            newest.unlink(missing_ok=True)
        return not address or own < KEPT_OF_ONE

    def _tell_full(self, address: str) -> None:
        self._untold += 1
        if time.monotonic() - self._told_s < _TELL_S:
            return
        log.warning(
            "refused %d OPC UA clients whose certificates are not kept: as many as are kept wait "
            "already (the last from %s); see kaikou trust",
            self._untold,
            address or "an unknown address",
        )
        self._told_s, self._untold = time.monotonic(), 0
