"""`monitor backtest` reports the alerts that would have fired. Nothing is stored or sent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project, Receiver, logged

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_history_is_told_and_nothing_is_stored_or_sent(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    frame = logged(2400, days=40)
    bad = frame["event_time"].between("2025-01-11", "2025-01-20 23:59")
    frame.loc[bad, "label"] = np.random.default_rng(1).integers(0, 2, bad.sum())
    project.log(frame)
    project.labels(frame)
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.write()

    done = monitor_command("backtest", "churn", "--fire-drill", "--html", "backtest.html", "--json", cwd=project.folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)[0]
    assert [(alert["kind"], alert["severity"], alert["since"][:10]) for alert in result["alerts"]] == [
        ("performance", "critical", "2025-01-11")
    ]
    assert result["false_pages_per_month"] == 0
    assert 0.5 < result["pages_per_month"] < 1
    assert len(result["windows"]) == 8
    assert result["windows"][2]["realised"] < 0.6 < result["windows"][0]["realised"]
    drill = pd.DataFrame(result["fire_drill"]).set_index(["fault", "share_of_rows", "column"])["caught"]
    assert drill["unit change", 1.0, "income"] == 1
    assert drill["lost feature", 1.0, "income"] == 1
    assert drill["rounding", 0.05, "noise"] < 1 or drill["correlation break", 0.05, "noise"] < 1
    page = (project.folder / "backtest.html").read_text()
    assert "Fire drill" in page
    assert "https://cdn" not in page.split("</script>")[-1]
    assert not (project.folder / "monitor.db").exists()
    assert receiver.received == []


@pytest.mark.long
def test_a_change_is_tried(project: Project, monitor_command: Command) -> None:
    project.write()
    done = monitor_command("backtest", "--set", "checks.thresholds={roc_auc: {lower: 0.99}}", cwd=project.folder)
    assert done.returncode == 0, done.stderr
    assert "1 alerts" in done.stdout
    assert "below your limit 0.99" in done.stdout
    wrong = monitor_command("backtest", "--set", "checks.false_alarm_rat=1", cwd=project.folder)
    assert wrong.returncode == 2
    assert "did you mean `false_alarm_rate`" in wrong.stderr
