"""Checks in the Evidently report: each is a test with verdict, value and limits. Equal runs give equal reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import zstandard
from evidently.core.report import Snapshot
from evidently.legacy.tests.base_test import TestStatus as Status

from monitor import Check, Checks, Evaluation, Finding, Reference, Severity, Verdict, evaluate
from monitor.analysis.snapshot.checks import status_of, widgets_of
from monitor.analysis.snapshot.store import pack, to_html, unpack
from monitor.domain.run_identity import RunIdentity
from tests.conftest import logged

START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 21, tzinfo=UTC)
RUN = RunIdentity("churn-daily", "churn", "3", "0e5b", "data", (START, END), END)

LIMITS = Checks(thresholds={"missing_share": {"upper": 0.2}})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(logged(1500, seed=7, start="2024-12-01"))


def shifted() -> pd.DataFrame:
    frame = logged(800, seed=2)
    return frame.assign(income=frame["income"] * 3)


@pytest.fixture(scope="module")
def evaluation(reference: Reference) -> Evaluation:
    evaluated = evaluate(reference, shifted(), window=(START, END), checks=LIMITS)
    return replace(evaluated, run=RUN)


def test_every_check_is_a_test_with_its_verdict(evaluation: Evaluation) -> None:
    paging = {finding.key for finding in evaluation.findings if finding.severity >= "warning"}
    expected: Counter[Status] = Counter()
    for check in evaluation.checks:
        changed = Status.FAIL if check.key in paging else Status.WARNING
        expected[{Verdict.FINE: Status.SUCCESS, Verdict.CHANGED: changed}.get(check.verdict, Status.ERROR)] += 1
    tests = evaluation.snapshot.tests_results
    assert Counter(test.status for test in tests) == expected
    assert all(expected[status] for status in (Status.SUCCESS, Status.FAIL, Status.WARNING, Status.ERROR))
    assert len({test.id for test in tests}) == len({test.name for test in tests}) == len(evaluation.checks)


def test_a_test_tells_value_limit_and_what_was_found(evaluation: Evaluation) -> None:
    tests = {test.name: test for test in evaluation.snapshot.tests_results}
    auc = tests["ROC AUC"]
    assert "the lower limit is" in auc.description
    assert auc.test_config["verdict"] == "fine"
    assert auc.test_config["threshold_lower"] == pytest.approx(evaluation["roc_auc"].threshold_lower, rel=1e-5)  # type: ignore[union-attr]
    broken = tests["Share of values out of range: 'income'"]
    assert broken.status is Status.FAIL
    assert broken.description.startswith(evaluation.findings[0].explanation)
    assert broken.test_config["severity"] == "warning"
    assert tests["Share of the usual rows"].description.startswith("Could not be checked: 0 earlier windows")


def test_tests_stand_beside_the_metric_that_they_are_of(evaluation: Evaluation) -> None:
    places = {
        test.name: result.metric_value_location.metric.params
        for result in evaluation.snapshot.metric_results.values()
        for test in result.tests
    }
    assert places["ROC AUC"]["type"].endswith("RocAuc")
    assert places["Share of missing values: 'income'"] == {
        "type": "evidently:metric_v2:MissingValueCount",
        "column": "income",
    }
    for name in ("Drift score: 'income'", "Relation score: 'income'"):
        assert (places[name]["type"], places[name]["column"]) == ("evidently:metric_v2:ValueDrift", "income")
    assert places["Share of the usual rows"]["type"].endswith("RowCount")
    assert all(
        test.metric_config == result.metric_value_location.metric
        for result in evaluation.snapshot.metric_results.values()
        for test in result.tests
    )


def test_evidently_loads_the_tests_and_what_the_report_is_of(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(zstandard.decompress(pack(evaluation.snapshot)))
    loaded = Snapshot.load(path)
    assert len(loaded.dict()["tests"]) == len(evaluation.checks)
    assert loaded.get_name() == "churn-daily, data: 2025-01-01 00:00 to 2025-01-21 00:00 UTC"
    model = loaded.to_snapshot_model()
    assert model.timestamp == datetime(2025, 1, 1)
    assert model.tags == ["churn", "version 3", "data", "severity warning"]
    metadata = {name: value for name, value in model.metadata.items() if name != "plots"}
    assert metadata == {
        "monitor": "churn-daily",
        "model_id": "churn",
        "model_version": "3",
        "reference_id": evaluation.reference_version,
        "run": "0e5b",
        "kind": "data",
        "window_start": "2025-01-01T00:00:00+00:00",
        "window_end": "2025-01-21T00:00:00+00:00",
        "as_of": "2025-01-21T00:00:00+00:00",
        "severity": "warning",
    }


def test_equal_runs_have_equal_reports(evaluation: Evaluation, reference: Reference) -> None:
    again = replace(evaluate(reference, shifted(), window=(START, END), checks=LIMITS), run=RUN)
    assert pack(again.snapshot) == pack(evaluation.snapshot)
    ids = [widget.id for widget in unpack(pack(again.snapshot)).to_snapshot_model().widgets]
    assert len(set(ids)) == len(ids)


def test_a_report_without_a_window_stands_at_its_first_row(reference: Reference) -> None:
    snapshot = evaluate(reference, logged(300, seed=3, start="2025-02-01")).snapshot
    assert snapshot.to_snapshot_model().timestamp == datetime(2025, 2, 1)
    assert snapshot.get_name() is None
    without = evaluate(reference, logged(300, seed=3).drop(columns="event_time")).snapshot
    assert len(without.tests_results) > 30


def test_checks_of_other_versions_are_tests_too(evaluation: Evaluation) -> None:
    versioned = replace(evaluation.checks[0], model_version="4")
    extended = replace(evaluation, checks=[*evaluation.checks, versioned])
    names = [test.name for test in extended.snapshot.tests_results]
    assert len(names) == len(extended.checks)
    assert "Number of rows (model version 4)" in names


@pytest.mark.parametrize(
    ("verdict", "severity", "status"),
    [
        (Verdict.FINE, None, "SUCCESS"),
        (Verdict.CHANGED, None, "WARNING"),
        (Verdict.CHANGED, Severity.INFO, "WARNING"),
        (Verdict.CHANGED, Severity.WARNING, "FAIL"),
        (Verdict.CHANGED, Severity.CRITICAL, "FAIL"),
        (Verdict.TOO_LITTLE_DATA, None, "ERROR"),
        (Verdict.COULD_NOT_CHECK, Severity.WARNING, "ERROR"),
    ],
)
def test_verdicts_have_a_status_in_evidently(verdict: Verdict, severity: Severity | None, status: str) -> None:
    finding = None if severity is None else Finding("roc_auc", verdict=verdict, severity=severity)
    assert status_of(Check("roc_auc", verdict=verdict), finding).value == status


def test_what_the_log_holds_is_no_markup_on_evidentlys_pages(reference: Reference) -> None:
    frame = logged(400, seed=4).assign(region="![x](https://example.org/x.png)</script><b>")
    snapshot = evaluate(reference, frame).snapshot
    (test,) = [test for test in snapshot.tests_results if test.name == "Share of new categories: 'region'"]
    assert "![x](https" in test.description
    _, listed = widgets_of(snapshot.tests_results)
    (described,) = [entry["description"] for entry in listed.params["tests"] if entry["title"] == test.name]
    assert "!\\[x\\]\\(https" in described
    assert "</script><b>" not in to_html(snapshot)


def test_the_worst_tests_are_shown_first(evaluation: Evaluation) -> None:
    model = evaluation.snapshot.to_snapshot_model()
    counters, listed = model.tests_widgets
    states = [entry["state"] for entry in listed.params["tests"]]
    assert states == sorted(states, key=["fail", "warning", "error", "success"].index)
    shown = {counter["label"]: int(counter["value"]) for counter in counters.params["counters"]}
    assert sum(shown.values()) == len(evaluation.checks)
