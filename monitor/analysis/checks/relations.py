"""What is derived from columns: how each goes with the others, and how its numbers are written."""

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
    """A two-sample test of something derived from each column. cause: of the finding; text: its words, by the column's
    name.
    """

    kind = Kind.DRIFT
    derived_from: tuple[str, ...]
    cause: str
    text: Callable[[str], str]

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column and kind of number derived from it; those of one column are settled as one."""
        for name in dict.fromkeys(
            name for each in self.derived_from for name in question.reference.derived.get(each, {})
        ):
            if follows := question.follows_calendar(name):
                yield Answer(Finding(self.name, name, kind=self.kind, rows=question.rows, reason=follows))
                continue
            tested = list(self._of_column(question, name))
            yield from tested or [self._untested(question, name)]

    def _untested(self, question: Question, name: str) -> Answer:
        if name in question.window.frame and not any(
            name in question.derived.get(each, {}) for each in self.derived_from
        ):
            return could_not_check(self, name, reason="another column, which it is held against, is not in the window")
        summary = question.of_column(name)
        if summary is None:
            return could_not_check(self, name)
        return too_little_data(self, name, summary.count, drift.MIN_VALUES)

    def _of_column(self, question: Question, name: str) -> Iterator[Answer]:
        for derived in self.derived_from:
            known = question.reference.derived.get(derived, {}).get(name)
            after = question.derived.get(derived, {}).get(name)
            if known is None or after is None or min(known[1].sum(), after.sum()) < drift.MIN_VALUES:
                continue
            bins, before = known
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
            yield Answer(finding, Counted(bins, after, before), derived)

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """None beside the check's own value."""
        return iter(())


class RelationScore(_Derived):
    """How far each column is from what the other columns say of it."""

    name, derived_from = "relation_score", RELATIONS
    cause, text = "broken relation", staticmethod(phrases.relation)


class DigitsScore(_Derived):
    """How many decimals a column's numbers have."""

    name, derived_from = "digits_score", ("digits_score",)
    cause, text = "rounding", staticmethod(phrases.other_decimals)
