"""Labels that are asked for: drawn once, named again, and judged by their weights when they have come."""

from __future__ import annotations

import copy
import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import norm

from monitor.errors import UsageError
from monitor.services.by_hand import Actor
from monitor.services.context import Context, open_database
from monitor.services.want_labels import Wanted, require_labels, want_labels
from tests.conftest import Project, logged, shared_workers

Command = Callable[..., "subprocess.CompletedProcess[str]"]
ASKED = datetime(2025, 1, 22, tzinfo=UTC)
# By the metric: each performance look at the last window.
PERFORMANCE = (
    "SELECT look, as_of, value, value_lower, value_upper FROM monitor_metrics"
    " WHERE metric = ? AND kind = 'performance' AND window_start >= '2025-01-16' AND value IS NOT NULL ORDER BY as_of"
)


def waiting(project: Project, frame: pd.DataFrame) -> Project:
    """The project with labels of all windows but the last."""
    project.log(frame)
    project.labels(frame[frame["event_time"] < "2025-01-16"])
    project.replay(until=ASKED)
    return project


def wanted(project: Project, budget: int = 50, **options: object) -> Wanted:
    with project.daemon() as daemon:
        return want_labels(daemon.context, shared_workers(), "churn", budget, Actor("ann", ASKED), **options)


def label(project: Project, frame: pd.DataFrame, ids: list[str], moment: str) -> None:
    """Labels of these rows come at a time."""
    path = project.folder / "labels.parquet"
    rows = frame[frame["id"].astype(str).isin(ids)][["id", "label"]]
    rows = rows.assign(label_time=pd.Timestamp(moment).as_unit("us"))
    pd.concat([pd.read_parquet(path), rows], ignore_index=True).to_parquet(path, index=False)


@pytest.mark.long
def test_labels_that_were_asked_for_are_judged_by_their_weights_as_soon_as_they_have_come(project: Project) -> None:
    frame = logged(4000, seed=3)
    waiting(project, frame)
    asked = wanted(project)
    assert asked.window.start == datetime(2025, 1, 16, tzinfo=UTC)
    assert len(asked.drawn.drawn) == 50
    assert wanted(project).drawn.drawn == asked.drawn.drawn
    ids = [row.id for row in asked.drawn.drawn]
    [(stored,)] = project.query("SELECT rows FROM label_lists")
    assert not set(ids) & set(json.loads(stored))
    label(project, frame, ids[:40], "2025-01-23")
    project.replay(until=datetime(2025, 1, 23, 12, tzinfo=UTC))
    assert project.query(PERFORMANCE, "roc_auc") == []
    label(project, frame, ids[40:], "2025-01-23 18:00")
    project.replay(until=datetime(2025, 1, 24, tzinfo=UTC))
    [(look, as_of, area, lower, upper)] = project.query(PERFORMANCE, "roc_auc")
    assert (look, str(as_of)[:16]) == (1000, "2025-01-23 18:00")
    window = frame[frame["event_time"] >= "2025-01-16"]
    accuracy = float((window["prediction"] == window["label"]).mean())
    [(_, _, value, low, high)] = project.query(PERFORMANCE, "accuracy")
    assert low < accuracy < high
    assert lower < area < upper
    assert low < value < high
    verdicts = project.query(
        "SELECT verdict FROM monitor_checks WHERE metric = 'roc_auc' AND kind = 'performance' AND is_current = 1"
        " AND window_start >= '2025-01-16'"
    )
    assert verdicts == [("fine",)]


@pytest.mark.long
def test_a_month_of_bike_rentals_is_known_better_by_fifty_chosen_labels_than_by_random_ones(
    project: Project, shared_data: Path
) -> None:
    folder = shared_data / "bike_sharing"
    rows = pd.read_parquet(folder / "predictions.parquet").merge(pd.read_parquet(folder / "labels.parquet"), on="id")
    frame = rows[rows["event_time"] < "2012-03-01"].drop(columns="label_time").reset_index(drop=True)
    shutil.copy(folder / "reference.parquet", project.folder / "reference.parquet")
    project.monitor["task"] = "regression"
    del project.monitor["columns"]["probability"]
    project.monitor["windows"] = {"length": "1mo", "start": "2012-01-01"}
    project.log(frame)
    project.labels(frame[frame["event_time"] < "2012-02-01"], delay="3h")
    asked = datetime(2012, 3, 2, 1, tzinfo=UTC)
    project.replay(until=asked)
    with project.daemon() as daemon:
        drawn = want_labels(daemon.context, shared_workers(), "churn", 50, Actor("ann", asked)).drawn
    assert drawn.metric == "mae"
    assert drawn.by_random_rows is not None
    assert drawn.after < 0.9 * drawn.by_random_rows
    label(project, frame, [row.id for row in drawn.drawn], "2012-03-03")
    project.replay(until=datetime(2012, 3, 4, tzinfo=UTC))
    [(lower, upper)] = project.query(
        "SELECT value_lower, value_upper FROM monitor_metrics WHERE metric = 'mae' AND kind = 'performance'"
        " AND window_start >= '2012-02-01' AND value IS NOT NULL"
    )
    window = frame[frame["event_time"] >= "2012-02-01"]
    errors = (window["label"] - window["prediction"]).abs()
    assert lower < errors.mean() < upper
    at_random = 2 * norm.ppf(0.995) * errors.std() / 50**0.5
    assert upper - lower < 0.8 * at_random


@pytest.mark.long
def test_the_command_names_the_rows_and_says_what_their_labels_are_worth(
    project: Project, monitor_command: Command
) -> None:
    project.monitor["labels"]["revise_until"] = "3000d"
    waiting(project, logged(2000, seed=3))
    result = monitor_command("labels", "wanted", "churn", "--budget", "40", "-o", "wanted.csv", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert "40 of 500 rows, drawn now" in result.stdout
    assert "by as many labels of random rows" in result.stdout
    with (project.folder / "wanted.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == 40
    weights = [float(row["weight"]) for row in rows]
    assert 300 < sum(weights) < 700
    assert max(weights) <= 2 * 500 / 40 + 1e-6
    again = monitor_command("labels", "wanted", "churn", "--json", cwd=project.folder)
    [facts] = json.loads(again.stdout)
    assert not facts["is_new"]
    assert [row["id"] for row in facts["rows"]] == [row["id"] for row in rows]
    another = monitor_command("labels", "wanted", "churn", "--another", "--json", cwd=project.folder)
    [facts] = json.loads(another.stdout)
    assert facts["number"] == 2
    assert not {row["id"] for row in facts["rows"]} & {row["id"] for row in rows}


def test_labels_cannot_be_asked_for_where_nobody_could_tell_them_from_others(project: Project) -> None:
    for change, words in (
        (lambda entry: (entry["columns"].pop("id"), entry["labels"].pop("path")), "columns.id"),
        (lambda entry: entry["columns"].update(sensitive=["id"]), "is sensitive"),
        (lambda entry: entry["columns"].pop("label_time"), "label times"),
        (lambda entry: entry.pop("labels"), "has no `labels`"),
    ):
        entry = copy.deepcopy(project.values["monitors"]["churn"])
        change(entry)
        loaded = Project(project.folder, {"web": False, "monitors": {"churn": entry}}).loaded()
        context = Context(loaded, open_database(loaded))
        with pytest.raises(UsageError, match=words):
            require_labels(context, loaded.configuration.monitors["churn"], "churn")
