"""Whether the performance of the model is known at all."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.performance import MIN_LABELLED
from monitor.analysis.question import Question
from monitor.domain.checks import Finding, Kind, Verdict


class PerformanceVisibility(BaseCheck):
    """Whether performance can be estimated now, or measured once labels come. `could_not_check` where neither is
    possible: performance is unknown.
    """

    name, kind = "performance_visibility", Kind.BLIND

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window: 1 where performance can be known."""
        verdict, reason = self._verdict(question)
        visible = None if verdict is Verdict.TOO_LITTLE_DATA else float(verdict is Verdict.FINE)
        yield Answer(
            Finding(
                self.name,
                value=visible,
                kind=self.kind,
                rows=question.rows,
                verdict=verdict,
                reason=reason,
                cause="performance is unknown",
                explanation=reason,
            )
        )

    def _verdict(self, question: Question) -> tuple[Verdict, str]:
        reference = question.reference
        if not reference.summary.labelled:
            return (
                Verdict.COULD_NOT_CHECK,
                "performance is unknown: the reference has no labels, or too few; add labels to the reference",
            )
        if question.rows < MIN_LABELLED:
            return Verdict.TOO_LITTLE_DATA, f"{question.rows} rows; {MIN_LABELLED} are needed"
        if question.usable_rows < MIN_LABELLED:
            text = f"performance is unknown: {question.usable_rows} of {question.rows} rows have a usable prediction"
            return Verdict.COULD_NOT_CHECK, text
        if question.out_of_reach:
            return Verdict.COULD_NOT_CHECK, f"performance is unknown: {question.out_of_reach}"
        return Verdict.FINE, ""
