"""A fault of one monitor does not stop the others in planning, judging, looking, watching and proposing. An alert names
the monitor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

from monitor.errors import DatabaseUnreachableError
from monitor.services import judge_windows, look_at_sources, plan_runs, retraining_conditions, watch_self
from monitor.services.apply_configuration import prepare_references
from monitor.services.context import Context
from monitor.services.fence import Fences
from monitor.storage import daemons, monitors
from tests.alerting import Service
from tests.conftest import Project, shared_workers

POLICY = {"launcher": "train", "when": [{"age": "1d"}]}
ENTRY = {"alerts": {}, "windows": {"length": "1d", "start": "2025-01-01"}, "retraining": POLICY}
LAUNCHERS = {"train": {"type": "command", "command": ["true"]}}


@pytest.fixture
def service(project: Project) -> Service:
    """Three monitors of three models. The steps of the second monitor fail."""
    entries = {name: ENTRY | {"model": {"name": name}} for name in ("first", "second", "third")}
    return Service(project, entries, launchers=LAUNCHERS)


def fail_for_second(patched: pytest.MonkeyPatch, module: Any, name: str, service: Service) -> list[str]:
    """Make a function of a module fail for the second monitor (its third argument). Returns the names of the monitors
    for which it is called with success.
    """
    names = service.context.database.read(lambda session: {row.id: row.name for row in monitors.active(session)})
    done, right = [], getattr(module, name)

    def wrong(*arguments: Any, **options: Any) -> Any:
        given = getattr(arguments[2], "row", arguments[2])
        monitor_name = names[getattr(given, "id", given)]
        if monitor_name == "second":
            raise ZeroDivisionError("nobody foresaw this")
        done.append(monitor_name)
        return right(*arguments, **options)

    patched.setattr(module, name, wrong)
    return done


def look_at_all(service: Service) -> None:
    """Look at the sources and prepare the references."""
    look_at_sources.look_at_sources(service.context, shared_workers())
    assert not prepare_references(service.context, shared_workers())


def plan_all(service: Service) -> None:
    look_at_all(service)
    plan_runs.plan_runs(service.context)


class Step(NamedTuple):
    """A step of the daemon, and the function of a module that fails in it."""

    prepare: Callable[[Service], None] | None
    module: Any
    function: str
    run: Callable[[Service], object]


STEPS = {
    "look": Step(
        None,
        look_at_sources,
        "_look",
        lambda service: look_at_sources.look_at_sources(service.context, shared_workers()),
    ),
    "plan": Step(look_at_all, plan_runs, "_plan_windows", lambda service: plan_runs.plan_runs(service.context)),
    "judge": Step(
        plan_all, judge_windows, "_judge_monitor", lambda service: judge_windows.judge_windows(service.context)
    ),
    "watch": Step(look_at_all, watch_self, "_stale_of", lambda service: watch_self.watch_self(service.context)),
    "conditions": Step(
        plan_all,
        retraining_conditions,
        "_propose_for",
        lambda service: retraining_conditions.propose_by_conditions(service.context),
    ),
}
FAULTS = "SELECT subject, state FROM alerts WHERE kind = 'self' AND subject LIKE 'fault:%'"


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_the_monitors_behind_one_that_fails_have_their_turn_and_an_alert_names_it_until_it_goes_well(
    project: Project, service: Service, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, module, function, run = STEPS[step]
    if prepare is not None:
        prepare(service)
    number = service.context.database.read(lambda session: monitors.by_name(session, "second").id)  # type: ignore[union-attr]
    with monkeypatch.context() as patched:
        done = fail_for_second(patched, module, function, service)
        run(service)
        assert set(done) == {"first", "third"}
        assert service.context.fences.rests(number, step), "it is left out for a while"
        watch_self.watch_self(service.context)
    assert project.query(FAULTS) == [(f"fault:{step}:second", "firing")]
    summary = project.query("SELECT summary FROM alerts WHERE subject LIKE 'fault:%'")[0][0]
    assert summary.endswith("second fails, the other monitors go on: ZeroDivisionError: nobody foresaw this")
    # A daemon that has just started knows nothing of it, and ends no alert; once the step goes well it ends.
    service.context.fences = Fences()
    if step != "watch":
        watch_self.watch_self(service.context)
        assert project.query(FAULTS) == [(f"fault:{step}:second", "firing")]
    service.context.fences.went_well(number, step)
    watch_self.watch_self(service.context)
    assert project.query(FAULTS) == [(f"fault:{step}:second", "resolved")]


AWAY = [
    DatabaseUnreachableError("away"),
    OperationalError("SELECT 1", None, Exception("the connection was lost")),
    InterfaceError("SELECT 1", None, Exception("the connection is closed")),
    PendingRollbackError("roll back first"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_that_the_database_is_away_is_no_monitors_fault(error: Exception) -> None:
    fences = Fences()
    with pytest.raises(type(error)), fences.around(1, "plan"):
        raise error
    assert not fences.faults


def test_a_fault_of_one_daemon_is_not_ended_by_another_that_lives(project: Project, service: Service) -> None:
    database, first_daemon = service.context.database, service.context
    second_daemon = Context(first_daemon.loaded, database)
    for daemon in (first_daemon, second_daemon):
        database.transact(daemons.register, daemon.owner)
    ids = {row.name: row.id for row in database.read(monitors.active)}
    with first_daemon.fences.around(ids["second"], "plan"):
        raise ZeroDivisionError("nobody foresaw this")
    watch_self.watch_self(first_daemon)
    second_daemon.fences.went_well(ids["second"], "plan")
    for _ in range(3):
        watch_self.watch_self(second_daemon)
        watch_self.watch_self(first_daemon)
    assert project.query(FAULTS) == [("fault:plan:second", "firing")]
    database.transact(daemons.leave, first_daemon.owner)
    watch_self.watch_self(second_daemon)
    assert project.query(FAULTS) == [("fault:plan:second", "resolved")]
