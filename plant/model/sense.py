"""The second pass over plant.yaml: do its parts fit each other, and is it safe to run."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel

from plant.errors import Problem
from plant.model.host import is_loopback
from plant.model.locate import Document, Where
from plant.model.plant import PUBLISHERS
from plant.model.shape import BrokerShape, PlantShape
from plant.model.validate import did_you_mean

_ADDRESS = {"url", "host", "port", "org", "bucket", "folder"}
"""What tells one store from another of the same kind."""


def check_site(shape: PlantShape, document: Document) -> Iterator[Problem]:
    """The time zone, and everything that may listen or talk beyond loopback."""
    zone = shape.site.timezone
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        hint = did_you_mean(zone, sorted(available_timezones()))
        if "beijing" in zone.lower():
            hint = "; China's is 'Asia/Shanghai'"
        yield document.problem(("site", "timezone"), f"no time zone {zone!r}{hint}")
    yield from _check_broker(shape, document)
    gateway = shape.gateway
    if not is_loopback(gateway.host) and not (gateway.tls_cert and gateway.tls_key):
        text = "beyond loopback only over HTTPS: give tls_cert and tls_key"
        yield document.problem(("gateway", "host"), text)
    for id, edge in shape.edges.items():
        if edge.opcua is not None and not edge.opcua.users:
            where: Where = ("edges", id, "opcua")
            yield document.problem(where, "has no users; nobody could log in, nobody is anonymous")
        for at, asset in enumerate(edge.opcua.assets if edge.opcua else ()):
            if asset not in shape.assets:
                hint = did_you_mean(asset, list(shape.assets))
                where = ("edges", id, "opcua", "assets", at)
                yield document.problem(where, f"no asset {asset!r}{hint}")
    yield from _check_ports(shape, document)


def _check_broker(shape: PlantShape, document: Document) -> Iterator[Problem]:
    broker = shape.broker
    local = is_loopback(broker.host)
    certified = broker.certificate_file is not None
    if broker.embedded and not local:
        text = f"the embedded broker stays on loopback; {broker.host!r} needs a real broker"
        yield document.problem(("broker", "host"), text)
    elif not local and not broker.username and not certified:
        text = (
            "beyond loopback nobody is anonymous: give username and password, or "
            "certificate_file and key_file"
        )
        yield document.problem(("broker", "host"), text)
    elif not local and not broker.tls:
        text = (
            "beyond loopback a password goes over TLS only: give 'tls: true', and ca_file where "
            "the broker's certificate is none of a public authority"
        )
        yield document.problem(("broker", "host"), text)
    yield from _check_broker_keys(broker, document)


def _check_broker_keys(broker: BrokerShape, document: Document) -> Iterator[Problem]:
    """What belongs together is given together."""
    if broker.username and not broker.embedded and broker.password is None:
        yield document.problem(("broker", "username"), "has a username but no password")
    if broker.password is not None and not broker.username:
        yield document.problem(("broker", "password"), "has a password but no username")
    for key in ("ca_file", "certificate_file", "key_file", "key_password"):
        if getattr(broker, key) is not None and not broker.tls:
            yield document.problem(("broker", key), "is not used without 'tls: true'")
    for key, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if getattr(broker, key) is not None and getattr(broker, other) is None:
            yield document.problem(("broker", key), f"{key} and {other} belong together")
    if broker.key_password is not None and broker.key_file is None:
        yield document.problem(("broker", "key_password"), "is not used without a key_file")


def _check_ports(shape: PlantShape, document: Document) -> Iterator[Problem]:
    taken: dict[int, str] = {}
    listening: list[tuple[Where, int]] = [(("gateway", "port"), shape.gateway.port)]
    if shape.broker.embedded:
        listening.append((("broker", "port"), shape.broker.port))
    for id, edge in shape.edges.items():
        if edge.opcua is not None:
            listening.append((("edges", id, "opcua", "port"), edge.opcua.port))
    for where, port in listening:
        owner = ".".join(str(w) for w in where)
        if port in taken:
            yield document.problem(where, f"port {port} is already that of {taken[port]}")
        taken.setdefault(port, owner)


def check_lines(shape: PlantShape, document: Document, assets: set[str]) -> Iterator[Problem]:
    """Flows name assets once each, with buffers between them; the constraint is among them."""
    placed: dict[str, str] = {}
    for id, line in shape.lines.items():
        where: Where = ("lines", id, "flow")
        stations = [s for s in line.flow if isinstance(s, str)]
        for i, item in enumerate(line.flow):
            here = (*where, i)
            if isinstance(item, int):
                if i in {0, len(line.flow) - 1} or isinstance(line.flow[i - 1], int):
                    yield document.problem(here, "a buffer stands between two assets")
            elif item not in assets:
                hint = did_you_mean(item, sorted(assets))
                yield document.problem(here, f"no asset {item!r}{hint}")
            elif item in placed:
                text = f"{item!r} already stands in the flow of {placed[item]!r}"
                yield document.problem(here, text)
            else:
                placed[item] = id
        if line.constraint is not None and line.constraint not in stations:
            hint = did_you_mean(line.constraint, stations)
            text = f"{line.constraint!r} is not in the flow{hint}"
            yield document.problem(("lines", id, "constraint"), text)
    for name, asset in shape.assets.items():
        if asset.line is not None and placed.get(name, asset.line) != asset.line:
            text = f"stands in the flow of {placed[name]!r}, not of {asset.line!r}"
            yield document.problem(("assets", name, "line"), text)


def check_names(shape: PlantShape, document: Document) -> Iterator[Problem]:
    """Ids share one space (Sparkplug nodes and devices, OPC UA folders): none twice."""
    owners: dict[str, str] = {}
    for room, ids in (("edges", shape.edges), ("lines", shape.lines), ("assets", shape.assets)):
        for id in ids:
            lower = id.lower()
            if lower in owners:
                text = f"the id is already that of {owners[lower]}"
                yield document.problem((room, id), text, key=True)
            elif lower in PUBLISHERS:
                yield document.problem((room, id), "the id is Kaikou's own", key=True)
            owners.setdefault(lower, f"{room}.{id}")
    for name, asset in shape.assets.items():
        signals: dict[str, str] = {}
        for id in asset.signals:
            other = signals.setdefault(id.lower(), id)
            if other != id:
                where: Where = ("assets", name, "signals", id)
                text = f"the id is already that of {other} but for its case"
                yield document.problem(where, text, key=True)


def check_products(shape: PlantShape, document: Document, assets: set[str]) -> Iterator[Problem]:
    """Every asset that a product names exists."""
    for id, product in shape.products.items():
        for asset in product.cycle_s:
            if asset not in assets:
                hint = did_you_mean(asset, sorted(assets))
                where: Where = ("products", id, "cycle_s", asset)
                yield document.problem(where, f"no asset {asset!r}{hint}", key=True)


def check_copy(
    first: BaseModel | None, second: BaseModel | None, document: Document
) -> Iterator[Problem]:
    """The copy is another store than the historian it is filled from."""
    if first is None or second is None or type(first) is not type(second):
        return
    one, other = first.model_dump(), second.model_dump()
    if all(one[key] == other[key] for key in _ADDRESS & one.keys()):
        yield document.problem(("copy",), "is the same store as the historian", key=True)
