"""Outgoing HTTP for channels and launchers: one deadline over the whole exchange, capped answer, no redirect, no
private address unless allowed.
"""

from __future__ import annotations

import io
import json
import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Required, TypedDict, Unpack
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from certifi import where as usual_authorities
from standardwebhooks import Webhook as Signer

from monitor.addresses import Address, connected, left, looked_up
from monitor.errors import DeliveryError

DEADLINE_S = 15.0
MAX_ANSWER = 64 * 1024
MAX_RETRY_AFTER_S = 3600.0
# All that is taken of an answer: `100 Continue` and headers without end are an answer, too.
_MAX_RECEIVED = 2**20
# How long a name is looked up here where a proxy does it again anyway.
_LOOK_UP_BESIDE_PROXY_S = 2.0
_AGENT = "production-monitor/1"


@dataclass(frozen=True)
class Network:
    """The way out of this network. proxy: `http://[user:password@]host:port`, '' for none. ca_file: certificate
    authorities (PEM) beside the usual ones, '' for none.
    """

    proxy: str = ""
    ca_file: str = ""


DIRECT = Network()


class Rules(TypedDict, total=False):
    """What an exchange keeps to. deadline_s: for all of it, from looking up the name to the last byte."""

    allow_private: Required[bool]
    deadline_s: float
    network: Network


@dataclass(frozen=True)
class ReceiverAnswer:
    """What a receiver said: status, the beginning of its body, and how long it took."""

    status: int
    text: str
    seconds: float

    def json(self) -> Any:
        """The body as JSON. Raises DeliveryError where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise DeliveryError(f"the answer is no JSON: {self.text[:100]}") from None


def post(url: str, body: bytes, headers: Mapping[str, str], **rules: Unpack[Rules]) -> ReceiverAnswer:
    """POST and read the answer. Raises DeliveryError for anything but a 2xx; only 410 is permanent (a receiver being
    deployed says 401 or 404).
    """
    return send("POST", url, body, headers, **rules)


def get(url: str, headers: Mapping[str, str], **rules: Unpack[Rules]) -> ReceiverAnswer:
    """GET and read the answer. Raises DeliveryError for anything but a 2xx."""
    return send("GET", url, None, headers, **rules)


def send(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    accepted: Sequence[int] = (),
    **rules: Unpack[Rules],
) -> ReceiverAnswer:
    """Send a request and read the answer. accepted: statuses that are as good as a 2xx. Raises DeliveryError for any
    other.
    """
    started = time.monotonic()
    until = started + rules.get("deadline_s", DEADLINE_S)
    try:
        request = requests.Request(method, url, headers=dict(headers), data=body).prepare()
        target = _target(str(request.url))
        with _opened(target, until, rules) as wire:
            connection = HTTPConnection(target.host, target.port)
            connection.sock = wire
            place = f"{target.origin}{request.path_url}" if wire.asks_proxy else request.path_url
            shown = {"host": target.authority, "user-agent": _AGENT, "accept": "*/*"}
            sent = {name.lower(): value for name, value in request.headers.items()}
            connection.request(method, place, request.body, shown | sent | wire.headers)
            answer = connection.getresponse()
            text = _beginning(answer)
    except (requests.RequestException, HTTPException, OSError, ValueError) as error:
        raise DeliveryError(f"{_shown(url)}: {_reason(error)}") from None
    seconds = time.monotonic() - started
    if 200 <= answer.status < 300 or answer.status in accepted:
        return ReceiverAnswer(answer.status, text, seconds)
    what = "a redirect, which is not followed" if 300 <= answer.status < 400 else text[:200]
    raise DeliveryError(
        f"{_shown(url)} answered {answer.status}: {what}",
        permanent=answer.status == 410,
        retry_after_s=_retry_after_s(answer.headers.get("retry-after", "")),
    )


def _retry_after_s(text: str) -> float:
    """How long a receiver asks to be left alone (RFC 9110: seconds, or a date), an hour at most; 0 for whatever cannot
    be read.
    """
    try:
        seconds = (
            float(text) if text.strip().isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def reach(url: str, **rules: Unpack[Rules]) -> str:
    """Connect to a URL's host, and shake hands where it is https, sending nothing. Raises DeliveryError."""
    try:
        target = _target(url)
        with _opened(target, time.monotonic() + rules.get("deadline_s", DEADLINE_S), rules):
            pass
    except (HTTPException, OSError, ValueError) as error:
        raise DeliveryError(f"{_shown(url)}: {_reason(error)}") from None
    return f"{target.host} answers"


def post_signed(url: str, identity: str, body: str, secrets: Sequence[str], **rules: Unpack[Rules]) -> ReceiverAnswer:
    """POST JSON by the Standard Webhooks convention: `identity` stays over attempts, each has its own time and
    signatures, one a secret.
    """
    now = datetime.now(UTC)  # the library's signature is right for UTC alone
    headers = {
        "content-type": "application/json",
        "user-agent": _AGENT,
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if secrets:
        headers["webhook-signature"] = " ".join(Signer(secret).sign(identity, now, body) for secret in secrets)
    return post(url, body.encode(), headers, **rules)


def post_json(
    url: str, content: Any, headers: Mapping[str, str] | None = None, **rules: Unpack[Rules]
) -> ReceiverAnswer:
    """POST JSON."""
    body = json.dumps(content, ensure_ascii=False).encode(errors="replace")
    return post(url, body, {"content-type": "application/json", "user-agent": _AGENT, **(headers or {})}, **rules)


def post_form(
    url: str, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]], **rules: Unpack[Rules]
) -> ReceiverAnswer:
    """POST a form with files (multipart/form-data). files: by field, as file name, content and its type."""
    form = requests.Request("POST", url, data=dict(fields), files=dict(files)).prepare()
    assert isinstance(form.body, bytes)
    return post(url, form.body, {"content-type": str(form.headers["content-type"]), "user-agent": _AGENT}, **rules)


@dataclass(frozen=True)
class _Target:
    """Whom a URL asks for."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As the Host header has it: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The beginning of its URLs."""
        return f"{self.scheme}://{self.authority}"


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with https:// or http://, and names a host")
    return _Target(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))


class _Wire:
    """A connection whose every wait ends when the exchange must be over. asks_proxy: the proxy reads the requests, with
    these `headers` for itself.
    """

    def __init__(self, connection: socket.socket, until: float) -> None:
        self.connection, self.until = connection, until
        self.asks_proxy, self.headers = False, dict[str, str]()
        self._received = 0

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            self.connection.settimeout(left(self.until))
            rest = rest[self.connection.send(rest) :]

    def receive_into(self, buffer: Any) -> int:
        """Wait for some bytes; how many came, 0 at the end."""
        if self._received > _MAX_RECEIVED:
            raise OSError(f"the answer is longer than {_MAX_RECEIVED:,} bytes")
        self.connection.settimeout(left(self.until))
        number = self.connection.recv_into(buffer)
        self._received += number
        return number

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` reads answers from."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Nothing: `http.client` lets go of a connection before it has read the answer."""

    def __enter__(self) -> _Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)


def _opened(target: _Target, until: float, rules: Rules) -> _Wire:
    """A connection to a host, or to the proxy that asks it. Every address of the host is looked at before anything is
    connected to, and these very addresses are.
    """
    network, host, port = rules.get("network", DIRECT), target.host, target.port
    if network.proxy:
        try:
            addresses = looked_up(host, port, min(until, time.monotonic() + _LOOK_UP_BESIDE_PROXY_S))
        except OSError:
            addresses = []  # names of the world outside are often known to the proxy alone
    else:
        addresses = looked_up(host, port, until)
    private = [address for address in addresses if not address.is_public]
    if private and not rules["allow_private"]:
        raise DeliveryError(f"{target.host}: {private[0].text} is a private address; allow it with allow_private: true")
    authorities = _authorities(network.ca_file) if target.scheme == "https" else None
    # What is private is inside, where no proxy is needed.
    if network.proxy and not private:
        wire = _through(network.proxy, target, until)
    else:
        wire = _Wire(connected(addresses, until), until)
    if authorities is not None:
        try:
            wire.connection.settimeout(left(until))
            wire.connection = authorities.wrap_socket(wire.connection, server_hostname=host)
        except (OSError, ValueError):
            wire.connection.close()
            raise
    return wire


def _through(proxy: str, target: _Target, until: float) -> _Wire:
    """A connection to a proxy, and through it where the exchange is to be https."""
    parts = urlsplit(proxy)
    proxy_port = parts.port or 80
    addresses: list[Address] = looked_up(parts.hostname or "", proxy_port, until)
    wire = _Wire(connected(addresses, until), until)
    own = _credentials(parts)
    if target.scheme == "http":
        wire.asks_proxy, wire.headers = True, own
        return wire
    try:
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = [
            f"CONNECT {host}:{target.port} HTTP/1.1",
            f"host: {host}:{target.port}",
            *(f"{name}: {value}" for name, value in own.items()),
        ]
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = HTTPResponse(wire, method="CONNECT")  # type: ignore[arg-type]
        answer.begin()
        if not 200 <= answer.status < 300:
            raise OSError(f"the proxy {parts.hostname} answered {answer.status} {answer.reason}")
    except (HTTPException, OSError):
        wire.connection.close()
        raise
    return wire


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"proxy-authorization": f"Basic {b64encode(pair).decode()}"}


def _authorities(ca_file: str) -> ssl.SSLContext:
    """Who vouches for receivers: this machine's authorities, those that browsers trust, and a company's own."""
    return _context(ca_file, os.stat(ca_file).st_mtime_ns if ca_file else 0)


@lru_cache(maxsize=4)
def _context(ca_file: str, _written_at: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(usual_authorities())
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _beginning(answer: HTTPResponse) -> str:
    """The beginning of the body: an endless one is read to a bound."""
    data = b""
    while len(data) < MAX_ANSWER and (chunk := answer.read1(4096)):
        data += chunk
    return data[:MAX_ANSWER].decode(errors="replace")


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    try:
        return f"{urlsplit(url).scheme}://{urlsplit(url).hostname or ''}"
    except ValueError:
        return "the address"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer in time" if "timed out" in str(error) else str(error)
    return (str(error) or type(error).__name__)[:300]
