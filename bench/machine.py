"""The machine a figure was measured on: it goes beside every figure that is told."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.influxd.build import present

LIBRARIES = (
    "numpy", "pydantic", "protobuf", "paho-mqtt", "apsw", "orjson", "pymodbus", "asyncua",
    "amqtt", "duckdb", "influxdb-client", "fastapi", "uvicorn", "websockets",
)  # fmt: skip


def machine() -> dict[str, object]:
    """Processor, cores, memory in MiB, kernel, Python, versions of what carries the load."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "mosquitto": _mosquitto(),
        "influxd": _influxd(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _mosquitto() -> str | None:
    path = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        return None
    said = subprocess.run([path, "-h"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].removeprefix("mosquitto version ").strip() or None


def _influxd() -> str | None:
    """Of the server that tests and benches start, where there is one."""
    path = present()
    if path is None:
        return None
    said = subprocess.run([path, "version"], capture_output=True, text=True, check=False)
    return said.stdout.removeprefix("InfluxDB v").partition(" ")[0].strip() or None
