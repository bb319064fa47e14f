"""How many rows a window has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import t

from monitor.analysis.checks.base import MIN_ROWS, Answer, BaseCheck, could_not_check
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import FEWEST_WINDOWS, Finding, Kind, MetricValue, Severity, Verdict

# How unlikely a fall must be, given how much earlier windows vary.
_UNLIKELY = 1e-3


class NoData(BaseCheck):
    """Whether anything was logged at all."""

    name, kind = "row_count", Kind.NO_DATA

    def applies_to(self, question: Question) -> bool:
        """Also for a window without rows."""
        return question.checks.asks(self.kind)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
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
                explanation=phrases.no_rows(),
            )
        )

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """No metric values: every window has its row count anyway."""
        return iter(())


class RowCount(BaseCheck):
    """The number of rows, where the user has a limit on it."""

    name, kind = "row_count", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window, where there is a limit."""
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
        """No metric values: every window has its row count anyway."""
        return iter(())


class VolumeShare(BaseCheck):
    """The rows relative to those expected from earlier windows at the same calendar position."""

    name, kind = "volume_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window: a warning below the limit, unless earlier windows vary as much or one was as
        low.
        """
        rows, before = question.counts.all_rows, np.array(question.recent_counts, dtype=float)
        if len(before) < FEWEST_WINDOWS:
            reason = f"{len(before)} earlier windows at the same calendar position; {FEWEST_WINDOWS} are needed"
            yield could_not_check(self, None, reason=reason)
            return
        expected = float(np.median(before))
        if expected < MIN_ROWS:
            reason = f"{expected:.0f} rows are expected; {MIN_ROWS} are needed"
            yield Answer(Finding(self.name, kind=self.kind, rows=rows, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
            return
        share, p_value, limit = rows / expected, _p_value(rows, expected, before), question.checks.volume
        fell = limit is not None and share < limit and rows < before.min() and p_value < _UNLIKELY
        yield Answer(
            Finding(
                self.name,
                value=share,
                kind=self.kind,
                rows=rows,
                threshold_lower=limit,
                verdict=Verdict.CHANGED if fell else Verdict.FINE,
                severity=Severity.WARNING if fell else Severity.INFO,
                cause="fall in traffic",
                origin="pipeline" if fell else "",
                share=max(1 - share, 0.0),
                explanation=phrases.few_rows(rows, expected, len(before), float(before.min()), float(before.max())),
            )
        )


def _p_value(rows: int, expected: float, before: np.ndarray) -> float:
    """How often a window like the earlier ones would have so few rows: Student's t of the logarithm, with counting
    noise.
    """
    logs = np.log((before + 0.5) / (expected + 0.5))
    variance = (float(logs.var(ddof=1)) + 1 / expected) * (1 + 1 / len(before))
    return float(t.cdf(np.log((rows + 0.5) / (expected + 0.5)) / np.sqrt(variance), len(before) - 1))
