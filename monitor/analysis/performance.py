"""Performance with labels: each metric with its standard error, worked out in closed form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import erf
from scipy.stats import rankdata

from monitor.analysis.ranking import of_queries
from monitor.analysis.schema import canonical_text
from monitor.domain.columns import SCALE, TARGET, Columns
from monitor.domain.kinds import Kind
from monitor.domain.metrics import METRICS, REGRESSIONS, TASKS, Level
from monitor.domain.positive import means_same
from monitor.errors import DataError

# Whether a text is the positive class: numbers and booleans, whatever way they are written; and the words of known
# pairs.
_PLAIN = {"1": True, "1.0": True, "true": True, "t": True, "0": False, "0.0": False, "false": False, "f": False}
_WORDS = _PLAIN | {"yes": True, "y": True, "no": False, "n": False, "-1": False}
# What is measured with labels, by task.
REALISED = {
    task: tuple(
        name
        for name, metric in METRICS.items()
        if metric.kind is Kind.PERFORMANCE and metric.level is Level.WINDOW and task in metric.tasks
    )
    for task in TASKS
}
# The tasks whose predictions and labels are numbers.
OF_NUMBERS = (*REGRESSIONS, "ranking")
MIN_LABELLED = 30
MIN_CLASS = 5
# Of the calibration error: bins of equal width (Guo et al., 2017).
_BINS = 10

Floats = np.ndarray


@dataclass(frozen=True)
class Measured:
    """A metric's value and the standard error of it, None where there is no closed form."""

    value: float
    error: float | None = None


@dataclass(frozen=True)
class ForecastRows:
    """Of forecasts: the naive forecast's error of each row's series (NaN: not known), whether the actual value lies in
    the prediction interval (NaN without one), and a number for each row's target time; shape (rows,) each. nominal: the
    share that should lie in it.
    """

    scale: Floats
    covered: Floats
    target: Floats
    nominal: float

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Columns, truth: Floats | None) -> ForecastRows:
        """frame: with the target times and scales that are made of its rows."""
        nothing = np.full(len(frame), np.nan)
        covered = nothing
        if truth is not None and {columns.lower, columns.upper} <= set(frame.columns):
            low, high = (
                pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
                for name in (columns.lower, columns.upper)
            )
            is_known = np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
            covered = np.where(is_known, (truth >= low) & (truth <= high), np.nan)
        target = pd.factorize(frame[TARGET])[0] if TARGET in frame else np.arange(len(frame))
        scale = frame[SCALE].to_numpy(dtype=float) if SCALE in frame else nothing
        return cls(scale, covered, target, columns.nominal_coverage)

    def at(self, places: Floats) -> ForecastRows:
        """The same of some rows."""
        return ForecastRows(self.scale[places], self.covered[places], self.target[places], self.nominal)


@dataclass(frozen=True)
class Outcomes:
    """Predictions and true outcomes of the rows whose label is known.

    label, prediction: numbers for regression and ranking, 0 and 1 for binary, text for multiclass; shape (rows,).
    probability: for binary shape (rows,), for multiclass (rows, classes) in the order of `classes`.
    weight: how many rows each stands for, shape (rows,); None: one.
    query: of a ranking, a number for each row's query, shape (rows,); top: how many items at its top count.
    forecast: of a forecast, what else its errors are measured by.
    """

    task: str
    label: Floats
    prediction: Floats | None
    probability: Floats | None
    classes: tuple[str, ...] = ()
    weight: Floats | None = None
    query: Floats | None = None
    top: int = 10
    forecast: ForecastRows | None = None

    @property
    def rows(self) -> int:
        """How many rows have a label."""
        return len(self.label)


def is_positive(values: pd.Series, positive: object, classes: Collection[str] = ()) -> pd.Series:
    """1.0 for the positive class, 0.0 for the other, NaN for what is missing or cannot be read, shape (rows,).

    positive: the class that is named; None: 1, true, or the positive word of a known pair. classes: the reference's, as
        text; any other text is not read, except numbers and booleans where the reference has these.
    """
    codes, different = pd.factorize(canonical_text(values))
    named = None if positive is None else str(canonical_text(pd.Series([positive])).iloc[0])
    flags = np.array([*(_flag(str(value), named, classes) for value in different), np.nan])
    return pd.Series(flags[codes], values.index)


def _flag(text: str, named: str | None, classes: Collection[str]) -> float:
    lower = text.lower()
    plain = lower in _PLAIN and all(class_name.lower() in _PLAIN for class_name in classes)
    if classes and text not in classes and not plain:
        return np.nan
    if named is not None and not (plain and named.lower() in _PLAIN):
        return float(means_same(text, named))
    words = _PLAIN if plain else _WORDS
    turned = named is not None and not _PLAIN[named.lower()]
    return np.nan if lower not in words else float(words[lower] != turned)


def predicted(frame: pd.DataFrame, columns: Columns, task: str) -> pd.Series:
    """The predictions, in the task's own form; NaN or None where there is none."""
    if columns.prediction is not None and columns.prediction in frame:
        values = frame[columns.prediction]
        if task in OF_NUMBERS:
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
    """The probability columns as numbers, in the order of the classes; NaN for what is no probability. One that is
    absent is missing in every row.
    """
    table: pd.DataFrame = frame.reindex(columns=list(columns.probabilities.values()))
    if set(table.dtypes) - {np.dtype(float)}:
        table = table.apply(pd.to_numeric, errors="coerce").astype(float)
    return table.where((table >= 0) & (table <= 1))


def weights_of(frame: pd.DataFrame, columns: Columns) -> pd.Series | None:
    """How many rows each row stands for, 0 where its weight is missing or invalid; None if all stand for one."""
    names = [name for name in columns.weights if name in frame]
    if not names:
        return None
    weights: pd.Series = frame[names].apply(pd.to_numeric, errors="coerce").astype(float).prod(axis=1, skipna=False)
    return weights.where(np.isfinite(weights) & (weights > 0), 0.0)


def truth_of(labels: pd.Series, columns: Columns, task: str, classes: Collection[str] = ()) -> pd.Series:
    """Labels in the task's own form: numbers, 0 and 1, or text; NaN or None where one is missing or cannot be read."""
    if task in OF_NUMBERS:
        numbers = pd.to_numeric(labels, errors="coerce").astype(float)
        return numbers.mask(np.isinf(numbers))
    return is_positive(labels, columns.positive, classes) if task == "binary" else canonical_text(labels)


@dataclass(frozen=True)
class Answers:
    """Rows of a frame with predictions and labels, in the task's own form. `outcomes` gives those of any part of them.

    prediction: numbers, 0 and 1, or text; NaN or None where the model gave none; shape (rows,). scores: probabilities
        as logged, shape (rows, classes); None where some are absent.
    truth: the labels, in the form of `prediction`; None without a label column. weight: how many rows each stands for;
        None: one. query: of a ranking, a number for each row's query, -1 where it is missing. forecast: of a forecast,
        see `ForecastRows`.
    """

    columns: Columns
    task: str
    prediction: Floats
    scores: Floats | None
    truth: Floats | None
    weight: Floats | None
    query: Floats | None = None
    forecast: ForecastRows | None = None

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Columns, task: str, classes: Collection[str] = ()) -> Answers:
        """classes: the reference's, as text."""
        kind = object if task == "multiclass" else float
        names = list(columns.probabilities.values())
        has_label = columns.label is not None and columns.label in frame
        weights = weights_of(frame, columns)
        truth = truth_of(frame[columns.label], columns, task, classes).to_numpy(dtype=kind) if has_label else None
        return cls(
            columns,
            task,
            predicted(frame, columns, task).to_numpy(dtype=kind),
            probabilities(frame, columns).to_numpy() if names and set(names) <= set(frame.columns) else None,
            truth,
            None if weights is None else weights.to_numpy(),
            queries_of(frame, columns) if task == "ranking" else None,
            ForecastRows.of(frame, columns, truth) if task == "forecast" else None,
        )

    def labelled(self, places: Floats) -> Floats:
        """Those of some places whose rows have a label and an answer that can be read. Raises DataError without a label
        column.
        """
        if self.truth is None:
            raise DataError("there is no label column")
        usable = pd.notna(self.truth[places]) & pd.notna(self.prediction[places])
        if self.scores is not None:
            usable &= np.isfinite(self.scores[places]).all(axis=1)
        if self.weight is not None:
            usable &= self.weight[places] > 0
        if self.query is not None:
            usable &= self.query[places] >= 0
        return np.asarray(places[usable])

    def outcomes(self, places: Floats) -> Outcomes:
        """The rows of some places with a label and an answer that can be read. Raises DataError without a label
        column.
        """
        chosen = self.labelled(places)
        assert self.truth is not None
        truth, prediction = self.truth[chosen], self.prediction[chosen]
        weight = None if self.weight is None else self.weight[chosen]
        scores = None if self.scores is None else self.scores[chosen]
        if self.query is not None:
            query, top = self.query[chosen], self.columns.top_items
            return Outcomes(self.task, truth, prediction, None, weight=weight, query=query, top=top)
        if self.task in REGRESSIONS:
            forecast = None if self.forecast is None else self.forecast.at(chosen)
            return Outcomes(self.task, truth, prediction, None, weight=weight, forecast=forecast)
        if self.task == "binary":
            return Outcomes(self.task, truth, prediction, None if scores is None else scores[:, 0], weight=weight)
        names = tuple(self.columns.probabilities) or tuple(sorted(set(truth) | set(prediction)))
        return Outcomes(self.task, truth, prediction, scores, names, weight)


def queries_of(frame: pd.DataFrame, columns: Columns) -> Floats:
    """A number for each row's query, -1 where it is missing; shape (rows,). Raises DataError without the column."""
    if columns.query not in frame:
        raise DataError(f"there is no column '{columns.query}' (the query of a ranking)")
    return np.asarray(pd.factorize(canonical_text(frame[columns.query]))[0])


def outcomes(frame: pd.DataFrame, columns: Columns, task: str, classes: Collection[str] = ()) -> Outcomes:
    """The rows of a frame with a label and an answer that can be read. classes: the reference's, as text. Raises
    DataError without a label column.
    """
    return Answers.of(frame, columns, task, classes).outcomes(np.arange(len(frame)))


def too_little(data: Outcomes) -> str:
    """Why the outcomes are too few to judge by; '' if they are enough."""
    if data.query is not None:
        number = len(np.unique(data.query[data.label > 0]))
        return f"{number} queries with a relevant item; {MIN_LABELLED} are needed" if number < MIN_LABELLED else ""
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
    if data.task == "ranking":
        return _ranking(data)
    if data.task == "forecast":
        return _forecast(data)
    return _binary(data) if data.task == "binary" else _multiclass(data)


_UNBOUNDED = ("mae", "rmse", "mape", "mase", "abs_max_error", "log_loss", "brier_score")


def bounds(metric: str) -> tuple[float, float]:
    """The smallest and the largest value that a metric can have."""
    name = metric.removeprefix("estimated_")
    if name == "mean_error" or name not in METRICS:  # nothing is known of metrics of the user's own
        return -np.inf, np.inf
    if name == "coverage_error":
        return -1.0, 1.0
    if name == "r2_score":
        return -np.inf, 1.0
    return 0.0, np.inf if name in _UNBOUNDED else 1.0


def mean(values: Floats, weight: Floats | None, variance: Floats | None = None) -> Measured:
    """The mean of rows, each with its weight, and its standard error; `variance` is what each row varies by itself."""
    if weight is None:
        own = 0.0 if variance is None else float(variance.mean())
        if len(values) < 2:
            return Measured(float(values.mean()), None if variance is None else float(np.sqrt(own)))
        return Measured(float(values.mean()), float(np.sqrt((values.var(ddof=1) + own) / len(values))))
    value = float(np.average(values, weights=weight))
    spread = (values - value) ** 2 + (0.0 if variance is None else variance)
    return Measured(value, float(np.sqrt((weight**2 * spread).sum()) / weight.sum()) if len(values) > 1 else None)


def rooted(squared: Measured) -> Measured:
    """The root of a mean square, its error by the delta method; without an error where it is 0."""
    root = float(np.sqrt(squared.value))
    return Measured(root, squared.error / (2 * root) if squared.error is not None and root > 0 else None)


def _forecast(data: Outcomes) -> dict[str, Measured]:
    """Errors, also in units of the naive forecast's, and how many actual values lie in the prediction intervals.

    Forecasts of one time err alike, whatever their horizon and series: standard errors are robust to that (Liang and
    Zeger, 1986).
    """
    assert data.forecast is not None
    assert data.prediction is not None
    residual, forecast = data.prediction - data.label, data.forecast
    result = {
        "mae": _clustered(np.abs(residual), data),
        "rmse": rooted(_clustered(residual**2, data)),
        "mean_error": _clustered(residual, data),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {
            "mape": np.where(data.label != 0, np.abs(residual / data.label) * 100, np.nan),
            "mase": np.abs(residual) / forecast.scale,
            "coverage_error": forecast.covered - forecast.nominal,
        }
    result |= {name: _clustered(values, data) for name, values in shares.items() if np.isfinite(values).any()}
    if "coverage_error" in result:
        result["interval_coverage"] = Measured(result["coverage_error"].value + forecast.nominal)
    return result


def _clustered(values: Floats, data: Outcomes) -> Measured:
    """The mean of the rows that have a value, and its standard error where rows of one target time go together."""
    assert data.forecast is not None
    usable = np.isfinite(values)
    values, target = values[usable], data.forecast.target[usable]
    weight = np.ones(len(values)) if data.weight is None else data.weight[usable]
    value = float(np.average(values, weights=weight))
    codes, place = np.unique(target, return_inverse=True)
    if len(codes) < 2:
        return Measured(value)
    sums = np.bincount(place, weight * (values - value))
    correction = len(codes) / (len(codes) - 1)
    return Measured(value, float(np.sqrt(correction * (sums**2).sum()) / weight.sum()))


def _ranking(data: Outcomes) -> dict[str, Measured]:
    """Means over the queries with a relevant item, each with the mean weight of its rows."""
    assert data.query is not None
    assert data.prediction is not None
    queries, values = of_queries(data.label, data.prediction, data.query, data.top)
    if not len(queries):
        return {}
    weight = None
    if data.weight is not None:
        weight = (np.bincount(data.query, data.weight) / np.maximum(np.bincount(data.query), 1))[queries]
    return {name: mean(metric_values, weight) for name, metric_values in values.items()}


def _regression(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    residual, weight = data.prediction - data.label, data.weight
    result = {
        "mae": mean(np.abs(residual), weight),
        "rmse": rooted(mean(residual**2, weight)),
        "mean_error": mean(residual, weight),
        "abs_max_error": Measured(float(np.abs(residual).max())),
    }
    nonzero = data.label != 0
    if nonzero.any():
        shares = np.abs(residual[nonzero] / data.label[nonzero]) * 100
        result["mape"] = mean(shares, None if weight is None else weight[nonzero])
    spread = (data.label - mean(data.label, weight).value) ** 2
    if mean(spread, weight).value > 0:
        result["r2_score"] = r2_score(residual, spread, weight)
    return result


def r2_score(residual: Floats, spread: Floats, weight: Floats | None) -> Measured:
    """The coefficient of determination, 1 - mean(residual^2) / mean(spread). spread: each label's squared distance from
    their mean, shape (rows,).

    Its error by the delta method: a ratio of two means over rows (that the labels' mean is estimated, too, has no
    effect of first order).
    """
    squared, middle = mean(residual**2, weight).value, mean(spread, weight).value
    influence = (residual**2 - squared / middle * spread) / middle
    return Measured(1 - squared / middle, mean(influence, weight).error)


def _share(hits: Floats, selected: Floats, weight: Floats | None) -> Measured | None:
    count = int(selected.sum())
    if count == 0:
        return None
    share = mean(hits[selected].astype(float), None if weight is None else weight[selected])
    # Where all or none hit there is no spread to estimate the error from: that of half a row is its least value.
    floor = np.sqrt(0.25 / count / count)
    if weight is None:
        return Measured(share.value, float(max(np.sqrt(share.value * (1 - share.value) / count), floor)))
    return Measured(share.value, max(share.error or 0.0, float(floor)))


def _binary(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    truth, prediction, weight = data.label == 1, data.prediction == 1, data.weight
    result: dict[str, Measured] = {"accuracy": mean((truth == prediction).astype(float), weight)}
    shares = {
        "precision": _share(truth, prediction, weight),
        "recall": _share(prediction, truth, weight),
        "tnr": _share(~prediction, ~truth, weight),
        "fpr": _share(prediction, ~truth, weight),
        "fnr": _share(~prediction, truth, weight),
    }
    result |= {name: value for name, value in shares.items() if value is not None}
    if truth.any() or prediction.any():
        result["f1"] = f1(truth.astype(float), prediction.astype(float), weight)
    if data.probability is not None:
        probability = np.clip(data.probability, 0.0, 1.0)
        clipped = np.clip(probability, 1e-15, 1 - 1e-15)
        result["log_loss"] = mean(-np.where(truth, np.log(clipped), np.log1p(-clipped)), weight)
        result["brier_score"] = mean((probability - truth) ** 2, weight)
        result["calibration_error"] = calibration_error(probability, truth.astype(float), weight)
        if truth.any() and not truth.all():
            result["roc_auc"] = roc_auc(truth, data.probability, weight)
            result["pr_auc"] = pr_auc(data.probability, truth.astype(float), weight)
    return result


def f1(chance: Floats, prediction: Floats, weight: Floats | None) -> Measured:
    """F1 when each row is positive with its chance (0 or 1 where it is known), shape (rows,).

    Its error by the delta method: F1 is a ratio of two means over rows.
    """
    hits, half = chance * prediction, (chance + prediction) / 2
    middle = mean(half, weight).value
    value = mean(hits, weight).value / middle
    own = chance * (1 - chance) * ((prediction - value / 2) / middle) ** 2
    return Measured(value, mean((hits - value * half) / middle, weight, own).error or 0.0)


def calibration_error(score: Floats, chance: Floats, weight: Floats | None) -> Measured:
    """The expected calibration error (Guo et al., 2017) when each row is positive with its chance (0 or 1 where it is
    known).

    Chance in the few rows of a bin is part of it: the mean of each bin's gap is that of a folded normal distribution.
    """
    weights = np.ones(len(score)) if weight is None else weight
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    inside = np.bincount(bins, weights, minlength=_BINS)
    gap = np.abs(np.bincount(bins, weights * (chance - score), minlength=_BINS)) / weights.sum()
    own = np.sqrt(np.bincount(bins, weights**2 * chance * (1 - chance), minlength=_BINS)) / weights.sum()
    usual = np.divide(gap, own, out=np.full(_BINS, np.inf), where=own > 0)
    with np.errstate(invalid="ignore"):
        folded = np.where(
            own > 0, own * np.sqrt(2 / np.pi) * np.exp(-(usual**2) / 2) + gap * erf(usual / np.sqrt(2)), gap
        )
    # Rows drawn again: what a bin's gap would vary by.
    positive = np.divide(
        np.bincount(bins, weights * chance, minlength=_BINS), inside, out=np.zeros(_BINS), where=inside > 0
    )
    again = np.bincount(bins, weights**2, minlength=_BINS) * positive * (1 - positive) / weights.sum() ** 2
    return Measured(float(folded.sum()), float(np.sqrt(again.sum())))


def average_precision(positive: Floats, negative: Floats) -> float:
    """The area under precision over recall; positive and negative: weights of rows by score, the smallest score first,
    shape (scores,).
    """
    hits, named = np.cumsum(positive[::-1]), np.cumsum((positive + negative)[::-1])
    precision = np.divide(hits, named, out=np.zeros(len(hits)), where=named > 0)
    return float((positive[::-1] * precision).sum() / hits[-1])


def pr_auc(score: Floats, chance: Floats, weight: Floats | None) -> Measured:
    """The area under precision over recall when each row is positive with its chance (0 or 1 where it is known).

    Its error is that of a share of the positive rows (Boyd, Eng and Page, 2013).
    """
    weights = np.ones(len(score)) if weight is None else weight
    _, place = np.unique(score, return_inverse=True)
    value = average_precision(*(np.bincount(place, weights * class_chance) for class_chance in (chance, 1 - chance)))
    positives = (weights * chance).sum() ** 2 / (weights**2 * chance).sum()
    return Measured(value, float(np.sqrt(max(value * (1 - value), 0.25 / positives) / positives)))


def roc_auc(truth: Floats, score: Floats, weight: Floats | None = None) -> Measured:
    """ROC AUC with DeLong's standard error (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), by ranks (Sun and
    Xu, 2014).
    """
    if weight is not None:
        return _weighted_roc_auc(truth, score, weight)
    positive, negative = score[truth], score[~truth]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.25) + (below.var(ddof=1) / n if n > 1 else 0.25)
    return Measured(float(above.mean()), area_error(variance, m, n))


def area_error(variance: float, positives: float, negatives: float) -> float:
    """The standard error of an area under the ROC curve, at least Hanley's bound: a perfect separation has no spread at
    all.
    """
    return float(np.sqrt(max(variance, 1e-4 / max(min(positives, negatives), 1.0))))


def _weighted_roc_auc(truth: Floats, score: Floats, weight: Floats) -> Measured:
    """The same with weights: each row's part is the weighted share of the other class that it beats."""
    _, place = np.unique(score, return_inverse=True)
    parts = []
    for mine, sign in ((truth, 1), (~truth, -1)):
        other_weights = np.bincount(place[~mine], weight[~mine], minlength=place.max() + 1)
        below = np.cumsum(other_weights) - other_weights / 2
        share = below[place[mine]] / other_weights.sum()
        parts.append(mean(share if sign > 0 else 1 - share, weight[mine]))
    variance = sum(0.25 if part.error is None else part.error**2 for part in parts)
    return Measured(parts[0].value, area_error(variance, int(truth.sum()), int((~truth).sum())))


def _multiclass(data: Outcomes) -> dict[str, Measured]:
    assert data.prediction is not None
    result: dict[str, Measured] = {"accuracy": mean((data.label == data.prediction).astype(float), data.weight)}
    per_class: dict[str, list[Measured]] = {"precision": [], "recall": [], "f1": []}
    for name in sorted(set(data.label)):
        truth, prediction = ((labels == name).astype(float) for labels in (data.label, data.prediction))
        binary_outcomes = Outcomes("binary", truth, prediction, None, weight=data.weight)
        for metric, value in _binary(binary_outcomes).items():
            if metric in per_class:
                per_class[metric].append(value)
    result |= {metric: macro(values) for metric, values in per_class.items() if values}
    if data.probability is not None:
        places = {name: index for index, name in enumerate(data.classes)}
        inside = np.array([name in places for name in data.label])
        if inside.any():
            probability = data.probability[inside]
            chances = np.eye(len(places))[[places[name] for name in data.label[inside]]]
            weight = None if data.weight is None else data.weight[inside]
            result |= of_probabilities(probability, chances, weight)
        areas = [
            (
                roc_auc(data.label == name, data.probability[:, index], data.weight),
                pr_auc(data.probability[:, index], (data.label == name).astype(float), data.weight),
            )
            for name, index in places.items()
            if 0 < (data.label == name).sum() < data.rows
        ]
        if areas:
            result |= {
                name: macro(list(class_areas))
                for name, class_areas in zip(("roc_auc", "pr_auc"), zip(*areas, strict=True), strict=True)
            }
    return result


def of_probabilities(probability: Floats, chances: Floats, weight: Floats | None) -> dict[str, Measured]:
    """Log loss, Brier score and calibration error of a multiclass model, when each row is of a class with its chance (0
    or 1 where it is known).

    probability, chances: shape (rows, classes). The calibration error is that of the most probable class.
    """
    logs = np.log(np.clip(probability, 1e-15, 1))
    squares = ((probability**2).sum(axis=1, keepdims=True) - 2 * probability + 1) * chances
    best = probability.argmax(axis=1)[:, None]
    right, score = (np.take_along_axis(table, best, axis=1)[:, 0] for table in (chances, probability))
    expected = -(chances * logs).sum(axis=1)
    brier = squares.sum(axis=1)
    return {
        "log_loss": mean(expected, weight, (chances * logs**2).sum(axis=1) - expected**2),
        "brier_score": mean(brier, weight, (squares**2 / np.where(chances > 0, chances, 1)).sum(axis=1) - brier**2),
        "calibration_error": calibration_error(np.clip(score, 0, 1), right, weight),
    }


def macro(values: list[Measured]) -> Measured:
    """The plain mean over classes; its error as if they were one, which is never too small."""
    errors = [value.error for value in values if value.error is not None]
    return Measured(float(np.mean([value.value for value in values])), float(np.mean(errors)) if errors else None)
