"""Where people look: REST, live stream, dashboard, people and rights."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("kaikou")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0"
