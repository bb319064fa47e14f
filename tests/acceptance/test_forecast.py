"""Forecasts on real data: the air of Beijing, forecast one to three days ahead by what it was before."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

Command = Callable[..., subprocess.CompletedProcess[str]]
AHEAD = (24, 48, 72)


def forecasts(actuals: pd.Series) -> pd.DataFrame:
    """By hour and horizon: a mean of what was measured before the forecast was made, with an interval as wide as nine
    in ten changes of the first weeks.
    """
    parts = []
    for ahead in AHEAD:
        before = actuals.rolling("12h").mean()
        shifted = before.set_axis(before.index + pd.Timedelta(hours=ahead)).reindex(actuals.index, method="nearest")
        change = (actuals - shifted).iloc[: 24 * 60].abs().quantile(0.9)
        parts.append(
            pd.DataFrame(
                {
                    "target_time": actuals.index,
                    "issued_at": actuals.index - pd.Timedelta(hours=ahead),
                    "prediction": shifted.to_numpy(),
                    "lower": shifted.to_numpy() - change,
                    "upper": shifted.to_numpy() + change,
                    "hour": actuals.index.hour,
                }
            ).iloc[ahead:]
        )
    rows = pd.concat(parts, ignore_index=True).sort_values(["target_time", "issued_at"], kind="stable")
    return rows.assign(id=np.arange(len(rows)))


@pytest.mark.long
def test_forecasts_are_recognised_measured_by_horizon_and_page_when_the_model_is_off(
    tmp_path: Path, shared_data: Path, monitor_command: Command
) -> None:
    folder = shared_data / "beijing_pm25"
    measured = pd.read_parquet(folder / "reference.parquet").drop_duplicates("event_time").set_index("event_time")
    actuals = pd.to_numeric(measured["label"]).sort_index().dropna()
    actuals = actuals[actuals.index < actuals.index[0] + pd.Timedelta(days=150)]
    rows = forecasts(actuals)
    off = rows["target_time"] >= actuals.index[0] + pd.Timedelta(days=130)
    rows.loc[off, ["prediction", "lower", "upper"]] += 150
    labels = rows[["id"]].assign(label=rows["target_time"].map(actuals), label_time=rows["target_time"])
    rows.to_parquet(tmp_path / "log.parquet", index=False)
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    until = f"{actuals.index[0] + pd.Timedelta(days=100):%Y-%m-%d}"
    made = monitor_command(
        *("init", "air", "--predictions", "log.parquet", "--labels", "labels.parquet", "--reference-until", until),
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    assert "a forecast" in made.stdout
    path = tmp_path / "monitor.yaml"
    values = yaml.safe_load(path.read_text())
    entry = values["monitors"]["air"]
    roles = [entry["columns"][part] for part in ("event_time", "issued_at", "lower", "upper")]
    assert (entry["task"], roles) == ("forecast", ["target_time", "issued_at", "lower", "upper"])
    entry["windows"] |= {"length": "1w"}
    entry["checks"] = {"harm": {"mase": "50%"}}
    path.write_text(yaml.safe_dump(values))
    checked = monitor_command("validate", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ran = monitor_command("run", "air", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    query = """SELECT m.window_start, m.window_end, m.segment, m.metric, m.value FROM monitor_metrics m
               JOIN monitor_runs r ON r.run = m.run WHERE r.is_current = 1 AND m.kind = 'performance'"""
    with sqlite3.connect(tmp_path / "monitor.db") as connection:
        stored = pd.read_sql(query, connection)
        alerts = pd.read_sql("SELECT kind, severity FROM monitor_alerts", connection)
    of_horizons = stored[stored["segment"].fillna("").str.startswith("horizon_hours=")]
    first = stored[stored["window_start"] == of_horizons["window_start"].min()]
    start, end = (pd.Timestamp(first[name].iloc[0]) for name in ("window_start", "window_end"))
    times = rows["target_time"].dt.tz_localize("UTC") if rows["target_time"].dt.tz is None else rows["target_time"]
    start, end = (moment.tz_localize("UTC") if moment.tzinfo is None else moment for moment in (start, end))
    inside = rows.assign(label=labels["label"])[(times >= start) & (times < end)]
    errors = (inside["prediction"] - inside["label"]).abs()
    ahead = (inside["target_time"] - inside["issued_at"]).dt.total_seconds() / 3600
    for hours in AHEAD:
        segment = first[(first["segment"] == f"horizon_hours={hours}") & (first["metric"] == "mae")]
        assert segment["value"].item() == pytest.approx(errors[ahead == hours].mean())
    covered = inside["label"].between(inside["lower"], inside["upper"]).mean()
    whole = first[(first["segment"].fillna("") == "") & (first["metric"] == "interval_coverage")]
    assert whole["value"].item() == pytest.approx(covered)
    assert "critical" in set(alerts[alerts["kind"] == "performance"]["severity"])
