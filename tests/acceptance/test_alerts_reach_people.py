"""From an alert to the people and systems that are notified: groups, silences, inhibition, acknowledgements, and real
receivers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_string
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.services.senders import Senders
from monitor.services.sync_alertmanager import sync_alertmanager
from monitor.storage import silences
from tests.alerting import NOW, Service
from tests.conftest import Project, Receiver, logged, made_in, status
from tests.processes import wait_until
from tests.servers import free_port

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference"


def ops(receiver: Receiver) -> dict[str, Any]:
    return {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in receiver.received]


def sent_messages(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """The type of each message, and the monitors of its alerts."""
    return [
        (message["type"], sorted(alert["alert"]["monitor"] for alert in message["alerts"]))
        for message in bodies(receiver)
    ]


def test_eight_weekly_models_that_end_at_one_make_one_message(project: Project, receiver: Receiver) -> None:
    names = [f"model-{number}" for number in range(8)]
    grouping = {"group_by": ["team"], "group_wait": "60s"}
    service = Service(
        project, {name: {"tags": {"team": "rentals"}} for name in names}, channels=ops(receiver), grouping=grouping
    )
    for name in names:
        service.event(name, "performance", severity="critical" if name == "model-5" else "warning")
        service.after(seconds=5)
    assert receiver.received == []
    service.after(seconds=30)
    assert sent_messages(receiver) == [("alert.firing", names)]
    (message,) = bodies(receiver)
    assert message["title"].startswith("[CRITICAL] model-5 (and 7 more): ")
    assert message["group"] == ["team=rentals"]
    assert len(message["events"]) == 8
    jsonschema.validate(message, json.loads((SCHEMAS / "webhook.schema.json").read_text()))


def test_an_alert_that_is_found_when_it_is_over_makes_one_message_that_says_so(
    project: Project, receiver: Receiver
) -> None:
    service = Service(project, {"churn": {}, "late": {}}, channels=ops(receiver), grouping={"group_wait": "0s"})
    for what in ("firing", "escalated", "resolved"):
        service.event("churn", "performance", what)
    for what in ("firing", "retracted"):
        service.event("late", "performance", what)
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.resolved", ["churn"])]
    (message,) = bodies(receiver)
    assert message["title"].startswith("[RESOLVED] churn: ")
    assert "It was found only after it had ended" in message["text"]
    service.event("churn", "performance", "firing")
    service.after(seconds=1)
    service.event("churn", "performance", "resolved")
    service.after(seconds=1)
    assert [body["type"] for body in bodies(receiver)[1:]] == ["alert.firing", "alert.resolved"]
    assert "found only when" not in bodies(receiver)[-1]["text"]


def test_what_still_fires_is_told_again_and_nothing_after_it_was_taken_on(project: Project, receiver: Receiver) -> None:
    service = Service(
        project, {"churn": {}}, channels=ops(receiver), grouping={"group_wait": "0s", "repeat_interval": "12h"}
    )
    alert = service.event("churn", "performance", severity="warning")
    service.after(seconds=1)
    service.after(hours=11)
    assert len(receiver.received) == 1
    service.after(hours=2)
    assert [message["type"] for message in bodies(receiver)] == ["alert.firing", "alert.repeated"]
    service.said(
        alert, "acknowledged", by="ada", until=(service.clock.now() + timedelta(days=2)).isoformat(), columns=[]
    )
    service.after(days=1)
    assert len(receiver.received) == 2
    service.event("churn", "performance", "escalated", "critical")
    service.after(seconds=1)
    assert bodies(receiver)[-1]["type"] == "alert.escalated"
    service.after(days=2)  # the acknowledgement has ended
    assert bodies(receiver)[-1]["type"] == "alert.repeated"
    service.event("churn", "performance", "resolved")
    service.after(seconds=1)
    assert bodies(receiver)[-1]["type"] == "alert.resolved"
    service.after(days=3)
    assert len(receiver.received) == 5


def test_an_acknowledgement_of_one_column_does_not_cover_another(project: Project, receiver: Receiver) -> None:
    service = Service(
        project, {"churn": {}}, channels=ops(receiver), grouping={"group_wait": "0s", "repeat_interval": "1h"}
    )
    alert = service.event("churn", "quality", severity="warning", columns=("income",))
    service.after(seconds=1)
    service.said(alert, "acknowledged", by="ada", columns=["income"])
    service.after(hours=5)
    assert len(receiver.received) == 1

    def worsened(session: Any) -> None:
        session.merge(service.alert(alert)).columns = ["age", "income"]

    service.context.database.transact(worsened)
    service.after(hours=1)
    assert len(receiver.received) == 2


def test_a_silence_mutes_what_matches_and_what_still_fires_when_it_ends_is_told_at_once(
    project: Project, receiver: Receiver
) -> None:
    service = Service(project, {"churn": {}, "fraud": {}}, channels=ops(receiver), grouping={"group_wait": "0s"})

    def silence(session: Any) -> None:
        silences.add(session, ['model="churn"'], NOW, NOW + timedelta(hours=4), "release", "ada", NOW)

    service.context.database.transact(silence)
    service.event("churn", "performance")
    service.event("fraud", "performance")
    service.after(hours=1)
    assert sent_messages(receiver) == [("alert.firing", ["fraud"])]
    service.after(hours=2, minutes=59)
    assert len(receiver.received) == 1
    service.after(minutes=1)
    assert sent_messages(receiver)[1:] == [("alert.firing", ["churn"])]


def test_routes_speak_at_their_times_only_and_configured_silences_come_round(
    project: Project, receiver: Receiver
) -> None:
    office = [
        {
            "weekdays": ["monday:friday"],
            "times": [{"start_time": "09:00", "end_time": "17:00"}],
            "location": "Europe/Berlin",
        }
    ]
    service = Service(
        project,
        {"churn": {"alerts": {}}, "fraud": {"alerts": {}}},
        channels=ops(receiver),
        grouping={"group_wait": "0s"},
        routes=[{"matchers": ['severity="warning"'], "channels": ["ops"], "active_time_intervals": ["office"]}],
        silences=[{"matchers": ['model="fraud"'], "time_intervals": ["office"], "comment": "nightly only"}],
        time_intervals={"office": office},
    )
    service.event("churn", "performance", severity="warning")
    service.event("fraud", "performance", severity="warning")
    service.after(hours=6, minutes=59)  # a Monday, 08:59 in Berlin
    assert receiver.received == []
    service.after(minutes=1)
    assert sent_messages(receiver) == [("alert.firing", ["churn"])]


def test_what_a_stale_source_or_a_loss_explains_is_told_inside_its_message(
    project: Project, receiver: Receiver
) -> None:
    service = Service(project, {"churn": {}}, channels=ops(receiver), grouping={"group_wait": "0s"})
    service.event("churn", "performance", summary="roc_auc fell")
    service.event("churn", "drift", severity="warning", summary="income drifted")
    service.event("churn", "estimated_performance", severity="critical", summary="estimated_roc_auc fell")
    service.after(seconds=1)
    (message,) = bodies(receiver)
    assert [alert["alert"]["kind"] for alert in message["alerts"]] == ["performance"]
    assert {explained["summary"] for explained in message["explained"]} == {"income drifted", "estimated_roc_auc fell"}
    assert "Also affected" in message["text"]
    jsonschema.validate(message, json.loads((SCHEMAS / "webhook.schema.json").read_text()))
    service.event("churn", "performance", "resolved")
    service.after(seconds=1)
    kinds = [[alert["alert"]["kind"] for alert in message["alerts"]] for message in bodies(receiver)[1:]]
    assert sorted(kinds[0]) == ["drift", "estimated_performance", "performance"]


def test_one_incident_upstream_carries_what_is_downstream_inside(project: Project, receiver: Receiver) -> None:
    entries = {"features": {}, "churn": {"upstream": ["features"]}, "fraud": {"upstream": ["features"]}}
    service = Service(project, entries, channels=ops(receiver), grouping={"group_wait": "0s"})
    service.event("features", "quality", severity="warning", summary="age is missing")
    service.event("churn", "quality", severity="warning")
    service.event("fraud", "estimated_performance", severity="warning")
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.firing", ["features"])]
    assert {explained["monitor"] for explained in bodies(receiver)[0]["explained"]} == {"churn", "fraud"}


def losses_downstream(project: Project, receiver: Receiver, **features: Any) -> Service:
    entries = {"features": features, "churn": {"upstream": ["features"]}}
    return Service(project, entries, channels=ops(receiver), grouping={"group_wait": "0s"})


def test_a_critical_loss_downstream_is_named_once_in_the_message_upstream_and_comes_out_when_it_outlives_it(
    project: Project, receiver: Receiver
) -> None:
    service = losses_downstream(project, receiver)
    service.event("features", "quality", severity="warning", summary="age is missing")
    service.after(seconds=1)
    service.event("churn", "performance", severity="critical", summary="roc_auc fell")
    service.after(seconds=1)
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.firing", ["features"]), ("alert.repeated", ["features"])]
    assert [[alert["summary"] for alert in body["explained"]] for body in bodies(receiver)] == [[], ["roc_auc fell"]]
    service.event("features", "quality", "resolved", severity="warning")
    service.after(seconds=1)
    service.after(seconds=1)
    assert sorted(sent_messages(receiver)[2:]) == [("alert.firing", ["churn"]), ("alert.resolved", ["features"])]


def test_a_critical_loss_that_ends_before_what_explains_it_has_no_message_of_its_own(
    project: Project, receiver: Receiver
) -> None:
    service = losses_downstream(project, receiver)
    service.event("features", "quality", severity="warning")
    service.event("churn", "performance", severity="critical")
    service.after(seconds=1)
    service.event("churn", "performance", "resolved")
    service.event("features", "quality", "resolved", severity="warning")
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.firing", ["features"]), ("alert.resolved", ["features"])]


@pytest.mark.long
def test_a_critical_loss_that_began_in_a_silence_is_named_upstream_when_the_silence_ends(
    project: Project, receiver: Receiver
) -> None:
    service = losses_downstream(project, receiver)
    service.event("features", "quality", severity="warning")
    service.after(seconds=1)
    now = service.clock.now()
    service.context.database.transact(
        silences.add, ['model="churn"'], now, now + timedelta(hours=1), "release", "ada", now
    )
    service.after(seconds=1)
    service.event("churn", "performance", severity="critical", summary="roc_auc fell")
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.firing", ["features"])]
    service.after(hours=2)
    service.after(seconds=1)
    assert sent_messages(receiver)[1:] == [("alert.repeated", ["features"])]
    assert [alert["summary"] for alert in bodies(receiver)[-1]["explained"]] == ["roc_auc fell"]


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.sampled_from(["features", "churn"]), st.booleans()), min_size=2, max_size=7))
def test_a_critical_loss_is_named_whatever_begins_and_ends_upstream(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, changes: list[tuple[str, bool]]
) -> None:
    """After each change: a loss that fires was named since it began, inside the message upstream or by itself once; and
    by itself if nothing upstream fires any more.
    """
    receiver.received.clear()
    service = losses_downstream(made_in(tmp_path_factory.mktemp("project")), receiver)
    fires, began = {"features": False, "churn": False}, 0
    for monitor, begins in changes:
        if fires[monitor] == begins:
            continue
        fires[monitor] = begins
        began = len(receiver.received) if monitor == "churn" and begins else began
        kind, severity = ("quality", "warning") if monitor == "features" else ("performance", "critical")
        service.event(monitor, kind, "firing" if begins else "resolved", severity=severity)
        for _ in range(2):
            service.after(seconds=1)
        since = bodies(receiver)[began:]
        inside = [body for body in since if any(entry["monitor"] == "churn" for entry in body["explained"])]
        own = [
            entry
            for body in since
            for entry in body["alerts"]
            if entry["alert"]["monitor"] == "churn" and entry["event"] == "firing"
        ]
        if fires["churn"]:
            assert len(own) <= 1
            assert own or (inside and fires["features"])


def test_a_critical_loss_is_notified_itself_on_a_channel_that_does_not_hear_of_what_explains_it(
    project: Project, receiver: Receiver
) -> None:
    service = losses_downstream(project, receiver, alerts={"channels": []})
    service.event("features", "quality", severity="warning")
    service.event("churn", "performance", severity="critical")
    service.after(seconds=1)
    assert sent_messages(receiver) == [("alert.firing", ["churn"])]


def test_numbers_of_a_group_go_on_when_its_notifications_are_gone(project: Project, receiver: Receiver) -> None:
    service = Service(project, {"churn": {}}, channels=ops(receiver), grouping={"group_wait": "0s"})
    service.event("churn", "performance")
    service.after(seconds=1)
    first = receiver.received[0][0]["webhook-id"]
    for table in ("notification_events", "notifications"):
        service.context.database.transact(
            lambda session, table=table: session.connection().exec_driver_sql(f"DELETE FROM {table}")
        )
    service.event("churn", "performance", "escalated")
    service.after(seconds=1)
    assert receiver.received[-1][0]["webhook-id"] != first


def test_a_file_and_a_command_take_every_change(project: Project, tmp_path: Path) -> None:
    script = tmp_path / "take.py"
    script.write_text(
        "import json, os, sys; print(json.load(sys.stdin)['type'], os.environ['MONITOR_NOTIFICATION_ID'],"
        " file=open('taken', 'a'))"
    )
    channels = {
        "log": {"type": "file", "path": "alerts.jsonl"},
        "own": {"type": "command", "command": [sys.executable, str(script)]},
    }
    service = Service(
        project, {"churn": {"alerts": {"channels": ["log", "own"]}}}, channels=channels, grouping={"group_wait": "0s"}
    )
    service.event("churn", "performance")
    service.after(seconds=1)
    service.event("churn", "performance", "resolved")
    service.after(seconds=1)
    lines = [json.loads(line) for line in (project.folder / "alerts.jsonl").read_text().splitlines()]
    assert [message["type"] for message in lines] == ["alert.firing", "alert.resolved"]
    assert len({message["id"] for message in lines}) == 2
    taken = [line.split() for line in (project.folder / "taken").read_text().splitlines()]
    assert [kind for kind, _ in taken] == ["alert.firing", "alert.resolved"]


def test_pagerduty_is_triggered_acknowledged_and_resolved_by_the_alerts_id(
    project: Project, receiver: Receiver
) -> None:
    """By the published request of the Events API v2: https://developer.pagerduty.com/docs/send-alert-event."""
    receiver.answers += [status(202)] * 3
    duty = {"type": "pagerduty", "routing_key": "R" * 32, "url": receiver.url, "allow_private": True}
    service = Service(project, {"churn": {}}, channels={"ops": duty}, grouping={"group_wait": "0s"})
    alert = service.event("churn", "performance")
    service.after(seconds=1)
    service.said(alert, "acknowledged", by="ada")
    service.after(seconds=1)
    service.event("churn", "performance", "resolved")
    service.after(seconds=1)
    events = bodies(receiver)
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert {event["dedup_key"] for event in events} == {alert}
    payload = events[0]["payload"]
    assert (payload["severity"], payload["source"], payload["class"]) == ("critical", "churn", "performance")
    assert len(payload["summary"]) <= 1024
    assert "payload" not in events[2]


def test_a_webhook_may_have_alertmanagers_shape_or_a_cloud_events_envelope(
    project: Project, receiver: Receiver
) -> None:
    channels = {
        name: {"type": "webhook", "url": receiver.url, "allow_private": True, "format": name}
        for name in ("alertmanager", "cloudevents")
    }
    service = Service(
        project, {"churn": {"alerts": {"channels": list(channels)}}}, channels=channels, grouping={"group_wait": "0s"}
    )
    alert = service.event("churn", "performance")
    service.after(seconds=1)
    by_envelope = {("specversion" in body): body for body in bodies(receiver)}
    assert (by_envelope[False]["version"], by_envelope[False]["status"], by_envelope[False]["groupLabels"]) == (
        "4",
        "firing",
        {"model": "churn"},
    )
    assert by_envelope[False]["alerts"][0]["labels"]["alertname"] == "ModelPerformance"
    assert (by_envelope[True]["specversion"], by_envelope[True]["subject"], by_envelope[True]["type"]) == (
        "1.0",
        alert,
        "production-monitor.alert.firing",
    )


def test_a_channel_has_words_of_its_own(project: Project, receiver: Receiver) -> None:
    templates = {
        "title": "{{ alert.labels.model | upper }} {{ alert.alert.severity }}",
        "text": "{{ title }}: {{ alert.annotations.summary }}",
    }
    channels = {"ops": {**ops(receiver)["ops"], "templates": templates}}
    service = Service(project, {"churn": {}}, channels=channels, grouping={"group_wait": "0s"})
    service.event("churn", "performance", summary="roc_auc fell")
    service.after(seconds=1)
    assert (bodies(receiver)[0]["title"], bodies(receiver)[0]["text"]) == (
        "CHURN critical",
        "CHURN critical: roc_auc fell",
    )


def test_that_a_channel_is_deaf_the_others_hear(project: Project) -> None:
    def notified_channels(channels: list[str]) -> list[str]:
        for name in ("ops", "chat"):
            (project.folder / name).unlink(missing_ok=True)
        (project.folder / "monitor.db").unlink(missing_ok=True)
        service = Service(
            project,
            {"churn": {"alerts": {"channels": channels}}},
            channels={name: {"type": "file", "path": name} for name in channels},
            grouping={"group_wait": "0s"},
        )
        service.event(None, "self", subject="notification:ops")
        service.after(seconds=1)
        return [name for name in ("ops", "chat") if (project.folder / name).exists()]

    assert notified_channels(["ops", "chat"]) == ["chat"]
    assert notified_channels(["ops"]) == ["ops"]  # once the channel works again, it receives this alert, too


@contextmanager
def mails() -> Iterator[tuple[str, list[str]]]:
    """A real SMTP server: its Apprise URL, and the list of the mails that have arrived."""
    from aiosmtpd.controller import Controller

    class Inbox:
        def __init__(self) -> None:
            self.mails: list[str] = []

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            self.mails.append(envelope.content.decode())
            return "250 OK"

    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield (
            f"mailto://127.0.0.1:{controller.port}/?from=monitor@example.org&to=oncall@example.org&mode=insecure",
            inbox.mails,
        )
    finally:
        controller.stop()


def test_mail_arrives_at_a_real_smtp_server(project: Project) -> None:
    with mails() as (url, arrived):
        service = Service(project, {"churn": {}}, channels={"ops": url}, grouping={"group_wait": "0s"})
        service.event("churn", "performance", summary="roc_auc fell & <b>region</b>'s drift")
        service.after(seconds=1)
    mail = message_from_string(arrived[0])
    assert mail["Subject"] == "[CRITICAL] churn: roc_auc fell & <b>region</b>'s drift"
    assert mail["To"] == "oncall@example.org"
    parts = {part.get_content_type(): part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()}
    plain, page = (parts[kind].decode() for kind in ("text/plain", "text/html"))  # type: ignore[union-attr]
    assert mail["Subject"] not in plain.splitlines()[0]
    for form in (plain, page):
        assert form.count("roc_auc fell") == 1
    assert "\n- acknowledge: monitor alerts ack" in plain.replace("\n - ", "\n- ")
    assert "<li>acknowledge: monitor alerts ack" in page
    assert "<b>region</b>" in plain
    assert "&lt;b&gt;region&lt;/b&gt;" in page


@pytest.mark.long
def test_a_mail_carries_a_picture_of_what_changed_most(project: Project) -> None:
    frame = logged(1200, days=20)
    broken = (frame["event_time"] >= "2025-01-11") & (frame["id"] % 2 == 0)
    frame.loc[broken, "income"] *= 100
    frame.loc[broken, ["probability", "prediction"]] = [1.0, 1]  # the model was given the broken values
    project.log(frame.astype({"prediction": int}))
    project.labels(frame)
    with mails() as (url, arrived):
        project.values["channels"] = {"ops": {"type": "apprise", "url": url}}
        project.monitor["alerts"] = {"channels": ["ops"]}
        project.replay()
    carried = [message_from_string(mail) for mail in arrived]
    images = [part for mail in carried for part in mail.walk() if part.get_content_type() == "image/png"]
    assert images
    picture = images[0].get_payload(decode=True)
    assert isinstance(picture, bytes)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000
    pages = [
        part.get_payload(decode=True).decode()
        for mail in carried
        for part in mail.walk()
        if part.get_content_type() == "text/html"
    ]  # type: ignore[union-attr]
    for page in pages:
        parts = [
            "It has been firing since",
            '<img src="cid:metric.png"',
            "<h3>What changed",
            "<h3>Next step",
            '<img src="cid:columns.png"',
        ]
        assert page.count("<img ") == 2
        assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)


def test_a_real_alertmanager_holds_what_fires_and_lets_go_of_what_is_over(project: Project) -> None:
    import shutil

    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("prometheus-alertmanager is not installed")
        pytest.skip("needs Alertmanager (Debian: apt install prometheus-alertmanager)")
    folder = Path(tempfile.mkdtemp(prefix="monitor-alertmanager-"))
    (folder / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    port = free_port()
    command = [
        binary,
        f"--config.file={folder}/am.yml",
        f"--storage.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with open(folder / "log", "ab") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
        try:
            base = f"http://127.0.0.1:{port}"

            def get(path: str) -> Any:
                with urllib.request.urlopen(f"{base}{path}", timeout=5) as answer:
                    return json.loads(answer.read() or b"null")

            def answers() -> bool:
                try:
                    return bool(get("/api/v2/status"))
                except OSError:
                    return False

            wait_until(answers)
            channels = {"ops": {"type": "alertmanager", "url": base, "allow_private": True}}
            service = Service(project, {"churn": {"tags": {"team": "growth"}}}, channels=channels)
            service.event("churn", "performance", summary="roc_auc fell")
            senders = Senders()
            assert sync_alertmanager(service.context, senders) == 1
            assert senders.wait_for_all(20) == []
            (held,) = get("/api/v2/alerts")
            wanted = {
                "alertname": "ModelPerformance",
                "severity": "critical",
                "model": "churn",
                "model_monitor": "churn",
                "team": "growth",
            }
            assert wanted.items() <= held["labels"].items()
            assert held["annotations"]["summary"] == "roc_auc fell"
            service.event("churn", "performance", "resolved")
            sync_alertmanager(service.context, senders)
            wait_until(lambda: get("/api/v2/alerts") == [])
        finally:
            process.terminate()
