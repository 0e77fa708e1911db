"""``kaikou init systemd``: one hardened unit for each room of a plant, without root.

Every room runs as the user ``kaikou``, sees the system read-only, writes its data folder and
nothing else, and is started again when it ends. A plant that is wrong (exit code 2) is not tried
again until somebody mends it.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.need import User, users_of
from deploy.room import ROOMS
from plant.file import write_whole
from plant.model.plant import Plant

TARGET = "kaikou.target"
ACCOUNT = "kaikou"
MEMORY_MB = {
    "broker": 400,
    "simulators": 800,
    "edge": 600,
    "opcua": 600,
    "twin": 3000,
    "analytics": 3000,
    "gateway": 2000,
}
"""The most that a room may take before the kernel ends it; it is slowed from four fifths on."""
_RELOADS = {"opcua", "gateway"}
"""Rooms that read their certificates again on SIGHUP."""
_LOWEST_FREE_PORT = 1024

_HARDENED = """\
User=kaikou
Group=kaikou
UMask=0077
StateDirectory=kaikou
StateDirectoryMode=0700
ConfigurationDirectory=kaikou
WorkingDirectory=%S/kaikou
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
ProtectProc=invisible
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
PrivateTmp=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
LimitCORE=0
LimitNOFILE=8192
TasksMax=256
"""


def init_systemd(plant: Plant, file: Path, folder: Path) -> Iterator[str]:
    """Write the units into ``folder``; what was done, line by line."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    units = made(plant, file.resolve())
    for name, text in units.items():
        write_whole(folder / name, text, 0o644)
    yield f"{folder}: {len(units)} files"
    yield f"as root: install -m 644 {folder}/*.service {folder}/{TARGET} /etc/systemd/system/"
    yield f"as root: install -m 644 {folder}/kaikou.conf /usr/lib/sysusers.d/ && systemd-sysusers"
    yield "secrets: /etc/kaikou/ROOM.env, lines NAME=value, mode 0600; kaikou check says which"
    yield f"as root: systemctl daemon-reload && systemctl enable --now {TARGET}"


def made(plant: Plant, file: Path) -> Mapping[str, str]:
    """File name -> content, for every room that the plant may run."""
    users = users_of(plant)
    units = {_name(user): _unit(plant, user, file) for user in users}
    wants = "".join(f"Wants={name}\n" for name in units)
    units[TARGET] = (
        f"[Unit]\nDescription=Kaikou, plant {plant.group}\n{wants}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    units["kaikou.conf"] = 'u kaikou - "Kaikou" /var/lib/kaikou\nm kaikou dialout\n'
    return units


def _name(user: User) -> str:
    return "-".join(filter(None, ("kaikou", user.room, user.edge))) + ".service"


def _unit(plant: Plant, user: User, file: Path) -> str:
    which = f" --edge {user.edge}" if user.edge else ""
    memory = MEMORY_MB[user.room]
    reload = "ExecReload=/bin/kill -HUP $MAINPID\n" if user.room in _RELOADS else ""
    return (
        "[Unit]\n"
        f"Description=Kaikou: {ROOMS[user.room].does}{f' ({user.edge})' if user.edge else ''}\n"
        "After=network-online.target time-sync.target\n"
        "Wants=network-online.target\n"
        f"PartOf={TARGET}\n\n"
        "[Service]\n"
        "Type=exec\n"
        f"ExecStart={sys.executable} -P -m deploy run {user.room} {file} --data %S/kaikou{which}\n"
        f"{reload}"
        f"EnvironmentFile=-/etc/kaikou/{user.room}.env\n"
        f"EnvironmentFile=-/etc/kaikou/{_name(user).removesuffix('.service')}.env\n"
        "Environment=PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2\n"
        "Restart=always\n"
        "RestartSec=3\n"
        "RestartPreventExitStatus=2\n"
        "TimeoutStopSec=30\n"
        f"MemoryHigh={memory * 4 // 5}M\n"
        f"MemoryMax={memory}M\n"
        f"{_HARDENED.format(home=_home(file))}"
        f"{_devices(user.room)}"
        f"{_capabilities(plant, user)}"
        f"\n[Install]\nWantedBy={TARGET}\n"
    )


def _home(file: Path) -> str:
    """Hidden, unless this installation or the plant.yaml lies in one."""
    homes = ("/home/", "/root/")
    return "read-only" if any(str(f).startswith(homes) for f in (sys.executable, file)) else "yes"


def _devices(room: str) -> str:
    """An edge reads serial lines, and how well the kernel's clock is disciplined."""
    if room != "edge":
        return "PrivateDevices=yes\nProtectClock=yes\nSystemCallFilter=@system-service\n"
    return (
        "DevicePolicy=closed\nDeviceAllow=char-ttyS rw\nDeviceAllow=char-ttyUSB rw\n"
        "DeviceAllow=char-ttyACM rw\nSupplementaryGroups=dialout\n"
        "SystemCallFilter=@system-service adjtimex clock_adjtime\n"
    )


def _capabilities(plant: Plant, user: User) -> str:
    """None, but for a port that only root may take otherwise."""
    edge = plant.edges.get(user.edge)
    server = edge.opcua if edge is not None and user.room == "opcua" else None
    port = {"gateway": plant.gateway.port, "broker": plant.broker.port}.get(user.room)
    port = server.port if server is not None else port
    if port is not None and 0 < port < _LOWEST_FREE_PORT:
        needed = "CAP_NET_BIND_SERVICE"
        return f"CapabilityBoundingSet={needed}\nAmbientCapabilities={needed}\n"
    return "CapabilityBoundingSet=\nAmbientCapabilities=\n"
