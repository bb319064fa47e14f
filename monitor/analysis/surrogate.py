"""A model of the model: what it answers by its features, learned from the answers in the reference's rows. Nothing of
the user's own model is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.performance import Outcomes, predicted, probabilities

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
MOST_ROWS = 5_000
# So many numbers are predicted from at once.
_AT_ONCE = 5_000_000
# Of fewer rows no model is made.
_FEWEST_ROWS = 100


@dataclass(frozen=True)
class Surrogate:
    """Models of the answers, one each: the value, the probability of the positive class, or one of each class.

    explains: the share of the answers' variance that they explain in rows that they have not seen. low, high: between
        which most answers differ from
    theirs, shape (answers,).
    """

    models: Sequence[estimation.GradientBoosting]
    explains: float
    low: Floats
    high: Floats

    @classmethod
    def of(cls, reference: Reference) -> Surrogate | None:
        """None where the reference has too few rows with an answer, or no feature that tells."""
        frame, names = reference.frame, reference.encoded_features
        answers = answers_of(frame, reference)
        there = np.flatnonzero(np.isfinite(answers).all(axis=1))
        if not names or not answers.shape[1] or len(there) < _FEWEST_ROWS:
            return None
        if len(there) > MOST_ROWS:
            there = np.random.default_rng(reference.seed).choice(there, MOST_ROWS, replace=False)
        inputs, answers = estimation.encode(frame.iloc[there][names], reference.summary.codes), answers[there]
        halves = fitted(inputs[::2], answers[::2], reference.seed)
        left = answers[1::2] - predictions(halves, inputs[1::2])
        spread = float(((answers[1::2] - answers[1::2].mean(axis=0)) ** 2).sum())
        explains = 1 - float((left**2).sum()) / spread if spread > 0 else 0.0
        low, high = np.quantile(left, [0.01, 0.99], axis=0)
        return cls(fitted(inputs, answers, reference.seed), explains, low, high)

    def answers_if(self, said: Floats, before: Floats, *cases: Mapping[int, Floats]) -> list[Floats]:
        """What would be answered if some features were others, for each case, shape (rows, answers): as the surrogate
        has it, and by as much more or less as it was, within what is usual.

        said: what was answered. before: the features as they are, encoded, shape (rows, features). cases: the other
            values by the feature's place, shape (rows,).
        """
        changed = [_changed(before, case) for case in cases]
        some = reduce(np.logical_or, changed, np.zeros(len(before), dtype=bool))
        result = [said.copy() for _ in cases]
        if not some.any():
            return result
        inputs = (changed_rows(before, case, rows) for case, rows in zip(cases, changed, strict=True))
        usual, *others = self._predicted(chain([before[some]], inputs))
        own = np.clip(said[some] - usual, self.low, self.high)
        for would, rows, other in zip(result, changed, others, strict=True):
            would[rows] = other + own[rows[some]]
        return result

    def _predicted(self, parts: Iterable[Floats]) -> list[Floats]:
        """Predictions of several inputs, of as many at once as memory allows: what one costs hardly depends on how many
        rows there are, where there are few.
        """
        found: list[Floats] = []
        waiting: list[Floats] = []
        for part in parts:
            if waiting and sum(each.size for each in waiting) + part.size > _AT_ONCE:
                found += self._together(waiting)
                waiting = []
            waiting.append(part)
        return found + self._together(waiting)

    def _together(self, parts: list[Floats]) -> list[Floats]:
        ends = np.cumsum([len(each) for each in parts])
        return [*np.split(predictions(self.models, np.vstack(parts)), ends[:-1])]


def _changed(before: Floats, case: Mapping[int, Floats]) -> Floats:
    """Which rows differ in a case, shape (rows,)."""
    differs = [
        ~((before[:, place] == values) | (np.isnan(before[:, place]) & np.isnan(values)))
        for place, values in case.items()
    ]
    return np.asarray(reduce(np.logical_or, differs, np.zeros(len(before), dtype=bool)))


def changed_rows(before: Floats, case: Mapping[int, Floats], rows: Floats) -> Floats:
    """Some rows with a case's values. rows: flags, shape (rows,)."""
    after: Floats = before[rows]
    for place, values in case.items():
        after[:, place] = values[rows]
    return after


def fitted(inputs: Floats, answers: Floats, seed: int) -> list[estimation.GradientBoosting]:
    """A model of each answer. inputs: shape (rows, features); answers: shape (rows, answers)."""
    return [estimation.GradientBoosting(inputs, each, seed) for each in answers.T]


def predictions(models: Sequence[estimation.GradientBoosting], inputs: Floats) -> Floats:
    """What models say, shape (rows, answers)."""
    return np.asarray(np.column_stack([model.predict(inputs) for model in models]))


def answers_of(frame: pd.DataFrame, reference: Reference) -> Floats:
    """What the model answered as numbers, shape (rows, answers): the value, the probability of the positive class, or
    one of each class; NaN where it did not.
    """
    columns, task = reference.columns, reference.task
    if columns.probabilities:
        return np.asarray(probabilities(frame, columns).to_numpy(dtype=float))
    said = predicted(frame, columns, task)
    if task != "multiclass":
        return np.asarray(said.to_numpy(dtype=float).reshape(-1, 1))
    names = np.array(reference.summary.classes, dtype=object)
    table = (said.to_numpy(dtype=object)[:, None] == names).astype(float)
    table[said.isna().to_numpy()] = np.nan
    return np.asarray(table)


def answering(reference: Reference, data: Outcomes, answers: Floats) -> Outcomes:
    """The same rows, had the model answered otherwise. answers: shape (rows, answers)."""
    if data.task == "regression":
        return replace(data, prediction=answers[:, 0], probability=None)
    clipped = np.clip(answers, 0, 1)
    if data.task == "binary":
        said = (clipped[:, 0] >= reference.columns.decision_threshold).astype(float)
        return replace(data, prediction=said, probability=None if data.probability is None else clipped[:, 0])
    said = np.array(data.classes, dtype=object)[clipped.argmax(axis=1)]
    return replace(data, prediction=said, probability=None if data.probability is None else as_shares(clipped))


def as_shares(answers: Floats) -> Floats:
    """Probabilities that add up to one in each row, shape (rows, answers)."""
    total = answers.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(answers, total, out=np.full_like(answers, 1 / answers.shape[1]), where=total > 0))
