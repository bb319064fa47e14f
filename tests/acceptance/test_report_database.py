"""The report database has the same answers on every kind of database: views, `monitor query`, DataFrames, the
documented questions.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import ReportDatabase
from monitor.errors import UsageError
from monitor.storage import alerts
from monitor.storage.database import Database
from monitor.storage.report import VIEWS
from monitor.storage.tables import Base
from tests.conftest import Project, Receiver, logged

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "database.md").read_text()
QUESTIONS = re.findall(r"\*\*\d+\. (.*?)\*\*\n```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def story(project: Project, receiver: Receiver) -> Database:
    """A model that decays while a feature drifts; its alert is delivered, acknowledged and resolved."""
    frame = logged(2400, days=40)
    bad = frame["event_time"].between("2025-01-11", "2025-01-20 23:59")
    frame.loc[bad, "label"] = np.random.default_rng(1).integers(0, 2, bad.sum())
    frame.loc[bad, "noise"] *= 3
    project.log(frame)
    project.labels(frame)
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.replay()

    def acknowledge(session: Any) -> None:
        alert = next(row for row, _ in alerts.listed(session, everything=True) if row.kind == "performance")
        fired = alerts.last_event(session, alert.id, ("firing",))
        assert fired is not None
        alerts.add_event(session, alert, "acknowledged", alert.since, fired.recorded_at + pd.Timedelta("90s"))

    database = Database(f"sqlite:///{project.folder}/monitor.db")
    database.transact(acknowledge)
    return database


def copied(source: Database, url: str) -> str:
    """Copy the rows of a database into an empty one."""
    target = Database(url)
    target.prepare()
    with source.engine.connect() as read, target.engine.begin() as write:
        for table in Base.metadata.sorted_tables:
            rows = [dict(row._mapping) for row in read.execute(table.select())]
            write.execute(table.delete())  # rows of the migrations are copied from the source
            if rows:
                write.execute(table.insert(), rows)
    return url


@pytest.mark.long
def test_views_frames_and_the_ten_questions(story: Database, empty_postgresql: str, empty_mariadb: str) -> None:
    check(str(story.url))
    check(copied(story, empty_postgresql))
    check(copied(story, empty_mariadb))


def check(url: str) -> None:
    reports = ReportDatabase(url)
    for view, columns in VIEWS.items():
        assert set(reports.query(f"SELECT * FROM {view}").columns) == set(columns), view
        described = re.search(rf"\*\*`{view}`\*\*(.*?)(\n\n|$)", PAGE, re.DOTALL)
        assert described is not None
        assert set(columns) <= set(re.findall(r"`(\w+)`", described[1])), view

    for view in ("monitor_metrics", "monitor_checks", "monitor_findings"):
        both = reports.query(
            f"SELECT v.is_current, r.is_current AS of_run FROM {view} v JOIN monitor_runs r ON r.run = v.run"
        )
        assert (both["is_current"] == both["of_run"]).all(), view

    history = reports.metric_history("churn", "roc_auc")
    assert list(history["window_start"].dt.strftime("%m-%d")) == [
        f"{day:%m-%d}" for day in pd.date_range("2025-01-01", periods=8, freq="5D")
    ]
    assert history["value"].iloc[2] < 0.6 < history["value"].iloc[0]
    assert history["value_lower"].iloc[0] < history["value"].iloc[0] < history["value_upper"].iloc[0]
    part = reports.metric_history("churn", "roc_auc", start="2025-01-11", end="2025-01-21")
    assert len(part) == 2
    assert len(reports.metric_history("churn", "roc_auc", limit=3, offset=6)) == 2
    assert set(reports.metric_history("churn", "missing_share", None)["column_name"]) >= {"income", "region", "noise"}
    assert len(reports.runs("churn", kind="data", status="done", current=True)) == 8
    assert set(reports.findings(severity="critical")["kind"]) == {"performance"}
    drifted = reports.findings("churn", kind="drift", column="noise")
    assert list(drifted[drifted["metric"] == "drift_score"]["window_start"].dt.day) == [11, 16]
    alert = reports.alerts("churn").iloc[0]
    # It was notified when it fired, with each of its next two windows, and when it resolved.
    assert (alert["kind"], alert["state"], alert["notifications"]) == ("performance", "resolved", 4)
    assert alert["seconds_to_acknowledge"] == pytest.approx(90, abs=0.01)
    assert alert["since"] == pd.Timestamp("2025-01-11", tz="UTC")
    assert reports.retraining().empty
    assert list(reports.latest()["health"]) == ["healthy"]

    assert len(QUESTIONS) == 10
    answers = {question: reports.query(sql) for question, sql in QUESTIONS}
    assert answers["Which feature drifted first?"]["column_name"].iloc[0] == "noise"
    assert list(answers["How often did each monitor page, month by month?"]["pages"]) == [4]
    close = answers["How close was the estimate to the performance that the labels then showed?"]
    assert len(close) == 8
    assert close["error"].abs().iloc[0] < 0.1 < close["error"].iloc[2]
    assert list(answers["How long did alerts wait for somebody?"]["seconds_to_acknowledge"].round()) == [90]
    assert len(answers["How did the share of missing values of a column go?"]) == 8
    costs = answers["What does watching cost: seconds and bytes a run?"]
    assert set(costs["kind"]) == {"data", "performance"}
    assert list(answers["Which columns are found changed most often where the model suffers?"]["column_name"]) == [
        "noise"
    ]
    assert list(reports.query("SELECT COUNT(*) AS n FROM monitor_latest WHERE health = 'healthy'")["n"]) == [1]
    for condition, number in (
        ("window_start = '2025-01-06'", 2),
        ("window_start = '2025-01-06 00:00:00'", 2),
        ("window_start <= '2025-01-06 00:00:00'", 4),
        ("'2025-01-06 00:00' >= r.window_start", 4),
        ("window_end BETWEEN '2025-01-06' AND '2025-01-11'", 4),
        ("window_start IN ('2025-01-06', '2025-01-11')", 4),
    ):
        assert reports.query(f"SELECT COUNT(*) AS n FROM monitor_runs r WHERE {condition}")["n"].iloc[0] == number, (
            condition
        )

    for harm in (
        "DELETE FROM findings",
        "UPDATE runs SET status = 'x'",
        "DROP VIEW monitor_runs",
        "SELECT 1; DELETE FROM findings",
        "SELEC",
    ):
        with pytest.raises(UsageError, match="refused|nothing"):
            reports.query(harm)
    assert len(reports.findings()) > 0
    assert len(reports.runs()) == 16


def test_query_prints_a_table_json_and_csv(
    project: Project, monitor_command: Callable[..., CompletedProcess[str]]
) -> None:
    Database(f"sqlite:///{project.folder}/monitor.db").prepare()
    project.write()
    sql = "SELECT 'a,b' AS x, 2 AS y"
    table, as_json, as_csv = (
        monitor_command("query", sql, *more, cwd=project.folder).stdout
        for more in ((), ("--json",), ("--format", "csv"))
    )
    assert table.split() == ["x", "y", *table.split()[2:-2], "a,b", "2"]
    assert json.loads(as_json) == [{"x": "a,b", "y": 2}]
    assert list(csv.reader(io.StringIO(as_csv))) == [["x", "y"], ["a,b", "2"]]
    assert as_csv == 'x,y\n"a,b",2\n'
    refused = monitor_command("query", "DELETE FROM runs", cwd=project.folder)
    assert refused.returncode == 2
    assert "refused" in refused.stderr
    assert monitor_command("query", "ATTACH 'x.db' AS x", cwd=project.folder).returncode == 2
    assert not (project.folder / "x.db").exists()
