"""After a retraining the service watches whether its model answers and whether it is better."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project, logged

Command = Callable[..., subprocess.CompletedProcess[str]]
TRAIN = """
import json, sys, shutil
request = json.load(sys.stdin)
with open("requests.jsonl", "a") as file:
    print(json.dumps(request), file=file)
shutil.copy("reference.parquet", "reference-2.parquet")
print(json.dumps({"status": "succeeded", "model_version": "2", "reference": "reference-2.parquet"}))
"""
BAD_FROM, DEPLOYED = "2025-02-01", "2025-03-10"


def decayed(project: Project, days: int, *, after: float | None, by_log: bool = True) -> None:
    """A model that decays in February and is trained anew.

    after: which share of the labels is at random once version 2 answers; None: it is never deployed. by_log: whether
        the log has the version.
    """
    frame = logged(days * 60, days=days)
    random = np.random.default_rng(1)
    late = frame["event_time"] >= BAD_FROM
    deployed = frame["event_time"] >= DEPLOYED if after is not None else frame["event_time"] >= "2099"
    wrong = np.where(deployed, 0.0 if after is None else after, 0.5) * late
    frame["label"] = np.where(random.random(len(frame)) < wrong, random.integers(0, 2, len(frame)), frame["label"])
    if after is not None and after > 1:  # worse than chance
        frame["label"] = np.where(deployed, 1 - frame["prediction"], frame["label"])
    if by_log:
        frame["model_version"] = np.where(deployed, "2", "1")
        project.monitor["columns"]["model_version"] = "model_version"
        project.monitor["model"] = {"name": "churn"}
    project.log(frame)
    project.labels(frame)
    project.monitor["windows"] = {"length": "1w", "start": "2025-01-06"}
    project.monitor["alerts"] = {**project.monitor.get("alerts", {}), "notify_max_age": "2000d"}
    project.monitor["retraining"] = {"when": ["performance"], "for": 2, "cooldown": "14d", "launcher": "train"}
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / "rollback.py").write_text("open('rolled-back', 'a').write('x'); print('{}')")
    project.values["launchers"] = {
        "train": {"type": "command", "command": [sys.executable, "train.py"]},
        "rollback": {"type": "command", "command": [sys.executable, "rollback.py"]},
    }


def requests(project: Project) -> list[dict[str, object]]:
    path = project.folder / "requests.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def receipts(project: Project) -> list[tuple[str, str]]:
    return project.query("SELECT recovery, receipt FROM monitor_retraining WHERE recovery <> '' ORDER BY as_of")


@pytest.mark.long
def test_a_year_with_a_training_that_is_never_deployed_makes_at_most_two_requests(
    project: Project, monitor_command: Command
) -> None:
    decayed(project, 365, after=None)
    project.replay()
    assert 1 <= len(requests(project)) <= 2
    assert receipts(project)[-1][0] == "awaiting_deployment"
    assert "version 2 answers 0% of the rows" in receipts(project)[-1][1]
    explained = monitor_command("retraining", "explain", "churn", cwd=project.folder).stdout
    assert "version 2 is not deployed: another training would change nothing" in explained
    shown = monitor_command("retraining", "list", cwd=project.folder).stdout
    assert "awaiting_deployment" in shown


@pytest.mark.long
def test_a_model_that_helps_has_recovered_and_its_receipt_says_what_was_promised_and_got(project: Project) -> None:
    decayed(project, 120, after=0.0)
    project.replay()
    state, text = receipts(project)[-1]
    assert state == "recovered"
    assert "promised" in text
    assert "version 2 answers 100% of the rows" in text
    assert len(requests(project)) == 1
    held = project.query("SELECT model_version, who FROM references_in_force ORDER BY id")
    assert held[-1] == ("2", "retraining")
    states = [row[0] for row in project.query("SELECT state FROM retraining_events ORDER BY request_id, number")]
    after = [state for state in states if state in ("succeeded", "recovering", "recovered")]
    assert after == ["succeeded", "recovering", "recovered"]


@pytest.mark.long
def test_a_model_that_gives_nothing_is_told_and_the_next_request_names_what_is_different(project: Project) -> None:
    decayed(project, 210, after=0.5)
    project.replay()
    states = [state for state, _ in receipts(project)]
    assert states[0] == "no_gain"
    problems = project.query("SELECT summary FROM alerts WHERE kind = 'self' AND subject LIKE 'no_gain:%'")
    assert problems
    assert "the retraining of churn gave no gain" in problems[0][0]
    opened = project.query("SELECT text FROM retraining_events WHERE state = 'open' ORDER BY id")
    assert all("of the data are newer" in text for (text,) in opened[1:])


@pytest.mark.long
def test_a_model_that_is_worse_is_rolled_back_once(project: Project) -> None:
    decayed(project, 120, after=2.0)
    project.monitor["retraining"]["rollback"] = "rollback"
    project.replay()
    assert "worse" in [state for state, _ in receipts(project)]
    assert (project.folder / "rolled-back").read_text() == "x"
    reasons = project.query("SELECT reason FROM retraining_requests WHERE launcher = 'rollback'")
    assert len(reasons) == 1
    assert reasons[0][0].startswith("roll back version 2: promised")


@pytest.mark.long
def test_without_a_version_the_reference_holds_at_once_and_the_receipt_says_that_it_cannot_know(
    project: Project,
) -> None:
    decayed(project, 120, after=0.0, by_log=False)
    project.replay()
    assert receipts(project)[-1][0] == "recovered"
    assert "it is not known whether version 2 is live" in receipts(project)[-1][1]
    assert len(project.query("SELECT id FROM references_in_force WHERE who = 'retraining'")) == len(requests(project))


@pytest.mark.long
def test_where_deployments_are_recorded_the_reference_waits_for_its_own(
    project: Project, monitor_command: Command
) -> None:
    decayed(project, 120, after=0.0, by_log=False)
    until = pd.Timestamp("2025-03-05", tz="UTC").to_pydatetime()
    project.replay(until=pd.Timestamp("2025-01-20", tz="UTC").to_pydatetime())
    first = monitor_command("deployed", "churn", "--version", "1", "--at", "2025-01-01", cwd=project.folder)
    assert first.returncode == 0, first.stderr
    project.replay(until=until)
    assert receipts(project)[-1][0] == "awaiting_deployment"
    assert project.query("SELECT COUNT(*) FROM references_in_force WHERE who = 'retraining'") == [(0,)]
    done = monitor_command("deployed", "churn", "--version", "2", "--at", DEPLOYED, cwd=project.folder)
    assert done.returncode == 0, done.stderr
    project.replay()
    assert project.query("SELECT COUNT(*) FROM references_in_force WHERE who = 'retraining'") == [(1,)]
    assert receipts(project)[-1][0] == "recovered"
