"""Slack, Teams, Telegram, ntfy and PagerDuty as receivers that are built from their published requests: what is posted,
to which address, and how answers are handled.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from monitor.alerting.channels import open_channel
from monitor.config.model import Channel
from monitor.config.secrets import masked, storable
from monitor.errors import DeliveryError
from monitor.outgoing import DIRECT
from tests.alerting import Service
from tests.conftest import Project, Receiver, status
from tests.unit.test_channel_forms import FORMS, MESSAGES

PAGE = "https://monitor.example.org"


def channel(kind: str, url: str, **more: Any) -> dict[str, Any]:
    own = {
        "telegram": {"token": "${BOT}", "chat_id": -100123},
        "ntfy": {"topic": "${TOPIC}", "token": "${TOKEN}"},
        "pagerduty": {"routing_key": "${KEY}"},
    }
    address = url if kind in ("telegram", "ntfy") else "${CHAT_URL}"
    return {"type": kind, "url": address, "allow_private": True, **own.get(kind, {}), **more}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    for name, value in {
        "BOT": "123:abc",
        "TOPIC": "models-7f3a",
        "TOKEN": "tk_1",
        "KEY": "R" * 32,
        "CHAT_URL": receiver.url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("kind", FORMS)
def test_an_alert_is_posted_in_the_services_form_and_retried_with_the_same_content(
    project: Project, receiver: Receiver, kind: str
) -> None:
    receiver.answers.append(status(429, Retry_After="60"))
    channels = {"ops": channel(kind, receiver.url)}
    service = Service(project, {"churn": {}}, channels=channels, grouping={"group_wait": "0s"}, external_url=PAGE)
    alert = service.event("churn", "performance", summary="ROC AUC is 0.71, down 0.12 from 0.83 in the reference.")
    service.after(seconds=1)
    service.after(seconds=30)
    assert len(receiver.received) == 1  # it was asked to wait for a minute
    service.after(seconds=90)
    (headers, first), (_, again) = receiver.received
    assert first == again
    assert headers["content-type"] == "application/json"
    text = json.dumps(json.loads(first), ensure_ascii=False)
    assert "[CRITICAL] churn: ROC AUC is 0.71, down 0.12 from 0.83" in text
    for page in (
        f"{PAGE}/alerts/{alert}",
        f"{PAGE}/alerts/{alert}#acknowledge",
        f"{PAGE}/silences?matchers=alertname%3D%22ModelPerformance%22%0Amodel%3D%22churn%22",
    ):
        assert page in text
    assert (service.deliverer.delivered, service.deliverer.failed) == (1, 1)


@pytest.mark.parametrize("kind", FORMS)
def test_private_addresses_are_refused(receiver: Receiver, kind: str, tmp_path: Path) -> None:
    config = TypeAdapter(Channel).validate_python(channel(kind, receiver.url, allow_private=False))
    with pytest.raises(DeliveryError, match="allow_private"):
        open_channel(config, tmp_path, network=DIRECT).send("id", MESSAGES["performance"])
    assert receiver.received == []


def test_what_a_service_would_get_can_be_seen_beforehand(
    project: Project, receiver: Receiver, monitor_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = {"title": "Look at {{ alert.labels.model }}"}
    service = Service(
        project,
        {"churn": {}},
        channels={"ops": channel("slack", receiver.url, templates=words)},
        grouping={"group_wait": "0s"},
    )
    alert = service.event("churn", "performance")
    for form in ("slack", "teams", "telegram", "ntfy", "json"):
        shown = monitor_command("alerts", "preview", alert, "--channel", "ops", "--format", form, cwd=project.folder)
        assert "Look at churn" in json.dumps(json.loads(shown.stdout)), form
    refused = monitor_command("alerts", "preview", alert, "--format", "fax", cwd=project.folder)
    assert (refused.returncode, "they are: text, markdown, html, json, slack" in refused.stderr) == (2, True)


def test_a_picture_goes_along_with_the_message_as_its_caption(receiver: Receiver, tmp_path: Path) -> None:
    """By the published request of sendPhoto: multipart/form-data."""
    config = TypeAdapter(Channel).validate_python(channel("telegram", receiver.url.removesuffix("/hook")))
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    open_channel(config, tmp_path, {"metric.png": png, "columns.png": b""}).send("id", MESSAGES["performance"])
    ((headers, body),) = receiver.received
    form = message_from_bytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + body, policy=HTTP)
    parts = {
        str(part.get_param("name", header="content-disposition")): part
        for part in form.walk()
        if not part.is_multipart()
    }
    assert parts["photo"].get_payload(decode=True) == png
    assert parts["photo"].get_content_type() == "image/png"
    assert parts["photo"].get_filename() == "metric.png"
    fields = {name: part.get_payload(decode=True).decode() for name, part in parts.items() if name != "photo"}  # type: ignore[union-attr]
    assert fields["chat_id"] == "-100123"
    assert fields["caption"].startswith("<b>🔴 [CRITICAL] churn: ROC AUC is 0.71")
    assert json.loads(fields["reply_markup"])["inline_keyboard"][0][1]["text"] == "Acknowledge"
    assert json.loads(fields["disable_notification"]) is False


def test_where_and_as_whom_it_is_posted(receiver: Receiver, tmp_path: Path) -> None:
    base = receiver.url.removesuffix("/hook")
    for kind in ("telegram", "ntfy"):
        open_channel(TypeAdapter(Channel).validate_python(channel(kind, base)), tmp_path).send("id", MESSAGES["digest"])
    (_, telegram_body), (headers, published) = receiver.received
    assert json.loads(telegram_body)["chat_id"] == "-100123"
    assert headers["authorization"] == "Bearer tk_1"
    assert json.loads(published)["topic"] == "models-7f3a"


@pytest.mark.parametrize("kind", FORMS)
def test_no_secret_of_a_channel_is_shown_or_stored(kind: str, receiver: Receiver) -> None:
    written = channel(kind, receiver.url)
    in_clear = written | {
        name: f"https://example.org/{name}-hunter2"
        for name in ("url", "token", "topic", "routing_key")
        if name in written
    }
    if kind in ("telegram", "ntfy", "pagerduty"):
        in_clear["url"] = "https://example.org"
    assert "hunter2" not in json.dumps(masked({"channels": {"ops": in_clear}}))
    assert "hunter2" not in json.dumps(storable({"channels": {"ops": in_clear}}))
    assert storable({"channels": {"ops": {**written, "url": "${CHAT_URL}"}}})["channels"]["ops"]["url"] == "${CHAT_URL}"


@pytest.mark.parametrize("kind", FORMS)
def test_a_refusal_names_the_host_and_no_secret(kind: str, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.append(status(400))
    config = TypeAdapter(Channel).validate_python(channel(kind, receiver.url))
    with pytest.raises(DeliveryError) as caught:
        open_channel(config, tmp_path).send("id", MESSAGES["performance"])
    assert "answered 400" in str(caught.value)
    assert not [
        secret for secret in ("123:abc", "models-7f3a", "tk_1", "R" * 32, "/hook") if secret in str(caught.value)
    ]
