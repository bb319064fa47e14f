"""Windows get another look when rows or labels came late, or when a person asks for it. They wait for their source only
if that is configured.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project, logged

Command = Callable[..., "subprocess.CompletedProcess[str]"]
RUNS = (
    "SELECT kind, look, date(window_start), status, r.rows FROM runs r WHERE look > 0 ORDER BY kind, look, window_start"
)


def replay(project: Project, until: str) -> None:
    project.replay(until=datetime.fromisoformat(until).replace(tzinfo=UTC))


def test_rows_that_come_after_the_run_are_counted_again_and_the_window_is_looked_at_again(project: Project) -> None:
    del project.monitor["labels"]
    frame = logged()
    late = frame["event_time"].between("2025-01-02", "2025-01-03")
    project.log(frame[(frame["event_time"] < "2025-01-06") & ~late])
    replay(project, "2025-01-06T12:00")
    project.log(frame[frame["event_time"] < "2025-01-11"])
    replay(project, "2025-01-12T12:00")
    assert project.query(RUNS) == [("data", 5, "2025-01-01", "done", 300)]
    [(reason,)] = project.query("SELECT reason FROM runs WHERE look = 5")
    assert reason == ""
    for view in ("metrics", "checks", "findings"):
        looks = project.query(f"SELECT DISTINCT look, is_current FROM monitor_{view} WHERE window_start < '2025-01-02'")
        assert set(looks) <= {(0, 0), (5, 1)}, view
        assert view == "findings" or len(looks) == 2
    assert project.query("SELECT r.rows FROM runs r WHERE look = 0 ORDER BY window_start") == [
        (300 - late.sum(),),
        (300,),
    ]


def test_a_window_waits_for_its_source_no_longer_than_delay_max(project: Project) -> None:
    del project.monitor["labels"]
    project.monitor["windows"]["delay_max"] = "3d"
    frame = logged()
    project.log(frame[frame["event_time"] < "2025-01-10"])
    replay(project, "2025-01-12")
    assert project.query("SELECT date(window_start), status, date(as_of) FROM runs ORDER BY window_start") == [
        ("2025-01-01", "done", "2025-01-06"),
        ("2025-01-06", "pending", "2025-01-11"),
    ]
    project.log(frame[frame["event_time"] < "2025-01-11 06:00"])
    replay(project, "2025-01-12")
    assert project.query("SELECT status, r.rows FROM runs r WHERE look = 0 ORDER BY window_start") == [
        ("done", 300),
        ("done", 300),
    ]
    replay(project, "2025-01-17")
    [third] = project.query("SELECT status FROM runs WHERE date(window_start) = '2025-01-11' AND look = 0")
    assert third == ("pending",)
    replay(project, "2025-01-20")
    assert project.query("SELECT status, r.rows FROM runs r WHERE date(window_start) = '2025-01-11' AND look = 0") == [
        ("done", 15)
    ]


@pytest.mark.long
def test_a_backfill_is_stored_and_judged_only_when_told(project: Project, monitor_command: Command) -> None:
    frame = logged()
    bad = frame["event_time"].between("2025-01-06", "2025-01-15 23:59")
    spoilt = frame.assign(label=frame["label"].where(~bad, np.random.default_rng(1).integers(0, 2, len(frame))))
    project.log(frame)
    project.labels(spoilt)
    project.run()
    state = "SELECT state, bad_windows FROM alerts"
    assert project.query(state) == [("firing", 2)]
    project.labels(frame)
    span = ("--from", "2025-01-01", "--to", "2025-01-16")
    result = monitor_command("backfill", "churn", *span, "--preview", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert "performance 2025-01-06/2025-01-11  critical -> none" in result.stdout
    assert "2 of 6 runs would give another result; nothing was stored" in result.stdout
    assert project.query("SELECT 1 FROM runs WHERE look > 0") == []
    result = monitor_command("backfill", "churn", *span, cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert len(project.query("SELECT 1 FROM runs WHERE look = 6 AND status = 'done' AND NOT judged")) == 6
    assert project.query(state) == [("firing", 2)]
    result = monitor_command(
        "backfill", "churn", "--from", "2025-01-01", "--to", "2025-01-16", "--rejudge", cwd=project.folder
    )
    assert result.returncode == 0, result.stderr
    assert project.query("SELECT state FROM alerts") == [("retracted",)]
    assert [kind for (kind,) in project.query("SELECT kind FROM alert_events ORDER BY id")] == ["firing", "retracted"]
    refused = monitor_command("backfill", "churn", "--from", "2020-01-01", "--to", "2020-01-16", cwd=project.folder)
    assert refused.returncode == 2
    assert "no finished run" in refused.stderr


def test_a_label_that_was_corrected_counts_as_it_was_known_then(project: Project) -> None:
    frame = logged()
    project.log(frame)
    labels = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
    corrected = labels.assign(label=1 - labels["label"], label_time=labels["label_time"] + pd.to_timedelta("300D"))
    pd.concat([corrected, labels]).to_parquet(project.folder / "labels.parquet", index=False)
    project.run()
    assert project.query("SELECT count(*), sum(severity = 'none') FROM runs") == [(8, 8)]
