"""A model of the model: its answers, predicted from its features and learned from the reference's rows. The user's own
model is not needed.
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
from monitor.analysis.performance import OF_NUMBERS, Outcomes, predicted, probabilities

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
MOST_ROWS = 5_000
# The most numbers that are inputs of one prediction.
_AT_ONCE = 5_000_000
# The fewest rows from which a model is fitted.
_FEWEST_ROWS = 100


@dataclass(frozen=True)
class Surrogate:
    """Models of the answers, one each: the value, the probability of the positive class, or one of each class.

    explains: the share of the answers' variance that they explain in rows that they have not seen. low, high: the range
        of most differences between the answers and their predictions, shape (answers,).
    """

    models: Sequence[estimation.GradientBoosting]
    explains: float
    low: Floats
    high: Floats

    @classmethod
    def of(cls, reference: Reference) -> Surrogate | None:
        """None where the reference has too few rows with an answer, or no usable feature."""
        frame, names = reference.frame, reference.encoded_features
        answers = answers_of(frame, reference)
        answered = np.flatnonzero(np.isfinite(answers).all(axis=1))
        if not names or not answers.shape[1] or len(answered) < _FEWEST_ROWS:
            return None
        if len(answered) > MOST_ROWS:
            answered = np.random.default_rng(reference.seed).choice(answered, MOST_ROWS, replace=False)
        inputs, answers = estimation.encode(frame.iloc[answered][names], reference.summary.codes), answers[answered]
        halves = fitted(inputs[::2], answers[::2], reference.seed)
        left = answers[1::2] - predictions(halves, inputs[1::2])
        spread = float(((answers[1::2] - answers[1::2].mean(axis=0)) ** 2).sum())
        explains = 1 - float((left**2).sum()) / spread if spread > 0 else 0.0
        low, high = np.quantile(left, [0.01, 0.99], axis=0)
        return cls(fitted(inputs, answers, reference.seed), explains, low, high)

    def answers_if(self, answers: Floats, before: Floats, *cases: Mapping[int, Floats]) -> list[Floats]:
        """The answers to changed features, for each case, shape (rows, answers): the surrogate's prediction, plus the
        difference between the answer and its prediction before, cut off at `low` and `high`.

        answers: those that were given. before: the features as they are, encoded, shape (rows, features). cases: the
            changed values by the feature's place, shape (rows,).
        """
        changed = [_changed(before, case) for case in cases]
        any_changed = reduce(np.logical_or, changed, np.zeros(len(before), dtype=bool))
        result = [answers.copy() for _ in cases]
        if not any_changed.any():
            return result
        inputs = (changed_rows(before, case, rows) for case, rows in zip(cases, changed, strict=True))
        usual, *case_predictions = self._predicted(chain([before[any_changed]], inputs))
        own = np.clip(answers[any_changed] - usual, self.low, self.high)
        for new_answers, rows, case_prediction in zip(result, changed, case_predictions, strict=True):
            new_answers[rows] = case_prediction + own[rows[any_changed]]
        return result

    def _predicted(self, parts: Iterable[Floats]) -> list[Floats]:
        """Predictions of several inputs, of as many at once as memory allows: the time of a prediction hardly depends
        on the number of rows while it is small.
        """
        result: list[Floats] = []
        waiting: list[Floats] = []
        for part in parts:
            if waiting and sum(waiting_part.size for waiting_part in waiting) + part.size > _AT_ONCE:
                result += self._together(waiting)
                waiting = []
            waiting.append(part)
        return result + self._together(waiting)

    def _together(self, parts: list[Floats]) -> list[Floats]:
        ends = np.cumsum([len(part) for part in parts])
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
    return [estimation.GradientBoosting(inputs, answer, seed) for answer in answers.T]


def predictions(models: Sequence[estimation.GradientBoosting], inputs: Floats) -> Floats:
    """The predictions of models, shape (rows, answers)."""
    return np.asarray(np.column_stack([model.predict(inputs) for model in models]))


def answers_of(frame: pd.DataFrame, reference: Reference) -> Floats:
    """The model's answers as numbers, shape (rows, answers): the value, the probability of the positive class, or one
    of each class; NaN where there is none.
    """
    columns, task = reference.columns, reference.task
    if columns.probabilities:
        return np.asarray(probabilities(frame, columns).to_numpy(dtype=float))
    prediction = predicted(frame, columns, task)
    if task != "multiclass":
        return np.asarray(prediction.to_numpy(dtype=float).reshape(-1, 1))
    names = np.array(reference.summary.classes, dtype=object)
    table = (prediction.to_numpy(dtype=object)[:, None] == names).astype(float)
    table[prediction.isna().to_numpy()] = np.nan
    return np.asarray(table)


def answering(reference: Reference, data: Outcomes, answers: Floats) -> Outcomes:
    """The same rows, had the model answered otherwise. answers: shape (rows, answers)."""
    if data.task in OF_NUMBERS:
        return replace(data, prediction=answers[:, 0], probability=None)
    clipped = np.clip(answers, 0, 1)
    if data.task == "binary":
        prediction = (clipped[:, 0] >= reference.columns.decision_threshold).astype(float)
        return replace(data, prediction=prediction, probability=None if data.probability is None else clipped[:, 0])
    prediction = np.array(data.classes, dtype=object)[clipped.argmax(axis=1)]
    return replace(data, prediction=prediction, probability=None if data.probability is None else as_shares(clipped))


def as_shares(answers: Floats) -> Floats:
    """Probabilities that add up to one in each row, shape (rows, answers)."""
    total = answers.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(answers, total, out=np.full_like(answers, 1 / answers.shape[1]), where=total > 0))
