"""Which server this is, and the six buckets: made once, then only checked."""

from typing import TYPE_CHECKING, Any

from plant.errors import ConfigError, Rejected, Unavailable
from twin.historian.influx.config import BUCKETS

if TYPE_CHECKING:
    from twin.historian.influx.server import Server

_PAGE = 100


def identify(server: "Server") -> str:
    """The version of an InfluxDB 2 that lets us in.

    Raises
    ------
    ConfigError
        It is another version, something else, or the token or the organisation is wrong.
    Unavailable
        Nobody answers.
    """
    url, org = server.settings.url, server.settings.org
    version = server.version()
    version = version.removeprefix("v")
    if version.split(".")[0] == "3":
        raise ConfigError(
            f"{url} is InfluxDB 3 ({version}), which has no Flux and does not keep the order of"
            " corrections: Kaikou writes to InfluxDB 2"
        )
    if not version.startswith("2."):
        raise ConfigError(f"{url} is no InfluxDB 2 (it calls itself {version or 'nothing'})")
    try:
        found = server.call("GET", "/api/v2/orgs", query={"org": org})
    except Unavailable as error:
        if "does not accept the token" in str(error):
            raise ConfigError(str(error)) from error
        if " 404 " in str(error):
            raise ConfigError(f"{url} has no organisation {org!r} for this token") from error
        raise
    except Rejected as error:
        raise ConfigError(f"{url}: organisation {org!r}: {error}") from error
    if not found.get("orgs"):
        raise ConfigError(f"{url} has no organisation {org!r} for this token")
    return version


def org_id(server: "Server") -> str:
    """The organisation's id."""
    found = server.call("GET", "/api/v2/orgs", query={"org": server.settings.org})
    return str(found["orgs"][0]["id"])


def buckets(server: "Server") -> dict[str, Any]:
    """Our buckets as the server describes them, by name."""
    found: dict[str, Any] = {}
    query = {"org": server.settings.org, "limit": str(_PAGE)}
    while True:
        page = server.call("GET", "/api/v2/buckets", query=query)["buckets"]
        prefix = server.settings.prefix
        found |= {b["name"]: b for b in page if b["name"].startswith(f"{prefix}_")}
        if len(page) < _PAGE:
            return found
        query["after"] = page[-1]["id"]


def prepare(server: "Server") -> list[str]:
    """Make the buckets that are missing and set how long they keep; what was done, for people.

    Raises
    ------
    ConfigError
        The token may not, or a bucket keeps less than it should.
    """
    identify(server)
    org, there, said = org_id(server), buckets(server), []
    for which in BUCKETS:
        name = server.settings.bucket(which)
        rules = _rules(server, which)
        try:
            said.append(_one(server, org, name, there.get(name), rules))
        except (Rejected, Unavailable) as error:
            raise ConfigError(f"{name}: {error}; the token must be one that may do that") from error
    return said


def _rules(server: "Server", which: str) -> list[dict[str, object]]:
    days = server.settings.keeps_days(which)
    if days is None:
        return []
    return [{"type": "expire", "everySeconds": max(3600, int(days * 86_400))}]


def _one(server: "Server", org: str, name: str, there: Any, rules: list[dict[str, object]]) -> str:
    keeps = "for ever"
    if rules:
        keeps = f"for {int(str(rules[0]['everySeconds'])) / 86_400:g} days"
    if there is None:
        body = {"orgID": org, "name": name, "retentionRules": rules}
        server.call("POST", "/api/v2/buckets", body)
        return f"{name}: made, keeps {keeps}"
    has = _seconds(there["retentionRules"])
    wants = _seconds(rules)
    if has == wants:
        return f"{name}: there, keeps {keeps}"
    if wants and (not has or has > wants):
        return (
            f"{name}: there, keeps longer than asked for; change it by hand if that is meant"
            " (what it holds beyond would be deleted)"
        )
    server.call("PATCH", f"/api/v2/buckets/{there['id']}", {"retentionRules": rules})
    return f"{name}: there, keeps {keeps} now"


def _seconds(rules: Any) -> int:
    """0: for ever."""
    return max((int(r.get("everySeconds", 0)) for r in rules or []), default=0)
