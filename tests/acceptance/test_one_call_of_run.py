"""`monitor run`, as cron and Airflow call it. Monitors do not stop each other, and the exit code is about this call
only.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import Project, Receiver, logged, status

Command = Callable[..., subprocess.CompletedProcess[str]]


def with_another(project: Project, **entry: object) -> None:
    """Add a second monitor, whose entry differs in the given fields."""
    project.monitor["model"] = {"name": "churn", "version": "1"}
    project.values["monitors"]["other"] = copy.deepcopy(project.monitor) | {"model": {"name": "other"}} | entry


@pytest.mark.long
def test_an_absent_source_stops_its_own_monitor_alone(project: Project, monitor_command: Command) -> None:
    with_another(project, source={"path": "nowhere/*.parquet"})
    project.write()
    done = monitor_command("run", cwd=project.folder)
    assert done.returncode == 3, "a source was away"
    assert "monitor: other: " in done.stderr
    assert project.query("SELECT kind, status, count(*) FROM runs GROUP BY kind, status") == [
        ("data", "done", 4),
        ("performance", "done", 4),
    ]
    assert "monitor: churn" not in done.stderr


@pytest.mark.long
def test_labels_that_are_away_keep_no_other_monitor_from_being_judged(
    project: Project, monitor_command: Command
) -> None:
    with_another(project, labels={"path": "no-labels.parquet", "delay": "1d"})
    project.write()
    done = monitor_command("run", cwd=project.folder)
    assert done.returncode == 3
    ended = "SELECT count(*) FROM runs JOIN monitors m ON m.id = monitor_id WHERE m.name = 'churn' AND status = 'done'"
    assert project.query(ended) == [(8,)]
    assert project.query("SELECT count(*) FROM runs WHERE status = 'failed'") == [(0,)]


@pytest.mark.long
def test_the_exit_code_tells_of_this_call_and_no_failure_of_long_ago(
    project: Project, monitor_command: Command
) -> None:
    frame = logged()
    project.log(frame.drop(columns=["prediction", "probability"]))
    project.values["workers"] = {"max_attempts": 1}
    project.write()
    failed = monitor_command("run", cwd=project.folder)
    assert failed.returncode == 1
    assert "runs have failed" in failed.stderr
    again = monitor_command("run", cwd=project.folder)
    assert again.returncode == 0, again.stderr
    with_another(project)
    project.write()
    assert monitor_command("run", "other", cwd=project.folder).returncode == 1
    project.log(frame)
    assert monitor_command("run", "other", cwd=project.folder).returncode == 0


@pytest.mark.long
def test_what_a_receiver_puts_off_for_a_second_is_delivered_before_it_ends(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    frame = logged()
    late = frame["event_time"] >= "2025-01-06"
    frame.loc[late, "label"] = np.random.default_rng(1).integers(0, 2, late.sum())
    project.log(frame)
    project.labels(frame)
    project.values["channels"] = {"hook": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["hook"], "notify_max_age": "100000d"}
    project.write()
    receiver.answers += [status(429, Retry_After="1")]
    hasty = monitor_command("run", "--wait", "0s", cwd=project.folder)
    assert hasty.returncode == 0
    assert "1 notifications are not delivered yet" in hasty.stderr
    receiver.answers += [status(429, Retry_After="1")]
    patient = monitor_command("run", cwd=project.folder)
    assert "not delivered" not in patient.stderr
    assert project.query("SELECT DISTINCT status FROM notifications") == [("delivered",)]
