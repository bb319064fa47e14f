"""Rows with everything that realised and estimated performance need, worked out once. Performance of many parts of the
rows is then cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.performance import Answers, Measured, mean, rooted
from monitor.analysis.query_model import inputs_of
from monitor.analysis.ranking import of_queries
from monitor.domain.metrics import REGRESSIONS

if TYPE_CHECKING:
    from monitor.analysis.estimator import Estimator

Floats = np.ndarray


@dataclass(frozen=True)
class Scored:
    """Rows of a frame, with what an estimate needs of them.

    usable: which rows have an answer that an estimate can be made of, shape (rows,). losses: of a regression, the
        expected absolute and squared error, shape (rows, 2); NaN where the answer is not usable. queries: of a
        ranking, the expected metrics by query, shape (queries,) each.
    """

    estimator: Estimator
    answers: Answers
    usable: Floats
    losses: Floats | None
    queries: dict[str, Floats] | None = None

    @classmethod
    def of(cls, estimator: Estimator, frame: pd.DataFrame) -> Scored:
        """frame: in the reference's column types."""
        reference = estimator.reference
        answers = Answers.of(frame, reference.columns, reference.task, reference.summary.classes)
        if reference.task in REGRESSIONS:
            usable = estimator.is_usable(frame)
        elif answers.query is not None:
            usable = pd.notna(answers.prediction) & (answers.query >= 0)
        else:
            usable = pd.notna(answers.prediction) & (
                np.isfinite(answers.scores).all(axis=1) if answers.scores is not None else False
            )
        losses = None
        if estimator.loss_models:
            losses = np.full((len(frame), 2), np.nan)
            if usable.any():
                inputs = reference.encoded(frame[usable])
                losses[usable] = np.column_stack(
                    [estimation.expected_loss(model, inputs) for model, _ in estimator.loss_models]
                )
        return cls(estimator, answers, usable, losses, _expected_of_queries(estimator, answers, frame, usable))

    def estimate(self, places: Floats, truth: Floats | None = None) -> dict[str, Measured]:
        """Performance of the rows of some places as the estimator expects it without their labels.

        truth: labels that have already come, in the task's own form, NaN or None elsewhere; shape (places,). They are
            used as they are.
        """
        reference = self.estimator.reference
        usable = self.usable[places]
        chosen, known_truth = places[usable], None if truth is None else truth[usable]
        if not reference.summary.labelled or len(chosen) < 2:
            return {}
        weight = None if self.answers.weight is None else self.answers.weight[chosen]
        if reference.task in REGRESSIONS:
            return self._of_values(chosen, known_truth, weight)
        if reference.task == "ranking":
            return self._of_queries(chosen, known_truth, weight)
        line = reference.summary.calibration
        if line is None or self.answers.scores is None:
            return {}
        scores, prediction = self.answers.scores[chosen], self.answers.prediction[chosen]
        if reference.task == "binary":
            chance = estimation.calibrated(scores[:, 0], line)
            if known_truth is not None:
                chance = np.where(np.isnan(known_truth), chance, known_truth)
            return estimation.estimate_binary(scores[:, 0], prediction, chance, weight)
        classes = pd.Index(list(reference.columns.probabilities))
        chances = estimation.calibrated_classes(scores, line)
        if known_truth is not None:
            codes = classes.get_indexer(pd.Index(known_truth, dtype=object))
            chances[codes >= 0] = np.eye(len(classes))[codes[codes >= 0]]
        codes = classes.get_indexer(pd.Index(prediction, dtype=object))
        inside = codes >= 0
        return estimation.estimate_multiclass(
            scores[inside], chances[inside], codes[inside], None if weight is None else weight[inside]
        )

    def _of_queries(self, chosen: Floats, known_truth: Floats | None, weight: Floats | None) -> dict[str, Measured]:
        """The mean over queries; of those with a label that has come, the metrics themselves."""
        model, query = self.estimator.query_model, self.answers.query
        if model is None or self.queries is None or query is None:
            return {}
        codes = np.unique(query[chosen])
        realised: dict[str, Floats] = {}
        place = np.full(int(query.max()) + 1, -1)
        place[codes] = np.arange(len(codes))
        if known_truth is not None and np.isfinite(known_truth).any():
            is_known = np.isfinite(known_truth)
            rows, top = chosen[is_known], self.answers.columns.top_items
            has_relevant, realised = of_queries(known_truth[is_known], self.answers.prediction[rows], query[rows], top)
        by_query = None
        if weight is not None:
            by_query = np.bincount(place[query[chosen]], weight) / np.bincount(place[query[chosen]])
        result = {}
        for name, expected in self.queries.items():
            values, noise = expected[codes].copy(), np.full(len(codes), model.noise[name])
            if realised:
                values[place[has_relevant]], noise[place[has_relevant]] = realised[name], 0.0
            result[f"estimated_{name}"] = mean(values, by_query, noise)
        return result

    def _of_values(self, chosen: Floats, known_truth: Floats | None, weight: Floats | None) -> dict[str, Measured]:
        if self.losses is None:
            return {}
        errors = (
            np.full(len(chosen), np.nan)
            if known_truth is None
            else np.abs(known_truth - self.answers.prediction[chosen])
        )
        is_known = np.isfinite(errors)
        absolute, squared = (
            mean(
                np.where(is_known, errors**power, self.losses[chosen, power - 1]),
                weight,
                np.where(is_known, 0.0, noise),
            )
            for power, (_, noise) in enumerate(self.estimator.loss_models, 1)
        )
        values = {"estimated_mae": absolute, "estimated_rmse": rooted(squared)}
        if self.answers.forecast is None:
            return values
        scale = self.answers.forecast.scale[chosen]
        if np.isfinite(scale).all():
            noise = np.where(is_known, 0.0, self.estimator.loss_models[0][1]) / scale**2
            expected = np.where(is_known, errors, self.losses[chosen, 0])
            values["estimated_mase"] = mean(expected / scale, weight, noise)
        # Forecasts of one time err alike, so their mean is less certain than that of as many single rows.
        widening = float(self.estimator.reference.summary.naive.get("widening", 1.0))
        return {
            name: Measured(value.value, None if value.error is None else widening * value.error)
            for name, value in values.items()
        }


def _expected_of_queries(
    estimator: Estimator, answers: Answers, frame: pd.DataFrame, usable: Floats
) -> dict[str, Floats] | None:
    """The expected metrics of a ranking's queries, by their numbers; None for another task or without a model."""
    if answers.query is None or estimator.query_model is None:
        return None
    number = int(answers.query.max(initial=-1)) + 1
    expected = {name: np.full(number, np.nan) for name in estimator.query_model.models}
    if usable.any():
        encoded = estimator.reference.encoded(frame[usable])
        codes, inputs = inputs_of(encoded, answers.prediction[usable], answers.query[usable])
        for name, values in estimator.query_model.predict(inputs).items():
            expected[name][codes] = values
    return expected
