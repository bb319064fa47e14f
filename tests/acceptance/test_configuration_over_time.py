"""A configuration changes and the history stays: versions, epochs, renaming, removal, two daemons with two files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.daemon import Daemon
from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import BEGINNING, apply_configuration
from monitor.services.context import Context
from monitor.storage import daemons, runs
from monitor.storage.database import Database
from tests.conftest import Project, logged

Command = Callable[..., "subprocess.CompletedProcess[str]"]
WINDOWS = "SELECT date(window_start), date(window_end) FROM runs WHERE kind = 'data' ORDER BY window_start"


def without_labels(project: Project) -> None:
    del project.monitor["labels"]


def test_a_changed_grid_begins_an_epoch_and_windows_tile(project: Project, monitor_command: Command) -> None:
    without_labels(project)
    frame = logged()
    project.log(frame[frame["event_time"] < "2025-01-11"])
    project.run()
    project.monitor["windows"] = {"length": "1w", "timezone": "UTC"}
    project.write()
    difference = monitor_command("config", "diff", cwd=project.folder).stdout
    assert "a new epoch begins at 2025-01-11 00:00 UTC" in difference
    project.log(frame)
    project.run()
    windows = project.query(WINDOWS)
    assert [start for start, _ in windows][1:] == [end for _, end in windows][:-1]
    assert windows[0] == ("2025-01-01", "2025-01-06")
    assert ("2025-01-13", "2025-01-20") in windows  # the new grid: weeks from Monday, after a short piece
    assert "no difference" in monitor_command("config", "diff", cwd=project.folder).stdout


@pytest.mark.long
def test_a_renamed_monitor_keeps_its_history_and_a_removed_one_is_retired(project: Project) -> None:
    frame = logged()
    bad = frame["event_time"] > "2025-01-11"
    frame.loc[bad, "label"] = np.random.default_rng(1).integers(0, 2, bad.sum())
    project.log(frame)
    project.labels(frame)
    project.run()
    entry = project.values["monitors"].pop("churn")
    project.values["monitors"]["leaving"] = {**entry, "renamed_from": "churn"}
    assert project.run().finished == 0
    assert project.query("SELECT name, first_name, generation FROM monitors") == [("leaving", "churn", 1)]
    assert project.query("SELECT state FROM alerts") == [("firing",)]
    again = project.values["monitors"].pop("leaving")
    project.values["monitors"]["other"] = {k: v for k, v in again.items() if k != "renamed_from"}
    project.run()
    assert project.query("SELECT name, active_name FROM monitors ORDER BY id") == [
        ("leaving", None),
        ("other", "other"),
    ]
    gone = (
        "SELECT a.state, e.kind, e.detail FROM alerts a JOIN alert_events e ON e.alert_id = a.id WHERE monitor_id = 1"
        " ORDER BY e.id"
    )
    assert project.query(gone)[-1] == ("resolved", "resolved", '{"reason": "monitor_removed"}')
    assert project.query("SELECT count(*) FROM runs WHERE monitor_id = 1 AND status = 'done'") == [(8,)]


def test_an_alert_whose_check_is_no_longer_configured_closes(project: Project) -> None:
    project.monitor["checks"] = {"thresholds": {"missing_share": {"columns": {"income": {"upper": 0.01}}}}}
    without_labels(project)
    frame = logged()
    frame.loc[frame["event_time"] > "2025-01-11", "income"] = None
    project.log(frame)
    project.run()
    assert ("quality", "firing") in project.query("SELECT kind, state FROM alerts")
    project.monitor["columns"]["ignore"] = ["income"]
    project.run()
    [detail] = project.query("SELECT detail FROM alert_events ORDER BY id DESC LIMIT 1")
    assert detail == ('{"reason": "config_changed"}',)
    assert project.query("SELECT count(*) FROM alerts WHERE state = 'firing'") == [(0,)]


def test_a_run_in_work_of_a_monitor_that_is_removed_is_cancelled(project: Project) -> None:
    without_labels(project)
    project.run()
    database = Database(f"sqlite:///{project.folder}/monitor.db")
    now = datetime.now(UTC)

    def again(session):  # type: ignore[no-untyped-def]
        run = session.get_one(runs.Run, 1)
        run.status = "pending"
        taken = runs.claim(session, "d", timedelta(minutes=1), now, alone=True)
        return runs.RunClaim(taken.id, taken.owner, taken.claims)

    claim = database.transact(again)
    project.values["monitors"] = {"other": project.monitor}
    apply_configuration(Context(project.loaded(), database))
    assert database.transact(runs.held, claim) is None
    assert project.query("SELECT status, reason FROM runs WHERE id = 1") == [("cancelled", "the monitor was removed")]


def test_an_older_file_is_left_alone_while_a_daemon_lives_on_a_newer_one(project: Project) -> None:
    without_labels(project)
    older = project.loaded()
    database = Database(f"sqlite:///{project.folder}/monitor.db")
    database.prepare()
    first = Context(older, database)
    database.transact(daemons.register, first.owner)
    apply_configuration(first)
    project.monitor["tags"] = {"team": "ops"}
    second = Context(project.loaded(), database)
    database.transact(daemons.register, second.owner)
    apply_configuration(second)
    restarted = Context(older, database)
    database.transact(daemons.register, restarted.owner)
    apply_configuration(restarted)
    assert restarted.configuration.monitors["churn"].tags == {"team": "ops"}
    assert project.query("SELECT max(configuration_id) FROM monitors") == [(2,)]
    database.transact(daemons.leave, second.owner)
    database.transact(daemons.leave, restarted.owner)
    alone = Context(older, database)
    database.transact(daemons.register, alone.owner)
    apply_configuration(alone)
    assert alone.configuration.monitors["churn"].tags == {}
    assert project.query("SELECT max(configuration_id) FROM monitors") == [(1,)]


def test_a_daemon_applies_its_file_when_it_changes_and_keeps_the_old_one_if_it_is_wrong(project: Project) -> None:
    without_labels(project)
    with Daemon(project.loaded(), clock=ReplayClock(BEGINNING)) as daemon:
        project.monitor["tags"] = {"team": "ops"}
        project.write()
        daemon.reload()
        assert daemon.context.configuration.monitors["churn"].tags == {"team": "ops"}
        project.path.write_text("monitors: {churn: {tsk: binary}}")
        daemon.reload()
        assert daemon.context.configuration.monitors["churn"].tags == {"team": "ops"}
    assert project.query("SELECT count(*) FROM configurations") == [(2,)]
