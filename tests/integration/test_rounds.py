"""A round of the daemon in which nothing happens executes as many statements for two monitors as for eight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import event

from monitor.services.apply_configuration import prepare_references
from monitor.services.dispatch_alerts import dispatch_alerts
from monitor.services.judge_windows import judge_windows
from monitor.services.look_at_sources import look_at_sources
from monitor.services.plan_runs import plan_runs
from monitor.services.watch_self import watch_self
from monitor.storage import overview
from tests.alerting import Service
from tests.conftest import Project, made_in, shared_workers

LONG = timedelta(days=1)
ROUNDS: dict[str, Callable[[Service], object]] = {
    "prepare": lambda service: prepare_references(service.context, shared_workers()),
    "look": lambda service: look_at_sources(service.context, shared_workers(), at_least_every=LONG),
    "plan": lambda service: plan_runs(service.context),
    "judge": lambda service: judge_windows(service.context),
    "watch": lambda service: watch_self(service.context),
    "dispatch": lambda service: dispatch_alerts(service.context),
    "fleet": lambda service: service.context.database.read(overview.fleet),
}


def settled(project: Project, number: int) -> Service:
    """A service with prepared references and planned windows, which has looked at its sources."""
    service = Service(project, {f"m{index}": {"model": {"name": f"m{index}"}, "alerts": {}} for index in range(number)})
    for round_of in [*ROUNDS.values()] * 3:  # planned windows want another look
        round_of(service)
    service.context.database.transact(
        lambda session: session.connection().exec_driver_sql("UPDATE monitors SET unjudged = 0")
    )
    return service


def statements(service: Service, name: str) -> list[str]:
    """The statements that a round executes."""
    executed: list[str] = []
    engine = service.context.database.engine

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        executed.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        ROUNDS[name](service)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return executed


def test_a_round_over_idle_monitors_asks_as_often_for_many_as_for_few(tmp_path: Path) -> None:
    folders = [tmp_path / "few", tmp_path / "many"]
    for folder in folders:
        folder.mkdir()
    small_service, large_service = (
        settled(made_in(folder), number) for folder, number in zip(folders, (2, 8), strict=True)
    )
    for name in ROUNDS:
        first, second = (statements(service, name) for service in (small_service, large_service))
        assert len(second) <= len(first), (name, second)
        assert len(second) < 16, name
