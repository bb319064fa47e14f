"""Whether the model answered: predictions that are missing, infinite, no probabilities, or far from anything that a
label was.
"""

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
    """Rows that the model gave no usable answer for: more than in the reference (Fisher's exact test)."""

    name, kind = "unusable_prediction_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column of what the model said."""
        for name in question.reference.predictions:
            if name not in question.window.frame:
                yield could_not_check(self, name)
                continue
            yield self._of(question, name)

    def _of(self, question: Question, name: str) -> Answer:
        reference, rows = question.reference, question.rows
        bad = reference.estimator.unusable(question.window.frame, name)
        number, before = int(bad.sum()), reference.estimator.usually_unusable[name]
        share, excess = number / rows, number / rows - before / reference.rows
        cause, text = "unusable predictions", self._text(question, name, bad)
        if rows < MIN_ROWS:
            too_little = f"{rows} rows; {MIN_ROWS} are needed"
            return fault(question, self.name, name, share, rows, cause, text, too_little=too_little, costs={})
        p_value = 1.0
        if excess >= MIN_FAULTY_SHARE and number >= MIN_FAULTY_ROWS:
            p_value = float(fisher_exact([[number, rows - number], [before, reference.rows - before]]).pvalue)
        costs = self._costs(question, name, bad, max(excess, 0.0))
        return fault(
            question, self.name, name, share, rows, cause, text, p_value=p_value, share=max(excess, 0.0), costs=costs
        )

    def _costs(self, question: Question, name: str, bad: Floats, excess: float) -> dict[str, float]:
        """What they cost, by metric. A number far from all labels is off by its distance from them, at least."""
        costs, labels = unanswered_cost(question, excess), question.reference.estimator.labels
        if labels is not None:
            said = question.window.frame[name].to_numpy(dtype=float)[bad]
            away = np.maximum(np.maximum(labels.low - said, said - labels.high), 0.0)
            far = float(np.nansum(away) / question.rows) if len(away) else 0.0
            costs |= {metric: max(costs[metric], far) for metric in ("mae", "rmse") if metric in costs}
        return costs

    def _text(self, question: Question, name: str, bad: Floats) -> str:
        values = question.frame[name][bad]
        missing = int(values.isna().sum())
        examples = values.dropna().astype(str).value_counts().index[:2]
        return phrases.unusable_predictions(name, float(bad.mean()), len(values) - missing, missing, examples)
