"""Outgoing HTTP and the channels: signed, bounded, never redirected, never to a private address unless allowed."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from monitor import outgoing
from monitor.alerting.channels.webhook import Webhook
from monitor.alerting.message import FIRST_LINE, Facts, title
from monitor.alerting.routing import destinations, labels_of
from monitor.config.model import Configuration
from monitor.errors import DeliveryError
from tests.conftest import Receiver, status

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


def test_a_webhook_is_signed_so_that_the_standards_library_verifies_it(receiver: Receiver) -> None:
    Webhook(receiver.url, [SECRET], allow_private=True).send("id-1", '{"text": "grüße"}'.encode())
    headers, body = receiver.received[0]
    assert Verifier(SECRET).verify(body, headers) == {"text": "grüße"}
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(body + b" ", headers)


def test_the_signature_is_right_on_a_host_that_is_not_on_utc(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        Webhook(receiver.url, [SECRET], allow_private=True).send("id-1", b"{}")
    finally:
        monkeypatch.undo()
        time.tzset()
    headers, body = receiver.received[0]
    Verifier(SECRET).verify(body, headers)


@pytest.mark.parametrize(("code", "permanent"), [(410, True), (401, False), (404, False), (500, False), (302, False)])
def test_anything_but_2xx_is_a_failure_and_only_410_is_final(receiver: Receiver, code: int, permanent: bool) -> None:
    receiver.answers.append(status(code, Location=receiver.url))
    with pytest.raises(DeliveryError) as caught:
        outgoing.post(receiver.url, b"{}", {}, allow_private=True)
    assert caught.value.permanent is permanent
    assert len(receiver.received) == 1  # no redirect was followed


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_private_addresses_are_refused_unless_allowed_before_anything_is_sent(receiver: Receiver, host: str) -> None:
    with pytest.raises(DeliveryError, match="allow_private"):
        outgoing.post(receiver.url.replace("127.0.0.1", host), b"{}", {}, allow_private=False)
    assert receiver.received == []


def test_a_dripping_answer_ends_at_the_deadline(receiver: Receiver) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    receiver.answers.append(drip)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="too long|no answer"):
        outgoing.post(receiver.url, b"{}", {}, allow_private=True, deadline_s=1.0)
    assert time.monotonic() - started < 3


def test_an_endless_answer_is_read_to_a_bound(receiver: Receiver) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return

    receiver.answers.append(flood)
    assert len(outgoing.post(receiver.url, b"{}", {}, allow_private=True).text) <= outgoing.MAX_ANSWER


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert outgoing.post(receiver.url, b"{}", {}, allow_private=True).status == 204


def test_routes_and_the_monitors_own_channels_are_joined() -> None:
    entry = {
        "task": "binary", "model": {"name": "m"}, "source": {"path": "x"}, "reference": {"path": "y"}, "columns": {"event_time": "t", "prediction": "p"},
        "tags": {"team": "rentals"}, "alerts": {"channels": ["own"]},
    }  # fmt: skip
    one = {"type": "webhook", "url": "https://example.org"}
    configuration = Configuration.model_validate(
        {
            "monitors": {"m": entry},
            "channels": {"own": one, "chat": one, "other": one},
            "routes": [
                {"matchers": ['team="rentals"'], "channels": ["chat", "own"]},
                {"matchers": ['team="x"'], "channels": ["other"]},
            ],
        }
    )
    config = configuration.monitors["m"]
    labels = labels_of("drift", "warning", "m", "1", "m", config.tags)
    assert labels["alertname"] == "ModelDrift"
    found = destinations(labels, config, configuration, datetime(2025, 1, 6, tzinfo=UTC))
    assert [each.channel for each in found] == ["own", "chat"]


def test_the_first_line_is_short_and_says_what_is_wrong() -> None:

    now = datetime(2025, 1, 1, tzinfo=UTC)
    facts = Facts(
        "n",
        "firing",
        "a",
        "performance",
        "firing",
        "critical",
        "bike",
        "bike",
        {},
        "mae is 79.4, 37.7 on the reference: " + "very much " * 20 + "worse",
        now,
        now,
        1,
    )
    line = title([facts])
    assert len(line) <= FIRST_LINE
    assert line.startswith("[CRITICAL] bike: mae is 79.4")


def test_an_apprise_url_is_delivered_by_apprise(receiver: Receiver) -> None:
    from monitor.alerting.channels import open_channel
    from monitor.config.model import AppriseChannel

    body = json.dumps({"title": "hello", "text": "world", "alert": {"severity": "warning", "state": "firing"}}).encode()
    channel = open_channel(AppriseChannel(type="apprise", url=receiver.url.replace("http://", "json://")), Path())
    channel.send("id", body)
    assert json.loads(receiver.received[0][1])["message"] == "world"
    receiver.answers.append(status(500))
    with pytest.raises(DeliveryError):
        channel.send("id", body)
    with pytest.raises(DeliveryError) as caught:
        open_channel(AppriseChannel(type="apprise", url="nosuchservice://x"), Path()).send("id", body)
    assert caught.value.permanent
