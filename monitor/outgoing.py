"""Outgoing HTTP for channels and launchers: total deadline, capped answer, no redirect, no private address unless allowed."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks import Webhook as Signer
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from monitor.errors import DeliveryError

DEADLINE_S = 15.0
MAX_ANSWER = 64 * 1024
MAX_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True)
class Answer:
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


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, deadline_s: float = DEADLINE_S
) -> Answer:
    """POST and read the answer. Raises DeliveryError for anything but a 2xx; only 410 is permanent (a receiver being deployed says 401 or 404)."""
    return send("POST", url, body, headers, allow_private=allow_private, deadline_s=deadline_s)


def get(url: str, headers: Mapping[str, str], *, allow_private: bool) -> Answer:
    """GET and read the answer. Raises DeliveryError for anything but a 2xx."""
    return send("GET", url, None, headers, allow_private=allow_private)


def send(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, allow_private: bool, deadline_s: float = DEADLINE_S, accepted: Sequence[int] = (),
) -> Answer:  # fmt: skip
    """Send a request and read the answer. accepted: statuses that are as good as a 2xx. Raises DeliveryError for any other."""
    host = urlsplit(url).hostname or ""
    shown = f"{urlsplit(url).scheme}://{host}"
    started = time.monotonic()
    session = requests.Session()
    session.trust_env = False
    if not allow_private:
        session.mount("http://", _PublicOnly())
        session.mount("https://", _PublicOnly())
    try:
        answer = session.request(
            method, url, data=body, headers=dict(headers), timeout=(5, 5), allow_redirects=False, stream=True
        )
        text = _read(answer, started + deadline_s)
    except (requests.RequestException, HTTPError) as error:
        raise DeliveryError(f"{shown}: {_reason(error)}") from None
    finally:
        session.close()
    seconds = time.monotonic() - started
    if 200 <= answer.status_code < 300 or answer.status_code in accepted:
        return Answer(answer.status_code, text, seconds)
    what = "a redirect, which is not followed" if 300 <= answer.status_code < 400 else text[:200]
    raise DeliveryError(
        f"{shown} answered {answer.status_code}: {what}", permanent=answer.status_code == 410, retry_after_s=_retry_after_s(answer.headers.get("retry-after", ""))
    )  # fmt: skip


def _retry_after_s(text: str) -> float:
    """How long a receiver asks to be left alone (RFC 9110: seconds, or a date), an hour at most; 0 for whatever cannot be read."""
    try:
        asked = (
            float(text) if text.strip().isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(asked, 0.0), MAX_RETRY_AFTER_S)


def reach(url: str, *, allow_private: bool) -> str:
    """Connect to a URL's host, and shake hands where it is https, sending nothing. Raises DeliveryError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), 5) as connection:
            if not allow_private:
                _refuse_private(connection)
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(connection, server_hostname=host):
                    pass
    except OSError as error:
        raise DeliveryError(f"{parts.scheme}://{host}: {error}") from None
    return f"{host} answers"


def post_signed(url: str, identity: str, body: str, secrets: Sequence[str], *, allow_private: bool) -> Answer:
    """POST JSON by the Standard Webhooks convention: `identity` stays over attempts, each has its own time and signatures, one a secret."""
    now = datetime.now(UTC)  # the library's signature is right for UTC alone
    headers = {
        "content-type": "application/json", "user-agent": "production-monitor/1", "webhook-id": identity, "webhook-timestamp": str(int(now.timestamp())),
    }  # fmt: skip
    if secrets:
        headers["webhook-signature"] = " ".join(Signer(secret).sign(identity, now, body) for secret in secrets)
    return post(url, body.encode(), headers, allow_private=allow_private)


def _read(answer: requests.Response, until: float) -> str:
    """The beginning of the body; neither a dripping nor an endless answer holds on to us."""
    data = b""
    while chunk := answer.raw.read1(4096, decode_content=False):
        data += chunk
        if time.monotonic() > until:
            raise requests.Timeout("the answer took too long")
        if len(data) > MAX_ANSWER:
            break
    return data[:MAX_ANSWER].decode(errors="replace")


def _refuse_private(connection: socket.socket) -> socket.socket:
    """Look at the address that was really connected to (a name may stand for another one a moment later), before anything is sent."""
    address = str(connection.getpeername()[0]).split("%")[0]
    if not ipaddress.ip_address(address).is_global:
        connection.close()
        raise DeliveryError(f"{address} is a private address; allow it with allow_private: true")
    return connection


class _PublicHTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _refuse_private(super()._new_conn())


class _PublicHTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _refuse_private(super()._new_conn())


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PublicHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PublicHTTPS


class _PublicOnly(HTTPAdapter):
    """Connects to public addresses alone."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.ConnectTimeout):
        return "no connection within 5 s"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if "refused" in text:
        return "connection refused"
    return text[:300]
