"""``kaikou init mosquitto``: what Mosquitto needs to serve a plant, made from plant.yaml.

One account for each process, with the topics that it may write and read, and the client id that
it may use: a broker ends the older of two connections with one id, so whoever may take any id can
keep an edge off the bus. Mosquitto binds ids to accounts in its dynamic security plug-in only.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.access import OBSERVER, client_ids, opcua_client_id, publish_filters
from plant.errors import ConfigError
from plant.file import make_folder, write_whole
from plant.model.plant import ANALYTICS, TWIN, Plant

ACCOUNTS = "accounts.txt"
ACCESS = "dynamic-security.json"
CONFIG = "mosquitto.conf"
ITERATIONS = 1000
"""Of PBKDF2; the passwords are random, so that nobody can try them all."""
_PLUGIN = "mosquitto_dynamic_security.so"
_PLACES = ("/usr/lib", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class Account:
    """One process at the broker.

    client_id  the only one that it may use; "" where it needs two and others' are all bound
    """

    does: str
    client_id: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def accounts(plant: Plant) -> Mapping[str, Account]:
    """The accounts of a plant by name."""
    group = plant.group
    publish = publish_filters(plant)
    only_id = {account: id for id, account in client_ids(plant).items()}
    all_data = ("spBv1.0/#", "kaikou/#")
    found = {
        edge: Account(
            f"kaikou run edge --edge {edge}",
            only_id[edge],
            publish[edge],
            (
                f"spBv1.0/{group}/NCMD/{edge}",
                f"spBv1.0/{group}/DCMD/{edge}/#",
                f"kaikou/ack/{group}/{edge}",
                "spBv1.0/STATE/#",
            ),
        )
        for edge in plant.edges
    }
    for edge in plant.edges.values():
        if edge.opcua is not None and edge.opcua.feed == "broker":
            found[f"opcua-{edge.id}"] = Account(
                f"kaikou run opcua --edge {edge.id}",
                opcua_client_id(group, edge.id),
                publish["opcua"],
                all_data,
            )
    found[TWIN] = Account("kaikou run twin", "", publish[TWIN], all_data)
    found[ANALYTICS] = Account(
        "kaikou run analytics", only_id[ANALYTICS], publish[ANALYTICS], all_data
    )
    found["gateway"] = Account(
        "kaikou run gateway", only_id["gateway"], publish["gateway"], all_data
    )
    found[OBSERVER] = Account("people who look on; it writes nothing", OBSERVER, (), all_data)
    return found


def init_mosquitto(plant: Plant, folder: Path) -> Iterator[str]:
    """Write the files into ``folder``; what was done, line by line.

    Passwords of accounts that are there already stay.

    Raises
    ------
    ConfigError
        The plant runs its own broker.
    """
    if plant.broker.embedded:
        raise ConfigError(
            "this plant runs its own broker (`broker: {embedded: true}`); name the host of your "
            "Mosquitto in plant.yaml first"
        )
    make_folder(folder)
    known = accounts(plant)
    kept = _read_passwords(folder / ACCOUNTS)
    passwords = {name: kept.get(name) or secrets.token_urlsafe(24) for name in known}
    write_whole(folder / ACCOUNTS, _told(known, passwords))
    new = len(known.keys() - kept.keys())
    yield f"{folder / ACCOUNTS}: {len(known)} accounts, {new} of them new; keep it to yourself"
    write_whole(folder / ACCESS, json.dumps(_access(known, passwords), indent=1) + "\n")
    yield f"{folder / ACCESS}: who may write, read and be called what"
    write_whole(folder / CONFIG, _config(plant, folder.resolve()))
    yield f"{folder / CONFIG}: start it with mosquitto -c {folder / CONFIG}"
    gone = sorted(kept.keys() - known.keys())
    if gone:
        yield f"no longer in this plant, and shut out: {', '.join(gone)}"
    yield f"as root: chown mosquitto {folder} {folder / ACCESS} {folder / CONFIG}"


_LINE = re.compile(r"^(\S+)\t(\S+)\t", re.MULTILINE)


def _read_passwords(file: Path) -> dict[str, str]:
    try:
        return dict(_LINE.findall(file.read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}; move it away for new ones") from error


def _told(known: Mapping[str, Account], passwords: Mapping[str, str]) -> str:
    head = (
        "# What each process is given as broker.username and broker.password of plant.yaml\n"
        "# (each on its box, by environment or file). account, password, process:\n"
    )
    lines = (f"{name}\t{passwords[name]}\t{account.does}\n" for name, account in known.items())
    return head + "".join(lines)


def _access(known: Mapping[str, Account], passwords: Mapping[str, str]) -> dict[str, Any]:
    """The file of the plug-in: roles by account, and nothing for anybody else."""
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": name,
                **({"clientid": account.client_id} if account.client_id else {}),
                **_hashed(passwords[name]),
                "roles": [{"rolename": name}],
            }
            for name, account in known.items()
        ],
        "groups": [],
        "roles": [
            {
                "rolename": name,
                "acls": [
                    *(_rule("publishClientSend", topic) for topic in account.publish),
                    *(_rule("subscribePattern", topic) for topic in account.subscribe),
                ],
            }
            for name, account in known.items()
        ],
    }


def _rule(kind: str, topic: str) -> dict[str, Any]:
    return {"acltype": kind, "topic": topic, "priority": 0, "allow": True}


def _hashed(password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(12)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, 64)
    return {
        "password": base64.b64encode(made).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def _config(plant: Plant, folder: Path) -> str:
    broker = plant.broker
    place = "" if broker.tls else " 127.0.0.1"
    lines = [
        f"# Mosquitto for {plant.group}: `kaikou init mosquitto` wrote it, and writes it anew.",
        f"listener {broker.port}{place}",
        *(_tls(folder) if broker.tls else _NO_TLS),
        "allow_anonymous false",
        f"plugin {_plugin()}",
        f"plugin_opt_config_file {folder / ACCESS}",
        "# A broker keeps nothing of Kaikou: what the twin has not acknowledged is sent again.",
        "persistence false",
        "max_queued_messages 10000",
        "max_packet_size 1048576",
        "max_keepalive 120",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    return "\n".join([*lines, ""])


_NO_TLS = ("# plant.yaml says no `tls: true`: only this machine may connect.",)


def _tls(folder: Path) -> list[str]:
    return [
        "# The certificate of this broker, by the authority that plant.yaml names as ca_file.",
        f"certfile {folder / 'server.crt'}",
        f"keyfile {folder / 'server.key'}",
        "tls_version tlsv1.2",
        "# Certificates of the processes as well (certificate_file and key_file in plant.yaml):",
        f"# cafile {folder / 'ca.crt'}",
        "# require_certificate true",
    ]


def _plugin() -> str:
    """Where the plug-in lies on this machine, or where Debian puts it."""
    for place in _PLACES:
        for pattern in (_PLUGIN, f"*/{_PLUGIN}"):
            for found in sorted(Path(place).glob(pattern)):
                return str(found)
    return f"/usr/lib/x86_64-linux-gnu/{_PLUGIN}"
