"""Outgoing HTTP for channels and launchers: total deadline, capped answer, no redirect, no private address unless allowed."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from standardwebhooks import Webhook as Signer
from urllib3.exceptions import HTTPError

from monitor.errors import DeliveryError

DEADLINE_S = 15.0
MAX_ANSWER = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What a receiver said: status, the beginning of its body, and how long it took."""

    status: int
    text: str
    seconds: float


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, deadline_s: float = DEADLINE_S
) -> Answer:
    """POST and read the answer. Raises DeliveryError for anything but a 2xx; only 410 is permanent (a receiver being deployed says 401 or 404)."""
    host = urlsplit(url).hostname or ""
    shown = f"{urlsplit(url).scheme}://{host}"
    started = time.monotonic()
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Guarded(allow_private=allow_private))
    session.mount("https://", _Guarded(allow_private=allow_private))
    try:
        answer = session.post(url, data=body, headers=dict(headers), timeout=(5, 5), allow_redirects=False, stream=True)
        text = _read(answer, started + deadline_s)
    except (requests.RequestException, HTTPError) as error:
        raise DeliveryError(f"{shown}: {_reason(error)}") from None
    finally:
        session.close()
    seconds = time.monotonic() - started
    if 200 <= answer.status_code < 300:
        return Answer(answer.status_code, text, seconds)
    what = "a redirect, which is not followed" if 300 <= answer.status_code < 400 else text[:200]
    raise DeliveryError(f"{shown} answered {answer.status_code}: {what}", permanent=answer.status_code == 410)


def post_signed(url: str, identity: str, body: str, secret: str | None, *, allow_private: bool) -> Answer:
    """POST JSON by the Standard Webhooks convention: `identity` stays over attempts, each has its own time and signature."""
    now = datetime.now(UTC)  # the library's signature is right for UTC alone
    headers = {
        "content-type": "application/json", "user-agent": "production-monitor/1", "webhook-id": identity, "webhook-timestamp": str(int(now.timestamp())),
    }  # fmt: skip
    if secret:
        headers["webhook-signature"] = Signer(secret).sign(identity, now, body)
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


class _Guarded(HTTPAdapter):
    """Looks at the address that a name stands for before it connects, and connects to just that."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        """Refuse private addresses, then send."""
        parts = urlsplit(request.url or "")
        host = str(parts.hostname or "")
        if not self.allow_private:
            try:
                found = {
                    str(info[4][0]) for info in socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
                }
            except OSError as error:
                raise requests.ConnectionError(f"the name {host} is not known: {error}") from None
            for address in found:
                if not ipaddress.ip_address(address.split("%")[0]).is_global:
                    raise requests.ConnectionError(
                        f"{host} is the private address {address}; allow it with allow_private: true"
                    )
        return super().send(request, *args, **kwargs)  # type: ignore[arg-type]


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.ConnectTimeout):
        return "no connection within 5 s"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if "refused" in text:
        return "connection refused"
    return text[:300]
