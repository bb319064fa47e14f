"""Performance with labels: each metric with its standard error, worked out in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from monitor.analysis.schema import canonical_text
from monitor.domain.columns import Columns
from monitor.errors import DataError

HIGHER_IS_BETTER = {"roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "tnr", "r2_score"}
_POSITIVE = {"1", "true", "True", "TRUE", "t"}
MIN_LABELLED = 30
MIN_CLASS = 5

Floats = np.ndarray


@dataclass(frozen=True)
class Measured:
    """A metric's value and the standard error of it, None where there is no closed form."""

    value: float
    error: float | None = None


@dataclass(frozen=True)
class Outcomes:
    """What a model said and what was true, for the rows whose label is known.

    label, prediction: numbers for regression, 0 and 1 for binary, text for multiclass; shape (rows,).
    probability: for binary shape (rows,), for multiclass (rows, classes) in the order of `classes`.
    """

    task: str
    label: Floats
    prediction: Floats | None
    probability: Floats | None
    classes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows have a label."""
        return len(self.label)


def is_positive(values: pd.Series, positive: object) -> pd.Series:
    """1.0 for the positive class, 0.0 for any other, NaN for missing: 1 and true are positive unless a class is named."""
    text = canonical_text(values)
    accepted = _POSITIVE if positive is None else {str(canonical_text(pd.Series([positive])).iloc[0])}
    codes, different = pd.factorize(text)
    flags = np.array([*(float(value in accepted) for value in different), np.nan])
    return pd.Series(flags[codes], values.index)


def predicted(frame: pd.DataFrame, columns: Columns, task: str) -> pd.Series:
    """What the model said, in the task's own form; NaN or None where it said nothing."""
    if columns.prediction is not None and columns.prediction in frame:
        values = frame[columns.prediction]
        if task == "regression":
            numbers = pd.to_numeric(values, errors="coerce").astype(float)
            return numbers.mask(np.isinf(numbers))
        return is_positive(values, columns.positive) if task == "binary" else canonical_text(values)
    if task == "binary":
        probability = probabilities(frame, columns)[columns.probabilities[""]]
        return (probability >= columns.decision_threshold).astype(float).mask(probability.isna())
    table = probabilities(frame, columns)
    names = {column: str(name) for name, column in columns.probabilities.items()}
    best = table.fillna(-1).idxmax(axis=1).map(names).astype(object)
    return best.where(table.notna().all(axis=1), None)


def probabilities(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The probability columns as numbers, in the order of the classes; one that is absent is missing in every row."""
    table: pd.DataFrame = (
        frame.reindex(columns=list(columns.probabilities.values())).apply(pd.to_numeric, errors="coerce").astype(float)
    )
    return table


def outcomes(frame: pd.DataFrame, columns: Columns, task: str) -> Outcomes:
    """The labelled rows of a frame. Raises DataError where labels or predictions cannot be read."""
    if columns.label is None or columns.label not in frame:
        raise DataError("there is no label column")
    said = predicted(frame, columns, task)
    known = frame[columns.label].notna() & said.notna()
    table = None
    if columns.probabilities and set(columns.probabilities.values()) <= set(frame.columns):
        table = probabilities(frame, columns)
        known &= np.isfinite(table).all(axis=1)
    labels = frame.loc[known, columns.label]
    said = said[known]
    if task == "regression":
        truth = pd.to_numeric(labels, errors="coerce").astype(float)
        good = np.isfinite(truth)
        return Outcomes(task, truth[good].to_numpy(), said[good].to_numpy(dtype=float), None)
    if task == "binary":
        probability = None if table is None else table.loc[known].to_numpy()[:, 0]
        return Outcomes(task, is_positive(labels, columns.positive).to_numpy(), said.to_numpy(dtype=float), probability)
    classes = tuple(columns.probabilities) or tuple(sorted(set(canonical_text(labels)) | set(said)))
    matrix = None if table is None else table.loc[known].to_numpy()
    return Outcomes(task, canonical_text(labels).to_numpy(dtype=object), said.to_numpy(dtype=object), matrix, classes)


def too_little(data: Outcomes) -> str:
    """Why the outcomes are too few to judge by; '' if they are enough."""
    if data.rows < MIN_LABELLED:
        return f"{data.rows} labelled rows; {MIN_LABELLED} are needed"
    if data.task == "binary" and min(data.label.sum(), data.rows - data.label.sum()) < MIN_CLASS:
        return f"fewer than {MIN_CLASS} labels of one class"
    return ""


def measure(data: Outcomes) -> dict[str, Measured]:
    """All metrics of the task, by name. Metrics that the rows do not allow are left out."""
    if data.rows == 0:
        return {}
    if data.task == "regression":
        return _regression(data)
    return _binary(data) if data.task == "binary" else _multiclass(data)


def loss(metric: str, reference: float, value: float) -> float:
    """How much worse than the reference a value is; negative where it is better. The direction is the metric's own."""
    return reference - value if metric.removeprefix("estimated_") in HIGHER_IS_BETTER else value - reference


def _mean(values: Floats) -> Measured:
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Measured(float(values.mean()), error)


def _regression(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    residual = data.prediction - data.label
    squared = _mean(residual**2)
    rmse = float(np.sqrt(squared.value))
    result = {
        "mae": _mean(np.abs(residual)),
        "rmse": Measured(rmse, squared.error / (2 * rmse) if squared.error is not None and rmse > 0 else None),
        "mean_error": _mean(residual),
        "abs_max_error": Measured(float(np.abs(residual).max())),
    }
    nonzero = data.label != 0
    if nonzero.any():
        result["mape"] = _mean(np.abs(residual[nonzero] / data.label[nonzero]) * 100)
    spread = float(((data.label - data.label.mean()) ** 2).sum())
    if spread > 0:
        result["r2_score"] = Measured(1 - float((residual**2).sum()) / spread)
    return result


def _share(hits: Floats, of: Floats) -> Measured | None:
    count = int(of.sum())
    if count == 0:
        return None
    value = float((hits & of).sum() / count)
    return Measured(value, float(np.sqrt(max(value * (1 - value), 0.25 / count) / count)))


def _binary(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    truth, said = data.label == 1, data.prediction == 1
    result: dict[str, Measured] = {"accuracy": _mean((truth == said).astype(float))}
    shares = {
        "precision": _share(truth, said),
        "recall": _share(said, truth),
        "tnr": _share(~said, ~truth),
        "fpr": _share(said, ~truth),
        "fnr": _share(~said, truth),
    }
    result |= {name: value for name, value in shares.items() if value is not None}
    hits = float((truth & said).sum())
    if truth.any() or said.any():
        f1 = 2 * hits / float(truth.sum() + said.sum())
        result["f1"] = Measured(f1, _f1_error(truth, said, f1))
    if data.probability is not None:
        probability = np.clip(data.probability, 0.0, 1.0)
        clipped = np.clip(probability, 1e-15, 1 - 1e-15)
        result["log_loss"] = _mean(-np.where(truth, np.log(clipped), np.log1p(-clipped)))
        result["brier_score"] = _mean((probability - truth) ** 2)
        if truth.any() and not truth.all():
            result["roc_auc"] = roc_auc(truth, data.probability)
            result["pr_auc"] = Measured(float(average_precision_score(truth, data.probability)))
    return result


def _f1_error(truth: Floats, said: Floats, f1: float) -> float:
    """By the delta method: F1 is a ratio of two means over rows."""
    denominator = (truth.astype(float) + said.astype(float)) / 2
    influence = ((truth & said).astype(float) - f1 * denominator) / denominator.mean()
    return float(influence.std(ddof=1) / np.sqrt(len(truth))) if len(truth) > 1 else 0.0


def roc_auc(truth: Floats, score: Floats) -> Measured:
    """ROC AUC with DeLong's standard error (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), by ranks (Sun and Xu, 2014)."""
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.25) + (below.var(ddof=1) / n if n > 1 else 0.25)
    # A perfect separation has no spread at all; Hanley's bound keeps its error honest.
    return Measured(float(above.mean()), float(np.sqrt(max(variance, 1e-4 / min(m, n)))))


def _multiclass(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    result: dict[str, Measured] = {"accuracy": _mean((data.label == data.prediction).astype(float))}
    per_class: dict[str, list[Measured]] = {"precision": [], "recall": [], "f1": []}
    for name in sorted(set(data.label)):
        one = Outcomes("binary", (data.label == name).astype(float), (data.prediction == name).astype(float), None)
        for metric, value in _binary(one).items():
            if metric in per_class:
                per_class[metric].append(value)
    result |= {metric: _macro(values) for metric, values in per_class.items() if values}
    if data.probability is not None:
        places = {name: index for index, name in enumerate(data.classes)}
        inside = np.array([name in places for name in data.label])
        if inside.any():
            chosen = data.probability[inside, [places[name] for name in data.label[inside]]]
            result["log_loss"] = _mean(-np.log(np.clip(chosen, 1e-15, 1)))
        areas = [
            roc_auc(data.label == name, data.probability[:, index])
            for name, index in places.items()
            if 0 < (data.label == name).sum() < data.rows
        ]
        if areas:
            result["roc_auc"] = _macro(areas)
    return result


def _macro(values: list[Measured]) -> Measured:
    """The plain mean over classes; its error as if they were one, which is never too small."""
    errors = [value.error for value in values if value.error is not None]
    return Measured(float(np.mean([value.value for value in values])), float(np.mean(errors)) if errors else None)
