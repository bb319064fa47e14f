"""How many rows a window has."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.question import Question
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict


class NoData(BaseCheck):
    """Whether anything was logged at all."""

    name, kind = "row_count", Kind.NO_DATA

    def asked(self, question: Question) -> bool:
        """Also of a window without rows."""
        return question.checks.asks(self.kind)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, of the whole window."""
        rows = question.counts.all_rows
        yield Answer(
            Finding(
                metric=self.name,
                value=float(rows),
                kind=self.kind,
                rows=rows,
                verdict=Verdict.FINE if rows else Verdict.CHANGED,
                severity=Severity.INFO if rows else Severity.WARNING,
                cause="no data",
                explanation="the window has no rows: nothing was logged",
            )
        )

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """The row count is told of every window, asked or not."""
        return iter(())


class RowCount(BaseCheck):
    """The number of rows, where the user has a limit on it."""

    name, kind = "row_count", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, of the whole window, where there is a limit."""
        rows = question.counts.all_rows
        if question.checks.threshold(self.name, None):
            yield Answer(
                Finding(
                    metric=self.name,
                    value=float(rows),
                    kind=self.kind,
                    rows=rows,
                    cause="row count",
                    explanation=f"{rows} rows",
                )
            )

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """The row count is told of every window, asked or not."""
        return iter(())
