"""When rows say that they were logged."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Severity, Verdict


class MisdatedRows(BaseCheck):
    """Rows of the log that have no time, are dated before 1971, or later than it is: no window holds them. Stored and
    shown; a limit on them may page.
    """

    name, kind = "misdated_rows", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, of the whole window."""
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
