"""Internet addresses: names looked up within a deadline, and which addresses belong to nobody outside."""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

# IANA's registries of special-purpose addresses (https://www.iana.org/assignments/iana-ipv4-special-registry) and
# multicast. `ipaddress.is_global` is not asked: it takes translated (NAT64, 6to4) and multicast addresses for global,
# and answers by the version of Python.
_SPECIAL = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
]
# Whatever lies outside of it (loopback, IPv4 in IPv6, NAT64, site-local, multicast, …) is special.
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_CONNECT_S = 5.0


@dataclass(frozen=True)
class Address:
    """Where a host can be connected to: what `socket.getaddrinfo` returns for it."""

    family: socket.AddressFamily
    place: Any

    @property
    def text(self) -> str:
        """The address itself, without port and zone."""
        return str(self.place[0]).split("%")[0]

    @property
    def is_public(self) -> bool:
        """Whether it belongs to somebody on the Internet: no special one, and none that another is hidden in."""
        address = ipaddress.ip_address(self.text)
        if address.version == 6 and address not in _GLOBAL_IPV6:
            return False
        return not any(address in network for network in _SPECIAL if network.version == address.version)


def looked_up(host: str, port: int, until: float) -> list[Address]:
    """Every address of a host, by the resolver of this machine. Raises OSError; TimeoutError where it does not answer
    until then.
    """
    answers: SimpleQueue[list[Address] | OSError] = SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([Address(family, place) for family, _, _, _, place in entries])
        except (OSError, ValueError) as error:  # ValueError: a name that is none
            answers.put(OSError(f"the name {host} cannot be looked up: {error}"))

    # The resolver knows no deadline: whoever waits for it longer than ours is left behind.
    Thread(target=look_up, name="look up", daemon=True).start()
    try:
        answer = answers.get(timeout=left(until))
    except Empty:
        raise TimeoutError(f"the name {host} was not looked up in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def connected(addresses: list[Address], until: float) -> socket.socket:
    """A connection to the first of these addresses that answers. Raises OSError."""
    error: OSError = OSError("it has no address")
    for address in addresses:
        connection = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            connection.settimeout(min(_CONNECT_S, left(until)))
            connection.connect(address.place)
        except OSError as failed:
            connection.close()
            late = isinstance(failed, TimeoutError)
            error = TimeoutError(f"no connection within {_CONNECT_S:.0f} s") if late else failed
        else:
            return connection
    raise error


def left(until: float) -> float:
    """The seconds until a time of the monotonic clock. Raises TimeoutError where it is over."""
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("no answer in time")
    return remaining
