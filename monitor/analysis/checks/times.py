"""The times at which rows were logged."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Severity, Verdict


class MisdatedRows(BaseCheck):
    """Rows of the log without a time, dated before 1971 or in the future. No window holds them. Their number is stored
    and shown; a limit on it may page.
    """

    name, kind = "misdated_rows", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        number = question.counts.misdated
        if number is None:
            yield could_not_check(self, None, reason="nobody has counted them in the log")
            return
        yield Answer(
            Finding(
                self.name,
                value=float(number),
                kind=self.kind,
                rows=question.counts.rows,
                cause="wrong times",
                origin="pipeline" if number else "",
                verdict=Verdict.CHANGED if number else Verdict.FINE,
                severity=Severity.INFO,
                explanation=phrases.misdated(number, question.counts.misdated_example),
            )
        )
