"""The connection: bytes out, bytes in, and what went wrong said in our own words.

The library's batching mode is never used: it loses data silently. Every request here is
synchronous and is answered, or raises. Nothing is retried here; who calls has what it wrote.
"""

import gzip
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plant.errors import ConfigError, Rejected, Unavailable

if TYPE_CHECKING:
    from influxdb_client.client.influxdb_client import InfluxDBClient

    from twin.historian.influx.config import Influx

_DIALECT = {"header": True, "annotations": [], "delimiter": ",", "commentPrefix": "#"}
_AGAIN = frozenset({401, 403, 404, 408, 429})
"""Answers that somebody can mend while the data waits: a token, a bucket, a quota."""


class TooLarge(Rejected):
    """The server takes no body of this size."""


class Server:
    """One InfluxDB; its methods may be called from any thread."""

    def __init__(self, settings: "Influx") -> None:
        self.settings = settings
        self._client = _client(settings)
        from influxdb_client.service.query_service import QueryService
        from influxdb_client.service.write_service import WriteService

        write: Any = WriteService  # the library's own types are no types
        query: Any = QueryService
        self._write = write(self._client.api_client)
        self._query = query(self._client.api_client)

    def write(self, which: str, body: bytes) -> None:
        """Lines into one of our buckets; durable when this returns.

        Raises
        ------
        Unavailable
            Nobody answers, or the server cannot now, or does not let us in.
        TooLarge
            The same lines in smaller bodies may go.
        Rejected
            Lines are wrong; none, or all but the wrong ones, were stored.
        """
        headers: dict[str, Any] = {}
        if self.settings.gzip:
            body, headers["content_encoding"] = gzip.compress(body, 1), "gzip"
        self._call(
            self._write.post_write,
            self.settings.org,
            self.settings.bucket(which),
            body,
            precision="ms",
            async_req=False,
            **headers,
        )

    def query(self, flux: str) -> bytes:
        """The CSV that a Flux query gives."""
        from urllib3.exceptions import HTTPError

        query = {"query": flux, "type": "flux", "dialect": _DIALECT}
        response = self._call(
            self._query.post_query, org=self.settings.org, query=query, _preload_content=False
        )
        try:
            found: bytes = response.read(decode_content=True)
        except HTTPError as error:
            raise Unavailable(f"{self.settings.url}: {error}") from error
        finally:
            response.release_conn()
        if b"\r\nerror,reference\r\n" in found[-4096:] or found.startswith(b"error,reference"):
            raise Unavailable(f"{self.settings.url}: {found[-500:].decode('utf-8', 'replace')}")
        return found

    def version(self) -> str:
        """What the server says it is, "" where it says nothing."""
        from urllib3.exceptions import HTTPError

        pool = self._client.api_client.rest_client.pool_manager
        timeout = self.settings.timeout_s
        try:
            answer = pool.request("GET", f"{self.settings.url.rstrip('/')}/ping", timeout=timeout)
        except HTTPError as error:
            raise Unavailable(f"{self.settings.url}: {error}") from error
        told: str = answer.headers.get("X-Influxdb-Version", "")
        return told

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """One request of the management API, its JSON."""
        return self._call(
            self._client.api_client.call_api,
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Content-Type": "application/json"},
            body=body,
            response_type="object",
            async_req=False,
            _return_http_data_only=True,
        )

    def _call(self, function: Any, *given: Any, **named: Any) -> Any:
        from influxdb_client.rest import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return function(*given, **named)
        except ApiException as error:
            raise self._said(error) from error
        except (HTTPError, OSError) as error:
            raise Unavailable(f"{self.settings.url}: {error}") from error

    def _said(self, error: Any) -> Exception:
        status, text = int(error.status or 0), _text(error)
        place = self.settings.url
        if status == 401:
            return Unavailable(f"{place} does not accept the token ({text})")
        if status == 413:
            return TooLarge(f"{place}: {text}")
        if status == 0 or status >= 500 or status in _AGAIN:
            return Unavailable(f"{place}: {status} {text}")
        return Rejected(text)

    def check(self) -> None:
        """That this is an InfluxDB 2 with our buckets, which the token opens.

        Raises
        ------
        ConfigError
            It is something else, or buckets are missing, or the token is wrong.
        Unavailable
            Nobody answers.
        """
        missing = sorted(self.settings.bucket(w) for w in _missing(self))
        if missing:
            raise ConfigError(
                f"{self.settings.url} has no bucket {', '.join(missing)} in organisation"
                f" {self.settings.org!r} that this token may see: run `kaikou init influxdb`,"
                " with a token that may create buckets"
            )

    def close(self) -> None:
        """Release the connections."""
        client: Any = self._client
        client.close()


def _missing(server: Server) -> set[str]:
    from twin.historian.influx.bucket import buckets, identify
    from twin.historian.influx.config import BUCKETS

    identify(server)
    there = set(buckets(server))
    return {which for which in BUCKETS if server.settings.bucket(which) not in there}


def _client(settings: "Influx") -> "InfluxDBClient":
    try:
        from influxdb_client.client.influxdb_client import InfluxDBClient
    except ModuleNotFoundError as error:
        text = f"the influxdb historian needs {error.name}: pip install 'kaikou[influxdb]'"
        raise ConfigError(text) from error
    return InfluxDBClient(
        settings.url.rstrip("/"),
        settings.token.get_secret_value(),
        org=settings.org,
        timeout=int(settings.timeout_s * 1000),
        ssl_ca_cert=None if settings.ca_file is None else str(settings.ca_file),
    )


def _text(error: Any) -> str:
    """What the server wrote, without its JSON."""
    body = error.body or getattr(error, "message", None) or error.reason or ""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    import json

    try:
        found = json.loads(body)
    except ValueError:
        return str(body).strip() or "no reason given"
    return str(found.get("message") or body) if isinstance(found, dict) else str(body)
