"""Rows with all that performance is told from, realised or estimated, worked out once: what is asked of many parts of them costs no more than numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.performance import Measured, Outcomes, mean, predicted, probabilities, truth_of, weights_of

if TYPE_CHECKING:
    from monitor.analysis.estimator import Estimator

Floats = np.ndarray


@dataclass(frozen=True)
class Scored:
    """Rows of a frame, in the task's own form.

    said: what the model said, numbers, 0 and 1, or text; NaN or None where it said nothing; shape (rows,). scores: probabilities as logged, shape (rows, classes), None where some are
    absent. truth: the labels, as `said`; None without a label column. weight: how many rows each stands for; None: one. usable: which rows have an answer that an estimate can be made of.
    losses: of a regression, the absolute and the squared error that are to be expected, shape (rows, 2), NaN where the answer is not usable.
    """

    estimator: Estimator
    said: Floats
    scores: Floats | None
    truth: Floats | None
    weight: Floats | None
    usable: Floats
    losses: Floats | None

    @classmethod
    def of(cls, estimator: Estimator, frame: pd.DataFrame) -> Scored:
        """frame: in the reference's column types."""
        reference = estimator.reference
        columns, task = reference.columns, reference.task
        said = predicted(frame, columns, task)
        names = list(columns.probabilities.values())
        scores = probabilities(frame, columns).to_numpy() if names and set(names) <= set(frame.columns) else None
        usable = said.notna().to_numpy()
        if task == "regression":
            usable = estimator.is_usable(frame)
        else:
            usable = usable & (np.isfinite(scores).all(axis=1) if scores is not None else False)
        truth, weights = None, weights_of(frame, columns)
        if columns.label is not None and columns.label in frame:
            truth = truth_of(frame[columns.label], columns, task, reference.summary.classes)
        losses = None
        if estimator.loss_models:
            losses = np.full((len(frame), 2), np.nan)
            if usable.any():
                inputs = reference.encoded(frame[usable])
                losses[usable] = np.column_stack(
                    [estimation.expected_loss(model, inputs) for model, _ in estimator.loss_models]
                )
        kind = object if task == "multiclass" else float
        return cls(
            estimator, said.to_numpy(dtype=kind), scores, None if truth is None else truth.to_numpy(dtype=kind),
            None if weights is None else weights.to_numpy(), usable, losses,
        )  # fmt: skip

    def outcomes(self, places: Floats) -> Outcomes:
        """The rows of some places with a label and an answer that can be read, as `performance.outcomes` has them."""
        assert self.truth is not None
        reference, truth, said = self.estimator.reference, self.truth[places], self.said[places]
        known = pd.notna(truth) & pd.notna(said)
        if self.scores is not None:
            known &= np.isfinite(self.scores[places]).all(axis=1)
        if self.weight is not None:
            known &= self.weight[places] > 0
        chosen = places[known]
        weight = None if self.weight is None else self.weight[chosen]
        scores = None if self.scores is None else self.scores[chosen]
        truth, said = truth[known], said[known]
        if reference.task == "regression":
            return Outcomes(reference.task, truth, said, None, weight=weight)
        if reference.task == "binary":
            return Outcomes(reference.task, truth, said, None if scores is None else scores[:, 0], weight=weight)
        names = tuple(reference.columns.probabilities) or tuple(sorted(set(truth) | set(said)))
        return Outcomes(reference.task, truth, said, scores, names, weight)

    def estimate(self, places: Floats, truth: Floats | None = None) -> dict[str, Measured]:
        """Performance of the rows of some places as the estimator expects it without their labels.

        truth: labels that came already, in the task's own form, NaN or None elsewhere: these are taken as they are; shape (places,).
        """
        reference = self.estimator.reference
        usable = self.usable[places]
        chosen, known = places[usable], None if truth is None else truth[usable]
        if not reference.summary.labelled or len(chosen) < 2:
            return {}
        weight = None if self.weight is None else self.weight[chosen]
        if reference.task == "regression":
            return self._of_values(chosen, known, weight)
        line = reference.summary.calibration
        if line is None or self.scores is None:
            return {}
        scores, said = self.scores[chosen], self.said[chosen]
        if reference.task == "binary":
            chance = estimation.calibrated(scores[:, 0], line)
            if known is not None:
                chance = np.where(np.isnan(known), chance, known)
            return estimation.estimate_binary(scores[:, 0], said, chance, weight)
        classes = pd.Index(list(reference.columns.probabilities))
        chances = np.column_stack([estimation.calibrated(each, line[place]) for place, each in enumerate(scores.T)])
        chances = chances / chances.sum(axis=1, keepdims=True)
        if known is not None:
            codes = classes.get_indexer(pd.Index(known, dtype=object))
            chances[codes >= 0] = np.eye(len(classes))[codes[codes >= 0]]
        codes = classes.get_indexer(pd.Index(said, dtype=object))
        inside = codes >= 0
        return estimation.estimate_multiclass(
            scores[inside], chances[inside], codes[inside], None if weight is None else weight[inside]
        )

    def _of_values(self, chosen: Floats, known: Floats | None, weight: Floats | None) -> dict[str, Measured]:
        if self.losses is None:
            return {}
        errors = np.full(len(chosen), np.nan) if known is None else np.abs(known - self.said[chosen])
        there = np.isfinite(errors)
        absolute, squared = (
            mean(np.where(there, errors**power, self.losses[chosen, power - 1]), weight, np.where(there, 0.0, noise))
            for power, (_, noise) in enumerate(self.estimator.loss_models, 1)
        )
        root = float(np.sqrt(squared.value))
        error = None if squared.error is None or root == 0 else squared.error / (2 * root)
        return {"estimated_mae": absolute, "estimated_rmse": Measured(root, error)}
