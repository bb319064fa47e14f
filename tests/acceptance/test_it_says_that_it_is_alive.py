"""The weekly digest and the canary show that a quiet service is alive."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from monitor.config.model import DigestConfig
from monitor.services.canary import fly_canary
from monitor.services.digest import boundary, send_digest
from monitor.services.watch_self import watch_self
from tests.alerting import NOW, Service
from tests.conftest import Project, Receiver, status


def test_a_digest_a_week_says_what_was_watched_and_what_was_useless(project: Project, receiver: Receiver) -> None:
    channel = {"type": "webhook", "url": receiver.url, "allow_private": True}
    digest = {"channels": ["ops"], "weekday": "monday", "at": "08:00", "timezone": "Europe/Berlin"}
    service = Service(project, {"churn": {}, "fraud": {"alerts": {}}}, channels={"ops": channel}, digest=digest)
    assert send_digest(service.context) == 0  # the log of digests begins now
    service.after(hours=7)  # Monday 08:00 in Berlin, Sunday's week is before the service
    assert send_digest(service.context) == 1
    service.deliverer.drain()
    assert json.loads(receiver.received[-1][1])["title"].startswith("[DIGEST] 2 monitors, 0 runs, 0 alerts")
    alert = service.event("churn", "performance", summary="roc_auc fell")
    service.said(alert, "feedback", verdict="useless", by="ada")
    service.after(days=6)
    assert send_digest(service.context) == 0
    service.after(days=1)
    assert [send_digest(service.context) for _ in range(3)] == [1, 0, 0]
    service.deliverer.drain()
    message = json.loads(receiver.received[-1][1])
    assert (message["type"], message["alerts"]) == ("digest", [])
    jsonschema.validate(
        message, json.loads((Path(__file__).resolve().parents[2] / "docs/reference/webhook.schema.json").read_text())
    )
    assert "Alerts: 1 alert. Marked useless: 1; 0.5 a week are allowed" in message["text"]
    assert "<li>critical performance since 2025-01-05" in message["html"]
    assert "- critical performance since 2025-01-05, firing: roc_auc fell" in message["text"]


def test_digests_are_due_at_a_local_time() -> None:
    config = DigestConfig(channels=["ops"], weekday="monday", at="08:00", timezone="Europe/Berlin")
    monday = datetime(2025, 3, 31, 6, 0, tzinfo=UTC)  # 08:00 in summer time
    assert boundary(config, monday) == monday
    assert boundary(config, monday - timedelta(seconds=1)) == datetime(2025, 3, 24, 7, 0, tzinfo=UTC)


@pytest.mark.long
def test_the_canary_comes_out_and_a_deaf_channel_is_the_services_own_alert(
    project: Project, receiver: Receiver, monitor_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    channel = {"type": "webhook", "url": receiver.url, "allow_private": True}
    service = Service(project, {"churn": {}}, channels={"ops": channel}, canary={"every": "1d", "channel": "ops"})
    assert fly_canary(service.context)
    assert service.context.canary_fault == ""
    assert "amount" in json.loads(receiver.received[-1][1])["text"]
    assert not fly_canary(service.context)
    receiver.answers.append(status(500))
    service.context.canary_flew_at = float("-inf")
    assert fly_canary(service.context)
    assert "did not come out of ops" in service.context.canary_fault
    watch_self(service.context)
    alerts = service.context.database.read(
        lambda session: session.connection().exec_driver_sql("SELECT kind, state, severity, summary FROM alerts").all()
    )
    assert [tuple(row)[:3] for row in alerts] == [("self", "firing", "critical")]
    service.context.canary_fault = ""
    service.after(days=1)
    watch_self(service.context)
    assert service.clock.now() > NOW
    assert monitor_command("canary", "--channel", "nobody", cwd=project.folder).returncode == 2
