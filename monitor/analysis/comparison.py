"""`compare`: two models on the same labelled rows, paired, with a confidence interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from monitor.analysis.performance import MIN_CLASS, MIN_LABELLED, is_positive
from monitor.analysis.positive import positive_class
from monitor.analysis.ranking import of_queries
from monitor.analysis.schema import canonical_text
from monitor.domain.checks import DEFAULT_HARM, Harm
from monitor.domain.columns import Columns
from monitor.domain.metrics import REGRESSIONS
from monitor.domain.representation import described
from monitor.errors import DataError, UsageError

Floats = np.ndarray
Judgement = Literal["better", "same", "worse", "too_little_data"]


class _PairedValues(NamedTuple):
    """A metric of both models, and the standard error of their difference."""

    current: float
    candidate: float
    error: float


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of comparing a candidate with the current model.

    metric: roc_auc, accuracy or mae. current, candidate: their values.
    difference: by how much the candidate is better, with its interval `lower` to `upper`, in the metric's units.
    verdict: `better` or `worse` if the interval excludes zero, `same` if it lies within the harm on either side,
        `too_little_data` otherwise.
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
    query: str | None = None,
    top: int = 10,
) -> Comparison:
    """Compare two models that answered to the same rows.

    frame: one row a prediction. Rows that lack the label or an answer are left out.
    current, candidate: columns of the models' outputs: numbers for regression, for binary probabilities of `positive`
        (ROC AUC; DeLong, DeLong and Clarke-Pearson, 1988) or classes (accuracy), classes for multiclass, scores for
        ranking (NDCG of the same queries).
    query, top: of rankings, the column whose rows are one list, and how many items at the top count.
    harm: the smallest difference that counts, absolute or a share such as `10%` of the current value; 0.02 ROC AUC or
        accuracy, 10 % of MAE if not given.
    Raises DataError where a column is not there or the positive class is neither named nor certain, UsageError for an
    unknown task.
    """
    needed = [name for name in (current, candidate, label, query) if name is not None]
    absent = [name for name in needed if name not in frame]
    if absent:
        raise DataError(f"there is no column '{absent[0]}'; the columns are: {', '.join(map(str, frame.columns))}")
    rows = frame[needed].dropna()
    if task == "ranking":
        if query is None:
            raise UsageError("rankings are compared by query: name the column by `query`")
        metric, values, pair = "ndcg", _of_rankings(rows, (current, candidate, label, query), top), None
    elif task in REGRESSIONS:
        truth, current_values, candidate_values = (
            pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float) for name in (label, current, candidate)
        )
        metric, values, pair = "mae", (np.abs(current_values - truth), np.abs(candidate_values - truth)), None
    elif task == "binary" and all(_is_probability(rows[name]) for name in (current, candidate)):
        metric = "roc_auc"
        named = positive_class(rows[label], Columns(positive=positive), rows[current])
        positives = is_positive(rows[label], named).to_numpy() == 1
        pair = _areas(positives, *(rows[name].to_numpy(dtype=float) for name in (current, candidate)))
        values = None
        if min(positives.sum(), (~positives).sum()) < MIN_CLASS:
            return Comparison(metric, np.nan, np.nan, np.nan, np.nan, np.nan, len(rows), "too_little_data")
    elif task in ("binary", "multiclass"):
        texts = [canonical_text(rows[name]).to_numpy() for name in (label, current, candidate)]
        metric, pair = "accuracy", None
        values = tuple((text == texts[0]).astype(float) for text in texts[1:])
    else:
        raise UsageError(f"'{task}' is no task; they are: binary, multiclass, regression, ranking")
    number = len(rows) if values is None else len(values[0])
    if number < MIN_LABELLED:
        return Comparison(metric, np.nan, np.nan, np.nan, np.nan, np.nan, number, "too_little_data")
    if pair is None:
        assert values is not None
        sign = -1 if metric == "mae" else 1
        paired = sign * (values[1] - values[0])
        error = float(paired.std(ddof=1) / np.sqrt(len(paired)))
        pair = _PairedValues(float(values[0].mean()), float(values[1].mean()), error)
    difference = (pair.current - pair.candidate) if metric == "mae" else (pair.candidate - pair.current)
    margin = float(norm.ppf(0.5 + confidence / 2)) * pair.error
    limit = (DEFAULT_HARM[metric] if harm is None else Harm.of(harm)).absolute(pair.current)
    lower, upper = difference - margin, difference + margin
    verdict = _judgement(lower, upper, limit)
    return Comparison(metric, pair.current, pair.candidate, difference, lower, upper, number, verdict)


def _of_rankings(rows: pd.DataFrame, names: tuple[str, str, str, str], top: int) -> tuple[Floats, Floats]:
    """The NDCG of each query by both models, shape (queries,). names: of the two models' scores, the relevance and the
    query.
    """
    current, candidate, label, query = names
    codes = pd.factorize(canonical_text(rows[query]))[0]
    relevance = pd.to_numeric(rows[label], errors="coerce").fillna(0.0).to_numpy(dtype=float)
    by_model = [
        of_queries(relevance, pd.to_numeric(rows[name]).to_numpy(dtype=float), codes, top)[1]["ndcg"]
        for name in (current, candidate)
    ]
    return by_model[0], by_model[1]


def _judgement(lower: float, upper: float, limit: float) -> Judgement:
    """What an interval of the candidate's gain says."""
    if lower > 0:
        return "better"
    if upper < 0:
        return "worse"
    return "same" if max(-lower, upper) <= limit else "too_little_data"


def _is_probability(values: pd.Series) -> bool:
    numbers = pd.to_numeric(values, errors="coerce")
    return bool(numbers.notna().all() and numbers.between(0, 1).all() and numbers.nunique() > 2)


def _areas(positive: Floats, current: Floats, candidate: Floats) -> _PairedValues:
    """Both areas, and the standard error of their difference. Both have the same rows, so shared errors cancel."""
    parts = []
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return _PairedValues(np.nan, np.nan, np.nan)
    for score in (current, candidate):
        up, down = score[positive], score[~positive]
        ranks = rankdata(np.concatenate([up, down]))
        parts.append(((ranks[:m] - rankdata(up)) / n, 1 - (ranks[m:] - rankdata(down)) / m))
    (up_current, down_current), (up_candidate, down_candidate) = parts
    error = float(
        np.sqrt((up_candidate - up_current).var(ddof=1) / m + (down_candidate - down_current).var(ddof=1) / n)
    )
    return _PairedValues(float(up_current.mean()), float(up_candidate.mean()), error)
