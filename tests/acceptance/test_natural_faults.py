"""A fault that pages stops paging once labels show that it does no harm to the model, and its message says why."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from monitor import Reference, evaluate
from monitor.domain.checks import CheckKey, Checks, Natural, Severity
from tests.conftest import Project, logged

QUALITY = """
SELECT runs.window_start, findings.severity, findings.explanation FROM findings JOIN runs ON runs.id = findings.run_id
JOIN metric_series ON metric_series.id = findings.series_id
WHERE metric_series.metric = 'missing_share' AND metric_series.column_name = ? ORDER BY runs.window_start
"""


def broken_from(frame: pd.DataFrame, column: str, day: str) -> pd.DataFrame:
    """The log lacks a column from a day on. The model still received it, so its predictions are unchanged."""
    return frame.assign(**{column: frame[column].where(frame["event_time"] < pd.Timestamp(day), None)})


@pytest.mark.long
def test_a_fault_without_harm_pages_until_labels_say_so(project: Project) -> None:
    frame = logged(6_000, days=60)
    project.log(broken_from(frame, "income", "2025-01-21"))
    project.labels(frame)
    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.replay()
    findings = project.query(QUALITY, "income")
    severities = [severity for _, severity, _ in findings]
    assert severities[0] == "warning"
    # Labels take a day: at most one more window is evaluated before they show that there is no harm.
    assert set(severities[2:]) == {"info"}
    assert "labels then showed no harm to the model" in findings[-1][2]
    states = project.query("SELECT state FROM alerts WHERE kind = 'quality' AND subject = ''")
    assert states == [("resolved",)]
    last = json.loads((project.folder / "told.jsonl").read_text().splitlines()[-1])
    assert last["title"] == "[RESOLVED] churn: the change is still there, but is not likely to do harm"
    assert "(share of missing values of 'income': 100.0%)." in last["text"]
    entries = project.query("SELECT action, detail FROM audit_log WHERE who = 'monitor'")
    assert entries
    assert all(action == "fault known as natural" and "missing_share of income" in detail for action, detail in entries)


@pytest.mark.long
def test_a_fault_that_harms_is_never_natural(project: Project) -> None:
    frame = logged(6_000, days=60)
    project.log(broken_from(frame, "income", "2025-01-21"))
    flipped = frame["event_time"] >= pd.Timestamp("2025-01-21")
    project.labels(frame.assign(label=frame["label"].where(~flipped, 1 - frame["label"])))
    project.replay()
    assert {severity for _, severity, _ in project.query(QUALITY, "income")} == {"warning"}
    assert project.query("SELECT count(*) FROM natural") == [(0,)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    from monitor import Columns

    columns = Columns(
        probability="probability", prediction="prediction", label="label", event_time="event_time", id="id"
    )
    return Reference.fit(logged(3_000), columns, "binary")


@pytest.mark.parametrize(
    ("share", "limit", "severity"),
    [(0.3, {}, Severity.INFO), (0.9, {}, Severity.WARNING), (0.3, {"upper": 0.1}, Severity.WARNING)],
)
def test_what_is_natural_is_as_large_as_it_was_and_within_the_users_limits(
    reference: Reference, share: float, limit: dict[str, float], severity: Severity
) -> None:
    window = logged(2_000, seed=3).drop(columns="label")
    window.loc[window.index < share * len(window), "income"] = None
    natural = Natural(CheckKey("missing_share", "income", ""), 0.3, pd.Timestamp("2025-01-01").to_pydatetime())
    checks = Checks(natural=(natural,), thresholds={"missing_share": limit} if limit else {})
    finding = evaluate(reference, window, checks=checks)["missing_share", "income"]
    assert finding.severity == severity  # type: ignore[union-attr]
