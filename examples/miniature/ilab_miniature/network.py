"""Which network interface gloo should use.

gloo asks the resolver for this host's own name and uses the interface of the address it gets. In a pod without DNS, or
in a sandbox that shares the host's network, that name resolves to nothing or to the wrong thing, and every rank waits
for the others on its own loopback. The interface that leads to the master is always right.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import MutableMapping
from pathlib import Path

_VARIABLE = "GLOO_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915


def choose_interface(environment: MutableMapping[str, str] = os.environ) -> str | None:
    """Set GLOO_SOCKET_IFNAME where it is needed; returns what was chosen, None if nothing was changed."""
    if environment.get(_VARIABLE):
        return None
    master = _address_of(environment.get("MASTER_ADDR", ""))
    if master is None:
        return None
    if master.is_loopback:
        name = loopback()
    else:
        if _own_name_is_usable():
            return None
        name = _interface_towards(master)
    if name is not None:
        environment[_VARIABLE] = name
    return name


def loopback() -> str | None:
    """The loopback interface's name: lo on Linux, lo0 on BSD and macOS."""
    names = {name for _, name in socket.if_nameindex()}
    return next((name for name in ("lo", "lo0") if name in names), None)


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not host:
        return None
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    return ipaddress.ip_address(str(found[0][4][0]).split("%")[0])


def _own_name_is_usable() -> bool:
    own = _address_of(socket.gethostname())
    return own is not None and not own.is_loopback and _interface_with(own) is not None


def _interface_towards(master: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    family = socket.AF_INET if master.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # A datagram socket's connect sends nothing; it only asks the routing table.
            probe.connect((str(master), 9))
        except OSError:
            return None
        return _interface_with(ipaddress.ip_address(probe.getsockname()[0].split("%")[0]))


def _interface_with(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """The name of the interface that has this address."""
    if address.version == 6:
        return _ipv6_interfaces().get(address.packed.hex())
    # Linux's own call; where it is missing, gloo is left to its default.
    try:
        from fcntl import ioctl
    except ImportError:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            if answer[20:24] == address.packed:
                return name
    return None


def _ipv6_interfaces() -> dict[str, str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return {}
    return {fields[0]: fields[5] for fields in (line.split() for line in lines)}
