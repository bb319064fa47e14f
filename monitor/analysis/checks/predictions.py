"""Whether the model answered: predictions that are missing, infinite, no probabilities, or far from all labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import fisher_exact

from monitor.analysis.checks.base import (
    MIN_FAULTY_ROWS,
    MIN_FAULTY_SHARE,
    MIN_ROWS,
    Answer,
    BaseCheck,
    could_not_check,
    fault,
    unanswered_cost,
)
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Kind

Floats = np.ndarray


class UnusablePredictions(BaseCheck):
    """Rows without a usable answer of the model: more than in the reference (Fisher's exact test)."""

    name, kind = "unusable_prediction_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of the model's output."""
        for name in question.reference.predictions:
            if name not in question.window.frame:
                yield could_not_check(self, name)
                continue
            yield self._answer(question, name)

    def _answer(self, question: Question, name: str) -> Answer:
        reference, rows = question.reference, question.rows
        is_unusable = reference.estimator.unusable(question.window.frame, name)
        number, before = int(is_unusable.sum()), reference.estimator.usually_unusable[name]
        share, excess = number / rows, number / rows - before / reference.rows
        cause, text = "unusable predictions", self._text(question, name, is_unusable)
        if rows < MIN_ROWS:
            too_little = f"{rows} rows; {MIN_ROWS} are needed"
            return fault(question, self.name, name, share, rows, cause, text, too_little=too_little, costs={})
        p_value = 1.0
        if excess >= MIN_FAULTY_SHARE and number >= MIN_FAULTY_ROWS:
            p_value = float(fisher_exact([[number, rows - number], [before, reference.rows - before]]).pvalue)
        costs = self._costs(question, name, is_unusable, max(excess, 0.0))
        return fault(
            question, self.name, name, share, rows, cause, text, p_value=p_value, share=max(excess, 0.0), costs=costs
        )

    def _costs(self, question: Question, name: str, is_unusable: Floats, excess: float) -> dict[str, float]:
        """The losses by metric. A number far from all labels is wrong by at least its distance from them."""
        costs, labels = unanswered_cost(question, excess), question.reference.estimator.labels
        if labels is not None:
            predictions = question.window.frame[name].to_numpy(dtype=float)[is_unusable]
            distances = np.maximum(np.maximum(labels.low - predictions, predictions - labels.high), 0.0)
            mean_distance = float(np.nansum(distances) / question.rows) if len(distances) else 0.0
            costs |= {metric: max(costs[metric], mean_distance) for metric in ("mae", "rmse") if metric in costs}
        return costs

    def _text(self, question: Question, name: str, is_unusable: Floats) -> str:
        values = question.frame[name][is_unusable]
        missing = int(values.isna().sum())
        examples = values.dropna().astype(str).value_counts().index[:2]
        return phrases.unusable_predictions(name, float(is_unusable.mean()), len(values) - missing, missing, examples)
