"""A monitor.yaml with its data for each set of ../shared/data, made to be replayed by two commits: nothing here imports
`monitor`.

Between them the six ask for all kinds of looks (labels that come late, rows that are written late), findings and
alerts, for segments, model versions, thresholds, rolling references and retraining requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class DataSet:
    """How a set is watched. `turn`: a day on which something changes; the windows that are replayed lie around it."""

    task: str
    days: int
    turn: str
    entry: dict[str, Any]
    columns: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame


def written_late(frame: pd.DataFrame) -> pd.DataFrame:
    """One row in forty is written two days after its event: after its window's run, before its rows are counted
    again.
    """
    delay = pd.to_timedelta((frame["id"] % 40 == 0) * 2, unit="D")
    return frame.assign(logged_at=(frame["event_time"] + delay).astype("datetime64[us]"))


def two_versions(frame: pd.DataFrame) -> pd.DataFrame:
    """A second version of the model takes over, first with a third of the rows."""
    from_then_on = frame["event_time"] >= "2021-10-18"
    all_of_it = frame["event_time"] >= "2021-11-15"
    second = all_of_it | (from_then_on & (frame["id"] % 3 == 0))
    return frame.assign(model_version=second.map({True: "2", False: "1"}))


SETS = {
    "bike_sharing": DataSet(
        task="regression",
        days=7,
        turn="2012-03-05",
        entry={
            "labels": {"delay": "2h", "expected": 1.0, "revise_until": "1d"},
            "windows": {"delay": "1h"},
            "checks": {"thresholds": {"mae": {"upper": 80}}, "harm": {"mae": "15%"}, "segments": ["weather"]},
            "alerts": {"for": 1, "keep_firing_for": 2},
            "retraining": {
                "when": ["performance"],
                "for": 2,
                "requires_approval": True,
                "cooldown": "14d",
                "launcher": "retrain",
            },
        },
    ),
    "california_housing": DataSet(
        task="binary",
        days=14,
        turn="2021-10-18",
        entry={
            "labels": {"delay": "14d", "expected": 0.95, "revise_until": "20d", "refresh_estimate": True},
            "checks": {"thresholds": {"roc_auc": {"lower": 0.85}}},
            "alerts": {"for": 1, "keep_firing_for": 1},
        },
        columns={"model_version": "model_version"},
        prepare=two_versions,
    ),
    "car_loan": DataSet(
        task="binary",
        days=7,
        turn="2019-04-01",
        entry={
            "labels": {"delay": "8d", "expected": 0.98, "revise_until": "10d"},
            "windows": {"delay": "6h", "recount_after": "3d"},
            "sample": {"rows": 800},
            "checks": {"segments": ["salary_range"]},
            "alerts": {"for": 2, "keep_firing_for": 2},
        },
        columns={"logged_at": "logged_at"},
        prepare=written_late,
    ),
    "hotel_bookings": DataSet(
        task="binary",
        days=7,
        turn="2016-09-05",
        entry={
            "labels": {"delay": "7d", "expected": 0.95, "revise_until": "60d"},
            "windows": {"delay": "6h"},
            "checks": {
                "thresholds": {"missing_share": {"columns": {"agent": {"upper": 0.2}}}},
                "segments": ["deposit_type"],
            },
            "alerts": {"for": 1, "keep_firing_for": 1},
        },
        columns={"sensitive": ["country"]},
    ),
    "beijing_pm25": DataSet(
        task="regression",
        days=14,
        turn="2012-10-01",
        entry={
            "labels": {"delay": "3h", "expected": 0.98, "revise_until": "2d"},
            "reference": {"rolling": 4},
            "checks": {"false_alarm_rate": 0.02},
            "alerts": {"for": 1, "keep_firing_for": 1, "false_pages_per_month": 2},
        },
    ),
    "diabetes_readmission": DataSet(
        task="binary",
        days=28,
        turn="2001-10-22",
        entry={
            "labels": {"delay": "21d", "expected": 1.0, "revise_until": "40d"},
            "checks": {"thresholds": {"missing_share": {"upper": 0.99}}},
            "alerts": {"for": 2, "keep_firing_for": 2},
        },
    ),
}


def settings(name: str, windows: int | None) -> str:
    """Everything that a project is made of, but for the code in this file, as text."""
    data_set = SETS[name]
    return json.dumps(
        [data_set.task, data_set.days, data_set.turn, data_set.entry, data_set.columns, windows], sort_keys=True
    )


def write(name: str, folder: Path, windows: int | None) -> Path:
    """Write the log, labels, reference and monitor.yaml of a set into a folder; windows: how many, None for all that
    there are.
    """
    data_set = SETS[name]
    log = data_set.prepare(pd.read_parquet(DATA / name / "predictions.parquet"))
    labels = pd.read_parquet(DATA / name / "labels.parquet")
    start = log["event_time"].min().normalize() + pd.Timedelta(days=1)
    if windows is not None:
        start = max(start, pd.Timestamp(data_set.turn) - pd.Timedelta(days=windows // 2 * data_set.days))
        log = log[
            log["event_time"].between(start, start + pd.Timedelta(days=windows * data_set.days), inclusive="left")
        ]
    labels = labels[labels["id"].isin(log["id"])]
    reference = pd.read_parquet(DATA / name / "reference.parquet")
    folder.mkdir(parents=True)
    for part, frame in (("log", log), ("labels", labels), ("reference", reference)):
        frame.to_parquet(folder / f"{part}.parquet", index=False)
    entry = _merged(_common(data_set, start), data_set.entry)
    values: dict[str, Any] = {
        "web": False,
        "sensitive_key": "replay-compare-replay-compare-00",
        "workers": {"processes": 1},
        "monitors": {name: entry},
    }
    if "retraining" in entry:
        values["launchers"] = {"retrain": {"type": "command", "command": ["true"]}}
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def _common(data_set: DataSet, start: pd.Timestamp) -> dict[str, Any]:
    columns = {
        "id": "id",
        "event_time": "event_time",
        "prediction": "prediction",
        "label": "label",
        "label_time": "label_time",
    }
    if data_set.task == "binary":
        columns["probability"] = "probability"
    return {
        "task": data_set.task,
        "model": {"name": "replayed", "version": "" if "model_version" in data_set.columns else "1"},
        "source": {"path": "log.parquet"},
        "labels": {"path": "labels.parquet"},
        "reference": {"path": "reference.parquet"},
        "columns": {**columns, **data_set.columns},
        "windows": {
            "length": f"{data_set.days}d",
            "start": f"{start:%Y-%m-%d}",
            "anchor": f"{start:%Y-%m-%d}",
            "catch_up": "10000d",
        },
    }


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged
