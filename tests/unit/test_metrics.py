"""The registry of metrics agrees with what the analysis gives for each name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis.performance import Outcomes, measure
from monitor.domain.kinds import Kind
from monitor.domain.metrics import (
    METRICS,
    TASKS,
    Level,
    harm_for,
    nearest,
    thresholds_for,
    why_no_harm,
    why_no_threshold,
)
from monitor.errors import UsageError
from tests.forecasts import forecasts
from tests.rankings import ranking


def _columns(task: str) -> Columns:
    probability = {"binary": "p", "multiclass": {"a": "p", "b": "q", "c": "r"}}.get(task)
    if task == "forecast":
        return Columns(
            prediction="prediction",
            label="label",
            event_time="target_time",
            issued_at="issued_at",
            series="shop",
            attributions="shap_{feature}",
            lower="low",
            upper="high",
        )
    if task == "ranking":
        return Columns(
            prediction="prediction", label="label", query="search", item="item", attributions="shap_{feature}"
        )
    return Columns(prediction="prediction", probability=probability, label="label", attributions="shap_{feature}")


def _frame(task: str, rows: int = 600) -> pd.DataFrame:
    if task == "forecast":
        return forecasts("2026-01-01", max(rows // 60, 7), 3)
    if task == "ranking":
        return ranking(rows // 3, 3)[["search", "item", "quality", "match", "prediction", "label"]]
    random = np.random.default_rng(3)
    x = random.normal(size=rows)
    if task == "regression":
        return pd.DataFrame({"x": x, "prediction": 3 * x, "label": 3 * x + random.normal(size=rows)})
    if task == "binary":
        p = 1 / (1 + np.exp(-2 * x))
        label = (random.random(rows) < p).astype(int)
        return pd.DataFrame({"x": x, "p": p, "prediction": (p > 0.5).astype(int), "label": label})
    chances = np.exp(np.column_stack([x, -x, np.zeros(rows)]))
    chances /= chances.sum(axis=1, keepdims=True)
    names = np.array(["a", "b", "c"])
    label = names[(random.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)]
    parts = dict(zip("pqr", chances.T, strict=True))
    return pd.DataFrame({"x": x, **parts, "prediction": names[chances.argmax(axis=1)], "label": label})


@pytest.fixture(scope="module")
def references() -> dict[str, Reference]:
    return {task: Reference.fit(_frame(task), _columns(task), task) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_the_registry_knows_every_metric_of_performance_and_which_have_an_interval(
    references: dict[str, Reference], task: str
) -> None:
    baseline = references[task].baseline
    kinds = (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)
    expected = {
        name for name in thresholds_for(task) if METRICS[name].kind in kinds and METRICS[name].level is Level.WINDOW
    }
    assert set(baseline) == expected
    assert {name for name, value in baseline.items() if value.error is not None} == {
        name for name in expected if METRICS[name].has_interval
    }


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_registry_knows_which_metrics_need_probabilities(task: str) -> None:
    frame = _frame(task)
    texts = frame["label"].to_numpy(), frame["prediction"].to_numpy()
    plain = measure(Outcomes(task, *texts, None, ("a", "b", "c")))
    assert set(plain) == {
        name
        for name in thresholds_for(task)
        if METRICS[name].kind is Kind.PERFORMANCE
        and METRICS[name].level is Level.WINDOW
        and not METRICS[name].needs_probability
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_window_is_in_the_registry_with_its_level(
    references: dict[str, Reference], task: str
) -> None:
    evaluation = evaluate(references[task], _frame(task).assign(more=1.0))
    for entry in [*evaluation.metrics, *evaluation.checks]:
        assert entry.metric in METRICS
        assert (METRICS[entry.metric].level == "column") == (entry.column is not None), entry.metric


@pytest.mark.parametrize("task", TASKS)
def test_every_harm_of_a_task_is_accepted_and_judged_and_every_other_name_refused(
    references: dict[str, Reference], task: str
) -> None:
    frame = _frame(task)
    for name in METRICS:
        if name in harm_for(task):
            assert why_no_harm(name, task) == ""
            evaluation = evaluate(references[task], frame, checks=Checks(harm={name: 0.02}))
            check = next(check for check in evaluation.checks if check.metric == name)
            assert check.verdict in ("fine", "changed"), name
            assert check.lower is not None
        else:
            assert why_no_harm(name, task)
            with pytest.raises(UsageError, match=name):
                evaluate(references[task], frame, checks=Checks(harm={name: 0.02}))


@pytest.mark.parametrize("task", TASKS)
def test_every_threshold_of_a_task_is_accepted_and_every_other_name_refused(
    references: dict[str, Reference], task: str
) -> None:
    limits = {name: {"upper": 1e9} for name in METRICS}
    accepted = {name: limits[name] for name in thresholds_for(task)}
    evaluate(references[task], _frame(task, 100), checks=Checks(thresholds=accepted))
    for name in limits.keys() - accepted.keys():
        with pytest.raises(UsageError, match=f"this model's task is {task}"):
            evaluate(references[task], _frame(task, 100), checks=Checks(thresholds={name: limits[name]}))


@pytest.mark.parametrize(
    ("name", "task", "text"),
    [
        ("rmsee", None, "there is no metric 'rmsee'; did you mean 'rmse'?"),
        ("rmsee", "regression", "there is no metric 'rmsee'; did you mean 'rmse'?"),
        ("auc", "binary", "the metric 'auc' is called 'roc_auc' here"),
        (
            "roc_auc",
            "regression",
            (
                "'roc_auc' is a metric of classification; this model's task is regression; metrics for harm: mae, rmse,"
                " mape"
            ),
        ),
        (
            "tnr",
            "multiclass",
            "'tnr' is a metric of binary classification; this model's task is multiclass; metrics for harm: roc_auc",
        ),
        (
            "mae",
            "binary",
            "'mae' is a metric of regression and forecast; this model's task is binary; metrics for harm: roc_auc",
        ),
        (
            "abs_max_error",
            "regression",
            "'abs_max_error' has no confidence interval, so it cannot be a harm: write it as a threshold",
        ),
        (
            "missing_share",
            "binary",
            "'missing_share' does not measure performance, so it cannot be a harm: write it as a threshold",
        ),
        ("estimated_mae", "regression", "'estimated_mae' is judged by the harm of 'mae': name that"),
        ("zzz", "regression", "there is no metric 'zzz'; the metrics are: mae, rmse, mape"),
    ],
)
def test_a_refused_harm_says_what_to_write(name: str, task: str | None, text: str) -> None:
    assert why_no_harm(name, task).startswith(text)


def test_a_refused_threshold_says_what_to_write() -> None:
    assert why_no_threshold("mising_share") == "there is no metric 'mising_share'; did you mean 'missing_share'?"
    assert why_no_threshold("mae", "binary").endswith("metrics for thresholds: " + ", ".join(harm_for("binary")))
    assert why_no_threshold("abs_max_error", "regression") == ""


def test_the_nearest_name_is_none_where_none_is_like_it() -> None:
    assert nearest("incme", ["age", "income"]) == "income"
    assert nearest("zzz", ["age", "income"]) is None
