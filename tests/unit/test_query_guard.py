"""Analysts' queries can read the documented views only: no passwords, no files, no settings."""

from __future__ import annotations

import pytest

from monitor.errors import UsageError
from monitor.storage.database import Database
from monitor.storage.query_guard import check_query
from monitor.storage.report import VIEWS, ReportDatabase

REFUSED = [
    "SELECT * FROM users",
    "SELECT * FROM tokens",
    "SELECT r.* FROM monitor_runs r JOIN users u ON 1 = 1",
    "SELECT (SELECT name FROM users LIMIT 1) FROM monitor_runs",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM users)",
    "WITH u AS (SELECT * FROM users) SELECT * FROM u",
    "SELECT content FROM configurations",
    "SELECT archive FROM reference_versions UNION SELECT run FROM monitor_runs",
    "DELETE FROM findings",
    "UPDATE runs SET status = 'x'",
    "DROP VIEW monitor_runs",
    "INSERT INTO runs SELECT * FROM runs",
    "SELECT 1; DELETE FROM findings",
    "SELEC",
    "",
]
ALLOWED = [
    "SELECT COUNT(*) AS n FROM monitor_runs",
    "SELECT 'a,b' AS x, 2 AS y",
    "WITH r AS (SELECT monitor, kind FROM monitor_runs) SELECT kind, COUNT(*) FROM r GROUP BY kind",
    (
        "SELECT m.monitor, MAX(m.value) OVER (PARTITION BY m.monitor) FROM monitor_metrics m JOIN monitor_runs r ON"
        " r.run = m.run"
    ),
    "SELECT monitor FROM monitor_alerts WHERE state = 'firing' UNION ALL SELECT monitor FROM monitor_latest ORDER BY 1",
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> ReportDatabase:
    url = f"sqlite:///{tmp_path_factory.mktemp('reports')}/monitor.db"
    Database(url).prepare()
    return ReportDatabase(url)


@pytest.mark.parametrize(
    "sql",
    [
        *REFUSED,
        "PRAGMA table_info(users)",
        "PRAGMA journal_mode",
        "ATTACH 'x.db' AS x",
        "SELECT load_extension('x')",
        "SELECT * FROM sqlite_master",
    ],
)
def test_sqlite_refuses_it(reports: ReportDatabase, sql: str) -> None:
    with pytest.raises(UsageError, match="refused|nothing"):
        reports.rows(sql)


@pytest.mark.parametrize("sql", ALLOWED)
def test_views_are_read(reports: ReportDatabase, sql: str) -> None:
    reports.rows(sql)
    for dialect in ("postgresql", "mysql", "mariadb"):
        check_query(sql, dialect, VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_read_whole(reports: ReportDatabase, view: str) -> None:
    names, rows = reports.rows(f"SELECT * FROM {view}")
    assert (set(names), rows) == (set(VIEWS[view]), [])


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mariadb"])
@pytest.mark.parametrize(
    "sql",
    [
        *REFUSED,
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT * FROM public.users",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM information_schema.tables",
        "SELECT query_to_xml('select * from users', true, true, '')",
        "COPY runs TO PROGRAM 'sh'",
        "SET ROLE x",
        "TABLE users",
        "SELECT * FROM other.monitor_runs",
    ],
)
def test_servers_are_not_even_asked(sql: str, dialect: str) -> None:
    with pytest.raises(UsageError, match="refused|cannot be read"):
        check_query(sql, dialect, VIEWS)
