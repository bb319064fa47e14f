"""The command line as users run it: init on own data, validate, one window, listings, reports, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
import typer
import yaml

from monitor.cli import app
from monitor.domain.columns import guess_columns
from monitor.storage.database import Database
from tests.conftest import Project, Receiver, logged, status

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_help_answers_in_under_a_second(tmp_path: Path, monitor_process: Command) -> None:
    monitor_process("--help", cwd=tmp_path)
    started = time.monotonic()
    assert "init" in monitor_process("--help", cwd=tmp_path).stdout
    assert time.monotonic() - started < 1


def test_help_lists_every_command_in_a_group_and_cuts_no_line(tmp_path: Path, monitor_command: Command) -> None:
    shown = monitor_command("--help", cwd=tmp_path).stdout.split("Begin:")[1]
    listed = [line.split()[0] for line in shown.splitlines() if line.startswith("  ")]
    commands = list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert sorted(listed) == sorted(commands)
    assert "..." not in shown


@pytest.mark.parametrize(
    ("command", "shown", "terminal"),
    [
        (
            ["init", "again", "--predictions", "log.parquet", "--reference", "reference.parquet"],
            "reading log.parquet",
            "xterm",
        ),
        (["validate"], "reading the sources", "xterm"),
        (["validate"], "reading the sources", "dumb"),
        (["backtest"], "reading the log and its reference", "xterm"),
        (["backtest"], "reading the log and its reference", "dumb"),
    ],
)
def test_a_terminal_shows_what_a_command_is_doing(
    command: list[str], shown: str, terminal: str, project: Project
) -> None:
    project.write()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "monitor", *command],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": terminal},
    ) as process:
        os.close(theirs)
        output = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(ours, 1_000):
                output += more
    os.close(ours)
    assert process.returncode == 0, output
    assert shown in output.decode()


def test_a_run_of_one_monitor_says_nothing_of_the_others(project: Project, monitor_command: Command) -> None:
    project.values["monitors"]["other"] = {**project.monitor, "model": {"name": "other"}}
    project.write()
    assert monitor_command("run", "churn", "--replay", cwd=project.folder).returncode == 0
    alerts = json.loads(monitor_command("alerts", "list", "--all", "--json", cwd=project.folder).stdout)
    assert [alert for alert in alerts if alert["kind"] == "self"] == []


def test_commands_that_only_read_create_no_database(project: Project, monitor_command: Command) -> None:
    project.write()
    result = monitor_command("status", cwd=project.folder)
    assert result.returncode == 2
    assert "there is no report database" in result.stderr
    assert not (project.folder / "monitor.db").exists()


def test_listings_show_and_report_speak_of_what_was_done(project: Project, monitor_command: Command) -> None:
    frame = logged()
    frame["label"] = np.random.default_rng(0).integers(0, 2, len(frame))
    project.labels(frame)
    project.run()
    listed = json.loads(monitor_command("runs", "list", "--json", cwd=project.folder).stdout)
    assert len(listed) == 8
    worst = next(run for run in listed if run["severity"] == "critical")
    shown = monitor_command("runs", "show", worst["id"][:8], "--metrics", cwd=project.folder).stdout
    assert "ROC AUC is 0." in shown
    alert = json.loads(monitor_command("alerts", "list", "--json", cwd=project.folder).stdout)[0]
    assert (alert["kind"], alert["state"]) == ("performance", "firing")
    assert (
        "is acknowledged"
        in monitor_command("alerts", "ack", alert["id"][:8], "--note", "on it", cwd=project.folder).stdout
    )
    life = monitor_command("alerts", "show", alert["id"][:8], cwd=project.folder).stdout
    assert "acknowledged" in life
    assert "on it" in life
    assert monitor_command("report", worst["id"][:8], "--html", "r.html", cwd=project.folder).returncode == 0
    assert "<html" in (project.folder / "r.html").read_text()[:500].lower()
    assert "configuration" in monitor_command("references", "list", cwd=project.folder).stdout
    assert monitor_command("runs", "show", "ffffffff", cwd=project.folder).returncode == 2


@pytest.mark.long
def test_one_window_ad_hoc_is_never_judged_and_another_look_is(project: Project, monitor_command: Command) -> None:
    project.run()
    adhoc = monitor_command("run", "churn", "--window", "2025-01-01/2025-01-03", cwd=project.folder)
    assert adhoc.returncode == 0, adhoc.stderr
    assert "adhoc run of 2025-01-01 00:00 to 2025-01-03 00:00" in adhoc.stdout
    # The labels were corrected upstream. Another look at a planned window finds that the model was worse.
    frame = logged()
    first = frame["event_time"] < "2025-01-06"
    frame.loc[first, "label"] = np.random.default_rng(0).integers(0, 2, first.sum())
    project.labels(frame)
    again = monitor_command("run", "churn", "--window", "2025-01-01/2025-01-06", "--again", cwd=project.folder)
    assert again.returncode == 0, again.stderr
    assert sorted(project.query("SELECT kind, look FROM runs WHERE look > 0")) == [("data", 6), ("performance", 6)]
    assert project.query("SELECT kind, first_window FROM alerts WHERE fired_at IS NOT NULL") == [
        ("performance", "2025-01-01 00:00:00.000000")
    ]
    project.labels(logged())
    monitor_command("run", "churn", "--window", "2025-01-01/2025-01-06", "--again", cwd=project.folder)
    assert [row[0] for row in project.query("SELECT state FROM alerts")] != ["firing"]


@pytest.mark.long
def test_fail_on_tells_by_the_exit_code(project: Project, monitor_command: Command) -> None:
    project.write()
    assert monitor_command("run", "--fail-on", "warning", cwd=project.folder).returncode == 0
    frame = logged(days=20, start="2025-01-21")
    frame["label"] = np.random.default_rng(0).integers(0, 2, len(frame))
    both = pd.concat([logged(), frame.assign(id=frame["id"] + 5000)])
    project.log(both)
    project.labels(both)
    assert monitor_command("run", "--fail-on", "critical", cwd=project.folder).returncode == 4
    assert monitor_command("run", "--fail-on", "bad", cwd=project.folder).returncode == 2


def test_validate_names_every_mistake_and_says_what_can_not_be_told(project: Project, monitor_command: Command) -> None:
    project.monitor["columns"]["label_time"] = "nowhere"
    project.monitor["columns"]["segments"] = ["nothing"]
    project.write()
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 2
    assert "label column 'nowhere' not found" in result.stderr
    assert "source column 'nothing' not found" in result.stderr
    assert monitor_command("validate", "--offline", cwd=project.folder).returncode == 0


def test_validate_names_columns_that_change_slowly(project: Project, monitor_command: Command) -> None:
    project.monitor["windows"]["length"] = "1d"
    reference = logged(3000, seed=7, start="2024-12-01")
    days = reference["event_time"].dt
    reference.assign(weekday=days.dayofweek, index=days.dayofyear % 13 * 1.7).to_parquet(
        project.folder / "reference.parquet", index=False
    )
    project.write()
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert "'weekday' follows the calendar and is compared with it" in result.stdout + result.stderr
    assert (
        "'index' changes slowly: it holds nearly one value in windows of this length" in result.stdout + result.stderr
    )


def test_validate_says_that_rare_positives_can_never_be_judged(project: Project, monitor_command: Command) -> None:
    frame = logged(2000, days=20)
    rare = frame.assign(label=(frame.index % 500 == 0).astype(int))
    project.log(frame)
    project.labels(rare)
    rare.to_parquet(project.folder / "reference.parquet", index=False)
    project.write()
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert (
        "labels of the rarer class, and 5 are needed: its performance can never be judged"
        in result.stdout + result.stderr
    )


def test_validate_names_columns_in_checks_that_the_source_has_not(project: Project, monitor_command: Command) -> None:
    project.monitor["checks"] = {
        "segments": ["regoin"],
        "drift_methods": {"numerical": "psi", "incom": "ks"},
        "thresholds": {"missing_share": {"columns": {"nois": {"upper": 0.1}, "income": {"upper": 0.1}}}},
    }
    lines = project.write().read_text().splitlines()
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 2
    for written, meant in (("- regoin", "region"), ("incom:", "income"), ("nois:", "noise")):
        line = 1 + next(index for index, text in enumerate(lines) if text.strip().startswith(written))
        assert any(
            message.startswith(f"monitor.yaml:{line}: churn: ") and message.endswith(f"did you mean '{meant}'?")
            for message in result.stderr.splitlines()
        ), result.stderr
    project.monitor["checks"] = {"thresholds": {"new_category_share": {"columns": {"income": {"upper": 0.1}}}}}
    lines = project.write().read_text().splitlines()
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 2
    line = 1 + next(index for index, text in enumerate(lines) if text.strip().startswith("income:"))
    assert (
        f"monitor.yaml:{line}: churn: 'new_category_share' is not worked out for 'income', whose type is numerical"
        in result.stderr
    )
    project.monitor["checks"] = {"harm": {"roc_auk": 0.02}}
    project.write()
    for command in (("validate", "--offline"), ("run",)):
        refused = monitor_command(*command, cwd=project.folder)
        assert refused.returncode == 2
        assert "there is no metric 'roc_auk'; did you mean 'roc_auc'?" in refused.stderr


def test_config_show_tells_where_each_value_came_from_and_masks_secrets(
    project: Project, monitor_command: Command
) -> None:
    project.values["defaults"] = {"sample": {"rows": 7}}
    project.values["channels"] = {"ops": {"type": "webhook", "url": "https://example.org", "secret": "c2VjcmV0"}}
    project.write()
    output = monitor_command("config", "show", cwd=project.folder).stdout
    assert "monitors.churn.sample.rows: 7  # monitor.yaml:" in output
    assert "monitors.churn.sample.seed: 0  # default" in output
    assert "c2VjcmV0" not in output
    assert json.loads(monitor_command("config", "schema", cwd=project.folder).stdout)["$defs"]["MonitorConfig"]


def test_channels_test_prints_what_the_receiver_answered(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.write()
    assert "ops answered: 204" in monitor_command("channels", "test", "ops", cwd=project.folder).stdout
    receiver.answers.append(status(500))
    refused = monitor_command("channels", "test", "ops", cwd=project.folder)
    assert refused.returncode == 1
    assert "answered 500" in refused.stderr


def test_doctor_names_what_is_wrong_and_a_stray_monitor_py(
    project: Project, receiver: Receiver, monitor_command: Command
) -> None:
    webhook = {"type": "webhook", "allow_private": True}
    project.values["channels"] = {
        "ops": {**webhook, "url": receiver.url},
        "dead": {**webhook, "url": "http://127.0.0.1:1/"},
    }
    project.write()
    (project.folder / "monitor.py").write_text("")
    result = monitor_command("doctor", cwd=project.folder)
    assert result.returncode == 1
    assert "BAD  package" in result.stdout
    assert "ok   sources" in result.stdout
    assert "ok   channel ops: 127.0.0.1 answers" in result.stdout
    assert "BAD  channel dead" in result.stdout
    assert receiver.received == []


@pytest.mark.long
def test_logs_are_json_without_secrets_or_rows(project: Project, receiver: Receiver, monitor_command: Command) -> None:
    frame = logged()
    frame["label"] = np.random.default_rng(0).integers(0, 2, len(frame))
    frame["region"] = "secret-place"
    project.log(frame)
    project.labels(frame)
    project.values["channels"] = {
        "ops": {
            "type": "webhook",
            "url": receiver.url,
            "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
            "allow_private": True,
        }
    }
    project.monitor["alerts"] = {"channels": ["ops"], "notify_max_age": "100mo"}
    project.write()
    done = monitor_command("run", "--log-format", "json", cwd=project.folder)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {
        "monitor_added",
        "reference_in_force",
        "run_done",
        "alert_firing",
        "notification_written",
        "notification_delivered",
    } <= {event["event"] for event in events}
    assert "c2VjcmV0" not in done.stderr


@pytest.mark.long
def test_init_is_told_what_names_do_not_say(tmp_path: Path, monitor_command: Command) -> None:
    odd = {"id": "ref", "event_time": "when", "probability": "p1", "prediction": "said", "label": "bad"}
    frame = logged().rename(columns=odd)
    frame.drop(columns="bad").to_parquet(tmp_path / "log.parquet", index=False)
    frame[["ref", "bad", "when"]].to_parquet(tmp_path / "truth.parquet", index=False)
    arguments = ("init", "churn", "--predictions", "log.parquet", "--labels", "truth.parquet")
    flags: tuple[str, ...] = ("--time", "when")  # recognised by its type, too
    for missing, more in (
        ("--prediction or --probability", ("--probability", "p1", "--prediction", "said")),
        ("--id", ("--id", "ref")),
    ):
        refused = monitor_command(*arguments, *flags, cwd=tmp_path)
        assert refused.returncode == 1
        assert missing in refused.stderr
        assert "p1 (float64)" in refused.stderr or "ref (int64)" in refused.stderr
        flags += more
    wrong = monitor_command(*arguments, *flags, "--segment", "regoin", cwd=tmp_path)
    assert "--segment regoin: log.parquet has no such column; did you mean 'region'?" in wrong.stderr
    made = monitor_command(*arguments, *flags, "--label", "bad", "--segment", "region", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "monitor.yaml").read_text()
    columns = (
        "id: ref, event_time: when, prediction: said, probability: p1, label: bad, label_time: when, segments: [region]"
    )
    assert columns in text
    assert monitor_command("validate", cwd=tmp_path).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "parquet", "hive"])
def test_columns_that_are_no_inputs_are_left_out_and_told(tmp_path: Path, monitor_command: Command, form: str) -> None:
    frame = logged().assign(trace_id="abc", position=range(7, 7 + 1200))
    if form == "csv":
        frame.to_csv(tmp_path / "log.csv")
        where, index = "log.csv", ["column0"]
    elif form == "parquet":
        frame.sample(frac=1, random_state=0).to_parquet(tmp_path / "log.parquet")
        where, index = "log.parquet", ["__index_level_0__"]
    else:
        for day, part in frame.groupby(frame["event_time"].dt.date):
            folder = tmp_path / "log" / f"year={day.year}" / f"day={day.day:02d}"
            folder.mkdir(parents=True)
            part.to_parquet(folder / "rows.parquet", index=False)
        where, index = "log", ["year", "day"]
    made = monitor_command("init", "churn", "--predictions", where, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    monitor = yaml.safe_load((tmp_path / "monitor.yaml").read_text())["monitors"]["churn"]
    assert set(monitor["columns"]["ignore"]) == {*index, "trace_id", "position"}
    assert "position: a number of the row, no input of the model; left out" in made.stdout
    assert monitor_command("validate", cwd=tmp_path).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("rows", [3, pytest.param(120, marks=pytest.mark.long)])
def test_a_young_log_is_the_reference_so_far_and_everybody_says_what_is_waited_for(
    tmp_path: Path, monitor_command: Command, rows: int
) -> None:
    frame = logged(rows, days=rows / 96, start="2026-01-01").drop(columns="label")
    frame.to_csv(tmp_path / "log.csv", index=False)
    made = monitor_command("init", "young", "--predictions", "log.csv", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert f"the log is young: its {rows} rows are the reference so far, and the first window" in made.stdout
    assert monitor_command("validate", cwd=tmp_path).returncode == 0
    worked = monitor_command("run", cwd=tmp_path)
    assert worked.returncode == 0, worked.stderr
    waits = (
        "young: its first window, 2026-01-05 00:00 to 2026-01-12 00:00 UTC, is looked at once its log has come so far"
    )
    assert waits in worked.stdout
    assert waits in monitor_command("status", cwd=tmp_path).stdout
    later = logged(700, days=7, start="2026-01-05", seed=1).drop(columns="label")
    later["id"] += 10_000
    pd.concat([frame, later, later.tail(1).assign(event_time=pd.Timestamp("2026-01-12"), id=99_999)]).to_csv(
        tmp_path / "log.csv", index=False
    )
    assert monitor_command("run", cwd=tmp_path).returncode == 0
    assert "its first window" not in monitor_command("status", cwd=tmp_path).stdout


def test_names_that_say_it_are_recognised() -> None:
    columns = guess_columns(
        {"fraud_probability": "float64", "risk_level": "float64", "decision": "int64", "inference_id": "string"}
    )
    assert (columns.probability, columns.prediction, columns.id) == ("fraud_probability", "decision", "inference_id")
    assert guess_columns({"fraud_score": "float64", "churn_score": "float64"}).probability is None
    assert guess_columns({"credit_score": "int64"}).probability is None


@pytest.mark.long
def test_init_finds_out_how_times_are_written_or_asks_for_it(tmp_path: Path, monitor_command: Command) -> None:
    frame = logged(start="2026-01-02")
    milliseconds = frame["event_time"].astype("datetime64[ms]").astype("int64")
    frame.assign(event_time=milliseconds).to_csv(tmp_path / "log.csv", index=False)
    made = monitor_command("init", "churn", "--predictions", "log.csv", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (
        "'event_time' of log.csv is read as milliseconds since 1970 (1767312000000 is 2026-01-02 00:00 UTC)"
        in made.stdout
    )
    assert monitor_command("validate", cwd=tmp_path).returncode == 0
    assert monitor_command("run", cwd=tmp_path).returncode == 0
    early = frame[frame["event_time"].dt.day <= 12]
    early.assign(event_time=early["event_time"].dt.strftime("%d/%m/%Y")).to_csv(tmp_path / "days.csv", index=False)
    arguments = ("init", "days", "--predictions", "days.csv", "--file", "days.yaml")
    refused = monitor_command(*arguments, cwd=tmp_path)
    assert (refused.returncode, "--time-format" in refused.stderr) == (1, True)
    assert monitor_command(*arguments, "--time-format", "%d/%m/%Y", cwd=tmp_path).returncode == 0
    assert 'read: {date_format: "%d/%m/%Y"}' in (tmp_path / "days.yaml").read_text()


@pytest.mark.long
def test_a_model_whose_log_is_in_mysql_is_watched_from_init_to_status(
    project: Project, empty_mariadb: str, monitor_command: Command
) -> None:
    frame = logged()
    for name, rows in (("predictions", frame.drop(columns="label")), ("truth", frame[["id", "label"]])):
        rows.to_sql(name, Database(empty_mariadb).engine, index=False)
    options = ("--predictions", empty_mariadb, "--table", "predictions", "--reference", "reference.parquet")
    made = monitor_command("init", "fraud", *options, "--file", "own.yaml", cwd=project.folder)
    assert made.returncode == 0, made.stderr
    assert monitor_command("validate", "--config", "own.yaml", cwd=project.folder).returncode == 0
    project.monitor["source"] = {"url": empty_mariadb, "table": "predictions"}
    project.monitor["labels"] = {"url": empty_mariadb, "table": "truth", "delay": "1d", "expected": 1.0}
    del project.monitor["columns"]["label_time"]
    project.run()
    assert project.query(
        "SELECT kind, status, COUNT(*), MIN(labelled) FROM runs GROUP BY kind, status ORDER BY kind"
    ) == [
        ("data", "done", 4, None),
        ("performance", "done", 4, 300),
    ]


@pytest.mark.long
def test_init_reads_a_table_and_keeps_the_password_out_of_the_file(
    tmp_path: Path, empty_postgresql: str, monitor_command: Command
) -> None:
    frame = logged()
    with psycopg.connect(empty_postgresql) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA ml")
        cursor.execute(
            "CREATE TABLE ml.predictions (id bigint, event_time timestamp, income float, region text, noise float,"
            " probability float, prediction int, label int)"
        )
        with cursor.copy(
            "COPY ml.predictions (id, event_time, income, region, noise, probability, prediction, label) FROM STDIN"
        ) as copy:
            for row in frame.itertuples(index=False):
                copy.write_row([value.item() if hasattr(value, "item") else value for value in row])
    url = empty_postgresql.replace("monitor@", "monitor:geheim@")
    made = monitor_command(
        "init",
        "fraud",
        "--predictions",
        url,
        "--table",
        "ml.predictions",
        "--reference-until",
        "2025-01-08",
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "monitor.yaml").read_text()
    assert "geheim" not in text + made.stdout
    assert "${FRAUD_DATABASE_URL}" in text
    assert "put it into the environment variable FRAUD_DATABASE_URL" in made.stdout
    assert monitor_command("validate", cwd=tmp_path).returncode == 2
    assert monitor_command("validate", cwd=tmp_path, environment={"FRAUD_DATABASE_URL": url}).returncode == 0
    done = monitor_command("run", cwd=tmp_path, environment={"FRAUD_DATABASE_URL": url})
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_init_adds_an_entry_and_touches_no_other(project: Project, monitor_command: Command) -> None:
    project.write()
    before = "# a comment of mine\n" + project.path.read_text() + "\nchannels: {}  # none yet\n"
    project.path.write_text(before)
    made = monitor_command(
        "init", "second", "--predictions", "log.parquet", "--reference", "reference.parquet", cwd=project.folder
    )
    assert made.returncode == 0, made.stderr
    after = project.path.read_text()
    entry = after[after.index("  second:") : after.index("\nchannels")]
    assert after.replace(entry, "") == before
    assert list(yaml.safe_load(after)["monitors"]) == ["churn", "second"]
    result = monitor_command("validate", cwd=project.folder)
    assert result.returncode == 0
    assert "rows a window, a shift of 0." in result.stdout
    assert monitor_command("init", "second", "--predictions", "log.parquet", cwd=project.folder).returncode == 2


@pytest.mark.long
def test_init_without_a_reference_proposes_the_oldest_labelled_stretch(
    project: Project, monitor_command: Command
) -> None:
    made = monitor_command(
        "init",
        "churn",
        "--predictions",
        "log.parquet",
        "--labels",
        "labels.parquet",
        "--file",
        "new.yaml",
        cwd=project.folder,
    )
    assert made.returncode == 0, made.stderr
    assert "the reference is the oldest stretch of the log" in made.stdout
    assert monitor_command("validate", "-c", "new.yaml", cwd=project.folder).returncode == 0
    assert monitor_command("run", "-c", "new.yaml", cwd=project.folder).returncode == 0


@pytest.mark.long
def test_init_and_validate_ask_for_the_positive_class_where_it_is_not_certain(
    project: Project, monitor_command: Command
) -> None:
    frame = logged(1500, seed=7, start="2024-12-01")
    frame["label"] = np.where(frame["label"] == 1, "left", "stayed")
    frame.to_parquet(project.folder / "reference.parquet", index=False)
    options = ("--predictions", "log.parquet", "--reference", "reference.parquet", "--file", "new.yaml")
    result = monitor_command("init", "churn", *options, cwd=project.folder)
    assert result.returncode == 0, result.stderr
    assert "positive:" not in (project.folder / "new.yaml").read_text()
    left, stayed = result.stdout.splitlines()[-2:]
    assert left.startswith("  --positive left ")
    assert float(left.rsplit(" ", 1)[1]) > 0.8
    assert stayed.startswith("  --positive stayed ")
    assert float(stayed.rsplit(" ", 1)[1]) < 0.2
    refused = monitor_command("validate", "-c", "new.yaml", cwd=project.folder)
    assert refused.returncode == 2
    assert "the labels are 'left' and 'stayed': which is the positive class?" in refused.stderr
    assert "name it: columns.positive: left (ROC AUC 0.8" in refused.stderr
    (project.folder / "new.yaml").unlink()
    chosen = monitor_command("init", "churn", *options, "--positive", "left", cwd=project.folder)
    assert "positive: left" in (project.folder / "new.yaml").read_text()
    assert "next: monitor validate" in chosen.stdout
    assert monitor_command("validate", "-c", "new.yaml", cwd=project.folder).returncode == 0
    unknown = monitor_command("init", "other", *options, "--positive", "lft", cwd=project.folder)
    assert unknown.returncode == 1
    assert "did you mean 'left'?" in unknown.stderr


def test_init_doubts_a_positive_class_that_ranks_worse_than_chance(project: Project, monitor_command: Command) -> None:
    frame = logged(1500, seed=7, start="2024-12-01")
    frame.assign(label=np.where(frame["label"] == 1, "no", "yes")).to_parquet(
        project.folder / "reference.parquet", index=False
    )
    options = ("--predictions", "log.parquet", "--reference", "reference.parquet", "--file", "new.yaml")
    result = monitor_command("init", "churn", *options, cwd=project.folder)
    assert "worse than chance: is the probability that of class 'no'? Then: --positive no" in result.stderr
    assert 'positive: "yes"' in (project.folder / "new.yaml").read_text()


@pytest.mark.parametrize(
    "option",
    [("--predictions", "nowhere.parquet"), ("--predictions", "postgresql://u:geheim@127.0.0.1:1/x", "--table", "t")],
)
def test_init_says_what_it_cannot_read(tmp_path: Path, monitor_command: Command, option: tuple[str, ...]) -> None:
    refused = monitor_command("init", "x", *option, cwd=tmp_path)
    assert refused.returncode == 3
    assert "geheim" not in refused.stderr
    assert "Traceback" not in refused.stderr
