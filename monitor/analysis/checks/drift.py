"""Drift: whether values are distributed as in the reference, in the whole window and within segments."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.analysis import drift
from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.question import Question
from monitor.analysis.twosample import Counted
from monitor.domain.checks import Finding, Kind, Verdict


class DriftScore(BaseCheck):
    """Two-sample tests decide, a distance tells how far."""

    name, kind = "drift_score", Kind.DRIFT

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column, and one a column and segment."""
        for name in question.names:
            yield self._of_column(question, name)
        yield from self._of_segments(question)

    def _of_column(self, question: Question, name: str) -> Answer:
        reference, compared = question.reference, question.compared(name)
        if isinstance(compared, str):
            return Answer(Finding(self.name, name, kind=self.kind, verdict=Verdict.COULD_NOT_CHECK, reason=compared))
        after = compared[1]
        method, value = question.drift_scores[name]
        verdict, reason, counted = Verdict.FINE, "", None
        if value is None:
            verdict = Verdict.COULD_NOT_CHECK
            reason = f"the distance to the reference ({method}) could not be worked out"
        elif after.count < drift.MIN_VALUES:
            verdict, reason = Verdict.TOO_LITTLE_DATA, f"{after.count} values; {drift.MIN_VALUES} are needed"
        else:
            bins = reference.bins(name)
            counted = Counted(bins, bins.counts(after), reference.counts(name))
        finding = Finding(
            self.name, name, value=value, kind=self.kind, rows=after.count, verdict=verdict, reason=reason, cause="distribution",
            explanation="" if value is None else f"'{name}' drifted (score {value:.3g})",
        )  # fmt: skip
        return Answer(finding, counted, self.name, after.count)

    def _of_segments(self, question: Question) -> Iterator[Answer]:
        for column, value, rows in question.segments():
            part = question.window.frame[rows]
            for name, (bins, before) in question.reference.of_segment(column, value).items():
                if name not in question.names or name not in part:
                    continue
                codes = bins.codes(part[name])
                after = np.bincount(codes[codes >= 0], minlength=bins.number).astype(float)
                segment, number = f"{column}={value}", int(after.sum())
                if min(before.sum(), after.sum()) < drift.MIN_VALUES:
                    reason = f"{number} values; {drift.MIN_VALUES} are needed"
                    yield Answer(
                        Finding(
                            self.name, name, segment, kind=self.kind, rows=number, verdict=Verdict.TOO_LITTLE_DATA, reason=reason
                        )
                    )  # fmt: skip
                    continue
                difference = before / before.sum() - after / after.sum()
                distance = (
                    np.abs(np.cumsum(difference)).max() if bins.knots is not None else np.abs(difference).sum() / 2
                )
                text = f"'{name}' drifted where {column} = {value} (score {distance:.3g})"
                finding = Finding(
                    self.name, name, segment, float(distance), kind=self.kind, rows=number, cause="distribution", explanation=text
                )  # fmt: skip
                # What is tested of a part of the rows counts as it did in windows drawn whole.
                yield Answer(finding, Counted(bins, after, before), self.name)
