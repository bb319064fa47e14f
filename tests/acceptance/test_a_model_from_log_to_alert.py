"""The main line: a log is planned, evaluated, judged; alerts open, are delivered, and resolve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from standardwebhooks import Webhook

from tests.conftest import Project, Receiver, logged
from tests.history import history

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@pytest.mark.long
def test_healthy_windows_are_evaluated_and_raise_nothing(project: Project) -> None:
    outcome = project.run()
    assert (outcome.finished, outcome.failed, outcome.unreachable) == (8, 0, [])
    assert project.query("SELECT kind, count(*) FROM runs WHERE status = 'done' GROUP BY kind ORDER BY kind") == [
        ("data", 4),
        ("performance", 4),
    ]
    assert project.query("SELECT count(*) FROM alerts") == [(0,)]


@pytest.mark.long
def test_labels_that_have_come_tell_of_a_decay_before_those_of_the_window(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels take ten days. The estimate of a window uses the labels that came before it."""
    frame = logged(3600, days=60)
    late = frame["event_time"] >= "2025-01-11"
    frame.loc[late, "label"] = np.random.default_rng(1).integers(0, 2, late.sum())
    project.log(frame)
    project.labels(frame, "10d")
    project.monitor["labels"] |= {"delay": "10d", "refresh_estimate": True}
    histories = []
    for cache in ("one", "other"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        project.replay()
        histories.append(history(project))
        values = dict(
            project.query(
                "SELECT v.window_start, v.value FROM metric_values v JOIN metric_series s ON s.id = v.series_id JOIN"
                " runs r ON r.id = v.run_id WHERE metric = 'estimated_roc_auc' AND r.kind = 'data'"
            )
        )
        (project.folder / "monitor.db").unlink()
    assert histories[0] == histories[1]
    by_window = [value for _, value in sorted(values.items())]
    assert min(by_window[:3]) > 0.8
    assert max(by_window[6:]) < 0.7


@pytest.mark.long
def test_a_loss_that_a_broken_column_explains_is_no_concept_drift(project: Project) -> None:
    """A classifier's performance run reads no feature while the model does well. When performance is bad, it reads them
    to find the cause.
    """
    frame = logged()
    late = frame["event_time"] >= "2025-01-11"
    frame.loc[late, "income"] = np.nan
    frame.loc[late, "probability"] = (0.5 + np.random.default_rng(1).normal(0, 0.01, late.sum())).round(6)
    project.log(frame)
    project.labels(frame)
    project.run()
    losses = project.query(
        "SELECT cause, explanation FROM monitor_findings WHERE kind = 'performance' AND metric = 'roc_auc'"
    )
    assert [cause for cause, _ in losses] == ["data faults", "data faults"]
    assert all("Faults in 'income' probably explain up to" in text for _, text in losses), losses


def test_a_decayed_model_opens_one_performance_alert_that_is_delivered_signed_and_resolves(
    project: Project, receiver: Receiver
) -> None:
    frame = logged(2400, days=40)
    late = frame["event_time"].between("2025-01-11", "2025-01-20 23:59")
    frame.loc[late, "label"] = np.random.default_rng(1).integers(0, 2, late.sum())
    project.log(frame)
    project.labels(frame)
    project.values["channels"] = {
        "ops": {"type": "webhook", "url": receiver.url, "secret": SECRET, "allow_private": True}
    }
    project.monitor["alerts"] = {"channels": ["ops"]}
    outcome = project.replay()
    assert outcome.failed == 0
    alerts = project.query("SELECT kind, state, severity, bad_windows FROM alerts")
    assert alerts == [("performance", "resolved", "critical", 2)]
    bodies = []
    for headers, body in receiver.received:
        Webhook(SECRET).verify(body, headers)
        bodies.append(json.loads(body))
    # Two windows are bad, and two healthy ones end the alert. A firing alert is repeated with each window, by default
    # at most once a day.
    types = ["alert.firing", "alert.repeated", "alert.repeated", "alert.resolved"]
    assert [body["type"] for body in bodies] == types
    # Each message is about the newest window at that time.
    windows = [body["alert"]["window"][:10] for body in bodies[:3]]
    assert windows == ["2025-01-11", "2025-01-16", "2025-01-21"]
    assert [body["alert"]["bad_windows"] for body in bodies[:3]] == [1, 2, 2]
    assert bodies[0]["timestamp"] < bodies[1]["timestamp"] < bodies[2]["timestamp"]
    assert bodies[0]["labels"]["alertname"] == "ModelPerformance"
    assert len(bodies[0]["title"]) <= 110
    assert bodies[0]["title"].startswith("[CRITICAL] churn: ROC AUC is 0.")
    last = bodies[-1]
    (value,) = project.query(
        "SELECT value FROM monitor_metrics WHERE metric = 'roc_auc' AND kind = 'performance' AND run = ?",
        last["alert"]["run"],
    )[0]
    assert last["title"] == f"[RESOLVED] churn: ROC AUC is {value:.3g} now"
    assert last["text"].splitlines()[2] == f"ROC AUC is {value:.3g} now."


def test_drift_without_harm_is_stored_and_pages_nobody(project: Project, receiver: Receiver) -> None:
    frame = logged()
    frame["noise"] = frame["noise"].where(frame["event_time"] < pd.Timestamp("2025-01-11"), frame["noise"] * 3)
    project.log(frame)
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.replay()
    drifted = project.query(
        "SELECT DISTINCT column_name, severity FROM findings JOIN metric_series ON metric_series.id = series_id WHERE"
        " kind = 'drift'"
    )
    assert drifted == [("noise", "info")]
    assert project.query("SELECT count(*) FROM alerts") == [(0,)]
    assert receiver.received == []


def test_running_again_finds_nothing_to_do_and_changes_nothing(project: Project) -> None:
    project.run()
    before = project.query("SELECT * FROM metric_values ORDER BY 1, 2, 3")
    assert project.run().finished == 0
    assert project.query("SELECT * FROM metric_values ORDER BY 1, 2, 3") == before


def test_a_limit_on_the_share_of_labels_pages_when_too_few_came(project: Project) -> None:
    frame = logged()
    unlabelled = (frame["event_time"] >= "2025-01-11") & (frame["id"] % 2 == 0)
    project.labels(frame[~unlabelled])
    project.monitor["checks"] = {"thresholds": {"labelled_share": {"lower": 0.8, "severity": "critical"}}}
    project.run()
    alerts = project.query(
        "SELECT kind, severity, first_window FROM alerts WHERE fired_at IS NOT NULL AND kind = 'no_labels'"
    )
    assert alerts == [("no_labels", "critical", "2025-01-11 00:00:00.000000")]
    texts = project.query(
        "SELECT explanation FROM findings WHERE explanation LIKE '%labelled_share is 0.5, below your limit 0.8%'"
    )
    assert len(texts) > 1


@pytest.mark.long
def test_a_reminder_after_a_healthy_window_still_says_why_it_fires(project: Project) -> None:
    frame = logged(2400, days=31)
    flipped = (frame["event_time"] >= "2025-01-16") & (frame["event_time"] < "2025-01-21")
    project.log(frame)
    project.labels(frame.assign(label=frame["label"].where(~flipped, 1 - frame["label"])))
    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.replay()
    messages = [json.loads(line) for line in (project.folder / "told.jsonl").read_text().splitlines()]
    reminders = [message for message in messages if message["type"] == "alert.repeated"]
    assert reminders
    for reminder in reminders:
        assert "This is a reminder. It has been firing since 2025-01-16" in reminder["text"]
        assert "If it stays, retrain on rows from 2025-01-16 on." in reminder["text"]
        assert reminder["findings"][0]["cause"] == "concept drift"
