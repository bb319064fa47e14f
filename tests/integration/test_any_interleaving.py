"""Daemons claim, lose, fail, finish and judge runs in any order. Each run has one result, and the alerts are those of a
simple model.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.orm import Session

from monitor.config.load import load
from monitor.domain.checks import Check, Finding, Kind, Severity, Verdict
from monitor.domain.grid import Window
from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context
from monitor.services.judge_windows import judge_windows
from monitor.storage import alerts, monitors, results, runs, silences
from monitor.storage.database import Database
from monitor.storage.results import Results
from monitor.storage.runs import RunClaim
from monitor.storage.tables import CheckRow, MonitorRow, Run
from tests.history import rows_of

START = datetime(2025, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOWS, KEEP_FIRING_FOR = 6, 2
CONFIGURATION = {
    "monitors": {
        "m": {
            "task": "regression",
            "model": {"name": "m"},
            "source": {"path": "log.parquet"},
            "reference": {"path": "reference.parquet"},
            "columns": {"event_time": "t", "prediction": "p"},
            "alerts": {"keep_firing_for": KEEP_FIRING_FOR},
        }
    }
}
BY_HAND = ("acknowledged", "unacknowledged", "feedback", "silence")
OF_THE_FOLD = (
    "SELECT a.uuid, e.kind, e.happened_at FROM alert_events e JOIN alerts a ON a.id = e.alert_id WHERE e.kind NOT IN"
    f" {BY_HAND}"
)
VERDICTS = st.sampled_from(["bad", "good", "none"])
_folder = Path(tempfile.mkdtemp(prefix="monitor-interleaving-"))


def fresh(name: str) -> Database:
    """A copy of an empty report database."""
    template = _folder / "template.db"
    if not template.exists():
        Database(f"sqlite:///{_folder}/making.db").migrate()
        for extra in _folder.glob("making.db*"):
            extra.rename(_folder / extra.name.replace("making", "template"))
    for extra in _folder.glob("template.db*"):
        shutil.copy(extra, _folder / extra.name.replace("template", name))
    return Database(f"sqlite:///{_folder}/{name}.db")


class World:
    """A report database with planned runs: one of each window, and a later look at some, with any verdict."""

    def __init__(self, name: str, verdicts: dict[tuple[int, int], str]) -> None:
        (_folder / "monitor.yaml").write_text(yaml.safe_dump(CONFIGURATION))
        self.database, self.verdicts = fresh(name), verdicts
        self.seconds = itertools.count()
        self.context = Context(load(_folder / "monitor.yaml"), self.database)
        apply_configuration(self.context)
        self.database.transact(self._plan)

    def _plan(self, session: Session) -> None:
        row = monitors.active(session)[0]
        for (number, look), _ in sorted(self.verdicts.items()):
            window = Window(START + number * DAY, START + (number + 1) * DAY)
            runs.plan(session, row, "data", window, look, window.end + (1.5 * DAY if look else 0 * DAY), START)
        row.planned_until = START + 100 * DAY

    def claim(self, owner: str, lease: timedelta) -> RunClaim | None:
        taken = self.database.transact(runs.claim, owner, lease, START + DAY, alone=True)
        return None if taken is None else RunClaim(taken.id, taken.owner, taken.claims)

    def finish(self, claim: RunClaim) -> bool:
        """Store the results of the run, if this claim still holds it."""

        def unit(session: Session) -> bool:
            run = runs.held(session, claim)
            if run is None:
                return False
            run.status, run.lease_until = "done", None
            verdict = self.verdicts[(run.window_start - START).days, run.look]
            check_verdict = (
                Verdict.COULD_NOT_CHECK if verdict == "none" else Verdict.CHANGED if verdict == "bad" else Verdict.FINE
            )
            check = Check("missing_share", kind=Kind.QUALITY, verdict=check_verdict)
            findings = (
                [Finding(**{**vars(check), "severity": Severity.WARNING, "cause": "x", "explanation": "x"})]
                if verdict == "bad"
                else []
            )
            results.store(session, run, Results([], [check], findings, None))
            monitors.to_be_judged(session, run.monitor_id)
            return True

        return self.database.transact(unit)

    def judge(self) -> None:
        judge_windows(self.context)

    def events(self) -> list[tuple[Any, ...]]:
        return sorted(rows_of(self.database, OF_THE_FOLD))

    def hand(self, kind: str) -> None:
        """A person acknowledges, rates or silences each firing alert."""

        def unit(session: Session) -> None:
            for alert in alerts.firing(session):
                detail = {"verdict": "useless"} if kind == "feedback" else {"note": "on it"}
                if kind == "silence":
                    moment = START + timedelta(seconds=next(self.seconds))  # each silence has a time of its own
                    silences.add(session, ['monitor="m"'], START, START + 50 * DAY, "", "", moment)
                else:
                    alerts.add_event(session, alert, kind, alert.since, START, detail=detail)

        self.database.transact(unit)

    def alerts(self) -> set[tuple[str, int]]:
        """The state of each alert that is not retracted, and the day of its first window."""
        rows = rows_of(self.database, "SELECT state, since FROM alerts WHERE kind = 'quality' AND state <> 'retracted'")
        return {(state, (datetime.fromisoformat(since).replace(tzinfo=UTC) - START).days) for state, since in rows}


def incidents(verdicts: dict[tuple[int, int], str]) -> set[tuple[str, int]]:
    """The simple model: by each window's last look, an incident opens with a bad window and ends with two good ones in
    a row.
    """
    resolved, since, good = set(), None, 0
    for number in range(WINDOWS):
        verdict = verdicts.get((number, 5), verdicts[number, 0])
        if verdict == "bad":
            since, good = number if since is None else since, 0
        elif verdict == "good" and since is not None:
            good += 1
            if good == KEEP_FIRING_FOR:
                resolved.add(("resolved", since))
                since, good = None, 0
    return resolved | ({("firing", since)} if since is not None else set())


class Interleavings(RuleBasedStateMachine):
    """Two daemons, one of which may be stopped and woken. Windows are judged at any time."""

    @initialize(
        first=st.lists(VERDICTS, min_size=WINDOWS, max_size=WINDOWS),
        again=st.dictionaries(st.integers(0, WINDOWS - 1), VERDICTS),
    )
    def begin(self, first: list[str], again: dict[int, str]) -> None:
        self.verdicts = {(number, 0): verdict for number, verdict in enumerate(first)}
        self.verdicts |= {(number, 5): verdict for number, verdict in again.items()}
        self.world = World("disturbed", self.verdicts)
        self.held: list[RunClaim] = []
        self.lost: list[RunClaim] = []

    @rule(owner=st.sampled_from(["a", "b"]))
    def claim(self, owner: str) -> None:
        taken = self.world.claim(owner, timedelta(hours=1))
        self.held += [taken] if taken is not None else []

    @rule(index=st.integers(0, 9))
    def finish(self, index: int) -> None:
        if self.held:
            assert self.world.finish(self.held.pop(index % len(self.held)))

    @rule(index=st.integers(0, 9))
    def fail(self, index: int) -> None:
        if self.held:
            claim = self.held.pop(index % len(self.held))
            self.world.database.transact(runs.fail, claim, START, "it died", 100, timedelta(0), final=False)
            self.lost.append(claim)

    @rule()
    def every_lease_runs_out(self) -> None:
        self.world.database.transact(lambda session: len(runs.recover(session, everything=True)))
        self.lost += self.held
        self.held = []

    @rule(index=st.integers(0, 9))
    def finish_what_was_lost(self, index: int) -> None:
        if self.lost:
            while (taken := self.world.claim("b", timedelta(hours=1))) is not None:
                self.held.append(taken)  # the same runs among them, by others
            assert not self.world.finish(self.lost[index % len(self.lost)])

    @rule()
    def judge(self) -> None:
        self.world.judge()

    @rule(kind=st.sampled_from(BY_HAND))
    def a_person_does_something(self, kind: str) -> None:
        self.world.hand(kind)

    @invariant()
    def each_run_has_at_most_one_result(self) -> None:
        if hasattr(self, "world"):
            done, checks = self.world.database.read(
                lambda session: (session.query(Run).filter_by(status="done").count(), session.query(CheckRow).count())
            )
            assert done == checks

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.every_lease_runs_out()
        while (taken := self.world.claim("last", timedelta(hours=1))) is not None:
            assert self.world.finish(taken)
        self.world.judge()
        assert self.world.alerts() == incidents(self.verdicts)
        alone = World("alone", self.verdicts)
        while (taken := alone.claim("alone", timedelta(hours=1))) is not None:
            alone.finish(taken)
            alone.judge()
        assert self.world.events() == alone.events()
        assert self.world.database.read(lambda session: session.query(MonitorRow).count()) == 1


FEW = settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))

TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = FEW


@pytest.mark.long
@pytest.mark.timeout(3600)
class TestManyInterleavings(Interleavings.TestCase):
    """The same with many examples."""

    settings = settings(FEW, max_examples=300)
