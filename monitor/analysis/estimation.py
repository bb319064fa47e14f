"""Performance without labels, in its plain form.

Classification: confidence-based performance estimation (CBPE): with calibrated probabilities the expected value of a
metric needs no label. Regression: direct loss estimation (DLE): a model of the absolute error, learned on the
reference.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression

from monitor.analysis.performance import (
    Measured,
    area_error,
    calibration_error,
    f1,
    macro,
    mean,
    of_probabilities,
    pr_auc,
)
from monitor.cores import one_thread

Floats = np.ndarray
_FEATURES_A_SPLIT = 100


def calibrate(probability: Floats, truth: Floats) -> tuple[list[float], list[float]]:
    """The calibration of probabilities by isotonic regression, as the points of a monotone line (x, y)."""
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probability, truth)
    return [float(x) for x in fitted.X_thresholds_], [float(y) for y in fitted.y_thresholds_]


def calibrated(probability: Floats, line: tuple[list[float], list[float]]) -> Floats:
    """Probabilities after calibration, kept away from 0 and 1, which few rows cannot prove."""
    chance: Floats = np.clip(np.interp(probability, *line), 1e-4, 1 - 1e-4)
    return chance


def calibrated_classes(scores: Floats, lines: list[tuple[list[float], list[float]]]) -> Floats:
    """Calibrated probabilities of classes, each class by its own line, with a sum of one; shape (rows, classes), as the
    scores.
    """
    chances = np.column_stack([calibrated(score, line) for score, line in zip(scores.T, lines, strict=True)])
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def expected_roc_auc(score: Floats, chance: Floats, weight: Floats | None = None) -> Measured:
    """The expected ROC AUC of `score` when each row is positive with its `chance`. Only pairs of distinct rows count,
    ties count half.

    Its error is DeLong's (see `performance.roc_auc`), with each row's chance instead of its label: the scatter of the
    realised value.
    """
    weights = np.ones(len(score)) if weight is None else weight
    _, place = np.unique(score, return_inverse=True)
    sides = weights * chance, weights * (1 - chance)
    positive, negative = (np.bincount(place, side) for side in sides)
    beaten = (np.cumsum(negative) - negative / 2)[place]
    own = weights**2 * chance * (1 - chance)
    pairs = float(sides[0].sum() * sides[1].sum() - own.sum())
    if pairs <= 0:
        return Measured(float("nan"))
    value = float((sides[0] * beaten).sum() - own.sum() / 2) / pairs
    shares = beaten / sides[1].sum(), 1 - (np.cumsum(positive) - positive / 2)[place] / sides[0].sum()
    variance = sum(
        float((weights * side * (share - value) ** 2).sum() / side.sum() ** 2)
        for side, share in zip(sides, shares, strict=True)
    )
    return Measured(value, area_error(variance, (weights * chance).sum(), (weights * (1 - chance)).sum()))


def estimate_binary(
    score: Floats, predicted: Floats, chance: Floats, weight: Floats | None = None
) -> dict[str, Measured]:
    """CBPE for a binary model: `score` as logged, `predicted` the class (0 or 1), `chance` the calibrated probability;
    shape (rows,).
    """
    right = np.where(predicted == 1, chance, 1 - chance)
    clipped = np.clip(score, 1e-15, 1 - 1e-15)
    log_losses = -(chance * np.log(clipped) + (1 - chance) * np.log1p(-clipped))
    brier = chance * (score - 1) ** 2 + (1 - chance) * score**2
    result = {
        "estimated_accuracy": mean(right, weight, right * (1 - right)),
        "estimated_log_loss": mean(
            log_losses, weight, chance * (1 - chance) * (np.log(clipped) - np.log1p(-clipped)) ** 2
        ),
        "estimated_brier_score": mean(brier, weight, chance * (1 - chance) * (1 - 2 * score) ** 2),
        "estimated_calibration_error": calibration_error(np.clip(score, 0, 1), chance, weight),
        "estimated_f1": f1(chance, predicted, weight),
    }
    return result | _estimated_areas(score, chance, weight)


def _estimated_areas(score: Floats, chance: Floats, weight: Floats | None) -> dict[str, Measured]:
    # Equal scores have no order: an area of one half with an error of zero would be misleading.
    area = expected_roc_auc(score, chance, weight)
    if not np.isfinite(area.value) or score.min() == score.max():
        return {}
    return {"estimated_roc_auc": area, "estimated_pr_auc": pr_auc(score, chance, weight)}


def estimate_multiclass(
    score: Floats, chances: Floats, places: Floats, weight: Floats | None = None
) -> dict[str, Measured]:
    """CBPE for a multiclass model: `score` as logged and `chances` calibrated, each summing to one, shape (rows,
    classes); `places` the predicted class's column.
    """
    right = chances[np.arange(len(chances)), places]
    result = {"estimated_accuracy": mean(right, weight, right * (1 - right))}
    result |= {f"estimated_{name}": value for name, value in of_probabilities(score, chances, weight).items()}
    classes = range(chances.shape[1])
    predicted = [(places == index).astype(float) for index in classes]
    result["estimated_f1"] = macro([f1(chances[:, index], predicted[index], weight) for index in classes])
    areas = [_estimated_areas(score[:, index], chances[:, index], weight) for index in classes]
    for name in ("estimated_roc_auc", "estimated_pr_auc"):
        if values := [area[name] for area in areas if name in area]:
            result[name] = macro(values)
    return result


def encode(frame: pd.DataFrame, codes: dict[str, dict[str, int]]) -> Floats:
    """Features as numbers, shape (rows, features): categories by the reference's codes, unseen ones as -1."""
    columns = [
        frame[name].map(codes[name], na_action="ignore").fillna(-1).to_numpy(dtype=float)
        if name in codes
        else frame[name].to_numpy(dtype=float)
        for name in frame.columns
    ]
    return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


class GradientBoosting:
    """A small gradient boosting regressor, reproducible from its seed. Missing values have a branch of their own. A
    feature without any value is replaced by zeros. With very many features each split considers only some.
    """

    def __init__(self, features: Floats, values: Floats, seed: int) -> None:
        """features: shape (rows, features); values: shape (rows,)."""
        empty = np.isnan(features).all(axis=0)
        features = np.where(empty, 0.0, features) if empty.any() else features
        model = HistGradientBoostingRegressor(
            max_iter=80,
            learning_rate=0.08,
            min_samples_leaf=30,
            early_stopping=False,
            random_state=seed,
            max_features=min(1.0, _FEATURES_A_SPLIT / max(features.shape[1], 1)),
        )
        with one_thread():
            self._model = model.fit(features, values)

    def predict(self, features: Floats) -> Floats:
        """The predicted values, shape (rows,)."""
        with one_thread():
            return np.asarray(self._model.predict(features))


def expected_loss(model: GradientBoosting, features: Floats) -> Floats:
    """DLE: the expected loss of each row."""
    return np.asarray(np.clip(model.predict(features), 0, None))
