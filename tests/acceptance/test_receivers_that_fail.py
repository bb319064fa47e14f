"""Receivers that fail in every way. Each change of an alert is finally delivered at least once, in order, with stable
ids and bytes.

MONITOR_FAULTS_SEED=n replays a run; the seed and the figures are printed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from monitor import outgoing
from monitor.errors import DeliveryError
from monitor.services.context import Context, open_database
from monitor.services.deliver_notifications import Deliverer
from monitor.services.dispatch_alerts import dispatch_alerts
from monitor.services.senders import Senders
from monitor.services.sync_alertmanager import sync_alertmanager
from monitor.storage import outbox
from tests.alerting import Service
from tests.conftest import Project, Receiver, status
from tests.processes import wait_until
from tests.receivers import raw, takes_nothing

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def _no_sender_is_left() -> Iterator[None]:
    """What a thread that still sends would log must not come into another test's output."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("send "):
            thread.join(10)


def closes_in_the_middle(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.wfile.flush()
    handler.connection.close()


def hangs(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.2)
    handler.connection.close()


FAILURES: list[Answer] = [
    status(500),
    status(503, Retry_After="120"),
    status(429, Retry_After="1000000"),
    status(429, Retry_After="soon"),
    status(302, Location="/login"),
    status(404),
    hangs,
]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("1000000", 3600.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("9" * 400, 3600.0),
        ("Wed, 21 Oct 1015 07:28:00 GMT", 0.0),
        ("nan", 0.0),
    ],
)
def test_retry_after_is_honoured_up_to_an_hour_whatever_it_says(
    receiver: Receiver, header: str, seconds: float
) -> None:
    receiver.answers.append(status(429, Retry_After=header))
    with pytest.raises(DeliveryError) as caught:
        outgoing.post(receiver.url, b"{}", {}, allow_private=True)
    assert caught.value.retry_after_s == pytest.approx(seconds, abs=1)


def test_retry_after_may_be_a_date(receiver: Receiver) -> None:
    receiver.answers.append(
        status(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True))
    )
    with pytest.raises(DeliveryError) as caught:
        outgoing.post(receiver.url, b"{}", {}, allow_private=True)
    assert caught.value.retry_after_s == pytest.approx(600, abs=3)


def test_slow_receivers_delay_no_other_and_closing_waits_for_none(project: Project, receiver: Receiver) -> None:
    with raw(takes_nothing) as slow:
        names = [f"slow{number}" for number in range(12)]
        channels = {
            name: {"type": "webhook", "url": slow.url, "allow_private": True, "timeout": "1min"} for name in names
        }
        channels["ops"] = {"type": "webhook", "url": receiver.url, "allow_private": True}
        service = Service(
            project,
            {"churn": {"alerts": {"channels": [*names, "ops"]}}},
            channels=channels,
            grouping={"group_wait": "0s"},
        )
        started = time.monotonic()
        for number, change in enumerate(("firing", "resolved"), 1):
            service.event("churn", "performance", change)
            service.clock.move_to(service.clock.now() + timedelta(seconds=5))
            dispatch_alerts(service.context)

            def has_come(number: int = number) -> bool:
                service.deliverer.deliver()  # `ops` is free once it is stored that its last message was delivered
                return len(receiver.received) == number

            wait_until(has_come, 10)
        service.deliverer.close()
        assert time.monotonic() - started < 20
        assert len(slow.connections) == 12  # each was asked once, and still holds its thread


def test_a_slow_alertmanager_delays_no_other(project: Project, receiver: Receiver) -> None:
    with raw(takes_nothing) as slow:
        channels = {
            name: {"type": "alertmanager", "url": url, "allow_private": True, "timeout": "1min"}
            for name, url in (("slow", slow.url), ("ops", receiver.url))
        }
        service = Service(project, {"churn": {"alerts": {"channels": ["slow", "ops"]}}}, channels=channels)
        service.event("churn", "performance")
        senders = Senders()
        for number in (1, 2):
            sync_alertmanager(service.context, senders)
            wait_until(lambda number=number: len(receiver.received) == number, 10)
            wait_until(lambda: senders.busy == ["slow"], 10)


def test_a_daemon_stops_while_receivers_hold_on_to_it(project: Project) -> None:
    with raw(takes_nothing) as slow:
        project.values["monitors"] = {}  # whose work would be ended first
        project.values["heartbeat_url"], project.values["heartbeat_allow_private"] = slow.url, True
        project.write()
        command = [sys.executable, "-m", "monitor", "serve"]
        with open(project.folder / "log", "w") as log:
            daemon = subprocess.Popen(command, cwd=project.folder, stdout=log, stderr=log)
        try:
            wait_until(lambda: slow.connections, 60)
            started = time.monotonic()
            daemon.terminate()
            assert daemon.wait(30) == 0
            assert time.monotonic() - started < outgoing.DEADLINE_S / 2
        finally:
            daemon.kill()


@pytest.mark.long
def test_every_change_is_delivered_at_least_once_in_order_whatever_receivers_and_daemons_do(
    project: Project, receiver: Receiver
) -> None:
    seed = int(os.environ.get("MONITOR_FAULTS_SEED", random.randrange(10**6)))
    dice = random.Random(seed)
    channel = {"type": "webhook", "url": receiver.url, "allow_private": True, "timeout": "1s"}
    names = [f"m{number}" for number in range(6)]
    service = Service(
        project,
        {name: {} for name in names},
        channels={"ops": channel},
        grouping={"group_wait": "10s", "repeat_interval": "30d"},
    )
    second_deliverer = Deliverer(service.context)  # a second daemon's
    events_by_alert: dict[str, list[str]] = {}
    state: dict[str, str] = {}
    for _ in range(60):
        name = dice.choice(names)
        fires = state.get(name) == "firing"
        change = dice.choice(["escalated", "resolved", "downgraded"]) if fires else "firing"
        state[name] = "resolved" if change == "resolved" else "firing"
        events_by_alert.setdefault(service.event(name, "performance", change), []).append(change)
        receiver.answers[:] = [dice.choice(FAILURES) for _ in range(dice.randrange(3))]
        service.clock.move_to(service.clock.now() + timedelta(seconds=dice.choice([1, 20, 400])))
        dispatch_alerts(service.context)
        dispatch_alerts(service.context)  # another replica: nobody is notified twice
        # A daemon is killed after it claimed a notification, or after it sent it and before it stored that.
        if dice.random() < 0.3:
            notification = service.context.database.transact(
                outbox.claim, "dead", timedelta(seconds=-1), service.clock.now(), []
            )
            if notification is not None and dice.random() < 0.5:
                receiver.answers.clear()
                outgoing.post_signed(receiver.url, notification.uuid, notification.body, [], allow_private=True)
            service.context.database.transact(outbox.recover, everything=False)
        for deliverer in (service.deliverer, second_deliverer):
            deliverer.drain()
    receiver.answers.clear()
    for _ in range(40):
        service.after(hours=13)
        if not service.context.database.read(outbox.waiting_since, service.clock.now() + timedelta(days=1)):
            break
    bodies: dict[str, set[bytes]] = {}
    for headers, body in receiver.received:
        bodies.setdefault(headers["webhook-id"], set()).add(body)
    assert all(len(contents) == 1 for contents in bodies.values()), "an id came with other bytes"
    messages = list({headers["webhook-id"]: json.loads(body) for headers, body in receiver.received}.values())
    deliveries = service.context.database.read(
        lambda session: (
            session.connection()
            .exec_driver_sql(
                "SELECT a.uuid, e.number, e.kind, count(n.id) FROM alert_events e JOIN alerts a ON a.id = e.alert_id"
                " LEFT JOIN notification_events l ON l.alert_event_id = e.id LEFT JOIN notifications n ON n.id ="
                " l.notification_id AND n.status = 'delivered' GROUP BY a.uuid, e.number, e.kind ORDER BY 1, 2"
            )
            .all()
        )
    )
    undelivered = [row for row in deliveries if row[3] == 0]
    # The end of an alert that was never notified is not notified. Every other change was delivered, or covered by a
    # later one.
    for uuid, events in events_by_alert.items():
        states = [
            alert["alert"]["state"]
            for message in messages
            for alert in message["alerts"]
            if alert["alert"]["id"] == uuid
        ]
        assert states[-1] == ("resolved" if events[-1] == "resolved" else "firing"), (seed, uuid, events, states)
        order = [alert["event"] for message in messages for alert in message["alerts"] if alert["alert"]["id"] == uuid]
        places, at = [], 0
        for event in order:
            while at < len(events) and events[at] != event:
                at += 1
            places.append(at)
        assert all(place < len(events) for place in places), (seed, events, order)
    print(
        f"seed {seed}: {len(deliveries)} changes, {len(messages)} notifications, {len(receiver.received)} requests,"
        f" {len(undelivered)} changes told by a later one"
    )
    assert not [row for row in undelivered if row[2] in ("firing", "escalated")], (seed, undelivered)


def test_replicas_tell_no_group_twice_and_none_too_little(
    project: Project, receiver: Receiver, empty_postgresql: str
) -> None:
    channel = {"type": "webhook", "url": receiver.url, "allow_private": True}
    grouping = {"group_wait": "0s", "repeat_interval": "12h"}
    service = Service(
        project, {"churn": {}, "fraud": {}}, channels={"ops": channel}, grouping=grouping, database=empty_postgresql
    )
    loaded = service.context.loaded
    replicas = [Context(loaded, open_database(loaded), service.clock, catches_up=False) for _ in range(4)]

    def round_of_all() -> None:
        for replica in replicas:
            replica.reminded_at = float("-inf")
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(dispatch_alerts, replica) for replica in replicas for _ in range(3)]:
                done.result()
        service.deliverer.drain()

    service.event("churn", "performance")
    service.event("fraud", "performance")
    round_of_all()
    assert len(receiver.received) == 2
    for number in (2, 3):
        service.clock.move_to(service.clock.now() + timedelta(hours=13))
        round_of_all()
        assert len(receiver.received) == 2 * number
    service.event("churn", "performance", "resolved")
    round_of_all()
    assert len(receiver.received) == 7
