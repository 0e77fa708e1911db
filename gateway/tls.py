"""HTTPS: the certificate and its key, read at the start and again when told to."""

import logging
import ssl
from pathlib import Path

from plant.errors import ConfigError
from plant.model.plant import Gateway

log = logging.getLogger("kaikou.gateway")


class Certificate:
    """The certificate of plant.yaml as new connections get it.

    Raises
    ------
    ConfigError
        A file is missing, damaged, or the key is another certificate's; or has a passphrase.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._files = (Path(gateway.tls_cert or ""), Path(gateway.tls_key or ""))
        self.context = self._read()

    def reload(self) -> None:
        """Take the files as they are now; where they are not right, the former ones stay."""
        try:
            self._read()
            self._load(self.context)
        except ConfigError as error:
            log.error("the certificate stays as it was: %s", error)  # noqa: TRY400
            return
        log.info("certificate read anew from %s", self._files[0])

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._files
        for file, what in ((certificate, "tls_cert"), (key, "tls_key")):
            try:
                file.read_bytes()
            except OSError as error:
                text = f"gateway.{what}: {file} cannot be read: {error.strerror}"
                raise ConfigError(text) from error
        try:
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            text = f"gateway: {certificate} and {key} are no certificate with its key: {reason}"
            raise ConfigError(text) from error


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; give it without one, readable by its owner alone")
