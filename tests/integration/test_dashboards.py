"""The files for Grafana and Prometheus: each panel's query on a real report database, the rules by promtool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
import yaml

from monitor.storage.database import Database
from tests.conftest import Project
from tests.nasty_names import NASTY
from tests.servers import PostgreSQL, require

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


def panels() -> Iterator[tuple[str, str, str]]:
    """Title, query and format of each panel and of each variable of a dashboard."""
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["rawSql"], target["format"]
        for variable in dashboard["templating"]["list"]:
            yield f"{path.stem}: {variable['name']}", variable["query"], "table"


def test_every_panel_asks_what_the_report_database_answers(project: Project, empty_postgresql: str) -> None:
    project.values["database"] = empty_postgresql
    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    project.replay()
    engine = sa.create_engine(empty_postgresql.replace("postgresql://", "postgresql+psycopg://"))
    answered: dict[str, int] = {}
    for title, sql, form in panels():
        with engine.connect() as connection:
            result = connection.exec_driver_sql(filled(sql).replace("%", "%%"))
            assert form != "time_series" or "time" in list(result.keys()), title
            answered[title] = len(result.all())
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


@pytest.fixture
def composed() -> Iterator[str]:
    """The address of the service's database on a PostgreSQL server as deploy/compose.yaml makes it."""
    require(PostgreSQL)
    server = PostgreSQL()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE postgres SUPERUSER LOGIN")
    with psycopg.connect(server.url("postgres").replace("monitor@", "postgres@"), autocommit=True) as connection:
        connection.execute("ALTER ROLE monitor RENAME TO first")
    secrets = {"MONITOR_DATABASE_PASSWORD": "of the service", "GRAFANA_DATABASE_PASSWORD": "it's Grafana's"}
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "POSTGRES_USER": "postgres"}
    done = subprocess.run(
        [DEPLOY / "postgresql/roles.sh"],
        env=server.environment | secrets | where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield server.url("monitor")
    server.stop()


@pytest.mark.long
def test_grafana_reads_the_views_and_nothing_beneath_them(composed: str, project: Project) -> None:
    url = composed
    project.values["database"] = url
    project.replay()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    with psycopg.connect(url.replace("monitor@", "grafana@"), autocommit=True) as connection:
        for _, sql, _ in panels():
            connection.execute(filled(sql).replace("%", "%%").encode())
        assert connection.execute("SELECT count(*) FROM monitor_runs").fetchone() != (0,)
        tables = ["users", "api_tokens", "web_sessions", "service_keys", "configurations", "runs", "pg_authid"]
        for forbidden in (
            *(f"SELECT * FROM {table}" for table in tables),
            "CREATE TABLE own (x int)",
            "DELETE FROM runs",
            "SELECT pg_read_file('/etc/passwd')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden.encode())
    with psycopg.connect(url.replace("monitor@", "postgres@"), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url.replace("monitor@", "stranger@"))


def test_views_that_are_made_anew_are_read_as_before(composed: str) -> None:
    url = composed
    database = Database(url)
    database.migrate("0006")
    database.migrate()
    with psycopg.connect(url.replace("monitor@", "grafana@")) as connection:
        assert connection.execute("SELECT count(*) FROM monitor_latest").fetchone() == (0,)


def test_images_are_pinned_and_no_password_has_a_default() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    images = [service["image"] for service in compose.values() if "image" in service]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 5
    for image in images:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), image
    wanted = set()
    for service in compose.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{(\w+):\?set \1\}", value), name
            wanted.update(re.findall(r"\$\{(\w+)", value))
    assert wanted == set(re.findall(r"^(\w+)=$", (DEPLOY / "example.env").read_text(), re.MULTILINE))


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
        queries = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"]]
        queries += [variable["query"] for variable in dashboard["templating"]["list"]]
        for sql in queries:
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
        metric_names = set(re.findall(r"# HELP (\w+)", site.get("/metrics").text))
    used = set(re.findall(r"\bmonitor_\w+", (DEPLOY / "prometheus/rules.yml").read_text()))
    assert used <= metric_names
