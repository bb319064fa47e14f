"""A state that cannot be told is shown as such in every place that shows a monitor's state, and never as healthy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from monitor.config.model import Web
from monitor.domain.checks import Check, Kind
from monitor.services.workers import WorkerPool
from monitor.storage import overview
from monitor.web.server import WebServer
from tests.history import rows_of
from tests.integration.test_folds import DAY, ENTRY, MISSING, READS, SEES, START, Monitored
from tests.processes import wait_until
from tests.web import answers

Command = Callable[..., subprocess.CompletedProcess[str]]
DRIFT = Check("drift_score", "income", kind=Kind.DRIFT)


@pytest.fixture
def monitored(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path, ENTRY)


def state(monitored: Monitored) -> str:
    monitored.judged()
    return monitored.database.read(overview.fleet)[0].state.value


def test_a_monitor_waits_is_healthy_cannot_be_told_and_is_healthy_again(monitored: Monitored) -> None:
    assert state(monitored) == "waiting"
    states = []
    for day, letter in enumerate("gbbng"):
        monitored.ended("data", day, [(SEES, letter), (MISSING, "g")])
        states.append(state(monitored))
    assert states == ["healthy", "cannot_tell", "cannot_tell", "cannot_tell", "healthy"]


def test_labels_that_cannot_be_read_hide_how_the_model_is_until_they_can(monitored: Monitored) -> None:
    states = []
    for day, letter in enumerate("gbg"):
        monitored.ended("data", day, [(SEES, "g"), (MISSING, "g")])
        monitored.ended("performance", day, [(READS, letter)], late=2 * DAY)
        states.append(state(monitored))
    assert states == ["healthy", "cannot_tell", "healthy"]


def test_windows_in_which_nothing_that_pages_could_be_asked_are_not_healthy(monitored: Monitored) -> None:
    monitored.ended("data", 0, [(DRIFT, "g"), (MISSING, "n")])
    assert state(monitored) == "cannot_tell"
    monitored.ended("performance", 0, [(Check("mae", kind=Kind.PERFORMANCE), "g")], late=2 * DAY)
    assert state(monitored) == "healthy"
    [window] = monitored.database.read(overview.windows, 1, START, START + timedelta(days=9))
    assert window.state == "healthy"


def test_another_look_at_an_old_window_says_nothing_of_how_the_model_is_now(monitored: Monitored) -> None:
    monitored.ended("data", 0, [(SEES, "g"), (MISSING, "g")])
    monitored.ended("data", 1, [(SEES, "g"), (MISSING, "g")])
    monitored.ended("data", 0, [(SEES, "b")], look=6, late=30 * DAY)
    fleet = monitored.database.read(overview.fleet)
    assert fleet[0].state == "healthy"


def test_every_place_says_that_nobody_can_tell(monitored: Monitored, monitor_command: Command) -> None:
    monitored.ended("data", 0, [(DRIFT, "g"), (MISSING, "n")])
    models = json.loads(monitor_command("status", "--json", cwd=monitored.folder).stdout)
    assert [monitor["state"] for monitor in models[0]["monitors"]] == ["cannot_tell"]
    assert "cannot_tell" in monitor_command("status", cwd=monitored.folder).stdout
    latest = rows_of(monitored.database, "SELECT state, health FROM monitor_latest")
    assert [tuple(row) for row in latest] == [("cannot_tell", "unknown")]
    workers = WorkerPool(warm=False)
    with WebServer(monitored.context, workers, Web(port=0)) as server:
        wait_until(lambda: answers(server.url), 20)
        pages = {path: requests.get(server.url + path, timeout=60).text for path in ("/", "/monitors/m", "/metrics")}
        api = requests.get(server.url + "/api/v1/monitors", timeout=60).json()
        monitored.context.stopping.set()
    workers.close()
    badge = '<span class="badge cannot-tell">cannot tell</span>'
    assert badge in pages["/"]
    assert badge in pages["/monitors/m"]
    assert '<li><a class="cannot-tell"' in pages["/monitors/m"]
    assert 'monitor_model_health{health="cannot_tell",model="m",monitor="m"} 1.0' in pages["/metrics"]
    assert [monitor["state"] for monitor in api] == ["cannot_tell"]
