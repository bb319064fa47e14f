"""What is wrong with the labels that came for a window, and whether they are distributed as in the reference."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis import drift
from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.checks.completeness import CountedShare
from monitor.analysis.diagnosis import cause_of
from monitor.analysis.question import Question
from monitor.analysis.summary import summarise
from monitor.analysis.twosample import Counted, p_values
from monitor.domain.checks import Finding, Kind, MetricValue, Verdict

# Labels are held against the reference's once so many rows have one; so many tests are made of them.
_RIPE_SHARE, _LABEL_TESTS = 0.9, 6


class UnmatchedLabels(CountedShare):
    """Labels whose id no prediction has."""

    name, text = "unmatched_label_share", "labels have an id that no prediction has"

    def asked(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.unmatched_labels


class EarlyLabels(CountedShare):
    """Labels known before their prediction was made: leakage."""

    name, text = "early_label_share", "labels were known before their prediction was made"

    def asked(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.early_labels


class LabelDrift(BaseCheck):
    """Whether labels are distributed as in the reference, once nearly all are there: those that come first are not like the rest."""

    name, kind = "drift_score", Kind.PERFORMANCE

    def asked(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, of the label column."""
        reference, rows = question.reference, question.outcomes.rows
        name = reference.columns.label
        before = None if name is None else reference.of_column(name)
        if name is None or before is None or before.count == 0:
            return
        after = summarise(question.window.frame[name], reference.sorts[name])
        if after is None or rows < max(_RIPE_SHARE * question.rows, drift.MIN_VALUES):
            reason = f"{rows} of {question.rows} rows have a label"
            yield Answer(
                Finding(self.name, name, kind=self.kind, rows=rows, verdict=Verdict.TOO_LITTLE_DATA, reason=reason)
            )
            return
        _, value = question.drift_score(name, before, after)
        bins = reference.bins(name)
        single = p_values([Counted(bins, bins.counts(after), reference.counts(name))])[0]
        text = f"'{name}' itself is distributed otherwise (score {value or 0.0:.3g}): {cause_of(before, after).text}"
        yield Answer(
            Finding(
                self.name, name, value=value, kind=self.kind, p_value=min(_LABEL_TESTS * single, 1.0), rows=rows,
                cause="label shift", explanation=text, origin="world",
            )
        )  # fmt: skip

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """None beside the check's own value."""
        return iter(())
