"""The report database: models and migrations agree, claims are exclusive and fenced, transactions are retried."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from monitor.domain.checks import Check, Finding, Kind, MetricValue, Verdict
from monitor.domain.grid import Window
from monitor.errors import DatabaseUnreachableError, SchemaVersionError
from monitor.storage import alerts, measures, monitors, outbox, overview, results, retention, retraining, runs, windows
from monitor.storage.database import Database
from monitor.storage.results import Results
from monitor.storage.runs import RunClaim
from monitor.storage.tables import Base, MetricDay, MetricSeries, MetricValueRow, MonitorRow, Run

NOW = datetime(2025, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def database(database_url: str) -> Database:
    made = Database(database_url)
    made.prepare()
    return made


def add_monitor(session: Session, name: str = "churn") -> MonitorRow:
    version = monitors.configuration_version(session, {"monitors": {name: {}}}, "0", NOW)
    return monitors.create(session, name, "model", version.id, NOW)


def add_runs(session: Session, number: int) -> list[int]:
    row = add_monitor(session)
    run_ids = []
    for index in range(number):
        start = NOW + timedelta(days=index)
        run = runs.plan(
            session, row, "data", Window(start, start + timedelta(days=1)), 0, start + timedelta(days=1), NOW
        )
        assert run is not None
        run_ids.append(run.id)
    return run_ids


def test_models_and_migrations_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_downgrade_and_upgrade_again(database: Database) -> None:
    database.migrate("base")
    assert database.revision() is None
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    database.migrate()
    database.require_current()


def test_an_older_or_newer_schema_is_refused_with_the_command(database: Database) -> None:
    database.transact(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(SchemaVersionError, match="newer version of Monitor"):
        database.prepare()


def test_a_schema_that_was_left_half_made_is_made_anew_and_one_with_data_is_not(empty_mariadb: str) -> None:
    """MariaDB commits each statement of a migration. A process that is killed meanwhile leaves a part of it."""
    for revision in ("0001", "0002"):
        half = Database(empty_mariadb)
        half.migrate(revision)
        with half.engine.begin() as connection:
            connection.execute(text("DROP TABLE snapshots"))  # the last table was not created yet
        half.prepare()
        half.migrate("base")
    half.migrate("0001")
    with half.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))  # the first migration did not finish
    half.prepare()
    half.transact(add_monitor)
    half.migrate("0002")
    with pytest.raises(SchemaVersionError, match="monitor migrate"):
        half.prepare()
    assert half.read(lambda session: session.execute(text("SELECT count(*) FROM monitors")).scalar()) == 1


@pytest.mark.long
@pytest.mark.parametrize("number", [3, pytest.param(10, marks=pytest.mark.long)])
def test_many_at_once_migrate_an_empty_database_once(tmp_path: Path, database_url: str, number: int) -> None:
    (tmp_path / "monitor.yaml").write_text(f"database: {database_url}\n")
    command = [str(Path(sys.executable).parent / "monitor"), "migrate"]
    started = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(number)
    ]
    errors = [process.communicate(timeout=100)[1] for process in started]
    assert [process.returncode for process in started] == [0] * number, errors
    Database(database_url).require_current()


def test_times_keep_microseconds_and_zone_and_naive_ones_are_refused(database: Database) -> None:
    database.transact(add_monitor)
    assert database.read(lambda session: monitors.active(session)[0].created_at) == NOW
    with pytest.raises(Exception, match="without a zone"):
        database.transact(lambda session: setattr(monitors.active(session)[0], "created_at", datetime(2025, 1, 1)))


def test_the_same_run_is_planned_once(database: Database) -> None:
    database.transact(add_runs, 1)

    def again(session: Session) -> Run | None:
        row = monitors.active(session)[0]
        return runs.plan(session, row, "data", Window(NOW, NOW + timedelta(days=1)), 0, NOW, NOW)

    assert database.transact(again) is None


def test_a_window_is_counted_again_only_when_its_data_run_has_ended(database: Database) -> None:
    database.transact(add_runs, 1)

    def opened(session: Session) -> None:
        session.add(windows.of_run(session.get_one(Run, 1), labels=False, recount_at=NOW, mark=""))

    database.transact(opened)
    later = NOW + MINUTE
    assert database.read(windows.wanting_look, later) == set()
    run = database.transact(runs.claim, "one", MINUTE, NOW, alone=True)
    assert run is not None
    assert database.read(windows.wanting_look, later) == set()
    database.transact(runs.fail, RunClaim(run.id, run.owner, run.claims), NOW, "broken", 1, MINUTE, final=True)
    assert database.read(windows.wanting_look, later) == {1}


def test_claims_by_many_at_once_are_exclusive(database: Database) -> None:
    database.transact(add_runs, 40)
    taken: list[int] = []

    def work(owner: str) -> None:
        while (run := database.transact(runs.claim, owner, MINUTE, NOW, alone=False)) is not None:
            taken.append(run.id)

    threads = [threading.Thread(target=work, args=(f"d{index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 40


def test_a_result_is_stored_by_owner_and_attempt_alone(database: Database) -> None:
    database.transact(add_runs, 1)
    run = database.transact(runs.claim, "first", timedelta(seconds=-1), NOW, alone=True)
    assert run is not None
    stale = RunClaim(run.id, "first", run.claims)
    assert [recovered.id for recovered in database.transact(runs.recover, everything=False)] == [run.id]
    again = database.transact(runs.claim, "first", MINUTE, NOW, alone=True)
    assert again is not None
    assert database.transact(runs.held, stale) is None
    assert database.transact(runs.held, RunClaim(again.id, "first", again.claims)) is not None
    assert database.transact(runs.renew, [stale], MINUTE) == [stale]


def test_a_lost_lease_is_no_failure_until_it_was_lost_alone(database: Database) -> None:
    database.transact(add_runs, 1)
    for losses in range(1, 5):
        claimed = database.transact(runs.claim, "d", timedelta(seconds=-1), NOW, alone=True)
        assert claimed is not None
        database.transact(runs.recover, everything=False)
        run = database.read(lambda session: session.query(Run).one())
        assert (run.losses, run.failures) == (losses, 1 if losses > 3 else 0)
    assert database.transact(runs.claim, "d", MINUTE, NOW, alone=False) is None


def test_failures_end_a_run_at_their_bound_with_the_reason(database: Database) -> None:
    database.transact(add_runs, 1)
    at = NOW
    for attempt, expected in ((1, "pending"), (2, "pending"), (3, "failed")):
        run = database.transact(runs.claim, "d", MINUTE, at, alone=True)
        assert run is not None
        assert (
            database.transact(
                runs.fail, RunClaim(run.id, "d", run.claims), at, f"reason {attempt}", 3, MINUTE, final=False
            )
            == expected
        )
        at += timedelta(hours=1)
    assert database.read(lambda session: session.query(Run).one().reason) == "reason 3"


def test_runs_that_end_are_counted_and_pruning_takes_nothing_back(database: Database) -> None:
    run_ids = database.transact(add_runs, 5)
    skipped = Window(NOW - 2 * timedelta(days=1), NOW - timedelta(days=1))

    def fail(session: Session) -> None:
        claimed = runs.claim(session, "one", MINUTE, NOW + timedelta(days=9), alone=True)
        assert claimed is not None
        claim = RunClaim(claimed.id, "one", claimed.claims)
        assert runs.fail(session, claim, NOW, "the source is odd", 3, MINUTE, final=True) == "failed"
        assert runs.fail(session, claim, NOW, "once more", 3, MINUTE, final=True) is None

    def end(session: Session) -> None:
        row = monitors.by_name(session, "churn")
        assert row is not None
        runs.add(session, [runs.new(row, "data", skipped, 0, NOW, NOW, status="skipped")])
        runs.cancel(session, row.id, "the monitor is gone", NOW)
        runs.cancel(session, row.id, "the monitor is gone", NOW)

    for unit in (fail, fail, end):
        database.transact(unit)
    expected = [("data", "cancelled", 3), ("data", "failed", 2), ("data", "skipped", 1)]
    assert database.read(measures.ended) == expected
    database.transact(retention.drop_runs, run_ids)
    assert database.read(measures.ended) == expected


def test_metric_values_of_names_that_differ_in_case_are_two_series_and_nan_is_null(database: Database) -> None:
    ids = database.transact(add_runs, 1)

    def store(session: Session) -> None:
        values = [MetricValue("mae", "Age", value=1.0), MetricValue("mae", "age", value=float("nan"))]
        checks = [Check("mae", "age", value=float("inf"), kind=Kind.QUALITY)]
        results.store(session, session.get_one(Run, ids[0]), Results(values, checks, [], b"x" * 100_000))

    database.transact(store)
    stored = database.read(
        lambda session: [(series.column, value.value) for value, series in results.values(session, ids[0])]
    )
    assert sorted(stored) == [("Age", 1.0), ("age", None)]
    assert len(database.read(results.snapshot, ids[0]) or b"") == 100_000


def test_reports_are_listed_with_the_runs_that_later_looks_have_replaced(database: Database) -> None:
    ids = database.transact(add_runs, 3)

    def look_again(session: Session) -> None:
        first = session.get_one(Run, ids[0])
        row = session.get_one(MonitorRow, first.monitor_id)
        again = runs.plan(session, row, "data", first.window, 1, first.as_of + MINUTE, NOW)
        assert again is not None
        ids.append(again.id)
        for number in ids:
            run = session.get_one(Run, number)
            run.status = "done"
            if number not in ids[1:2]:  # a window without rows has no report
                results.store(session, run, Results([], [], [], b"x"))

    database.transact(look_again)
    reports = database.read(results.reports, None, None, None)
    assert [(report.run_id, report.is_current) for report in reports] == [
        (ids[0], False),
        (ids[3], True),
        (ids[2], True),
    ]
    assert {report.monitor[1:] for report in reports} == {("churn", "model")}
    day = timedelta(days=1)
    assert [report.run_id for report in database.read(results.reports, None, NOW + day, NOW + 3 * day)] == [ids[2]]
    assert database.read(results.reports, -1, None, None) == []


def test_metric_values_lie_in_the_order_of_their_key(database: Database) -> None:
    table = MetricValueRow.__table__
    assert [column.name for column in table.primary_key] == ["series_id", "window_start", "run_id"]
    if database.is_sqlite:
        sql = database.read(
            lambda session: session.execute(text("SELECT sql FROM sqlite_master WHERE name = 'metric_values'")).scalar()
        )
        assert "WITHOUT ROWID" in sql
    elif database.url.get_backend_name() == "postgresql":
        sql = database.read(
            lambda session: session.execute(
                text("SELECT indexdef FROM pg_indexes WHERE indexname = 'pk_metric_values'")
            ).scalar()
        )
        assert "INCLUDE (value, lower, upper)" in sql


def test_a_transaction_runs_again_after_a_passing_error(database: Database) -> None:
    tries = []

    def unit(session: Session) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("x", {}, Exception("database is locked"))
        return session.execute(text("SELECT 1")).scalar_one()

    assert database.transact(unit) == 1
    assert len(tries) == 3


def test_a_database_that_is_away_is_a_clear_error() -> None:
    with pytest.raises(DatabaseUnreachableError, match="cannot be used"):
        Database("postgresql://monitor:geheim@127.0.0.1:1/none").revision()
    with pytest.raises(DatabaseUnreachableError) as caught:
        Database("postgresql://monitor:geheim@127.0.0.1:1/none").revision()
    assert "geheim" not in str(caught.value)


def test_one_notification_at_a_time_of_a_group_and_the_untried_is_superseded(database: Database) -> None:
    database.transact(outbox.add, "ops", "alert", "first", [], NOW)
    notification = database.transact(outbox.claim, "d", MINUTE, NOW, [])
    assert notification is not None
    database.transact(outbox.settle, notification, NOW, "pending", "503", NOW + MINUTE)
    database.transact(outbox.add, "ops", "alert", "second", [], NOW)
    database.transact(outbox.add, "ops", "alert", "third", [], NOW)
    states = database.read(lambda session: {row.body: row.status for row in outbox.listed(session, None)})
    assert states == {"first": "pending", "second": "superseded", "third": "pending"}
    assert database.transact(outbox.claim, "d", MINUTE, NOW, []) is None  # only the first may be sent, and it waits
    later = database.transact(outbox.claim, "d", MINUTE, NOW + MINUTE, [])
    assert later is not None
    assert later.uuid == notification.uuid
    assert not database.transact(outbox.settle, notification, NOW, "delivered")
    assert database.transact(outbox.settle, later, NOW, "delivered")
    third = database.transact(outbox.claim, "d", MINUTE, NOW + MINUTE, [])
    assert third is not None
    assert third.body == "third"


def test_never_two_requests_of_one_model_that_have_not_ended(database: Database) -> None:
    def propose(session: Session, day: int) -> int:
        row = monitors.by_name(session, "churn") or add_monitor(session)
        start = NOW + timedelta(days=day)
        return retraining.propose(session, row, (start, start), start, "train", "why", {}, (NOW, start), "1", NOW).id

    first, second = database.transact(propose, 1), database.transact(propose, 2)
    assert database.transact(propose, 1) == first

    def open_(session: Session, request_id: int) -> None:
        from monitor.storage.tables import RetrainingRequest

        retraining.move(session, session.get_one(RetrainingRequest, request_id), "open", "go", NOW)

    database.transact(open_, first)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        database.transact(open_, second)


VIEWS = ("runs", "metrics", "metric_days", "checks", "findings", "alerts", "notifications", "retraining", "latest")


def test_a_database_of_each_released_schema_with_data_in_it_is_upgraded(database_url: str) -> None:
    database = Database(database_url)
    database.migrate("0001")
    now = {"sqlite": "2025-01-01 00:00:00.123456"}.get(
        database.url.get_backend_name(), "2025-01-01 00:00:00.123456+00:00"
    )
    now = now.removesuffix("+00:00")

    def fill(session: Session) -> None:
        for statement in (
            f"INSERT INTO configurations VALUES (1, 'h', '{{}}', '0.1', '{now}')",
            f"INSERT INTO monitors VALUES (1, 'u', 'churn', 'churn', 'churn', 1, 'm', 1, NULL, '{now}', '{now}', NULL)",
            f"INSERT INTO source_states VALUES (1, '{now}', '{now}', '{now}', '{{\"x\": null}}', '', NULL)",
            f"""INSERT INTO runs (id, uuid, monitor_id, kind, window_start, window_end, look, as_of, read_as_of,
                configuration_id, status, reason, available_at, claims, failures, losses,
                owner, planned_at, severity, software_version)
                VALUES
                (1, 'r', 1, 'data', '{now}', '{now}', 0, '{now}', '{now}', 1, 'done', '', '{now}', 1, 0, 0, '', '{now}',
                'none', '')""",
            (
                "INSERT INTO metric_series (id, hash, monitor_id, model_version, metric, column_name, segment) VALUES"
                " (1, 'x', 1, '', 'mae', '', '')"
            ),
            f"INSERT INTO metric_values VALUES (1, '{now}', 1, 2.5, NULL, NULL)",
        ):
            session.execute(text(statement))

    database.transact(fill)
    with pytest.raises(SchemaVersionError, match="`monitor migrate`"):
        database.prepare()
    database.migrate()
    database.require_current()
    row = database.read(lambda session: session.query(Run).one())
    assert (row.judged, row.as_of) == (True, NOW)
    assert database.read(measures.ended) == [("data", "done", 1)]
    assert [window.as_of for window in database.read(windows.of_monitor, 1)] == [NOW]  # its labels are still awaited
    counts = {
        view: database.read(
            lambda session, view=view: session.execute(text(f"SELECT count(*) FROM monitor_{view}")).scalar()
        )  # type: ignore[misc]
        for view in VIEWS
    }
    assert counts == dict.fromkeys(VIEWS, 0) | {"runs": 1, "metrics": 1, "latest": 1}
    database.migrate("0001")
    assert database.revision() == "0001"
    assert database.read(lambda session: session.execute(text("SELECT value FROM metric_values")).scalar()) == 2.5
    assert database.read(lambda session: session.execute(text("SELECT name FROM monitors")).scalar()) == "churn"


def test_the_server_tells_its_name_and_version(database: Database) -> None:
    if not database.is_sqlite:
        name, version = database.server_version()
        assert name in ("PostgreSQL", "MariaDB")
        assert version > (10,)


def test_metric_values_hold_times_as_the_other_tables_do(database: Database) -> None:
    ids = database.transact(add_runs, 1)
    database.transact(
        lambda session: results.store(
            session, session.get_one(Run, ids[0]), Results([MetricValue("mae", value=1.0)], [], [], None)
        )
    )
    sql = "SELECT COUNT(*) FROM metric_values v JOIN runs r ON r.id = v.run_id WHERE r.window_start = v.window_start"
    assert database.read(lambda session: session.execute(text(sql)).scalar()) == 1


def test_a_day_that_is_rolled_up_in_two_goes_keeps_its_true_mean_and_extremes(database: Database) -> None:
    ids = database.transact(add_runs, 1)
    numbers = (4.0, 1.0, 3.0, 10.0)

    def store(session: Session) -> int:
        number = 0
        for hour, value in enumerate(numbers):
            window = Window(NOW + timedelta(hours=hour), NOW + timedelta(hours=hour + 1))
            row = session.get_one(MonitorRow, session.get_one(Run, ids[0]).monitor_id)
            run = runs.plan(session, row, "data", window, 0, window.end, NOW)
            assert run is not None
            results.store(session, run, Results([MetricValue("mae", value=value)], [], [], None))
            number = session.query(MetricSeries.id).scalar()
        return number

    series = database.transact(store)
    for hours in (2, 3, 4):
        database.transact(retention.drop_values, series, NOW + timedelta(hours=hours), roll_up=True)
    kept = database.read(lambda session: session.query(MetricDay).one())
    assert (kept.lowest, kept.highest, kept.number) == (1.0, 10.0, 4)
    assert kept.value == pytest.approx(4.5)


STATES = st.fixed_dictionaries(
    {
        "alerts": st.lists(
            st.tuples(
                st.sampled_from(["blind", "drift", "self"]),
                st.sampled_from(["info", "warning", "critical"]),
                st.sampled_from(["pending", "firing", "resolved"]),
            ),
            max_size=2,
        ),
        "runs": st.lists(
            st.tuples(
                st.sampled_from(["data", "performance"]),
                st.sampled_from(["done", "done", "failed"]),
                st.integers(0, 1),
                st.sampled_from(["quality", "drift", "blind"]),
                st.sampled_from(["fine", "changed", "could_not_check"]),
                st.booleans(),
            ),
            max_size=3,
        ),
    }
)


@pytest.mark.long
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STATES, min_size=8, max_size=8))
def test_the_view_and_the_pages_tell_the_same_states(database: Database, fleet: list[dict[str, Any]]) -> None:
    """The rule of domain/monitor_state.py also exists in SQL, for notebooks and dashboards."""

    def fill(session: Session) -> None:
        for monitor in session.query(MonitorRow):
            monitor.active_name = None
        for number, given_state in enumerate(fleet):
            row = add_monitor(session, f"m{number}")
            for place, (kind, severity, state) in enumerate(given_state["alerts"]):
                alert = alerts.upsert(session, row.id, row.uuid, kind, "", NOW + place * MINUTE, NOW)
                alert.severity, alert.state = severity, state
            for day, (kind, status, rows, check, verdict, judged) in enumerate(given_state["runs"]):
                window = Window(NOW + timedelta(day), NOW + timedelta(day + 1))
                run = runs.plan(session, row, kind, window, 0, window.end, NOW, judged=judged)
                assert run is not None
                run.status, run.rows = status, rows
                stored_check = Check("x", kind=Kind(check), verdict=Verdict(verdict))
                findings = [Finding(**vars(stored_check))] if verdict == "changed" else []
                results.store(session, run, Results([], [stored_check], findings, None))

    def states(session: Session) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        in_sql = session.execute(text("SELECT monitor, state, health FROM monitor_latest")).all()
        in_python = {monitor.name: monitor.state.value for monitor in overview.fleet(session)}
        return in_python, {row[0]: row[1] for row in in_sql}, {row[0]: row[2] for row in in_sql}

    database.transact(fill)
    in_python, in_sql, health = database.read(states)
    assert in_python == in_sql
    assert all(in_python[name] == "healthy" for name, health_state in health.items() if health_state == "healthy")
