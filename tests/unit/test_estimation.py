"""Estimates of performance without labels, compared with labels drawn from the same probabilities."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from monitor.analysis.estimation import estimate_binary, estimate_multiclass
from monitor.analysis.performance import Outcomes, measure

ROWS, DRAWS = 800, 200


def test_every_binary_estimate_is_what_labels_would_show_and_scatters_as_they_do() -> None:
    random = np.random.default_rng(1)
    chance = random.beta(1.5, 3, ROWS)
    score = np.round(np.clip(chance**1.3 + 0.02, 0.01, 0.99), 2)  # not calibrated, with ties
    predicted = (score >= 0.4).astype(float)
    estimated = estimate_binary(score, predicted, chance)
    draws = []
    for _ in range(DRAWS):
        rows = random.integers(0, ROWS, ROWS)
        truth = (random.random(ROWS) < chance[rows]).astype(float)
        draws.append(
            {
                name: value.value
                for name, value in measure(Outcomes("binary", truth, predicted[rows], score[rows])).items()
            }
        )
    names = {name.removeprefix("estimated_") for name in estimated}
    assert names == {"roc_auc", "pr_auc", "accuracy", "f1", "log_loss", "brier_score", "calibration_error"}
    for name, value in estimated.items():
        realised = np.array([draw[name.removeprefix("estimated_")] for draw in draws])
        spread = float(realised.std())
        assert value.value == pytest.approx(realised.mean(), abs=0.4 * spread), name
        assert value.error == pytest.approx(spread, rel=0.3), name


def test_every_multiclass_estimate_is_what_labels_would_show() -> None:
    random = np.random.default_rng(2)
    chances = random.dirichlet([2, 1, 1], ROWS)
    score = chances**1.2 / (chances**1.2).sum(axis=1, keepdims=True)
    places = score.argmax(axis=1)
    estimated = estimate_multiclass(score, chances, places)
    names = np.array(["a", "b", "c"], dtype=object)
    draws = []
    for _ in range(DRAWS):
        truth = names[(chances.cumsum(axis=1) < random.random((ROWS, 1))).sum(axis=1)]
        metrics = measure(Outcomes("multiclass", truth, names[places], score, tuple(names)))
        draws.append({name: value.value for name, value in metrics.items()})
    assert {"estimated_f1", "estimated_pr_auc", "estimated_log_loss", "estimated_brier_score"} < set(estimated)
    for name, value in estimated.items():
        realised = np.array([draw[name.removeprefix("estimated_")] for draw in draws])
        assert value.value == pytest.approx(realised.mean(), abs=0.6 * realised.std()), name
        assert value.error is not None


def test_average_precision_with_weights_is_scikit_learns() -> None:
    random = np.random.default_rng(3)
    score, truth, weight = np.round(random.random(300), 2), random.random(300) < 0.3, random.exponential(size=300)
    metrics = measure(Outcomes("binary", truth.astype(float), (score > 0.5).astype(float), score, weight=weight))
    assert metrics["pr_auc"].value == pytest.approx(
        average_precision_score(truth, score, sample_weight=weight), abs=1e-12
    )
    assert 0.01 < (metrics["pr_auc"].error or 0) < 0.1
