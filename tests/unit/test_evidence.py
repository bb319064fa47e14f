"""A change is attributed to the data pipeline only with enough evidence, never where healthy periods look the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate
from monitor.analysis.evidence import run_of, slow_columns
from monitor.domain.checks import Finding, Verdict
from monitor.domain.matter import MOST, that_matter

COLUMNS = Columns(prediction="prediction", event_time="event_time")


def logged(days: int, start: str, seed: int = 0, rows_a_day: int = 60) -> pd.DataFrame:
    """A log with a column of each kind that changes by its nature: the calendar, an index that is published each month,
    a count that grows.
    """
    random = np.random.default_rng(seed)
    times = pd.Timestamp(start) + pd.to_timedelta(np.arange(days * rows_a_day) * 86_400 / rows_a_day, unit="s")
    months = (times.year * 12 + times.month).to_numpy()
    index = np.round(np.sin(months * 2.0) * 4 + months % 7, 2)
    amount = random.gamma(5, 20, len(times)).round(2)
    return pd.DataFrame(
        {
            "event_time": times,
            "weekday": times.dayofweek,
            "month": times.month,
            "index": index,
            "rides": random.poisson(200, len(times)),
            "amount": amount,
            "channel": random.choice(["web", "app", "shop"], len(times)),
            "version": "1",
            "prediction": amount / 10 + index,
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(logged(365, "2024-01-01"), COLUMNS, "regression")


def drift_finding(reference: Reference, frame: pd.DataFrame, column: str) -> Finding | None:
    findings = (
        finding
        for finding in evaluate(reference, frame).findings
        if finding.metric == "drift_score" and finding.column == column
    )
    return next(findings, None)


@pytest.mark.parametrize("days", [1, 7, 28])
def test_what_changes_by_its_nature_is_nobodys_fault(reference: Reference, days: int) -> None:
    for start in ("2025-01-01", "2025-03-03", "2025-08-16"):
        findings = evaluate(reference, logged(days, start, seed=1, rows_a_day=max(60, 300 // days))).findings
        accused = [finding.explanation for finding in findings if finding.origin == "pipeline"]
        assert not accused
        assert not {finding.column for finding in findings if finding.metric == "drift_score"} & {"weekday", "month"}
        stuck = [finding for finding in findings if finding.cause == "stuck value"]
        assert not stuck


def test_a_column_of_the_calendar_is_compared_with_the_calendar() -> None:
    first = logged(90, "2024-01-01").assign(named=lambda frame: frame["event_time"].dt.day_name())
    reference = Reference.fit(first, COLUMNS, "regression")
    days = {"weekday": ["dayofweek", 0], "named": ["dayofweek", 0], "month": ["month", 0]}
    assert reference.summary.calendar == days
    assert Reference.from_bytes(reference.to_bytes()).summary.calendar == days
    day = logged(1, "2024-06-03").assign(named="Monday")
    answers = {check.column: check for check in evaluate(reference, day).checks if check.metric == "drift_score"}
    for name in ("weekday", "named"):
        assert answers[name].verdict is Verdict.FINE
        assert answers[name].reason == "it is the day of the week, and follows the calendar"
    # The weekday is not that of the rows: the column no longer follows the calendar.
    findings = evaluate(reference, day.assign(weekday=4)).findings
    assert "weekday" in {finding.column for finding in findings if finding.metric == "drift_score"}
    # A month that the reference does not have is no fault. A number that is no month is one, even in few rows.
    long = logged(1, "2024-06-03", rows_a_day=2_000).assign(named="Monday")
    assert not [finding for finding in evaluate(reference, long).findings if finding.column == "month"]
    long.loc[:39, "month"] = -999
    [stray] = [finding for finding in evaluate(reference, long).findings if finding.column == "month"]
    assert (stray.metric, stray.value) == ("out_of_range_share", 0.02)


def test_columns_that_change_slowly_are_known_for_windows_of_a_length() -> None:
    frame = logged(200, "2024-01-01")
    assert slow_columns(frame, COLUMNS, 1.0) == ["weekday", "month", "index"]
    assert slow_columns(frame, COLUMNS, 7.0) == ["month", "index"]
    assert slow_columns(frame, COLUMNS, 90.0) == []


def test_a_count_that_grows_is_in_no_other_unit(reference: Reference) -> None:
    grown = logged(7, "2025-03-03", seed=1).assign(rides=lambda frame: (frame["rides"] * 1.609344).round().astype(int))
    finding = drift_finding(reference, grown, "rides")
    assert finding is not None
    assert (finding.cause, finding.origin) == ("shift", "world")


def test_an_answer_is_in_no_other_unit(reference: Reference) -> None:
    frame = logged(7, "2025-03-03", seed=1).assign(prediction=lambda frame: frame["prediction"] * 100)
    finding = drift_finding(reference, frame, "prediction")
    assert finding is not None
    assert finding.cause != "unit change"


def test_a_fault_of_rows_that_lie_together_is_the_pipelines_and_has_a_beginning(reference: Reference) -> None:
    frame = logged(7, "2025-03-03", seed=1, rows_a_day=200)
    faulty = frame.assign(amount=frame["amount"].mask((frame.index >= 500) & (frame.index < 800), -1.0))
    finding = drift_finding(reference, faulty, "amount")
    assert finding is not None
    assert (finding.cause, finding.origin) == ("placeholder value", "pipeline")
    assert abs(pd.Timestamp(finding.since) - frame["event_time"][500].tz_localize("UTC")) < pd.Timedelta("2h")
    cents = frame.assign(amount=frame["amount"].where(frame.index < 900, frame["amount"] * 100))
    finding = drift_finding(reference, cents, "amount")
    assert finding is not None
    assert (finding.cause, finding.origin) == ("unit change", "pipeline")


def test_a_fault_of_the_rows_of_one_version_names_it(reference: Reference) -> None:
    frame = logged(7, "2025-03-03", seed=1, rows_a_day=200)
    second = np.random.default_rng(3).random(len(frame)) < 0.3
    whole = Reference.fit(
        logged(365, "2024-01-01").assign(version=lambda f: np.where(f.index % 2, "1", "2")), COLUMNS, "regression"
    )
    faulty = frame.assign(version=np.where(second, "2", "1"), amount=frame["amount"].mask(second, -1.0))
    finding = drift_finding(whole, faulty, "amount")
    assert finding is not None
    assert finding.origin == "pipeline"
    assert "version = 2" in finding.explanation


def test_what_little_speaks_for_is_not_called_a_fault(reference: Reference) -> None:
    frame = logged(7, "2025-03-03", seed=1, rows_a_day=200)
    new = np.random.default_rng(3).random(len(frame)) < 0.2
    finding = drift_finding(reference, frame.assign(channel=frame["channel"].mask(new, "partner")), "channel")
    assert finding is not None
    assert (finding.cause, finding.origin) == ("new category", "unknown")
    assert "too little evidence" in finding.explanation


def test_a_run_holds_the_affected_rows() -> None:
    flags = np.zeros(1000, dtype=bool)
    flags[200:400] = True
    assert run_of(flags) == (200, 400)
    flags[200:400:10] = False
    assert run_of(flags) == (201, 400)
    assert run_of(np.random.default_rng(0).random(1000) < 0.3) is None
    assert run_of(np.ones(1000, dtype=bool)) is None
    assert run_of(np.zeros(1000, dtype=bool)) is None


def test_three_findings_matter_one_a_column_and_one_of_those_that_share_a_cause() -> None:
    def finding(column: str, severity: str = "info", cause: str = "shift", cost: float = 0.0) -> dict[str, object]:
        return {"column": column, "severity": severity, "cause": cause, "cost": cost, "segment": None}

    findings = [
        finding("a", "critical"),
        finding("a", "warning"),
        *(finding(name, cause="broken relation") for name in "bcdefg"),
        finding("h", cost=0.2),
        finding("i", cost=0.1),
    ]
    assert [entry["column"] for entry in that_matter(findings)] == ["a", "h", "i"]
    assert [entry["column"] for entry in that_matter(findings[2:8])] == ["b"]
    assert len(that_matter([finding(str(number)) for number in range(9)])) == MOST
    assert that_matter([]) == []


def test_columns_that_hold_nothing_say_nothing(reference: Reference) -> None:
    frame = logged(7, "2025-03-03", seed=1, rows_a_day=200)
    nothing = frame.assign(channel=None, amount=frame["amount"].mask(frame.index < 300, -1.0), rides=np.inf)
    assert evaluate(reference, nothing).findings
    empty = Reference.fit(logged(60, "2024-01-01").assign(rides=np.inf), COLUMNS, "regression")
    assert evaluate(empty, nothing).findings
