"""Clients that hold connections open do not disturb other clients."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import requests

from monitor.web import connections
from tests.conftest import Project
from tests.processes import wait_until
from tests.web import From, Served, served

HALF = b"GET / HTTP/1.1\r\nhost: localhost\r\nx-a: "
NO_BODY = (
    b"POST /api/v1/silences HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length:"
    b" 1000\r\n\r\n"
)


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with served(history, requests_per_minute=100_000) as service:
        yield service
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(site: Served, sends: bytes, source: str = "127.0.0.1") -> socket.socket:
    port = urlsplit(site.url).port
    held = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    held.sendall(sends)
    return held


@contextmanager
def holding(site: Served, number: int, sends: bytes, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Connections of one client, on each of which a request has begun."""
    held = [connect(site, sends, source) for _ in range(number)]
    try:
        yield held
    finally:
        for connection in held:
            connection.close()


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither answered nor closed."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(65536, socket.MSG_PEEK) is None)
    except BlockingIOError:
        return True
    except OSError:
        return False


def statuses(site: Served, source: str = "127.0.0.1") -> list[int]:
    """The status codes that a client receives now, each on a new connection."""
    with requests.Session() as client:
        client.mount("http://", From(source))
        return [
            client.get(site.url + path, timeout=10, headers={"connection": "close"}).status_code
            for path in ("/healthz", "/readyz", "/alerts", "/api/v1/monitors")
        ]


def test_half_sent_requests_of_one_client_hold_up_nobody_itself_included(site: Served) -> None:
    with holding(site, 520, HALF) as held:
        assert statuses(site) == [200] * 4
        assert statuses(site, "127.0.0.2") == [200] * 4
        wait_until(lambda: sum(map(is_open, held)) <= 100, 10)


def test_requests_without_their_body_hold_up_their_client_alone_and_never_health(site: Served) -> None:
    with holding(site, 80, NO_BODY, "127.0.0.3"):
        wait_until(lambda: statuses(site, "127.0.0.3") == [200, 200, 503, 503], 10)
        assert statuses(site, "127.0.0.2") == [200] * 4
    wait_until(lambda: statuses(site, "127.0.0.3") == [200] * 4, 10)


def test_headers_have_one_time_limit_that_no_byte_extends(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.5)
    again = connect(site, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert again.recv(65536).startswith(b"HTTP/1.1 200")
    for dripping in (connect(site, b""), connect(site, HALF), again):
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() < started + 10:
                dripping.sendall(HALF[:1] if dripping is again else b"x")
                time.sleep(0.05)
        assert time.monotonic() - started < 3
        dripping.close()


def test_a_body_may_be_slow_and_may_neither_pause_nor_last_for_long(
    site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PAUSE_S", 0.5)
    body = b'{"matchers": ["model=\\"none\\""], "duration": "1h"}'
    head = NO_BODY.replace(b"1000", str(len(body)).encode())
    slow = connect(site, head)
    for at in range(0, len(body), 5):
        slow.sendall(body[at : at + 5])
        time.sleep(0.1)
    assert slow.recv(65536).startswith(b"HTTP/1.1 201")
    paused = connect(site, head + body[:5])
    wait_until(lambda: not is_open(paused), 5)
    monkeypatch.setattr(connections, "BODY_S", 1.0)
    started, dripping = time.monotonic(), connect(site, NO_BODY)
    with suppress(OSError):
        while time.monotonic() < started + 10:
            dripping.sendall(b" ")
            time.sleep(0.1)
    assert time.monotonic() - started < 4


def test_an_answer_that_nobody_reads_is_given_up(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PAUSE_S", 0.5)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", urlsplit(site.url).port))
    deaf.sendall(b"GET /static/plotly/plotly.min.js HTTP/1.1\r\nhost: localhost\r\n\r\n")
    time.sleep(2)
    taken = 0
    deaf.settimeout(5)
    with suppress(OSError):
        while data := deaf.recv(65536):
            taken += len(data)
    whole = len(
        requests.get(f"{site.url}/static/plotly/plotly.min.js", headers={"accept-encoding": ""}, timeout=60).content
    )
    assert 0 < taken < whole


def test_a_trusted_proxys_connections_are_not_counted_against_it(history: Project) -> None:
    for proxies, open_ones in (([], 5), (["127.0.0.1"], 20)):
        with (
            served(history, connections_per_client=5, trusted_proxies=proxies) as site,
            holding(site, 20, HALF) as held,
        ):
            wait_until(lambda held=held, open_ones=open_ones: sum(map(is_open, held)) == open_ones, 5)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("testclient", "testclient", True),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(first: str, second: str, same: bool) -> None:
    assert (connections.client_of(first) == connections.client_of(second)) is same


def test_proxies_are_trusted_by_address_by_network_or_all() -> None:
    assert connections.is_trusted("10.0.0.5", ["10.0.0.5"])
    assert connections.is_trusted("10.0.0.5", ["nonsense", "2001:db8::/32", "10.0.0.0/24"])
    assert connections.is_trusted("10.0.0.5", ["*"])
    assert not connections.is_trusted("10.0.1.5", ["10.0.0.0/24", "10.0.0.5"])
