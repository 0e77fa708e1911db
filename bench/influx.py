"""An InfluxDB 2 by plain HTTP, nothing of ours in between: what tests and benches compare with.

``KAIKOU_INFLUX_URL`` (with ``KAIKOU_INFLUX_TOKEN``, and ``KAIKOU_INFLUX_ORG`` where the token may
not make organisations) names a server. It may be somebody's plant, so only organisations and
buckets named ``kaikou-test-<random>`` are made there, and these are removed.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from plant.errors import Rejected, Unavailable

TEST_NAME = "kaikou-test-"
PAGE = 100


@dataclass(frozen=True, slots=True)
class Influx:
    """Where an InfluxDB 2 is, and what lets us in."""

    url: str
    token: str
    org: str

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """One request; a mapping goes as JSON.

        Raises
        ------
        Unavailable
            Nobody answers.
        Rejected
            The server says no, and why.
        """
        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        data: bytes | None
        if isinstance(body, Mapping):
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        else:
            data = body
        address = f"{self.url}{path}?{urlencode(query)}" if query else f"{self.url}{path}"
        return _answer(Request(address, data, headers, method=method))

    def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The same with the answer as an object."""
        found: dict[str, Any] = json.loads(self.call(method, path, body, query) or b"{}")
        return found

    def write(self, bucket: str, lines: str, precision: str = "ms") -> None:
        """Lines of the line protocol."""
        query = {"org": self.org, "bucket": bucket, "precision": precision}
        self.call("POST", "/api/v2/write", lines.encode(), query)

    def flux(self, text: str) -> str:
        """What a Flux query gives: CSV with a header, tables apart by an empty line."""
        body = {"query": text, "dialect": {"header": True}}
        return self.call("POST", "/api/v2/query", body, {"org": self.org}).decode()

    def org_id(self) -> str:
        """The id of the organisation."""
        return str(self.json("GET", "/api/v2/orgs", query={"org": self.org})["orgs"][0]["id"])

    def buckets(self, prefix: str = "") -> dict[str, str]:
        """Names and ids of the organisation's buckets whose names begin so, its own left out."""
        found: dict[str, str] = {}
        query = {"org": self.org, "limit": str(PAGE)}
        while True:
            rows = self.json("GET", "/api/v2/buckets", query=query)["buckets"]
            found |= {
                b["name"]: b["id"]
                for b in rows
                if b["type"] == "user" and b["name"].startswith(prefix)
            }
            if len(rows) < PAGE:
                return found
            query["after"] = rows[-1]["id"]

    def create_bucket(self, name: str) -> str:
        """A bucket that keeps everything; its id."""
        body = {"orgID": self.org_id(), "name": name, "retentionRules": []}
        return str(self.json("POST", "/api/v2/buckets", body)["id"])

    def remove_buckets(self, prefix: str = "") -> None:
        """Remove a test's buckets.

        Raises
        ------
        ValueError
            Neither the prefix nor the organisation is a test's, so they are not ours.
        """
        if not (prefix.startswith(TEST_NAME) or self.org.startswith(TEST_NAME)):
            raise ValueError(f"{self.org}/{prefix}* does not begin with {TEST_NAME}")
        for bucket in self.buckets(prefix).values():
            self.call("DELETE", f"/api/v2/buckets/{bucket}")


def _answer(request: Request) -> bytes:
    near = urlsplit(request.full_url).hostname in {"127.0.0.1", "::1", "localhost"}
    opener = build_opener(*[ProxyHandler({})] * near)
    try:
        with opener.open(request, timeout=60) as response:
            found: bytes = response.read()
            return found
    except HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace").strip()
        where = f"{request.get_method()} {request.full_url}"
        raise Rejected(f"{where}: {error.code} {text}") from None
    except (URLError, ConnectionError, TimeoutError) as error:
        raise Unavailable(f"{request.full_url}: {error}") from error


def named_influx(env: Mapping[str, str] = os.environ) -> Influx | None:
    """The server that the environment names, if it does.

    >>> named_influx({"KAIKOU_INFLUX_URL": "http://box:8086/", "KAIKOU_INFLUX_TOKEN": "t"})
    Influx(url='http://box:8086', token='t', org='')
    """
    url = env.get("KAIKOU_INFLUX_URL", "").rstrip("/")
    if not url:
        return None
    return Influx(url, env.get("KAIKOU_INFLUX_TOKEN", ""), env.get("KAIKOU_INFLUX_ORG", ""))


def fresh_name() -> str:
    """A name that nobody has and that says whose it is."""
    return f"{TEST_NAME}{secrets.token_hex(5)}"


@contextlib.contextmanager
def fresh_org(server: Influx) -> Iterator[Influx]:
    """A new organisation of a test, removed with its buckets."""
    made = server.json("POST", "/api/v2/orgs", {"name": fresh_name()})
    ours = replace(server, org=made["name"])
    try:
        yield ours
    finally:
        ours.remove_buckets()
        server.call("DELETE", f"/api/v2/orgs/{made['id']}")


@contextlib.contextmanager
def fresh_prefix(server: Influx) -> Iterator[str]:
    """A prefix for names of buckets; those named so are removed."""
    prefix = fresh_name()
    try:
        yield prefix
    finally:
        server.remove_buckets(prefix)
