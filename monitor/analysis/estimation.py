"""Performance without labels, in its plain form.

Classification: confidence-based performance estimation (CBPE): with calibrated probabilities the expected value of a
metric needs no label. Regression: direct loss estimation (DLE): a model of the absolute error, learned on the reference.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression

from monitor.analysis.performance import Measured, mean

Floats = np.ndarray
_DRAWS = 100
_DRAW_ROWS = 5_000


def calibrate(probability: Floats, truth: Floats) -> tuple[list[float], list[float]]:
    """The calibration of probabilities by isotonic regression, as the points of a monotone line (x, y)."""
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probability, truth)
    return [float(x) for x in fitted.X_thresholds_], [float(y) for y in fitted.y_thresholds_]


def calibrated(probability: Floats, line: tuple[list[float], list[float]]) -> Floats:
    """Probabilities after calibration, kept off 0 and 1 by what few rows can tell."""
    chance: Floats = np.clip(np.interp(probability, *line), 1e-4, 1 - 1e-4)
    return chance


def expected_roc_auc(score: Floats, chance: Floats, weight: Floats | None = None) -> float:
    """The expected ROC AUC of `score` when each row is positive with its `chance`, pairs of distinct rows alone; ties count half."""
    weights = np.ones(len(score)) if weight is None else weight
    order = np.argsort(score, kind="stable")
    sorted_score, sorted_chance = score[order], (weights * chance)[order]
    _, group = np.unique(sorted_score, return_inverse=True)
    negatives = np.bincount(group, (weights * (1 - chance))[order])
    below = np.concatenate([[0.0], np.cumsum(negatives)[:-1]])
    own = weights**2 * chance * (1 - chance)
    won = float((sorted_chance * (below[group] + negatives[group] / 2)).sum() - own.sum() / 2)
    pairs = float((weights * chance).sum() * (weights * (1 - chance)).sum() - own.sum())
    return won / pairs if pairs > 0 else float("nan")


def estimate_binary(
    score: Floats, said: Floats, chance: Floats, seed: int | None, weight: Floats | None = None
) -> dict[str, Measured]:
    """CBPE for a binary model, without the area's error if `seed` is None: `score` as logged, `said` 0 or 1, `chance` the calibrated probability; shape (rows,)."""
    weights = np.ones(len(score)) if weight is None else weight
    right = np.where(said == 1, chance, 1 - chance)
    clipped = np.clip(score, 1e-15, 1 - 1e-15)
    log_losses = -(chance * np.log(clipped) + (1 - chance) * np.log1p(-clipped))
    brier = chance * (score - 1) ** 2 + (1 - chance) * score**2
    hits, wanted, named = (float((weights * each).sum()) for each in (chance * said, chance, said))
    value = expected_roc_auc(score, chance, weight)
    result = {
        "estimated_accuracy": mean(right, weight, right * (1 - right)),
        "estimated_log_loss": mean(
            log_losses, weight, chance * (1 - chance) * (np.log(clipped) - np.log1p(-clipped)) ** 2
        ),
        "estimated_brier_score": mean(brier, weight, chance * (1 - chance) * (1 - 2 * score) ** 2),
    }
    if wanted + named > 0:
        result["estimated_f1"] = Measured(2 * hits / (wanted + named))
    if np.isfinite(value):
        error = None if seed is None else _roc_auc_error(score, chance, seed, weight)
        result["estimated_roc_auc"] = Measured(value, error)
    return result


def _roc_auc_error(score: Floats, chance: Floats, seed: int, weight: Floats | None) -> float:
    """How much the realised ROC AUC would scatter round the expected one: rows and labels drawn again."""
    random = np.random.default_rng(seed)
    rows = min(len(score), _DRAW_ROWS)
    different, place = np.unique(score, return_inverse=True)
    areas = []
    for _ in range(_DRAWS):
        chosen = random.integers(0, len(score), rows)
        truth = random.random(rows) < chance[chosen]
        positive, negative = (
            np.bincount(place[side], None if weight is None else weight[side], minlength=len(different))
            for side in (chosen[truth], chosen[~truth])
        )
        positives, negatives = float(positive.sum()), float(negative.sum())
        if positives and negatives:
            won = positive @ (np.cumsum(negative) - negative / 2)
            areas.append(float(won) / (positives * negatives))
    return float(np.std(areas, ddof=1) * np.sqrt(rows / len(score))) if len(areas) > 1 else 0.5


def estimate_multiclass(
    chances: Floats, places: Floats, seed: int | None, weight: Floats | None = None
) -> dict[str, Measured]:
    """CBPE for a multiclass model: `chances` calibrated and summing to one, shape (rows, classes); `places` the predicted class's column."""
    rows = np.arange(len(chances))
    right = chances[rows, places]
    result = {"estimated_accuracy": mean(right, weight, right * (1 - right))}
    areas = [expected_roc_auc(chances[:, index], chances[:, index], weight) for index in range(chances.shape[1])]
    finite = [area for area in areas if np.isfinite(area)]
    if finite:
        error = None
        if seed is not None:
            columns = [chances[:, index] for index in range(chances.shape[1])]
            error = float(np.mean([_roc_auc_error(column, column, seed, weight) for column in columns]))
        result["estimated_roc_auc"] = Measured(float(np.mean(finite)), error)
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


def gradient_boosting(features: Floats, values: Floats, seed: int) -> HistGradientBoostingRegressor:
    """A small gradient boosting regressor, the same from the same seed; missing values are its own branch."""
    model = HistGradientBoostingRegressor(
        max_iter=80, learning_rate=0.08, min_samples_leaf=30, early_stopping=False, random_state=seed
    )
    return model.fit(features, values)


def expected_loss(model: HistGradientBoostingRegressor, features: Floats) -> Floats:
    """DLE: the absolute error that the loss model expects of each row."""
    return np.asarray(np.clip(model.predict(features), 0, None))
