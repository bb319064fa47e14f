"""What is derived from columns: how each goes with the others, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.analysis import drift
from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.question import Question
from monitor.analysis.relations import RELATIONS
from monitor.analysis.twosample import Counted
from monitor.domain.checks import Finding, Kind, MetricValue


class _Derived(BaseCheck):
    """A two-sample test of something derived from each column. cause: of the finding; text: its words before and after the column's name."""

    kind = Kind.DRIFT
    derived_from: tuple[str, ...]
    cause: str
    text: tuple[str, str]

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column and kind of number derived from it; those of one column are settled as one."""
        for derived in self.derived_from:
            for name, (bins, before) in question.reference.derived.get(derived, {}).items():
                after = question.derived.get(derived, {}).get(name)
                if after is None or min(before.sum(), after.sum()) < drift.MIN_VALUES:
                    continue
                distance = float(np.abs(np.cumsum(before / before.sum() - after / after.sum())).max())
                finding = Finding(
                    self.name, name, value=distance, kind=self.kind, rows=int(after.sum()), cause=self.cause,
                    explanation=f"{self.text[0]}'{name}'{self.text[1]}",
                )  # fmt: skip
                yield Answer(finding, Counted(bins, after, before), derived)

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """None beside the check's own value."""
        return iter(())


class RelationScore(_Derived):
    """How far each column is from what the other columns say of it."""

    name, derived_from = "relation_score", RELATIONS
    cause, text = "broken relation", ("", " does not go together with the other columns as it did")


class DigitsScore(_Derived):
    """How many decimals a column's numbers have."""

    name, derived_from = "digits_score", ("digits_score",)
    cause, text = "rounding", ("the numbers of ", " have more or fewer decimals than they had")
