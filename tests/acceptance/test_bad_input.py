"""Bad input: a clear error or a finding, and nothing is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.exc import OperationalError

from tests.conftest import Project, Receiver, logged, status

Command = Callable[..., subprocess.CompletedProcess[str]]


def findings(project: Project, column: str | None = None) -> set[str]:
    rows = project.query("SELECT DISTINCT metric, column_name FROM findings JOIN metric_series s ON s.id = series_id")
    return {metric for metric, name in rows if column is None or name == column}


@pytest.mark.long
def test_a_missing_file_fails_no_run_and_the_next_round_goes_on(project: Project, monitor_command: Command) -> None:
    project.write()
    (project.folder / "log.parquet").rename(project.folder / "away.parquet")
    away = monitor_command("run", cwd=project.folder)
    assert away.returncode == 3
    assert "there is no file log.parquet" in away.stderr
    assert "its source cannot be read" in monitor_command("status", cwd=project.folder).stdout
    (project.folder / "away.parquet").rename(project.folder / "log.parquet")
    assert project.run().finished == 8
    assert project.query("SELECT sum(failures) FROM runs") == [(0,)]
    assert project.query("SELECT kind, subject, state FROM alerts") == [("self", "source:churn", "resolved")]


@pytest.mark.long
def test_a_source_that_goes_away_while_runs_wait_charges_none(project: Project) -> None:
    from monitor.daemon import Daemon

    with Daemon(project.loaded()) as daemon:
        daemon.ready()
        daemon._round(outcome := _outcome())
        (project.folder / "labels.parquet").rename(project.folder / "away.parquet")
        daemon._round(outcome)
    assert outcome.unreachable
    assert project.query("SELECT sum(failures) FROM runs") == [(0,)]
    (project.folder / "away.parquet").rename(project.folder / "labels.parquet")
    assert project.run().failed == 0
    assert project.query("SELECT status, count(*) FROM runs GROUP BY status") == [("done", 8)]


def _outcome() -> Any:
    from monitor.daemon import WorkSummary

    return WorkSummary()


def test_a_directory_without_files_is_named(project: Project, monitor_command: Command) -> None:
    (project.folder / "empty").mkdir()
    project.monitor["source"] = {"path": "empty"}
    project.write()
    refused = monitor_command("validate", cwd=project.folder)
    assert refused.returncode == 3
    assert "the folder empty holds no file" in refused.stderr


def test_nanosecond_times_are_read_as_microseconds(project: Project) -> None:
    frame = logged()
    frame["event_time"] = frame["event_time"].astype("datetime64[ns]") + pd.Timedelta(1, "ns")
    project.log(frame)
    assert project.run().failed == 0
    assert project.query("SELECT sum(rows) FROM runs WHERE kind = 'data'") == [(1200,)]


def test_a_time_column_of_text_is_refused_with_what_to_do(project: Project, monitor_command: Command) -> None:
    frame = logged()
    project.log(frame.assign(event_time=frame["event_time"].astype(str) + " o'clock"))
    project.write()
    refused = monitor_command("validate", cwd=project.folder)
    assert refused.returncode == 2
    assert (
        "the time column 'event_time' of log.parquet is text, such as '2025-01-01 00:00:00 o'clock'" in refused.stderr
    )


def test_ids_that_are_missing_or_repeated_are_findings(project: Project) -> None:
    frame = logged()
    project.labels(frame)
    frame["id"] = frame["id"].astype("Float64")  # a null makes an integer column floats
    frame.loc[5, "id"] = pd.NA
    frame.loc[6, "id"] = 7
    project.log(frame)
    assert project.run().failed == 0
    assert {"null_id_share", "duplicate_id_share"} <= findings(project)
    labelled = project.query("SELECT rows, labelled FROM runs WHERE kind = 'performance' ORDER BY window_start")
    # Floats were joined to integers; the last hour's labels come after the 95 % that are waited for.
    assert [rows for rows, _ in labelled] == [300] * 4
    assert all(number >= 295 for _, number in labelled)


@pytest.mark.long
def test_a_prediction_column_that_is_absent_fails_the_runs_with_the_reason(
    project: Project, monitor_command: Command
) -> None:
    project.log(logged().drop(columns="prediction"))
    project.write()
    assert (
        "source column 'prediction' not found in log.parquet" in monitor_command("validate", cwd=project.folder).stderr
    )
    failed = monitor_command("run", cwd=project.folder)
    assert failed.returncode == 1
    assert project.query("SELECT DISTINCT status, failures FROM runs") == [("failed", 1)]
    assert "has no column 'prediction'" in project.query("SELECT reason FROM runs")[0][0]


def test_features_that_vanish_come_or_change_their_type_are_findings_of_the_others_run(project: Project) -> None:
    frame = logged().drop(columns="noise").assign(extra=1.0)
    frame["income"] = frame["income"].round(0).astype(int).astype(str) + " k"
    project.log(frame)
    assert project.run().failed == 0
    assert "column_missing" in findings(project, "noise")
    assert "column_added" in findings(project, "")
    [row] = project.query("SELECT DISTINCT explanation FROM findings WHERE cause = 'new column'")
    assert "'extra' is a new column" in row[0]
    assert "type_mismatch_share" in findings(project, "income")
    checked = project.query(
        "SELECT DISTINCT verdict FROM checks JOIN metric_series s ON s.id = series_id WHERE metric = 'drift_score' AND"
        " column_name = 'region'"
    )
    assert checked == [("fine",)]


def test_a_column_of_nulls_alone_costs_the_report_of_the_others_nothing(project: Project) -> None:
    project.log(logged().assign(noise=np.nan))
    assert project.run().failed == 0
    assert "missing_share" in findings(project, "noise")
    verdicts = dict(
        project.query(
            "SELECT column_name, max(verdict) FROM checks JOIN metric_series s ON s.id = series_id WHERE metric ="
            " 'drift_score' GROUP BY column_name"
        )
    )
    assert verdicts["noise"] == "could_not_check"
    assert verdicts["income"] == "fine"


def test_windows_without_rows_are_a_no_data_alert_and_not_a_failure(project: Project) -> None:
    frame = logged(2400, days=40)
    frame = frame[~frame["event_time"].between("2025-01-11", "2025-01-20 23:59:59")]
    project.log(frame)
    project.labels(frame)
    assert project.run().failed == 0
    assert project.query("SELECT kind, state, bad_windows FROM alerts") == [("no_data", "resolved", 2)]


def test_infinite_values_are_counted_and_nothing_infinite_is_stored(project: Project) -> None:
    frame = logged()
    frame.loc[3, "income"] = np.inf
    frame.loc[4, "income"] = -np.inf
    project.log(frame)
    assert project.run().failed == 0
    assert "infinite_share" in findings(project, "income")
    assert project.query("SELECT count(*) FROM metric_values WHERE value > 1e300 OR value < -1e300") == [(0,)]


@pytest.mark.long
def test_labels_of_unknown_ids_and_labels_before_their_prediction_are_findings(project: Project) -> None:
    frame = logged()
    labels = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
    labels.loc[2, "label_time"] = frame.loc[2, "event_time"] - pd.Timedelta("2h")
    labels.loc[700, "id"] = 10**6
    labels.to_parquet(project.folder / "labels.parquet", index=False)
    # Shown by an ad hoc run, which looks at data and labels together.
    from monitor.cli.shared import window
    from monitor.daemon import Daemon
    from monitor.services.execute_runs import plan_adhoc

    with Daemon(project.loaded()) as daemon:
        daemon.ready()
        daemon.run_only(plan_adhoc(daemon.context, "churn", window("2025-01-01/2025-01-21")))
    assert {"unmatched_label_share", "early_label_share"} <= findings(project)
    assert project.query("SELECT kind, look FROM runs") == [("adhoc", 0)]


def test_columns_that_differ_in_case_alone_are_refused_not_renamed(project: Project, monitor_command: Command) -> None:
    project.log(logged().assign(Income=1.0))
    project.write()
    refused = monitor_command("validate", cwd=project.folder)
    assert refused.returncode == 2
    assert "the columns 'income' and 'Income' differ in case alone" in refused.stderr


def test_a_database_file_that_cannot_be_written_is_named(project: Project, monitor_command: Command) -> None:
    project.values["database"] = "sqlite:////proc/monitor.db"
    project.write()
    refused = monitor_command("run", cwd=project.folder)
    assert refused.returncode in (1, 3)
    assert "/proc" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.long
def test_a_full_disk_loses_nothing_and_the_run_is_stored_when_there_is_room(project: Project) -> None:
    """SQLite reports 'database or disk is full' when its page limit is reached, as it does on a full disk."""
    from sqlalchemy import event

    from monitor.daemon import Daemon
    from monitor.errors import DatabaseUnreachableError

    with Daemon(project.loaded()) as daemon:
        daemon.ready()
        engine = daemon.context.database.engine
        full = True

        with engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

        def limit(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages + 12 if full else 10**6}")

        event.listen(engine, "connect", limit)
        with pytest.raises((DatabaseUnreachableError, OperationalError), match="full"):
            daemon.run_until_idle()
        full = False
    assert project.run().failed == 0
    assert project.query("SELECT status, count(*) FROM runs GROUP BY status") == [("done", 8)]
    assert project.query("PRAGMA integrity_check") == [("ok",)]


def test_a_receiver_that_is_down_is_seen_at_once_and_hears_of_it_later(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    frame = logged()
    frame["label"] = np.random.default_rng(0).integers(0, 2, len(frame))
    project.labels(frame)
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"], "notify_max_age": "100mo"}
    receiver.answers.append(status(503))
    assert project.run().undelivered == 1
    output = monitor_command("status", cwd=project.folder).stdout
    assert "to ops is pending after 1 attempts" in output
    assert "503" in output
    identity = receiver.received[0][0]["webhook-id"]
    monitor_command("notifications", "retry", identity[:12], cwd=project.folder)
    project.run()
    assert [headers["webhook-id"] for headers, _ in receiver.received] == [identity, identity]
    assert receiver.received[0][1] == receiver.received[1][1]
    assert project.query("SELECT status, attempts FROM notifications") == [("delivered", 1)]


@pytest.mark.long
def test_a_damaged_file_is_named_and_the_monitor_goes_on_without_it(project: Project, monitor_command: Command) -> None:
    shutil.copy(project.folder / "log.parquet", project.folder / "whole.parquet")
    (project.folder / "log.parquet").write_bytes(b"PAR1 this is no parquet file PAR1")
    project.write()
    failed = monitor_command("run", cwd=project.folder)
    assert failed.returncode == 3
    assert "Traceback" not in failed.stderr
    Path(project.folder / "whole.parquet").replace(project.folder / "log.parquet")
    assert project.run().finished == 8


def test_sensitive_values_are_hashed_right_after_reading_and_stored_nowhere(
    project: Project, receiver: Receiver
) -> None:
    """An e-mail address takes the place of a region. Drift is still found, and the address cannot be read."""
    names = {"north": "ann@example.org", "south": "bob@example.org", "west": "cyd@example.org"}
    for file in ("log.parquet", "reference.parquet"):
        frame = pd.read_parquet(project.folder / file)
        frame["region"] = frame["region"].map(names)
        frame.to_parquet(project.folder / file, index=False)
    frame = pd.read_parquet(project.folder / "log.parquet")
    frame.loc[:599, "region"] = "dee@example.org"
    frame.to_parquet(project.folder / "log.parquet", index=False)
    project.monitor["columns"]["sensitive"] = ["region"]
    project.values["sensitive_key"] = "geheim"
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"], "notify_max_age": "100mo"}
    project.monitor["checks"] = {"thresholds": {"new_category_share": {"upper": 0.1}}}
    assert project.run().failed == 0
    assert "new_category_share" in findings(project, "region")
    assert len(receiver.received) == 1
    import zstandard

    stored = [zstandard.decompress(data) for (data,) in project.query("SELECT data FROM snapshots")]
    archives = [data for (data,) in project.query("SELECT archive FROM reference_versions")]
    texts = [text.encode() for (text,) in project.query("SELECT explanation FROM findings")]
    for place in (*stored, *archives, *texts, *(body for _, body in receiver.received)):
        assert b"@example.org" not in place
    later = project.query(
        "SELECT count(*) FROM findings f JOIN runs r ON r.id = f.run_id WHERE r.window_start >= '2025-01-11' AND"
        " f.severity = 'warning'"
    )
    assert later == [(0,)]  # the reference was hashed in the same way


def test_a_threshold_on_labels_that_come_early_is_an_alert_of_the_labels(project: Project) -> None:
    frame = logged()
    labels = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
    early = frame["event_time"] >= "2025-01-11"
    labels.loc[early, "label_time"] = frame.loc[early, "event_time"] - pd.Timedelta("1h")
    labels.to_parquet(project.folder / "labels.parquet", index=False)
    project.monitor["checks"] = {"thresholds": {"early_label_share": {"upper": 0.1, "severity": "critical"}}}
    project.replay()
    alerts = project.query("SELECT kind, subject, state, severity, bad_windows FROM alerts WHERE fired_at IS NOT NULL")
    assert alerts == [("quality", "labels", "firing", "critical", 2)]
