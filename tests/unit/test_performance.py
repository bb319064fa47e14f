"""Realised performance: directions of loss and standard errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis.performance import Outcomes, measure
from monitor.domain.losses import harm_limits, loss


@pytest.mark.parametrize(
    ("metric", "reference", "value", "expected"),
    [
        ("roc_auc", 0.8, 0.7, 0.1),
        ("estimated_roc_auc", 0.8, 0.7, 0.1),
        ("mae", 1.0, 1.5, 0.5),
        ("mean_error", 0.0, -5.0, 5.0),
        ("mean_error", 0.0, 5.0, 5.0),
        ("mean_error", -2.0, 1.0, -1.0),
    ],
)
def test_the_direction_of_a_loss_is_the_metrics_own(
    metric: str, reference: float, value: float, expected: float
) -> None:
    assert loss(metric, reference, value) == pytest.approx(expected)


def test_the_limits_of_harm_lie_where_the_loss_is_the_harm() -> None:
    assert harm_limits("roc_auc", 0.8, 0.02) == (pytest.approx(0.78), None)
    assert harm_limits("mae", 10.0, 1.0) == (None, 11.0)
    assert harm_limits("mean_error", -0.1, 0.5) == (-0.6, 0.6)


@pytest.mark.parametrize("bias", [-5.0, 5.0])
def test_a_bias_is_harm_in_either_direction(bias: float) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=2000)
    frame = pd.DataFrame({"x": x, "prediction": 3 * x, "label": 3 * x + random.normal(size=2000)})
    reference = Reference.fit(frame, Columns(prediction="prediction", label="label"), "regression")
    checks = Checks(harm={"mean_error": 0.5})
    assert not evaluate(reference, frame, checks=checks).pages
    findings = evaluate(reference, frame.assign(label=frame["label"] - bias), checks=checks).findings
    assert [str(finding.severity) for finding in findings if finding.metric == "mean_error"] == ["critical"]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_of_r2_is_that_of_rows_drawn_again(weighted: bool) -> None:
    random = np.random.default_rng(1)
    label = random.gamma(2.0, size=800)
    predicted = label + random.normal(size=800) * (0.5 + 0.5 * label)
    weight = random.uniform(0.5, 3.0, 800) if weighted else None
    measured = measure(Outcomes("regression", label, predicted, None, weight=weight))["r2_score"]
    again = []
    for _ in range(600):
        rows = random.integers(0, 800, 800)
        part = Outcomes(
            "regression", label[rows], predicted[rows], None, weight=None if weight is None else weight[rows]
        )
        again.append(measure(part)["r2_score"].value)
    assert measured.error == pytest.approx(np.std(again), rel=0.12)
