"""How far forecasts are revised before their time comes."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check
from monitor.analysis.forecast import revisions
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Verdict
from monitor.domain.columns import HORIZON, TARGET

# From fewer pairs of forecasts of the same time the mean revision is not known.
_FEWEST_PAIRS = 30


class Revision(BaseCheck):
    """The mean distance of a forecast from the one that was issued before it for the same time and series. It pages by
    a limit of the user alone.
    """

    name, kind = "revision", Kind.DRIFT

    def applies_to(self, question: Question) -> bool:
        """For forecasts."""
        return super().applies_to(question) and question.reference.task == "forecast"

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        reference, frame = question.reference, question.window.frame
        if not {HORIZON, TARGET, reference.columns.prediction} <= set(frame.columns):
            yield could_not_check(self, None, reason="the window does not say when its forecasts were issued")
            return
        values = revisions(frame, reference.columns)
        if len(values) < _FEWEST_PAIRS:
            reason = f"{len(values)} forecasts follow an earlier one of the same time; {_FEWEST_PAIRS} are needed"
            yield Answer(Finding(self.name, kind=self.kind, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
            return
        value, usual = float(values.mean()), reference.usual_revision
        text = phrases.revisions(value, usual)
        yield Answer(
            Finding(
                self.name, value=value, kind=self.kind, rows=len(values), cause="revised forecasts", explanation=text
            )
        )
