"""Estimates calibrated on a reference whose rows are weighted by how much likelier they are in the window (PAPE),
beside plain ones. No product code: decision 20.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from monitor import Reference
from monitor.analysis import estimation
from monitor.analysis.estimator import absolute_errors
from monitor.analysis.performance import predicted, probabilities, truth_of
from monitor.analysis.schema import conform, utc_times
from tests.benchmarks.detection import DATA, SETS, columns_of

Floats = np.ndarray
_MODEL = {"learning_rate": 0.08, "early_stopping": False, "random_state": 0}


def density_ratios(before: Floats, after: Floats) -> Floats:
    """How much likelier each of the reference's rows is in the window, cross-fitted, 20 at most, 1 in the mean; shape
    (reference rows,).
    """
    rows, is_after = np.vstack([before, after]), np.arange(len(before) + len(after)) >= len(before)
    half, chance = np.arange(len(rows)) % 2, np.zeros(len(rows))
    for side in (0, 1):
        model = HistGradientBoostingClassifier(max_iter=60, min_samples_leaf=50, **_MODEL)
        model.fit(rows[half != side], is_after[half != side])
        chance[half == side] = model.predict_proba(rows[half == side])[:, 1]
    chance = np.clip(chance[: len(before)], 1e-3, 1 - 1e-3)
    ratios = np.clip(chance / (1 - chance) * len(before) / len(after), 0, 20)
    return np.asarray(ratios / ratios.mean())


def errors(name: str) -> list[dict[str, Any]]:
    """Of every fourth real window: how far the estimate of its ROC AUC, or of its MAE in shares of the reference's, is
    off, plain and weighted.
    """
    warnings.simplefilter("ignore")
    rows, log, labels, windows = (
        pd.read_parquet(DATA / name / f"{part}.parquet") for part in ("reference", "predictions", "labels", "windows")
    )
    reference = Reference.fit(rows, columns_of(name), SETS[name])
    whole = log.merge(labels, on="id").dropna(subset=["label"])
    results = []
    for window in windows[windows["verdict"] != "none"].iloc[::4].itertuples():
        inside = whole[(whole["event_time"] >= window.start) & (whole["event_time"] < window.end)].reset_index(
            drop=True
        )
        if len(inside) < 50 or inside["label"].nunique() < 2:
            continue
        times = utc_times(inside["event_time"]) if reference.summary.times_before_event else None
        frame = conform(inside, reference.sorts, times).frame
        real, plain, weighted = _areas(reference, frame) if SETS[name] == "binary" else _losses(reference, frame)
        results.append({"set": name, "plain": abs(plain - real), "weighted": abs(weighted - real)})
    return results


def _areas(reference: Reference, frame: pd.DataFrame) -> tuple[float, float, float]:
    columns, classes = reference.columns, reference.summary.classes
    before, after = (probabilities(side, columns).to_numpy()[:, 0] for side in (reference.frame, frame))
    truth, real = (
        truth_of(side[columns.label], columns, "binary", classes).to_numpy(float) for side in (reference.frame, frame)
    )
    is_labelled = np.isfinite(truth)
    ratios = density_ratios(_inputs(reference, reference.frame, before)[is_labelled], _inputs(reference, frame, after))
    line = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
        before[is_labelled], truth[is_labelled], ratios
    )
    chances = estimation.calibrated(after, reference.summary.calibration), np.clip(line.predict(after), 1e-4, 1 - 1e-4)
    plain, weighted = (estimation.expected_roc_auc(after, chance).value for chance in chances)
    return float(roc_auc_score(real, after)), plain, weighted


def _losses(reference: Reference, frame: pd.DataFrame) -> tuple[float, float, float]:
    before, after = (
        predicted(side, reference.columns, "regression").to_numpy(float) for side in (reference.frame, frame)
    )
    losses = absolute_errors(reference.frame, reference.columns).to_numpy()
    is_labelled, usual = np.isfinite(losses), reference.baseline["mae"].value
    inputs = reference.encoded(reference.frame)[is_labelled]
    ratios = density_ratios(_inputs(reference, reference.frame, before)[is_labelled], _inputs(reference, frame, after))
    model = HistGradientBoostingRegressor(max_iter=80, min_samples_leaf=30, **_MODEL)
    plain, weighted = (
        float(
            np.clip(model.fit(inputs, losses[is_labelled], weights).predict(reference.encoded(frame)), 0, None).mean()
        )
        for weights in (None, ratios)
    )
    return float(absolute_errors(frame, reference.columns).mean()) / usual, plain / usual, weighted / usual


def _inputs(reference: Reference, frame: pd.DataFrame, predictions: Floats) -> Floats:
    return np.column_stack([reference.encoded(frame), predictions])
