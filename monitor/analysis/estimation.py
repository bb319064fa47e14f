"""Performance without labels, in its plain form.

Classification: confidence-based performance estimation (CBPE): with calibrated probabilities the expected value of a
metric needs no label. Regression: direct loss estimation (DLE): a model of the absolute error, learned on the reference.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression

from monitor.analysis.performance import (
    Measured,
    calibration_error,
    f1,
    macro,
    mean,
    of_probabilities,
    pr_auc,
)

Floats = np.ndarray
# Draws of rows and labels by which the error of an area is told, of how many rows at most.
_DRAWS, _DRAW_ROWS = 100, 5_000


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
    """CBPE for a binary model, without the areas' errors if `seed` is None: `score` as logged, `said` 0 or 1, `chance` the calibrated probability; shape (rows,)."""
    right = np.where(said == 1, chance, 1 - chance)
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
        "estimated_f1": f1(chance, said, weight),
    }
    return result | _estimated_areas(score, chance, seed, weight)


def _estimated_areas(score: Floats, chance: Floats, seed: int | None, weight: Floats | None) -> dict[str, Measured]:
    value = expected_roc_auc(score, chance, weight)
    if not np.isfinite(value):
        return {}
    error = None if seed is None else _roc_auc_error(score, chance, seed, weight)
    return {"estimated_roc_auc": Measured(value, error), "estimated_pr_auc": pr_auc(score, chance, weight)}


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
    score: Floats, chances: Floats, places: Floats, seed: int | None, weight: Floats | None = None
) -> dict[str, Measured]:
    """CBPE for a multiclass model: `score` as logged and `chances` calibrated, each summing to one, shape (rows, classes); `places` the predicted class's column."""
    right = chances[np.arange(len(chances)), places]
    result = {"estimated_accuracy": mean(right, weight, right * (1 - right))}
    result |= {f"estimated_{name}": each for name, each in of_probabilities(score, chances, weight).items()}
    classes = range(chances.shape[1])
    said = [(places == index).astype(float) for index in classes]
    result["estimated_f1"] = macro([f1(chances[:, index], said[index], weight) for index in classes])
    areas = [_estimated_areas(score[:, index], chances[:, index], seed, weight) for index in classes]
    for name in ("estimated_roc_auc", "estimated_pr_auc"):
        if found := [area[name] for area in areas if name in area]:
            whole = macro(found)
            result[name] = whole if seed is not None else Measured(whole.value)
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
    """DLE: the loss that its model expects of each row."""
    return np.asarray(np.clip(model.predict(features), 0, None))
