"""Logs as people and tools write them (tests/data/logs): `monitor init` finds what is in them with no flag, or names
the one flag that a person must give; nothing is read as what it is not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from monitor.analysis.schema import sort_of
from monitor.domain.columns import Columns
from monitor.errors import MonitorError
from monitor.services.inspect_data import InspectSpec, Proposal, Roles, inspect_data
from monitor.sources.log import read_frame
from monitor.sources.spec import Place
from tests.commands import run_here

LOGS = Path(__file__).parents[1] / "data" / "logs"
TRUTH: dict[str, dict[str, Any]] = json.loads((LOGS / "truth.json").read_text(encoding="utf-8"))


def place(name: str) -> Place:
    truth = TRUTH[name]
    if "table" in truth:
        return Place(name, url=f"sqlite:///{LOGS / name}", table=truth["table"])
    return Place(name, path=str(LOGS / name / truth.get("folder", "")) if "folder" in truth else str(LOGS / name))


def parts_of(columns: Columns) -> dict[str, Any]:
    names = ("id", "event_time", "prediction", "probability", "label", "model_version")
    names_by_part = {part: getattr(columns, part) for part in names}
    return {
        part: dict(name) if isinstance(name, dict) else name for part, name in names_by_part.items() if name is not None
    }


def inspected(name: str) -> tuple[Proposal | None, str]:
    """The proposal for a log, or the message with the option that a person must give."""
    try:
        proposal = inspect_data(InspectSpec(place(name)))
    except MonitorError as error:
        return None, str(error)
    missing_option = "--positive" if proposal.candidates and proposal.positive is None else ""
    return (None, missing_option) if missing_option else (proposal, "")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_there_are_forty_at_least() -> None:
    assert len(TRUTH) >= 40
    assert {path.name for path in LOGS.iterdir()} - {"write.py", "truth.json", "__pycache__"} == set(TRUTH)


@pytest.mark.parametrize("name", TRUTH)
def test_what_init_finds_is_the_truth_or_the_flag_that_a_person_must_give(name: str) -> None:
    truth = TRUTH[name]
    proposal, message = inspected(name)
    if "asks" in truth:
        assert proposal is None
        assert truth["asks"] in message
        return
    assert proposal is not None, message
    assert parts_of(proposal.columns) == truth["parts"]
    assert (proposal.task, proposal.rows) == (truth["task"], truth["rows"])
    times = [pd.Timestamp(moment).tz_convert("UTC").tz_localize(None) for moment in (proposal.first, proposal.newest)]
    assert times == [pd.Timestamp(truth[end]) for end in ("first", "last")]
    frame = read_frame(proposal.spec.predictions, 10_000)
    features = proposal.columns.feature_names([str(column_name) for column_name in frame.columns])
    assert {feature: sort_of(frame[feature]) for feature in features} == truth["features"]
    for column, value in truth.get("holds", {}).items():
        assert value in set(frame[column])
    if "half-written" not in name:  # a recent file may still be written to
        assert sum("could not be read" in note for note in proposal.notes) == ("bad" in truth)


def test_scores_of_classes_in_a_list_are_taken_once_it_is_said_which_is_which(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    records = []
    for number in range(600):
        score = round(chance.random(), 4)
        outputs = {"scores": [round(1 - score, 4), score], "label": ["malignant", "benign"][int(score > 0.5)]}
        inputs = {"radius": chance.normal(), "score": chance.random(), "target": number % 7}
        about = {"requestId": f"q-{number}", "ts": 1_770_000_000_000 + number * 3_600_000, "model": {"version": "4"}}
        records.append(about | {"inputs": inputs, "outputs": outputs})
    (tmp_path / "served.json").write_text(json.dumps(records))
    source = Place("served.json", path=str(tmp_path / "served.json"))
    with pytest.raises(MonitorError, match=r"say --probability outputs\.scores\.1 --positive CLASS"):
        inspect_data(InspectSpec(source))
    proposal = inspect_data(InspectSpec(source, positive="benign", roles=Roles(probability="outputs.scores.1")))
    assert (proposal.columns.prediction, proposal.columns.label) == ("outputs.label", None)
    features = proposal.columns.feature_names([str(column) for column in read_frame(proposal.spec.predictions, 10)])
    assert features == ["inputs.radius", "inputs.score", "inputs.target"]
    assert not any("comma" in note for note in proposal.notes)


def test_labels_of_another_encoding_are_written_as_valid_yaml(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(400), "timestamp": pd.date_range("2026-01-01", periods=400, freq="2h")})
    frame["probability"] = np.random.default_rng(1).random(400).round(4)
    frame.to_csv(tmp_path / "log.csv", index=False)
    labels = frame[["id"]].assign(label=(frame["probability"] > 0.4).astype(int))
    labels.to_csv(tmp_path / "labels.csv", index=False, encoding="utf-16")
    made = run_here("init", "churn", "--predictions", "log.csv", "--labels", "labels.csv", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    written = yaml.safe_load((tmp_path / "monitor.yaml").read_text())
    assert written["monitors"]["churn"]["labels"]["read"] == {"encoding": "utf-16"}


def test_the_table_of_the_documents_says_the_same() -> None:
    rows = [
        f"| {truth['what']} | {'`' + truth['asks'] + '`' if 'asks' in truth else 'as it is'} |"
        for truth in TRUTH.values()
    ]
    text = (LOGS.parents[2] / "docs" / "how-to" / "watch-a-model.md").read_text(encoding="utf-8")
    assert "\n".join(["| a log | works |", "|---|---|", *rows]) in text


@pytest.mark.long
@pytest.mark.parametrize("name", TRUTH)
def test_init_validate_and_run_end_well(name: str, tmp_path: Path) -> None:
    truth, where = TRUTH[name], place(name)
    source = [where.path] if where.path is not None else [where.url, "--table", where.table]
    given = [str(argument) for argument in ("init", "model", "--predictions", *source, *truth.get("give", ()))]
    for arguments in (given, ["validate"], ["run"]):
        done = run_here(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("shift", "expected"), [("0D", "measured_at"), ("-400D", "event_time")])
def test_a_column_of_times_goes_before_the_day_in_the_paths_of_files(tmp_path: Path, shift: str, expected: str) -> None:
    """A column whose times are those of the day that its file's path names is the time, whatever its name; another one
    is an input.
    """
    random = np.random.default_rng(0)
    for day in pd.date_range("2026-01-05", periods=20):
        folder = tmp_path / "log" / f"day={day:%Y-%m-%d}"
        folder.mkdir(parents=True)
        hours = day + pd.to_timedelta(np.arange(24), unit="h") + pd.Timedelta(shift)
        load = random.normal(20, 5, 24).round(1)
        frame = pd.DataFrame({"reading_id": [f"{day:%j}-{hour}" for hour in range(24)], "measured_at": hours})
        frame.assign(load=load, predicted_kwh=load * 2).to_parquet(folder / "hours.parquet", index=False)
    proposal = inspect_data(InspectSpec(Place("log", path=str(tmp_path / "log"))))
    assert proposal.columns.event_time == expected
