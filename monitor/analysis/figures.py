"""What the Evidently report of a window is made of: numbers that are already worked out, and counts for its plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from monitor.analysis.performance import Measured, Outcomes, measure
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.domain.checks import Kind
from monitor.domain.metrics import REGRESSIONS

if TYPE_CHECKING:
    from monitor.analysis.question import Question

Figure = float | tuple[float, ...]
_BINS, _CATEGORIES = 30, 20
# Evidently's metrics by the names that this service has for them.
EVIDENTLY_NAMES = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1Score",
    "tnr": "TNR",
    "fpr": "FPR",
    "fnr": "FNR",
    "roc_auc": "RocAuc",
    "log_loss": "LogLoss",
    "rmse": "RMSE",
    "r2_score": "R2Score",
    "abs_max_error": "AbsMaxError",
}
# Of rankings; each is a value for 1 item at the top, for 2, and so on. (Evidently's MAP is divided by the relevant
# items at the top, ours by all that would fit there.)
EVIDENTLY_RANKING = {
    "ndcg": "NDCG",
    "mrr": "MRR",
    "hit_rate": "HitRate",
    "recall_at_k": "RecallTopK",
    "precision_at_k": "PrecisionTopK",
}


@dataclass
class Figures:
    """The numbers of a report.

    rows: of window and reference. drift: by column, the method and the score. missing: by column, the number of missing
        values in the window and in the reference, of those rows. performance: by Evidently's metric, its value in the
        window and on the reference (None: not known); a pair is a mean and a standard deviation, of rankings several
        are the values at 1, 2, … items.
    plots: by column, what `plot_of` gives.
    """

    rows: tuple[int, int]
    drift: dict[str, tuple[str, float]] = field(default_factory=dict)
    missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    performance: dict[str, tuple[Figure, Figure | None]] = field(default_factory=dict)
    plots: dict[str, dict[str, Any]] = field(default_factory=dict)


def performance_figures(data: Outcomes, values: Mapping[str, Measured], *, reference: bool) -> dict[str, Figure]:
    """Performance of labelled rows, by the names of Evidently's metrics and worked out as it does.

    values: what `measure` gave of them. reference: Evidently's MAPE leaves targets of nearly zero out of the reference,
        and counts them as 1 in the window.
    """
    if data.rows == 0:
        return {}
    figures: dict[str, Figure] = {
        EVIDENTLY_NAMES[name]: value.value for name, value in values.items() if name in EVIDENTLY_NAMES
    }
    if data.query is not None:
        by_top = [measure(replace(data, top=top)) for top in range(1, data.top + 1)]
        figures |= {
            evidently_name: tuple(values[name].value for values in by_top)
            for name, evidently_name in EVIDENTLY_RANKING.items()
            if name in values
        }
    if data.task == "binary" and "Recall" in figures:
        figures["TPR"] = figures["Recall"]
    if data.task == "multiclass":
        averaged = precision_recall_fscore_support(
            data.label, data.prediction, average="macro", zero_division=0, sample_weight=data.weight
        )
        figures |= dict(zip(("Precision", "Recall", "F1Score"), map(float, averaged[:3]), strict=True))
    if data.task in REGRESSIONS and data.rows > 1:
        assert data.prediction is not None
        errors = data.prediction - data.label
        near_zero = np.abs(data.label) <= np.finfo(float).eps
        shares = np.abs(errors) / np.maximum(data.label, np.finfo(float).eps)
        shares = shares[~near_zero] if reference else np.where(near_zero, 1.0, shares)
        weight = data.weight
        figures |= {"MeanError": _mean_and_std(errors, weight), "MAE": _mean_and_std(np.abs(errors), weight)}
        if len(shares) > 1:
            kept = weight if weight is None or not reference else weight[~near_zero]
            mean, std = _mean_and_std(shares, kept)
            figures["MAPE"] = (100 * mean, std)
    return figures


def _mean_and_std(values: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    if weight is not None:
        mean = float(np.average(values, weights=weight))
        return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
    return float(values.mean()), float(values.std(ddof=1))


def plot_of(before: Summary, after: Summary) -> dict[str, Any]:
    """How often values come in the reference and in the window, in bins or by category: enough to draw both from.

    Numbers: `edges` between the outer half per cents of both, what lies beyond counted in the outer bins.
    """
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        low = min(before.quantile(0.005), after.quantile(0.005))
        high = max(before.quantile(0.995), after.quantile(0.995))
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        counts = [_with_outer(side, edges) for side in (before, after)]
        return {"edges": [float(f"{edge:.6g}") for edge in edges], "reference": counts[0], "window": counts[1]}
    assert isinstance(before, Categories)
    assert isinstance(after, Categories)
    names = list(dict.fromkeys([*before.tally.index[:_CATEGORIES], *after.tally.index[: _CATEGORIES // 2]]))
    rows = [[int(side.tally.get(name, 0)) for name in names] for side in (before, after)]
    other_counts = [side.count - sum(row) for side, row in zip((before, after), rows, strict=True)]
    if any(other_counts):
        names.append("all others")
        rows = [[*row, other_count] for row, other_count in zip(rows, other_counts, strict=True)]
    return {"names": [str(name)[:60] for name in names], "reference": rows[0], "window": rows[1]}


def figures_of(question: Question) -> Figures:
    """The numbers of a window's report, for the kinds of checks that are asked for."""
    reference, checks = question.reference, question.checks
    figures = Figures((question.rows, reference.rows))
    if checks.asks(Kind.QUALITY):
        present = [name for name in question.names if name in question.window.frame]
        figures.missing = {name: (question.missing(name), reference.missing(name)) for name in present}
    if checks.asks(Kind.DRIFT):
        for name, (method, score) in question.drift_scores.items():
            before, after = reference.of_column(name), question.of_column(name)
            assert before is not None
            assert after is not None
            figures.plots[name] = plot_of(before, after)
            if score is not None:
                figures.drift[name] = (method, score)
    if question.tells_performance:
        window = performance_figures(question.outcomes, question.realised, reference=False)
        figures.performance = beside(window, reference.figures)
    return figures


def _with_outer(values: Numbers, edges: np.ndarray) -> list[int]:
    counts = values.counts(edges)
    counts[0] += np.searchsorted(values.values, edges[0], "left")
    counts[-1] += values.count - np.searchsorted(values.values, edges[-1], "right")
    return [int(count) for count in counts]


def beside(window: Mapping[str, Figure], reference: Mapping[str, Figure]) -> dict[str, tuple[Figure, Figure | None]]:
    """The window's figures, each with the reference's."""
    return {name: (value, reference.get(name)) for name, value in window.items()}
