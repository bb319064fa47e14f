"""What other settings would have paged: at the monitor's own settings, what the daemon has paged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from monitor.domain.checks import Harm
from monitor.services.context import Context
from monitor.services.sensitivity import Sensitivity, Settings, sensitivity, settings_of
from monitor.storage import monitors, overview
from monitor.storage.tables import Alert
from tests.conftest import Project, logged
from tests.web import Served, served

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
OF_PERFORMANCE = ("performance", "estimated_performance")


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    with served(history, requests_per_minute=1_000_000) as service:
        yield service


def outcome(context: Context, **changed: object) -> Sensitivity:
    def read(session: Session) -> Sensitivity:
        row = monitors.by_name(session, "churn")
        assert row is not None
        config = context.config_of(session, row)
        assert config is not None
        own = settings_of(config, sorted(overview.metrics_of_whole(session, row.id)))
        assert own is not None
        settings = Settings(**{**own.__dict__, **changed})
        return sensitivity(session, context, row, settings, FIRST, LAST)

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


def test_the_api_tells_it_and_refuses_what_is_no_setting(site: Served) -> None:
    answer = site.get("/api/v1/monitors/churn/sensitivity", params={"harm": "90%"}).json()
    assert (answer["metric"], answer["harm"], answer["alerts"], answer["pages"]) == ("roc_auc", "90%", [], 0)
    for wrong in ({"harm": "nothing"}, {"harm": "-1"}, {"false_pages_per_month": "0"}, {"start": "never"}):
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
