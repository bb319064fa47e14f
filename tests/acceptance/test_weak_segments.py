"""A segment that becomes worse in a real log is named where people read it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.acceptance.test_real_data import Command, initialised

NAME, FIRST, LAST = "california_housing", "2021-06-01", "2021-09-09"


@pytest.mark.long
def test_a_segment_that_becomes_worse_is_named_in_the_report_database(
    tmp_path: Path, shared_data: Path, monitor_command: Command
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shared_data / NAME, data / NAME)
    rows = pd.read_parquet(data / NAME / "predictions.parquet")
    labels = pd.read_parquet(data / NAME / "labels.parquet")
    inside = rows["id"][rows["event_time"].between(FIRST, LAST) & (rows["HouseAge"] < 15)]
    turned = labels["id"].isin(inside) & (np.random.default_rng(0).random(len(labels)) < 0.7)
    labels["label"] = labels["label"].where(~turned, 1 - labels["label"])
    labels.to_parquet(data / NAME / "labels.parquet")
    initialised(tmp_path, data, NAME, monitor_command)
    path = tmp_path / "monitor.yaml"
    values = yaml.safe_load(path.read_text())
    monitor = values["monitors"][NAME]
    monitor["windows"] = {"length": "100d", "start": FIRST, "anchor": FIRST}
    monitor["labels"]["revise_until"] = "1h"
    monitor.setdefault("checks", {})["weak_segments"] = True
    path.write_text(yaml.safe_dump(values))
    done = monitor_command("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "monitor.db") as connection:
        query = "SELECT * FROM monitor_findings WHERE metric = 'weak_segment' AND is_current = 1 ORDER BY window_start"
        findings = pd.read_sql(query, connection)
    first = findings.iloc[0]
    assert pd.Timestamp(first["window_start"]) == pd.Timestamp(FIRST)
    assert "HouseAge < 1" in first["explanation"]  # 15 was planted; bounds are rounded
