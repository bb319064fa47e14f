"""Forecasts: errors by horizon and in units of the naive forecast's, prediction intervals, revisions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis.forecast import naive_errors
from monitor.analysis.schema import tidy
from monitor.domain.checks import Verdict
from monitor.errors import DataError, UsageError
from tests.forecasts import forecasts

COLUMNS = Columns(
    prediction="prediction",
    label="label",
    event_time="target_time",
    id="id",
    issued_at="issued_at",
    series="shop",
    lower="low",
    upper="high",
)
HARM = Checks(harm={"mae": "10%", "coverage_error": 0.1})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(forecasts("2026-01-01", 28, 1), COLUMNS)


def values(reference: Reference, frame: pd.DataFrame, segment: str | None = None) -> dict[str, float]:
    metrics = evaluate(reference, frame).metrics
    return {metric.metric: metric.value for metric in metrics if metric.segment == segment and metric.column is None}


@pytest.mark.long
def test_mase_is_the_error_over_that_of_the_seasonal_naive_forecast_of_each_series() -> None:
    frame = forecasts("2026-01-01", 28, 1)
    rows = tidy(frame, COLUMNS)
    actuals = frame.drop_duplicates(["shop", "target_time"]).sort_values("target_time")
    scales = {
        shop: part["label"].diff(168).abs().mean()
        for shop, part in actuals.groupby("shop")  # a week of hours
    }
    assert naive_errors(rows, COLUMNS)["season"] == 7
    assert naive_errors(rows, COLUMNS)["scales"] == pytest.approx(scales, rel=1e-4)
    reference = Reference.fit(frame, COLUMNS)
    expected = ((frame["prediction"] - frame["label"]).abs() / frame["shop"].map(scales)).mean()
    assert reference.baseline["mase"].value == pytest.approx(expected, rel=1e-4)


def test_a_season_that_is_written_is_taken_and_another_text_refused() -> None:
    frame = forecasts("2026-01-01", 14, 1)
    daily = Columns(**{**COLUMNS.to_dict(), "season": "24h"})
    assert naive_errors(tidy(frame, daily), daily)["season"] == 1
    with pytest.raises(UsageError, match="'a week' is no season"):
        Reference.fit(frame, Columns(**{**COLUMNS.to_dict(), "season": "a week"}))


def test_errors_are_told_by_horizon(reference: Reference) -> None:
    frame = forecasts("2026-02-02", 7, 2)
    short, long = (values(reference, frame, f"horizon_hours={hours}") for hours in (6, 48))
    errors = (frame["prediction"] - frame["label"]).abs()
    ahead = (frame["target_time"] - frame["issued_at"]).dt.total_seconds() / 3600
    assert short["mae"] == pytest.approx(errors[ahead == 6].mean())
    assert long["mae"] == pytest.approx(errors[ahead == 48].mean())
    assert long["mae"] > short["mae"]


@pytest.mark.long
def test_windows_of_the_same_model_raise_no_false_alarm(reference: Reference) -> None:
    alarms = [bool(evaluate(reference, forecasts("2026-02-02", 7, seed), checks=HARM).findings) for seed in range(2, 8)]
    assert sum(alarms) <= 1


def test_intervals_that_are_too_narrow_page_though_the_errors_are_as_ever(reference: Reference) -> None:
    evaluation = evaluate(reference, forecasts("2026-02-02", 7, 3, spread=0.5), checks=HARM)
    assert [finding.metric for finding in evaluation.findings if finding.pages] == ["coverage_error"]
    shown = values(reference, forecasts("2026-02-02", 7, 3, spread=0.5))
    assert shown["interval_coverage"] == pytest.approx(0.9 + shown["coverage_error"])
    assert shown["interval_coverage"] < 0.7


@pytest.mark.long
def test_the_error_of_a_mean_allows_for_forecasts_of_one_time_that_err_alike() -> None:
    frame = forecasts("2026-01-01", 28, 1)
    alone = Reference.fit(frame, COLUMNS).baseline["mae"].error
    wrong = frame.groupby(["target_time"])["label"].transform("mean") - frame["label"]
    alike = frame.assign(prediction=frame["label"] + wrong.groupby(frame["target_time"]).transform("first"))
    together = Reference.fit(alike, COLUMNS)
    iid = (alike["prediction"] - alike["label"]).abs().std() / len(alike) ** 0.5
    assert alone is not None
    assert together.baseline["mae"].error > 2 * iid
    assert together.summary.naive["widening"] > 2


def test_revisions_are_those_of_successive_forecasts_of_one_time_and_series(reference: Reference) -> None:
    frame = forecasts("2026-02-02", 7, 4)
    pairs = frame.sort_values("issued_at").groupby(["shop", "target_time"])["prediction"].diff().dropna().abs()
    assert values(reference, frame)["revision"] == pytest.approx(pairs.mean())
    limit = Checks(thresholds={"revision": {"upper": 1.0}})
    (finding,) = [entry for entry in evaluate(reference, frame, checks=limit).findings if entry.metric == "revision"]
    assert "Forecasts are revised by" in finding.explanation
    once = frame.drop_duplicates(["shop", "target_time"])
    verdicts = {check.metric: check.verdict for check in evaluate(reference, once).checks}
    assert verdicts["revision"] is Verdict.TOO_LITTLE_DATA


def test_what_is_no_forecast_is_refused_with_a_reason() -> None:
    frame = forecasts("2026-01-01", 7, 1)
    turned = Columns(**{**COLUMNS.to_dict(), "event_time": "issued_at", "issued_at": "target_time"})
    with pytest.raises(DataError, match="issued after the time that they are of"):
        Reference.fit(frame, turned)
    with pytest.raises(UsageError, match="a forecast needs `event_time`"):
        Reference.fit(frame, Columns(prediction="prediction", label="label"), "forecast")
    with pytest.raises(UsageError, match="name `lower` and `upper`"):
        Reference.fit(frame, Columns(**{**COLUMNS.to_dict(), "upper": None}))


def test_a_series_that_is_new_has_the_scale_of_all(reference: Reference) -> None:
    frame = forecasts("2026-02-02", 7, 5).assign(shop="east")
    errors = (frame["prediction"] - frame["label"]).abs().mean()
    assert values(reference, frame)["mase"] == pytest.approx(errors / reference.summary.naive["all"])
    assert np.isfinite(values(reference, frame)["estimated_mae"])
