"""Outgoing HTTP and the channels: signed, bounded, never redirected, never to a private address unless allowed."""

from __future__ import annotations

import base64
import json
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from monitor import outgoing
from monitor.addresses import looked_up
from monitor.alerting.channels import open_channel
from monitor.alerting.channels.command import Command
from monitor.alerting.channels.pagerduty import PagerDuty
from monitor.alerting.channels.webhook import Webhook
from monitor.alerting.message import FIRST_LINE, Facts, title
from monitor.alerting.routing import destinations, labels_of
from monitor.config.model import AirflowLauncher, AppriseChannel, Configuration
from monitor.errors import DeliveryError
from monitor.outgoing import Network
from monitor.retraining.launchers import open_remote
from monitor.services.context import network_of
from tests.conftest import Project, Receiver, status
from tests.receivers import ENDLESS, ForwardProxy, authority, continues, drips_a_header, raw, says_ok, takes_nothing

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


@pytest.mark.parametrize("handle", ENDLESS, ids=lambda handle: handle.__name__)
def test_one_deadline_bounds_the_whole_exchange_whatever_a_receiver_says(
    handle: Callable[[socket.socket], None],
) -> None:
    with raw(handle) as server:
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="no answer in time|longer than"):
            outgoing.post(server.url, b"x" * 8_000_000, {}, allow_private=True, deadline_s=1.0)
        assert time.monotonic() - started < 2


def test_the_deadline_bounds_an_exchange_by_tls_and_its_handshake_too(tmp_path: Path) -> None:
    own = authority(tmp_path, "127.0.0.1")
    network = Network(ca_file=str(own.ca_file))
    for handle, context in ((drips_a_header, own.context), (continues, own.context), (takes_nothing, None)):
        with raw(handle, context) as server:
            started = time.monotonic()
            url = server.url.replace("http:", "https:")
            with pytest.raises(DeliveryError, match="no answer in time"):
                outgoing.post(url, b"x", {}, allow_private=True, deadline_s=1.0, network=network)
            assert time.monotonic() - started < 2, handle
            if context is None:
                with pytest.raises(DeliveryError, match="no answer in time"):
                    outgoing.reach(url, allow_private=True, deadline_s=1.0)


def test_several_events_for_pagerduty_share_one_deadline() -> None:
    alert = {
        "id": "a",
        "monitor": "m",
        "severity": "warning",
        "kind": "drift",
        "columns": [],
        "link": "",
        "state": "firing",
    }
    message = {
        "event": "firing",
        "alert": alert,
        "labels": {"model": "m"},
        "annotations": {"summary": "s", "runbook_url": ""},
    }
    body = json.dumps({"title": "t", "text": "t", "timestamp": "", **message, "alerts": [message] * 20}).encode()

    def slow(connection: socket.socket) -> None:
        time.sleep(0.3)
        says_ok(connection)

    with raw(slow) as server:
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="in time"):
            PagerDuty(server.url, "key", allow_private=True, deadline_s=1.0).send("id", body)
        assert time.monotonic() - started < 2


def test_an_apprise_service_that_never_ends_its_answer_is_given_up() -> None:
    body = json.dumps({"title": "hello", "text": "world", "alert": {"severity": "warning", "state": "firing"}}).encode()
    with raw(continues) as server:
        url = server.url.replace("http://", "json://")
        channel = open_channel(AppriseChannel.model_validate({"type": "apprise", "url": url, "timeout": "5s"}), Path())
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="longer than 5 s"):
            channel.send("id", body)
        assert time.monotonic() - started < 10
        assert server.connections


def test_a_command_that_leaves_something_behind_is_not_waited_for(tmp_path: Path) -> None:
    leaves = (
        "import os, subprocess, sys, time; subprocess.Popen(['sleep', '30'], start_new_session=True); time.sleep(30)"
    )
    started = time.monotonic()
    with pytest.raises(DeliveryError, match="longer than 1 s"):
        Command([sys.executable, "-c", leaves], tmp_path, 1.0).send("id", b"{}")
    assert time.monotonic() - started < 5


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


SPECIAL = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "2130706433",
    "169.254.169.254",
    "172.31.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:8.8.8.8]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2002:a00:1::]",
    "[2001::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff0e::1]",
]


@pytest.mark.parametrize("host", SPECIAL)
def test_no_special_address_is_connected_to(host: str) -> None:
    """The address itself is refused. A connection to most of them would fail with another error or never end."""
    for scheme in ("http", "https"):
        with pytest.raises(DeliveryError, match="is a private address"):
            outgoing.post(f"{scheme}://{host}/", b"x", {}, allow_private=False)
    with pytest.raises(DeliveryError, match="is a private address"):
        outgoing.post(f"http://{host}/", b"x", {}, allow_private=False, network=Network(proxy="http://127.0.0.1:1"))
    with pytest.raises(DeliveryError, match="is a private address"):
        outgoing.reach(f"http://{host}/", allow_private=False)


def test_addresses_of_others_are_public() -> None:
    for text in (
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
    ):
        assert looked_up(text, 443, time.monotonic() + 5)[0].is_public, text


def test_nothing_is_connected_to_before_it_was_looked_at() -> None:
    with raw(says_ok) as server:
        for host in ("127.0.0.1", "localhost"):
            url = server.url.replace("127.0.0.1", host)
            with pytest.raises(DeliveryError, match="is a private address"):
                outgoing.post(url, b"x", {}, allow_private=False)
            with pytest.raises(DeliveryError, match="is a private address"):
                outgoing.reach(url, allow_private=False)
        time.sleep(0.1)
        assert server.connections == []
        assert outgoing.post(server.url, b"x", {}, allow_private=True).text == "ok"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http://[",
        "http://a:b:c/",
        "https:///x",
        "example.org",
        "http://a\nb/",
        "http://exa mple.org/",
    ],
)
def test_an_address_that_is_none_is_refused_in_words(url: str) -> None:
    with pytest.raises(DeliveryError):
        outgoing.post(url, b"x", {}, allow_private=True, deadline_s=2)
    with pytest.raises(DeliveryError):
        outgoing.reach(url, allow_private=True, deadline_s=2)


def test_user_and_password_of_an_address_are_sent_and_never_shown(receiver: Receiver) -> None:
    url = receiver.url.replace("http://", "http://ann:hunter2@")
    outgoing.post(url, b"{}", {}, allow_private=True)
    assert receiver.received[0][0]["authorization"] == "Basic " + base64.b64encode(b"ann:hunter2").decode()
    receiver.answers.append(status(500))
    with pytest.raises(DeliveryError) as caught:
        outgoing.post(url, b"{}", {}, allow_private=True)
    assert "hunter2" not in str(caught.value)


def test_a_companys_own_authority_vouches_for_receivers(tmp_path: Path) -> None:
    own = authority(tmp_path, "127.0.0.1")
    with raw(says_ok, own.context) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(DeliveryError, match="certificate"):
            outgoing.post(url, b"x", {}, allow_private=True)
        network = Network(ca_file=str(own.ca_file))
        assert outgoing.post(url, b"x", {}, allow_private=True, network=network).text == "ok"
        assert "answers" in outgoing.reach(url, allow_private=True, network=network)
    other_authority = authority(tmp_path, "receiver.example")
    with raw(says_ok, other_authority.context) as server, pytest.raises(DeliveryError, match="certificate"):
        outgoing.post(server.url.replace("http:", "https:"), b"x", {}, allow_private=True, network=network)
    with pytest.raises(DeliveryError, match="No such file"):
        outgoing.post("https://127.0.0.1:1/", b"x", {}, allow_private=True, network=Network(ca_file="/nothing.pem"))


def test_receivers_are_asked_through_the_companys_proxy(tmp_path: Path, receiver: Receiver) -> None:
    own = authority(tmp_path, "secure.invalid")
    with raw(says_ok, own.context) as secure:
        proxy = ForwardProxy({"plain.invalid": urlsplit(receiver.url).port or 0, "secure.invalid": secure.port})
        with raw(proxy) as served:
            network = Network(proxy=f"http://ann:se%3Acret@127.0.0.1:{served.port}", ca_file=str(own.ca_file))
            outgoing.post("http://plain.invalid/hook?a=b", b"{}", {"x-mine": "1"}, allow_private=False, network=network)
            assert (
                outgoing.post("https://secure.invalid/", b"{}", {}, allow_private=False, network=network).text == "ok"
            )
            assert outgoing.reach("https://secure.invalid/", allow_private=False, network=network)
            with pytest.raises(DeliveryError, match="502"):
                outgoing.post("https://other.invalid/", b"{}", {}, allow_private=False, network=network)
            direct = len(proxy.asked)
            outgoing.post(receiver.url, b"{}", {}, allow_private=True, network=network)
            assert len(proxy.asked) == direct  # private addresses are inside
    first, second = proxy.asked[0].splitlines(), proxy.asked[1].splitlines()
    assert first[0] == "POST http://plain.invalid/hook?a=b HTTP/1.1"
    assert second[0] == "CONNECT secure.invalid:443 HTTP/1.1"
    credentials = f"proxy-authorization: Basic {base64.b64encode(b'ann:se:cret').decode()}"
    assert credentials in [line.lower().replace(credentials.lower(), credentials) for line in second]
    headers, _ = receiver.received[0]
    assert (headers["host"], headers["x-mine"]) == ("plain.invalid", "1")


def test_channels_launchers_and_apprise_take_the_way_out_of_the_configuration(
    project: Project, receiver: Receiver
) -> None:
    proxy = ForwardProxy({"plain.invalid": urlsplit(receiver.url).port or 0})
    with raw(proxy) as served:
        project.values["outgoing"] = {"proxy": f"http://127.0.0.1:{served.port}"}
        project.values["channels"] = {
            "hook": {"type": "webhook", "url": "http://plain.invalid/hook"},
            "chat": "json://plain.invalid/chat",
        }
        loaded = project.loaded()
        network = network_of(loaded)
        body = json.dumps({"title": "t", "text": "t", "alert": {"severity": "warning", "state": "firing"}}).encode()
        for name in ("hook", "chat"):
            open_channel(loaded.configuration.channels[name], loaded.folder, network=network).send("id", body)
        config = AirflowLauncher(type="airflow", url="http://plain.invalid", dag="d", token="t")
        open_remote(config, network).start({"id": "r"})
    assert len(receiver.received) == 3
    assert [line.split()[1].split("?")[0].rstrip("/") for line in proxy.asked] == [
        "http://plain.invalid/hook",
        "http://plain.invalid/chat",
        "http://plain.invalid/api/v2/dags/d/dagRuns",
    ]


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert outgoing.post(receiver.url, b"{}", {}, allow_private=True).status == 204


def test_routes_and_the_monitors_own_channels_are_joined() -> None:
    entry = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "x"},
        "reference": {"path": "y"},
        "columns": {"event_time": "t", "prediction": "p"},
        "tags": {"team": "rentals"},
        "alerts": {"channels": ["own"]},
    }
    webhook = {"type": "webhook", "url": "https://example.org"}
    configuration = Configuration.model_validate(
        {
            "monitors": {"m": entry},
            "channels": {"own": webhook, "chat": webhook, "other": webhook},
            "routes": [
                {"matchers": ['team="rentals"'], "channels": ["chat", "own"]},
                {"matchers": ['team="x"'], "channels": ["other"]},
            ],
        }
    )
    config = configuration.monitors["m"]
    labels = labels_of("drift", "warning", "m", "1", "m", config.tags)
    assert labels["alertname"] == "ModelDrift"
    routed = destinations(labels, config, configuration, datetime(2025, 1, 6, tzinfo=UTC))
    assert [destination.channel for destination in routed] == ["own", "chat"]


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
