"""Scores and reports equal those of Evidently's own statistics and metrics, though they are computed differently."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis import drift
from monitor.analysis.schema import Sort
from monitor.analysis.summary import summarise
from monitor.domain.metrics import DRIFT_METHODS

random = np.random.default_rng(7)
NUMBERS = {
    "plain": (random.normal(size=900), random.normal(0.2, 1.1, 400)),
    "as many on both sides": (random.normal(size=400), random.normal(0.2, 1.1, 400)),
    "ties": (random.integers(0, 40, 900) * 1.0, random.integers(3, 44, 300) * 1.0),
    "few different": (random.integers(0, 5, 300) * 1.0, random.integers(1, 9, 200) * 1.0),
    "missing and infinite": (
        np.where(random.random(500) < 0.1, np.nan, random.normal(size=500)),
        np.concatenate([[np.inf, -np.inf, np.nan], random.normal(1, 1, 300)]),
    ),
    "constant": (np.ones(100), np.ones(50)),
    "another constant": (np.ones(100), np.full(50, 2.0)),
    "tiny": (np.array([1.0, 2.0]), np.array([3.0])),
    "heavy tails": (random.standard_cauchy(900), random.standard_cauchy(300)),
    "large": (random.normal(1e9, 1, 900), random.normal(1e9, 1, 300)),
}
CATEGORIES = {
    "plain": (random.choice(list("abc"), 500), random.choice(list("abcd"), 300)),
    "unseen on both sides": (random.choice(list("abc"), 500), random.choice(list("cxyz"), 300)),
    "nothing in common": (random.choice(list("abc"), 300), random.choice(list("xyz"), 300)),
    "two": (random.choice(list("ab"), 80), random.choice(list("ab"), 80)),
    "two again": (random.choice(list("aaab"), 50), random.choice(list("ab"), 50)),
    "one": (np.array(["a"] * 9, dtype=object), np.array(["a"], dtype=object)),
    "missing": (
        np.where(random.random(300) < 0.2, None, random.choice(list("ab"), 300)),
        np.where(random.random(300) < 0.1, None, random.choice(list("ab"), 300)),
    ),
}
# These shuffle samples a hundred times or more, or compare each pair of rows, so they get small samples only.
SLOW = {"TVD", "empirical_mmd"}


def evidently(method: str, before: pd.Series, after: pd.Series, column_type: Sort) -> float | None:
    """The score of Evidently's metric, from its own report; None where it fails."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    kind = "numerical_columns" if column_type == "numerical" else "categorical_columns"
    sides = [
        Dataset.from_pandas(pd.DataFrame({"x": side}), DataDefinition(**{kind: ["x"]})) for side in (after, before)
    ]
    np.random.seed(0)
    try:
        snapshot = Report([ValueDrift(column="x", method=method)]).run(*sides)
    except Exception:
        return None
    return float(next(iter(snapshot.metric_results.values())).value)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    # Evidently's own takes half a minute.
    "method",
    [pytest.param(name, marks=[pytest.mark.long] if name == "TVD" else []) for name in DRIFT_METHODS],
)
def test_every_method_gives_evidentlys_score(method: str) -> None:
    compared = 0
    for column_type, cases in (("numerical", NUMBERS), ("categorical", CATEGORIES)):
        for name, values in cases.items():
            before, after = (pd.Series(side[:25] if method in SLOW else side) for side in values)
            expected = evidently(method, before, after, column_type)
            if expected is None or not np.isfinite(expected):
                continue
            clean = [
                side.replace([np.inf, -np.inf], np.nan) if column_type == "numerical" else side
                for side in (before, after)
            ]
            summaries = [summarise(side, column_type) for side in clean]
            assert summaries[0] is not None
            assert summaries[1] is not None
            score = drift.score(
                method, summaries[0], summaries[1], lambda clean=clean: (clean[0], clean[1]), column_type
            )
            assert score == pytest.approx(expected, rel=1e-9, abs=1e-9), (method, name)
            compared += 1
    assert compared >= 2


def frames(task: str, rows: int = 600) -> tuple[pd.DataFrame, Columns]:
    x = random.normal(size=rows)
    frame = pd.DataFrame(
        {"x": np.where(random.random(rows) < 0.05, np.nan, x), "city": random.choice(list("abc"), rows)}
    )
    if task == "regression":
        label = np.where(random.random(rows) < 0.01, 0.0, x + random.normal(size=rows))
        return frame.assign(prediction=x, label=label), Columns(prediction="prediction", label="label")
    if task == "binary":
        chance = 1 / (1 + np.exp(-x))
        frame = frame.assign(
            probability=chance, prediction=(chance > 0.5).astype(int), label=(random.random(rows) < chance).astype(int)
        )
        return frame, Columns(prediction="prediction", probability="probability", label="label")
    chances = random.dirichlet(np.ones(3), rows)
    names = np.array(["red", "green", "blue"])
    frame = frame.assign(
        **{f"p_{name}": chances[:, index] for index, name in enumerate(names)},
        prediction=names[chances.argmax(axis=1)],
        label=names[[random.choice(3, p=chance) for chance in chances]],
    )
    return frame, Columns(prediction="prediction", probability={name: f"p_{name}" for name in names}, label="label")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_a_report_holds_what_evidentlys_own_metrics_give(task: str) -> None:
    before, columns = frames(task)
    after, _ = frames(task)
    snapshot = evaluate(Reference.fit(before, columns, task), after, checks=Checks()).snapshot
    ours = {result.to_dict()["metric_name"]: result.to_dict() for result in snapshot.metric_results.values()}
    theirs = evidently_report(task, before, after)
    assert len(theirs) >= 11
    for name, expected in theirs.items():
        assert ours[name]["id"] == expected["id"], name
        assert flat(ours[name]["value"]) == pytest.approx(flat(expected["value"]), rel=1e-9, abs=1e-9), name


def flat(value: Any) -> list[float]:
    return list(value.values()) if isinstance(value, dict) else [value]


def evidently_report(task: str, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    import evidently.metrics as metrics
    from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression, Report

    own = [metrics.RowCount(), metrics.MissingValueCount(column="x"), metrics.MissingValueCount(column="city")]
    own += [metrics.ValueDrift(column="x", method="wasserstein")]
    own += [metrics.ValueDrift(column="city", method="jensenshannon")]
    if task == "regression":
        own += [
            metrics.MeanError(),
            metrics.MAE(),
            metrics.RMSE(),
            metrics.MAPE(),
            metrics.R2Score(),
            metrics.AbsMaxError(),
        ]
    else:
        own += [
            metrics.Accuracy(),
            metrics.Precision(),
            metrics.Recall(),
            metrics.F1Score(),
            metrics.RocAuc(),
            metrics.LogLoss(),
        ]
    if task == "binary":
        own += [metrics.TPR(), metrics.TNR(), metrics.FPR(), metrics.FNR()]
    parts: dict[str, Any] = {
        "regression": {"regression": [Regression(target="label", prediction="prediction")]},
        "binary": {
            "classification": [
                BinaryClassification(
                    target="label", prediction_labels="prediction", prediction_probas="probability", pos_label=1
                )
            ]
        },
        "multiclass": {
            "classification": [
                MulticlassClassification(
                    target="label", prediction_labels="prediction", prediction_probas=["red", "green", "blue"]
                )
            ]
        },
    }[task]
    numerical = ["x", *(["label", "prediction"] if task == "regression" else [])]
    categorical = ["city", *([] if task == "regression" else ["label", "prediction"])]
    definition = DataDefinition(numerical_columns=numerical, categorical_columns=categorical, **parts)
    sides = [
        Dataset.from_pandas(side.rename(columns=lambda name: name.removeprefix("p_")), definition)
        for side in (after, before)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = Report(own).run(*sides)
    return {result.to_dict()["metric_name"]: result.to_dict() for result in snapshot.metric_results.values()}
