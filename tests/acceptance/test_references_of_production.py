"""References from production: rolling ones, seasonal ones, and healthy intervals for calibration."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project, logged

DAYS = {"length": "1d", "start": "2025-01-01"}


def growing(rows: int = 4800, days: int = 12) -> pd.DataFrame:
    """A log whose `noise` grows a little every day, and breaks on the last day."""
    frame = logged(rows, days=days, seed=3)
    day = (frame["event_time"] - frame["event_time"].iloc[0]).dt.days
    noise = np.random.default_rng(1).normal(size=rows)
    return frame.assign(noise=noise + day * 0.05 + np.where(day == days - 1, 1.0, 0.0))


def drifted(project: Project) -> list[str]:
    """The days on which `noise` drifted."""
    query = (
        "SELECT window_start FROM monitor_findings WHERE metric = 'drift_score' AND column_name = 'noise' ORDER BY 1"
    )
    return [str(start)[:10] for (start,) in project.query(query)]


@pytest.mark.long
def test_slow_growth_is_no_drift_against_the_windows_before_and_a_sudden_break_is(project: Project) -> None:
    project.monitor["windows"] = DAYS
    project.log(growing())
    project.labels(growing())
    bell = logged(1200, seed=1).assign(noise=np.random.default_rng(2).normal(size=1200))
    bell.to_parquet(project.folder / "reference.parquet", index=False)
    project.run()
    assert len(drifted(project)) > 3
    (project.folder / "monitor.db").unlink()
    project.monitor["reference"]["rolling"] = 3
    outcome = project.run()
    assert outcome.failed == 0
    drifted_days = drifted(project)
    assert "2025-01-12" in drifted_days
    assert len(drifted_days) <= 3
    kinds = project.query("SELECT DISTINCT kind FROM monitor_checks WHERE metric = 'estimated_roc_auc'")
    assert kinds == [("estimated_performance",)]


@pytest.mark.long
def test_windows_are_held_against_those_of_the_same_weekday(project: Project) -> None:
    frame = logged(5600, days=14, seed=3)
    weekend = frame["event_time"].dt.weekday >= 5
    frame["noise"] += np.where(weekend, 0.5, 0.0)
    project.monitor["windows"] = DAYS
    project.log(frame)
    del project.monitor["labels"]  # drift asks for none
    project.monitor["reference"] |= {"rolling": 1, "season": "weekday"}
    project.run()
    # There is no earlier weekday for the first week, which is compared with the reference.
    assert [day for day in drifted(project) if day > "2025-01-08"] == []
    (project.folder / "monitor.db").unlink()
    del project.monitor["reference"]["season"]
    project.run()
    assert len([day for day in drifted(project) if day > "2025-01-08"]) >= 2


@pytest.mark.long
def test_how_much_healthy_production_varies_counts_as_normal(
    project: Project, monitor_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    random = np.random.default_rng(4)
    frame = logged(9_000, days=30, seed=3)
    day = (frame["event_time"] - frame["event_time"].iloc[0]).dt.days
    frame["noise"] += random.normal(0, 0.15, 30)[day]
    project.monitor["windows"] = DAYS | {"start": "2025-01-21"}
    project.log(frame)
    project.labels(frame)
    project.run()
    before = len(drifted(project))
    (project.folder / "monitor.db").unlink()
    project.monitor["reference"]["calibrate_on"] = [{"start": "2025-01-01", "end": "2025-01-21"}]
    project.run()
    after = len(drifted(project))
    references = project.query("SELECT valid_from FROM references_in_force")
    done = monitor_command("annotate", "churn", "2025-01-21/2025-01-30", "--as", "healthy", cwd=project.folder)
    assert "what judging those windows again would say: monitor backfill churn" in done.stdout, done.stderr
    project.run()
    assert len(project.query("SELECT valid_from FROM references_in_force")) == len(references) + 1
    assert before > 6
    assert after < before / 3
