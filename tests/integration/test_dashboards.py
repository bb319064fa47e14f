"""The files for Grafana and Prometheus: each panel's query on a real report database, the rules by promtool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from tests.conftest import Project
from tests.nasty_names import NASTY

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# What Grafana puts in place of its macros and variables before it asks the database.
FILLED = {"monitor": "churn", "metric": "roc_auc"}


def filled(sql: str, **values: str) -> str:
    sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN '2024-01-01' AND '2030-01-01'", sql)
    for name, value in (FILLED | values).items():
        quoted = value.replace("'", "''")
        sql = sql.replace(f"${{{name}:sqlstring}}", f"'{quoted}'")
    assert values or "$" not in sql, sql
    return sql


def test_every_panel_asks_what_the_report_database_answers(project: Project, empty_postgresql: str) -> None:
    project.values["database"] = empty_postgresql
    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    project.replay()
    engine = sa.create_engine(empty_postgresql.replace("postgresql://", "postgresql+psycopg://"))
    answered: dict[str, int] = {}
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        queries = [
            (panel["title"], target["rawSql"], target["format"])
            for panel in dashboard["panels"]
            for target in panel["targets"]
        ]
        queries += [(each["name"], each["query"], "table") for each in dashboard["templating"]["list"]]
        for title, sql, form in queries:
            with engine.connect() as connection:
                result = connection.exec_driver_sql(filled(sql).replace("%", "%%"))
                assert form != "time_series" or "time" in list(result.keys()), title
                answered[f"{path.stem}: {title}"] = len(result.all())
                for name in NASTY if "$monitor" in sql or "${monitor" in sql else ():
                    connection.exec_driver_sql(filled(sql, monitor=name, metric=name).replace("%", "%%")).all()
    assert len(answered) > 15
    for title in (
        "fleet: Every monitor",
        "model: Drift by column",
        "model: Predictions a window",
        "service: Runs that ended",
        "model: monitor",
        "model: metric",
    ):
        assert answered[title] > 0, title
    assert answered["model: Performance: $metric, realised and estimated"] >= 8


def test_no_panel_takes_names_for_markup_or_for_sql() -> None:
    for path in (DEPLOY / "grafana/dashboards").glob("*.json"):
        text = path.read_text()
        dashboard = json.loads(text)
        assert {panel["type"] for panel in dashboard["panels"]} <= {
            "table",
            "timeseries",
            "piechart",
            "stat",
            "barchart",
        }
        assert "markdown" not in text
        assert '"html"' not in text
        asked = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"]]
        asked += [each["query"] for each in dashboard["templating"]["list"]]
        for sql in asked:
            rest = re.sub(r"\$\{(monitor|metric):sqlstring\}|\$__timeFilter", "", sql)
            assert "$" not in rest, sql


def test_what_is_provisioned_is_there() -> None:
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/monitor.yaml").read_text())["datasources"]
    for path in (DEPLOY / "grafana/dashboards").glob("*.json"):
        used = {panel["datasource"]["uid"] for panel in json.loads(path.read_text())["panels"]}
        assert used == {sources[0]["uid"]}


def test_the_rules_are_prometheus_own(project: Project) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed")
        pytest.skip("needs promtool (Debian: apt install prometheus)")
    for arguments in (
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
        ["check", "config", "prometheus.yml"],
    ):
        done = subprocess.run(
            [tool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_name_metrics_that_there_are(project: Project) -> None:
    from tests.web import served

    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    with served(project) as site:
        told = set(re.findall(r"# HELP (\w+)", site.get("/metrics").text))
    used = set(re.findall(r"\bmonitor_\w+", (DEPLOY / "prometheus/rules.yml").read_text()))
    assert used <= told
