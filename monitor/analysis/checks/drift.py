"""Drift: whether values are distributed as in the reference, in the whole window and within segments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.analysis import drift
from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check, empty_segment
from monitor.analysis.question import Question
from monitor.analysis.twosample import Counted
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Verdict

# Columns of these types have a check of their own.
TYPES_WITH_OWN_CHECK = ("text", "text_form", "embedding")


class DriftScore(BaseCheck):
    """Two-sample tests decide, a distance says how far. A column that follows the calendar, as in the reference, has
    not drifted.
    """

    name, kind = "drift_score", Kind.DRIFT

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column, and one for each column and segment."""
        for name in question.names:
            if question.reference.sorts[name] not in TYPES_WITH_OWN_CHECK:
                yield self._column_answer(question, name)
        yield from self._segment_answers(question)

    def _column_answer(self, question: Question, name: str) -> Answer:
        reference, compared = question.reference, question.compared(name)
        if isinstance(compared, str):
            return Answer(Finding(self.name, name, kind=self.kind, verdict=Verdict.COULD_NOT_CHECK, reason=compared))
        after = compared[1]
        method, value = question.drift_scores[name]
        verdict, reason, counted = Verdict.FINE, "", None
        if follows := question.follows_calendar(name):
            reason = follows
        elif value is None:
            verdict = Verdict.COULD_NOT_CHECK
            reason = f"the distance to the reference ({method}) could not be worked out"
        elif after.count < drift.MIN_VALUES:
            verdict, reason = Verdict.TOO_LITTLE_DATA, f"{after.count} values; {drift.MIN_VALUES} are needed"
        else:
            bins = reference.bins(name)
            counted = Counted(bins, bins.counts(after), reference.counts(name))
        finding = Finding(
            self.name,
            name,
            value=value,
            kind=self.kind,
            rows=after.count,
            verdict=verdict,
            reason=reason,
            cause="distribution",
            explanation="" if value is None else phrases.drifted(name),
        )
        return Answer(finding, counted, self.name, after.count)

    def _segment_answers(self, question: Question) -> Iterator[Answer]:
        for segment in question.segments:
            part = segment.rows_of(question.window.frame)
            for name, (bins, before) in question.reference.of_segment(*segment.key).items():
                if name not in question.names:
                    continue
                if part is None or name not in part:
                    yield could_not_check(self, name, segment.name)
                    continue
                if part.empty:
                    yield empty_segment(self, name, segment.name)
                    continue
                if follows := question.follows_calendar(name):
                    finding = Finding(self.name, name, segment.name, kind=self.kind, rows=len(part), reason=follows)
                    yield Answer(finding)
                    continue
                codes = bins.codes(part[name])
                after = np.bincount(codes[codes >= 0], minlength=bins.number).astype(float)
                number = int(after.sum())
                if min(before.sum(), after.sum()) < drift.MIN_VALUES:
                    reason = f"{number} values; {drift.MIN_VALUES} are needed"
                    yield Answer(
                        Finding(
                            self.name,
                            name,
                            segment.name,
                            kind=self.kind,
                            rows=number,
                            verdict=Verdict.TOO_LITTLE_DATA,
                            reason=reason,
                        )
                    )
                    continue
                difference = before / before.sum() - after / after.sum()
                distance = (
                    np.abs(np.cumsum(difference)).max() if bins.knots is not None else np.abs(difference).sum() / 2
                )
                text = phrases.drifted(name, segment.key)
                finding = Finding(
                    self.name,
                    name,
                    segment.name,
                    float(distance),
                    kind=self.kind,
                    rows=number,
                    cause="distribution",
                    explanation=text,
                )
                # A test of a part of the rows counts as the test of a whole drawn window.
                yield Answer(finding, Counted(bins, after, before), self.name)
