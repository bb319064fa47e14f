"""`Reference` and `evaluate`: metrics equal to scikit-learn's and Evidently's, verdicts, severities, broken input."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from monitor import Checks, Columns, MonitorError, Reference, Severity, WindowCounts, evaluate
from monitor.analysis.estimation import expected_roc_auc
from monitor.analysis.performance import Outcomes, measure, outcomes, roc_auc
from monitor.domain.checks import Verdict
from monitor.errors import DataError
from tests.conftest import logged

COLUMNS = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(logged(2000, seed=1), COLUMNS, "binary")


def test_a_healthy_window_is_quiet(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(800, seed=2))
    assert not evaluation.changed
    assert not evaluation.pages
    assert evaluation.severity == "none"
    assert evaluation["row_count"].value == 800


def test_drift_is_found_and_pages_nobody(reference: Reference) -> None:
    frame = logged(800, seed=2)
    evaluation = evaluate(reference, frame.assign(noise=frame["noise"] * 100))
    assert evaluation.changed
    assert not evaluation.pages
    drift = evaluation["drift_score", "noise"]
    assert (drift.metric, drift.column) == ("drift_score", "noise")
    assert "100 times as large" in evaluation.findings[-1].explanation or "100 times as large" in str(
        [f.explanation for f in evaluation.findings]
    )


def test_a_worse_model_is_critical_and_the_explanation_says_by_how_much(reference: Reference) -> None:
    frame = logged(800, seed=2)
    frame["label"] = np.random.default_rng(0).integers(0, 2, len(frame))
    evaluation = evaluate(reference, frame)
    assert evaluation.severity >= "critical"
    assert evaluation.findings[0].metric == "roc_auc"
    with pytest.raises(MonitorError, match=r"ROC AUC is 0\.5"):
        evaluation.raise_for("warning")


def test_a_fault_is_a_warning_by_what_it_costs_the_model(reference: Reference) -> None:
    frame = logged(800, seed=2).drop(columns="label")
    lost = evaluate(reference, frame.assign(income=np.nan))
    harmless = evaluate(reference, frame.assign(noise=np.nan))
    assert next(finding for finding in lost.findings if finding.metric == "missing_share").severity == "warning"
    assert next(finding for finding in harmless.findings if finding.metric == "missing_share").severity == "info"


def test_a_threshold_of_the_users_pages_when_it_breaks(reference: Reference) -> None:
    frame = logged(800, seed=2)
    frame.loc[:39, "noise"] = np.nan
    checks = Checks(
        thresholds={"missing_share": {"upper": 0.2, "columns": {"noise": {"upper": 0.01, "severity": "critical"}}}}
    )
    evaluation = evaluate(reference, frame, checks=checks)
    assert evaluation["missing_share", "noise"].severity == "critical"  # type: ignore[union-attr]
    assert evaluation["missing_share", "income"].threshold_upper == 0.2  # type: ignore[union-attr]
    assert not evaluate(reference, frame, checks=Checks(thresholds={"missing_share": {"upper": 0.2}})).pages


def test_counts_of_the_whole_window_go_before_those_of_the_sample(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(100, seed=2), counts=WindowCounts(rows=10**6, missing={"noise": 5 * 10**5}))
    assert evaluation["missing_share", "noise"].value == 0.5
    assert evaluation["row_count"].value == 10**6


def test_rows_outside_the_window_are_left_out(reference: Reference) -> None:
    frame = logged(800, days=8, seed=2)
    start = pd.Timestamp("2025-01-02")
    assert (
        evaluate(
            reference, frame, window=(start.to_pydatetime(), (start + pd.Timedelta("24h")).to_pydatetime())
        ).counts.rows
        == 100
    )


def test_only_what_is_asked_is_checked(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(300, seed=2), checks=Checks(only=("drift",)))
    assert {check.kind.value for check in evaluation.checks} == {"drift"}


@pytest.mark.parametrize("column", ["income", "region", "noise", "probability"])
@pytest.mark.parametrize("broken", ["null", "empty text", "lists", "constant", "infinite", "mixed", "gone"])
def test_one_broken_column_never_costs_the_others_their_checks(reference: Reference, column: str, broken: str) -> None:
    frame = logged(300, seed=2)
    values: dict[str, Any] = {
        "null": [None] * 300,
        "empty text": [""] * 300,
        "lists": [[1, 2]] * 300,
        "constant": [1.0] * 300,
        "infinite": [np.inf] * 300,
        "mixed": [1, "a", None] * 100,
    }
    if broken == "gone":
        frame = frame.drop(columns=column)
    else:
        frame[column] = pd.Series(values[broken], dtype=None if broken == "constant" else object)
    evaluation = evaluate(reference, frame)
    for name in {"income", "region", "noise"} - {column}:
        assert evaluation["drift_score", name].verdict == "fine"  # type: ignore[union-attr]


def test_an_empty_window_is_no_data(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(10).iloc[:0])
    assert [finding.kind.value for finding in evaluation.findings] == ["no_data"]
    assert evaluation.pages
    assert evaluation.snapshot is None


def test_too_few_rows_are_a_verdict_and_not_an_error(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(5, seed=2))
    assert {check.verdict.value for check in evaluation.checks if check.metric == "drift_score"} == {"too_little_data"}
    assert evaluation["roc_auc"].verdict == "too_little_data"  # type: ignore[union-attr]


def test_an_evaluation_can_be_looked_at_in_many_ways(reference: Reference, tmp_path: Path) -> None:
    evaluation = evaluate(reference, logged(300, seed=2))
    assert len(evaluation.to_frame("metrics")) == len(evaluation.metrics)
    assert set(evaluation.to_frame("checks").columns) >= {
        "metric",
        "column",
        "verdict",
        "p_value",
        "rows",
        "detection_limit",
    }
    assert json.loads(evaluation.to_json())["severity"] == "none"
    evaluation.save_html(str(tmp_path / "r.html"))
    assert "plotly" in (tmp_path / "r.html").read_text().lower()
    assert evaluation._repr_html_().startswith("<div><p><b>healthy</b>: 300 rows")


def test_a_reference_is_named_by_what_it_was_fitted_on_and_survives_its_archive(tmp_path: Path) -> None:
    frame = logged(600, seed=1)
    fitted, refitted, changed = (
        Reference.fit(rows, COLUMNS, "binary") for rows in (frame, frame.copy(), frame.assign(noise=0.5))
    )
    assert fitted.version == refitted.version != changed.version
    fitted.save(tmp_path / "r")
    loaded = Reference.load(tmp_path / "r")
    assert loaded.to_bytes() == fitted.to_bytes()
    window = logged(300, seed=3)
    first, second = evaluate(fitted, window), evaluate(loaded, window)
    assert first.to_json() == second.to_json()
    (tmp_path / "no").write_bytes(b"no archive")
    with pytest.raises(MonitorError, match="no archive of a reference"):
        Reference.load(tmp_path / "no")


def test_a_mapped_reference_says_what_the_archive_says(tmp_path: Path) -> None:
    frame = logged(600, seed=1).assign(
        some=lambda rows: rows["income"].where(rows.index % 7 > 0),
        day=lambda rows: rows["event_time"].dt.floor("D"),
        flag=lambda rows: rows["noise"] > 0,
        nothing=None,
    )
    frame.loc[3, "region"] = None
    whole = Reference.fit(frame, COLUMNS, "binary")
    whole.save(tmp_path / "r.reference")
    window = frame.sample(300, random_state=1).reset_index(drop=True)
    expected = evaluate(whole, window).to_json()
    written, mapped = (Reference.mapped(tmp_path / "r.reference") for _ in range(2))
    for opened in (written, mapped):
        pd.testing.assert_frame_equal(opened.frame, Reference.load(tmp_path / "r.reference").frame)
        assert evaluate(opened, window).to_json() == expected
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["r.mapped", "r.reference"]
    (tmp_path / "r.mapped").unlink()
    (tmp_path / f"r.mapped.{os.getpid()}").mkdir()  # nothing can be written there now
    assert evaluate(Reference.mapped(tmp_path / "r.reference"), window).to_json() == expected


@pytest.mark.parametrize("harm", ["emptied", "cut", "flipped"])
def test_a_damaged_file_of_a_reference_is_made_anew_or_refused_and_never_compared_with(
    tmp_path: Path, harm: str
) -> None:
    whole = Reference.fit(logged(300), Columns(prediction="prediction", label="label"), "binary")
    path = tmp_path / "r.reference"
    whole.save(path)
    Reference.mapped(path)

    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes({"emptied": b"", "cut": bytes(content[: len(content) // 2]), "flipped": bytes(content)}[harm])

    damage(tmp_path / "r.mapped")
    pd.testing.assert_frame_equal(Reference.mapped(path).frame, whole.frame)
    (tmp_path / "r.mapped").unlink()
    damage(path)
    with pytest.raises(DataError):
        Reference.mapped(path)


def test_labels_of_late_correct_the_estimate_and_those_of_the_window_are_taken_as_they_are(
    reference: Reference,
) -> None:
    """A model that has become overconfident: the reference alone cannot show it."""
    random = np.random.default_rng(5)

    def overconfident(seed: int, start: int) -> pd.DataFrame:
        frame = logged(2000, seed=seed).assign(id=lambda rows: rows["id"] + start)
        return frame.assign(label=(random.random(2000) < 0.5 + (frame["probability"] - 0.5) * 0.3).astype(int))

    before, window = overconfident(11, 0), overconfident(12, 10_000)
    real = evaluate(reference, window)["roc_auc"].value
    unlabelled = window.drop(columns="label")
    blind, refreshed, with_labels = (
        evaluate(reference, unlabelled, recent=recent)["estimated_roc_auc"]
        for recent in (None, before, pd.concat([before, window]))
    )
    assert abs(blind.value - real) > 0.1
    assert abs(refreshed.value - real) < 0.05
    assert with_labels.value == pytest.approx(real, abs=1e-3)
    from_subsample = evaluate(reference, unlabelled, recent=before.head(10))["estimated_roc_auc"]
    assert abs(from_subsample.value - blind.value) < 0.05


def test_errors_of_late_correct_the_estimated_error() -> None:
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"id": range(3000), "x": random.normal(size=3000)})
    frame = frame.assign(prediction=frame["x"], label=frame["x"] + random.normal(size=3000) * (0.5 + frame["x"].abs()))
    reference = Reference.fit(frame.head(1500), Columns(prediction="prediction", label="label", id="id"), "regression")
    worse = frame.tail(1500).assign(label=lambda rows: rows["prediction"] + 3 * (rows["label"] - rows["prediction"]))
    before, window = worse.head(700), worse.tail(800)
    real = (window["label"] - window["prediction"]).abs().mean()
    unlabelled = window.drop(columns="label")
    blind = evaluate(reference, unlabelled)["estimated_mae"].value
    refreshed = evaluate(reference, unlabelled, recent=before)["estimated_mae"].value
    with_labels = evaluate(reference, unlabelled, recent=pd.concat([before, window]))["estimated_mae"].value
    assert blind < 0.5 * real
    assert refreshed == pytest.approx(real, rel=0.1)
    assert with_labels == pytest.approx(real, rel=1e-9)


def test_an_estimate_that_labels_of_late_contradict_by_turns_is_no_answer() -> None:
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"id": range(9000), "x": random.normal(size=9000)})
    frame["event_time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(frame.index, unit="min")
    frame = frame.assign(prediction=frame["x"], label=frame["x"] + random.normal(size=9000))
    columns = Columns(prediction="prediction", label="label", id="id", event_time="event_time")
    reference = Reference.fit(frame.head(3000), columns, "regression")
    # Errors are half or three times those of the reference, in an unpredictable order.
    later = frame.tail(6000).reset_index(drop=True)
    factor = np.repeat(random.choice([0.5, 3.0], 40), 150)
    later["label"] = later["prediction"] + factor * (later["label"] - later["prediction"])
    recent, window = later.head(5000), later.tail(1000).drop(columns="label")
    [check] = [check for check in evaluate(reference, window, recent=recent).checks if check.metric == "estimated_mae"]
    assert check.verdict is Verdict.COULD_NOT_CHECK
    assert "it may be wrong by" in check.reason
    assert check.lower is not None
    checks = Checks(thresholds={"estimated_mae": {"lower": 1e6}})
    broken = evaluate(reference, window, recent=recent, checks=checks)
    assert "estimated_mae" in {finding.metric for finding in broken.findings if finding.pages}
    steady = evaluate(reference, window, recent=frame.iloc[3000:8000])
    assert steady["estimated_mae"].value == pytest.approx(reference.baseline["mae"].value, rel=0.1)
    [fine] = [check for check in steady.checks if check.metric == "estimated_mae"]
    assert fine.verdict is Verdict.FINE


def test_of_predictions_that_the_reference_never_saw_nobody_knows_the_error() -> None:
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"id": range(4000), "x": random.normal(size=4000)})
    frame["event_time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(frame.index, unit="min")
    frame = frame.assign(prediction=frame["x"], label=frame["x"] + random.normal(size=4000))
    columns = Columns(prediction="prediction", label="label", id="id", event_time="event_time")
    reference = Reference.fit(frame.head(3000), columns, "regression")
    for share, answers in ((0.3, "fine"), (0.7, "could_not_check")):
        window = frame.tail(1000).reset_index(drop=True)
        far = window.index < share * len(window)
        window = window.assign(x=window["x"] + 6 * far, prediction=window["prediction"] + 6 * far)
        checks = {check.metric: check for check in evaluate(reference, window.drop(columns="label")).checks}
        assert checks["estimated_mae"].verdict == answers
        assert checks["performance_visibility"].verdict == answers
    assert "outside the range of the reference" in checks["estimated_mae"].reason
    # Labels show the error: those of the window and earlier ones.
    assert {check.metric: check for check in evaluate(reference, window).checks}[
        "performance_visibility"
    ].verdict == "fine"
    earlier = window.assign(event_time=window["event_time"] - pd.Timedelta(days=1), id=window["id"] + 10_000)
    evaluation = evaluate(reference, window.drop(columns="label"), recent=earlier)
    assert {check.metric: check for check in evaluation.checks}["performance_visibility"].verdict == "fine"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_row_of_weight_three_counts_as_three(task: str) -> None:
    random = np.random.default_rng(3)
    frame = logged(400, seed=4).assign(weight=random.integers(1, 4, 400))
    columns = COLUMNS
    if task == "regression":
        frame = frame.assign(label=frame["income"] + random.normal(size=400), prediction=frame["income"])
        columns = Columns(prediction="prediction", label="label")
    elif task == "multiclass":
        chances = random.dirichlet([1, 1, 1], 400)
        frame[["a", "b", "c"]] = chances
        names = np.array(list("abc"))
        frame["label"] = [random.choice(names, p=row) for row in chances]
        frame["prediction"] = names[chances.argmax(axis=1)]
        columns = Columns(prediction="prediction", probability={name: name for name in "abc"}, label="label")
    each_once = frame.loc[frame.index.repeat(frame["weight"])].reset_index(drop=True).drop(columns="weight")
    weighted = replace(columns, weight="weight")
    reference = Reference.fit(frame.drop(columns="weight"), columns, task)
    metrics = {}
    for name, rows, parts in (("weighted", frame, weighted), ("repeated", each_once, columns)):
        values = measure(outcomes(rows, parts, task))
        metrics[name] = values | replace(reference, columns=parts).estimator.estimate(rows)
    assert {*metrics["weighted"]} == {*metrics["repeated"]}
    for metric, value in metrics["weighted"].items():
        again = metrics["repeated"][metric]
        # The expected area leaves out pairs of a row with itself; copies of a row count as other rows. With fewer rows,
        # chance is a larger part of a gap.
        by_rows = {"estimated_roc_auc": 1e-3, "estimated_calibration_error": 0.5}
        assert value.value == pytest.approx(again.value, rel=by_rows.get(metric, 1e-9)), metric
        if value.error is not None and again.error is not None:  # copies look like more rows than there are
            assert again.error * 0.95 < value.error < again.error * 2, metric


def test_binary_metrics_equal_scikit_learns() -> None:
    frame = logged(700, seed=4)
    y, predicted, score = (frame[name].to_numpy(dtype=float) for name in ("label", "prediction", "probability"))
    values = {name: value.value for name, value in measure(Outcomes("binary", y, predicted, score)).items()}
    expected = {
        "roc_auc": sklearn_metrics.roc_auc_score(y, score),
        "accuracy": sklearn_metrics.accuracy_score(y, predicted),
        "precision": sklearn_metrics.precision_score(y, predicted),
        "recall": sklearn_metrics.recall_score(y, predicted),
        "f1": sklearn_metrics.f1_score(y, predicted),
        "log_loss": sklearn_metrics.log_loss(y, score),
        "brier_score": sklearn_metrics.brier_score_loss(y, score),
        "pr_auc": sklearn_metrics.average_precision_score(y, score),
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_performance_equals_what_the_evidently_report_holds(reference: Reference) -> None:
    evaluation = evaluate(reference, logged(700, seed=4))
    names = {
        "Accuracy": "accuracy",
        "Precision": "precision",
        "Recall": "recall",
        "F1Score": "f1",
        "RocAuc": "roc_auc",
        "LogLoss": "log_loss",
    }
    held = {}
    for result in evaluation.snapshot.metric_results.values():
        kind = str(result.metric_value_location.metric.params.get("type", "")).rsplit(":", 1)[-1]
        if kind in names:
            held[names[kind]] = float(result.value)
    assert set(held) == set(names.values())
    assert held == pytest.approx({name: evaluation[name].value for name in held}, abs=1e-9)


def test_regression_metrics_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    y, predicted = random.normal(size=500), random.normal(size=500)
    values = {name: value.value for name, value in measure(Outcomes("regression", y, predicted, None)).items()}
    assert values["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(y, predicted))
    assert values["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(y, predicted))
    assert values["r2_score"] == pytest.approx(sklearn_metrics.r2_score(y, predicted))


def test_the_error_of_roc_auc_is_its_scatter() -> None:
    random = np.random.default_rng(0)
    areas, errors = [], []
    for _ in range(300):
        truth = random.random(400) < 0.3
        measured = roc_auc(truth, random.normal(size=400) + truth)
        areas.append(measured.value)
        errors.append(measured.error)
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.15)


def test_the_expected_roc_auc_is_the_mean_of_what_labels_drawn_by_chance_give() -> None:
    random = np.random.default_rng(0)
    chance = random.random(400).round(2)
    areas = [sklearn_metrics.roc_auc_score(random.random(400) < chance, chance) for _ in range(400)]
    assert expected_roc_auc(chance, chance).value == pytest.approx(np.mean(areas), abs=0.003)


def test_regression_and_multiclass_run_through() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=900), "label": random.normal(size=900)})
    frame["prediction"] = frame["label"] + random.normal(size=900) * 0.5
    reference = Reference.fit(frame, Columns(prediction="prediction", label="label"), "regression")
    bad = frame.assign(prediction=frame["prediction"] + random.normal(size=900) * 2)
    assert evaluate(reference, frame.iloc[:300]).severity < "warning"
    assert evaluate(reference, bad).severity == Severity.CRITICAL
    names = {"a": "p_a", "b": "p_b", "c": "p_c"}
    chances = random.dirichlet([1, 1, 1], 900)
    many = pd.DataFrame(chances, columns=list(names.values())).assign(x=random.normal(size=900))
    many["prediction"] = np.array(list("abc"))[chances.argmax(axis=1)]
    many["label"] = [random.choice(list("abc"), p=row) for row in chances]
    reference = Reference.fit(many, Columns(prediction="prediction", probability=names, label="label"), "multiclass")
    healthy = evaluate(reference, many.iloc[:400])
    assert healthy["estimated_roc_auc"].value == pytest.approx(healthy["roc_auc"].value, abs=0.06)
    assert evaluate(reference, many.assign(label=random.permutation(many["label"]))).severity == "critical"


def test_a_negative_class_named_positive_turns_the_scores_round() -> None:
    frame = logged(600, seed=1).assign(
        label=lambda rows: np.where(rows["label"] == 1, "good", "bad"),
        prediction=lambda rows: np.where(rows["prediction"] == 1, "good", "bad"),
    )
    right = Reference.fit(
        frame, Columns(prediction="prediction", probability="probability", positive="good", label="label"), "binary"
    )
    wrong = Reference.fit(
        frame, Columns(prediction="prediction", probability="probability", positive="bad", label="label"), "binary"
    )
    assert right.baseline["roc_auc"].value == pytest.approx(1 - wrong.baseline["roc_auc"].value)


def test_segments_are_looked_at_one_by_one() -> None:
    columns = Columns(prediction="prediction", probability="probability", label="label", segments=("region",))
    reference = Reference.fit(logged(2000, seed=1), columns, "binary")
    frame = logged(1500, seed=2)
    south = frame["region"] == "south"
    frame.loc[south, "label"] = np.random.default_rng(0).integers(0, 2, south.sum())
    evaluation = evaluate(reference, frame)
    assert evaluation["roc_auc", "", "region=south"].verdict == "changed"  # type: ignore[union-attr]
    assert evaluation["roc_auc", "", "region=north"].verdict == "fine"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        (Columns(prediction="nothing"), "binary", "no column 'nothing'"),
        (COLUMNS, "clustering", "no task"),
        (Columns(), "binary", "neither a prediction"),
    ],
)
def test_a_reference_that_cannot_be_fitted_says_why(columns: Columns, task: str, message: str) -> None:
    with pytest.raises(MonitorError, match=message):
        Reference.fit(logged(100), columns, task)


def test_columns_are_inferred_by_the_fields_words() -> None:
    frame = pd.DataFrame({"timestamp": pd.to_datetime(["2025-01-01"]), "y_pred": [1], "y_true": [1], "x": [2.0]})
    columns = Columns.infer(frame)
    assert (columns.event_time, columns.prediction, columns.label) == ("timestamp", "y_pred", "y_true")
    assert columns.feature_names(list(frame)) == ["x"]


def test_labels_that_come_sooner_for_one_class_tell_of_a_decay_before_all_have_come(reference: Reference) -> None:
    """Positive labels come within days, negative ones after two weeks: the labels of the last two weeks are nearly all
    positive.
    """
    random = np.random.default_rng(8)
    frame = logged(24_000, days=120, seed=9)
    days = (frame["event_time"] - frame["event_time"].iloc[0]).dt.total_seconds() / 86400
    decayed = (days > 95).to_numpy()
    frame["label"] = np.where(
        decayed, random.random(24_000) < 0.5 + (frame["probability"] - 0.5) * 0.3, frame["label"]
    ).astype(int)
    took = np.where(frame["label"] == 1, random.exponential(2.0, 24_000), random.normal(14.0, 2.0, 24_000).clip(1))
    frame["label_time"] = frame["event_time"] + pd.to_timedelta(took, unit="D").astype("timedelta64[us]")
    window = frame[days >= 118]
    now = window["event_time"].min()
    recent = frame[frame["label_time"] <= now]
    real = evaluate(reference, window)["roc_auc"].value
    unlabelled = window.drop(columns=["label", "label_time"])
    blind, with_labels = (evaluate(reference, unlabelled, recent=rows)["estimated_roc_auc"] for rows in (None, recent))
    assert blind.value - real > 0.1
    assert abs(with_labels.value - real) < 0.05
    assert evaluate(reference, unlabelled, recent=recent).pages


def test_what_a_loss_comes_from_is_told(reference: Reference) -> None:
    frame = logged(4000, seed=21)
    random = np.random.default_rng(3)
    concept = frame.head(1500).assign(label=random.integers(0, 2, 1500))
    assert evaluate(reference, concept).findings[0].cause == "concept drift"
    hard = frame[frame["income"].between(46, 54)].head(1500)
    finding = evaluate(reference, hard, checks=Checks(only=("performance",)))["roc_auc"]
    assert finding.cause == "population shift"
    assert "the estimate without labels expected" in finding.explanation


def test_what_faults_explain_is_no_concept_drift(reference: Reference) -> None:
    """The labels depend on the rows as before. The predictions do not, since a column that the model uses is broken."""
    frame = logged(4000, seed=21).head(1500)
    random = np.random.default_rng(3)
    for rows in (1.0, 0.5):
        broken = random.random(1500) < rows
        guessed = np.where(broken, 0.5 + random.normal(0, 0.01, 1500), frame["probability"])
        for value in (None, -999.0):
            faulty = frame.assign(income=frame["income"].where(~broken, value), probability=guessed)
            finding = evaluate(reference, faulty)["roc_auc"]
            assert finding.cause == "data faults", finding.explanation
            assert "Faults in 'income' probably explain" in finding.explanation
    shuffled = frame.assign(
        label=random.permutation(frame["label"]), income=frame["income"].where(random.random(1500) > 0.05)
    )
    finding = evaluate(reference, shuffled)["roc_auc"]
    assert finding.cause == "concept drift", finding.explanation


def test_labels_that_are_distributed_otherwise_are_a_label_shift_once_nearly_all_are_there(
    reference: Reference,
) -> None:
    frame = logged(4000, seed=22)
    shifted = pd.concat([frame[frame["label"] == 1].head(900), frame[frame["label"] == 0].head(300)])
    finding = evaluate(reference, shifted)["drift_score", "label"]
    assert (finding.cause, finding.verdict) == ("label shift", "changed")
    half = shifted.assign(label=shifted["label"].where(np.arange(len(shifted)) % 2 == 0))
    assert evaluate(reference, half)["drift_score", "label"].verdict == "too_little_data"


def test_drift_and_missing_values_within_a_segment_are_found_and_named() -> None:
    columns = replace(COLUMNS, segments=("region",))
    reference = Reference.fit(logged(4000, seed=1), columns, "binary")
    assert not evaluate(reference, logged(2000, seed=2)).changed
    frame = logged(2000, seed=2)
    west = frame["region"] == "west"
    moved = evaluate(reference, frame.assign(noise=frame["noise"].where(~west, frame["noise"] ** 3)))
    finding = moved["drift_score", "noise", "region=west"]
    assert finding.verdict == "changed"
    assert "where region = west" in finding.explanation
    assert ("drift_score", "noise", "region=north") not in [finding.key for finding in moved.findings]
    holes = evaluate(reference, frame.assign(noise=frame["noise"].mask(west & (frame.index % 4 == 0))))
    assert holes["missing_share", "noise", "region=west"].verdict == "changed"
    assert evaluate(reference, frame, checks=Checks(segments=())).checks != evaluate(reference, frame).checks


def test_findings_tell_share_origin_and_cost(reference: Reference) -> None:
    frame = logged(1500, seed=2).drop(columns="label")
    times_100 = frame["income"].where(frame.index % 5 > 0, frame["income"] * 100)
    finding = evaluate(reference, frame.assign(income=times_100))["drift_score", "income"]
    assert (finding.cause, finding.origin) == ("unit change", "pipeline")
    assert finding.share == pytest.approx(0.2, abs=0.02)
    # The model predicted from the right values: the fault is only in the log, and costs less than its share of the
    # rows suggests.
    assert finding.cost is not None
    assert 0 < finding.cost < 0.2 * finding.share * reference.importance["income"]
