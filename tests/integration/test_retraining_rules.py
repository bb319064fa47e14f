"""When a retraining is proposed, requested, held back or vetoed. The rules read the report database only: there is no
log, no worker and no training.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.services.dispatch_proposals import dispatch_proposals, may_open
from monitor.services.retraining_conditions import condition_statuses, propose_by_conditions
from monitor.storage import monitors, retraining, runs
from monitor.storage.tables import CheckRow, MetricSeries, RetrainingRequest
from tests.alerting import Service
from tests.conftest import Project

FEATURES = ("income", "region", "noise")


class Model(Service):
    """A model whose monitor evaluates one window per day. The clock advances with each window."""

    def __init__(self, project: Project, **policy: Any) -> None:
        entry = {
            "model": {"name": "churn", "version": "1"},
            "windows": {"length": "1d", "start": "2025-01-01"},
            "retraining": {"when": ["performance"], "launcher": "train", **policy},
        }
        launchers = {"train": {"type": "command", "command": ["true"]}}
        # A second monitor of the same model shares its requests.
        super().__init__(project, {"churn": entry, "other": entry}, channels=OPS, launchers=launchers)

    def window(self, *, labelled: int = 100, drifted: tuple[str, ...] = (), rows: int = 300) -> None:
        """A day passes. Its window is evaluated, and the features of `drifted` have drifted."""
        self.clock.move_to(self.clock.now() + timedelta(days=1))
        now = self.clock.now()

        def unit(session: Session) -> None:
            row = monitors.by_name(session, "churn")
            assert row is not None
            for kind in ("data", "performance"):
                run = runs.plan(session, row, kind, Window(now - timedelta(days=1), now), 0, now, now)
                assert run is not None
                run.status, run.rows, run.labelled = "done", rows, labelled
                session.flush()
                for name in FEATURES if kind == "data" else ():
                    verdict = "changed" if name in drifted else "fine"
                    session.add(
                        CheckRow(
                            run_id=run.id,
                            series_id=_series(session, row.id, name),
                            kind="drift",
                            verdict=verdict,
                            rows=rows,
                            reason="",
                        )
                    )

        self.context.database.transact(unit)

    def propose(self, monitor: str = "churn", *, days_ago: float = 0) -> str:
        """The monitor's newest window is bad. Returns the id of the proposal."""
        until = self.clock.now() - timedelta(days=days_ago)
        span = (until - timedelta(days=1), until)

        def unit(session: Session) -> str:
            row = monitors.by_name(session, monitor)
            assert row is not None
            detail = {"kind": "performance", "columns": [], "run": ""}
            return retraining.propose(
                session, row, span, until, "train", "roc_auc fell", detail, span, "1", self.clock.now()
            ).uuid

        return self.context.database.transact(unit)

    def dispatch(self) -> int:
        """How many proposals become requests now."""
        return dispatch_proposals(self.context)

    def end(self, request: str, state: str = "failed") -> None:
        """The training of a request ends."""

        def unit(session: Session) -> None:
            (row,) = retraining.find(session, request)
            retraining.move(session, row, state, "it ended", self.clock.now())

        self.context.database.transact(unit)

    def state(self, request: str) -> str:
        return self.context.database.read(lambda session: retraining.find(session, request)[0].state)

    def last_words(self, request: str) -> str:
        """The last entry of a request's story."""

        def unit(session: Session) -> str:
            return retraining.story(session, retraining.find(session, request)[0].id)[-1].text

        return self.context.database.read(unit)

    def why_not(self, request: str) -> tuple[str, bool]:
        """Why a proposal is no request now, and whether that is final."""
        return self.context.database.read(
            lambda session: may_open(session, self.context, retraining.find(session, request)[0])
        )

    def conditions(self) -> list[tuple[str, bool]]:
        """The text of each of its conditions, and whether it holds."""

        def unit(session: Session) -> list[tuple[str, bool]]:
            row = monitors.by_name(session, "churn")
            assert row is not None
            config = self.context.config_of(session, row)
            assert config is not None
            statuses = condition_statuses(session, self.context, row, config)
            return [(condition.text, condition.holds) for condition in statuses]

        return self.context.database.read(unit)

    def proposals(self) -> list[RetrainingRequest]:
        return self.context.database.read(lambda session: list(session.scalars(select(RetrainingRequest))))


OPS = {"ops": {"type": "file", "path": "told.jsonl"}}


def _series(session: Session, monitor: int, column: str) -> int:
    """The series of a feature's drift score."""
    digest = hashlib.sha256(f"{monitor} {column}".encode()).digest()
    series = session.scalar(select(MetricSeries).where(MetricSeries.hash == digest))
    if series is None:
        series = MetricSeries(
            hash=digest, monitor_id=monitor, model_version="1", metric="drift_score", column=column, segment=""
        )
        session.add(series)
        session.flush()
    return series.id


def test_a_model_has_one_request_at_a_time_over_all_its_monitors(project: Project) -> None:
    model = Model(project)
    model.window()
    first = model.propose()
    assert (model.dispatch(), model.state(first)) == (1, "open")
    model.window()
    second = model.propose("other")
    assert (model.dispatch(), model.state(second)) == (0, "proposed")
    assert model.why_not(second) == (f"request {first[:8]} of this model has not ended", False)


def test_of_several_proposals_the_newest_is_requested(project: Project) -> None:
    model = Model(project)
    older, newest = model.propose(days_ago=1), model.propose()
    assert (model.dispatch(), model.state(older), model.state(newest)) == (1, "vetoed", "open")
    assert model.last_words(older) == "a newer proposal takes its place"


@pytest.mark.parametrize("ended", ["failed", "succeeded", "rejected", "expired", "cancelled"])
def test_after_the_end_of_a_request_there_is_a_pause(project: Project, ended: str) -> None:
    model = Model(project, cooldown="3d")
    model.window()
    first = model.propose()
    model.dispatch()
    model.end(first, ended)
    model.after(days=2)
    second = model.propose()
    assert (model.dispatch(), model.state(second)) == (0, "proposed")
    assert model.why_not(second) == ("cooldown until 2025-01-10 01:00 UTC", False)
    model.after(days=1)
    assert (model.dispatch(), model.state(second)) == (1, "open")


def test_what_tells_of_the_model_before_a_training_asks_for_none(project: Project) -> None:
    model = Model(project, cooldown="1d")
    first = model.propose()
    model.dispatch()
    model.after(hours=12)
    model.end(first, "succeeded")
    # Half of its window came before the new model: it is vetoed once and for all.
    model.after(hours=12)
    second = model.propose()
    assert (model.dispatch(), model.state(second)) == (0, "vetoed")
    assert model.last_words(second) == f"this tells of the model before request {first[:8]} succeeded"
    model.after(days=1)
    third = model.propose()
    assert (model.dispatch(), model.state(third)) == (1, "open")


def test_a_training_that_failed_left_the_model_as_it_was(project: Project) -> None:
    model = Model(project, cooldown="1h")
    first = model.propose()
    model.dispatch()
    model.after(hours=12)
    model.end(first)
    model.after(hours=12)
    assert (model.propose() != first, model.dispatch()) == (True, 1)


def test_no_more_requests_within_30_days_than_allowed(project: Project) -> None:
    model = Model(project, cooldown="1d", max_per_month=2)
    for _ in range(2):
        model.window()
        request = model.propose()
        assert model.dispatch() == 1
        model.end(request)
        model.after(days=2)
    third = model.propose()
    assert (model.dispatch(), model.state(third)) == (0, "proposed")
    assert model.why_not(third) == ("2 requests within 30 days: max_per_month is 2", False)
    model.after(days=30)
    newer = model.propose()
    assert (model.dispatch(), model.state(newer)) == (1, "open")


def test_none_without_enough_labelled_rows_since_the_last_training(project: Project) -> None:
    model = Model(project, cooldown="1h", min_labelled_rows=250)
    for _ in range(2):
        model.window(labelled=100)
    first = model.propose()
    assert (model.dispatch(), model.state(first)) == (0, "proposed")
    assert model.why_not(first) == ("200 labelled rows since the last training; min_labelled_rows is 250", False)
    model.window(labelled=100)
    assert (model.dispatch(), model.state(first)) == (1, "open")
    model.end(first, "succeeded")
    model.window(labelled=249)
    second = model.propose()
    assert model.dispatch() == 0
    assert model.why_not(second)[0].startswith("249 labelled rows")


def test_a_request_waits_for_approval_if_the_policy_says_so(project: Project) -> None:
    model = Model(project, requires_approval=True)
    request = model.propose()
    assert (model.dispatch(), model.state(request)) == (1, "awaiting_approval")
    assert f"`monitor retraining approve {request[:8]}` starts it" in model.last_words(request)


def test_an_old_change_whose_alert_fires_no_more_starts_nothing(project: Project) -> None:
    model = Model(project)
    request = model.propose(days_ago=60)
    assert (model.dispatch(), model.state(request)) == (0, "vetoed")
    assert model.last_words(request) == "it is older than alerts.notify_max_age, and its alert fires no more"


def test_an_old_change_whose_alert_fires_still_is_requested(project: Project) -> None:
    model = Model(project)
    model.event("churn", "performance")
    request = model.propose(days_ago=60)
    assert (model.dispatch(), model.state(request)) == (1, "open")


def test_age_counts_from_the_first_window_or_the_last_training(project: Project) -> None:
    model = Model(project, when=[{"age": "4d"}], cooldown="1h")
    for day in range(1, 4):
        model.window()
        assert model.conditions() == [(f"the model is {day} days old, of 4d", False)]
        assert propose_by_conditions(model.context) == 0
    model.window()
    assert propose_by_conditions(model.context) == 1
    assert propose_by_conditions(model.context) == 0
    [proposal] = model.proposals()
    assert proposal.reason == "the model is 4 days old, of 4d"
    assert model.dispatch() == 1
    assert propose_by_conditions(model.context) == 0
    model.end(proposal.uuid, "succeeded")
    model.window()
    assert model.conditions() == [("the model is 1 days old, of 4d", False)]


def test_labelled_rows_count_since_the_last_training(project: Project) -> None:
    model = Model(project, when=[{"labelled_rows": 1500}])
    model.window(labelled=1499)
    text = "1,499 labelled rows have come since 2025-01-06, of 1,500"
    assert (model.conditions(), propose_by_conditions(model.context)) == ([(text, False)], 0)
    model.window(labelled=1)
    assert propose_by_conditions(model.context) == 1
    [proposal] = model.proposals()
    assert proposal.reason == "1,500 labelled rows have come since 2025-01-06, of 1,500"
    model.dispatch()
    model.end(proposal.uuid, "succeeded")
    model.window(labelled=700)
    assert model.conditions()[0][0].startswith("700 labelled rows have come since 2025-01-08")


def test_the_share_of_drifted_columns_must_hold_in_each_of_the_windows(project: Project) -> None:
    model = Model(project, when=[{"drifted_share": 0.6}], **{"for": 2})
    drifted_by_window = [(), ("noise",), ("noise", "income"), ("region",), ("region", "income"), FEATURES]
    proposed = []
    for drifted in drifted_by_window:
        model.window(drifted=drifted)
        proposed.append(propose_by_conditions(model.context))
    assert proposed == [0, 0, 0, 0, 0, 1]
    [proposal] = model.proposals()
    assert proposal.reason == "100%, 67% of the features have changed in the last 2 windows, of 60% in 2"


def test_any_of_several_conditions_is_enough(project: Project) -> None:
    model = Model(project, when=[{"age": "300d"}, {"labelled_rows": 50}, {"drifted_share": 1.0}])
    model.window(labelled=60)
    assert [holds for _, holds in model.conditions()] == [False, True, False]
    assert propose_by_conditions(model.context) == 1
