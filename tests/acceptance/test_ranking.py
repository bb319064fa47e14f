"""A ranking on real data: hotel bookings, twelve at a time, those that will probably be cancelled first."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import ndcg_score

Command = Callable[..., subprocess.CompletedProcess[str]]
LIST = 12
VALUES = """SELECT m.window_start, metric, value, value_lower AS lower, value_upper AS upper FROM monitor_metrics m
            JOIN monitor_runs r ON r.run = m.run WHERE r.is_current = 1 AND m.kind = 'performance' AND segment = ''"""


def as_lists(bookings: pd.DataFrame) -> pd.DataFrame:
    """Bookings in the order of time, each twelve of them a list, ordered by the probability."""
    rows = bookings.sort_values("event_time", kind="stable").reset_index(drop=True)
    return rows.assign(query_id=rows.index // LIST).drop(columns="prediction").rename(columns={"probability": "score"})


@pytest.mark.long
def test_lists_of_bookings_are_recognised_measured_and_page_when_their_order_is_lost(
    tmp_path: Path, shared_data: Path, monitor_command: Command
) -> None:
    folder = shared_data / "hotel_bookings"
    as_lists(pd.read_parquet(folder / "reference.parquet")).to_parquet(tmp_path / "reference.parquet", index=False)
    lists = as_lists(pd.read_parquet(folder / "predictions.parquet"))
    lists = lists[lists["event_time"] < "2016-10-01"]
    broken = lists["event_time"] >= "2016-09-01"
    lists.loc[broken, "score"] = np.random.default_rng(0).permutation(lists.loc[broken, "score"].to_numpy())
    lists.to_parquet(tmp_path / "log.parquet", index=False)
    labels = pd.read_parquet(folder / "labels.parquet")
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    made = monitor_command(
        *("init", "bookings", "--predictions", "log.parquet", "--labels", "labels.parquet"),
        *("--reference", "reference.parquet"),
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    assert "a ranking" in made.stdout
    path = tmp_path / "monitor.yaml"
    values = yaml.safe_load(path.read_text())
    entry = values["monitors"]["bookings"]
    assert (entry["task"], entry["columns"]["query"], entry["columns"]["prediction"]) == (
        "ranking",
        "query_id",
        "score",
    )
    entry["windows"] = {"length": "1w", "start": "2016-07-04"}
    entry["checks"] = {"harm": {"ndcg": 0.15}}
    entry["labels"] |= {"delay": "300d", "expected": 0.9, "revise_until": "301d"}
    path.write_text(yaml.safe_dump(values))
    assert monitor_command("validate", cwd=tmp_path).returncode == 0
    ran = monitor_command("run", "bookings", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with sqlite3.connect(tmp_path / "monitor.db") as connection:
        stored = pd.read_sql(VALUES, connection)
        alerts = pd.read_sql("SELECT kind, since, severity FROM monitor_alerts", connection)
    ndcg = stored[stored["metric"] == "ndcg"].set_index("window_start")
    assert len(ndcg) >= 10
    labelled = lists.merge(labels[["id", "label"]], on="id")
    week = labelled[labelled["event_time"].between("2016-07-11", "2016-07-18", inclusive="left")]
    truth = [
        ndcg_score([group["label"]], [group["score"]], k=10)
        for _, group in week.groupby("query_id")
        if group["label"].any() and len(group) > 1
    ]
    assert ndcg.loc[ndcg.index.astype(str).str.startswith("2016-07-11"), "value"].item() == pytest.approx(
        np.mean(truth), abs=0.02
    )
    assert (ndcg["lower"] < ndcg["value"]).all()
    performance = alerts[alerts["kind"] == "performance"]
    assert performance["since"].astype(str).min().startswith(("2016-08-29", "2016-09-05"))
    assert "critical" in set(performance["severity"])
