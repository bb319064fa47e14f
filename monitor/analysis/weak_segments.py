"""The search for weak segments: rules of up to three conditions, such as `channel = app and age < 25`, whose rows lose
more than the reference expects of such rows.

A rule is a path of a decision tree on the loss. Its first two conditions are searched together, over all pairs, so that
a segment is found which neither of its columns shows alone; a third one is added where it is clearly better.

Rows are cut into parts, of the window and of the reference. Each part is tested by a rule that was chosen without it
(honest estimation: Athey and Imbens, 2016), and the parts are tested together. The rule that is named is chosen by all
rows; its figures are those of the parts. Its loss is compared with that of the reference's own rows of the rule, so
that a segment that was always hard is not named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from monitor.analysis import estimation
from monitor.analysis.performance import Answers, Measured, Outcomes, mean
from monitor.analysis.schema import canonical_text
from monitor.domain.metrics import REGRESSIONS
from monitor.domain.text import shown

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
# The fewest labelled rows of a window that are searched, and the most rows that are used of it and of the reference.
FEWEST_ROWS, _MOST_ROWS = 400, 10_000
# The fewest rows of a segment by which a rule is chosen: of the window (or 1 % of them, if that is more), and of the
# reference; and by which it is tested.
_FEWEST, _LEAST_SHARE, _FEWEST_BEFORE, _FEWEST_TESTED = 20, 0.01, 30, 2
# Into so many parts rows are cut: each is tested by a rule that was chosen by the others.
_FOLDS = 5
# Segments of more rows than this are no part of the model's rows: then the model as a whole is worse.
_MOST_SHARE = 0.5
# The most columns that are searched (the most important ones), and the most values of each.
_COLUMNS, _VALUES = 30, 15
_QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_FINE = tuple(np.linspace(0.01, 0.99, 99))
# A further condition must raise the evidence by so many standard errors: else the shorter rule is kept.
_GAIN = 1.0
# ... and the longer rule must keep this part of the loss of the shorter one: it leaves out rows, not loss.
_KEPT = 0.7
# So many pairs with the largest evidence are compared with the reference's rows.
_COMPARED = 25
# Losses above this quantile of the reference's are cut off where rules are chosen and tested, so that no single row
# makes a segment.
_CUT = 0.995
# The variance of a segment's few rows is drawn towards that of all, as if it had so many rows more.
_PRIOR_ROWS = 20


class Condition(NamedTuple):
    """One condition of a rule. sign: `=`, `<`, `>=` or `missing`; bound: a number, or the text of a category."""

    column: str
    sign: str
    bound: float | str = ""

    def holds(self, frame: pd.DataFrame) -> Floats:
        """Which rows fulfil it, shape (rows,)."""
        values = frame[self.column]
        if self.sign == "missing":
            return np.asarray(values.isna())
        if self.sign == "=":
            return np.asarray(canonical_text(values) == self.bound, dtype=bool)
        numbers = values.to_numpy(dtype=float)
        return np.asarray(numbers < self.bound if self.sign == "<" else numbers >= self.bound)

    def __str__(self) -> str:
        name = shown(self.column)
        if self.sign == "missing":
            return f"{name} is missing"
        return f"{name} {self.sign} {shown(self.bound) if isinstance(self.bound, str) else f'{self.bound:.10g}'}"


Rule = tuple[Condition, ...]


def rule_text(rule: Rule) -> str:
    """A rule as it is shown: `channel = app and 18 <= age < 25`."""
    texts = []
    for column in dict.fromkeys(condition.column for condition in rule):
        own = [condition for condition in rule if condition.column == column]
        lower = [condition for condition in own if condition.sign == ">="]
        upper = [condition for condition in own if condition.sign == "<"]
        if lower and upper:
            low = max(condition.bound for condition in lower)
            high = min(condition.bound for condition in upper)
            texts.append(f"{low:.10g} <= {shown(column)} < {high:.10g}")
            own = [condition for condition in own if condition.sign not in ("<", ">=")]
        texts += map(str, own)
    return " and ".join(texts)


def rows_of_rule(rule: Rule, frame: pd.DataFrame) -> Floats:
    """Which rows fulfil all conditions, shape (rows,)."""
    return np.asarray(np.logical_and.reduce([condition.holds(frame) for condition in rule]))


def row_losses(data: Outcomes) -> tuple[Floats, str]:
    """The loss of each row, shape (rows,), and the metric that is its mean: the absolute error, the Brier score, or,
    without probabilities, whether the answer was wrong.
    """
    if data.task in REGRESSIONS:
        assert data.prediction is not None
        return np.abs(data.prediction - data.label), "mae"
    if data.probability is None:
        return np.asarray(data.prediction != data.label, dtype=float), "error_rate"
    if data.task == "binary":
        return np.asarray((np.clip(data.probability, 0, 1) - data.label) ** 2), "brier_score"
    places = {name: index for index, name in enumerate(data.classes)}
    truth = np.zeros((data.rows, len(places)))
    for row, name in enumerate(data.label):
        if name in places:
            truth[row, places[name]] = 1.0
    return np.asarray(((data.probability - truth) ** 2).sum(axis=1)), "brier_score"


@dataclass(frozen=True)
class LossRows:
    """Labelled rows with their losses. frame: in the reference's column types. losses: of each row; expected: by the
    models of the reference's loss; weight: how many rows each stands for, None: one; shape (rows,). cut: where losses
    are cut off for tests. metric: the metric that is the mean of the losses.
    """

    frame: pd.DataFrame
    losses: Floats
    expected: Floats
    weight: Floats | None
    cut: float
    metric: str

    @property
    def excess(self) -> Floats:
        """By how much each row lost more than expected, large losses cut off; shape (rows,)."""
        return np.asarray(np.minimum(self.losses, self.cut) - self.expected)

    def of(self, rows: Floats) -> LossRows:
        """Some of the rows: their places or flags."""
        weight = None if self.weight is None else self.weight[rows]
        return LossRows(
            self.frame[rows] if rows.dtype == bool else self.frame.iloc[rows],
            self.losses[rows],
            self.expected[rows],
            weight,
            self.cut,
            self.metric,
        )

    def __len__(self) -> int:
        return len(self.losses)

    def mean_excess(self) -> Measured:
        """The mean of what the rows lost more than expected, nothing cut off."""
        return mean(self.losses - self.expected, self.weight)


@dataclass(frozen=True)
class ExpectedLoss:
    """What the reference expects each row to lose: two models, each of one half of its rows. rows: the reference's own,
    each with the expectation of the model that has not seen it.
    """

    reference: Reference
    models: tuple[estimation.GradientBoosting, estimation.GradientBoosting]
    rows: LossRows

    @classmethod
    def of(cls, reference: Reference) -> ExpectedLoss | None:
        """None where the reference has too few labelled rows, or no features that can be searched."""
        if not reference.summary.labelled or not reference.encoded_features:
            return None
        frame = reference.frame
        labelled = _labelled(reference, frame)
        if labelled is None:
            return None
        frame, data = labelled
        losses, metric = row_losses(data)
        cut = float(np.quantile(losses, _CUT))
        inputs, targets = _inputs(reference, frame, data), np.minimum(losses, cut)
        first = np.random.default_rng(reference.seed).permutation(len(frame)) % 2 == 0
        models = tuple(
            estimation.GradientBoosting(inputs[half], targets[half], reference.seed) for half in (first, ~first)
        )
        expected = np.where(first, models[1].predict(inputs), models[0].predict(inputs))
        rows = LossRows(frame, losses, expected, data.weight, cut, metric)
        return cls(reference, (models[0], models[1]), rows)

    @cached_property
    def conditions(self) -> list[Condition]:
        """The conditions that rules are made of."""
        return list(_conditions(self.reference, self.rows.frame))

    @cached_property
    def fine_bounds(self) -> dict[str, list[float]]:
        """By column of numbers, closer bounds, from which the ranges of a rule are chosen in the end."""
        names = dict.fromkeys(condition.column for condition in self.conditions if condition.sign == "<")
        return {name: _readable_bounds(self.rows.frame[name].to_numpy(dtype=float), _FINE) for name in names}

    @cached_property
    def masks(self) -> Floats:
        """Which of the reference's rows fulfil each condition, shape (rows, conditions)."""
        return _masks(self.conditions, self.rows.frame)

    def of_window(self, frame: pd.DataFrame) -> LossRows | None:
        """A window's labelled rows, or a subsample of many; None where they are too few. frame: in the reference's
        column types.
        """
        labelled = _labelled(self.reference, frame)
        if labelled is None:
            return None
        frame, data = labelled
        losses, metric = row_losses(data)
        if metric != self.rows.metric:
            return None
        inputs = _inputs(self.reference, frame, data)
        # By one model each, as the reference's rows: a mean of both would be less spread, which ranks would show.
        first = np.random.default_rng(self.reference.seed).permutation(len(frame)) % 2 == 0
        expected = np.where(first, self.models[1].predict(inputs), self.models[0].predict(inputs))
        return LossRows(frame, losses, expected, data.weight, self.rows.cut, metric)


def _labelled(reference: Reference, frame: pd.DataFrame) -> tuple[pd.DataFrame, Outcomes] | None:
    """The rows with a label and an answer that can be read, or a subsample of many, and their outcomes; None where they
    are too few to search.
    """
    columns = reference.columns
    if columns.label is None or columns.label not in frame:
        return None
    answers = Answers.of(frame, columns, reference.task, reference.summary.classes)
    places = answers.labelled(np.arange(len(frame)))
    if len(places) < FEWEST_ROWS:
        return None
    if len(places) > _MOST_ROWS:
        places = np.sort(np.random.default_rng(reference.seed).choice(places, _MOST_ROWS, replace=False))
    return frame.iloc[places].reset_index(drop=True), answers.outcomes(places)


def _inputs(reference: Reference, frame: pd.DataFrame, data: Outcomes) -> Floats:
    """What the loss is predicted from: the features, and the model's answer."""
    inputs = reference.encoded(frame)
    if data.probability is None:
        return inputs
    return np.column_stack([inputs, data.probability.reshape(data.rows, -1)])


@dataclass(frozen=True)
class WeakSegment:
    """The rule that the search chose, and what the rows say of it that it was not chosen by.

    p_value: how often a window like the reference would show as much, for the whole search. share: of the window's rows
        that fulfil the rule. excess: what these rows lose more than the reference expects of them. loss: what they
        lose. share_of_loss: their part of what all rows lose more than expected; None where all together do not.
    """

    rule: Rule
    p_value: float
    share: float
    excess: Measured
    loss: float
    share_of_loss: float | None

    @property
    def expected(self) -> float:
        """What the reference expects such rows to lose."""
        return self.loss - self.excess.value


def weakest_segment(baseline: ExpectedLoss, window: LossRows) -> WeakSegment | None:
    """The segment with the strongest evidence that it is worse than the reference expects, whether that is certain or
    not; None where no rule has rows enough.
    """
    before = baseline.rows
    usable = [place for place, condition in enumerate(baseline.conditions) if condition.column in window.frame]
    conditions = [baseline.conditions[place] for place in usable]
    if not conditions:
        return None
    now = _Side.of(window, _masks(conditions, window.frame), baseline.reference.seed)
    usual = _Side.of(before, baseline.masks[:, usable], baseline.reference.seed)
    rules = {}
    for fold in (None, *range(_FOLDS)):
        places = _best_rule(now, usual, fold)
        rules[fold] = _refined(tuple(conditions[place] for place in places), baseline.fine_bounds, now, usual, fold)
    rule = rules.pop(None)
    if not rule:
        return None
    strata = [
        Stratum(*now.split(chosen, fold), *usual.split(chosen, fold))
        for fold, chosen in rules.items()
        if chosen and fold is not None
    ]
    strata = [stratum for stratum in strata if min(map(len, stratum)) >= _FEWEST_TESTED]
    return _described(rule, window, rows_of_rule(rule, window.frame), before, strata)


class Stratum(NamedTuple):
    """The rows of a part of the window and of the reference, none of which a rule was chosen by: those that fulfil it,
    and the others.
    """

    inside: LossRows
    others: LossRows
    inside_before: LossRows
    others_before: LossRows


@dataclass(frozen=True)
class _Side:
    """The rows of the window or of the reference. masks: which conditions each fulfils, shape (rows, conditions).
    folds: the part that each belongs to, shape (rows,). excess: what they lose more than expected.
    """

    rows: LossRows
    masks: Floats
    folds: Floats
    excess: Floats

    @classmethod
    def of(cls, rows: LossRows, masks: Floats, seed: int) -> _Side:
        folds = np.random.default_rng([seed, 1]).permutation(len(rows)) % _FOLDS
        excess = rows.excess if rows.weight is None else rows.excess * rows.weight / rows.weight.mean()
        return cls(rows, masks, folds, excess)

    def inside(self, places: Sequence[int]) -> Floats:
        """Which rows fulfil all of some conditions, shape (rows,)."""
        return np.asarray(np.logical_and.reduce(self.masks[:, list(places)], axis=1))

    def split(self, rule: Rule, fold: int) -> tuple[LossRows, LossRows]:
        """The rows of a part that fulfil a rule, and the others."""
        inside, own = rows_of_rule(rule, self.rows.frame), self.folds == fold
        return self.rows.of(inside & own), self.rows.of(~inside & own)

    def seen(self, fold: int | None) -> Floats:
        """Which rows are outside of a part, shape (rows,); all for None."""
        return np.ones(len(self.folds), dtype=bool) if fold is None else self.folds != fold

    @cached_property
    def crossings(self) -> Floats:
        """Of each part and pair of conditions: the number of rows, the sum of their excess and that of its squares;
        shape (parts, 3, conditions, conditions).
        """
        return np.stack([_sums(self.masks[own], self.masks[own], self.excess[own]) for own in self._parts])

    @property
    def _parts(self) -> list[Floats]:
        return [self.folds == fold for fold in range(_FOLDS)]


def _sums(left: Floats, right: Floats, excess: Floats) -> Floats:
    """By pair of conditions: rows, the sum of their excess, and that of its squares, shape (3, left, right)."""
    first, second, column = left.astype(np.float32).T, right.astype(np.float32), excess.astype(np.float32)[:, None]
    return np.stack([first @ second, first @ (second * column), first @ (second * column**2)]).astype(float)


def _described(
    rule: Rule, window: LossRows, inside: Floats, before: LossRows, strata: Sequence[Stratum]
) -> WeakSegment:
    """A rule with its test. inside: its rows of the window. strata: what is left of the parts that rules were chosen
    without.
    """
    rows = window.of(inside)
    share = float(np.average(inside, weights=window.weight))
    if not strata:
        return WeakSegment(rule, 1.0, share, Measured(0.0), mean(rows.losses, rows.weight).value, None)
    excess = _pooled([_difference(stratum.inside, stratum.inside_before) for stratum in strata])
    total = window.mean_excess().value - before.mean_excess().value
    part = share * excess.value
    expected = mean(rows.losses, rows.weight).value - rows.mean_excess().value
    return WeakSegment(
        rule,
        max(_p_of_rows(strata), _p_against_others(strata)),
        share,
        excess,
        expected + excess.value,
        min(part / total, 1.0) if total > 0 and part > 0 else None,
    )


def _difference(now: LossRows, before: LossRows) -> Measured:
    """By how much more rows lose beyond what is expected than the reference's rows do."""
    means = now.mean_excess(), before.mean_excess()
    return Measured(means[0].value - means[1].value, float(np.hypot(means[0].error or 0.0, means[1].error or 0.0)))


def _pooled(parts: Sequence[Measured]) -> Measured:
    """The mean of several parts of about equal size."""
    errors = [part.error or 0.0 for part in parts]
    return Measured(float(np.mean([part.value for part in parts])), float(np.linalg.norm(errors) / len(parts)))


def _p_of_rows(strata: Sequence[Stratum]) -> float:
    """Whether segments' rows lose more than the reference's rows of them. Ranks are compared, as the mean of few rows
    with skewed losses is not normal: the stratified rank test of van Elteren (1960).
    """
    if any(stratum.inside.weight is not None or stratum.inside_before.weight is not None for stratum in strata):
        return _p_of(_pooled([_difference(stratum.inside, stratum.inside_before) for stratum in strata]))
    total = variance = 0.0
    for stratum in strata:
        own, usual = stratum.inside.excess, stratum.inside_before.excess
        number = len(own) + len(usual)
        ranks = rankdata(np.concatenate([own, usual]))
        total += (ranks[: len(own)].sum() - len(own) * (number + 1) / 2) / (number + 1)
        variance += len(own) * len(usual) / number * ranks.var(ddof=1) / (number + 1) ** 2
    return _p_of(Measured(total, float(np.sqrt(variance))))


def _p_against_others(strata: Sequence[Stratum]) -> float:
    """Whether segments have become worse by more than the other rows have."""
    differences = []
    for stratum in strata:
        means = [mean(side.excess, side.weight) for side in stratum]
        value = means[0].value - means[2].value - (means[1].value - means[3].value)
        differences.append(Measured(value, float(np.linalg.norm([part.error or 0.0 for part in means]))))
    return _p_of(_pooled(differences))


def _p_of(difference: Measured) -> float:
    """How often a difference of zero would show as much."""
    if not difference.error:
        return float(difference.value <= 0)
    return float(norm.sf(difference.value / difference.error))


def _conditions(reference: Reference, frame: pd.DataFrame) -> Iterator[Condition]:
    """The conditions that rules are made of. Sensitive columns are never among them. frame: the
    reference's rows.
    """
    for name in _searched_columns(reference):
        before = frame[name]
        if before.isna().mean() >= _LEAST_SHARE:
            yield Condition(name, "missing")
        if reference.sorts[name] == "numerical":
            for bound in _readable_bounds(before.to_numpy(dtype=float)):
                yield Condition(name, "<", bound)
                yield Condition(name, ">=", bound)
        else:
            counts = canonical_text(before).value_counts()
            usual = counts[counts >= _LEAST_SHARE * len(before)]
            yield from (Condition(name, "=", str(value)) for value in usual.index[:_VALUES])


def _searched_columns(reference: Reference) -> list[str]:
    importance = reference.importance
    names = [
        name
        for name in dict.fromkeys([*reference.columns.segments, *reference.features])
        if reference.sorts.get(name) in ("numerical", "categorical", "boolean")
        and name not in reference.columns.sensitive
    ]
    return sorted(names, key=lambda name: -importance.get(name, 0.0))[:_COLUMNS]


def _readable_bounds(values: Floats, quantiles: Sequence[float] = _QUANTILES) -> list[float]:
    """Quantiles of a column, rounded to numbers that are easy to read; those of whole numbers are whole."""
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    low, *middle, high = np.quantile(values, quantiles)
    span = high - low if high > low else float(np.ptp(values))
    if span <= 0:
        return []
    step = 10.0 ** np.floor(np.log10(span / len(quantiles)))
    if np.array_equal(values, np.round(values)):
        step = max(step, 1.0)
    rounded = {float(f"{round(bound / step) * step:.10g}") for bound in (low, *middle, high)}
    return sorted(bound for bound in rounded if values.min() < bound <= values.max())


def _masks(conditions: Sequence[Condition], frame: pd.DataFrame) -> Floats:
    """Which rows fulfil each condition, shape (rows, conditions)."""
    texts = {condition.column for condition in conditions if condition.sign == "="}
    codes = {name: pd.factorize(canonical_text(frame[name])) for name in texts}
    result = np.zeros((len(frame), len(conditions)), dtype=bool)
    for place, condition in enumerate(conditions):
        if condition.sign == "=":
            rows, values = codes[condition.column]
            result[:, place] = (values == condition.bound)[rows] & (rows >= 0) if len(values) else False
        else:
            result[:, place] = condition.holds(frame)
    return result


def _best_rule(now: _Side, usual: _Side, fold: int | None) -> list[int]:
    """The places of the conditions of the best rule by all rows but those of a part; none where no rule has rows
    enough.
    """
    parts = [place for place in range(_FOLDS) if place != fold]
    evidence = _evidence(now.crossings[parts].sum(axis=0), now.excess[now.seen(fold)])
    crossed = np.where(np.tri(len(evidence), dtype=bool), -np.inf, evidence)
    singles = [[place] for place in _largest(np.diag(evidence))]
    pairs = [list(divmod(place, len(evidence))) for place in _largest(crossed.ravel())]
    compare = _Comparison(now, usual, fold)
    best, rule = compare.best(singles)
    crossing, pair = compare.best(pairs)
    if crossing <= best + (_GAIN if rule else 0.0) or not compare.keeps(pair, rule):
        return rule
    seen = now.seen(fold)
    inside = now.inside(pair)[:, None]
    third = _evidence(_sums(now.masks[seen], inside[seen], now.excess[seen]), now.excess[seen])
    longest, triple = compare.best([[*pair, place] for place in _largest(third.ravel()) if place not in pair])
    return triple if longest > crossing + _GAIN and compare.keeps(triple, pair) else pair


def _refined(rule: Rule, bounds: Mapping[str, list[float]], now: _Side, usual: _Side, fold: int | None) -> Rule:
    """A rule with ranges of numbers drawn more closely around the loss, by bounds that are closer to each other."""
    for column in dict.fromkeys(condition.column for condition in rule if condition.sign in ("<", ">=")):
        others = tuple(condition for condition in rule if condition.column != column or condition.sign == "missing")
        rule = _with_best_range(rule, others, column, bounds[column], now, usual, fold)
    return rule


def _with_best_range(
    rule: Rule, others: Rule, column: str, bounds: list[float], now: _Side, usual: _Side, fold: int | None
) -> Rule:
    """A rule whose range of a column has the most evidence of all ranges between some bounds. others: its conditions on
    other columns.
    """
    seen = now.seen(fold)
    values = now.rows.frame[column].to_numpy(dtype=float)
    places = np.searchsorted(bounds, values, "right")
    chosen = seen & np.isfinite(values) & (rows_of_rule(others, now.rows.frame) if others else True)
    excess, size = now.excess[chosen], len(bounds) + 1
    below = [
        np.append(0.0, np.cumsum(np.bincount(places[chosen], weights, size))) for weights in (None, excess, excess**2)
    ]
    sums = np.stack([np.triu(total[None, :] - total[:, None]) for total in below])
    evidence = np.where(np.tri(size + 1, dtype=bool), -np.inf, _evidence(sums, now.excess[seen]))
    first, last = divmod(int(evidence.argmax()), size + 1)
    lower = () if first == 0 else (Condition(column, ">=", bounds[first - 1]),)
    upper = () if last == size else (Condition(column, "<", bounds[last - 1]),)
    refined = (*others, *lower, *upper)
    own = now.excess[seen & rows_of_rule(rule, now.rows.frame)]
    usual_rows = usual.seen(fold) & rows_of_rule(refined, usual.rows.frame) if refined else np.zeros(0)
    before = _evidence(np.array([len(own), own.sum(), (own**2).sum()])[:, None, None], now.excess[seen])
    is_better = evidence.max() > before.max() + _GAIN / 2 and usual_rows.sum() >= _FEWEST_BEFORE
    return refined if is_better else rule


def _largest(values: Floats) -> list[int]:
    """The places of the largest finite values."""
    order = np.argsort(-values, kind="stable")[:_COMPARED]
    return [int(place) for place in order if np.isfinite(values[place])]


def _evidence(sums: Floats, excess: Floats) -> Floats:
    """How far the mean of each crossing lies above that of all rows, in standard errors; -inf where it has too few or
    too many rows. sums: of `_sums`. excess: of all rows, shape (rows,).
    """
    number, total, squares = sums
    middle = float(excess.mean())
    centred = total - number * middle
    spread = np.maximum(squares - 2 * middle * total + number * middle**2, 0.0)
    variance = (spread + _PRIOR_ROWS * float(excess.var())) / (number + _PRIOR_ROWS)
    enough = max(_FEWEST, _LEAST_SHARE * len(excess))
    usable = (number >= enough) & (number <= _MOST_SHARE * len(excess)) & (variance > 0)
    result = np.full(number.shape, -np.inf)
    result[usable] = centred[usable] / np.sqrt(number[usable] * variance[usable])
    return result


@dataclass(frozen=True)
class _Comparison:
    """Rules by all rows of the window but those of a part, against the reference's rows."""

    now: _Side
    usual: _Side
    fold: int | None

    @cached_property
    def _seen(self) -> list[tuple[Floats, Floats]]:
        sides = ((side, side.seen(self.fold)) for side in (self.now, self.usual))
        return [(side.masks[seen], side.excess[seen]) for side, seen in sides]

    def best(self, rules: Sequence[list[int]]) -> tuple[float, list[int]]:
        """The rule with the most evidence, and how much that is, in standard errors; 0 and none where none has any."""
        return max(((_evidence_of(rule, *self._seen), rule) for rule in rules), default=(0.0, []))

    def keeps(self, longer: list[int], shorter: list[int]) -> bool:
        """Whether most of the loss of a rule is in the rows of a longer one."""
        (masks, excess), (_, before) = self._seen
        moved = excess - before.mean()
        lost, kept = (float(moved[np.logical_and.reduce(masks[:, rule], axis=1)].sum()) for rule in (shorter, longer))
        return not shorter or kept >= _KEPT * lost


def _evidence_of(rule: list[int], now: tuple[Floats, Floats], usual: tuple[Floats, Floats]) -> float:
    """How much more the rows of a rule have become worse than all rows, in standard errors. now, usual: masks and
    excess.
    """
    own, before = (excess[np.logical_and.reduce(masks[:, rule], axis=1)] for masks, excess in (now, usual))
    if len(before) < _FEWEST_BEFORE:
        return -np.inf
    variance = (len(own) * own.var() + _PRIOR_ROWS * now[1].var()) / (len(own) + _PRIOR_ROWS)
    error = np.sqrt(variance / len(own) + before.var() / len(before))
    moved = own.mean() - before.mean() - (now[1].mean() - usual[1].mean())
    return float(moved / error) if error > 0 else -np.inf
