"""What other settings would have paged: at the monitor's own settings, what the daemon has paged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain.checks import Harm
from monitor.services.context import Context
from monitor.services.sensitivity import Sensitivity, Settings, sensitivity, settings_of
from monitor.storage import monitors, overview
from monitor.storage.tables import Alert, Run
from tests.conftest import Project, logged
from tests.web import Served, served

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
OF_PERFORMANCE = ("performance", "estimated_performance")


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    with served(history, requests_per_minute=1_000_000) as service:
        yield service


def outcome(context: Context, start: datetime = FIRST, **changed: object) -> Sensitivity:
    def read(session: Session) -> Sensitivity:
        row = monitors.by_name(session, "churn")
        assert row is not None
        config = context.config_of(session, row)
        assert config is not None
        own = settings_of(config, overview.metrics_of_whole(session, row.id))
        assert own is not None
        settings = Settings(**{**own.__dict__, **changed})
        return sensitivity(session, context, row, settings, start, LAST)

    return context.database.read(read)


def stored(context: Context) -> list[tuple[str, datetime]]:
    def read(session: Session) -> list[tuple[str, datetime]]:
        query = select(Alert).where(Alert.kind.in_(OF_PERFORMANCE), Alert.state.in_(("firing", "resolved")))
        return sorted((alert.kind, alert.since) for alert in session.scalars(query))

    return context.database.read(read)


def test_the_monitors_own_settings_page_as_the_daemon_did(site: Served) -> None:
    own = outcome(site.context)
    assert sorted((kind.value, alert.since) for kind, alert in own.alerts) == stored(site.context)
    assert own.alerts
    assert own.false_pages == 0
    assert own.limits[0] is not None


def test_a_greater_harm_pages_less_and_a_smaller_one_more(site: Served) -> None:
    pages = [outcome(site.context, harm=Harm(value)).pages for value in (0.9, 0.02, 0.001)]
    bad = [
        sum(window.pages for window in outcome(site.context, harm=Harm(value)).windows) for value in (0.9, 0.02, 0.001)
    ]
    assert pages[0] == 0
    assert bad == sorted(bad)
    assert bad[1] > 0


def test_fewer_false_pages_page_no_window_more(site: Served) -> None:
    strict, own, loose = (
        {window.start for window in outcome(site.context, false_pages_per_month=rate).windows if window.pages}
        for rate in (0.01, 1.0, 50.0)
    )
    assert strict <= own <= loose


def config_of(context: Context) -> MonitorConfig:
    def read(session: Session) -> MonitorConfig | None:
        row = monitors.by_name(session, "churn")
        assert row is not None
        return context.config_of(session, row)

    config = context.database.read(read)
    assert config is not None
    return config


def with_checks(config: MonitorConfig, **checks: object) -> MonitorConfig:
    return config.model_copy(update={"checks": config.checks.model_copy(update=checks)})


def test_only_metrics_that_a_harm_alone_decides_have_settings(site: Served) -> None:
    config, metrics = config_of(site.context), {"roc_auc", "accuracy", "f1", "estimated_roc_auc"}
    own = settings_of(config, metrics)
    assert own is not None
    assert own.metric == "roc_auc"
    assert settings_of(config, metrics, "accuracy") is None
    limited = with_checks(config, thresholds={"roc_auc": {"lower": 0.8}})
    assert settings_of(limited, metrics) is None
    assert settings_of(limited, metrics, "accuracy") is None
    named = with_checks(config, harm={"f1": 0.05, "accuracy": "10%"})
    assert settings_of(named, metrics) == Settings("f1", Harm(0.05), own.false_pages_per_month)
    assert settings_of(named, metrics, "accuracy") == Settings("accuracy", Harm(0.1, True), own.false_pages_per_month)
    assert settings_of(named, metrics, "roc_auc") is None


def test_an_alert_that_began_before_the_period_is_shown_and_is_no_new_page(site: Served) -> None:
    (whole,) = outcome(site.context).alerts
    part = outcome(site.context, start=whole[1].since + timedelta(days=2))
    assert [(kind, alert.since) for kind, alert in part.alerts] == [(whole[0], whole[1].since)]
    assert part.pages == 0
    assert part.windows[0].start >= whole[1].since + timedelta(days=2)


def test_a_later_look_that_is_not_judged_changes_nothing(site: Served) -> None:
    before = outcome(site.context)

    def look_again(session: Session) -> int:
        newest = session.scalars(select(Run).where(Run.kind == "performance").order_by(Run.window_start.desc())).first()
        assert newest is not None
        names = [column.name for column in Run.__table__.columns if column.name not in ("id", "uuid")]
        values = {name: getattr(newest, name) for name in names}
        later = values | {"look": newest.look + 90, "as_of": newest.as_of + timedelta(days=1), "judged": False}
        session.add(again := Run(uuid=str(uuid4()), **later))
        session.flush()
        return again.id

    run_id = site.context.database.transact(look_again)
    try:
        assert outcome(site.context) == before
    finally:
        site.context.database.transact(lambda session: session.delete(session.get_one(Run, run_id)))


def test_the_api_tells_it_and_refuses_what_is_no_setting(site: Served) -> None:
    answer = site.get("/api/v1/monitors/churn/sensitivity", params={"harm": "90%"}).json()
    assert (answer["metric"], answer["harm"], answer["alerts"], answer["pages"]) == ("roc_auc", "90%", [], 0)
    for wrong in (
        {"harm": "nothing"},
        {"harm": "-1"},
        {"harm": "nan"},
        {"harm": "inf%"},
        {"false_pages_per_month": "0"},
        {"start": "never"},
    ):
        assert site.get("/api/v1/monitors/churn/sensitivity", params=wrong).status_code == 400, wrong
    assert site.get("/api/v1/monitors/nobody/sensitivity").status_code == 404
    assert site.get("/api/v1/monitors/churn/sensitivity", params={"metric": "drift_score"}).status_code == 409


@pytest.mark.long
def test_estimates_page_as_the_daemon_did(project: Project) -> None:
    """Labels come late, so windows are judged by estimates first."""
    frame = logged(3000, days=30)
    late = frame["event_time"] >= "2025-01-20"
    frame.loc[late, "income"] = np.random.default_rng(2).permutation(frame.loc[late, "income"].to_numpy())
    project.log(frame)
    project.labels(frame)
    project.monitor["labels"] |= {"delay": "9d"}
    project.replay()
    with served(project) as site:
        own = outcome(site.context)
        known = stored(site.context)
    assert {since for kind, since in known if kind == "estimated_performance"} == {
        alert.since for kind, alert in own.alerts if kind.value == "estimated_performance"
    }


@pytest.mark.long
def test_segments_page_as_the_daemon_did(project: Project) -> None:
    """One segment decays, alone; runs of performance estimate it, too, and labels are looked at several times."""
    frame = logged(4000, days=20)
    late = (frame["event_time"] >= "2025-01-14") & (frame["region"] == "west")
    frame.loc[late, "label"] = 1 - frame.loc[late, "label"]
    project.log(frame)
    project.labels(frame)
    project.monitor["checks"] = {"segments": ["region"], "harm": {"roc_auc": 0.4, "accuracy": 0.6}}
    project.monitor["labels"] |= {"delay": "1d", "revise_until": "4d", "refresh_estimate": True}
    project.replay()
    with served(project) as site:
        own = outcome(site.context)
        assert sorted((kind.value, alert.since) for kind, alert in own.alerts) == stored(site.context)
        assert own.alerts


@pytest.mark.long
def test_harm_of_a_metric_without_an_estimate_and_one_that_is_changed_later(project: Project) -> None:
    frame = logged(2000, days=20)
    frame["price"] = frame["income"] + np.random.default_rng(3).normal(0, 2, len(frame))
    frame.loc[frame["event_time"] >= "2025-01-11", "price"] += 8.0
    frame["label"], frame["prediction"] = frame.pop("price"), frame["income"]
    frame = frame.drop(columns="probability")
    reference = logged(1500, seed=7, start="2024-12-01").drop(columns="probability")
    reference["prediction"] = reference["income"]
    reference["label"] = reference["income"] + np.random.default_rng(4).normal(0, 2, len(reference))
    reference.to_parquet(project.folder / "reference.parquet", index=False)
    project.log(frame)
    project.labels(frame)
    del project.monitor["columns"]["probability"]
    project.monitor["task"] = "regression"
    project.monitor["checks"] = {"harm": {"mae": "20%", "r2_score": 0.05, "mean_error": 1.0}}
    project.replay()
    with served(project) as site:
        own = outcome(site.context)
        assert sorted((kind.value, alert.since) for kind, alert in own.alerts) == stored(site.context)
        assert own.alerts
        for metric in ("r2_score", "mean_error"):
            answer = site.get("/api/v1/monitors/churn/sensitivity", params={"metric": metric, "harm": "3"})
            assert answer.status_code == 200, answer.text
            assert answer.json()["metric"] == metric
            assert answer.json()["threshold_lower"] is not None
    project.monitor["checks"] = {"harm": {"rmse": 1.0}}
    project.write()
    project.run()
    with served(project) as site:  # by rmse no limit was stored: the windows page as they did
        kept = outcome(site.context)
        assert kept.settings.metric == "rmse"
        assert [alert.since for _, alert in kept.alerts] == [alert.since for _, alert in own.alerts]
