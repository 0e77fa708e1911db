"""asyncua's ``ua``, whose types promise more than its code keeps (NewTypes that nobody builds)."""
# ruff: noqa: TID253 - only the server's process imports this

from typing import Any

from asyncua import ua as _ua

ua: Any = _ua
"""Node ids, status codes, variants and requests of OPC UA."""
