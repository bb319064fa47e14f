"""The connections of the web server: those on which a request comes too slowly, or not at all, make room for others."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

# A request's headers come in one packet as a rule; a body may pause where a line is slow, and has five minutes in all
# (32 MB at 0.9 Mbit/s). An answer that nobody reads for so long as a body may pause is given up, too.
HEADERS_S, PAUSE_S, BODY_S = 10.0, 30.0, 300.0
MOST_CONNECTIONS = 500
# So much of the connections, of one client and of all, may have a request in work: health is asked on the others.
BUSY_SHARE = 0.8
_HEALTH = ("/healthz", "/readyz")
_Base: Any = AutoHTTPProtocol


def protocol(per_client: int, trusted_proxies: Sequence[str]) -> type[asyncio.Protocol]:
    """The class of a server's connections. per_client: how many one address may hold; trusted_proxies: addresses that
    hold those of many.
    """

    class Protocol(_Base):  # type: ignore[misc]
        """One connection, which is given up when its client takes too long to send a request."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            """A client has connected: where there are too many, the one that has waited longest for a request goes."""
            self.given_up: asyncio.TimerHandle | None = None
            self.unread: asyncio.TimerHandle | None = None
            self.body_until = 0.0
            super().connection_made(transport)
            self.address = client_of(self.client[0] if self.client else "")
            self.give_up_in(HEADERS_S)
            # In the order in which they came: `connections` itself is a set.
            self.opened_at = self.loop.time()
            if self.address and not is_trusted(self.address, trusted_proxies):
                _make_room(
                    [connection for connection in self.connections if connection.address == self.address], per_client
                )
            _make_room(list(self.connections), MOST_CONNECTIONS)

        def connection_lost(self, exc: Exception | None) -> None:
            """It has ended."""
            self.keep()
            self.resume_writing()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Some bytes of a request: its headers have one time limit, which no byte extends; so has its body, which
            may not pause for long either.
            """
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self.body_until = self.loop.time() + BODY_S
            if self.is_receiving_headers and self.cycle is before:
                if self.given_up is None:
                    self.give_up_in(HEADERS_S)
            elif self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete:
                self.give_up_in(min(PAUSE_S, self.body_until - self.loop.time()))
            else:
                self.keep()

        def pause_writing(self) -> None:
            """The client does not read the answer."""
            super().pause_writing()
            self.unread = self.loop.call_later(PAUSE_S, self.transport.abort)

        def resume_writing(self) -> None:
            """It reads on, or is gone."""
            if self.unread is not None:
                self.unread.cancel()
                self.unread = None
            super().resume_writing()

        @property
        def is_receiving_headers(self) -> bool:
            """Whether no request is in work on it."""
            return self.cycle is None or self.cycle.response_complete

        def give_up_in(self, seconds: float) -> None:
            """Close it after that, unless something happens before."""
            self.keep()
            self.given_up = self.loop.call_later(seconds, self.give_up)

        def keep(self) -> None:
            """Close it no more."""
            if self.given_up is not None:
                self.given_up.cancel()
                self.given_up = None

        def give_up(self) -> None:
            """Close it; where the service itself reads no further for now, the client is not to blame."""
            self.given_up = None
            if self.flow is not None and self.flow.read_paused:
                self.give_up_in(PAUSE_S)
            elif not self.transport.is_closing():
                self.transport.abort()

    return Protocol


def _make_room(connections: list[Any], most: int) -> None:
    """Close what is too much: those on which no request is in work, the oldest first; the newest where all are."""
    too_many = len(connections) - most
    if too_many > 0:
        connections.sort(key=lambda connection: connection.opened_at)
        idle = [connection for connection in connections[:-1] if connection.is_receiving_headers]
        for connection in [*idle, connections[-1]][:too_many]:
            connection.connections.discard(connection)
            connection.transport.abort()


def client_of(address: str) -> str:
    """Whom an address belongs to: of IPv6, a whole /64 network belongs to one client."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(ipaddress.ip_network((parsed, 64), strict=False))


def is_trusted(client: str, trusted_proxies: Iterable[str]) -> bool:
    """Whether a client (as `client_of` names it) is a reverse proxy of ours, through which many others come."""
    for proxy in trusted_proxies:
        if proxy == "*" or client_of(proxy) == client:
            return True
        try:
            if ipaddress.ip_network(client).subnet_of(ipaddress.ip_network(proxy, strict=False)):  # type: ignore[arg-type]
                return True
        except (ValueError, TypeError):  # a name, or the other version
            continue
    return False


class Limits:
    """Around the application: so many requests in work at once, of one client and of all. Health is answered beside
    them.
    """

    def __init__(self, app: ASGIApp, root_path: str, per_client: int) -> None:
        """per_client: how many connections one address may hold."""
        self._app, self._root_path = app, root_path
        self._busy_per_client, self._busy_in_all = int(BUSY_SHARE * per_client), int(BUSY_SHARE * MOST_CONNECTIONS)
        self._in_work: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP or scope["path"].removeprefix(self._root_path) in _HEALTH:
            await self._app(scope, receive, send)
            return
        address = scope["client"]
        client = client_of(address[0]) if address else ""
        if self._in_work.get(client, 0) >= self._busy_per_client or sum(self._in_work.values()) >= self._busy_in_all:
            await _busy(send)
            return
        self._in_work[client] = self._in_work.get(client, 0) + 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_work[client] -= 1
            if not self._in_work[client]:
                del self._in_work[client]


async def _busy(send: Callable[[Any], Awaitable[None]]) -> None:
    headers = [(b"content-type", b"text/plain"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"too many requests are in work", "more_body": False})
