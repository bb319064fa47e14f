"""Values derived from columns: how a column is related to the others, and how many decimals its numbers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from monitor.analysis import drift
from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check, too_little_data
from monitor.analysis.question import Question
from monitor.analysis.relations import RELATIONS
from monitor.analysis.twosample import Counted
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue


class _Derived(BaseCheck):
    """A two-sample test of values derived from each column. derived_metrics: the metrics of these values. cause: of the
    finding. text: the finding in words, from the column's name.
    """

    kind = Kind.DRIFT
    derived_metrics: tuple[str, ...]
    cause: str
    text: Callable[[str], str]

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column and derived metric; those of one column are decided together."""
        for name in dict.fromkeys(
            name for metric in self.derived_metrics for name in question.reference.derived.get(metric, {})
        ):
            if follows := question.follows_calendar(name):
                yield Answer(Finding(self.name, name, kind=self.kind, rows=question.rows, reason=follows))
                continue
            tested = list(self._of_column(question, name))
            yield from tested or [self._untested(question, name)]

    def _untested(self, question: Question, name: str) -> Answer:
        if name in question.window.frame and not any(
            name in question.derived.get(metric, {}) for metric in self.derived_metrics
        ):
            return could_not_check(self, name, reason="another column, which it is held against, is not in the window")
        summary = question.of_column(name)
        if summary is None:
            return could_not_check(self, name)
        return too_little_data(self, name, summary.count, drift.MIN_VALUES)

    def _of_column(self, question: Question, name: str) -> Iterator[Answer]:
        for metric in self.derived_metrics:
            reference_side = question.reference.derived.get(metric, {}).get(name)
            after = question.derived.get(metric, {}).get(name)
            if reference_side is None or after is None or min(reference_side[1].sum(), after.sum()) < drift.MIN_VALUES:
                continue
            bins, before = reference_side
            distance = float(np.abs(np.cumsum(before / before.sum() - after / after.sum())).max())
            finding = Finding(
                self.name,
                name,
                value=distance,
                kind=self.kind,
                rows=int(after.sum()),
                cause=self.cause,
                explanation=self.text(name),
            )
            yield Answer(finding, Counted(bins, after, before), metric)

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """No metric values: the answers already have the values."""
        return iter(())


class RelationScore(_Derived):
    """How far each column is from its prediction by the other columns."""

    name, derived_metrics = "relation_score", RELATIONS
    cause, text = "broken relation", staticmethod(phrases.relation)


class DigitsScore(_Derived):
    """How many decimals a column's numbers have."""

    name, derived_metrics = "digits_score", ("digits_score",)
    cause, text = "rounding", staticmethod(phrases.other_decimals)
