"""Performance from labels of rows that were drawn with known probabilities (`label_design`).

The difference estimator: what is expected of all rows, plus the sampled rows' differences from it, each divided by the
probability with which its row was drawn (Cassel, Särndal and Wretman, 1976; Angelopoulos et al., Prediction-Powered
Inference, 2023). It has no bias whatever the expectation is worth; a good expectation makes its interval narrow.
Metrics that are no sums are linearised (Deville, 1999). The variance is that of successive differences, as rows are
drawn in the order of time (Wolter, Introduction to Variance Estimation, 2007, chapter 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from monitor.analysis.estimation import estimate_binary
from monitor.analysis.label_design import ExpectedLabels
from monitor.analysis.performance import MIN_LABELLED, Measured, bounds, mean, measure
from monitor.domain.metrics import REGRESSIONS

Floats = np.ndarray
# The share of a list's labels that must have come before it is judged by; the rest share their weight.
NEEDED_SHARE = 0.9
# Of fewer labels no interval is worked out.
_FEWEST = 5
# How much the expected variance counts beside a smaller one of the sample.
_TRUST = 0.25


@dataclass(frozen=True)
class LabelDraw:
    """One list of a window's rows as it was drawn.

    chance: the probability with which each listed row was drawn; 1 for rows whose label was there before; NaN for all
        others; shape (rows,). listed: which rows are on the list, shape (rows,). order: the times of the rows, shape
        (rows,).
    """

    chance: Floats
    listed: Floats
    order: Floats


@dataclass(frozen=True)
class LabelLists:
    """The lists of a window's rows whose labels were asked for, as they were drawn one after the other.

    chances: the probability with which each listed row was drawn, 1 for rows whose label was there before the list, NaN
        for all others; shape (rows, lists). listed: which rows are on each list, shape (rows, lists).
    recent: labelled rows of earlier windows, from which it is learned what labels were to be expected; None: none.
    """

    chances: Floats
    listed: Floats
    recent: pd.DataFrame | None = None

    @property
    def weights(self) -> Floats:
        """How many rows each row stands for, 0 where its label does not count; shape (rows,)."""
        shares = self.listed.sum(axis=0) / max(self.listed.sum(), 1)
        return np.asarray(np.where(np.isfinite(self.chances), shares / self.chances, 0.0).sum(axis=1))

    def draws(self, times: Floats | None) -> list[LabelDraw]:
        """Each list with the times of the rows, shape (rows,); None: their order."""
        order = np.arange(len(self.chances), dtype=float) if times is None else times
        return [LabelDraw(*list_of_rows, order) for list_of_rows in zip(self.chances.T, self.listed.T, strict=True)]


@dataclass(frozen=True)
class _Metric:
    """A metric and what one unit more of each row's label adds to it, shape (rows,)."""

    value: float
    slope: Floats


@dataclass(frozen=True)
class ListedPerformance:
    """Performance by the labels of lists. values: by metric. labelled, wanted: how many labels of the lists have come,
    and how many were asked for.
    """

    values: dict[str, Measured]
    labelled: int
    wanted: int

    @property
    def too_little(self) -> str:
        """Why the lists cannot be judged by yet; '' if they can."""
        if self.labelled < NEEDED_SHARE * self.wanted:
            return f"{self.labelled} of the {self.wanted} labels that were asked for have come"
        if self.labelled < MIN_LABELLED:
            return f"{self.labelled} labelled rows; {MIN_LABELLED} are needed"
        return ""


def listed_performance(expected: ExpectedLabels, draws: Sequence[LabelDraw]) -> ListedPerformance:
    """Performance of a window by the labels of its lists alone, and by labels that were there before each.

    Labels that came later by other ways are not used: which rows they are of may depend on what they say.
    """
    answers = expected.answers
    assert answers.truth is not None
    has_label = np.asarray(pd.notna(answers.truth)) & expected.usable
    wanted = sum(int((draw.listed & expected.usable).sum()) for draw in draws)
    labelled = sum(int((draw.listed & has_label).sum()) for draw in draws)
    parts: list[tuple[int, dict[str, Measured]]] = []
    for draw in draws:
        number = int((draw.listed & has_label).sum())
        if number >= _FEWEST:
            parts.append((number, _of_draw(expected, draw, has_label)))
    return ListedPerformance(_combined(parts, _scatter(expected, draws, has_label)), labelled, wanted)


def importance(expected: ExpectedLabels, metric: str | None) -> Floats:
    """How much each row's label is expected to move a metric, shape (rows,); 0 for rows without a usable answer."""
    weight = _weights(expected)
    if expected.answers.task == "binary":
        metrics = _binary(expected, expected.expected)
        chosen = metrics.get(metric or "", metrics.get("accuracy"))
        assert chosen is not None
        slope = np.abs(chosen.slope)
    else:
        slope = weight / weight[expected.usable].sum()
    moves = slope * _deviation(expected, metric)
    least = 1e-3 * float(moves[expected.usable].mean()) if expected.usable.any() else 0.0
    return np.where(expected.usable & (weight > 0), np.maximum(moves, max(least, 1e-300)), 0.0)


def expected_error(moves: Floats, chance: Floats) -> float:
    """The standard error that labels of rows drawn with these probabilities are expected to leave. moves: from
    `importance`.
    """
    drawn = chance > 0
    return float(np.sqrt((moves[drawn] ** 2 * (1 - chance[drawn]) / chance[drawn]).sum()))


def random_error(expected: ExpectedLabels, metric: str, number: int) -> float | None:
    """The same of labels of random rows, so many; None for metrics whose error is not known before labels come."""
    usable, answers = expected.usable, expected.answers
    rows = int(usable.sum())
    weight = None if answers.weight is None else answers.weight[usable]
    chance, deviation = expected.expected[usable], expected.deviation[usable]
    if answers.task == "binary" and answers.scores is not None:
        scores, prediction = answers.scores[usable, 0], answers.prediction[usable]
        measured = estimate_binary(scores, prediction, chance, weight).get(f"estimated_{metric}")
    elif metric in ("accuracy", "mae"):
        measured = mean(chance, weight, deviation**2)
    else:
        measured = None
    return None if measured is None or measured.error is None else measured.error * float(np.sqrt(rows / number))


def _deviation(expected: ExpectedLabels, metric: str | None) -> Floats:
    if expected.answers.task in REGRESSIONS and metric == "rmse":  # of the squared error, by the delta method
        return np.asarray(2 * np.hypot(expected.expected, expected.deviation) * expected.deviation)
    return expected.deviation


def _weights(expected: ExpectedLabels) -> Floats:
    weight = expected.answers.weight
    return np.ones(len(expected.expected)) if weight is None else weight


def _of_draw(expected: ExpectedLabels, draw: LabelDraw, has_label: Floats) -> dict[str, Measured]:
    """Performance by one list's labels and by those that were there before it."""
    sampled = np.isfinite(draw.chance) & has_label
    sampled = np.flatnonzero(sampled)[np.argsort(draw.order[sampled], kind="stable")]
    # Labels that did not come leave their weight to those that did.
    response = (draw.listed & has_label).sum() / max((draw.listed & expected.usable).sum(), 1)
    chance = np.where(draw.listed[sampled], draw.chance[sampled] * response, 1.0)
    values = _weighted(expected, sampled, 1 / chance)
    task = expected.answers.task
    if task == "binary":
        return values | _binary_differences(expected, sampled, chance)
    return values | _mean_differences(expected, sampled, chance)


def _weighted(expected: ExpectedLabels, sampled: Floats, weight: Floats) -> dict[str, Measured]:
    """All metrics of the task by weighted labels alone (Hájek, 1971), for those without a better form."""
    answers = expected.answers
    weights = np.zeros(len(expected.expected))
    weights[sampled] = weight * _weights(expected)[sampled]
    return measure(replace(answers, weight=weights).outcomes(sampled))


def _binary_differences(expected: ExpectedLabels, sampled: Floats, chance: Floats) -> dict[str, Measured]:
    truth = expected.answers.truth
    assert truth is not None
    difference = truth[sampled] - expected.expected[sampled]
    pseudo = expected.expected.copy()
    pseudo[sampled] += difference / chance
    return {
        name: _measured(name, metric, difference, expected.deviation[sampled], sampled, chance)
        for name, metric in _binary(expected, pseudo).items()
    }


def _mean_differences(expected: ExpectedLabels, sampled: Floats, chance: Floats) -> dict[str, Measured]:
    """Of a regression MAE and RMSE, of a multiclass model its accuracy."""
    answers, share = expected.answers, _weights(expected) * expected.usable
    share = share / share.sum()
    assert answers.truth is not None
    if answers.task == "multiclass":
        right = (answers.truth[sampled] == answers.prediction[sampled]).astype(float)
        return {"accuracy": _mean(right, expected.expected, expected.deviation, share, sampled, chance)}
    errors = np.abs((answers.truth[sampled] - answers.prediction[sampled]).astype(float))
    squares = expected.expected**2 + expected.deviation**2
    squared = _mean(errors**2, squares, _deviation(expected, "rmse"), share, sampled, chance)
    root = float(np.sqrt(squared.value))
    rmse = Measured(root, (squared.error or 0.0) / (2 * root)) if root > 0 else None
    result = {"mae": _mean(errors, expected.expected, expected.deviation, share, sampled, chance)}
    return result | ({"rmse": rmse} if rmse is not None else {})


def _mean(
    values: Floats, expectation: Floats, deviation: Floats, share: Floats, sampled: Floats, chance: Floats
) -> Measured:
    """A mean over all rows, from 0 up: of what is expected, and of the weighted differences of the sampled rows. What
    is expected is scaled to the size of what came, which leaves a bias of the order of one in the number of labels.
    """
    wanted = float((share[sampled] * expectation[sampled] / chance).sum())
    scale = float((share[sampled] * values / chance).sum()) / wanted if wanted > 0 else 1.0
    difference = share[sampled] * (values - scale * expectation[sampled])
    value = scale * float((share * expectation).sum()) + float((difference / chance).sum())
    return Measured(max(value, 0.0), design_error(difference, chance, share[sampled] * deviation[sampled]))


def _measured(
    name: str, metric: _Metric, difference: Floats, deviation: Floats, sampled: Floats, chance: Floats
) -> Measured:
    least, most = bounds(name)
    slope = metric.slope[sampled]
    error = design_error(slope * difference, chance, np.abs(slope) * deviation)
    return Measured(float(np.clip(metric.value, least, most)), error)


def design_error(difference: Floats, chance: Floats, deviation: Floats) -> float:
    """The standard error of a sum of differences, each divided by its row's probability, of rows in the order of time:
    by second differences of successive rows, widened for few rows by the variance of Student's t distribution.

    deviation: the standard deviations of the differences that were expected, shape (rows,). A sample that holds none of
        the rare large differences varies less than was expected: then what was expected counts for a quarter.
    """
    by_chance = chance < 1
    number = int(by_chance.sum())
    if number < _FEWEST:
        return 0.0 if number == 0 else float("inf")
    drawn, unseen = chance[by_chance], 1 - chance[by_chance]
    weights = (unseen[2:] + unseen[1:-1] + unseen[:-2]) / 3
    squares = weights * np.diff(difference[by_chance] / drawn, 2) ** 2
    seen = number / (6 * (number - 2)) * float(squares.sum()) * (number - 1) / (number - 3)
    expected = float((unseen * (deviation[by_chance] / drawn) ** 2).sum())
    return float(np.sqrt(max(seen, (1 - _TRUST) * seen + _TRUST * expected)))


def _combined(parts: Sequence[tuple[int, dict[str, Measured]]], scatter: dict[str, float]) -> dict[str, Measured]:
    """The estimates of several lists, each by its number of labels. scatter: how much the window's own value differs
    from the model's by chance, by metric; it is the same in all lists.
    """
    if not parts:
        return {}
    total = sum(number for number, _ in parts)
    names = [name for name in parts[0][1] if all(name in values for _, values in parts)]
    result = {}
    for name in names:
        shares = [(number / total, values[name]) for number, values in parts]
        value = sum(share * measured.value for share, measured in shares)
        errors = [share * measured.error for share, measured in shares if measured.error is not None]
        whole = len(errors) == len(shares)
        error = float(np.sqrt(np.square(errors).sum() + scatter.get(name, 0.0) ** 2)) if whole else None
        result[name] = Measured(float(value), error)
    return result


def _scatter(expected: ExpectedLabels, draws: Sequence[LabelDraw], has_label: Floats) -> dict[str, float]:
    """By metric, the standard error that would remain if all rows were labelled, as it is for a window whose labels all
    came; by the weighted labels.
    """
    chances = [draw.chance for draw in draws if (draw.listed & has_label).sum() >= _FEWEST]
    if not chances:
        return {}
    chance = chances[-1]
    sampled = np.flatnonzero(np.isfinite(chance) & has_label)
    share = len(sampled) / max(int(expected.usable.sum()), 1)
    plain = measure(expected.answers.outcomes(sampled))
    return {name: value.error * share**0.5 for name, value in plain.items() if value.error is not None}


def _binary(expected: ExpectedLabels, chance: Floats) -> dict[str, _Metric]:
    """The metrics of a binary model when each row is positive with its chance, which may lie outside of 0 and 1, and
    what one positive more adds to each.
    """
    answers, usable = expected.answers, expected.usable
    weight = np.where(usable, _weights(expected), 0.0)
    named = np.where(usable, answers.prediction, 0.0).astype(float)
    total, positives, predicted = weight.sum(), (weight * chance).sum(), (weight * named).sum()
    hits = (weight * named * chance).sum()
    negatives = total - positives
    right = (weight * (named * chance + (1 - named) * (1 - chance))).sum() / total
    metrics = {"accuracy": _Metric(right, weight * (2 * named - 1) / total)}
    if predicted > 0:
        metrics["precision"] = _Metric(hits / predicted, weight * named / predicted)
    if positives > 0:
        recall = _Metric(hits / positives, weight * (named - hits / positives) / positives)
        score = 2 * hits / (predicted + positives)
        metrics |= {"recall": recall, "fnr": _Metric(1 - recall.value, -recall.slope)}
        metrics["f1"] = _Metric(score, weight * (2 * named - score) / (predicted + positives))
    if negatives > 0:
        alarms = (predicted - hits) / negatives
        fpr = _Metric(alarms, weight * (alarms - named) / negatives)
        metrics |= {"fpr": fpr, "tnr": _Metric(1 - fpr.value, -fpr.slope)}
    if answers.scores is not None:
        metrics |= _of_scores(np.where(usable, answers.scores[:, 0], 0.0), chance, weight)
    return metrics


def _of_scores(score: Floats, chance: Floats, weight: Floats) -> dict[str, _Metric]:
    total = weight.sum()
    clipped = np.clip(score, 1e-15, 1 - 1e-15)
    log_one, log_zero = -np.log(clipped), -np.log1p(-clipped)
    squares = chance * (1 - score) ** 2 + (1 - chance) * score**2
    metrics = {
        "log_loss": _Metric(
            float((weight * (chance * log_one + (1 - chance) * log_zero)).sum() / total),
            weight * (log_one - log_zero) / total,
        ),
        "brier_score": _Metric(float((weight * squares).sum() / total), weight * (1 - 2 * score) / total),
    }
    area = _roc_auc(score, chance, weight)
    return metrics if area is None else metrics | {"roc_auc": area}


def _roc_auc(score: Floats, chance: Floats, weight: Floats) -> _Metric | None:
    """The area when each row is positive with its chance; only pairs of distinct rows count, ties count half. None
    where all scores are equal or one class is not to be expected.
    """
    _, place = np.unique(score, return_inverse=True)
    ones, zeros = weight * chance, weight * (1 - chance)
    positives, negatives = ones.sum(), zeros.sum()
    if min(positives, negatives) <= 0 or place.max() == 0:
        return None
    positive, negative = np.bincount(place, ones), np.bincount(place, zeros)
    below = (np.cumsum(negative) - negative / 2)[place]
    above = positives - (np.cumsum(positive) - positive / 2)[place]
    own = float((weight**2 * chance * (1 - chance)).sum())
    pairs = positives * negatives - own
    if pairs <= 0:
        return None
    value = (float((ones * below).sum()) - own / 2) / pairs
    slope = weight * ((below / negatives - value) / positives - (above / positives - value) / negatives)
    return _Metric(value, slope)
