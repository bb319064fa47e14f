"""`compare`: two models on the same labelled rows, paired, with a confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from monitor.analysis.performance import MIN_CLASS, MIN_LABELLED, is_positive
from monitor.analysis.positive import positive_class
from monitor.analysis.schema import canonical_text
from monitor.domain.checks import DEFAULT_HARM, Harm
from monitor.domain.columns import Columns
from monitor.domain.representation import described
from monitor.errors import DataError, UsageError

Floats = np.ndarray
Judgement = Literal["better", "same", "worse", "too_little_data"]


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a candidate is against the current model.

    metric: roc_auc, accuracy or mae. current, candidate: their values. difference: by how much the candidate is better,
        with its
    interval `lower` to `upper`, in the metric's units. verdict: `better` or `worse` if the interval excludes zero,
    `same` if it lies within the harm on either side, `too_little_data` otherwise.
    """

    metric: str
    current: float
    candidate: float
    difference: float
    lower: float
    upper: float
    rows: int
    verdict: Judgement

    def __repr__(self) -> str:
        return described(self, str(self))

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.candidate:.4g} against {self.current:.4g} on the same {self.rows} rows:"
            f" {abs(self.difference):.2g} {'better' if self.difference > 0 else 'worse'} ({self.lower:.2g} to"
            f" {self.upper:.2g}), {self.verdict.replace('_', ' ')}"
        )


def compare(
    frame: pd.DataFrame,
    current: str,
    candidate: str,
    label: str,
    task: str,
    *,
    positive: Any = None,
    confidence: float = 0.95,
    harm: float | str | None = None,
) -> Comparison:
    """Compare two models that answered to the same rows.

    frame: one row a prediction. current, candidate: columns of what the models said: numbers for regression, for binary
        probabilities of
    `positive` (ROC AUC; DeLong, DeLong and Clarke-Pearson, 1988) or classes (accuracy), classes for multiclass. Rows
    that lack the label or an answer are left out.
    harm: the smallest difference that counts, absolute or a share such as `10%` of the current value; 0.02 ROC AUC or
        accuracy, 10 % of MAE if not given.
    Raises DataError where a column is not there or the positive class is neither named nor certain, UsageError for an
    unknown task.
    """
    absent = [name for name in (current, candidate, label) if name not in frame]
    if absent:
        raise DataError(f"there is no column '{absent[0]}'; the columns are: {', '.join(map(str, frame.columns))}")
    rows = frame[[current, candidate, label]].dropna()
    if task == "regression":
        truth, one, other = (
            pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float) for name in (label, current, candidate)
        )
        metric, values, gains = "mae", (np.abs(one - truth), np.abs(other - truth)), None
    elif task == "binary" and all(_is_probability(rows[name]) for name in (current, candidate)):
        metric = "roc_auc"
        named = positive_class(rows[label], Columns(positive=positive), rows[current])
        positives = is_positive(rows[label], named).to_numpy() == 1
        gains = _areas(positives, *(rows[name].to_numpy(dtype=float) for name in (current, candidate)))
        values = None
        if min(positives.sum(), (~positives).sum()) < MIN_CLASS:
            return Comparison(metric, np.nan, np.nan, np.nan, np.nan, np.nan, len(rows), "too_little_data")
    elif task in ("binary", "multiclass"):
        texts = [canonical_text(rows[name]).to_numpy() for name in (label, current, candidate)]
        metric, gains = "accuracy", None
        values = tuple((text == texts[0]).astype(float) for text in texts[1:])
    else:
        raise UsageError(f"'{task}' is no task; they are: binary, multiclass, regression")
    if len(rows) < MIN_LABELLED:
        return Comparison(metric, np.nan, np.nan, np.nan, np.nan, np.nan, len(rows), "too_little_data")
    if gains is None:
        assert values is not None
        sign = -1 if metric == "mae" else 1
        paired = sign * (values[1] - values[0])
        gains = float(values[0].mean()), float(values[1].mean()), float(paired.std(ddof=1) / np.sqrt(len(paired)))
    before, after, error = gains
    difference = (before - after) if metric == "mae" else (after - before)
    margin = float(norm.ppf(0.5 + confidence / 2)) * error
    limit = (DEFAULT_HARM[metric] if harm is None else Harm.of(harm)).absolute(before)
    lower, upper = difference - margin, difference + margin
    verdict: Judgement = (
        "better"
        if lower > 0
        else "worse"
        if upper < 0
        else "same"
        if max(-lower, upper) <= limit
        else "too_little_data"
    )
    return Comparison(metric, before, after, difference, lower, upper, len(rows), verdict)


def _is_probability(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values, errors="coerce")
    return bool(numbers.notna().all() and numbers.between(0, 1).all() and numbers.nunique() > 2)


def _areas(positive: Floats, one: Floats, other: Floats) -> tuple[float, float, float]:
    """Both areas, and the standard error of their difference: the same rows, so what they share cancels."""
    parts = []
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return np.nan, np.nan, np.nan
    for score in (one, other):
        up, down = score[positive], score[~positive]
        ranks = rankdata(np.concatenate([up, down]))
        parts.append(((ranks[:m] - rankdata(up)) / n, 1 - (ranks[m:] - rankdata(down)) / m))
    (up_one, down_one), (up_other, down_other) = parts
    error = float(np.sqrt((up_other - up_one).var(ddof=1) / m + (down_other - down_one).var(ddof=1) / n))
    return float(up_one.mean()), float(up_other.mean()), error
