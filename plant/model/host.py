"""Names of hosts as plant.yaml gives them: what no resolver can ever look up is refused at once.

A name with an empty label or one of over 63 bytes is refused by the IDNA codec with a
``UnicodeError``, deep inside ``getaddrinfo`` and at run time; here it is told with its line.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from pydantic import AfterValidator

_STRANGE = set(" \t/\\@?#\"'<>[]{}|^`%,;")
_OF_IPV4 = set("0123456789.")


def host_problem(host: str) -> str:
    """What is wrong with the name or address of a host; "" where a resolver may look it up.

    >>> host_problem("meter..local"), host_problem("192.168.0.7"), host_problem("fe80::1")
    ("'meter..local' has an empty part between its dots", '', '')
    >>> host_problem("x" * 64 + ".local")[-35:]
    'parts of a name have 63 at the most'
    """
    if ":" in host:
        return _address_problem(host)
    if host and set(host) <= _OF_IPV4:
        return _number_problem(host)
    strange = sorted(c for c in set(host) if c in _STRANGE or not c.isprintable())
    labels = host.removesuffix(".").split(".")
    longest = max(labels, key=_size)
    problem = ""
    if not host:
        problem = "the host is empty"
    elif strange:
        problem = f"{host!r} holds {strange[0]!r}; give a name or address, without scheme or path"
    elif "" in labels:
        problem = f"{host!r} has an empty part between its dots"
    elif _size(longest) > 63:
        problem = f"{longest!r} has {_size(longest)} letters; parts of a name have 63 at the most"
    elif sum(map(_size, labels)) + len(labels) > 254:
        problem = "a host's name has 253 letters at the most"
    else:
        try:
            host.encode("idna")
        except UnicodeError as error:
            problem = f"{host!r} is no name of a host ({error})"
    return problem


def is_loopback(host: str) -> bool:
    """Whether a host can only ever be this machine.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.9", "::1", "127.0.0.1.plant.example")]
    [True, True, True, False]
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address_problem(host: str) -> str:
    if "://" in host:
        return f"{host!r} is a whole address; give the name alone, without scheme or path"
    try:
        IPv6Address(host)
    except ValueError:
        return f"{host!r} is no IPv6 address; a port stands under 'port'"
    return ""


def _number_problem(host: str) -> str:
    """Of digits and dots: resolvers take 192.168.1 for 192.168.0.1, and 010 for 8."""
    try:
        IPv4Address(host)
    except ValueError:
        return f"{host!r} is no IPv4 address: four numbers from 0 to 255, without leading zeros"
    return ""


def _size(label: str) -> int:
    """Bytes of a label on the wire."""
    try:
        return len(label.encode("idna")) if label else 0
    except UnicodeError:
        return len(label.encode("utf-8", "surrogatepass"))


def _known(host: str) -> str:
    problem = host_problem(host)
    if problem:
        raise ValueError(problem)
    return host


Host = Annotated[str, AfterValidator(_known)]
"""A field of a configuration that names a host."""
