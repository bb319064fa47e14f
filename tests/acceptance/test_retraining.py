"""A model that decays is retrained once: by a command, or by a webhook that somebody completes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from standardwebhooks import Webhook

from tests.conftest import Project, Receiver, logged

Command = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

TRAIN = """
import json, sys, shutil
request = json.load(sys.stdin)
with open("requests.jsonl", "a") as file:
    print(json.dumps(request), file=file)
shutil.copy("reference.parquet", "reference-2.parquet")
print(json.dumps({"status": "succeeded", "model_version": "2", "reference": "reference-2.parquet"}))
"""


def decayed(project: Project, launcher: dict[str, object], **policy: object) -> None:
    frame = logged(3600, days=60)
    late = frame["event_time"].between("2025-01-11", "2025-02-05")
    frame.loc[late, "label"] = np.random.default_rng(1).integers(0, 2, late.sum())
    frame.loc[frame["event_time"].between("2025-01-11", "2025-01-15 23:59") & (frame["id"] % 2 == 0), "noise"] = None
    project.log(frame)
    project.labels(frame)
    project.monitor["checks"] = {"thresholds": {"missing_share": {"upper": 0.4}}}
    project.monitor["retraining"] = {
        "when": ["performance"],
        "for": 2,
        "cooldown": "30d",
        "launcher": "train",
        **policy,
    }
    project.values["launchers"] = {"train": launcher}


@pytest.mark.long
def test_a_command_retrains_once_and_its_reference_is_in_force_from_then_on(
    project: Project, monitor_command: Command
) -> None:
    (project.folder / "train.py").write_text(TRAIN)
    decayed(project, {"type": "command", "command": [sys.executable, "train.py"]})
    assert project.replay().failed == 0
    requests = [json.loads(line) for line in (project.folder / "requests.jsonl").read_text().splitlines()]
    assert len(requests) == 1
    assert requests[0]["model"] == "churn"
    jsonschema.validate(
        requests[0],
        json.loads((Path(__file__).resolve().parents[2] / "docs/reference/retraining.schema.json").read_text()),
    )
    assert requests[0]["data_start"].startswith("2025-01-11")
    assert requests[0]["exclude"] == [{"start": "2025-01-11T00:00:00+00:00", "end": "2025-01-16T00:00:00+00:00"}]
    assert project.query("SELECT state FROM retraining_requests WHERE state NOT IN ('vetoed', 'proposed')") == [
        ("succeeded",)
    ]
    held = project.query("SELECT valid_from, who FROM references_in_force ORDER BY id")
    assert [who for _, who in held] == ["configuration", "retraining"]
    listing = monitor_command("retraining", "list", cwd=project.folder).stdout
    assert "succeeded" in listing
    story = monitor_command(
        "retraining",
        "show",
        project.query("SELECT uuid FROM retraining_requests WHERE state = 'succeeded'")[0][0][:8],
        cwd=project.folder,
    ).stdout
    assert [line.split()[2] for line in story.splitlines() if line.startswith("  20")][:5] == [
        "proposed",
        "open",
        "dispatching",
        "running",
        "succeeded",
    ]
    assert "2 are needed" in monitor_command("retraining", "explain", "churn", cwd=project.folder).stdout


@pytest.mark.long
def test_a_command_that_fails_ends_the_request_with_its_last_words(project: Project) -> None:
    decayed(project, {"type": "command", "command": [sys.executable, "-c", "raise SystemExit('out of memory')"]})
    project.replay()
    state, outcome = project.query(
        "SELECT state, outcome FROM retraining_requests WHERE state NOT IN ('vetoed', 'proposed')"
    )[0]
    assert state == "failed"
    assert "out of memory" in outcome


@pytest.mark.long
def test_a_webhook_starts_it_and_complete_ends_it(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    decayed(project, {"type": "webhook", "url": receiver.url, "secret": SECRET, "allow_private": True})
    project.replay()
    headers, body = receiver.received[0]
    request = Webhook(SECRET).verify(body, headers)["request"]
    assert headers["webhook-id"] == request["id"]
    assert len(receiver.received) == 1
    assert project.query("SELECT state FROM retraining_requests WHERE uuid = ?", request["id"]) == [("running",)]
    ended = monitor_command(
        "retraining",
        "complete",
        request["id"][:8],
        "--model-version",
        "2",
        "--reference",
        "reference.parquet",
        cwd=project.folder,
    )
    assert "is succeeded" in ended.stdout, ended.stderr
    assert monitor_command("retraining", "cancel", request["id"][:8], cwd=project.folder).returncode == 2


@pytest.mark.long
def test_a_launch_whose_daemon_died_is_unknown_and_asks_a_person(project: Project, monitor_command: Command) -> None:
    decayed(project, {"type": "command", "command": [sys.executable, "-c", "import time; time.sleep(60)"]})
    project.write()
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "run", "--replay"],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    import time

    deadline = time.monotonic() + 90
    while not ((project.folder / "monitor.db").exists() and _running(project)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert project.run().failed == 0
    assert project.query("SELECT state FROM retraining_requests WHERE open_model IS NOT NULL") == [("unknown",)]
    assert project.query("SELECT state FROM alerts WHERE kind = 'self'") == [("firing",)]
    assert (
        "nobody knows how the retraining of churn ended" in monitor_command("alerts", "list", cwd=project.folder).stdout
    )


def _running(project: Project) -> bool:
    try:
        return project.query("SELECT count(*) FROM retraining_requests WHERE state = 'running'")[0][0] > 0
    except Exception:
        return False


CANDIDATE = """
import json, sys, pandas as pd
request = json.load(sys.stdin)
log = pd.read_parquet("log.parquet")
log[["id"]].assign(probability=PROBABILITY).to_parquet("candidate.parquet")
answer = {"status": "succeeded", "model_version": "2", "reference": "reference.parquet"}
print(json.dumps({**answer, "candidate": "candidate.parquet"}))
"""


def reverse_labels(project: Project, probability: str, **policy: object) -> None:
    """Reverse the labels from a day on, and configure a training whose model predicts `probability`."""
    frame = logged(2400, days=40)
    late = frame["event_time"] >= "2025-01-11"
    frame.loc[late, "label"] = 1 - frame.loc[late, "label"]
    project.log(frame)
    project.labels(frame)
    (project.folder / "train.py").write_text(CANDIDATE.replace("PROBABILITY", probability))
    project.monitor["retraining"] = {
        "when": ["performance"],
        "for": 2,
        "cooldown": "300d",
        "launcher": "train",
        **policy,
    }
    project.values["launchers"] = {"train": {"type": "command", "command": [sys.executable, "train.py"]}}


def states(project: Project) -> list[str]:
    """The states of requests until they end; what becomes of them is in test_recovery.py."""
    query = """SELECT e.state FROM retraining_events e JOIN retraining_requests r ON r.id = e.request_id
        WHERE r.opened_at IS NOT NULL AND e.state NOT IN ('recovering', 'recovered', 'no_gain', 'worse')
        ORDER BY r.id, e.number"""
    return [state for (state,) in project.query(query)]


@pytest.mark.long
def test_a_candidate_that_is_better_on_the_same_rows_is_promoted(project: Project) -> None:
    reverse_labels(project, "1 - log['probability']")
    project.replay()
    assert states(project) == ["proposed", "open", "dispatching", "running", "verifying", "succeeded"]
    story = project.query("SELECT text FROM retraining_events WHERE state = 'verifying'")[0][0]
    assert "the candidate is better: roc_auc 0." in story
    assert [who for (who,) in project.query("SELECT who FROM references_in_force ORDER BY id")] == [
        "configuration",
        "retraining",
    ]


@pytest.mark.long
def test_a_candidate_that_is_no_better_is_rejected_and_the_alert_stays(project: Project) -> None:
    reverse_labels(project, "log['probability']")
    project.replay()
    assert states(project)[-2:] == ["running", "rejected"]
    assert [who for (who,) in project.query("SELECT who FROM references_in_force")] == ["configuration"]
    assert project.query("SELECT state FROM alerts WHERE kind = 'performance'") == [("firing",)]


@pytest.mark.long
def test_a_candidate_of_which_too_few_rows_are_known_is_compared_until_its_time_is_over(project: Project) -> None:
    reverse_labels(project, "(1 - log['probability']).where(log.index < 5)", verify_for="7d")
    project.replay()
    assert states(project)[-2:] == ["verifying", "expired"]


@pytest.mark.long
def test_a_request_waits_for_approval_and_the_message_names_the_command(
    project: Project, monitor_command: Command
) -> None:
    reverse_labels(project, "1 - log['probability']", requires_approval=True)
    project.replay()
    assert states(project) == ["proposed", "awaiting_approval"]
    (uuid,) = project.query("SELECT uuid FROM retraining_requests WHERE open_model IS NOT NULL")[0]
    assert (
        f"monitor retraining approve {uuid[:8]}"
        in project.query("SELECT text FROM retraining_events WHERE state = 'awaiting_approval'")[0][0]
    )
    assert monitor_command("retraining", "approve", uuid[:8], cwd=project.folder).returncode == 0
    project.replay()
    assert states(project)[-1] == "succeeded"
    assert monitor_command("retraining", "approve", uuid[:8], cwd=project.folder).returncode == 2


@pytest.mark.long
def test_a_broken_pipeline_is_to_be_repaired_and_starts_no_training(project: Project) -> None:
    frame = logged(3600, days=60)
    broken = frame["event_time"].between("2025-01-11", "2025-02-05") & (frame["id"] % 2 == 0)
    frame.loc[broken, "income"] *= 100
    # The model received the broken values; the labels are unchanged.
    frame.loc[broken, ["probability", "prediction"]] = [1.0, 1]
    project.log(frame.astype({"prediction": int}))
    project.labels(frame)
    project.monitor["retraining"] = {"when": ["performance"], "for": 2, "launcher": "train"}
    project.values["launchers"] = {
        "train": {"type": "command", "command": [sys.executable, "-c", "raise SystemExit(1)"]}
    }
    project.replay()
    rows = project.query("SELECT DISTINCT state FROM retraining_requests")
    assert rows == [("vetoed",)]
    assert any(
        "repair the pipeline first: income (" in text for (text,) in project.query("SELECT text FROM retraining_events")
    )


@pytest.mark.long
def test_the_share_of_drifted_columns_age_and_labels_ask_for_a_retraining(
    project: Project, monitor_command: Command
) -> None:
    frame = logged(1500, days=25)
    late = frame["event_time"] >= "2025-01-16"
    frame.loc[late, "noise"] += np.random.default_rng(2).normal(0.7, 0.3, late.sum())
    project.log(frame)
    project.labels(frame)
    project.values["launchers"] = {"train": {"type": "command", "command": [sys.executable, "train.py"]}}
    (project.folder / "train.py").write_text(TRAIN)

    def reasons(*when: object) -> list[str]:
        (project.folder / "monitor.db").unlink(missing_ok=True)
        project.monitor["retraining"] = {"when": list(when), "cooldown": "90d", "launcher": "train"}
        project.replay()
        query = "SELECT reason, window_start FROM retraining_requests WHERE opened_at IS NOT NULL"
        return [f"{start[:10]}: {reason}" for reason, start in project.query(query)]

    assert [text[:10] for text in reasons({"drifted_share": 0.3})] == ["2025-01-16"]
    assert reasons({"drifted_share": 0.9}, {"drift": "critical"}) == []
    old = reasons({"age": "20d"}, {"labelled_rows": 100_000})
    assert len(old) == 1
    assert "the model is 20 days old, of 20d" in old[0]
    explanation = monitor_command("retraining", "explain", "churn", cwd=project.folder).stdout
    assert "labelled rows have come since" in explanation


@pytest.mark.long
def test_no_more_requests_a_month_and_none_without_labelled_rows(project: Project, monitor_command: Command) -> None:
    decayed(
        project,
        {"type": "command", "command": [sys.executable, "-c", "raise SystemExit(1)"]},
        cooldown="1d",
        max_per_month=1,
    )
    project.replay()
    assert len(project.query("SELECT 1 FROM retraining_requests WHERE opened_at IS NOT NULL")) == 1
    (project.folder / "monitor.db").unlink()
    project.monitor["retraining"] |= {"max_per_month": 5, "min_labelled_rows": 100_000}
    project.replay()
    assert project.query("SELECT 1 FROM retraining_requests WHERE opened_at IS NOT NULL") == []
    assert "min_labelled_rows is 100000" in monitor_command("retraining", "explain", "churn", cwd=project.folder).stdout
