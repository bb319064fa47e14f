"""The estimated cost of a fault is compared with its real cost, by labels that the service has not seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate
from monitor.analysis import surrogate
from monitor.analysis.faults import answered_anew
from monitor.analysis.performance import measure, outcomes
from monitor.analysis.repair import Gain, shared
from monitor.domain.checks import Finding, Severity
from monitor.domain.losses import loss

BINARY = Columns(probability="probability", prediction="prediction", label="label", event_time="event_time")
NUMBERS = Columns(prediction="prediction", label="label", event_time="event_time")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def random_inputs(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": random.gamma(9, 5.5, rows).round(2),
            "age": random.normal(45, 12, rows).round(1),
            "region": random.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2]),
            "event_time": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows), unit="min"),
        }
    )


def score(frame: pd.DataFrame) -> np.ndarray:
    """The score of the model; a missing income counts as 50."""
    region = frame["region"].map({"north": 0.0, "south": 1.5, "west": -1.5}).fillna(0.0)
    return np.asarray((frame["income"].fillna(50) - 50) / 8 + (frame["age"] - 45) / 20 + region)


def with_predictions(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    value = score(frame)
    if task == "regression":
        return frame.assign(prediction=value)
    chance = 1 / (1 + np.exp(-value))
    return frame.assign(probability=chance, prediction=(chance >= 0.5).astype(int))


def labelled(rows: int, seed: int, task: str) -> pd.DataFrame:
    frame = with_predictions(random_inputs(rows, seed), task)
    random = np.random.default_rng(seed + 100)
    if task == "regression":
        return frame.assign(label=frame["prediction"] + random.normal(0, 0.8, rows))
    return frame.assign(label=(random.random(rows) < frame["probability"]).astype(int))


@pytest.fixture(scope="module", params=["binary", "regression"])
def known(request: pytest.FixtureRequest) -> tuple[Reference, str]:
    task = str(request.param)
    return Reference.fit(labelled(6_000, 0, task), BINARY if task == "binary" else NUMBERS, task), task


def change_rows(frame: pd.DataFrame, column: str, values: object, rows: slice = slice(400, 1_000)) -> pd.DataFrame:
    changed = frame[column].astype(object) if frame[column].dtype == object else frame[column].astype(float)
    changed.iloc[rows] = values(changed.iloc[rows]) if callable(values) else values
    return frame.assign(**{column: changed})


def cost_by_labels(reference: Reference, clean: pd.DataFrame, faulty: pd.DataFrame) -> float:
    metric = str(reference.harm_metric)
    metrics = [
        measure(outcomes(frame, reference.columns, reference.task, reference.summary.classes))
        for frame in (clean, faulty)
    ]
    return loss(metric, metrics[0][metric].value, metrics[1][metric].value)


def worst_of(reference: Reference, frame: pd.DataFrame, column: str) -> Finding:
    findings = [
        finding
        for finding in evaluate(reference, frame).findings
        if finding.column == column and finding.segment is None
    ]
    return max(findings, key=lambda finding: finding.cost or 0.0)


FAULTS: dict[str, tuple[str, Change]] = {
    "unit": ("income", lambda frame: change_rows(frame, "income", lambda values: values * 100)),
    "placeholder": ("income", lambda frame: change_rows(frame, "income", -999.0)),
    "stuck": ("income", lambda frame: change_rows(frame, "income", 40.0)),
    "missing": ("income", lambda frame: change_rows(frame, "income", np.nan)),
    "swap": (
        "region",
        lambda frame: frame.assign(region=frame["region"].replace({"south": "north", "north": "south"})),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_fault_costs_is_told_before_labels_come(known: tuple[Reference, str], fault: str) -> None:
    reference, task = known
    column, change = FAULTS[fault]
    clean = labelled(1_500, 5, task)
    faulty = with_predictions(change(clean), task).assign(label=clean["label"])
    real = cost_by_labels(reference, clean, faulty)
    for frame in (faulty.drop(columns="label"), faulty):
        finding = worst_of(reference, frame, column)
        assert finding.cost is not None
        # A model of trees predicts for 100 times an income as for the largest one it has seen: the cost is too small.
        assert 0.4 * real <= finding.cost <= 1.6 * real, (finding.cost, real)
        by_labels = frame is faulty and fault in ("unit", "swap")
        back = f"Repairing it {'gives' if by_labels else 'would probably give'} that back"
        assert (back if fault in ("unit", "swap") else "cannot be restored") in finding.explanation
        # Two regions that changed places may be a real change, until labels show what swapping them back gives.
        certain = fault != "swap" or by_labels
        assert (finding.origin, finding.severity >= Severity.WARNING) == ("pipeline" if certain else "unknown", certain)


def test_of_two_broken_columns_neither_of_which_helps_alone_both_are_told(known: tuple[Reference, str]) -> None:
    """The gain that only both repairs give is shared by importance. Where each alone gives all, nothing is added."""
    reference, _ = known
    metric = str(reference.harm_metric)
    alone = {"income": Gain({metric: 0.0}, True), "age": Gain({metric: -0.01}, True)}
    gains = shared(alone, Gain({metric: 0.4}, True), reference)
    assert sum(gain.costs[metric] for gain in gains.values()) == pytest.approx(0.4)
    assert gains["income"].costs[metric] > gains["age"].costs[metric] > 0
    assert (gains["income"].needed_columns, gains["age"].needed_columns) == (("age",), ("income",))
    enough = {"income": Gain({metric: 0.3}, True), "age": Gain({metric: 0.2}, True)}
    assert shared(enough, Gain({metric: 0.4}, True), reference) == enough


def test_answers_that_are_all_equal_cost_what_lies_above_chance(known: tuple[Reference, str]) -> None:
    reference, task = known
    clean = labelled(1_500, 5, task)
    faulty = with_predictions(clean.assign(age=clean["age"] * 100), task).assign(label=clean["label"])
    if task == "binary":
        faulty = faulty.assign(probability=faulty["probability"].round())
        assert faulty["probability"].nunique() == 1
        real = cost_by_labels(reference, clean, faulty)
        finding = worst_of(reference, faulty.drop(columns="label"), "age")
        assert 0.5 * real <= (finding.cost or 0.0) <= 1.5 * real
        assert "would probably give that back" in finding.explanation


def test_all_faults_together_cost_no_more_than_lies_above_chance(
    known: tuple[Reference, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, task = known
    clean = labelled(1_500, 5, task)
    broken = clean.assign(age=clean["age"] * 100, income=clean["income"] * 100, region="nowhere")
    faulty = with_predictions(broken, task).drop(columns="label")
    evaluation = evaluate(reference, faulty)
    joint = evaluation["joint_effect"]
    assert joint.verdict == "changed"
    if task == "binary":
        assert joint.value is not None
        assert joint.value <= reference.baseline["roc_auc"].value - 0.5 + 1e-9
    # With little memory, predictions are made one after the other, with the same results.
    monkeypatch.setattr(surrogate, "_AT_ONCE", 10)
    assert [finding.cost for finding in evaluate(reference, faulty).findings] == [
        finding.cost for finding in evaluation.findings
    ]


def test_a_fault_of_the_log_alone_costs_nothing(known: tuple[Reference, str]) -> None:
    reference, task = known
    clean = labelled(1_500, 5, task)
    logged = change_rows(clean, "income", lambda values: values * 100)
    finding = worst_of(reference, logged, "income")
    assert (finding.cause, finding.origin, finding.severity) == ("unit change", "pipeline", Severity.INFO)
    assert "gain almost nothing" in finding.explanation
    assert not evaluate(reference, logged).pages


def test_where_features_do_not_tell_the_predictions_that_is_said() -> None:
    frame = labelled(6_000, 0, "regression")
    random = np.random.default_rng(1)
    # The predictions depend on something that is not logged, and a little on the features.
    hidden = random.normal(0, 3, len(frame))
    frame = frame.assign(prediction=hidden + frame["prediction"] * 0.8, label=hidden + frame["prediction"] * 0.8)
    frame["label"] += random.normal(0, 0.2, len(frame))
    reference = Reference.fit(frame, NUMBERS, "regression")
    window = frame.tail(1_500).drop(columns="label").assign(income=np.nan)
    finding = worst_of(reference, window, "income")
    assert "rough figure: the features explain only" in finding.explanation


def test_a_fault_can_be_tried_with_the_answers_that_it_would_bring(known: tuple[Reference, str]) -> None:
    reference, task = known
    clean = labelled(1_500, 5, task)
    faulty = FAULTS["swap"][1](clean)
    tried = answered_anew(reference, clean, faulty)
    real = with_predictions(faulty, task)
    name = "prediction" if task == "regression" else "probability"
    assert np.abs(tried[name] - real[name]).mean() < 0.15 * np.abs(clean[name] - real[name]).mean()
    assert set(tried["prediction"].map(type)) == set(clean["prediction"].map(type))


@pytest.mark.long
@pytest.mark.parametrize("odd", ["hardly any value", "one feature", "no prediction", "a column of times"])
def test_whatever_a_window_is_like_its_faults_have_a_cost(odd: str) -> None:
    frame = labelled(3_000, 0, "regression")
    if odd == "hardly any value":
        frame["rare"] = np.where(frame.index == 7, 1.5, np.nan)
    elif odd == "one feature":
        frame = frame.drop(columns=["age", "region"])
    elif odd == "a column of times":
        frame["since"] = frame["event_time"] - pd.to_timedelta(np.arange(len(frame)) % 500, unit="h")
    reference = Reference.fit(frame, NUMBERS, "regression")
    window = frame.tail(1_000).drop(columns="label").assign(income=np.nan)
    if odd == "hardly any value":
        window["rare"] = 1.5
    elif odd == "no prediction":
        window.loc[window.index[::10], "prediction"] = np.nan
    elif odd == "a column of times":
        window["since"] = pd.NaT
    costs = [
        finding.cost for finding in evaluate(reference, window).findings if finding.column == "income" and finding.cost
    ]
    assert costs
    assert max(costs) < 10


def test_values_new_to_the_model_keep_the_cost_of_their_importance(known: tuple[Reference, str]) -> None:
    reference, task = known
    clean = labelled(1_500, 5, task)
    window = with_predictions(clean.assign(income=clean["income"] + 60), task).drop(columns="label")
    finding = evaluate(reference, window)["out_of_range_share", "income"]
    assert isinstance(finding, Finding)
    assert finding.cost == pytest.approx((finding.value or 0.0) * reference.importance["income"], rel=0.01)
    assert "a real change, not the pipeline. It probably costs the model" in finding.explanation
